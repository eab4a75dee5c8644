//! Requests over connections that were checked. One client is one pool: a kept connection goes to an address that was allowed when it
//! was made.
//! Never repeats a request that may have been received, never follows a redirect.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper_util::client::legacy::Client as Pooled;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower::BoxError;

use super::Egress;
use super::bounded::Bounded;
use super::causes::{chain, links};
use super::connect::{Checked, NotAllowed};

/// Longest head of an answer. Ours are below 4 KiB; hyper's own limit is 400 KiB.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// Most headers of an answer.
const HEADERS_MAX: usize = 100;

/// The connections of a client.
#[derive(Debug, Clone, Copy)]
pub struct Pool {
    /// Longest time until a connection stands, its name looked up and TLS agreed upon.
    pub connect_timeout: Duration,
    /// How long an idle one is kept.
    pub idle_timeout: Duration,
    /// How many idle ones are kept for a host.
    pub idle_max: usize,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// The host is none that may be called: not a byte was sent.
    #[error(transparent)]
    NotAllowed(NotAllowed),
    /// No connection, or nothing on it that is HTTP. What it was is for the log of the operator alone.
    #[error("{}", chain(.0))]
    Failed(#[source] hyper_util::client::legacy::Error),
}

/// A client with a pool of its own.
#[derive(Debug)]
pub struct Client<B> {
    pooled: Pooled<Checked, B>,
}

impl<B> Clone for Client<B> {
    fn clone(&self) -> Self {
        Self { pooled: self.pooled.clone() }
    }
}

impl Egress {
    /// A client that calls what this lets it call.
    #[must_use]
    pub fn client<B>(&self, pool: Pool) -> Client<B>
    where
        B: Body + Send + Unpin + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let pooled = Pooled::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(pool.idle_timeout)
            .pool_max_idle_per_host(pool.idle_max)
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .http1_max_headers(HEADERS_MAX)
            .build(Checked::new(self.clone(), pool.connect_timeout));
        Client { pooled }
    }
}

impl<B> Client<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// Sends a request. The caller bounds the time until the head is there; the body is bounded by itself.
    ///
    /// # Errors
    /// When the host may not be called, or nothing answers as HTTP.
    pub async fn send(&self, request: Request<B>) -> Result<Response<Bounded>, Unanswered> {
        match self.pooled.request(request).await {
            Ok(response) => Ok(response.map(Bounded::small)),
            Err(error) => {
                let refused = links(&error).find_map(|link| link.downcast_ref::<NotAllowed>()).cloned();
                Err(refused.map_or_else(|| Unanswered::Failed(error), Unanswered::NotAllowed))
            }
        }
    }
}
