//! The contract over S3, and what only a bucket behind a network can get wrong: address, keys, name, size.
//! Knows the server only by its endpoint.

use std::sync::Arc;

use rollcall::api::ContentHash;
use rollcall::bucket::s3::{Credentials, Mended, S3Bucket, S3Settings};
use rollcall::bucket::{Attributes, Body, Bucket, BucketError, Created};

use super::clauses;

/// Where a server listens and who may write.
#[derive(Clone, Copy)]
pub struct Server<'a> {
    pub endpoint: &'a str,
    pub access_key_id: &'a str,
    pub secret_access_key: &'a str,
}

impl Server<'_> {
    pub fn settings(self, bucket: &str) -> S3Settings {
        S3Settings {
            bucket: bucket.to_owned(),
            region: "us-east-1".to_owned(),
            endpoint: Some(self.endpoint.to_owned()),
            force_path_style: true,
            credentials: Credentials::Static {
                access_key_id: self.access_key_id.to_owned(),
                secret_access_key: self.secret_access_key.to_owned(),
                session_token: None,
            },
        }
    }

    /// The SDK without us: what other tools do to a bucket.
    pub fn client(self) -> aws_sdk_s3::Client {
        let credentials = aws_credential_types::Credentials::new(self.access_key_id, self.secret_access_key, None, None, "test");
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(aws_sdk_s3::config::BehaviorVersion::v2026_01_12())
            .region(aws_sdk_s3::config::Region::new("us-east-1"))
            .endpoint_url(self.endpoint)
            .force_path_style(true)
            .credentials_provider(credentials);
        aws_sdk_s3::Client::from_conf(config.build())
    }
}

/// Everything, on a server that has the bucket `contract`.
pub async fn holds(server: Server<'_>, objects: usize) {
    let bucket: Arc<dyn Bucket> = Arc::new(S3Bucket::connect(&server.settings("contract")).unwrap());
    clauses::all(&bucket).await;
    clauses::many_objects_are_listed_page_by_page(&bucket, objects).await;
    a_large_file_is_sent_once_and_found_again(&*bucket, "file/").await;
    // In parts, where the store has parts: the same promises.
    let in_parts = S3Bucket::connect(&server.settings("contract")).unwrap().with_parts_from(1_000_000);
    a_large_file_is_sent_once_and_found_again(&in_parts, "parts/").await;
    many_who_send_in_parts_share_the_places_and_all_arrive(&in_parts).await;
    two_who_send_the_same_key_in_parts_end_with_one_object(in_parts).await;
    an_object_without_our_metadata_is_compared_by_its_bytes(&*bucket, server).await;
    headers_that_drifted_are_mended_and_bytes_never_change(server).await;
    wrong_keys_are_denied(server).await;
    a_missing_bucket_is_told_from_a_missing_object(server).await;
    a_server_that_is_not_there_is_unavailable(server).await;
}

async fn many_who_send_in_parts_share_the_places_and_all_arrive(bucket: &S3Bucket) {
    let bytes = vec![b'x'; 18_000_000];
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &bytes).unwrap();
    let attributes = clauses::attributes(&bytes, "v1");
    let creates = (0..5).map(|number| {
        let body = Body::File { path: file.path().to_owned(), size: bytes.len() as u64 };
        let attributes = &attributes;
        async move { bucket.create(&format!("parts/many-{number}.wasm"), body, attributes).await }
    });
    let ends =
        tokio::time::timeout(std::time::Duration::from_secs(60), futures::future::join_all(creates)).await.expect("nobody waits for ever");
    assert!(ends.iter().all(|end| *end == Ok(Created::New)), "{ends:?}");
}

async fn two_who_send_the_same_key_in_parts_end_with_one_object(bucket: S3Bucket) {
    // I3
    let contents = [vec![b'a'; 9_000_000], vec![b'b'; 9_000_000]];
    let files = contents.each_ref().map(|bytes| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file
    });
    let create = |at: usize| {
        let body = Body::File { path: files[at].path().to_owned(), size: 9_000_000 };
        let attributes = clauses::attributes(&contents[at], if at == 0 { "v1" } else { "v2" });
        let bucket = &bucket;
        async move { bucket.create("parts/race.wasm", body, &attributes).await.unwrap() }
    };
    let (one, other) = tokio::join!(create(0), create(1));
    let winner = match (&one, &other) {
        (Created::New, Created::Other(_)) => 0,
        (Created::Other(_), Created::New) => 1,
        both => panic!("{both:?}"),
    };
    assert!(bucket.get("parts/race.wasm", 9_000_000).await.unwrap().unwrap() == contents[winner], "the winner's bytes");
}

async fn a_large_file_is_sent_once_and_found_again(bucket: &dyn Bucket, folder: &str) {
    let bytes: Vec<u8> = (0..20_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &bytes).unwrap();
    let body = || Body::File { path: file.path().to_owned(), size: bytes.len() as u64 };
    let promised = clauses::attributes(&bytes, "v1");
    let (large, deceived_key) = (format!("{folder}large.wasm"), format!("{folder}deceived.wasm"));
    assert_eq!(bucket.create(&large, body(), &promised).await, Ok(Created::New));
    assert_eq!(bucket.create(&large, body(), &promised).await, Ok(Created::Same));
    assert!(bucket.get(&large, bytes.len() as u64).await.unwrap().unwrap() == bytes, "the bytes differ");
    let refused = bucket.get(&large, 1_000_000).await;
    assert!(matches!(refused, Err(BucketError::Refused { .. })), "{refused:?}");
    let deceived = Attributes { sha256: ContentHash::of(b"other"), ..promised };
    let refused = bucket.create(&deceived_key, body(), &deceived).await;
    assert!(matches!(refused, Err(BucketError::Refused { .. })), "{refused:?}");
    assert_eq!(bucket.head(&deceived_key).await, Ok(None));
}

/// Adopting a bucket that another tool filled sends nothing that is there.
async fn an_object_without_our_metadata_is_compared_by_its_bytes(bucket: &dyn Bucket, server: Server<'_>) {
    let foreign = server.client().put_object().bucket("contract").key("foreign/a.js");
    foreign.body(b"theirs".to_vec().into()).send().await.unwrap();
    assert_eq!(clauses::create(bucket, "foreign/a.js", b"theirs", "v1").await, Ok(Created::Same));
    for ours in [&b"others"[..], b"longer than theirs"] {
        match clauses::create(bucket, "foreign/a.js", ours, "v1").await {
            Ok(Created::Other(there)) => assert_eq!((there.size, &there.writer), (6, &None)),
            other => panic!("{other:?}"),
        }
    }
}

async fn headers_that_drifted_are_mended_and_bytes_never_change(server: Server<'_>) {
    let bucket = S3Bucket::connect(&server.settings("contract")).unwrap();
    let expected = Attributes { content_encoding: Some("br"), ..clauses::attributes(b"packed", "v1") };
    let foreign = server.client().put_object().bucket("contract").key("mend/a.js.br");
    foreign.content_type("text/plain").body(b"packed".to_vec().into()).send().await.unwrap();
    let found = bucket.head("mend/a.js.br").await.unwrap().unwrap();
    assert_eq!((found.content_type.as_deref(), &found.cache_control), (Some("text/plain"), &None));
    assert_eq!(bucket.mend_headers("mend/a.js.br", &found, &expected).await, Ok(Mended::Done));
    let mended = bucket.head("mend/a.js.br").await.unwrap().unwrap();
    assert_eq!(mended.content_type.as_ref(), Some(&expected.content_type));
    assert_eq!((mended.content_encoding.as_deref(), &mended.sha256), (Some("br"), &Some(expected.sha256.clone())));
    assert_eq!(bucket.get("mend/a.js.br", 100).await.unwrap().unwrap(), "packed");
    // I3: another object came in between.
    server.client().put_object().bucket("contract").key("mend/a.js.br").body(b"others".to_vec().into()).send().await.unwrap();
    assert_eq!(bucket.mend_headers("mend/a.js.br", &mended, &expected).await, Ok(Mended::Changed));
    assert_eq!(bucket.get("mend/a.js.br", 100).await.unwrap().unwrap(), "others");
}

async fn wrong_keys_are_denied(server: Server<'_>) {
    for (id, secret) in [(server.access_key_id, "a-wrong-secret"), ("nobody", server.secret_access_key)] {
        let wrong = Server { access_key_id: id, secret_access_key: secret, ..server };
        let bucket = S3Bucket::connect(&wrong.settings("contract")).unwrap();
        let ends = [
            clauses::create(&bucket, "denied/a.js", b"a", "v1").await.map(drop),
            bucket.head("create/assets/main.0a1b2c3d.js").await.map(drop),
            bucket.list("", None).await.map(drop),
            bucket.delete("create/assets/main.0a1b2c3d.js", "\"x\"").await.map(drop),
        ];
        for end in ends {
            let error = end.unwrap_err();
            assert!(matches!(error, BucketError::Denied { .. }), "{error:?}");
            assert!(!error.to_string().contains(secret), "{error}");
        }
    }
}

async fn a_missing_bucket_is_told_from_a_missing_object(server: Server<'_>) {
    let bucket = S3Bucket::connect(&server.settings("no-such-bucket")).unwrap();
    let ends = [
        clauses::create(&bucket, "a.js", b"a", "v1").await.map(drop),
        bucket.get("a.js", 10).await.map(drop),
        bucket.head("a.js").await.map(drop),
        bucket.list("", None).await.map(drop),
        bucket.delete("a.js", "\"x\"").await.map(drop),
    ];
    for end in ends {
        assert_eq!(end, Err(BucketError::NoSuchBucket { bucket: "no-such-bucket".to_owned() }));
    }
}

async fn a_server_that_is_not_there_is_unavailable(server: Server<'_>) {
    // A port that was free a moment ago: nobody listens.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nowhere = Server { endpoint: &format!("http://127.0.0.1:{port}"), ..server };
    let bucket = S3Bucket::connect(&nowhere.settings("contract")).unwrap();
    let error = clauses::create(&bucket, "a.js", b"a", "v1").await.unwrap_err();
    assert!(matches!(error, BucketError::Unavailable { .. }), "{error:?}");
    assert!(error.to_string().contains("onnection refused"), "{error}");
}
