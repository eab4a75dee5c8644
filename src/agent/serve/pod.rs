//! The pod's own business: probes, the report, the name map, what the application confirms, metrics.
//! Never changes anything for a caller from outside the pod.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, DefaultBodyLimit, Query, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::middleware::map_response;
use axum::routing::{get, put};
use serde::Deserialize;
use tokio::time::timeout;

use super::application::{CONFIRMATION_BYTES_MAX, NotConfirmed, rendered};
use super::{Shared, answer};
use crate::agent::core::{Event, Publication};

/// Longest wait of a long poll: below the 60 s after which many proxies give up.
const WAIT_MAX: Duration = Duration::from_secs(50);

pub(super) fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/healthz", get(async || answer::text(StatusCode::OK, "ok\n")))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/v1/availability", get(availability))
        .route("/v1/manifest", get(name_map))
        .route("/v1/serving", put(serving))
        .layer(DefaultBodyLimit::max(CONFIRMATION_BYTES_MAX))
        .layer(map_response(without_guesses))
        .with_state(shared)
}

/// Reports and name maps are what their type says.
async fn without_guesses(mut answer: Response<Body>) -> Response<Body> {
    answer.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// The query of both long polls.
#[derive(Debug, Default, Deserialize)]
struct Poll {
    /// For example `30s`.
    wait: Option<String>,
    /// Answer when the report is for this stage number and nothing is gained by waiting longer.
    stage: Option<i64>,
}

impl Poll {
    fn wait(&self) -> Duration {
        let seconds = self.wait.as_deref().and_then(|wait| wait.trim_end_matches('s').parse().ok()).unwrap_or(0);
        Duration::from_secs(seconds).min(WAIT_MAX)
    }
}

async fn readyz(State(shared): State<Arc<Shared>>) -> Response<Body> {
    let ready = shared.publications.borrow().as_ref().is_some_and(|publication| publication.ready);
    if ready && !*shared.draining.borrow() {
        answer::text(StatusCode::OK, "ready\n")
    } else {
        answer::text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response<Body> {
    let publication = shared.publications.borrow().clone();
    let mut answer = Response::new(Body::from(shared.metrics.text(publication.as_ref())));
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

/// Without a wait the report as it is. With one: when it has changed from the caller's `If-None-Match` and answers the stage.
async fn availability(State(shared): State<Arc<Shared>>, Query(poll): Query<Poll>, headers: HeaderMap) -> Response<Body> {
    let answers = |publication: &Option<Publication>| {
        publication.as_ref().is_some_and(|publication| {
            let stage = poll.stage.is_none_or(|stage| publication.report.stage >= stage && publication.settled);
            stage && !answer::matches(&headers, &revision_tag(publication))
        })
    };
    let mut publications = shared.publications.clone();
    // The value seen is dropped at once: it locks the report.
    let _answered_or_waited = timeout(poll.wait(), publications.wait_for(answers)).await.map(|seen| seen.map(|_| ()));
    let Some(publication) = publications.borrow().clone() else {
        return answer::text(StatusCode::SERVICE_UNAVAILABLE, "no report yet\n");
    };
    shared.served.send_if_modified(|served| {
        let newer = publication.revision > *served;
        *served = publication.revision.max(*served);
        newer
    });
    json(&headers, &revision_tag(&publication), publication.report.to_json())
}

fn revision_tag(publication: &Publication) -> String {
    format!("\"{}-{}\"", publication.report.instance, publication.revision)
}

/// The name map of the served version; with a wait, when it is another one than the caller has. Every answer, also one without a body,
/// names the flip for which this map is served.
async fn name_map(State(shared): State<Arc<Shared>>, Query(poll): Query<Poll>, headers: HeaderMap) -> Response<Body> {
    let mut catalogue = shared.catalogue.clone();
    let news = catalogue.wait_for(|catalogue| catalogue.name_map().is_some_and(|map| !answer::matches(&headers, &answer::tag(&map.hash))));
    let _news_or_waited = timeout(poll.wait(), news).await.map(|result| result.map(|_| ()));
    // The number first: the map is at least as new, and an application that says too low a number is asked again; one that says too high
    // a number would let a flip converge.
    let sequence = shared.publications.borrow().as_ref().map_or(0, |publication| publication.map_sequence);
    let catalogue = Arc::clone(&shared.catalogue.borrow());
    let Some(map) = catalogue.name_map() else { return answer::text(StatusCode::SERVICE_UNAVAILABLE, "no version is active yet\n") };
    let mut answer = json(&headers, &answer::tag(&map.hash), map.json.clone());
    let digest = HeaderValue::from_str(map.digest.as_str()).expect("a digest is ASCII");
    answer.headers_mut().insert("rollcall-digest", digest);
    answer.headers_mut().insert("rollcall-sequence", HeaderValue::from(sequence));
    answer
}

fn json(request: &HeaderMap, tag: &str, body: String) -> Response<Body> {
    let mut answer = if answer::matches(request, tag) {
        let mut unchanged = Response::new(Body::empty());
        *unchanged.status_mut() = StatusCode::NOT_MODIFIED;
        unchanged
    } else {
        Response::new(Body::from(body))
    };
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(header::ETAG, tag);
    }
    answer
}

const EXPECTED: &str = "expected {\"digest\": \"sha256:...\"} or {\"version\": \"...\"}, and \"sequence\": the number in Rollcall-Sequence, where it is known\n";

/// The application says what it renders with. Only from inside the pod: whoever could lie here could make a flip unsafe (I11).
async fn serving(State(shared): State<Arc<Shared>>, ConnectInfo(peer): ConnectInfo<SocketAddr>, body: Bytes) -> Response<Body> {
    if !peer.ip().to_canonical().is_loopback() {
        return answer::text(StatusCode::FORBIDDEN, "only from inside the pod, over the loopback address\n");
    }
    let catalogue = Arc::clone(&shared.catalogue.borrow());
    let rendered = match rendered(&body, &catalogue) {
        Ok(rendered) => rendered,
        Err(NotConfirmed::Malformed) => return answer::text(StatusCode::BAD_REQUEST, EXPECTED),
        Err(NotConfirmed::Unknown) => return answer::text(StatusCode::NOT_FOUND, "no version of that name is known here\n"),
    };
    match shared.events.send(Event::Confirmed { rendered: Some(rendered) }).await {
        Ok(()) => answer::text(StatusCode::NO_CONTENT, ""),
        Err(_) => answer::text(StatusCode::SERVICE_UNAVAILABLE, "the agent is ending\n"),
    }
}
