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
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, Client};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::api::release::ReportSpec;

use super::calls::{Call, CallError, Class};
use super::lite::PodLite;
use super::reports::ReportReader;
use super::streams::Doubling;
use polls::Polls;

/// Pods of one page of a LIST; slim pods of 500 take about 2 MB while they are parsed.
const PAGE: u32 = 500;

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
}

/// All views. Dropping a view ends its watch and its polls.
pub struct PodViews {
    client: Client,
    reader: Arc<dyn ReportReader>,
    changed: mpsc::UnboundedSender<ReleaseKey>,
    views: Mutex<BTreeMap<(ReleaseKey, String), View>>,
}

struct View {
    selector: String,
    report: ReportSpec,
    stage: watch::Sender<i64>,
    snapshot: Arc<Mutex<Snapshot>>,
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
    /// No views yet; `changed` is told whenever a view shows something else.
    pub fn new(client: Client, reader: Arc<dyn ReportReader>, changed: mpsc::UnboundedSender<ReleaseKey>) -> Self {
        Self { client, reader, changed, views: Mutex::default() }
    }

    /// What the view of this target shows now. A view that does not fulfil the wish is begun (or begun again) beside.
    pub fn look(&self, release: &ReleaseKey, target: &str, wish: &Wish) -> Snapshot {
        let mut views = lock(&self.views);
        let key = (release.clone(), target.to_owned());
        let fits = views.get(&key).is_some_and(|view| view.selector == wish.selector && view.report == wish.report);
        if !fits {
            views.insert(key.clone(), self.begin(release, wish));
        }
        let view = &views[&key];
        view.stage.send_if_modified(|stage| {
            let is_newer = *stage < wish.stage;
            *stage = wish.stage.max(*stage);
            is_newer
        });
        lock(&view.snapshot).clone()
    }

    /// Drops the views of targets that the release does not have any more.
    pub fn keep_only(&self, release: &ReleaseKey, targets: &[String]) {
        lock(&self.views).retain(|(of, target), _| of != release || targets.contains(target));
    }

    fn begin(&self, release: &ReleaseKey, wish: &Wish) -> View {
        let (stage, wanted_stage) = watch::channel(wish.stage);
        let snapshot = Arc::<Mutex<Snapshot>>::default();
        let watcher = Watcher {
            api: Api::namespaced(self.client.clone(), &release.namespace),
            release: release.clone(),
            selector: wish.selector.clone(),
            wanted_stage,
            snapshot: snapshot.clone(),
            changed: self.changed.clone(),
            polls: wish.report.http.clone().map(|channel| Polls::new(channel, self.reader.clone())),
        };
        let task = Task(tokio::spawn(watcher.run()));
        View { selector: wish.selector.clone(), report: wish.report.clone(), stage, snapshot, _task: task }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each holder only moves whole values in and out, so a panic elsewhere leaves nothing half-done behind the lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How following a watch ended.
#[derive(PartialEq, Eq)]
enum Followed {
    /// A newer stage wants a new LIST.
    NewStage,
    /// It could not go on.
    Broken,
}

struct Watcher {
    api: Api<PodLite>,
    release: ReleaseKey,
    selector: String,
    wanted_stage: watch::Receiver<i64>,
    snapshot: Arc<Mutex<Snapshot>>,
    changed: mpsc::UnboundedSender<ReleaseKey>,
    polls: Option<Polls>,
}

impl Watcher {
    async fn run(mut self) {
        let mut pauses = Doubling::default();
        loop {
            // Read before the LIST: the LIST then sees everything up to this stage's write at least.
            let stage = *self.wanted_stage.borrow_and_update();
            match self.list().await {
                Ok((pods, version)) => {
                    self.show(pods, stage);
                    let begun = Instant::now();
                    if self.follow(version).await == Followed::Broken {
                        if begun.elapsed() > WATCH_HOLDS {
                            pauses = Doubling::default();
                        }
                        self.pause(&mut pauses).await;
                    }
                }
                Err(error) => {
                    tracing::warn!(release.namespace = %self.release.namespace, release.name = %self.release.name, %error, "pods cannot be listed");
                    self.refuse(&error);
                    self.pause(&mut pauses).await;
                }
            }
        }
    }

    /// Waits before the next LIST; a newer stage does not.
    async fn pause(&mut self, pauses: &mut Doubling) {
        let pause = pauses.next().unwrap_or(WATCH_SILENCE_MAX);
        if let Ok(Ok(())) = tokio::time::timeout(pause, self.wanted_stage.changed()).await {
            self.wanted_stage.mark_changed();
        }
    }

    async fn list(&self) -> Result<(BTreeMap<String, Arc<PodLite>>, String), CallError> {
        let mut pods = BTreeMap::new();
        let mut params = ListParams::default().labels(&self.selector).limit(PAGE);
        loop {
            let page = Call::new("list", "Pod", &self.release.namespace, "").make(self.api.list(&params)).await?;
            let version = page.metadata.resource_version.clone().unwrap_or_default();
            pods.extend(page.items.into_iter().map(slim));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok((pods, version)),
            }
        }
    }

    /// Follows the watch until a newer stage wants a new LIST or the server has forgotten our version.
    async fn follow(&mut self, mut version: String) -> Followed {
        let params = WatchParams::default().labels(&self.selector).timeout(WATCH_SECONDS);
        let api = self.api.clone();
        loop {
            let Ok(stream) = Call::new("watch", "Pod", &self.release.namespace, "").make(api.watch(&params, &version)).await else {
                return Followed::Broken;
            };
            let begun = Instant::now();
            let mut stream = stream.boxed();
            loop {
                let event = tokio::select! {
                    biased;
                    _ = self.wanted_stage.changed() => return Followed::NewStage,
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
        self.tell();
        Some(version)
    }

    fn show(&mut self, pods: BTreeMap<String, Arc<PodLite>>, stage: i64) {
        {
            let mut snapshot = lock(&self.snapshot);
            snapshot.pods = pods;
            snapshot.seen_since_stage = Some(stage);
            snapshot.refused = None;
        }
        self.tell();
    }

    /// A hiccup leaves the view as good as it was; a right that is missing does not.
    fn refuse(&mut self, error: &CallError) {
        let lasts = matches!(error.class, Class::Denied | Class::Invalid);
        let is_news = lasts && lock(&self.snapshot).refused.replace(error.clone()).as_ref() != Some(error);
        if is_news {
            self.tell();
        }
    }

    fn tell(&mut self) {
        if let Some(polls) = &mut self.polls {
            polls.keep_up(&self.snapshot, &self.wanted_stage, &self.changed, &self.release);
        }
        // Nobody listens only while the controller shuts down.
        let _ = self.changed.send(self.release.clone());
    }
}

/// Only what is looked at; managedFields alone are most of a pod's size.
fn slim(mut pod: PodLite) -> (String, Arc<PodLite>) {
    pod.metadata.managed_fields = None;
    pod.metadata.annotations = None;
    (pod.metadata.name.clone().unwrap_or_default(), Arc::new(pod))
}
