//! The HTTP channel of reports: one long-poll to each pod that is to be asked.
//! Never asks anything but the pod's own address, and never believes more than the report says.

use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{ETAG, IF_NONE_MATCH};
use http::{Request, Response, StatusCode};
use http_body_util::Empty;

use crate::api::release::HttpReport;
use crate::api::report::REPORT_BYTES_MAX;
use crate::egress::{Bounded, Client, Egress, Pool, Unanswered};

/// How long a pod may hold a poll open while nothing changes.
pub const POLL_WAIT: Duration = Duration::from_secs(30);

/// How much longer than the wait an answer may take: slow pods, and the way there and back. Without it a pod that is a little late
/// with each answer would seem to fail each time.
pub(crate) const ANSWER_MARGIN: Duration = Duration::from_secs(15);

/// Instead of what a port scan would give.
const UNANSWERED: &str = "the pod did not answer as a reporter; the controller's log says more";

/// What a pod answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The report, as it came.
    pub text: String,
    /// Its `ETag`, if the pod gives one.
    pub tag: Option<String>,
}

impl Answer {
    /// Of a pod that gives no tags.
    pub fn without_tag(text: impl Into<String>) -> Self {
        Self { text: text.into(), tag: None }
    }
}

/// Reads one pod's report.
#[async_trait]
pub trait ReportReader: Send + Sync + 'static {
    /// What `GET <path>?wait=…&stage=…` answers; the pod answers early when its report is for this stage. With an answer known
    /// already, a pod that gives tags waits until its report is another one.
    async fn read(
        &self,
        known: Option<&Answer>,
        address: IpAddr,
        channel: &HttpReport,
        stage: i64,
        wait: Duration,
    ) -> Result<Answer, String>;
}

/// Reads it over HTTP.
#[derive(Debug, Clone)]
pub struct HttpReportReader {
    client: Client<Empty<Bytes>>,
}

impl HttpReportReader {
    /// A reader that calls what this lets it call, and follows no redirects and no proxies: only the pod itself can speak for itself.
    #[must_use]
    pub fn new(egress: &Egress) -> Self {
        let pool = Pool { connect_timeout: Duration::from_secs(3), idle_timeout: Duration::from_secs(90), idle_max: 1 };
        Self { client: egress.client(pool) }
    }

    async fn ask(&self, request: Request<Empty<Bytes>>) -> Result<Response<Bounded>, String> {
        match self.client.send(request).await {
            Ok(answer) => Ok(answer),
            Err(Unanswered::NotAllowed(refused)) => Err(refused.to_string()),
            Err(Unanswered::Failed(error)) => Err(unanswered(&Unanswered::Failed(error))),
        }
    }
}

/// The log alone says what was seen: a report's port is whatever a release says, on a node that may have others.
fn unanswered(cause: &dyn std::fmt::Display) -> String {
    tracing::debug!(%cause, "a poll failed");
    UNANSWERED.to_owned()
}

#[async_trait]
impl ReportReader for HttpReportReader {
    async fn read(
        &self,
        known: Option<&Answer>,
        address: IpAddr,
        channel: &HttpReport,
        stage: i64,
        wait: Duration,
    ) -> Result<Answer, String> {
        let host = if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
        let path = channel.path.trim_start_matches('/');
        let url = format!("http://{host}:{}/{path}?wait={}s&stage={stage}", channel.port, wait.as_secs());
        let mut request = Request::get(&url);
        if let Some(tag) = known.and_then(|known| known.tag.as_ref()) {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let request = request.body(Empty::new()).map_err(|error| format!("{url}: {error}"))?;
        let read = async {
            let answer = self.ask(request).await?;
            match known {
                Some(known) if answer.status() == StatusCode::NOT_MODIFIED => Ok(known.clone()),
                _ => read_answer(answer).await,
            }
        };
        let read = tokio::time::timeout(wait + ANSWER_MARGIN, read).await.unwrap_or_else(|_| Err(unanswered(&"no answer in time")));
        read.map_err(|cause| format!("{url}: {cause}"))
    }
}

async fn read_answer(answer: Response<Bounded>) -> Result<Answer, String> {
    if !answer.status().is_success() {
        return Err(format!("answered {}", answer.status()));
    }
    let tag = answer.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
    let body = answer.into_body().at_most(REPORT_BYTES_MAX as u64, ANSWER_MARGIN).whole().await.map_err(|error| unanswered(&error))?;
    let text = String::from_utf8(body.into()).map_err(|_| "the report is not UTF-8")?;
    Ok(Answer { text, tag })
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, StatusCode, header};
    use axum::response::IntoResponse;
    use axum::routing::get;

    use super::*;

    /// The same answer again would be indistinguishable from a server that ignores `wait`, and be asked for twice a second.
    #[tokio::test]
    async fn a_pod_that_gives_tags_is_asked_for_another_answer_than_the_known_one() {
        let report = async |headers: HeaderMap| {
            let status = if headers.contains_key(header::IF_NONE_MATCH) { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
            (status, [(header::ETAG, "\"7\"")], if status == StatusCode::OK { "the report" } else { "" }).into_response()
        };
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, axum::Router::new().route("/report", get(report))).await });
        let channel = HttpReport { port: address.port().into(), path: "/report".into() };
        let reader = HttpReportReader::new(&Egress::unrestricted());
        let ask = async |known: Option<&Answer>| reader.read(known, address.ip(), &channel, 3, Duration::ZERO).await;
        let first = ask(None).await.unwrap();
        assert_eq!(first, Answer { text: "the report".into(), tag: Some("\"7\"".into()) });
        assert_eq!(ask(Some(&first)).await, Ok(first.clone()));
        let without_tag = Answer { tag: None, ..first.clone() };
        assert_eq!(ask(Some(&without_tag)).await, Ok(first));
    }
}
