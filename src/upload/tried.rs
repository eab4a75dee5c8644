//! A bucket whose store is tried out before the first write goes there, and refused when it is found wanting.
//! Never tries out a store for reads alone, and never keeps what was found of one that was refused.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::OnceCell;

use super::SKEW;
use super::documents::{Lasts, ReadFailure, encoded, read};
use crate::api::ContentHash;
use crate::api::store::WriteGuard;
use crate::bucket::probe::{Capabilities, Deletes, Probe};
use crate::bucket::{Attributes, Body, Bucket, BucketError, Copied, Created, Expected, Original, Page, Pieces, Stored, Swapped};
use crate::clock::Clock;
use crate::manifest::record::FORMAT;
use crate::manifest::{Layout, TriedOut};

/// What was found counts for this long: stores are upgraded, and a pipeline that publishes ten times a day pays for one trial a week.
const COUNTS_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A bucket with what its store does: known before, or found out when the first write is about to go there.
pub struct Tried {
    bucket: Arc<dyn Bucket>,
    found: Found,
}

enum Found {
    Before(Box<Capabilities>),
    By(Box<(Trial, OnceCell<Capabilities>)>),
}

/// Which store it is: what was found of another one does not count, even if its documents were copied here.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// URL of its API, when it is not AWS.
    pub endpoint: Option<&'a str>,
    /// Name of the bucket.
    pub bucket: &'a str,
    /// What keeps writers from each other's objects there.
    pub guard: WriteGuard,
}

struct Trial {
    probe: Arc<dyn Probe>,
    layout: Layout,
    /// Of the origin: the prefix is public, the endpoint may not be.
    store: ContentHash,
    guard: WriteGuard,
    clock: Arc<dyn Clock>,
}

impl Tried {
    /// A store of which it is known what it does.
    #[must_use]
    pub fn knowing(bucket: Arc<dyn Bucket>, found: Capabilities) -> Self {
        Self { bucket, found: Found::Before(Box::new(found)) }
    }

    /// A store that is tried out below a release's prefix, unless somebody did so a short while ago and left word of it there.
    #[must_use]
    pub fn before_writing(bucket: Arc<dyn Probe>, origin: Origin<'_>, layout: &Layout, clock: Arc<dyn Clock>) -> Self {
        let store = ContentHash::of(format!("{}\n{}", origin.endpoint.unwrap_or_default(), origin.bucket).as_bytes());
        let trial = Trial { probe: bucket.clone(), layout: layout.clone(), store, guard: origin.guard, clock };
        Self { bucket, found: Found::By(Box::new((trial, OnceCell::new()))) }
    }

    /// What the store does.
    ///
    /// # Errors
    /// [`BucketError::Unfit`] when nothing may be written into it; or when it cannot be tried out.
    pub async fn found(&self) -> Result<&Capabilities, BucketError> {
        match &self.found {
            Found::Before(found) => Ok(found),
            Found::By(by) => {
                let (trial, found) = &**by;
                found.get_or_try_init(|| trial.found()).await
            }
        }
    }
}

impl Trial {
    async fn found(&self) -> Result<Capabilities, BucketError> {
        if let Some(found) = self.recall().await? {
            self.probe.heed(&found);
            return Ok(found);
        }
        let found = self.probe.probe(self.layout.prefix()).await?;
        if let Some(objection) = found.objection_under(self.guard) {
            return Err(BucketError::Unfit(objection));
        }
        // For the next one: who may not write it down tries the store out each time.
        let _ = self.remember(&found).await;
        Ok(found)
    }

    async fn recall(&self) -> Result<Option<Capabilities>, BucketError> {
        let written = match read::<TriedOut>(&*self.probe, &self.layout.tried()).await {
            Ok(written) => written,
            Err(ReadFailure::Malformed { .. }) => None,
            Err(ReadFailure::Bucket(error)) => return Err(error),
        };
        let found = written.filter(|written| written.store == self.store && counts(written.tried_at, self.clock.now()));
        Ok(found.map(|written| Capabilities::recalled(&written.capabilities)).filter(|found| found.objection_under(self.guard).is_none()))
    }

    async fn remember(&self, found: &Capabilities) -> Result<Swapped, BucketError> {
        let key = self.layout.tried();
        let tried = TriedOut { tried_version: FORMAT, store: self.store.clone(), tried_at: self.clock.now(), capabilities: found.status() };
        let (body, attributes) = encoded(&tried, Lasts::ForNow);
        let expected = self.probe.head(&key).await?.map_or(Expected::Absent, |stored| Expected::ETag(stored.etag));
        // Lost: somebody else has just found out the same.
        self.probe.replace(&key, body, &attributes, &expected).await
    }
}

fn counts(tried_at: Timestamp, now: Timestamp) -> bool {
    let age = now.duration_since(tried_at);
    let is_of_now = age.is_positive() || age.unsigned_abs() <= SKEW;
    is_of_now && age.unsigned_abs() <= COUNTS_FOR
}

#[async_trait]
impl Bucket for Tried {
    async fn create(&self, key: &str, body: Body, attributes: &Attributes) -> Result<Created, BucketError> {
        self.found().await?;
        self.bucket.create(key, body, attributes).await
    }

    /// Only where the store was seen to keep the condition on copies.
    async fn copy(&self, key: &str, original: &Original, attributes: &Attributes) -> Result<Copied, BucketError> {
        match &self.found().await?.copy {
            copy if copy.is_held() => self.bucket.copy(key, original, attributes).await,
            copy => Ok(Copied::Unable(copy.evidence.clone())),
        }
    }

    async fn replace(&self, key: &str, body: Body, attributes: &Attributes, expected: &Expected) -> Result<Swapped, BucketError> {
        self.found().await?;
        self.bucket.replace(key, body, attributes, expected).await
    }

    async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Bytes>, BucketError> {
        self.bucket.get(key, bytes_max).await
    }

    async fn read(&self, key: &str, etag: &str) -> Result<Option<Pieces>, BucketError> {
        self.bucket.read(key, etag).await
    }

    async fn head(&self, key: &str) -> Result<Option<Stored>, BucketError> {
        self.bucket.head(key).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, BucketError> {
        self.bucket.list(prefix, after).await
    }

    async fn give_up_uploads(&self, prefix: &str, before: Timestamp) -> Result<u64, BucketError> {
        self.bucket.give_up_uploads(prefix, before).await
    }

    async fn delete(&self, key: &str, etag: &str) -> Result<Swapped, BucketError> {
        self.found().await?;
        self.bucket.delete(key, etag).await
    }

    async fn deletes(&self) -> Result<Deletes, BucketError> {
        Ok(self.found().await?.deletes())
    }

    fn repeated(&self) -> u64 {
        self.bucket.repeated()
    }
}

#[cfg(test)]
mod tests;
