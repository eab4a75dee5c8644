//! The wiring: watches, triggers, bounds. One failing watch must not slow the others, so every stream carries its own backoff.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{BoxStream, select_all};
use futures::{FutureExt as _, Stream, StreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PartialObjectMeta;
use kube::runtime::controller::{Action, Config};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;
use kube::runtime::{Controller, WatchStreamExt, reflector, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::sync::mpsc;

use crate::api::AssetRelease;
use crate::api::names::{LABEL_POINTER, LABEL_RELEASE};
use crate::cluster::lite::StoreLite;
use crate::cluster::pods::ReleaseKey;
use crate::cluster::seen;
use crate::cluster::streams::{events, map_event};

use super::asset_store;
use super::coalesce::{Pace, coalesce};
use super::context::{Changes, Context};
use super::echoes::Seen;
use super::namespaces::as_one;
use super::release::reconcile;

/// Releases looked at side by side. Each pass has one call in flight over HTTP/1.1, so this is also the number of connections.
const CONCURRENCY: u16 = 16;

/// Reports of many pods come 1 to 4 ms after one another. A pass that begins in their midst cannot flip, and the last report would wait
/// until it has made its reads: 10 ms, and five times that while the API server takes those reports. Ten thousand pods that
/// start, or an application that counts in its report, never stop to send events: a tenth of a second is short beside every deadline.
const PACE: Pace = Pace { quiet: Duration::from_millis(5), most: Duration::from_millis(100) };

/// A release as the watch shows it.
pub(super) type SeenRelease = seen::Seen<AssetRelease>;

/// Ends the jobs with the loop, also where it is dropped in the middle: what began them does not lead any more.
struct JobsEndWithIt(Arc<Context>);

impl Drop for JobsEndWithIt {
    fn drop(&mut self) {
        self.0.jobs.cancel_all();
    }
}

/// Runs until `shutdown` resolves, the passes under way and the jobs have ended, and the locks of single writers are given back: nothing is
/// written after it. `ready` is called when the releases are known.
pub async fn run(
    cx: Arc<Context>,
    changes: Changes,
    ready: impl FnOnce() + Send + 'static,
    shutdown: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let (shutdown, _jobs) = (shutdown.shared(), JobsEndWithIt(cx.clone()));
    let (releases, writer) = reflector::store();
    cx.goes_by(releases.clone());
    let seen = merged(&cx, Api::<SeenRelease>::namespaced, Api::all).map(|event| event.map(kept));
    let seen = tell_when_known(seen, cx.settings.namespaces.len().max(1), ready);
    let stream = forget_the_gone(reflector(writer, seen), cx.clone()).touched_objects();
    let stores = asset_store::run(cx.clone(), changes.stores);
    // One trigger for all: kube's own debounce moves on with every event, and it has no longest time.
    let changed = stream.filter_map(|release| std::future::ready(release.ok().map(|release| Trigger::of_release(&release))));
    let triggers = select_all([
        changed.boxed(),
        changed_inside(changes.releases).map(Trigger::inside).boxed(),
        changed_pointers(&cx).boxed(),
        changed_stores(&cx, releases.clone()).map(Trigger::inside).boxed(),
    ]);
    let news = coalesce(triggers, PACE).filter_map(unless_echoed(cx.clone()));
    let passes = Controller::for_stream(futures::stream::pending(), releases)
        .with_config(Config::default().concurrency(CONCURRENCY))
        .reconcile_on(news)
        .graceful_shutdown_on(shutdown.clone())
        .run(reconcile, |_, never: &std::convert::Infallible, _| -> Action { match *never {} }, cx.clone())
        .for_each(|_| std::future::ready(()));
    // Beside the passes under way, which may take longer than a pod has.
    let closed = async {
        shutdown.await;
        cx.writers.close().await;
    };
    tokio::select! {
        biased;
        ((), ()) = futures::future::join(passes, closed) => {}
        () = stores => {}
    }
    cx.jobs.end().await;
}

/// A release to be looked at, and what a watch has shown of it.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Trigger {
    release: ObjectRef<SeenRelease>,
    seen: Option<Seen>,
}

impl Trigger {
    fn of_release(release: &SeenRelease) -> Self {
        let version = release.resource_version().unwrap_or_default();
        Self { release: ObjectRef::from_obj(release), seen: Some(Seen::Release(version)) }
    }

    fn inside(release: ObjectRef<SeenRelease>) -> Self {
        Self { release, seen: None }
    }
}

/// Leaves out the controller's own writes, which come back a moment after their answers. One that comes before its answer causes a
/// pass too many and nothing else.
fn unless_echoed(cx: Arc<Context>) -> impl FnMut(Trigger) -> std::future::Ready<Option<ObjectRef<SeenRelease>>> + Send {
    move |Trigger { release, seen }| {
        let key = ReleaseKey { namespace: release.namespace.clone().unwrap_or_default(), name: release.name.clone() };
        let is_echo = seen.is_some_and(|seen| cx.echoes.has(&key, &seen));
        std::future::ready((!is_echo).then_some(release))
    }
}

/// What is kept of a release between passes: each pass reads the release anew, and the texts in 1,000 statuses are most of their size.
fn kept(event: Event<SeenRelease>) -> Event<SeenRelease> {
    let kept = |mut release: AssetRelease| {
        if let Some(status) = &mut release.status {
            status.conditions = Vec::new();
            status.message = None;
            status.candidate = None;
        }
        release
    };
    map_event(event, |release| release.map(kept))
}

/// A release that is gone is not looked at again, so nobody else would drop its views and jobs. One that went while the watch was broken
/// is missing in the next listing, and no event tells of it.
fn forget_the_gone(
    seen: impl Stream<Item = Result<Event<SeenRelease>, watcher::Error>> + Send,
    cx: Arc<Context>,
) -> impl Stream<Item = Result<Event<SeenRelease>, watcher::Error>> + Send {
    seen.inspect(move |event| match event {
        Ok(Event::Delete(release)) => {
            cx.forget(&ReleaseKey { namespace: release.namespace().unwrap_or_default(), name: release.name_any() });
        }
        Ok(Event::InitDone) => cx.forget_all_gone(),
        Ok(Event::Apply(_) | Event::InitApply(_) | Event::Init) | Err(_) => {}
    })
}

/// Calls `ready` when each of the watches has listed once. Not by the store's own `wait_until_ready`: it wakes only the last one who
/// waits, and kube's runner waits, too.
fn tell_when_known<K>(
    events: impl Stream<Item = Result<Event<K>, watcher::Error>> + Send,
    watches: usize,
    ready: impl FnOnce() + Send,
) -> impl Stream<Item = Result<Event<K>, watcher::Error>> + Send {
    let (mut missing, mut ready) = (watches, Some(ready));
    events.inspect(move |event| {
        missing = missing.saturating_sub(usize::from(matches!(event, Ok(Event::InitDone))));
        if missing == 0
            && let Some(ready) = ready.take()
        {
            ready();
        }
    })
}

/// Objects of all wanted namespaces as one stream that yields only what was seen.
pub(super) fn merged<K>(
    cx: &Context,
    of: fn(Client, &str) -> Api<K>,
    all: fn(Client) -> Api<K>,
) -> impl Stream<Item = Result<Event<K>, watcher::Error>> + Send + use<K>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    let numbered = streams(cx, of, all, &watcher::Config::default()).into_iter().enumerate();
    let numbered: Vec<_> = numbered.map(|(number, events)| events.map(move |event| (number, event)).boxed()).collect();
    match numbered.len() {
        // All that there is comes by one listing.
        1 => select_all(numbered).map(|(_, event)| Ok(event)).boxed(),
        _ => as_one(select_all(numbered)).map(Ok).boxed(),
    }
}

fn streams<K>(
    cx: &Context,
    of: fn(Client, &str) -> Api<K>,
    all: fn(Client) -> Api<K>,
    config: &watcher::Config,
) -> Vec<BoxStream<'static, Event<K>>>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    let client = &cx.outside.client;
    let apis: Vec<Api<K>> = match cx.settings.namespaces.as_slice() {
        [] => vec![all(client.clone())],
        names => names.iter().map(|name| of(client.clone(), name)).collect(),
    };
    apis.into_iter().map(|api| events(api, config.clone()).boxed()).collect()
}

/// Views and jobs.
fn changed_inside(changes: mpsc::UnboundedReceiver<ReleaseKey>) -> impl Stream<Item = ObjectRef<SeenRelease>> + Send {
    futures::stream::unfold(changes, |mut changes| async move {
        let key = changes.recv().await?;
        Some((ObjectRef::new(&key.name).within(&key.namespace), changes))
    })
}

/// Pointers, found by our label: a flip of somebody else, a deletion, a recreation.
fn changed_pointers(cx: &Context) -> impl Stream<Item = Trigger> + Send + use<> {
    let config = watcher::Config::default().labels(LABEL_POINTER);
    select_all(streams::<PartialObjectMeta<ConfigMap>>(cx, Api::namespaced, Api::all, &config)).filter_map(|event| {
        let pointer = match event {
            Event::Apply(pointer) | Event::InitApply(pointer) | Event::Delete(pointer) => Some(pointer),
            Event::Init | Event::InitDone => None,
        };
        std::future::ready(pointer.and_then(|pointer| {
            let release = pointer.labels().get(LABEL_RELEASE)?.clone();
            let version = pointer.resource_version().unwrap_or_default();
            Some(Trigger { release: ObjectRef::new(&release).within(&pointer.namespace()?), seen: Some(Seen::Pointer(version)) })
        }))
    })
}

/// AssetStores whose spec changed: every release that names one. The pass that follows finds the AssetStore as it was seen here.
fn changed_stores(cx: &Context, releases: Store<SeenRelease>) -> impl Stream<Item = ObjectRef<SeenRelease>> + Send + use<> {
    let (stores, writer) = reflector::store();
    cx.watches_stores(stores);
    reflector(writer, merged(cx, Api::<seen::Seen<StoreLite>>::namespaced, Api::all))
        .touched_objects()
        .filter_map(|store| std::future::ready(store.ok()))
        .flat_map(move |store| futures::stream::iter(users_of(&releases, &store)))
}

/// By name: kube's store iterates in another order in each process.
fn users_of(releases: &Store<SeenRelease>, store: &seen::Seen<StoreLite>) -> Vec<ObjectRef<SeenRelease>> {
    let named = store.name_any();
    let uses = |release: &SeenRelease| {
        release.namespace() == store.namespace() && release.whole().is_ok_and(|release| release.spec.store_ref.name == named)
    };
    let names: BTreeSet<String> = releases.state().iter().filter(|release| uses(release)).map(|release| release.name_any()).collect();
    let namespace = store.namespace().unwrap_or_default();
    names.iter().map(|name| ObjectRef::new(name).within(&namespace)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn the_controller_is_ready_once_when_every_watch_has_listed() {
        let (told, init): (AtomicUsize, fn() -> _) = (AtomicUsize::new(0), || Ok(Event::<()>::InitDone));
        let events = futures::stream::iter([Ok(Event::Init), init(), Ok(Event::Apply(())), init(), init()]);
        let mut seen = std::pin::pin!(tell_when_known(events, 2, || {
            told.fetch_add(1, Ordering::Relaxed);
        }));
        let mut after = Vec::new();
        while seen.next().await.is_some() {
            after.push(told.load(Ordering::Relaxed));
        }
        assert_eq!(after, [0, 0, 0, 1, 1]);
    }
}
