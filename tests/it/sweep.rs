//! The sweep over a bucket in memory, in tokio's paused time: what stays, what goes, every crash, every race.
//! After whatever happened, every build that anything refers to is there, whole (I5), and no object has changed its bytes (I3).

mod crashes;
mod dates;
mod model;
mod races;
mod real_store;
mod world;

use std::sync::Arc;
use std::time::Duration;

use rollcall::api::{ContentHash, ManifestDigest};
use rollcall::bucket::faulty::{Failure, Fault, Operation};
use rollcall::bucket::probe::{Capabilities, Finding};
use rollcall::bucket::{Attributes, Body, Bucket as _, Created};
use rollcall::clock::TokioClock;
use rollcall::manifest::record::{Pin, RetentionPolicy, Role};
use rollcall::manifest::{Intent, Layout, References};
use rollcall::retention::references::OwnFacts;
use rollcall::upload::{INTENT_LIFE, Progress, Publish, SKEW, Tried, end_references, publish, publish_entries, read_manifest};
use tokio_util::sync::CancellationToken;
use world::{DAY, Prefix};

#[tokio::test(start_paused = true)]
async fn versions_whose_time_is_over_go_and_the_others_stay_whole() {
    // I5
    let prefix = Prefix::with_history(4).await;
    let plan = prefix.plan().await.unwrap();
    assert_eq!(plan.versions_going().into_iter().collect::<Vec<_>>(), ["v1", "v2"]);
    assert_eq!((plan.going.objects, plan.unknown.objects), (4, 0), "a page and a script each: the rest is shared");
    let before = prefix.world.bucket.log().len();
    prefix.plan().await.unwrap();
    assert_eq!(prefix.world.bucket.log().len(), before, "a plan writes nothing");

    let outcome = prefix.sweep().await.unwrap();
    assert_eq!(outcome.deleted.objects, 6, "and two manifests");
    assert!(outcome.plan.is_empty());
    assert_eq!(prefix.whole(), ["v3", "v4"]);
    assert_eq!(prefix.manifests(), 2);
    assert_eq!(prefix.records(), ["v1", "v2", "v3", "v4"], "a name means its build for ever");
    prefix.check();
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_in_a_store_that_does_not_keep_the_condition_of_a_delete() {
    // I5
    let prefix = Prefix::with_history(4).await;
    let lax = Capabilities { conditional_delete: Finding::ignored("deleted all the same"), ..Capabilities::strict() };
    let before = prefix.world.bucket.log().len();
    let failure = prefix.sweep_through(Arc::new(Tried::knowing(prefix.world.bucket.clone(), lax)), "s").await.unwrap_err();
    assert_eq!(failure.reason(), "DeletesUnconditional");
    assert!(failure.to_string().contains("deleted all the same"), "{failure}");
    assert_eq!(prefix.world.bucket.log().len(), before, "not even a tombstone is written");
}

#[tokio::test(start_paused = true)]
async fn another_sweep_finds_nothing_and_writes_nothing() {
    // I7
    let prefix = Prefix::with_history(4).await;
    prefix.sweep().await.unwrap();
    prefix.world.pass(DAY).await;
    prefix.sweep().await.unwrap();
    assert!(prefix.world.bucket.keys().iter().all(|key| !key.contains("/sweeps/")), "{:?}", prefix.world.bucket.keys());
    let before = prefix.world.bucket.log().len();
    prefix.sweep().await.unwrap();
    assert_eq!(prefix.world.bucket.log().len(), before);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_retention_took_can_be_published_again() {
    let prefix = Prefix::with_history(4).await;
    prefix.sweep().await.unwrap();
    let failure = prefix.world.publish("v1").await.unwrap_err();
    assert_eq!(failure.reason(), "Reclaiming", "late deletes may come");
    prefix.world.pass(Duration::from_secs(18 * 60)).await;
    prefix.world.publish("v1").await.unwrap();
    assert_eq!(prefix.whole(), ["v1", "v3", "v4"]);
    prefix.check();
    assert_eq!(prefix.sweep().await.unwrap().deleted.objects, 0, "somebody may be about to activate it");
    prefix.world.pass(Duration::from_secs(3601)).await;
    assert_eq!(prefix.sweep().await.unwrap().deleted.objects, 3, "nobody did");
}

#[tokio::test(start_paused = true)]
async fn a_version_of_which_only_the_manifest_was_left_is_as_new_as_its_second_publish() {
    // I5: wherever the second publish dies, the third one dates the build anew and takes the sign back.
    for dies_at in
        [None, Some((Operation::Replace, 1)), Some((Operation::Delete, 1)), Some((Operation::Delete, 2)), Some((Operation::Delete, 3))]
    {
        let prefix = Prefix::with_history(4).await;
        let pin = || vec![Pin { pattern: "assets/app.*".into(), ttl_seconds: 100 * 24 * 3600 }];
        prefix.refer(|own| own.retention.as_mut().unwrap().pins = pin()).await;
        prefix.sweep().await.unwrap();
        assert_eq!(prefix.manifests(), 4, "a pin keeps it");
        prefix.world.pass(DAY).await;
        if let Some((operation, nth)) = dies_at {
            prefix.world.faulty.fail_nth(operation, nth, Fault::Before(Failure::Unavailable));
            prefix.world.publish("v1").await.unwrap_err();
        }
        prefix.world.publish("v1").await.unwrap();
        prefix.world.publish("v1").await.unwrap();
        assert!(prefix.world.bucket.stored(&prefix.world.layout.swept(&prefix.digest("v1"))).is_none());
        prefix.refer(|_| {}).await;
        prefix.sweep().await.unwrap();
        assert_eq!(prefix.whole(), ["v1", "v3", "v4"]);
        prefix.check();
    }
}

#[tokio::test(start_paused = true)]
async fn what_retention_took_does_not_keep_a_dead_publish_from_being_cleared_away() {
    let prefix = Prefix::with_history(4).await;
    prefix.sweep().await.unwrap();
    prefix.world.pass(DAY).await;
    let key = prefix.leave_a_dead_publish("dead").await;
    prefix.world.pass(INTENT_LIFE + SKEW + Duration::from_secs(1)).await;
    let mut files = crate::upload::world::build("next");
    files.push((key.strip_prefix("s/shop/").unwrap().to_owned(), b"mended".to_vec()));
    prefix.world.put("next", files);
    assert_eq!(prefix.world.publish("next").await.unwrap_err().reason(), "Reclaiming");
    prefix.world.pass(Duration::from_secs(18 * 60)).await;
    prefix.world.publish("next").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_publish_left_goes_after_a_day_and_strange_objects_stay() {
    // I5
    let prefix = Prefix::with_history(2).await;
    let leftover = prefix.leave_a_dead_publish("dead").await;
    prefix.world.bucket.overwrite("s/shop/notes.txt", "a person's");
    prefix.world.bucket.overwrite("s/shop/.rollcall/entries/strange", "a person's");
    assert_eq!(prefix.sweep().await.unwrap_err().reason(), "PublishUnderWay");
    prefix.world.pass(INTENT_LIFE + SKEW + Duration::from_secs(1)).await;
    prefix.sweep().await.unwrap();
    assert!(prefix.world.bucket.stored(&leftover).is_none());
    assert!(prefix.world.bucket.stored("s/shop/notes.txt").is_some());
    assert!(prefix.world.bucket.stored("s/shop/.rollcall/entries/strange").is_some());
    assert_eq!(prefix.sweep().await.unwrap().plan.unknown.objects, 2);
    assert!(prefix.world.bucket.keys().iter().all(|key| !key.contains("/intents/")), "the dead intent is cleared away");
    prefix.check();
}

#[tokio::test(start_paused = true)]
async fn uploads_that_nobody_finished_are_given_up_after_a_day() {
    let prefix = Prefix::with_history(2).await;
    for key in ["s/shop/assets/film.mp4", "s/other/film.mp4"] {
        prefix.world.bucket.abandon_upload(key);
    }
    prefix.world.pass(INTENT_LIFE + SKEW).await;
    assert_eq!(prefix.sweep().await.unwrap().uploads_given_up, Some(0), "its publish may be at work");
    prefix.world.pass(Duration::from_secs(1)).await;
    assert_eq!(prefix.sweep().await.unwrap().uploads_given_up, Some(1));
    assert_eq!(prefix.world.bucket.abandoned(), ["s/other/film.mp4"], "nothing outside of the prefix");
}

#[tokio::test(start_paused = true)]
async fn an_overwritten_object_is_nobodys_and_stays() {
    let prefix = Prefix::with_history(4).await;
    let key = prefix.script_of("v1");
    prefix.world.bucket.overwrite(&key, "longer than what was there, and not ours");
    prefix.sweep().await.unwrap();
    assert!(prefix.world.bucket.stored(&key).is_some());
}

#[tokio::test(start_paused = true)]
async fn pinned_files_stay_with_their_manifest_until_their_own_time() {
    let prefix = Prefix::with_history(4).await;
    prefix
        .refer(|own| {
            own.retention.as_mut().unwrap().pins = vec![Pin { pattern: "assets/app.*".into(), ttl_seconds: 100 * 24 * 3600 }];
        })
        .await;
    prefix.sweep().await.unwrap();
    assert!(prefix.world.bucket.stored(&prefix.script_of("v1")).is_some());
    assert_eq!(prefix.manifests(), 4);
    assert_eq!(prefix.whole(), ["v3", "v4"], "only the pinned file stays");
    prefix.world.pass(100 * DAY).await;
    prefix.sweep().await.unwrap();
    assert!(prefix.world.bucket.stored(&prefix.script_of("v1")).is_none());
}

#[tokio::test(start_paused = true)]
async fn every_doubt_stops_the_whole_sweep_with_its_reason() {
    // I5
    type Harm = fn(&Prefix);
    let doubts: [(&str, Harm); 6] = [
        ("DocumentDamaged", |prefix| prefix.world.bucket.overwrite(&prefix.world.layout.version("v1"), "damaged")),
        ("DocumentDamaged", |prefix| prefix.world.bucket.overwrite(&prefix.world.layout.intent("x"), "damaged")),
        ("DocumentDamaged", |prefix| prefix.world.bucket.overwrite(&prefix.world.layout.sweep("x"), "damaged")),
        ("DocumentDamaged", |prefix| prefix.world.bucket.overwrite(&prefix.world.layout.manifest(&prefix.digest("v2")), "damaged")),
        ("DocumentDamaged", |prefix| prefix.world.bucket.overwrite(&prefix.world.layout.references_of("d", "web/shop"), "{}")),
        ("ManifestMissing", |prefix| prefix.world.bucket.remove(&prefix.world.layout.manifest(&prefix.digest("v4")))),
    ];
    for (reason, harm) in doubts {
        let prefix = Prefix::with_history(4).await;
        harm(&prefix);
        let failure = prefix.sweep().await.unwrap_err();
        assert_eq!(failure.reason(), reason, "{failure}");
        assert_eq!(prefix.deleted(), 0, "{failure}");
    }
    let prefix = Prefix::with_history(4).await;
    for key in prefix.world.bucket.keys().iter().filter(|key| key.contains("/references/")) {
        prefix.world.bucket.remove(key);
    }
    assert_eq!(prefix.sweep().await.unwrap_err().reason(), "NoReferences");
    prefix.refer(|own| own.retention = None).await;
    assert_eq!(prefix.sweep().await.unwrap_err().reason(), "KeepsEverything");
    assert_eq!(prefix.deleted(), 0);
}

#[tokio::test(start_paused = true)]
async fn retention_goes_on_when_the_time_of_a_deleted_reader_is_over() {
    // I5: a reader of another cluster, with and without a policy of its own, whose clock is years off.
    for (policy, hours) in [(Some(30), 30), (Some(1), 24), (None, 720)] {
        let prefix = Prefix::with_history(4).await;
        let uses = [prefix.used("v1", Role::Active)];
        let reader = |own: &mut OwnFacts| {
            own.cluster = "d".into();
            own.uses = uses.clone().into();
            own.activated.clear();
            own.retention = policy.map(|hours| RetentionPolicy { releases: 1, ttl_seconds: hours * 3600, pins: Vec::new() });
        };
        prefix.refer(reader).await;
        let held = prefix.sweep().await;
        assert_eq!(held.is_ok(), policy.is_some(), "without a policy everything stays while it is there: {held:?}");
        let mut own = prefix.own();
        reader(&mut own);
        let wrong = TokioClock::starting_at("2001-01-01T00:00:00Z".parse().unwrap());
        end_references(&*prefix.world.bucket, &prefix.world.layout, &own, &wrong).await.unwrap();
        prefix.world.pass(Duration::from_secs(hours * 3600 - 60)).await;
        prefix.sweep().await.unwrap();
        // v2, which it never mentioned, has its time from the beginning of its document.
        assert_eq!(prefix.whole(), ["v1", "v2", "v3", "v4"], "{policy:?}: pods that it left behind may still load v1");
        prefix.world.pass(Duration::from_secs(61)).await;
        prefix.sweep().await.unwrap();
        assert_eq!(prefix.whole(), ["v3", "v4"], "{policy:?}");
        prefix.sweep().await.unwrap();
        let documents = prefix.world.bucket.keys().into_iter().filter(|key| key.contains("/references/")).collect::<Vec<_>>();
        assert_eq!(documents, [prefix.world.layout.references_of("c", "web/shop")], "nothing is left of it");
        prefix.check();
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_that_is_made_anew_while_a_sweep_clears_its_document_away_keeps_what_it_uses() {
    // I5: the sweep has planned by what it read; the new document comes before its delete, and the delete names the old one.
    let prefix = Prefix::with_history(4).await;
    let uses = [prefix.used("v1", Role::Active)];
    let reader = |own: &mut OwnFacts, uid: &str| {
        (own.cluster, own.uid) = ("d".into(), uid.into());
        own.uses = uses.clone().into();
        own.activated.clear();
    };
    prefix.refer(|own| reader(own, "u1")).await;
    let mut own = prefix.own();
    reader(&mut own, "u1");
    end_references(&*prefix.world.bucket, &prefix.world.layout, &own, &*prefix.world.clock).await.unwrap();
    prefix.world.pass(2 * DAY).await;
    // The new object writes during the grace of the sweep.
    let anew = async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        prefix.refer(|own| reader(own, "u2")).await;
    };
    let (swept, ()) = futures::join!(prefix.sweep(), anew);
    swept.unwrap();
    prefix.sweep().await.unwrap();
    assert_eq!(prefix.whole(), ["v1", "v3", "v4"]);
    assert!(prefix.world.bucket.stored(&prefix.world.layout.references_of("d", "web/shop")).is_some());
    prefix.check();
}

#[tokio::test(start_paused = true)]
async fn a_build_in_use_whose_manifest_retention_took_is_a_doubt_and_one_that_is_not_is_none() {
    // I5
    let prefix = Prefix::with_history(4).await;
    prefix.sweep().await.unwrap();
    prefix.refer(|own| own.retention.as_mut().unwrap().releases = 4).await;
    let plan = prefix.plan().await.unwrap();
    assert_eq!(plan.roots.lost.len(), 2);
    prefix
        .refer(|own| {
            own.uses.insert(prefix.used("v1", Role::Reported));
        })
        .await;
    assert_eq!(prefix.plan().await.unwrap_err().reason(), "ManifestMissing");
}

#[tokio::test(start_paused = true)]
async fn another_cluster_keeps_what_it_uses() {
    // I5
    let prefix = Prefix::with_history(4).await;
    prefix
        .refer_from("d", |own| {
            own.uses = [prefix.used("v1", Role::Active)].into();
            own.activated.clear();
        })
        .await;
    prefix.world.pass(40 * DAY).await;
    prefix.sweep().await.unwrap();
    assert_eq!(prefix.whole(), ["v1", "v3", "v4"]);
    // It was never heard of again: what it used last stays until somebody removes its document.
    prefix.world.pass(1000 * DAY).await;
    prefix.sweep().await.unwrap();
    assert_eq!(prefix.whole(), ["v1", "v3", "v4"]);
    prefix.world.bucket.remove(&prefix.world.layout.references_of("d", "web/shop"));
    prefix.sweep().await.unwrap();
    assert_eq!(prefix.whole(), ["v3", "v4"]);
}

#[tokio::test(start_paused = true)]
async fn public_pages_keep_their_build() {
    // I5
    let prefix = Prefix::with_history(4).await;
    let (world, digest) = (&prefix.world, prefix.digest("v1"));
    let manifest = read_manifest(&*world.bucket, &world.layout, &digest).await.unwrap().unwrap();
    let writer = rollcall::manifest::Writer { release: "web/shop".into(), version: "v1".into(), digest };
    publish_entries(&*world.bucket, &world.layout, &manifest, 1, &writer).await.unwrap();
    prefix.sweep().await.unwrap();
    assert_eq!(prefix.whole(), ["v1", "v3", "v4"]);
    for page in ["index.html", "favicon.ico", "robots.txt"] {
        world.bucket.remove(&world.layout.key(page));
    }
    prefix.sweep().await.unwrap();
    assert_eq!(prefix.whole(), ["v3", "v4"]);
}

/// I5: the version that is served was recorded by an older program, which took whatever is not hashed for an entry file.
#[tokio::test(start_paused = true)]
async fn public_files_of_a_version_that_an_older_program_recorded_stay_with_it() {
    let mut prefix = Prefix::with_history(3).await;
    let names = ["logo.png", "assets.json", "index.html.br", "old.png"];
    let [logo, list, page, old] = names.map(Prefix::entry);
    let builds = [("v4", vec![logo.clone(), list.clone(), old]), ("v5", vec![logo.clone(), list.clone()]), ("v6", vec![logo, list, page])];
    for (sequence, (version, files)) in (4..).zip(builds) {
        let writer = prefix.record_old(version, files).await;
        let (bucket, layout) = (&*prefix.world.bucket, &prefix.world.layout);
        let manifest = read_manifest(bucket, layout, &writer.digest).await.unwrap().unwrap();
        publish_entries(bucket, layout, &manifest, sequence, &writer).await.unwrap();
        prefix.refer(|_| {}).await;
        prefix.world.pass(40 * DAY).await;
    }
    prefix.sweep().await.unwrap();
    let left = names.map(|name| prefix.world.bucket.stored(&prefix.world.layout.key(name)).is_some());
    assert_eq!(left, [true, true, true, false], "what only builds that went had goes with them");
}

/// I5: mails show it for years.
#[tokio::test(start_paused = true)]
async fn a_pinned_picture_stays_at_its_public_key() {
    let mut prefix = Prefix::with_history(1).await;
    let own = Prefix::unversioned(&["mail/logo.png", "gone.png"]);
    let writer = prefix.record_old("v2", own).await;
    let (world, layout) = (&prefix.world, &prefix.world.layout);
    let manifest = read_manifest(&*world.bucket, layout, &writer.digest).await.unwrap().unwrap();
    rollcall::upload::publish_unversioned(&*world.bucket, layout, &manifest, 2, &writer).await.unwrap();
    for version in ["v3", "v4"] {
        prefix.world.pass(DAY).await;
        prefix.record_old(version, vec![Prefix::entry("index.html")]).await;
    }
    prefix
        .refer(|own| own.retention.as_mut().unwrap().pins = vec![Pin { pattern: "mail/**".into(), ttl_seconds: 400 * 24 * 60 * 60 }])
        .await;
    prefix.world.pass(40 * DAY).await;
    prefix.sweep().await.unwrap();
    let left = ["mail/logo.png", "gone.png"].map(|name| prefix.world.bucket.stored(&prefix.world.layout.key(name)).is_some());
    assert_eq!(left, [true, false]);
}

#[tokio::test(start_paused = true)]
async fn a_public_page_is_found_behind_any_number_of_strange_objects() {
    // I5
    let prefix = Prefix::with_history(4).await;
    let (world, digest) = (&prefix.world, prefix.digest("v1"));
    let manifest = read_manifest(&*world.bucket, &world.layout, &digest).await.unwrap().unwrap();
    let writer = rollcall::manifest::Writer { release: "web/shop".into(), version: "v1".into(), digest };
    publish_entries(&*world.bucket, &world.layout, &manifest, 1, &writer).await.unwrap();
    for number in 0..10_100 {
        world.bucket.overwrite(&world.layout.key(&format!("a/{number:05}")), "a person's");
    }
    let outcome = prefix.sweep().await.unwrap();
    assert_eq!((prefix.whole(), outcome.plan.unknown.objects), (vec!["v1".to_owned(), "v3".into(), "v4".into()], 10_100));
}

#[tokio::test(start_paused = true)]
async fn an_intent_of_a_known_build_keeps_it_and_of_an_unknown_one_everything() {
    // I5
    let prefix = Prefix::with_history(4).await;
    let intent = |digest: ManifestDigest| Intent {
        intent_version: 1,
        digest,
        version: "again".into(),
        release: "web/shop".into(),
        started_at: prefix.world.now(),
    };
    let place = prefix.world.layout.intent("other");
    prefix.world.bucket.overwrite(&place, serde_json::to_vec(&intent(prefix.digest("v1"))).unwrap());
    prefix.sweep().await.unwrap();
    assert_eq!(prefix.whole(), ["v1", "v3", "v4"]);
    prefix.world.bucket.overwrite(&place, serde_json::to_vec(&intent(ManifestDigest::of(b"new"))).unwrap());
    assert_eq!(prefix.sweep().await.unwrap_err().reason(), "PublishUnderWay");
}

#[tokio::test(start_paused = true)]
async fn pages_that_live_longer_in_caches_than_a_retired_version_stop_the_sweep() {
    let prefix = Prefix::with_history(4).await;
    let digest = prefix.store_manifest_with_cache_control("max-age=86400");
    prefix
        .refer(|own| {
            own.uses.insert(rollcall::manifest::record::Use { digest, role: Role::Active });
        })
        .await;
    let failure = prefix.sweep().await.unwrap_err();
    assert_eq!(failure.reason(), "RetentionTooShort");
    assert!(failure.to_string().contains("86400 s, longer than retention keeps a retired version (3600 s)"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn references_that_say_the_same_are_written_once_a_day_at_most() {
    // I7
    let prefix = Prefix::with_history(2).await;
    prefix.refer(|_| {}).await;
    let before = prefix.world.bucket.log().len();
    prefix.world.pass(DAY / 2).await;
    prefix.refer(|_| {}).await;
    assert_eq!(prefix.world.bucket.log().len(), before);
    prefix.world.pass(DAY).await;
    prefix.refer(|_| {}).await;
    assert_eq!(prefix.world.bucket.log().len(), before + 1);
    let stored = prefix.world.bucket.bytes(&prefix.world.layout.references_of("c", "web/shop")).unwrap();
    let stored: References = serde_json::from_slice(&stored).unwrap();
    assert_eq!((stored.written_at, stored.release.as_str()), (prefix.world.now(), "web/shop"));
}

/// An object of another release, as old as it likes.
async fn put_as(prefix: &Prefix, key: &str, release: &str) {
    let writer = rollcall::manifest::Writer { release: release.into(), version: "x".into(), digest: ManifestDigest::of(b"x") };
    let attributes = Attributes {
        content_type: "text/javascript".into(),
        cache_control: "no-cache".into(),
        content_encoding: None,
        sha256: ContentHash::of(key.as_bytes()),
        writer: Some(writer),
        sequence: None,
    };
    let created = prefix.world.bucket.create(key, Body::Bytes(key.to_owned().into()), &attributes).await;
    assert_eq!(created, Ok(Created::New));
}

#[tokio::test(start_paused = true)]
async fn a_prefix_within_ours_is_left_alone_and_told_and_the_rest_goes() {
    // I5, I13: the objects of the inner release are in none of our manifests, and Rollcall wrote them.
    let prefix = Prefix::with_history(4).await;
    let bucket = &prefix.world.bucket;
    bucket.overwrite("s/shop/admin/.rollcall/owner.json", r#"{"ownerVersion":1,"cluster":"d","release":"web/admin"}"#);
    // Listed before and after the claim; by another release, and by one of our name in another cluster.
    let keys = ["s/shop/admin/-a.js", "s/shop/admin/x.js", "s/shop/admin/deep/y.js"];
    for (key, release) in keys.into_iter().zip(["web/admin", "web/shop", "web/shop"]) {
        put_as(&prefix, key, release).await;
    }
    prefix.world.pass(5 * DAY).await;
    let outcome = prefix.sweep().await.unwrap();
    assert_eq!(prefix.whole(), ["v3", "v4"], "the rest is swept");
    assert!(keys.iter().all(|key| bucket.stored(key).is_some()));
    let told: Vec<String> = outcome.plan.nested.iter().map(ToString::to_string).collect();
    assert!(
        matches!(&told[..], [one] if one.contains("\"admin/\"") && one.contains("web/admin") && one.contains("excludedPrefixes")),
        "{told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_excluded_part_is_left_alone_in_silence_whoever_wrote_there() {
    // I5
    let prefix = Prefix::with_history(4).await;
    let claim = r#"{"ownerVersion":2,"cluster":"c","release":"web/shop","excludedPrefixes":["admin/"]}"#;
    prefix.world.bucket.overwrite("s/shop/.rollcall/owner.json", claim);
    put_as(&prefix, "s/shop/admin/x.js", "web/shop").await;
    put_as(&prefix, "s/shop/other/x.js", "web/shop").await;
    prefix.world.pass(5 * DAY).await;
    let outcome = prefix.sweep().await.unwrap();
    assert!(prefix.world.bucket.stored("s/shop/admin/x.js").is_some() && prefix.world.bucket.stored("s/shop/other/x.js").is_none());
    assert_eq!((prefix.whole(), outcome.plan.nested), (vec!["v3".to_owned(), "v4".to_owned()], vec![]));
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_while_a_claim_within_the_prefix_cannot_be_understood() {
    // I5
    let prefix = Prefix::with_history(4).await;
    prefix.world.bucket.overwrite("s/shop/admin/.rollcall/owner.json", "{}");
    let failure = prefix.sweep().await.unwrap_err();
    assert_eq!(failure.reason(), "NestedPrefix");
    assert!(failure.to_string().contains("s/shop/admin/.rollcall/owner.json"), "{failure}");
    assert_eq!(prefix.whole(), ["v1", "v2", "v3", "v4"]);
}

#[tokio::test(start_paused = true)]
async fn what_another_release_wrote_below_the_prefix_stays_however_it_is_named() {
    // I5, I13: an unfinished publish of a release around us, which no document says anything of yet; and a key that a build of ours names.
    let prefix = Prefix::with_history(4).await;
    put_as(&prefix, "s/shop/assets/of-another-BEcQUh0e.js", "eve/outer").await;
    let named = prefix.script_of("v1");
    let bytes = prefix.world.bucket.bytes(&named).unwrap();
    prefix.world.bucket.remove(&named);
    let writer = rollcall::manifest::Writer { release: "eve/outer".into(), version: "x".into(), digest: ManifestDigest::of(b"x") };
    let attributes = Attributes {
        content_type: "text/javascript".into(),
        cache_control: "no-cache".into(),
        content_encoding: None,
        sha256: ContentHash::of(&bytes),
        writer: Some(writer),
        sequence: None,
    };
    prefix.world.bucket.create(&named, Body::Bytes(bytes), &attributes).await.unwrap();
    prefix.world.pass(5 * DAY).await;
    prefix.sweep().await.unwrap();
    assert!(prefix.world.bucket.stored("s/shop/assets/of-another-BEcQUh0e.js").is_some() && prefix.world.bucket.stored(&named).is_some());
    assert_eq!(prefix.whole(), ["v3", "v4"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_build_of_a_prefix_around_names_stays() {
    // I5, I13: two clusters, two releases of one name; the outer one's build names a file below our prefix.
    let prefix = Prefix::with_history(4).await;
    let world = &prefix.world;
    let key = prefix.script_of("v1");
    let path = key.strip_prefix("s/").unwrap().to_owned();
    world.put("outer", vec![(path, world.bucket.bytes(&key).unwrap().to_vec())]);
    let request = Publish { layout: Layout::new("s/", ""), ..world.request("outer") };
    let progress = tokio::sync::watch::Sender::new(Progress::default());
    publish(&world.tools(world.faulty.clone()), &request, world.fetch("outer"), &progress, &CancellationToken::new()).await.unwrap();
    world.pass(5 * DAY).await;
    prefix.sweep().await.unwrap();
    assert!(world.bucket.stored(&key).is_some(), "{key}");
    assert_eq!(prefix.whole(), ["v3", "v4"]);
}
