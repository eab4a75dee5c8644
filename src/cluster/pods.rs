//! The view of a target's pods: one quorum LIST begun after the staging, then the watch from its resource version.
//!
//! A consistent LIST takes about 95 ms (the API server waits for etcd's progress notification, every 100 ms), too long for a
//! flip; the watch is as good, because reports only grow within a stage. The view may be old, but never older than the stage
//! that it names. Never begun from a cache (resourceVersion=0).

mod polls;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, Client};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::api::names::AGENT_CONTAINER;
use crate::api::release::ReportSpec;

use super::calls::{Call, CallError, Class};
use super::lite::{ContainerLite, PodLite};
use super::reports::ReportReader;
use super::streams::Doubling;
use polls::Polls;

/// Pods of one page of a LIST: 6 MB at 60 KiB each, of which 0.4 MB are kept while the page is parsed.
const PAGE: u32 = 100;

/// The server ends a watch after this time; the client waits a little longer before it takes the connection for dead.
const WATCH_SECONDS: u32 = 60;
/// A watch that held this long was no failure: the next LIST begins with the shortest pause.
const WATCH_HOLDS: Duration = Duration::from_secs(10);
const WATCH_SILENCE_MAX: Duration = Duration::from_secs(65);

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
    /// The pods by name.
    pub pods: BTreeMap<String, Arc<PodLite>>,
    /// Why the pods cannot be listed, when time alone will not mend that.
    pub refused: Option<CallError>,
    /// Answers of the HTTP channel by pod UID.
    pub polled: BTreeMap<String, Result<String, String>>,
    /// Number of the newest LIST; 0 before the first. Those who share a view count their stages differently.
    round: u64,
}

/// All views. A view ends, with its watch and its polls, when no target looks at it any more.
pub struct PodViews {
    client: Client,
    reader: Arc<dyn ReportReader>,
    changed: mpsc::UnboundedSender<ReleaseKey>,
    views: Mutex<Views>,
}

#[derive(Default)]
struct Views {
    uses: BTreeMap<(ReleaseKey, String), Use>,
    begun: BTreeMap<Source, View>,
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
    /// The stage that it last wished to see, and the LIST that shows it.
    stage: i64,
    round: u64,
    /// The newest stage that was shown.
    seen: Option<i64>,
}

struct View {
    /// Number of the newest LIST that was asked for.
    rounds: watch::Sender<u64>,
    /// The stage that pods are asked for over HTTP.
    stage: watch::Sender<i64>,
    snapshot: Arc<Mutex<Snapshot>>,
    users: Users,
    _task: Task,
}

/// Who uses a view, each with the number of the newest LIST that it waits for or has waited for.
type Users = Arc<Mutex<BTreeMap<ReleaseKey, u64>>>;

impl View {
    /// Asks for a LIST that begins from now on; its number.
    fn next_round(&self) -> u64 {
        self.rounds.send_modify(|round| *round += 1);
        *self.rounds.borrow()
    }
}

/// A task that ends with its owner.
struct Task(tokio::task::JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl PodViews {
    /// No views yet; `changed` is told whenever a view shows something else.
    pub fn new(client: Client, reader: Arc<dyn ReportReader>, changed: mpsc::UnboundedSender<ReleaseKey>) -> Self {
        Self { client, reader, changed, views: Mutex::default() }
    }

    /// What the view of this target shows now. A view that does not fulfil the wish is begun (or begun again) beside.
    pub fn look(&self, release: &ReleaseKey, target: &str, wish: &Wish) -> Snapshot {
        let mut views = lock(&self.views);
        let key = (release.clone(), target.to_owned());
        let source = Source::of(release, wish);
        if views.uses.get(&key).is_none_or(|it| it.source != source) {
            views.uses.remove(&key);
            views.end_unused();
            let round = self.join(&mut views, release, &source, wish);
            views.uses.insert(key.clone(), Use { source, stage: wish.stage, round, seen: None });
        }
        let Views { uses, begun } = &mut *views;
        let used = uses.get_mut(&key).expect("it was just put there");
        let view = &begun[&used.source];
        if used.stage < wish.stage {
            (used.stage, used.round) = (wish.stage, view.next_round());
            lock(&view.users).insert(release.clone(), used.round);
            view.stage.send_if_modified(|stage| std::mem::replace(stage, wish.stage.max(*stage)) < wish.stage);
        }
        let mut snapshot = lock(&view.snapshot).clone();
        if snapshot.round >= used.round {
            used.seen = Some(used.stage);
        }
        snapshot.seen_since_stage = used.seen;
        snapshot
    }

    /// Drops the views of targets that the release does not have any more.
    pub fn keep_only(&self, release: &ReleaseKey, targets: &[String]) {
        let mut views = lock(&self.views);
        views.uses.retain(|(of, target), _| of != release || targets.contains(target));
        views.end_unused();
    }

    /// The LIST that the new use waits for: the first of a new view, or one more of a view that others have.
    fn join(&self, views: &mut Views, release: &ReleaseKey, source: &Source, wish: &Wish) -> u64 {
        if let Some(view) = views.begun.get(source) {
            view.stage.send_if_modified(|stage| std::mem::replace(stage, wish.stage.max(*stage)) < wish.stage);
            let round = view.next_round();
            lock(&view.users).insert(release.clone(), round);
            return round;
        }
        let view = self.begin(release, source, wish);
        let round = *view.rounds.borrow();
        views.begun.insert(source.clone(), view);
        round
    }

    fn begin(&self, release: &ReleaseKey, source: &Source, wish: &Wish) -> View {
        let (rounds, wanted) = watch::channel(1);
        let (stage, asked_stage) = watch::channel(wish.stage);
        let snapshot = Arc::<Mutex<Snapshot>>::default();
        let users = Arc::new(Mutex::new(BTreeMap::from([(release.clone(), 1)])));
        let watcher = Watcher {
            api: Api::namespaced(self.client.clone(), &source.namespace),
            source: source.clone(),
            wanted,
            snapshot: snapshot.clone(),
            users: users.clone(),
            changed: self.changed.clone(),
            polls: wish.report.http.clone().map(|channel| Polls::new(channel, self.reader.clone(), asked_stage, release.clone())),
        };
        let task = Task(tokio::spawn(watcher.run()));
        View { rounds, stage, snapshot, users, _task: task }
    }
}

impl Views {
    fn end_unused(&mut self) {
        let uses = &self.uses;
        self.begun.retain(|source, view| {
            let mut users = BTreeMap::new();
            for ((release, _), used) in uses.iter().filter(|(_, used)| used.source == *source) {
                let round = users.entry(release.clone()).or_default();
                *round = used.round.max(*round);
            }
            let is_used = !users.is_empty();
            *lock(&view.users) = users;
            is_used
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each holder only moves whole values in and out, so a panic elsewhere leaves nothing half-done behind the lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How following a watch ended.
#[derive(PartialEq, Eq)]
enum Followed {
    /// Somebody wants a new LIST.
    NewRound,
    /// It could not go on.
    Broken,
}

struct Watcher {
    api: Api<PodLite>,
    source: Source,
    wanted: watch::Receiver<u64>,
    snapshot: Arc<Mutex<Snapshot>>,
    users: Users,
    changed: mpsc::UnboundedSender<ReleaseKey>,
    polls: Option<Polls>,
}

impl Watcher {
    async fn run(mut self) {
        let mut pauses = Doubling::default();
        loop {
            // Read before the LIST: the LIST then sees everything up to the writes of whoever asked for it at least.
            let round = *self.wanted.borrow_and_update();
            match self.list().await {
                Ok((pods, version)) => {
                    self.show(pods, round);
                    let begun = Instant::now();
                    if self.follow(version).await == Followed::Broken {
                        if begun.elapsed() > WATCH_HOLDS {
                            pauses = Doubling::default();
                        }
                        self.pause(&mut pauses).await;
                    }
                }
                Err(error) => {
                    tracing::warn!(namespace = %self.source.namespace, selector = %self.source.selector, %error, "pods cannot be listed");
                    self.refuse(&error);
                    self.pause(&mut pauses).await;
                }
            }
        }
    }

    /// Waits before the next LIST; whoever wants one does not.
    async fn pause(&mut self, pauses: &mut Doubling) {
        let pause = pauses.next().unwrap_or(WATCH_SILENCE_MAX);
        if let Ok(Ok(())) = tokio::time::timeout(pause, self.wanted.changed()).await {
            self.wanted.mark_changed();
        }
    }

    async fn list(&self) -> Result<(BTreeMap<String, Arc<PodLite>>, String), CallError> {
        let mut pods = BTreeMap::new();
        let mut params = ListParams::default().labels(&self.source.selector).limit(PAGE);
        loop {
            let page = Call::new("list", "Pod", &self.source.namespace, "").make(self.api.list(&params)).await?;
            let version = page.metadata.resource_version.clone().unwrap_or_default();
            pods.extend(page.items.into_iter().map(slim));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok((pods, version)),
            }
        }
    }

    /// Follows the watch until somebody wants a new LIST or the server has forgotten our version.
    async fn follow(&mut self, mut version: String) -> Followed {
        let params = WatchParams::default().labels(&self.source.selector).timeout(WATCH_SECONDS);
        let api = self.api.clone();
        loop {
            let Ok(stream) = Call::new("watch", "Pod", &self.source.namespace, "").make(api.watch(&params, &version)).await else {
                return Followed::Broken;
            };
            let begun = Instant::now();
            let mut stream = stream.boxed();
            loop {
                let event = tokio::select! {
                    biased;
                    _ = self.wanted.changed() => return Followed::NewRound,
                    event = tokio::time::timeout(WATCH_SILENCE_MAX, stream.next()) => event,
                };
                match event {
                    Ok(Some(Ok(event))) => match self.apply(event) {
                        Some(newer) => version = newer,
                        None => return Followed::Broken,
                    },
                    // The server ended the watch as it was asked to: go on where it stopped.
                    Ok(None) if begun.elapsed() > Duration::from_secs(1) => break,
                    Ok(None | Some(Err(_))) | Err(_) => return Followed::Broken,
                }
            }
        }
    }

    /// The version that the event brings; `None` when the watch cannot go on.
    fn apply(&mut self, event: WatchEvent<PodLite>) -> Option<String> {
        let (pod, is_there) = match event {
            WatchEvent::Added(pod) | WatchEvent::Modified(pod) => (pod, true),
            WatchEvent::Deleted(pod) => (pod, false),
            WatchEvent::Bookmark(bookmark) => return Some(bookmark.metadata.resource_version),
            WatchEvent::Error(_) => return None,
        };
        let version = pod.metadata.resource_version.clone().unwrap_or_default();
        let (name, pod) = slim(pod);
        {
            let mut snapshot = lock(&self.snapshot);
            if is_there {
                snapshot.pods.insert(name, pod);
            } else {
                snapshot.pods.remove(&name);
            }
        }
        self.tell(|_| true);
        Some(version)
    }

    /// A LIST that shows the same pods is news only for those who wait for it: else 200 releases that come to share a view would have each
    /// other looked at 20,000 times.
    fn show(&mut self, pods: BTreeMap<String, Arc<PodLite>>, round: u64) {
        let (before, is_same) = {
            let mut snapshot = lock(&self.snapshot);
            let is_same = snapshot.refused.is_none() && are_same(&snapshot.pods, &pods);
            let before = std::mem::replace(&mut snapshot.round, round);
            snapshot.pods = pods;
            snapshot.refused = None;
            (before, is_same)
        };
        self.tell(|waited| !is_same || waited > before);
    }

    /// A hiccup leaves the view as good as it was; a right that is missing does not.
    fn refuse(&mut self, error: &CallError) {
        let lasts = matches!(error.class, Class::Denied | Class::Invalid);
        let is_news = lasts && lock(&self.snapshot).refused.replace(error.clone()).as_ref() != Some(error);
        if is_news {
            self.tell(|_| true);
        }
    }

    /// Has those looked at whose newest LIST has a number of which this is true.
    fn tell(&mut self, whom: impl Fn(u64) -> bool) {
        if let Some(polls) = &mut self.polls {
            polls.keep_up(&self.snapshot, &self.changed);
        }
        for (user, _) in lock(&self.users).iter().filter(|(_, waited)| whom(**waited)) {
            // Nobody listens only while the controller shuts down.
            let _ = self.changed.send(user.clone());
        }
    }
}

/// Whether these are the same pods in the same versions.
fn are_same(some: &BTreeMap<String, Arc<PodLite>>, others: &BTreeMap<String, Arc<PodLite>>) -> bool {
    let version = |pod: &PodLite| (pod.metadata.uid.clone(), pod.metadata.resource_version.clone());
    some.len() == others.len() && some.iter().zip(others).all(|(one, other)| one.0 == other.0 && version(one.1) == version(other.1))
}

/// Only what is looked at: managedFields, labels and annotations are most of a pod's size, and the last two are of any size.
fn slim(mut pod: PodLite) -> (String, Arc<PodLite>) {
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
