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
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, site).await });
    let pages = vec![String::new()];
    let settings = Settings { url, pages, clients: 1, seconds: 10, max_loads: 1, pause: 0, live: 0, pod_header: "x-pod".into() };
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
