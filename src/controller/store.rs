//! The store of a release: its AssetStore, its credentials, its bucket, and what the bucket says about prefix and version.
//! Never asks the bucket for what cannot change the decision: an idle release makes no request.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;

use crate::api::store::{BucketSpec, CredentialsSpec, WriteGuard};
use crate::api::{AssetStore, AssetStoreSpec, Pointer};
use crate::bucket::probe::{Capabilities, Objection};
use crate::bucket::s3::{Credentials, S3Settings};
use crate::bucket::{Bucket, BucketError};
use crate::cluster::pods::ReleaseKey;
use crate::cluster::{Call, Class};
use crate::manifest::{Layout, Owner};
use crate::rollout::observed::{BucketFault, OwnerFacts, PrefixFacts, ReleaseFacts, ReplicaFacts, StoreFacts, StoreProblem};
use crate::rollout::{self, retention};
use crate::upload::{self, Standing, Tried};

use super::context::{Context, Memory};
use super::retry::Failure;

/// A release's store as far as it could be opened.
pub(super) struct OpenStore {
    pub(super) facts: StoreFacts,
    pub(super) prefix: PrefixFacts,
    /// Where things lie; and the bucket, when it could be opened.
    pub(super) layout: Layout,
    pub(super) bucket: Option<Arc<dyn Bucket>>,
    /// As it was looked at; `None` when it is not there.
    pub(super) spec: Option<AssetStoreSpec>,
}

/// Opens the store and asks the bucket what the decision needs.
pub(super) async fn open_store(
    cx: &Context,
    key: &ReleaseKey,
    release: &ReleaseFacts,
    pointer: Option<&Pointer>,
) -> Result<OpenStore, Failure> {
    let api: Api<AssetStore> = Api::namespaced(cx.outside.client.clone(), &key.namespace);
    let name = release.spec.store_ref.name.as_str();
    let Some(store) = Call::new("get", "AssetStore", &key.namespace, name).find(api.get_opt(name)).await? else {
        return Ok(unopened(StoreFacts::Missing, release, None));
    };
    let facts = usable(&store, release);
    if !needs_bucket(release, pointer, &facts, cx.outside.clock.now()) && !excludes_others(cx, key, release) {
        return Ok(unopened(facts, release, Some(&store.spec)));
    }
    let address = match address(cx, &key.namespace, &store.spec.bucket, store.spec.credentials.as_ref()).await? {
        Ok(address) => address,
        Err(problem) => return Ok(unopened(StoreFacts::Unusable(problem), release, Some(&store.spec))),
    };
    let layout = layout(&store.spec, release);
    match open_guarded(cx, &store.spec, &address, &layout).await {
        Err(error) => Ok(OpenStore { facts, prefix: PrefixFacts::Fault(fault(&error)), layout, bucket: None, spec: Some(store.spec) }),
        Ok(Err(problem)) => Ok(unopened(StoreFacts::Unusable(problem), release, Some(&store.spec))),
        Ok(Ok(bucket)) => {
            let place = Place { store: identity(&store), layout: &layout, bucket: bucket.as_ref() };
            let prefix = look_at_prefix(cx, key, release, &place).await?;
            Ok(OpenStore { facts, prefix, layout, bucket: Some(bucket), spec: Some(store.spec) })
        }
    }
}

/// The store's own bucket, under the lock that its guard asks for.
async fn open_guarded(
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

fn unopened(facts: StoreFacts, release: &ReleaseFacts, spec: Option<&AssetStoreSpec>) -> OpenStore {
    let layout = spec.map_or_else(|| Layout::new("", &release.spec.prefix), |spec| layout(spec, release));
    OpenStore { facts, prefix: PrefixFacts::NotNeeded, layout, bucket: None, spec: spec.cloned() }
}

fn layout(store: &AssetStoreSpec, release: &ReleaseFacts) -> Layout {
    let layout = Layout::new(store.bucket.prefix.as_deref().unwrap_or_default(), &release.spec.prefix);
    layout.excluding(&release.spec.excluded_prefixes)
}

/// Whether the claim may have to say something else than when it was last seen, which cannot wait for the next version: others wait for it.
fn excludes_others(cx: &Context, key: &ReleaseKey, release: &ReleaseFacts) -> bool {
    let mut wanted = release.spec.excluded_prefixes.clone();
    wanted.sort();
    wanted.dedup();
    let is_at_rest = release.deleting || release.spec.suspend;
    !is_at_rest && cx.recall(key, &release.uid).owns_prefix_without.unwrap_or_default() != wanted
}

fn usable(store: &AssetStore, release: &ReleaseFacts) -> StoreFacts {
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
/// admitted. A release whose version is active, or that is suspended or being deleted, makes no request.
fn needs_bucket(release: &ReleaseFacts, pointer: Option<&Pointer>, store: &StoreFacts, now: Timestamp) -> bool {
    use crate::api::release::PublishEntries;
    let StoreFacts::Usable { base_url, fetch_url, .. } = store else { return false };
    let active = pointer
        .and_then(|pointer| pointer.active.as_ref())
        .is_some_and(|active| active.version == release.spec.version && active.base_url == *base_url && active.fetch_base() == fetch_url);
    let sweeps = retention::due_at(release).is_some_and(|at| at <= now);
    let fills = rollout::replicas::are_to_be_filled(store, &release.status);
    let is_idle = active && release.spec.entries.publish == PublishEntries::Pods && !sweeps && !fills;
    !(release.deleting || release.spec.suspend || is_idle)
}

/// How to reach the bucket, with the credentials as they are now.
pub(super) async fn address(
    cx: &Context,
    namespace: &str,
    bucket: &BucketSpec,
    credentials: Option<&CredentialsSpec>,
) -> Result<Result<S3Settings, StoreProblem>, Failure> {
    Ok(self::credentials(cx, namespace, credentials).await?.map(|credentials| S3Settings::at(bucket, credentials)))
}

/// The keys as they are now.
pub(super) async fn credentials(
    cx: &Context,
    namespace: &str,
    spec: Option<&CredentialsSpec>,
) -> Result<Result<Credentials, StoreProblem>, Failure> {
    match spec {
        None => Ok(Ok(Credentials::Ambient)),
        Some(spec) => read_secret(cx, namespace, &spec.secret_name).await,
    }
}

async fn read_secret(cx: &Context, namespace: &str, name: &str) -> Result<Result<Credentials, StoreProblem>, Failure> {
    let api: Api<Secret> = Api::namespaced(cx.outside.client.clone(), namespace);
    let secret = match Call::new("get", "Secret", namespace, name).find(api.get_opt(name)).await {
        Ok(Some(secret)) => secret,
        Ok(None) => return Ok(Err(StoreProblem::SecretMissing(name.into()))),
        Err(error) if error.class == Class::Denied => return Ok(Err(StoreProblem::SecretForbidden(name.into()))),
        Err(error) => return Err(error.into()),
    };
    let data = secret.data.unwrap_or_default();
    let text = |key: &str| data.get(key).and_then(|bytes| String::from_utf8(bytes.0.clone()).ok()).map(|text| text.trim().to_owned());
    Ok(Credentials::of_keys(text).map_err(|key| StoreProblem::SecretIncomplete(name.into(), key.into())))
}

/// A prefix in a bucket of a store.
struct Place<'a> {
    store: String,
    layout: &'a Layout,
    bucket: &'a dyn Bucket,
}

/// UID and generation: another store of this name, or this one with another endpoint, is another store.
fn identity(store: &AssetStore) -> String {
    format!("{}/{}", store.metadata.uid.as_deref().unwrap_or_default(), store.metadata.generation.unwrap_or_default())
}

async fn look_at_prefix(cx: &Context, key: &ReleaseKey, release: &ReleaseFacts, place: &Place<'_>) -> Result<PrefixFacts, Failure> {
    let ours = Owner { owner_version: crate::manifest::record::FORMAT, cluster: cluster_id(cx).await?, release: release.full_name() };
    Ok(match read_prefix(cx, key, release, place, ours).await {
        Ok(facts) => facts,
        Err(fault) => PrefixFacts::Fault(fault),
    })
}

async fn read_prefix(
    cx: &Context,
    key: &ReleaseKey,
    release: &ReleaseFacts,
    place: &Place<'_>,
    ours: Owner,
) -> Result<PrefixFacts, BucketFault> {
    let Place { store, layout, bucket } = place;
    let memory = cx.recall(key, &release.uid);
    let memory = if memory.store == *store { memory } else { Memory::default() };
    let owner = if memory.owns_prefix_without == Some(layout.excluded()) {
        OwnerFacts::Us
    } else {
        let now = cx.outside.clock.now();
        match upload::standing(*bucket, layout, &ours, now).await.map_err(|failure| document_fault(&failure))? {
            Standing::Free | Standing::Yields => OwnerFacts::Nobody(ours),
            Standing::Ours => OwnerFacts::Us,
            Standing::Renew => OwnerFacts::Renewing(ours),
            Standing::Theirs(owner) => OwnerFacts::Other(owner),
            Standing::Overlaps(overlap) => OwnerFacts::Overlaps(overlap),
        }
    };
    let version = release.spec.version.as_str();
    let record = match memory.record.filter(|record| record.version == version) {
        Some(record) => Some(record),
        None => upload::read_record(*bucket, layout, version).await.map_err(|failure| document_fault(&failure))?,
    };
    cx.remember(key, &release.uid, |memory| {
        store.clone_into(&mut memory.store);
        memory.owns_prefix_without = (owner == OwnerFacts::Us).then(|| layout.excluded());
        memory.record.clone_from(&record);
    });
    Ok(PrefixFacts::Known { owner, record })
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
    let advice = match error {
        // A store that was tried out says so itself.
        BucketError::Unavailable { .. } | BucketError::Locked { .. } | BucketError::Unfit(_) => "",
        BucketError::Denied { .. } => "; check the store's credentials and its bucket policy",
        BucketError::NoSuchBucket { .. } => "; create it, or correct spec.bucket of the AssetStore",
        BucketError::Refused { .. } => "; the store does not do what Rollcall needs",
    };
    BucketFault { reason: upload::bucket_reason(error), message: format!("{error}{advice}") }
}

/// A document's failure as a fact.
fn document_fault(failure: &upload::ReadFailure) -> BucketFault {
    match failure {
        upload::ReadFailure::Bucket(error) => fault(error),
        upload::ReadFailure::Malformed { .. } => BucketFault { reason: failure.reason(), message: failure.to_string() },
    }
}
