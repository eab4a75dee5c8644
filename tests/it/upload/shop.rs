//! The real builds of the example shop, out of real archives, through the real source's archive reader.

use std::path::Path;

use rollcall::api::{BuildManifestSpec, Format};
use rollcall::manifest::readers::Decided;
use rollcall::manifest::{Class, classify};
use rollcall::upload::FailureClass;

use super::world::{Files, World};

pub fn files(version: &str) -> Files {
    files_of(&format!("examples/shop/builds/{version}"))
}

fn files_of(folder: &str) -> Files {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files = Vec::new();
    collect(&root, &root, &mut files);
    files
}

fn collect(root: &Path, folder: &Path, files: &mut Files) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            files.push((path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_shops_versions_share_most_of_their_objects() {
    let world = World::new();
    let mut sent = Vec::new();
    for version in ["v1", "v2", "v3"] {
        world.put(version, files(version));
        let published = world.publish(version).await.unwrap();
        assert_eq!(published.progress.objects_sent + published.progress.objects_reused, published.progress.objects_total);
        sent.push(published.progress.objects_sent);
        let entries: Vec<&str> = published.manifest.of_class(Class::Entry).map(|file| file.path.as_str()).collect();
        assert_eq!(entries, ["404.html", "about.html", "cart/index.html", "index.html", "version.json"]);
        let unversioned: Vec<&str> = published.manifest.of_class(Class::Unversioned).map(|file| file.path.as_str()).collect();
        assert_eq!(unversioned, ["favicon.ico", "robots.txt"], "all that Vite names is immutable");
        let named = published.manifest.files.iter().find(|file| file.logical_name.as_deref() == Some("cart/index.html")).unwrap();
        assert!(named.path.starts_with("assets/cart-"), "{named:?}");
        assert!(published.manifest.files.iter().all(|file| !file.path.starts_with(".vite/")));
    }
    assert!(sent[1] < sent[0] && sent[2] < sent[0] / 2, "{sent:?}");
    world.check();
    assert_eq!(world.records().len(), 3);
}

/// What `spec.build.manifest` says is done, and the version's record tells how the build was read (I9).
#[tokio::test(start_paused = true)]
async fn a_webpack_build_is_read_as_the_request_says_and_the_record_tells_how() {
    let world = World::new();
    world.put("v1", files_of("tests/data/builds/webpack/builds/stats"));
    let published = world.publish("v1").await.unwrap();
    let read = published.record.build.clone().unwrap();
    assert_eq!((read.assets, read.entries), (4, 2), "the short hashes count on webpack's word");
    assert!(read.sentence().starts_with(r#"4 assets, 2 entry files; names from "stats.json" (Webpack, at its usual place)"#));
    assert!(published.manifest.files.iter().all(|file| file.path != "stats.json"), "statistics are not for visitors");
    let main = published.manifest.files.iter().find(|file| file.path == "main.9f20ed.js").unwrap();
    assert_eq!((main.class, main.logical_name.as_deref()), (Class::Asset, Some("main.js")));
    assert_eq!(world.records()["v1"], published.record, "it is stored");

    world.put("v2", files_of("tests/data/builds/webpack/builds/stats"));
    let folder = world.publish_reading("v2", BuildManifestSpec { format: Format::Folder, path: None }).await.unwrap();
    assert_eq!(folder.manifest.of_class(Class::Asset).count(), 0, "nobody vouches for six characters");
    assert_eq!(folder.record.build.unwrap().reading.decided, Decided::AskedFor);

    world.put("v3", files_of("tests/data/builds/webpack/builds/stats"));
    let failure = world.publish_reading("v3", BuildManifestSpec { format: Format::VersionJson, path: None }).await.unwrap_err();
    assert_eq!((failure.reason(), failure.class()), ("BuildManifestMissing", FailureClass::Permanent));
}

#[tokio::test(start_paused = true)]
async fn a_file_that_only_the_build_tools_manifest_knows_is_missed() {
    let world = World::new();
    let mut files = files_of("tests/data/builds/webpack/builds/react-scripts");
    files.retain(|(path, _)| path != "static/js/cart.679d7417.js" && !classify::is_source_map(path));
    world.put("v1", files);
    let failure = world.publish("v1").await.unwrap_err();
    assert_eq!(failure.reason(), "MissingReference");
    // The runtime's own map names it, too.
    let expected = r#": asset-manifest.json refers to "/static/js/cart.679d7417.js" (another reference leads there, too); build again"#;
    assert!(failure.to_string().contains(expected), "{failure}");
}
