//! The one PUT: signed over the known hash, checked by the server, never without a condition (I3).

use aws_runtime::auth::PayloadSigningOverride;
use aws_sdk_s3::config::interceptors::BeforeSerializationInterceptorContextRef;
use aws_sdk_s3::config::{Builder, ConfigBag, Intercept};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::{ByteStream, Length};

use super::classify::{Call, answer};
use super::profile::Checksum;
use super::{BLIND_BYTES_MAX, S3Bucket, connect, description};
use crate::api::ContentHash;
use crate::bucket::{Attributes, Body, BucketError, Expected, unreadable};

/// The SDK reads 4 KiB at a time by default, which costs ten times the CPU; beyond 256 KiB nothing is gained.
const READ_BUFFER_BYTES: usize = 256 * 1024;

/// How a conditional PUT ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    /// It is stored.
    Done,
    /// The condition did not hold.
    Taken,
    /// Writers met and the store decided for none (409): ask again.
    Undecided,
}

impl S3Bucket {
    pub(super) async fn put(&self, call: Call<'_>, body: &Body, attributes: &Attributes, expected: &Expected) -> Result<Put, BucketError> {
        let request = self
            .client
            .put_object()
            .bucket(&self.name)
            .key(call.key)
            .content_type(&attributes.content_type)
            .cache_control(&attributes.cache_control)
            .set_metadata(Some(description::metadata(attributes)))
            .set_checksum_sha256((self.profile.checksum == Checksum::Sha256).then(|| description::checksum(&attributes.sha256)))
            .body(stream(call, body).await?);
        let create_only = matches!(expected, Expected::Absent).then_some(self.profile.create_only);
        let request = match expected {
            Expected::Absent => request,
            Expected::ETag(etag) => request.if_match(etag),
        };
        let sent = request
            .customize()
            .mutate_request(move |request| {
                if let Some((name, value)) = create_only {
                    request.headers_mut().insert(name, value);
                }
            })
            .interceptor(KnownHash(attributes.sha256.clone()))
            .config_override(Builder::new().timeout_config(connect::timeouts(body.size())))
            .send()
            .await;
        let Err(error) = sent else { return Ok(Put::Done) };
        match answer(&error).map(|answer| (answer.status, answer.code)) {
            // 404 with If-Match: there is nothing, so nothing with that token.
            Some((404, Some("NoSuchKey"))) => Ok(Put::Taken),
            Some((status, code)) if self.profile.says_taken(status, code) => Ok(Put::Taken),
            Some((409, Some("ConditionalRequestConflict"))) => Ok(Put::Undecided),
            _ => Err(call.failed(&error)),
        }
    }
}

async fn stream(call: Call<'_>, body: &Body) -> Result<ByteStream, BucketError> {
    match body {
        Body::Bytes(bytes) => Ok(ByteStream::from(bytes.clone())),
        // One read, and a retry costs none.
        Body::File { path, size } if *size <= BLIND_BYTES_MAX => {
            let bytes = tokio::fs::read(path).await.map_err(|error| unreadable(call.operation, call.key, &error))?;
            Ok(ByteStream::from(bytes))
        }
        Body::File { path, size } => {
            let file = ByteStream::read_from().path(path).length(Length::Exact(*size)).buffer_size(READ_BUFFER_BYTES);
            file.build().await.map_err(|error| unreadable(call.operation, call.key, &std::io::Error::other(error)))
        }
    }
}

/// Tells the signer the hash of the payload, so that the bytes are hashed once in their life, and never again to be sent.
#[derive(Debug)]
struct KnownHash(ContentHash);

impl Intercept for KnownHash {
    fn name(&self) -> &'static str {
        "KnownHash"
    }

    fn read_before_execution(&self, _: &BeforeSerializationInterceptorContextRef<'_>, bag: &mut ConfigBag) -> Result<(), BoxError> {
        bag.interceptor_state().store_put(PayloadSigningOverride::Precomputed(self.0.to_string()));
        Ok(())
    }
}
