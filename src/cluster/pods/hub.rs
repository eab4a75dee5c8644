//! The one watch that brings the pods of all selectors of a namespace that share a label, and the LISTs beside it.
//!
//! A selector that comes is put into the watch first and listed then, so that nothing falls between the two: the watch goes on from the version
//! at which it stands. LISTs are quorum reads, begun for those who ask for one and at the same time for all of these together.
//! Never begun from a cache (resourceVersion=0), and never a watch or a connection for each release.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{BoxStream, FuturesUnordered};
use futures::{FutureExt as _, StreamExt as _};
use kube::Api;
use kube::api::{ListParams, WatchEvent, WatchParams};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::member::{Change, Member, Pods, Wakes};
use super::selector::{Handle, Labels, Taken, union};
use super::{ReleaseKey, Source, lock, slim};
use crate::cluster::calls::{Call, CallError};
use crate::cluster::lite::PodLite;
use crate::cluster::streams::Doubling;

/// Pods of one page of a LIST: 6 MB at 60 KiB each, of which 0.4 MB are kept while the page is parsed.
const PAGE: u32 = 100;

/// LISTs at once. One takes 100 ms and the next staging must not wait for it; of more, each is for all that asked meanwhile.
const LISTS_AT_ONCE: usize = 4;

/// The server ends a watch after this time; the client waits a little longer before it takes the connection for dead.
const WATCH_SECONDS: u32 = 60;
/// A watch that held this long was no failure: the next LIST begins with the shortest pause.
const WATCH_HOLDS: Duration = Duration::from_secs(10);
const WATCH_SILENCE_MAX: Duration = Duration::from_secs(65);

/// From one restart for selectors that came to the next: of 1,000 releases that come within 10 s, 100 restart the watch.
const RESTART_EVERY: Duration = Duration::from_millis(100);

/// What the watch and those who look at it share.
pub(super) struct Hub {
    pub(super) namespace: String,
    pub(super) handle: Handle,
    state: Mutex<Shared>,
    bell: Notify,
}

#[derive(Default)]
pub(super) struct Shared {
    pub(super) members: BTreeMap<Source, Member>,
    /// A LIST was asked for since it was last looked.
    is_asked: bool,
}

impl Hub {
    pub(super) fn new(namespace: &str, handle: Handle) -> Self {
        Self { namespace: namespace.to_owned(), handle, state: Mutex::default(), bell: Notify::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Shared> {
        lock(&self.state)
    }

    /// A LIST was asked for: it waits for no pause.
    pub(super) fn ring(&self, shared: &mut Shared) {
        shared.is_asked = true;
        self.bell.notify_one();
    }
}

/// What comes of the watch.
enum Heard {
    Event(Box<WatchEvent<PodLite>>),
    /// The server ended it, as it was asked to.
    Ended,
    /// It could not go on.
    Broken,
}

struct Watch {
    heard: BoxStream<'static, Heard>,
    begun: Instant,
    /// When it was begun, or last brought something.
    heard_at: Instant,
}

/// What came of a LIST.
struct Listed {
    /// Its number: a member that left, and came again meanwhile, waits for another one.
    number: u64,
    of: Vec<Source>,
    answer: Result<Found, CallError>,
}

struct Found {
    version: String,
    /// In the order of those that it was for.
    pods: Vec<Pods>,
    /// The value of the handle's label, by pod.
    values: Vec<(String, String)>,
}

/// The task behind a hub.
pub(super) struct Watcher {
    hub: Arc<Hub>,
    api: Api<PodLite>,
    changed: mpsc::UnboundedSender<ReleaseKey>,
    watch: Option<Watch>,
    /// Where the watch stands; `None` before the first LIST, and after a gap.
    version: Option<String>,
    lists: FuturesUnordered<BoxFuture<'static, Listed>>,
    lists_begun: u64,
    /// Members by the values of the handle's label that they ask for.
    members_of: BTreeMap<String, Vec<Source>>,
    /// The last value of the handle's label, by pod: a pod that gets another one leaves those who asked for this one.
    values: BTreeMap<String, String>,
    pauses: Doubling,
    paused_until: Option<Instant>,
    restarted_at: Option<Instant>,
}

impl Watcher {
    pub(super) fn new(hub: Arc<Hub>, api: Api<PodLite>, changed: mpsc::UnboundedSender<ReleaseKey>) -> Self {
        Self {
            hub,
            api,
            changed,
            watch: None,
            version: None,
            lists: FuturesUnordered::new(),
            lists_begun: 0,
            members_of: BTreeMap::new(),
            values: BTreeMap::new(),
            pauses: Doubling::default(),
            paused_until: None,
            restarted_at: None,
        }
    }

    pub(super) async fn run(mut self) {
        let mut due = self.begin_what_is_due();
        loop {
            let goes_on = tokio::select! {
                biased;
                () = self.hub.bell.notified() => false,
                Some(listed) = self.lists.next(), if !self.lists.is_empty() => {
                    self.end_the_list(listed);
                    false
                }
                heard = next_of(&mut self.watch) => self.on(heard),
                () = at(due) => false,
            };
            // What the watch says of a pod asks for nothing, and to see that takes a look at each member.
            if !goes_on {
                due = self.begin_what_is_due();
            }
        }
    }

    /// Begins the watch and the LISTs that are wanted; when it has to be called again at the latest.
    fn begin_what_is_due(&mut self) -> Option<Instant> {
        let hub = self.hub.clone();
        let mut shared = hub.lock();
        let now = Instant::now();
        if std::mem::take(&mut shared.is_asked) {
            self.paused_until = None;
        }
        if let Some(until) = self.paused_until.filter(|until| *until > now) {
            return Some(until);
        }
        self.paused_until = None;
        let Some(version) = self.version.clone() else {
            if self.lists.is_empty() {
                self.begin_a_list(&mut shared, |_| true);
            }
            return None;
        };
        let due = self.watch_all(&mut shared, &version, now);
        if self.lists.len() < LISTS_AT_ONCE {
            self.begin_a_list(&mut shared, |member| member.is_watched && member.needs_a_list());
        }
        due
    }

    /// Has the watch bring the pods of every member, from where it stands. Those that have left it are dropped when it is begun again anyway.
    fn watch_all(&mut self, shared: &mut Shared, version: &str, now: Instant) -> Option<Instant> {
        let is_whole = shared.members.values().all(|member| member.is_watched);
        if self.watch.is_some() && is_whole {
            return None;
        }
        let due = self.restarted_at.map(|at| at + RESTART_EVERY).filter(|due| self.watch.is_some() && *due > now);
        if due.is_some() {
            return due;
        }
        self.members_of.clear();
        for (source, member) in &mut shared.members {
            member.is_watched = true;
            for value in &member.taken.values {
                self.members_of.entry(value.clone()).or_default().push(source.clone());
            }
        }
        // Pods of members that left end without a word.
        self.values.retain(|_, value| self.members_of.contains_key(value));
        let selector = union(&self.hub.handle, self.members_of.keys());
        let heard = heard(self.api.clone(), self.hub.namespace.clone(), &selector, version.to_owned());
        self.watch = Some(Watch { heard, begun: now, heard_at: now });
        self.restarted_at = Some(now);
        None
    }

    /// One LIST for all of these members.
    fn begin_a_list(&mut self, shared: &mut Shared, of: impl Fn(&Member) -> bool) {
        let mut asking = Vec::new();
        self.lists_begun += 1;
        for (source, member) in shared.members.iter_mut().filter(|(_, member)| of(member)) {
            member.begin_a_list(self.lists_begun);
            asking.push((source.clone(), member.taken.clone()));
        }
        if !asking.is_empty() {
            let (namespace, handle) = (self.hub.namespace.clone(), self.hub.handle.clone());
            self.lists.push(list(self.api.clone(), namespace, handle, (self.lists_begun, asking)).boxed());
        }
    }

    fn end_the_list(&mut self, listed: Listed) {
        let hub = self.hub.clone();
        let mut shared = hub.lock();
        match listed.answer {
            Ok(found) => {
                let version = number(&found.version);
                // What the watch has said of a pod may be newer, and what comes of it is compared with that.
                for (name, value) in found.values {
                    self.values.entry(name).or_insert(value);
                }
                self.version.get_or_insert(found.version);
                for (source, pods) in listed.of.iter().zip(found.pods) {
                    if let Some(member) = shared.members.get_mut(source) {
                        let wakes = member.end_the_list(listed.number, pods, version);
                        self.wake(member, wakes);
                    }
                }
            }
            Err(error) => {
                tracing::warn!(namespace = %hub.namespace, selectors = listed.of.len(), %error, "pods cannot be listed");
                for source in &listed.of {
                    if let Some(member) = shared.members.get_mut(source) {
                        let wakes = member.refuse(listed.number, &error);
                        self.wake(member, wakes);
                    }
                }
                self.pause();
            }
        }
    }

    /// Whether the watch goes on.
    fn on(&mut self, heard: Heard) -> bool {
        let held = self.watch.as_ref().map(|watch| watch.begun.elapsed()).unwrap_or_default();
        match heard {
            Heard::Event(event) => {
                let goes_on = self.apply(*event);
                if !goes_on {
                    self.lose_the_watch(held);
                }
                return goes_on;
            }
            // Begun again where it stopped.
            Heard::Ended if held > Duration::from_secs(1) => self.watch = None,
            Heard::Ended | Heard::Broken => self.lose_the_watch(held),
        }
        false
    }

    fn lose_the_watch(&mut self, held: Duration) {
        (self.watch, self.version) = (None, None);
        self.lists.clear();
        self.values.clear();
        self.hub.lock().members.values_mut().for_each(Member::lose_the_watch);
        if held > WATCH_HOLDS {
            self.pauses = Doubling::default();
        }
        self.pause();
    }

    fn pause(&mut self) {
        self.paused_until = Some(Instant::now() + self.pauses.next().unwrap_or(WATCH_SILENCE_MAX));
    }

    /// Whether the watch can go on.
    fn apply(&mut self, event: WatchEvent<PodLite>) -> bool {
        let (mut pod, is_there) = match event {
            WatchEvent::Added(pod) | WatchEvent::Modified(pod) => (pod, true),
            WatchEvent::Deleted(pod) => (pod, false),
            WatchEvent::Bookmark(bookmark) => {
                self.version = Some(bookmark.metadata.resource_version);
                return true;
            }
            WatchEvent::Error(_) => return false,
        };
        let labels = pod.metadata.labels.take().unwrap_or_default();
        let (name, pod) = slim(pod);
        self.version.clone_from(&pod.metadata.resource_version);
        let version = self.version.as_deref().and_then(number);
        self.spread(&Change { name, version, pod: is_there.then_some(pod) }, &labels);
        true
    }

    /// To those who ask for the pod's value of the label, and to those who asked for the one before.
    fn spread(&mut self, change: &Change, labels: &Labels) {
        let hub = self.hub.clone();
        let mut shared = hub.lock();
        let value = hub.handle.value(labels);
        let before = match value.filter(|_| change.pod.is_some()) {
            Some(value) => self.values.insert(change.name.clone(), value.clone()),
            None => self.values.remove(&change.name),
        };
        let concerned: BTreeSet<Source> = match &before {
            Some(before) => {
                [Some(before), value].into_iter().flatten().filter_map(|value| self.members_of.get(value)).flatten().cloned().collect()
            }
            // It is new, or what it was before is not known.
            None => shared.members.keys().cloned().collect(),
        };
        for source in concerned {
            if let Some(member) = shared.members.get_mut(&source).filter(|member| member.is_watched) {
                let wakes = member.hear(change.clone(), labels);
                self.wake(member, wakes);
            }
        }
    }

    fn wake(&self, member: &Member, wakes: Wakes) {
        let waits = |waited: u64| match wakes {
            Wakes::None => false,
            Wakes::Waiting(before) => waited > before,
            Wakes::All => true,
        };
        for (user, _) in member.users.iter().filter(|(_, waited)| waits(**waited)) {
            // Nobody listens only while the controller shuts down.
            let _ = self.changed.send(user.clone());
        }
    }
}

/// Versions of pods are decimal numbers, and Kubernetes lets them be compared since 1.35; before, every API server has had etcd's.
fn number(version: &str) -> Option<u64> {
    version.parse().ok()
}

async fn next_of(watch: &mut Option<Watch>) -> Heard {
    let Some(watch) = watch else { return std::future::pending().await };
    match tokio::time::timeout_at(watch.heard_at + WATCH_SILENCE_MAX, watch.heard.next()).await {
        Ok(Some(heard)) => {
            watch.heard_at = Instant::now();
            heard
        }
        Ok(None) => Heard::Ended,
        Err(_) => Heard::Broken,
    }
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

fn heard(api: Api<PodLite>, namespace: String, selector: &str, version: String) -> BoxStream<'static, Heard> {
    let params = WatchParams::default().labels(selector).timeout(WATCH_SECONDS);
    let begun =
        async move { Call::new("watch", "Pod", &namespace, "").make(api.watch(&params, &version)).await.map(futures::StreamExt::boxed) };
    let events = begun.map(|begun| match begun {
        Ok(events) => events.map(|event| event.map_or(Heard::Broken, |event| Heard::Event(Box::new(event)))).boxed(),
        Err(_) => futures::stream::iter([Heard::Broken]).boxed(),
    });
    events.flatten_stream().boxed()
}

async fn list(api: Api<PodLite>, namespace: String, handle: Handle, (number, asking): (u64, Vec<(Source, Taken)>)) -> Listed {
    let values: BTreeSet<&String> = asking.iter().flat_map(|(_, taken)| &taken.values).collect();
    // One selector alone is asked for as it is.
    let selector = match asking.as_slice() {
        [(source, _)] => source.selector.clone(),
        _ => union(&handle, values.into_iter()),
    };
    let concerned = Concerned::new(&asking);
    let params = ListParams::default().labels(&selector).limit(PAGE);
    // What is looked at of a pod's labels is gone with its page: a tenant may fill them.
    let kept = |mut pod: PodLite| {
        let labels = pod.metadata.labels.take().unwrap_or_default();
        (concerned.by(&handle, &labels), handle.value(&labels).cloned(), slim(pod))
    };
    let answer = Call::new("list", "Pod", &namespace, "").list_at(&api, params, kept).await;
    let answer = answer.map(|(found, version)| {
        let (mut pods, mut values) = (vec![Pods::new(); asking.len()], Vec::new());
        for (members, value, (name, pod)) in found {
            for member in members {
                pods[member].insert(name.clone(), pod.clone());
            }
            values.extend(value.map(|value| (name, value)));
        }
        Found { version, pods, values }
    });
    Listed { number, of: asking.iter().map(|(source, _)| source.clone()).collect(), answer }
}

/// Which of those that ask for a LIST select a pod.
struct Concerned<'a> {
    asking: &'a [(Source, Taken)],
    by_value: BTreeMap<&'a str, Vec<usize>>,
}

impl<'a> Concerned<'a> {
    fn new(asking: &'a [(Source, Taken)]) -> Self {
        let mut by_value: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (member, (_, taken)) in asking.iter().enumerate() {
            taken.values.iter().for_each(|value| by_value.entry(value).or_default().push(member));
        }
        Self { asking, by_value }
    }

    fn by(&self, handle: &Handle, labels: &Labels) -> Vec<usize> {
        let candidates = match handle {
            Handle::Label(_) => handle.value(labels).and_then(|value| self.by_value.get(value.as_str()).cloned()).unwrap_or_default(),
            Handle::Whole(_) => (0..self.asking.len()).collect(),
        };
        candidates.into_iter().filter(|member| self.asking[*member].1.selects(labels)).collect()
    }
}
