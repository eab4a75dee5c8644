//! The one PUT: signed over the known hash or over the checksum header, checked by the server, never without a condition (I3).

use std::path::Path;

use aws_runtime::auth::PayloadSigningOverride;
use aws_sdk_s3::config::interceptors::BeforeSerializationInterceptorContextRef;
use aws_sdk_s3::config::{Builder, ConfigBag, Intercept};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::ByteStream;

use super::classify::{Call, answer};
use super::profile::Checksum;
use super::streamed::{Signed, Streamed, changed, in_memory, made};
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

/// What a PUT says of its object, whatever carries the bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) call: Call<'a>,
    pub(super) attributes: &'a Attributes,
    pub(super) expected: &'a Expected,
}

impl S3Bucket {
    pub(super) async fn put(&self, call: Call<'_>, body: &Body, attributes: &Attributes, expected: &Expected) -> Result<Put, BucketError> {
        let asked = Asked { call, attributes, expected };
        match body {
            Body::File { path, size } if *size > BLIND_BYTES_MAX => self.put_file(asked, path, *size).await,
            Body::Made(making) if making.size() > BLIND_BYTES_MAX => {
                self.put_stream(asked, made(making), making.size(), Signed::Bytes).await
            }
            // One read, and a retry costs none.
            small => {
                let bytes = in_memory(call, small, attributes)?;
                self.put_stream(asked, bytes.into(), small.size(), Signed::Bytes).await
            }
        }
    }

    /// A bucket's policy, or what stands in front of it, may have come to ask for signed bytes since the store was tried out. What is turned
    /// away for another reason is so twice, and told in the words of the second time.
    async fn put_file(&self, asked: Asked<'_>, path: &Path, size: u64) -> Result<Put, BucketError> {
        let signed = self.checks.signed();
        let put = self.put_file_signed(asked, path, size, signed).await;
        if signed == Signed::Bytes || !matches!(put, Err(BucketError::Denied { .. } | BucketError::Refused { .. })) {
            return put;
        }
        let put = self.put_file_signed(asked, path, size, Signed::Bytes).await;
        if put.is_ok() {
            self.checks.turned_away();
        }
        put
    }

    async fn put_file_signed(&self, asked: Asked<'_>, path: &Path, size: u64, signed: Signed) -> Result<Put, BucketError> {
        let streamed = Streamed::new(path, size, &asked.attributes.sha256, self.checks.again());
        let has_changed = streamed.witness();
        let put = self.put_stream(asked, streamed.body, size, signed).await;
        if has_changed() { Err(changed(asked.call)) } else { put }
    }

    pub(super) async fn put_stream(&self, asked: Asked<'_>, body: ByteStream, size: u64, signed: Signed) -> Result<Put, BucketError> {
        let Asked { call, attributes, expected } = asked;
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
            .interceptor(ForTheSigner(signed, attributes.sha256.clone()))
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

/// Tells the signer what it signs, so that the bytes are hashed once in their life, and never again to be sent.
#[derive(Debug)]
struct ForTheSigner(Signed, ContentHash);

impl Intercept for ForTheSigner {
    fn name(&self) -> &'static str {
        "ForTheSigner"
    }

    fn read_before_execution(&self, _: &BeforeSerializationInterceptorContextRef<'_>, bag: &mut ConfigBag) -> Result<(), BoxError> {
        bag.interceptor_state().store_put(match self.0 {
            Signed::Bytes => PayloadSigningOverride::Precomputed(self.1.to_string()),
            Signed::Checksum => PayloadSigningOverride::UnsignedPayload,
        });
        Ok(())
    }
}
