//! What the bucket says of a release: who is deleted, or takes over the pages of an object of before, says so, and the time of what was
//! used runs or stands still accordingly (I5).

use rollcall::bucket::faulty::Failure;
use rollcall::bucket::memory::Change;
use rollcall::testing::apiserver::{Key, Kind};
use rollcall::testing::builders::{self, APP, NAMESPACE, NEIGHBOUR};
use serde_json::Value;
use std::collections::BTreeSet;

use super::*;

/// What the bucket says of the release of this namespace and name.
fn document(world: &World, namespace: &str, name: &str) -> Option<Value> {
    let end = format!(".{namespace}.{name}.json");
    let key = world.bucket.keys().into_iter().find(|key| key.contains("/references/") && key.ends_with(&end))?;
    Some(serde_json::from_slice(&world.bucket.bytes(&key)?).unwrap())
}

fn own_document(world: &World) -> Value {
    document(world, NAMESPACE, APP).expect("a version was staged")
}

fn is_deleted(document: &Value) -> bool {
    document["deletedAt"].is_string()
}

fn release_key() -> Key {
    Key::new(Kind::named("AssetRelease"), NAMESPACE, APP)
}

fn events(world: &World, reason: &str) -> usize {
    world.server.history().iter().filter(|change| change.key.plural == "events" && change.object["reason"] == reason).count()
}

async fn world_on_v2() -> World {
    let mut world = World::new(1);
    two_pods_on_v2(&mut world).await;
    world
}

/// A release in another namespace that uses what ours publishes: it is one of another cluster as far as the bucket goes.
fn add_reader(world: &World, version: &str) {
    let mut store = builders::store();
    store["metadata"]["namespace"] = json!(NEIGHBOUR);
    let mut release = builders::release(version);
    release["metadata"] = json!({"name": "reader", "namespace": NEIGHBOUR});
    release["spec"]["source"] = json!({"published": {}});
    release["spec"]["targets"] = json!([]);
    release["spec"]["pointer"] = json!({"configMapName": "reader-assets"});
    release["spec"]["retention"] = json!({"releases": 1, "ttl": "1h"});
    for object in [json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NEIGHBOUR}}), store, release] {
        world.server.create("user", &object).expect("it is not there");
    }
}

/// I5: a reader in another namespace, which is one of another cluster as far as the bucket goes.
#[test]
fn a_reader_that_is_deleted_says_so_and_the_writer_goes_on() {
    run(async || {
        let mut world = world_on_v2().await;
        add_reader(&world, "v1");
        settle(&mut world).await;
        // One version, as a candidate before and as the active one then.
        let digests = |document: &Value| -> BTreeSet<String> {
            document["uses"].as_array().into_iter().flatten().map(|it| it["digest"].to_string()).collect()
        };
        let used = |document: &Value| digests(document).len();
        assert_eq!(document(&world, NEIGHBOUR, "reader").map(|it| (is_deleted(&it), used(&it))), Some((false, 1)));
        world.server.delete("user", &Key::new(Kind::named("AssetRelease"), NEIGHBOUR, "reader")).unwrap();
        settle(&mut world).await;
        assert_eq!(document(&world, NEIGHBOUR, "reader").map(|it| (is_deleted(&it), used(&it))), Some((true, 1)));
        assert!(!is_deleted(&own_document(&world)));
        world.release("v3");
        ends_well(&mut world, "v3").await;
    });
}

/// I5, I7: at whatever request of the deletion the controller ends, and with a second one beside it.
#[test]
fn a_deleted_release_says_so_before_it_goes_wherever_the_controller_ends() {
    let points = run(async || {
        let mut world = world_on_v2().await;
        let before = world.crash_points().len();
        world.delete_release();
        settle(&mut world).await;
        assert!(is_deleted(&own_document(&world)));
        before..world.crash_points().len()
    });
    assert!((2..10).contains(&points.len()), "{points:?}");
    for (nth, side) in points.flat_map(|at| [(at + 1, Side::Before), (at + 1, Side::After)]) {
        run(async || {
            let mut world = world_on_v2().await;
            world.crash_at(Crash { nth: nth as u64, side });
            world.delete_release();
            settle(&mut world).await;
            assert_eq!(world.server.get(&release_key()), None, "{nth} {side:?}");
            assert!(is_deleted(&own_document(&world)), "{nth} {side:?}");
            assert_promises(&world, "a controller that ends");
        });
    }
    run(async || {
        let mut world = world_on_v2().await;
        world.start_rival();
        settle(&mut world).await;
        let written = |world: &World| {
            world
                .bucket
                .log()
                .iter()
                .filter(|change| matches!(change, Change::Replaced { key, .. } if key.contains("/references/")))
                .count()
        };
        let before = written(&world);
        world.delete_release();
        settle(&mut world).await;
        assert_eq!((world.server.get(&release_key()), written(&world)), (None, before + 1), "its time begins once");
        assert!(is_deleted(&own_document(&world)));
        assert_promises(&world, "two controllers");
    });
}

/// A release can always go; what it could not say is told, since only a person can say it now.
#[test]
fn a_release_goes_while_its_store_does_not_answer_and_that_its_references_stay_is_told() {
    run(async || {
        let mut world = world_on_v2().await;
        world.store.break_off(Failure::Unavailable);
        world.delete_release();
        seconds(&mut world, 15).await;
        assert!(world.server.get(&release_key()).is_some(), "it is tried for a while");
        seconds(&mut world, 30).await;
        assert_eq!(world.server.get(&release_key()), None);
        assert!(!is_deleted(&own_document(&world)));
        assert_eq!(events(&world, "ReferencesStay"), 1);
        // Made anew, and deleted while the store is there, it ends what it left.
        world.store.mend();
        world.release("v2");
        settle(&mut world).await;
        world.delete_release();
        settle(&mut world).await;
        assert!(is_deleted(&own_document(&world)));
        assert_eq!(events(&world, "ReferencesStay"), 1);
        assert_promises(&world, "a store that does not answer");
    });
}

/// A store that fails for a moment only.
#[test]
fn a_deletion_says_its_last_word_again_when_the_store_is_back_in_time() {
    run(async || {
        let mut world = world_on_v2().await;
        world.store.break_off(Failure::Unavailable);
        world.delete_release();
        seconds(&mut world, 10).await;
        world.store.mend();
        settle(&mut world).await;
        assert!(is_deleted(&own_document(&world)));
        assert_eq!(events(&world, "ReferencesStay"), 0);
    });
}

/// I5: an object that is made anew stages nothing, since its version is active; a suspended one does not even begin. Its pages are served.
#[test]
fn a_release_that_is_made_anew_takes_its_document_back_though_it_stages_nothing() {
    for suspend in [false, true] {
        run(async || {
            let mut world = world_on_v2().await;
            let first = own_document(&world)["uid"].clone();
            world.delete_release();
            settle(&mut world).await;
            assert!(is_deleted(&own_document(&world)));
            world.store.break_off(Failure::Unavailable);
            world.release("v2");
            world.change_release(&json!({"suspend": suspend}));
            seconds(&mut world, 60).await;
            let told = |world: &World| world.status().conditions.iter().any(|one| one.type_ == "RetentionBlocked");
            assert!(told(&world), "what it uses is not written\n{}", world.trace.last(20).join("\n"));
            assert_eq!(world.status().references_written_by, None);
            world.store.mend();
            settle(&mut world).await;
            let document = own_document(&world);
            assert!(!is_deleted(&document) && document["uid"] != first, "{document}");
            assert!(world.status().references_written_by.is_some() && !told(&world));
            assert_eq!(world.active().as_deref(), Some("v2"));
            assert_idle(&mut world).await;
            assert_promises(&world, "made anew");
        });
    }
}

/// Version matrix: the status of a controller of before does not say that the references are written. They are looked at once.
#[test]
fn after_an_upgrade_each_release_writes_its_document_once() {
    run(async || {
        let mut world = world_on_v2().await;
        world.kill_controller();
        world.server.patch_status("old controller", &release_key(), &json!({"referencesWrittenBy": null})).unwrap();
        let old = world.bucket.keys().into_iter().find(|key| key.contains("/references/")).unwrap();
        let mut document = own_document(&world);
        document.as_object_mut().unwrap().remove("uid");
        world.bucket.overwrite(&old, document.to_string());
        world.start_controller();
        settle(&mut world).await;
        assert!(world.status().references_written_by.is_some() && own_document(&world)["uid"].is_string());
        assert_idle(&mut world).await;
        assert_promises(&world, "upgraded");
    });
}
