//! Visitors against a small web server.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::Value;

use super::*;

const PAGE: &str = r#"<!doctype html><meta name="shop-version" content="v1"><script src="./assets/home.js"></script>"#;

fn script(text: &'static str) -> axum::routing::MethodRouter {
    get(async move || ([(CONTENT_TYPE, "text/javascript")], text).into_response())
}

async fn visited(site: Router) -> Value {
    visited_as(site, |_| {}).await
}

async fn visited_as(site: Router, change: impl FnOnce(&mut Settings)) -> Value {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, site).await });
    let mut settings = Settings {
        url,
        pages: vec![String::new()],
        clients: 1,
        seconds: 10,
        max_loads: 1,
        pause: 0,
        rate: 0,
        live: 0,
        pod_header: "x-pod".into(),
        connections: Connections::New,
        builds: None,
        failures: None,
    };
    change(&mut settings);
    let summary = run(&settings).await.unwrap();
    server.abort();
    serde_json::from_str(&summary).unwrap()
}

fn shop() -> Router {
    let home = script(r#"import"./lib.js";const lazy=()=>import("./lazy.js")"#);
    let page = get(async || ([(CONTENT_TYPE, "text/html; charset=utf-8")], PAGE));
    Router::new().route("/", page).route("/assets/home.js", home).route("/assets/lib.js", script("1"))
}

#[tokio::test]
async fn a_page_is_whole_when_every_chunk_is_there_and_each_is_asked_for_once() {
    let seen = visited(shop().route("/assets/lazy.js", script(r#"import"./lib.js""#))).await;
    assert_eq!((&seen["pageLoads"], &seen["broken"], &seen["requests"]), (&1.into(), &0.into(), &4.into()), "{seen}");
    assert_eq!(seen["versions"]["v1"]["pageLoads"], 1);
}

#[tokio::test]
async fn a_page_is_broken_when_only_a_lazy_chunk_is_missing() {
    let seen = visited(shop()).await;
    assert_eq!((&seen["broken"], &seen["failedStatuses"]["404"]), (&1.into(), &1.into()), "{seen}");
    assert!(seen["examples"][0]["url"].as_str().unwrap().ends_with("/assets/lazy.js"), "{seen}");
}

#[tokio::test]
async fn a_page_in_place_of_a_chunk_breaks_the_page() {
    let seen = visited(shop().route("/assets/lazy.js", get(async || ([(CONTENT_TYPE, "text/html")], PAGE)))).await;
    assert_eq!((&seen["broken"], &seen["failedPieces"]["htmlForAsset"]), (&1.into(), &1.into()), "{seen}");
}

#[tokio::test]
async fn a_page_that_refers_to_another_host_is_broken_and_the_host_is_not_asked() {
    let page =
        get(async || ([(CONTENT_TYPE, "text/html")], r#"<meta name="shop-version" content="v1"><img src="http://192.0.2.1/a.png">"#));
    let seen = visited(Router::new().route("/", page)).await;
    assert_eq!((&seen["failedPieces"]["elsewhere"], &seen["requests"]), (&1.into(), &1.into()), "{seen}");
}

#[tokio::test]
async fn a_visitor_with_kept_connections_finds_what_one_with_new_ones_finds() {
    let kept = |settings: &mut Settings| {
        settings.connections = Connections::Kept;
        settings.max_loads = 100;
    };
    let seen = visited_as(shop().route("/assets/lazy.js", script(r#"import"./lib.js""#)), kept).await;
    assert_eq!((&seen["pageLoads"], &seen["broken"], &seen["requests"]), (&100.into(), &0.into(), &400.into()), "{seen}");
    let seen = visited_as(shop(), kept).await;
    assert_eq!((&seen["broken"], &seen["failedStatuses"]["404"]), (&100.into(), &100.into()), "{seen}");
}

/// Answers the first request of each connection and closes it when the second arrives.
async fn serve_one_request_each(listener: tokio::net::TcpListener) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let page = r#"<meta name="shop-version" content="v1">"#;
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\n\r\n{page}", page.len());
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.read(&mut request).await;
        });
    }
}

#[tokio::test]
async fn a_kept_connection_that_ended_is_replaced_once_and_counted() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let server = tokio::spawn(serve_one_request_each(listener));
    let (fetcher, idle) = (Fetcher::new(&url, "x-pod").await.unwrap(), Idle::default());
    let first = fetcher.get(Some(&idle), &url).await;
    assert!(first.answer.is_ok() && first.kept_retries == 0);
    let second = fetcher.get(Some(&idle), &url).await;
    assert!(second.answer.is_ok(), "{:?}", second.answer);
    assert_eq!(second.kept_retries, 1);
    server.abort();
}

#[tokio::test]
async fn with_known_builds_a_page_of_other_bytes_is_broken_and_every_failed_piece_is_written() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("builds/v1")).unwrap();
    std::fs::write(folder.path().join("builds/v1/index.html"), "another page").unwrap();
    let page = get(async || ([(CONTENT_TYPE, "text/html")], r#"<meta name="shop-version" content="v1">"#));
    let failures = folder.path().join("failures");
    let seen = visited_as(Router::new().route("/", page), |settings| {
        settings.builds = Some(folder.path().join("builds"));
        settings.failures = Some(failures.clone());
    })
    .await;
    assert_eq!((&seen["broken"], &seen["failedPieces"]["otherBytes"]), (&1.into(), &1.into()), "{seen}");
    let written: Failure = serde_json::from_str(std::fs::read_to_string(failures).unwrap().trim()).unwrap();
    assert_eq!((written.flaw, written.page.as_str()), (Flaw::OtherBytes, "/"));
}
