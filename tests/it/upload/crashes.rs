//! A publish ended at every call, before and after it, and at every moment between: the next one reaches the same end.

use std::time::Duration;

use rollcall::bucket::faulty::{Failure, Fault, Operation};
use rollcall::upload::{FailureClass, PublishFailure};
use tokio_util::sync::CancellationToken;

use super::world::{World, build};

const OPERATIONS: [Operation; 6] =
    [Operation::Create, Operation::Replace, Operation::Get, Operation::Head, Operation::List, Operation::Delete];

/// One version is there, the next one shares files with it.
async fn begun() -> World {
    let world = World::new();
    world.put("v1", build("one"));
    world.put("v2", build("two"));
    world.publish("v1").await.unwrap();
    world
}

#[tokio::test(start_paused = true)]
async fn a_publish_that_fails_at_any_call_is_finished_by_the_next_one() {
    // I1, I3, I7
    let whole = begun().await;
    let before: Vec<u64> = OPERATIONS.iter().map(|operation| whole.faulty.calls(*operation)).collect();
    whole.publish("v2").await.unwrap();
    let mut points = 0;
    for (operation, before) in OPERATIONS.into_iter().zip(before) {
        for nth in 1..=whole.faulty.calls(operation) - before {
            for fault in [Fault::Before(Failure::Unavailable), Fault::After(Failure::Unavailable), Fault::Before(Failure::Denied)] {
                let world = begun().await;
                world.faulty.fail_nth(operation, nth, fault);
                let first = world.publish("v2").await;
                world.check();
                // Only taking back the intent may be denied without anybody noticing.
                assert!(first.is_err() || operation == Operation::Delete, "{operation:?} {nth} {fault:?}");
                assert!(first.err().is_none_or(|failure| failure.class() == FailureClass::Transient));
                world.publish("v2").await.unwrap();
                world.check();
                assert_eq!(world.end_state(), whole.end_state(), "{operation:?} {nth} {fault:?}");
                points += 1;
            }
        }
    }
    assert!(points > 40, "{points} points are too few to be all");
}

#[tokio::test(start_paused = true)]
async fn a_publish_that_is_dropped_at_any_moment_is_finished_by_the_next_one() {
    // I1, I3, I7
    let whole = begun().await;
    whole.publish("v2").await.unwrap();
    let mut ended = None;
    for step in 0..100 {
        let world = begun().await;
        world.faulty.delay(Duration::from_millis(2));
        let limit = Duration::from_millis(2 * step + 1);
        let outcome = tokio::time::timeout(limit, world.publish("v2")).await;
        world.check();
        world.faulty.delay(Duration::ZERO);
        world.publish("v2").await.unwrap();
        world.check();
        assert_eq!(world.end_state(), whole.end_state(), "dropped after {limit:?}");
        if outcome.is_ok() {
            ended = Some(step);
            break;
        }
    }
    assert!(ended.is_some_and(|step| step > 12), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_publish_that_is_cancelled_at_any_moment_leaves_no_intent_and_can_be_taken_up() {
    let whole = begun().await;
    whole.publish("v2").await.unwrap();
    let mut cancelled = 0;
    for step in 0..100 {
        let world = begun().await;
        world.faulty.delay(Duration::from_millis(2));
        let cancel = CancellationToken::new();
        let stop = async {
            tokio::time::sleep(Duration::from_millis(2 * step + 1)).await;
            cancel.cancel();
            std::future::pending::<()>().await;
        };
        let outcome = tokio::select! {
            outcome = world.publish_through(world.faulty.clone(), "v2", &cancel) => outcome,
            () = stop => unreachable!(),
        };
        world.check();
        assert!(world.bucket.keys().iter().all(|key| !key.contains("/intents/")), "after {step}: {:?}", world.bucket.keys());
        world.faulty.delay(Duration::ZERO);
        world.publish("v2").await.unwrap();
        assert_eq!(world.end_state(), whole.end_state(), "cancelled after {step}");
        match outcome {
            Err(failure) => assert_eq!(failure, PublishFailure::Cancelled),
            // Once the record is on its way the publish ends whatever is asked.
            Ok(_) => break,
        }
        cancelled += 1;
    }
    assert!((5..100).contains(&cancelled), "{cancelled}");
}

#[tokio::test(start_paused = true)]
async fn a_hanging_source_is_cancelled_at_once() {
    let world = World::new();
    world.source.hang("https://ci.example.com/v1.tar.gz");
    let cancel = CancellationToken::new();
    cancel.cancel();
    let failure = world.publish_through(world.faulty.clone(), "v1", &cancel).await.unwrap_err();
    assert_eq!(failure, PublishFailure::Cancelled);
    assert_eq!(world.bucket.keys(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn scattered_faults_only_cost_tries() {
    // I7
    for seed in 0..40 {
        let world = begun().await;
        world.faulty.scatter(seed, 6);
        let mut tries = 0;
        while world.publish("v2").await.is_err() {
            world.check();
            tries += 1;
            assert!(tries < 200, "seed {seed}");
        }
        world.check();
    }
}
