//! The HTTP source against real servers on loopback: what it fetches, what it refuses, and that it leaves nothing behind.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse as _;
use axum::routing::get;
use rollcall::api::ContentHash;
use rollcall::egress::Egress;
use rollcall::source::{Allotment, HttpFetcher, HttpSettings, Refusal, Source as _, SourceError, Wanted, Workspace};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(archive: Vec<u8>) -> Server {
    let archive = Bytes::from(archive);
    let redirect = |to: &'static str| get(move || async move { (StatusCode::FOUND, [(header::LOCATION, to)]) });
    let stuck = get(|| async {
        let first = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"PK"))]);
        Body::from_stream(futures::StreamExt::chain(first, futures::stream::pending()))
    });
    let router = Router::new()
        .route("/a.tar.gz", get(move || async move { archive.into_response() }))
        .route("/moved", redirect("/a.tar.gz"))
        .route("/round", redirect("/round"))
        .route("/inside", redirect("http://169.254.169.254/latest/meta-data/"))
        .route("/file", redirect("file:///etc/passwd"))
        .route("/gone", get(|| async { StatusCode::GONE }))
        .route("/busy", get(|| async { StatusCode::SERVICE_UNAVAILABLE }))
        .route("/stuck", stuck);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    Server { address, task }
}

fn archive() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in [("dist/index.html", "<script src=assets/a.BEcQUh0e.js></script>"), ("dist/assets/a.BEcQUh0e.js", "x")] {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&builder.into_inner().unwrap()).unwrap();
    encoder.finish().unwrap()
}

fn allowing(allowed: &[&str]) -> HttpFetcher {
    let allowed = allowed.iter().map(|host| host.parse().unwrap()).collect();
    let egress = Egress::public_and(allowed);
    HttpFetcher::new(HttpSettings {
        egress,
        connect_timeout: Duration::from_millis(500),
        idle_timeout: Duration::from_millis(300),
        ..HttpSettings::default()
    })
}

impl Server {
    fn nothing() -> Wanted {
        Wanted { url: String::new(), sha256: ContentHash::of(b"") }
    }

    fn wanted(&self, path: &str) -> Wanted {
        Wanted { url: format!("http://{}/{path}?token=secret", self.address), sha256: ContentHash::of(&archive()) }
    }
}

fn space(folder: &Path) -> Allotment {
    Workspace::new(folder, 1 << 30).of("shop")
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

async fn refusal(fetcher: &HttpFetcher, wanted: &Wanted) -> Refusal {
    let workspace = TempDir::new().unwrap();
    match fetcher.fetch(wanted, &space(workspace.path())).await {
        Err(SourceError::Refused(refusal)) => {
            assert!(is_empty(workspace.path()));
            assert!(!refusal.to_string().contains("secret"), "{refusal}");
            refusal
        }
        other => panic!("{other:?}"),
    }
}

async fn unavailable(fetcher: &HttpFetcher, wanted: &Wanted) -> String {
    let workspace = TempDir::new().unwrap();
    match fetcher.fetch(wanted, &space(workspace.path())).await {
        Err(error @ SourceError::Unavailable { .. }) => {
            assert!(is_empty(workspace.path()));
            assert!(!error.to_string().contains("secret"), "{error}");
            error.to_string()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_archive_is_fetched_directly_and_behind_a_redirect_and_goes_with_the_build() {
    let server = serve(archive()).await;
    let workspace = TempDir::new().unwrap();
    for path in ["a.tar.gz", "moved"] {
        let build = allowing(&["127.0.0.1"]).fetch(&server.wanted(path), &space(workspace.path())).await.unwrap();
        let paths: Vec<&str> = build.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["assets/a.BEcQUh0e.js", "index.html"]);
        assert!(matches!(&build.bytes, rollcall::source::Bytes::Spool(spool) if spool.path().starts_with(workspace.path())));
        drop(build);
        assert!(is_empty(workspace.path()));
    }
}

#[tokio::test]
async fn places_inside_are_not_called_unless_they_are_allowed() {
    let server = serve(archive()).await;
    let (port, plain) = (server.address.port(), HttpFetcher::default());
    for url in [
        format!("http://127.0.0.1:{port}/a.tar.gz"),
        format!("http://localhost:{port}/a.tar.gz"),
        format!("http://[::ffff:7f00:1]:{port}/a"),
    ] {
        let wanted = Wanted { url, ..server.wanted("") };
        let refusal = refusal(&plain, &wanted).await;
        assert_eq!(refusal.reason(), "HostNotAllowed", "{refusal}");
    }
    let named = Wanted { url: format!("http://localhost:{port}/a.tar.gz"), ..server.wanted("") };
    let workspace = TempDir::new().unwrap();
    assert!(allowing(&["localhost"]).fetch(&named, &space(workspace.path())).await.is_ok());
    assert!(allowing(&[&format!("localhost:{port}")]).fetch(&named, &space(workspace.path())).await.is_ok());
    assert_eq!(refusal(&allowing(&["localhost:1"]), &named).await.reason(), "HostNotAllowed");
    // A public-looking place that leads inside.
    let seen = refusal(&allowing(&["127.0.0.1"]), &server.wanted("inside")).await;
    assert_eq!(seen.reason(), "HostNotAllowed");
    assert!(seen.to_string().contains("169.254.169.254"), "{seen}");
    assert_eq!(refusal(&allowing(&["127.0.0.1"]), &server.wanted("file")).await.reason(), "UnsupportedUrl");
    assert_eq!(refusal(&plain, &Wanted { url: "ftp://example.com/a".into(), ..named }).await.reason(), "UnsupportedUrl");
}

#[tokio::test]
async fn other_bytes_than_asked_for_are_refused_and_not_described() {
    let server = serve(archive()).await;
    let wanted = Wanted { sha256: ContentHash::of(b"other"), ..server.wanted("a.tar.gz") };
    let refusal = refusal(&allowing(&["127.0.0.1"]), &wanted).await;
    assert_eq!(refusal.reason(), "WrongDigest");
    let told = refusal.to_string();
    assert!(told.contains(&ContentHash::of(b"other").to_string()), "{told}");
    let there = ContentHash::of(&archive()).to_string();
    assert!(!told.contains(&there[..8]), "whoever names a URL must not learn what lies there: {told}");
}

/// Answers each connection with these bytes, after it has read a request; or never answers; or resets it.
async fn raw(answer: Option<&'static [u8]>) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut silent = Vec::new();
        while let Ok((mut client, _)) = listener.accept().await {
            match answer {
                // What was not read makes the kernel reset the connection.
                Some(b"reset") => drop(client),
                Some(bytes) => {
                    let _ = tokio::io::AsyncReadExt::read(&mut client, &mut [0; 1024]).await;
                    let _ = tokio::io::AsyncWriteExt::write_all(&mut client, bytes).await;
                }
                None => silent.push(client),
            }
        }
    });
    port
}

#[tokio::test]
async fn closed_silent_and_strange_ports_are_told_alike() {
    let (reset, silent) = (raw(Some(b"reset")).await, raw(None).await);
    let garbage = raw(Some(b"SSH-2.0-OpenSSH_9.6\r\n")).await;
    let broken = raw(Some(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome")).await;
    let fetcher = allowing(&["127.0.0.1"]);
    let mut told = std::collections::BTreeSet::new();
    for (scheme, port) in
        [("http", 9), ("http", reset), ("http", silent), ("http", garbage), ("https", garbage), ("https", silent), ("http", broken)]
    {
        let wanted = Wanted { url: format!("{scheme}://127.0.0.1:{port}/a.zip"), ..Server::nothing() };
        told.insert(unavailable(&fetcher, &wanted).await.replace(&format!("{scheme}://127.0.0.1:{port}"), "URL"));
    }
    assert_eq!(told.len(), 1, "{told:?}");
}

#[tokio::test]
async fn a_url_with_a_user_is_not_fetched() {
    let server = serve(archive()).await;
    let wanted = Wanted { url: format!("http://me:secret@{}/a.tar.gz", server.address), ..Server::nothing() };
    assert_eq!(refusal(&allowing(&["127.0.0.1"]), &wanted).await.reason(), "UnsupportedUrl");
}

#[tokio::test]
async fn archives_over_the_limit_and_endless_redirects_are_refused() {
    let server = serve(archive()).await;
    let settings =
        HttpSettings { egress: Egress::public_and(vec!["127.0.0.1".parse().unwrap()]), bytes_max: 100, ..HttpSettings::default() };
    assert_eq!(refusal(&HttpFetcher::new(settings), &server.wanted("a.tar.gz")).await.reason(), "ArchiveTooLarge");
    assert_eq!(refusal(&allowing(&["127.0.0.1"]), &server.wanted("round")).await.reason(), "TooManyRedirects");
    assert_eq!(refusal(&allowing(&["127.0.0.1"]), &server.wanted("gone")).await.reason(), "SourceRefused");
}

#[tokio::test]
async fn what_may_come_later_is_waited_for() {
    let server = serve(archive()).await;
    let fetcher = allowing(&["127.0.0.1", "localhost"]);
    assert!(unavailable(&fetcher, &server.wanted("missing")).await.contains("404"));
    assert!(unavailable(&fetcher, &server.wanted("busy")).await.contains("503"));
    assert!(unavailable(&fetcher, &server.wanted("stuck")).await.contains("nothing there answers as a web server"));
    let nobody = Wanted { url: "http://127.0.0.1:9/a".into(), ..server.wanted("") };
    assert!(unavailable(&fetcher, &nobody).await.contains("http://127.0.0.1:9/a"));
    let missing = Path::new("/nonexistent/workspace");
    let error = fetcher.fetch(&server.wanted("a.tar.gz"), &space(missing)).await.unwrap_err();
    assert_eq!(error.reason(), "WorkspaceUnavailable");
}

#[tokio::test]
async fn a_dropped_fetch_leaves_nothing_behind() {
    let server = serve(archive()).await;
    let workspace = TempDir::new().unwrap();
    let fetcher =
        HttpFetcher::new(HttpSettings { egress: Egress::public_and(vec!["127.0.0.1".parse().unwrap()]), ..HttpSettings::default() });
    let wanted = server.wanted("stuck");
    let dropped = tokio::time::timeout(Duration::from_millis(200), fetcher.fetch(&wanted, &space(workspace.path()))).await;
    assert!(dropped.is_err());
    assert!(is_empty(workspace.path()));
}

#[tokio::test]
async fn leftovers_of_a_killed_process_are_cleared_and_nothing_else() {
    let workspace = TempDir::new().unwrap();
    std::fs::create_dir_all(workspace.path().join("build-abc/files")).unwrap();
    std::fs::create_dir(workspace.path().join("other")).unwrap();
    assert_eq!(Workspace::new(workspace.path(), 1 << 30).clear().unwrap(), 1);
    assert!(workspace.path().join("other").is_dir() && !workspace.path().join("build-abc").exists());
}

/// Many releases of one small archive that unpacks to much: what they hold together stays below the budget at every moment, and a neighbour
/// finds room beside them.
#[tokio::test(flavor = "multi_thread")]
async fn ten_releases_of_one_archive_share_the_budget_and_leave_room_for_a_neighbour() {
    const BUDGET: u64 = 16 << 20;
    let file = |n: u8| (format!("assets/{n}.bin"), [vec![n; 1 << 20], vec![0; 1000]].concat());
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in (0..3).map(file) {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, path, &content[..]).unwrap();
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&builder.into_inner().unwrap()).unwrap();
    let (large, folder) = (encoder.finish().unwrap(), TempDir::new().unwrap());
    let (server, small) = (serve(large.clone()).await, serve(archive()).await);
    let workspace = Workspace::new(folder.path(), BUDGET);
    // With time enough for a busy machine: what fails must fail for want of room.
    let fetcher =
        HttpFetcher::new(HttpSettings { egress: Egress::public_and(vec!["127.0.0.1".parse().unwrap()]), ..HttpSettings::default() });
    let wanted = Wanted { sha256: ContentHash::of(&large), ..server.wanted("a.tar.gz") };
    let fetches = (0..10).map(|_| async {
        let space = workspace.of("greedy");
        fetcher.fetch(&wanted, &space).await
    });
    let ended = futures::future::join_all(fetches).await;
    let builds: Vec<_> = ended.iter().flatten().collect();
    assert!(matches!(builds.len(), 1..=2), "{} builds of 3 MiB in one half of 16", builds.len());
    let failures: Vec<_> = ended.iter().filter_map(|ended| ended.as_ref().err()).map(SourceError::reason).collect();
    assert!(failures.iter().all(|reason| *reason == "NoRoom"), "{failures:?}");
    assert!(workspace.held() <= BUDGET / 2, "{} bytes", workspace.held());
    let neighbour = fetcher.fetch(&small.wanted("a.tar.gz"), &workspace.of("neighbour")).await;
    assert!(neighbour.is_ok(), "{neighbour:?}");
    drop((ended, neighbour));
    assert!(workspace.held() == 0 && is_empty(folder.path()));
}
