//! Entry files at their public keys: pages last (I10), never over a later flip (I4), repaired when something else lies there.

use rollcall::api::{ContentHash, ManifestDigest};
use rollcall::bucket::memory::Change;
use rollcall::bucket::{Attributes, Body, Bucket as _, Swapped};
use rollcall::manifest::{Manifest, Writer};
use rollcall::upload::{EntriesFailure, EntriesPublished, entries_confirmed, publish_entries};

use super::world::{World, build};

struct Site {
    world: World,
    manifests: [Manifest; 2],
}

async fn site() -> Site {
    let world = World::new();
    for (version, name) in [("v1", "one"), ("v2", "two")] {
        let mut files = build(name);
        files.push(("about/index.html".into(), format!("about {name}").into_bytes()));
        files.push(("sw.js".into(), format!("worker {name}").into_bytes()));
        world.put(version, files);
    }
    let one = world.publish("v1").await.unwrap().manifest;
    let two = world.publish("v2").await.unwrap().manifest;
    Site { world, manifests: [(*one).clone(), (*two).clone()] }
}

impl Site {
    async fn put(&self, version: usize, sequence: i64) -> Result<EntriesPublished, EntriesFailure> {
        let writer = Writer { release: "web/shop".into(), version: format!("v{version}"), digest: ManifestDigest::of(b"x") };
        publish_entries(&*self.world.faulty, &self.world.layout, &self.manifests[version - 1], sequence, &writer).await
    }

    async fn wrong(&self, version: usize) -> Vec<String> {
        entries_confirmed(&*self.world.faulty, &self.world.layout, &self.manifests[version - 1]).await.unwrap().wrong
    }
}

#[tokio::test(start_paused = true)]
async fn a_pages_variant_comes_with_the_pages_and_says_how_it_is_encoded() {
    let world = World::new();
    let mut files = build("one");
    files.extend([("about.html", "a page"), ("about.html.br", "packed")].map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec())));
    world.put("v1", files);
    let manifest = world.publish("v1").await.unwrap().manifest;
    let writer = Writer { release: "web/shop".into(), version: "v1".into(), digest: ManifestDigest::of(b"x") };
    publish_entries(&*world.faulty, &world.layout, &manifest, 1, &writer).await.unwrap();
    let log = world.bucket.log();
    let place = |path: &str| {
        let is_it = |change: &Change| matches!(change, Change::Created { key, .. } | Change::Replaced { key, .. } if *key == format!("s/shop/{path}"));
        log.iter().position(is_it).unwrap()
    };
    assert!(place("robots.txt") < place("about.html.br"), "I10");
    let stored = world.bucket.stored("s/shop/about.html.br").unwrap();
    assert_eq!((stored.content_type.as_deref(), stored.content_encoding.as_deref()), (Some("text/html; charset=utf-8"), Some("br")));
    let bytes = manifest.files.iter().find(|file| file.path == "about.html.br").unwrap().key().into_owned();
    assert_eq!(world.bucket.stored(&world.layout.key(&bytes)).unwrap().content_encoding, None, "agents take it as it is");
    assert!(entries_confirmed(&*world.faulty, &world.layout, &manifest).await.unwrap().is_complete());
}

#[tokio::test(start_paused = true)]
async fn pages_are_written_after_what_stands_beside_them_and_the_front_page_last() {
    // I10
    let site = site().await;
    let before = site.world.bucket.log().len();
    assert_eq!(site.wrong(1).await.len(), 3, "what is unversioned was there before");
    assert_eq!(site.put(1, 1).await, Ok(EntriesPublished { written: 3, already: 2 }));
    let log = site.world.bucket.log();
    let keys: Vec<&str> = log[before..]
        .iter()
        .map(|change| match change {
            Change::Created { key, .. } | Change::Replaced { key, .. } => key.strip_prefix("s/shop/").unwrap(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(keys, ["sw.js", "about/index.html", "index.html"]);
    let page = site.world.bucket.stored("s/shop/index.html").unwrap();
    assert_eq!(
        (page.sequence, page.cache_control.as_deref(), page.content_type.as_deref()),
        (Some(1), Some("no-cache"), Some("text/html; charset=utf-8"))
    );
    assert_eq!(site.wrong(1).await, Vec::<String>::new());
    assert_eq!(site.put(1, 1).await, Ok(EntriesPublished { written: 0, already: 5 }), "I7: a repetition writes nothing");
}

#[tokio::test(start_paused = true)]
async fn a_later_flip_wins_and_an_earlier_one_gives_up() {
    // I4
    let site = site().await;
    site.put(1, 1).await.unwrap();
    assert_eq!(site.put(2, 2).await, Ok(EntriesPublished { written: 3, already: 2 }));
    let late = site.put(1, 1).await.unwrap_err();
    assert!(matches!(&late, EntriesFailure::Superseded { theirs: 2, ours: 1, .. }), "{late}");
    assert_eq!(site.wrong(2).await, Vec::<String>::new());
    // A rollback is a new flip.
    assert_eq!(site.put(1, 3).await.unwrap().written, 3);
    assert_eq!(site.wrong(1).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_late_write_of_an_earlier_flip_is_found_and_repaired() {
    // I4: S3 cannot fence it.
    let site = site().await;
    site.put(1, 1).await.unwrap();
    site.put(2, 2).await.unwrap();
    let old = site
        .world
        .bucket
        .bytes(&site.world.layout.key(&site.manifests[0].files.iter().find(|file| file.path == "sw.js").unwrap().key()))
        .unwrap();
    site.world.bucket.overwrite("s/shop/sw.js", old);
    assert_eq!(site.wrong(2).await, ["s/shop/sw.js"]);
    assert_eq!(site.put(2, 2).await, Ok(EntriesPublished { written: 1, already: 4 }));
    assert_eq!(site.wrong(2).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_live_site_that_rollcall_did_not_write_is_taken_over() {
    let site = site().await;
    site.world.bucket.overwrite("s/shop/index.html", "the old site");
    let same = site
        .world
        .bucket
        .bytes(&site.world.layout.key(&site.manifests[0].files.iter().find(|file| file.path == "robots.txt").unwrap().key()));
    site.world.bucket.overwrite("s/shop/robots.txt", same.unwrap());
    assert_eq!(site.put(1, 1).await.unwrap().written, 4, "only the icon is ours already");
    assert_eq!(site.wrong(1).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn lost_or_damaged_bytes_are_named() {
    let site = site().await;
    let file = site.manifests[0].files.iter().find(|file| file.path == "sw.js").unwrap().clone();
    let key = site.world.layout.key(&file.key());
    site.world.bucket.overwrite(&key, "damaged");
    assert_eq!(site.put(1, 1).await.unwrap_err().reason(), "EntryBytesDamaged");
    site.world.bucket.remove(&key);
    assert_eq!(site.put(1, 1).await, Err(EntriesFailure::BytesMissing { path: "sw.js".into(), key }));
    // Nothing that a page needs was changed before.
    assert_eq!(site.world.bucket.head("s/shop/index.html").await, Ok(None));
}

/// An edit of a comment changes a map and not the name that it has from its script.
#[tokio::test(start_paused = true)]
async fn a_source_map_changes_with_the_flip_and_one_that_was_stored_as_an_object_stays() {
    let world = World::new();
    for (version, text) in [("v1", "one"), ("v2", "two")] {
        let mut files = build("one");
        files.push(("assets/cart-BEcQUh0e.js.map".into(), text.as_bytes().to_vec()));
        world.put(version, files);
    }
    let writer = Writer { release: "web/shop".into(), version: "v1".into(), digest: ManifestDigest::of(b"x") };
    let key = "s/shop/assets/cart-BEcQUh0e.js.map";
    for (version, sequence, text) in [("v1", 1, "one"), ("v2", 2, "two")] {
        let manifest = world.publish(version).await.unwrap().manifest;
        publish_entries(&*world.faulty, &world.layout, &manifest, sequence, &writer).await.unwrap();
        assert_eq!(world.bucket.get(key, 99).await.unwrap().unwrap(), text);
    }
    // As versions before this one stored it.
    let manifest = world.publish("v2").await.unwrap().manifest;
    let stored = world.bucket.stored(key).unwrap();
    assert_eq!(world.bucket.delete(key, &stored.etag).await.unwrap(), Swapped::Done);
    let attributes = Attributes {
        content_type: "application/json".into(),
        cache_control: "public, max-age=31536000, immutable".into(),
        content_encoding: None,
        sha256: ContentHash::of(b"old"),
        writer: Some(writer.clone()),
        sequence: None,
    };
    world.bucket.create(key, Body::Bytes("old".into()), &attributes).await.unwrap();
    publish_entries(&*world.faulty, &world.layout, &manifest, 3, &writer).await.unwrap();
    assert_eq!(world.bucket.get(key, 99).await.unwrap().unwrap(), "old", "I3");
    assert!(entries_confirmed(&*world.faulty, &world.layout, &manifest).await.unwrap().is_complete());
}
