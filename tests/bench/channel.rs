//! The pods' HTTP endpoints, as `rollcall agent` has them: a long poll that ends when the report has changed from the caller's
//! `If-None-Match` and answers the stage. Never listens on anything but loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rollcall::api::Report;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::Failure;
use crate::objects::REPORT_PORT;

/// A report and how many there were before it.
#[derive(Debug, Clone, Default)]
pub struct Published {
    revision: u64,
    report: Option<Report>,
}

/// One pod's endpoint.
pub struct Endpoint(watch::Sender<Published>);

#[derive(Deserialize)]
struct Poll {
    wait: Option<String>,
    stage: Option<i64>,
}

impl Endpoint {
    /// Serves at this address until the program ends.
    pub async fn open(address: Ipv4Addr) -> Result<Self, Failure> {
        let listener = TcpListener::bind(SocketAddr::from((address, REPORT_PORT))).await?;
        let (published, seen) = watch::channel(Published::default());
        let router = Router::new().route("/v1/availability", get(availability)).with_state(seen);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self(published))
    }

    /// Answers with this report from now on.
    pub fn publish(&self, report: Report) {
        self.0.send_modify(|published| *published = Published { revision: published.revision + 1, report: Some(report) });
    }
}

async fn availability(State(mut seen): State<watch::Receiver<Published>>, Query(poll): Query<Poll>, headers: HeaderMap) -> Response {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
    let tag = |published: &Published| format!("\"{}\"", published.revision);
    let answers = |published: &Published| {
        let stage = published.report.as_ref().is_some_and(|report| poll.stage.is_none_or(|stage| report.stage >= stage));
        stage && known.as_ref() != Some(&tag(published))
    };
    let seconds = poll.wait.as_deref().and_then(|wait| wait.trim_end_matches('s').parse().ok()).unwrap_or(0);
    let _answered_or_waited = timeout(Duration::from_secs(seconds), seen.wait_for(answers)).await.map(|seen| seen.map(|_| ()));
    let published = seen.borrow().clone();
    let tag = tag(&published);
    match published.report {
        None => (StatusCode::SERVICE_UNAVAILABLE, "no report yet\n").into_response(),
        Some(_) if known.as_ref() == Some(&tag) => (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response(),
        Some(report) => ([(header::ETAG, tag)], report.to_json()).into_response(),
    }
}
