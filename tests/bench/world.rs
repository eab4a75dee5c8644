//! Everything that a measurement needs around it: the store, the builds, the objects, the pods, the controller.
//! Never reuses what an earlier measurement left: run.sh starts a cluster for each.

use std::fmt::Debug;
use std::path::PathBuf;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Secret};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use rollcall::api::{AssetRelease, AssetStore, ContentHash, Pointer, conditions};
use rollcall::clock::{Clock, SystemClock};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{Duration, Instant, sleep};

use crate::objects::{self, NAMESPACE, NODE, RELEASE};
use crate::pods::{Fleet, Said};
use crate::pointer::{PointerWatch, Seen};
use crate::programs::Program;
use crate::{Channel, Failure, Given, programs};

const ARCHIVES: &str = "127.0.0.1:9001";

/// The node controller waits 50 s for a heartbeat.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(10);

/// A release of two versions and its pods.
pub struct World {
    /// The administrator's.
    pub client: Client,
    releases: Api<AssetRelease>,
    pub fleet: Fleet,
    pub controller: Program,
    /// The pods' own watch of the pointer.
    staged: PointerWatch,
    /// The third client: neither the controller nor a pod.
    third: PointerWatch,
    builds: PathBuf,
    _store: Program,
}

/// One flip as it was seen.
pub struct Flip {
    /// The version was put into the spec.
    pub asked: Instant,
    /// The last pod's report was acknowledged.
    pub reported: Instant,
    /// The third client had the flipped pointer.
    pub seen: Instant,
}

impl World {
    /// Makes it all and publishes v1, then v2, which is active at the end.
    pub async fn make(given: &Given, channel: Channel) -> Result<Self, Failure> {
        let config = config(given).await?;
        let client = Client::try_from(config.clone())?;
        let store = programs::store(given)?;
        tokio::spawn(serve_builds(TcpListener::bind(ARCHIVES).await?, given.builds.clone()));
        make_objects(&client).await?;
        let fleet = Fleet::create(&config, channel, given.pods).await?;
        let releases = Api::namespaced(client.clone(), NAMESPACE);
        let first = objects::release(channel, "v1", &source(&given.builds, "v1")?);
        releases.create(&PostParams::default(), &serde_json::from_value(first)?).await?;
        let (staged, third) = (PointerWatch::begin(client.clone()), PointerWatch::begin(Client::try_from(config)?));
        let controller = programs::controller(given)?;
        let mut world = Self { client, releases, fleet, controller, staged, third, builds: given.builds.clone(), _store: store };
        world.follow("v1", Duration::ZERO).await?;
        world.flip("v2", Duration::ZERO).await?;
        Ok(world)
    }

    /// Asks for a version, lets all pods follow it, and says when the flip was seen.
    pub async fn flip(&mut self, version: &str, pause: Duration) -> Result<Flip, Failure> {
        let spec = json!({"spec": {"version": version, "source": source(&self.builds, version)?}});
        let asked = Instant::now();
        self.releases.patch(RELEASE, &PatchParams::default(), &Patch::Merge(&spec)).await?;
        Ok(Flip { asked, ..self.follow(version, pause).await? })
    }

    /// All pods but the last report the candidate; after the pause the last one does; after the flip all serve it.
    async fn follow(&mut self, version: &str, pause: Duration) -> Result<Flip, Failure> {
        let asked = Instant::now();
        let is = |pointed: &Option<rollcall::api::PointedVersion>| pointed.as_ref().is_some_and(|it| it.version == version);
        let Seen { pointer, .. } = self.staged.wait_for(|pointer: &Pointer| is(&pointer.candidate)).await?;
        let (said, last) = (Said::of(&pointer), self.fleet.len() - 1);
        self.fleet.report(0..last, &said).await?;
        sleep(pause).await;
        let reported = self.fleet.report(last..last + 1, &said).await?;
        let flipped = |after: &Pointer| is(&after.active) && after.sequence == pointer.sequence + 1;
        let Seen { at: seen, pointer } = self.third.wait_for(flipped).await?;
        self.fleet.report(0..last + 1, &Said::of(&pointer)).await?;
        Ok(Flip { asked, reported, seen })
    }

    /// Until the release says that this generation of it is Ready.
    pub async fn settle(&self) -> Result<(), Failure> {
        for _ in 0..300 {
            let release = self.releases.get(RELEASE).await?;
            let status = release.status.unwrap_or_default();
            let ready = status.conditions.iter().any(|condition| condition.type_ == conditions::READY && condition.status == "True");
            if ready && Some(status.observed_generation) == release.metadata.generation {
                return Ok(());
            }
            sleep(Duration::from_millis(200)).await;
        }
        Err("the release is not Ready after a minute".into())
    }
}

/// The administrator's.
pub async fn config(given: &Given) -> Result<Config, Failure> {
    Ok(Config::from_custom_kubeconfig(Kubeconfig::read_from(&given.admin)?, &KubeConfigOptions::default()).await?)
}

/// The source of a version: pinned by the digest of the archive that is served.
fn source(builds: &std::path::Path, version: &str) -> Result<Value, Failure> {
    let archive = std::fs::read(builds.join(format!("{version}.tar.gz")))?;
    let sha256 = ContentHash::of(&archive);
    Ok(json!({"http": {"url": format!("http://{ARCHIVES}/{{version}}.tar.gz"), "sha256": sha256.to_string()}}))
}

async fn serve_builds(listener: TcpListener, builds: PathBuf) -> std::io::Result<()> {
    let serve =
        async |Path(name): Path<String>, State(builds): State<PathBuf>| std::fs::read(builds.join(name)).map_err(|_| StatusCode::NOT_FOUND);
    axum::serve(listener, Router::new().route("/{name}", get(serve)).with_state(builds)).await
}

async fn make_objects(client: &Client) -> Result<(), Failure> {
    let namespaced = client.clone();
    create::<Secret>(&Api::namespaced(namespaced.clone(), NAMESPACE), objects::secret()).await?;
    create::<AssetStore>(&Api::namespaced(namespaced.clone(), NAMESPACE), objects::asset_store()).await?;
    create::<Deployment>(&Api::namespaced(namespaced, NAMESPACE), objects::deployment(RELEASE)).await?;
    let nodes: Api<Node> = Api::all(client.clone());
    create(&nodes, objects::node()).await?;
    tokio::spawn(beat(nodes));
    account(client, NAMESPACE).await
}

/// Makes an object.
pub async fn create<K>(api: &Api<K>, body: Value) -> Result<(), Failure>
where
    K: Serialize + DeserializeOwned + Clone + Debug,
{
    api.create(&PostParams::default(), &serde_json::from_value(body)?).await?;
    Ok(())
}

/// A pod is refused before its namespace has its ServiceAccount.
pub async fn account(client: &Client, namespace: &str) -> Result<(), Failure> {
    let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let begun = Instant::now();
    while accounts.get_opt("default").await?.is_none() {
        if begun.elapsed() > Duration::from_secs(30) {
            return Err("the namespace has no ServiceAccount after 30 s".into());
        }
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// For ever: the node is alive.
pub async fn beat(nodes: Api<Node>) {
    loop {
        let status = objects::node_status(&SystemClock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        // A heartbeat that fails is followed by the next one; five in a row may fail.
        let _ = nodes.patch_status(NODE, &PatchParams::default(), &Patch::Strategic(status)).await;
        sleep(HEARTBEAT_EVERY).await;
    }
}
