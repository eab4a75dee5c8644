//! Releases that go while something else is under way: nothing of them goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rollcall::testing::apiserver::{Before, Change, Delivery, Hook, Key, Kind, Refusal, Seen, Verb};
use rollcall::testing::builders::{APP, NAMESPACE};

use super::*;

fn key() -> Key {
    Key::new(Kind::named("AssetRelease"), NAMESPACE, APP)
}

async fn active(world: &mut World) {
    world.add_pod("a");
    world.release("v1");
    settle(world).await;
    assert_active(world, "v1");
}

/// A person takes the finalizer off, and the release is gone in that moment.
fn remove(world: &World) {
    world.server.patch("user", &key(), &json!({"metadata": {"finalizers": null}})).unwrap();
    world.server.delete("user", &key()).unwrap();
    assert!(world.server.get(&key()).is_none());
}

/// Requests about pods within ten minutes; a view's watch is begun anew each minute.
async fn pods_are_asked_for(world: &mut World) -> usize {
    let before = world.server.log().len();
    world.advance(Duration::from_secs(600)).await;
    let is_view = |verb: Verb| matches!(verb, Verb::List | Verb::Watch);
    let log = world.server.log();
    log[before..]
        .iter()
        .filter(|line| line.actor.starts_with("controller") && is_view(line.verb) && line.object.starts_with("pods"))
        .count()
}

/// From now on, while it is switched on: reads of the pointer take five seconds, and reads of the release fail.
#[derive(Default)]
struct SlowThenBroken(AtomicBool);

impl Hook for SlowThenBroken {
    fn before(&self, seen: &Seen) -> Before {
        let is_read = self.0.load(Ordering::Relaxed) && seen.verb == Verb::Get && seen.key.plural == "assetreleases";
        if is_read { Before::Refuse(Refusal::new(500, "InternalError", "etcdserver: leader changed")) } else { Before::Pass }
    }

    fn latency(&self, seen: &Seen) -> Duration {
        let is_slow = self.0.load(Ordering::Relaxed) && seen.verb == Verb::Get && seen.key.plural == "configmaps";
        if is_slow { Duration::from_secs(5) } else { Duration::ZERO }
    }
}

#[test]
fn a_pass_over_a_release_that_went_meanwhile_leaves_no_view_behind() {
    run(async || {
        let mut world = World::new(1);
        active(&mut world).await;
        assert!(pods_are_asked_for(&mut world).await > 0, "a view makes requests");
        let hook = Arc::<SlowThenBroken>::default();
        world.server.hook(hook.clone());
        hook.0.store(true, Ordering::Relaxed);
        world.change_release(&json!({"progressDeadlineSeconds": 601}));
        seconds(&mut world, 2).await;
        remove(&world);
        seconds(&mut world, 30).await;
        hook.0.store(false, Ordering::Relaxed);
        assert_eq!(pods_are_asked_for(&mut world).await, 0, "{}", world.trace.lines().join("\n"));
    });
}

/// The watch of releases has to list again instead of telling of a deletion.
struct DeletionsExpire;

impl Hook for DeletionsExpire {
    fn deliver(&self, seen: &Seen, change: &Change) -> Delivery {
        let is_of_release = seen.key.plural == "assetreleases" && change.key.plural == "assetreleases";
        if is_of_release && change.deleted { Delivery::Expire } else { Delivery::Now }
    }
}

#[test]
fn a_release_that_went_while_the_watch_was_broken_leaves_no_view_behind() {
    run(async || {
        let mut world = World::new(1);
        active(&mut world).await;
        world.server.hook(Arc::new(DeletionsExpire));
        remove(&world);
        seconds(&mut world, 90).await;
        assert_eq!(pods_are_asked_for(&mut world).await, 0, "{}", world.trace.lines().join("\n"));
    });
}
