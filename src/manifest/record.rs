//! The small documents beside the objects: who owns a prefix, which version is which build, who is about to use what.
//! Every one is JSON with a format number; never parsed leniently.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::de::value::StrDeserializer;
use serde::{Deserialize, Deserializer, Serialize};

use super::evidence::{self, Evidence};
use super::readers::Reading;
use super::{Class, Manifest};
use crate::api::store::StoreCapabilities;
use crate::api::{ContentHash, ManifestDigest};

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

/// What the store of this prefix was seen to do, so that not every publish tries it out again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TriedOut {
    /// Version of this document's format: 1.
    pub tried_version: i32,
    /// Hash of the store's endpoint (empty for AWS), a line feed, and the bucket's name: it counts for that store alone.
    pub store: ContentHash,
    /// When; it counts for seven days.
    pub tried_at: Timestamp,
    /// What it was seen to do.
    pub capabilities: StoreCapabilities,
}

/// Who writes below this prefix, in a store that keeps no conditions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WriterLock {
    /// Version of this document's format: 1.
    pub lock_version: i32,
    /// Which program, where; for people.
    pub holder: String,
    /// This one time of holding it: the process and a number.
    pub tenure: String,
    /// Until when at least, by the holder's clock; absent when it was given back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// How a build was read, and what that gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildSummary {
    /// The build tool's manifest, and how it was found.
    #[serde(flatten)]
    pub reading: Reading,
    /// Files of which something proves that their bytes stay.
    pub assets: u64,
    /// Pages and what goes with them.
    pub entries: u64,
    /// All others; absent in records of older programs, which counted these among the entries.
    #[serde(default, skip_serializing_if = "is_none")]
    pub unversioned: u64,
    /// How many names each kind of evidence vouches for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "known_words")]
    pub evidence: BTreeMap<Evidence, u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

/// Words of a newer program are passed over.
fn known_words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<Evidence, u64>, D::Error> {
    let words = BTreeMap::<String, u64>::deserialize(deserializer)?;
    let known = |word: &str| Evidence::deserialize(StrDeserializer::<D::Error>::new(word)).ok();
    Ok(words.into_iter().filter_map(|(word, count)| Some((known(&word)?, count))).collect())
}

impl BuildSummary {
    /// Of a build that was read so.
    #[must_use]
    /// `by_set`: files whose names a set vouches for.
    pub fn of(reading: Reading, manifest: &Manifest, by_set: &BTreeSet<String>) -> Self {
        let count = |class| manifest.of_class(class).count() as u64;
        Self {
            reading,
            assets: count(Class::Asset),
            entries: count(Class::Entry),
            unversioned: count(Class::Unversioned),
            evidence: evidence::counts(manifest, by_set),
        }
    }

    /// In words: `31 assets, 2 entry files, 5 unversioned files; names from ".vite/manifest.json" (Vite, at its usual place)`.
    #[must_use]
    pub fn sentence(&self) -> String {
        let unversioned = if self.unversioned == 0 { String::new() } else { format!(", {} unversioned files", self.unversioned) };
        format!("{} assets, {} entry files{unversioned}; {}", self.assets, self.entries, self.reading.sentence())
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

impl Owner {
    /// A release (`namespace/name`) of a cluster; a pipeline knows no cluster and leaves it empty.
    #[must_use]
    pub fn new(cluster: &str, release: &str) -> Self {
        Self { owner_version: FORMAT, cluster: cluster.to_owned(), release: release.to_owned() }
    }
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

/// "I am about to delete these objects": written before the intents are read. Whoever needs one of the keys looks at the phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tombstone {
    /// Version of this document's format: 1.
    pub tombstone_version: i32,
    /// When it was decided.
    pub at: Timestamp,
    /// How far it is.
    #[serde(flatten)]
    pub phase: TombstonePhase,
    /// What goes.
    pub objects: Vec<Buried>,
}

/// How far a tombstone is. A step forward is a conditional write, so that of the one who deletes and the one who needs a key
/// exactly one wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all_fields = "camelCase")]
pub enum TombstonePhase {
    /// Nothing was deleted yet: whoever needs a key takes it out of the document, and may use it at once.
    Warned,
    /// Deletes are sent or were: the keys must not be used before that moment, when every signed delete is dead.
    Deleting {
        /// From when on the keys may be written again.
        usable_from: Timestamp,
    },
}

/// One object that goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Buried {
    /// The key of the bucket.
    pub key: String,
    /// The token of the object that goes; another object at that key stays.
    pub etag: String,
}

/// What one release of one cluster uses below a prefix, and for how long it keeps what it used. Written before a version is used,
/// then the tombstones are read: for a rollback this is the intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct References {
    /// Version of this document's format: 1.
    pub references_version: i32,
    /// UID of the cluster's `kube-system` namespace.
    pub cluster: String,
    /// `namespace/name` of the release.
    pub release: String,
    /// UID of the AssetRelease that wrote it; absent when an older controller wrote it, or when a person ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// When that AssetRelease was deleted, by the clock of who wrote this. Its time runs from the date that the store gave this document.
    /// Absent while the release is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
    /// When this document was begun. A version that it does not mention counts as retired then at the earliest.
    pub since: Timestamp,
    /// When it was last written.
    pub written_at: Timestamp,
    /// For how long; absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionPolicy>,
    /// Versions in use.
    pub uses: Vec<Use>,
    /// Versions that were activated, latest flip first.
    pub activated: Vec<Activation>,
}

/// How long versions are kept after another one took their place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetentionPolicy {
    /// The last so many activated versions stay, the active one included.
    pub releases: u32,
    /// Seconds from a version's retirement.
    pub ttl_seconds: u64,
    /// Files that stay longer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pins: Vec<Pin>,
}

/// Files that stay longer than their version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pin {
    /// Pattern of paths in the build: `*` stays within a folder, `**` does not.
    #[serde(rename = "match")]
    pub pattern: String,
    /// Seconds from the version's retirement.
    pub ttl_seconds: u64,
}

/// A version in use.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Use {
    /// The build.
    pub digest: ManifestDigest,
    /// As what.
    pub role: Role,
}

/// As what a version is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Role {
    /// Pages refer to it.
    Active,
    /// Pods load it, or will soon.
    Candidate,
    /// It was active before.
    Previous,
    /// A pod reports it.
    Reported,
}

/// A version that was activated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Activation {
    /// The label.
    pub version: String,
    /// The build.
    pub digest: ManifestDigest,
    /// Number of the flip.
    pub sequence: i64,
    /// When another version took its place; absent while none has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired_at: Option<Timestamp>,
}

/// "Retention takes this build": objects of it are gone, or will be at once, and then its manifest; its name still means it.
/// Written before the first of them goes; taken back by whoever publishes the build again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Swept {
    /// Version of this document's format: 1.
    pub swept_version: i32,
    /// The build.
    pub digest: ManifestDigest,
    /// When.
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

/// The format number that all of these documents carry today.
pub const FORMAT: i32 = 1;
