//! The one PUT: signed over the known hash, checked by the server, never without a condition (I3).

use aws_runtime::auth::PayloadSigningOverride;
use aws_sdk_s3::config::interceptors::BeforeSerializationInterceptorContextRef;
use aws_sdk_s3::config::{Builder, ConfigBag, Intercept};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::ByteStream;

use super::classify::{Call, answer};
use super::profile::Checksum;
use super::streamed::{Streamed, changed, in_memory};
use super::{BLIND_BYTES_MAX, S3Bucket, connect, description};
use crate::api::ContentHash;
use crate::bucket::{Attributes, Body, BucketError, Expected};

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
        match body {
            Body::File { path, size } if *size > BLIND_BYTES_MAX => {
                let streamed = Streamed::new(path, *size, &attributes.sha256, self.checks.again());
                let has_changed = streamed.witness();
                let put = self.put_stream(call, streamed.body, *size, attributes, expected).await;
                if has_changed() { Err(changed(call)) } else { put }
            }
            // One read, and a retry costs none.
            small => {
                let bytes = in_memory(call, small, attributes)?;
                self.put_stream(call, bytes.into(), small.size(), attributes, expected).await
            }
        }
    }

    async fn put_stream(
        &self,
        call: Call<'_>,
        body: ByteStream,
        size: u64,
        attributes: &Attributes,
        expected: &Expected,
    ) -> Result<Put, BucketError> {
        let request = self
            .client
            .put_object()
            .bucket(&self.name)
            .key(call.key)
            .content_type(&attributes.content_type)
            .cache_control(&attributes.cache_control)
            .set_content_encoding(attributes.content_encoding.map(str::to_owned))
            .set_metadata(Some(description::metadata(attributes)))
            .set_checksum_sha256((self.profile.checksum == Checksum::Sha256).then(|| description::checksum(&attributes.sha256)))
            .body(body);
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
            .config_override(Builder::new().timeout_config(connect::timeouts(size)))
            .send()
            .await;
        let error = match sent {
            Ok(done) => {
                self.checks.saw(done.checksum_sha256(), &attributes.sha256);
                return Ok(Put::Done);
            }
            Err(error) => error,
        };
        match answer(&error).map(|answer| (answer.status, answer.code)) {
            // 404 with If-Match: there is nothing, so nothing with that token.
            Some((404, Some("NoSuchKey"))) => Ok(Put::Taken),
            Some((status, code)) if self.profile.says_taken(status, code) => Ok(Put::Taken),
            Some((409, Some("ConditionalRequestConflict"))) => Ok(Put::Undecided),
            _ => Err(call.failed(&error)),
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
