//! A sweep ended at every call, before and after it: nothing that is needed goes, and the next one reaches the same end.

use std::time::Duration;

use rollcall::bucket::faulty::{Failure, Fault, Operation};

use super::world::{DAY, Prefix};

const OPERATIONS: [Operation; 7] =
    [Operation::Create, Operation::Replace, Operation::Get, Operation::Head, Operation::List, Operation::Delete, Operation::GiveUpUploads];

#[tokio::test(start_paused = true)]
async fn a_sweep_that_fails_at_any_call_is_finished_by_the_next_one() {
    // I5, I7
    let whole = Prefix::with_history(4).await;
    let before = OPERATIONS.map(|operation| whole.world.faulty.calls(operation));
    whole.sweep().await.unwrap();
    let mut points = 0;
    for (operation, before) in OPERATIONS.into_iter().zip(before) {
        for nth in 1..=whole.world.faulty.calls(operation) - before {
            for fault in [Fault::Before(Failure::Unavailable), Fault::After(Failure::Unavailable)] {
                let prefix = Prefix::with_history(4).await;
                prefix.world.faulty.fail_nth(operation, nth, fault);
                assert!(prefix.sweep().await.is_err(), "{operation:?} {nth} {fault:?}");
                prefix.check();
                assert!(prefix.whole().ends_with(&["v3".into(), "v4".into()]), "{operation:?} {nth} {fault:?}");
                prefix.sweep().await.unwrap();
                prefix.world.pass(DAY).await;
                prefix.sweep().await.unwrap();
                prefix.check();
                assert_eq!(objects(&prefix), objects(&whole), "{operation:?} {nth} {fault:?}");
                points += 1;
            }
        }
    }
    assert!(points > 100, "{points} points are too few to be all");
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_is_dropped_at_any_moment_is_finished_by_the_next_one() {
    // I5, I7
    let whole = Prefix::with_history(4).await;
    whole.sweep().await.unwrap();
    for minute in 0..30 {
        for millisecond in (1..60).step_by(4) {
            let prefix = Prefix::with_history(4).await;
            prefix.world.faulty.delay(Duration::from_millis(2));
            let limit = Duration::from_secs(60 * minute) + Duration::from_millis(millisecond);
            let ended = tokio::time::timeout(limit, prefix.sweep()).await;
            prefix.check();
            prefix.world.faulty.delay(Duration::ZERO);
            prefix.sweep().await.unwrap();
            prefix.check();
            assert_eq!(prefix.whole(), ["v3", "v4"], "dropped after {limit:?}");
            if ended.is_ok() {
                assert!(minute > 5);
                return;
            }
        }
    }
    panic!("a sweep takes two graces");
}

#[tokio::test(start_paused = true)]
async fn scattered_faults_only_cost_tries() {
    // I5, I7
    for seed in 0..20 {
        let prefix = Prefix::with_history(4).await;
        prefix.world.faulty.scatter(seed, 30);
        let mut tries = 0;
        while prefix.sweep().await.is_err() {
            prefix.check();
            tries += 1;
            assert!(tries < 200, "seed {seed}");
        }
        assert_eq!(prefix.whole(), ["v3", "v4"], "seed {seed}");
    }
}

/// Everything but what was deleted or is about to be cleared away.
fn objects(prefix: &Prefix) -> Vec<String> {
    prefix.world.bucket.keys().into_iter().filter(|key| !key.contains("/sweeps/")).collect()
}
