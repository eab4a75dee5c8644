//! A thousand releases of ten pods: what they cost the controller in memory, processor time, watches and connections, while they are
//! activated, get another version, rest, and after a restart. Never counts what publishing costs: the builds lie in the store already.

mod crowd;
mod shelf;

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Node, Secret};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::watcher::{self, Event};
use kube::{Client, ResourceExt};
use rollcall::api::{AssetRelease, AssetStore, conditions};
use rollcall::clock::{Clock, SystemClock};
use rollcall::cluster::streams::events;
use serde::Serialize;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep, timeout};

use crate::audit::Log;
use crate::programs::{Program, Resident};
use crate::{Failure, Given, objects, programs, world};

/// Pods of each release.
const PODS: usize = 10;
/// Objects made or changed side by side.
const PARALLEL: usize = 16;
/// Nothing here takes longer unless something is broken.
const WAIT_MAX: Duration = Duration::from_secs(900);
/// A controller that makes no request for this long is quiet; a watch is renewed after a minute.
const QUIET: Duration = Duration::from_secs(5);

/// Where a release is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    namespace: String,
    release: String,
}

/// What is to be made and looked at.
#[derive(clap::Args)]
pub struct Options {
    /// The API server's audit log.
    #[arg(long)]
    audit: std::path::PathBuf,
    /// User name of the controller in it.
    #[arg(long, default_value = "system:serviceaccount:rollcall-system:rollcall")]
    user: String,
    /// Releases.
    #[arg(long, default_value_t = 1_000)]
    releases: usize,
    /// Namespaces over which they are spread.
    #[arg(long, default_value_t = 10)]
    namespaces: usize,
    /// How long an idle controller is looked at, in seconds.
    #[arg(long, default_value_t = 120)]
    seconds: u64,
}

/// A time in which all releases did something, and what was there at its end.
#[derive(Serialize)]
struct Phase {
    wall_seconds: f64,
    cpu_seconds: f64,
    resident: Resident,
    requests: BTreeMap<String, usize>,
}

#[derive(Serialize)]
struct Figures {
    releases: usize,
    pods: usize,
    namespaces: usize,
    load_average: String,
    activated: Phase,
    idle: Phase,
    open_watches: BTreeMap<String, usize>,
    connections: usize,
    next_version: Phase,
    restart: Phase,
}

struct Stage<'a> {
    given: &'a Given,
    options: &'a Options,
    client: Client,
    places: Vec<Place>,
    ready: watch::Receiver<BTreeMap<Place, String>>,
    failure: watch::Receiver<Option<String>>,
}

/// Activates all, rests, moves all to the next version, and starts the controller anew.
pub async fn measure(given: &Given, options: &Options) -> Result<String, Failure> {
    let config = world::config(given).await?;
    let client = Client::try_from(config)?;
    let places: Vec<Place> = (0..options.releases).map(|number| place(number, options.namespaces)).collect();
    let _store = programs::store(given)?;
    make_objects(&client, &places).await?;
    let prefixes: Vec<String> = places.iter().map(|place| format!("{}/", place.release)).collect();
    shelf::fill(given, &prefixes).await?;
    let failure = crowd::gather(&client, &places, PODS).await?;
    let ready = watch_releases(client.clone());
    let stage = Stage { given, options, client, places, ready, failure };
    let figures = stage.play().await?;
    std::fs::write(&given.out, serde_json::to_vec_pretty(&figures)?)?;
    Ok(told(&figures))
}

fn place(number: usize, namespaces: usize) -> Place {
    Place { namespace: format!("scale-{}", number % namespaces), release: format!("shop-{number}") }
}

impl Stage<'_> {
    async fn play(&self) -> Result<Figures, Failure> {
        let log = Log::new(&self.options.audit, &self.options.user);
        let controller = programs::controller(self.given)?;
        self.quiet(&log).await?;
        let activated = self.phase(&controller, &log, self.create()).await?;
        let idle = self.phase(&controller, &log, async {
            sleep(Duration::from_secs(self.options.seconds)).await;
            Ok(())
        });
        let idle = idle.await?;
        let (open_watches, connections) = (log.open_watches()?, programs::connections(&controller)?);
        let next_version = self.phase(&controller, &log, self.move_on()).await?;
        drop(controller);
        let restart = self.restart(&log).await?;
        Ok(Figures {
            releases: self.places.len(),
            pods: PODS,
            namespaces: self.options.namespaces,
            load_average: std::fs::read_to_string("/proc/loadavg")?.trim().to_owned(),
            activated,
            idle,
            open_watches,
            connections,
            next_version,
            restart,
        })
    }

    /// What it costs until nothing is asked any more, not counting the quiet time that shows it.
    async fn phase(&self, controller: &Program, log: &Log, act: impl Future<Output = Result<(), Failure>>) -> Result<Phase, Failure> {
        let (begun, cpu, log) = (Instant::now(), programs::cpu(controller)?, log.its_rest()?);
        act.await?;
        let wall = begun.elapsed();
        self.quiet(&log).await?;
        Ok(Phase {
            wall_seconds: wall.as_secs_f64(),
            cpu_seconds: programs::cpu(controller)?.saturating_sub(cpu).as_secs_f64(),
            resident: programs::resident(controller)?,
            requests: log.requests()?,
        })
    }

    async fn create(&self) -> Result<(), Failure> {
        let made = self.places.iter().map(|place| async {
            let api: Api<AssetRelease> = Api::namespaced(self.client.clone(), &place.namespace);
            world::create(&api, objects::published_release(&place.release, "v1")).await
        });
        stream::iter(made.collect::<Vec<_>>()).buffer_unordered(PARALLEL).try_collect::<()>().await?;
        self.all_ready("v1").await
    }

    async fn move_on(&self) -> Result<(), Failure> {
        let patch = Patch::Merge(json!({"spec": {"version": "v2"}}));
        let moved = self.places.iter().map(|place| async {
            let api: Api<AssetRelease> = Api::namespaced(self.client.clone(), &place.namespace);
            api.patch(&place.release, &PatchParams::default(), &patch).await.map(|_| ())
        });
        stream::iter(moved.collect::<Vec<_>>()).buffer_unordered(PARALLEL).try_collect::<()>().await?;
        self.all_ready("v2").await
    }

    async fn all_ready(&self, version: &str) -> Result<(), Failure> {
        let mut ready = self.ready.clone();
        let all = ready.wait_for(|ready| ready.values().filter(|active| *active == version).count() >= self.places.len());
        let mut failure = self.failure.clone();
        let ended = tokio::select! {
            all = timeout(WAIT_MAX, all) => all.is_ok_and(|all| all.is_ok()),
            failed = failure.wait_for(Option::is_some) => return Err(failed?.clone().unwrap_or_default().into()),
        };
        if ended {
            return Ok(());
        }
        let known = self.ready.borrow();
        let missing: Vec<&Place> =
            self.places.iter().filter(|place| known.get(place).is_none_or(|active| active != version)).take(3).collect();
        Err(format!("not Ready with {version}: {missing:?} among others").into())
    }

    /// Until the user has made no request for some time.
    async fn quiet(&self, log: &Log) -> Result<(), Failure> {
        let begun = Instant::now();
        while begun.elapsed() < WAIT_MAX {
            let since = log.its_rest()?;
            sleep(QUIET).await;
            if since.requests()?.keys().all(|request| request.starts_with("watch ")) {
                return Ok(());
            }
        }
        Err("the controller is never quiet".into())
    }

    /// From the start of the process to the answer to its last request.
    async fn restart(&self, log: &Log) -> Result<Phase, Failure> {
        let (log, begun) = (log.its_rest()?, SystemClock.now());
        let controller = programs::controller(self.given)?;
        sleep(QUIET).await;
        self.quiet(&log).await?;
        let last: jiff::Timestamp = log.last()?.ok_or("the controller has asked nothing")?.parse()?;
        Ok(Phase {
            wall_seconds: last.duration_since(begun).as_secs_f64(),
            cpu_seconds: programs::cpu(&controller)?.as_secs_f64(),
            resident: programs::resident(&controller)?,
            requests: log.requests()?,
        })
    }
}

async fn make_objects(client: &Client, places: &[Place]) -> Result<(), Failure> {
    let nodes: Api<Node> = Api::all(client.clone());
    world::create(&nodes, objects::node()).await?;
    tokio::spawn(world::beat(nodes));
    let namespaces: BTreeSet<&String> = places.iter().map(|place| &place.namespace).collect();
    for name in namespaces {
        world::create::<Namespace>(&Api::all(client.clone()), objects::namespace(name)).await?;
        world::create::<Secret>(&Api::namespaced(client.clone(), name), objects::secret()).await?;
        world::create::<Role>(&Api::namespaced(client.clone(), name), objects::keys_role()).await?;
        world::create::<RoleBinding>(&Api::namespaced(client.clone(), name), objects::keys_binding()).await?;
        world::create::<AssetStore>(&Api::namespaced(client.clone(), name), objects::asset_store()).await?;
        world::create::<RoleBinding>(&Api::namespaced(client.clone(), name), objects::agents_binding()).await?;
        world::account(client, name).await?;
    }
    let deployments = places.iter().map(|place| async {
        let api: Api<Deployment> = Api::namespaced(client.clone(), &place.namespace);
        world::create(&api, objects::deployment(&place.release)).await
    });
    stream::iter(deployments.collect::<Vec<_>>()).buffer_unordered(PARALLEL).try_collect().await
}

/// The version with which each release is Ready in its newest generation.
fn watch_releases(client: Client) -> watch::Receiver<BTreeMap<Place, String>> {
    let (tell, ready) = watch::channel(BTreeMap::new());
    tokio::spawn(events::<AssetRelease>(Api::all(client), watcher::Config::default()).for_each(move |event| {
        if let Event::Apply(release) | Event::InitApply(release) = event {
            let place = Place { namespace: release.namespace().unwrap_or_default(), release: release.name_any() };
            tell.send_if_modified(|known| match ready_with(&release) {
                Some(version) => known.insert(place, version.clone()).is_none_or(|before| before != version),
                None => known.remove(&place).is_some(),
            });
        }
        std::future::ready(())
    }));
    ready
}

fn ready_with(release: &AssetRelease) -> Option<String> {
    let status = release.status.as_ref().filter(|status| Some(status.observed_generation) == release.metadata.generation)?;
    status.conditions.iter().find(|condition| condition.type_ == conditions::READY && condition.status == "True")?;
    Some(status.active.as_ref()?.version.clone())
}

fn told(figures: &Figures) -> String {
    let Figures { releases, pods, namespaces, load_average, activated, idle, open_watches, connections, next_version, restart } = figures;
    let mut text = format!("{releases} releases of {pods} pods in {namespaces} namespaces; load {load_average}\n\n");
    text += "| | wall s | CPU s | CPU ms for each release | resident KiB | anonymous KiB | peak KiB | requests but watches |\n|---|---|---|---|---|---|---|---|\n";
    for (name, phase) in [("activated", activated), ("idle", idle), ("next version", next_version), ("restart", restart)] {
        let Phase { wall_seconds, cpu_seconds, resident: Resident { total_kib, anonymous_kib, peak_kib }, requests } = phase;
        let each = cpu_seconds * 1000.0 / f64::from(u32::try_from(*releases).unwrap_or(u32::MAX));
        let asked: usize = requests.iter().filter(|(request, _)| !request.starts_with("watch ")).map(|(_, count)| count).sum();
        text.extend([format!(
            "| {name} | {wall_seconds:.1} | {cpu_seconds:.2} | {each:.1} | {total_kib} | {anonymous_kib} | {peak_kib} | {asked} |\n"
        )]);
    }
    text.extend([format!("\nopen watches: {open_watches:?}; connections: {connections}\n")]);
    for (name, phase) in [("activated", activated), ("next version", next_version), ("restart", restart)] {
        text.extend([format!("{name}: {:?}\n", phase.requests)]);
    }
    text
}
