//! The real builds of the example shop, out of real archives, through the real source's archive reader.

use std::path::Path;

use rollcall::manifest::Class;

use super::world::{Files, World};

pub fn files(version: &str) -> Files {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/shop/builds").join(version);
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
        assert_eq!(entries, ["404.html", "about.html", "cart/index.html", "favicon.ico", "index.html", "robots.txt", "version.json"]);
        let named = published.manifest.files.iter().find(|file| file.logical_name.as_deref() == Some("cart/index.html")).unwrap();
        assert!(named.path.starts_with("assets/cart-"), "{named:?}");
        assert!(published.manifest.files.iter().all(|file| !file.path.starts_with(".vite/")));
    }
    assert!(sent[1] < sent[0] && sent[2] < sent[0] / 2, "{sent:?}");
    world.check();
    assert_eq!(world.records().len(), 3);
}
