//! Bad input from outside the cluster: a store that is down, wrong keys, no bucket, a full volume. Each is told by a clear condition,
//! nothing is half published, no Ready pod is lost, and it is over when it is mended, without a restart.

use std::time::Duration;

use rollcall::bucket::faulty::Failure;
use rollcall::testing::world::{Space, Violation, World};

use crate::simulation::run;

mod folder;
mod real_folder;
mod real_store;

const AN_HOUR: Duration = Duration::from_secs(3600);

/// Two pods that serve v1.
async fn settled() -> World {
    let mut world = World::new(1);
    world.add_pod("a");
    world.add_pod("b");
    world.release("v1");
    world.settle(AN_HOUR).await.unwrap();
    world
}

fn ready(world: &World) -> (String, String) {
    let status = world.status();
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    (format!("{} {}", ready.status, ready.reason), ready.message.clone())
}

/// v1 is served by Ready pods all the while; once it is mended, v2 is.
fn assert_served(world: &World, version: &str) {
    assert_eq!(world.active().as_deref(), Some(version), "{}", world.trace.lines().join("\n"));
    assert!(world.is_ready("a") && world.is_ready("b"), "{}", world.trace.lines().join("\n"));
    assert_eq!(world.violations(), Vec::<Violation>::new(), "{}", world.trace.lines().join("\n"));
}

/// I1, I12.
#[test]
fn a_store_that_fails_in_any_way_is_told_and_keeps_nobody_from_serving() {
    let outages =
        [(Failure::Unavailable, "StoreUnavailable"), (Failure::Denied, "StoreAccessDenied"), (Failure::NoSuchBucket, "BucketNotFound")];
    for (failure, reason) in outages {
        run(async || {
            let mut world = settled().await;
            let keys = world.bucket.keys();
            world.store.break_off(failure);
            world.release("v2");
            world.advance(Duration::from_secs(120)).await;
            assert_eq!(ready(&world).0, format!("False {reason}"));
            assert_eq!((world.bucket.keys(), world.pointer().candidate), (keys, None), "nothing half published");
            assert_served(&world, "v1");
            world.store.mend();
            world.advance(Duration::from_secs(300)).await;
            world.settle(AN_HOUR).await.unwrap();
            assert_eq!(ready(&world).0, "True Active");
            assert_served(&world, "v2");
        });
    }
}

/// I12: the volume of one pod is full: the candidate waits for it, told by the pod itself; nobody is un-Ready for that.
#[test]
fn a_full_volume_holds_the_candidate_up_and_no_pod() {
    run(async || {
        let mut world = settled().await;
        world.fill_volume("a", Space::None);
        world.release("v2");
        world.advance(Duration::from_secs(120)).await;
        let (verdict, message) = ready(&world);
        assert_eq!(verdict, "False PodsMissing");
        assert!(message.contains("1 of 2 pods have reported") && message.contains("no space left on the volume"), "{message}");
        assert_served(&world, "v1");
        world.fill_volume("a", Space::Enough);
        world.settle(AN_HOUR).await.unwrap();
        assert_served(&world, "v2");
    });
}
