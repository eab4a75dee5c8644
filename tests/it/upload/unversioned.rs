//! Unversioned files: at their public keys before a version is recorded, replaced with the flip alone, in nobody's way (I3, I10).

use std::collections::BTreeMap;

use rollcall::api::{BuildManifestSpec, Format, ManifestDigest};
use rollcall::bucket::memory::Change;
use rollcall::bucket::{Attributes, Body, Bucket as _};
use rollcall::manifest::{Class, Declared, Evidence, Manifest, Writer};
use rollcall::upload::{
    EntriesFailure, EntriesPublished, FlipFiles, Progress, Publish, PublishFailure, Published, plan, publish, publish_entries,
    publish_unversioned, ready_for_flip,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::world::{Files, World};

const IMMUTABLE: &str = "public, max-age=31536000, immutable";

fn files(all: &[(&str, &str)]) -> Files {
    all.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
}

/// Publishes with nothing declared.
async fn publish_as_it_is(world: &World, version: &str, all: &[(&str, &str)]) -> Result<Published, PublishFailure> {
    publish_declared(world, version, all, Declared::default()).await
}

async fn publish_declared(world: &World, version: &str, all: &[(&str, &str)], declared: Declared) -> Result<Published, PublishFailure> {
    world.put(version, files(all));
    // The store's dates have seconds: what is newest is known.
    world.pass(std::time::Duration::from_secs(2)).await;
    let request = Publish { declared, ..world.request(version) };
    let progress = watch::Sender::new(Progress::default());
    publish(&world.tools(world.faulty.clone()), &request, world.fetch(version), &progress, &CancellationToken::new()).await
}

fn class(manifest: &Manifest, path: &str) -> (Class, Option<Evidence>) {
    let file = manifest.files.iter().find(|file| file.path == path).unwrap();
    (file.class, file.evidence)
}

fn writer(version: &str) -> Writer {
    Writer { release: "web/shop".into(), version: version.into(), digest: ManifestDigest::of(version.as_bytes()) }
}

/// As an object of its own, which its name was taken to prove.
async fn store_as_an_older_program(world: &World, path: &str, text: &'static str) {
    let attributes = Attributes {
        content_type: "application/octet-stream".into(),
        cache_control: IMMUTABLE.into(),
        content_encoding: None,
        sha256: rollcall::api::ContentHash::of(text.as_bytes()),
        writer: Some(writer("v0")),
        sequence: None,
    };
    world.bucket.create(&world.layout.key(path), Body::Bytes(text.into()), &attributes).await.unwrap();
}

async fn text(world: &World, path: &str) -> Option<String> {
    let bytes = world.bucket.get(&world.layout.key(path), 999).await.unwrap();
    bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn an_unversioned_file_is_public_before_its_version_is_recorded_and_gives_way_only_with_the_flip() {
    let world = World::new();
    let one = [("index.html", "<img src=hero-SUMMER24.jpg>"), ("hero-SUMMER24.jpg", "one"), ("gone.jpg", "gone")];
    let two = [("index.html", "<img src=hero-SUMMER24.jpg><img src=new.jpg>"), ("hero-SUMMER24.jpg", "two"), ("new.jpg", "new")];
    let first = publish_as_it_is(&world, "v1", &one).await.unwrap();
    assert_eq!(class(&first.manifest, "hero-SUMMER24.jpg"), (Class::Unversioned, None), "the shape of one name is no evidence");
    let log = world.bucket.log();
    let place = |wanted: &str| log.iter().position(|change| matches!(change, Change::Created { key, .. } if key == wanted)).unwrap();
    assert!(place("s/shop/hero-SUMMER24.jpg") < place("s/shop/.rollcall/versions/v1.json"), "I10");
    assert_eq!(text(&world, "index.html").await, None, "a page is not");
    let stored = world.bucket.stored("s/shop/hero-SUMMER24.jpg").unwrap();
    assert_eq!(
        (stored.cache_control.as_deref(), stored.content_type.as_deref(), stored.sequence),
        (Some("no-cache"), Some("image/jpeg"), Some(0))
    );
    publish_unversioned(&*world.bucket, &world.layout, &first.manifest, 1, &writer("v1")).await.unwrap();

    let second = publish_as_it_is(&world, "v2", &two).await.unwrap();
    assert_eq!(text(&world, "hero-SUMMER24.jpg").await.as_deref(), Some("one"), "v1 is served");
    assert_eq!(text(&world, "new.jpg").await.as_deref(), Some("new"), "and a page of v2 may come at any moment");
    // The pods serve the pages.
    let put = publish_unversioned(&*world.bucket, &world.layout, &second.manifest, 2, &writer("v2")).await;
    assert_eq!(put, Ok(EntriesPublished { written: 1, already: 1 }));
    assert_eq!(text(&world, "hero-SUMMER24.jpg").await.as_deref(), Some("two"));
    assert_eq!(text(&world, "gone.jpg").await.as_deref(), Some("gone"), "a tab of v1 is open");
    assert_eq!(text(&world, "index.html").await, None);
    // The bucket does: sub-resources first, pages last.
    let before = world.bucket.log().len();
    publish_entries(&*world.bucket, &world.layout, &first.manifest, 3, &writer("v1")).await.unwrap();
    let written: Vec<String> = world.bucket.log()[before..]
        .iter()
        .filter_map(|change| match change {
            Change::Created { key, .. } | Change::Replaced { key, .. } => Some(key.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(written, ["s/shop/hero-SUMMER24.jpg", "s/shop/index.html"]);
    assert_eq!(text(&world, "hero-SUMMER24.jpg").await.as_deref(), Some("one"), "I8");
}

#[tokio::test(start_paused = true)]
async fn a_source_map_licence_or_type_that_changes_beside_its_script_stops_nothing() {
    let world = World::new();
    let build = |text: &'static str| {
        [
            ("index.html", "<script src=_astro/app.js></script>"),
            ("_astro/app.js", "the script"),
            ("_astro/app.js.map", text),
            ("_astro/app.js.map.gz", text),
            ("_astro/app.js.LICENSE.txt", text),
            ("_astro/app.d.ts", text),
        ]
    };
    for (version, text_of, sequence) in [("v1", "one", 1), ("v2", "two", 2)] {
        let manifest = publish_as_it_is(&world, version, &build(text_of)).await.unwrap().manifest;
        assert_eq!(class(&manifest, "_astro/app.js"), (Class::Asset, Some(Evidence::ToolFolder)));
        publish_unversioned(&*world.bucket, &world.layout, &manifest, sequence, &writer(version)).await.unwrap();
        assert_eq!(text(&world, "_astro/app.js.map").await.as_deref(), Some(text_of));
    }
}

#[tokio::test(start_paused = true)]
async fn wrong_evidence_is_named_with_what_to_set_and_the_stored_bytes_stay() {
    let world = World::new();
    let build = |text: &'static str| [("index.html", ""), ("_astro/logo.png", text)];
    publish_as_it_is(&world, "v1", &build("one")).await.unwrap();
    let failure = publish_as_it_is(&world, "v2", &build("two")).await.unwrap_err();
    let message = failure.to_string();
    assert!(message.contains("it lies in a folder into which its build tool puts only hashed files"), "{message}");
    assert!(message.contains("spec.build.unversioned (--unversioned)"), "{message}");
    // I3 also where it is declared otherwise now: caches have the old bytes for a year.
    let declared = Declared { immutable: Vec::new(), unversioned: vec!["_astro/logo.png".into()] };
    let failure = publish_declared(&world, "v2", &build("two"), declared.clone()).await.unwrap_err();
    assert!(matches!(&failure, PublishFailure::Conflict { key, .. } if key == "s/shop/_astro/logo.png"), "{failure}");
    assert_eq!(text(&world, "_astro/logo.png").await.as_deref(), Some("one"));
    assert!(!world.records().contains_key("v2"));
    // Under another name it goes, and the next bytes replace these.
    let declared = Declared { immutable: Vec::new(), unversioned: vec!["_astro/logo*".into()] };
    for (version, text) in [("v2", "two"), ("v3", "three")] {
        publish_declared(&world, version, &[("index.html", ""), ("_astro/logo-new.png", text)], declared.clone()).await.unwrap();
    }
}

/// A name that an older program took for hashed by its shape.
#[tokio::test(start_paused = true)]
async fn what_an_older_program_stored_as_immutable_keeps_its_bytes_and_is_told() {
    let world = World::new();
    store_as_an_older_program(&world, "2024-AnnualReport.pdf", "one").await;
    let same = publish_as_it_is(&world, "v1", &[("index.html", ""), ("2024-AnnualReport.pdf", "one")]).await.unwrap();
    let put = publish_unversioned(&*world.bucket, &world.layout, &same.manifest, 1, &writer("v1")).await;
    assert_eq!(put, Ok(EntriesPublished { written: 0, already: 1 }));
    let other = [("index.html", ""), ("2024-AnnualReport.pdf", "two")];
    let failure = publish_as_it_is(&world, "v2", &other).await.unwrap_err();
    assert!(failure.to_string().contains("an earlier version stored the file as an immutable one"), "{failure}");
    let prepared = rollcall::upload::Prepared::read(
        &Publish { declared: Declared::default(), ..world.request("v2") },
        world.fetch("v2").await.unwrap(),
    )
    .await;
    let dry = plan(&world.tools(world.faulty.clone()), &world.request("v2"), &prepared.unwrap().0).await.unwrap();
    assert_eq!(dry.refuse.iter().map(|one| one.key.as_str()).collect::<Vec<_>>(), ["s/shop/2024-AnnualReport.pdf"], "a dry run says it");
    let manifest = Manifest::new(
        same.manifest
            .files
            .iter()
            .cloned()
            .map(|mut file| {
                file.sha256 = rollcall::api::ContentHash::of(file.path.as_bytes());
                file
            })
            .collect(),
    );
    let put = publish_unversioned(&*world.bucket, &world.layout, &manifest, 2, &writer("v2")).await;
    assert_eq!(put, Err(EntriesFailure::Immutable { key: "s/shop/2024-AnnualReport.pdf".into() }));
}

#[tokio::test(start_paused = true)]
async fn names_of_a_set_are_public_for_ever_from_the_second_version_on_and_counted() {
    let world = World::new();
    let tokens = [
        ["qwErt7Za", "Zx9_kLm2", "b-3Hd0aQ", "T5rRw1Pc", "y8Ju2KdE", "mN4vQ7-s", "Gh6TfR3x", "c0Va9LpW", "kP3sD8uY", "R2dE6iO1"],
        ["h7GfD2sA", "pO9iU3yT", "W4eR_t6Y", "z1Xc5VbN", "L0kJ8hGf", "q3WeR7tZ", "uI2oP-9a", "sD6fG1hJ", "X8cVb4Nm", "e5RtY0uI"],
    ];
    let mut digests = BTreeMap::new();
    for (version, tokens) in ["v1", "v2"].into_iter().zip(tokens) {
        let paths: Vec<String> = tokens.iter().enumerate().map(|(at, token)| format!("assets/part{at}-{token}.js")).collect();
        let all: Vec<(&str, &str)> =
            paths.iter().map(|path| (path.as_str(), path.as_str())).chain([("index.html", ""), ("assets/logo-Homepage.js", "")]).collect();
        let published = publish_as_it_is(&world, version, &all).await.unwrap();
        let evidence = published.record.build.unwrap().evidence;
        let is_second = version == "v2";
        assert_eq!(evidence.get(&Evidence::Set), is_second.then_some(&10), "{evidence:?}");
        let control = world.bucket.stored(&world.layout.key(&paths[0])).unwrap().cache_control;
        assert_eq!(control.as_deref(), Some(if is_second { IMMUTABLE } else { "no-cache" }));
        assert_eq!(world.bucket.stored("s/shop/assets/logo-Homepage.js").unwrap().cache_control.as_deref(), Some("no-cache"));
        digests.insert(version, published.record.digest);
        assert!(published.manifest.files.iter().all(|file| file.class != Class::Asset), "the manifest follows from the build alone");
    }
    // Other bytes under such a name.
    let path = format!("assets/part0-{}.js", tokens[1][0]);
    let failure = publish_as_it_is(&world, "v3", &[("index.html", ""), (&path, "other")]).await.unwrap_err();
    assert!(failure.to_string().contains("its name was one of a set of hashed names of its folder"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_gains_evidence_becomes_an_asset_at_its_key_and_a_public_copy_is_no_leftover() {
    let world = World::new();
    let build = |text: &'static str| [("index.html", ""), ("js/app.js", text)];
    publish_as_it_is(&world, "v1", &build("one")).await.unwrap();
    let declared = Declared { immutable: vec!["js/**".into()], unversioned: Vec::new() };
    let failure = publish_declared(&world, "v2", &build("two"), declared.clone()).await.unwrap_err();
    assert!(matches!(&failure, PublishFailure::Conflict { evidence: Some(Evidence::Declared), .. }), "{failure}");
    assert_eq!(text(&world, "js/app.js").await.as_deref(), Some("one"), "v1's visitors ask for it");
    publish_declared(&world, "v3", &build("one"), declared).await.unwrap();
    let stored = world.bucket.stored("s/shop/js/app.js").unwrap();
    assert_eq!((stored.cache_control.as_deref(), stored.sequence), (Some(IMMUTABLE), None));
}

/// I3, I8: a version that had a file in another class comes back, and what is immutable by now keeps its bytes. That is said before the flip.
#[tokio::test(start_paused = true)]
async fn a_rollback_never_replaces_what_was_declared_immutable_meanwhile() {
    let world = World::new();
    let build = |text: &'static str| [("index.html", ""), ("js/app.js", text)];
    let first = publish_as_it_is(&world, "v1", &build("one")).await.unwrap();
    publish_unversioned(&*world.bucket, &world.layout, &first.manifest, 1, &writer("v1")).await.unwrap();
    let second = publish_as_it_is(&world, "v2", &build("two")).await.unwrap();
    publish_unversioned(&*world.bucket, &world.layout, &second.manifest, 2, &writer("v2")).await.unwrap();
    let declared = Declared { immutable: vec!["js/**".into()], unversioned: Vec::new() };
    publish_declared(&world, "v3", &build("two"), declared).await.unwrap();
    let immutable = Err(EntriesFailure::Immutable { key: "s/shop/js/app.js".into() });
    for class in [Class::Unversioned, Class::Entry] {
        let files = first.manifest.files.iter().cloned().map(|mut file| {
            file.class = class;
            file
        });
        let before = Manifest::new(files.collect());
        let ready = ready_for_flip(&*world.bucket, &world.layout, (&before, FlipFiles::All), &writer("v1")).await;
        assert_eq!(ready, immutable.clone().map(|_: u64| 0), "{class:?}");
        let put = publish_entries(&*world.bucket, &world.layout, &before, 4, &writer("v1")).await;
        assert_eq!(put, immutable.clone().map(|_: u64| EntriesPublished::default()), "{class:?}");
        assert_eq!(text(&world, "js/app.js").await.as_deref(), Some("two"), "{class:?}");
    }
}

/// I10: somebody deleted a public copy since the version was recorded.
#[tokio::test(start_paused = true)]
async fn a_public_copy_that_is_gone_is_put_back_before_the_flip_and_by_the_next_publish() {
    let world = World::new();
    let all = [("index.html", ""), ("hero.jpg", "x"), ("film.mp4", "y")];
    let published = publish_as_it_is(&world, "v1", &all).await.unwrap();
    let key = world.layout.key("hero.jpg");
    world.bucket.remove(&key);
    let ready = ready_for_flip(&*world.bucket, &world.layout, (&published.manifest, FlipFiles::Unversioned), &writer("v1")).await;
    assert_eq!((ready, text(&world, "hero.jpg").await.as_deref()), (Ok(1), Some("x")));
    assert_eq!(text(&world, "index.html").await, None, "a page comes with the flip");
    world.bucket.remove(&key);
    publish_as_it_is(&world, "v1", &all).await.unwrap();
    assert_eq!(text(&world, "hero.jpg").await.as_deref(), Some("x"));
}

/// A file that gained evidence, whatever the newest versions know of its public copy.
#[tokio::test(start_paused = true)]
async fn an_asset_at_the_key_of_an_old_public_copy_loses_the_number_of_its_flip() {
    let world = World::new();
    publish_as_it_is(&world, "v1", &[("index.html", ""), ("js/app.js", "one")]).await.unwrap();
    for version in ["v2", "v3", "v4"] {
        publish_as_it_is(&world, version, &[("index.html", version)]).await.unwrap();
    }
    let declared = Declared { immutable: vec!["js/**".into()], unversioned: Vec::new() };
    publish_declared(&world, "v5", &[("index.html", ""), ("js/app.js", "one")], declared).await.unwrap();
    let stored = world.bucket.stored("s/shop/js/app.js").unwrap();
    assert_eq!((stored.cache_control.as_deref(), stored.sequence), (Some(IMMUTABLE), None));
}

/// No rule of today stops a version that is recorded: neither another `spec.build` nor a size nor a reference.
#[tokio::test(start_paused = true)]
async fn a_recorded_version_is_published_again_whatever_spec_build_says_by_now() {
    let world = World::new();
    let declared = Declared { immutable: vec!["js/**".into()], unversioned: Vec::new() };
    let all = [("index.html", "<script src=js/app.js></script>"), ("js/app.js", "one"), (".DS_Store", "x")];
    let first = publish_declared(&world, "v1", &all, declared).await.unwrap();
    let again = publish_as_it_is(&world, "v1", &all).await.unwrap();
    assert_eq!((&again.record.digest, again.progress.objects_sent), (&first.record.digest, 0));
    // An older program found nothing missing.
    let (manifest, page) = (first.manifest.clone(), "<script src=gone.js></script>");
    let files = manifest.files.iter().cloned().map(|mut file| {
        if file.path == "index.html" {
            (file.sha256, file.size) = (rollcall::api::ContentHash::of(page.as_bytes()), page.len() as u64);
        }
        file
    });
    let old = Manifest::new(files.collect());
    let (_, digest) = old.identity();
    let record = rollcall::manifest::VersionRecord { version: "v0".into(), digest: digest.clone(), build: None, ..first.record.clone() };
    world.bucket.overwrite(&world.layout.version("v0"), serde_json::to_vec(&record).unwrap());
    world.bucket.overwrite(&world.layout.manifest(&digest), old.to_bytes());
    let again = publish_as_it_is(&world, "v0", &[("index.html", page), ("js/app.js", "one")]).await.unwrap();
    assert_eq!(again.record.digest, digest);
}

/// The version matrix: an older program knew two classes, and recorded this very build under another digest.
#[tokio::test(start_paused = true)]
async fn a_version_that_an_older_program_recorded_is_published_again_as_it_was() {
    let world = World::new();
    let all = [("index.html", ""), ("photo.jpg", "x")];
    let now = publish_as_it_is(&world, "v1", &all).await.unwrap();
    let old = Manifest::new(
        now.manifest
            .files
            .iter()
            .cloned()
            .map(|mut file| {
                file.class = Class::Entry;
                file
            })
            .collect(),
    );
    let (_, digest) = old.identity();
    assert_ne!(digest, now.record.digest);
    let record = rollcall::manifest::VersionRecord { digest: digest.clone(), build: None, ..now.record.clone() };
    world.bucket.overwrite(&world.layout.version("v1"), serde_json::to_vec(&record).unwrap());
    world.bucket.overwrite(&world.layout.manifest(&digest), old.to_bytes());
    let again = publish_as_it_is(&world, "v1", &all).await.unwrap();
    assert_eq!((again.record.digest, again.progress.objects_sent), (digest, 0));
    let other = publish_as_it_is(&world, "v1", &[("index.html", ""), ("photo.jpg", "y")]).await.unwrap_err();
    assert!(matches!(other, PublishFailure::VersionTaken { .. }), "{other}");
}

/// I3: what a refused build says of names holds for no earlier version.
#[tokio::test(start_paused = true)]
async fn a_refused_build_leaves_public_files_as_they_were() {
    let world = World::new();
    let build = |robots, hero| [("index.html", ""), ("robots.txt", robots), ("hero.jpg", hero)];
    let first = publish_as_it_is(&world, "v1", &build("one", "one")).await.unwrap();
    publish_unversioned(&*world.bucket, &world.layout, &first.manifest, 1, &writer("v1")).await.unwrap();
    let before = world.bucket.stored("s/shop/robots.txt").unwrap();
    let declared = Declared { immutable: vec!["**".into()], unversioned: Vec::new() };
    for _ in 0..2 {
        let failure = publish_declared(&world, "v2", &build("one", "two"), declared.clone()).await.unwrap_err();
        assert!(matches!(&failure, PublishFailure::Conflict { key, .. } if key == "s/shop/hero.jpg"), "{failure}");
        let after = world.bucket.stored("s/shop/robots.txt").unwrap();
        assert_eq!((after.sequence, &after.cache_control, &after.etag), (before.sequence, &before.cache_control, &before.etag));
        assert!(after.sequence.is_some() && after.cache_control.as_deref() != Some(IMMUTABLE), "{after:?}");
    }
    publish_as_it_is(&world, "v3", &build("three", "three")).await.unwrap();
}

/// I5, I10: an older program recorded the file as an object of its own, its version went, and newer versions have it as an unversioned file.
#[tokio::test(start_paused = true)]
async fn a_public_file_of_a_recorded_version_is_no_leftover_although_it_carries_no_number() {
    let world = World::new();
    store_as_an_older_program(&world, "js/app.js", "one").await;
    let build = |text: &'static str| [("index.html", ""), ("js/app.js", text)];
    publish_as_it_is(&world, "v1", &build("one")).await.unwrap();
    let before = world.bucket.stored("s/shop/js/app.js").unwrap();
    let declared = Declared { immutable: vec!["js/**".into()], unversioned: Vec::new() };
    let failure = publish_declared(&world, "v2", &build("two"), declared).await.unwrap_err();
    assert!(matches!(&failure, PublishFailure::Conflict { key, .. } if key == "s/shop/js/app.js"), "{failure}");
    assert_eq!(world.bucket.stored("s/shop/js/app.js").map(|there| there.etag), Some(before.etag), "v1 is served");
}

#[tokio::test(start_paused = true)]
async fn what_a_refused_build_left_at_the_key_of_an_unversioned_file_is_freed() {
    let world = World::new();
    publish_as_it_is(&world, "v1", &[("index.html", ""), ("hero.jpg", "one")]).await.unwrap();
    let declared = Declared { immutable: vec!["**/*.jpg".into()], unversioned: Vec::new() };
    let refused = publish_declared(&world, "v2", &[("index.html", ""), ("hero.jpg", "two"), ("new.jpg", "two")], declared).await;
    assert!(matches!(refused, Err(PublishFailure::Conflict { .. })), "{refused:?}");
    assert_eq!(text(&world, "new.jpg").await.as_deref(), Some("two"), "no record names it");
    let build = [("index.html", ""), ("hero.jpg", "three"), ("new.jpg", "three")];
    let waiting = publish_as_it_is(&world, "v3", &build).await.unwrap_err();
    assert!(matches!(&waiting, PublishFailure::Reclaiming { key, .. } if key == "s/shop/new.jpg"), "{waiting}");
    world.pass(std::time::Duration::from_secs(20 * 60)).await;
    publish_as_it_is(&world, "v3", &build).await.unwrap();
    assert_eq!(text(&world, "new.jpg").await.as_deref(), Some("three"));
    assert_eq!(text(&world, "hero.jpg").await.as_deref(), Some("one"), "v1 is served");
}

/// Said before the flip: after it the pages of two versions would be mixed.
#[tokio::test(start_paused = true)]
async fn a_public_key_that_another_release_has_by_now_keeps_the_flip_from_it() {
    let world = World::new();
    let published = publish_as_it_is(&world, "v1", &[("index.html", ""), ("docs/logo.png", "one")]).await.unwrap();
    let key = world.layout.key("docs/logo.png");
    world.bucket.remove(&key);
    let inner = Writer { release: "web/docs".into(), ..writer("v9") };
    let attributes = Attributes {
        content_type: "image/png".into(),
        cache_control: "no-cache".into(),
        content_encoding: None,
        sha256: rollcall::api::ContentHash::of(b"theirs"),
        writer: Some(inner),
        sequence: Some(1),
    };
    world.bucket.create(&key, Body::Bytes("theirs".into()), &attributes).await.unwrap();
    let claim = rollcall::manifest::Owner::new("", "web/docs");
    rollcall::upload::claim_owner(&*world.bucket, &rollcall::manifest::Layout::new("s/", "shop/docs/"), &claim).await.unwrap();
    let ready = ready_for_flip(&*world.bucket, &world.layout, (&published.manifest, FlipFiles::Unversioned), &writer("v1")).await;
    assert!(matches!(&ready, Err(EntriesFailure::Foreign { key: named, .. }) if *named == key), "{ready:?}");
}

/// An older program published what a reader of today leaves out.
#[tokio::test(start_paused = true)]
async fn a_recorded_version_has_what_is_left_out_by_now() {
    let world = World::new();
    let meta = r#"{"inputs":{},"outputs":{"app-5K7OQ3KJ.js":{"imports":[],"exports":[],"inputs":{},"bytes":3}}}"#;
    let all = [("index.html", ""), ("app-5K7OQ3KJ.js", "one"), ("meta.json", meta)];
    world.put("v1", files(&all));
    let first = world.publish_reading("v1", BuildManifestSpec { format: Format::Folder, path: None }).await.unwrap();
    assert!(first.manifest.files.iter().any(|file| file.path == "meta.json"));
    let again = publish_as_it_is(&world, "v1", &all).await.unwrap();
    assert_eq!((&again.record.digest, again.progress.objects_sent), (&first.record.digest, 0));
    let other = publish_as_it_is(&world, "v1", &[all[0], all[1], ("meta.json", "{}")]).await.unwrap_err();
    assert!(matches!(other, PublishFailure::VersionTaken { .. }), "{other}");
}
