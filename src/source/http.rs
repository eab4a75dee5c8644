//! Fetches archives over HTTP: to a file, hashed on the way, from addresses that may be called, and never more than allowed.
//! Never follows a redirect or a name to an address that was not checked, and never shows secrets of a URL.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Client, Response, StatusCode, redirect};
use sha2::{Digest as _, Sha256};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use url::{Host, Url};

use super::address::{AllowedHost, objection};
use super::archive::{self, Limits};
use super::workspace::{Allotment, Draft, Room};
use super::{Build, Bytes, Refusal, Source, SourceError, Wanted, shown, spooled, workspace};
use crate::api::ContentHash;
use crate::manifest::build::NewFile;

/// Redirects that are followed: release pages use two, object stores one.
const REDIRECTS_MAX: usize = 5;

/// What the operator decides about sources.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// What may be called although it is not public.
    pub allowed: Vec<AllowedHost>,
    /// Longest archive in bytes.
    pub bytes_max: u64,
    /// Longest time until a connection stands.
    pub connect_timeout: Duration,
    /// Longest time without a byte.
    pub idle_timeout: Duration,
    /// Longest time for the whole download.
    pub total_timeout: Duration,
    /// What an archive may hold.
    pub limits: Limits,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            allowed: Vec::new(),
            bytes_max: 1 << 30,
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            // 1 GiB at 10 Mbit/s takes 14 minutes.
            total_timeout: Duration::from_secs(20 * 60),
            limits: Limits::default(),
        }
    }
}

/// Fetches archives over HTTP.
#[derive(Debug, Clone, Default)]
pub struct HttpFetcher {
    settings: HttpSettings,
}

impl HttpFetcher {
    /// A fetcher with these settings.
    #[must_use]
    pub fn new(settings: HttpSettings) -> Self {
        Self { settings }
    }

    async fn download(&self, wanted: &Wanted, to: &mut Draft) -> Result<(), SourceError> {
        let response = self.open(&wanted.url).await?;
        let unavailable = |cause: &reqwest::Error| unavailable(&wanted.url, cause);
        let too_large = || Refusal::ArchiveTooLarge { url: wanted.shown_url(), bytes_max: self.settings.bytes_max };
        if response.content_length().is_some_and(|length| length > self.settings.bytes_max) {
            return Err(too_large().into());
        }
        let mut response = response;
        let (mut hasher, mut bytes) = (Sha256::new(), 0);
        while let Some(chunk) = response.chunk().await.map_err(|error| unavailable(&error))? {
            bytes += chunk.len() as u64;
            if bytes > self.settings.bytes_max {
                return Err(too_large().into());
            }
            hasher.update(&chunk);
            to.write(&chunk)?;
        }
        let actual = ContentHash::from_array(hasher.finalize().into());
        if actual == wanted.sha256 {
            return Ok(());
        }
        Err(Refusal::WrongDigest { url: wanted.shown_url(), expected: wanted.sha256.clone(), actual }.into())
    }

    /// Follows redirects by hand, because each target has to be looked at like the first.
    async fn open(&self, first: &str) -> Result<Response, SourceError> {
        let mut url = Url::parse(first).map_err(|_| Refusal::UnsupportedUrl { url: shown(first) })?;
        for _ in 0..=REDIRECTS_MAX {
            let response = self.get(&url).await?;
            match target(&url, &response) {
                Some(next) => url = next,
                None => return accepted(first, response),
            }
        }
        Err(Refusal::TooManyRedirects { url: shown(first), max: REDIRECTS_MAX }.into())
    }

    /// One request. Its client can connect only to the addresses that were just checked: a name that stands for something
    /// else a moment later does not matter. Built anew each time; that takes milliseconds, the download seconds.
    async fn get(&self, url: &Url) -> Result<Response, SourceError> {
        let (host, addresses) = self.checked_addresses(url).await?;
        let client = Client::builder()
            .resolve_to_addrs(&host, &addresses)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(self.settings.connect_timeout)
            .read_timeout(self.settings.idle_timeout)
            .timeout(self.settings.total_timeout)
            .user_agent(concat!("rollcall/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| unavailable(url.as_str(), &error))?;
        client.get(url.clone()).send().await.map_err(|error| unavailable(url.as_str(), &error))
    }

    async fn checked_addresses(&self, url: &Url) -> Result<(String, Vec<SocketAddr>), SourceError> {
        let unsupported = || Refusal::UnsupportedUrl { url: shown(url.as_str()) };
        if !matches!(url.scheme(), "http" | "https") {
            return Err(unsupported().into());
        }
        let port = url.port_or_known_default().ok_or_else(unsupported)?;
        let (host, addresses) = match url.host().ok_or_else(unsupported)? {
            Host::Ipv4(address) => (address.to_string(), vec![SocketAddr::new(address.into(), port)]),
            Host::Ipv6(address) => (address.to_string(), vec![SocketAddr::new(address.into(), port)]),
            Host::Domain(name) => (name.to_owned(), lookup(url, name, port).await?),
        };
        // One bad address among good ones is enough to refuse: which one would be called is not ours to say.
        for address in addresses.iter().map(SocketAddr::ip) {
            if let Some(kind) = objection(&self.settings.allowed, &host, port, address) {
                return Err(not_allowed(url, host, address, kind));
            }
        }
        Ok((host, addresses))
    }
}

#[async_trait]
impl Source for HttpFetcher {
    async fn fetch(&self, wanted: &Wanted, space: &Allotment) -> Result<Build, SourceError> {
        let room = space.room()?;
        let mut archive = room.draft(room.path())?;
        self.download(wanted, &mut archive).await?;
        let files = unpack(Arc::clone(&room), archive, self.settings.limits.clone(), space.turn().await).await?;
        Ok(Build::new(files, Bytes::Spool(room)))
    }
}

/// Takes the archive apart on a thread that may block. When this future is dropped, the guard tells that thread to
/// end; the folder goes with the last of the two that hold it, so nothing is left behind either way.
async fn unpack(room: Arc<Room>, archive: Draft, limits: Limits, turn: OwnedSemaphorePermit) -> Result<Vec<NewFile>, SourceError> {
    let cancel = CancellationToken::new();
    let _guard = cancel.clone().drop_guard();
    let work = move || {
        let folder = spooled(&room);
        std::fs::create_dir(&folder).map_err(|error| workspace(&folder, &error))?;
        // The archive goes at the end of this: the disk is better used for the files.
        let files = archive::unpack(archive.path(), &room, &limits, &cancel);
        // Given back when the thread is free, not when nobody waits for it any more.
        drop(turn);
        files
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(files) => files,
        // A panic in a decompressor: this archive hits a bug, and will again.
        Err(error) => Err(Refusal::Malformed { entry: None, cause: error.to_string() }.into()),
    }
}

async fn lookup(url: &Url, name: &str, port: u16) -> Result<Vec<SocketAddr>, SourceError> {
    let failed = |cause: String| SourceError::Unavailable { url: shown(url.as_str()), cause };
    let found = tokio::net::lookup_host((name, port)).await.map_err(|error| failed(format!("{name}: {error}")))?;
    let addresses: Vec<SocketAddr> = found.collect();
    if addresses.is_empty() { Err(failed(format!("{name} has no address"))) } else { Ok(addresses) }
}

fn not_allowed(url: &Url, host: String, address: IpAddr, kind: &'static str) -> SourceError {
    Refusal::HostNotAllowed { url: shown(url.as_str()), host, address, kind }.into()
}

/// Where a redirect leads, if the answer is one.
fn target(from: &Url, response: &Response) -> Option<Url> {
    let is_redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = response.headers().get(reqwest::header::LOCATION)?.to_str().ok()?;
    if is_redirect { from.join(location).ok() } else { None }
}

/// 404 and 403 (what object stores say for a missing key) are waited out: the archive of a fresh version may come a moment
/// after the version's name.
fn accepted(url: &str, response: Response) -> Result<Response, SourceError> {
    let status = response.status();
    match status {
        StatusCode::OK => Ok(response),
        StatusCode::NOT_FOUND
        | StatusCode::FORBIDDEN
        | StatusCode::REQUEST_TIMEOUT
        | StatusCode::TOO_EARLY
        | StatusCode::TOO_MANY_REQUESTS => Err(SourceError::Unavailable { url: shown(url), cause: format!("the server answers {status}") }),
        _ if status.is_server_error() => Err(SourceError::Unavailable { url: shown(url), cause: format!("the server answers {status}") }),
        _ => Err(Refusal::HttpStatus { url: shown(url), status: status.as_u16() }.into()),
    }
}

fn unavailable(url: &str, error: &reqwest::Error) -> SourceError {
    // The error's own text has the whole URL; its causes do not.
    let mut cause = if error.is_timeout() { "timed out".to_owned() } else { "the request failed".to_owned() };
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        cause = format!("{cause}: {error}");
        source = error.source();
    }
    SourceError::Unavailable { url: shown(url), cause }
}
