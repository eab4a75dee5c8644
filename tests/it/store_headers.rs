//! The real program `rollcall store headers` against the embedded store: another tool sent the same files again without our headers.

use std::path::Path;
use std::process::{Command, Output};

use aws_sdk_s3::primitives::ByteStream;
use rollcall::bucket::Bucket as _;
use rollcall::bucket::s3::S3Bucket;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::dev_store::{ACCESS_KEY_ID, Running, SECRET_ACCESS_KEY};

const SCRIPT: &str = "assets/app-BEcQUh0e.js";
const STYLE: &str = "assets/app-CEcQUh0e.css";

async fn rollcall(running: &Running, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
    command.env_clear().env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID).env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY);
    command.args(arguments).args(["--endpoint", &running.endpoint, "--to=s3://web/shop/", "--version=v1", "--output=json"]);
    tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap()
}

fn said(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

fn build(folder: &Path) {
    std::fs::create_dir_all(folder.join("assets")).unwrap();
    for (path, text) in [(SCRIPT, "run()"), (STYLE, "a{}"), ("index.html", "<p>")] {
        std::fs::write(folder.join(path), text).unwrap();
    }
}

/// I3: what has other bytes gets no headers of ours, whoever asks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_another_tool_took_are_found_and_repaired_only_when_asked_and_only_over_our_bytes() {
    let (store, source) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    build(source.path());
    let running = Running::start(store.path(), "web").await;
    let published = rollcall(&running, &["publish", source.path().to_str().unwrap(), "--immutable=assets/**"]).await;
    assert!(published.status.success(), "{}", String::from_utf8_lossy(&published.stderr));
    let clean = rollcall(&running, &["store", "headers"]).await;
    assert!(clean.status.success());
    assert_eq!(said(&clean), json!({"version": "v1", "looked": 3, "drifted": [], "missing": [], "otherBytes": []}));

    let other_tool = running.server().client();
    for (path, bytes) in [(SCRIPT, "run()"), (STYLE, "b{}")] {
        let put = other_tool.put_object().bucket("web").key(format!("shop/{path}")).body(ByteStream::from_static(bytes.as_bytes()));
        put.send().await.unwrap();
    }
    let found = rollcall(&running, &["store", "headers"]).await;
    assert_eq!(found.status.code(), Some(1));
    let drifted = |said: &Value| -> Vec<(String, bool)> {
        let each = said["drifted"].as_array().unwrap().iter();
        each.map(|one| (one["key"].as_str().unwrap().to_owned(), one["repaired"].as_bool().unwrap())).collect()
    };
    let (script, style) = (format!("shop/{SCRIPT}"), format!("shop/{STYLE}"));
    assert_eq!(drifted(&said(&found)), [(script.clone(), false), (style.clone(), false)], "nothing says what bytes they have");

    let repaired = rollcall(&running, &["store", "headers", "--repair"]).await;
    assert_eq!(repaired.status.code(), Some(1), "the style is still another one");
    assert_eq!(drifted(&said(&repaired)), [(script.clone(), true), (style.clone(), false)]);
    let bucket = S3Bucket::connect(&running.server().settings("web")).unwrap();
    let mended = bucket.head(&script).await.unwrap().unwrap();
    assert_eq!(mended.content_type.as_deref(), Some("text/javascript; charset=utf-8"));
    assert_eq!(mended.cache_control.as_deref(), Some("public, max-age=31536000, immutable"));
    assert_eq!(bucket.get(&script, 100).await.unwrap().unwrap(), "run()");
    assert_eq!(bucket.get(&style, 100).await.unwrap().unwrap(), "b{}");
}
