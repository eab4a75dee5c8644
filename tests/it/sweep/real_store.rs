//! The sweep over a third-party server: what conditional deletes, tokens, dates and listings are there, and not in our own memory.
//! Time passes by a clock that goes ahead of the server's.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rollcall::api::{ContentHash, ManifestDigest};
use rollcall::bucket::Bucket;
use rollcall::bucket::probe::Probe as _;
use rollcall::bucket::s3::S3Bucket;
use rollcall::clock::{Clock, SystemClock, TokioClock};
use rollcall::manifest::record::{Activation, RetentionPolicy, Role, Use};
use rollcall::retention::references::OwnFacts;
use rollcall::sweep::{Tools, plan, sweep};
use rollcall::upload::{PublishFailure, Published, Tried, verify, write_references};
use tokio_util::sync::CancellationToken;

use super::world::DAY;
use crate::bucket_contract::over_s3::Server;
use crate::bucket_contract::third_party::ThirdParty;
use crate::upload::world::{World, build};

const BYTES_MAX: u64 = 1024 * 1024;

/// A clock that is so far ahead of the machine's.
fn ahead(time: Duration) -> Arc<TokioClock> {
    Arc::new(TokioClock::starting_at(SystemClock.now() + time))
}

/// `v1` to `v4` in a bucket of a server; `v4` is active, `v3` is the one before.
struct Shop {
    bucket: Arc<dyn Bucket>,
    world: World,
    digests: Vec<ManifestDigest>,
}

impl Shop {
    async fn published(server: Server<'_>) -> Self {
        server.client().create_bucket().bucket("web").send().await.unwrap();
        let store = Arc::new(S3Bucket::connect(&server.settings("web")).unwrap());
        let mut shop = Self { bucket: store.clone(), world: World::new(), digests: Vec::new() };
        for version in ["v1", "v2", "v3", "v4"] {
            shop.world.put(version, build(version));
            let digest = shop.publish(version, Duration::ZERO).await.unwrap().record.digest;
            shop.digests.push(digest);
        }
        write_references(&*shop.bucket, &shop.world.layout, &shop.own(), &SystemClock).await.unwrap();
        let found = store.probe("s/").await.unwrap();
        shop.bucket = Arc::new(Tried::knowing(store, found));
        shop
    }

    async fn publish(&mut self, version: &str, time: Duration) -> Result<Published, PublishFailure> {
        self.world.clock = ahead(time);
        self.world.publish_through(self.bucket.clone(), version, &CancellationToken::new()).await
    }

    fn own(&self) -> OwnFacts {
        let activation = |(at, digest): (usize, &ManifestDigest)| Activation {
            version: format!("v{}", at + 1),
            digest: digest.clone(),
            sequence: i64::try_from(at + 1).unwrap(),
            retired_at: (at < 3).then(|| SystemClock.now()),
        };
        let used = |at: usize, role| Use { digest: self.digests[at].clone(), role };
        OwnFacts {
            cluster: "c".into(),
            release: "web/shop".into(),
            uid: "u1".into(),
            retention: Some(RetentionPolicy { releases: 2, ttl_seconds: 3600, pins: Vec::new() }),
            uses: [used(3, Role::Active), used(2, Role::Previous)].into(),
            activated: self.digests.iter().enumerate().map(activation).collect(),
        }
    }

    fn tools(&self, time: Duration) -> Tools {
        Tools { bucket: self.bucket.clone(), clock: ahead(time), grace: Duration::ZERO, replicas: Vec::new() }
    }

    async fn keys(&self) -> BTreeSet<String> {
        let page = self.bucket.list("s/", None).await.unwrap();
        assert_eq!(page.next, None);
        page.objects.into_iter().map(|listed| listed.key).collect()
    }

    /// Every key of some versions: objects and manifests.
    async fn keys_of(&self, versions: std::ops::Range<usize>) -> BTreeSet<String> {
        let mut keys = BTreeSet::new();
        for digest in &self.digests[versions] {
            let verified = verify(&*self.bucket, &self.world.layout, digest).await.unwrap();
            assert!(verified.is_complete(), "{:?} {:?}", verified.missing, verified.wrong_size);
            for file in &verified.manifest.files {
                let key = self.world.layout.key(&file.key());
                let stored = self.bucket.get(&key, BYTES_MAX).await.unwrap().unwrap();
                assert_eq!(ContentHash::of(&stored), file.sha256, "{key}");
                keys.insert(key);
            }
            keys.insert(self.world.layout.manifest(digest));
        }
        keys
    }
}

/// I5
#[tokio::test(flavor = "multi_thread")]
async fn a_strict_third_party_store_loses_exactly_what_nothing_refers_to() {
    let Some(versitygw) = ThirdParty::versitygw().await else { return };
    let mut shop = Shop::published(versitygw.server()).await;
    let strange = versitygw.server().client().put_object().bucket("web").key("s/shop/notes.txt").body(b"a person's".to_vec().into());
    strange.send().await.unwrap();
    let layout = shop.world.layout.clone();
    assert!(plan(&shop.tools(Duration::ZERO), &layout).await.unwrap().is_empty(), "their hour is not over");

    let (before, kept) = (shop.keys().await, shop.keys_of(2..4).await);
    let going: BTreeSet<String> = shop.keys_of(0..2).await.difference(&kept).cloned().collect();
    assert_eq!(going.len(), 6, "{going:?}");
    let outcome = sweep(&shop.tools(2 * DAY), &layout, "s").await.unwrap();
    assert_eq!((outcome.deleted.objects, outcome.plan.unknown.objects, outcome.uploads_given_up), (6, 1, Some(0)));
    let after = shop.keys().await;
    assert_eq!(before.difference(&after).cloned().collect::<BTreeSet<_>>(), going);
    let notes = after.difference(&before).all(|key| key.starts_with(&layout.tombstones()) || key.starts_with(&layout.swept_all()));
    assert!(notes, "{after:?}");
    assert_eq!(shop.keys_of(2..4).await, kept, "whole, with the right bytes");

    let failure = shop.publish("v1", 2 * DAY).await.unwrap_err();
    assert_eq!(failure.reason(), "Reclaiming", "a late delete may come: {failure}");
    shop.publish("v1", 2 * DAY + Duration::from_secs(20 * 60)).await.unwrap();
    shop.keys_of(0..1).await;
}

/// I5
#[tokio::test(flavor = "multi_thread")]
async fn a_lax_third_party_store_loses_nothing() {
    let Some(rclone) = ThirdParty::rclone().await else { return };
    let shop = Shop::published(rclone.server()).await;
    let before = shop.keys().await;
    let failure = sweep(&shop.tools(2 * DAY), &shop.world.layout, "s").await.unwrap_err();
    assert_eq!(failure.reason(), "DeletesUnconditional", "{failure}");
    assert_eq!(shop.keys().await, before, "not even a note is left");
}
