//! The bucket as one process sees it, and the pods' side of it.
//! Every change is counted as a crash point and checked right after it.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use super::invariants::Checker;
use super::lives::{Lives, Pulse};
use crate::agent::fetch::{self, BucketFetch, Fetch, FetchError};
use crate::api::store::WriteGuard;
use crate::bucket::probe::{Capabilities, Deletes};
use crate::bucket::s3::S3Settings;
use crate::bucket::{Attributes, Body, Bucket, BucketError, Copied, Created, Expected, Original, Page, Pieces, Stored, Swapped};
use crate::controller::Buckets;
use crate::testing::builders::{BUILDS, REPLICA, TARPIT};

/// A process's way to the bucket.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) bucket: Arc<dyn Bucket>,
    /// What lies behind the name [`REPLICA`].
    pub(super) replica: Arc<dyn Bucket>,
    /// What lies behind the name [`BUILDS`].
    pub(super) builds: Arc<dyn Bucket>,
    /// What lies behind the name [`TARPIT`].
    pub(super) tarpit: Arc<dyn Bucket>,
    /// Which of them this one is to.
    pub(super) to: To,
    pub(super) process: String,
    pub(super) lives: Arc<Lives>,
    pub(super) checker: Arc<Checker>,
}

/// One of the buckets of a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum To {
    /// The store's own.
    Store,
    /// Its replica.
    Replica,
    /// The one that builds come from.
    Builds,
}

#[async_trait]
impl Buckets for Line {
    fn open(&self, settings: &S3Settings) -> Result<Arc<dyn Bucket>, BucketError> {
        let (bucket, to) = match settings.bucket.as_str() {
            REPLICA => (&self.replica, To::Replica),
            BUILDS => (&self.builds, To::Builds),
            TARPIT => (&self.tarpit, To::Store),
            _ => (&self.bucket, To::Store),
        };
        Ok(Arc::new(Self { bucket: bucket.clone(), to, ..self.clone() }))
    }

    async fn probe(&self, _settings: &S3Settings, _store_prefix: &str, _guard: WriteGuard) -> Result<Capabilities, BucketError> {
        Ok(Capabilities::strict())
    }
}

impl Line {
    async fn look<T>(&self, call: impl Future<Output = T> + Send) -> T {
        self.only_alive(self.lives.pulse(&self.process)).await;
        call.await
    }

    async fn change<T>(&self, what: &str, key: &str, call: impl Future<Output = T> + Send) -> T {
        let place = match self.to {
            To::Store => "",
            To::Replica => "replica's ",
            To::Builds => "builds' ",
        };
        let (nth, pulse) = self.lives.begin(&self.process, &format!("{what} {place}{key}"));
        self.only_alive(pulse).await;
        let answer = call.await;
        self.checker.bucket_changed(self.to, key);
        self.only_alive(self.lives.end(&self.process, nth)).await;
        answer
    }

    async fn only_alive(&self, pulse: Pulse) {
        if pulse == Pulse::Dead {
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl Bucket for Line {
    async fn create(&self, key: &str, body: Body, attributes: &Attributes) -> Result<Created, BucketError> {
        self.change("create", key, self.bucket.create(key, body, attributes)).await
    }

    async fn copy(&self, key: &str, original: &Original, attributes: &Attributes) -> Result<Copied, BucketError> {
        self.change("copy", key, self.bucket.copy(key, original, attributes)).await
    }

    async fn replace(&self, key: &str, body: Body, attributes: &Attributes, expected: &Expected) -> Result<Swapped, BucketError> {
        self.change("replace", key, self.bucket.replace(key, body, attributes, expected)).await
    }

    async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Bytes>, BucketError> {
        self.look(self.bucket.get(key, bytes_max)).await
    }

    async fn read(&self, key: &str, etag: &str) -> Result<Option<Pieces>, BucketError> {
        self.look(self.bucket.read(key, etag)).await
    }

    async fn head(&self, key: &str) -> Result<Option<Stored>, BucketError> {
        self.look(self.bucket.head(key)).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, BucketError> {
        self.look(self.bucket.list(prefix, after)).await
    }

    async fn give_up_uploads(&self, prefix: &str, before: Timestamp) -> Result<u64, BucketError> {
        self.change("give up uploads of", prefix, self.bucket.give_up_uploads(prefix, before)).await
    }

    async fn delete(&self, key: &str, etag: &str) -> Result<Swapped, BucketError> {
        self.change("delete", key, self.bucket.delete(key, etag)).await
    }

    async fn deletes(&self) -> Result<Deletes, BucketError> {
        self.bucket.deletes().await
    }
}

/// What pods fetch from. URLs that contain one of the broken texts do not come.
pub(super) struct Shelf {
    inner: BucketFetch,
    broken: Mutex<Vec<String>>,
}

impl Shelf {
    pub(super) fn new(bucket: Arc<dyn Bucket>, base: &str) -> Self {
        Self { inner: BucketFetch::new(bucket, base), broken: Mutex::default() }
    }

    pub(super) fn break_urls_with(&self, text: &str) {
        self.broken.lock().expect("no holder of this lock panics").push(text.to_owned());
    }

    pub(super) fn mend(&self) {
        self.broken.lock().expect("no holder of this lock panics").clear();
    }
}

#[async_trait]
impl Fetch for Shelf {
    async fn get(&self, url: &str) -> Result<fetch::Pieces, FetchError> {
        let broken = self.broken.lock().expect("no holder of this lock panics").iter().any(|text| url.contains(text));
        if broken {
            return Err(FetchError::Unavailable { url: url.to_owned(), cause: "broken by the test".into() });
        }
        self.inner.get(url).await
    }
}
