//! What the S3 bucket sends, and what it makes of lost and odd answers. Over the embedded store, with a relay in between.

use std::sync::Arc;

use bytes::Bytes;
use rollcall::api::ContentHash;
use rollcall::bucket::probe::{Capabilities, Probe as _};
use rollcall::bucket::s3::S3Bucket;
use rollcall::bucket::{Attributes, Body, Bucket, BucketError, Created, Expected, Swapped};
use tempfile::TempDir;

use super::clauses::{Letters, attributes, create};
use super::over_s3::Server;
use super::wire::{Act, CONFLICT, Relay, SLOW_DOWN};
use crate::dev_store::Running;

struct Wire {
    store: Running,
    relay: Relay,
    bucket: S3Bucket,
    _folder: TempDir,
}

async fn wire(script: impl IntoIterator<Item = Act>) -> Wire {
    let folder = tempfile::tempdir().unwrap();
    let store = Running::start(folder.path(), "contract").await;
    let relay = Relay::start(&store.endpoint, script).await;
    let server = Server { endpoint: &relay.endpoint, ..store.server() };
    let bucket = S3Bucket::connect(&server.settings("contract")).unwrap();
    Wire { store, relay, bucket, _folder: folder }
}

impl Wire {
    /// The store itself, past the relay.
    fn direct(&self) -> S3Bucket {
        S3Bucket::connect(&self.store.server().settings("contract")).unwrap()
    }

    fn methods(&self) -> Vec<String> {
        self.relay.heads().iter().map(|head| head.split(' ').next().unwrap().to_owned()).collect()
    }
}

const LARGE: usize = 300 * 1024;

// I3: our own success must not look like somebody else's object.
#[tokio::test]
async fn a_create_whose_answer_got_lost_is_the_same() {
    let wire = wire([Act::LoseAnswer]).await;
    assert_eq!(create(&wire.bucket, "a.js", b"a", "v1").await, Ok(Created::Same));
    assert_eq!(wire.methods(), ["put", "put", "head"], "sent, sent again by the SDK, looked at");
    assert_eq!(wire.direct().get("a.js", 10).await.unwrap().unwrap(), "a");
}

#[tokio::test]
async fn a_create_whose_answers_all_got_lost_is_unavailable_and_then_the_same() {
    let wire = wire([Act::LoseAnswer; 4]).await;
    let lost = create(&wire.bucket, "a.js", b"a", "v1").await;
    assert!(matches!(lost, Err(BucketError::Unavailable { .. })), "{lost:?}");
    assert_eq!(create(&wire.bucket, "a.js", b"a", "v1").await, Ok(Created::Same));
}

#[tokio::test]
async fn what_is_made_while_it_is_sent_is_made_again_for_another_try() {
    let wire = wire([Act::Forward, Act::Answer("500 Internal Server Error", "")]).await;
    let (letters, bytes) = (Letters { letter: b'a', pieces: 400 }, vec![b'a'; 400_000]);
    let created = wire.bucket.create("made", Body::Made(Arc::new(letters)), &attributes(&bytes, "v1")).await;
    assert_eq!(created, Ok(Created::New));
    assert_eq!(wire.methods(), ["head", "put", "put"]);
    assert!(wire.direct().get("made", 400_000).await.unwrap().unwrap() == bytes);
}

#[tokio::test]
async fn an_undecided_race_is_tried_again() {
    let wire = wire([CONFLICT, CONFLICT]).await;
    assert_eq!(create(&wire.bucket, "a.js", b"a", "v1").await, Ok(Created::New));
    assert_eq!(wire.methods(), ["put"; 3]);
    let body = Body::Bytes(Bytes::from_static(b"b"));
    let again = self::wire([CONFLICT]).await;
    assert_eq!(again.bucket.replace("b", body, &attributes(b"b", "v1"), &Expected::Absent).await, Ok(Swapped::Done));
}

#[tokio::test]
async fn a_store_that_asks_for_less_is_asked_again_more_and_more_slowly() {
    let wire = wire([SLOW_DOWN; 4]).await;
    assert_eq!(create(&wire.bucket, "a.js", b"a", "v1").await, Ok(Created::New));
    assert_eq!(wire.methods(), ["put"; 5]);
}

#[tokio::test]
async fn a_store_that_goes_on_asking_for_less_is_unavailable_and_its_own_word_is_told() {
    let wire = wire([SLOW_DOWN; 20]).await;
    let error = create(&wire.bucket, "a.js", b"a", "v1").await.unwrap_err();
    assert_eq!(error.to_string(), "create \"a.js\" failed for now: 503 SlowDown: Please reduce");
    // Six paced tries, and three more by the SDK, which words the failure.
    assert_eq!(wire.methods().len(), 9);
}

#[tokio::test]
async fn a_403_without_a_word_is_denied_and_never_missing() {
    let wire = wire([Act::Answer("403 Forbidden", ""); 2]).await;
    let looked = wire.bucket.head("a.js").await;
    assert!(matches!(looked, Err(BucketError::Denied { .. })), "{looked:?}");
    let created = create(&wire.bucket, "large.js", &vec![0; LARGE], "v1").await;
    assert!(matches!(created, Err(BucketError::Denied { .. })), "{created:?}");
    assert_eq!(wire.methods(), ["head", "head"], "nothing was sent blindly");
}

#[tokio::test]
async fn a_404_page_of_something_that_is_no_store_is_not_a_missing_object() {
    let page = Act::Answer("404 Not Found", "<html>default backend</html>");
    let wire = wire([page, Act::Answer("404 Not Found", ""), page, page]).await;
    assert!(wire.bucket.get("a.js", 10).await.is_err());
    assert!(wire.bucket.head("a.js").await.is_err());
    assert!(wire.bucket.delete("a.js", "\"x\"").await.is_err());
}

#[tokio::test]
async fn a_put_carries_its_condition_and_its_hash_and_no_acl_or_tag() {
    let wire = wire([]).await;
    create(&wire.bucket, "a.js", b"a", "v1").await.unwrap();
    let head = wire.relay.heads().remove(0);
    let sha256 = ContentHash::of(b"a");
    for line in [
        "if-none-match: *".to_owned(),
        format!("x-amz-content-sha256: {sha256}"),
        "x-amz-checksum-sha256: ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs=".to_lowercase(),
        format!("x-amz-meta-rollcall-sha256: {sha256}"),
        "x-amz-meta-rollcall-release: shop/web".to_owned(),
        "x-amz-meta-rollcall-version: v1".to_owned(),
        "content-length: 1".to_owned(),
    ] {
        assert!(head.lines().any(|found| found == line), "{line} is missing in\n{head}");
    }
    for never in ["x-amz-acl", "x-amz-tagging", "x-amz-sdk-checksum-algorithm", "x-amz-trailer", "aws-chunked", "expect:"] {
        assert!(!head.contains(never), "{never} is in\n{head}");
    }
}

/// Both ways of sending. The bytes are sent as they are: nobody encodes them a second time.
#[tokio::test]
async fn a_variant_carries_its_encoding_on_both_ways() {
    let wire = wire([]).await;
    for (key, bytes) in [("small.js.br", vec![7; 10]), ("large.js.br", vec![7; LARGE])] {
        let attributes = Attributes { content_encoding: Some("br"), ..attributes(&bytes, "v1") };
        let created = wire.bucket.create(key, Body::Bytes(bytes.clone().into()), &attributes).await;
        assert_eq!(created, Ok(Created::New));
        assert!(wire.direct().get(key, LARGE as u64).await.unwrap().unwrap() == bytes);
        assert_eq!(wire.direct().head(key).await.unwrap().unwrap().content_encoding.as_deref(), Some("br"));
    }
    let puts: Vec<_> = wire.relay.heads().into_iter().filter(|head| head.starts_with("put ")).collect();
    assert!(puts.len() == 2 && puts.iter().all(|head| head.lines().any(|line| line == "content-encoding: br")), "{puts:?}");
}

/// A large file with these bytes, whose hash is promised to be that of `promised`.
async fn create_file(bucket: &S3Bucket, key: &str, bytes: &[u8], promised: &[u8]) -> Result<Created, BucketError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let body = Body::File { path: file.path().to_owned(), size: bytes.len() as u64 };
    bucket.create(key, body, &attributes(promised, "v1")).await
}

/// What the PUTs were signed over.
fn signed(wire: &Wire) -> Vec<String> {
    let puts = wire.relay.heads().into_iter().filter(|head| head.starts_with("put "));
    puts.filter_map(|head| Some(head.lines().find_map(|line| line.strip_prefix("x-amz-content-sha256: "))?.to_owned())).collect()
}

// I3: the store computes one hash of a large file instead of two, and what spoils it on the way is still found.
#[tokio::test]
async fn a_large_file_is_signed_by_its_checksum_where_the_store_goes_by_it() {
    let wire = wire([]).await;
    let (bytes, other) = (vec![7; LARGE], vec![8; LARGE]);
    create(&wire.bucket, "a.js", b"a", "v1").await.unwrap();
    create_file(&wire.bucket, "signed.js", &bytes, &bytes).await.unwrap();
    wire.bucket.heed(&Capabilities::strict());
    assert_eq!(create_file(&wire.bucket, "large.js", &bytes, &bytes).await, Ok(Created::New));
    let hashes = [ContentHash::of(b"a"), ContentHash::of(&bytes)].map(|hash| hash.to_string());
    assert_eq!(signed(&wire), [&hashes[0], &hashes[1], "unsigned-payload"]);
    let last = wire.relay.heads().pop().unwrap();
    let authorization = last.lines().find(|line| line.starts_with("authorization:")).unwrap();
    assert!(authorization.contains(";x-amz-checksum-sha256;"), "{authorization}");

    let spoiled = create_file(&wire.bucket, "spoiled.js", &other, &bytes).await;
    assert!(matches!(spoiled, Err(BucketError::Refused { .. })), "{spoiled:?}");
    assert_eq!(wire.direct().head("spoiled.js").await, Ok(None));
}

#[tokio::test]
async fn a_store_that_comes_to_ask_for_signed_bytes_gets_them() {
    let policy = Act::Answer("403 Forbidden", "<Error><Code>AccessDenied</Code></Error>");
    let proxy = Act::Answer("400 Bad Request", "<Error><Code>InvalidRequest</Code></Error>");
    for answer in [policy, proxy] {
        let wire = wire([Act::Forward, Act::Forward, answer]).await;
        let bytes = vec![7; LARGE];
        wire.bucket.heed(&Capabilities::strict());
        create(&wire.bucket, "a.js", b"a", "v1").await.unwrap();
        assert_eq!(create_file(&wire.bucket, "large.js", &bytes, &bytes).await, Ok(Created::New));
        // As before each job of the controller.
        wire.bucket.heed(&Capabilities::strict());
        assert_eq!(create_file(&wire.bucket, "next.js", &bytes, &bytes).await, Ok(Created::New));
        let hash = ContentHash::of(&bytes).to_string();
        assert_eq!(signed(&wire)[1..], ["unsigned-payload", &hash, &hash]);
    }
}

#[tokio::test]
async fn a_large_file_that_is_denied_in_any_case_is_told_so_and_says_nothing_of_its_signature() {
    let denied = Act::Answer("403 Forbidden", "<Error><Code>AccessDenied</Code></Error>");
    let wire = wire([Act::Forward, Act::Forward, denied, denied]).await;
    let bytes = vec![7; LARGE];
    wire.bucket.heed(&Capabilities::strict());
    create(&wire.bucket, "a.js", b"a", "v1").await.unwrap();
    let refused = create_file(&wire.bucket, "large.js", &bytes, &bytes).await;
    assert!(matches!(refused, Err(BucketError::Denied { .. })), "{refused:?}");
    assert_eq!(create_file(&wire.bucket, "next.js", &bytes, &bytes).await, Ok(Created::New));
    assert_eq!(signed(&wire).last().unwrap(), "unsigned-payload");
}

#[tokio::test]
async fn a_large_body_that_is_there_is_not_sent_again() {
    let wire = wire([]).await;
    let bytes = vec![7; LARGE];
    assert_eq!(create(&wire.bucket, "large.js", &bytes, "v1").await, Ok(Created::New));
    assert_eq!(create(&wire.bucket, "large.js", &bytes, "v1").await, Ok(Created::Same));
    assert!(matches!(create(&wire.bucket, "large.js", &vec![8; LARGE], "v2").await, Ok(Created::Other(_))));
    assert_eq!(wire.methods(), ["head", "put", "head", "head"]);
}

#[tokio::test]
async fn old_uploads_are_given_up_page_by_page_and_young_ones_left_alone() {
    const FIRST: Act = Act::Answer(
        "200 OK",
        "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>p/b</NextKeyMarker><NextUploadIdMarker>2</NextUploadIdMarker>\
         <Upload><Key>p/a</Key><UploadId>1</UploadId><Initiated>2026-11-01T00:00:00.000Z</Initiated></Upload>\
         <Upload><Key>p/b</Key><UploadId>2</UploadId><Initiated>2026-11-20T00:00:00.000Z</Initiated></Upload></ListMultipartUploadsResult>",
    );
    const LAST: Act = Act::Answer(
        "200 OK",
        "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>\
         <Upload><Key>p/c</Key><UploadId>3</UploadId><Initiated>2026-11-02T00:00:00.000Z</Initiated></Upload></ListMultipartUploadsResult>",
    );
    let gone = Act::Answer("404 Not Found", "<Error><Code>NoSuchUpload</Code></Error>");
    let wire = wire([FIRST, LAST, Act::Answer("204 No Content", ""), gone]).await;
    let before = "2026-11-19T00:00:00Z".parse().unwrap();
    assert_eq!(wire.bucket.give_up_uploads("p/", before).await, Ok(1), "one was finished meanwhile");
    let heads = wire.relay.heads();
    assert!(
        heads[1].starts_with("get") && heads[1].contains("key-marker=p%2fb") && heads[1].contains("upload-id-marker=2"),
        "{}",
        heads[1]
    );
    assert!(heads[2].starts_with("delete /contract/p/a?") && heads[2].contains("uploadid=1"), "{}", heads[2]);
    assert!(heads[3].starts_with("delete /contract/p/c?") && heads[3].contains("uploadid=3"), "{}", heads[3]);
}

#[tokio::test]
async fn a_store_that_knows_no_uploads_has_none_to_give_up() {
    let wire = wire([Act::Answer("501 Not Implemented", "<Error><Code>NotImplemented</Code></Error>"); 3]).await;
    assert_eq!(wire.bucket.give_up_uploads("p/", "2026-11-19T00:00:00Z".parse().unwrap()).await, Ok(0));
}

/// Both ways of sending: the short one for small bodies, the SDK's for large ones. Not tried on the real services.
#[tokio::test]
async fn a_vendors_own_word_goes_instead_of_if_none_match_on_both_ways() {
    let vendors = [
        ("https://oss-cn-hangzhou.aliyuncs.com", "x-oss-forbid-overwrite: true"),
        ("https://cos.ap-guangzhou.myqcloud.com", "x-cos-forbid-overwrite: true"),
    ];
    for (vendor, line) in vendors {
        let wire = wire([]).await;
        let server = Server { endpoint: &wire.relay.endpoint, ..wire.store.server() };
        let bucket = S3Bucket::connect_to_vendor(&server.settings("contract"), Some(vendor)).unwrap();
        assert_eq!(create(&bucket, "small.js", b"a", "v1").await, Ok(Created::New));
        assert_eq!(create(&bucket, "large.js", &vec![7; LARGE], "v1").await, Ok(Created::New));
        let puts: Vec<_> = wire.relay.heads().into_iter().filter(|head| head.starts_with("put ")).collect();
        assert_eq!(puts.len(), 2);
        for head in puts {
            assert!(head.lines().any(|found| found == line), "{line} is missing in\n{head}");
            assert!(head.contains("x-amz-content-sha256: "), "the hash of the payload is signed:\n{head}");
            let signed = head.lines().find(|line| line.starts_with("authorization:")).unwrap();
            assert!(signed.contains(line.split(':').next().unwrap()), "{signed}");
            for never in ["if-none-match", "x-amz-checksum-sha256"] {
                assert!(!head.contains(never), "{never} is in\n{head}");
            }
        }
    }
}

#[tokio::test]
async fn a_vendors_conflict_is_an_object_that_is_there() {
    let wire = wire([Act::Answer("409 Conflict", "<Error><Code>FileAlreadyExists</Code></Error>"); 2]).await;
    assert_eq!(create(&wire.direct(), "a.js", b"theirs", "v1").await, Ok(Created::New));
    let server = Server { endpoint: &wire.relay.endpoint, ..wire.store.server() };
    let bucket = S3Bucket::connect_to_vendor(&server.settings("contract"), Some("https://oss-cn-hangzhou.aliyuncs.com")).unwrap();
    assert!(matches!(create(&bucket, "a.js", b"ours", "v2").await, Ok(Created::Other(_))));
}
