//! Makes the manifest of a build out of its files.
//! Never looks at bytes: the files' hashes are known, and what refers to what is `closure`'s business.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::evidence::{Evidence, Vouchers};
use super::headers::TypesOfBytes;
use super::readers::BuildNames;
use super::{Class, MANIFEST_BYTES_MAX, Manifest, ManifestFile};
use super::{headers, variant};
use crate::api::{ContentHash, ManifestDigest};

/// Largest file whose bytes may change under its name. Such files are copied through memory to their public key, which must be
/// quick, since pages change in that moment; what is larger needs a name of which something proves that its bytes stay.
pub const ENTRY_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A file of a build: what is known of it before it has headers and a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    /// Path in the build.
    pub path: String,
    /// Length in bytes.
    pub size: u64,
    /// Hash of the bytes.
    pub sha256: ContentHash,
}

/// A build that cannot be published as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBuild {
    /// Nothing to publish.
    #[error("the build has no files")]
    NoFiles,
    /// Too many files.
    #[error("the build's manifest would have {bytes} bytes, more than {MANIFEST_BYTES_MAX}: the build has too many files")]
    TooManyFiles {
        /// Length of the manifest in bytes.
        bytes: u64,
    },
    /// A large file whose bytes may change.
    #[error(
        "{path:?} has {size} bytes, more than {ENTRY_BYTES_MAX}, the most for a file whose bytes may change: nothing proves that they stay under this name; let the build tool's manifest list it under a hashed name, or declare it with spec.build.immutable (--immutable {path:?})"
    )]
    EntryTooLarge {
        /// The file.
        path: String,
        /// Its length in bytes.
        size: u64,
    },
}

/// A build's manifest and its identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assembled {
    /// What was made.
    pub manifest: Manifest,
    /// Length in bytes as it is stored.
    pub stored_size: u64,
    /// Of the bytes as they are stored.
    pub digest: ManifestDigest,
}

/// Files that build tools and desktops leave behind and that nobody asks for: left out of the manifest and of the upload.
/// `.vite/` is read for names before. What else a build tool's reader leaves out, it says itself. Other dot files are published: `.well-known/` is one of them.
#[must_use]
pub fn is_left_out(path: &str) -> bool {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    path.split('/').any(|part| matches!(part, "__MACOSX" | ".vite")) || name == ".DS_Store" || name.starts_with("._")
}

/// Whether a file of a build that was read so is left out of its manifest.
#[must_use]
pub fn leaves_out(build: &BuildNames, path: &str) -> bool {
    is_left_out(path) || build.leaves_out(path)
}

/// The manifest of these files, as far as names and hashes tell.
///
/// # Errors
/// When the build cannot be published as it is.
pub fn assemble(files: Vec<NewFile>, build: &BuildNames) -> Result<Assembled, InvalidBuild> {
    assemble_with(files, build, &Vouchers::of_names(build), &TypesOfBytes::default())
}

/// The manifest of these files, with all that vouches for their names and with what their bytes say of their types.
///
/// # Errors
/// When the build cannot be published as it is.
pub fn assemble_with(
    files: Vec<NewFile>,
    build: &BuildNames,
    vouchers: &Vouchers<'_>,
    types: &TypesOfBytes,
) -> Result<Assembled, InvalidBuild> {
    let files: Vec<_> = files.into_iter().filter(|file| !leaves_out(build, &file.path)).collect();
    let variants = variants(&files);
    let hashes: BTreeMap<String, ContentHash> = originals(&files, &variants);
    let mut listed = Vec::with_capacity(files.len());
    for (file, is_variant) in files.into_iter().zip(variants) {
        // A variant goes with its original in everything: class, type, and the moment in which it is written.
        let original = if is_variant { variant::original(&file.path).map(|(original, _)| original) } else { None };
        let like = original.unwrap_or(&file.path);
        let hash = hashes.get(like).filter(|_| is_variant).unwrap_or(&file.sha256);
        let (class, evidence) = vouchers.judge(like, hash.as_bytes());
        let content_type = types.of(like);
        if !class.lies_at_its_path() && file.size > ENTRY_BYTES_MAX {
            return Err(InvalidBuild::EntryTooLarge { path: file.path, size: file.size });
        }
        let logical_name = build.names.logical.get(&file.path).map(|name| name.as_str().into());
        listed.push(manifest_file(file, (class, evidence), content_type, logical_name));
    }
    if listed.is_empty() {
        return Err(InvalidBuild::NoFiles);
    }
    let manifest = Manifest::new(listed);
    match manifest.identity() {
        (bytes, _) if bytes > MANIFEST_BYTES_MAX => Err(InvalidBuild::TooManyFiles { bytes }),
        (stored_size, digest) => Ok(Assembled { manifest, stored_size, digest }),
    }
}

/// For each file whether its original is among them.
fn variants(files: &[NewFile]) -> Vec<bool> {
    let originals: BTreeSet<&str> = files.iter().filter_map(|file| variant::original(&file.path)).map(|(original, _)| original).collect();
    let there: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).filter(|path| originals.contains(path)).collect();
    files.iter().map(|file| variant::original(&file.path).is_some_and(|(original, _)| there.contains(original))).collect()
}

/// The hashes of files that have variants.
fn originals(files: &[NewFile], variants: &[bool]) -> BTreeMap<String, ContentHash> {
    let of_variants = files.iter().zip(variants).filter(|(_, is_variant)| **is_variant);
    let wanted: BTreeSet<&str> = of_variants.filter_map(|(file, _)| variant::original(&file.path)).map(|(original, _)| original).collect();
    let there = files.iter().filter(|file| wanted.contains(file.path.as_str()));
    there.map(|file| (file.path.clone(), file.sha256.clone())).collect()
}

fn manifest_file(
    file: NewFile,
    (class, evidence): (Class, Option<Evidence>),
    content_type: &'static str,
    logical_name: Option<Box<str>>,
) -> ManifestFile {
    ManifestFile {
        content_type: Cow::Borrowed(content_type),
        path: file.path,
        size: file.size,
        sha256: file.sha256,
        cache_control: Cow::Borrowed(headers::cache_control(class)),
        class,
        evidence,
        logical_name,
    }
}

impl InvalidBuild {
    /// A stable name for conditions, events and metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoFiles => "EmptyBuild",
            Self::TooManyFiles { .. } => "TooManyFiles",
            Self::EntryTooLarge { .. } => "EntryTooLarge",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::BuildManifestSpec;
    use crate::manifest::object;
    use crate::manifest::readers::{self, Decided};
    use crate::manifest::variant::Encoding;

    fn new(path: &str, size: u64) -> NewFile {
        NewFile { path: path.into(), size, sha256: ContentHash::of(path.as_bytes()) }
    }

    fn no_names() -> BuildNames {
        BuildNames::none(Decided::NothingFound)
    }

    #[test]
    fn entries_lie_under_their_hash_and_assets_under_their_path() {
        let files = [new("index.html", 1), new("assets/a-lowercas.js", 2), new(".vite/manifest.json", 3), new("x/.DS_Store", 4)];
        let text = BTreeMap::from([(".vite/manifest.json".to_owned(), r#"{"src/a.ts":{"file":"assets/a-lowercas.js"}}"#)]);
        let names = readers::read(&BuildManifestSpec::default(), &files, &text).unwrap();
        let manifest = assemble(files.to_vec(), &names).unwrap().manifest;
        let brief: Vec<_> = manifest.files.iter().map(|file| (file.path.as_str(), file.class, file.logical_name.as_deref())).collect();
        assert_eq!(brief, [("assets/a-lowercas.js", Class::Asset, Some("src/a.ts")), ("index.html", Class::Entry, None)]);
        assert_eq!(manifest.files[0].key(), "assets/a-lowercas.js");
        assert_eq!(manifest.files[0].cache_control, object::IMMUTABLE);
        assert_eq!(manifest.files[1].key(), format!(".rollcall/entries/{}", ContentHash::of(b"index.html")));
        assert_eq!(manifest.files[1].cache_control, object::REVALIDATE);
    }

    #[test]
    fn a_variant_goes_with_its_original_and_a_file_that_only_looks_like_one_by_itself() {
        let paths = ["_astro/a.js", "_astro/a.js.br", "_astro/b.js.gz", "data.json", "data.json.gz", "index.html", "index.html.br"];
        let manifest = assemble(paths.iter().map(|path| new(path, 1)).collect(), &no_names()).unwrap().manifest;
        let brief: Vec<_> = manifest.files.iter().map(|file| (file.class, &*file.content_type, file.encoding())).collect();
        let (script, json, page) = ("text/javascript; charset=utf-8", "application/json; charset=utf-8", "text/html; charset=utf-8");
        let expected = [
            (Class::Asset, script, None),
            (Class::Asset, script, Some(Encoding::Brotli)),
            (Class::Asset, "application/gzip", None),
            (Class::Unversioned, json, None),
            (Class::Unversioned, json, Some(Encoding::Gzip)),
            (Class::Entry, page, None),
            (Class::Entry, page, Some(Encoding::Brotli)),
        ];
        assert_eq!(brief, expected);
        let stored = manifest.to_bytes();
        let read = Manifest::parse(&stored, &crate::api::ManifestDigest::of(&stored)).unwrap();
        assert_eq!(read, manifest);
        assert!(read.files.iter().all(|file| matches!(file.content_type, Cow::Borrowed(_))), "types of our own tables are not copied");
        assert_eq!(read.name_map("/"), r#"{"_astro/a.js":"/_astro/a.js","_astro/b.js.gz":"/_astro/b.js.gz"}"#);
    }

    #[test]
    fn builds_that_cannot_be_published_are_refused() {
        assert_eq!(assemble(vec![new(".vite/manifest.json", 3)], &no_names()), Err(InvalidBuild::NoFiles));
        let large = assemble(vec![new("film.mp4", ENTRY_BYTES_MAX + 1)], &no_names());
        assert_eq!(large, Err(InvalidBuild::EntryTooLarge { path: "film.mp4".into(), size: ENTRY_BYTES_MAX + 1 }));
        assert!(assemble(vec![new("_astro/film.mp4", ENTRY_BYTES_MAX + 1)], &no_names()).is_ok());
    }
}
