//! The whole loop over an API server and a store in memory, in paused time.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Mutex;

use bytes::Bytes;
use futures::StreamExt as _;
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use jiff::Timestamp;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::*;
use crate::agent::fetch::{Fetch, FetchError, Pieces};
use crate::agent::mirror::Memory;
use crate::agent::testing::{asset, entry, pointed};
use crate::agent::{Identity, Settings};
use crate::api::{Pointer, Report};
use crate::clock::TokioClock;
use crate::manifest::Manifest;

const BASE: &str = "http://store/shop/";

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// A pointer, one pod's condition, and what was asked for, in order.
#[derive(Default)]
struct Api {
    version: u64,
    pointer: Option<String>,
    watchers: Vec<mpsc::UnboundedSender<String>>,
    conditions: Vec<Value>,
    requests: Vec<String>,
    /// Every answer but those of open watches has this status instead.
    failing: Option<u16>,
    /// New watches open and say nothing.
    silent: bool,
}

impl Api {
    fn object(&self, pointer: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "shop", "namespace": "web", "resourceVersion": self.version.to_string()},
            "data": {"pointer.json": pointer},
        })
    }

    fn tell(&mut self, kind: &str, object: &Value) {
        let line = format!("{}\n", json!({"type": kind, "object": object}));
        self.watchers.retain(|watcher| watcher.send(line.clone()).is_ok());
    }

    fn write(&mut self, pointer: Option<&Pointer>) {
        self.version += 1;
        let before = std::mem::replace(&mut self.pointer, pointer.map(Pointer::to_json));
        let (kind, text) = match (&before, &self.pointer) {
            (_, Some(now)) => ("MODIFIED", now.clone()),
            (Some(before), None) => ("DELETED", before.clone()),
            (None, None) => return,
        };
        let object = self.object(&text);
        self.tell(kind, &object);
    }

    fn answer(&mut self, method: &Method, uri: &http::Uri, body: &[u8]) -> Answer {
        let query = uri.query().unwrap_or_default();
        let watch = query.contains("watch=true");
        let name = if watch { "WATCH".to_owned() } else { method.to_string() };
        self.requests.push(format!("{name} {}", uri.path()));
        if let Some(status) = self.failing {
            return whole(status, &json!({"kind": "Status", "status": "Failure", "message": "down", "reason": "Down", "code": status}));
        }
        if watch {
            assert!(query.contains("fieldSelector=metadata.name%3Dshop") && query.contains("resourceVersion="), "{query}");
            return self.watch();
        }
        if *method == Method::PATCH {
            let patch: Value = serde_json::from_slice(body).unwrap();
            self.conditions.push(patch["status"]["conditions"][0].clone());
            return whole(200, &json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "shop-0"}}));
        }
        assert!(!query.contains("resourceVersion"), "a quorum read: {query}");
        match &self.pointer {
            Some(pointer) => whole(200, &self.object(pointer)),
            None => whole(404, &json!({"kind": "Status", "status": "Failure", "message": "none", "reason": "NotFound", "code": 404})),
        }
    }

    fn watch(&mut self) -> Answer {
        let (sender, receiver) = mpsc::unbounded_channel();
        if !self.silent {
            self.watchers.push(sender.clone());
        }
        // An open connection whose sender stays alive, whether anything is told or not.
        let lines = futures::stream::unfold((receiver, sender), |(mut receiver, sender)| async move {
            let line: String = receiver.recv().await?;
            Some((Ok(Frame::data(Bytes::from(line))), (receiver, sender)))
        });
        Response::new(StreamBody::new(lines).boxed_unsync())
    }
}

fn whole(status: u16, body: &Value) -> Answer {
    let body = Full::new(Bytes::from(body.to_string())).boxed_unsync();
    Response::builder().status(status).body(body).unwrap()
}

/// A store in memory.
#[derive(Default)]
struct Store(Mutex<BTreeMap<String, Bytes>>);

#[async_trait::async_trait]
impl Fetch for Store {
    async fn get(&self, url: &str) -> Result<Pieces, FetchError> {
        let bytes = self.0.lock().unwrap().get(url).cloned();
        let bytes = bytes.ok_or_else(|| FetchError::Missing { url: url.into(), status: 404 })?;
        Ok(futures::stream::iter([Ok(bytes)]).boxed())
    }
}

struct World {
    api: Arc<Mutex<Api>>,
    store: Arc<Store>,
    mirror: Arc<Memory>,
}

impl World {
    fn new() -> Self {
        Self { api: Arc::default(), store: Arc::default(), mirror: Arc::default() }
    }

    fn api(&self) -> std::sync::MutexGuard<'_, Api> {
        self.api.lock().unwrap()
    }

    fn publish(&self, version: &str) -> PointedVersion {
        let script = asset(&format!("assets/app-{version}.js"), version.as_bytes());
        let page = entry("index.html", format!("page {version}").as_bytes());
        let mut objects = self.store.0.lock().unwrap();
        objects.insert(format!("{BASE}{}", script.key()), Bytes::from(version.to_owned()));
        objects.insert(format!("{BASE}{}", page.key()), Bytes::from(format!("page {version}")));
        let manifest = Manifest::new(vec![script, page]);
        let pointed = pointed(version, &manifest, BASE);
        objects.insert(pointed.manifest_url.clone(), manifest.to_bytes().into());
        pointed
    }

    fn context(&self, instance: &str, settings: Settings) -> Context {
        let api = Arc::clone(&self.api);
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = Arc::clone(&api);
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
                Ok::<_, String>(api.lock().unwrap().answer(&head.method, &head.uri, &body))
            }
        });
        let identity = Identity { namespace: "web".into(), pod_name: "shop-0".into(), pod_uid: "uid-0".into(), instance: instance.into() };
        Context {
            client: kube::Client::new(service, "web"),
            fetch: self.store.clone(),
            mirror: self.mirror.clone(),
            clock: Arc::new(TokioClock::starting_at(Timestamp::from_second(1_800_000_000).unwrap())),
            identity,
            settings,
        }
    }

    fn start(&self, instance: &str) -> JoinHandle<Result<(), AgentError>> {
        let settings = Settings { age_floor: Duration::from_secs(600), load_spread: Duration::ZERO, ..Settings::new("shop") };
        tokio::spawn(run(self.context(instance, settings), std::future::pending()))
    }

    fn condition(&self) -> Value {
        self.api().conditions.last().cloned().unwrap_or_default()
    }

    fn report(&self) -> Report {
        Report::parse(self.condition()["message"].as_str().unwrap()).unwrap()
    }

    fn is_ready(&self) -> bool {
        self.condition()["status"] == "True"
    }

    fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.api().requests)
    }
}

const PATCH: &str = "PATCH /api/v1/namespaces/web/pods/shop-0/status";
const GET: &str = "GET /api/v1/namespaces/web/configmaps/shop";
const WATCH: &str = "WATCH /api/v1/namespaces/web/configmaps";

async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

fn staged_and_flipped(pointer: &Pointer, version: PointedVersion) -> Pointer {
    pointer.staged(version, Timestamp::UNIX_EPOCH).flipped(Timestamp::UNIX_EPOCH)
}

/// I2: announce, have it acknowledged, read by quorum, watch from there, and only then Ready.
#[tokio::test(start_paused = true)]
async fn a_pod_announces_itself_reads_the_pointer_loads_and_becomes_ready() {
    let world = World::new();
    let version = world.publish("v1");
    world.api().write(Some(&staged_and_flipped(&Pointer::empty(), version.clone())));
    let _agent = world.start("a");
    seconds(1).await;
    let requests = world.requests();
    assert_eq!(requests[..3], [PATCH, GET, WATCH].map(String::from), "{requests:?}");
    let first = world.api().conditions[0].clone();
    assert_eq!((first["status"].as_str(), first["reason"].as_str()), (Some("False"), Some("Joining")));
    assert!(Report::parse(first["message"].as_str().unwrap()).unwrap().joining);
    assert!(world.is_ready());
    assert_eq!((world.report().instance.as_str(), world.report().serving), ("a", Some(version.digest.clone())));
    let (current, map) = world.mirror.current().unwrap();
    assert_eq!((current, map.contains("assets/app-v1.js")), (version.digest, true));
}

#[tokio::test(start_paused = true)]
async fn a_whole_release_is_followed_by_the_watch_alone() {
    let world = World::new();
    let first = staged_and_flipped(&Pointer::empty(), world.publish("v1"));
    world.api().write(Some(&first));
    let _agent = world.start("a");
    seconds(1).await;
    world.requests();
    let candidate = world.publish("v2");
    let staged = first.staged(candidate.clone(), Timestamp::UNIX_EPOCH);
    world.api().write(Some(&staged));
    seconds(1).await;
    assert!(world.report().has(&candidate.digest, 2) && world.is_ready());
    world.api().write(Some(&staged.flipped(Timestamp::UNIX_EPOCH)));
    seconds(1).await;
    assert_eq!(world.report().serving, Some(candidate.digest));
    assert!(world.requests().iter().all(|request| request == PATCH));
}

/// I2: the announcement comes first, however long it takes.
#[tokio::test(start_paused = true)]
async fn without_an_acknowledged_announcement_nothing_is_read() {
    let world = World::new();
    world.api().write(Some(&staged_and_flipped(&Pointer::empty(), world.publish("v1"))));
    world.api().failing = Some(503);
    let _agent = world.start("a");
    seconds(120).await;
    let requests = world.requests();
    assert!(requests.len() > 2 && requests.iter().all(|request| request == PATCH), "{requests:?}");
    world.api().failing = None;
    seconds(60).await;
    assert!(world.is_ready());
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_costs_nothing_but_time() {
    let world = World::new();
    let first = staged_and_flipped(&Pointer::empty(), world.publish("v1"));
    world.api().write(Some(&first));
    let _agent = world.start("a");
    seconds(1).await;
    world.api().failing = Some(500);
    world.api().watchers.clear();
    seconds(300).await;
    let (current, _) = world.mirror.current().unwrap();
    assert_eq!(Some(current), first.active.as_ref().map(|version| version.digest.clone()));
    let requests = world.requests().len();
    assert!(requests < 200, "it does not hammer: {requests} requests in 300 s");
    let candidate = world.publish("v2");
    world.api().write(Some(&first.staged(candidate.clone(), Timestamp::UNIX_EPOCH)));
    world.api().failing = None;
    seconds(60).await;
    assert!(world.report().has(&candidate.digest, 2) && world.is_ready());
}

/// A connection that died without a word.
#[tokio::test(start_paused = true)]
async fn a_silent_watch_hides_a_change_for_no_longer_than_its_life() {
    let world = World::new();
    let first = staged_and_flipped(&Pointer::empty(), world.publish("v1"));
    world.api().write(Some(&first));
    world.api().silent = true;
    let _agent = world.start("a");
    seconds(5).await;
    let candidate = world.publish("v2");
    world.api().write(Some(&first.staged(candidate.clone(), Timestamp::UNIX_EPOCH)));
    seconds(50).await;
    assert!(!world.report().has(&candidate.digest, 2));
    seconds(20).await;
    assert!(world.report().has(&candidate.digest, 2));
}

#[tokio::test(start_paused = true)]
async fn an_expired_watch_is_begun_again_with_a_read() {
    let world = World::new();
    world.api().write(Some(&staged_and_flipped(&Pointer::empty(), world.publish("v1"))));
    let _agent = world.start("a");
    seconds(30).await;
    world.requests();
    let expired = json!({"kind": "Status", "status": "Failure", "message": "too old", "reason": "Expired", "code": 410});
    world.api().tell("ERROR", &expired);
    seconds(5).await;
    assert_eq!(world.requests(), [GET, WATCH]);
}

#[tokio::test(start_paused = true)]
async fn a_pointer_that_appears_later_or_goes_away_is_noticed() {
    let world = World::new();
    let _agent = world.start("a");
    seconds(60).await;
    assert!(!world.report().joining && !world.is_ready());
    let first = staged_and_flipped(&Pointer::empty(), world.publish("v1"));
    world.api().write(Some(&first));
    seconds(6).await;
    assert!(world.is_ready());
    world.api().write(None);
    seconds(5).await;
    assert!(world.is_ready() && world.report().problem.unwrap().contains("gone"));
    world.api().write(Some(&first));
    seconds(6).await;
    assert_eq!(world.report().problem, None);
}

/// I12, and recovery without a restart.
#[tokio::test(start_paused = true)]
async fn a_candidate_that_the_store_lacks_is_a_problem_until_it_is_there() {
    let world = World::new();
    let first = staged_and_flipped(&Pointer::empty(), world.publish("v1"));
    world.api().write(Some(&first));
    let _agent = world.start("a");
    seconds(1).await;
    let candidate = world.publish("v2");
    let missing = format!("{BASE}assets/app-v2.js");
    let bytes = world.store.0.lock().unwrap().remove(&missing).unwrap();
    world.api().write(Some(&first.staged(candidate.clone(), Timestamp::UNIX_EPOCH)));
    seconds(10).await;
    assert!(world.is_ready() && world.report().problem.unwrap().contains(&missing));
    world.store.0.lock().unwrap().insert(missing, bytes);
    seconds(31).await;
    assert!(world.report().has(&candidate.digest, 2));
    assert_eq!(world.report().problem, None);
}

/// I2: withdrawn, acknowledged, read again, deleted, in this order on the wire.
#[tokio::test(start_paused = true)]
async fn an_old_version_is_withdrawn_before_it_is_deleted() {
    let world = World::new();
    let mut pointer = Pointer::empty();
    let _agent = world.start("a");
    for name in ["v1", "v2", "v3"] {
        pointer = staged_and_flipped(&pointer, world.publish(name));
        world.api().write(Some(&pointer));
        seconds(10).await;
    }
    assert_eq!(world.mirror.digests().len(), 3);
    seconds(560).await;
    world.requests();
    seconds(40).await;
    let requests: Vec<String> = world.requests().into_iter().filter(|request| !request.starts_with("WATCH")).collect();
    assert!(requests.ends_with(&[PATCH.to_owned(), GET.to_owned()]), "{requests:?}");
    assert_eq!(requests.iter().filter(|request| *request == PATCH).count(), 1);
    assert_eq!((world.mirror.digests().len(), world.report().available.len()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_killed_and_begins_again_has_what_it_had() {
    let world = World::new();
    world.api().write(Some(&staged_and_flipped(&Pointer::empty(), world.publish("v1"))));
    let agent = world.start("a");
    seconds(1).await;
    agent.abort();
    world.store.0.lock().unwrap().clear();
    world.api().conditions.clear();
    let _next = world.start("b");
    seconds(5).await;
    assert_eq!(world.api().conditions[0]["status"], "False", "a new life announces itself first");
    assert!(world.is_ready());
    assert_eq!(world.report().instance, "b");
}

#[tokio::test(start_paused = true)]
async fn the_time_of_the_condition_changes_only_with_its_status() {
    let world = World::new();
    let first = staged_and_flipped(&Pointer::empty(), world.publish("v1"));
    world.api().write(Some(&first));
    let _agent = world.start("a");
    seconds(5).await;
    let became_ready = world.condition()["lastTransitionTime"].clone();
    assert_eq!(became_ready, "2027-01-15T08:00:00Z");
    world.api().write(Some(&first.staged(world.publish("v2"), Timestamp::UNIX_EPOCH)));
    seconds(5).await;
    assert_eq!((world.report().stage, world.condition()["lastTransitionTime"].clone()), (2, became_ready));
}

#[tokio::test(start_paused = true)]
async fn without_servers_a_request_to_stop_ends_the_agent_at_once() {
    let world = World::new();
    let agent = run(world.context("a", Settings::new("shop")), sleep(Duration::from_secs(3)));
    tokio::time::timeout(Duration::from_secs(4), agent).await.unwrap().unwrap();
}

fn free_address() -> std::net::SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

async fn status(address: std::net::SocketAddr, path: &str) -> u16 {
    reqwest::get(format!("http://{address}{path}")).await.map_or(0, |answer| answer.status().as_u16())
}

/// Polls for at most five seconds; real sockets know no paused time.
async fn until(address: std::net::SocketAddr, path: &str, expected: u16) {
    for _ in 0..500 {
        if status(address, path).await == expected {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("{path} never answered {expected}");
}

#[tokio::test]
async fn a_request_to_stop_takes_readiness_away_and_lets_visitors_finish() {
    let world = World::new();
    world.api().write(Some(&staged_and_flipped(&Pointer::empty(), world.publish("v1"))));
    let (site, pod) = (free_address(), free_address());
    let settings = Settings {
        listen_site: Some(site),
        listen_pod: Some(pod),
        channel: ReportChannel::Http,
        drain: Duration::from_secs(1),
        ..Settings::new("shop")
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let agent = tokio::spawn(run(world.context("a", settings), async { stopped.await.unwrap() }));
    until(pod, "/readyz", 200).await;
    until(site, "/", 200).await;
    assert_eq!((status(site, "/").await, status(site, "/assets/app-v1.js").await), (200, 200));
    assert!(world.api().conditions.is_empty(), "the HTTP channel writes nothing");
    stop.send(()).unwrap();
    until(pod, "/readyz", 503).await;
    assert_eq!(status(site, "/").await, 200);
    agent.await.unwrap().unwrap();
    assert_eq!(status(site, "/").await, 0);
}

/// A Service still leads to an agent that restarts: a connection that is refused is tried at another pod, and a 503 is not.
#[tokio::test]
async fn visitors_are_refused_until_there_is_something_to_serve() {
    let world = World::new();
    let (site, pod) = (free_address(), free_address());
    let settings = Settings { listen_site: Some(site), listen_pod: Some(pod), channel: ReportChannel::Http, ..Settings::new("shop") };
    let agent = tokio::spawn(run(world.context("a", settings), std::future::pending()));
    until(pod, "/healthz", 200).await;
    assert!(tokio::net::TcpStream::connect(site).await.is_err());
    world.api().write(Some(&staged_and_flipped(&Pointer::empty(), world.publish("v1"))));
    until(pod, "/readyz", 200).await;
    until(site, "/", 200).await;
    agent.abort();
}

/// What the connection says until the server closes it.
async fn raw(address: std::net::SocketAddr, path: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
    connection.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut said = String::new();
    connection.read_to_string(&mut said).await.unwrap();
    said
}

/// The application shares the volume; the agent must not show what only the agent may read.
#[tokio::test]
async fn a_link_that_the_application_puts_on_the_volume_is_never_followed() {
    let (world, volume) = (World::new(), tempfile::TempDir::new().unwrap());
    let secret = volume.path().join("token");
    std::fs::write(&secret, "a token").unwrap();
    world.api().write(Some(&staged_and_flipped(&Pointer::empty(), world.publish("v1"))));
    let (site, pod) = (free_address(), free_address());
    let settings = Settings { listen_site: Some(site), listen_pod: Some(pod), channel: ReportChannel::Http, ..Settings::new("shop") };
    let mirror = crate::agent::mirror::Disk::open(&volume.path().join("mirror")).unwrap();
    let context = Context { mirror: Arc::new(mirror), ..world.context("a", settings) };
    let agent = tokio::spawn(run(context, std::future::pending()));
    until(pod, "/readyz", 200).await;
    until(site, "/", 200).await;
    let right = raw(site, "/assets/app-v1.js").await;
    for target in [secret.as_path(), std::path::Path::new("/etc/hostname")] {
        for object in std::fs::read_dir(volume.path().join("mirror/objects")).unwrap() {
            let object = object.unwrap().path();
            // The agent may be mending them meanwhile.
            let _raced = std::fs::remove_file(&object).and_then(|()| std::os::unix::fs::symlink(target, &object));
        }
        let body = |answer: &str| answer.split_once("\r\n\r\n").unwrap().1.to_owned();
        let mut answer = body(&raw(site, "/assets/app-v1.js").await);
        // What the links replaced may be on its way from the store.
        let mut tries = 0..500;
        while answer == "not here yet, come again\n" && tries.next().is_some() {
            sleep(Duration::from_millis(10)).await;
            answer = body(&raw(site, "/assets/app-v1.js").await);
        }
        assert_eq!(answer, body(&right), "{}", target.display());
        until(pod, "/readyz", 200).await;
    }
    assert!(!raw(pod, "/metrics").await.contains("rollcall_agent_changed_files_total 0"));
    agent.abort();
}

#[tokio::test]
async fn an_address_that_is_taken_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let world = World::new();
    let settings = Settings { listen_site: Some(address), ..Settings::new("shop") };
    let error = run(world.context("a", settings), std::future::pending()).await.unwrap_err();
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

/// The application is asked again and again, and believed only while it answers.
#[tokio::test]
async fn an_application_that_is_polled_confirms_what_it_renders() {
    let world = World::new();
    let version = world.publish("v1");
    world.api().write(Some(&staged_and_flipped(&Pointer::empty(), version.clone())));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/version", listener.local_addr().unwrap());
    let router = axum::Router::new().route("/version", axum::routing::get(|| async { r#"{"version":"v1"}"# }));
    let application = tokio::spawn(async move { axum::serve(listener, router).await });
    let settings = Settings { application: Application::Polled(url), ..Settings::new("shop") };
    let agent = tokio::spawn(run(world.context("a", settings), std::future::pending()));
    let serving = |expected: Option<ManifestDigest>| {
        let world = &world;
        async move {
            for _ in 0..1000 {
                if world.api().conditions.len() > 1 && world.report().serving == expected {
                    return;
                }
                sleep(Duration::from_millis(10)).await;
            }
            panic!("never reported {expected:?}");
        }
    };
    serving(Some(version.digest)).await;
    application.abort();
    serving(None).await;
    agent.abort();
}
