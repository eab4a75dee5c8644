//! Everything that a pass may use, and everything that outlives a pass. Nothing in it is needed to be right after a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use kube::Client;
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::mpsc;

use crate::api::AssetRelease;
use crate::clock::Clock;
use crate::cluster::lite::StoreLite;
use crate::cluster::nodes::Nodes;
use crate::cluster::pods::{PodViews, ReleaseKey};
use crate::cluster::reports::ReportReader;
use crate::cluster::seen::Seen;
use crate::egress::AmbientGrants;
use crate::manifest::VersionRecord;
use crate::metrics::Metrics;
use crate::source::{Source, Workspace};

use super::asset_store;
use super::breakers::Breakers;
use super::buckets::Buckets;
use super::echoes::Echoes;
use super::jobs::Jobs;
use super::keys::RecentKeys;
use super::looks::{Looks, Outdated};
use super::places::AllPlaces;
use super::prefix;
use super::reached::{Reached, StoreKey};
use super::retry::Attempts;
use super::writers::Writers;

/// The outside world, as the controller is given it.
pub struct Outside {
    /// The API server. Its own retries must be off: every write carries a precondition, and is decided anew.
    pub client: Client,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The object stores.
    pub buckets: Arc<dyn Buckets>,
    /// Where builds come from.
    pub source: Arc<dyn Source>,
    /// The pods' HTTP endpoints.
    pub reports: Arc<dyn ReportReader>,
}

/// What the controller is told once.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Namespaces to look after; empty for all.
    pub namespaces: Vec<String>,
    /// Where builds lie while they are uploaded.
    pub workspace: Workspace,
    /// Name of this controller process, in events.
    pub instance: String,
    /// The epoch under which it leads; `None` without an election.
    pub epoch: Option<i64>,
    /// For whom the controller's own cloud identity may be used.
    pub ambient: AmbientGrants,
}

/// Everything that a pass may use.
pub struct Context {
    pub(super) outside: Outside,
    pub(super) settings: Settings,
    pub(super) metrics: Arc<Metrics>,
    pub(super) pods: PodViews,
    pub(super) jobs: Jobs,
    pub(super) attempts: Attempts,
    /// Lost races in a row: a loss that repeats itself is no race.
    pub(super) losses: Attempts,
    /// Steps in a row that were lost.
    pub(super) lost_steps: Attempts,
    /// The releases that there are, once the loop runs.
    releases: OnceLock<Store<Seen<AssetRelease>>>,
    /// The AssetStores that the watch has shown, once the loop runs.
    watched_stores: OnceLock<Store<Seen<StoreLite>>>,
    /// Keys to buckets that were read a moment ago.
    pub(super) keys: RecentKeys,
    nodes: Mutex<Nodes>,
    memory: Mutex<BTreeMap<ReleaseKey, Memory>>,
    cluster: tokio::sync::OnceCell<String>,
    pub(super) reached: Reached,
    /// Writes of ours that the watches bring back.
    pub(super) echoes: Echoes,
    pub(super) places: AllPlaces,
    pub(super) breakers: Breakers,
    /// Looks at the prefixes of releases.
    pub(super) looks: Looks<ReleaseKey, prefix::Question, prefix::Seen>,
    /// Looks at AssetStores.
    pub(super) stores: Looks<StoreKey, asset_store::Question, asset_store::Answer>,
    /// Locks of prefixes in stores that keep no conditions.
    pub(super) writers: Writers,
}

/// What is remembered of one release between passes, to save requests; all of it can be read again.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    /// UID of the release that this is about.
    pub(super) uid: String,
    /// The store that record and ownership are of.
    pub(super) store: String,
    /// The record of the version that was last looked up; immutable in the bucket.
    pub(super) record: Option<VersionRecord>,
    /// The exclusions with which the prefix was seen to be ours.
    pub(super) owns_prefix_without: Option<Vec<String>>,
    /// When the status was last written.
    pub(super) status_written_at: Option<jiff::Timestamp>,
    /// When this process first looked at the release.
    pub(super) first_look: Option<jiff::Timestamp>,
    /// Reason of the blocker that was last told by event.
    pub(super) told: Option<String>,
    /// Reason of the failed look that was last told by event, and when.
    pub(super) told_failure: Option<(&'static str, jiff::Timestamp)>,
}

/// What is to be looked at although no watch says so.
pub struct Changes {
    /// Releases: their views and jobs have changed.
    pub(super) releases: mpsc::UnboundedReceiver<ReleaseKey>,
    /// Stores: a release has met their failure.
    pub(super) stores: mpsc::UnboundedReceiver<StoreKey>,
}

impl Context {
    /// A context, and what it says has changed.
    #[must_use]
    pub fn new(outside: Outside, settings: Settings, metrics: Arc<Metrics>) -> (Arc<Self>, Changes) {
        let (changed, releases) = mpsc::unbounded_channel();
        let (doubted, stores) = mpsc::unbounded_channel();
        let context = Self {
            pods: PodViews::new(outside.client.clone(), outside.reports.clone(), changed.clone()),
            jobs: Jobs::new(changed.clone(), outside.clock.clone()),
            looks: Looks::new(changed, outside.clock.clone(), Outdated::Shown),
            stores: Looks::new(doubted.clone(), outside.clock.clone(), Outdated::Dropped),
            attempts: Attempts::default(),
            losses: Attempts::default(),
            lost_steps: Attempts::default(),
            releases: OnceLock::new(),
            watched_stores: OnceLock::new(),
            keys: RecentKeys::default(),
            nodes: Mutex::default(),
            memory: Mutex::default(),
            cluster: tokio::sync::OnceCell::new(),
            reached: Reached::new(doubted),
            echoes: Echoes::default(),
            writers: Writers::default(),
            places: AllPlaces::default(),
            breakers: Breakers::default(),
            outside,
            settings,
            metrics,
        };
        (Arc::new(context), Changes { releases, stores })
    }

    pub(super) fn nodes(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn cluster_cell(&self) -> &tokio::sync::OnceCell<String> {
        &self.cluster
    }

    /// What is remembered of this very release (not of an earlier one of its name).
    pub(super) fn recall(&self, key: &ReleaseKey, uid: &str) -> Memory {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.get(key).filter(|memory| memory.uid == uid).cloned().unwrap_or_else(|| Memory { uid: uid.into(), ..Memory::default() })
    }

    pub(super) fn remember(&self, key: &ReleaseKey, uid: &str, change: impl FnOnce(&mut Memory)) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = memory.entry(key.clone()).or_default();
        if entry.uid != uid {
            *entry = Memory { uid: uid.into(), ..Memory::default() };
        }
        change(entry);
    }

    /// From now on these are the releases that there are.
    pub(super) fn goes_by(&self, releases: Store<Seen<AssetRelease>>) {
        // One loop for each context.
        let _ = self.releases.set(releases);
    }

    /// From now on the watch fills this with AssetStores.
    pub(super) fn watches_stores(&self, stores: Store<Seen<StoreLite>>) {
        // One loop for each context.
        let _ = self.watched_stores.set(stores);
    }

    /// An AssetStore as the watch has it.
    pub(super) fn watched_store(&self, namespace: &str, name: &str) -> Option<Arc<Seen<StoreLite>>> {
        self.watched_stores.get()?.get(&ObjectRef::new(name).within(namespace))
    }

    /// After a pass: what it has begun of a release that went meanwhile would have no end.
    pub(super) fn forget_if_gone(&self, key: &ReleaseKey) {
        let Some(releases) = self.releases.get() else { return };
        if releases.get(&ObjectRef::new(&key.name).within(&key.namespace)).is_none() {
            self.forget(key);
        }
    }

    /// After a listing: it does not say what went since the one before.
    pub(super) fn forget_all_gone(&self) {
        let mut known: BTreeSet<ReleaseKey> = self.memory.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect();
        known.extend(self.pods.releases());
        for key in &known {
            self.forget_if_gone(key);
        }
    }

    /// Drops everything about a release that is gone.
    pub(super) fn forget(&self, key: &ReleaseKey) {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        self.lost_steps.succeeded(key);
        self.pods.keep_only(key, &[]);
        self.jobs.forget(key);
        self.looks.forget(key);
        self.echoes.forget(key);
        self.attempts.succeeded(key);
        self.losses.succeeded(key);
        self.metrics.forgot(key);
    }
}
