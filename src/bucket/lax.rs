//! A bucket that takes every condition and keeps none, as `rclone serve s3` and garage do, for tests: whoever writes last wins.
//! Never answers that something was there.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use super::memory::MemoryBucket;
use super::{Attributes, Body, Bucket, BucketError, Created, Expected, Page, Pieces, Stored, Swapped};

/// A bucket in memory without its conditions.
pub struct LaxBucket {
    inner: Arc<MemoryBucket>,
    delay: Duration,
}

impl LaxBucket {
    /// Writes what it is told to; each request takes `delay` of tokio's time before anything is done.
    #[must_use]
    pub fn over(inner: Arc<MemoryBucket>, delay: Duration) -> Self {
        Self { inner, delay }
    }

    async fn overwrite(&self, key: &str, body: Body, attributes: &Attributes) -> Result<(), BucketError> {
        tokio::time::sleep(self.delay).await;
        // Nothing happens in between: there is no point at which this task could be set aside.
        match self.inner.stored(key) {
            None => self.inner.create(key, body, attributes).await.map(drop),
            Some(stored) => self.inner.replace(key, body, attributes, &Expected::ETag(stored.etag)).await.map(drop),
        }
    }
}

#[async_trait]
impl Bucket for LaxBucket {
    async fn create(&self, key: &str, body: Body, attributes: &Attributes) -> Result<Created, BucketError> {
        self.overwrite(key, body, attributes).await.map(|()| Created::New)
    }

    async fn replace(&self, key: &str, body: Body, attributes: &Attributes, _: &Expected) -> Result<Swapped, BucketError> {
        self.overwrite(key, body, attributes).await.map(|()| Swapped::Done)
    }

    async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Bytes>, BucketError> {
        tokio::time::sleep(self.delay).await;
        self.inner.get(key, bytes_max).await
    }

    async fn read(&self, key: &str, etag: &str) -> Result<Option<Pieces>, BucketError> {
        self.inner.read(key, etag).await
    }

    async fn head(&self, key: &str) -> Result<Option<Stored>, BucketError> {
        tokio::time::sleep(self.delay).await;
        self.inner.head(key).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, BucketError> {
        self.inner.list(prefix, after).await
    }

    async fn give_up_uploads(&self, prefix: &str, before: Timestamp) -> Result<u64, BucketError> {
        self.inner.give_up_uploads(prefix, before).await
    }

    async fn delete(&self, key: &str, _: &str) -> Result<Swapped, BucketError> {
        tokio::time::sleep(self.delay).await;
        match self.inner.stored(key) {
            Some(stored) => self.inner.delete(key, &stored.etag).await,
            None => Ok(Swapped::Done),
        }
    }
}
