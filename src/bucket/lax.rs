//! A bucket that takes every condition and keeps none, as `rclone serve s3` and garage do, for tests: whoever writes last wins.
//! Never answers that something was there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
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
    odd: Mutex<Odd>,
}

/// What happens to a request on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A write is not answered, and is done when it [lands](LaxBucket::land).
    Stranded,
    /// The same, but it was sent once more, and that one is done and answered.
    Repeated,
    /// A write takes a second longer.
    Slow,
    /// A read of a whole object is never answered.
    Hanging,
}

#[derive(Default)]
struct Odd {
    ways: BTreeMap<String, Way>,
    stranded: Vec<Write>,
    repeated: u64,
}

#[derive(Clone)]
struct Write {
    key: String,
    body: Body,
    attributes: Attributes,
}

impl LaxBucket {
    /// Writes what it is told to; each request takes `delay` of tokio's time before anything is done.
    #[must_use]
    pub fn over(inner: Arc<MemoryBucket>, delay: Duration) -> Self {
        Self { inner, delay, odd: Mutex::default() }
    }

    /// The next request at that key goes this way.
    pub fn plan(&self, key: &str, way: Way) {
        self.odd().ways.insert(key.to_owned(), way);
    }

    /// What was stranded is done now, in its order; answers how many there were.
    ///
    /// # Panics
    /// When the bucket in memory refuses one of them.
    pub async fn land(&self) -> usize {
        let stranded = std::mem::take(&mut self.odd().stranded);
        for Write { key, body, attributes } in &stranded {
            self.write(key, body.clone(), attributes).await.expect("memory takes every write");
        }
        stranded.len()
    }

    fn odd(&self) -> MutexGuard<'_, Odd> {
        self.odd.lock().expect("no holder of this lock panics")
    }

    /// The way of a request, if it is one of these.
    fn way(&self, key: &str, of: &[Way]) -> Option<Way> {
        let mut odd = self.odd();
        let way = odd.ways.get(key).copied().filter(|way| of.contains(way))?;
        odd.ways.remove(key);
        Some(way)
    }

    /// Answers once it is time for this write to be done: a stranded one is left to itself.
    async fn send(&self, key: &str, body: &Body, attributes: &Attributes) {
        tokio::time::sleep(self.delay).await;
        let Some(way) = self.way(key, &[Way::Stranded, Way::Repeated, Way::Slow]) else { return };
        if way == Way::Slow {
            return tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let write = Write { key: key.to_owned(), body: body.clone(), attributes: attributes.clone() };
        self.odd().stranded.push(write);
        if way == Way::Stranded {
            return std::future::pending().await;
        }
        self.odd().repeated += 1;
    }

    async fn overwrite(&self, key: &str, body: Body, attributes: &Attributes) -> Result<(), BucketError> {
        self.send(key, &body, attributes).await;
        self.write(key, body, attributes).await
    }

    async fn write(&self, key: &str, body: Body, attributes: &Attributes) -> Result<(), BucketError> {
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
        if self.way(key, &[Way::Hanging]).is_some() {
            return std::future::pending().await;
        }
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

    fn repeated(&self) -> u64 {
        self.odd().repeated
    }
}
