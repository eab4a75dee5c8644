//! A picture whose name stays, with pages that the pods serve.

use bytes::Bytes;

use super::*;
use rollcall::testing::builders;

const KEY: &str = "web/hero-SUMMER24.jpg";

fn picture(world: &World) -> Option<String> {
    world.bucket.bytes(KEY).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
}

/// I10 and I3: it is at its public key before any page, and changes there only with the flip. The world's rules hold it at every step: an active
/// version has all of its unversioned files at their keys.
#[test]
fn a_picture_is_public_before_its_page_and_changes_with_the_flip() {
    run(async || {
        let mut world = World::new(1);
        for version in ["v1", "v2"] {
            let own = builders::build(version).into_iter().map(|(path, text)| (path, Bytes::from(text)));
            let picture = [("hero-SUMMER24.jpg".to_owned(), Bytes::from(version)), (format!("only-{version}.jpg"), Bytes::from("x"))];
            world.source.put(&builders::build_url(version), own.chain(picture));
        }
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
