//! Objects with fields that this controller does not know, because a newer CRD has them: a matter of the object that has them, and of no other one.

use rollcall::testing::apiserver::{Key, Kind};
use rollcall::testing::builders::{self, APP, NAMESPACE};

use super::*;

const OTHER: &str = "other";

fn change(world: &World, kind: &'static str, name: &str, spec: &serde_json::Value) {
    world.server.patch("user", &Key::new(Kind::named(kind), NAMESPACE, name), &json!({"spec": spec})).expect("it is there");
}

/// A release in the same namespace, of a workload that has no pods.
fn add_other(world: &World, store: &str) {
    let mut release = builders::release("v1");
    release["metadata"]["name"] = json!(OTHER);
    release["spec"]["prefix"] = json!("other/");
    release["spec"]["pointer"] = json!({"configMapName": "other-assets"});
    release["spec"]["storeRef"] = json!({"name": store});
    release["spec"]["targets"] = json!([builders::target("Deployment", OTHER, Sidecar::Agent)]);
    world.add_workload("Deployment", OTHER);
    world.server.create("user", &release).expect("it is not there");
}

fn goes_to(world: &World, version: &str) {
    change(world, "AssetRelease", OTHER, &json!({"version": version, "source": builders::source(version)}));
}

fn assert_other_is_on(world: &World, version: &str) {
    let release = world.server.get(&Key::new(Kind::named("AssetRelease"), NAMESPACE, OTHER)).expect("it is there");
    let found = (&release["status"]["active"]["version"], ready_of(world, OTHER));
    assert_eq!((found.0, found.1.0.as_str()), (&json!(version), "Active"), "{}\n{}", found.1.1, world.trace.last(20).join("\n"));
}

/// I9, I7: it says what is not known and what to do, keeps what is known of it, and goes on when the field is gone. The releases beside it go on all
/// the time, also with a controller that starts with the list in which the field stands.
#[test]
fn a_field_of_a_newer_crd_stops_its_own_release_and_no_other_one() {
    run(async || {
        let mut world = World::new(1);
        world.add_pod("a");
        world.release("v1");
        add_other(&world, "store");
        settle(&mut world).await;
        assert_other_is_on(&world, "v1");
        change(&world, "AssetRelease", APP, &json!({"version": "v2", "source": builders::source("v2"), "build": {"novelty": true}}));
        goes_to(&world, "v2");
        seconds(&mut world, 60).await;
        let (reason, message) = ready_of(&world, APP);
        assert_eq!(reason, "ReadInvalid", "{message}");
        assert!(message.contains("AssetRelease shop/web cannot be read: spec.build.novelty: unknown field `novelty`"), "{message}");
        assert!(message.contains("upgrade the controllers, or remove from the AssetRelease what is named here"), "{message}");
        assert_eq!((world.active().as_deref(), world.status().active.map(|active| active.version)), (Some("v1"), Some("v1".into())));
        assert_other_is_on(&world, "v2");
        world.kill_controller();
        seconds(&mut world, 60).await;
        world.start_controller();
        goes_to(&world, "v1");
        seconds(&mut world, 60).await;
        assert_other_is_on(&world, "v1");
        assert_eq!(ready_of(&world, APP), (reason, message), "the next controller says the same");
        assert_idle(&mut world).await;
        change(&world, "AssetRelease", APP, &json!({"build": null}));
        ends_well(&mut world, "v2").await;
    });
}

/// Of a status that a newer controller wrote and this one cannot read nothing is lost: it is left as it is.
#[test]
fn a_status_that_cannot_be_read_is_left_as_it_is() {
    run(async || {
        let mut world = World::new(1);
        world.add_pod("a");
        world.release("v1");
        settle(&mut world).await;
        world.kill_controller();
        seconds(&mut world, 60).await;
        let key = Key::new(Kind::named("AssetRelease"), NAMESPACE, APP);
        let newer = world.server.patch_status("newer", &key, &json!({"phase": "Orbiting"})).expect("it is there");
        add_other(&world, "store");
        world.start_controller();
        seconds(&mut world, 60).await;
        assert_other_is_on(&world, "v1");
        assert_eq!(world.server.get(&key).unwrap()["status"], newer["status"]);
    });
}

/// Releases of that store wait and say why; the store's own status says it, too; releases of other stores go on.
#[test]
fn a_field_of_a_newer_crd_in_a_store_stops_the_releases_of_that_store_and_no_other_one() {
    run(async || {
        let mut world = World::new(1);
        world.add_pod("a");
        let mut second =
            serde_json::Value::clone(&world.server.get(&Key::new(Kind::named("AssetStore"), NAMESPACE, "store")).expect("it is there"));
        second["metadata"] = json!({"name": "second", "namespace": NAMESPACE});
        world.server.create("user", &second).expect("it is not there");
        world.release("v1");
        add_other(&world, "second");
        settle(&mut world).await;
        change(&world, "AssetStore", "store", &json!({"novelty": {"a": 1}}));
        world.release("v2");
        goes_to(&world, "v2");
        seconds(&mut world, 60).await;
        assert_other_is_on(&world, "v2");
        let (reason, message) = ready_of(&world, APP);
        assert_eq!((reason.as_str(), world.active().as_deref()), ("ReadInvalid", Some("v1")), "{message}");
        assert!(message.contains("AssetStore shop/store cannot be read: spec.novelty: unknown field `novelty`"), "{message}");
        let store = world.server.get(&Key::new(Kind::named("AssetStore"), NAMESPACE, "store")).unwrap();
        let ready = store["status"]["conditions"].as_array().unwrap().iter().find(|one| one["type"] == "Ready").unwrap();
        assert_eq!((&ready["status"], &ready["reason"]), (&json!("False"), &json!("ReadInvalid")), "{ready}");
        assert_idle(&mut world).await;
        change(&world, "AssetStore", "store", &json!({"novelty": null}));
        ends_well(&mut world, "v2").await;
    });
}
