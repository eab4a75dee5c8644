//! Readers of what build tools write about their own output: one file per format, and the order in which they are asked.
//! Never trusts a path that is not in the build, and never decides what is uploaded but for the tool's own file.
//!
//! A new reader is one file here, its line in [`READERS`], and its word in [`Format`] when the format is new.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::build::{NewFile, is_left_out};
use crate::api::foreign::shown;
use crate::api::{BuildManifestSpec, Format};

mod failure;
mod json;
mod paths;
pub mod version_json;
pub mod vite;
pub mod webpack;
pub mod webpack_stats;

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;

pub use failure::UnreadableNames;
pub use paths::Paths;

/// Largest file of a build tool that is read: 200,000 chunks of 80 bytes.
pub const BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Longest reason for which a file is not taken, in characters.
const CAUSE_CHARS_MAX: usize = 160;

/// All readers, in the order in which `Auto` asks them: what says most comes first.
pub const READERS: &[Reader] = &[vite::READER, webpack::READER, webpack_stats::READER, version_json::READER];

/// How one format is read.
pub struct Reader {
    /// The format, never `Auto` or `Folder`. Several readers may have the same.
    pub format: Format,
    /// Where its tools write their file by themselves; the first one that is of the format is taken.
    pub places: &'static [Place],
    /// Reads the file's bytes. Pure and total: any bytes give an answer, and every file in it is one of the build.
    pub read: fn(&Input<'_>) -> Result<Names, Unsuitable>,
}

/// A usual place of a build tool's file.
pub struct Place {
    /// Path in the build.
    pub path: &'static str,
    /// Whether others write files of that name, too.
    pub used_by: UsedBy,
}

/// Who writes files of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsedBy {
    /// This tool alone: whatever is wrong with the file is an error.
    TheTool,
    /// Others, too: a file of another shape is passed over, unless the format was asked for.
    Others,
}

/// What a reader is given.
pub struct Input<'a> {
    /// The file's path in the build.
    pub path: &'a str,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// The files of the build that are published.
    pub paths: &'a Paths<'a>,
}

/// What a reader found. Files are paths of the build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// The name that an application asks for, for each file that has one. No name twice.
    pub logical: BTreeMap<String, String>,
    /// Files whose names carry a hash of their content, on the tool's word.
    pub hashed: BTreeSet<String>,
    /// What the file names and the build lacks.
    pub missing: BTreeSet<String>,
    /// What the tool's own file is.
    pub own_file: OwnFile,
}

/// What a build tool's own file is to the release.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OwnFile {
    /// Like any file: some applications fetch it.
    #[default]
    Published,
    /// Nothing for visitors: left out of the manifest and of the upload.
    LeftOut,
}

/// Why a reader does not take a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unsuitable {
    /// It is something else; says what is wrong.
    AnotherFormat(String),
    /// It is of the format, and a name in it could mean several files.
    Ambiguous {
        /// The name.
        name: String,
        /// The files, sorted.
        files: Vec<String>,
    },
}

/// How a build was read: which format, and how it was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reading {
    /// The format; never `Auto`.
    pub format: Format,
    /// The file that was read, if the format has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// How the format was told.
    pub decided: Decided,
    /// Files at usual places that turned out to be something else, and why; sorted as they were looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed_over: Vec<String>,
}

/// How a format was told. The words are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decided {
    /// It was asked for.
    AskedFor,
    /// The file was named, and its content told the format.
    ByContent,
    /// The file lies where the tool writes it.
    UsualPlace,
    /// No tool's file was found.
    NothingFound,
}

/// What a build's own manifest says, and how it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildNames {
    /// Which format, and how it was told.
    pub reading: Reading,
    /// What the file says.
    pub names: Names,
}

impl BuildNames {
    /// The names of a build without a manifest.
    #[must_use]
    pub fn none(decided: Decided) -> Self {
        let reading = Reading { format: Format::Folder, path: None, decided, passed_over: Vec::new() };
        Self { reading, names: Names::default() }
    }

    /// Whether a file is the tool's own and nothing for visitors.
    #[must_use]
    pub fn leaves_out(&self, path: &str) -> bool {
        self.names.own_file == OwnFile::LeftOut && self.reading.path.as_deref() == Some(path)
    }
}

impl Reading {
    /// How the names were found, in words: `names from ".vite/manifest.json" (Vite, at its usual place)`.
    #[must_use]
    pub fn sentence(&self) -> String {
        let how = match self.decided {
            Decided::AskedFor => "as manifest.format says",
            Decided::ByContent => "recognised by its content",
            Decided::UsualPlace => "at its usual place",
            Decided::NothingFound => "no build tool's manifest was found",
        };
        let found = match &self.path {
            Some(path) => format!("names from {path:?} ({:?}, {how})", self.format),
            None => format!("no names from a build tool ({:?}: {how})", self.format),
        };
        if self.passed_over.is_empty() { found } else { format!("{found}; passed over: {}", self.passed_over.join("; ")) }
    }
}

/// The files that [`read`] wants the bytes of, at most one for each usual place; those that are too large are not among them.
#[must_use]
pub fn wanted(wish: &BuildManifestSpec, files: &[NewFile]) -> Vec<String> {
    let mut paths: Vec<String> = looked_for(wish);
    paths.retain(|path| size_of(files, path).is_some_and(|bytes| bytes <= BYTES_MAX));
    paths
}

/// Reads the build's own manifest. `texts`: the bytes of what [`wanted`] asked for.
///
/// # Errors
/// When a format is asked for that the build does not have, when a file that only one tool writes is not what that tool writes, or
/// when a name in it is ambiguous.
pub fn read(
    wish: &BuildManifestSpec,
    files: &[NewFile],
    texts: &BTreeMap<String, impl AsRef<[u8]>>,
) -> Result<BuildNames, UnreadableNames> {
    if wish.format == Format::Folder {
        return Ok(BuildNames::none(Decided::AskedFor));
    }
    // Without a file to read nobody looks a path up, and a build may have 200,000.
    let published = files.iter().map(|file| file.path.as_str()).filter(|path| !texts.is_empty() && !is_left_out(path));
    let paths = Paths::new(published);
    let build = Build { files, texts: texts.iter().map(|(path, bytes)| (path.as_str(), bytes.as_ref())).collect(), paths };
    match (&wish.path, wish.format) {
        (Some(path), Format::Auto) => build.by_content(path),
        (Some(path), format) => build.asked_for(format, vec![path.clone()]),
        (None, Format::Auto) => build.found(),
        (None, format) => build.asked_for(format, looked_for(wish)),
    }
}

/// Readers that may be asked for a wish.
fn readers_of(format: Format) -> impl Iterator<Item = &'static Reader> {
    READERS.iter().filter(move |reader| format == Format::Auto || reader.format == format)
}

fn looked_for(wish: &BuildManifestSpec) -> Vec<String> {
    if let Some(path) = wish.path.as_ref().filter(|_| wish.format != Format::Folder) {
        return vec![path.clone()];
    }
    let mut all: Vec<String> = Vec::new();
    for place in readers_of(wish.format).flat_map(|reader| reader.places) {
        if !all.iter().any(|path| path == place.path) {
            all.push(place.path.to_owned());
        }
    }
    all
}

fn size_of(files: &[NewFile], path: &str) -> Option<u64> {
    files.iter().find(|file| file.path == path).map(|file| file.size)
}

/// A build as the readers see it.
struct Build<'a> {
    files: &'a [NewFile],
    texts: BTreeMap<&'a str, &'a [u8]>,
    paths: Paths<'a>,
}

impl Build<'_> {
    /// Asks the readers of one format about the first of these files that is there and that they take.
    fn asked_for(&self, format: Format, looked_for: Vec<String>) -> Result<BuildNames, UnreadableNames> {
        let mut first = None;
        for path in &looked_for {
            let Some(bytes) = self.bytes(path)? else { continue };
            for reader in readers_of(format) {
                match self.ask(reader, path, bytes)? {
                    Ok(names) => return Ok(taken(reader.format, path, Decided::AskedFor, names)),
                    Err(cause) => first = first.or(Some((path.clone(), cause))),
                }
            }
        }
        Err(match first {
            Some((path, cause)) => UnreadableNames::Malformed { path, format, cause },
            None => UnreadableNames::Missing { format, looked_for },
        })
    }

    /// Asks all readers about one file.
    fn by_content(&self, path: &str) -> Result<BuildNames, UnreadableNames> {
        let Some(bytes) = self.bytes(path)? else {
            return Err(UnreadableNames::Missing { format: Format::Auto, looked_for: vec![path.to_owned()] });
        };
        let mut causes = Vec::new();
        for reader in READERS {
            match self.ask(reader, path, bytes)? {
                Ok(names) => return Ok(taken(reader.format, path, Decided::ByContent, names)),
                Err(cause) => causes.push(format!("{:?}: {cause}", reader.format)),
            }
        }
        Err(UnreadableNames::Unknown { path: path.to_owned(), causes })
    }

    /// Looks at the usual places.
    fn found(&self) -> Result<BuildNames, UnreadableNames> {
        let mut passed_over: Vec<String> = Vec::new();
        for (reader, place) in READERS.iter().flat_map(|reader| reader.places.iter().map(move |place| (reader, place))) {
            let read = match (self.bytes(place.path), place.used_by) {
                (Ok(None), _) => continue,
                (Ok(Some(bytes)), _) => self.ask(reader, place.path, bytes)?,
                (Err(too_large), UsedBy::Others) => Err(too_large.to_string()),
                (Err(too_large), UsedBy::TheTool) => return Err(too_large),
            };
            match (read, place.used_by) {
                (Ok(names), _) => {
                    let mut build = taken(reader.format, place.path, Decided::UsualPlace, names);
                    build.reading.passed_over = passed_over;
                    return Ok(build);
                }
                (Err(cause), UsedBy::Others) => passed_over.push(format!("{:?} is not of {:?}: {cause}", place.path, reader.format)),
                (Err(cause), UsedBy::TheTool) => {
                    return Err(UnreadableNames::Malformed { path: place.path.to_owned(), format: reader.format, cause });
                }
            }
        }
        let mut build = BuildNames::none(Decided::NothingFound);
        build.reading.passed_over = passed_over;
        Ok(build)
    }

    /// The bytes of a file; `None` when the build does not have it.
    fn bytes(&self, path: &str) -> Result<Option<&[u8]>, UnreadableNames> {
        match (self.texts.get(path), size_of(self.files, path)) {
            (_, Some(bytes)) if bytes > BYTES_MAX => Err(UnreadableNames::TooLarge { path: path.to_owned(), bytes }),
            (text, Some(_)) => Ok(text.copied()),
            (_, None) => Ok(None),
        }
    }

    /// What one reader says of a file: its names, or why it is none of its.
    fn ask(&self, reader: &Reader, path: &str, bytes: &[u8]) -> Result<Result<Names, String>, UnreadableNames> {
        match (reader.read)(&Input { path, bytes, paths: &self.paths }) {
            Ok(names) => Ok(Ok(names)),
            Err(Unsuitable::AnotherFormat(cause)) => Ok(Err(cut(&cause))),
            Err(Unsuitable::Ambiguous { name, files }) => Err(UnreadableNames::Ambiguous { path: path.to_owned(), name, files }),
        }
    }
}

fn taken(format: Format, path: &str, decided: Decided, names: Names) -> BuildNames {
    BuildNames { reading: Reading { format, path: Some(path.to_owned()), decided, passed_over: Vec::new() }, names }
}

/// A parser's complaint may quote the file.
fn cut(cause: &str) -> String {
    shown(cause, CAUSE_CHARS_MAX)
}
