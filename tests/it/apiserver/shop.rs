//! A small shop in a namespace of a real API server, and the real controller over it with rights of its own; each request that the
//! controller makes is noted as the right that it needs. Never lets the controller's requests pass as an administrator's.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, ServiceAccount};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, Config, Resource};
use rollcall::api::pointer::PROTOCOL;
use rollcall::api::release::HttpReport;
use rollcall::api::store::WriteGuard;
use rollcall::api::{AssetRelease, AssetStore, Pointer, Report, conditions};
use rollcall::bucket::memory::MemoryBucket;
use rollcall::bucket::probe::Capabilities;
use rollcall::bucket::s3::S3Settings;
use rollcall::bucket::{Bucket, BucketError};
use rollcall::clock::SystemClock;
use rollcall::cluster::reports::{Answer, ReportReader};
use rollcall::controller::{self, Buckets, Context, Outside, Settings};
use rollcall::egress::AmbientGrants;
use rollcall::metrics::Metrics;
use rollcall::source::Workspace;
use rollcall::source::memory::MemorySource;
use rollcall::testing::builders;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tower::service_fn;

use super::Server;

/// The Secret with the keys of the shop's store.
pub(super) const KEYS: &str = "bucket-keys";

const POINTER: &str = "shop-assets";
const RELEASE: &str = "shop";

/// Longest time for one step of a release: a hundred times what it takes, for machines that are busy with other work.
const STEP_MAX: Duration = Duration::from_secs(150);

/// Longest time for a whole life of a release.
const LIFE_MAX: Duration = Duration::from_secs(300);

/// `group/resource verb` -> the last status code with which it was answered, refusals kept.
#[derive(Clone, Default)]
pub(super) struct Noted(Arc<watch::Sender<BTreeMap<String, u16>>>);

impl Noted {
    /// What was asked so far.
    pub(super) fn all(&self) -> BTreeMap<String, u16> {
        self.0.borrow().clone()
    }

    /// Waits until this was answered with 403.
    pub(super) async fn refused(&self, right: &str) -> Result<(), String> {
        let mut seen = self.0.subscribe();
        let refused = seen.wait_for(|noted| noted.get(right) == Some(&403));
        let answer = tokio::time::timeout(LIFE_MAX, refused).await.map(|_| ());
        answer.map_err(|_| format!("nothing needs {right}; asked was {:?}", self.all()))
    }

    fn note(&self, right: String, code: u16) {
        self.0.send_modify(|noted| {
            let kept = noted.entry(right).or_insert(code);
            *kept = if *kept == 403 { 403 } else { code };
        });
    }

    /// This client, whose requests are noted.
    pub(super) fn by(&self, client: Client) -> Client {
        let noted = self.clone();
        let service = service_fn(move |request: http::Request<kube::client::Body>| {
            let (client, noted) = (client.clone(), noted.clone());
            let right = right(request.method(), request.uri());
            async move {
                let answer = client.send(request).await;
                if let Ok(answer) = &answer {
                    noted.note(right, answer.status().as_u16());
                }
                answer
            }
        });
        Client::new(service, "default")
    }
}

/// What RBAC asks about a request: the API server's own reading of method and path.
fn right(method: &http::Method, uri: &http::Uri) -> String {
    let mut parts: Vec<&str> = uri.path().trim_matches('/').split('/').collect();
    let group = if parts[0] == "api" { "" } else { parts[1] };
    parts.drain(..if group.is_empty() { 2 } else { 3 });
    if parts[0] == "namespaces" && parts.len() > 2 {
        parts.drain(..2);
    }
    let is_watch = uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "watch=true"));
    let verb = match (method.as_str(), parts.len()) {
        ("GET", 1) if is_watch => "watch",
        ("GET", 1) => "list",
        ("GET", _) => "get",
        ("POST", _) => "create",
        ("PATCH", _) => "patch",
        ("PUT", _) => "update",
        ("DELETE", _) => "delete",
        _ => "unknown",
    };
    let resource = parts.get(2).map_or_else(|| parts[0].to_owned(), |sub| format!("{}/{sub}", parts[0]));
    format!("{group}/{resource} {verb}")
}

/// Every bucket is this one.
struct One(Arc<MemoryBucket>);

#[async_trait]
impl Buckets for One {
    fn open(&self, _settings: &S3Settings) -> Result<Arc<dyn Bucket>, BucketError> {
        Ok(self.0.clone())
    }

    async fn probe(&self, _settings: &S3Settings, _store_prefix: &str, _guard: WriteGuard) -> Result<Capabilities, BucketError> {
        Ok(Capabilities::strict())
    }
}

/// Pods that have whatever the pointer wants.
struct Pods {
    client: Client,
    namespace: String,
}

#[async_trait]
impl ReportReader for Pods {
    async fn read(&self, _: Option<&Answer>, address: IpAddr, _: &HttpReport, _: i64, _: Duration) -> Result<Answer, String> {
        let pods = Api::<Pod>::namespaced(self.client.clone(), &self.namespace).list(&ListParams::default()).await;
        let address = address.to_string();
        let is_it = |pod: &Pod| pod.status.as_ref().is_some_and(|status| status.pod_ip.as_deref() == Some(address.as_str()));
        let pod = pods.map_err(|error| error.to_string())?.items.into_iter().find(is_it).ok_or("no such pod")?;
        let pointer = pointer(&self.client, &self.namespace).await.ok_or("no pointer")?;
        let mut available: Vec<_> = pointer.wanted().iter().map(|version| version.digest.clone()).collect();
        available.sort();
        let report = Report {
            protocol: PROTOCOL,
            pointer: None,
            pod_uid: pod.metadata.uid.unwrap_or_default(),
            instance: "life-1".into(),
            joining: false,
            stage: pointer.stage,
            sequence: pointer.sequence,
            available,
            serving: pointer.active.as_ref().map(|active| active.digest.clone()),
            serving_sequence: None,
            problem: None,
        };
        Ok(Answer::without_tag(report.to_json()))
    }
}

async fn pointer(client: &Client, namespace: &str) -> Option<Pointer> {
    let map = Api::<ConfigMap>::namespaced(client.clone(), namespace).get_opt(POINTER).await.ok()??;
    Pointer::parse(map.data?.get("pointer.json")?).ok()
}

/// A client that impersonates this user, with the groups of a ServiceAccount if the user is one.
pub(super) fn client_of(server: &Server, user: &str) -> Client {
    let mut config: Config = server.config.clone();
    config.default_retry = false;
    config.auth_info.impersonate = Some(user.to_owned());
    let mut groups = vec!["system:authenticated".to_owned()];
    if let Some((namespace, _)) = user.strip_prefix("system:serviceaccount:").and_then(|account| account.split_once(':')) {
        groups.extend(["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")]);
    }
    config.auth_info.impersonate_groups = Some(groups);
    rollcall::cluster::client::connect(config, &rollcall::cluster::leader::Term::unelected()).unwrap()
}

/// A shop without a store and a release, and the controller that looks after its namespace.
pub(super) struct Shop {
    client: Client,
    namespace: String,
    /// What the controller asked for.
    pub(super) noted: Noted,
    ready: watch::Receiver<bool>,
    controller: JoinHandle<()>,
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.controller.abort();
    }
}

impl Shop {
    /// Opens it in this namespace; the controller has the rights of this user.
    pub(super) async fn open(server: &Server, namespace: &str, user: &str) -> Self {
        let client = server.client.clone();
        let keys = json!({"metadata": {"name": KEYS}, "stringData": {"accessKeyId": "a", "secretAccessKey": "b"}});
        create::<Secret>(&client, namespace, keys).await;
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
        until("the namespace's ServiceAccount", async || accounts.get_opt("default").await.unwrap().is_some()).await;
        for (number, (kind, name)) in [("Deployment", "web"), ("StatefulSet", "state"), ("DaemonSet", "edge")].into_iter().enumerate() {
            make_workload(&client, namespace, kind, name).await;
            make_pod(&client, namespace, &format!("pod-of-{name}"), name, &format!("10.99.0.{number}"), None).await;
        }
        let (ready_in, ready) = watch::channel(false);
        let noted = Noted::default();
        let source = MemorySource::new();
        for version in ["v1", "v2"] {
            source.put(&builders::build_url(version), builders::build(version));
        }
        let outside = Outside {
            client: noted.by(client_of(server, user)),
            clock: Arc::new(SystemClock),
            buckets: Arc::new(One(Arc::new(MemoryBucket::named(builders::BUCKET, Arc::new(SystemClock))))),
            source: Arc::new(source),
            reports: Arc::new(Pods { client: client.clone(), namespace: namespace.to_owned() }),
        };
        let settings = Settings {
            namespaces: vec![namespace.to_owned()],
            workspace: Workspace::new(&std::env::temp_dir(), 1 << 30),
            instance: "test".into(),
            epoch: None,
            ambient: AmbientGrants(Vec::new()),
        };
        let (context, changes) = Context::new(outside, settings, Arc::<Metrics>::default());
        let on_ready = move || {
            ready_in.send_replace(true);
        };
        let controller = tokio::spawn(controller::run(context, changes, on_ready, std::future::pending()));
        Self { client, namespace: namespace.to_owned(), noted, ready, controller }
    }

    /// The whole life of a release: it waits for its AssetStore, becomes active, its pointer is deleted, a pod terminates, the node of
    /// another pod does not exist, a second version becomes active, and the release is deleted.
    pub(super) async fn trade(&mut self) {
        self.ready.wait_for(|is_ready| *is_ready).await.unwrap();
        create::<AssetRelease>(&self.client, &self.namespace, release()).await;
        until("the question for the AssetStore", async || self.noted.all().contains_key("rollcall.dev/assetstores get")).await;
        create::<AssetStore>(&self.client, &self.namespace, store()).await;
        self.is_active("v1").await;
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        maps.delete(POINTER, &DeleteParams::default()).await.unwrap();
        self.is_active("v1").await;
        self.release_past_lost_pods().await;
        self.releases().delete(RELEASE, &DeleteParams::default()).await.unwrap();
        until("the end of the release", async || self.releases().get_opt(RELEASE).await.unwrap().is_none()).await;
    }

    async fn release_past_lost_pods(&self) {
        let lost = format!("gone-{}", self.namespace);
        make_pod(&self.client, &self.namespace, "leaving", "web", "10.99.1.1", Some(&lost)).await;
        make_pod(&self.client, &self.namespace, "lost", "web", "", Some(&lost)).await;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        pods.delete("leaving", &DeleteParams::default()).await.unwrap();
        let version = json!({"spec": {"version": "v2", "source": builders::source("v2")}});
        self.releases().patch(RELEASE, &PatchParams::default(), &Patch::Merge(&version)).await.unwrap();
        until("the question for the node", async || self.noted.all().contains_key("/nodes get")).await;
        for pod in ["leaving", "lost"] {
            pods.delete(pod, &DeleteParams::default().grace_period(0)).await.unwrap();
        }
        self.is_active("v2").await;
    }

    fn releases(&self) -> Api<AssetRelease> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The pointer is there and the status says the same.
    async fn is_active(&self, version: &str) {
        until(&format!("{version} in {}", self.namespace), async || {
            let pointed = pointer(&self.client, &self.namespace).await.and_then(|pointer| pointer.active);
            let ready = self.condition().await.is_some_and(|reason| reason == "Active");
            pointed.is_some_and(|active| active.version == version) && ready
        })
        .await;
    }

    /// Reason of the release's condition Ready.
    pub(super) async fn condition(&self) -> Option<String> {
        let status = self.releases().get_opt(RELEASE).await.unwrap()?.status?;
        status.conditions.into_iter().find(|condition| condition.type_ == conditions::READY).map(|ready| ready.reason)
    }
}

/// Looks again and again until it is so.
pub(super) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = tokio::time::Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < STEP_MAX, "{what} is waited for in vain");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn create<K>(client: &Client, namespace: &str, body: Value)
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope> + Serialize + DeserializeOwned + Clone + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    api.create(&PostParams::default(), &serde_json::from_value(body).unwrap()).await.unwrap();
}

fn store() -> Value {
    json!({"apiVersion": "rollcall.dev/v1alpha1", "kind": "AssetStore", "metadata": {"name": "store"}, "spec": {
        "bucket": {"name": builders::BUCKET, "region": "us-east-1"}, "publicUrl": builders::STORE_URL,
        "credentials": {"secretName": KEYS},
    }})
}

fn release() -> Value {
    let targets: Vec<Value> = [("Deployment", "web"), ("StatefulSet", "state"), ("DaemonSet", "edge")]
        .map(|(kind, name)| builders::target(kind, name, builders::Sidecar::HttpAgent))
        .into();
    json!({"apiVersion": "rollcall.dev/v1alpha1", "kind": "AssetRelease", "metadata": {"name": RELEASE}, "spec": {
        "storeRef": {"name": "store"}, "prefix": "shop/", "version": "v1", "source": builders::source("v1"),
        "targets": targets, "pointer": {"configMapName": POINTER},
    }})
}

fn template(app: &str) -> Value {
    let secure = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    json!({"metadata": {"labels": {"app": app}}, "spec": {
        "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{
            "name": "web", "image": "none.invalid/none", "securityContext": secure, "ports": [{"containerPort": builders::REPORT_PORT}],
        }],
        "nodeSelector": {"no": "node"},
    }})
}

/// Its own controllers make no pods: there is no node, and none are wanted.
async fn make_workload(client: &Client, namespace: &str, kind: &str, name: &str) {
    let mut body = json!({"metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"app": name}}, "template": template(name)}});
    match kind {
        "DaemonSet" => return create::<DaemonSet>(client, namespace, body).await,
        "StatefulSet" => body["spec"]["serviceName"] = json!(name),
        _ => {}
    }
    body["spec"]["replicas"] = json!(0);
    match kind {
        "StatefulSet" => create::<StatefulSet>(client, namespace, body).await,
        _ => create::<Deployment>(client, namespace, body).await,
    }
}

/// A pod that answers at this address, or one that is not Ready without an address.
async fn make_pod(client: &Client, namespace: &str, name: &str, app: &str, address: &str, node: Option<&str>) {
    let mut body = template(app);
    body["metadata"]["name"] = json!(name);
    if let Some(node) = node {
        body["spec"]["nodeName"] = json!(node);
        body["spec"].as_object_mut().unwrap().remove("nodeSelector");
    }
    create::<Pod>(client, namespace, body).await;
    let ready = json!({"type": "Ready", "status": if address.is_empty() { "False" } else { "True" }});
    let status = match address {
        "" => json!({"status": {"phase": "Running", "conditions": [ready]}}),
        address => json!({"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": [ready]}}),
    };
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    pods.patch_status(name, &PatchParams::default(), &Patch::Strategic(&status)).await.unwrap();
}
