//! A release that was renamed: another object of another name takes over its pointer, its claim of the prefix and what it remembered, once it is
//! gone. Pods follow the same pointer all the while, and the numbers go on.

use rollcall::manifest::{Claim, References};
use rollcall::testing::apiserver::{Key, Kind};
use rollcall::testing::builders::{self, NAMESPACE};
use serde_json::Value;

use super::*;

const NEW: &str = "store";

fn key(name: &str) -> Key {
    Key::new(Kind::named("AssetRelease"), NAMESPACE, name)
}

/// The release under another name, as one commit in a repository has it.
fn renamed(name: &str, version: &str) -> Value {
    let mut release = builders::release(version);
    release["metadata"]["name"] = json!(name);
    release["spec"]["adoptFrom"] = json!("web");
    release
}

fn apply(world: &World, release: &Value) {
    world.server.create("user", release).expect("it is not there");
}

fn wants(world: &World, name: &str, version: &str) {
    let spec = json!({"version": version, "source": builders::source(version)});
    world.server.patch("user", &key(name), &json!({"spec": spec})).expect("it is there");
}

fn owner_of_the_prefix(world: &World) -> String {
    let claim: Claim = serde_json::from_slice(&world.bucket.bytes("web/.rollcall/owner.json").expect("it is claimed")).unwrap();
    claim.owner.release
}

/// Whose references lie in the bucket, with the flips that each remembers.
fn references(world: &World) -> Vec<(String, Vec<i64>)> {
    let keys = world.bucket.keys().into_iter().filter(|key| key.starts_with("web/.rollcall/references/"));
    let documents = keys.map(|key| serde_json::from_slice::<References>(&world.bucket.bytes(&key).unwrap()).unwrap());
    documents.map(|one| (one.release, one.activated.iter().map(|activation| activation.sequence).collect())).collect()
}

fn pointer_is_of(world: &World) -> String {
    let pointer = world.pointers().pop().expect("there is a pointer");
    pointer["metadata"]["labels"]["rollcall.dev/release"].as_str().unwrap_or_default().to_owned()
}

/// Everything is the new one's, and the next flip is the third.
async fn goes_on_as_the_new_one(world: &mut World) {
    settle(world).await;
    assert_eq!(ready_of(world, NEW).0, "Active", "{}\n{}", ready_of(world, NEW).1, world.trace.lines().join("\n"));
    assert_eq!((pointer_is_of(world), owner_of_the_prefix(world)), (NEW.to_owned(), "shop/store".to_owned()));
    assert_eq!(world.pointer().sequence, 2, "taking over is no flip");
    wants(world, NEW, "v3");
    settle(world).await;
    assert_eq!((world.active().as_deref(), world.pointer().sequence), (Some("v3"), 3), "{}", ready_of(world, NEW).1);
    assert_eq!(references(world), [("shop/store".to_owned(), vec![2, 1])], "the old document is part of the new one");
    assert_idle(world).await;
    assert_promises(world, "renamed");
}

/// GitOps: the new object is applied first, and the old one is pruned after that. Until then nothing of it is touched.
#[test]
fn a_renamed_release_waits_for_the_old_one_and_then_takes_over_pointer_prefix_and_numbers() {
    run(async || {
        let mut world = World::new(1);
        two_pods_on_v2(&mut world).await;
        let before = (world.pointers().len(), world.uploads().len());
        apply(&world, &renamed(NEW, "v2"));
        seconds(&mut world, 300).await;
        let (reason, message) = ready_of(&world, NEW);
        assert_eq!(reason, "PredecessorExists", "{message}");
        assert!(
            message.contains("AssetRelease \"web\"") && message.contains("delete it; its pointer, objects and pages stay"),
            "{message}"
        );
        assert_eq!((world.pointers().len(), world.uploads().len()), before, "something of a release that exists was touched");
        assert_active(&world, "v2");
        world.delete_release();
        goes_on_as_the_new_one(&mut world).await;
    });
}

/// By hand: the old one is deleted, and the new one comes later. Another version than the active one is wanted at once.
#[test]
fn a_renamed_release_that_comes_later_takes_over_what_is_there() {
    run(async || {
        let mut world = World::new(1);
        two_pods_on_v2(&mut world).await;
        world.delete_release();
        seconds(&mut world, 60).await;
        apply(&world, &renamed(NEW, "v2"));
        goes_on_as_the_new_one(&mut world).await;
        assert!(world.is_ready("a") && world.is_ready("b"));
    });
    run(async || {
        let mut world = World::new(1);
        two_pods_on_v2(&mut world).await;
        world.delete_release();
        seconds(&mut world, 60).await;
        apply(&world, &renamed(NEW, "v3"));
        settle(&mut world).await;
        assert_eq!((world.active().as_deref(), world.pointer().sequence), (Some("v3"), 3), "{}", ready_of(&world, NEW).1);
        assert_eq!(owner_of_the_prefix(&world), "shop/store");
        assert_promises(&world, "renamed and released at once");
    });
}

/// The old one is staged when it goes: its finalizer takes the candidate back, and the number of that staging is not given again.
#[test]
fn a_candidate_of_the_old_release_goes_with_it_and_its_stage_is_not_given_again() {
    run(async || {
        let mut world = World::new(1);
        two_pods_on_v2(&mut world).await;
        world.break_loads("v3");
        world.release("v3");
        seconds(&mut world, 20).await;
        let staged = world.pointer();
        assert!(staged.candidate.is_some());
        apply(&world, &renamed(NEW, "v3"));
        world.delete_release();
        seconds(&mut world, 30).await;
        world.mend_loads();
        settle(&mut world).await;
        let now = world.pointer();
        assert_eq!((world.active().as_deref(), now.sequence), (Some("v3"), 3), "{}", ready_of(&world, NEW).1);
        assert!(now.stage > staged.stage, "{now:?}");
        assert_promises(&world, "renamed in mid release");
    });
}

/// A release that comes back under the old name, or names the same predecessor, gets nothing: one release has the pointer, and it is the one that
/// the label names.
#[test]
fn of_all_who_want_one_pointer_one_has_it() {
    run(async || {
        let mut world = World::new(1);
        two_pods_on_v2(&mut world).await;
        world.delete_release();
        seconds(&mut world, 10).await;
        apply(&world, &renamed(NEW, "v2"));
        apply(&world, &renamed("rival", "v3"));
        settle(&mut world).await;
        let heir = pointer_is_of(&world);
        let other = if heir == NEW { "rival" } else { NEW };
        assert_eq!(ready_of(&world, &heir).0, "Active", "{}", ready_of(&world, &heir).1);
        assert_eq!(ready_of(&world, other).0, "PointerTaken", "{}", ready_of(&world, other).1);
        assert_eq!(owner_of_the_prefix(&world), format!("shop/{heir}"));
        let writes = world.pointers().len();
        world.release("v1");
        seconds(&mut world, 300).await;
        assert_eq!(world.reason().as_deref(), Some("PointerTaken"), "the old name is back");
        assert_eq!((world.pointers().len(), pointer_is_of(&world)), (writes, heir));
        assert_promises(&world, "rivals");
    });
}

/// The race of a release that is recreated under the old name while it is being adopted: one write wins, the other one is lost.
#[test]
fn an_old_release_that_is_recreated_at_any_moment_shares_nothing_with_the_new_one() {
    for millis in (0..2_000).step_by(100) {
        run(async || {
            let mut world = World::new(millis);
            two_pods_on_v2(&mut world).await;
            world.delete_release();
            seconds(&mut world, 10).await;
            apply(&world, &renamed(NEW, "v3"));
            world.advance(Duration::from_millis(millis)).await;
            world.release("v1");
            settle(&mut world).await;
            let (mine, theirs) = (ready_of(&world, NEW).0, world.reason().unwrap_or_default());
            // Who has the pointer goes on; with the pointer and without the claim, the new one waits for the old one to go.
            let expected: &[(&str, &str)] = match pointer_is_of(&world).as_str() {
                NEW => &[("Active", "PointerTaken"), ("PredecessorExists", "PointerTaken")],
                _ => &[("PredecessorExists", "Active")],
            };
            assert!(expected.contains(&(mine.as_str(), theirs.as_str())), "after {millis} ms: {mine}, {theirs}");
            assert_promises(&world, &format!("recreated after {millis} ms"));
        });
    }
}

/// I13: only releases of the same namespace can be named, so a tenant gets nothing of another one.
#[test]
fn a_release_of_another_namespace_adopts_nothing() {
    run(async || {
        let mut world = World::new(1);
        two_pods_on_v2(&mut world).await;
        world.delete_release();
        seconds(&mut world, 10).await;
        let (writes, uploads) = (world.pointers().len(), world.uploads().len());
        let mut store = builders::store();
        store["metadata"]["namespace"] = json!(builders::NEIGHBOUR);
        let mut thief = renamed("web2", "v2");
        thief["metadata"]["namespace"] = json!(builders::NEIGHBOUR);
        thief["spec"]["targets"] = json!([]);
        thief["spec"]["entries"] = json!({"publish": "Bucket"});
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": builders::NEIGHBOUR}});
        for object in [namespace, store, thief] {
            world.server.create("eve", &object).expect("it is not there");
        }
        seconds(&mut world, 300).await;
        let release = world.server.get(&Key::new(Kind::named("AssetRelease"), builders::NEIGHBOUR, "web2")).unwrap();
        assert!(release["status"]["message"].as_str().unwrap_or_default().contains("shop/web"), "{}", release["status"]);
        assert_eq!((world.pointers().len(), world.uploads().len()), (writes, uploads));
        assert_eq!(owner_of_the_prefix(&world), "shop/web");
    });
}

/// A label that a repository keeps is not fought over; the advice of the message works.
#[test]
fn a_label_that_another_program_keeps_is_changed_there() {
    run(async || {
        let mut world = World::new(1);
        two_pods_on_v2(&mut world).await;
        world.label_pointer("kustomize-controller", "rollcall.dev/release", "other");
        world.label_pointer("kustomize-controller", "rollcall.dev/release", "web");
        world.delete_release();
        apply(&world, &renamed(NEW, "v2"));
        seconds(&mut world, 120).await;
        let (reason, message) = ready_of(&world, NEW);
        assert_eq!(reason, "PointerLabelKept", "{message}");
        assert!(message.contains("\"kustomize-controller\"") && message.contains("rollcall.dev/release=store"), "{message}");
        world.label_pointer("kustomize-controller", "rollcall.dev/release", NEW);
        goes_on_as_the_new_one(&mut world).await;
    });
}

/// I5: versions of the old release go by the new one's retention, when their time is over and not before; the old release, which kept everything,
/// keeps nothing any more.
#[test]
fn what_the_old_release_activated_is_kept_and_goes_by_the_new_ones_retention() {
    run(async || {
        let mut world = World::new(1);
        world.keep_unwanted_for(Duration::from_secs(60));
        two_pods_on_v2(&mut world).await;
        world.release("v3");
        settle(&mut world).await;
        world.delete_release();
        let mut release = renamed(NEW, "v3");
        release["spec"]["retention"] = json!({"releases": 1, "ttl": "30h"});
        apply(&world, &release);
        settle(&mut world).await;
        let script = format!("web/{}", builders::build("v1")[1].0);
        world.advance(25 * AN_HOUR).await;
        assert!(world.bucket.stored(&script).is_some(), "the time of v1 is not over");
        world.advance(25 * AN_HOUR).await;
        let status = &world.server.get(&key(NEW)).unwrap()["status"];
        assert!(world.bucket.stored(&script).is_none(), "{}", status["conditions"]);
        assert_promises(&world, "retention of a renamed release");
    });
}

/// Two controllers that know nothing of each other, and two of which one leads: the pointer is taken over once, and its numbers go on.
#[test]
fn two_controllers_take_over_one_pointer_as_one_does() {
    for elected in [false, true] {
        run(async || {
            let mut world = World::new(3);
            two_pods_on_v2(&mut world).await;
            if elected {
                world.hold_elections();
            } else {
                world.start_rival();
            }
            seconds(&mut world, 30).await;
            apply(&world, &renamed(NEW, "v2"));
            seconds(&mut world, 30).await;
            world.delete_release();
            goes_on_as_the_new_one(&mut world).await;
        });
    }
}

/// The controller is ended before and after each of its requests while it takes over.
#[test]
fn an_adoption_survives_the_controllers_end_at_any_request() {
    async fn story(world: &mut World) {
        two_pods_on_v2(world).await;
        world.delete_release();
        seconds(world, 10).await;
        let begun = world.crash_points().len();
        apply(world, &renamed(NEW, "v2"));
        settle(world).await;
        assert!(world.crash_points().len() > begun, "nothing was done");
    }
    let (begun, points) = run(async || {
        let mut world = World::new(1);
        two_pods_on_v2(&mut world).await;
        world.delete_release();
        seconds(&mut world, 10).await;
        let begun = world.crash_points().len();
        apply(&world, &renamed(NEW, "v2"));
        settle(&mut world).await;
        (begun, world.crash_points().len())
    });
    for nth in begun + 1..=points {
        for side in [Side::Before, Side::After] {
            run(async || {
                let mut world = World::new(1);
                world.crash_at(Crash { nth: nth as u64, side });
                story(&mut world).await;
                goes_on_as_the_new_one(&mut world).await;
            });
        }
    }
}
