//! The small documents beside the objects: who owns a prefix, which version is which build, who is about to use what.
//! Every one is JSON with a format number; never parsed leniently.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::readers::Reading;
use super::{Class, Manifest};
use crate::api::ManifestDigest;

/// Binds a version's name to one build for ever; written when every object is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionRecord {
    /// Version of this document's format: 1.
    pub record_version: i32,
    /// The user's label.
    pub version: String,
    /// The build.
    pub digest: ManifestDigest,
    /// `namespace/name` of the release that published it.
    pub release: String,
    /// When the publish ended.
    pub published_at: Timestamp,
    /// Files of the build.
    pub files: u64,
    /// Bytes of the build.
    pub bytes: u64,
    /// How the build was read; for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Box<BuildSummary>>,
}

/// How a build was read, and what that gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildSummary {
    /// The build tool's manifest, and how it was found.
    #[serde(flatten)]
    pub reading: Reading,
    /// Files with a hash in their name.
    pub assets: u64,
    /// All others.
    pub entries: u64,
}

impl BuildSummary {
    /// Of a build that was read so.
    #[must_use]
    pub fn of(reading: Reading, manifest: &Manifest) -> Self {
        let count = |class| manifest.of_class(class).count() as u64;
        Self { reading, assets: count(Class::Asset), entries: count(Class::Entry) }
    }

    /// In words: `31 assets, 7 entry files; names from ".vite/manifest.json" (Vite, at its usual place)`.
    #[must_use]
    pub fn sentence(&self) -> String {
        format!("{} assets, {} entry files; {}", self.assets, self.entries, self.reading.sentence())
    }
}

/// The one writer of a prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// Version of this document's format: 1.
    pub owner_version: i32,
    /// UID of the `kube-system` namespace: the usual identity of a cluster.
    pub cluster: String,
    /// `namespace/name` of the release.
    pub release: String,
}

/// "I am about to use these objects": written before the tombstones are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// Version of this document's format: 1.
    pub intent_version: i32,
    /// The build that is being published.
    pub digest: ManifestDigest,
    /// The label it will have.
    pub version: String,
    /// `namespace/name` of the release.
    pub release: String,
    /// When the publish began.
    pub started_at: Timestamp,
}

/// "I am about to delete this object": written before the intents are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tombstone {
    /// Version of this document's format: 1.
    pub tombstone_version: i32,
    /// The key of the bucket that goes.
    pub key: String,
    /// The token of the object that goes; another object at that key stays.
    pub etag: String,
    /// When it was decided.
    pub at: Timestamp,
}

/// Who wrote an object: stored in its metadata, so that a conflict can name both writers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Writer {
    /// `namespace/name` of the release.
    pub release: String,
    /// The version that was being published.
    pub version: String,
    /// Its digest.
    pub digest: ManifestDigest,
}

/// The format number that all five documents carry today.
pub const FORMAT: i32 = 1;
