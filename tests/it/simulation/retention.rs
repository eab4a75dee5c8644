//! Retention by the real controller, beside real agents: what nothing uses goes, what anything uses stays, and it is said before.

use rollcall::bucket::memory::Change;

use super::*;

/// I5, I8: `v1` goes a day later; the versions that pages and pods use stay, and nobody's page breaks.
#[test]
fn old_versions_go_and_what_is_used_stays() {
    run(async || {
        let mut world = World::new(1);
        world.keep_unwanted_for(Duration::from_secs(60));
        world.add_pod("a");
        world.add_pod("b");
        for version in ["v1", "v2", "v3"] {
            world.release(version);
            world.change_release(&json!({"retention": {"releases": 1, "ttl": "1h"}}));
            settle(&mut world).await;
        }
        let script_of_v1 = object_of(&world, "v1");
        world.advance(25 * AN_HOUR).await;
        assert_active(&world, "v3");
        let status = world.status();
        let retention = status.retention.clone().expect("a sweep was planned");
        assert!(retention.swept_at.is_some() && retention.objects_deleted > 0, "{retention:?}");
        let restorable: Vec<_> = status.history.iter().map(|entry| (entry.version.as_str(), entry.restorable)).collect();
        assert_eq!(restorable, [("v3", Some(true)), ("v2", Some(true)), ("v1", Some(false))]);
        assert!(world.uploads().iter().any(|change| matches!(change, Change::Deleted { key, .. } if *key == script_of_v1)));
        // I8: what is kept is rolled back to without an upload, ...
        let uploads = world.uploads();
        world.release("v2");
        settle(&mut world).await;
        assert_active(&world, "v2");
        assert_eq!(world.uploads(), uploads);
        // ... and what is gone is published again.
        world.release("v1");
        settle(&mut world).await;
        assert_active(&world, "v1");
        assert_promises(&world, "v1");
    });
}

/// I7: a day without releases costs three writes of status (the store is asked, the plan, the end) and one in the bucket (the day's date).
#[test]
fn an_idle_release_is_swept_once_a_day_in_silence() {
    run(async || {
        let mut world = World::new(1);
        world.add_pod("a");
        world.release("v1");
        world.change_release(&json!({"retention": {}}));
        settle(&mut world).await;
        world.advance(AN_HOUR).await;
        let (writes, uploads) = (world.writes(), world.uploads());
        world.advance(22 * AN_HOUR).await;
        assert_eq!(world.writes(), writes);
        world.advance(2 * AN_HOUR).await;
        assert!(world.writes() <= writes + 4, "{} writes\n{}", world.writes() - writes, world.trace.last(20).join("\n"));
        assert_eq!(world.uploads(), uploads);
        assert_promises(&world, "idle");
    });
}

/// The object that only this version has.
fn object_of(world: &World, version: &str) -> String {
    let created = world.uploads().into_iter().filter_map(|change| match change {
        Change::Created { key, .. } if key.contains("/assets/app.") => Some(key),
        _ => None,
    });
    let number: usize = version.trim_start_matches('v').parse().unwrap();
    created.into_iter().nth(number - 1).unwrap()
}
