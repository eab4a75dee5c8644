//! The upload engine over a bucket in memory: every crash, every race, every wait, in tokio's paused time.
//! After whatever happened, no version is recorded whose objects are not all there (I1), and no object has changed its bytes (I3).

mod claims;
mod crashes;
mod entries;
mod from_folder;
mod neighbours;
mod over_s3;
mod races;
mod reclaim;
mod replicas;
mod shop;
mod single_writer;
mod storms;
mod unversioned;
pub mod world;

use rollcall::bucket::Bucket as _;
use rollcall::bucket::faulty::{Failure, Operation};
use rollcall::manifest::Owner;
use rollcall::upload::{
    Claimed, FailureClass, PublishFailure, ReadFailure, VerifyFailure, claim_owner, read_manifest, read_owner, read_record, verify,
};
use world::{World, build};

#[tokio::test(start_paused = true)]
async fn a_publish_leaves_objects_manifest_and_record_and_no_intent() {
    let world = World::new();
    world.put("v1", build("one"));
    let published = world.publish("v1").await.unwrap();
    assert_eq!((published.record.version.as_str(), published.record.release.as_str()), ("v1", "web/shop"));
    assert_eq!(
        (published.record.files, published.progress.objects_sent, published.progress.objects_reused),
        (6, 5, 0),
        "two files are equal"
    );
    assert_eq!(published.progress.objects_total, 5);
    assert!(world.bucket.keys().iter().all(|key| !key.contains("/intents/")), "{:?}", world.bucket.keys());
    world.check();
    let asset = world.bucket.stored("s/shop/assets/shared-BEcQUh0e.js").unwrap();
    assert_eq!(asset.writer.map(|writer| (writer.release, writer.version)), Some(("web/shop".into(), "v1".into())));
    assert_eq!(asset.cache_control.as_deref(), Some("public, max-age=31536000, immutable"));
    assert_eq!(asset.content_type.as_deref(), Some("text/javascript; charset=utf-8"));
    let record = read_record(&*world.bucket, &world.layout, "v1").await.unwrap();
    assert_eq!(record, Some(published.record.clone()));
    let manifest = read_manifest(&*world.bucket, &world.layout, &published.record.digest).await.unwrap();
    assert_eq!(manifest, Some(published.manifest));
}

#[tokio::test(start_paused = true)]
async fn the_next_version_sends_only_what_is_new_and_a_repetition_sends_nothing() {
    let world = World::new();
    world.put("v1", build("one"));
    world.put("v2", build("two"));
    world.publish("v1").await.unwrap();
    let second = world.publish("v2").await.unwrap().progress;
    assert_eq!((second.objects_total, second.objects_sent, second.objects_reused), (5, 2, 3), "{second:?}");
    let (log, creates) = (world.bucket.log().len(), world.faulty.calls(Operation::Create));
    let again = world.publish("v2").await.unwrap().progress;
    assert_eq!((again.objects_sent, again.objects_reused), (0, 5));
    assert_eq!((world.bucket.log().len(), world.faulty.calls(Operation::Create)), (log, creates), "I7: a repetition writes nothing");
    world.check();
}

#[tokio::test(start_paused = true)]
async fn a_build_that_refers_to_a_missing_file_is_refused_and_nothing_is_written() {
    let world = World::new();
    let mut files = build("one");
    files.retain(|(path, _)| !path.contains("shared"));
    world.put("v1", files);
    let failure = world.publish("v1").await.unwrap_err();
    assert_eq!((failure.reason(), failure.class()), ("MissingReference", FailureClass::Permanent));
    let text = failure.to_string();
    assert!(text.contains("index.html") && text.contains("assets/shared-BEcQUh0e.js"), "{text}");
    assert_eq!(world.bucket.keys(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_version_means_one_build_for_ever() {
    let world = World::new();
    world.put("v1", build("one"));
    let first = world.publish("v1").await.unwrap();
    world.put("v1", build("two"));
    let keys = world.bucket.keys();
    let failure = world.publish("v1").await.unwrap_err();
    assert_eq!((failure.reason(), failure.class()), ("VersionTaken", FailureClass::Permanent));
    assert!(
        matches!(&failure, PublishFailure::VersionTaken { recorded, ours, .. } if *recorded == first.record.digest && ours != recorded)
    );
    assert!(!failure.to_string().contains(first.record.digest.short()), "a status tells no digest of what is stored: {failure}");
    assert_eq!(world.bucket.keys(), keys);
}

#[tokio::test(start_paused = true)]
async fn a_conflict_names_the_key_and_both_writers_and_changes_nothing() {
    // I3
    let world = World::new();
    world.put("v1", build("one"));
    world.publish("v1").await.unwrap();
    let mut files = build("two");
    files.iter_mut().find(|(path, _)| path.contains("shared")).unwrap().1 = b"other bytes under the same name".to_vec();
    world.put("v2", files);
    let before = world.bucket.bytes("s/shop/assets/shared-BEcQUh0e.js");
    let failure = world.publish("v2").await.unwrap_err();
    assert_eq!((failure.reason(), failure.class()), ("ObjectConflict", FailureClass::Permanent));
    let text = failure.to_string();
    for part in ["s/shop/assets/shared-BEcQUh0e.js", r#"version "v1" of release web/shop"#, r#"version "v2" of release web/shop"#] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    assert_eq!(world.bucket.bytes("s/shop/assets/shared-BEcQUh0e.js"), before);
    assert!(world.bucket.keys().iter().all(|key| !key.contains("/intents/") && !key.contains("/sweeps/")));
    world.check();
}

#[tokio::test(start_paused = true)]
async fn an_object_that_somebody_deleted_is_found_by_verifying_and_sent_again() {
    // I1: what a record names is taken for present when the next version is published; the listing before a stage is what notices.
    let world = World::new();
    world.put("v1", build("one"));
    world.put("v2", build("two"));
    let first = world.publish("v1").await.unwrap();
    let lost = "s/shop/assets/shared-BEcQUh0e.js";
    world.bucket.remove(lost);
    let verified = verify(&*world.bucket, &world.layout, &first.record.digest).await.unwrap();
    assert_eq!((verified.missing, verified.wrong_size), (vec![lost.to_owned()], vec![]));
    let second = world.publish("v2").await.unwrap();
    let verified = verify(&*world.bucket, &world.layout, &second.record.digest).await.unwrap();
    assert_eq!((verified.missing, verified.wrong_size), (vec![lost.to_owned()], vec![]));
    let repaired = world.publish("v2").await.unwrap();
    assert_eq!((repaired.progress.objects_sent, repaired.progress.objects_reused), (1, 4));
    world.check();
}

#[tokio::test(start_paused = true)]
async fn an_object_of_another_length_stops_the_publish() {
    let world = World::new();
    world.put("v1", build("one"));
    world.publish("v1").await.unwrap();
    let key = "s/shop/assets/shared-BEcQUh0e.js";
    world.bucket.overwrite(key, "meddled");
    let digest = read_record(&*world.bucket, &world.layout, "v1").await.unwrap().unwrap().digest;
    let verified = verify(&*world.bucket, &world.layout, &digest).await.unwrap();
    assert!(!verified.is_complete());
    assert_eq!((verified.missing, verified.wrong_size), (vec![], vec![key.to_owned()]));
    let failure = world.publish("v1").await.unwrap_err();
    assert!(matches!(&failure, PublishFailure::Conflict { theirs: None, .. }), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn a_large_version_is_verified_page_by_page() {
    let world = World::new();
    let files = (0..2500).map(|n| (format!("assets/chunk-{n:08x}.js"), vec![b'x'; 3])).collect();
    world.put("v1", files);
    let digest = world.publish("v1").await.unwrap().record.digest;
    for key in ["chunk-00000000", "chunk-000003e8", "chunk-000009c3"] {
        world.bucket.remove(&format!("s/shop/assets/{key}.js"));
    }
    let before = world.faulty.calls(Operation::List);
    let verified = verify(&*world.faulty, &world.layout, &digest).await.unwrap();
    assert_eq!(verified.missing.len(), 3, "{:?}", verified.missing);
    assert!(verified.missing.is_sorted());
    assert_eq!(world.faulty.calls(Operation::List) - before, 3);
}

#[tokio::test(start_paused = true)]
async fn a_lost_or_damaged_manifest_is_told_apart() {
    let world = World::new();
    world.put("v1", build("one"));
    let digest = world.publish("v1").await.unwrap().record.digest;
    let key = world.layout.manifest(&digest);
    world.bucket.overwrite(&key, "{}");
    assert!(matches!(verify(&*world.bucket, &world.layout, &digest).await, Err(VerifyFailure::Read(ReadFailure::Malformed { .. }))));
    assert_eq!(world.publish("v1").await.unwrap_err().reason(), "DocumentDamaged");
    world.bucket.remove(&key);
    let failure = verify(&*world.bucket, &world.layout, &digest).await.unwrap_err();
    assert_eq!((failure.reason(), failure.to_string()), ("ManifestMissing", format!("the manifest {key:?} is not in the store")));
}

#[tokio::test(start_paused = true)]
async fn what_the_store_says_is_told_by_stable_reasons() {
    let world = World::new();
    world.put("v1", build("one"));
    for (failure, reason) in
        [(Failure::Unavailable, "StoreUnavailable"), (Failure::Denied, "StoreAccessDenied"), (Failure::NoSuchBucket, "BucketNotFound")]
    {
        world.faulty.break_off(failure);
        let seen = world.publish("v1").await.unwrap_err();
        assert_eq!((seen.reason(), seen.class()), (reason, FailureClass::Transient));
        world.faulty.mend();
    }
    world.publish("v1").await.unwrap();
    world.check();
    assert_eq!(world.publish("unknown").await.unwrap_err().reason(), "SourceUnavailable");
}

#[tokio::test(start_paused = true)]
async fn a_prefix_has_one_writer() {
    let world = World::new();
    let owner = |release: &str| Owner { owner_version: 1, cluster: "c".into(), release: release.into() };
    let claim = async |release: &str| claim_owner(&*world.bucket, &world.layout, &owner(release)).await.unwrap();
    assert_eq!(read_owner(&*world.bucket, &world.layout).await, Ok(None));
    assert_eq!(claim("web/shop").await, Claimed::Ours);
    assert_eq!(claim("web/shop").await, Claimed::Ours);
    assert_eq!(claim("web/other").await, Claimed::Theirs(owner("web/shop")));
    world.bucket.overwrite(&world.layout.owner(), r#"{"ownerVersion":2,"cluster":"c","release":"r"}"#);
    let failure = read_owner(&*world.bucket, &world.layout).await.unwrap_err();
    assert!(failure.to_string().contains("format 2 is not known here"), "{failure}");
    assert_eq!(world.bucket.head("nothing").await, Ok(None));
}
