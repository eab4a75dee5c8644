//! A sweep and whoever needs its keys at once: a publish that reuses them, a rollback that was not expected, another sweep.

use std::sync::Arc;
use std::time::Duration;

use rollcall::bucket::faulty::FaultyBucket;
use rollcall::manifest::record::Role;
use rollcall::sweep::GRACE;
use rollcall::upload::{Usable, take_out, verify, write_references};
use tokio_util::sync::CancellationToken;

use super::world::Prefix;
use crate::upload::world::build;

/// A rollback as the controller does it: references, tombstones, then everything there? Tries as long as it is told to wait.
async fn roll_back(prefix: &Prefix, version: &str, delay: Duration) -> bool {
    let bucket = FaultyBucket::new(prefix.world.bucket.clone());
    bucket.delay(delay);
    let (layout, digest) = (&prefix.world.layout, prefix.digest(version));
    let mut own = prefix.own();
    own.uses.insert(prefix.used(version, Role::Candidate));
    write_references(&bucket, layout, &own, &*prefix.world.clock).await.unwrap();
    loop {
        let keys: Vec<String> = match rollcall::upload::read_manifest(&bucket, layout, &digest).await.unwrap() {
            Some(manifest) => manifest.files.iter().map(|file| layout.key(&file.key())).chain([layout.manifest(&digest)]).collect(),
            None => vec![layout.manifest(&digest)],
        };
        match take_out(&bucket, layout, prefix.world.now(), &|key| keys.iter().any(|one| one == key)).await.unwrap() {
            Usable::Now => break,
            Usable::From { until, .. } => {
                let wait = until.duration_since(prefix.world.now()) + jiff::SignedDuration::from_millis(1);
                tokio::time::sleep(wait.unsigned_abs()).await;
            }
        }
    }
    verify(&bucket, layout, &digest).await.is_ok_and(|verified| verified.is_complete())
}

#[tokio::test(start_paused = true)]
async fn a_rollback_that_found_everything_keeps_everything() {
    // I5, I8: whenever it comes, either it is told at once that objects are gone, or they stay.
    let (mut kept, mut gone) = (0, 0);
    for start in [0, 1, 10, 50, 299_990, 300_000, 300_004, 300_010, 300_020, 300_030, 300_040, 300_060, 301_000, 601_000] {
        for delay in [1, 3, 7] {
            let prefix = Prefix::with_history(4).await;
            let sweeper = FaultyBucket::new(prefix.world.bucket.clone());
            sweeper.delay(Duration::from_millis(2));
            let sweeping = prefix.sweep_through(Arc::new(sweeper), "s");
            let back = async {
                tokio::time::sleep(Duration::from_millis(start)).await;
                roll_back(&prefix, "v1", Duration::from_millis(delay)).await
            };
            let (swept, found) = tokio::join!(sweeping, back);
            assert!(swept.is_ok() || !found, "{swept:?}");
            assert_eq!(prefix.whole().contains(&"v1".to_owned()), found, "rollback at {start} ms with {delay} ms a call");
            prefix.check();
            *(if found { &mut kept } else { &mut gone }) += 1;
        }
    }
    assert!(kept > 3 && gone > 3, "{kept} kept, {gone} gone: the moments must lie on both sides");
}

#[tokio::test(start_paused = true)]
async fn a_publish_that_reuses_what_is_swept_ends_whole() {
    // I1, I5
    for start in [0, 5, 60, 299_995, 300_010, 300_025, 300_040, 300_080, 302_000] {
        for delay in [1, 3, 7] {
            let prefix = Prefix::with_history(4).await;
            let mut files = build("v1");
            files.push(("assets/more.0a1b2c3d.js".into(), b"more".to_vec()));
            prefix.world.put("v5", files);
            let sweeper = FaultyBucket::new(prefix.world.bucket.clone());
            sweeper.delay(Duration::from_millis(2));
            let publisher = Arc::new(FaultyBucket::new(prefix.world.bucket.clone()));
            publisher.delay(Duration::from_millis(delay));
            let publishing = async {
                tokio::time::sleep(Duration::from_millis(start)).await;
                while let Err(failure) = prefix.world.publish_through(publisher.clone(), "v5", &CancellationToken::new()).await {
                    assert_eq!(failure.reason(), "Reclaiming", "{failure}");
                    tokio::time::sleep(Duration::from_secs(60)).await;
                }
            };
            let (_, ()) = tokio::join!(prefix.sweep_through(Arc::new(sweeper), "s"), publishing);
            assert!(prefix.whole().contains(&"v5".to_owned()), "published at {start} ms with {delay} ms a call");
            prefix.check();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_publish_is_not_held_up_by_a_warning() {
    let prefix = Prefix::with_history(4).await;
    let sweeping = prefix.sweep();
    let publishing = async {
        tokio::time::sleep(GRACE / 2).await;
        assert!(prefix.world.bucket.keys().iter().any(|key| key.contains("/sweeps/")));
        prefix.world.publish("v1").await.unwrap();
        prefix
            .refer(|own| {
                own.uses.insert(prefix.used("v1", Role::Candidate));
            })
            .await;
    };
    let (swept, ()) = tokio::join!(sweeping, publishing);
    swept.unwrap();
    assert_eq!(prefix.whole(), ["v1", "v3", "v4"]);
}

#[tokio::test(start_paused = true)]
async fn two_sweeps_at_once_do_what_one_does() {
    // I5
    for delay in 1..12 {
        let prefix = Prefix::with_history(4).await;
        let run = async |id, delay| {
            let bucket = FaultyBucket::new(prefix.world.bucket.clone());
            bucket.delay(Duration::from_millis(delay));
            prefix.sweep_through(Arc::new(bucket), id).await
        };
        let (one, other) = tokio::join!(run("a", 5), run("b", delay));
        assert!(one.is_ok() || other.is_ok(), "{one:?} {other:?}");
        prefix.check();
        prefix.sweep().await.unwrap();
        assert_eq!(prefix.whole(), ["v3", "v4"]);
        assert_eq!(prefix.manifests(), 2);
    }
}
