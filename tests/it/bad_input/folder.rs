//! Folders of builds that are missing, forbidden, wrong, hostile or changed while they are read: each is told, nothing is half published,
//! v1 is served all the while, and v2 is once it is mended, without a restart. Nothing is ever written there.

use rollcall::api::names::ANNOTATION_REQUESTED_AT;
use rollcall::bucket::Bucket as _;
use rollcall::bucket::faulty::Operation;
use rollcall::bucket::memory::Change;
use rollcall::testing::apiserver::{Key, Kind};
use rollcall::testing::builders::{APP, NAMESPACE};
use rollcall::testing::world::digest_of;
use serde_json::json;

use super::*;

/// Something wrong with the folder of v2, and its end.
struct Mischief {
    about: &'static str,
    does: fn(&World),
    undoes: fn(&World),
    reason: &'static str,
    says: &'static str,
}

/// A key of v2's folder.
fn key(path: &str) -> String {
    format!("web/v2/{path}")
}

fn hostile(path: &'static str, reason: &'static str, says: &'static str) -> Mischief {
    match path {
        "../secret.js" => Mischief {
            about: path,
            does: |world| world.builds.overwrite(&key("../secret.js"), "secret"),
            undoes: |world| world.builds.remove(&key("../secret.js")),
            reason,
            says,
        },
        _ => Mischief {
            about: path,
            does: |world| world.builds.overwrite(&key("INDEX.html"), "other"),
            undoes: |world| world.builds.remove(&key("INDEX.html")),
            reason,
            says,
        },
    }
}

fn outage(failure: Failure) -> fn(&World) {
    match failure {
        Failure::Unavailable => |world| world.builds_store.break_off(Failure::Unavailable),
        Failure::Denied => |world| world.builds_store.break_off(Failure::Denied),
        Failure::NoSuchBucket => |world| world.builds_store.break_off(Failure::NoSuchBucket),
    }
}

fn mischiefs() -> Vec<Mischief> {
    let outages = [
        (Failure::Unavailable, "SourceUnavailable", "failed for now"),
        (Failure::Denied, "SourceAccessDenied", "spec.source.bucket.credentials must be allowed to list and get"),
        (Failure::NoSuchBucket, "SourceBucketNotFound", "correct name, region or endpoint of spec.source.bucket"),
    ];
    let outages = outages.into_iter().map(|(failure, reason, says)| Mischief {
        about: reason,
        does: outage(failure),
        undoes: |world| world.builds_store.mend(),
        reason,
        says,
    });
    let wrong = [
        Mischief {
            about: "another script under the same name",
            does: |world| world.builds.overwrite(&key("assets/vendor.48190886c8ff5564.js"), "other"),
            undoes: |world| world.builds.overwrite(&key("assets/vendor.48190886c8ff5564.js"), "console.log('vendor');"),
            reason: "WrongBuild",
            says: r#"the build in folder "web/v2/" of bucket "ci-builds" does not have the manifest digest sha256:"#,
        },
        Mischief {
            about: "a script is missing",
            does: |world| world.builds.remove(&key("assets/vendor.48190886c8ff5564.js")),
            undoes: |world| world.builds.overwrite(&key("assets/vendor.48190886c8ff5564.js"), "console.log('vendor');"),
            reason: "WrongBuild",
            says: "which the release asks for; `rollcall digest DIR` prints",
        },
        Mischief {
            about: "too many files",
            does: |world| (0..200_001).for_each(|nth| world.builds.overwrite(&key(&format!("many/{nth}")), "")),
            undoes: |world| (0..200_001).for_each(|nth| world.builds.remove(&key(&format!("many/{nth}")))),
            reason: "TooManyEntries",
            says: "more than 200000 entries",
        },
        hostile("../secret.js", "UnsafePath", "its faults are shown only when its digest is the one"),
        hostile("INDEX.html", "CollidingPaths", "its faults are shown only when its digest is the one"),
    ];
    outages.chain(wrong).collect()
}

/// What a person does when a refused source was mended.
fn ask_again(world: &World) {
    let release = Key::new(Kind::named("AssetRelease"), NAMESPACE, APP);
    let body = json!({"metadata": {"annotations": {ANNOTATION_REQUESTED_AT: "now"}}});
    world.server.patch("user", &release, &body).unwrap();
}

fn assert_nothing_was_written_there(world: &World) {
    for operation in [Operation::Create, Operation::Copy, Operation::Replace, Operation::Delete, Operation::GiveUpUploads] {
        assert_eq!(world.builds_store.calls(operation), 0, "{operation:?}");
    }
    let ours = |change: &Change| matches!(change, Change::Replaced { .. } | Change::Deleted { .. });
    assert!(!world.builds.log().iter().any(ours));
}

// I1, I3, I12
#[test]
fn a_folder_that_is_wrong_in_any_way_is_told_and_keeps_nobody_from_serving() {
    for mischief in mischiefs() {
        run(async || {
            let (mut world, about) = (settled().await, mischief.about);
            let digest = world.put_into_folder("v2").await;
            let keys = world.bucket.keys();
            (mischief.does)(&world);
            world.release_from_folder("v2", &digest);
            world.advance(Duration::from_secs(60)).await;
            let (verdict, message) = ready(&world);
            assert_eq!(verdict, format!("False {}", mischief.reason), "{about}: {message}");
            assert!(message.contains(mischief.says), "{about}: {message}");
            assert_eq!((world.bucket.keys(), world.pointer().candidate), (keys, None), "{about}: nothing half published");
            assert_served(&world, "v1");
            (mischief.undoes)(&world);
            ask_again(&world);
            world.advance(Duration::from_secs(120)).await;
            world.settle(AN_HOUR).await.unwrap();
            assert_eq!(ready(&world).0, "True Active", "{about}");
            assert_served(&world, "v2");
            assert_nothing_was_written_there(&world);
        });
    }
}

#[test]
fn a_folder_that_comes_after_the_version_is_waited_for() {
    run(async || {
        let mut world = settled().await;
        // As another world prints it: the same files have the same digest.
        let mut elsewhere = World::new(2);
        elsewhere.kill_controller();
        let digest = elsewhere.put_into_folder("v2").await;
        world.release_from_folder("v2", &digest);
        world.advance(Duration::from_secs(60)).await;
        let (verdict, message) = ready(&world);
        assert_eq!(verdict, "False SourceNotFound");
        assert!(message.contains(r#"there is nothing in folder "web/v2/" of bucket "ci-builds""#), "{message}");
        world.put_into_folder("v2").await;
        world.settle(AN_HOUR).await.unwrap();
        assert_served(&world, "v2");
    });
}

#[test]
fn a_page_that_refers_to_a_missing_file_is_refused_although_the_folder_is_what_was_pinned() {
    run(async || {
        let mut world = settled().await;
        let page = "<script src=\"/assets/gone.0123456789abcdef.js\"></script>";
        world.builds.overwrite(&key("index.html"), page);
        let digest = digest_of("v2", vec![("index.html".to_owned(), page.into())]).await;
        world.release_from_folder("v2", &digest);
        world.advance(Duration::from_secs(60)).await;
        let (verdict, message) = ready(&world);
        assert_eq!(verdict, "False MissingReference");
        assert!(message.contains("index.html refers to \"/assets/gone.0123456789abcdef.js\""), "{message}");
        assert_served(&world, "v1");
    });
}

// I1, I3: told by its name, read again by itself.
#[test]
fn an_object_that_is_changed_while_it_is_copied_stops_that_try() {
    run(async || {
        let mut world = settled().await;
        let digest = world.put_into_folder("v2").await;
        let film = world.builds.keys().into_iter().find(|key| key.contains("/film.")).unwrap();
        let bytes = world.builds.bytes(&film).unwrap();
        let creates = world.store.calls(Operation::Create);
        world.store.delay(Duration::from_secs(1));
        world.release_from_folder("v2", &digest);
        while world.store.calls(Operation::Create) == creates {
            world.advance(Duration::from_millis(100)).await;
        }
        // The intent is on its way: everything was read, nothing copied.
        world.builds.overwrite(&film, bytes);
        let mut told = String::new();
        for _ in 0..600 {
            world.advance(Duration::from_millis(100)).await;
            let (verdict, message) = ready(&world);
            if verdict == "False SourceChanged" {
                told = message;
                break;
            }
        }
        assert!(told.contains(&format!("{:?} in folder", &film["web/v2/".len()..])), "{told}\n{}", world.trace.lines().join("\n"));
        assert_served(&world, "v1");
        world.store.delay(Duration::ZERO);
        world.settle(AN_HOUR).await.unwrap();
        assert_served(&world, "v2");
        assert!(world.store.calls(Operation::Copy) >= 2);
        assert!(world.bucket.head(&format!("web/{}", &film["web/v2/".len()..])).await.unwrap().is_some());
        assert_nothing_was_written_there(&world);
    });
}

/// I1 to I4, I7 while requests of the API server, the store and the bucket of builds fail.
#[test]
fn a_release_from_a_folder_comes_through_a_storm() {
    for seed in 0..4_u64 {
        run(async || {
            let mut world = settled().await;
            world.begin_storm(seed);
            let digest = world.put_into_folder("v2").await;
            world.release_from_folder("v2", &digest);
            for _ in 0..3 {
                world.advance(Duration::from_secs(20)).await;
                world.kill_controller();
                world.start_controller();
            }
            world.end_storm();
            world.settle(AN_HOUR).await.unwrap();
            assert_served(&world, "v2");
            assert_nothing_was_written_there(&world);
        });
    }
}
