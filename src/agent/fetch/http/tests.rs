//! The HTTP client against real servers on the loopback.

use std::net::SocketAddr;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect};
use axum::routing::get;
use futures::TryStreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::agent::fetch::fetch_manifest;
use crate::agent::mirror::{Disk, Mirror as _, MirrorError};
use crate::agent::testing::{asset, entry, pointed};
use crate::manifest::Manifest;

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn body(fetch: &HttpFetch, url: &str) -> Result<Vec<u8>, FetchError> {
    let pieces: Vec<bytes::Bytes> = fetch.get(url).await?.try_collect().await?;
    Ok(pieces.concat())
}

#[tokio::test]
async fn answers_are_told_apart_by_what_helps() {
    let router = Router::new()
        .route("/there", get("bytes"))
        .route("/busy", get(StatusCode::SERVICE_UNAVAILABLE))
        .route("/forbidden", get(StatusCode::FORBIDDEN));
    let address = serve(router).await;
    let fetch = HttpFetch::new(2).unwrap();
    assert_eq!(body(&fetch, &format!("http://{address}/there")).await.unwrap(), b"bytes");
    assert!(matches!(body(&fetch, &format!("http://{address}/none")).await, Err(FetchError::Missing { status: 404, .. })));
    assert!(matches!(body(&fetch, &format!("http://{address}/forbidden")).await, Err(FetchError::Missing { status: 403, .. })));
    assert!(matches!(body(&fetch, &format!("http://{address}/busy")).await, Err(FetchError::Unavailable { .. })));
    assert!(matches!(body(&fetch, "http://127.0.0.1:1/x").await, Err(FetchError::Unavailable { .. })));
}

#[tokio::test]
async fn redirects_are_followed_on_the_same_host_only() {
    let there = serve(Router::new().route("/secret", get("bytes"))).await;
    let elsewhere = format!("http://localhost:{}/secret", there.port());
    let router = Router::new()
        .route("/near", get(|| async { Redirect::temporary("/there") }))
        .route("/there", get("bytes"))
        .route("/far", get(move || async move { Redirect::temporary(&elsewhere) }))
        .route("/round", get(|| async { Redirect::temporary("/round") }));
    let address = serve(router).await;
    let fetch = HttpFetch::new(2).unwrap();
    assert_eq!(body(&fetch, &format!("http://{address}/near")).await.unwrap(), b"bytes");
    for refused in ["far", "round"] {
        let error = body(&fetch, &format!("http://{address}/{refused}")).await.unwrap_err();
        assert!(error.to_string().contains("307"), "{error}");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        let _request = connection.read(&mut request).await.unwrap();
        connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await.unwrap();
    });
    let error = body(&HttpFetch::new(1).unwrap(), &format!("http://{address}/x")).await.unwrap_err();
    assert!(matches!(error, FetchError::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn no_more_answers_are_open_than_allowed() {
    let address = serve(Router::new().route("/there", get("bytes"))).await;
    let fetch = HttpFetch::new(1).unwrap();
    let url = format!("http://{address}/there");
    let open = fetch.get(&url).await.unwrap();
    let second = tokio::time::timeout(Duration::from_millis(50), fetch.get(&url)).await;
    assert!(second.is_err(), "the place is taken");
    drop(open);
    assert_eq!(body(&fetch, &url).await.unwrap(), b"bytes");
}

/// A build that a real HTTP store gives to a mirror on a real volume.
#[tokio::test]
async fn a_version_comes_whole_over_http_or_not_at_all() {
    let odd = asset("assets/a b#1-12345678.js", b"odd name");
    let page = entry("index.html", b"page");
    let manifest = Manifest::new(vec![odd.clone(), page.clone()]);
    let stored = manifest.to_bytes();
    let router = Router::new().fallback(move |uri: axum::http::Uri| {
        let answers =
            [(".rollcall/manifests", stored.clone()), ("a%20b%231-12345678.js", b"odd name".to_vec()), (&page.key(), b"page".to_vec())];
        let found = answers.into_iter().find(|(part, _)| uri.path().contains(part)).map(|(_, bytes)| bytes);
        std::future::ready(found.map_or_else(|| StatusCode::NOT_FOUND.into_response(), axum::response::IntoResponse::into_response))
    });
    let address = serve(router).await;
    let version = pointed("v1", &manifest, &format!("http://{address}/bucket/shop/"));
    let folder = tempfile::TempDir::new().unwrap();
    let (disk, fetch) = (Disk::open(folder.path()).unwrap(), HttpFetch::new(4).unwrap());
    let fetched = fetch_manifest(&fetch, &version).await.unwrap();
    disk.load(&version, &fetched, &fetch).await.unwrap();
    assert_eq!(disk.held().await.unwrap().len(), 1);
    let nowhere = pointed("v1", &manifest, "http://127.0.0.1:1/");
    assert!(matches!(fetch_manifest(&fetch, &nowhere).await.map_err(MirrorError::from), Err(MirrorError::Fetch(_))));
}
