//! What a dead publish left behind: it is waited for, freed with a tombstone, and never taken from anybody who may use it (I5).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rollcall::bucket::faulty::{Failure, Fault, Operation};
use rollcall::bucket::memory::MemoryBucket;
use rollcall::bucket::probe::{Capabilities, Finding};
use rollcall::bucket::{Attributes, Body, Bucket, BucketError, Created, Expected, Page, SIGNED_REQUEST_LIFE, Stored, Swapped};
use rollcall::manifest::{Intent, VersionRecord};
use rollcall::upload::{FailureClass, INTENT_LIFE, PublishFailure, SKEW, Tried, withdraw_intent};
use tokio_util::sync::CancellationToken;

use super::world::{Files, World, build};

const KEY: &str = "s/shop/assets/shared-BEcQUh0e.js";

/// The same site, but the shared asset has other bytes under the same name.
fn mended(name: &str) -> Files {
    let mut files = build(name);
    files.iter_mut().find(|(path, _)| path.contains("shared")).unwrap().1 = b"mended".to_vec();
    files
}

/// `v1` died just before its version record.
async fn died() -> World {
    let world = World::new();
    world.put("v1", build("one"));
    world.put("v2", mended("two"));
    // The intent, five objects, two public files, the manifest, the intent's new date: the eleventh create is the record.
    world.faulty.fail_nth(Operation::Create, 11, Fault::Before(Failure::Unavailable));
    assert_eq!(world.publish("v1").await.unwrap_err().reason(), "StoreUnavailable");
    assert!(world.records().is_empty() && world.bucket.stored(KEY).is_some());
    world
}

#[tokio::test(start_paused = true)]
async fn a_dead_publish_is_waited_for_and_then_its_key_is_freed() {
    let world = died().await;
    let failure = world.publish("v2").await.unwrap_err();
    assert_eq!((failure.reason(), failure.class()), ("KeyInUse", FailureClass::Transient));
    assert!(failure.to_string().contains(r#"version "v1" of release web/shop"#), "{failure}");

    world.pass(INTENT_LIFE + SKEW + Duration::from_secs(1)).await;
    let free = world.now() + SIGNED_REQUEST_LIFE + SKEW;
    let failure = world.publish("v2").await.unwrap_err();
    assert_eq!(failure, PublishFailure::Reclaiming { key: KEY.into(), until: free });
    assert!(world.bucket.stored(KEY).is_none());
    world.check();

    world.pass(Duration::from_secs(17 * 60)).await;
    assert_eq!(
        world.publish("v2").await.unwrap_err(),
        PublishFailure::Reclaiming { key: KEY.into(), until: free },
        "a late delete may come"
    );
    world.pass(Duration::from_millis(1)).await;
    world.publish("v2").await.unwrap();
    world.check();
    assert_eq!(world.bucket.bytes(KEY), Some(Bytes::from_static(b"mended")));
    assert!(world.bucket.keys().iter().all(|key| !key.contains("/sweeps/")), "{:?}", world.bucket.keys());

    // The dead one comes back: its key is gone for good.
    assert_eq!(world.publish("v1").await.unwrap_err().reason(), "ObjectConflict");
}

// I5
#[tokio::test(start_paused = true)]
async fn where_deletes_are_not_conditional_what_a_dead_publish_left_stays_and_publishing_goes_on() {
    let world = died().await;
    world.pass(INTENT_LIFE + SKEW + Duration::from_secs(1)).await;
    let lax = Capabilities { conditional_delete: Finding::ignored("deleted all the same"), ..Capabilities::strict() };
    let bucket = Arc::new(Tried::knowing(world.bucket.clone(), lax));
    let failure = world.publish_through(bucket.clone(), "v2", &CancellationToken::new()).await.unwrap_err();
    assert_eq!((failure.reason(), failure.class()), ("LeftoverStays", FailureClass::Permanent));
    assert!(failure.to_string().contains("deleted all the same") && failure.to_string().contains("\"v1\""), "{failure}");
    assert_eq!(world.bucket.bytes(KEY), Some(Bytes::from_static(b"shared")));
    world.put("v3", build("three"));
    world.publish_through(bucket, "v3", &CancellationToken::new()).await.unwrap();
    world.check();
}

#[tokio::test(start_paused = true)]
async fn a_withdrawn_intent_is_not_waited_for() {
    let world = died().await;
    withdraw_intent(&*world.bucket, &world.layout, "id-v1").await.unwrap();
    assert_eq!(world.publish("v2").await.unwrap_err().reason(), "Reclaiming");
    world.pass(SIGNED_REQUEST_LIFE + SKEW + Duration::from_millis(1)).await;
    world.publish("v2").await.unwrap();
    world.check();
}

#[tokio::test(start_paused = true)]
async fn a_publisher_waits_for_its_own_dead_publish_only_as_long_as_a_request_lives() {
    let world = World::new();
    world.put("v1", build("one"));
    world.put("v2", mended("two"));
    world.faulty.fail_nth(Operation::Create, 11, Fault::Before(Failure::Unavailable));
    assert_eq!(world.publish_as("us", "v1").await.unwrap_err().reason(), "StoreUnavailable");
    assert_eq!(world.publish_as("us", "v2").await.unwrap_err().reason(), "KeyInUse", "the record may still land");
    for reason in ["Reclaiming", ""] {
        world.pass(SIGNED_REQUEST_LIFE + SKEW + Duration::from_millis(1)).await;
        assert_eq!(world.publish_as("us", "v2").await.err().map_or("", |failure| failure.reason()), reason);
        world.check();
    }
    assert!(world.bucket.keys().iter().all(|key| !key.contains("/intents/")), "{:?}", world.bucket.keys());
}

#[tokio::test(start_paused = true)]
async fn reclaiming_that_fails_at_any_call_is_taken_up_again() {
    // I3, I5, I7
    let begun = async || {
        let world = died().await;
        world.pass(INTENT_LIFE + SKEW + Duration::from_secs(1)).await;
        world
    };
    let whole = begun().await;
    let operations = [Operation::Create, Operation::Replace, Operation::Get, Operation::Head, Operation::List, Operation::Delete];
    let before = operations.map(|operation| whole.faulty.calls(operation));
    assert_eq!(whole.publish("v2").await.unwrap_err().reason(), "Reclaiming");
    for (operation, before) in operations.into_iter().zip(before) {
        for nth in 1..=whole.faulty.calls(operation) - before {
            for fault in [Fault::Before(Failure::Unavailable), Fault::After(Failure::Unavailable)] {
                let world = begun().await;
                world.faulty.fail_nth(operation, nth, fault);
                let mut tries = 0;
                while let Err(failure) = world.publish("v2").await {
                    world.check();
                    assert_eq!(failure.class(), FailureClass::Transient, "{operation:?} {nth} {fault:?}: {failure}");
                    tries += 1;
                    assert!(tries <= 5, "{operation:?} {nth} {fault:?}: {failure}");
                    world.pass(SIGNED_REQUEST_LIFE + SKEW + Duration::from_millis(1)).await;
                }
                world.check();
                assert_eq!(world.bucket.bytes(KEY), Some(Bytes::from_static(b"mended")), "{operation:?} {nth} {fault:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn in_doubt_nothing_is_deleted() {
    // I5
    let world = died().await;
    withdraw_intent(&*world.bucket, &world.layout, "id-v1").await.unwrap();
    world.bucket.overwrite(&world.layout.version("v0"), "damaged");
    assert_eq!(world.publish("v2").await.unwrap_err().reason(), "ObjectConflict");
    assert!(world.bucket.stored(KEY).is_some());
    world.bucket.remove(&world.layout.version("v0"));

    world.bucket.overwrite(&world.layout.intent("strange"), "damaged");
    assert_eq!(world.publish("v2").await.unwrap_err().reason(), "ObjectConflict");
    assert!(world.bucket.stored(KEY).is_some());
    world.bucket.remove(&world.layout.intent("strange"));

    world.bucket.overwrite(KEY, "a hand from outside");
    let failure = world.publish("v2").await.unwrap_err();
    assert!(matches!(failure, PublishFailure::Conflict { theirs: None, .. }), "{failure}");
    assert!(failure.to_string().contains("an object that Rollcall did not write"), "{failure}");
    assert!(world.bucket.stored(KEY).is_some());
    assert!(world.bucket.keys().iter().all(|key| !key.contains("/sweeps/")));
}

/// Does something from outside right after the first tombstone lies there.
struct AfterTombstone {
    inner: Arc<MemoryBucket>,
    key: String,
    bytes: Vec<u8>,
}

#[async_trait]
impl Bucket for AfterTombstone {
    async fn create(&self, key: &str, body: Body, attributes: &Attributes) -> Result<Created, BucketError> {
        let created = self.inner.create(key, body, attributes).await;
        if key.contains("/sweeps/") {
            self.inner.overwrite(&self.key, self.bytes.clone());
        }
        created
    }

    async fn replace(&self, key: &str, body: Body, attributes: &Attributes, expected: &Expected) -> Result<Swapped, BucketError> {
        self.inner.replace(key, body, attributes, expected).await
    }

    async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Bytes>, BucketError> {
        self.inner.get(key, bytes_max).await
    }

    async fn read(&self, key: &str, etag: &str) -> Result<Option<rollcall::bucket::Pieces>, BucketError> {
        self.inner.read(key, etag).await
    }

    async fn head(&self, key: &str) -> Result<Option<Stored>, BucketError> {
        self.inner.head(key).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, BucketError> {
        self.inner.list(prefix, after).await
    }

    async fn give_up_uploads(&self, prefix: &str, before: jiff::Timestamp) -> Result<u64, BucketError> {
        self.inner.give_up_uploads(prefix, before).await
    }

    async fn delete(&self, key: &str, etag: &str) -> Result<Swapped, BucketError> {
        self.inner.delete(key, etag).await
    }
}

async fn publish_meddled(world: &World, key: String, bytes: Vec<u8>) -> PublishFailure {
    let bucket = AfterTombstone { inner: world.bucket.clone(), key, bytes };
    world.publish_through(Arc::new(bucket), "v2", &CancellationToken::new()).await.unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn a_publish_that_begins_while_a_tombstone_is_written_keeps_its_object() {
    // I5: its intent came before the second look.
    let world = died().await;
    let digest = rollcall::api::ManifestDigest::of(b"another build");
    let manifests = world.bucket.keys().into_iter().filter(|key| key.contains("/manifests/")).count();
    assert_eq!(manifests, 1);
    withdraw_intent(&*world.bucket, &world.layout, "id-v1").await.unwrap();
    let intent = Intent { intent_version: 1, digest, version: "v1".into(), release: "web/shop".into(), started_at: world.now() };
    let failure = publish_meddled(&world, world.layout.intent("other"), serde_json::to_vec(&intent).unwrap()).await;
    assert_eq!(failure.reason(), "KeyInUse");
    assert!(world.bucket.stored(KEY).is_some());
    assert!(world.bucket.keys().iter().all(|key| !key.contains("/sweeps/")), "the tombstone is taken back");
}

#[tokio::test(start_paused = true)]
async fn a_publish_that_ends_while_a_tombstone_is_written_keeps_its_object() {
    // I5, I1: its record came before its intent went, and records are read after intents.
    let world = died().await;
    let other = World::new();
    other.put("v1", build("one"));
    let record: VersionRecord = other.publish("v1").await.unwrap().record;
    withdraw_intent(&*world.bucket, &world.layout, "id-v1").await.unwrap();
    let failure = publish_meddled(&world, world.layout.version("v1"), serde_json::to_vec(&record).unwrap()).await;
    assert_eq!(failure.reason(), "ObjectConflict");
    assert!(world.bucket.stored(KEY).is_some());
    world.check();
    assert!(world.bucket.keys().iter().all(|key| !key.contains("/sweeps/")), "the tombstone is taken back");
}
