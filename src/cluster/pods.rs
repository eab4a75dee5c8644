//! The view of a target's pods: one quorum LIST begun after the staging, and the watch that goes on from there.
//!
//! A consistent LIST takes about 95 ms (the API server waits for etcd's progress notification, every 100 ms), too long for a
//! flip; the watch is as good, because reports only grow within a stage. The view may be old, but never older than the stage
//! that it names. Views of a namespace share one watch ([`hub`]), and never is one read from a cache.

mod hub;
mod member;
mod polls;
mod selector;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Api, Client};
use tokio::sync::{mpsc, watch};

use crate::api::names::{AGENT_CONTAINER, ANNOTATION_POINTER};
use crate::api::release::ReportSpec;

use super::calls::CallError;
use super::lite::{ContainerLite, PodLite};
use super::reports::ReportReader;
use hub::{Hub, Watcher};
use member::{Member, Pods};
use polls::{Asks, Polls};
use selector::{Handle, Taken};

/// Longest name of an object.
const OBJECT_NAME_BYTES_MAX: usize = 253;

/// `namespace` and `name` of a release.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReleaseKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What a view is to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Label selector of the pods.
    pub selector: String,
    /// How they report.
    pub report: ReportSpec,
    /// The stage number after which the view must have been begun.
    pub stage: i64,
}

/// What a view shows now.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The stage number after whose write the view was begun; `None` before the first LIST.
    pub seen_since_stage: Option<i64>,
    /// The pods by name. Shared with the view: a look copies none.
    pub pods: Arc<Pods>,
    /// Why the pods cannot be listed, when time alone will not change that.
    pub refused: Option<CallError>,
    /// Answers of the HTTP channel by pod UID.
    pub polled: Arc<BTreeMap<String, Result<String, String>>>,
    /// Number of the newest LIST; 0 before the first. Those who share a view count their stages differently.
    round: u64,
}

/// All views. A view ends, with its polls, when no target looks at it any more, and a watch with its last view.
pub struct PodViews {
    client: Client,
    reader: Arc<dyn ReportReader>,
    changed: mpsc::UnboundedSender<ReleaseKey>,
    views: Mutex<Views>,
}

#[derive(Default)]
struct Views {
    /// By release and target.
    uses: BTreeMap<ReleaseKey, BTreeMap<String, Use>>,
    /// By namespace and what their selectors have in common.
    hubs: BTreeMap<(String, Handle), Running>,
}

/// What a view is of. Releases whose targets select the same pods share it: the pods are held once, however many releases ask. Over HTTP
/// pods are asked for a release's stage, so there each release has its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Source {
    namespace: String,
    selector: String,
    http: Option<(ReleaseKey, i32, String)>,
}

impl Source {
    fn of(release: &ReleaseKey, wish: &Wish) -> Self {
        let http = wish.report.http.as_ref().map(|http| (release.clone(), http.port, http.path.clone()));
        Self { namespace: release.namespace.clone(), selector: wish.selector.clone(), http }
    }
}

/// One target's use of a view.
struct Use {
    source: Source,
    hub: Arc<Hub>,
    /// The stage that it last wished to see, and the LIST that shows it.
    stage: i64,
    round: u64,
    /// The newest stage that was shown.
    seen: Option<i64>,
}

struct Running {
    hub: Arc<Hub>,
    _task: Task,
}

/// A task that ends with its owner.
struct Task(tokio::task::JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl PodViews {
    /// No views yet; `changed` gets the releases whose view shows something else.
    pub fn new(client: Client, reader: Arc<dyn ReportReader>, changed: mpsc::UnboundedSender<ReleaseKey>) -> Self {
        Self { client, reader, changed, views: Mutex::default() }
    }

    /// What the view of this target shows now. A view that does not fulfil the wish is begun (or begun again) beside.
    pub fn look(&self, release: &ReleaseKey, target: &str, wish: &Wish) -> Snapshot {
        let mut views = lock(&self.views);
        let source = Source::of(release, wish);
        if views.used(release, target).is_none_or(|it| it.source != source) {
            views.leave(release, target);
            let (hub, round) = self.join(&mut views, release, &source, wish);
            let used = Use { source, hub, stage: wish.stage, round, seen: None };
            views.uses.entry(release.clone()).or_default().insert(target.to_owned(), used);
        }
        let used = views.used(release, target).expect("it was just put there");
        let mut shared = used.hub.lock();
        let member = shared.members.get_mut(&used.source).expect("a member stays while a target uses it");
        let is_newer = used.stage < wish.stage;
        if is_newer {
            (used.stage, used.round) = (wish.stage, member.want(release));
            raise(&member.stage, wish.stage);
        }
        let mut snapshot = lock(&member.snapshot).clone();
        if is_newer {
            used.hub.ring(&mut shared);
        }
        if snapshot.round >= used.round {
            used.seen = Some(used.stage);
        }
        snapshot.seen_since_stage = used.seen;
        snapshot
    }

    /// Drops the views of targets that the release does not have any more.
    pub fn keep_only(&self, release: &ReleaseKey, targets: &[String]) {
        let mut views = lock(&self.views);
        let known = views.uses.get(release).into_iter().flat_map(BTreeMap::keys);
        let gone: Vec<String> = known.filter(|target| !targets.contains(target)).cloned().collect();
        for target in &gone {
            views.leave(release, target);
        }
    }

    /// Releases that look at pods.
    pub fn releases(&self) -> Vec<ReleaseKey> {
        lock(&self.views).uses.keys().cloned().collect()
    }

    /// The LIST that the new use waits for: the first of a new view, or one more of a view that others have.
    fn join(&self, views: &mut Views, release: &ReleaseKey, source: &Source, wish: &Wish) -> (Arc<Hub>, u64) {
        let taken = Taken::apart(&source.selector);
        let key = (source.namespace.clone(), taken.handle.clone());
        let hub = views.hubs.entry(key).or_insert_with_key(|(namespace, handle)| self.begin(namespace, handle)).hub.clone();
        let mut shared = hub.lock();
        let member = shared.members.entry(source.clone()).or_insert_with(|| self.member(taken, release, wish));
        raise(&member.stage, wish.stage);
        let round = member.want(release);
        hub.ring(&mut shared);
        drop(shared);
        (hub, round)
    }

    fn member(&self, taken: Taken, release: &ReleaseKey, wish: &Wish) -> Member {
        let (stage, asked_stage) = watch::channel(wish.stage);
        let snapshot = Arc::<Mutex<Snapshot>>::default();
        let asks = |channel| Asks {
            channel,
            reader: self.reader.clone(),
            stage: asked_stage,
            snapshot: snapshot.clone(),
            changed: self.changed.clone(),
            release: release.clone(),
        };
        let polls = wish.report.http.clone().map(|channel| Polls::new(asks(channel)));
        Member::new(taken, snapshot, stage, polls)
    }

    fn begin(&self, namespace: &str, handle: &Handle) -> Running {
        let hub = Arc::new(Hub::new(namespace, handle.clone()));
        let watcher = Watcher::new(hub.clone(), Api::namespaced(self.client.clone(), namespace), self.changed.clone());
        Running { hub, _task: Task(tokio::spawn(watcher.run())) }
    }
}

impl Views {
    fn used(&mut self, release: &ReleaseKey, target: &str) -> Option<&mut Use> {
        self.uses.get_mut(release)?.get_mut(target)
    }

    /// Ends a target's use of its view, and what nobody uses any more with it.
    fn leave(&mut self, release: &ReleaseKey, target: &str) {
        let Some(targets) = self.uses.get_mut(release) else { return };
        let Some(Use { source, hub, .. }) = targets.remove(target) else { return };
        let is_used_by_another = targets.values().any(|other| other.source == source);
        if targets.is_empty() {
            self.uses.remove(release);
        }
        let mut shared = hub.lock();
        if let Some(member) = shared.members.get_mut(&source).filter(|_| !is_used_by_another) {
            member.users.remove(release);
            if member.users.is_empty() {
                shared.members.remove(&source);
            }
        }
        if shared.members.is_empty() {
            self.hubs.remove(&(source.namespace, hub.handle.clone()));
        }
    }
}

/// Over HTTP pods are asked for the highest stage that was wished.
fn raise(stage: &watch::Sender<i64>, wished: i64) {
    stage.send_if_modified(|stage| std::mem::replace(stage, wished.max(*stage)) < wished);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each holder only moves whole values in and out, so a panic elsewhere leaves nothing half-done behind the lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Only what is looked at: managedFields, labels and annotations are most of a pod's size, and the last two are of any size.
fn slim(mut pod: PodLite) -> (String, Arc<PodLite>) {
    let pointer = pod.metadata.annotations.as_mut().and_then(|annotations| annotations.remove(ANNOTATION_POINTER));
    pod.pointer = pointer.filter(|name| name.len() <= OBJECT_NAME_BYTES_MAX).map(String::into_boxed_str);
    let ObjectMeta { name, uid, resource_version, creation_timestamp, deletion_timestamp, .. } = pod.metadata;
    let key = name.clone().unwrap_or_default();
    pod.metadata = ObjectMeta { name, uid, resource_version, creation_timestamp, deletion_timestamp, ..ObjectMeta::default() };
    let is_looked_at = |container: &ContainerLite| !container.ports.is_empty() || container.name == AGENT_CONTAINER;
    pod.spec.containers.retain(is_looked_at);
    pod.spec.init_containers.retain(is_looked_at);
    (key, Arc::new(pod))
}

#[cfg(test)]
mod tests;
