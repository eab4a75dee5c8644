//! Stores that a tenant names, against raw sockets on loopback: what is not called, what is not told, and what ends.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rollcall::bucket::s3::{Credentials, S3Bucket, S3Settings};
use rollcall::bucket::{Bucket as _, BucketError};
use rollcall::egress::Egress;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A store that answers each request with what `answer` makes of its number, and counts connections and bytes.
struct Store {
    port: u16,
    connections: Arc<AtomicUsize>,
    sent: Arc<AtomicUsize>,
}

async fn store(answer: impl Fn(usize) -> Vec<u8> + Send + Sync + 'static) -> Store {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (connections, sent) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let counted = (connections.clone(), sent.clone());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let number = counted.0.fetch_add(1, Ordering::Relaxed);
            let _ = client.read(&mut vec![0; 64 * 1024]).await;
            for piece in answer(number).chunks(64 * 1024) {
                if client.write_all(piece).await.is_err() {
                    break;
                }
                counted.1.fetch_add(piece.len(), Ordering::Relaxed);
            }
        }
    });
    Store { port, connections, sent }
}

fn http(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn listing(keys: impl Iterator<Item = String>, is_truncated: bool) -> String {
    let lines: Vec<String> = keys
        .map(|key| {
            format!(
                "<Contents><Key>{key}</Key><LastModified>2026-11-20T16:00:00.000Z</LastModified><ETag>&quot;1&quot;</ETag><Size>1</Size></Contents>"
            )
        })
        .collect();
    format!("<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>{is_truncated}</IsTruncated>{}</ListBucketResult>", lines.concat())
}

fn settings(endpoint: String) -> S3Settings {
    let credentials = Credentials::Static { access_key_id: "id".into(), secret_access_key: "secret".into(), session_token: None };
    S3Settings { bucket: "web".into(), region: "us-east-1".into(), endpoint: Some(endpoint), force_path_style: true, credentials }
}

fn bucket(egress: &Egress, endpoint: String) -> S3Bucket {
    S3Bucket::connect_through(egress, &settings(endpoint)).unwrap()
}

fn loopback() -> Egress {
    Egress::public_and(vec!["127.0.0.1".parse().unwrap()])
}

#[tokio::test]
async fn a_store_at_an_address_inside_gets_not_one_connection() {
    let store = store(|_| http("")).await;
    let egress = Egress::public_and(Vec::new());
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0x7f000001", "017700000001"] {
        let bucket = bucket(&egress, format!("http://{host}:{}", store.port));
        for error in [bucket.list("", None).await.err(), bucket.get("a", 10).await.err(), bucket.head("a").await.err()] {
            assert!(matches!(error, Some(BucketError::NotAllowed { .. })), "{host}: {error:?}");
        }
    }
    assert_eq!(store.connections.load(Ordering::Relaxed), 0);
    bucket(&loopback(), format!("http://127.0.0.1:{}", store.port)).get("a", 10).await.unwrap();
    assert_eq!(store.connections.load(Ordering::Relaxed), 1, "the same store is called where it is allowed");
}

/// The small creates that go past the SDK take the same connector.
#[tokio::test]
async fn small_creates_are_not_sent_inside_either() {
    let store = store(|_| http("")).await;
    let bucket = bucket(&Egress::public_and(Vec::new()), format!("http://127.0.0.1:{}", store.port));
    let attributes = rollcall::bucket::Attributes {
        content_type: "text/plain".into(),
        cache_control: "no-store".into(),
        content_encoding: None,
        sha256: rollcall::api::ContentHash::of(b"x"),
        writer: None,
        sequence: None,
    };
    let created = bucket.create("a", rollcall::bucket::Body::Bytes("x".into()), &attributes).await;
    assert!(matches!(created, Err(BucketError::NotAllowed { .. })), "{created:?}");
    assert_eq!(store.connections.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn what_does_not_answer_as_a_store_is_told_alike() {
    let garbage = store(|_| b"SSH-2.0-OpenSSH_9.6\r\n".to_vec()).await;
    let reset = store(|_| Vec::new()).await;
    let page = store(|_| http("<html>the secret page of a router</html>")).await;
    let short = store(|_| b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n<?xml".to_vec()).await;
    let mut told = BTreeSet::new();
    for endpoint in [
        "http://127.0.0.1:9".to_owned(),
        format!("http://127.0.0.1:{}", reset.port),
        format!("http://127.0.0.1:{}", garbage.port),
        format!("https://127.0.0.1:{}", garbage.port),
        format!("http://127.0.0.1:{}", page.port),
        format!("http://127.0.0.1:{}", short.port),
    ] {
        told.insert(bucket(&loopback(), endpoint).list("", None).await.unwrap_err().to_string());
    }
    assert_eq!(told.len(), 1, "{told:?}");
}

#[tokio::test]
async fn a_listing_that_does_not_go_on_is_refused() {
    let same = store(|_| http(&listing((0..3).map(|number| format!("a{number}")), true))).await;
    let none = store(|_| http(&listing(std::iter::empty(), true))).await;
    let many = store(|_| http(&listing((0..1001).map(|number| format!("a{number:04}")), false))).await;
    let foreign = store(|_| http(&listing(std::iter::once("b".to_owned()), false))).await;
    let egress = loopback();
    let list =
        async |store: &Store, after: Option<&str>| bucket(&egress, format!("http://127.0.0.1:{}", store.port)).list("a", after).await;
    assert_eq!(list(&same, None).await.unwrap().next.as_deref(), Some("a2"));
    for (store, after) in [(&same, Some("a2")), (&same, Some("a0")), (&none, None), (&many, None), (&foreign, None)] {
        let error = list(store, after).await.unwrap_err();
        assert!(matches!(error, BucketError::Refused { .. }), "{error}");
    }
}

/// 100 MB of one page, of an error and of a small object: each ends after what it may have, and what the kernel's buffers hold.
#[tokio::test]
async fn endless_answers_are_not_taken() {
    let endless = |head: &'static str| {
        move |_: usize| {
            let mut answer = head.as_bytes().to_vec();
            answer.resize(100 << 20, b'x');
            answer
        }
    };
    for head in [
        "HTTP/1.1 200 OK\r\n\r\n<?xml version=\"1.0\"?><ListBucketResult><Prefix>",
        "HTTP/1.1 500 No\r\n\r\n<?xml version=\"1.0\"?><Error><Message>",
    ] {
        let store = store(endless(head)).await;
        let bucket = bucket(&loopback(), format!("http://127.0.0.1:{}", store.port));
        let listed = tokio::time::timeout(Duration::from_secs(60), bucket.list("", None)).await.expect("it ends by itself");
        assert!(listed.is_err());
        let (connections, sent) = (store.connections.load(Ordering::Relaxed), store.sent.load(Ordering::Relaxed));
        assert!(sent / connections < 24 << 20, "{sent} bytes over {connections} connections");
    }
}
