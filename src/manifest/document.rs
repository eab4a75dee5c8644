//! The manifest: the list of files of one build, in its canonical form. A build's identity is the hash of these bytes as they
//! are stored; never re-encode a manifest that was read.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::evidence::Evidence;
use super::variant::{self, Encoding};
use super::{headers, object, urls};
use crate::api::{ContentHash, ManifestDigest};

mod encode;
mod scan;

pub use encode::Encoded;
pub use scan::ManifestLine;

/// Version of the document's format that this build writes and reads.
pub const FORMAT: i32 = 1;

/// Largest manifest that is read: 200,000 files at about 190 bytes each are 38 MB.
pub const MANIFEST_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The list of files of one build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Version of this document's format.
    pub manifest_version: i32,
    /// The files, sorted by path; no path twice.
    pub files: Vec<ManifestFile>,
}

/// One file of a build. Kept small: there may be 200,000. Texts that our own tables know are not copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestFile {
    /// Path in the build and, below the release's prefix, the key that a browser asks for. No leading `/`.
    pub path: String,
    /// Length in bytes.
    pub size: u64,
    /// Hash of the bytes.
    pub sha256: ContentHash,
    /// `Content-Type` header.
    pub content_type: Cow<'static, str>,
    /// `Cache-Control` header.
    pub cache_control: Cow<'static, str>,
    /// Whether the bytes at `path` may ever change.
    pub class: Class,
    /// What says so, if something does. Absent in manifests of older programs.
    pub evidence: Option<Evidence>,
    /// The name that an application asks for, when the build tool gave one (for Vite the source path).
    pub logical_name: Option<Box<str>>,
}

impl ManifestFile {
    /// How the bytes are encoded, if the file is another one's variant that was compressed beforehand.
    #[must_use]
    pub fn encoding(&self) -> Option<Encoding> {
        variant::encoding(&self.path, &self.content_type)
    }

    fn is_in_the_name_map(&self) -> bool {
        match self.class {
            Class::Asset => true,
            Class::Unversioned => self.logical_name.is_some(),
            Class::Entry => false,
        }
    }

    /// Key of the immutable object that holds the bytes, below the release's prefix: an asset lies at its own path, any other
    /// file, whose path may get other bytes with the next version, under its hash.
    #[must_use]
    pub fn key(&self) -> Cow<'_, str> {
        match self.class {
            Class::Asset => Cow::Borrowed(&self.path),
            Class::Entry | Class::Unversioned => Cow::Owned(object::entry_object_key(&self.sha256)),
        }
    }
}

/// A file as it stands in the document. What follows from the class is left out: at 200,000 files that is 20 MB.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    #[serde(borrow)]
    path: Cow<'a, str>,
    size: u64,
    sha256: ContentHash,
    #[serde(borrow)]
    content_type: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    cache_control: Option<Cow<'a, str>>,
    class: StoredClass,
    /// Older readers pass it over, and take the file for an entry file: written with the flip, answered from the served version alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    unversioned: bool,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "known_evidence")]
    evidence: Option<Evidence>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    logical_name: Option<Cow<'a, str>>,
}

impl Serialize for ManifestFile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let differs = self.cache_control != headers::cache_control(self.class);
        let line = Line {
            path: Cow::Borrowed(&self.path),
            size: self.size,
            sha256: self.sha256.clone(),
            content_type: Cow::Borrowed(&self.content_type),
            cache_control: differs.then_some(Cow::Borrowed(&self.cache_control)),
            class: self.class.stored(),
            unversioned: self.class == Class::Unversioned,
            evidence: self.evidence,
            logical_name: self.logical_name.as_deref().map(Cow::Borrowed),
        };
        line.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ManifestFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let line = Line::deserialize(deserializer)?;
        let class = Class::from((line.class, line.unversioned));
        let usual = [line.path.as_ref(), variant::original(&line.path).map_or("", |(original, _)| original)].map(headers::content_type);
        Ok(Self {
            content_type: match usual.into_iter().find(|usual| line.content_type == *usual) {
                Some(usual) => Cow::Borrowed(usual),
                None => Cow::Owned(line.content_type.into_owned()),
            },
            cache_control: match line.cache_control {
                Some(other) => Cow::Owned(other.into_owned()),
                None => Cow::Borrowed(headers::cache_control(class)),
            },
            path: line.path.into_owned(),
            size: line.size,
            sha256: line.sha256,
            class,
            evidence: line.evidence,
            logical_name: line.logical_name.map(|name| name.into_owned().into_boxed_str()),
        })
    }
}

/// Whether the bytes behind a path may ever change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A file of which something proves that its bytes stay under its name: cached for ever, written before anything refers to it.
    Asset,
    /// A page, a service worker, a list of files: short cache, written last.
    Entry,
    /// Any other file (`favicon.ico`, `robots.txt`, a picture, a source map, what only looks hashed): short cache, at its public key
    /// before any page of its version, replaced with the flip.
    Unversioned,
}

/// For how long caches may keep what lies at the public key of a file that is no asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publicly {
    /// A set vouches for its name.
    ForEver,
    /// As the file's `Cache-Control` says.
    ForNow,
}

/// The class as it stands in a document: two words, which all readers know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum StoredClass {
    Asset,
    Entry,
}

impl Class {
    fn stored(self) -> StoredClass {
        match self {
            Self::Asset => StoredClass::Asset,
            Self::Entry | Self::Unversioned => StoredClass::Entry,
        }
    }

    /// Whether the bytes lie at the file's own path: not of files that may get others.
    #[must_use]
    pub fn lies_at_its_path(self) -> bool {
        self.stored() == StoredClass::Asset
    }
}

/// From the two members of a line: an older program knows two classes and ignores `unversioned`.
impl From<(StoredClass, bool)> for Class {
    fn from(members: (StoredClass, bool)) -> Self {
        match members {
            (StoredClass::Asset, _) => Self::Asset,
            (StoredClass::Entry, false) => Self::Entry,
            (StoredClass::Entry, true) => Self::Unversioned,
        }
    }
}

/// A word that a newer program wrote says only that there is evidence which is not known here.
fn known_evidence<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Evidence>, D::Error> {
    let word = Option::<Cow<'de, str>>::deserialize(deserializer)?;
    Ok(word.and_then(|word| Evidence::deserialize(serde::de::value::StrDeserializer::<D::Error>::new(&word)).ok()))
}

/// Bytes that are not a manifest this build can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidManifest {
    /// Not the JSON of a manifest.
    #[error("not a manifest: {0}")]
    Malformed(String),
    /// Written by a newer Rollcall.
    #[error("manifest format {0} is not known here (this build knows {FORMAT})")]
    UnknownFormat(i32),
    /// Other bytes than the digest says. Which ones is not told: messages end in a status.
    #[error("the manifest's bytes do not have the digest {expected}")]
    WrongDigest {
        /// What was asked for.
        expected: ManifestDigest,
    },
}

impl Manifest {
    /// A manifest of these files, sorted.
    #[must_use]
    pub fn new(mut files: Vec<ManifestFile>) -> Self {
        // In place: no path is there twice.
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Self { manifest_version: FORMAT, files }
    }

    /// Reads stored bytes that must have this digest.
    ///
    /// # Errors
    /// When the bytes have another digest, are not a manifest, or are of an unknown format.
    pub fn parse(stored: &[u8], expected: &ManifestDigest) -> Result<Self, InvalidManifest> {
        check_digest(stored, expected)?;
        let manifest: Self = serde_json::from_slice(stored).map_err(|error| InvalidManifest::Malformed(error.to_string()))?;
        check_format(manifest.manifest_version)?;
        Ok(manifest)
    }

    /// Looks through stored bytes that must have this digest, without building the manifest up.
    ///
    /// # Errors
    /// As [`Self::parse`]; some files may have been told by then.
    pub fn scan(stored: &[u8], expected: &ManifestDigest, mut each: impl FnMut(&ManifestLine<'_>)) -> Result<(), InvalidManifest> {
        check_digest(stored, expected)?;
        let format = scan::document(stored, &mut each).map_err(|error| InvalidManifest::Malformed(error.to_string()))?;
        check_format(format)
    }

    /// Whether a page of the build lies at this path.
    #[must_use]
    pub fn has_page(&self, path: &str) -> bool {
        let at = self.files.binary_search_by(|file| file.path.as_str().cmp(path));
        at.is_ok_and(|at| self.files[at].class == Class::Entry)
    }

    /// Files of one class, by path.
    pub fn of_class(&self, class: Class) -> impl Iterator<Item = &ManifestFile> {
        self.files.iter().filter(move |file| file.class == class)
    }

    /// Sum of all sizes in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// The name map: logical name (the path, where the build tool gave none) to URL. Assets, and unversioned files to which the build tool
    /// gave a name: pages are not referred to by hash. No variants: whoever serves a file chooses among those.
    #[must_use]
    pub fn name_map(&self, base_url: &str) -> String {
        let names: BTreeMap<&str, String> = self
            .files
            .iter()
            .filter(|file| file.encoding().is_none() && file.is_in_the_name_map())
            .map(|file| (file.logical_name.as_deref().unwrap_or(&file.path), format!("{base_url}{}", urls::escaped(&file.path))))
            .collect();
        serde_json::to_string(&names).expect("a map of strings is JSON")
    }
}

fn check_digest(stored: &[u8], expected: &ManifestDigest) -> Result<(), InvalidManifest> {
    let actual = ManifestDigest::of(stored);
    if actual == *expected { Ok(()) } else { Err(InvalidManifest::WrongDigest { expected: expected.clone() }) }
}

fn check_format(format: i32) -> Result<(), InvalidManifest> {
    if format == FORMAT { Ok(()) } else { Err(InvalidManifest::UnknownFormat(format)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, logical_name: Option<&str>) -> ManifestFile {
        ManifestFile {
            path: path.into(),
            size: 3,
            sha256: ContentHash::of(path.as_bytes()),
            content_type: "text/javascript; charset=utf-8".into(),
            cache_control: "public, max-age=31536000, immutable".into(),
            class: Class::Asset,
            evidence: None,
            logical_name: logical_name.map(Into::into),
        }
    }

    #[test]
    fn the_same_files_in_another_order_are_the_same_build() {
        let one = Manifest::new(vec![file("b.js", None), file("a.js", None)]);
        let other = Manifest::new(vec![file("a.js", None), file("b.js", None)]);
        assert_eq!(ManifestDigest::of(&one.to_bytes()), ManifestDigest::of(&other.to_bytes()));
        assert_eq!(one.bytes(), 6);
    }

    #[test]
    fn pieces_make_the_same_bytes_as_the_whole() {
        let many = |count: usize| Manifest::new((0..count).map(|number| file(&format!("{number:05}.js"), Some("a"))).collect());
        for manifest in [0, 1, 2, 1000].map(many) {
            let (whole, pieces) = (manifest.to_bytes(), Encoded::new(&manifest).collect::<Vec<_>>());
            assert_eq!(pieces.concat(), whole);
            assert_eq!(manifest.identity(), (whole.len() as u64, ManifestDigest::of(&whole)));
            assert!(pieces.iter().all(|piece| piece.len() < 70_000) && pieces.len() == whole.len() / 65_000 + 1, "{}", pieces.len());
        }
    }

    #[test]
    fn bytes_of_another_digest_are_refused() {
        let stored = Manifest::new(vec![file("a.js", None)]).to_bytes();
        let digest = ManifestDigest::of(&stored);
        assert!(Manifest::parse(&stored, &digest).is_ok());
        let mut spoiled = stored.clone();
        spoiled[20] ^= 1;
        assert!(matches!(Manifest::parse(&spoiled, &digest), Err(InvalidManifest::WrongDigest { .. })));
        let newer = br#"{"manifestVersion":2,"files":[]}"#;
        assert_eq!(Manifest::parse(newer, &ManifestDigest::of(newer)), Err(InvalidManifest::UnknownFormat(2)));
    }

    #[test]
    fn a_path_that_is_no_url_is_escaped_in_the_name_map() {
        let manifest = Manifest::new(vec![file("assets/a b#1?-12345678.js", Some("a"))]);
        assert_eq!(manifest.name_map("https://c/"), r#"{"a":"https://c/assets/a%20b%231%3F-12345678.js"}"#);
    }

    #[test]
    fn the_name_map_goes_from_logical_names_to_urls() {
        let manifest = Manifest::new(vec![file("assets/a-12345678.js", Some("src/a.ts")), file("assets/b-12345678.js", None)]);
        assert_eq!(
            manifest.name_map("https://cdn.example.com/shop/"),
            r#"{"assets/b-12345678.js":"https://cdn.example.com/shop/assets/b-12345678.js","src/a.ts":"https://cdn.example.com/shop/assets/a-12345678.js"}"#
        );
    }
}
