//! The `AssetRelease` kind: the wish "this application's pages shall use these assets".
//! Its documentation is what `kubectl explain assetrelease` prints. A field stands here only when it works (I9).

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::build::BuildSpec;
pub use super::retention::{PinSpec, RetentionSpec, RetentionStatus};
use super::schema::{build_path, http_path, key_prefix, object_name, page_name, version_label};
pub use super::source::{BucketSource, HttpSource, PublishedSource, SourceSpec};
pub use super::status::{
    ActivatedVersion, AssetReleaseStatus, CandidateStatus, EntriesStatus, GivenUp, HistoryEntry, Outcome, Phase, ReplicaStatus,
    TargetStatus, UploadStatus,
};

/// The wish that one application's pages refer to one version of its assets. Long-lived, one per application: to release,
/// change `spec.version` (and `spec.source`); to roll back, set an older version.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "rollcall.dev",
    version = "v1alpha1",
    kind = "AssetRelease",
    plural = "assetreleases",
    namespaced,
    category = "all",
    status = "AssetReleaseStatus",
    derive = "PartialEq",
    doc = "The wish that one application's pages refer to one version of its assets.",
    printcolumn(name = "Active", type_ = "string", json_path = ".status.active.version"),
    printcolumn(name = "Target", type_ = "string", json_path = ".spec.version"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Pods", type_ = "string", json_path = ".status.pods"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.spec.storeRef.name == oldSelf.spec.storeRef.name")
        .message("spec.storeRef is immutable: pages may still use objects of the old store; create another AssetRelease instead")
        .field_path(".spec.storeRef.name"),
    validation = Rule::new("self.spec.prefix == oldSelf.spec.prefix")
        .message("spec.prefix is immutable: pages may still use objects below the old prefix; create another AssetRelease instead")
        .field_path(".spec.prefix"),
    validation = Rule::new("self.spec.pointer.configMapName == oldSelf.spec.pointer.configMapName")
        .message("spec.pointer.configMapName is immutable: pods still read the old pointer; create another AssetRelease instead")
        .field_path(".spec.pointer.configMapName"),
    validation = Rule::new("!has(self.spec.adoptFrom) || self.spec.adoptFrom != self.metadata.name")
        .message("spec.adoptFrom names the release that this one was renamed from, not this release itself")
        .field_path(".spec.adoptFrom"),
    validation = Rule::new("self.spec.entries.publish == 'Bucket' || size(self.spec.targets) > 0")
        .message("spec.targets may be empty only when spec.entries.publish is Bucket: otherwise no pod would serve the pages")
        .field_path(".spec.targets")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AssetReleaseSpec {
    /// The AssetStore of this namespace that holds the objects. Immutable.
    pub store_ref: StoreRef,
    /// The release's own directory below the store's prefix, for example `shop/`. Immutable. Exactly one AssetRelease may write
    /// below it; the first one to come claims it with an owner object in the bucket.
    #[schemars(length(min = 2, max = 256))]
    #[x_kube(validation = key_prefix())]
    pub prefix: String,
    /// Folders below `prefix` that belong to other releases, for example `admin/`: no file of a build may lie there, nothing there is swept,
    /// and another AssetRelease may claim a prefix within. Written into the owner object in the bucket. A folder can be taken out of
    /// the list only when no other release has a prefix there any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 2, max = 256)))]
    #[x_kube(validation = Rule::new("self.all(one, one.matches('^([A-Za-z0-9_-][A-Za-z0-9._-]*/)+$'))")
        .message("each must be folder names of letters, digits, dots, hyphens and underscores, each followed by / and none starting with a dot"))]
    pub excluded_prefixes: Vec<String>,
    /// The wanted version: your label for one build. A version means one build for ever. Setting an older version rolls back:
    /// nothing is uploaded and the source is not used.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = version_label())]
    pub version: String,
    /// Where the build of `version` comes from. Not needed (and not used) for a version that was published before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceSpec>,
    /// How the build is read. The default suits what the usual tools write.
    #[serde(default)]
    pub build: BuildSpec,
    /// The workloads whose pods must have the version before pages refer to it. Pods of one that you take out of the list are asked until
    /// they are gone: see `status.selectors`.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(validation = Rule::new("self.all(one, self.exists_one(other, other.workloadRef == one.workloadRef))")
        .message("each workload may be a target once"))]
    pub targets: Vec<TargetSpec>,
    /// Who serves the entry files (html and other files without a content hash in their name).
    #[serde(default)]
    pub entries: EntriesSpec,
    /// The ConfigMap that tells the pods which version is active.
    pub pointer: PointerSpec,
    /// Name of the AssetRelease of this namespace whose place this one takes, because it was renamed: once that one is gone, its pointer
    /// (where `pointer.configMapName` is the same) and its claim of the prefix become this release's, and the numbers of the pointer go
    /// on. While it exists nothing of it is touched. Afterwards the field does nothing, and costs one read in each pass: remove it when the release is Ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = object_name())]
    pub adopt_from: Option<String>,
    /// When the active version moves.
    #[serde(default)]
    pub activation: ActivationSpec,
    /// How long versions stay after another one took their place. Absent: nothing is ever deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionSpec>,
    /// Seconds from staging until a candidate that has not been activated is taken back and the release is Stalled. Time spent
    /// waiting for approval does not count.
    #[serde(default = "default_progress_deadline")]
    #[schemars(range(min = 10, max = 86_400))]
    pub progress_deadline_seconds: i32,
    /// Stops the release where it is: uploads are cancelled and a candidate is taken back. The active version stays.
    #[serde(default)]
    pub suspend: bool,
}

fn default_progress_deadline() -> i32 {
    600
}

/// Names an AssetStore of the same namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StoreRef {
    /// Name of the AssetStore.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = object_name())]
    pub name: String,
}

/// One workload whose pods are asked.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[x_kube(validation = Rule::new("!has(self.excuseAfterSeconds) || self.silentPods == 'ExcuseAfter'").message("excuseAfterSeconds is read with silentPods: ExcuseAfter only"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TargetSpec {
    /// The workload, in the namespace of the release.
    pub workload_ref: WorkloadRef,
    /// How its pods report. The default is the pod condition that `rollcall agent` keeps.
    #[serde(default)]
    pub report: ReportSpec,
    /// What to do about a pod that counts but does not report: wait for it (and say its name), or go on without it after
    /// `excuseAfterSeconds`. The status lists each excused pod. A Ready pod that was excused must serve the new version before
    /// there is another flip; only for a pod that has no agent and never reported it is taken for granted, `excuseAfterSeconds` after
    /// the flip. So do not excuse while pods from before the agent still get traffic.
    #[serde(default)]
    pub silent_pods: SilentPods,
    /// With `silentPods: ExcuseAfter`: seconds after which a silent pod is excused, counted from staging or from the pod's
    /// creation, whichever is later. 300 when it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub excuse_after_seconds: Option<i32>,
}

/// Names a workload of the same namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkloadRef {
    /// Kind of the workload.
    pub kind: WorkloadKind,
    /// Name of the workload.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = object_name())]
    pub name: String,
}

/// Kinds of workload that can be asked.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
pub enum WorkloadKind {
    /// `apps/v1` Deployment.
    Deployment,
    /// `apps/v1` StatefulSet.
    StatefulSet,
    /// `apps/v1` DaemonSet.
    DaemonSet,
}

/// How pods report; at most one way. Empty means the pod condition.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[x_kube(validation = Rule::new("!(has(self.http) && has(self.podCondition))").message("give either http or podCondition"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReportSpec {
    /// Each pod answers `GET /v1/availability` on this port. Every bound, unfinished pod counts, because such a pod cannot
    /// announce itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpReport>,
    /// Each pod keeps its report in its own status condition `rollcall.dev/assets`, as `rollcall agent` does. The default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_condition: Option<PodConditionReport>,
}

/// The HTTP endpoint of a report.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpReport {
    /// Port of the pod.
    #[schemars(range(min = 1, max = 65_535))]
    pub port: i32,
    /// Path of the report.
    #[serde(default = "default_report_path")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = http_path())]
    pub path: String,
}

fn default_report_path() -> String {
    "/v1/availability".into()
}

/// The pod condition as the way of reporting; it has no settings.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodConditionReport {}

/// What to do about a pod that counts but does not report.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum SilentPods {
    /// Wait for it.
    #[default]
    Wait,
    /// Go on without it after `excuseAfterSeconds`.
    ExcuseAfter,
}

/// Who serves the entry files.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EntriesSpec {
    /// `Pods`: the pods serve the html. `Bucket`: the html lies in the bucket at its public key and is written after the flip;
    /// the release counts as activated only when all of it is confirmed there.
    #[serde(default)]
    pub publish: PublishEntries,
    /// For single-page applications: the page of the build that agents answer, with status 200, for a path that leads to no file:
    /// `index.html`. Paths of assets stay a 404. Without this field a `200.html` at the top of the build does the same. Where the bucket
    /// serves the pages, the CDN has to be configured for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = build_path(), validation = page_name())]
    pub fallback: Option<String>,
}

impl EntriesSpec {
    /// The page that agents answer for paths which lead to no file; none where the bucket serves the pages.
    #[must_use]
    pub fn page_of_agents(&self) -> Option<&str> {
        match self.publish {
            PublishEntries::Pods => self.fallback.as_deref(),
            PublishEntries::Bucket => None,
        }
    }
}

/// Where entry files are published.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum PublishEntries {
    /// The pods serve them.
    #[default]
    Pods,
    /// They lie in the bucket at their public key.
    Bucket,
}

/// The pointer's place.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PointerSpec {
    /// Name of the ConfigMap. Created when it is missing. One that is there already is written only when its owner has labelled it
    /// `rollcall.dev/pointer: "true"` and `rollcall.dev/release: <this release>`; other keys in it are left alone. Immutable.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = object_name())]
    #[x_kube(validation = Rule::new("!self.startsWith('kube-')").message("must not begin with kube-: such ConfigMaps are Kubernetes' own"))]
    pub config_map_name: String,
    /// Whether the name map is in the ConfigMap. Without it: `Automatic`.
    // No default in the CRD: the API server would put the field into every release, and controllers from before it could read none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_map: Option<NameMapPolicy>,
}

/// Whether the name map (logical name to URL) is in the pointer's ConfigMap, under the key `manifest.json`; one above 256 KiB never is. The agent
/// does not read it there: it is for programs that mount the ConfigMap, and every pod that watches the ConfigMap receives it with each write.
/// Read at each flip. Without it: `Automatic`.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum NameMapPolicy {
    /// While its size, times the pods of the targets at the flip, is at most 64 MiB.
    #[default]
    Automatic,
    /// For programs that mount the ConfigMap.
    Always,
    /// Programs take it from an agent (`GET /v1/manifest`, the shared volume) or from the manifest's URL.
    Never,
}

/// When the active version moves.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[x_kube(validation = Rule::new("self.mode == 'Manual' || !has(self.approvedVersion)")
    .message("approvedVersion is read with mode: Manual only; remove it, or set mode: Manual")
    .field_path(".approvedVersion"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ActivationSpec {
    /// `Automatic`: as soon as every gate holds. `Manual`: only once `approvedVersion` is the wanted version, too.
    #[serde(default)]
    pub mode: ActivationMode,
    /// With `mode: Manual`: the version that may be activated. Never implied by anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub approved_version: Option<String>,
    /// A target without pods: `Proceed` is safe with agents (a pod born later reads the pointer first); `Wait` is for
    /// applications without an agent.
    #[serde(default = "proceed")]
    pub on_zero_replicas: ProceedOrWait,
    /// A target that does not exist: `Wait`, because a typing error looks the same, or `Proceed`, when the release stands in an
    /// earlier wave than its code. Pods of it that are there although their workload is gone are asked in either case: see
    /// `status.selectors`.
    #[serde(default = "wait")]
    pub on_missing_workload: ProceedOrWait,
    /// Break-glass: skips named gates for one version. Kept in event, metric and history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#override: Option<OverrideSpec>,
}

/// The same as an empty document: an absent `activation` must not mean anything else than `activation: {}`.
impl Default for ActivationSpec {
    fn default() -> Self {
        Self {
            mode: ActivationMode::default(),
            approved_version: None,
            on_zero_replicas: proceed(),
            on_missing_workload: wait(),
            r#override: None,
        }
    }
}

fn proceed() -> ProceedOrWait {
    ProceedOrWait::Proceed
}

fn wait() -> ProceedOrWait {
    ProceedOrWait::Wait
}

/// When the active version moves.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum ActivationMode {
    /// As soon as every gate holds.
    #[default]
    Automatic,
    /// Only with approval.
    Manual,
}

/// Go on, or wait. It has no default: each field that holds one names its own.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum ProceedOrWait {
    /// Go on.
    Proceed,
    /// Wait.
    Wait,
}

/// Break-glass.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OverrideSpec {
    /// The one version it is for.
    #[schemars(length(min = 1, max = 128))]
    pub version: String,
    /// The gates to skip. That the objects are in the store and that the flip before has converged cannot be skipped.
    #[schemars(length(min = 1, max = 4), extend("x-kubernetes-list-type" = "set"))]
    pub gates: Vec<SkippableGate>,
    /// Why; kept in the history.
    #[schemars(length(min = 1, max = 512))]
    pub reason: String,
}

/// Gates that break-glass may name.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
pub enum SkippableGate {
    /// Every target exists. Pods of one that is gone are asked all the same.
    WorkloadsExist,
    /// A target without pods, where `onZeroReplicas` is `Wait`.
    PodsExist,
    /// Every pod that counts has reported the candidate.
    EveryPodReported,
    /// The version is approved.
    Approved,
}

impl TargetSpec {
    /// After how long a silent pod is excused; `None` when it is waited for.
    #[must_use]
    pub fn excuse_after(&self) -> Option<std::time::Duration> {
        let seconds = self.excuse_after_seconds.unwrap_or(300).unsigned_abs();
        (self.silent_pods == SilentPods::ExcuseAfter).then(|| std::time::Duration::from_secs(seconds.into()))
    }

    /// `Kind/name`, as status and messages show it.
    #[must_use]
    pub fn display_name(&self) -> String {
        format!("{:?}/{}", self.workload_ref.kind, self.workload_ref.name)
    }
}

/// The first and the last second that the API takes: years 0000 to 9998.
const API_SECONDS: (i64, i64) = (-62_167_219_200, 253_370_764_799);

/// A moment as the API writes it: seconds are enough for people, and the same second never causes another write. One that the API does not
/// take becomes the first or the last that it does: a status that is refused would be refused for ever.
#[must_use]
pub fn api_time(at: Timestamp) -> Time {
    let second = at.as_second().clamp(API_SECONDS.0, API_SECONDS.1);
    Time(Timestamp::from_second(second).expect("a second of those years is valid"))
}
