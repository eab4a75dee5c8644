//! Small manifests for the tests of this folder.

use crate::api::{ContentHash, ManifestDigest};
use crate::manifest::{Class, Manifest, ManifestFile};

/// The stored bytes of a build of assets of three bytes each.
pub fn manifest(paths: &[&str]) -> Vec<u8> {
    Manifest::new(paths.iter().map(|path| file(path, Class::Asset, "public, max-age=31536000, immutable")).collect()).to_bytes()
}

/// One file.
pub fn file(path: &str, class: Class, cache_control: &str) -> ManifestFile {
    let sha256 = ContentHash::of(path.as_bytes());
    ManifestFile {
        path: path.into(),
        size: 3,
        sha256,
        content_type: "text/javascript; charset=utf-8".into(),
        cache_control: cache_control.to_owned().into(),
        class,
        evidence: None,
        logical_name: None,
    }
}

/// Its digest.
pub fn digest_of(stored: &[u8]) -> ManifestDigest {
    ManifestDigest::of(stored)
}
