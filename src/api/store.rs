//! The `AssetStore` kind: where objects are kept and how the world reaches them.
//! Its documentation is what `kubectl explain assetstore` prints.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{apart_from_each_other, apart_from_the_store, base_url, bucket_name, endpoint_url, key_prefix, object_name, region};

/// An object store that AssetReleases of this namespace publish into: a bucket, a prefix in it, and the URL that pages use.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "rollcall.dev",
    version = "v1alpha1",
    kind = "AssetStore",
    plural = "assetstores",
    namespaced,
    category = "all",
    status = "AssetStoreStatus",
    derive = "PartialEq",
    doc = "An object store that AssetReleases of this namespace publish into.",
    printcolumn(name = "Bucket", type_ = "string", json_path = ".spec.bucket.name"),
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.publicUrl"),
    printcolumn(name = "Create-Only", type_ = "string", json_path = ".status.capabilities.createOnly", priority = 1),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.spec.bucket.name == oldSelf.spec.bucket.name")
        .message("spec.bucket.name is immutable: pages may still use objects of the old bucket; create another AssetStore instead")
        .field_path(".spec.bucket.name"),
    validation = Rule::new("(has(self.spec.bucket.prefix) ? self.spec.bucket.prefix : '') == (has(oldSelf.spec.bucket.prefix) ? oldSelf.spec.bucket.prefix : '')")
        .message("spec.bucket.prefix is immutable: pages may still use objects below the old prefix; create another AssetStore instead")
        .field_path(".spec.bucket.prefix"),
    validation = apart_from_the_store(),
    validation = apart_from_each_other()
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AssetStoreSpec {
    /// The bucket that holds the objects.
    pub bucket: BucketSpec,
    /// Where the keys that may write come from. Without it the ambient chain of the controller's pod is used: environment,
    /// web identity (IRSA) or EKS Pod Identity; never the instance metadata service. Only where the operator has granted that for this
    /// namespace, bucket, prefix and endpoint (the chart's value `ambientCredentials`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<CredentialsSpec>,
    /// What pages put in front of an object key: the URL of the CDN or of the bucket itself, up to and including the bucket's
    /// prefix. Ends with `/`.
    #[schemars(length(min = 9, max = 512))]
    #[x_kube(validation = base_url())]
    pub public_url: String,
    /// What keeps writers from each other's objects. `Conditional`: the store does, by the conditions of writes; it is tested, and
    /// refused if it does not. `SingleWriter`: for stores that ignore those conditions. A lock below each release's prefix lets one
    /// program write at a time, and each write is looked at before and after; nothing is ever deleted unless the store honours the
    /// condition of deletes. This is weaker: a request that was sent before the lock changed hands may still land after. Every
    /// program that writes there must say so, `rollcall publish` by `--write-guard single-writer`. Replicas are always `Conditional`.
    #[serde(default, skip_serializing_if = "WriteGuard::is_conditional")]
    pub write_guard: WriteGuard,
    /// Where pods fetch objects from when that is not `publicUrl`, for example the store's address inside the cluster. Ends with `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = 512))]
    #[x_kube(validation = base_url())]
    pub internal_url: Option<String>,
    /// Other buckets that get every object of every release, for example in other regions. A release activates no version that one of
    /// them lacks. Objects come from the store's own bucket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub replicas: Vec<ReplicaSpec>,
}

/// A bucket that gets what the store's own bucket gets.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[x_kube(validation = Rule::new("self.bucket.name == oldSelf.bucket.name && (has(self.bucket.prefix) ? self.bucket.prefix : '') == (has(oldSelf.bucket.prefix) ? oldSelf.bucket.prefix : '')")
    .message("bucket.name and bucket.prefix of a replica are immutable: give the other bucket another replica's name")
    .field_path(".bucket"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReplicaSpec {
    /// Its name, in conditions and status.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = object_name())]
    pub name: String,
    /// The bucket. Must not lie within the store's own bucket and prefix or those of another replica, nor they within it.
    pub bucket: BucketSpec,
    /// Where the keys that may write there come from; the ambient chain of the controller's pod without it, if
    /// that is granted. Where the store copies by itself, they must be allowed to read the store's own bucket, too; else the bytes go through the controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<CredentialsSpec>,
    /// When it gets its objects.
    #[serde(default)]
    pub mode: ReplicaMode,
}

/// When a replica gets its objects.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum ReplicaMode {
    /// Before any page refers to them.
    #[default]
    Eager,
}

impl ReplicaSpec {
    /// Where it is, in one line: another place is another replica, whatever its name.
    #[must_use]
    pub fn place(&self) -> String {
        let bucket = &self.bucket;
        let endpoint = bucket.service().unwrap_or("s3:/");
        format!("{endpoint}/{}/{}", bucket.name, bucket.prefix.as_deref().unwrap_or_default())
    }
}

/// A bucket of an S3-compatible object store.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BucketSpec {
    /// Name of the bucket. Immutable.
    #[schemars(length(min = 3, max = 63))]
    #[x_kube(validation = bucket_name())]
    pub name: String,
    /// Region of the bucket. Stores that have no regions accept any; the default is `us-east-1`.
    #[serde(default = "default_region")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = region())]
    pub region: String,
    /// URL of the store's S3 API when it is not AWS, for example `http://minio.storage.svc:9000`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 512))]
    #[x_kube(validation = endpoint_url())]
    pub endpoint: Option<String>,
    /// Puts the bucket's name into the path (`endpoint/bucket/key`) instead of the host name. Most stores that are not AWS need it.
    #[serde(default)]
    pub force_path_style: bool,
    /// Put in front of every key of every release. Immutable. Ends with `/`, has no leading `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 256))]
    #[x_kube(validation = key_prefix())]
    pub prefix: Option<String>,
}

impl BucketSpec {
    /// Which service it is of, other than AWS: its endpoint, however it is written.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        self.endpoint.as_deref().map(|endpoint| endpoint.trim_end_matches('/'))
    }
}

pub(super) fn default_region() -> String {
    "us-east-1".into()
}

/// Where access to a bucket comes from.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CredentialsSpec {
    /// A Secret of this namespace with the keys `accessKeyId` and `secretAccessKey` (and `sessionToken`, if there is one). The
    /// controller may read a Secret only where a Role names it; the blocker `CredentialsForbidden` prints that Role.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = object_name())]
    pub secret_name: String,
}

/// What the controller last saw of the store.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AssetStoreStatus {
    /// The generation that the conditions speak of; -1 until the controller has looked for the first time.
    #[serde(default = "super::schema::never_observed")]
    pub observed_generation: i64,
    /// `Ready` is True when the bucket was reached with these credentials; `Reconciling` and `Stalled` are present only when True.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// What the store was seen to do, tested when the controller starts and whenever endpoint, bucket or credentials change.
    /// Absent until that was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<StoreCapabilities>,
    /// The replicas of `spec.replicas`, in that order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub replicas: Vec<StoreReplicaStatus>,
}

/// What is known of a replica of a store.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoreReplicaStatus {
    /// Its name.
    #[schemars(length(max = 63))]
    pub name: String,
    /// Whether every AssetRelease that uses the store has seen it to hold every version that its prefix keeps. From then on it lacks
    /// nothing that a page refers to; before, no visitor should be sent there.
    pub admitted: bool,
    /// Objects that it was last seen to lack, over all releases that are not through with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<i64>,
    /// What it is waited for; absent when it is admitted and reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

/// What a store was seen to do. Nothing is taken on a vendor's word.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoreCapabilities {
    /// Of several creates of one key, at once or one after the other, exactly one is accepted. Without it the store is refused: two
    /// publishers could mix their bytes under one name.
    pub create_only: Capability,
    /// The same for an object that is sent in parts. Without it large files are sent as a whole.
    pub create_only_multipart: Capability,
    /// A replace that names another version of an object changes nothing, and of several at once exactly one is accepted. Without it the
    /// store is refused: those who use objects and those who delete them could not tell each other.
    pub conditional_replace: Capability,
    /// A delete that names another version of an object deletes nothing. Without it nothing is ever deleted.
    pub conditional_delete: Capability,
    /// What was written is in the next listing. Without it the store is refused: a sweep would not see who uses what.
    pub list_after_write: Capability,
    /// Bytes without the promised SHA-256 are refused, and nothing is kept of them.
    pub checksum_verified: Capability,
    /// The same where the checksum header alone says the hash. With it a large file is signed by that header, and the store has one hash
    /// of it to compute instead of two.
    #[serde(default)]
    pub checksum_header_verified: Capability,
    /// The store copies an object by itself, and not onto one that is there.
    pub copy: Capability,
    /// What was seen where something does not hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 1024)))]
    pub evidence: Vec<String>,
}

/// What keeps writers from each other's objects.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum WriteGuard {
    /// The conditions of writes, which the store keeps.
    #[default]
    Conditional,
    /// A lock, and a look before and after each write.
    SingleWriter,
}

impl WriteGuard {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    fn is_conditional(&self) -> bool {
        *self == Self::Conditional
    }
}

/// Whether a store does something.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum Capability {
    /// It was tried, and it does.
    Holds,
    /// It was tried, and it does not, although it said so.
    Ignored,
    /// It was tried, and what came of it says neither; `evidence` tells.
    #[default]
    Unknown,
}
