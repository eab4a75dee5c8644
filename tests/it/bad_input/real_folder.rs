//! A build in another bucket of a real store, over S3's protocol: its Secret is missing, has wrong keys, its bucket is missing, its folder
//! empty, half uploaded; each is told, and each is mended in turn. In real time: the sockets are real.

use rollcall::api::ManifestDigest;
use rollcall::api::names::ANNOTATION_REQUESTED_AT;
use rollcall::testing::apiserver::{ApiServer, Key, Kind};
use rollcall::testing::builders::{self, APP, BUILDS, NAMESPACE};
use rollcall::testing::world::World;
use serde_json::json;

use super::real_store::{begin, free_port, secret, start_store, until};

const FOLDER: &str = "web/v2/";

/// What a pipeline has built, and what it printed.
async fn built() -> (Vec<(String, bytes::Bytes)>, ManifestDigest) {
    let mut world = World::new(1);
    world.kill_controller();
    let digest = world.put_into_folder("v2").await;
    let files = world.builds.keys().into_iter().map(|key| (key[FOLDER.len()..].to_owned(), world.builds.bytes(&key).unwrap()));
    (files.collect(), digest)
}

fn wants_v2(server: &ApiServer, port: u16, digest: &ManifestDigest) {
    let mut source = builders::folder_source(digest);
    source["http"] = serde_json::Value::Null;
    source["bucket"]["endpoint"] = json!(format!("http://127.0.0.1:{port}"));
    source["bucket"]["forcePathStyle"] = json!(true);
    source["bucket"]["credentials"] = json!({"secretName": "ci-keys"});
    let release = Key::new(Kind::named("AssetRelease"), NAMESPACE, APP);
    server.patch("user", &release, &json!({"spec": {"version": "v2", "source": source}})).unwrap();
}

async fn assert_told(server: &ApiServer, reason: &str, text: &str) {
    let message = until(server, "AssetRelease", APP, &format!("False {reason}")).await;
    assert!(message.contains(text) && !message.contains("dev-secret"), "{message}");
}

// I1: nothing of v2 is active before all of it is in order.
#[tokio::test]
async fn a_release_waits_for_keys_bucket_and_folder_of_its_build() {
    let ((files, digest), folder, port) = (built().await, tempfile::tempdir().unwrap(), free_port());
    let store = start_store(folder.path(), port, "assets").await;
    let (server, controller) = begin(port, "dev-secret");
    until(&server, "AssetRelease", APP, "True Active").await;
    wants_v2(&server, port, &digest);
    assert_told(&server, "CredentialsMissing", "Secret \"ci-keys\", named by spec.source.bucket, does not exist").await;
    let keys = |secret_access_key: &str| {
        let mut keys = secret(secret_access_key);
        keys["metadata"]["name"] = json!("ci-keys");
        keys
    };
    server.create("user", &keys("a-wrong-one")).unwrap();
    assert_told(&server, "SourceAccessDenied", "folder \"web/v2/\" of bucket \"ci-builds\" cannot be read").await;
    let of_secret = Key::new(Kind::named("Secret"), NAMESPACE, "ci-keys");
    server.patch("user", &of_secret, &json!({"data": keys("dev-secret")["data"]})).unwrap();
    assert_told(&server, "SourceBucketNotFound", "correct name, region or endpoint").await;
    let endpoint = format!("http://127.0.0.1:{port}");
    let dev = crate::bucket_contract::over_s3::Server { endpoint: &endpoint, access_key_id: "dev", secret_access_key: "dev-secret" };
    let client = dev.client();
    client.create_bucket().bucket(BUILDS).send().await.unwrap();
    assert_told(&server, "SourceNotFound", "put the build there").await;
    for (path, content) in files.iter().rev() {
        client.put_object().bucket(BUILDS).key(format!("{FOLDER}{path}")).body(content.clone().into()).send().await.unwrap();
        if path.contains("/film.") {
            // The release may look at any moment: until all is there it is another build.
            assert_told(&server, "WrongBuild", "which the release asks for").await;
        }
    }
    let release = Key::new(Kind::named("AssetRelease"), NAMESPACE, APP);
    server.patch("user", &release, &json!({"metadata": {"annotations": {ANNOTATION_REQUESTED_AT: "now"}}})).unwrap();
    until(&server, "AssetRelease", APP, "True Active").await;
    assert_eq!(server.get(&release).unwrap()["status"]["active"]["version"], json!("v2"));
    controller.abort();
    store.abort();
}
