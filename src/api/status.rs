//! The status of an `AssetRelease`: what became of the wish. Its documentation is what `kubectl explain assetrelease.status` prints.
//! Written by the controller alone; never read back to decide but for its named facts.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ManifestDigest;
use super::foreign::escaped;
use super::retention::RetentionStatus;
use super::watched::WatchedSelector;

/// What the controller last did and saw.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AssetReleaseStatus {
    /// The generation that everything here speaks of; -1 until the controller has looked for the first time.
    #[serde(default = "super::schema::never_observed")]
    pub observed_generation: i64,
    /// Where the release is, in one word. For people; derived from the conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// What is being waited for, in one sentence. For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub message: Option<String>,
    /// How many of the pods that count have the wanted version, for example `7/8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub pods: Option<String>,
    /// `Ready`, `SourceFetched`, `Uploaded`, `StoreVerified`, `PodsAcknowledged`, `Activated`, `Converged`; and, present only when
    /// True: `Reconciling`, `Stalled`, `PointerContested`, `RetentionBlocked`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The version on its way, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<CandidateStatus>,
    /// The version that pages refer to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<ActivatedVersion>,
    /// The version that was active before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<ActivatedVersion>,
    /// With `entries.publish: Bucket`: the flip whose entry files were last seen at their public keys, and when. Absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries: Option<EntriesStatus>,
    /// What was activated or given up, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub history: Vec<HistoryEntry>,
    /// UID of the object that has written below the prefix what it uses (`.rollcall/references/`), so that no sweep takes it. An object
    /// with another UID (created anew, or restored from a backup with its status) writes it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub references_written_by: Option<String>,
    /// What retention last planned and did; absent without `spec.retention`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionStatus>,
    /// The replicas of the store, as far as this release's prefix goes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub replicas: Vec<ReplicaStatus>,
    /// The selectors by which pods are watched: of each target the last one that was seen, also while its workload is missing; and those
    /// of former targets, and former ones of a target, until they have had no pod for ten minutes. Pods of all of them are asked before
    /// each flip.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub selectors: Vec<WatchedSelector>,
    /// The attempt that was given up and is not tried again until the spec changes or `rollcall.dev/requestedAt` does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_up: Option<GivenUp>,
    /// The highest stage number that was written; a pointer that vanished is recreated above it.
    #[serde(default)]
    pub last_stage: i64,
    /// The epoch of the leader that wrote this: each new leader of the controller's replicas has a higher one. 0 without an election.
    #[serde(default)]
    pub epoch: i64,
    /// The value of the annotation `rollcall.dev/requestedAt` that was last acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub last_handled_request: Option<String>,
}

impl AssetReleaseStatus {
    /// Whether both say the same. The API server keeps conditions, a map by type, in an order of its own: that is no difference, or
    /// the same status would be written at every look (I7). Nor is the epoch: a new leader has nothing to tell of a release that rests.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        let by_type = |status: &Self| {
            let mut status = Self { epoch: 0, ..status.clone() };
            status.conditions.sort_by(|one, other| one.type_.cmp(&other.type_));
            status
        };
        by_type(self) == by_type(other)
    }
}

impl Default for AssetReleaseStatus {
    fn default() -> Self {
        Self {
            observed_generation: super::schema::never_observed(),
            phase: None,
            message: None,
            pods: None,
            conditions: Vec::new(),
            candidate: None,
            active: None,
            previous: None,
            entries: None,
            history: Vec::new(),
            references_written_by: None,
            retention: None,
            replicas: Vec::new(),
            selectors: Vec::new(),
            given_up: None,
            last_stage: 0,
            epoch: 0,
            last_handled_request: None,
        }
    }
}

/// Where a release is, in one word.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum Phase {
    /// Not looked at yet, or something is missing before work can begin.
    Pending,
    /// The source is fetched and missing objects are uploaded.
    Uploading,
    /// The store is asked whether it has every object.
    Verifying,
    /// The candidate is staged; pods load it and report.
    RollCall,
    /// Every gate but the approval holds.
    AwaitingApproval,
    /// The flip is done; pods move their pages.
    Converging,
    /// The wanted version is active and served everywhere.
    Active,
    /// Told to stop.
    Suspended,
    /// Given up until the spec or the cluster changes.
    Stalled,
    /// Being deleted.
    Terminating,
}

/// The version on its way.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CandidateStatus {
    /// Its label.
    #[schemars(length(max = 128))]
    pub version: String,
    /// Its identity, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 71))]
    pub digest: Option<ManifestDigest>,
    /// The stage number under which it is staged; absent before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<i64>,
    /// When the attempt is given up, moved on by the time spent waiting for approval. Absent before staging and during that wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<Time>,
    /// Seconds of this staging spent waiting for approval alone, until `awaitingApprovalSince`.
    #[serde(default)]
    pub approval_wait_seconds: i64,
    /// Since when only the approval is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaiting_approval_since: Option<Time>,
    /// How far the upload is; absent when nothing had to be uploaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<UploadStatus>,
    /// How far the roll call is, for each target.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub targets: Vec<TargetStatus>,
}

/// How far an upload is.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UploadStatus {
    /// Objects of the build.
    pub objects_total: i64,
    /// Objects sent so far.
    pub objects_sent: i64,
    /// Objects that were there already.
    pub objects_reused: i64,
    /// Bytes of the build.
    pub bytes_total: i64,
    /// Bytes sent so far.
    pub bytes_sent: i64,
}

/// How far the roll call of one target is.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetStatus {
    /// `Kind/name` of the workload; with `(former)` when `spec.targets` does not name it any more, or it has another selector by now.
    #[schemars(length(max = 280))]
    pub name: String,
    /// Pods that count.
    pub pods: i32,
    /// Pods that count and have reported the candidate for this stage.
    pub reported: i32,
    /// Names of pods that have not, at most ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), inner(length(max = 253)))]
    pub missing: Vec<String>,
    /// Names of pods that were excused, at most ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), inner(length(max = 253)))]
    pub excused: Vec<String>,
}

/// A version that is or was active.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActivatedVersion {
    /// Its label.
    #[schemars(length(max = 128))]
    pub version: String,
    /// Its identity.
    #[schemars(with = "String", length(max = 71))]
    pub digest: ManifestDigest,
    /// Number of the flip that activated it.
    pub sequence: i64,
    /// When it was activated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activated_at: Option<Time>,
    /// The page that agents answer for paths which lead to no file, as it was at that flip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub fallback: Option<String>,
}

/// Which pages lie in the bucket; where pods serve the pages, which unversioned files lie there at their public keys.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EntriesStatus {
    /// Number of the flip that they belong to.
    pub sequence: i64,
    /// When they were last confirmed: right after the flip, 17 minutes later, and once after each start of the controller.
    pub confirmed_at: Time,
    /// Pods served the pages when they were confirmed, so that no page was among them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_pages: bool,
}

/// A replica of the store, as far as one release's prefix goes.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaStatus {
    /// Its name in the AssetStore.
    #[schemars(length(max = 63))]
    pub name: String,
    /// Endpoint, bucket and prefix: under another place nothing here counts any more.
    #[schemars(length(max = 1024))]
    pub place: String,
    /// Whether it was seen to hold every version that the prefix keeps. From then on it lacks nothing that a page refers to.
    pub admitted: bool,
    /// Objects that it still lacks, while they are brought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<i64>,
    /// Why it is not admitted yet, when something is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

impl ReplicaStatus {
    /// Whether it speaks of the replica of this name at this place.
    #[must_use]
    pub fn is_of(&self, name: &str, place: &str) -> bool {
        self.name == name && self.place == place
    }
}

/// Longest message of a condition and of a status.
pub const MESSAGE_BYTES_MAX: usize = 2048;

/// A text as a field takes it, without anything hidden in it; its bound counts characters, of which there are at most as many as
/// bytes. Every message of a status and of an event passes here.
#[must_use]
pub fn cut(text: String, bytes_max: usize) -> String {
    let text = match escaped(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(escaped) => escaped,
    };
    if text.len() <= bytes_max {
        return text;
    }
    let end = (0..=bytes_max - '…'.len_utf8()).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", &text[..end])
}

/// One line of the history.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// The version's label.
    #[schemars(length(max = 128))]
    pub version: String,
    /// Its identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 71))]
    pub digest: Option<ManifestDigest>,
    /// Number of the flip; 0 for an attempt that was given up.
    pub sequence: i64,
    /// What became of it.
    pub outcome: Outcome,
    /// When it was activated or given up.
    pub at: Time,
    /// When another version took its place; absent while it is active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired_at: Option<Time>,
    /// Whether a rollback to it finds everything in the store, as the last plan of `spec.retention` had it: false once retention
    /// took objects of it or is about to. Then give `spec.source` with it. Absent before the first plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restorable: Option<bool>,
    /// Gates that break-glass skipped, and why; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub overridden: Option<String>,
    /// Pods that were excused at the flip, at most ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), inner(length(max = 253)))]
    pub excused: Vec<String>,
}

/// What became of an attempt.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum Outcome {
    /// It became active.
    Activated,
    /// It became active again: the version had been active before.
    RolledBack,
    /// It was taken back at its deadline.
    GivenUp,
}

/// An attempt that is not tried again by itself.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GivenUp {
    /// The version that was given up.
    #[schemars(length(max = 128))]
    pub version: String,
    /// The generation of the spec that wanted it.
    pub generation: i64,
    /// The value of `rollcall.dev/requestedAt` then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub request: Option<String>,
    /// The number under which it was staged: that candidate is taken back, whatever the spec says by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<i64>,
    /// What was still missing.
    #[schemars(length(max = 2048))]
    pub message: String,
    /// When.
    pub at: Time,
}
