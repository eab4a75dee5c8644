//! Two publishers at once: of one build, of two builds of one version, and of two versions that want the same key.

use std::sync::Arc;
use std::time::Duration;

use rollcall::bucket::faulty::FaultyBucket;
use rollcall::upload::{PublishFailure, Published};
use tokio_util::sync::CancellationToken;

use super::world::{World, build};

/// Both at once, each through calls of its own length, so that they meet in many different orders.
async fn both(world: &World, one: (&str, u64), other: (&str, u64)) -> [Result<Published, PublishFailure>; 2] {
    let run = async |(version, delay): (&str, u64)| {
        let bucket = FaultyBucket::new(world.bucket.clone());
        bucket.delay(Duration::from_millis(delay));
        world.publish_through(Arc::new(bucket), version, &CancellationToken::new()).await
    };
    let (one, other) = tokio::join!(run(one), run(other));
    [one, other]
}

#[tokio::test(start_paused = true)]
async fn two_publishers_of_one_build_both_succeed() {
    for delay in 1..20 {
        let world = World::new();
        world.put("v1", build("one"));
        let [one, other] = both(&world, ("v1", 7), ("v1", delay)).await;
        assert_eq!(one.unwrap().record, other.unwrap().record, "delay {delay}");
        world.check();
    }
}

#[tokio::test(start_paused = true)]
async fn two_builds_of_one_version_give_one_record_and_one_refusal() {
    for delay in 1..20 {
        let world = World::new();
        world.put("v1", build("one"));
        let slow = FaultyBucket::new(world.bucket.clone());
        slow.delay(Duration::from_millis(7));
        let first = async { world.publish_through(Arc::new(slow), "v1", &CancellationToken::new()).await };
        let second = async {
            // The first has fetched by now.
            tokio::time::sleep(Duration::from_millis(1)).await;
            world.put("v1", build("two"));
            let bucket = FaultyBucket::new(world.bucket.clone());
            bucket.delay(Duration::from_millis(delay));
            world.publish_through(Arc::new(bucket), "v1", &CancellationToken::new()).await
        };
        let (one, other) = tokio::join!(first, second);
        assert_ne!(one.is_ok(), other.is_ok(), "delay {delay}");
        let failure = one.err().or(other.err()).unwrap();
        assert_eq!(failure.reason(), "VersionTaken", "delay {delay}: {failure}");
        assert_eq!(world.records().len(), 1);
        world.check();
    }
}

#[tokio::test(start_paused = true)]
async fn two_versions_that_want_one_key_give_one_record_at_most_and_never_mixed_bytes() {
    // I3
    for delay in 1..20 {
        let world = World::new();
        world.put("v1", build("one"));
        let mut files = build("two");
        files.iter_mut().find(|(path, _)| path.contains("shared")).unwrap().1 = b"other".to_vec();
        world.put("v2", files);
        let outcomes = both(&world, ("v1", 7), ("v2", delay)).await;
        world.check();
        let winners = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert!(winners <= 1, "delay {delay}");
        for failure in outcomes.into_iter().filter_map(Result::err) {
            assert!(matches!(failure.reason(), "KeyInUse" | "ObjectConflict"), "delay {delay}: {failure}");
        }
        if winners == 1 {
            let late = if world.records().contains_key("v1") { "v2" } else { "v1" };
            assert_eq!(world.publish(late).await.unwrap_err().reason(), "ObjectConflict");
        }
    }
}
