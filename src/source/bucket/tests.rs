//! Folders in memory: what is read of them, what is refused, and what is never done there.

use std::collections::BTreeMap;

use tempfile::TempDir;

use super::super::path::PART_BYTES_MAX;
use super::*;
use crate::api::ContentHash;
use crate::bucket::faulty::{Failure, Fault, FaultyBucket, Operation};
use crate::bucket::memory::{Change, MemoryBucket};
use crate::bucket::{Attributes, Body};
use crate::clock::SystemClock;
use crate::source::Workspace;

/// More than is always brought here.
const LARGE: usize = 200_000;

/// A folder `shop/v1/` in a bucket, and a workspace.
struct Builds {
    memory: Arc<MemoryBucket>,
    faulty: Arc<FaultyBucket>,
    folder: TempDir,
    workspace: Workspace,
}

impl Builds {
    /// By a tool that gives no hashes.
    fn of(files: &[(&str, &[u8])]) -> Self {
        let memory = Arc::new(MemoryBucket::named("ci", Arc::new(SystemClock)));
        for (path, content) in files {
            memory.overwrite(&format!("shop/v1/{path}"), content.to_vec());
        }
        // Beside it, with the same beginning.
        memory.overwrite("shop/v10/other.js", "other");
        let folder = TempDir::new().unwrap();
        let workspace = Workspace::new(folder.path(), 1 << 30);
        Self { faulty: Arc::new(FaultyBucket::new(memory.clone())), memory, folder, workspace }
    }

    /// By a tool that gives the hash, which the store has checked.
    async fn hashed(&self, path: &str, content: &[u8]) {
        let attributes = Attributes {
            content_type: "text/plain".into(),
            cache_control: String::new(),
            content_encoding: None,
            sha256: ContentHash::of(content),
            writer: None,
            sequence: None,
        };
        self.memory.create(&format!("shop/v1/{path}"), Body::Bytes(content.to_vec().into()), &attributes).await.unwrap();
    }

    fn folder(&self, kinship: Kinship) -> BuildFolder {
        let place = BuildPlace { bucket: "ci".into(), folder: "shop/v1/".into() };
        BuildFolder { bucket: self.faulty.clone(), place, kinship, limits: Limits::default() }
    }

    async fn read(&self, kinship: Kinship) -> Result<Build, SourceError> {
        read(self.folder(kinship), &self.workspace.of("shop")).await
    }

    async fn refusal(&self) -> SourceError {
        self.read(Kinship::Same).await.expect_err("it should be refused")
    }
}

fn found(build: &Build) -> BTreeMap<&str, (u64, ContentHash)> {
    build.files.iter().map(|file| (file.path.as_str(), (file.size, file.sha256.clone()))).collect()
}

async fn bytes_of(build: &Build, path: &str) -> Result<Vec<u8>, SourceError> {
    let file = build.files.iter().find(|file| file.path == path).unwrap();
    match build.bytes.body(path, &file.sha256, file.size).await? {
        Body::File { path, size } => {
            let bytes = std::fs::read(path).unwrap();
            assert_eq!(bytes.len() as u64, size);
            Ok(bytes)
        }
        Body::Bytes(_) | Body::Made(_) => panic!("it should lie in a file"),
    }
}

fn original(build: &Build, path: &str) -> Option<String> {
    let Bytes::InBucket(objects) = &build.bytes else { panic!("the build should lie in a bucket") };
    let file = build.files.iter().find(|file| file.path == path).unwrap();
    objects.original(path, &file.sha256).map(|original| format!("{}/{}", original.bucket, original.key))
}

#[tokio::test]
async fn every_object_below_the_folder_is_a_file_with_its_length_and_hash() {
    let large = vec![b'x'; LARGE];
    let files: [(&str, &[u8]); 4] =
        [("index.html", b"page"), ("assets/a-BEcQUh0e.js", b"a"), (".well-known/x", b""), ("film-BEcQUh0e.mp4", &large)];
    let builds = Builds::of(&files);
    builds.memory.overwrite("shop/v1/assets/", "");
    for kinship in [Kinship::Same, Kinship::Other] {
        let build = builds.read(kinship).await.unwrap();
        let expected = files.map(|(path, content)| (path, (content.len() as u64, ContentHash::of(content))));
        assert_eq!(found(&build), BTreeMap::from(expected));
        assert!(build.files.is_sorted_by_key(|file| &file.path));
        for (path, content) in files {
            assert_eq!(bytes_of(&build, path).await.unwrap(), content, "{path}");
        }
    }
    assert!(std::fs::read_dir(builds.folder.path()).unwrap().next().is_none(), "it went with the build");
    assert!(builds.memory.log().iter().all(|change| matches!(change, Change::Meddled { .. })), "nothing is written there");
}

#[tokio::test]
async fn a_large_object_whose_hash_the_store_computed_is_not_read_at_all_and_one_without_is_read_and_not_kept() {
    let (hashed, unhashed) = (vec![b'h'; LARGE], vec![b'u'; LARGE]);
    let builds = Builds::of(&[("unhashed.wasm", &unhashed), ("small.js", b"small")]);
    builds.hashed("hashed.wasm", &hashed).await;
    let build = builds.read(Kinship::Same).await.unwrap();
    assert_eq!(builds.faulty.calls(Operation::Read), 2, "the small one and the one without a hash");
    assert_eq!(original(&build, "hashed.wasm").as_deref(), Some("ci/shop/v1/hashed.wasm"));
    assert_eq!(original(&build, "unhashed.wasm").as_deref(), Some("ci/shop/v1/unhashed.wasm"));
    assert_eq!(original(&build, "small.js"), None, "it lies here");
    assert_eq!(bytes_of(&build, "hashed.wasm").await.unwrap(), hashed, "brought when it is asked for");
    assert_eq!(original(&build, "hashed.wasm"), None, "and then it lies here, too");
    let Bytes::InBucket(objects) = &build.bytes else { panic!() };
    objects.give_up_copying("NotImplemented");
    assert_eq!(original(&build, "unhashed.wasm"), None);
}

#[tokio::test]
async fn another_store_vouches_for_nothing_and_copies_nothing() {
    let builds = Builds::of(&[("index.html", b"page")]);
    builds.hashed("hashed.wasm", &vec![b'h'; LARGE]).await;
    let build = builds.read(Kinship::Other).await.unwrap();
    assert_eq!((builds.faulty.calls(Operation::Read), builds.faulty.calls(Operation::Head)), (2, 0));
    assert_eq!(original(&build, "hashed.wasm"), None);
}

#[tokio::test]
async fn what_an_archive_could_not_have_a_folder_cannot_have_either() {
    let long = format!("{}.js", "a".repeat(PART_BYTES_MAX));
    let cases: [(&[&str], &str, &str); 12] = [
        (&["../secret.js"], "UnsafePath", "has a `..`"),
        (&["assets/../../secret.js"], "UnsafePath", "\"assets/../../secret.js\""),
        (&["/etc/passwd"], "UnsafePath", "absolute"),
        (&["a\\b.js"], "UnsafePath", "backslash"),
        (&["a//b.js"], "UnsafePath", "an empty part"),
        (&["./a.js"], "UnsafePath", "an empty part or a `.`"),
        (&["a\n.js"], "UnsafePath", "control character"),
        (&[".rollcall/owner.json"], "UnsafePath", "belongs to Rollcall"),
        (&[long.as_str()], "UnsafePath", "longer than"),
        (&["A.js", "a.js"], "CollidingPaths", "letter case"),
        (&["\u{e9}.js", "e\u{301}.js"], "CollidingPaths", "Unicode form"),
        (&["assets", "assets/a.js"], "FileIsFolder", "lies below it"),
    ];
    for (paths, reason, text) in cases {
        let files: Vec<(&str, &[u8])> = paths.iter().map(|path| (*path, &b"x"[..])).collect();
        let builds = Builds::of(&files);
        let refusal = builds.refusal().await;
        assert!(refusal.reason() == reason && refusal.to_string().contains(text), "{paths:?}: {refusal}");
        assert_eq!(builds.faulty.calls(Operation::Read), 0, "before a byte is read");
    }
}

#[tokio::test]
async fn more_than_an_archive_may_hold_is_refused_by_the_listing_alone() {
    let builds = Builds::of(&[("a.js", b"12345"), ("b.js", b"12345"), ("c.js", b"12345")]);
    let cases = [
        (Limits { entries: 2, ..Limits::default() }, "TooManyEntries"),
        (Limits { file_bytes: 4, ..Limits::default() }, "FileTooLarge"),
        (Limits { total_bytes: 14, ..Limits::default() }, "BuildTooLarge"),
    ];
    for (limits, reason) in cases {
        let folder = BuildFolder { limits, ..builds.folder(Kinship::Same) };
        assert_eq!(read(folder, &builds.workspace.of("shop")).await.unwrap_err().reason(), reason);
    }
    assert_eq!(builds.faulty.calls(Operation::Read), 0);
}

#[tokio::test]
async fn a_folder_without_files_is_no_build_and_says_where_it_was_looked_for() {
    for builds in [Builds::of(&[]), Builds::of(&[("", b""), ("assets/", b"")])] {
        let refusal = builds.refusal().await;
        assert_eq!(refusal.reason(), "SourceNotFound");
        assert!(refusal.to_string().contains(r#"nothing in folder "shop/v1/" of bucket "ci": put the build there"#), "{refusal}");
    }
}

#[tokio::test]
async fn an_object_that_is_changed_meanwhile_is_never_used_whenever_it_happens() {
    let builds = Builds::of(&[("a.js", b"one"), ("film.mp4", &vec![b'o'; LARGE])]);
    for path in ["a.js", "film.mp4"] {
        let folder = builds.folder(Kinship::Same);
        let listed = listing::objects(&folder).await.unwrap();
        builds.memory.overwrite(&format!("shop/v1/{path}"), vec![b'c'; if path == "a.js" { 3 } else { LARGE }]);
        let changed = InBucket::new(folder, listed, &builds.workspace.of("shop")).unwrap().hash_all().await.unwrap_err();
        assert!(changed.reason() == "SourceChanged" && changed.to_string().contains(&format!("{path:?} in folder")), "{changed}");
    }
    let build = builds.read(Kinship::Same).await.unwrap();
    builds.memory.remove("shop/v1/film.mp4");
    assert_eq!(bytes_of(&build, "film.mp4").await.unwrap_err().reason(), "SourceChanged");
    assert_eq!(bytes_of(&build, "a.js").await.unwrap(), b"ccc", "what lies here stays what it was");
}

#[tokio::test]
async fn a_bucket_that_fails_is_told_apart_from_the_releases_own_store() {
    let failures = [
        (Failure::Unavailable, "SourceUnavailable", "failed for now"),
        (Failure::Denied, "SourceAccessDenied", "allowed to list and get below the folder"),
        (Failure::NoSuchBucket, "SourceBucketNotFound", "correct name, region or endpoint of spec.source.bucket"),
    ];
    for (failure, reason, text) in failures {
        let builds = Builds::of(&[("a.js", b"a")]);
        builds.faulty.break_off(failure);
        let refusal = builds.refusal().await;
        assert!(refusal.reason() == reason && refusal.to_string().contains(text), "{refusal}");
        builds.faulty.mend();
        builds.read(Kinship::Same).await.unwrap();
    }
}

#[tokio::test]
async fn a_read_that_breaks_off_is_made_again_and_not_for_ever() {
    let builds = Builds::of(&[("a.js", b"a")]);
    let broken = Fault::Before(Failure::Unavailable);
    builds.faulty.fail_nth(Operation::Read, 1, broken);
    builds.faulty.fail_nth(Operation::Read, 2, broken);
    builds.read(Kinship::Same).await.unwrap();
    for nth in 1..=3 {
        builds.faulty.fail_nth(Operation::Read, nth, broken);
    }
    assert_eq!(builds.refusal().await.reason(), "SourceUnavailable");
    assert_eq!(builds.faulty.calls(Operation::Read), 6);
}

#[test]
fn a_pin_names_its_digest_and_the_place_and_not_what_lies_there() {
    let (expected, actual) = (ManifestDigest::of(b"one"), ManifestDigest::of(b"other"));
    let mut source = BucketSource {
        name: "ci".into(),
        region: "us-east-1".into(),
        endpoint: None,
        force_path_style: false,
        credentials: None,
        folder: "shop/{version}/dist/{version}/".into(),
        digest: expected.as_str().into(),
    };
    let pin = Pin::of(&source, "1.0+b").unwrap();
    assert_eq!(pin.check(&expected), Ok(()));
    let refusal = pin.check(&actual).unwrap_err();
    assert_eq!(refusal.reason(), "WrongBuild");
    let message = refusal.to_string();
    assert!(
        [expected.as_str(), r#"folder "shop/1.0+b/dist/1.0+b/" of bucket "ci""#].iter().all(|part| message.contains(part)),
        "{message}"
    );
    assert!(!message.contains(actual.short()), "{message}");
    source.digest = "9F86".into();
    assert_eq!(Pin::of(&source, "v1"), Err(Refusal::InvalidDigest { given: "9F86".into() }));
}
