//! What the command asks of a cluster: an AssetStore, its keys, a release. Never takes the current context of whoever happens to run it: a
//! kubeconfig or a context must have been named, or else this is a pod with a ServiceAccount.

use std::ffi::OsStr;
use std::fmt::Display;

use k8s_openapi::api::core::v1::Secret;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};

use super::{Failure, Target};
use crate::api::store::{BucketSpec, CredentialsSpec};
use crate::api::{AssetRelease, AssetStore};
use crate::bucket::s3::{Credentials, S3Settings};
use crate::cli::{ClusterArgs, StoreArgs};
use crate::cluster::client::connect;
use crate::cluster::leader::Term;

/// A namespace of a cluster.
pub(super) struct Cluster {
    pub(super) client: Client,
    pub(super) namespace: String,
}

/// What could not be read, and why.
pub(super) fn failed(what: &str, cause: &dyn Display) -> Failure {
    Failure::Cluster { what: what.to_owned(), cause: cause.to_string() }
}

impl Cluster {
    /// As typed.
    pub(super) async fn connect(args: &ClusterArgs) -> Result<Self, Failure> {
        let mut config = config(args).await.map_err(|cause| failed("reach the cluster", &cause))?;
        // A repeated write may meet its own first success.
        config.default_retry = false;
        let namespace = args.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = connect(config, &Term::unelected()).map_err(|cause| failed("reach the cluster", &cause))?;
        Ok(Self { client, namespace })
    }

    pub(super) fn releases(&self) -> Api<AssetRelease> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(super) async fn store(&self, name: &str) -> Result<AssetStore, Failure> {
        let api: Api<AssetStore> = Api::namespaced(self.client.clone(), &self.namespace);
        api.get(name).await.map_err(|cause| failed(&format!("read AssetStore {}/{name}", self.namespace), &cause))
    }

    pub(super) async fn release(&self, name: &str) -> Result<AssetRelease, Failure> {
        self.releases().get(name).await.map_err(|cause| failed(&format!("read AssetRelease {}/{name}", self.namespace), &cause))
    }

    /// How to reach the bucket of a store or of a replica, with the keys of its Secret unless others are given.
    pub(super) async fn settings(
        &self,
        bucket: &BucketSpec,
        credentials: Option<&CredentialsSpec>,
        instead: Option<Credentials>,
    ) -> Result<S3Settings, Failure> {
        let credentials = match (instead, credentials) {
            (Some(instead), _) => instead,
            (None, None) if bucket.endpoint.is_some() => return Err(unnamed(bucket)),
            (None, None) => Credentials::Ambient,
            (None, Some(spec)) => self.keys(&spec.secret_name).await?,
        };
        Ok(S3Settings::at(bucket, credentials))
    }

    /// The replicas of a store, below the prefix of a release. An endpoint that is typed is the store's.
    pub(super) async fn replicas(&self, store: &AssetStore, prefix: &str, typed: &StoreArgs) -> Result<Vec<Target>, Failure> {
        let mut targets = Vec::new();
        for replica in &store.spec.replicas {
            let instead = typed.profile.clone().map(Credentials::Profile);
            let settings = self.settings(&replica.bucket, replica.credentials.as_ref(), instead).await;
            let settings = settings.map_err(|cause| failed(&format!("reach replica {:?}", replica.name), &cause))?;
            targets.push(Target::of_replica(replica, prefix, settings));
        }
        Ok(targets)
    }

    async fn keys(&self, name: &str) -> Result<Credentials, Failure> {
        let what = format!("read the store's keys in Secret {}/{name} (--profile takes keys of yours instead)", self.namespace);
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let secret = api.get(name).await.map_err(|cause| failed(&what, &cause))?;
        let data = secret.data.unwrap_or_default();
        let text = |key: &str| data.get(key).and_then(|bytes| String::from_utf8(bytes.0.clone()).ok()).map(|text| text.trim().to_owned());
        Credentials::of_keys(text).map_err(|key| failed(&what, &format!("it has no key {key}")))
    }
}

/// Whoever may write an AssetStore must not choose where a person's own keys sign requests.
fn unnamed(bucket: &BucketSpec) -> Failure {
    let endpoint = bucket.endpoint.as_deref().unwrap_or_default();
    let cause = format!(
        "it names no Secret, and your own keys are not used at an endpoint that it chose; allow it with --endpoint {endpoint}, or name keys with --profile"
    );
    failed(&format!("use endpoint {endpoint} of bucket {:?}", bucket.name), &cause)
}

async fn config(args: &ClusterArgs) -> Result<Config, Box<dyn std::error::Error + Send + Sync>> {
    let file = match (&args.kubeconfig, &args.context) {
        (None, None) => return Ok(Config::incluster().map_err(|_| "say which, by --kubeconfig or --context")?),
        (Some(paths), _) => merged(paths)?,
        (None, Some(_)) => Kubeconfig::read()?,
    };
    let options = KubeConfigOptions { context: args.context.clone(), ..KubeConfigOptions::default() };
    Ok(Config::from_custom_kubeconfig(file, &options).await?)
}

/// One file or several, as in `KUBECONFIG`; what an earlier one says counts.
fn merged(paths: &OsStr) -> Result<Kubeconfig, kube::config::KubeconfigError> {
    std::env::split_paths(paths).try_fold(Kubeconfig::default(), |sum, path| sum.merge(Kubeconfig::read_from(path)?))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::clock::TokioClock;
    use crate::testing::apiserver::ApiServer;
    use crate::testing::builders::{NAMESPACE, STORE_URL, store};

    fn typed(endpoint: Option<&str>) -> StoreArgs {
        StoreArgs { endpoint: endpoint.map(Into::into), region: "us-east-1".into(), path_style: None, profile: None, write_guard: None }
    }

    #[tokio::test]
    async fn an_asset_store_says_where_to_and_with_which_keys() {
        let server = ApiServer::new(Arc::new(TokioClock::starting_at(Timestamp::UNIX_EPOCH)), 1);
        let mut object = store();
        object["spec"]["credentials"] = json!({"secretName": "keys"});
        object["spec"]["bucket"]["prefix"] = json!("sites/");
        object["spec"]["bucket"]["endpoint"] = json!("http://minio.storage.svc:9000");
        server.create("user", &object).unwrap();
        let cluster = Cluster { client: server.client("publish"), namespace: NAMESPACE.into() };
        let found = cluster.store("store").await.unwrap();
        let settings = async |instead| cluster.settings(&found.spec.bucket, found.spec.credentials.as_ref(), instead).await;
        let failure = settings(None).await.unwrap_err();
        assert!(failure.to_string().contains("Secret shop/keys"), "{failure}");
        let (id, key) = ("QUtJRA==", "c2VjcmV0");
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys", "namespace": NAMESPACE},
            "data": {"accessKeyId": id, "secretAccessKey": key}});
        server.create("user", &secret).unwrap();
        let of_secret = settings(None).await.unwrap();
        let (access_key_id, secret_access_key) = ("AKID".to_owned(), "secret".to_owned());
        assert_eq!(of_secret.credentials, Credentials::Static { access_key_id, secret_access_key, session_token: None });
        let instead = settings(Some(Credentials::Profile("ci".into()))).await.unwrap();
        assert_eq!(instead.credentials, Credentials::Profile("ci".into()));

        let target = Target::of_store(&found.spec, "shop/", of_secret.clone(), &typed(None));
        assert_eq!((target.layout.prefix(), &target.base_urls[..]), ("sites/shop/", &[format!("{STORE_URL}shop/")][..]));
        assert_eq!(target.settings.endpoint.as_deref(), Some("http://minio.storage.svc:9000"));
        assert_eq!(target.hosts.len(), 1);
        let outside = Target::of_store(&found.spec, "shop/", of_secret, &typed(Some("https://s3.example.com")));
        assert_eq!(outside.settings.endpoint.as_deref(), Some("https://s3.example.com"), "from outside the cluster");
    }

    #[tokio::test]
    async fn an_asset_store_says_which_replicas_a_sweep_has_to_reach() {
        let server = ApiServer::new(Arc::new(TokioClock::starting_at(Timestamp::UNIX_EPOCH)), 1);
        let mut object = store();
        object["spec"]["replicas"] = json!([
            {"name": "eu", "bucket": {"name": "assets-eu", "prefix": "web/", "region": "eu-central-1"}},
            {"name": "us", "bucket": {"name": "assets-us", "region": "us-west-2"}, "credentials": {"secretName": "us-keys"}},
        ]);
        server.create("user", &object).unwrap();
        let cluster = Cluster { client: server.client("sweep"), namespace: NAMESPACE.into() };
        let found = cluster.store("store").await.unwrap();
        let failure = cluster.replicas(&found, "shop/", &typed(None)).await.unwrap_err().to_string();
        assert!(failure.contains("replica \"us\"") && failure.contains("Secret shop/us-keys"), "{failure}");
        let mine = StoreArgs { profile: Some("mine".into()), ..typed(Some("https://s3.example.com")) };
        let replicas = cluster.replicas(&found, "shop/", &mine).await.unwrap();
        let reached: Vec<_> =
            replicas.iter().map(|to| (&*to.settings.bucket, to.layout.prefix(), to.settings.endpoint.as_deref())).collect();
        assert_eq!(reached, [("assets-eu", "web/shop/", None), ("assets-us", "shop/", None)], "what is typed is of the store alone");
    }

    #[tokio::test]
    async fn the_current_context_is_never_taken_by_itself() {
        let args = ClusterArgs { store: None, prefix: None, namespace: None, kubeconfig: None, context: None };
        let failure = Cluster::connect(&args).await.err().expect("this is no pod");
        assert!(failure.to_string().contains("--kubeconfig or --context"), "{failure}");
    }
}
