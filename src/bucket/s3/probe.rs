//! Tries out what a store does: some forty requests below one fresh key of our own, taken away again.
//! Never touches a key that anybody else may have written, and never asks a CDN for anything.

use std::fs;
use std::time::Duration;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use bytes::Bytes;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::S3Bucket;
use super::classify::answer;
use super::put::Put;
use crate::api::ContentHash;
use crate::bucket::probe::{Capabilities, Finding, OVERWRITTEN, of_creates};
use crate::bucket::{Attributes, Body, Bucket as _, BucketError, Expected};

/// Creates of one key at once. A store that checks and then writes let a quarter of 24 through; 8 on three keys find it nearly surely.
const RACERS: usize = 8;

/// Keys that are raced for.
const RACES: usize = 3;

/// For all of it: forty requests take some seconds across an ocean.
const PATIENCE: Duration = Duration::from_secs(60);

/// Looks like a token of a version, and is none.
const NO_SUCH_ETAG: &str = "\"00000000000000000000000000000000\"";

impl S3Bucket {
    /// Finds out what the store does, below `<store_prefix>.rollcall/probe/`, in at most some 45 requests and a minute.
    ///
    /// # Errors
    /// When the store cannot be reached, or denies writing: then nothing is known.
    pub async fn probe(&self, store_prefix: &str) -> Result<Capabilities, BucketError> {
        let place = format!("{store_prefix}.rollcall/probe/{}/", fresh()?);
        let ended = tokio::time::timeout(PATIENCE, self.try_out(&place)).await;
        // Whatever was found: nothing is left behind that can be taken away. A key that may not be deleted is some bytes.
        let _ = tokio::time::timeout(PATIENCE, self.clear(&place)).await;
        ended.unwrap_or_else(|_| Err(self.call("probe", &place).unavailable("it took longer than a minute")))
    }

    async fn try_out(&self, place: &str) -> Result<Capabilities, BucketError> {
        let first = format!("{place}first");
        if self.attempt(&first, "one").await? != Put::Done {
            return Err(self.call("probe", &first).unavailable("a create of a free key was turned away"));
        }
        let create_only = match self.attempt(&first, "two").await? {
            Put::Done => Finding::ignored(OVERWRITTEN),
            Put::Taken | Put::Undecided => self.race(place).await?,
        };
        Ok(Capabilities {
            create_only,
            checksum_verified: self.deceive(&format!("{place}deceived")).await?,
            copy: self.copy(&first, &format!("{place}copy")).await?,
            conditional_delete: self.delete_another(&first).await?,
        })
    }

    async fn attempt(&self, key: &str, text: &str) -> Result<Put, BucketError> {
        let (body, attributes) = written(text);
        self.put(self.call("probe", key), &body, &attributes, &Expected::Absent).await
    }

    async fn race(&self, place: &str) -> Result<Finding, BucketError> {
        let mut accepted = Vec::new();
        for race in 0..RACES {
            let key = format!("{place}race-{race}");
            let texts: Vec<_> = (0..RACERS).map(|racer| format!("racer {racer}")).collect();
            let ends = futures::future::join_all(texts.iter().map(|text| self.attempt(&key, text))).await;
            let won = ends.iter().filter(|end| matches!(end, Ok(Put::Done))).count();
            let decided = ends.iter().any(|end| matches!(end, Ok(Put::Done | Put::Taken)));
            if let (false, Some(error)) = (decided, ends.into_iter().find_map(Result::err)) {
                return Err(error);
            }
            // All of them undecided, or the winner's answer lost: one more settles it.
            let late = won == 0 && self.attempt(&key, "late").await? == Put::Done;
            let there = won + usize::from(late) > 0 || self.look(self.call("probe", &key)).await?.is_some();
            accepted.push(won.max(usize::from(there)));
        }
        Ok(of_creates(&accepted, RACERS))
    }

    /// Promises the hash of other bytes, as a broken line or disk would.
    async fn deceive(&self, key: &str) -> Result<Finding, BucketError> {
        let (body, _) = written("what arrives");
        let (_, promised) = written("what was promised");
        let ended = self.put(self.call("probe", key), &body, &promised, &Expected::Absent).await;
        let kept = self.look(self.call("probe", key)).await?.is_some();
        Ok(match (ended, kept) {
            (Ok(_), true) => Finding::ignored("bytes with another hash than the promised one were accepted"),
            (Err(_), true) => Finding::ignored("bytes with another hash than the promised one were refused, and kept all the same"),
            (Err(BucketError::Refused { cause, .. }), false) => Finding::holds(format!("a wrong hash was refused: {cause}")),
            (Err(other), false) => Finding::unknown(format!("a wrong hash was not answered plainly: {other}")),
            (Ok(_), false) => Finding::unknown("bytes with a wrong hash were accepted, and then not there"),
        })
    }

    async fn copy(&self, from: &str, to: &str) -> Result<Finding, BucketError> {
        if let Err(error) = self.copy_once(from, to).await {
            return Ok(Finding::unknown(format!("a copy was not made: {}", told(&error))));
        }
        if self.look(self.call("probe", to)).await?.is_none() {
            return Ok(Finding::ignored("a copy was answered with success, and nothing is there"));
        }
        Ok(match self.copy_once(from, to).await {
            Ok(()) => Finding::ignored("the store copies, and onto what is there: the condition was ignored"),
            Err(error) => Finding::holds(format!("the store copies, and not onto what is there: {}", told(&error))),
        })
    }

    async fn copy_once(&self, from: &str, to: &str) -> Result<(), SdkError<impl ProvideErrorMetadata + use<>, HttpResponse>> {
        let source = format!("{}/{}", self.name, utf8_percent_encode(from, NON_ALPHANUMERIC).to_string().replace("%2F", "/"));
        self.client.copy_object().bucket(&self.name).key(to).copy_source(source).if_none_match("*").send().await.map(drop)
    }

    /// Last, as it takes away what the others need.
    async fn delete_another(&self, key: &str) -> Result<Finding, BucketError> {
        let ended = self.client.delete_object().bucket(&self.name).key(key).if_match(NO_SUCH_ETAG).send().await;
        let there = self.look(self.call("probe", key)).await?.is_some();
        Ok(match (ended, there) {
            (_, false) => Finding::ignored("a delete that named another version deleted the object"),
            (Ok(_), true) => Finding::unknown("a delete that named another version was answered with success and deleted nothing"),
            (Err(error), true) => match answer(&error) {
                Some(said) if said.status == 412 => Finding::holds("a delete that named another version was refused: 412"),
                _ => Finding::unknown(format!("a delete that named another version was not made: {}", told(&error))),
            },
        })
    }

    async fn clear(&self, place: &str) -> Result<(), BucketError> {
        for object in self.list(place, None).await?.objects {
            self.delete(&object.key, &object.etag).await?;
        }
        Ok(())
    }
}

fn written(text: &str) -> (Body, Attributes) {
    let bytes = Bytes::from(format!("Rollcall tries out this store: {text}"));
    let attributes = Attributes {
        content_type: "text/plain".into(),
        cache_control: "no-store".into(),
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
    answer(error)
        .map_or_else(|| "no answer".to_owned(), |said| format!("{} {}", said.status, said.code.unwrap_or_default()).trim().to_owned())
}
