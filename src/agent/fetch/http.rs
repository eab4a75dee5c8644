//! [`Fetch`] over HTTP. Never follows a redirect to another host, never sends credentials, never waits without an end.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use reqwest::redirect::{Attempt, Policy};
use tokio::sync::Semaphore;

use super::{Fetch, FetchError, Pieces};
use crate::egress::chain;

/// A store inside the cluster answers within milliseconds, a CDN within a second.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Between two pieces of a body.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// One whole answer: a file of 1 GB at 2 MB/s.
const ANSWER_MAX: Duration = Duration::from_secs(600);
/// A redirect from `http` to `https` and one more.
const REDIRECTS_MAX: usize = 2;

/// Gets bytes with one shared HTTP client.
#[derive(Debug, Clone)]
pub struct HttpFetch {
    client: reqwest::Client,
    places: Arc<Semaphore>,
}

impl HttpFetch {
    /// At most `open_max` answers open at a time.
    ///
    /// # Errors
    /// When no TLS client can be built.
    pub fn new(open_max: usize) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_MAX)
            .read_timeout(SILENCE_MAX)
            .timeout(ANSWER_MAX)
            .redirect(Policy::custom(on_the_same_host))
            .user_agent(concat!("rollcall-agent/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, places: Arc::new(Semaphore::new(open_max)) })
    }
}

/// Another host is another party: its bytes would be refused by their hash, but asking it would tell it what is fetched here.
fn on_the_same_host(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let same_host = attempt.previous().first().is_some_and(|first| first.host_str() == attempt.url().host_str());
    if same_host && attempt.previous().len() <= REDIRECTS_MAX { attempt.follow() } else { attempt.stop() }
}

#[async_trait]
impl Fetch for HttpFetch {
    async fn get(&self, url: &str) -> Result<Pieces, FetchError> {
        let place = Arc::clone(&self.places).acquire_owned().await.expect("the semaphore is never closed");
        let owned = url.to_owned();
        let unavailable = move |error: reqwest::Error| FetchError::Unavailable { url: owned.clone(), cause: chain(&error) };
        let answer = self.client.get(url).send().await.map_err(&unavailable)?;
        match answer.status().as_u16() {
            200 => {
                let pieces = answer.bytes_stream().map(move |piece| {
                    let _held_until_the_stream_ends = &place;
                    piece.map_err(&unavailable)
                });
                Ok(pieces.boxed())
            }
            status @ (403 | 404 | 410) => Err(FetchError::Missing { url: url.to_owned(), status }),
            status => Err(FetchError::Unavailable { url: url.to_owned(), cause: format!("the store answered {status}") }),
        }
    }
}

#[cfg(test)]
mod tests;
