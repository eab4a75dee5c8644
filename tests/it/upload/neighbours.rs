//! Whatever the claims say, what another release wrote, names or has claimed is neither deleted nor replaced.

use std::time::Duration;

use rollcall::api::ManifestDigest;
use rollcall::bucket::faulty::{Failure, Fault, Operation};
use rollcall::manifest::{Layout, Manifest, Writer};
use rollcall::upload::{EntriesFailure, INTENT_LIFE, Progress, Publish, PublishFailure, SKEW, publish, publish_entries};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::world::{Files, World, build};

/// Past every intent and every signed request.
const LONG: Duration = Duration::from_secs(3 * 24 * 60 * 60);

async fn publish_as(world: &World, prefix: &str, release: &str, version: &str, files: Files) -> Result<Manifest, PublishFailure> {
    world.put(version, files);
    let request = Publish { layout: Layout::new("", prefix), release: release.into(), ..world.request(version) };
    let progress = watch::Sender::new(Progress::default());
    let build = world.fetch(version);
    let published = publish(&world.tools(world.faulty.clone()), &request, build, &progress, &CancellationToken::new()).await?;
    Ok((*published.manifest).clone())
}

fn one_file(path: &str, text: &str) -> Files {
    vec![("index.html".to_owned(), b"<html>".to_vec()), (path.to_owned(), text.as_bytes().to_vec())]
}

fn writer(release: &str, version: &str, manifest: &Manifest) -> Writer {
    Writer { release: release.into(), version: version.into(), digest: ManifestDigest::of(&manifest.to_bytes()) }
}

/// The audit's first attack: a prefix within the victim's took a live asset for a leftover of its own.
#[tokio::test(start_paused = true)]
async fn an_asset_of_a_release_around_is_no_leftover_of_ours() {
    // I3, I5, I13
    for thief in ["eve/eve", "web/shop"] {
        let world = World::new();
        publish_as(&world, "steal/", "web/shop", "v1", one_file("assets/app-BEcQUh0e.js", "theirs")).await.unwrap();
        world.pass(LONG).await;
        for _ in 0..2 {
            let stolen = publish_as(&world, "steal/assets/", thief, "x1", one_file("app-BEcQUh0e.js", "evil")).await;
            assert_eq!(stolen.unwrap_err().reason(), "ObjectConflict", "as {thief}");
            world.pass(LONG).await;
        }
        assert_eq!(world.bucket.bytes("steal/assets/app-BEcQUh0e.js").unwrap(), "theirs", "two clusters may have a release of one name");
    }
}

/// What a publish of another release left, or is sending, is not named by any record yet.
#[tokio::test(start_paused = true)]
async fn what_another_release_wrote_and_did_not_record_stays() {
    // I3, I5, I13
    let world = World::new();
    // The intent, two objects; then the manifest fails.
    world.faulty.fail_nth(Operation::Create, 4, Fault::Before(Failure::Unavailable));
    publish_as(&world, "steal/", "web/shop", "v1", one_file("assets/app-BEcQUh0e.js", "theirs")).await.unwrap_err();
    assert!(world.bucket.stored("steal/assets/app-BEcQUh0e.js").is_some());
    world.pass(INTENT_LIFE + SKEW + LONG).await;
    let stolen = publish_as(&world, "steal/assets/", "eve/eve", "x1", one_file("app-BEcQUh0e.js", "evil")).await;
    assert_eq!(stolen.unwrap_err().reason(), "ObjectConflict");
    assert_eq!(world.bucket.bytes("steal/assets/app-BEcQUh0e.js").unwrap(), "theirs");
}

/// The audit's second attack: a prefix around the victim's replaced its page, or put one where none was.
#[tokio::test(start_paused = true)]
async fn a_page_of_a_release_within_is_not_replaced_and_none_is_put_there() {
    // I3, I13
    for thief in ["eve/eve", "web/shop"] {
        let world = World::new();
        let theirs = publish_as(&world, "vic/pages/", "web/shop", "v1", one_file("about.html", "theirs")).await.unwrap();
        let claimed = Layout::new("", "vic/pages/");
        publish_entries(&*world.bucket, &claimed, &theirs, 1, &writer("web/shop", "v1", &theirs)).await.unwrap();
        let ours = publish_as(&world, "vic/", thief, "x1", one_file("pages/index.html", "evil")).await.unwrap();
        world.bucket.overwrite("vic/pages/.rollcall/owner.json", r#"{"ownerVersion":1,"cluster":"d","release":"web/shop"}"#);
        let layout = Layout::new("", "vic/");
        let put = publish_entries(&*world.bucket, &layout, &ours, 99, &writer(thief, "x1", &ours)).await.unwrap_err();
        assert!(
            matches!(&put, EntriesFailure::Foreign { key, release, .. } if key == "vic/pages/index.html" && release == "web/shop"),
            "{put}"
        );
        assert_eq!(world.bucket.bytes("vic/pages/index.html").unwrap(), "<html>");
        world.bucket.remove("vic/pages/index.html");
        publish_entries(&*world.bucket, &layout, &ours, 99, &writer(thief, "x1", &ours)).await.unwrap_err();
        assert!(world.bucket.stored("vic/pages/index.html").is_none());
        // A build with such a file is refused from the start.
        let refused = publish_as(&world, "vic/", thief, "x2", one_file("pages/new.html", "evil")).await.unwrap_err();
        assert_eq!(refused.reason(), "PathOfAnotherRelease");
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_that_a_release_around_names_is_not_taken_for_a_live_site() {
    let world = World::new();
    publish_as(&world, "vic/", "web/shop", "v1", one_file("pages/index.html", "theirs")).await.unwrap();
    let ours = publish_as(&world, "vic/pages/", "eve/eve", "x1", one_file("robots.txt", "evil")).await.unwrap();
    // As another tool leaves it: without a writer.
    world.bucket.overwrite("vic/pages/index.html", "theirs");
    world.bucket.overwrite("vic/pages/robots.txt", "nobody's");
    let layout = Layout::new("", "vic/pages/");
    let put = publish_entries(&*world.bucket, &layout, &ours, 1, &writer("eve/eve", "x1", &ours)).await.unwrap_err();
    assert!(matches!(&put, EntriesFailure::Foreign { key, .. } if key == "vic/pages/index.html"), "{put}");
    assert_eq!(world.bucket.bytes("vic/pages/index.html").unwrap(), "theirs");
    assert_eq!(world.bucket.bytes("vic/pages/robots.txt").unwrap(), "evil", "what nobody names can be adopted");
}

/// Folders that nobody has claimed are looked for in one listing, which is as long as the site.
#[tokio::test(start_paused = true)]
async fn a_build_with_many_new_folders_is_published_into_a_prefix_of_more_than_100_000_objects() {
    let world = World::new();
    for number in 0..100_001 {
        world.bucket.overwrite(&format!("shop/.rollcall/objects/{number:06}"), "old");
    }
    let many = |text: &str| -> Files {
        let folders = (0..33).map(|folder| (format!("{folder}/a.js"), text.as_bytes().to_vec()));
        folders.chain([("index.html".to_owned(), b"<html>".to_vec())]).collect()
    };
    publish_as(&world, "shop/", "web/shop", "v1", many("ours")).await.unwrap();
    // The folder of another one is found among them.
    world.bucket.overwrite("shop/7/.rollcall/owner.json", r#"{"ownerVersion":1,"cluster":"c","release":"web/other"}"#);
    assert_eq!(publish_as(&world, "shop/", "web/shop", "v2", many("new")).await.unwrap_err().reason(), "PathOfAnotherRelease");
}

/// A prefix is handed over by removing its owner object: who published there before is known by the records.
#[tokio::test(start_paused = true)]
async fn a_release_that_was_renamed_takes_over_its_pages() {
    let world = World::new();
    let layout = Layout::new("", "shop/");
    let old = publish_as(&world, "shop/", "web/old", "v1", one_file("about.html", "old")).await.unwrap();
    publish_entries(&*world.bucket, &layout, &old, 7, &writer("web/old", "v1", &old)).await.unwrap();
    let new = publish_as(&world, "shop/", "web/new", "v2", one_file("about.html", "new")).await.unwrap();
    publish_entries(&*world.bucket, &layout, &new, 8, &writer("web/new", "v2", &new)).await.unwrap();
    assert_eq!(world.bucket.bytes("shop/about.html").unwrap(), "new");
}

#[tokio::test(start_paused = true)]
async fn a_file_in_an_excluded_part_is_refused() {
    let world = World::new();
    world.put("v1", one_file("admin/app-BEcQUh0e.js", "x"));
    let layout = Layout::new("", "shop/").excluding(&["admin/".to_owned()]);
    let request = Publish { layout, ..world.request("v1") };
    let progress = watch::Sender::new(Progress::default());
    let tools = world.tools(world.faulty.clone());
    let refused = publish(&tools, &request, world.fetch("v1"), &progress, &CancellationToken::new()).await.unwrap_err();
    assert_eq!(refused.reason(), "ExcludedPath");
    assert!(world.bucket.keys().is_empty());
}

/// Many folders are looked for in a listing.
#[tokio::test(start_paused = true)]
async fn a_claimed_folder_is_found_among_many() {
    let world = World::new();
    world.bucket.overwrite("shop/d77/.rollcall/owner.json", r#"{"ownerVersion":1,"cluster":"d","release":"web/inner"}"#);
    let mut files = build("one");
    files.extend((0..100).map(|number| (format!("d{number}/x.html"), b"x".to_vec())));
    let refused = publish_as(&world, "shop/", "web/shop", "v1", files).await.unwrap_err();
    assert!(refused.reason() == "PathOfAnotherRelease" && refused.to_string().contains("web/inner"), "{refused}");
}
