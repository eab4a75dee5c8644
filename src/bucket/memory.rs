//! A bucket in memory, for tests: strong, deterministic, with a log of every change.
//! Never answers differently for the same calls in the same order: keys are sorted, tokens are counted.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use jiff::Timestamp;

use super::{Attributes, Body, Bucket, BucketError, Copied, Created, Expected, Listed, Original, Page, Pieces, Stored, Swapped};
use crate::api::ContentHash;
use crate::clock::Clock;

/// The page size of S3.
const PAGE: usize = 1000;

/// S3's limit for a key, in bytes.
const KEY_BYTES_MAX: usize = 1024;

/// One change that really happened, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A create that answered [`Created::New`].
    Created {
        /// The key.
        key: String,
        /// Hash of the bytes that lie there now.
        sha256: ContentHash,
    },
    /// A replace that answered [`Swapped::Done`].
    Replaced {
        /// The key.
        key: String,
        /// Hash of the bytes that lie there now.
        sha256: ContentHash,
    },
    /// A delete of an object that was there.
    Deleted {
        /// The key.
        key: String,
        /// Hash of the bytes that lay there.
        sha256: ContentHash,
    },
    /// [`MemoryBucket::overwrite`] or [`MemoryBucket::remove`]: a hand from outside, past every condition.
    Meddled {
        /// The key.
        key: String,
    },
}

/// A bucket in memory. All its methods are atomic.
pub struct MemoryBucket {
    clock: Arc<dyn Clock>,
    name: String,
    state: Mutex<State>,
    beside: Mutex<BTreeMap<String, Weak<MemoryBucket>>>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Object>,
    log: Vec<Change>,
    tokens: u64,
    uploads: Vec<(String, Timestamp)>,
}

struct Object {
    bytes: Bytes,
    stored: Stored,
}

impl MemoryBucket {
    /// An empty bucket that dates its objects by `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::named("memory", clock)
    }

    /// An empty bucket with a name, by which copies find it.
    #[must_use]
    pub fn named(name: &str, clock: Arc<dyn Clock>) -> Self {
        Self { clock, name: name.to_owned(), state: Mutex::default(), beside: Mutex::default() }
    }

    /// From now on both are buckets of one store: each copies from the other.
    pub fn stand_beside(self: &Arc<Self>, other: &Arc<Self>) {
        for (one, other) in [(self, other), (other, self)] {
            let mut beside = one.beside.lock().expect("no holder of this lock panics");
            beside.insert(other.name.clone(), Arc::downgrade(other));
        }
    }

    /// The bytes of an object in this bucket or one beside it, or how the copy ends without them.
    fn original(&self, original: &Original) -> Result<Bytes, Copied> {
        if original.bucket == self.name {
            return self.bytes_under(&original.key, &original.etag).ok_or(Copied::OriginalChanged);
        }
        let beside = self.beside.lock().expect("no holder of this lock panics").get(&original.bucket).and_then(Weak::upgrade);
        let beside = beside.ok_or_else(|| Copied::Unable(format!("there is no bucket {:?} in this store", original.bucket)))?;
        beside.bytes_under(&original.key, &original.etag).ok_or(Copied::OriginalChanged)
    }

    fn bytes_under(&self, key: &str, etag: &str) -> Option<Bytes> {
        self.state().objects.get(key).filter(|object| object.stored.etag == etag).map(|object| object.bytes.clone())
    }

    /// Every change so far, oldest first.
    #[must_use]
    pub fn log(&self) -> Vec<Change> {
        self.state().log.clone()
    }

    /// Every key, in byte order.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.state().objects.keys().cloned().collect()
    }

    /// The bytes at a key, without going through the trait.
    #[must_use]
    pub fn bytes(&self, key: &str) -> Option<Bytes> {
        self.state().objects.get(key).map(|object| object.bytes.clone())
    }

    /// The description of a key, without going through the trait.
    #[must_use]
    pub fn stored(&self, key: &str) -> Option<Stored> {
        self.state().objects.get(key).map(|object| object.stored.clone())
    }

    /// Puts bytes at a key whatever is there, as a meddling hand outside of Rollcall would: without our metadata.
    pub fn overwrite(&self, key: &str, bytes: impl Into<Bytes>) {
        let now = self.clock.now();
        let bytes = bytes.into();
        let mut state = self.state();
        let etag = state.token();
        let stored = Stored {
            size: bytes.len() as u64,
            etag,
            sha256: None,
            computed: None,
            content_type: None,
            cache_control: None,
            content_encoding: None,
            writer: None,
            sequence: None,
            last_modified: now,
        };
        state.objects.insert(key.to_owned(), Object { bytes, stored });
        state.log.push(Change::Meddled { key: key.to_owned() });
    }

    /// Takes an object away whatever it is, as a meddling hand outside of Rollcall would.
    pub fn remove(&self, key: &str) {
        let mut state = self.state();
        state.objects.remove(key);
        state.log.push(Change::Meddled { key: key.to_owned() });
    }

    /// Begins a multipart upload that nobody finishes, as a program that died in the middle of one would.
    pub fn abandon_upload(&self, key: &str) {
        let now = self.clock.now();
        self.state().uploads.push((key.to_owned(), now));
    }

    /// Keys of uploads that were begun.
    #[must_use]
    pub fn abandoned(&self) -> Vec<String> {
        self.state().uploads.iter().map(|(key, _)| key.clone()).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

impl State {
    fn token(&mut self) -> String {
        self.tokens += 1;
        format!("etag-{}", self.tokens)
    }

    fn put(&mut self, key: &str, bytes: Bytes, attributes: &Attributes, now: jiff::Timestamp) {
        let stored = Stored {
            size: bytes.len() as u64,
            etag: self.token(),
            sha256: Some(attributes.sha256.clone()),
            computed: Some(attributes.sha256.clone()),
            content_type: Some(attributes.content_type.clone()),
            cache_control: Some(attributes.cache_control.clone()),
            content_encoding: attributes.content_encoding.map(str::to_owned),
            writer: attributes.writer.clone(),
            sequence: attributes.sequence,
            last_modified: now,
        };
        self.objects.insert(key.to_owned(), Object { bytes, stored });
    }
}

#[async_trait]
impl Bucket for MemoryBucket {
    async fn create(&self, key: &str, body: Body, attributes: &Attributes) -> Result<Created, BucketError> {
        let bytes = verified("create", key, body, &attributes.sha256)?;
        let now = self.clock.now();
        let mut state = self.state();
        if let Some(object) = state.objects.get(key) {
            let same = ContentHash::of(&object.bytes) == attributes.sha256;
            return Ok(if same { Created::Same } else { Created::Other(Box::new(object.stored.clone())) });
        }
        state.put(key, bytes, attributes, now);
        state.log.push(Change::Created { key: key.to_owned(), sha256: attributes.sha256.clone() });
        Ok(Created::New)
    }

    async fn copy(&self, key: &str, original: &Original, attributes: &Attributes) -> Result<Copied, BucketError> {
        match self.original(original) {
            Ok(bytes) => self.create(key, Body::Bytes(bytes), attributes).await.map(Copied::Ended),
            Err(ended) => Ok(ended),
        }
    }

    async fn replace(&self, key: &str, body: Body, attributes: &Attributes, expected: &Expected) -> Result<Swapped, BucketError> {
        let bytes = verified("replace", key, body, &attributes.sha256)?;
        let now = self.clock.now();
        let mut state = self.state();
        let holds = match (expected, state.objects.get(key)) {
            (Expected::Absent, None) => true,
            (Expected::ETag(etag), Some(object)) => *etag == object.stored.etag,
            (Expected::Absent, Some(_)) | (Expected::ETag(_), None) => false,
        };
        if !holds {
            return Ok(Swapped::Lost);
        }
        state.put(key, bytes, attributes, now);
        state.log.push(Change::Replaced { key: key.to_owned(), sha256: attributes.sha256.clone() });
        Ok(Swapped::Done)
    }

    async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Bytes>, BucketError> {
        match self.bytes(key) {
            Some(bytes) if bytes.len() as u64 > bytes_max => Err(super::longer_than(key, bytes_max)),
            found => Ok(found),
        }
    }

    async fn read(&self, key: &str, etag: &str) -> Result<Option<Pieces>, BucketError> {
        Ok(self.bytes_under(key, etag).map(|bytes| futures::stream::iter([Ok(bytes)]).boxed()))
    }

    async fn head(&self, key: &str) -> Result<Option<Stored>, BucketError> {
        Ok(self.stored(key))
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, BucketError> {
        let state = self.state();
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let mut rest = state.objects.range::<str, _>((start, Bound::Unbounded)).take_while(|(key, _)| key.starts_with(prefix));
        let objects: Vec<Listed> = rest.by_ref().take(PAGE).map(|(key, object)| listed(key, &object.stored)).collect();
        let next = rest.next().and(objects.last()).map(|last| last.key.clone());
        Ok(Page { objects, next })
    }

    async fn give_up_uploads(&self, prefix: &str, before: Timestamp) -> Result<u64, BucketError> {
        let mut state = self.state();
        let there = state.uploads.len();
        state.uploads.retain(|(key, at)| !key.starts_with(prefix) || *at >= before);
        Ok((there - state.uploads.len()) as u64)
    }

    async fn delete(&self, key: &str, etag: &str) -> Result<Swapped, BucketError> {
        let mut state = self.state();
        match state.objects.get(key) {
            Some(object) if object.stored.etag != etag => return Ok(Swapped::Lost),
            None => return Ok(Swapped::Done),
            Some(_) => {}
        }
        if let Some(object) = state.objects.remove(key) {
            state.log.push(Change::Deleted { key: key.to_owned(), sha256: ContentHash::of(&object.bytes) });
        }
        Ok(Swapped::Done)
    }
}

fn listed(key: &str, stored: &Stored) -> Listed {
    Listed { key: key.to_owned(), size: stored.size, etag: stored.etag.clone(), last_modified: stored.last_modified }
}

/// The bytes, if the key is one that S3 takes and they have the hash that was promised.
fn verified(operation: &'static str, key: &str, body: Body, promised: &ContentHash) -> Result<Bytes, BucketError> {
    let refused = |cause: String| BucketError::Refused { operation, key: key.to_owned(), cause };
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(refused(format!("a key has 1 to {KEY_BYTES_MAX} bytes")));
    }
    // Read in place, not by another thread, so that a simulation in paused time stays deterministic.
    let bytes = match body {
        Body::Bytes(bytes) => bytes,
        Body::File { path, .. } => std::fs::read(&path).map_err(|error| super::unreadable(operation, key, &error))?.into(),
        Body::Made(making) => making.whole(),
    };
    let found = ContentHash::of(&bytes);
    if found == *promised { Ok(bytes) } else { Err(refused(format!("the bytes have sha256 {found}, promised was {promised}"))) }
}
