//! The connector against real sockets on loopback: what is never connected to, and how much is taken of what never ends.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

const POOL: Pool = Pool { connect_timeout: Duration::from_secs(2), idle_timeout: Duration::from_secs(1), idle_max: 0 };

/// Sends `first`, then `again` until the other side has enough.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    sent: Arc<AtomicUsize>,
}

async fn serve(first: &'static [u8], again: &'static [u8], pause: Duration) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (connections, sent) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let (counted, counted_bytes) = (connections.clone(), sent.clone());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            let _ = client.read(&mut [0; 4096]).await;
            if client.write_all(first).await.is_err() || again.is_empty() {
                continue;
            }
            while client.write_all(again).await.is_ok() {
                counted_bytes.fetch_add(again.len(), Ordering::Relaxed);
                tokio::time::sleep(pause).await;
            }
        }
    });
    Server { address, connections, sent }
}

/// What a name stands for, one answer after the other; the last one for ever.
#[derive(Debug)]
struct Answers {
    left: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: Mutex<Vec<String>>,
}

impl Answers {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let left = answers.iter().map(|answer| answer.iter().map(|address| address.parse().unwrap()).collect()).collect();
        Arc::new(Self { left: Mutex::new(left), asked: Mutex::default() })
    }
}

#[async_trait]
impl Resolve for Answers {
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.asked.lock().unwrap().push(name.to_owned());
        let mut left = self.left.lock().unwrap();
        Ok(if left.len() > 1 { left.pop_front().unwrap() } else { left[0].clone() })
    }
}

async fn get(egress: &Egress, url: &str) -> Result<http::Response<Bounded>, Unanswered> {
    let request = Request::get(url).header("connection", "close").body(Empty::<Bytes>::new()).unwrap();
    egress.client(POOL).send(request).await
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";

#[tokio::test]
async fn not_one_connection_is_made_to_what_is_not_allowed() {
    let server = serve(OK, b"", Duration::ZERO).await;
    let port = server.address.port();
    let inside = Egress::public_and(Vec::new()).resolving_by(Answers::new(&[&["127.0.0.1"]]));
    let mixed = Egress::public_and(Vec::new()).resolving_by(Answers::new(&[&["1.1.1.1", "127.0.0.1"]]));
    for host in
        ["127.0.0.1", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "localhost", "LOCALHOST.", "0x7f.1", "2130706433", "store.example.com"]
    {
        let refused = get(&inside, &format!("http://{host}:{port}/")).await.expect_err(host);
        assert!(matches!(refused, Unanswered::NotAllowed(_)), "{host}: {refused}");
    }
    let refused = get(&mixed, &format!("http://store.example.com:{port}/")).await.unwrap_err();
    assert!(matches!(refused, Unanswered::NotAllowed(_)), "one bad address is enough: {refused}");
    assert_eq!(server.connections.load(Ordering::Relaxed), 0);
    let allowed = Egress::public_and(vec!["127.0.0.1".parse().unwrap()]).resolving_by(Answers::new(&[&["127.0.0.1"]]));
    for host in ["127.0.0.1", "store.example.com"] {
        let answer = get(&allowed, &format!("http://{host}:{port}/")).await.unwrap();
        assert_eq!(answer.into_body().whole().await.unwrap(), "ok");
    }
    assert_eq!(server.connections.load(Ordering::Relaxed), 2);
}

/// What a name stands for inside is told to nobody, and names that only mean something inside are not even looked up.
#[tokio::test]
async fn a_refusal_does_not_tell_what_a_name_stands_for() {
    let answers = Answers::new(&[&["10.96.0.1"]]);
    let egress = Egress::public_and(Vec::new()).resolving_by(answers.clone());
    let mut told = Vec::new();
    for host in ["kubernetes.default.svc", "kubernetes", "metadata.google.internal", "store.example.com"] {
        told.push(get(&egress, &format!("https://{host}/")).await.unwrap_err().to_string().replace(host, "HOST"));
    }
    told.dedup();
    assert_eq!(told, ["the host \"HOST\" is not the name of public addresses alone"]);
    assert_eq!(*answers.asked.lock().unwrap(), ["store.example.com."], "complete: no search domain of ours is appended");
}

#[tokio::test]
async fn a_name_that_stands_for_something_else_a_moment_later_is_checked_again() {
    let server = serve(OK, b"", Duration::ZERO).await;
    let answers = Answers::new(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let egress = Egress::public_and(vec!["127.0.0.1".parse().unwrap()]).resolving_by(answers.clone());
    let url = format!("http://store.example.com:{}/", server.address.port());
    get(&egress, &url).await.unwrap();
    let refused = get(&egress, &url).await.unwrap_err();
    assert!(matches!(refused, Unanswered::NotAllowed(_)), "{refused}");
    assert_eq!(answers.asked.lock().unwrap().len(), 2, "looked up once for each connection, and not again to connect");
    assert_eq!(server.connections.load(Ordering::Relaxed), 1);
}

/// Beyond what is taken, the kernel's buffers of both sides hold some megabytes.
const IN_BUFFERS: usize = 16 << 20;

#[tokio::test]
async fn an_endless_body_ends_with_its_bound() {
    static ZEROS: [u8; 65536] = [b'0'; 65536];
    let server = serve(b"HTTP/1.1 200 OK\r\n\r\n", &ZEROS, Duration::ZERO).await;
    let egress = Egress::unrestricted();
    let answer = get(&egress, &format!("http://{}/", server.address)).await.unwrap();
    let broken = answer.into_body().whole().await.unwrap_err();
    assert!(matches!(broken, Broken::TooLong { bytes_max: SMALL_BYTES_MAX }), "{broken}");
    let answer = get(&egress, &format!("http://{}/", server.address)).await.unwrap();
    let mut body = answer.into_body().at_most(1 << 20, Duration::from_secs(10));
    let mut taken = 0;
    while let Ok(Some(piece)) = body.piece().await {
        taken += piece.len();
    }
    assert!(taken <= 1 << 20, "{taken}");
    drop(body);
    assert!(server.sent.load(Ordering::Relaxed) < IN_BUFFERS);
}

async fn is_refused(server: &Server) -> bool {
    let (egress, url) = (Egress::unrestricted(), format!("http://{}/", server.address));
    tokio::time::timeout(Duration::from_secs(10), get(&egress, &url)).await.expect("it ends by itself").is_err()
}

#[tokio::test]
async fn endless_headers_end() {
    let server = serve(b"HTTP/1.1 200 OK\r\n", b"x-more: 0123456789012345678901234567890123456789\r\n", Duration::ZERO).await;
    assert!(is_refused(&server).await);
    let server = serve(b"HTTP/1.1 200 OK\r\nx: ", b"0123456789012345678901234567890123456789", Duration::ZERO).await;
    assert!(is_refused(&server).await);
    assert!(server.sent.load(Ordering::Relaxed) < IN_BUFFERS);
}

#[tokio::test]
async fn a_drip_ends_in_time_and_so_does_silence() {
    let server = serve(b"HTTP/1.1 200 OK\r\n\r\n", b"0", Duration::from_millis(5)).await;
    let answer = get(&Egress::unrestricted(), &format!("http://{}/", server.address)).await.unwrap();
    let body = answer.into_body().at_most(1 << 20, Duration::from_millis(100));
    let broken = tokio::time::timeout(Duration::from_secs(10), body.whole()).await.expect("it ends by itself").unwrap_err();
    assert!(matches!(broken, Broken::Stalled), "{broken}");
    let silent = serve(b"HTTP/1.1 200 OK\r\n\r\n", b"0", Duration::from_secs(3600)).await;
    let answer = get(&Egress::unrestricted(), &format!("http://{}/", silent.address)).await.unwrap();
    let body = answer.into_body().never_idle_for(Duration::from_millis(100));
    let broken = tokio::time::timeout(Duration::from_secs(10), body.whole()).await.expect("it ends by itself").unwrap_err();
    assert!(matches!(broken, Broken::Stalled), "{broken}");
}
