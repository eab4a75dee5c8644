//! The SDK's requests, and those that go past it, over the one connector of this program.
//! Never holds more of an answer than its kind may have: the SDK collects listings and errors whole before it reads them.

use std::time::Duration;

use aws_sdk_s3::config::SharedHttpClient;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::ErrorKind;
use http::{Method, Request, Response};

use super::connect::patience;
use crate::egress::{Bounded, Client, Egress, Pool, SMALL_BYTES_MAX, Unanswered, links};

/// A store that does not accept a connection by then is down; with three attempts an outage is known within 10 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Stores close idle connections after some 20 s: stay below, so that a request never meets a closing one.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// Kept when idle; an idle controller should hold next to nothing.
const IDLE_CONNECTIONS_MAX: usize = 64;

/// Longest page of a listing: 1,000 lines, each a key of 1,024 bytes, of which each may be escaped as `&quot;`, and 500 bytes besides.
const LISTING_BYTES_MAX: u64 = 1000 * (1024 * 6 + 500);

/// Longest object that is read whose length the store does not say first. Who reads it has a limit besides.
const UNTOLD_BYTES_MAX: u64 = 64 << 20;

/// What carries requests to one bucket.
#[derive(Debug, Clone)]
pub(super) struct Transport(Client<SdkBody>);

impl Transport {
    pub(super) fn through(egress: &Egress) -> Self {
        let pool = Pool { connect_timeout: CONNECT_TIMEOUT, idle_timeout: IDLE_TIMEOUT, idle_max: IDLE_CONNECTIONS_MAX };
        Self(egress.client(pool))
    }

    pub(super) fn connector(self) -> SharedHttpConnector {
        SharedHttpConnector::new(self)
    }

    pub(super) fn sdk_client(self) -> SharedHttpClient {
        let shared = self.connector();
        http_client_fn(move |_, _| shared.clone())
    }
}

impl HttpConnector for Transport {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let kind = Kind::of(&request);
            let response = client.send(request).await.map_err(unanswered)?;
            let response = bounded(kind, response).map(SdkBody::from_body_1_x);
            HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// What comes back when all is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A page of objects or of uploads.
    Listing,
    /// The bytes of an object.
    Object,
    /// Next to nothing.
    Small,
}

impl Kind {
    fn of<B>(request: &Request<B>) -> Self {
        if request.method() != Method::GET {
            return Self::Small;
        }
        let mut names = request.uri().query().unwrap_or_default().split('&').map(|pair| pair.split('=').next().unwrap_or_default());
        let is_listing = names.any(|name| matches!(name, "list-type" | "uploads" | "uploadId"));
        if is_listing { Self::Listing } else { Self::Object }
    }
}

fn bounded(kind: Kind, response: Response<Bounded>) -> Response<Bounded> {
    let length = response.headers().get(http::header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let bytes_max: u64 = match kind {
        _ if !response.status().is_success() => SMALL_BYTES_MAX,
        Kind::Small => SMALL_BYTES_MAX,
        Kind::Listing => LISTING_BYTES_MAX,
        // Its reader asks for no more than it wants, and has timers of its own.
        Kind::Object => length.unwrap_or(UNTOLD_BYTES_MAX),
    };
    response.map(|body| body.at_most(bytes_max, patience(bytes_max)))
}

/// As the SDK's own connector says it: what may be tried again, and what not.
fn unanswered(error: Unanswered) -> ConnectorError {
    let failed = match error {
        Unanswered::NotAllowed(refused) => return ConnectorError::user(refused.into()),
        Unanswered::Failed(failed) => failed,
    };
    let io = links(&failed).find_map(|link| link.downcast_ref::<std::io::Error>());
    let hyper = links(&failed).find_map(|link| link.downcast_ref::<hyper::Error>());
    if io.is_some_and(|io| io.kind() == std::io::ErrorKind::TimedOut) {
        return ConnectorError::timeout(failed.into());
    }
    match hyper {
        Some(hyper) if hyper.is_user() => ConnectorError::user(failed.into()),
        Some(hyper) if hyper.is_incomplete_message() => ConnectorError::other(failed.into(), Some(ErrorKind::TransientError)),
        Some(hyper) if !(hyper.is_closed() || hyper.is_canceled() || io.is_some()) => ConnectorError::other(failed.into(), None),
        Some(_) | None => ConnectorError::io(failed.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_an_answer_is_known_by_its_request() {
        let kind = |method: &str, uri: &str| Kind::of(&Request::builder().method(method).uri(uri).body(()).unwrap());
        assert_eq!(kind("GET", "http://s/web?list-type=2&prefix=a"), Kind::Listing);
        assert_eq!(kind("GET", "http://s/web?uploads&prefix=a"), Kind::Listing);
        assert_eq!(kind("GET", "http://s/web/a.js?x-id=GetObject"), Kind::Object);
        assert_eq!(kind("GET", "http://s/web/list-type"), Kind::Object);
        for method in ["PUT", "POST", "DELETE", "HEAD"] {
            assert_eq!(kind(method, "http://s/web?list-type=2"), Kind::Small);
        }
    }
}
