//! Other hands at the pointer: other field managers, foreign keys, deletion, backups. What they do is told, not fought in silence.

use rollcall::api::names::FIELD_MANAGER;

use super::*;

/// Writes of the controller to the pointer.
fn pointer_writes(world: &World) -> usize {
    let is_ours = |line: &&rollcall::testing::apiserver::Line| line.verb.mutates() && line.object.starts_with("configmaps");
    world.server.log().iter().filter(is_ours).count()
}

/// I4: another writer is named, and nothing is written against it; the advice of the message works.
#[test]
fn another_writer_of_the_pointer_is_told_and_not_fought() {
    run(async || {
        let mut world = World::new(1);
        two_pods_on_v2(&mut world).await;
        let writes = pointer_writes(&world);
        world.revert_pointer("argocd-controller");
        world.release("v3");
        seconds(&mut world, 300).await;
        assert_eq!(world.reason().as_deref(), Some("PointerContested"), "{}", world.trace.lines().join("\n"));
        let message = world.status().message.unwrap_or_default();
        assert!(message.contains("data[\"pointer.json\"]") && message.contains("\"argocd-controller\" (operation Update)"), "{message}");
        assert_eq!(pointer_writes(&world), writes, "it was fought");
        assert_promises(&world, "contested");
        world.delete_pointer();
        ends_well(&mut world, "v3").await;
        assert_eq!(world.pointer().sequence, 3);
    });
}

#[test]
fn a_foreign_key_beside_ours_disturbs_nobody() {
    run(async || {
        let mut world = World::new(1);
        two_pods_on_v2(&mut world).await;
        world.meddle_with_pointer("kubectl-edit", "note", "mine");
        settle(&mut world).await;
        world.release("v3");
        ends_well(&mut world, "v3").await;
        assert_eq!(world.pointers().last().map(|object| object["data"]["note"].clone()), Some(json!("mine")), "it was taken away");
    });
}

/// I9: who labels the pointer is named for the label, and not for the document; the advice of the message works.
#[test]
fn a_pointer_that_was_relabelled_names_the_label_and_who_set_it() {
    run(async || {
        let mut world = World::new(1);
        two_pods_on_v2(&mut world).await;
        let writes = pointer_writes(&world);
        for (label, value, reason) in
            [("rollcall.dev/release", "other", "PointerTaken"), ("rollcall.dev/pointer", "false", "PointerForeign")]
        {
            world.label_pointer("kubectl-label", label, value);
            world.release("v3");
            seconds(&mut world, 60).await;
            let message = world.status().message.unwrap_or_default();
            assert_eq!(world.reason().as_deref(), Some(reason), "{message}");
            assert!(message.contains("\"kubectl-label\" (operation Update)") && message.contains(label), "{message}");
            assert!(!message.contains("pointer.json"), "{message}");
        }
        assert_eq!(pointer_writes(&world), writes, "it was fought");
        world.label_pointer("kubectl-label", "rollcall.dev/pointer", "true");
        world.label_pointer("kubectl-label", "rollcall.dev/release", "web");
        ends_well(&mut world, "v3").await;
        assert_eq!(world.pointer().sequence, 3);
    });
}

/// A label of a person's own, and both of ours as they are: nobody is in anybody's way.
#[test]
fn a_label_that_somebody_else_has_beside_us_contests_nothing() {
    run(async || {
        let mut world = World::new(1);
        two_pods_on_v2(&mut world).await;
        world.label_pointer("kubectl-label", "team", "shop");
        world.label_pointer("argocd-controller", "rollcall.dev/release", "web");
        world.release("v3");
        ends_well(&mut world, "v3").await;
    });
}

/// I4: made again from the highest sequence that was seen, and stage numbers go on, or old reports would count.
#[test]
fn a_pointer_deleted_after_the_release_is_made_again_as_it_was() {
    run(async || {
        let mut world = World::new(1);
        two_pods_on_v2(&mut world).await;
        let before = world.pointer();
        world.delete_pointer();
        settle(&mut world).await;
        let after = world.pointer();
        assert_eq!((after.active, after.previous, after.sequence), (before.active, before.previous, before.sequence));
        assert!(after.stage >= before.stage);
        world.release("v3");
        ends_well(&mut world, "v3").await;
    });
}

/// I2, I4: deleted while the roll call waits; the staging is made anew under a number that no report has.
#[test]
fn a_pointer_deleted_in_mid_release_is_made_again_and_the_release_goes_on() {
    run(async || {
        let mut world = World::new(1);
        two_pods_on_v2(&mut world).await;
        world.break_loads("v3");
        world.release("v3");
        seconds(&mut world, 10).await;
        let staged = world.pointer();
        assert!(staged.candidate.is_some());
        world.delete_pointer();
        seconds(&mut world, 30).await;
        let again = world.pointer();
        assert!(again.candidate.is_some() && again.stage > staged.stage, "{again:?}");
        assert!(world.is_ready("a") && world.is_ready("b"));
        world.mend_loads();
        ends_well(&mut world, "v3").await;
        assert_eq!(world.pointer().sequence, 3);
    });
}

/// I4: a backup that is older than the last flip comes back under our own name: agents refuse to go back, so the last flip is
/// restored.
#[test]
fn an_older_pointer_that_was_put_back_is_set_to_the_last_flip() {
    run(async || {
        let mut world = World::new(1);
        two_pods_on_v2(&mut world).await;
        let last = world.pointer();
        world.delete_pointer_and_put_back(FIELD_MANAGER, 1);
        world.add_pod("c");
        seconds(&mut world, 60).await;
        let restored = world.pointer();
        assert_eq!((restored.sequence, &restored.active), (2, &last.active), "{}", world.trace.lines().join("\n"));
        assert!(restored.stage >= last.stage, "{restored:?}");
        assert_promises(&world, "an older pointer");
        world.release("v3");
        ends_well(&mut world, "v3").await;
        assert_eq!(world.pointer().sequence, 3);
    });
}

/// I4: the release was made anew and its pointer is gone: only the pods know how far it was. The advice of the message works, and
/// a backup that is put back in another way is told of.
#[test]
fn a_pointer_is_not_made_again_from_less_than_the_pods_have_seen() {
    run(async || {
        let mut world = World::new(1);
        two_pods_on_v2(&mut world).await;
        world.delete_release();
        seconds(&mut world, 10).await;
        world.delete_pointer();
        world.release("v3");
        seconds(&mut world, 300).await;
        assert_eq!(world.reason().as_deref(), Some("PointerVanished"), "{}", world.trace.lines().join("\n"));
        assert_eq!(world.active(), None);
        assert!(world.is_ready("a") && world.is_ready("b"), "pods serve what they have");
        assert_promises(&world, "vanished");
        world.put_back_pointer("velero-server");
        seconds(&mut world, 60).await;
        assert_eq!(world.reason().as_deref(), Some("PointerContested"));
        world.delete_pointer();
        seconds(&mut world, 60).await;
        assert_eq!(world.reason().as_deref(), Some("PointerVanished"));
        world.put_back_pointer(FIELD_MANAGER);
        ends_well(&mut world, "v3").await;
        assert_eq!(world.pointer().sequence, 3);
    });
}
