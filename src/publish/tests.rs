//! The whole command over a bucket in memory. Never the real program: `tests/it/publish_program.rs` is that.

use std::path::Path;

use async_trait::async_trait;
use clap::Parser as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::api::ContentHash;
use crate::bucket::faulty::{self, Fault, FaultyBucket, Operation};
use crate::bucket::memory::MemoryBucket;
use crate::bucket::{Attributes, Body, BucketError, Created, Expected, Page, Stored, Swapped};
use crate::cli::{Cli, Role};
use crate::clock::TokioClock;
use crate::manifest::{Layout, Owner};

struct World {
    bucket: Arc<MemoryBucket>,
    faulty: Arc<FaultyBucket>,
    clock: Arc<TokioClock>,
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(TokioClock::starting_at("2026-11-21T00:00:00Z".parse().unwrap()));
        let bucket = Arc::new(MemoryBucket::new(clock.clone()));
        Self { faulty: Arc::new(FaultyBucket::new(bucket.clone())), bucket, clock, folder: TempDir::new().unwrap() }
    }

    /// A build of two assets and a page; `own` is the text of one of the assets.
    fn build(&self, name: &str, own: &str) -> std::path::PathBuf {
        let root = self.folder.path().join(name);
        std::fs::create_dir_all(root.join("assets")).unwrap();
        let script = format!("assets/app-{}.js", &ContentHash::of(own.as_bytes()).to_string()[..12]);
        std::fs::write(root.join(&script), own).unwrap();
        std::fs::write(root.join("assets/lib-0123456789ab.js"), "library").unwrap();
        std::fs::write(root.join("index.html"), format!("<script src={script}></script>")).unwrap();
        root
    }

    async fn run(&self, folder: &Path, options: &[&str]) -> Result<Value, Failure> {
        self.run_through(self.faulty.clone(), folder, options).await
    }

    async fn run_to(&self, to: &str, folder: &Path, options: &[&str]) -> Result<Value, Failure> {
        let typed = ["rollcall", "publish", folder.to_str().unwrap(), to];
        let Role::Publish(args) = Cli::try_parse_from(typed.into_iter().chain(options.iter().copied())).unwrap().role else {
            panic!("expected publish")
        };
        let target = Target::typed(args.to.as_ref().unwrap(), &args.store);
        let outcome = published(&args, &target, self.faulty.clone(), self.clock.clone(), &CancellationToken::new()).await?;
        Ok(serde_json::from_str(&outcome.json()).unwrap())
    }

    async fn run_through(&self, bucket: Arc<dyn Bucket>, folder: &Path, options: &[&str]) -> Result<Value, Failure> {
        let args = args(folder, options);
        let target = Target::typed(args.to.as_ref().unwrap(), &args.store);
        let outcome = published(&args, &target, bucket, self.clock.clone(), &CancellationToken::new()).await?;
        Ok(serde_json::from_str(&outcome.json()).unwrap())
    }
}

fn args(folder: &Path, options: &[&str]) -> PublishArgs {
    let typed = ["rollcall", "publish", folder.to_str().unwrap(), "--to=s3://web/shop/"];
    match Cli::try_parse_from(typed.into_iter().chain(options.iter().copied())).unwrap().role {
        Role::Publish(args) => *args,
        other => panic!("expected publish, not {other:?}"),
    }
}

fn exit(result: Result<Value, Failure>) -> u8 {
    result.expect_err("it should fail").exit() as u8
}

#[tokio::test(start_paused = true)]
async fn the_result_says_what_was_sent_and_what_a_returning_visitor_loads() {
    let world = World::new();
    let first = world.run(&world.build("one", "first"), &["--version=v1"]).await.unwrap();
    assert_eq!((&first["objectsSent"], &first["objectsReused"], &first["returningVisitor"]), (&json!(3), &json!(0), &Value::Null));
    tokio::time::advance(std::time::Duration::from_secs(60)).await;
    let second = world.run(&world.build("two", "the second"), &["--version=v2"]).await.unwrap();
    assert_eq!((&second["objectsSent"], &second["objectsReused"], &second["files"]), (&json!(2), &json!(1), &json!(3)));
    assert_eq!(second["returningVisitor"], json!({"version": "v1", "bytes": "the second".len()}));
    assert_eq!(second["manifest"], json!({"format": "Folder", "decided": "NothingFound"}));
    assert_eq!(second["version"], "v2");
    assert!(second["digest"].as_str().unwrap().starts_with("sha256:") && second["seconds"].is_number(), "{second}");
}

#[tokio::test(start_paused = true)]
async fn a_publish_asks_the_store_a_fixed_number_of_times_and_reads_nothing_twice() {
    let world = World::new();
    world.run(&world.build("one", "first"), &["--version=v1"]).await.unwrap();
    let asked = || [Operation::Get, Operation::Head, Operation::List].map(|operation| world.faulty.calls(operation));
    let before = asked();
    world.run(&world.build("two", "the second"), &["--version=v2"]).await.unwrap();
    let after = asked();
    // The owner, the claim of the bucket's root and of the assets' folder, our record, the record and manifest of v1, our intent; the sign of a sweep for v1 and for v2; tombstones, versions, our intents.
    assert_eq!([after[0] - before[0], after[1] - before[1], after[2] - before[2]], [7, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_is_tried_again_and_everything_sent_is_counted() {
    let world = World::new();
    world.faulty.fail_nth(Operation::List, 1, Fault::Before(faulty::Failure::Unavailable));
    // The intent is the first create, then three objects: the last one fails, and what the others did is counted all the same.
    world.faulty.fail_nth(Operation::Create, 4, Fault::Before(faulty::Failure::Unavailable));
    let result = world.run(&world.build("one", "first"), &["--version=v1"]).await.unwrap();
    assert_eq!((&result["objectsSent"], &result["objectsReused"]), (&json!(3), &json!(0)));
    world.faulty.break_off(faulty::Failure::Unavailable);
    assert_eq!(exit(world.run(&world.build("two", "2"), &["--version=v2", "--retry-for=30s"]).await), 3);
    world.faulty.break_off(faulty::Failure::Denied);
    let begun = Instant::now();
    assert_eq!(exit(world.run(&world.build("two", "2"), &["--version=v2"]).await), 1);
    assert!(begun.elapsed() < std::time::Duration::from_secs(1), "credentials do not mend themselves");
}

#[tokio::test(start_paused = true)]
async fn a_publish_for_a_release_claims_its_prefix_and_none_within_or_around_another() {
    let world = World::new();
    let build = world.build("one", "first");
    world.run(&build, &["--version=v1", "--release=web/shop", "--exclude-prefix=admin/"]).await.unwrap();
    let layout = Layout::new("", "shop/");
    let claim = upload::read_claim(&*world.bucket, &layout).await.unwrap().unwrap();
    assert_eq!(
        (claim.owner.release.as_str(), claim.owner.cluster.as_str(), &*claim.excluded_prefixes),
        ("web/shop", "", &["admin/".to_owned()][..])
    );
    tokio::time::advance(std::time::Duration::from_secs(60)).await;
    let keys = world.bucket.keys();
    for (to, release) in [
        ("--to=s3://web/shop/assets/", "--release=eve/eve"),
        ("--to=s3://web/", "--release=eve/eve"),
        ("--to=s3://web/shop/assets/", "--release=-/-"),
    ] {
        for dry in [&["--dry-run"][..], &[]] {
            let failure = world.run_to(to, &build, &[&["--version=v1", release], dry].concat()).await.unwrap_err();
            assert_eq!(failure.exit() as u8, 1);
            assert!(failure.to_string().contains("web/shop") && failure.to_string().contains("--exclude-prefix"), "{failure}");
        }
    }
    assert_eq!(world.bucket.keys(), keys, "nothing was written");
    world.run_to("--to=s3://web/shop/admin/", &build, &["--version=v1", "--release=web/admin"]).await.unwrap();
    // What stands in the claim counts without being typed again.
    let intruder = world.build("two", "second");
    std::fs::create_dir_all(intruder.join("admin")).unwrap();
    std::fs::write(intruder.join("admin/x.html"), "x").unwrap();
    let failure = world.run(&intruder, &["--version=v2", "--release=web/shop"]).await.unwrap_err();
    assert!(failure.to_string().contains("shop/admin/x.html"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn a_prefix_of_another_release_is_left_alone() {
    let world = World::new();
    let (layout, owner) = (Layout::new("", "shop/"), Owner { owner_version: 1, cluster: "c-1".into(), release: "web/shop".into() });
    upload::claim_owner(&*world.bucket, &layout, &owner).await.unwrap();
    let (build, keys) = (world.build("one", "first"), world.bucket.keys());
    let failure = world.run(&build, &["--version=v1", "--release=web/blog"]).await.unwrap_err();
    assert_eq!(failure.exit() as u8, 1);
    for part in ["web/shop", "web/blog", "c-1", r#"prefix "shop/" of bucket "web""#, "--release web/shop"] {
        assert!(failure.to_string().contains(part), "{part} is not in: {failure}");
    }
    assert_eq!(world.bucket.keys(), keys);
    world.run(&build, &["--version=v1", "--release=web/shop"]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_writes_nothing_and_says_everything() {
    let world = World::new();
    let read_only = Arc::new(ReadOnly(world.bucket.clone()));
    let one = world.build("one", "first");
    let plan = world.run_through(read_only.clone(), &one, &["--version=v1", "--immutable=assets/**", "--dry-run"]).await.unwrap();
    assert_eq!((&plan["objectsSent"], &plan["objectsReused"]), (&json!(3), &json!(0)));
    let done = world.run(&one, &["--version=v1", "--immutable=assets/**"]).await.unwrap();
    for field in ["digest", "files", "bytes", "objectsSent", "bytesSent"] {
        assert_eq!(plan[field], done[field], "{field}");
    }
    let two = world.build("two", "second");
    std::fs::write(two.join("assets/lib-0123456789ab.js"), "changed under its name").unwrap();
    let plan = world.run_through(read_only.clone(), &two, &["--version=v2", "--immutable=assets/**", "--dry-run"]).await.unwrap();
    let lists = &plan["dryRun"];
    assert_eq!((lists["send"].as_array().unwrap().len(), lists["reuse"].as_array().unwrap().len()), (2, 0), "{plan}");
    assert_eq!(lists["refuse"][0]["key"], "shop/assets/lib-0123456789ab.js");
    assert_eq!(lists["refuse"][0]["writtenBy"]["version"], "v1");
    assert_eq!(plan["returningVisitor"]["version"], "v1");
    assert_eq!(
        exit(world.run_through(read_only, &two, &["--version=v1", "--immutable=assets/**", "--dry-run"]).await),
        1,
        "v1 means another build"
    );
    assert_eq!(exit(world.run(&two, &["--version=v2", "--immutable=assets/**"]).await), 1);
}

#[tokio::test(start_paused = true)]
async fn only_what_is_selected_is_published() {
    let world = World::new();
    let build = world.build("one", "first");
    std::fs::write(build.join("app.map"), "{}").unwrap();
    // As with `aws s3 sync`, `*` goes into folders.
    std::fs::create_dir(build.join("assets/cart")).unwrap();
    std::fs::write(build.join("assets/cart/app.map"), "{}").unwrap();
    let result = world.run(&build, &["--version=v1", "--exclude=*.map", "--exclude=nothing"]).await.unwrap();
    assert_eq!(result["files"], 3);
    let result = world.run(&build, &["--version=v2", "--include=assets/*", "--exclude=assets/c*"]).await.unwrap();
    assert_eq!((&result["files"], &result["objectsSent"]), (&json!(2), &json!(0)));
}

/// A bucket whose writes are a mistake of whoever calls them.
struct ReadOnly(Arc<MemoryBucket>);

#[async_trait]
impl Bucket for ReadOnly {
    async fn create(&self, key: &str, _: Body, _: &Attributes) -> Result<Created, BucketError> {
        panic!("create {key}")
    }

    async fn replace(&self, key: &str, _: Body, _: &Attributes, _: &Expected) -> Result<Swapped, BucketError> {
        panic!("replace {key}")
    }

    async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<bytes::Bytes>, BucketError> {
        self.0.get(key, bytes_max).await
    }

    async fn read(&self, key: &str, etag: &str) -> Result<Option<crate::bucket::Pieces>, BucketError> {
        self.0.read(key, etag).await
    }

    async fn head(&self, key: &str) -> Result<Option<Stored>, BucketError> {
        self.0.head(key).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, BucketError> {
        self.0.list(prefix, after).await
    }

    async fn give_up_uploads(&self, prefix: &str, _: jiff::Timestamp) -> Result<u64, BucketError> {
        panic!("give up uploads below {prefix}")
    }

    async fn delete(&self, key: &str, _: &str) -> Result<Swapped, BucketError> {
        panic!("delete {key}")
    }
}

#[tokio::test(start_paused = true)]
async fn findings_are_told_and_strict_ones_stop_before_anything_is_sent() {
    let world = World::new();
    let build = world.build("one", "first");
    let page = "<script src=https://minio.example.com/x.js></script><script src=assets/lib-0123456789ab.js></script>";
    std::fs::write(build.join("index.html"), page).unwrap();
    let options = ["--version=v1", "--endpoint=https://minio.example.com"];
    let failure = world.run(&build, &[&options[..], &["--lint=strict"]].concat()).await.unwrap_err();
    assert!(failure.exit() as u8 == 1 && failure.to_string().contains("1 errors"), "{failure}");
    assert_eq!(world.bucket.keys(), Vec::<String>::new());
    let result = world.run(&build, &[&options[..], &["--lint"]].concat()).await.unwrap();
    let findings = result["lint"]["findings"].as_array().unwrap();
    assert!(findings.iter().any(|finding| finding["severity"] == "error" && finding["path"] == "index.html"), "{findings:?}");
}

#[test]
fn a_build_goes_to_a_bucket_or_to_a_store() {
    let typed = |options: &[&str]| Cli::try_parse_from(["rollcall", "publish", "dist", "--version=v1"].iter().chain(options)).is_ok();
    assert!(typed(&["--to=s3://web/"]) && typed(&["--store=cdn", "--prefix=shop/"]) && typed(&["--store=cdn", "--apply=shop"]));
    assert!(typed(&["--to=s3://web/shop/", "--apply=shop", "-n=shop"]));
    for wrong in [&[][..], &["--to=s3://web/", "--store=cdn"], &["--to=s3://web/", "--prefix=x/"], &["--store=cdn", "--prefix=x"]] {
        assert!(!typed(wrong), "{wrong:?}");
    }
    assert!(!typed(&["--to=s3://web/", "--apply=shop", "--dry-run"]));
}

#[tokio::test(start_paused = true)]
async fn a_build_for_a_folder_goes_there_and_digest_and_publish_agree() {
    let world = World::new();
    let root = world.folder.path().join("shop");
    std::fs::create_dir_all(root.join("build/assets")).unwrap();
    std::fs::write(root.join("build/manifest.json"), r#"{"src/app.ts":{"file":"assets/app-lowercas.js"}}"#).unwrap();
    std::fs::write(root.join("build/assets/app-lowercas.js"), "app").unwrap();
    std::fs::write(
        root.join("index.html"),
        r#"<script src="/shop/build/assets/app-lowercas.js"></script><script src="/shop/config.js"></script>"#,
    )
    .unwrap();
    let refused = world.run_to("--to=s3://web/shop", &root, &["--version=v1"]).await.unwrap_err().to_string();
    assert!(refused.contains("/shop/config.js") && refused.contains("--external"), "{refused}");
    let options = ["--version=v1", "--external=config.js", "--manifest=build/manifest.json", "--format=Vite"];
    let done = world.run_to("--to=s3://web/shop", &root, &options).await.unwrap();
    assert_eq!((done["base"]["base"].as_str(), done["base"]["by"].as_str()), (Some("/shop/"), Some("prefix")), "{done}");
    assert_eq!(done["manifest"]["path"], "build/manifest.json");
    let typed = ["rollcall", "digest", root.to_str().unwrap(), "--external=config.js"];
    let Role::Digest(args) = Cli::try_parse_from(typed).unwrap().role else { panic!("expected digest") };
    assert_eq!(
        done["digest"],
        super::digest::digest(args).await.unwrap().0.as_str(),
        "found by itself below a folder, or named: the same build"
    );
}

#[tokio::test(start_paused = true)]
async fn a_returning_visitor_loads_neither_licences_nor_both_of_legacy_and_modern() {
    let world = World::new();
    world.run(&world.build("one", "first"), &["--version=v1"]).await.unwrap();
    let build = world.build("two", "first");
    std::fs::create_dir_all(build.join(".vite")).unwrap();
    let files = ["index-B1cD2eF3.js", "index-legacy-Q1w2E3r4.js", "index-B1cD2eF3.js.LICENSE.txt", "types-Z1y2X3w4.d.ts"];
    let chunk = |file: &&str| format!(r#""{file}":{{"file":"assets/{file}"}}"#);
    std::fs::write(build.join(".vite/manifest.json"), format!("{{{}}}", files.iter().map(chunk).collect::<Vec<_>>().join(","))).unwrap();
    for (file, text) in files.iter().zip(["modern", "legacy code", "licence", "types"]) {
        std::fs::write(build.join("assets").join(file), text).unwrap();
    }
    let result = world.run(&build, &["--version=v2"]).await.unwrap();
    assert_eq!(result["returningVisitor"]["bytes"], "modern".len(), "{result}");
}

#[tokio::test(start_paused = true)]
async fn what_only_warns_is_published_and_said() {
    let world = World::new();
    let build = world.build("one", "first");
    let page = std::fs::read_to_string(build.join("index.html")).unwrap();
    std::fs::write(build.join("index.html"), format!("<link rel=icon href=/favicon.ico>{page}")).unwrap();
    let result = world.run(&build, &["--version=v1"]).await.unwrap();
    assert_eq!(result["warnings"], json!([r#"index.html: its icon is "/favicon.ico", which the build lacks"#]), "{result}");
}
