//! Which names in an archive are accepted as paths of a build.
//! Never gives back a path that could lead out of a folder, or that two systems would understand differently.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use unicode_normalization::UnicodeNormalization as _;

use super::refusal::{PathProblem, Refusal};
use crate::manifest::object::OWN_FOLDER;

mod characters;

/// Longest path in bytes: S3's limit for a whole key. With the prefix a path may still be too long; the publish checks that.
pub const PATH_BYTES_MAX: usize = 1024;

/// Longest part of a path in bytes: what common file systems can hold, and pods mirror builds into one.
pub const PART_BYTES_MAX: usize = 255;

/// A checked path of a build: relative, `/` between its parts, no part empty, `.` or `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BuildPath(String);

impl BuildPath {
    /// Checks a name out of an archive. A trailing `/`, empty parts and `.` are dropped.
    ///
    /// # Errors
    /// Says what is wrong with the name, [`PathProblem::Empty`] for the archive's root itself.
    pub fn parse(raw: &[u8]) -> Result<Self, PathProblem> {
        let name = std::str::from_utf8(raw).map_err(|_| PathProblem::NotUtf8)?;
        check_characters(name)?;
        let mut parts = Vec::new();
        for part in name.split('/') {
            match part {
                "" | "." => {}
                ".." => return Err(PathProblem::Parent),
                _ if part.len() > PART_BYTES_MAX => return Err(PathProblem::TooLong),
                _ if is_ours(part) => return Err(PathProblem::Reserved),
                _ => parts.push(part),
            }
        }
        let path = parts.join("/");
        match path.len() {
            0 => Err(PathProblem::Empty),
            length if length > PATH_BYTES_MAX => Err(PathProblem::TooLong),
            _ => Ok(Self(path)),
        }
    }

    /// As it stands in a manifest.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As it stands in a manifest.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Display for BuildPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// However it is spelled.
fn is_ours(part: &str) -> bool {
    let ours = OWN_FOLDER.trim_end_matches('/');
    if part.is_ascii() { part.eq_ignore_ascii_case(ours) } else { folded(part) == ours }
}

fn check_characters(name: &str) -> Result<(), PathProblem> {
    let drive = matches!(name.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
    if name.starts_with('/') || drive {
        return Err(PathProblem::Absolute);
    }
    if name.contains('\\') {
        return Err(PathProblem::Backslash);
    }
    if name.is_ascii() {
        return if name.chars().any(char::is_control) { Err(PathProblem::Control) } else { Ok(()) };
    }
    characters::check(name)
}

/// One form for all spellings that some system takes for the same name: upper and lower case, composed and decomposed.
/// Up and then down again, because only so `ß` and `SS`, or the two small sigmas, meet.
#[must_use]
pub fn folded(name: &str) -> String {
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    // Two names that differ only in what nobody sees look like one.
    let seen = name.chars().filter(|character| !characters::is_joiner(*character));
    seen.nfd().flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfc().collect()
}

/// Finds paths of one build that get into each other's way.
#[derive(Debug, Default)]
pub struct Collisions {
    /// Folded paths, with the path itself where it is another one. There may be 200,000.
    seen: BTreeMap<String, Option<String>>,
}

impl Collisions {
    /// Adds the path of a file.
    ///
    /// # Errors
    /// When the same path, or one that some system takes for the same, was added before.
    pub fn add(&mut self, path: &BuildPath) -> Result<(), Refusal> {
        match self.seen.entry(folded(path.as_str())) {
            Entry::Vacant(free) => {
                let differs = *free.key() != path.0;
                free.insert(differs.then(|| path.0.clone()));
                Ok(())
            }
            Entry::Occupied(taken) => {
                let (one, other) = (taken.get().as_ref().unwrap_or(taken.key()).clone(), path.0.clone());
                Err(if one == other { Refusal::DuplicatePath { path: one } } else { Refusal::CollidingPaths { one, other } })
            }
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// The paths that were added, in the order of their folded forms.
    #[must_use]
    pub fn into_paths(self) -> Vec<String> {
        self.seen.into_iter().map(|(key, path)| path.unwrap_or(key)).collect()
    }

    /// Looks at all files together.
    ///
    /// # Errors
    /// When a file is also the folder of another file.
    pub fn finish(&self) -> Result<(), Refusal> {
        let mut looked_at = "";
        for (key, below) in &self.seen {
            let folder = key.rsplit_once('/').map_or("", |(folder, _)| folder);
            // In order, the files of a folder stand together, but for those of folders in it: each folder is looked for a few times at most.
            if folder == looked_at {
                continue;
            }
            looked_at = folder;
            let ends = folder.match_indices('/').map(|(end, _)| end).chain((!folder.is_empty()).then_some(folder.len()));
            for end in ends {
                if let Some((folded, file)) = self.seen.get_key_value(&key[..end]) {
                    let [file, below] = [(folded, file), (key, below)].map(|(key, path)| path.as_ref().unwrap_or(key).clone());
                    return Err(Refusal::FileIsFolder { file, below });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
