//! The loop around the core: carries out its effects, one task each, and brings back what happened.
//! Never decides anything; runs the same under tokio's paused time with everything in memory.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use kube::api::Api;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::core::{Core, Effect, Event, Publication, Rendering};
use super::fetch::{FetchedManifest, fetch_manifest};
use super::library::Library;
use super::mirror::MirrorError;
use super::pointer::Follower;
use super::report::{ConditionChannel, HttpChannel};
use super::serve;
use super::{AgentError, Application, Context, Identity, ReportChannel};
use crate::api::{ManifestDigest, PointedVersion};
use crate::serving::{Limits, Server};

/// Events that may wait: every task sends few, and a full channel only makes the sender wait.
const EVENTS_MAX: usize = 64;

/// Everything that the loop owns. Dropping it ends all of the agent's tasks at once.
struct Driver {
    context: Context,
    core: Core,
    library: Library,
    began: Instant,
    events: mpsc::Sender<Event>,
    learned: mpsc::Sender<(PointedVersion, FetchedManifest)>,
    publications: watch::Sender<Option<Publication>>,
    reads: watch::Sender<u64>,
    served: watch::Sender<u64>,
    tasks: JoinSet<()>,
    loads: BTreeMap<ManifestDigest, AbortHandle>,
    servers: JoinSet<()>,
    draining: watch::Sender<bool>,
    stopping: watch::Sender<bool>,
}

/// Runs an agent until `shutdown` ends, and then for [`super::Settings::drain`] longer when it serves anybody. Dropping the future
/// ends it at once, as a killed container would.
///
/// # Errors
/// When the mirror is of no use or an address is taken.
pub async fn run(context: Context, shutdown: impl Future<Output = ()> + Send) -> Result<(), AgentError> {
    run_showing(context, |_behind_the_address| {}, shutdown).await
}

/// The same for a caller in this process, who is handed what answers at [`super::Settings::listen_pod`] before anything else happens.
///
/// # Errors
/// As those of [`run`].
pub async fn run_showing(
    context: Context,
    show: impl FnOnce(Router) + Send,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), AgentError> {
    let (events, mut inbox) = mpsc::channel(EVENTS_MAX);
    let (learned, mut lessons) = mpsc::channel(EVENTS_MAX);
    let (mut driver, pod) = Driver::start(context, events, learned).await?;
    show(pod);
    let mut shutdown = pin!(shutdown);
    let mut stop_at: Option<Instant> = None;
    driver.step(Event::Tick);
    loop {
        let wake = stop_at.map_or(driver.wake(), |stop_at| driver.wake().min(stop_at));
        if stop_at.is_some_and(|stop_at| Instant::now() >= stop_at) {
            return driver.stop().await;
        }
        tokio::select! {
            biased;
            () = &mut shutdown, if stop_at.is_none() => stop_at = Some(driver.drain()),
            Some((version, fetched)) = lessons.recv() => driver.library.learn(version, fetched.manifest),
            Some(event) = inbox.recv() => driver.step(event),
            () = sleep_until(wake) => driver.step(Event::Tick),
        }
        driver.reap();
    }
}

impl Driver {
    async fn start(
        context: Context,
        events: mpsc::Sender<Event>,
        learned: mpsc::Sender<(PointedVersion, FetchedManifest)>,
    ) -> Result<(Self, Router), AgentError> {
        let held = context.mirror.held().await?;
        let rendering = if context.settings.application == Application::None { Rendering::Agent } else { Rendering::Application };
        let digests = held.iter().map(|version| version.pointed.digest.clone()).collect();
        let Identity { pod_uid, instance, .. } = context.identity.clone();
        let mut library = Library::new();
        for version in held {
            let digest = version.pointed.digest.clone();
            library.learn(version.pointed, version.manifest);
            library.completed(&digest);
        }
        let mut driver = Self {
            core: Core::new(
                (pod_uid, instance.clone()),
                &context.settings.config_map,
                rendering,
                context.settings.pace(&instance),
                digests,
            ),
            context,
            library,
            began: Instant::now(),
            events,
            learned,
            publications: watch::Sender::new(None),
            reads: watch::Sender::new(0),
            served: watch::Sender::new(0),
            tasks: JoinSet::new(),
            loads: BTreeMap::new(),
            servers: JoinSet::new(),
            draining: watch::Sender::new(false),
            stopping: watch::Sender::new(false),
        };
        let pod = driver.start_servers().await?;
        driver.start_channels();
        Ok((driver, pod))
    }

    /// What answers for the pod's own business, whether or not it listens anywhere.
    async fn start_servers(&mut self) -> Result<Router, AgentError> {
        let settings = self.context.settings.clone();
        let feeds = serve::Feeds {
            catalogue: self.library.catalogue(),
            publications: self.publications.subscribe(),
            served: self.served.clone(),
            draining: self.draining.subscribe(),
            events: self.events.clone(),
        };
        let servers = [("site", settings.listen_site, settings.site), ("pod", settings.listen_pod, Limits::INTERNAL)]
            .map(|(name, address, limits)| (Server::new(name, limits), address));
        let tallies = servers.each_ref().map(|(server, _)| server.tally());
        let shared = Arc::new(serve::Shared::new(&self.context, feeds, tallies));
        let [(site, site_address), (pod, pod_address)] = servers;
        if let Some(address) = pod_address {
            let listener = serve::listen(address).await?;
            self.servers.spawn(pod.run(listener, serve::pod(&shared), self.stopped()));
        }
        if let Some(address) = site_address {
            serve::try_address(address)?;
            let (catalogue, router, stop) = (self.library.catalogue(), serve::site(&shared), self.stopped());
            let listening = serve::listen_once_serving(address, catalogue);
            let stopped = self.stopped();
            self.servers.spawn(async move {
                let listener = tokio::select! { listener = listening => listener, () = stopped => None };
                if let Some(listener) = listener {
                    site.run(listener, router, stop).await;
                }
            });
        }
        if let Application::Polled(url) = settings.application {
            self.tasks.spawn(serve::poll(url, self.library.catalogue(), self.events.clone()));
        }
        Ok(serve::pod(&shared))
    }

    fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stopping = self.stopping.subscribe();
        async move {
            let _stopped_or_dropped = stopping.wait_for(|stopping| *stopping).await.map(|_| ());
        }
    }

    /// Not ready any more, but everything goes on: clients learn only after a while that this pod goes. Returns when to stop.
    fn drain(&self) -> Instant {
        self.draining.send_replace(true);
        let drain = if self.servers.is_empty() { Duration::ZERO } else { self.context.settings.drain };
        Instant::now() + drain
    }

    async fn stop(mut self) -> Result<(), AgentError> {
        self.stopping.send_replace(true);
        // Each server bounds its own drain.
        while self.servers.join_next().await.is_some() {}
        Ok(())
    }

    fn start_channels(&mut self) {
        let (identity, pace) = (self.context.identity.clone(), self.context.settings.pace(&self.context.identity.instance));
        let client = self.context.client.clone();
        let follower = Follower {
            api: Api::namespaced(client.clone(), &identity.namespace),
            config_map: self.context.settings.config_map.clone(),
            pace,
            reads: self.reads.subscribe(),
            events: self.events.clone(),
        };
        self.tasks.spawn(follower.run());
        let (publications, events) = (self.publications.subscribe(), self.events.clone());
        match self.context.settings.channel {
            ReportChannel::PodCondition => {
                let api = Api::namespaced(client, &identity.namespace);
                let clock = Arc::clone(&self.context.clock);
                self.tasks.spawn(ConditionChannel { api, identity, clock, pace, publications, events }.run());
            }
            ReportChannel::Http => {
                let served = self.served.subscribe();
                self.tasks.spawn(HttpChannel { publications, served, events }.run());
            }
        }
    }

    /// Forgets tasks that have ended. One that panicked ends the agent, so that kubelet begins a new one.
    fn reap(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            if let Err(error) = ended
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn wake(&self) -> Instant {
        // A day is longer than any timer of the core but the age floor, which is then looked at again.
        self.began + self.core.wake_at().unwrap_or_else(|| self.now() + Duration::from_secs(24 * 3600))
    }

    fn step(&mut self, event: Event) {
        self.note(&event);
        let now = self.now();
        for effect in self.core.handle(event, now) {
            self.perform(effect);
        }
    }

    /// Keeps the library true to what happened, before the core decides.
    fn note(&mut self, event: &Event) {
        match event {
            Event::Loaded { version } => {
                self.loads.remove(&version.digest);
                self.library.completed(&version.digest);
            }
            Event::Lost { digest } => self.library.lost(digest),
            Event::PointerRead { pointer, .. } | Event::PointerChanged { pointer } => {
                pointer.wanted().into_iter().for_each(|version| self.library.repoint(version));
            }
            Event::LoadFailed { digest, problem } => tracing::warn!(%digest, %problem, "cannot load a version"),
            Event::Switched { version } => {
                tracing::info!(version = %version.version, digest = %version.digest, "serving");
                self.library.serve(version);
            }
            _ => {}
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Publish(publication) => {
                self.publications.send_replace(Some(publication));
            }
            Effect::ReadPointer { number } => {
                self.reads.send_replace(number);
            }
            Effect::Load(version) => self.load(version),
            Effect::Abandon(digest) => {
                if let Some(load) = self.loads.remove(&digest) {
                    load.abort();
                }
            }
            Effect::BeginServing(version) => self.begin_serving(version),
            Effect::Evict(digest) => self.evict(digest),
        }
    }

    fn load(&mut self, version: PointedVersion) {
        let (context, events, learned) = (self.context.clone(), self.events.clone(), self.learned.clone());
        let digest = version.digest.clone();
        let load = self.tasks.spawn(async move {
            let event = match load(&context, &version, &learned).await {
                Ok(()) => Event::Loaded { version },
                Err(error) => Event::LoadFailed { digest: version.digest, problem: error.to_string() },
            };
            let _closed = events.send(event).await;
        });
        self.loads.insert(digest, load);
    }

    fn begin_serving(&mut self, version: PointedVersion) {
        let (mirror, events) = (Arc::clone(&self.context.mirror), self.events.clone());
        let name_map = self.library.manifest(&version.digest).map(|manifest| manifest.name_map(&version.base_url)).unwrap_or_default();
        self.tasks.spawn(async move {
            let event = match mirror.make_current(&version.digest, &name_map).await {
                Ok(()) => Event::Switched { version },
                Err(error) => Event::SwitchFailed { problem: format!("cannot switch to version {:?}: {error}", version.version) },
            };
            let _closed = events.send(event).await;
        });
    }

    fn evict(&mut self, digest: ManifestDigest) {
        // Requests stop counting on the files before these go.
        self.library.lost(&digest);
        let (mirror, events) = (Arc::clone(&self.context.mirror), self.events.clone());
        self.tasks.spawn(async move {
            let event = match mirror.evict(&digest).await {
                Ok(()) => Event::Evicted { digest },
                Err(error) => {
                    tracing::warn!(%digest, %error, "cannot delete a version");
                    Event::EvictFailed { digest }
                }
            };
            let _closed = events.send(event).await;
        });
    }
}

/// The manifest first: from then on its files can be served one by one although the version is not complete.
async fn load(
    context: &Context,
    version: &PointedVersion,
    learned: &mpsc::Sender<(PointedVersion, FetchedManifest)>,
) -> Result<(), MirrorError> {
    let fetched = fetch_manifest(&*context.fetch, version).await?;
    let _closed = learned.send((version.clone(), fetched.clone())).await;
    context.mirror.load(version, &fetched, &*context.fetch).await
}

#[cfg(test)]
mod tests;
