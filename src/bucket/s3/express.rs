//! The short way for small objects: one signed PUT on a kept connection, at a third of the SDK's CPU. A first publish is
//! thousands of these.
//! Never explains a failure: what is not a plain answer goes the SDK's way once more, which says what is wrong.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_sdk_s3::Client;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sigv4::http_request::{PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::http::{HttpConnector as _, SharedHttpConnector};
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, USER_AGENT};
use http_body_util::BodyExt as _;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::{OnceCell, RwLock};

use super::connect::{self, Connection};
use super::description;
use super::profile::{Checksum, Profile};
use crate::bucket::Attributes;
use crate::clock::{Clock as _, SystemClock};

/// SigV4 leaves only these as they are.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// A key for which the SDK is asked where the bucket is.
const PROBE: &str = "x";

/// What a plain answer was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Stored.
    Done,
    /// Something is there already (412).
    Taken,
    /// The store asks for less (429, 503).
    TooMuch,
    /// Anything else, or nothing: ask the SDK.
    Unclear,
}

/// Sends creates of small objects to one bucket.
pub(super) struct Express {
    connector: SharedHttpConnector,
    credentials: Cached,
    region: String,
    profile: Profile,
    /// What stands in front of a key: asked of the SDK once, whose rules know every partition and style.
    base: OnceCell<Option<String>>,
}

impl Express {
    pub(super) fn new(connection: &Connection, region: &str, profile: Profile) -> Self {
        Self {
            connector: connection.connector.clone(),
            credentials: Cached::new(connection.credentials.clone()),
            region: region.to_owned(),
            profile,
            base: OnceCell::new(),
        }
    }

    /// Creates an object.
    pub(super) async fn create(&self, client: &Client, bucket: &str, key: &str, body: Bytes, attributes: &Attributes) -> Answer {
        let size = body.len() as u64;
        let Some(request) = self.request(client, bucket, key, body, attributes).await else { return Answer::Unclear };
        match tokio::time::timeout(connect::patience(size), self.send(request)).await {
            Ok(Some(answer)) => answer,
            Ok(None) | Err(_) => Answer::Unclear,
        }
    }

    async fn send(&self, request: http::Request<Bytes>) -> Option<Answer> {
        let request = request.map(SdkBody::from).try_into().ok()?;
        let response = self.connector.call(request).await.ok()?;
        let answer = match response.status().as_u16() {
            200 => Answer::Done,
            412 => Answer::Taken,
            429 | 503 => Answer::TooMuch,
            _ => Answer::Unclear,
        };
        // Read to its end, so that the connection can be used again.
        response.into_body().collect().await.ok()?;
        Some(answer)
    }

    async fn request(
        &self,
        client: &Client,
        bucket: &str,
        key: &str,
        body: Bytes,
        attributes: &Attributes,
    ) -> Option<http::Request<Bytes>> {
        let base = self.base.get_or_init(|| base(client, bucket)).await.as_deref()?;
        let uri = format!("{base}{}", utf8_percent_encode(key, ESCAPED));
        let mut request = http::Request::put(&uri).body(body).ok()?;
        for (name, value) in headers(attributes, self.profile) {
            request.headers_mut().insert(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
        }
        self.sign(&mut request, &uri, attributes).await?;
        Some(request)
    }

    async fn sign(&self, request: &mut http::Request<Bytes>, uri: &str, attributes: &Attributes) -> Option<()> {
        let now = SystemTime::from(SystemClock.now());
        let identity = self.credentials.get(now).await?.into();
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = aws_sigv4::http_request::PayloadChecksumKind::XAmzSha256;
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("s3")
            .time(now)
            .settings(settings)
            .build()
            .ok()?
            .into();
        let headers = request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let body = SignableBody::Precomputed(attributes.sha256.to_string());
        let signable = SignableRequest::new("PUT", uri, headers, body).ok()?;
        let (instructions, _) = sign(signable, &params).ok()?.into_parts();
        instructions.apply_to_request_http1x(request);
        Some(())
    }
}

/// Credentials that are asked for again only shortly before they end: for web identity each asking is a call to STS.
struct Cached {
    provider: SharedCredentialsProvider,
    last: RwLock<Option<Credentials>>,
}

/// The SDK's own margin.
const REFRESH_BEFORE_END: Duration = Duration::from_secs(5 * 60);

impl Cached {
    fn new(provider: SharedCredentialsProvider) -> Self {
        Self { provider, last: RwLock::default() }
    }

    async fn get(&self, now: SystemTime) -> Option<Credentials> {
        let lasts = |credentials: &&Credentials| credentials.expiry().is_none_or(|end| end > now + REFRESH_BEFORE_END);
        if let Some(credentials) = self.last.read().await.as_ref().filter(lasts) {
            return Some(credentials.clone());
        }
        let credentials = self.provider.provide_credentials().await.ok()?;
        *self.last.write().await = Some(credentials.clone());
        Some(credentials)
    }
}

fn headers(attributes: &Attributes, profile: Profile) -> impl Iterator<Item = (String, String)> {
    let metadata = description::metadata(attributes).into_iter().map(|(name, value)| (format!("x-amz-meta-{name}"), value));
    let fixed = [
        (CONTENT_TYPE.to_string(), attributes.content_type.clone()),
        (CACHE_CONTROL.to_string(), attributes.cache_control.clone()),
        (USER_AGENT.to_string(), concat!("rollcall/", env!("CARGO_PKG_VERSION")).to_owned()),
        (profile.create_only.0.to_owned(), profile.create_only.1.to_owned()),
    ];
    let checksum =
        (profile.checksum == Checksum::Sha256).then(|| ("x-amz-checksum-sha256".to_owned(), description::checksum(&attributes.sha256)));
    metadata.chain(fixed).chain(checksum)
}

/// What the SDK puts in front of a key of this bucket.
async fn base(client: &Client, bucket: &str) -> Option<String> {
    let any = PresigningConfig::expires_in(Duration::from_secs(60)).ok()?;
    let presigned = client.put_object().bucket(bucket).key(PROBE).presigned(any).await.ok()?;
    let (place, _) = presigned.uri().split_once('?')?;
    place.strip_suffix(PROBE).map(str::to_owned)
}
