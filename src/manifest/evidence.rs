//! Why the bytes behind a name are believed to stay for ever: without evidence they are not.
//! Never takes the shape of one name for evidence. What is decided here follows from the build alone, so that every program that reads the
//! same build makes the same manifest, whatever lies in the store.

use std::collections::{BTreeMap, BTreeSet};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use serde::{Deserialize, Serialize};

use super::classify;
use super::readers::BuildNames;
use super::{Class, Manifest};

mod digest;
mod sets;

pub use digest::{Hashing, is_candidate, is_proven_by_sha256};
pub use sets::{Seen, by_set};

/// Patterns that one release may have of each kind.
pub const PATTERNS_MAX: usize = 64;

/// What says that a file's bytes stay, or that they do not. The words are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Evidence {
    /// `spec.build.immutable` or `spec.build.unversioned`, or the options of the same names.
    Declared,
    /// The build tool's manifest says that the name carries a hash.
    ToolManifest,
    /// The file lies in a folder into which a tool puts nothing but hashed files.
    ToolFolder,
    /// The name carries the beginning of a digest of the bytes.
    Digest,
    /// The name is one of a set of names of one folder, of which the version before had others. It depends on what was published before,
    /// so it stands in no manifest: the file stays an unversioned one, whose public copy may be cached for ever.
    Set,
}

impl Evidence {
    /// The word in messages: `the build tool's manifest lists it as hashed`.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Declared => "spec.build.immutable (or --immutable) names it",
            Self::ToolManifest => "the build tool's manifest lists it, or names of its form, as hashed",
            Self::ToolFolder => "it lies in a folder into which its build tool puts only hashed files",
            Self::Digest => "its name carries the beginning of a digest of its bytes",
            Self::Set => "its name was one of a set of hashed names of its folder",
        }
    }
}

/// Folders whose files are hashed by their tool's contract, and what of them is not.
const TOOL_FOLDERS: [(&str, &[&str]); 4] = [("_next/static/", &[]), ("_app/immutable/", &[]), ("_nuxt/", &["builds/"]), ("_astro/", &[])];

/// Whether a path lies in such a folder, at the top of the build or within another folder.
#[must_use]
pub fn is_in_tool_folder(path: &str) -> bool {
    let below = |folder: &str| {
        let begins = path.match_indices(folder).map(|(at, _)| at).find(|at| *at == 0 || path.as_bytes()[at - 1] == b'/')?;
        Some(&path[begins + folder.len()..])
    };
    let is_one = |(folder, but): &(&str, &[&str])| {
        below(folder).is_some_and(|rest| !but.iter().any(|part| rest.starts_with(part)) && !is_of_a_named_build(folder, rest))
    };
    TOOL_FOLDERS.iter().any(is_one)
}

/// What Next puts into a folder with the build's own name. By itself it makes that up anew for each build; with `generateBuildId` a person
/// says it, perhaps the same one each time, and no name in the folder changes with the bytes.
fn is_of_a_named_build(folder: &str, rest: &str) -> bool {
    /// Folders of Next's own.
    const HASHED: [&str; 7] = ["chunks", "css", "media", "image", "wasm", "runtime", "immutable"];
    const MADE_UP_CHARS: usize = 21;
    let Some((build, _)) = rest.split_once('/').filter(|_| folder == "_next/static/") else { return false };
    let is_made_up = build.len() == MADE_UP_CHARS && sets::changes_of_kind(build) >= 4;
    !is_made_up && !HASHED.contains(&build)
}

/// What a person says about files whose names say too little or too much. Patterns: `*` stays within a folder, `**` does not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    /// Files whose bytes never change under their names.
    pub immutable: Vec<String>,
    /// Files whose bytes may; of a file that both name, this counts.
    pub unversioned: Vec<String>,
}

/// A pattern that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{pattern:?} is not a pattern of paths: {cause}; correct spec.build.immutable or spec.build.unversioned (--immutable, --unversioned)"
)]
pub struct InvalidPattern {
    /// As it was given.
    pub pattern: String,
    /// What is wrong.
    pub cause: String,
}

impl InvalidPattern {
    /// A stable name for conditions, events and metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        "InvalidPattern"
    }
}

/// Everything that is known about a build's names.
pub struct Vouchers<'a> {
    names: &'a BuildNames,
    immutable: GlobSet,
    unversioned: GlobSet,
    /// Paths that a digest proves, beyond those that their sha256 proves.
    proven: BTreeSet<String>,
}

impl<'a> Vouchers<'a> {
    /// What the build tool says, and what a person says.
    ///
    /// # Errors
    /// When a pattern is none.
    pub fn new(names: &'a BuildNames, declared: &Declared) -> Result<Self, InvalidPattern> {
        let (immutable, unversioned) = (patterns(&declared.immutable)?, patterns(&declared.unversioned)?);
        Ok(Self { names, immutable, unversioned, proven: BTreeSet::new() })
    }

    /// What the build tool says, alone.
    #[must_use]
    pub fn of_names(names: &'a BuildNames) -> Self {
        Self { names, immutable: GlobSet::empty(), unversioned: GlobSet::empty(), proven: BTreeSet::new() }
    }

    /// A digest of the file's bytes stands in its path.
    pub fn prove(&mut self, path: String) {
        self.proven.insert(path);
    }

    /// Whether only a digest of the bytes can vouch for a file any more, and one may stand in its path.
    #[must_use]
    pub fn asks_for_digests(&self, path: &str, sha256: &[u8]) -> bool {
        self.judge(path, sha256) == (Class::Unversioned, None) && !classify::is_beside_a_script(path) && is_candidate(path)
    }

    /// What a file is, and why.
    #[must_use]
    pub fn judge(&self, path: &str, sha256: &[u8]) -> (Class, Option<Evidence>) {
        let immutable = |evidence| (Class::Asset, Some(evidence));
        match () {
            // A page under a name that never changes would be the last one that a visitor sees.
            () if classify::is_page(path) => (Class::Entry, None),
            () if self.unversioned.is_match(path) => (Class::Unversioned, Some(Evidence::Declared)),
            () if self.immutable.is_match(path) => immutable(Evidence::Declared),
            () if classify::is_beside_a_script(path) => (Class::Unversioned, None),
            () if self.names.names.hashed.contains(path) => immutable(Evidence::ToolManifest),
            () if is_in_tool_folder(path) => immutable(Evidence::ToolFolder),
            () if classify::is_entry(path) || self.names.reading.path.as_deref() == Some(path) => (Class::Entry, None),
            () if is_proven_by_sha256(path, sha256) || self.proven.contains(path) => immutable(Evidence::Digest),
            () => (Class::Unversioned, None),
        }
    }
}

fn patterns(given: &[String]) -> Result<GlobSet, InvalidPattern> {
    let invalid = |pattern: &str, error: &globset::Error| InvalidPattern { pattern: pattern.to_owned(), cause: error.kind().to_string() };
    let mut set = GlobSetBuilder::new();
    for pattern in given {
        set.add(GlobBuilder::new(pattern).literal_separator(true).build().map_err(|error| invalid(pattern, &error))?);
    }
    set.build().map_err(|error| invalid("", &error))
}

/// How many files of a manifest are immutable by which evidence. `by_set`: paths that a set vouches for.
#[must_use]
pub fn counts(manifest: &Manifest, by_set: &BTreeSet<String>) -> BTreeMap<Evidence, u64> {
    let mut counts = BTreeMap::new();
    for file in &manifest.files {
        let evidence = match file.class {
            Class::Asset => file.evidence,
            Class::Unversioned => by_set.contains(&file.path).then_some(Evidence::Set),
            Class::Entry => None,
        };
        if let Some(evidence) = evidence {
            *counts.entry(evidence).or_default() += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests;
