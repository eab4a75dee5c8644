//! Fetches archives over HTTP: to a file, hashed on the way, from addresses that may be called, and never more than allowed.
//! Never follows a redirect to a place that was not checked, never shows secrets of a URL, and never tells how a place failed that is
//! not a web server.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes as Piece;
use http::header::{ACCEPT, ACCEPT_ENCODING, LOCATION, USER_AGENT};
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use sha2::{Digest as _, Sha256};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::archive::{self, Limits};
use super::workspace::{Allotment, Draft, Room};
use super::{Build, Bytes, Refusal, Source, SourceError, Wanted, shown, spooled, workspace};
use crate::api::ContentHash;
use crate::egress::{Bounded, Broken, Client, Egress, Pool, Unanswered};
use crate::manifest::build::NewFile;

/// Redirects that are followed: release pages use two, object stores one.
const REDIRECTS_MAX: usize = 5;

/// What the operator decides about sources.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// What may be called.
    pub egress: Egress,
    /// Longest archive in bytes.
    pub bytes_max: u64,
    /// Longest time until a connection stands.
    pub connect_timeout: Duration,
    /// Longest time without a byte.
    pub idle_timeout: Duration,
    /// Longest time for the whole download, redirects among it.
    pub total_timeout: Duration,
    /// What an archive may hold.
    pub limits: Limits,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            egress: Egress::public_and(Vec::new()),
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
#[derive(Debug, Clone)]
pub struct HttpFetcher {
    settings: HttpSettings,
    client: Client<Empty<Piece>>,
}

impl Default for HttpFetcher {
    fn default() -> Self {
        Self::new(HttpSettings::default())
    }
}

impl HttpFetcher {
    /// A fetcher with these settings.
    #[must_use]
    pub fn new(settings: HttpSettings) -> Self {
        // Archives are far between: no connection is kept for the next one.
        let pool = Pool { connect_timeout: settings.connect_timeout, idle_timeout: settings.idle_timeout, idle_max: 0 };
        let client = settings.egress.client(pool);
        Self { settings, client }
    }

    async fn download(&self, wanted: &Wanted, to: &mut Draft) -> Result<(), SourceError> {
        let total = self.settings.total_timeout;
        let ended = tokio::time::timeout(total, self.download_untimed(wanted, to)).await;
        ended.unwrap_or_else(|_| Err(unanswered(&wanted.url, &"the download took too long")))
    }

    async fn download_untimed(&self, wanted: &Wanted, to: &mut Draft) -> Result<(), SourceError> {
        let response = self.open(&wanted.url).await?;
        let too_large = || Refusal::ArchiveTooLarge { url: wanted.shown_url(), bytes_max: self.settings.bytes_max };
        let length = response.headers().get(http::header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > self.settings.bytes_max) {
            return Err(too_large().into());
        }
        // One byte more tells an archive that is too long from one that just fits.
        let body = response.into_body().at_most(self.settings.bytes_max.saturating_add(1), self.settings.total_timeout);
        let mut body = body.never_idle_for(self.settings.idle_timeout);
        let (mut hasher, mut bytes) = (Sha256::new(), 0);
        loop {
            let piece = match body.piece().await {
                Ok(Some(piece)) => piece,
                Ok(None) => break,
                Err(Broken::TooLong { .. }) => return Err(too_large().into()),
                Err(error @ (Broken::Stalled | Broken::BrokeOff(_))) => return Err(unanswered(&wanted.url, &error)),
            };
            bytes += piece.len() as u64;
            if bytes > self.settings.bytes_max {
                return Err(too_large().into());
            }
            hasher.update(&piece);
            to.write(&piece)?;
        }
        let actual = ContentHash::from_array(hasher.finalize().into());
        if actual == wanted.sha256 {
            return Ok(());
        }
        Err(Refusal::WrongDigest { url: wanted.shown_url(), expected: wanted.sha256.clone() }.into())
    }

    /// Follows redirects by hand: each is a request of its own, whose host is checked like the first one's.
    async fn open(&self, first: &str) -> Result<Response<Bounded>, SourceError> {
        let mut url = Url::parse(first).map_err(|_| Refusal::UnsupportedUrl { url: shown(first) })?;
        for _ in 0..=REDIRECTS_MAX {
            let response = self.get(first, &url).await?;
            match target(&url, &response) {
                Some(next) => url = next,
                None => return accepted(first, response),
            }
        }
        Err(Refusal::TooManyRedirects { url: shown(first), max: REDIRECTS_MAX }.into())
    }

    async fn get(&self, first: &str, url: &Url) -> Result<Response<Bounded>, SourceError> {
        let unsupported = || Refusal::UnsupportedUrl { url: shown(url.as_str()) };
        let is_plain = url.username().is_empty() && url.password().is_none();
        if !matches!(url.scheme(), "http" | "https") || !is_plain {
            return Err(unsupported().into());
        }
        let request = Request::get(url[..url::Position::AfterQuery].to_owned())
            .header(USER_AGENT, concat!("rollcall/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "*/*")
            // The bytes that the digest is of, as they lie there.
            .header(ACCEPT_ENCODING, "identity")
            .body(Empty::new())
            .map_err(|_| unsupported())?;
        let silence = self.settings.connect_timeout + self.settings.idle_timeout;
        match tokio::time::timeout(silence, self.client.send(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(Unanswered::NotAllowed(refused))) => Err(Refusal::HostNotAllowed { url: shown(first), refused }.into()),
            Ok(Err(Unanswered::Failed(error))) => Err(unanswered(first, &Unanswered::Failed(error))),
            Err(_) => Err(unanswered(first, &"no answer in time")),
        }
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

/// Where a redirect leads, if the answer is one.
fn target(from: &Url, response: &Response<Bounded>) -> Option<Url> {
    let is_redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    if is_redirect { from.join(location).ok() } else { None }
}

/// 404 and 403 (what object stores say for a missing key) are waited out: the archive of a fresh version may come a moment
/// after the version's name.
fn accepted(url: &str, response: Response<Bounded>) -> Result<Response<Bounded>, SourceError> {
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

/// One text for whatever is no answer: whoever names a URL must not learn which ports are open. The log has the cause.
fn unanswered(url: &str, cause: &dyn std::fmt::Display) -> SourceError {
    let url = shown(url);
    tracing::warn!(%url, %cause, "a source failed");
    SourceError::Unavailable { url, cause: "nothing there answers as a web server; the controller's log says more".to_owned() }
}
