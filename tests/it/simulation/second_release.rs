//! Two releases of one namespace whose targets are the same pods: the pods follow one pointer, and the other release says which.

use rollcall::testing::apiserver::{Key, Kind};
use rollcall::testing::builders::{self, NAMESPACE};
use serde_json::Value;

use super::*;

const SECOND: &str = "second";

/// A release with a pointer and a prefix of its own, whose target is the first one's workload.
fn add_second(world: &World, version: &str) {
    let mut release = builders::release(version);
    release["metadata"]["name"] = json!(SECOND);
    release["spec"]["prefix"] = json!("second/");
    release["spec"]["pointer"] = json!({"configMapName": "second-assets"});
    world.server.create("user", &release).expect("it is not there");
}

fn second_pointer(world: &World) -> Value {
    let object = world.server.get(&Key::new(Kind::named("ConfigMap"), NAMESPACE, "second-assets")).expect("it was made");
    serde_json::from_str(object["data"]["pointer.json"].as_str().unwrap_or("{}")).unwrap()
}

/// I9: not "the ConfigMap is gone": nothing is lost, and to delete the pods would take the first release's capacity away for nothing.
#[test]
fn a_second_release_says_whose_pointer_its_pods_follow() {
    run(async || {
        let mut world = World::new(1);
        two_pods_on_v2(&mut world).await;
        add_second(&world, "v1");
        seconds(&mut world, 120).await;
        let (reason, message) = ready_of(&world, SECOND);
        assert_eq!(reason, "PodsFollowAnotherPointer", "{message}");
        let wanted = "2 pods of spec.targets follow the pointer \"web-assets\" of AssetRelease \"web\" and not \"second-assets\"";
        assert!(message.starts_with(wanted) && message.ends_with(": a, b"), "{message}");
        assert_active(&world, "v2");
        world.release("v3");
        seconds(&mut world, 120).await;
        assert_active(&world, "v3");
        let targets = json!([builders::target("Deployment", "other", Sidecar::Agent)]);
        world.add_workload("Deployment", "other");
        let key = Key::new(Kind::named("AssetRelease"), NAMESPACE, SECOND);
        world.server.patch("user", &key, &json!({"spec": {"targets": targets}})).unwrap();
        // The status forgets the former target when no pod of it was this release's for ten minutes.
        seconds(&mut world, 900).await;
        ends_well(&mut world, "v3").await;
        assert_eq!(ready_of(&world, SECOND).0, "Active", "the advice of the message works: {}", ready_of(&world, SECOND).1);
    });
}

/// A first release whose v1 is staged and waits for its approval: its pod has it for stage 1, and has seen no flip.
async fn staged_and_not_approved(world: &mut World) {
    world.add_pod("a");
    world.release("v1");
    world.change_release(&json!({"activation": {"mode": "Manual"}}));
    seconds(world, 30).await;
    assert_eq!((world.pointer().stage, world.pointer().sequence), (1, 0));
}

/// I9: the pod has v1 and names stage 1, as the second release's first staging has it; it will never follow that flip.
#[test]
fn a_report_for_the_same_stage_of_another_pointer_does_not_count() {
    run(async || {
        let mut world = World::new(1);
        staged_and_not_approved(&mut world).await;
        add_second(&world, "v1");
        seconds(&mut world, 120).await;
        assert_eq!(ready_of(&world, SECOND).0, "PodsFollowAnotherPointer", "{}", ready_of(&world, SECOND).1);
        assert_eq!(second_pointer(&world)["sequence"], json!(0), "it flipped for a pod that does not follow it");
        assert_promises(&world, "the first release");
    });
}

/// The version matrix: agents of before name no pointer, so their reports are taken for reports of the release's own pointer, as before: a
/// second release says that its pointer is lost, or that pods have not seen its stage, and names no other pointer.
#[test]
fn without_the_pointers_name_in_reports_a_second_release_takes_the_pods_for_its_own() {
    run(async || {
        let mut world = World::without(1, Rule::NamedPointer);
        two_pods_on_v2(&mut world).await;
        add_second(&world, "v1");
        seconds(&mut world, 120).await;
        assert_eq!(ready_of(&world, SECOND).0, "PointerVanished", "{}", ready_of(&world, SECOND).1);
        assert_active(&world, "v2");
    });
    run(async || {
        let mut world = World::without(1, Rule::NamedPointer);
        staged_and_not_approved(&mut world).await;
        add_second(&world, "v1");
        seconds(&mut world, 120).await;
        assert_eq!(ready_of(&world, SECOND).0, "PodsMissing", "{}", ready_of(&world, SECOND).1);
    });
}
