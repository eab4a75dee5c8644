//! Copies within the store, and reads of any length.
//! Never copies but the very object that was seen, and never onto one that is there.

use aws_sdk_s3::config::{Builder, StalledStreamProtectionConfig};
use aws_sdk_s3::operation::copy_object::builders::CopyObjectFluentBuilder;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, MetadataDirective};
use futures::StreamExt as _;

use super::classify::{Answer, Call, answer};
use super::profile::Checksum;
use super::{S3Bucket, UNDECIDED_PAUSES, connect, description};
use crate::bucket::{Attributes, BucketError, Copied, Created, Original, Pieces, Stored};
use crate::egress::Told;
use crate::manifest::urls;

/// The largest object that S3 copies by one request.
pub(super) const COPY_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;

/// A piece that takes longer than this has stalled.
const PIECE_PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// How one request for a copy ended.
enum Try {
    Done,
    Taken,
    Undecided,
    OriginalChanged,
    Unable(String),
}

impl S3Bucket {
    pub(super) async fn copy_within(&self, call: Call<'_>, original: &Original, attributes: &Attributes) -> Result<Copied, BucketError> {
        if original.size > COPY_BYTES_MAX {
            return Ok(Copied::Unable(format!("it has {} bytes, more than {COPY_BYTES_MAX}", original.size)));
        }
        for pause in UNDECIDED_PAUSES {
            match self.try_copy(call, original, attributes).await? {
                Try::Done => return self.confirm(call, original, attributes).await,
                Try::Taken => match self.look(call).await? {
                    Some(found) => return self.compare(call, found, original.size, attributes).await.map(Copied::Ended),
                    // 412, and nothing is there: it was the other condition.
                    None => return Ok(Copied::OriginalChanged),
                },
                Try::Undecided => tokio::time::sleep(pause).await,
                Try::OriginalChanged => return Ok(Copied::OriginalChanged),
                Try::Unable(said) => return Ok(Copied::Unable(said)),
            }
        }
        Err(Self::undecided(call))
    }

    async fn try_copy(&self, call: Call<'_>, original: &Original, attributes: &Attributes) -> Result<Try, BucketError> {
        let request = self
            .copy_request(call.key, original, attributes)
            .if_none_match("*")
            .set_checksum_algorithm((self.profile.checksum == Checksum::Sha256).then_some(ChecksumAlgorithm::Sha256));
        let patience = patience(original.size);
        let Err(error) = request.customize().config_override(patience).send().await else { return Ok(Try::Done) };
        match answer(&error) {
            Some(said) => self.meaning(call, said),
            None => Err(call.failed(&error)),
        }
    }

    /// A copy of exactly this object, with these headers and this metadata instead of its own.
    pub(super) fn copy_request(&self, to: &str, original: &Original, attributes: &Attributes) -> CopyObjectFluentBuilder {
        self.client
            .copy_object()
            .bucket(&self.name)
            .key(to)
            .copy_source(source(&original.bucket, &original.key))
            .copy_source_if_match(&original.etag)
            .metadata_directive(MetadataDirective::Replace)
            .content_type(&attributes.content_type)
            .cache_control(&attributes.cache_control)
            .set_content_encoding(attributes.content_encoding.map(str::to_owned))
            .set_metadata(Some(description::metadata(attributes)))
    }

    fn meaning(&self, call: Call<'_>, said: Answer<'_>) -> Result<Try, BucketError> {
        match (said.status, said.code) {
            (404, Some("NoSuchKey")) => Ok(Try::OriginalChanged),
            (status, code) if self.profile.says_taken(status, code) => Ok(Try::Taken),
            (409, Some("ConditionalRequestConflict")) => Ok(Try::Undecided),
            _ => match call.answered(said) {
                // Whoever may write here need not be allowed to read there; and not every store copies everything.
                BucketError::Denied { cause, .. } | BucketError::Refused { cause, .. } => Ok(Try::Unable(cause)),
                BucketError::NoSuchBucket { bucket } => Ok(Try::Unable(format!("the bucket {bucket:?} or the original's is not there"))),
                error @ (BucketError::Unavailable { .. }
                | BucketError::Locked { .. }
                | BucketError::NotAllowed { .. }
                | BucketError::Unfit(_)) => Err(error),
            },
        }
    }

    /// Looks at what came of it. The store copied the object with that token, so its bytes are those that the token stood for; a length
    /// or a checksum that says something else is a broken store, and then nothing is kept of it.
    async fn confirm(&self, call: Call<'_>, original: &Original, attributes: &Attributes) -> Result<Copied, BucketError> {
        let Some(found) = self.look(call).await? else {
            return Err(call.unavailable("a copy was answered with success, and nothing is there"));
        };
        let is_right = found.size == original.size && found.sha256.as_ref() == Some(&attributes.sha256);
        if is_right {
            return Ok(Copied::Ended(Created::New));
        }
        let Stored { size, sha256, etag, .. } = found;
        self.client.delete_object().bucket(&self.name).key(call.key).if_match(etag).send().await.map_err(|error| call.failed(&error))?;
        let sha256 = sha256.map_or_else(|| "no hash".to_owned(), |sha256| format!("sha256 {sha256}"));
        Err(call.refused(format!("the store's copy has {size} bytes and {sha256}, not what was copied; it was removed")))
    }

    pub(super) async fn read_pieces(&self, call: Call<'_>, etag: &str) -> Result<Option<Pieces>, BucketError> {
        match self.client.get_object().bucket(&self.name).key(call.key).if_match(etag).send().await {
            Ok(object) => Ok(Some(pieces(object.body, call.key.to_owned(), call.told))),
            Err(error) if answer(&error).is_some_and(|said| said.is_missing() || said.status == 412) => Ok(None),
            Err(error) => Err(call.failed(&error)),
        }
    }
}

/// How `x-amz-copy-source` names an object.
pub(super) fn source(bucket: &str, key: &str) -> String {
    format!("{bucket}/{}", urls::escaped(key))
}

/// For a copy of so many bytes: the store is silent while it copies, which is no stall.
pub(super) fn patience(bytes: u64) -> Builder {
    Builder::new().timeout_config(connect::timeouts(bytes)).stalled_stream_protection(StalledStreamProtectionConfig::disabled())
}

fn pieces(body: ByteStream, key: String, told: Told) -> Pieces {
    let broken = move |key: &str, cause: &str| Call { operation: "read", bucket: "", key, told }.unanswered(cause);
    let stream = futures::stream::unfold(Some((body, key)), move |state| async move {
        let (mut body, key) = state?;
        match tokio::time::timeout(PIECE_PATIENCE, body.next()).await {
            Err(_) => Some((Err(broken(&key, "the body stalled")), None)),
            Ok(None) => None,
            Ok(Some(Err(error))) => Some((Err(broken(&key, &format!("the body broke off: {error}"))), None)),
            Ok(Some(Ok(piece))) => Some((Ok(piece), Some((body, key)))),
        }
    });
    stream.boxed()
}
