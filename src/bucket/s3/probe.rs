//! Tries out what a store does: some ninety requests below one fresh key of our own, most of them side by side, taken away again.
//! Never touches a key that anybody else may have written, and never asks a CDN for anything.

mod checksums;
mod conditions;
mod races;

use std::fs;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};

use super::S3Bucket;
use super::classify::{answer, is_a_word};
use super::copy::source;
use super::put::Put;
use crate::api::ContentHash;
use crate::bucket::probe::{Capabilities, Finding, OVERWRITTEN, Probe};
use crate::bucket::{Attributes, Body, Bucket as _, BucketError, Expected, Listed};

/// For all of it: a dozen round trips one after the other take some seconds across an ocean.
const PATIENCE: Duration = Duration::from_secs(60);

/// A token that no object has.
const NO_ETAG: &str = "\"00000000000000000000000000000000\"";

/// Objects that are written and looked for in the next listing.
const LISTED: usize = 3;

/// Objects that are taken away at a time.
const CLEARED_AT_A_TIME: usize = 8;

/// Longest object of a probe, with room.
const BYTES_MAX: u64 = 1024;

#[async_trait]
impl Probe for S3Bucket {
    /// In at most some 100 requests and a minute.
    async fn probe(&self, prefix: &str) -> Result<Capabilities, BucketError> {
        let place = format!("{prefix}.rollcall/probe/{}/", fresh()?);
        let ended = tokio::time::timeout(PATIENCE, Box::pin(self.try_out(&place))).await;
        // Whatever was found: nothing is left behind that can be taken away. A key that may not be deleted is some bytes.
        let _ = tokio::time::timeout(PATIENCE, self.clear(&place)).await;
        let found = ended.unwrap_or_else(|_| Err(self.call("probe", &place).unanswered("it took longer than a minute")))?;
        self.heed(&found);
        Ok(found)
    }

    /// Without create-only uploads in parts files go as a whole; where the checksum header counts, they are signed by it.
    fn heed(&self, found: &Capabilities) {
        self.only_whole.store(!found.create_only_multipart.is_held(), Ordering::Relaxed);
        self.checks.heed(&found.checksum_header_verified);
    }
}

impl S3Bucket {
    async fn try_out(&self, place: &str) -> Result<Capabilities, BucketError> {
        let [first, parts, copied] = ["first", "parts", "copy"].map(|name| format!("{place}{name}"));
        self.begin_with(&first).await?;
        let create_only = async {
            match self.attempt(&first, "two").await? {
                Put::Done => Ok(Finding::ignored(OVERWRITTEN)),
                Put::Taken | Put::Undecided => self.race_of_creates(place).await,
            }
        };
        // Side by side, each with keys of its own; `first` is only read, or written over by a store that is refused for it.
        let (create_only, create_only_multipart, conditional_replace, list_after_write, checksums, copy) = tokio::try_join!(
            create_only,
            self.complete_over(&parts),
            self.replace_another(place),
            self.list_what_was_written(place),
            self.deceive_both_ways(place),
            self.copy_and_copy_again(&first, &copied),
        )?;
        // Last, as it takes away what the others need.
        let conditional_delete = self.delete_another(&first).await?;
        Ok(Capabilities {
            create_only,
            create_only_multipart,
            conditional_replace,
            conditional_delete,
            list_after_write,
            checksum_verified: checksums.0,
            checksum_header_verified: checksums.1,
            copy,
        })
    }

    /// Writes an object at a key that is free.
    async fn begin_with(&self, key: &str) -> Result<(), BucketError> {
        match self.attempt(key, "one").await? {
            Put::Done => Ok(()),
            Put::Taken | Put::Undecided => Err(self.call("probe", key).unavailable("a create of a free key was turned away")),
        }
    }

    async fn attempt(&self, key: &str, text: &str) -> Result<Put, BucketError> {
        self.attempt_over(key, text, &Expected::Absent).await
    }

    async fn attempt_over(&self, key: &str, text: &str, expected: &Expected) -> Result<Put, BucketError> {
        let (body, attributes) = written(text);
        self.put(self.call("probe", key), &body, &attributes, expected).await
    }

    /// Whether exactly this lies there. By the bytes: tokens are what is being tried out.
    async fn has(&self, key: &str, text: &str) -> Result<bool, BucketError> {
        Ok(self.get(key, BYTES_MAX).await?.is_some_and(|bytes| bytes == said(text)))
    }

    async fn list_what_was_written(&self, place: &str) -> Result<Finding, BucketError> {
        let seen = futures::future::try_join_all((0..LISTED).map(async |number| {
            let key = format!("{place}listed-{number}");
            self.begin_with(&key).await?;
            let there = self.look(self.call("probe", &key)).await?;
            let is_it = |object: &Listed| object.key == key && there.as_ref().is_some_and(|there| there.etag == object.etag);
            self.list(&key, None).await.map(|page| page.objects.iter().any(is_it))
        }));
        let seen = match seen.await {
            Ok(seen) => seen,
            // A line without a token, or something that is no listing.
            Err(BucketError::Refused { cause, .. }) => return Ok(Finding::ignored(cause)),
            Err(error) => return Err(error),
        };
        Ok(match seen.iter().filter(|seen| !**seen).count() {
            0 => Finding::holds(format!("what was written was in the next listing, with its token, {LISTED} times")),
            missing => Finding::ignored(format!(
                "of {LISTED} objects {missing} were not in the listing that followed their write, or with another token than their own"
            )),
        })
    }

    async fn copy_and_copy_again(&self, from: &str, to: &str) -> Result<Finding, BucketError> {
        if self.copy_once(from, to, Some(NO_ETAG)).await.is_ok() {
            return Ok(Finding::ignored("the store copies another object than the one that its token names: the condition was ignored"));
        }
        if let Err(error) = self.copy_once(from, to, None).await {
            return Ok(Finding::unknown(format!("a copy was not made: {}", told(&error))));
        }
        if self.look(self.call("probe", to)).await?.is_none() {
            return Ok(Finding::ignored("a copy was answered with success, and nothing is there"));
        }
        Ok(match self.copy_once(from, to, None).await {
            Ok(()) => Finding::ignored("the store copies, and onto what is there: the condition was ignored"),
            Err(error) => Finding::holds(format!("the store copies, and not onto what is there: {}", told(&error))),
        })
    }

    async fn copy_once(
        &self,
        from: &str,
        to: &str,
        etag: Option<&str>,
    ) -> Result<(), SdkError<impl ProvideErrorMetadata + use<>, HttpResponse>> {
        let request = self.client.copy_object().bucket(&self.name).key(to).copy_source(source(&self.name, from));
        request.set_copy_source_if_match(etag.map(str::to_owned)).if_none_match("*").send().await.map(drop)
    }

    async fn clear(&self, place: &str) -> Result<(), BucketError> {
        let deletes = self.list(place, None).await?.objects.into_iter();
        let deletes = deletes.map(|object| async move { self.delete(&object.key, &object.etag).await.map(drop) });
        futures::stream::iter(deletes).buffer_unordered(CLEARED_AT_A_TIME).try_collect().await
    }
}

fn said(text: &str) -> Bytes {
    Bytes::from(format!("Rollcall probes this store: {text}"))
}

fn written(text: &str) -> (Body, Attributes) {
    let bytes = said(text);
    let attributes = Attributes {
        content_type: "text/plain".into(),
        cache_control: "no-store".into(),
        content_encoding: None,
        sha256: ContentHash::of(&bytes),
        writer: None,
        sequence: None,
    };
    (Body::Bytes(bytes), attributes)
}

/// What no other probe has: 128 random bits from the kernel.
pub(crate) fn fresh() -> Result<String, BucketError> {
    let random = fs::read_to_string("/proc/sys/kernel/random/uuid");
    random.map(|id| id.trim().to_owned()).map_err(|error| BucketError::Unavailable {
        operation: "probe",
        key: String::new(),
        cause: format!("the kernel gave no random number: {error}"),
    })
}

fn told<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> String {
    answer(error).map_or_else(
        || "no answer".to_owned(),
        |said| format!("{} {}", said.status, said.code.filter(|code| is_a_word(code)).unwrap_or_default()).trim().to_owned(),
    )
}
