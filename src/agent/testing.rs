//! Small builds for the agent's unit tests.

use crate::api::{ContentHash, ManifestDigest, PointedVersion};
use crate::manifest::{Class, Manifest, ManifestFile, object};

/// An asset with these bytes.
pub(super) fn asset(path: &str, bytes: &[u8]) -> ManifestFile {
    ManifestFile {
        path: path.into(),
        size: bytes.len() as u64,
        sha256: ContentHash::of(bytes),
        content_type: "text/javascript; charset=utf-8".into(),
        cache_control: object::IMMUTABLE.into(),
        class: Class::Asset,
        evidence: None,
        logical_name: None,
    }
}

/// An entry file with these bytes.
pub(super) fn entry(path: &str, bytes: &[u8]) -> ManifestFile {
    ManifestFile {
        content_type: "text/html; charset=utf-8".into(),
        cache_control: object::REVALIDATE.into(),
        class: Class::Entry,
        ..asset(path, bytes)
    }
}

/// A file with these bytes that is neither page nor asset.
pub(super) fn unversioned(path: &str, bytes: &[u8]) -> ManifestFile {
    ManifestFile { content_type: "image/jpeg".into(), class: Class::Unversioned, ..entry(path, bytes) }
}

/// How the pointer names this manifest when the store is at `base` (which ends with `/`).
pub(super) fn pointed(version: &str, manifest: &Manifest, base: &str) -> PointedVersion {
    let digest = ManifestDigest::of(&manifest.to_bytes());
    PointedVersion {
        version: version.into(),
        manifest_url: format!("{base}.rollcall/manifests/{}.json", digest.hex()),
        base_url: "https://cdn.example.com/shop/".into(),
        fallback: None,
        digest,
    }
}
