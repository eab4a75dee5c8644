//! Conditions that must not hold: a replace and a delete that name a version which never was, and parts that are put together over an
//! object that is there.
//! Never takes the answer alone: what lies there afterwards decides.

use super::super::S3Bucket;
use super::super::classify::answer;
use super::super::put::Put;
use super::{said, told, written};
use crate::bucket::probe::Finding;
use crate::bucket::{BucketError, Expected};

/// Looks like a token of a version, and is none.
const NO_SUCH_ETAG: &str = "\"00000000000000000000000000000000\"";

impl S3Bucket {
    /// A replace of a version that is not there; then, if it was turned away, the race.
    pub(super) async fn replace_another(&self, place: &str) -> Result<Finding, BucketError> {
        let key = format!("{place}replaced");
        self.begin_with(&key).await?;
        let ended = self.attempt_over(&key, "two", &Expected::ETag(NO_SUCH_ETAG.to_owned())).await;
        let is_kept = self.has(&key, "one").await?;
        match (ended, is_kept) {
            (_, false) => Ok(Finding::ignored("a replace that named another version overwrote the object: the condition was ignored")),
            (Ok(Put::Taken), true) => self.race_of_replaces(place).await,
            (Ok(Put::Done), true) => {
                Ok(Finding::unknown("a replace that named another version was answered with success and changed nothing"))
            }
            (Ok(Put::Undecided), true) => Ok(Finding::unknown("a replace that named another version was left undecided")),
            (Err(BucketError::Refused { cause, .. }), true) => {
                Ok(Finding::unknown(format!("a replace that named another version was not made: {cause}")))
            }
            (Err(error), true) => Err(error),
        }
    }

    /// Parts that would become an object where there is one. One part is the last one, which may be short.
    pub(super) async fn complete_over(&self, key: &str) -> Result<Finding, BucketError> {
        let call = self.call("probe", key);
        self.begin_with(key).await?;
        let (_, attributes) = written("parts");
        let ended = self.put_one_part(call, said("parts"), &attributes).await;
        let is_kept = self.has(key, "one").await?;
        match (ended, is_kept) {
            (_, false) => Ok(Finding::ignored("an upload in parts was completed over an object that was there: the condition was ignored")),
            (Ok(None), true) => Ok(Finding::unknown("the store has no uploads in parts")),
            (Ok(Some(Put::Taken)), true) => Ok(Finding::holds("an upload in parts was not completed over an object that was there")),
            (Ok(Some(Put::Done | Put::Undecided)), true) => {
                Ok(Finding::unknown("an upload in parts over an object that was there was not answered plainly, and changed nothing"))
            }
            (Err(error), true) => no_parts(error),
        }
    }

    /// A delete of a version that is not there.
    pub(super) async fn delete_another(&self, key: &str) -> Result<Finding, BucketError> {
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
}

/// A store that refuses uploads in parts gets none; one that does not answer is not judged.
fn no_parts(error: BucketError) -> Result<Finding, BucketError> {
    match error {
        BucketError::Refused { cause, .. } => Ok(Finding::unknown(format!("an upload in parts was not made: {cause}"))),
        BucketError::Denied { cause, .. } => Ok(Finding::unknown(format!("an upload in parts was denied: {cause}"))),
        error => Err(error),
    }
}
