//! Two controllers over one world: two that know nothing of each other, as for the moment of a takeover, and two of which one leads.

use rollcall::testing::apiserver::Line;

use super::*;

/// A world in which one of two leads and a version is active.
async fn led() -> World {
    begin(World::new(1)).await
}

async fn begin(mut world: World) -> World {
    world.hold_elections();
    world.add_pod("a");
    world.add_pod("b");
    world.release("v1");
    settle(&mut world).await;
    assert_eq!(world.pointer().epoch, world.epoch());
    world
}

/// What became of a process's writes of one kind since then.
fn writes_of<'a>(log: &'a [Line], process: &str, object: &str) -> Vec<&'a Line> {
    log.iter().filter(|line| line.actor == process && line.verb.mutates() && line.object.starts_with(object)).collect()
}

/// Ways for a world to come to rest.
#[derive(Debug, Clone, Copy)]
enum Rest {
    Active,
    PagesInTheBucket,
    OverHttp,
    AwaitingApproval,
    Suspended,
    GivenUp,
    WithRetention,
    WithReplica,
    WithOrphans,
    WithFormerPods,
}

impl Rest {
    async fn begin(self, world: &mut World) {
        let sidecar = if matches!(self, Self::OverHttp) { Sidecar::HttpAgent } else { Sidecar::Agent };
        world.start_pod("a", sidecar);
        world.start_pod("b", sidecar);
        if matches!(self, Self::OverHttp) {
            over_http(world, "v1");
        } else {
            world.release("v1");
        }
        if matches!(self, Self::PagesInTheBucket) {
            world.change_release(&json!({"entries": {"publish": "Bucket"}}));
        }
        settle(world).await;
        match self {
            Self::Active | Self::PagesInTheBucket | Self::OverHttp => world.release("v2"),
            Self::AwaitingApproval => {
                world.change_release(&json!({"activation": {"mode": "Manual"}}));
                world.release("v2");
            }
            Self::Suspended => {
                world.break_loads("v2");
                world.release("v2");
                seconds(world, 20).await;
                world.change_release(&json!({"suspend": true}));
            }
            Self::GivenUp => {
                world.change_release(&json!({"progressDeadlineSeconds": 30}));
                world.break_loads("v2");
                world.release("v2");
                seconds(world, 60).await;
            }
            Self::WithRetention => world.change_release(&json!({"retention": {"releases": 2, "ttl": "24h"}})),
            Self::WithReplica => world.add_replica(None),
            Self::WithOrphans => {
                world.change_release(&json!({"activation": {"onMissingWorkload": "Proceed"}}));
                world.orphan_pods_of("Deployment", "web");
                world.release("v2");
            }
            Self::WithFormerPods => {
                world.orphan_pods_of("Deployment", "web");
                world.add_workload_of("Deployment", "web", "shop");
                world.release("v2");
            }
        }
        settle(world).await;
    }
}

/// I7: nothing that only one of two processes remembers may be in what they write.
#[test]
fn two_controllers_that_see_the_same_world_come_to_rest_and_write_nothing() {
    use Rest::{Active, AwaitingApproval, GivenUp, OverHttp, PagesInTheBucket, Suspended};
    use Rest::{WithFormerPods, WithOrphans, WithReplica, WithRetention};
    let alone = [Active, PagesInTheBucket, OverHttp, AwaitingApproval, Suspended, GivenUp];
    for rest in alone.into_iter().chain([WithRetention, WithReplica, WithOrphans, WithFormerPods]) {
        run(async || {
            let mut world = World::new(1);
            world.start_rival();
            rest.begin(&mut world).await;
            if matches!(rest, PagesInTheBucket) {
                // They are looked at once more when no write of before the flip can land any more.
                seconds(&mut world, 1200).await;
            }
            assert_idle(&mut world).await;
            assert_promises(&world, &format!("{rest:?}, both from the beginning"));
            world.kill_controller();
            world.start_controller();
            settle(&mut world).await;
            assert_idle(&mut world).await;
            assert_promises(&world, &format!("{rest:?}, one anew"));
        });
    }
}

/// I7: a failover costs a release that rests one small write, and then nothing is written but the Lease.
#[test]
fn a_new_leader_raises_the_epoch_and_writes_nothing_else_of_a_release_that_rests() {
    run(async || {
        let mut world = led().await;
        let (before, first, conditions) = (world.writes(), world.leader(), world.status());
        let epoch = world.epoch();
        world.hold_requests_of_the_leader(AN_HOUR);
        seconds(&mut world, 30).await;
        assert_ne!(world.leader(), first);
        assert!(world.epoch() > epoch && world.pointer().epoch == world.epoch(), "{:?}", world.pointer());
        settle(&mut world).await;
        assert_eq!(world.writes(), before + 1, "the pointer's epoch alone\n{}", world.trace.last(10).join("\n"));
        assert_eq!(world.status(), conditions);
        ends_well(&mut world, "v1").await;
    });
}

/// I4: the old leader's write arrives when another one has led for long, and changes nothing.
async fn late_stage(world: World) -> World {
    let mut world = begin(world).await;
    let old = world.hold_requests_of_the_leader_from_write("configmaps", Duration::from_secs(120)).unwrap();
    world.release("v2");
    seconds(&mut world, 10).await;
    world.release("v1");
    seconds(&mut world, 30).await;
    assert_ne!(world.leader().as_ref(), Some(&old));
    seconds(&mut world, 120).await;
    let log = world.server.log();
    let late = writes_of(&log, &old, "configmaps").pop().cloned().unwrap();
    assert!(late.at.duration_since(log.first().unwrap().at).as_secs() > 120, "it was under way: {late}");
    world.trace.note("late", &late.to_string());
    world
}

#[test]
fn a_write_of_the_leader_before_loses_however_late_it_comes() {
    run(async || {
        let mut world = late_stage(World::new(1)).await;
        assert!(world.trace.last(1)[0].contains(" 409 "), "{:?}", world.trace.last(1));
        ends_well(&mut world, "v1").await;
    });
    run(async || {
        let world = late_stage(World::without(1, Rule::Epoch)).await;
        let broken: Vec<_> = world.violations().into_iter().map(|violation| violation.promise).collect();
        assert_eq!(broken, ["I4"], "the epoch is what it takes\n{}", world.trace.lines().join("\n"));
    });
}

/// I9: nor does the old leader's telling, once the new one has moved the pointer.
#[test]
fn a_telling_of_the_leader_before_loses_once_the_pointer_has_moved() {
    run(async || {
        let mut world = led().await;
        world.change_release(&json!({"activation": {"mode": "Manual"}}));
        world.release("v2");
        settle(&mut world).await;
        let old = world.hold_requests_of_the_leader_from_write("assetreleases", Duration::from_secs(120)).unwrap();
        world.add_pod("c");
        seconds(&mut world, 60).await;
        assert_ne!(world.leader().as_ref(), Some(&old));
        world.change_release(&json!({"activation": {"approvedVersion": "v2"}}));
        seconds(&mut world, 120).await;
        let log = world.server.log();
        let tellings = writes_of(&log, &old, "assetreleases");
        assert_eq!(tellings.last().map(|late| late.code), Some(409), "{tellings:?}");
        ends_well(&mut world, "v2").await;
    });
}

/// I4: who begins with a new Lease goes on above the epochs of the one before.
#[test]
fn a_lease_that_was_deleted_does_not_begin_again() {
    run(async || {
        let mut world = led().await;
        for _ in 0..3 {
            world.delete_lease();
            seconds(&mut world, 40).await;
            assert_eq!(world.pointer().epoch, world.epoch());
        }
        world.release("v2");
        ends_well(&mut world, "v2").await;
    });
}

/// I4, I7: leaders come and go while versions do.
#[test]
fn releases_go_on_from_leader_to_leader() {
    run(async || {
        let mut world = led().await;
        for version in ["v2", "v3", "v1", "v4"] {
            world.release(version);
            seconds(&mut world, 1).await;
            world.hold_requests_of_the_leader(Duration::from_secs(60));
            ends_well(&mut world, version).await;
        }
    });
}
