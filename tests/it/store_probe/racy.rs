//! A store that checks first and writes then, with a pause in between, as s3s-fs 0.14 does: it keeps `If-None-Match` and
//! `If-Match` whenever nobody else is at the key. Signatures are not looked at.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use rollcall::api::ContentHash;

use crate::bucket_contract::over_s3::Server;

#[derive(Default)]
struct Store {
    objects: Mutex<BTreeMap<String, Bytes>>,
    requests: AtomicUsize,
}

pub struct Racy {
    endpoint: String,
    store: Arc<Store>,
}

impl Racy {
    pub async fn start() -> Self {
        let store = Arc::<Store>::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(store.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { endpoint, store }
    }

    pub fn server(&self) -> Server<'_> {
        Server { endpoint: &self.endpoint, access_key_id: "any", secret_access_key: "any" }
    }

    pub fn port(&self) -> u16 {
        self.endpoint.rsplit(':').next().unwrap().parse().unwrap()
    }

    pub fn requests(&self) -> usize {
        self.store.requests.load(Ordering::Relaxed)
    }
}

const DATED: [(&str, &str); 2] = [("etag", "\"t\""), ("last-modified", "Sat, 21 Nov 2026 00:00:00 GMT")];

async fn answer(State(store): State<Arc<Store>>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    store.requests.fetch_add(1, Ordering::Relaxed);
    let key = uri.path().trim_start_matches('/').split_once('/').map_or("", |(_bucket, key)| key).to_owned();
    let there = store.objects.lock().unwrap().get(&key).cloned();
    match method {
        Method::PUT => put(&store, key, there.is_some(), &headers, body).await,
        Method::DELETE => {
            store.objects.lock().unwrap().remove(&key);
            StatusCode::NO_CONTENT.into_response()
        }
        Method::GET if key.is_empty() => list(&store, uri.query().unwrap_or_default()),
        _ => match there {
            Some(bytes) => (DATED, bytes).into_response(),
            None => (StatusCode::NOT_FOUND, "<Error><Code>NoSuchKey</Code></Error>").into_response(),
        },
    }
}

async fn put(store: &Store, key: String, there: bool, headers: &HeaderMap, body: Bytes) -> Response {
    if headers.contains_key("x-amz-copy-source") {
        return StatusCode::NOT_IMPLEMENTED.into_response();
    }
    if headers.contains_key("if-none-match") && there {
        return StatusCode::PRECONDITION_FAILED.into_response();
    }
    if headers.get("if-match").is_some_and(|token| !there || token != "\"t\"") {
        return StatusCode::PRECONDITION_FAILED.into_response();
    }
    if headers.get("x-amz-content-sha256").is_some_and(|promised| *promised != *ContentHash::of(&body).to_string()) {
        return StatusCode::BAD_REQUEST.into_response();
    }
    // Between the check and the write others come, also on a busy machine. A write without a condition races with nobody.
    if headers.contains_key("if-none-match") || headers.contains_key("if-match") {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    store.objects.lock().unwrap().insert(key, body);
    (DATED, "").into_response()
}

fn list(store: &Store, query: &str) -> Response {
    let prefix = query.split('&').find_map(|pair| pair.strip_prefix("prefix=")).unwrap_or_default().replace("%2F", "/");
    let line = |(key, bytes): (&String, &Bytes)| {
        format!(
            "<Contents><Key>{key}</Key><LastModified>2026-11-21T00:00:00Z</LastModified><ETag>\"t\"</ETag><Size>{}</Size></Contents>",
            bytes.len()
        )
    };
    let objects = store.objects.lock().unwrap();
    let lines: String = objects.iter().filter(|(key, _)| key.starts_with(&prefix)).map(line).collect();
    format!("<ListBucketResult><IsTruncated>false</IsTruncated>{lines}</ListBucketResult>").into_response()
}
