//! The HTTP channel of reports: one long-poll to each pod that is to be asked.
//! Never asks anything but the pod's own address, and never believes more than the report says.

use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::StatusCode;
use reqwest::header::{ETAG, IF_NONE_MATCH};

use crate::api::release::HttpReport;
use crate::api::report::REPORT_BYTES_MAX;

/// How long a pod may hold a poll open while nothing changes.
pub const POLL_WAIT: Duration = Duration::from_secs(30);

/// How much longer than the wait an answer may take: slow pods, and the way there and back. Without it a pod that is a little late
/// with each answer would seem to fail each time.
pub(crate) const ANSWER_MARGIN: Duration = Duration::from_secs(15);

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
    client: reqwest::Client,
}

impl HttpReportReader {
    /// A reader that follows no redirects and no proxies: only the pod itself can speak for itself.
    pub fn new() -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            // Pods are asked over plain HTTP: no root certificates, which an idle controller would hold for nothing.
            .tls_certs_only(std::iter::empty())
            .connect_timeout(Duration::from_secs(3))
            .build()?;
        Ok(Self { client })
    }
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
        let mut request = self.client.get(&url).timeout(wait + ANSWER_MARGIN);
        if let Some(tag) = known.and_then(|known| known.tag.as_ref()) {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let answer = request.send().await.map_err(|error| format!("{url}: {error}"))?;
        match known {
            Some(known) if answer.status() == StatusCode::NOT_MODIFIED => Ok(known.clone()),
            _ => read_answer(answer).await.map_err(|cause| format!("{url}: {cause}")),
        }
    }
}

async fn read_answer(mut answer: reqwest::Response) -> Result<Answer, String> {
    if !answer.status().is_success() {
        return Err(format!("answered {}", answer.status()));
    }
    let tag = answer.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| error.to_string())? {
        body.extend_from_slice(&chunk);
        if body.len() > REPORT_BYTES_MAX {
            return Err(format!("the report is longer than {REPORT_BYTES_MAX} bytes"));
        }
    }
    let text = String::from_utf8(body).map_err(|_| "the report is not UTF-8")?;
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
        let reader = HttpReportReader::new().unwrap();
        let ask = async |known: Option<&Answer>| reader.read(known, address.ip(), &channel, 3, Duration::ZERO).await;
        let first = ask(None).await.unwrap();
        assert_eq!(first, Answer { text: "the report".into(), tag: Some("\"7\"".into()) });
        assert_eq!(ask(Some(&first)).await, Ok(first.clone()));
        let without_tag = Answer { tag: None, ..first.clone() };
        assert_eq!(ask(Some(&without_tag)).await, Ok(first));
    }
}
