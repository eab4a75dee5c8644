//! The HTTP channel of reports: one long-poll to each pod that is to be asked.
//! Never asks anything but the pod's own address, and never believes more than the report says.

use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;

use crate::api::release::HttpReport;

/// How long a pod may hold a poll open while nothing changes.
pub const POLL_WAIT: Duration = Duration::from_secs(30);

/// Largest report that is read: a report has a few digests of 71 bytes.
const REPORT_BYTES_MAX: usize = 64 * 1024;

/// Reads one pod's report.
#[async_trait]
pub trait ReportReader: Send + Sync + 'static {
    /// The body of `GET <path>?wait=…&stage=…`; the pod answers early when its report changes.
    async fn read(&self, address: IpAddr, channel: &HttpReport, stage: i64, wait: Duration) -> Result<String, String>;
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
            .connect_timeout(Duration::from_secs(3))
            .timeout(POLL_WAIT + Duration::from_secs(5))
            .build()?;
        Ok(Self { client })
    }
}

#[async_trait]
impl ReportReader for HttpReportReader {
    async fn read(&self, address: IpAddr, channel: &HttpReport, stage: i64, wait: Duration) -> Result<String, String> {
        let host = if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
        let path = channel.path.trim_start_matches('/');
        let url = format!("http://{host}:{}/{path}?wait={}s&stage={stage}", channel.port, wait.as_secs());
        let mut answer = self.client.get(&url).send().await.map_err(|error| format!("{url}: {error}"))?;
        if !answer.status().is_success() {
            return Err(format!("{url}: answered {}", answer.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| format!("{url}: {error}"))? {
            body.extend_from_slice(&chunk);
            if body.len() > REPORT_BYTES_MAX {
                return Err(format!("{url}: the report is longer than {REPORT_BYTES_MAX} bytes"));
            }
        }
        String::from_utf8(body).map_err(|_| format!("{url}: the report is not UTF-8"))
    }
}
