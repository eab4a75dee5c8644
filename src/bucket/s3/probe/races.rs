//! Several writers at one key at once: a store that checks first and writes then keeps every condition but in a race.
//! Never takes an error for a defeat: a key at which nobody was seen to win says nothing.

use super::super::S3Bucket;
use super::super::put::Put;
use crate::bucket::probe::{Finding, of_race};
use crate::bucket::{BucketError, Expected};

/// Writers of one key at once. A store that checks and then writes let a quarter of 24 through; 8 on three keys find it nearly surely.
const RACERS: usize = 8;

/// Keys that are created in a race.
const RACES_OF_CREATES: usize = 3;

/// Keys that are replaced in a race. One fewer: a store that keeps races of creates has one way to write.
const RACES_OF_REPLACES: usize = 2;

impl S3Bucket {
    /// Creates of keys that are free.
    pub(super) async fn race_of_creates(&self, place: &str) -> Result<Finding, BucketError> {
        let races = (0..RACES_OF_CREATES).map(async |race| self.race(&format!("{place}race-{race}"), &Expected::Absent).await);
        Ok(of_race("creates", &futures::future::try_join_all(races).await?, RACERS))
    }

    /// Replaces of objects that are there, each naming the version that it saw.
    pub(super) async fn race_of_replaces(&self, place: &str) -> Result<Finding, BucketError> {
        let races = (0..RACES_OF_REPLACES).map(async |race| {
            let key = format!("{place}swap-{race}");
            self.begin_with(&key).await?;
            let Some(there) = self.look(self.call("probe", &key)).await? else { return Ok(0) };
            self.race(&key, &Expected::ETag(there.etag)).await
        });
        Ok(of_race("replaces", &futures::future::try_join_all(races).await?, RACERS))
    }

    /// How many of those who write at once are accepted.
    async fn race(&self, key: &str, expected: &Expected) -> Result<usize, BucketError> {
        let texts: Vec<_> = (0..RACERS).map(|racer| format!("racer {racer}")).collect();
        let ends = futures::future::join_all(texts.iter().map(|text| self.attempt_over(key, text, expected))).await;
        let won = ends.iter().filter(|end| matches!(end, Ok(Put::Done))).count();
        let is_decided = ends.iter().any(|end| matches!(end, Ok(Put::Done | Put::Taken)));
        if let (false, Some(error)) = (is_decided, ends.into_iter().find_map(Result::err)) {
            return Err(error);
        }
        if won > 0 {
            return Ok(won);
        }
        // All of them undecided, or the winner's answer lost: one more settles it.
        let late = self.attempt_over(key, "late", expected).await? == Put::Done;
        for text in &texts {
            if late || self.has(key, text).await? {
                return Ok(1);
            }
        }
        Ok(0)
    }
}
