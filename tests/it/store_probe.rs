//! What stores were seen to do: strict ones, a lax one, one like AWS, our own, and one whose race lets two through.
//! Never asserts more of a server than it was seen to do.

use rollcall::api::store::Capability::{self, Holds, Ignored, Unknown};
use rollcall::bucket::probe::{Capabilities, Finding, Probe as _};
use rollcall::bucket::s3::S3Bucket;
use serde_json::{Value, json};

use crate::bucket_contract::over_s3::Server;
use crate::bucket_contract::third_party::ThirdParty;
use crate::bucket_contract::wire::{Act, Relay};
use crate::dev_store;

pub mod racy;
mod s3s_fs;

async fn probe(server: Server<'_>) -> Capabilities {
    let bucket = S3Bucket::connect(&server.settings("contract")).unwrap();
    let found = bucket.probe("site/").await.unwrap();
    let left = server.client().list_objects_v2().bucket("contract").send().await.unwrap();
    assert_eq!(left.contents(), [], "the probe cleans up behind itself");
    found
}

/// All but whether it copies.
fn seen(found: &Capabilities) -> [Capability; 7] {
    let all = found.each().map(|(_, finding)| finding.capability);
    std::array::from_fn(|at| all[at])
}

async fn third_party(server: &ThirdParty) -> Capabilities {
    server.server().client().create_bucket().bucket("contract").send().await.unwrap();
    probe(server.server()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_store_is_seen_to_be_strict() {
    let folder = tempfile::tempdir().unwrap();
    let store = dev_store::Running::start(folder.path(), "contract").await;
    let found = probe(store.server()).await;
    assert_eq!(seen(&found), [Holds, Unknown, Holds, Holds, Holds, Holds, Holds], "it has no uploads in parts: {found:?}");
    assert_eq!(found.objection(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn versitygw_is_seen_to_be_strict() {
    let Some(server) = ThirdParty::versitygw().await else { return };
    let found = third_party(&server).await;
    assert_eq!(seen(&found), [Holds; 7], "{found:?}");
    assert_eq!(found.objection(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn rclone_is_seen_to_take_every_condition_and_keep_none() {
    let Some(server) = ThirdParty::rclone().await else { return };
    let found = third_party(&server).await;
    // createOnly, createOnlyMultipart, conditionalReplace, conditionalDelete, listAfterWrite, checksumVerified, and by its header
    assert_eq!(seen(&found), [Ignored, Unknown, Ignored, Ignored, Holds, Ignored, Ignored], "{found:?}");
    assert!(found.objection().unwrap().to_string().contains("overwrote the first"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ministack_is_seen_to_do_as_aws_does() {
    let Some(server) = ThirdParty::ministack().await else { return };
    let found = third_party(&server).await;
    assert_eq!(seen(&found), [Holds; 7], "{found:?}");
    assert_eq!(found.objection(), None);
}

// I3: a store that checks first and writes then passes every test but this one.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_checks_and_then_writes_is_found_out_by_the_race() {
    let racy = racy::Racy::start().await;
    let found = probe(racy.server()).await;
    assert_eq!(found.create_only.capability, Ignored, "{found:?}");
    assert!(found.create_only.evidence.starts_with("of 8 creates of one key at once "), "{found:?}");
    assert!(found.conditional_replace.evidence.starts_with("of 8 replaces of one key at once "), "{found:?}");
    assert_eq!([found.copy, found.create_only_multipart].map(|finding| finding.capability), [Unknown, Unknown]);
}

/// What is found of the checksum header where the relay acts so on what is signed by it alone.
async fn header_found(vendor: Option<&str>, act: impl FnMut(&str) -> Act + Send + 'static) -> (Finding, Relay) {
    let folder = tempfile::tempdir().unwrap();
    let store = dev_store::Running::start(folder.path(), "contract").await;
    let relay = Relay::ruled(&store.endpoint, act).await;
    let server = Server { endpoint: &relay.endpoint, ..store.server() };
    let bucket = S3Bucket::connect_to_vendor(&server.settings("contract"), vendor).unwrap();
    (bucket.probe("site/").await.unwrap().checksum_header_verified, relay)
}

fn by_header_alone(head: &str) -> bool {
    head.contains("\r\nx-amz-content-sha256: unsigned-payload")
}

// I3: what a store does with a signature says nothing about the header.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_takes_wrong_bytes_by_their_header_is_found_out_although_it_checks_signatures() {
    const KEPT: &str = "200 OK\r\netag: \"x\"\r\nlast-modified: Sat, 21 Nov 2026 00:00:00 GMT";
    let is_deceived = |head: &str| head.contains("/deceived-header");
    let (found, relay) = header_found(None, move |head| if is_deceived(head) { Act::Answer(KEPT, "") } else { Act::Forward }).await;
    assert_eq!(found.capability, Ignored, "{found:?}");
    let tried = relay.heads().into_iter().filter(|head| by_header_alone(head)).count();
    assert_eq!(tried, 2, "right bytes and wrong ones");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_takes_signed_bytes_alone_is_not_seen_to_go_by_the_header() {
    let refusal = Act::Answer("400 Bad Request", "<Error><Code>InvalidRequest</Code><Message>sign the payload</Message></Error>");
    let (found, _) = header_found(None, move |head| if by_header_alone(head) { refusal } else { Act::Forward }).await;
    assert_eq!(found.capability, Unknown, "{found:?}");
    assert!(found.evidence.contains("sign the payload"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_without_the_header_is_sent_nothing_by_it() {
    let (found, relay) = header_found(Some("https://oss-cn-hangzhou.aliyuncs.com"), |_| Act::Forward).await;
    assert_eq!((found.capability, found.evidence.as_str()), (Unknown, "no checksum header is sent to this vendor"));
    assert!(!relay.heads().iter().any(|head| by_header_alone(head)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_is_bounded_in_requests() {
    let racy = racy::Racy::start().await;
    probe(racy.server()).await;
    let requests = racy.requests();
    assert!((60..=110).contains(&requests), "{requests}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_denies_writing_is_not_judged() {
    let folder = tempfile::tempdir().unwrap();
    let store = dev_store::Running::start(folder.path(), "contract").await;
    let denied = Server { secret_access_key: "a-wrong-secret", ..store.server() };
    let error = S3Bucket::connect(&denied.settings("contract")).unwrap().probe("").await.unwrap_err();
    assert!(error.to_string().contains(".rollcall/probe/") && error.to_string().contains("denied"), "{error}");
}

/// `rollcall store check`: whether it ended well, and what it printed.
fn check(server: Server<'_>, public_url: &str) -> (bool, Value, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_rollcall"));
    command.args(["store", "check", "--to", "s3://contract/site/", "--endpoint", server.endpoint, "--output", "json"]);
    command.args(["--public-url", public_url]);
    command.env("AWS_ACCESS_KEY_ID", server.access_key_id).env("AWS_SECRET_ACCESS_KEY", server.secret_access_key);
    let ended = tokio::task::block_in_place(|| command.output()).unwrap();
    let errors = String::from_utf8(ended.stderr).unwrap();
    (ended.status.success(), serde_json::from_slice(&ended.stdout).unwrap_or(Value::Null), errors)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_reads_back_through_the_public_url_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = dev_store::Running::start(folder.path(), "contract").await;
    let (good, found, errors) = check(store.server(), &format!("{}/contract/site/", store.endpoint));
    assert!(good, "{errors}");
    for name in ["createOnly", "readable", "contentType", "cacheControl", "cors", "missingIs404"] {
        assert_eq!(found["findings"][name]["capability"], json!("Holds"), "{name}: {found}");
    }
    assert_eq!(found["policies"]["writer"]["Statement"][0]["Resource"], json!("arn:aws:s3:::contract/site/*"));
    let left = store.server().client().list_objects_v2().bucket("contract").send().await.unwrap();
    assert_eq!(left.contents(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_names_an_html_fallback_a_wrong_public_url_and_a_store_that_overwrites() {
    let folder = tempfile::tempdir().unwrap();
    let store = dev_store::Running::start(folder.path(), "contract").await;
    let (good, found, errors) = check(store.server(), &format!("{}/contract/elsewhere/", store.endpoint));
    assert!(!good && errors.contains("another bucket or prefix"), "{found} {errors}");

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let fallback = format!("http://{}/", listener.local_addr().unwrap());
    let page = axum::Router::new().fallback(async || axum::response::Html("<!doctype html>"));
    tokio::spawn(async move { axum::serve(listener, page).await });
    let (good, found, _) = check(store.server(), &fallback);
    let missing = &found["findings"]["missingIs404"];
    assert!(!good && missing["evidence"].as_str().unwrap().contains("html page"), "{found}");

    let racy = racy::Racy::start().await;
    let (good, found, errors) = check(racy.server(), &fallback);
    assert!(!good && errors.contains("the store is refused"), "{errors}");
    assert_eq!(found["findings"]["readable"], Value::Null, "the public URL is not asked for a store that is refused");
}
