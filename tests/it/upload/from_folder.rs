//! Builds that lie in a folder of another bucket: what is copied and what is sent, what a wrong folder leaves behind (nothing), and that
//! nobody ever writes there. Once for real: two buckets of one store, and two stores.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_s3::types::ChecksumAlgorithm;
use rollcall::api::{ContentHash, ManifestDigest};
use rollcall::bucket::faulty::{Failure, Fault, FaultyBucket, Operation};
use rollcall::bucket::memory::MemoryBucket;
use rollcall::bucket::s3::S3Bucket;
use rollcall::bucket::{Attributes, Body, Bucket, BucketError, Copied, Created, Expected, Listed, Original, Page, Pieces, Stored, Swapped};
use rollcall::source::archive::Limits;
use rollcall::source::bucket::{BuildFolder, BuildPlace, Kinship, Pin, read};
use rollcall::source::{Allotment, Build, SourceError, Workspace};
use rollcall::upload::{
    FailureClass, Prepared, Progress, Publish, PublishFailure, Published, Publisher, publish, read_manifest, read_record, verify,
};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::world::{Files, World, build};
use crate::bucket_contract::clauses;
use crate::bucket_contract::over_s3::Server;
use crate::bucket_contract::third_party::ThirdParty;
use crate::dev_store::Running;

/// More than is always brought here.
const LARGE: usize = 300_000;

/// Everything that writes.
const WRITES: [Operation; 5] = [Operation::Create, Operation::Copy, Operation::Replace, Operation::Delete, Operation::GiveUpUploads];

fn film() -> (String, Vec<u8>) {
    ("assets/film-BEcQUh0e.mp4".into(), (0..=250).cycle().take(LARGE).collect())
}

fn with_film(name: &str) -> Files {
    let mut files = build(name);
    files.push(film());
    files
}

async fn digest_of(request: &Publish, files: Files) -> ManifestDigest {
    let files = files.into_iter().map(|(path, content)| (path, content.into()));
    Prepared::read(request, Build::in_memory(files)).await.unwrap().0.digest
}

/// A store, and the folder of `v1` in another bucket of the same.
struct Folder {
    world: World,
    builds: Arc<MemoryBucket>,
    faulty: Arc<FaultyBucket>,
    workspace: TempDir,
}

impl Folder {
    fn with(files: Files) -> Self {
        let world = World::new();
        let builds = Arc::new(MemoryBucket::named("ci-builds", world.clock.clone()));
        world.bucket.stand_beside(&builds);
        let folder = Self { faulty: Arc::new(FaultyBucket::new(builds.clone())), builds, world, workspace: TempDir::new().unwrap() };
        for (path, content) in files {
            folder.builds.overwrite(&format!("shop/v1/{path}"), content);
        }
        folder
    }

    fn place() -> BuildPlace {
        BuildPlace { bucket: "ci-builds".into(), folder: "shop/v1/".into() }
    }

    fn space(&self) -> Allotment {
        Workspace::new(self.workspace.path(), 1 << 30).of("shop")
    }

    async fn read(&self, kinship: Kinship) -> Result<Build, SourceError> {
        let folder = BuildFolder { bucket: self.faulty.clone(), place: Self::place(), kinship, limits: Limits::default() };
        read(folder, &self.space()).await
    }

    /// The publish of this build, and no other.
    async fn request(&self, files: Files) -> Publish {
        let request = Publish { publisher: Publisher::OneAtATime("id".into()), ..self.world.request("v1") };
        let pin = Pin { digest: digest_of(&request, files).await, place: Self::place().to_string() };
        Publish { pin: Some(pin), ..request }
    }

    async fn publish(&self, kinship: Kinship, pinned: Files) -> Result<Published, PublishFailure> {
        self.publish_through(self.world.faulty.clone(), self.read(kinship), pinned).await
    }

    async fn publish_through(
        &self,
        store: Arc<dyn Bucket>,
        build: impl Future<Output = Result<Build, SourceError>>,
        pinned: Files,
    ) -> Result<Published, PublishFailure> {
        let (request, progress) = (self.request(pinned).await, watch::Sender::new(Progress::default()));
        publish(&self.world.tools(store), &request, build, &progress, &CancellationToken::new()).await
    }

    fn assert_untouched(&self) {
        for operation in WRITES {
            assert_eq!(self.faulty.calls(operation), 0, "{operation:?} in the bucket of builds");
        }
        assert!(std::fs::read_dir(self.workspace.path()).unwrap().next().is_none(), "nothing is left in the workspace");
    }
}

// I1, I3
#[tokio::test(start_paused = true)]
async fn a_folder_becomes_what_the_same_files_become_by_any_other_way() {
    let other = World::new();
    other.put("v1", with_film("one"));
    let by_archive = other.publish("v1").await.unwrap();
    for (kinship, copies) in [(Kinship::Same, 1), (Kinship::Other, 0)] {
        let folder = Folder::with(with_film("one"));
        let published = folder.publish(kinship, with_film("one")).await.unwrap();
        assert_eq!(published.record.digest, by_archive.record.digest);
        assert_eq!(published.progress, by_archive.progress);
        assert_eq!(folder.world.end_state(), other.end_state());
        assert_eq!(folder.world.faulty.calls(Operation::Copy), copies, "the large one, where it can be copied");
        folder.world.check();
        let film = folder.world.bucket.stored("s/shop/assets/film-BEcQUh0e.mp4").unwrap();
        assert_eq!(film.content_type.as_deref(), Some("video/mp4"), "our headers, not those of the folder");
        assert_eq!(film.cache_control.as_deref(), Some("public, max-age=31536000, immutable"));
        assert_eq!(film.writer.map(|writer| writer.digest), Some(published.record.digest));
        folder.assert_untouched();
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_store_has_is_neither_copied_nor_sent_again() {
    let folder = Folder::with(with_film("two"));
    let mut before = with_film("one");
    before.push(("old.txt".into(), b"old".to_vec()));
    folder.world.put("v0", before);
    folder.world.publish("v0").await.unwrap();
    let published = folder.publish(Kinship::Same, with_film("two")).await.unwrap();
    assert_eq!((published.progress.objects_sent, published.progress.objects_reused), (2, 4), "{:?}", published.progress);
    assert_eq!(folder.world.faulty.calls(Operation::Copy), 0);
    let (log, reads) = (folder.world.bucket.log().len(), folder.faulty.calls(Operation::Read));
    folder.publish(Kinship::Same, with_film("two")).await.unwrap();
    assert_eq!(folder.world.bucket.log().len(), log, "I7: a repetition writes nothing");
    assert_eq!(folder.faulty.calls(Operation::Read), 2 * reads);
    folder.assert_untouched();
}

/// Whoever names a folder must not learn the names in it.
#[tokio::test(start_paused = true)]
async fn no_name_of_a_folder_is_told_before_its_digest_is_right() {
    let folder = Folder::with(vec![
        ("index.html".to_owned(), "x".into()),
        ("Secret.txt".to_owned(), "".into()),
        ("secret.txt".to_owned(), "".into()),
    ]);
    let failure = folder.publish(Kinship::Same, build("two")).await.unwrap_err();
    assert_eq!((failure.reason(), failure.class()), ("CollidingPaths", FailureClass::Permanent));
    assert!(!failure.to_string().to_lowercase().contains("secret"), "{failure}");
    folder.assert_untouched();
}

#[tokio::test(start_paused = true)]
async fn another_build_than_the_pinned_one_is_refused_before_anything_is_written() {
    let folder = Folder::with(with_film("one"));
    let failure = folder.publish(Kinship::Same, build("two")).await.unwrap_err();
    assert_eq!((failure.reason(), failure.class()), ("WrongBuild", FailureClass::Permanent));
    let (message, request) = (failure.to_string(), folder.request(with_film("one")).await);
    let asked_for = digest_of(&folder.world.request("v1"), build("two")).await;
    assert!(message.contains(asked_for.as_str()), "{message}");
    let lies_there = request.pin.unwrap().digest;
    assert!(!message.contains(lies_there.short()), "who names a folder must not learn what lies there: {message}");
    assert_eq!(folder.world.bucket.keys(), Vec::<String>::new());
    folder.assert_untouched();
}

// I1, I3
#[tokio::test(start_paused = true)]
async fn an_object_that_is_changed_before_it_is_copied_stops_the_publish_by_its_name() {
    let folder = Folder::with(with_film("one"));
    let (path, bytes) = film();
    let build = folder.read(Kinship::Same).await.unwrap();
    folder.builds.overwrite(&format!("shop/v1/{path}"), vec![b'!'; LARGE]);
    let failure = folder.publish_through(folder.world.faulty.clone(), async { Ok(build) }, with_film("one")).await.unwrap_err();
    assert_eq!((failure.reason(), failure.class()), ("SourceChanged", FailureClass::Transient));
    assert!(failure.to_string().contains(&format!(r#"{path:?} in folder "shop/v1/" of bucket "ci-builds""#)), "{failure}");
    assert!(folder.world.records().is_empty() && folder.world.bucket.stored(&folder.world.layout.key(&path)).is_none());
    // It is found for what it is by the next look, and when it is mended all goes on.
    assert_eq!(folder.publish(Kinship::Same, with_film("one")).await.unwrap_err().reason(), "WrongBuild");
    folder.builds.overwrite(&format!("shop/v1/{path}"), bytes);
    folder.publish(Kinship::Same, with_film("one")).await.unwrap();
    folder.world.check();
    folder.assert_untouched();
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_copy_after_all_is_asked_once_and_everything_is_sent() {
    let mut files = with_film("one");
    files.push(("assets/film-CEcQUh0e.mp4".into(), vec![b'2'; LARGE]));
    let folder = Folder::with(files.clone());
    let from = BuildFolder {
        bucket: folder.faulty.clone(),
        place: BuildPlace { bucket: "not-beside".into(), ..Folder::place() },
        kinship: Kinship::Same,
        limits: Limits::default(),
    };
    let store = Arc::new(FaultyBucket::new(folder.world.bucket.clone()));
    // One after the other, so that the second one knows.
    let tools = rollcall::upload::Tools { parallel: 1, ..folder.world.tools(store.clone()) };
    let request = folder.request(files).await;
    let space = folder.space();
    let build = read(from, &space);
    publish(&tools, &request, build, &watch::Sender::new(Progress::default()), &CancellationToken::new()).await.unwrap();
    assert_eq!(store.calls(Operation::Copy), 1);
    folder.world.check();
    folder.assert_untouched();
}

/// A store that copies whatever lies there now, under whatever description it was asked for, and computes no hash of it.
struct Careless {
    bucket: Arc<MemoryBucket>,
    copies: Vec<u8>,
    answers: Created,
}

#[async_trait]
impl Bucket for Careless {
    async fn create(&self, key: &str, body: Body, attributes: &Attributes) -> Result<Created, BucketError> {
        self.bucket.create(key, body, attributes).await
    }

    async fn copy(&self, key: &str, _: &Original, _: &Attributes) -> Result<Copied, BucketError> {
        self.bucket.overwrite(key, self.copies.clone());
        Ok(Copied::Ended(self.answers.clone()))
    }

    async fn replace(&self, key: &str, body: Body, attributes: &Attributes, expected: &Expected) -> Result<Swapped, BucketError> {
        self.bucket.replace(key, body, attributes, expected).await
    }

    async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<bytes::Bytes>, BucketError> {
        self.bucket.get(key, bytes_max).await
    }

    async fn read(&self, key: &str, etag: &str) -> Result<Option<Pieces>, BucketError> {
        self.bucket.read(key, etag).await
    }

    async fn head(&self, key: &str) -> Result<Option<Stored>, BucketError> {
        let described = || Some(ContentHash::of(&film().1));
        Ok(self.bucket.head(key).await?.map(|stored| Stored { sha256: stored.sha256.clone().or_else(described), ..stored }))
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, BucketError> {
        self.bucket.list(prefix, after).await
    }

    async fn give_up_uploads(&self, prefix: &str, before: jiff::Timestamp) -> Result<u64, BucketError> {
        self.bucket.give_up_uploads(prefix, before).await
    }

    async fn delete(&self, key: &str, etag: &str) -> Result<Swapped, BucketError> {
        self.bucket.delete(key, etag).await
    }
}

// I1, I3: nobody's word is taken for what a copy holds.
#[tokio::test(start_paused = true)]
async fn a_copy_whose_hash_nobody_vouches_for_is_read_back_and_kept_only_if_it_is_right() {
    let (path, right) = film();
    for (copies, is_right) in [(right, true), (vec![b'!'; LARGE], false)] {
        let folder = Folder::with(with_film("one"));
        let store = Arc::new(Careless { bucket: folder.world.bucket.clone(), copies, answers: Created::New });
        let ended = folder.publish_through(store, folder.read(Kinship::Same), with_film("one")).await;
        assert_eq!(ended.as_ref().err().map(PublishFailure::reason), (!is_right).then_some("SourceChanged"));
        assert_eq!(folder.world.bucket.stored(&folder.world.layout.key(&path)).is_some(), is_right);
        assert_eq!(folder.world.records().len(), usize::from(is_right));
    }
}

// I1, I3: the answer to a copy was lost, and the store says of the second request that the object is there.
#[tokio::test(start_paused = true)]
async fn a_copy_that_nobody_looked_at_is_not_taken_for_right_by_its_description() {
    for (copies, is_right) in [(film().1, true), (vec![b'!'; LARGE], false)] {
        let folder = Folder::with(with_film("one"));
        let store = Arc::new(Careless { bucket: folder.world.bucket.clone(), copies, answers: Created::Same });
        let ended = folder.publish_through(store, folder.read(Kinship::Same), with_film("one")).await;
        assert_eq!(ended.as_ref().err().map(PublishFailure::reason), (!is_right).then_some("ObjectConflict"));
        assert_eq!(folder.world.records().len(), usize::from(is_right));
    }
}

// I1, I3, I7
#[tokio::test(start_paused = true)]
async fn whichever_request_fails_the_next_try_goes_on() {
    let whole = Folder::with(with_film("one"));
    whole.publish(Kinship::Same, with_film("one")).await.unwrap();
    let mut points = 0;
    let bucket_of = |folder: &Folder, store: bool| if store { folder.world.faulty.clone() } else { folder.faulty.clone() };
    for (store, operations) in [
        (true, &[Operation::Create, Operation::Copy, Operation::Head, Operation::Get, Operation::List, Operation::Delete][..]),
        (false, &[Operation::List, Operation::Head]),
    ] {
        for operation in operations {
            for nth in 1..=bucket_of(&whole, store).calls(*operation) {
                for fault in [Fault::Before(Failure::Unavailable), Fault::After(Failure::Unavailable), Fault::Before(Failure::Denied)] {
                    let folder = Folder::with(with_film("one"));
                    bucket_of(&folder, store).fail_nth(*operation, nth, fault);
                    let first = folder.publish(Kinship::Same, with_film("one")).await;
                    folder.world.check();
                    assert!(first.err().is_none_or(|failure| failure.class() == FailureClass::Transient));
                    folder.publish(Kinship::Same, with_film("one")).await.unwrap();
                    folder.world.check();
                    folder.assert_untouched();
                    assert_eq!(folder.world.end_state(), whole.world.end_state(), "{operation:?} {nth} {fault:?}");
                    points += 1;
                }
            }
        }
    }
    assert!(points > 40, "{points} points are too few to be all");
}

/// A folder as another tool puts it there: the small files and one film without a SHA-256, the other film with one.
async fn put_by_another_tool(server: Server<'_>, files: &Files) -> Vec<Listed> {
    let client = server.client();
    client.create_bucket().bucket("ci-builds").send().await.unwrap();
    for (path, content) in files {
        let put = client.put_object().bucket("ci-builds").key(format!("shop/v1/{path}")).content_type("binary/octet-stream");
        let put = put.set_checksum_algorithm(path.contains("hashed").then_some(ChecksumAlgorithm::Sha256));
        put.body(content.clone().into()).send().await.unwrap();
    }
    listed(server).await
}

async fn listed(server: Server<'_>) -> Vec<Listed> {
    S3Bucket::connect(&server.settings("ci-builds")).unwrap().list("", None).await.unwrap().objects
}

struct Counted {
    copies: u64,
    /// Of the bucket of builds.
    reads: u64,
}

/// A build with two films goes from one server's bucket into a bucket of the same or another one.
async fn published_for_real(from: Server<'_>, to: Server<'_>, kinship: Kinship, files: Files, workspace: &Path) -> Counted {
    let store = Arc::new(FaultyBucket::new(Arc::new(S3Bucket::connect(&to.settings("web")).unwrap())));
    let builds = Arc::new(FaultyBucket::new(Arc::new(S3Bucket::connect(&from.settings("ci-builds")).unwrap())));
    let (world, before) = (World::new(), listed(from).await);
    let mut request = world.request("v1");
    request.pin = Some(Pin { digest: digest_of(&request, files.clone()).await, place: "here".into() });
    let place = BuildPlace { bucket: "ci-builds".into(), folder: "shop/v1/".into() };
    let folder = BuildFolder { bucket: builds.clone(), place, kinship, limits: Limits::default() };
    let progress = watch::Sender::new(Progress::default());
    let (tools, space) = (world.tools(store.clone()), Workspace::new(workspace, 1 << 30).of("shop"));
    let published = publish(&tools, &request, read(folder, &space), &progress, &CancellationToken::new()).await.unwrap();
    assert!(verify(&*store, &world.layout, &published.record.digest).await.unwrap().is_complete());
    assert_eq!(read_record(&*store, &world.layout, "v1").await.unwrap(), Some(published.record.clone()));
    let manifest = read_manifest(&*store, &world.layout, &published.record.digest).await.unwrap().unwrap();
    assert_eq!(manifest.files.len(), files.len());
    for file in &manifest.files {
        let bytes = store.get(&world.layout.key(&file.key()), file.size).await.unwrap().unwrap();
        assert_eq!(ContentHash::of(&bytes), file.sha256, "{}", file.path);
    }
    let film = store.head(&world.layout.key("assets/hashed-BEcQUh0e.mp4")).await.unwrap().unwrap();
    assert_eq!(film.content_type.as_deref(), Some("video/mp4"));
    assert_eq!(clauses::create(&*store, "new", b"x", "v1").await, Ok(Created::New), "the store is in order");
    assert_eq!(listed(from).await, before, "nothing was changed in the bucket of builds");
    assert!(WRITES.iter().all(|operation| builds.calls(*operation) == 0));
    assert_eq!(std::fs::read_dir(workspace).unwrap().count(), 0, "nothing is left in the workspace");
    Counted { copies: store.calls(Operation::Copy), reads: builds.calls(Operation::Read) }
}

fn with_two_films() -> Files {
    let mut files = with_film("one");
    files.push(("assets/hashed-BEcQUh0e.mp4".into(), vec![b'h'; 3 * LARGE]));
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_in_the_same_store_and_one_in_another_store_for_real() {
    let folders = [TempDir::new().unwrap(), TempDir::new().unwrap(), TempDir::new().unwrap()];
    let one = Running::start(folders[0].path(), "web").await;
    let other = Running::start(folders[1].path(), "web").await;
    put_by_another_tool(one.server(), &with_two_films()).await;
    let small = build("one").len() as u64;
    let near = published_for_real(one.server(), one.server(), Kinship::Same, with_two_films(), folders[2].path()).await;
    assert_eq!((near.copies, near.reads), (2, small + 1), "the film without a SHA-256 is read, none is sent");
    let far = published_for_real(one.server(), other.server(), Kinship::Other, with_two_films(), folders[2].path()).await;
    assert_eq!((far.copies, far.reads), (0, small + 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_on_a_strict_third_party_store_for_real() {
    let Some(versitygw) = ThirdParty::versitygw().await else { return };
    let workspace = TempDir::new().unwrap();
    versitygw.server().client().create_bucket().bucket("web").send().await.unwrap();
    put_by_another_tool(versitygw.server(), &with_two_films()).await;
    let small = build("one").len() as u64;
    let counted = published_for_real(versitygw.server(), versitygw.server(), Kinship::Same, with_two_films(), workspace.path()).await;
    assert_eq!(counted.copies, 2);
    assert!(counted.reads <= small + 2, "{}", counted.reads);
}
