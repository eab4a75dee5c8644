//! A rollback uses what is recorded: nothing is uploaded, no source is read, and the gates are the same.

use super::*;

/// I8, in both ways of serving pages, and even when the source is gone.
#[test]
fn a_rollback_uploads_nothing_and_reads_no_source() {
    run(async || {
        let mut world = World::new(1);
        two_pods_on_v2(&mut world).await;
        let (uploads, asked) = (world.uploads(), world.source.asked());
        assert!(!uploads.is_empty() && asked == 2, "{asked} {uploads:?}");
        world.release("v1");
        ends_well(&mut world, "v1").await;
        assert_eq!(world.uploads(), uploads, "a rollback uploaded something");
        assert_eq!(world.source.asked(), asked, "a rollback read a source");
    });
}

/// I2: the same gates, over pods that lost the version meanwhile.
#[test]
fn a_rollback_calls_the_roll_of_pods_that_never_had_the_version() {
    run(async || {
        let mut world = World::new(1);
        world.add_pod("a");
        for version in ["v1", "v2", "v3"] {
            world.release(version);
            settle(&mut world).await;
        }
        world.add_pod("b");
        settle(&mut world).await;
        world.break_loads("v1");
        let asked = world.source.asked();
        world.release("v1");
        seconds(&mut world, 60).await;
        assert_eq!(world.active().as_deref(), Some("v3"), "b was born after v1 and cannot load it");
        world.mend_loads();
        ends_well(&mut world, "v1").await;
        assert_eq!(world.source.asked(), asked);
    });
}
