//! The real program `rollcall publish` against the embedded store: its exit codes, and what is there after it was killed at any moment.
//! `ROLLCALL_KILLED_SEEDS=334` kills a thousand times.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use rollcall::api::ContentHash;
use rollcall::bucket::Bucket;
use rollcall::bucket::s3::S3Bucket;
use rollcall::manifest::{Layout, Manifest, VersionRecord};
use rollcall::upload::verify;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::bucket_contract::third_party::ThirdParty;
use crate::dev_store::{ACCESS_KEY_ID, Running, SECRET_ACCESS_KEY};

const FILES: usize = 120;

/// Larger than all objects of the build that are counted here.
const BYTES_MAX: u64 = 1024 * 1024;

fn program(folder: &Path, endpoint: &str, prefix: &str, options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
    command.env_clear().env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID).env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY);
    command.arg("publish").arg(folder).args(["--endpoint", endpoint, "--to", &format!("s3://web/{prefix}"), "--version", "v1"]);
    command.args(options).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn ended(child: Child) -> Output {
    tokio::task::spawn_blocking(|| child.wait_with_output()).await.unwrap().unwrap()
}

fn build(folder: &Path) {
    std::fs::create_dir_all(folder.join("assets")).unwrap();
    for number in 0..FILES {
        let text = format!("export default {number}; // {}", "x".repeat(number * 37 % 4096));
        let hash = &ContentHash::of(text.as_bytes()).to_string()[..12];
        std::fs::write(folder.join(format!("assets/chunk-{number}-{hash}.js")), text).unwrap();
    }
}

/// Keys of a prefix that are objects of a build.
async fn objects(bucket: &S3Bucket, layout: &Layout) -> Vec<String> {
    let listed = bucket.list(&layout.key("assets/"), None).await.unwrap().objects;
    listed.into_iter().map(|listed| listed.key).collect()
}

/// I1: whatever is recorded is complete. Answers its manifests.
async fn recorded(bucket: &S3Bucket, layout: &Layout) -> Vec<Arc<Manifest>> {
    let mut manifests = Vec::new();
    for listed in bucket.list(&layout.versions(), None).await.unwrap().objects {
        let bytes = bucket.get(&listed.key, BYTES_MAX).await.unwrap().unwrap();
        let record: VersionRecord = serde_json::from_slice(&bytes).unwrap();
        let verified = verify(bucket, layout, &record.digest).await.unwrap();
        assert!(verified.is_complete(), "{:?} {:?}", verified.missing, verified.wrong_size);
        manifests.push(verified.manifest);
    }
    manifests
}

/// I3: every object has the bytes that the manifest says.
async fn has_its_bytes(bucket: &S3Bucket, layout: &Layout, manifest: &Manifest) {
    let looks = futures::stream::iter(&manifest.files).for_each_concurrent(8, |file| async move {
        let stored = bucket.get(&layout.key(&file.key()), BYTES_MAX).await.unwrap().unwrap();
        assert_eq!(ContentHash::of(&stored), file.sha256, "{}", file.path);
    });
    looks.await;
}

/// When the program is killed: as soon as this is there.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// So many objects; with none, before the first request.
    Objects(usize),
    Intent,
    Manifest,
    /// Its last request is under way, or it has ended.
    Record,
}

impl Moment {
    /// Drawn from a seed: half of them while objects are sent, the others at each step before and after.
    fn drawn(seed: usize, kill: usize) -> Self {
        let drawn = ContentHash::of(format!("{seed} {kill}").as_bytes()).to_array();
        match drawn[0] % 8 {
            0 => Self::Intent,
            1 => Self::Manifest,
            2 => Self::Record,
            _ => Self::Objects(usize::from(drawn[1]) * (FILES + 1) / 256),
        }
    }

    async fn has_come(self, bucket: &S3Bucket, layout: &Layout) -> bool {
        let is_any = async |folder: String| !bucket.list(&folder, None).await.unwrap().objects.is_empty();
        match self {
            Self::Objects(count) => objects(bucket, layout).await.len() >= count,
            Self::Intent => is_any(layout.intents()).await,
            Self::Manifest => is_any(layout.manifests()).await,
            Self::Record => is_any(layout.versions()).await,
        }
    }
}

/// Three kills each: 51 unless told.
#[expect(clippy::disallowed_methods, reason = "whoever runs the tests says how many programs are killed")]
fn seeds() -> usize {
    std::env::var("ROLLCALL_KILLED_SEEDS").ok().and_then(|number| number.parse().ok()).unwrap_or(17)
}

/// I1, I3: three kills in a row, and then it is left alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_that_was_killed_at_any_moment_goes_on_and_never_leaves_half_a_version() {
    let (store, source) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    build(source.path());
    let running = Running::start(store.path(), "web").await;
    let bucket = S3Bucket::connect(&running.server().settings("web")).unwrap();
    for seed in 0..seeds() {
        let prefix = format!("s{seed}/");
        let layout = Layout::new("", &prefix);
        for kill in 0..3 {
            let moment = Moment::drawn(seed, kill);
            let mut child = program(source.path(), &running.endpoint, &prefix, &[]).spawn().unwrap();
            while child.try_wait().unwrap().is_none() && !moment.has_come(&bucket, &layout).await {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            child.kill().unwrap();
            ended(child).await;
            recorded(&bucket, &layout).await;
        }
        let there = objects(&bucket, &layout).await.len();
        let output = ended(program(source.path(), &running.endpoint, &prefix, &["--output=json"]).spawn().unwrap()).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "seed {seed}: {said}");
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        let count = |field: &str| usize::try_from(result[field].as_u64().unwrap()).unwrap();
        assert_eq!(count("objectsSent") + count("objectsReused"), FILES, "seed {seed}: {result}");
        // Less when a request of the killed program landed after we looked.
        assert!(count("objectsSent") <= FILES - there, "seed {seed}: {there} were there: {result}");
        let manifests = recorded(&bucket, &layout).await;
        assert_eq!(manifests.len(), 1);
        has_its_bytes(&bucket, &layout, &manifests[0]).await;
        // One that was killed after its record leaves its intent; the one that goes on takes it back.
        let intents = bucket.list(&layout.intents(), None).await.unwrap().objects;
        assert!(intents.is_empty(), "seed {seed}: {intents:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exit_codes_are_those_of_the_help_and_nothing_but_the_result_goes_to_standard_output() {
    let source = TempDir::new().unwrap();
    build(source.path());
    let silent = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let run = async |folder: &Path, endpoint: &str, prefix: &str, options: &[&str]| {
        let output = ended(program(folder, endpoint, prefix, options).spawn().unwrap()).await;
        assert_eq!(output.stdout, b"", "{options:?}");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(run(source.path(), &endpoint, "no//folder", &[]).await.0, Some(2));
    assert_eq!(run(source.path(), &endpoint, "", &["--retry-for=soon"]).await.0, Some(2));
    let (code, said) = run(source.path(), &endpoint, "", &["--store=shop"]).await;
    assert!(code == Some(2) && said.contains("--to") && said.contains("--store"), "{said}");
    let (code, said) = run(Path::new("/nowhere/at/all"), &endpoint, "", &[]).await;
    assert!(code == Some(1) && said.contains("/nowhere/at/all"), "{said}");

    let mut child = program(source.path(), &endpoint, "", &[]).spawn().unwrap();
    let connection = silent.accept().await.unwrap();
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(killed.success() && child.try_wait().is_ok());
    let output = ended(child).await;
    assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stderr));

    drop((connection, silent));
    let (code, said) = run(source.path(), &endpoint, "", &["--retry-for=0s"]).await;
    assert_eq!(code, Some(3), "{said}");
}

// I3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_overwrites_is_refused_and_with_a_lock_one_program_at_a_time_writes_into_it() {
    let Some(rclone) = ThirdParty::rclone().await else { return };
    let server = rclone.server();
    server.client().create_bucket().bucket("web").send().await.unwrap();
    let bucket = S3Bucket::connect(&server.settings("web")).unwrap();
    let source = TempDir::new().unwrap();
    build(source.path());
    let begun = |guard: &str, options: &[&str]| {
        let mut command = program(source.path(), server.endpoint, "shop/", &[]);
        command.arg(format!("--write-guard={guard}")).args(options);
        command.env("AWS_ACCESS_KEY_ID", server.access_key_id).env("AWS_SECRET_ACCESS_KEY", server.secret_access_key);
        ended(command.spawn().unwrap())
    };
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let refused = begun("conditional", &[]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("the store is refused: it does not honour the conditions of writes"), "{}", said(&refused));
    assert_eq!(bucket.list("", None).await.unwrap().objects, [], "and nothing was written into it");

    let (one, other) = tokio::join!(begun("single-writer", &[]), begun("single-writer", &["--retry-for=60s"]));
    for output in [&one, &other] {
        assert!(output.status.success(), "{}", said(output));
    }
    assert!([one, other].iter().any(|output| said(output).contains("rollcall publish on ")), "one of them was told who holds the lock");
    let layout = Layout::new("", "shop/");
    let manifests = recorded(&bucket, &layout).await;
    assert_eq!(manifests.len(), 1);
    has_its_bytes(&bucket, &layout, &manifests[0]).await;
}

#[test]
fn a_place_of_the_environment_and_a_store_that_is_typed_are_a_conflict_that_is_told() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
    command.env_clear().env("ROLLCALL_TO", "s3://web/shop/");
    let output = command.args(["publish", "dist", "--version=v1", "--store=shop", "--prefix=shop/"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("--to") && said.contains("--store"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_come_from_the_profile_that_was_named() {
    let (store, source) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    build(source.path());
    let running = Running::start(store.path(), "web").await;
    let keys = store.path().join("credentials");
    let profile = format!("[ci]\naws_access_key_id={ACCESS_KEY_ID}\naws_secret_access_key={SECRET_ACCESS_KEY}\n");
    std::fs::write(&keys, profile).unwrap();
    for (name, code) in [("ci", 0), ("other", 1)] {
        let mut command = program(source.path(), &running.endpoint, "shop/", &["--profile", name, "--retry-for=0s"]);
        command.env_remove("AWS_ACCESS_KEY_ID").env("AWS_SHARED_CREDENTIALS_FILE", &keys).env("AWS_CONFIG_FILE", "/dev/null");
        let output = ended(command.spawn().unwrap()).await;
        assert_eq!(output.status.code(), Some(code), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
