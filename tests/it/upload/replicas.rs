//! Replicas by the engine alone: whatever fails and wherever it ends, a record in a replica says that its version is whole there (I1), and
//! nothing in it changes its bytes (I3). Once for real: two buckets of one store, and two stores.

use rollcall::source::Workspace;
use std::path::Path;
use std::sync::Arc;

use rollcall::api::ManifestDigest;
use rollcall::bucket::faulty::{Failure, Fault, FaultyBucket, Operation};
use rollcall::bucket::memory::{Change, MemoryBucket};
use rollcall::bucket::s3::S3Bucket;
use rollcall::bucket::{Bucket, Created};
use rollcall::manifest::{Layout, Writer};
use rollcall::upload::replica::{Pair, Place, ReplicaFailure, backfill, bring_version};
use rollcall::upload::{Progress, publish_entries, read_manifest, verify};
use tokio::sync::watch;

use super::world::{World, build};
use crate::bucket_contract::clauses;
use crate::bucket_contract::third_party::ThirdParty;
use crate::dev_store::Running;

/// A store with versions and an empty replica at another prefix.
struct Pairs {
    world: World,
    replica: Arc<MemoryBucket>,
    faulty: Arc<FaultyBucket>,
    layout: Layout,
    digests: Vec<ManifestDigest>,
}

impl Pairs {
    async fn with(versions: &[&str]) -> Self {
        let world = World::new();
        let mut digests = Vec::new();
        for version in versions {
            world.put(version, build(version));
            digests.push(world.publish(version).await.unwrap().record.digest);
        }
        let replica = Arc::new(MemoryBucket::named("eu", world.clock.clone()));
        world.bucket.stand_beside(&replica);
        let faulty = Arc::new(FaultyBucket::new(replica.clone()));
        Self { world, replica, faulty, layout: Layout::new("far/", "shop/"), digests }
    }

    /// `original`: the bucket that the replica's store copies from.
    fn pair(&self, original: Option<&str>) -> Pair {
        let store = Place { bucket: self.world.bucket.clone(), layout: self.world.layout.clone() };
        let replica = Place { bucket: self.faulty.clone(), layout: self.layout.clone() };
        Pair::new(store, replica, original.map(Into::into), Workspace::new(Path::new("/nowhere"), 0).of("shop"))
    }

    async fn bring(&self, original: Option<&str>, version: &str) -> Result<Vec<String>, ReplicaFailure> {
        let at: usize = version[1..].parse().unwrap();
        bring_version(&self.pair(original), version, &self.digests[at - 1]).await
    }

    async fn fill(&self) -> Result<u64, ReplicaFailure> {
        backfill(&self.pair(Some("memory")), &watch::Sender::new(Progress::default())).await
    }

    fn has(&self, below: &str) -> bool {
        self.replica.stored(&self.layout.key(below)).is_some()
    }

    /// I1, as another program would read the replica.
    async fn check(&self) {
        for (at, digest) in self.digests.iter().enumerate() {
            if self.has(&format!(".rollcall/versions/v{}.json", at + 1)) && !self.has(&format!(".rollcall/swept/{}.json", digest.hex())) {
                let seen = verify(&*self.replica, &self.layout, digest).await.unwrap();
                assert!(seen.is_complete(), "v{}: {:?}", at + 1, seen.missing);
            }
        }
        let replaced = self.replica.log().into_iter().find(|change| matches!(change, Change::Replaced { .. }));
        assert_eq!(replaced, None, "I3");
    }
}

#[tokio::test(start_paused = true)]
async fn a_version_comes_whole_its_record_last_and_only_once() {
    for original in [Some("memory"), Some("no-such-bucket"), None] {
        let pairs = Pairs::with(&["v1", "v2"]).await;
        assert_eq!(pairs.bring(original, "v2").await, Ok(Vec::new()));
        pairs.check().await;
        let log = pairs.replica.log();
        let keys: Vec<&str> =
            log.iter().filter_map(|change| if let Change::Created { key, .. } = change { Some(key.as_str()) } else { None }).collect();
        assert_eq!(keys.last(), Some(&"far/shop/.rollcall/versions/v2.json"));
        assert!(keys[keys.len() - 2].contains("/manifests/"), "{keys:?}");
        let copied = pairs.replica.stored("far/shop/assets/shared-BEcQUh0e.js").unwrap();
        let there = pairs.world.bucket.stored("s/shop/assets/shared-BEcQUh0e.js").unwrap();
        assert_eq!((copied.writer, copied.cache_control, copied.content_type), (there.writer, there.cache_control, there.content_type));
        assert_eq!(pairs.bring(original, "v2").await, Ok(Vec::new()));
        assert_eq!(pairs.replica.log().len(), log.len(), "I7");
        assert!(!pairs.has(".rollcall/versions/v1.json"));
        let copies = pairs.faulty.calls(Operation::Copy);
        assert_eq!(copies > 1, original == Some("memory"), "a store that does not copy is asked once: {copies}");
    }
}

// I1, I3
#[tokio::test(start_paused = true)]
async fn whichever_request_fails_the_next_try_goes_on() {
    for operation in [Operation::Copy, Operation::Create, Operation::Head, Operation::List, Operation::Delete] {
        for nth in 1.. {
            let pairs = Pairs::with(&["v1", "v2"]).await;
            let fault = if nth % 2 == 0 { Fault::After(Failure::Unavailable) } else { Fault::Before(Failure::Denied) };
            pairs.faulty.fail_nth(operation, nth, fault);
            let failed = pairs.fill().await.is_err();
            pairs.check().await;
            if !failed {
                break;
            }
            assert_eq!(pairs.fill().await, Ok(0));
            assert!(pairs.has(".rollcall/versions/v1.json") && pairs.has(".rollcall/versions/v2.json"));
            pairs.check().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_back_fill_brings_what_is_ours_and_leaves_what_is_only_the_stores() {
    let pairs = Pairs::with(&["v1", "v2"]).await;
    let (store, layout) = (&pairs.world.bucket, &pairs.world.layout);
    store.overwrite(&layout.key("assets/foreign-0123456789ab.js"), "theirs");
    let manifest = read_manifest(&**store, layout, &pairs.digests[1]).await.unwrap().unwrap();
    let writer = Writer { release: "web/shop".into(), version: "v2".into(), digest: pairs.digests[1].clone() };
    publish_entries(&**store, layout, &manifest, 1, &writer).await.unwrap();
    clauses::create(&**store, &layout.swept(&pairs.digests[0]), b"{}", "v1").await.unwrap();
    store.remove(&layout.manifest(&pairs.digests[0]));
    let notes = [layout.owner(), layout.intent("x"), layout.references_of("c", "web/shop"), layout.sweep("s")];
    for note in &notes {
        clauses::create(&**store, note, b"{}", "v1").await.unwrap();
    }
    assert_eq!(pairs.fill().await, Ok(0));
    for there in [".rollcall/versions/v1.json", ".rollcall/versions/v2.json", "assets/shared-BEcQUh0e.js"] {
        assert!(pairs.has(there), "{there}");
    }
    assert!(pairs.has(&format!(".rollcall/swept/{}.json", pairs.digests[0].hex())), "or the record would say that v1 is whole");
    for missing in ["assets/foreign-0123456789ab.js", "index.html", ".rollcall/owner.json", ".rollcall/intents/x.json"] {
        assert!(!pairs.has(missing), "{missing}");
    }
    assert!(pairs.replica.keys().iter().all(|key| !key.contains("/references/") && !key.contains("/sweeps/")));
    // Published again: it is whole once more.
    notes.iter().chain([&layout.swept(&pairs.digests[0])]).for_each(|key| store.remove(key));
    pairs.world.publish("v1").await.unwrap();
    assert_eq!(pairs.fill().await, Ok(0));
    assert!(!pairs.has(&format!(".rollcall/swept/{}.json", pairs.digests[0].hex())));
    pairs.check().await;
}

/// I10: the pods' pages may come from any version that the replica holds, and load these from there.
#[tokio::test(start_paused = true)]
async fn unversioned_files_are_public_in_a_replica_whether_it_was_filled_or_brought_a_version() {
    let pairs = Pairs::with(&["v1", "v2"]).await;
    assert_eq!(pairs.fill().await, Ok(0));
    let of_replica = |below: &str| pairs.replica.stored(&pairs.layout.key(below)).map(|stored| stored.sequence);
    for public in ["favicon.ico", "robots.txt"] {
        assert_eq!(of_replica(public), Some(Some(0)), "{public}");
    }
    assert!(!pairs.has("index.html"), "a page comes with its flip");
    let (log, filled) = (pairs.replica.log().len(), pairs.fill().await);
    assert_eq!((filled, pairs.replica.log().len()), (Ok(0), log), "I7");
    // The record proves nothing of the public keys.
    pairs.replica.remove(&pairs.layout.key("favicon.ico"));
    assert_eq!(pairs.bring(None, "v2").await, Ok(Vec::new()));
    assert_eq!(of_replica("favicon.ico"), Some(Some(0)));
}

// I3
#[tokio::test(start_paused = true)]
async fn other_bytes_under_a_key_stop_it_and_stay() {
    for bytes in ["otherX", "of another length"] {
        let pairs = Pairs::with(&["v1"]).await;
        let key = pairs.layout.key("assets/hero-Dg-PRAVz.svg");
        clauses::create(&*pairs.replica, &key, bytes.as_bytes(), "v9").await.unwrap();
        let listed_alike = bytes.len() == "<svg/>".len();
        for failure in [pairs.bring(Some("memory"), "v1").await.err(), pairs.fill().await.err()] {
            match failure {
                Some(ReplicaFailure::Occupied { key: named, .. }) => assert_eq!(named, key),
                // A listing shows lengths; whoever writes below a replica's prefix past Rollcall is found by nothing but reading.
                other => assert!(listed_alike && other.is_none(), "{other:?}"),
            }
        }
        assert_eq!(pairs.replica.bytes(&key).unwrap(), bytes);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_store_lacks_or_was_spoiled_there_is_told_and_no_record_is_written() {
    let pairs = Pairs::with(&["v1"]).await;
    let key = "assets/hero-Dg-PRAVz.svg";
    pairs.world.bucket.remove(&pairs.world.layout.key(key));
    assert_eq!(pairs.bring(Some("memory"), "v1").await, Ok(vec![pairs.layout.key(key)]));
    clauses::create(&*pairs.world.bucket, &pairs.world.layout.key(key), b"spoilt", "v1").await.unwrap();
    let failure = pairs.bring(Some("memory"), "v1").await.unwrap_err();
    assert!(matches!(&failure, ReplicaFailure::Damaged { key: named, .. } if *named == pairs.world.layout.key(key)), "{failure}");
    assert!(!pairs.has(".rollcall/versions/v1.json") && !pairs.has(key));
}

/// A small site and a large file in a real store, brought into a replica by copy or through this process.
async fn brought_for_real(store: S3Bucket, replica: S3Bucket, original: Option<&str>) {
    let (world, workspace) = (World::new(), tempfile::tempdir().unwrap());
    let mut files = build("one");
    files.push(("assets/large-0123456789ab.wasm".into(), (0..3_000_000_u32).map(|n| (n % 251) as u8).collect()));
    files.push(("assets/shared-BEcQUh0e.js.br".into(), b"compressed beforehand".to_vec()));
    world.put("v1", files);
    let (store, replica): (Arc<dyn Bucket>, Arc<dyn Bucket>) = (Arc::new(store), Arc::new(replica));
    let digest = world.publish_through(store.clone(), "v1", &tokio_util::sync::CancellationToken::new()).await.unwrap().record.digest;
    let layout = Layout::new("far/", "shop/");
    let (from, to) = (Place { bucket: store, layout: world.layout.clone() }, Place { bucket: replica.clone(), layout: layout.clone() });
    let pair = Pair::new(from, to, original.map(Into::into), Workspace::new(workspace.path(), 1 << 30).of("shop"));
    for _ in 0..2 {
        assert_eq!(bring_version(&pair, "v1", &digest).await, Ok(Vec::new()));
    }
    assert_eq!(backfill(&pair, &watch::Sender::new(Progress::default())).await, Ok(0));
    let seen = verify(&*replica, &layout, &digest).await.unwrap();
    assert!(seen.is_complete(), "{seen:?}");
    for file in &seen.manifest.files {
        let bytes = replica.get(&layout.key(&file.key()), file.size).await.unwrap().unwrap();
        assert_eq!(rollcall::api::ContentHash::of(&bytes), file.sha256, "{}", file.path);
    }
    let variant = replica.head(&layout.key("assets/shared-BEcQUh0e.js.br")).await.unwrap().unwrap();
    assert_eq!(variant.content_encoding.as_deref(), Some("br"));
    assert_eq!(std::fs::read_dir(workspace.path()).unwrap().count(), 0, "nothing is left on the way");
    assert_eq!(clauses::create(&*replica, &layout.key("new"), b"x", "v1").await, Ok(Created::New));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_in_the_same_store_and_one_in_another_store_for_real() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let one = Running::start(folders[0].path(), "original").await;
    let other = Running::start(folders[1].path(), "replica").await;
    let bucket = |store: &Running, name: &str| S3Bucket::connect(&store.server().settings(name)).unwrap();
    for name in ["replica", "through-here"] {
        one.server().client().create_bucket().bucket(name).send().await.unwrap();
    }
    brought_for_real(bucket(&one, "original"), bucket(&one, "replica"), Some("original")).await;
    brought_for_real(bucket(&one, "original"), bucket(&one, "through-here"), None).await;
    brought_for_real(bucket(&one, "original"), bucket(&other, "replica"), None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_on_a_strict_third_party_store_for_real() {
    let Some(versitygw) = ThirdParty::versitygw().await else { return };
    let client = versitygw.server().client();
    for name in ["original", "replica"] {
        client.create_bucket().bucket(name).send().await.unwrap();
    }
    let bucket = |name: &str| S3Bucket::connect(&versitygw.server().settings(name)).unwrap();
    brought_for_real(bucket("original"), bucket("replica"), None).await;
}

/// I1: the replica missed the last flip's write of a public copy, and its length proves nothing of an asset.
#[tokio::test(start_paused = true)]
async fn a_public_copy_in_the_replica_that_became_an_asset_gives_way_to_its_bytes() {
    for other in ["run 1", "of another length"] {
        let mut pairs = Pairs::with(&[]).await;
        pairs.world.put("v1", vec![("index.html".into(), Vec::new()), ("js/app.js".into(), b"run 2".to_vec())]);
        let declared = rollcall::manifest::Declared { immutable: vec!["js/**".into()], unversioned: Vec::new() };
        let request = rollcall::upload::Publish { declared, ..pairs.world.request("v1") };
        let (tools, progress) = (pairs.world.tools(pairs.world.bucket.clone()), watch::Sender::new(Progress::default()));
        let source = pairs.world.fetch("v1");
        let cancel = tokio_util::sync::CancellationToken::new();
        let published = rollcall::upload::publish(&tools, &request, source, &progress, &cancel).await.unwrap();
        pairs.digests.push(published.record.digest);
        let key = pairs.layout.key("js/app.js");
        let attributes = rollcall::bucket::Attributes {
            content_type: "text/javascript".into(),
            cache_control: "no-cache".into(),
            content_encoding: None,
            sha256: rollcall::api::ContentHash::of(other.as_bytes()),
            writer: Some(Writer { release: "web/shop".into(), version: "v0".into(), digest: ManifestDigest::of(b"v0") }),
            sequence: Some(1),
        };
        let copy = rollcall::bucket::Body::Bytes(other.as_bytes().to_vec().into());
        pairs.replica.create(&key, copy, &attributes).await.unwrap();
        assert_eq!(pairs.bring(Some("memory"), "v1").await, Ok(Vec::new()), "{other}");
        assert_eq!(pairs.replica.bytes(&key).unwrap(), "run 2", "{other}");
        assert_eq!(pairs.replica.stored(&key).unwrap().sequence, None, "{other}");
    }
}
