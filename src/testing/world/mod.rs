//! A world: the real controller and real agents over an in-process API server, a bucket in memory and modelled pods, in tokio's
//! paused time. Everything follows from one seed.
//!
//! Never reaches into a process: what a test wants, it does as a user, a node or a network would.

mod control;
mod doors;
mod faults;
mod invariants;
mod kstatus;
mod kubelet;
mod lives;
mod pipeline;
mod rules;
mod storage;
mod users;
mod volume;
mod workloads;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

pub use doors::Manner;
pub use invariants::Violation;
pub use kubelet::Probe;
pub use lives::{Crash, Side};
pub use pipeline::digest_of;
pub use rules::Rule;
pub use volume::{Hold, Space};

use self::control::{Process, Replicas};
use self::doors::Doors;
use self::invariants::{Checker, pointer, pointer_key};
use self::kubelet::{Kubelet, pod_key, says_ready};
use self::lives::Lives;
use self::rules::Without;
use self::storage::Shelf;
use self::workloads::Workloads;
use super::apiserver::{ApiServer, Key, Kind};
use super::builders::{self, NAMESPACE, STORE_URL};
use super::trace::Trace;
use crate::api::conditions::READY;
use crate::api::names::NAME_MAP_KEY;
use crate::api::{AssetReleaseStatus, Pointer};
use crate::bucket::faulty::FaultyBucket;
use crate::bucket::memory::{Change as Upload, MemoryBucket};
use crate::clock::TokioClock;
use crate::egress::{AmbientGrant, AmbientGrants};
use crate::source::memory::MemorySource;

/// How often the world looks whether pods, nodes and processes have something to do.
const TICK: Duration = Duration::from_millis(50);

/// How long nothing may be written until the world counts as settled: longer than any retry of agent and controller while
/// nothing is wrong.
const QUIET: Duration = Duration::from_secs(40);

/// How old a view of pods may be in calm: events take some milliseconds, an answer over HTTP a few more.
const VIEW_AGE: Duration = Duration::from_millis(50);

/// How old it may be in a storm: broken watches are begun again after half a minute at most, and a LIST may fail, too.
const STORM_VIEW_AGE: Duration = Duration::from_secs(100);

/// A whole world.
pub struct World {
    /// The API server.
    pub server: ApiServer,
    /// The bucket, past every fault.
    pub bucket: Arc<MemoryBucket>,
    /// The same bucket, with its faults.
    pub store: Arc<FaultyBucket>,
    /// The bucket of a replica, past every fault. Nothing comes there before [`Self::add_replica`].
    pub replica: Arc<MemoryBucket>,
    /// The same, with its faults.
    pub replica_store: Arc<FaultyBucket>,
    /// The bucket of builds, past every fault. Nothing lies there before [`Self::put_into_folder`].
    pub builds: Arc<MemoryBucket>,
    /// The same, with its faults.
    pub builds_store: Arc<FaultyBucket>,
    tarpit: Arc<FaultyBucket>,
    /// Where archives come from.
    pub source: Arc<MemorySource>,
    /// What happened, for people.
    pub trace: Trace,
    clock: Arc<TokioClock>,
    checker: Arc<Checker>,
    lives: Arc<Lives>,
    kubelet: Arc<Kubelet>,
    workloads: Workloads,
    doors: Arc<Doors>,
    shelf: Arc<Shelf>,
    deafness: Arc<faults::Deafness>,
    storm: Option<Arc<faults::Storm>>,
    without: Option<Rule>,
    held: Arc<faults::Held>,
    /// Writes so far but those of the Lease, which is renewed for ever.
    written: Arc<AtomicU64>,
    replicas: Replicas,
    controller: Option<Process>,
    rival: Option<Process>,
    controllers: u32,
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
        let bucket = Arc::new(MemoryBucket::named(builders::BUCKET, clock.clone()));
        let replica = Arc::new(MemoryBucket::named(builders::REPLICA, clock.clone()));
        let builds = Arc::new(MemoryBucket::named(builders::BUILDS, clock.clone()));
        bucket.stand_beside(&replica);
        bucket.stand_beside(&builds);
        let checker = Arc::new(Checker::new(server.clone(), bucket.clone(), replica.clone()));
        let (lives, shelf) = (Arc::<Lives>::default(), Arc::new(Shelf::new(bucket.clone(), STORE_URL)));
        let doors = Arc::new(Doors::new(seed, lives.clone()));
        let kubelet = Arc::new(Kubelet::new(server.clone(), clock.clone(), lives.clone(), shelf.clone(), doors.clone()));
        let deafness = Arc::<faults::Deafness>::default();
        checker.look_at(kubelet.clone());
        server.hook(lives.clone());
        server.hook(Arc::new(faults::Latency(seed)));
        server.hook(deafness.clone());
        let held = Arc::<faults::Held>::default();
        server.hook(held.clone());
        if let Some(rule) = without {
            server.hook(Arc::new(Without { rule, server: server.clone() }));
        }
        let trace = Trace::new(clock.clone(), start);
        trace.follow(&server);
        let workloads = Workloads::new(trace.clone());
        let (watcher, written) = (checker.clone(), Arc::<AtomicU64>::default());
        let counted = written.clone();
        server.observe(move |change| {
            counted.fetch_add(u64::from(change.key.plural != "leases"), Ordering::Relaxed);
        });
        server.observe(move |change| watcher.api_changed(change));
        let store = Arc::new(FaultyBucket::new(bucket.clone()));
        let replica_store = Arc::new(FaultyBucket::new(replica.clone()));
        let builds_store = Arc::new(FaultyBucket::new(builds.clone()));
        let tarpit = Arc::new(FaultyBucket::new(bucket.clone()));
        tarpit.delay(Duration::from_secs(365 * 24 * 60 * 60));
        let source = Arc::new(MemorySource::new());
        let (controller, rival, controllers, storm) = (None, None, 0, None);
        let mut world = Self {
            server,
            bucket,
            store,
            replica,
            replica_store,
            builds,
            builds_store,
            tarpit,
            source,
            trace,
            clock,
            checker,
            lives,
            kubelet,
            workloads,
            doors,
            shelf,
            deafness,
            storm,
            without,
            held,
            written,
            replicas: Replicas::Unelected,
            controller,
            rival,
            controllers,
        };
        world.checker.allow_views(VIEW_AGE);
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
        self.replica_store.scatter(!seed, 25);
        self.builds_store.scatter(!seed, 25);
        self.checker.allow_views(STORM_VIEW_AGE);
        self.storm = Some(storm);
    }

    /// Ends what [`Self::begin_storm`] began.
    pub fn end_storm(&mut self) {
        if let Some(storm) = self.storm.take() {
            storm.end();
        }
        self.store.mend();
        self.replica_store.mend();
        self.builds_store.mend();
    }

    /// Lets time pass.
    pub async fn advance(&mut self, length: Duration) {
        let end = tokio::time::Instant::now() + length;
        while tokio::time::Instant::now() < end {
            tokio::time::sleep(TICK).await;
            self.kubelet.tend();
            self.workloads.tend(&self.kubelet);
            self.bring_back_controllers().await;
        }
    }

    /// Lets time pass until nothing was written for a while.
    ///
    /// # Errors
    /// When it does not settle within `at_most` (I7).
    pub async fn settle(&mut self, at_most: Duration) -> Result<(), String> {
        let begun = tokio::time::Instant::now();
        let mut version = self.written.load(Ordering::Relaxed);
        let mut since = begun;
        while since.elapsed() < QUIET {
            self.advance(Duration::from_secs(1)).await;
            let written = self.written.load(Ordering::Relaxed);
            if written != version {
                version = written;
                since = tokio::time::Instant::now();
            }
            if begun.elapsed() > at_most {
                return Err(format!("not settled after {at_most:?}: {}", self.trace.last(3).join(" / ")));
            }
        }
        Ok(())
    }

    /// How many mutating requests processes made so far; renewals of the Lease are none.
    #[must_use]
    pub fn writes(&self) -> usize {
        self.server.log().iter().filter(|line| line.verb.mutates() && !line.object.starts_with("leases")).count()
            + self.bucket.log().len()
            + self.replica.log().len()
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

    /// The name map beside the pointer.
    #[must_use]
    pub fn name_map(&self) -> Option<String> {
        Some(self.server.get(&pointer_key())?["data"][NAME_MAP_KEY].as_str()?.to_owned())
    }

    /// What the store's Ready condition says.
    #[must_use]
    pub fn store_is_ready(&self) -> bool {
        let store = self.server.get(&Key::new(Kind::named("AssetStore"), NAMESPACE, "store")).expect("the store is never deleted");
        let conditions = store["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|condition| condition["type"] == READY && condition["status"] == "True")
    }

    /// The release's status.
    #[must_use]
    pub fn status(&self) -> AssetReleaseStatus {
        let release = self.checker.release();
        let status = release.and_then(|release| release.get("status").cloned());
        status.map(|status| serde_json::from_value(status).expect("what controllers write is a status")).unwrap_or_default()
    }

    /// Reason of the release's Ready condition.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        self.status().conditions.into_iter().find(|condition| condition.type_ == READY).map(|condition| condition.reason)
    }

    /// The pointer's objects so far, each as one write left it.
    #[must_use]
    pub fn pointers(&self) -> Vec<Arc<Value>> {
        let changes = self.server.history().into_iter().filter(|change| change.key == pointer_key() && !change.deleted);
        changes.map(|change| change.object).collect()
    }

    /// Every change of the bucket but notes that say who is at work.
    #[must_use]
    pub fn uploads(&self) -> Vec<Upload> {
        let is_note = |change: &Upload| matches!(change, Upload::Created { key, .. } | Upload::Replaced { key, .. } | Upload::Deleted { key, .. } if key.contains("/intents/") || key.contains("/references/"));
        self.bucket.log().into_iter().filter(|change| !is_note(change)).collect()
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

/// The world's objects name no Secrets: the operator has granted them the controller's own identity.
fn grants() -> AmbientGrants {
    let grant = |bucket: &str, endpoint: &str| AmbientGrant {
        namespaces: [NAMESPACE, builders::NEIGHBOUR].map(str::to_owned).to_vec(),
        bucket: bucket.to_owned(),
        prefix: String::new(),
        endpoint: endpoint.to_owned(),
    };
    let own = [builders::BUCKET, builders::REPLICA, builders::BUILDS, builders::TARPIT].map(|bucket| grant(bucket, ""));
    AmbientGrants(own.into_iter().chain([grant(builders::REPLICA, builders::ELSEWHERE)]).collect())
}
