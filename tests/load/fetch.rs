//! One GET over one new connection, so that a Service may choose another pod for every piece of a page.
//! It must never hide a failure: the only thing tried twice is a connection that could not be made, and that is counted.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap};
use url::Url;

/// Longer than any answer here takes on a busy machine, and shorter than a visitor's patience.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A whole answer, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The content type without parameters, in lower case; empty when there is none.
    pub content_type: String,
    /// Who answered, if the answer says so.
    pub pod: Option<String>,
    /// The complete body.
    pub body: Bytes,
}

/// No whole answer came.
#[derive(Debug, Clone)]
pub struct NoAnswer(pub String);

/// What became of one GET.
pub struct Fetched {
    /// The answer, or why there is none.
    pub answer: Result<Answer, NoAnswer>,
    /// Connections that could not be made and were tried again: 0 or 1.
    pub retries: u32,
}

/// A visitor's HTTP client.
#[derive(Clone)]
pub struct Fetcher {
    client: reqwest::Client,
    pod_header: String,
}

impl Fetcher {
    /// `pod_header` is the response header that names the pod.
    pub fn new(pod_header: &str) -> Result<Self, String> {
        let builder = reqwest::Client::builder().pool_max_idle_per_host(0).no_proxy().http1_only().timeout(ANSWER_WITHIN);
        let client = builder.redirect(reqwest::redirect::Policy::none()).build().map_err(|error| format!("no HTTP client: {error}"))?;
        Ok(Self { client, pod_header: pod_header.to_owned() })
    }

    /// Fetches one URL. Browsers try again when a connection cannot be made; once here, at once. A connection that breaks after
    /// it was made is not tried again: Firefox would for a GET, Chromium would not on a new connection, and visitors use both.
    pub async fn get(&self, url: &Url) -> Fetched {
        match self.once(url).await {
            Err(error) if error.is_connect() => Fetched { answer: self.once(url).await.map_err(explain), retries: 1 },
            answer => Fetched { answer: answer.map_err(explain), retries: 0 },
        }
    }

    async fn once(&self, url: &Url) -> Result<Answer, reqwest::Error> {
        let response = self.client.get(url.clone()).header(ACCEPT_ENCODING, "identity").send().await?;
        let status = response.status().as_u16();
        let content_type = content_type(response.headers());
        let pod = text_of(response.headers(), &self.pod_header);
        // A body shorter than its Content-Length or a chunked one without its end is an error here.
        let body = response.bytes().await?;
        Ok(Answer { status, content_type, pod, body })
    }
}

fn text_of(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn content_type(headers: &HeaderMap) -> String {
    let whole = text_of(headers, CONTENT_TYPE.as_str()).unwrap_or_default();
    whole.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The error with its causes: reqwest's own text leaves out what the system said.
fn explain(error: reqwest::Error) -> NoAnswer {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    NoAnswer(text)
}
