//! Readers of what build tools write about their own output: one file per format, and the order in which they are asked.
//! Never trusts a path that is not in the build, and never decides what is uploaded but for the tool's own file.
//!
//! A new reader is one file here and its line in [`READERS`]. It needs no word in [`Format`]: `Auto` finds its file.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::build::{NewFile, is_left_out};
use crate::api::foreign::shown;
use crate::api::{BuildManifestSpec, Format};

pub mod angular;
pub mod django;
pub mod encore;
pub mod esbuild;
mod failure;
mod find;
pub mod gatsby;
pub mod gulp_rev;
mod json;
mod listed;
pub mod mix;
pub mod module_federation;
pub mod next;
pub mod nuxt;
pub mod parcel;
mod paths;
pub mod phoenix;
pub mod propshaft;
pub mod react_router;
pub mod rsbuild;
pub mod sprockets;
pub mod sveltekit;
pub mod version_json;
pub mod vite;
pub mod vitepress;
pub mod webpack;
pub mod webpack_stats;
pub mod workbox;

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;

pub use failure::UnreadableNames;
pub use paths::Paths;
pub(super) use paths::names_a_file;

use find::Candidate;

/// Largest file of a build tool that is read: 200,000 chunks of 80 bytes.
pub const BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Most entries of one: each grows to some hundred bytes in memory. 200,000 files with a name and a URL have 400,000.
pub const ENTRIES_MAX: usize = 600_000;

/// What tools on Windows write before UTF-8; no list begins with it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Other lists that one sentence names.
const ALSO_MAX: usize = 8;

/// Longest reason for which a file is not taken, in characters.
const CAUSE_CHARS_MAX: usize = 160;

/// All readers, in the order in which `Auto` asks them: what says most comes first.
pub const READERS: &[Reader] = &[
    vite::READER,
    webpack::READER,
    rsbuild::READER,
    mix::READER,
    gulp_rev::READER,
    parcel::READER,
    sprockets::READER,
    propshaft::READER,
    phoenix::READER,
    django::READER,
    esbuild::READER,
    webpack_stats::READER,
    version_json::READER,
    react_router::READER,
    next::READER,
    next::IN_THE_SITE,
    nuxt::READER,
    sveltekit::READER,
    gatsby::READER,
    gatsby::CHUNK_MAP,
    vitepress::READER,
    encore::READER,
    module_federation::READER,
    angular::READER,
    workbox::READER,
];

/// How one format is read.
pub struct Reader {
    /// The word by which the format can be asked for, never `Folder`; `Auto` for one that only `Auto` finds: a new word in the API would be
    /// unreadable for older programs. Several readers may have the same.
    pub format: Format,
    /// What people call the tool.
    pub tool: &'static str,
    /// Where its tools write their file by themselves; the first one that is of the format is taken.
    pub places: &'static [Place],
    /// Reads the file's bytes. Pure and total: any bytes give an answer, and every file in it is one of the build.
    pub read: fn(&Input<'_>) -> Result<Names, Unsuitable>,
}

/// A usual place of a build tool's file.
pub struct Place {
    /// Path in the build, or below up to three folders of it. A `*` in the last part stands for any characters.
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
    /// What the tool puts in front of the build's paths, where it says so.
    pub public_path: Option<String>,
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
    /// The format; `Auto` for one that has no word.
    pub format: Format,
    /// The tool, where the format does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The file that was read, if the format has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// How the format was told.
    pub decided: Decided,
    /// Files at usual places that turned out to be something else, and why; sorted as they were looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed_over: Vec<String>,
    /// Other tools' lists that were read besides, each with its tool; at most eight.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
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

/// What a build's own manifests say, and how they were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildNames {
    /// Which format, and how it was recognised.
    pub reading: Reading,
    /// What the file says; `hashed` has what the others vouch for, too.
    pub names: Names,
    /// What other tools' lists name and the build lacks, by list.
    pub others_missing: BTreeMap<String, BTreeSet<String>>,
    /// Other tools' own files that are nothing for visitors.
    pub others_left_out: BTreeSet<String>,
}

impl BuildNames {
    /// The names of a build without a manifest.
    #[must_use]
    pub fn none(decided: Decided) -> Self {
        Self::of(Reading::of(Format::Folder, None, decided), Names::default())
    }

    fn of(reading: Reading, names: Names) -> Self {
        Self { reading, names, others_missing: BTreeMap::new(), others_left_out: BTreeSet::new() }
    }

    /// Whether a file is a tool's own and nothing for visitors.
    #[must_use]
    pub fn leaves_out(&self, path: &str) -> bool {
        let is_own = self.names.own_file == OwnFile::LeftOut && self.reading.path.as_deref() == Some(path);
        let is_meant = is_at_the_top(path) || self.reading.decided != Decided::UsualPlace;
        (is_own && is_meant) || self.others_left_out.contains(path)
    }

    /// What the tools name and the build lacks: the list's path and the name in it.
    pub fn missing(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = self.names.missing.iter().map(|name| (self.reading.path.as_deref().unwrap_or_default(), name.as_str()));
        let others = self.others_missing.iter().flat_map(|(path, names)| names.iter().map(|name| (path.as_str(), name.as_str())));
        own.chain(others)
    }

    /// Takes what another list says: what it vouches for and what is missing. The names by which an application asks stay those of the
    /// first list that has some.
    fn absorb(&mut self, reader: &Reader, path: &str, names: Names) {
        if self.names.logical.is_empty() {
            self.names.logical = names.logical;
        }
        self.names.hashed.extend(names.hashed);
        if self.names.public_path.is_none() {
            self.names.public_path = names.public_path;
        }
        if !names.missing.is_empty() {
            self.others_missing.insert(path.to_owned(), names.missing);
        }
        if names.own_file == OwnFile::LeftOut && is_at_the_top(path) {
            self.others_left_out.insert(path.to_owned());
        }
        if self.reading.also.len() < ALSO_MAX {
            self.reading.also.push(format!("{path:?} ({})", reader.tool));
        }
    }
}

impl Reading {
    fn of(format: Format, path: Option<String>, decided: Decided) -> Self {
        Self { format, tool: None, path, decided, passed_over: Vec::new(), also: Vec::new() }
    }

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
            Some(path) => format!("names from {path:?} ({}, {how})", self.tool.clone().unwrap_or_else(|| format!("{:?}", self.format))),
            None => format!("no names from a build tool ({:?}: {how})", self.format),
        };
        let found = if self.also.is_empty() { found } else { format!("{found}; also read: {}", self.also.join(", ")) };
        if self.passed_over.is_empty() { found } else { format!("{found}; passed over: {}", self.passed_over.join("; ")) }
    }
}

/// The files that [`read`] wants the bytes of, a bounded number; those that are too large are not among them.
#[must_use]
pub fn wanted(wish: &BuildManifestSpec, files: &[NewFile]) -> Vec<String> {
    if wish.format == Format::Folder {
        return Vec::new();
    }
    let named = wish.path.iter().filter(|path| size_of(files, path).is_some_and(|bytes| bytes <= BYTES_MAX)).cloned();
    let mut wanted: Vec<String> = named.collect();
    for candidate in find::candidates(files) {
        if !wanted.iter().any(|path| path == candidate.path) {
            wanted.push(candidate.path.to_owned());
        }
    }
    wanted
}

/// Reads the build's own manifests. `texts`: the bytes of what [`wanted`] asked for.
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
    let mut names = match (&wish.path, wish.format) {
        (Some(path), Format::Auto) => build.by_content(path),
        (Some(path), format) => build.asked_for(format, vec![path.clone()]),
        (None, Format::Auto) => build.found(),
        (None, format) => build.asked_for(format, build.looked_for(format)),
    }?;
    build.add_others(&mut names);
    Ok(names)
}

/// Readers that may be asked for a wish.
fn readers_of(format: Format) -> impl Iterator<Item = &'static Reader> {
    READERS.iter().filter(move |reader| format == Format::Auto || reader.format == format)
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
                    Ok(names) => return Ok(taken(reader, path, Decided::AskedFor, names)),
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
                Ok(names) => return Ok(taken(reader, path, Decided::ByContent, names)),
                Err(cause) => causes.push(format!("{}: {cause}", reader.tool)),
            }
        }
        Err(UnreadableNames::Unknown { path: path.to_owned(), causes })
    }

    /// Paths at which files of a format are looked for: its usual places, then the same below folders of the build.
    fn looked_for(&self, format: Format) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        let usual = readers_of(format).flat_map(|reader| reader.places).map(|place| place.path);
        let below = find::candidates(self.files).into_iter().filter(|candidate| candidate.reader.format == format);
        for path in usual.chain(below.map(|candidate| candidate.path)) {
            if !all.iter().any(|known| known == path) {
                all.push(path.to_owned());
            }
        }
        all
    }

    /// Looks at the usual places, at the top first.
    fn found(&self) -> Result<BuildNames, UnreadableNames> {
        let mut passed_over: Vec<String> = Vec::new();
        for Candidate { reader, place, path, depth } in find::candidates_of_any_size(self.files) {
            let read = match (self.bytes(path), place.used_by) {
                (Ok(None), _) => continue,
                (Ok(Some(bytes)), _) => self.ask(reader, path, bytes),
                (Err(too_large), UsedBy::Others) => Ok(Err(too_large.to_string())),
                (Err(too_large), UsedBy::TheTool) => return Err(too_large),
            };
            match (read, place.used_by) {
                (Ok(Ok(names)), _) => {
                    let mut build = taken(reader, path, Decided::UsualPlace, names);
                    build.reading.passed_over = passed_over;
                    return Ok(build);
                }
                // Below a folder many names are the same as a tool's, and most are something else.
                (_, UsedBy::Others) if depth > 0 => {}
                (Err(unreadable), _) => return Err(unreadable),
                (Ok(Err(cause)), UsedBy::Others) => passed_over.push(format!("{path:?} is not of {}: {cause}", reader.tool)),
                (Ok(Err(cause)), UsedBy::TheTool) => {
                    return Err(UnreadableNames::Malformed { path: path.to_owned(), format: reader.format, cause });
                }
            }
        }
        let mut build = BuildNames::none(Decided::NothingFound);
        build.reading.passed_over = passed_over;
        Ok(build)
    }

    /// Adds what other lists of the build say. One that cannot be read is no reason to refuse a build whose names are known.
    fn add_others(&self, build: &mut BuildNames) {
        let mut read: BTreeSet<String> = build.reading.path.iter().cloned().collect();
        for candidate in find::candidates(self.files) {
            let Ok(Some(bytes)) = self.bytes(candidate.path) else { continue };
            if read.contains(candidate.path) {
                continue;
            }
            if let Ok(Ok(names)) = self.ask(candidate.reader, candidate.path, bytes) {
                read.insert(candidate.path.to_owned());
                build.absorb(candidate.reader, candidate.path, names);
            }
        }
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
        if has_too_many_entries(bytes) {
            return Ok(Err(format!(
                "it has more than {ENTRIES_MAX} entries, the most that are read; let the tool write less, or set manifest.format to Folder"
            )));
        }
        match (reader.read)(&Input { path, bytes: bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes), paths: &self.paths }) {
            Ok(names) => Ok(Ok(names)),
            Err(Unsuitable::AnotherFormat(cause)) => Ok(Err(cut(&cause))),
            Err(Unsuitable::Ambiguous { name, files }) => Err(UnreadableNames::Ambiguous { path: path.to_owned(), name, files }),
        }
    }
}

/// Below a folder a file of such a name may be one that a page of the site fetches (a report of the bundle): it is published, whatever it is.
fn is_at_the_top(path: &str) -> bool {
    !path.contains('/')
}

fn taken(reader: &Reader, path: &str, decided: Decided, names: Names) -> BuildNames {
    let mut reading = Reading::of(reader.format, Some(path.to_owned()), decided);
    reading.tool = (reader.format == Format::Auto).then(|| reader.tool.to_owned());
    BuildNames::of(reading, names)
}

/// Whatever the format: between two entries stands a comma.
fn has_too_many_entries(bytes: &[u8]) -> bool {
    bytes.split(|byte| *byte == b',').nth(ENTRIES_MAX + 1).is_some()
}

/// A parser's complaint may quote the file.
fn cut(cause: &str) -> String {
    shown(cause, CAUSE_CHARS_MAX)
}
