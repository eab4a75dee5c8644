//! The sources of builds, as an AssetRelease names them. Their documentation is what `kubectl explain` prints.
//! A kind of source stands here only when it works (I9).

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::schema::{bucket_name, endpoint_url, http_url, region, source_folder};
use super::store::{BucketSpec, CredentialsSpec, default_region};

/// Where a build comes from; exactly one way.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[x_kube(validation = Rule::new("[has(self.http), has(self.bucket), has(self.published)].exists_one(given, given)")
    .message("exactly one kind of source must be given: http, bucket or published"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SourceSpec {
    /// An archive behind a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpSource>,
    /// A folder in a bucket, put there by any tool. Its objects go into the store; where the store is of the same service, it copies them
    /// by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<BucketSource>,
    /// Another program publishes, for example a pipeline with `rollcall publish`: the release waits until the version is recorded in
    /// the store, and needs no access to the build. Changing `version` is then the whole release. Several releases, also of other
    /// clusters, may use the same prefix so, as long as their pods serve the pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<PublishedSource>,
}

/// A build that another program publishes. It has no settings: the version's record in the store says everything.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PublishedSource {}

/// An archive (tar.gz, tar.zst or zip; recognised by its first bytes) behind a URL, pinned by its digest.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpSource {
    /// URL of the archive. `{version}` stands for `spec.version`.
    #[schemars(length(min = 8, max = 2048))]
    #[x_kube(validation = http_url())]
    pub url: String,
    /// SHA-256 of the archive: 64 lower-case hexadecimal characters. Other bytes are refused.
    #[schemars(length(min = 64, max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9a-f]{64}$')").message("must be 64 lower-case hexadecimal characters, as sha256sum prints them"))]
    pub sha256: String,
}

/// A folder in a bucket, pinned by the digest of what it holds. Nothing is ever written there.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BucketSource {
    /// Name of the bucket.
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
    /// Where the keys that may list and read the folder come from; the ambient chain of the controller's pod without it, if
    /// the operator has granted that for this namespace, bucket and folder (the chart's value `ambientCredentials`). Where the
    /// AssetStore's own keys may read the folder, too, its store copies by itself; else the bytes go through the controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<CredentialsSpec>,
    /// What the keys of the build begin with; the rest of each key is the file's path in the build. `{version}` stands for
    /// `spec.version`. Ends with `/`, has no leading `/`.
    #[schemars(length(min = 2, max = 512))]
    #[x_kube(validation = source_folder())]
    pub folder: String,
    /// The digest of the build's manifest, as `rollcall digest DIR` (or `rollcall publish`) prints it for the same files. A folder that
    /// holds anything else is refused before anything is written. How a build is read is part of it: see `spec.build`.
    #[schemars(length(min = 71, max = 71))]
    #[x_kube(validation = Rule::new("self.matches('^sha256:[0-9a-f]{64}$')")
        .message("must be sha256: and 64 lower-case hexadecimal characters, as `rollcall digest` prints it"))]
    pub digest: String,
}

impl BucketSource {
    /// The bucket that the folder is in.
    #[must_use]
    pub fn bucket(&self) -> BucketSpec {
        BucketSpec {
            name: self.name.clone(),
            region: self.region.clone(),
            endpoint: self.endpoint.clone(),
            force_path_style: self.force_path_style,
            prefix: None,
        }
    }
}
