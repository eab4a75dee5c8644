//! Attacks on raw sockets: who sends slowly, too much, the wrong thing, reads nothing, or comes with a thousand others.

use std::sync::atomic::AtomicUsize;

use axum::extract::State;
use axum::routing::{get, put};
use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;

/// Longer than any time-out here; whatever takes it has failed.
const FAR: Duration = Duration::from_secs(20);
/// What the peers of these tests may have; tests shorten what they are about.
const WIDE: Limits = Limits { head: FAR, idle: FAR, stall: FAR, drain: FAR, ..Limits::PUBLIC };
const SHORT: Duration = Duration::from_millis(150);
/// More than what the kernel holds for a peer that reads nothing.
const LARGE: usize = 64 * 1024 * 1024;

struct Running {
    address: SocketAddr,
    tally: Arc<Tally>,
    /// Requests for `/never` and `/slow` that are under way.
    begun: Arc<AtomicUsize>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

/// Pieces of 64 KiB, as many as the large answer has.
fn large() -> Body {
    let piece = Bytes::from(vec![b'x'; 64 * 1024]);
    Body::from_stream(futures::stream::iter((0..LARGE / piece.len()).map(move |_| Ok::<_, Infallible>(piece.clone()))))
}

fn router(begun: &Arc<AtomicUsize>) -> Router {
    let never = async |State(begun): State<Arc<AtomicUsize>>| {
        begun.fetch_add(1, Ordering::SeqCst);
        std::future::pending::<()>().await;
    };
    let slow = async |State(begun): State<Arc<AtomicUsize>>| {
        begun.fetch_add(1, Ordering::SeqCst);
        sleep(SHORT).await;
        "slow"
    };
    Router::new()
        .route("/", get(async || "home"))
        .route("/large", get(async || large()))
        .route("/never", get(never))
        .route("/slow", get(slow))
        .route("/put", put(async |body: Bytes| body.len().to_string()))
        .with_state(Arc::clone(begun))
}

/// A listener for which there are no files at first.
struct Failing {
    listener: TcpListener,
    failures: AtomicUsize,
}

impl Door for Failing {
    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
            Ok(_) => Err(rustix::io::Errno::MFILE.into()),
            Err(_) => self.listener.accept().await,
        }
    }
}

impl Running {
    async fn start(limits: Limits) -> Self {
        Self::start_failing(limits, 0).await
    }

    /// With this many accepts that fail for want of files first.
    async fn start_failing(limits: Limits, failures: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::new("test", limits);
        let (stop, stopped) = oneshot::channel::<()>();
        let tally = server.tally();
        let begun = Arc::default();
        let door = Failing { listener, failures: AtomicUsize::new(failures) };
        let serving = tokio::spawn(server.run_behind(door, router(&begun), async { drop(stopped.await) }));
        Self { address, tally, begun, stop, serving }
    }

    async fn connect(&self) -> Peer {
        self.connect_from("127.0.0.1").await
    }

    async fn connect_from(&self, address: &str) -> Peer {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(address.parse().unwrap(), 0)).unwrap();
        Peer(socket.connect(self.address).await.unwrap())
    }

    async fn open(&self, count: u64) {
        until(|| self.tally.open.load(Ordering::Relaxed) == count).await;
    }

    fn counted(&self) -> [u64; 3] {
        [&self.tally.refused, &self.tally.displaced, &self.tally.late].map(|counter| counter.load(Ordering::Relaxed))
    }
}

/// Watches at short intervals, because a counter wakes nobody.
async fn until(holds: impl Fn() -> bool) {
    timeout(FAR, async {
        while !holds() {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .expect("it should have come to hold");
}

struct Peer(TcpStream);

impl Peer {
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Until the server closes the connection, which is what is waited for.
    async fn rest(mut self) -> String {
        let mut bytes = Vec::new();
        // A connection that was reset is closed, too.
        let _closed_or_reset = timeout(FAR, self.0.read_to_end(&mut bytes)).await.expect("the server should have closed the connection");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// One answer with a short body.
    async fn answer(&mut self, ending: &str) -> String {
        let mut bytes = Vec::new();
        let read = async {
            while !bytes.ends_with(ending.as_bytes()) {
                assert_ne!(self.0.read_buf(&mut bytes).await.unwrap(), 0, "closed after {:?}", String::from_utf8_lossy(&bytes));
            }
        };
        timeout(FAR, read).await.expect("an answer should have come");
        String::from_utf8(bytes).unwrap()
    }

    async fn get(&mut self) -> String {
        self.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        self.answer("home").await
    }

    fn is_open(&self) -> bool {
        let open = matches!(self.0.try_read(&mut [0; 1]), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        open
    }
}

async fn said(request: impl AsRef<[u8]>) -> String {
    let server = Running::start(WIDE).await;
    let mut peer = server.connect().await;
    peer.send(request).await;
    peer.rest().await
}

#[tokio::test]
async fn a_connection_that_was_taken_sends_at_once_and_holds_little_in_the_kernel() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let house = House::new(Server::new("test", WIDE));
    let (taken, _visitor) = tokio::join!(listener.accept(), TcpStream::connect(address));
    let (stream, _) = taken.unwrap();
    house.begin(1, &stream).unwrap();
    assert!(stream.nodelay().unwrap());
    assert_eq!(SockRef::from(&stream).tcp_notsent_lowat().unwrap(), limits::UNSENT_BYTES_MAX);
}

#[tokio::test]
async fn an_unfinished_head_loses_its_place_also_when_a_byte_comes_now_and_then() {
    let server = Running::start(Limits { head: SHORT, ..WIDE }).await;
    let silent = server.connect().await;
    let mut halting = server.connect().await;
    halting.send("GET / HT").await;
    let mut dripping = server.connect().await;
    let dripped = tokio::spawn(async move {
        while dripping.0.write_all(b"x").await.is_ok() {
            sleep(SHORT / 8).await;
        }
    });
    assert_eq!((silent.rest().await, halting.rest().await), (String::new(), String::new()));
    timeout(FAR, dripped).await.expect("a byte now and then should not keep a place").unwrap();
    server.open(0).await;
    assert_eq!(server.counted(), [0, 0, 3]);
}

#[tokio::test]
async fn a_second_head_has_no_more_time_than_the_first_and_an_idle_connection_its_own() {
    let server = Running::start(Limits { head: SHORT, ..WIDE }).await;
    let (mut idle, mut again) = (server.connect().await, server.connect().await);
    idle.get().await;
    again.get().await;
    again.send("GET / HT").await;
    assert_eq!(again.rest().await, "");
    assert!(idle.is_open(), "its time is another one");
    let server = Running::start(Limits { idle: SHORT, ..WIDE }).await;
    let mut idle = server.connect().await;
    idle.get().await;
    assert_eq!(idle.rest().await, "");
}

#[tokio::test]
async fn heads_beyond_16_kib_or_100_lines_are_refused() {
    for (head, answer) in
        [("X: 1\r\n".repeat(99), "200 OK"), ("X: 1\r\n".repeat(200), "431 "), (format!("X: {}\r\n", "x".repeat(20 * 1024)), "431 ")]
    {
        let said = said(format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", head.replacen("X: 1\r\n", "Connection: close\r\n", 1))).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {answer}")), "{} bytes: {said}", head.len());
    }
}

#[tokio::test]
async fn what_another_program_might_understand_otherwise_is_refused_and_the_connection_ends() {
    for (head, body) in [
        ("GET / HTTP/1.1\r\n", ""),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n", ""),
        ("GET / HTTP/1.1\r\nHost: a b\r\n", ""),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n", ""),
        ("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n", ""),
        ("GET http://a/ HTTP/1.1\r\n", ""),
        ("PUT /put HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nGET"),
        ("PUT /put HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\nGET"),
        ("PUT /put HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ("PUT /put HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
        ("PUT /put HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ("PUT /put HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n", "12345"),
        ("PUT /put HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n", "12345"),
        ("PUT /put HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n", "12345"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n", ""),
        ("GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n", ""),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n", ""),
        ("GET / HTTP/1.2.3\r\nHost: a\r\n", ""),
        ("GET  / HTTP/1.1\r\nHost: a\r\n", ""),
        ("GET /\x01 HTTP/1.1\r\nHost: a\r\n", ""),
    ] {
        let said = said(format!("{head}\r\n{body}")).await;
        let one_answer = said.matches("HTTP/1.1").count() == 1;
        assert!(said.starts_with("HTTP/1.1 400 Bad Request\r\n") || said.starts_with("HTTP/1.0 400"), "{head:?}: {said}");
        assert!(one_answer || said.starts_with("HTTP/1.0"), "{head:?}: {said}");
    }
}

#[tokio::test]
async fn what_probes_proxies_and_benchmarks_send_is_answered() {
    for request in [
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: 10.0.0.1:8411\r\nconnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n",
        "GET http://shop.example.com/ HTTP/1.1\r\nHost: shop.example.com\r\nConnection: close\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ] {
        let said = said(request).await;
        assert!(said.contains(" 200 OK\r\n") && said.ends_with("\r\n\r\nhome"), "{request:?}: {said}");
    }
    let kept = said("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(kept.matches("home").count(), 2, "{kept}");
}

#[tokio::test]
async fn requests_that_come_at_once_are_answered_in_order() {
    let said = said("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(50) + "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert_eq!(said.matches("HTTP/1.1 200 OK").count(), 51);
}

/// Hyper by itself would go on answering into memory.
#[tokio::test]
async fn requests_that_come_at_once_and_whose_answers_are_not_read_are_not_all_taken() {
    let server = Running::start(WIDE).await;
    let mut peer = server.connect().await;
    let requests = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100_000);
    let mut taken = 0;
    let sent = async {
        while taken < 64 * requests.len() {
            taken += peer.0.write(requests.as_bytes()).await.unwrap();
        }
    };
    assert!(timeout(Duration::from_secs(3), sent).await.is_err(), "all {taken} bytes were taken from a peer that reads nothing");
}

#[tokio::test]
async fn who_does_not_read_an_answer_loses_its_place() {
    let server = Running::start(Limits { stall: SHORT * 2, ..WIDE }).await;
    let mut peer = server.connect().await;
    peer.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;
    server.open(1).await;
    server.open(0).await;
    assert_eq!(server.counted(), [0, 0, 1]);
}

/// Fifty times as long as a peer may stand still, but never standing still for so long.
#[tokio::test]
async fn who_reads_slowly_but_steadily_gets_the_whole_answer() {
    let server = Running::start(Limits { stall: SHORT * 2, ..WIDE }).await;
    let mut peer = server.connect().await;
    peer.send("GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let (mut read, mut piece, began) = (0, vec![0; LARGE / 50], Instant::now());
    while let bytes @ 1.. = peer.0.read(&mut piece).await.unwrap() {
        read += bytes;
        sleep(Duration::from_millis(10).min(SHORT)).await;
    }
    assert!(read > LARGE, "{read} bytes");
    assert!(began.elapsed() > SHORT * 2, "too fast to show anything");
}

#[tokio::test]
async fn who_does_not_finish_a_body_loses_its_place_and_who_does_is_answered() {
    let server = Running::start(Limits { stall: SHORT, ..WIDE }).await;
    let mut halting = server.connect().await;
    halting.send("PUT /put HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc").await;
    assert_eq!(halting.rest().await, "");
    let mut steady = server.connect().await;
    steady.send("PUT /put HTTP/1.1\r\nHost: a\r\nContent-Length: 300\r\n\r\n").await;
    for _ in 0..3 {
        steady.send([b'x'; 100]).await;
        sleep(SHORT / 2).await;
    }
    assert!(steady.answer("300").await.starts_with("HTTP/1.1 200"));
    assert_eq!(server.counted(), [0, 0, 1]);
}

#[tokio::test]
async fn a_flood_from_one_address_leaves_room_for_another_and_its_own_unfinished_heads_go_first() {
    let server = Running::start(Limits { connections_max: 8, per_peer_max: 4, ..WIDE }).await;
    let mut kept = server.connect().await;
    kept.get().await;
    let mut flood = Vec::new();
    for _ in 0..20 {
        let mut peer = server.connect().await;
        peer.send("GET / HT").await;
        flood.push(peer);
    }
    let mut visitor = server.connect_from("127.0.0.2").await;
    assert!(visitor.get().await.contains("200 OK"));
    until(|| server.counted()[1] == 17).await;
    assert_eq!(server.counted(), [0, 17, 0], "4 of one address: each other one displaced one");
    server.open(5).await;
    assert!(visitor.get().await.contains("200 OK"), "the visitor is none of them");
}

#[tokio::test]
async fn when_all_places_are_taken_the_longest_idle_connection_makes_room() {
    let server = Running::start(Limits { connections_max: 3, ..WIDE }).await;
    let mut idle = Vec::new();
    for _ in 0..3 {
        let mut peer = server.connect().await;
        peer.get().await;
        sleep(Duration::from_millis(5)).await;
        idle.push(peer);
    }
    idle[0].get().await;
    let mut visitor = server.connect_from("127.0.0.2").await;
    assert!(visitor.get().await.contains("200 OK"));
    assert_eq!(idle.remove(1).rest().await, "", "the longest idle");
    assert!(idle.iter().all(Peer::is_open));
}

#[tokio::test]
async fn who_holds_most_places_with_requests_under_way_gives_one_up_for_a_newcomer_and_not_for_itself() {
    let server = Running::start(Limits { connections_max: 4, ..WIDE }).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut peer = server.connect().await;
        peer.send("GET /never HTTP/1.1\r\nHost: a\r\n\r\n").await;
        held.push(peer);
    }
    server.open(4).await;
    until(|| server.begun.load(Ordering::SeqCst) == 4).await;
    assert_eq!(server.connect().await.rest().await, "", "it has all places already");
    let mut probe = server.connect_from("127.0.0.2").await;
    assert!(probe.get().await.contains("200 OK"));
    assert_eq!(server.counted(), [1, 1, 0]);
}

#[tokio::test]
async fn accepts_that_fail_end_nothing_and_do_not_spin() {
    let began = Instant::now();
    let server = Running::start_failing(WIDE, 3).await;
    let mut peer = server.connect().await;
    assert!(peer.get().await.contains("200 OK"));
    assert!(began.elapsed() >= ACCEPT_PAUSE * 3);
}

#[tokio::test]
async fn a_stop_lets_answers_under_way_finish_ends_idle_connections_and_ends() {
    let server = Running::start(Limits { drain: SHORT * 8, ..WIDE }).await;
    let (mut idle, mut unfinished, mut slow, mut never) =
        (server.connect().await, server.connect().await, server.connect().await, server.connect().await);
    idle.get().await;
    unfinished.send("GET / HT").await;
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    never.send("GET /never HTTP/1.1\r\nHost: a\r\n\r\n").await;
    until(|| server.begun.load(Ordering::SeqCst) == 2).await;
    server.stop.send(()).unwrap();
    assert_eq!(idle.rest().await, "");
    assert!(slow.rest().await.ends_with("slow"));
    timeout(FAR, server.serving).await.expect("the drain should have ended").unwrap();
    assert_eq!((never.rest().await, unfinished.rest().await), (String::new(), String::new()));
    assert!(TcpStream::connect(server.address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_server_that_is_dropped_takes_its_connections_with_it() {
    let server = Running::start(WIDE).await;
    let mut peer = server.connect().await;
    peer.get().await;
    server.serving.abort();
    assert_eq!(peer.rest().await, "");
    drop(server.stop);
}
