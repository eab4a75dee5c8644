//! The store of a release: its AssetStore, its credentials, and how its bucket is opened.
//! Never asks the bucket within a pass, nor for what cannot change the decision: an idle release makes no request.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use tokio::time::Instant;

use crate::api::store::{BucketSpec, CredentialsSpec, WriteGuard};
use crate::api::{AssetStoreSpec, Pointer};
use crate::bucket::probe::{Capabilities, Objection};
use crate::bucket::s3::{Credentials, S3Settings, UNANSWERED};
use crate::bucket::{Bucket, BucketError};
use crate::cluster::lite::StoreLite;
use crate::cluster::pods::ReleaseKey;
use crate::cluster::seen::Seen;
use crate::cluster::{Call, Class};
use crate::egress::AmbientUse;
use crate::manifest::Layout;
use crate::rollout::observed::{BucketFault, ReleaseFacts, ReplicaFacts, StoreFacts, StoreProblem};
use crate::rollout::{self, retention};
use crate::upload::{self, Tried};

use super::context::Context;
use super::retry::Failure;

/// A release's store as far as the API server knows it. What its bucket says is asked beside the pass: see [`super::prefix`].
pub(super) struct FoundStore {
    pub(super) facts: StoreFacts,
    /// Where things lie.
    pub(super) layout: Layout,
    /// As it was looked at; `None` when it is not there.
    pub(super) spec: Option<AssetStoreSpec>,
    /// How to reach its bucket, when the decision may need it.
    pub(super) address: Option<S3Settings>,
    /// Whether the decision may need what the bucket says about prefix and version.
    pub(super) is_asked: bool,
}

/// Finds the store and the keys to its bucket. Makes no request to the bucket.
pub(super) async fn find_store(
    cx: &Context,
    key: &ReleaseKey,
    release: &ReleaseFacts,
    pointer: Option<&Pointer>,
) -> Result<FoundStore, Failure> {
    let Some(store) = known_store(cx, key, &release.spec.store_ref.name).await? else {
        let layout = Layout::new("", &release.spec.prefix);
        return Ok(FoundStore { facts: StoreFacts::Missing, layout, spec: None, address: None, is_asked: false });
    };
    let (facts, layout) = (usable(&store, release), layout(&store.spec, release));
    let is_asked = needs_bucket(release, pointer, &facts, cx.outside.clock.now()) || claim_may_change(cx, key, release, &layout);
    let mut found = FoundStore { facts, layout, spec: None, address: None, is_asked };
    if is_asked || is_written_to(release, pointer) {
        match address(cx, &key.namespace, &store.spec.bucket, store.spec.credentials.as_ref()).await? {
            Ok(address) => found.address = Some(address),
            Err(problem) => found.facts = StoreFacts::Unusable(problem),
        }
    }
    found.spec = Some(store.spec);
    Ok(found)
}

/// The AssetStore as the watch has it, whose changes also bring the next pass. One that the watch does not have (yet) is read: that a
/// store is missing is never concluded from a watch that may be late.
async fn known_store(cx: &Context, key: &ReleaseKey, name: &str) -> Result<Option<StoreLite>, Failure> {
    if let Some(store) = cx.watched_store(&key.namespace, name) {
        return store.whole().cloned().map(Some).map_err(Failure::Unreadable);
    }
    let api: Api<Seen<StoreLite>> = Api::namespaced(cx.outside.client.clone(), &key.namespace);
    let found = Call::new("get", "AssetStore", &key.namespace, name).find(api.get_opt(name)).await?;
    found.map(Seen::into_whole).transpose().map_err(Failure::Unreadable)
}

/// The bucket that a job works in: tried out, and under the lock that its guard asks for.
pub(super) async fn open_for_job(
    cx: &Context,
    store: &AssetStoreSpec,
    address: &S3Settings,
    layout: &Layout,
) -> Result<Result<Arc<dyn Bucket>, StoreProblem>, BucketError> {
    match (open_tried(cx, &store.bucket, store.write_guard, address).await?, store.write_guard) {
        (Ok(bucket), WriteGuard::SingleWriter) => cx.writers.of(address, layout, bucket, cx).map(Ok),
        (tried, _) => Ok(tried),
    }
}

/// A bucket, if its store does under this guard what nothing can be published without (I3).
pub(super) async fn open_tried(
    cx: &Context,
    bucket: &BucketSpec,
    guard: WriteGuard,
    address: &S3Settings,
) -> Result<Result<Arc<dyn Bucket>, StoreProblem>, BucketError> {
    let buckets = &cx.outside.buckets;
    let found = buckets.probe(address, bucket.prefix.as_deref().unwrap_or_default(), guard).await?;
    match objection(&found, guard) {
        Some(problem) => Ok(Err(problem)),
        None => Ok(Ok(Arc::new(Tried::knowing(buckets.open(address)?, found)))),
    }
}

/// Why nothing is published into a store that was seen to do this.
pub(super) fn objection(found: &Capabilities, guard: WriteGuard) -> Option<StoreProblem> {
    found.objection_under(guard).map(|objection| match objection {
        Objection::Overwrites(_) => StoreProblem::Overwrites(objection.to_string()),
        Objection::ListsUnreliably(_) => StoreProblem::ListsUnreliably(objection.to_string()),
    })
}

fn layout(store: &AssetStoreSpec, release: &ReleaseFacts) -> Layout {
    let layout = Layout::new(store.bucket.prefix.as_deref().unwrap_or_default(), &release.spec.prefix);
    layout.excluding(&release.spec.excluded_prefixes)
}

/// Whether the claim may have to say something else than when it was last seen, which cannot wait for the next version: others wait for it.
fn claim_may_change(cx: &Context, key: &ReleaseKey, release: &ReleaseFacts, layout: &Layout) -> bool {
    let is_at_rest = release.deleting || release.spec.suspend;
    let claimed = cx.recall(key, &release.uid).owns_prefix_without;
    let adopts = release.spec.adopt_from.is_some() && claimed.is_none();
    !is_at_rest && (adopts || claimed.unwrap_or_default() != layout.excluded())
}

fn usable(store: &StoreLite, release: &ReleaseFacts) -> StoreFacts {
    let at = |url: &str| format!("{url}{}", release.spec.prefix);
    let spec = &store.spec;
    StoreFacts::Usable {
        identity: identity(store),
        base_url: at(&spec.public_url),
        fetch_url: at(spec.internal_url.as_ref().unwrap_or(&spec.public_url)),
        replicas: spec.replicas.iter().map(|replica| ReplicaFacts { name: replica.name.clone(), place: replica.place() }).collect(),
    }
}

/// The bucket is asked only on the way to a flip, for entry files in the bucket, when a sweep is due, and while a replica is not
/// admitted. A release whose version is active, or that is suspended or being deleted, makes no request, once the public files of what
/// pods serve are written.
fn needs_bucket(release: &ReleaseFacts, pointer: Option<&Pointer>, store: &StoreFacts, now: Timestamp) -> bool {
    use crate::api::release::PublishEntries;
    if !matches!(store, StoreFacts::Usable { .. }) {
        return false;
    }
    let active = pointer.and_then(|pointer| pointer.active.as_ref()).is_some_and(|active| release.wants(active, store));
    let sweeps = retention::due_at(release, now).is_some_and(|at| at <= now);
    let fills = rollout::replicas::are_to_be_filled(store, &release.status);
    let of_pods = release.spec.entries.publish == PublishEntries::Pods;
    let finishes = of_pods && pointer.is_some_and(|pointer| rollout::decide::public_files_are_due(release, pointer, now));
    let is_idle = active && of_pods && !finishes && !sweeps && !fills;
    !(release.deleting || (release.spec.suspend && !finishes) || is_idle)
}

/// Whether the bucket has yet to hear what the release uses, or that it uses nothing any more. What came by watch has no finalizers.
fn is_written_to(release: &ReleaseFacts, pointer: Option<&Pointer>) -> bool {
    release.deleting || retention::are_references_due(release, pointer)
}

/// How to reach the bucket, with the credentials as they are now or were a few seconds ago.
pub(super) async fn address(
    cx: &Context,
    namespace: &str,
    bucket: &BucketSpec,
    credentials: Option<&CredentialsSpec>,
) -> Result<Result<S3Settings, StoreProblem>, Failure> {
    let asked = AmbientUse {
        namespace,
        endpoint: bucket.endpoint.as_deref(),
        bucket: &bucket.name,
        prefix: bucket.prefix.as_deref().unwrap_or_default(),
    };
    Ok(self::credentials(cx, asked, credentials).await?.map(|credentials| S3Settings::at(bucket, credentials)))
}

/// The keys as they are now or were a few seconds ago; the controller's own only where the operator granted them for exactly this.
pub(super) async fn credentials(
    cx: &Context,
    asked: AmbientUse<'_>,
    spec: Option<&CredentialsSpec>,
) -> Result<Result<Credentials, StoreProblem>, Failure> {
    let namespace = asked.namespace;
    match spec {
        None if !cx.settings.ambient.cover(asked) => Ok(Err(StoreProblem::NotGranted(asked.value()))),
        None => Ok(Ok(Credentials::Ambient)),
        Some(spec) => read_secret(cx, namespace, &spec.secret_name).await,
    }
}

async fn read_secret(cx: &Context, namespace: &str, name: &str) -> Result<Result<Credentials, StoreProblem>, Failure> {
    if let Some(credentials) = cx.keys.get(namespace, name) {
        return Ok(Ok(credentials));
    }
    let read_at = Instant::now();
    let api: Api<Secret> = Api::namespaced(cx.outside.client.clone(), namespace);
    let secret = match Call::new("get", "Secret", namespace, name).find(api.get_opt(name)).await {
        Ok(Some(secret)) => secret,
        Ok(None) => return Ok(Err(StoreProblem::SecretMissing(name.into()))),
        Err(error) if error.class == Class::Denied => return Ok(Err(StoreProblem::SecretForbidden(name.into()))),
        Err(error) => return Err(error.into()),
    };
    let data = secret.data.unwrap_or_default();
    let text = |key: &str| data.get(key).and_then(|bytes| String::from_utf8(bytes.0.clone()).ok()).map(|text| text.trim().to_owned());
    let credentials = Credentials::of_keys(text).map_err(|key| StoreProblem::SecretIncomplete(name.into(), key.into()));
    if let Ok(credentials) = &credentials {
        cx.keys.keep(namespace, name, read_at, credentials);
    }
    Ok(credentials)
}

/// UID and generation: another store of this name, or this one with another endpoint, is another store.
fn identity(store: &StoreLite) -> String {
    format!("{}/{}", store.metadata.uid.as_deref().unwrap_or_default(), store.metadata.generation.unwrap_or_default())
}

/// The identity of a cluster, as is usual: the UID of its `kube-system` namespace. Read once.
pub(super) async fn cluster_id(cx: &Context) -> Result<String, Failure> {
    use k8s_openapi::api::core::v1::Namespace;
    let read = async || {
        let api: Api<Namespace> = Api::all(cx.outside.client.clone());
        let namespace = Call::new("get", "Namespace", "", "kube-system").make(api.get("kube-system")).await?;
        Ok::<_, Failure>(namespace.metadata.uid.unwrap_or_default())
    };
    cx.cluster_cell().get_or_try_init(read).await.cloned()
}

/// A bucket's failure as a fact.
pub(super) fn fault(error: &BucketError) -> BucketFault {
    if matches!(error, BucketError::Unavailable { cause, .. } if cause == UNANSWERED) {
        return unanswered();
    }
    let advice = match error {
        // A store that was tried out says so itself.
        BucketError::Unavailable { .. } | BucketError::Locked { .. } | BucketError::Unfit(_) => "",
        BucketError::NotAllowed { .. } => crate::egress::ADVICE,
        BucketError::Denied { .. } => "; check the store's credentials and its bucket policy",
        BucketError::NoSuchBucket { .. } => "; create it, or correct spec.bucket of the AssetStore",
        BucketError::Refused { .. } => "; the store does not do what Rollcall needs",
    };
    BucketFault { reason: upload::bucket_reason(error), message: format!("{error}{advice}") }
}

/// Nothing that answers as a store. Refused, reset, strange and silent are told alike, and so is an endpoint that is not asked just now: whoever
/// names an endpoint must not learn which of them it is.
pub(super) fn unanswered() -> BucketFault {
    BucketFault { reason: "StoreUnavailable", message: UNANSWERED.to_owned() }
}

/// A document's failure as a fact.
pub(super) fn document_fault(failure: &upload::ReadFailure) -> BucketFault {
    match failure {
        upload::ReadFailure::Bucket(error) => fault(error),
        upload::ReadFailure::Malformed { .. } => BucketFault { reason: failure.reason(), message: failure.to_string() },
    }
}
