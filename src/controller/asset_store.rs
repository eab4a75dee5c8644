//! The AssetStore's own status: whether its bucket was reached with its credentials.
//! Asks once for each change of the spec, when a release met its failure, and while something is wrong; never while all is well.

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::{Action, Config};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;
use kube::runtime::{Controller, WatchStreamExt, reflector, watcher};
use kube::{Api, Resource, ResourceExt};
use serde_json::json;
use tokio::sync::mpsc;

use crate::api::names::FIELD_MANAGER;
use crate::api::release::api_time;
use crate::api::status::{MESSAGE_BYTES_MAX, cut};
use crate::api::{AssetStore, AssetStoreStatus, conditions};
use crate::bucket::probe::Capabilities;
use crate::cluster::lite::StoreStatusOnly;
use crate::cluster::{self, Call, Class};
use crate::rollout::Blocker;

use super::asking;
use super::asset_replicas;
use super::context::Context;
use super::guarded::guarded;
use super::looks::{self, Known};
use super::places::Whose;
use super::prefix::{FIRST_ANSWER_WITHIN, PROBE_TIME_MAX, within};
use super::reached::{self, StoreKey, key_of};
use super::retry::Failure;
use super::run::merged;
use super::store::{address, fault, objection};
use super::unseen::look_failure;

/// While something is wrong it is looked at again after this time: nobody tells us when a bucket or a Secret appears.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// What time may mend is told when this many looks in a row have failed, the second half a minute after the first: a hiccup of the API
/// server is no news of a store.
const LOOKS_UNTIL_TOLD: u32 = 2;

/// After a lost race: the watch brings what won it within this time.
const LOST_LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// An AssetStore as the watch shows it.
type SeenStore = cluster::seen::Seen<AssetStore>;

/// Keeps every AssetStore's status.
pub(super) async fn run(cx: Arc<Context>, doubted: mpsc::UnboundedReceiver<StoreKey>) {
    let (stores, writer) = reflector::store();
    let seen = reflector(writer, merged(&cx, Api::<cluster::seen::Seen<AssetStore>>::namespaced, Api::all));
    let stream = forget_the_gone(seen, cx.clone(), stores.clone()).touched_objects();
    let doubted = futures::stream::unfold(doubted, |mut doubted| async move {
        let (namespace, name) = doubted.recv().await?;
        Some((ObjectRef::new(&name).within(&namespace), doubted))
    });
    Controller::for_stream(stream, stores)
        .with_config(Config::default().concurrency(4))
        .reconcile_on(doubted)
        .run(reconcile, |_, never: &std::convert::Infallible, _| -> Action { match *never {} }, cx)
        .for_each(|_| std::future::ready(()))
        .await;
}

fn forget_the_gone(
    seen: impl Stream<Item = Result<Event<SeenStore>, watcher::Error>> + Send,
    cx: Arc<Context>,
    stores: Store<SeenStore>,
) -> impl Stream<Item = Result<Event<SeenStore>, watcher::Error>> + Send {
    seen.inspect(move |event| match event {
        Ok(Event::Delete(store)) => {
            let key = key_of(store.meta());
            cx.reached.forget(&key);
            cx.stores.forget(&key);
        }
        Ok(Event::InitDone) => {
            let there = stores.state().iter().map(|store| key_of(store.meta())).collect();
            cx.reached.keep_only(&there);
            cx.stores.keep_only(&there);
        }
        _ => {}
    })
}

async fn reconcile(store: Arc<SeenStore>, cx: Arc<Context>) -> Result<Action, std::convert::Infallible> {
    Ok(match store.whole() {
        Ok(store) => looked_at(store, &cx).await,
        Err(message) => {
            tracing::warn!(store.namespace = store.namespace(), store.name = store.name_any(), "{message}");
            let told = tell_unreadable(&key_of(store.meta()), &cx, message).await;
            match told {
                // It is read again when it changes, and by a newer controller; a status that cannot be read either changes as seldom.
                Ok(()) => Action::await_change(),
                Err(failure) => {
                    tracing::warn!(store.namespace = store.namespace(), store.name = store.name_any(), error = %failure, "the AssetStore's status could not be written");
                    if failure.class() == Class::Invalid { Action::await_change() } else { Action::requeue(LOOK_AGAIN_AFTER) }
                }
            }
        }
    })
}

async fn looked_at(store: &AssetStore, cx: &Arc<Context>) -> Action {
    let outcome = guarded(pass(store, cx)).await;
    match outcome {
        // The end of the look wakes this store.
        Ok(Looked::Settled | Looked::Asking) => Action::await_change(),
        Ok(Looked::Waiting) => Action::requeue(LOOK_AGAIN_AFTER),
        // The store has changed since it was seen, or another one has its name: what is there is looked at.
        Err(failure) if failure.class() == Class::Conflict => Action::requeue(LOST_LOOK_AGAIN_AFTER),
        Err(failure) => {
            tracing::warn!(store.namespace = store.namespace(), store.name = store.name_any(), error = %failure, "store was not looked at");
            tell_failure(store, cx, &failure).await;
            Action::requeue(LOOK_AGAIN_AFTER)
        }
    }
}

/// Over a status that can be read, of a spec that cannot. A status that cannot be read is one of a newer controller, and stays as it is.
async fn tell_unreadable((namespace, name): &StoreKey, cx: &Context, message: String) -> Result<(), Failure> {
    let api: Api<StoreStatusOnly> = Api::namespaced(cx.outside.client.clone(), namespace);
    let Some(store) = Call::new("get", "AssetStore", namespace, name).find(api.get_opt(name)).await? else { return Ok(()) };
    let blocker = Blocker::LookFailed(look_failure(&Failure::Unreadable(message)));
    let current = store.status.unwrap_or_default();
    let next = status(&store.metadata, &current, Err(&blocker), cx.outside.clock.now());
    if next == current { Ok(()) } else { write(&store.metadata, cx, &next).await }
}

/// Tells that the store could not even be looked at. What cannot be told stays in the log; the next look writes the status anew.
async fn tell_failure(store: &AssetStore, cx: &Context, failure: &Failure) {
    let looks = cx.reached.failed(&reached::key(store));
    if failure.class() == Class::Transient && looks < LOOKS_UNTIL_TOLD {
        return;
    }
    let current = store.status.clone().unwrap_or_default();
    let next = status(&store.metadata, &current, Err(&Blocker::LookFailed(look_failure(failure))), cx.outside.clock.now());
    if next == current {
        return;
    }
    if let Err(error) = write(&store.metadata, cx, &next).await {
        tracing::warn!(store.namespace = store.namespace(), store.name = store.name_any(), %error, "the failure could not be written to the AssetStore's status");
    }
}

/// How a pass ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Looked {
    /// The store is ready and nothing is waited for.
    Settled,
    /// Something is wrong, or a replica is not admitted.
    Waiting,
    /// It is being asked.
    Asking,
}

async fn pass(store: &AssetStore, cx: &Arc<Context>) -> Result<Looked, Failure> {
    if cx.reached.has(store) {
        return Ok(Looked::Settled);
    }
    let (key, question) = (reached::key(store), Question::about(store));
    let look = look(store.clone(), cx.clone());
    cx.stores.begin(&key, question.clone(), || look);
    let Some(Known::Answer(Answer(answer))) = cx.stores.known(&key, &question) else { return Ok(Looked::Asking) };
    let Seen { at, verdict, found, replicas } = answer?;
    let replicas = asset_replicas::of_releases(store, cx, replicas).await?;
    let verdict = verdict.and(replicas.verdict());
    cx.reached.was_looked_at(&reached::key(store));
    let current = store.status.clone().unwrap_or_default();
    let next = AssetStoreStatus {
        capabilities: found.as_ref().map(Capabilities::status),
        replicas: replicas.status(),
        ..status(&store.metadata, &current, verdict.as_ref().map(|()| store.spec.bucket.name.as_str()), cx.outside.clock.now())
    };
    if next != current {
        write(&store.metadata, cx, &next).await?;
    }
    // Only now: a status that was not written is written by the next look.
    let is_settled = verdict.is_ok() && replicas.are_admitted();
    if is_settled {
        cx.reached.remember(store, at);
    }
    Ok(if is_settled { Looked::Settled } else { Looked::Waiting })
}

/// Which store is looked at, in which generation of its spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question(String, i64);

impl Question {
    fn about(store: &AssetStore) -> Self {
        Self(store.uid().unwrap_or_default(), store.metadata.generation.unwrap_or_default())
    }
}

/// What a look showed, or why there was none.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer(Result<Seen, Failure>);

#[derive(Debug, Clone, PartialEq)]
struct Seen {
    /// When the look began.
    at: jiff::Timestamp,
    verdict: Result<(), Blocker>,
    found: Option<Capabilities>,
    /// Why each replica cannot be used, in the spec's order.
    replicas: Vec<Option<String>>,
}

impl looks::Answer for Answer {
    fn broken(message: String) -> Self {
        Self(Err(Failure::Panicked(message)))
    }
}

/// The store and its replicas side by side: one that says nothing keeps the others waiting no longer than itself.
async fn look(store: AssetStore, cx: Arc<Context>) -> Answer {
    let at = cx.outside.clock.now();
    let (own, replicas) = futures::join!(look_at_store(&store, &cx), asset_replicas::look(&store, &cx));
    Answer(own.map(|(verdict, found)| Seen { at, verdict, found, replicas }))
}

/// One listing of one page says whether endpoint, bucket, credentials and the right to list are there. What the store does with
/// conditions is tried out only if that was not done before with the same settings.
async fn look_at_store(store: &AssetStore, cx: &Context) -> Result<(Result<(), Blocker>, Option<Capabilities>), Failure> {
    let namespace = store.namespace().unwrap_or_default();
    let settings = match address(cx, &namespace, &store.spec.bucket, store.spec.credentials.as_ref()).await? {
        Ok(settings) => settings,
        Err(problem) => return Ok((Err(Blocker::StoreUnusable { store: store.name_any(), namespace, problem }), None)),
    };
    let prefix = store.spec.bucket.prefix.clone().unwrap_or_default();
    let found = asking::ask(cx, Whose::at(&namespace, &settings), &cx.places.stores, async {
        let found = async {
            let bucket = cx.outside.buckets.open(&settings)?;
            within(FIRST_ANSWER_WITHIN, &prefix, bucket.list(&prefix, None)).await?;
            within(PROBE_TIME_MAX, &prefix, cx.outside.buckets.probe(&settings, &prefix, store.spec.write_guard)).await
        };
        found.await.map_err(|error| fault(&error))
    });
    Ok(match found.await {
        Err(fault) => (Err(Blocker::BucketFault(fault)), None),
        Ok(found) => match objection(&found, store.spec.write_guard) {
            Some(problem) => (Err(Blocker::StoreUnusable { store: store.name_any(), namespace, problem }), Some(found)),
            None => (Ok(()), Some(found)),
        },
    })
}

/// The status of this store: the bucket that was reached, or what is wrong.
fn status(store: &ObjectMeta, current: &AssetStoreStatus, verdict: Result<&str, &Blocker>, now: jiff::Timestamp) -> AssetStoreStatus {
    let generation = store.generation.unwrap_or_default();
    let condition = |kind: &str, is_true: bool, reason: &str, message: String| {
        let text = if is_true { "True" } else { "False" };
        let unchanged = current.conditions.iter().find(|condition| condition.type_ == kind && condition.status == text);
        Condition {
            type_: kind.into(),
            status: text.into(),
            reason: reason.into(),
            message: cut(message, MESSAGE_BYTES_MAX),
            last_transition_time: unchanged.map_or_else(|| api_time(now), |condition| condition.last_transition_time.clone()),
            observed_generation: Some(generation),
        }
    };
    let conditions = match verdict {
        Ok(bucket) => vec![condition(conditions::READY, true, "Reached", format!("bucket {bucket:?} was reached"))],
        Err(blocker) => vec![
            condition(conditions::READY, false, blocker.reason(), blocker.message()),
            condition(conditions::RECONCILING, true, blocker.reason(), blocker.message()),
        ],
    };
    AssetStoreStatus {
        observed_generation: generation,
        conditions,
        capabilities: current.capabilities.clone(),
        replicas: current.replicas.clone(),
    }
}

/// Under the resource version that was looked at; see `publish::write_status`.
async fn write(store: &ObjectMeta, cx: &Context, next: &AssetStoreStatus) -> Result<(), Failure> {
    let (namespace, name) = key_of(store);
    // The answer has the spec, too, which this controller may not be able to read.
    let api: Api<StoreStatusOnly> = Api::namespaced(cx.outside.client.clone(), &namespace);
    let body = json!({
        "apiVersion": "rollcall.dev/v1alpha1",
        "kind": "AssetStore",
        "metadata": {"name": name, "resourceVersion": store.resource_version},
        "status": next,
    });
    let (params, patch) = (PatchParams::apply(FIELD_MANAGER).force(), Patch::Apply(&body));
    match Call::new("apply status of", "AssetStore", &namespace, &name).make(api.patch_status(&name, &params, &patch)).await {
        Ok(_) => Ok(()),
        // It is gone, and whatever has its name comes by the watch.
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error.into()),
    }
}
