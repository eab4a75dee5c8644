//! The manifest: the list of files of one build, in its canonical form. A build's identity is the hash of these bytes as they
//! are stored; never re-encode a manifest that was read.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::api::{ContentHash, ManifestDigest};

/// Version of the document's format that this build writes and reads.
pub const FORMAT: i32 = 1;

/// Largest manifest that is read: 200,000 files at about 300 bytes each are 60 MB.
pub const MANIFEST_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Characters that would end or change a URL's path.
const NOT_IN_A_PATH: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'<').add(b'>').add(b'?').add(b'`').add(b'{').add(b'}');

/// The list of files of one build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Version of this document's format.
    pub manifest_version: i32,
    /// The files, sorted by path; no path twice.
    pub files: Vec<ManifestFile>,
}

/// One file of a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestFile {
    /// Path in the build and, below the release's prefix, the key that a browser asks for. No leading `/`.
    pub path: String,
    /// Key of the immutable object that holds the bytes, below the release's prefix.
    pub key: String,
    /// Length in bytes.
    pub size: u64,
    /// Hash of the bytes.
    pub sha256: ContentHash,
    /// `Content-Type` header.
    pub content_type: String,
    /// `Cache-Control` header.
    pub cache_control: String,
    /// Whether the bytes at `path` may ever change.
    pub class: Class,
    /// The name that an application asks for, when the build tool gave one (for Vite the source path).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logical_name: Option<String>,
}

/// Whether the bytes behind a path may ever change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Class {
    /// A file with a content hash in its name: cached for ever, written before anything refers to it.
    Asset,
    /// Any other file (html, `favicon.ico`, `robots.txt`): short cache, written last.
    Entry,
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
    /// Other bytes than the digest says.
    #[error("the manifest's bytes have the digest {actual}, expected {expected}")]
    WrongDigest {
        /// What was asked for.
        expected: ManifestDigest,
        /// What came.
        actual: ManifestDigest,
    },
}

impl Manifest {
    /// A manifest of these files, sorted.
    #[must_use]
    pub fn new(mut files: Vec<ManifestFile>) -> Self {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Self { manifest_version: FORMAT, files }
    }

    /// The canonical bytes: compact JSON, fields in the order of declaration, files by path.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a manifest has only strings and numbers")
    }

    /// Reads stored bytes that must have this digest.
    ///
    /// # Errors
    /// When the bytes have another digest, are not a manifest, or are of an unknown format.
    pub fn parse(stored: &[u8], expected: &ManifestDigest) -> Result<Self, InvalidManifest> {
        let actual = ManifestDigest::of(stored);
        if actual != *expected {
            return Err(InvalidManifest::WrongDigest { expected: expected.clone(), actual });
        }
        let manifest: Self = serde_json::from_slice(stored).map_err(|error| InvalidManifest::Malformed(error.to_string()))?;
        if manifest.manifest_version == FORMAT { Ok(manifest) } else { Err(InvalidManifest::UnknownFormat(manifest.manifest_version)) }
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

    /// The name map: logical name (the path, where the build tool gave none) to URL. Only assets: pages are not referred to by hash.
    #[must_use]
    pub fn name_map(&self, base_url: &str) -> String {
        let names: BTreeMap<&str, String> = self
            .of_class(Class::Asset)
            .map(|file| {
                (
                    file.logical_name.as_deref().unwrap_or(&file.path),
                    format!("{base_url}{}", utf8_percent_encode(&file.path, NOT_IN_A_PATH)),
                )
            })
            .collect();
        serde_json::to_string(&names).expect("a map of strings is JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, logical_name: Option<&str>) -> ManifestFile {
        ManifestFile {
            path: path.into(),
            key: path.into(),
            size: 3,
            sha256: ContentHash::of(path.as_bytes()),
            content_type: "text/javascript; charset=utf-8".into(),
            cache_control: "public, max-age=31536000, immutable".into(),
            class: Class::Asset,
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
