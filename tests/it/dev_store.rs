//! The embedded store as the public sees it, and as common tools use it. That it is a good bucket is the contract's business.

use std::net::SocketAddr;
use std::path::Path;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata as _;
use aws_sdk_s3::types::{ChecksumAlgorithm, Delete, ObjectIdentifier};
use rollcall::dev_store::{DevStore, DevStoreError, Settings};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::bucket_contract::over_s3::Server;

pub const ACCESS_KEY_ID: &str = "dev";
pub const SECRET_ACCESS_KEY: &str = "dev-secret";

/// A store on a free loopback port, in this process.
pub struct Running {
    pub endpoint: String,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), DevStoreError>>,
}

impl Running {
    pub async fn start(folder: &Path, bucket: &str) -> Self {
        let store = DevStore::bind(settings(folder, bucket)).await.unwrap();
        let endpoint = format!("http://{}", store.address());
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(store.serve(async {
            stopped.await.ok();
        }));
        Self { endpoint, stop, serving }
    }

    pub fn server(&self) -> Server<'_> {
        Server { endpoint: &self.endpoint, access_key_id: ACCESS_KEY_ID, secret_access_key: SECRET_ACCESS_KEY }
    }

    fn client(&self) -> Client {
        self.server().client()
    }

    fn url(&self, key: &str) -> String {
        format!("{}/web/{key}", self.endpoint)
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.serving.await.unwrap().unwrap();
    }
}

fn settings(folder: &Path, bucket: &str) -> Settings {
    Settings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        folder: folder.to_owned(),
        buckets: vec![bucket.to_owned()],
        access_key_id: ACCESS_KEY_ID.to_owned(),
        secret_access_key: SECRET_ACCESS_KEY.to_owned(),
    }
}

async fn put(client: &Client, key: &str, bytes: &'static [u8]) {
    let put = client.put_object().bucket("web").key(key).content_type("text/css").cache_control("no-cache");
    put.body(bytes.to_vec().into()).send().await.unwrap();
}

fn header<'a>(response: &'a reqwest::Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn anybody_may_read_an_object_and_a_page_on_another_host_may_use_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = Running::start(folder.path(), "web").await;
    put(&store.client(), "a b/ü.css", b"body{}").await;
    let response = reqwest::get(store.url("a%20b/%C3%BC.css")).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "content-type"), "text/css");
    assert_eq!(header(&response, "cache-control"), "no-cache");
    assert_eq!(header(&response, "content-length"), "6");
    assert_eq!(header(&response, "access-control-allow-origin"), "*");
    let etag = header(&response, "etag").to_owned();
    assert_eq!(response.bytes().await.unwrap(), "body{}");

    let client = reqwest::Client::new();
    let unchanged = client.get(store.url("a%20b/%C3%BC.css")).header("If-None-Match", &etag).send().await.unwrap();
    assert_eq!((unchanged.status().as_u16(), header(&unchanged, "etag")), (304, etag.as_str()));
    let part = client.get(store.url("a%20b/%C3%BC.css")).header("Range", "bytes=1-3").send().await.unwrap();
    assert_eq!((part.status().as_u16(), header(&part, "content-range")), (206, "bytes 1-3/6"));
    assert_eq!(part.bytes().await.unwrap(), "ody");
    let head = client.head(store.url("a%20b/%C3%BC.css")).send().await.unwrap();
    assert_eq!((head.status().as_u16(), header(&head, "content-length")), (200, "6"));
    let beyond = client.get(store.url("a%20b/%C3%BC.css")).header("Range", "bytes=6-").send().await.unwrap();
    assert_eq!(beyond.status(), 416);
    let preflight = client.request(reqwest::Method::OPTIONS, store.url("a")).send().await.unwrap();
    assert_eq!((preflight.status().as_u16(), header(&preflight, "access-control-allow-methods")), (204, "GET, HEAD"));
}

// I6: a cache in front must not keep what was asked for too early.
#[tokio::test]
async fn a_missing_object_is_a_true_404_that_no_cache_keeps() {
    let folder = tempfile::tempdir().unwrap();
    let store = Running::start(folder.path(), "web").await;
    for url in [store.url("missing.js"), store.url(""), format!("{}/no-such-bucket/a.js", store.endpoint)] {
        let response = reqwest::get(&url).await.unwrap();
        let expected = if url.ends_with("/web/") { 403 } else { 404 };
        assert_eq!(response.status().as_u16(), expected, "{url}");
        assert_eq!(header(&response, "cache-control"), "no-store", "{url}");
        assert_eq!(header(&response, "access-control-allow-origin"), "*", "{url}");
    }
    put(&store.client(), "missing.js", b"there").await;
    assert_eq!(reqwest::get(store.url("missing.js")).await.unwrap().text().await.unwrap(), "there");
}

#[tokio::test]
async fn without_the_key_nothing_but_an_object_is_to_be_had() {
    let folder = tempfile::tempdir().unwrap();
    let store = Running::start(folder.path(), "web").await;
    put(&store.client(), "a", b"a").await;
    let client = reqwest::Client::new();
    let requests = [
        client.put(store.url("b")).body("b"),
        client.delete(store.url("a")),
        client.get(store.url("?list-type=2")),
        client.get(store.url("a?tagging")),
        client.post(store.url("?delete")).body("<Delete/>"),
        client.put(format!("{}/other", store.endpoint)),
        client.get(&store.endpoint),
    ];
    for request in requests {
        let request = request.build().unwrap();
        let asked = format!("{} {}", request.method(), request.url());
        let status = client.execute(request).await.unwrap().status();
        assert!(status == 403 || status == 501, "{asked}: {status}");
    }
    assert_eq!(reqwest::get(store.url("a")).await.unwrap().text().await.unwrap(), "a");
}

#[tokio::test]
async fn what_was_stored_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = Running::start(folder.path(), "web").await;
    put(&store.client(), "kept", b"kept").await;
    let before = store.client().head_object().bucket("web").key("kept").send().await.unwrap();
    store.stop().await;
    let store = Running::start(folder.path(), "web").await;
    let after = store.client().head_object().bucket("web").key("kept").send().await.unwrap();
    assert_eq!((after.e_tag(), after.last_modified(), after.content_type()), (before.e_tag(), before.last_modified(), Some("text/css")));
    assert_eq!(reqwest::get(store.url("kept")).await.unwrap().text().await.unwrap(), "kept");
}

/// As on a full disk.
#[tokio::test]
async fn a_folder_that_cannot_be_written_is_told_to_whoever_writes() {
    let folder = tempfile::tempdir().unwrap();
    let store = Running::start(folder.path(), "web").await;
    std::fs::remove_dir_all(folder.path().join(".uploads")).unwrap();
    let put = store.server().client().put_object().bucket("web").key("a.js").body(Vec::new().into()).send().await;
    let error = put.unwrap_err().into_service_error();
    assert_eq!(error.code(), Some("InternalError"));
    let told = error.message().unwrap_or_default();
    assert!(told.starts_with("the store's folder cannot be used: No such file or directory"), "{told}");
    store.stop().await;
}

#[tokio::test]
async fn checksums_of_other_tools_are_compared_too() {
    let folder = tempfile::tempdir().unwrap();
    let store = Running::start(folder.path(), "web").await;
    let put = |key: &str| store.client().put_object().bucket("web").key(key).body(b"123456789".to_vec().into());
    for algorithm in [ChecksumAlgorithm::Crc32, ChecksumAlgorithm::Crc32C, ChecksumAlgorithm::Sha1, ChecksumAlgorithm::Crc64Nvme] {
        put("good").checksum_algorithm(algorithm).send().await.unwrap();
    }
    put("good").content_md5("JfnnlDI7RTiF9RgfG2JNCw==").send().await.unwrap();
    let wrong = [
        put("bad").checksum_crc32("AAAAAA=="),
        put("bad").checksum_crc32_c("AAAAAA=="),
        put("bad").checksum_sha1("AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        put("bad").checksum_crc64_nvme("AAAAAAAAAAA="),
        put("bad").content_md5("AAAAAAAAAAAAAAAAAAAAAA=="),
    ];
    for request in wrong {
        assert_eq!(request.send().await.unwrap_err().into_service_error().code(), Some("BadDigest"));
    }
    let listed = store.client().list_objects_v2().bucket("web").send().await.unwrap();
    assert_eq!(listed.contents().iter().filter_map(|object| object.key()).collect::<Vec<_>>(), ["good"]);
    assert_eq!(std::fs::read_dir(folder.path().join(".uploads")).unwrap().count(), 0, "a refused upload left a file");
}

#[tokio::test]
async fn a_batch_of_deletes_answers_for_each_key() {
    let folder = tempfile::tempdir().unwrap();
    let store = Running::start(folder.path(), "web").await;
    let client = store.client();
    put(&client, "a", b"a").await;
    put(&client, "b", b"b").await;
    let object = |key: &str, etag: Option<&str>| ObjectIdentifier::builder().key(key).set_e_tag(etag.map(str::to_owned)).build().unwrap();
    let objects = vec![object("a", None), object("b", Some("\"another\"")), object("missing", None)];
    let delete = Delete::builder().set_objects(Some(objects)).build().unwrap();
    let ended = client.delete_objects().bucket("web").delete(delete).send().await.unwrap();
    let errors: Vec<_> = ended.errors().iter().map(|error| (error.key().unwrap(), error.code().unwrap())).collect();
    assert_eq!(errors, [("b", "PreconditionFailed")]);
    assert_eq!(ended.deleted().len(), 2);
    assert_eq!(reqwest::get(store.url("a")).await.unwrap().status(), 404);
    assert_eq!(reqwest::get(store.url("b")).await.unwrap().status(), 200);
}

#[tokio::test]
async fn continuation_tokens_lead_through_a_long_listing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Running::start(folder.path(), "web").await;
    for number in 0..25 {
        put(&store.client(), &format!("k/{number}"), b"x").await;
    }
    let mut pages = store.client().list_objects_v2().bucket("web").prefix("k/").max_keys(10).into_paginator().send();
    let mut keys = Vec::new();
    while let Some(page) = pages.next().await {
        keys.extend(page.unwrap().contents().iter().map(|object| object.key().unwrap().to_owned()));
    }
    let mut expected: Vec<String> = (0..25).map(|number| format!("k/{number}")).collect();
    expected.sort_unstable();
    assert_eq!(keys, expected);
    let grouped = store.client().list_objects_v2().bucket("web").delimiter("/").send().await.unwrap_err().into_service_error();
    assert_eq!(grouped.code(), Some("NotImplemented"), "what is not implemented is not ignored");
}

#[tokio::test]
async fn a_store_without_a_key_or_with_a_wrong_bucket_name_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let nameless = Settings { secret_access_key: String::new(), ..settings(folder.path(), "web") };
    assert!(matches!(DevStore::bind(nameless).await.err(), Some(DevStoreError::NoKey)));
    let wrong = DevStore::bind(settings(folder.path(), "../web")).await.err().unwrap();
    assert!(wrong.to_string().contains("\"../web\" is not a bucket name"), "{wrong}");
    assert!(!format!("{:?}", settings(folder.path(), "web")).contains(SECRET_ACCESS_KEY));
}
