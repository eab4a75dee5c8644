//! A replica of the store: every version is there before the flip, whatever fails, lags, comes back or ends in the middle (I1).

use rollcall::testing::builders::ELSEWHERE;

use super::*;

fn is_admitted(world: &World) -> bool {
    world.status().replicas.first().is_some_and(|replica| replica.admitted)
}

/// The replica has what the store has, but for notes that are only the store's.
fn assert_alike(world: &World) {
    let kept = |keys: Vec<String>| -> Vec<String> {
        let is_note = |key: &String| ["owner.json", "/intents/", "/references/", "/sweeps/"].iter().any(|note| key.contains(note));
        keys.into_iter().filter(|key| !is_note(key)).collect()
    };
    assert_eq!(kept(world.replica.keys()), kept(world.bucket.keys()), "\n{}", world.trace.last(20).join("\n"));
    for key in kept(world.replica.keys()) {
        assert_eq!(world.replica.bytes(&key), world.bucket.bytes(&key), "{key}");
    }
}

/// Until the replica, whose prefix was claimed first, has some of what it lacks.
async fn until_filling(world: &mut World) {
    let is_filling =
        |world: &World| world.status().replicas.first().is_some_and(|replica| replica.missing.is_some_and(|missing| missing > 0));
    for _ in 0..300 {
        seconds(world, 1).await;
        if is_filling(world) {
            return;
        }
    }
    panic!("the replica is not being filled: {:?}", world.status().replicas);
}

// I1, I7
#[test]
fn every_version_is_in_the_replica_before_the_flip() {
    for endpoint in [None, Some(ELSEWHERE)] {
        run(async || {
            let mut world = World::new(1);
            world.add_replica(endpoint);
            world.add_pod("a");
            for version in ["v1", "v2", "v1", "v3"] {
                world.release(version);
                ends_well(&mut world, version).await;
                assert!(is_admitted(&world), "{version}");
                assert_alike(&world);
            }
        });
    }
}

// I10
#[test]
fn pages_are_in_the_replica_too_and_not_before_their_assets() {
    run(async || {
        let mut world = World::new(1);
        world.add_replica(None);
        world.release("v1");
        world.change_release(&json!({"entries": {"publish": "Bucket"}, "targets": []}));
        settle(&mut world).await;
        world.release("v2");
        ends_well(&mut world, "v2").await;
        assert_alike(&world);
        assert!(world.replica.keys().contains(&"web/index.html".to_owned()));
    });
}

// I1
#[test]
fn a_replica_that_is_added_later_is_filled_and_only_then_admitted() {
    for (endpoint, pages) in [(None, "Pods"), (Some(ELSEWHERE), "Pods"), (None, "Bucket")] {
        run(async || {
            let mut world = World::new(1);
            world.add_pod("a");
            for version in ["v1", "v2", "v3"] {
                world.release(version);
                world.change_release(&json!({"entries": {"publish": pages}}));
                settle(&mut world).await;
            }
            world.replica_store.delay(Duration::from_secs(5));
            world.add_replica(endpoint);
            until_filling(&mut world).await;
            assert!(!is_admitted(&world));
            world.replica_store.delay(Duration::ZERO);
            ends_well(&mut world, "v3").await;
            assert!(is_admitted(&world));
            assert_alike(&world);
        });
    }
}

// I1: what the status says survives the process, and what it does not say is found out again.
#[test]
fn a_replica_that_was_admitted_stays_so_over_the_controllers_end() {
    run(async || {
        let mut world = World::new(1);
        world.add_replica(None);
        world.add_pod("a");
        world.release("v1");
        settle(&mut world).await;
        world.kill_controller();
        world.start_controller();
        seconds(&mut world, 60).await;
        assert!(is_admitted(&world));
        world.release("v2");
        ends_well(&mut world, "v2").await;
        assert_alike(&world);
    });
}

#[test]
fn a_release_is_not_held_up_by_a_back_fill() {
    run(async || {
        let mut world = World::new(1);
        world.add_pod("a");
        world.release("v1");
        settle(&mut world).await;
        world.replica_store.delay(Duration::from_secs(10));
        world.add_replica(None);
        until_filling(&mut world).await;
        assert!(world.status().replicas[0].missing.is_some_and(|missing| missing > 0), "{:?}", world.status().replicas);
        world.release("v2");
        seconds(&mut world, 400).await;
        assert_eq!(world.active().as_deref(), Some("v2"), "\n{}", world.trace.last(20).join("\n"));
        world.replica_store.delay(Duration::ZERO);
        ends_well(&mut world, "v2").await;
        assert!(is_admitted(&world));
        assert_alike(&world);
    });
}

/// The last two hours ago, so that the first may go.
async fn three_versions(world: &mut World) {
    for version in ["v1", "v2", "v3"] {
        world.release(version);
        settle(world).await;
    }
    world.advance(2 * AN_HOUR).await;
}

fn retention() -> serde_json::Value {
    json!({"retention": {"releases": 1, "ttl": "1h"}})
}

// I5: what goes from the store goes from the replica, and nothing else does.
#[test]
fn retention_takes_from_the_replica_what_it_takes_from_the_store() {
    run(async || {
        let mut world = World::new(1);
        world.keep_unwanted_for(Duration::from_secs(60));
        world.add_replica(None);
        world.add_pod("a");
        three_versions(&mut world).await;
        let before = world.replica.keys().len();
        world.change_release(&retention());
        world.advance(AN_HOUR).await;
        assert!(world.replica.keys().len() < before, "{:?}", world.replica.keys());
        assert_alike(&world);
        // I8: it comes back everywhere.
        world.release("v1");
        settle(&mut world).await;
        assert_active(&world, "v1");
        assert_alike(&world);
        assert_promises(&world, "retention");
    });
}

/// A sweep that cannot reach a replica deletes nothing: the store's listing must go on showing what the replica has.
#[test]
fn nothing_is_swept_while_a_replica_does_not_answer() {
    run(async || {
        let mut world = World::new(1);
        world.keep_unwanted_for(Duration::from_secs(60));
        world.add_replica(None);
        world.add_pod("a");
        three_versions(&mut world).await;
        let keys = |world: &World| world.bucket.keys().into_iter().filter(|key| !key.contains("/.rollcall/")).collect::<Vec<_>>();
        let before = keys(&world);
        world.break_replica();
        world.change_release(&retention());
        world.advance(2 * AN_HOUR).await;
        assert_eq!(keys(&world), before);
        world.mend_replica();
        world.advance(2 * AN_HOUR).await;
        assert!(keys(&world).len() < before.len());
        assert_alike(&world);
        assert_promises(&world, "a replica that did not answer");
    });
}

/// I1 at every crash point of a back-fill and of the release after it.
#[test]
fn a_back_fill_survives_the_controllers_end_at_any_request() {
    let story = async |world: &mut World| {
        world.add_pod("a");
        world.release("v1");
        settle(world).await;
        world.add_replica(None);
        settle(world).await;
        world.release("v2");
        settle(world).await;
    };
    let requests = run(async || {
        let mut world = World::new(1);
        story(&mut world).await;
        world.crash_points()
    });
    let first = requests.iter().position(|request| request.contains("replica's")).expect("the replica was written to");
    for (nth, request) in (1..).zip(&requests).skip(first) {
        for side in [Side::Before, Side::After] {
            run(async || {
                let mut world = World::new(1);
                world.crash_at(Crash { nth, side });
                story(&mut world).await;
                let about = format!("ended {side:?} request {nth}: {request}");
                assert_promises(&world, &about);
                assert_active(&world, "v2");
                assert!(is_admitted(&world), "{about}");
                assert_alike(&world);
            });
        }
    }
}

/// I1, I3, I7 while requests of API server and both buckets fail, controllers end, versions change, and the replica fails, is taken away and
/// comes back; then calm, in which everything comes right.
#[test]
fn a_replica_in_a_storm_lacks_nothing_once_it_is_admitted() {
    for seed in 0..6_u64 {
        run(async || {
            let mut world = World::new(seed);
            let elsewhere = (seed % 2 == 1).then_some(ELSEWHERE);
            world.add_replica(elsewhere);
            world.add_pod("a");
            world.add_pod("b");
            world.release("v1");
            settle(&mut world).await;
            world.begin_storm(seed);
            for strike in 0..12_u64 {
                match (seed * 7 + strike * 5) % 6 {
                    0 | 1 => world.release(&format!("v{}", 1 + (seed + strike) % 4)),
                    2 => world.kill_controller(),
                    3 => world.remove_replica(),
                    4 => world.break_replica(),
                    _ => world.add_replica(elsewhere),
                }
                if (seed * 7 + strike * 5) % 6 == 2 {
                    world.start_controller();
                }
                seconds(&mut world, 5 + (seed + strike) % 11).await;
            }
            world.end_storm();
            world.add_replica(elsewhere);
            world.release("v4");
            settle(&mut world).await;
            assert_promises(&world, &format!("seed {seed}"));
            assert_active(&world, "v4");
            assert!(is_admitted(&world), "seed {seed}\n{}", world.trace.last(20).join("\n"));
        });
    }
}
