//! Two releases of two namespaces in one bucket, by the real controller: the one that comes later within, or around, the other's prefix
//! publishes nothing, and is told what to do.

use rollcall::bucket::memory::Change;
use rollcall::testing::builders;
use serde_json::Value;

use super::*;

/// A store with this prefix and a release in another namespace, whose pages lie in the bucket: it needs no pods.
fn add_neighbour(world: &World, store_prefix: &str, prefix: &str) {
    let mut bucket = builders::store()["spec"]["bucket"].clone();
    bucket["prefix"] = json!(store_prefix);
    if store_prefix.is_empty() {
        bucket.as_object_mut().unwrap().remove("prefix");
    }
    add_neighbour_with(world, &json!({"bucket": bucket}), prefix);
}

/// The same with these fields in the store's spec.
fn add_neighbour_with(world: &World, spec: &Value, prefix: &str) {
    let mut store = builders::store();
    store["metadata"]["namespace"] = json!("eve");
    for (field, value) in spec.as_object().expect("fields of a spec") {
        store["spec"][field] = value.clone();
    }
    let mut release = builders::release("v2");
    release["metadata"] = json!({"name": "eve", "namespace": "eve"});
    release["spec"]["prefix"] = json!(prefix);
    release["spec"]["targets"] = json!([]);
    release["spec"]["entries"] = json!({"publish": "Bucket"});
    release["spec"]["pointer"] = json!({"configMapName": "eve-assets"});
    for object in [json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "eve"}}), store, release] {
        world.server.create("eve", &object).expect("it is not there");
    }
}

/// A release with one pod whose v1 is active.
async fn world_with_v1() -> World {
    let mut world = World::new(1);
    world.add_pod("a");
    world.release("v1");
    settle(&mut world).await;
    world
}

fn neighbour(world: &World) -> Value {
    let key = rollcall::testing::apiserver::Key::new(rollcall::testing::apiserver::Kind::named("AssetRelease"), "eve", "eve");
    (*world.server.get(&key).expect("it is there")).clone()
}

fn ready(release: &Value) -> (String, String) {
    let conditions = release["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let ready = conditions.iter().find(|one| one["type"] == "Ready").cloned().unwrap_or_default();
    let text = |field: &str| ready[field].as_str().unwrap_or_default().to_owned();
    (text("reason"), text("message"))
}

/// Keys that were written or deleted within a prefix.
fn touched(changes: &[Change], prefix: &str) -> Vec<String> {
    let key = |change: &Change| match change {
        Change::Created { key, .. } | Change::Replaced { key, .. } | Change::Deleted { key, .. } | Change::Meddled { key } => key.clone(),
    };
    changes.iter().map(key).filter(|key| key.starts_with(prefix)).collect()
}

/// I3, I5, I13: the audit's two attacks, and a third with another store's prefix.
#[test]
fn a_release_within_or_around_another_ones_prefix_touches_nothing_and_is_told_why() {
    for (store_prefix, prefix) in [("", "web/assets/"), ("web/", "assets/"), ("", "web/a/b/")] {
        run(async || {
            let mut world = world_with_v1().await;
            let before = world.uploads().len();
            add_neighbour(&world, store_prefix, prefix);
            seconds(&mut world, 120).await;
            let (reason, message) = ready(&neighbour(&world));
            assert_eq!(reason, "PrefixOverlaps", "{message}");
            assert!(message.contains("shop/web") && message.contains("spec.excludedPrefixes"), "{message}");
            assert_eq!(touched(&world.uploads()[before..], ""), Vec::<String>::new(), "{store_prefix}{prefix}");
            assert_active(&world, "v1");
        });
    }
}

/// The way out: the outer release gives a part of its prefix away, also while it has nothing to release.
#[test]
fn a_part_that_the_outer_release_excludes_can_be_claimed_at_once() {
    run(async || {
        let mut world = world_with_v1().await;
        add_neighbour(&world, "web/", "admin/");
        seconds(&mut world, 60).await;
        assert_eq!(ready(&neighbour(&world)).0, "PrefixOverlaps");
        world.change_release(&json!({"excludedPrefixes": ["admin/"]}));
        seconds(&mut world, 300).await;
        assert_eq!(ready(&neighbour(&world)).0, "Active", "{}", ready(&neighbour(&world)).1);
        assert!(world.bucket.stored("web/admin/index.html").is_some());
        assert_idle(&mut world).await;
    });
}

/// I3, I5, I13: a tenant whose store is its own names another release's prefix as its replica.
#[test]
fn a_replica_at_another_releases_prefix_gets_nothing_and_takes_nothing_there() {
    run(async || {
        let mut world = world_with_v1().await;
        let before = world.uploads().len();
        let replica = json!({"name": "steal", "bucket": {"name": builders::BUCKET, "region": "us-east-1"}});
        let own = json!({"name": builders::REPLICA, "region": "eu-central-1"});
        add_neighbour_with(&world, &json!({"bucket": own, "replicas": [replica]}), "web/");
        seconds(&mut world, 120).await;
        assert_eq!(touched(&world.uploads()[before..], "web/"), Vec::<String>::new());
        let (reason, message) = ready(&neighbour(&world));
        assert_eq!(reason, "ReplicaIncomplete", "{message}");
        assert!(message.contains("its prefix belongs to release shop/"), "{message}");
    });
}
