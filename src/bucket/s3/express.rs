//! The short way for small objects: one signed PUT on a kept connection, at a third of the SDK's CPU. A first publish is
//! thousands of these.
//! Never explains a failure: what is not a plain answer goes the SDK's way once more, which says what is wrong. Where that keeps
//! ending well, this way is left alone for a while: everything would be sent twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
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
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, USER_AGENT};
use http_body_util::BodyExt as _;
use tokio::sync::{Mutex, OnceCell, RwLock};

use super::connect::{self, Connection};
use super::description;
use super::profile::{Checksum, Profile};
use super::streamed::Checks;
use crate::bucket::Attributes;
use crate::clock::{Clock as _, SystemClock};
use crate::manifest::urls;

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
    doubt: Doubt,
    checks: Arc<Checks>,
    /// Counts what was sent and got no answer: it is sent again.
    repeated: Arc<AtomicU64>,
}

impl Express {
    pub(super) fn new(connection: &Connection, region: &str, profile: Profile, checks: Arc<Checks>, repeated: Arc<AtomicU64>) -> Self {
        Self {
            connector: connection.connector.clone(),
            credentials: Cached::new(connection.credentials.clone()),
            region: region.to_owned(),
            profile,
            base: OnceCell::new(),
            doubt: Doubt::default(),
            checks,
            repeated,
        }
    }

    /// What this way gave no plain answer to, the SDK has stored.
    pub(super) fn outdone(&self) {
        self.doubt.outdone();
    }

    /// Creates an object.
    pub(super) async fn create(&self, client: &Client, bucket: &str, key: &str, body: Bytes, attributes: &Attributes) -> Answer {
        if !self.doubt.lets_in() {
            return Answer::Unclear;
        }
        let size = body.len() as u64;
        let Some(request) = self.request(client, bucket, key, body, attributes).await else { return Answer::Unclear };
        let sent = tokio::time::timeout(connect::patience(size), self.send(request, attributes)).await;
        let answer = sent.ok().flatten().unwrap_or_else(|| {
            self.repeated.fetch_add(1, Ordering::Relaxed);
            Answer::Unclear
        });
        if answer != Answer::Unclear {
            self.doubt.answered();
        }
        answer
    }

    async fn send(&self, request: http::Request<Bytes>, attributes: &Attributes) -> Option<Answer> {
        let request = request.map(SdkBody::from).try_into().ok()?;
        let response = self.connector.call(request).await.ok()?;
        let answer = match response.status().as_u16() {
            200 => Answer::Done,
            412 => Answer::Taken,
            429 | 503 => Answer::TooMuch,
            // A proxy's word as a rule: what stands behind it may be at it still.
            500.. => return None,
            _ => Answer::Unclear,
        };
        if answer == Answer::Done {
            self.checks.saw(response.headers().get("x-amz-checksum-sha256"), &attributes.sha256);
        }
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
        let uri = format!("{base}{}", urls::escaped(key));
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

/// How often in a row the SDK stored what this way could not.
#[derive(Debug, Default)]
struct Doubt(AtomicU32);

/// After so many in a row this way is left alone: a network that hiccups breaks fewer, and a proxy that does not like it all of them.
const IN_A_ROW: u32 = 5;

/// Creates that go the SDK's way then, until one is tried again.
const REST: u32 = 1000;

impl Doubt {
    fn lets_in(&self) -> bool {
        let counted = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| match count {
            ..IN_A_ROW => None,
            _ if count >= IN_A_ROW + REST => Some(IN_A_ROW - 1),
            _ => Some(count + 1),
        });
        counted.map_or(true, |count| count >= IN_A_ROW + REST)
    }

    fn answered(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    fn outdone(&self) {
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < IN_A_ROW).then_some(count + 1));
    }
}

/// Credentials that are asked for again only shortly before they end, by one of all who need them: for web identity each asking is a
/// call to STS.
struct Cached {
    provider: SharedCredentialsProvider,
    last: RwLock<Option<Credentials>>,
    /// When they were last asked for.
    asked: Mutex<Option<SystemTime>>,
}

/// The SDK's own margin.
const REFRESH_BEFORE_END: Duration = Duration::from_secs(5 * 60);

/// Not asked for more often, whatever came: a provider that fails is not made better by it.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(10);

impl Cached {
    fn new(provider: SharedCredentialsProvider) -> Self {
        Self { provider, last: RwLock::default(), asked: Mutex::default() }
    }

    async fn get(&self, now: SystemTime) -> Option<Credentials> {
        if let Some(credentials) = self.lasting(now + REFRESH_BEFORE_END).await {
            return Some(credentials);
        }
        let mut asked = self.asked.lock().await;
        if let Some(credentials) = self.lasting(now + REFRESH_BEFORE_END).await {
            return Some(credentials);
        }
        if asked.is_none_or(|at| now >= at + ASK_AGAIN_AFTER) {
            *asked = Some(now);
            if let Ok(credentials) = self.provider.provide_credentials().await {
                *self.last.write().await = Some(credentials);
            }
        }
        self.lasting(now).await
    }

    async fn lasting(&self, until: SystemTime) -> Option<Credentials> {
        self.last.read().await.clone().filter(|credentials| credentials.expiry().is_none_or(|end| end > until))
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
    let encoding = attributes.content_encoding.map(|encoding| (CONTENT_ENCODING.to_string(), encoding.to_owned()));
    metadata.chain(fixed).chain(checksum).chain(encoding)
}

/// What the SDK puts in front of a key of this bucket.
async fn base(client: &Client, bucket: &str) -> Option<String> {
    let any = PresigningConfig::expires_in(Duration::from_secs(60)).ok()?;
    let presigned = client.put_object().bucket(bucket).key(PROBE).presigned(any).await.ok()?;
    let (place, _) = presigned.uri().split_once('?')?;
    place.strip_suffix(PROBE).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use aws_credential_types::provider::error::CredentialsError;
    use aws_credential_types::provider::future;
    use futures::future::join_all;

    use super::*;

    #[test]
    fn a_way_that_the_sdk_keeps_outdoing_is_left_alone_for_a_while() {
        let doubt = Doubt::default();
        (0..IN_A_ROW - 1).for_each(|_| doubt.outdone());
        assert!(doubt.lets_in());
        doubt.answered();
        (0..IN_A_ROW).for_each(|_| doubt.outdone());
        assert_eq!((0..REST).filter(|_| doubt.lets_in()).count(), 0);
        assert!(doubt.lets_in(), "one is tried again");
        doubt.outdone();
        assert!(!doubt.lets_in(), "and was one too many");
    }

    /// Answers with credentials that last for an hour from 1970 on, then with an hour more each time; an error while `fails`.
    #[derive(Debug, Default)]
    struct Provider {
        asked: Arc<AtomicUsize>,
        fails: bool,
    }

    impl aws_credential_types::provider::ProvideCredentials for Provider {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::new(async {
                let number = self.asked.fetch_add(1, Ordering::Relaxed) as u64 + 1;
                tokio::task::yield_now().await;
                let end = SystemTime::UNIX_EPOCH + Duration::from_secs(3600 * number);
                let credentials = Credentials::new(number.to_string(), "secret", None, Some(end), "test");
                if self.fails { Err(CredentialsError::not_loaded_no_source()) } else { Ok(credentials) }
            })
        }
    }

    #[tokio::test]
    async fn credentials_that_end_are_asked_for_once_whoever_needs_them() {
        let asked = Arc::new(AtomicUsize::new(0));
        let cached = Cached::new(SharedCredentialsProvider::new(Provider { asked: Arc::clone(&asked), fails: false }));
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let keys = async |seconds| {
            let got = join_all((0..200).map(|_| cached.get(at(seconds)))).await;
            got.into_iter().map(|credentials| credentials.unwrap().access_key_id().to_owned()).collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(keys(0).await.into_iter().collect::<Vec<_>>(), ["1"]);
        assert_eq!(keys(3400).await.into_iter().collect::<Vec<_>>(), ["2"]);
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_provider_that_fails_is_not_asked_for_every_object() {
        let asked = Arc::new(AtomicUsize::new(0));
        let cached = Cached::new(SharedCredentialsProvider::new(Provider { asked: Arc::clone(&asked), fails: true }));
        let got = join_all((0..200).map(|_| cached.get(SystemTime::UNIX_EPOCH))).await;
        assert!(got.iter().all(Option::is_none));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        assert_eq!(cached.get(SystemTime::UNIX_EPOCH + ASK_AGAIN_AFTER).await, None);
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }
}
