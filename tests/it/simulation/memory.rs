//! What outlives a process and what belongs to one object alone: the controller starts anew, pointers, releases and stores come and go.

use std::sync::atomic::{AtomicBool, Ordering};

use rollcall::bucket::faulty::Failure;
use rollcall::testing::apiserver::{ApiServer, Before, Hook, Seen, Verb};
use rollcall::testing::builders;

use super::*;

async fn on_v1_again(world: &mut World) {
    world.add_pod("a");
    world.add_pod("b");
    for version in ["v1", "v2", "v1"] {
        world.release(version);
        settle(world).await;
    }
}

/// I9: what was confirmed in the bucket stays said, and is asked for once by the new process.
#[test]
fn pages_in_the_bucket_stay_activated_over_a_restart() {
    run(async || {
        let mut world = World::new(1);
        world.add_pod("a");
        world.release("v1");
        world.change_release(&json!({"entries": {"publish": "Bucket"}}));
        settle(&mut world).await;
        let (before, confirmed) = (world.server.history().len(), world.status().entries.unwrap());
        world.kill_controller();
        world.advance(Duration::from_secs(60)).await;
        world.start_controller();
        settle(&mut world).await;
        for change in &world.server.history()[before..] {
            let Some(status) = change.now().filter(|_| change.key.plural == "assetreleases").map(|release| &release["status"]) else {
                continue;
            };
            let conditions = status["conditions"].as_array().unwrap();
            let broken: Vec<_> = conditions.iter().filter(|it| it["type"] != "Reconciling" && it["status"] != "True").collect();
            assert_eq!(broken, Vec::<&serde_json::Value>::new(), "{}", world.trace.lines().join("\n"));
        }
        let now = world.status().entries.unwrap();
        assert_eq!(now.sequence, confirmed.sequence);
        assert!(now.confirmed_at.0 > confirmed.confirmed_at.0, "the new process has looked itself");
        assert_idle(&mut world).await;
    });
}

/// I4: the pointer comes back as it was, with the name map beside it.
#[test]
fn a_pointer_that_was_deleted_comes_back_with_its_name_map() {
    run(async || {
        let mut world = World::new(1);
        on_v1_again(&mut world).await;
        let (pointer, map) = (world.pointer(), world.name_map());
        assert!(map.is_some());
        world.delete_pointer();
        settle(&mut world).await;
        let again = world.pointer();
        assert_eq!(
            (again.sequence, again.stage, again.active, again.previous),
            (pointer.sequence, pointer.stage, pointer.active, pointer.previous)
        );
        assert_eq!(world.name_map(), map);
        assert_idle(&mut world).await;
        assert_promises(&world, "lost pointer");
    });
}

/// Deletes and makes the release again right before the next write of its status.
struct MadeAgain {
    server: ApiServer,
    due: AtomicBool,
}

impl Hook for MadeAgain {
    fn before(&self, seen: &Seen) -> Before {
        if seen.key.plural == "assetreleases" && seen.status && seen.verb == Verb::Apply && self.due.swap(false, Ordering::SeqCst) {
            let key = seen.key.clone();
            self.server.delete("user", &key).unwrap();
            self.server.patch("user", &key, &json!({"metadata": {"finalizers": null}})).unwrap();
            self.server.create("user", &builders::release("v3")).unwrap();
        }
        Before::Pass
    }
}

/// I9: what was seen of a release that is gone is not said of another one that has its name.
#[test]
fn the_status_of_a_release_is_never_written_to_another_of_its_name() {
    run(async || {
        let mut world = World::new(1);
        on_v1_again(&mut world).await;
        world.server.hook(std::sync::Arc::new(MadeAgain { server: world.server.clone(), due: AtomicBool::new(true) }));
        world.release("v3");
        settle(&mut world).await;
        assert_eq!(world.active().as_deref(), Some("v3"));
        assert_promises(&world, "a release that was made again");
        let history: Vec<_> = world.status().history.into_iter().map(|entry| entry.version).collect();
        assert_eq!(history, ["v3", "v1"], "the new one knows the pointer that it found and what it did itself");
    });
}

/// I9: a store that cannot be reached any more says so when a release has met that, and says when it can be again.
#[test]
fn a_store_that_is_lost_later_is_not_called_ready() {
    run(async || {
        let mut world = World::new(1);
        on_v1_again(&mut world).await;
        assert!(world.store_is_ready());
        world.store.break_off(Failure::Denied);
        world.release("v2");
        world.advance(Duration::from_secs(120)).await;
        assert!(!world.store_is_ready(), "{}", world.trace.lines().join("\n"));
        world.store.mend();
        settle(&mut world).await;
        assert!(world.store_is_ready());
        assert_eq!(world.active().as_deref(), Some("v2"));
        assert_promises(&world, "a store that was denied for a while");
    });
}
