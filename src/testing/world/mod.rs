//! A world: the real controller and real agents over an in-process API server, a bucket in memory and modelled pods, in tokio's
//! paused time. Everything follows from one seed.
//!
//! Never reaches into a process: what a test wants, it does as a user, a node or a network would.

mod faults;
mod invariants;
mod kstatus;
mod kubelet;
mod lives;
mod rules;
mod storage;
mod volume;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::task::AbortHandle;

pub use invariants::Violation;
pub use lives::{Crash, Side};
pub use rules::Rule;
pub use volume::Hold;

use self::invariants::{Checker, pointer, pointer_key};
use self::kubelet::{Kubelet, pod_key, says_ready};
use self::lives::{Lives, Pulse};
use self::rules::{QuorumRead, StaleCache, Without};
use self::storage::{Line, Shelf};
use super::apiserver::{ApiServer, Key, Kind};
use super::builders::{self, APP, NAMESPACE, STORE_URL, Sidecar};
use super::trace::Trace;
use crate::api::release::HttpReport;
use crate::api::{AssetReleaseStatus, Pointer};
use crate::bucket::faulty::FaultyBucket;
use crate::bucket::memory::MemoryBucket;
use crate::clock::TokioClock;
use crate::cluster::reports::ReportReader;
use crate::controller::{self, Context, Outside};
use crate::metrics::Metrics;
use crate::source::memory::MemorySource;

/// How often the world looks whether pods, nodes and processes have something to do.
const TICK: Duration = Duration::from_millis(50);

/// How long nothing may be written until the world counts as settled: longer than any retry of agent and controller while
/// nothing is wrong.
const QUIET: Duration = Duration::from_secs(40);

/// A whole world.
pub struct World {
    /// The API server.
    pub server: ApiServer,
    /// The bucket, past every fault.
    pub bucket: Arc<MemoryBucket>,
    /// The same bucket, with its faults.
    pub store: Arc<FaultyBucket>,
    /// Where builds come from.
    pub source: Arc<MemorySource>,
    /// What happened, for people.
    pub trace: Trace,
    clock: Arc<TokioClock>,
    checker: Arc<Checker>,
    lives: Arc<Lives>,
    kubelet: Arc<Kubelet>,
    shelf: Arc<Shelf>,
    deafness: Arc<faults::Deafness>,
    storm: Option<Arc<faults::Storm>>,
    without: Option<Rule>,
    controller: Option<(String, AbortHandle)>,
    controllers: u32,
}

/// No pod of the simulation reports over HTTP.
struct NoHttp;

#[async_trait]
impl ReportReader for NoHttp {
    async fn read(&self, _address: std::net::IpAddr, _channel: &HttpReport, _stage: i64, _wait: Duration) -> Result<String, String> {
        Err("no pod of the simulation listens".into())
    }
}

impl World {
    /// A world with a store, a Deployment, two nodes and a running controller, but without pods and without a release.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::build(seed, None)
    }

    /// The same with one rule of the protocol taken out.
    #[must_use]
    pub fn without(seed: u64, rule: Rule) -> Self {
        Self::build(seed, Some(rule))
    }

    fn build(seed: u64, without: Option<Rule>) -> Self {
        let start: Timestamp = "2026-11-21T00:00:00Z".parse().expect("a constant");
        let clock = Arc::new(TokioClock::starting_at(start));
        let server = ApiServer::new(clock.clone(), seed);
        let bucket = Arc::new(MemoryBucket::new(clock.clone()));
        let checker = Arc::new(Checker::new(server.clone(), bucket.clone()));
        let (lives, shelf) = (Arc::<Lives>::default(), Arc::new(Shelf::new(bucket.clone(), STORE_URL)));
        let kubelet = Arc::new(Kubelet::new(server.clone(), clock.clone(), lives.clone(), shelf.clone()));
        let deafness = Arc::<faults::Deafness>::default();
        checker.look_at(kubelet.clone());
        server.hook(lives.clone());
        server.hook(Arc::new(faults::Latency(seed)));
        server.hook(deafness.clone());
        if let Some(rule) = without {
            server.hook(Arc::new(Without { rule, server: server.clone() }));
        }
        let trace = Trace::new(clock.clone(), start);
        trace.follow(&server);
        let watcher = checker.clone();
        server.observe(move |change| watcher.api_changed(change));
        let store = Arc::new(FaultyBucket::new(bucket.clone()));
        let source = Arc::new(MemorySource::new());
        let (controller, controllers, storm) = (None, 0, None);
        let mut world = Self {
            server,
            bucket,
            store,
            source,
            trace,
            clock,
            checker,
            lives,
            kubelet,
            shelf,
            deafness,
            storm,
            without,
            controller,
            controllers,
        };
        world.furnish();
        world.start_controller();
        world
    }

    fn furnish(&self) {
        let namespace = |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        for object in [
            namespace("kube-system"),
            namespace(NAMESPACE),
            builders::node("n1"),
            builders::node("n2"),
            builders::store(),
            builders::deployment(),
        ] {
            self.server.create("user", &object).expect("the world is empty");
        }
        for version in ["v1", "v2", "v3", "v4", "v5"] {
            self.source.put(&builders::build_url(version), builders::build(version));
        }
    }

    /// Starts a controller: a new process that knows nothing.
    pub fn start_controller(&mut self) {
        self.controllers += 1;
        let process = format!("controller#{}", self.controllers);
        let line = Line { bucket: self.store.clone(), process: process.clone(), lives: self.lives.clone(), checker: self.checker.clone() };
        let outside = Outside {
            client: self.server.client(&process),
            clock: self.clock.clone(),
            buckets: Arc::new(line),
            source: self.source.clone(),
            reports: Arc::new(NoHttp),
        };
        let settings = controller::Settings { namespaces: Vec::new(), workspace: std::env::temp_dir(), instance: process.clone() };
        let (cx, changes) = Context::new(outside, settings, Arc::<Metrics>::default());
        let task = tokio::spawn(controller::run(cx, changes, || {}, std::future::pending()));
        self.trace.note("controller", "starts");
        self.controller = Some((process, task.abort_handle()));
    }

    /// Ends the controller where it stands.
    pub fn kill_controller(&mut self) {
        if let Some((process, task)) = self.controller.take() {
            self.lives.kill(&process);
            task.abort();
            self.trace.note("controller", "ends");
        }
    }

    /// Ends the controller at its `nth` mutating request from the beginning of the world; it is started again a second later.
    pub fn crash_at(&self, crash: Crash) {
        self.lives.plan(crash);
    }

    /// What the controller's mutating requests were so far.
    #[must_use]
    pub fn crash_points(&self) -> Vec<String> {
        self.lives.points()
    }

    /// From now on requests and watches fail as the seed has it, and so does the bucket.
    pub fn begin_storm(&mut self, seed: u64) {
        let storm = Arc::new(faults::Storm::new(seed));
        self.server.hook(storm.clone());
        self.store.scatter(seed, 25);
        self.storm = Some(storm);
    }

    /// Ends what [`Self::begin_storm`] began.
    pub fn end_storm(&mut self) {
        if let Some(storm) = self.storm.take() {
            storm.end();
        }
        self.store.mend();
    }

    /// Lets time pass.
    pub async fn advance(&mut self, length: Duration) {
        let end = tokio::time::Instant::now() + length;
        while tokio::time::Instant::now() < end {
            tokio::time::sleep(TICK).await;
            self.kubelet.tend();
            self.bring_back_controller().await;
        }
    }

    async fn bring_back_controller(&mut self) {
        let dead = self.controller.as_ref().is_some_and(|(process, _)| self.lives.pulse(process) == Pulse::Dead);
        if dead {
            self.kill_controller();
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.start_controller();
        }
    }

    /// Lets time pass until nothing was written for a while.
    ///
    /// # Errors
    /// When it does not settle within `at_most` (I7).
    pub async fn settle(&mut self, at_most: Duration) -> Result<(), String> {
        let begun = tokio::time::Instant::now();
        let mut version = self.server.version();
        let mut since = begun;
        while since.elapsed() < QUIET {
            self.advance(Duration::from_secs(1)).await;
            if self.server.version() != version {
                version = self.server.version();
                since = tokio::time::Instant::now();
            }
            if begun.elapsed() > at_most {
                return Err(format!("not settled after {at_most:?}: {}", self.trace.last(3).join(" / ")));
            }
        }
        Ok(())
    }

    /// How many mutating requests processes made so far.
    #[must_use]
    pub fn writes(&self) -> usize {
        self.server.log().iter().filter(|line| line.verb.mutates()).count() + self.bucket.log().len()
    }

    /// Everything that was promised and not kept.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        self.checker.violations()
    }

    /// Time since the world began, by its own clock.
    #[must_use]
    pub fn age(&self) -> Duration {
        use crate::clock::Clock as _;
        let start: Timestamp = "2026-11-21T00:00:00Z".parse().expect("a constant");
        Duration::try_from(self.clock.now().duration_since(start)).unwrap_or_default()
    }
}

/// What users, nodes and networks do.
impl World {
    /// Applies the release with this version; other fields of an existing one stay.
    pub fn release(&self, version: &str) {
        self.trace.note("user", &format!("wants {version}"));
        let key = release_key();
        if self.server.get(&key).is_none() {
            self.server.create("user", &builders::release(version)).expect("it is not there");
        } else {
            self.change_release(&json!({"version": version, "source": builders::source(version)}));
        }
    }

    /// Merges into the release's spec.
    pub fn change_release(&self, spec: &Value) {
        self.server.patch("user", &release_key(), &json!({"spec": spec})).expect("there is a release");
    }

    /// Deletes the release.
    pub fn delete_release(&self) {
        self.trace.note("user", "deletes the release");
        self.server.delete("user", &release_key()).expect("there is a release");
    }

    /// Starts a pod with an agent.
    pub fn add_pod(&self, name: &str) {
        self.start_pod(name, Sidecar::Agent);
    }

    /// Starts a pod, with or without an agent. Pods go to the two nodes by the length of their names.
    pub fn start_pod(&self, name: &str, sidecar: Sidecar) {
        let node = if name.bytes().map(usize::from).sum::<usize>().is_multiple_of(2) { "n2" } else { "n1" };
        self.trace.note("user", &format!("starts pod {name}"));
        self.kubelet.start(name, node, sidecar);
    }

    /// Starts a pod whose first reads of the pointer meet a cache of this version, wherever they allow a cache.
    pub fn add_pod_behind_stale_cache(&self, name: &str, version: u64) {
        let quorum_read = if self.without == Some(Rule::QuorumRead) { QuorumRead::TakenOut } else { QuorumRead::Kept };
        let process = kubelet::process(name, 1);
        self.server.hook(Arc::new(StaleCache { process: process.clone(), version, quorum_read }));
        self.deafness.of(&process, Duration::from_secs(60));
        self.add_pod(name);
    }

    /// Asks a pod to end.
    pub fn end_pod(&self, name: &str) {
        self.trace.note("user", &format!("ends pod {name}"));
        self.kubelet.end(name);
    }

    /// The pod's container ends and starts again.
    pub fn restart_pod(&self, name: &str) {
        self.trace.note("node", &format!("restarts pod {name}"));
        self.kubelet.restart(name);
    }

    /// The pod's node goes down: its volume in memory is lost. [`Self::boot_ends`] brings the container back.
    pub fn reboot_pod(&self, name: &str) {
        self.trace.note("node", &format!("of pod {name} reboots"));
        self.kubelet.reboot(name);
    }

    /// The container of a rebooted node starts.
    pub fn boot_ends(&self, name: &str) {
        self.kubelet.boot_ends(name);
    }

    /// The next event of the pod's watches comes this late, and everything behind it.
    pub fn deafen_pod(&self, name: &str, length: Duration) {
        let life = self.kubelet.pods()[name].life;
        self.deafness.of(&kubelet::process(name, life), length);
    }

    /// The pages of a pod stay as they are, or may move again.
    pub fn hold_pages(&self, name: &str, hold: Hold) {
        self.kubelet.pods()[name].volume.hold_back(hold);
    }

    /// Agents started from now on keep unwanted versions only so long.
    pub fn keep_unwanted_for(&self, age_floor: Duration) {
        self.kubelet.keep_unwanted_for(age_floor);
    }

    /// Nothing of this version's own files can be fetched by pods.
    pub fn break_loads(&self, version: &str) {
        let own = builders::build(version);
        self.shelf.break_urls_with(&own[1].0);
    }

    /// Everything can be fetched.
    pub fn mend_loads(&self) {
        self.shelf.mend();
    }

    /// A node stops answering.
    pub fn silence_node(&self, node: &str) {
        use crate::clock::Clock as _;
        self.trace.note("node", &format!("{node} goes silent"));
        self.kubelet.silence(node, self.clock.now());
    }
}

/// What can be asked.
impl World {
    /// The pointer; empty when there is none.
    #[must_use]
    pub fn pointer(&self) -> Pointer {
        pointer(self.server.get(&pointer_key()).as_deref())
    }

    /// Label of the active version.
    #[must_use]
    pub fn active(&self) -> Option<String> {
        self.pointer().active.map(|active| active.version)
    }

    /// The release's status.
    #[must_use]
    pub fn status(&self) -> AssetReleaseStatus {
        let release = self.checker.release();
        release.and_then(|release| builders::typed(&release).status).unwrap_or_default()
    }

    /// Whether a pod is Ready.
    #[must_use]
    pub fn is_ready(&self, pod: &str) -> bool {
        self.server.get(&pod_key(pod)).is_some_and(|object| says_ready(&object))
    }

    /// Names of all pods.
    #[must_use]
    pub fn pods(&self) -> Vec<String> {
        self.kubelet.pods().keys().cloned().collect()
    }
}

fn release_key() -> Key {
    Key::new(Kind::named("AssetRelease"), NAMESPACE, APP)
}
