//! A picture whose name stays, with pages that the pods serve.

use bytes::Bytes;

use super::*;
use rollcall::testing::builders::{self, APP};

const KEY: &str = "web/hero-SUMMER24.jpg";

fn picture(world: &World) -> Option<String> {
    world.bucket.bytes(KEY).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
}

/// A world whose builds have pictures.
fn with_pictures() -> World {
    let world = World::new(1);
    for version in ["v1", "v2"] {
        let own = builders::build(version).into_iter().map(|(path, text)| (path, Bytes::from(text)));
        let picture = [("hero-SUMMER24.jpg".to_owned(), Bytes::from(version)), (format!("only-{version}.jpg"), Bytes::from("x"))];
        world.source.put(&builders::build_url(version), own.chain(picture));
    }
    world
}

/// I10 and I3: it is at its public key before any page, and changes there only with the flip. The world's rules hold it at every step: an active
/// version has all of its unversioned files at their keys.
#[test]
fn a_picture_is_public_before_its_page_and_changes_with_the_flip() {
    run(async || {
        let mut world = with_pictures();
        world.add_pod("a");
        world.release("v1");
        ends_well(&mut world, "v1").await;
        assert_eq!(picture(&world).as_deref(), Some("v1"));
        world.break_loads("v2");
        world.release("v2");
        seconds(&mut world, 60).await;
        assert_eq!((world.active().as_deref(), picture(&world).as_deref()), (Some("v1"), Some("v1")), "v2 is published, not active");
        assert!(world.bucket.bytes("web/only-v2.jpg").is_some(), "before any page of v2");
        world.mend_loads();
        ends_well(&mut world, "v2").await;
        assert_eq!(picture(&world).as_deref(), Some("v2"));
        world.release("v1");
        ends_well(&mut world, "v1").await;
        assert_eq!(picture(&world).as_deref(), Some("v1"), "I8: a rollback brings it back");
    });
}

/// I9, I10: the process that comes after the one that flipped goes on, and then asks the bucket for nothing.
#[test]
fn a_picture_changes_with_the_flip_although_the_controller_ends_at_any_request() {
    let to_v2 = async |world: &mut World| {
        world.add_pod("a");
        world.release("v1");
        settle(world).await;
        let first = world.crash_points().len();
        world.release("v2");
        settle(world).await;
        first
    };
    let (first, requests) = run(async || {
        let mut world = with_pictures();
        let first = to_v2(&mut world).await;
        (first, world.crash_points())
    });
    for (nth, request) in (1..).zip(&requests).skip(first) {
        for side in [Side::Before, Side::After] {
            run(async || {
                let mut world = with_pictures();
                world.crash_at(Crash { nth, side });
                to_v2(&mut world).await;
                let about = format!("ended {side:?} request {nth}: {request}");
                assert_promises(&world, &about);
                assert_eq!((world.active().as_deref(), picture(&world).as_deref()), (Some("v2"), Some("v2")), "{about}");
                assert_idle(&mut world).await;
            });
        }
    }
}

/// A page that the build lacks would be a 404 for every visitor of a single-page application: it is said before the flip, and what it takes to go on.
#[test]
fn a_fallback_that_the_build_lacks_is_said_before_the_flip_and_another_one_flips() {
    run(async || {
        let mut world = World::new(1);
        world.add_pod("a");
        world.release("v1");
        settle(&mut world).await;
        world.change_release(&json!({"entries": {"fallback": "gone.html"}}));
        world.release("v2");
        seconds(&mut world, 60).await;
        let (reason, message) = ready_of(&world, APP);
        assert_eq!((world.active().as_deref(), reason.as_str()), (Some("v1"), "FallbackMissing"), "{message}");
        assert!(message.contains("\"gone.html\", which spec.entries.fallback names"), "{message}");
        world.change_release(&json!({"entries": {"fallback": "index.html"}}));
        ends_well(&mut world, "v2").await;
        let active = |world: &World| world.pointer().active.unwrap().fallback;
        assert_eq!(active(&world).as_deref(), Some("index.html"));
        world.change_release(&json!({"entries": {"fallback": null}}));
        ends_well(&mut world, "v2").await;
        assert_eq!(active(&world), None);
    });
}
