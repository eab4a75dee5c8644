//! The real controller, over the in-process API server and S3's protocol, against a real store that is not there, has other keys, or
//! lacks the bucket; then it is mended. In real time: the sockets are real.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use rollcall::api::release::HttpReport;
use rollcall::bucket::Bucket as _;
use rollcall::bucket::s3::S3Bucket;
use rollcall::clock::SystemClock;
use rollcall::cluster::reports::{Answer, ReportReader};
use rollcall::controller::{self, Context, Outside, S3Buckets};
use rollcall::dev_store::{self, DevStore};
use rollcall::egress::{AmbientGrants, Egress};
use rollcall::manifest::WriterLock;
use rollcall::metrics::Metrics;
use rollcall::source::Workspace;
use rollcall::source::memory::MemorySource;
use rollcall::testing::apiserver::{ApiServer, Key, Kind};
use rollcall::testing::builders::{self, APP, NAMESPACE};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::bucket_contract::third_party::ThirdParty;

struct NoPods;

#[async_trait]
impl ReportReader for NoPods {
    async fn read(&self, _: Option<&Answer>, _: IpAddr, _: &HttpReport, _stage: i64, _wait: Duration) -> Result<Answer, String> {
        Err("there are no pods".into())
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A store on this port, whose only bucket is this one; it ends with the test.
pub async fn start_store(folder: &Path, port: u16, bucket: &str) -> JoinHandle<()> {
    let settings = dev_store::Settings {
        listen: SocketAddr::from(([127, 0, 0, 1], port)),
        folder: folder.to_owned(),
        buckets: vec![bucket.to_owned()],
        access_key_id: "dev".into(),
        secret_access_key: "dev-secret".into(),
    };
    let store = DevStore::bind(settings).await.unwrap();
    tokio::spawn(async move { store.serve(std::future::pending()).await.unwrap() })
}

pub fn secret(secret_access_key: &str) -> Value {
    let encoded = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys", "namespace": NAMESPACE},
        "data": {"accessKeyId": encoded("dev"), "secretAccessKey": encoded(secret_access_key)}})
}

/// The release of v1 of an application without pods, in the bucket `assets` of a store on this port; and its controller.
pub fn begin(port: u16, secret_access_key: &str) -> (ApiServer, JoinHandle<()>) {
    begin_until(std::future::pending(), port, secret_access_key)
}

fn store_at(port: u16) -> Value {
    let mut store = builders::store();
    store["spec"]["bucket"]["endpoint"] = json!(format!("http://127.0.0.1:{port}"));
    store["spec"]["bucket"]["forcePathStyle"] = json!(true);
    store["spec"]["credentials"] = json!({"secretName": "keys"});
    store
}

fn begin_until(
    shutdown: impl Future<Output = ()> + Send + Sync + 'static,
    port: u16,
    secret_access_key: &str,
) -> (ApiServer, JoinHandle<()>) {
    begin_with(shutdown, store_at(port), secret_access_key)
}

fn begin_with(
    shutdown: impl Future<Output = ()> + Send + Sync + 'static,
    store: Value,
    secret_access_key: &str,
) -> (ApiServer, JoinHandle<()>) {
    let server = ApiServer::new(Arc::new(SystemClock), 1);
    let source = Arc::new(MemorySource::new());
    source.put(&builders::build_url("v1"), builders::build("v1"));
    let namespace = |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let objects =
        [namespace("kube-system"), namespace(NAMESPACE), secret(secret_access_key), store, builders::deployment(), builders::release("v1")];
    for object in objects {
        server.create("user", &object).unwrap();
    }
    let outside = Outside {
        client: server.client("controller"),
        clock: Arc::new(SystemClock),
        buckets: Arc::new(S3Buckets::new(Egress::public_and(vec!["127.0.0.1".parse().unwrap()]))),
        source,
        reports: Arc::new(NoPods),
    };
    let workspace = Workspace::new(&std::env::temp_dir(), 1 << 30);
    let settings =
        controller::Settings { namespaces: Vec::new(), workspace, instance: "test".into(), epoch: None, ambient: AmbientGrants::default() };
    let (cx, changes) = Context::new(outside, settings, Arc::<Metrics>::default());
    (server, tokio::spawn(controller::run(cx, changes, || {}, shutdown)))
}

/// Waits until Ready of the object says this, at most a minute and a half: a store is looked at every ten seconds, and S3's client
/// tries a connection several times.
pub async fn until(server: &ApiServer, kind: &str, name: &str, verdict: &str) -> String {
    let key = Key::new(Kind::named(kind), NAMESPACE, name);
    let mut last = String::new();
    for _ in 0..900 {
        let object = server.get(&key).unwrap();
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        if let Some(ready) = conditions.iter().find(|condition| condition["type"] == "Ready") {
            last = format!("{} {}", ready["status"].as_str().unwrap(), ready["reason"].as_str().unwrap());
            let message = ready["message"].as_str().unwrap();
            if last == verdict {
                return message.to_owned();
            }
            last = format!("{last}: {message}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{kind} {name} never became {verdict}, but {last}");
}

/// I1: told on the release and on the store, and nothing points anywhere.
async fn assert_told(server: &ApiServer, reason: &str, text: &str) {
    let verdict = format!("False {reason}");
    let message = until(server, "AssetRelease", APP, &verdict).await;
    assert!(message.contains(text), "{message}");
    assert!(!message.contains("dev-secret"), "{message}");
    until(server, "AssetStore", "store", &verdict).await;
    let release = server.get(&Key::new(Kind::named("AssetRelease"), NAMESPACE, APP)).unwrap();
    assert_eq!(release["status"]["active"], Value::Null);
}

async fn assert_active(server: &ApiServer) {
    until(server, "AssetRelease", APP, "True Active").await;
    until(server, "AssetStore", "store", "True Reached").await;
}

#[tokio::test]
async fn a_release_waits_for_a_store_that_is_down() {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let (server, controller) = begin(port, "dev-secret");
    assert_told(&server, "StoreUnavailable", "the endpoint did not answer as an object store").await;
    let store = start_store(folder.path(), port, "assets").await;
    assert_active(&server).await;
    let seen = server.get(&Key::new(Kind::named("AssetStore"), NAMESPACE, "store")).unwrap();
    assert_eq!(seen["status"]["capabilities"]["createOnly"], json!("Holds"));
    controller.abort();
    store.abort();
}

/// Ambient credentials would be signed with, and their session token sent along: nothing is sent at all.
#[tokio::test]
async fn a_store_without_keys_gets_nothing_of_the_controllers_own() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let mut store = store_at(listener.local_addr().unwrap().port());
    store["spec"].as_object_mut().unwrap().remove("credentials");
    let (server, controller) = begin_with(std::future::pending(), store, "dev-secret");
    let message = until(&server, "AssetRelease", APP, "False AmbientCredentialsNotGranted").await;
    assert!(message.contains("ambientCredentials: [{namespaces: [shop], bucket: assets, endpoint: \"http://127.0.0.1:"), "{message}");
    until(&server, "AssetStore", "store", "False AmbientCredentialsNotGranted").await;
    // Both have been looked at, so whatever was to be sent has been.
    assert!(tokio::time::timeout(Duration::from_millis(50), listener.accept()).await.is_err(), "a connection was made");
    controller.abort();
}

#[tokio::test]
async fn a_release_waits_for_keys_that_the_store_knows() {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let store = start_store(folder.path(), port, "assets").await;
    let (server, controller) = begin(port, "a-wrong-secret");
    assert_told(&server, "StoreAccessDenied", "check the store's credentials").await;
    let right = secret("dev-secret");
    server.patch("user", &Key::new(Kind::named("Secret"), NAMESPACE, "keys"), &json!({"data": right["data"]})).unwrap();
    assert_active(&server).await;
    controller.abort();
    store.abort();
}

#[tokio::test]
async fn a_release_waits_for_its_bucket() {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let store = start_store(folder.path(), port, "another").await;
    let (server, controller) = begin(port, "dev-secret");
    assert_told(&server, "BucketNotFound", "create it, or correct spec.bucket").await;
    let endpoint = format!("http://127.0.0.1:{port}");
    let keys = crate::bucket_contract::over_s3::Server { endpoint: &endpoint, access_key_id: "dev", secret_access_key: "dev-secret" };
    keys.client().create_bucket().bucket("assets").send().await.unwrap();
    assert_active(&server).await;
    controller.abort();
    store.abort();
}

// I3: nothing is published where two publishers could mix their bytes.
#[tokio::test]
async fn a_release_waits_while_its_store_overwrites() {
    let racy = crate::store_probe::racy::Racy::start().await;
    let (server, controller) = begin(racy.port(), "any");
    assert_told(&server, "StoreOverwrites", "does not honour the conditions of writes: of 8 creates of one key at once").await;
    let store = server.get(&Key::new(Kind::named("AssetStore"), NAMESPACE, "store")).unwrap();
    let found = &store["status"]["capabilities"];
    assert_eq!((&found["createOnly"], &found["checksumVerified"]), (&json!("Ignored"), &json!("Holds")), "{found}");
    let requests = racy.requests();
    assert!(requests <= 160, "it is tried out once, not for each look: {requests}");
    controller.abort();
}

// I3: the guard is an explicit wish, and with it one controller at a time writes.
#[tokio::test]
async fn with_the_guard_of_a_single_writer_a_release_goes_into_a_store_that_overwrites() {
    let Some(rclone) = ThirdParty::rclone().await else { return };
    let keys = rclone.server();
    keys.client().create_bucket().bucket("assets").send().await.unwrap();
    let stop = CancellationToken::new();
    let port = keys.endpoint.rsplit(':').next().unwrap().parse().unwrap();
    let (server, controller) = begin_until(stop.clone().cancelled_owned(), port, "any");
    let encoded = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let data = json!({"accessKeyId": encoded(keys.access_key_id), "secretAccessKey": encoded(keys.secret_access_key)});
    server.patch("user", &Key::new(Kind::named("Secret"), NAMESPACE, "keys"), &json!({"data": data})).unwrap();
    assert_told(&server, "StoreOverwrites", "overwrote the first").await;
    let guard = json!({"spec": {"writeGuard": "SingleWriter"}});
    server.patch("user", &Key::new(Kind::named("AssetStore"), NAMESPACE, "store"), &guard).unwrap();
    assert_active(&server).await;
    let bucket = S3Bucket::connect(&keys.settings("assets")).unwrap();
    let lock = held(&bucket).await;
    // The instance "test", hashed.
    assert_eq!(lock.holder, "controller on host 9f86d081");
    stop.cancel();
    controller.await.unwrap();
    assert_eq!(held(&bucket).await.until, None, "it was given back, so that the next one need not wait for its time");
}

async fn held(bucket: &S3Bucket) -> WriterLock {
    let mut listed = bucket.list("", None).await.unwrap().objects.into_iter();
    let place = listed.find(|listed| listed.key.ends_with(".rollcall/lock.json")).expect("it was taken").key;
    serde_json::from_slice(&bucket.get(&place, 4096).await.unwrap().unwrap()).unwrap()
}
