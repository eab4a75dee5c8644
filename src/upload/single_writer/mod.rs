//! A bucket whose store ignores the conditions of writes, with one writer at a time in their place: a lock in the prefix, and a look
//! before and after each write.
//! Never writes without the lock, never over what it has not just seen, and never goes on when the lock may be somebody else's.
//!
//! The lock makes look-compare-write one step, as the condition does elsewhere. Everything above (intents, tombstones, references) is the
//! same protocol over these steps, so the lock may come and go between them. What remains open: decision 16.

mod lock;
mod tenure;
mod unanswered;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

use self::lock::Lock;
use self::tenure::Working;
use self::unanswered::Sent;
use crate::api::ContentHash;
use crate::bucket::probe::Deletes;
use crate::bucket::{Attributes, Body, Bucket, BucketError, Copied, Created, Expected, Original, Page, Pieces, Stored, Swapped, hash_of};
use crate::clock::Clock;
use crate::manifest::Layout;

/// Keys of one process that are written one after the other: those with the same number. 256 writers at once seldom share one.
const KEYS: usize = 1024;

/// Who writes.
#[derive(Debug, Clone)]
pub struct Holder {
    /// For people who wait for it: which program, where.
    pub name: String,
    /// What no other process has.
    pub instance: String,
}

impl Holder {
    /// A program on a host (a machine or a pod). The lock is as public as the assets, so of the host only the first eight digits of its
    /// name's SHA-256 are told: whoever has that name can tell whether it is meant.
    #[must_use]
    pub fn named(program: &str, host: &str, instance: String) -> Self {
        let host = ContentHash::of(host.as_bytes()).to_string();
        Self { name: format!("{program} on host {}", &host[..8]), instance }
    }
}

/// A prefix of a bucket with one writer at a time.
pub struct SingleWriter {
    bucket: Arc<dyn Bucket>,
    lock: Arc<Lock>,
    keys: Vec<Mutex<()>>,
}

impl SingleWriter {
    /// Guards what is written below a release's prefix. Share it within a process: each one is a writer of its own.
    #[must_use]
    pub fn over(bucket: Arc<dyn Bucket>, layout: &Layout, holder: Holder, clock: Arc<dyn Clock>) -> Self {
        let lock = Lock::new(bucket.clone(), layout.lock(), holder, clock);
        Self::under(lock, bucket)
    }

    /// The same writer by another way to the store, as with new credentials: it takes the lock from this one, of the same process, and
    /// knows what this one was not answered.
    #[must_use]
    pub fn by_way_of(&self, bucket: Arc<dyn Bucket>) -> Self {
        Self::under(self.lock.over(bucket.clone()), bucket)
    }

    fn under(lock: Lock, bucket: Arc<dyn Bucket>) -> Self {
        Self { bucket, lock: Arc::new(lock), keys: (0..KEYS).map(|_| Mutex::new(())).collect() }
    }

    /// Whether nothing is lost if it is dropped, and another one made for its prefix when there is more to write.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.lock.is_at_rest()
    }

    /// Lets the next writer in, if nothing of ours can land any more. Otherwise, and without this, the lock ends by time.
    pub async fn give_back(&self) {
        self.lock.give_back().await;
    }

    /// For a process that is about to end: what is under way may end until `by`, nothing else begins, and then the lock is given back.
    pub async fn close(&self, by: Instant) {
        self.lock.close(by).await;
    }

    /// Two writes of one key within this process go one after the other.
    async fn alone_at(&self, key: &str) -> MutexGuard<'_, ()> {
        let hash = Sha256::digest(key.as_bytes());
        self.keys[usize::from(u16::from_be_bytes([hash[0], hash[1]])) % KEYS].lock().await
    }

    /// Does something at a key under the lock, and breaks it off when the lock is lost.
    async fn locked<T>(
        &self,
        key: &str,
        sent: &Sent,
        work: impl AsyncFnOnce(&Working) -> Result<T, BucketError>,
    ) -> Result<T, BucketError> {
        let working = self.lock.hold().await?;
        // Before any look: what is there now may be written over by what was sent before.
        self.lock.admit(key, sent)?;
        tokio::select! {
            biased;
            () = working.lost() => Err(self.lock.taken()),
            done = work(&working) => done,
        }
    }

    /// Something is there: is it what is to be written?
    async fn compare(&self, key: &str, found: Stored, size: u64, sha256: &ContentHash) -> Result<Created, BucketError> {
        if found.size != size {
            return Ok(Created::Other(Box::new(found)));
        }
        let theirs = match &found.sha256 {
            Some(sha256) => sha256.clone(),
            // Somebody else wrote it, or the store forgets metadata: the bytes decide.
            None => self.hash(key, &found.etag).await?,
        };
        Ok(if theirs == *sha256 { Created::Same } else { Created::Other(Box::new(Stored { sha256: Some(theirs), ..found })) })
    }

    async fn hash(&self, key: &str, etag: &str) -> Result<ContentHash, BucketError> {
        let Some(pieces) = self.bucket.read(key, etag).await? else { return Err(vanished("read", key)) };
        hash_of(pieces).await
    }

    async fn look_after(&self, key: &str, size: u64, sha256: &ContentHash) -> Result<Created, BucketError> {
        let Some(found) = self.bucket.head(key).await? else { return Err(vanished("create", key)) };
        // Ours has our hash, unless the store forgets metadata: then the length must do, what the bytes are the checksum was for.
        let is_ours = found.size == size && found.sha256.as_ref().is_none_or(|found| found == sha256);
        Ok(if is_ours { Created::New } else { Created::Other(Box::new(found)) })
    }
}

fn vanished(operation: &'static str, key: &str) -> BucketError {
    let cause = "it was taken away in between, although one program alone should write here".to_owned();
    BucketError::Unavailable { operation, key: key.to_owned(), cause }
}

fn is_expected(found: Option<&Stored>, expected: &Expected) -> bool {
    match (expected, found) {
        (Expected::Absent, None) => true,
        (Expected::ETag(etag), Some(found)) => found.etag == *etag,
        (Expected::Absent, Some(_)) | (Expected::ETag(_), None) => false,
    }
}

#[async_trait]
impl Bucket for SingleWriter {
    async fn create(&self, key: &str, body: Body, attributes: &Attributes) -> Result<Created, BucketError> {
        let (_alone, size, sha256) = (self.alone_at(key).await, body.size(), &attributes.sha256);
        let sent = Sent::Bytes(sha256.clone());
        let work = async |working: &Working| {
            if let Some(found) = self.bucket.head(key).await? {
                return self.compare(key, found, size, sha256).await;
            }
            match working.write(key, sent.clone(), self.bucket.create(key, body, attributes)).await? {
                Created::New => self.look_after(key, size, sha256).await,
                // The store kept the condition after all.
                kept => Ok(kept),
            }
        };
        self.locked(key, &sent, work).await
    }

    async fn copy(&self, key: &str, original: &Original, attributes: &Attributes) -> Result<Copied, BucketError> {
        let (_alone, sent) = (self.alone_at(key).await, Sent::Bytes(attributes.sha256.clone()));
        let work = async |working: &Working| {
            if let Some(found) = self.bucket.head(key).await? {
                return self.compare(key, found, original.size, &attributes.sha256).await.map(Copied::Ended);
            }
            match working.write(key, sent.clone(), self.bucket.copy(key, original, attributes)).await? {
                Copied::Ended(Created::New) => self.look_after(key, original.size, &attributes.sha256).await.map(Copied::Ended),
                ended => Ok(ended),
            }
        };
        self.locked(key, &sent, work).await
    }

    async fn replace(&self, key: &str, body: Body, attributes: &Attributes, expected: &Expected) -> Result<Swapped, BucketError> {
        let (_alone, size) = (self.alone_at(key).await, body.size());
        let sent = Sent::Bytes(attributes.sha256.clone());
        let work = async |working: &Working| {
            if !is_expected(self.bucket.head(key).await?.as_ref(), expected) {
                return Ok(Swapped::Lost);
            }
            if working.write(key, sent.clone(), self.bucket.replace(key, body, attributes, expected)).await? == Swapped::Lost {
                return Ok(Swapped::Lost);
            }
            match self.look_after(key, size, &attributes.sha256).await? {
                Created::New | Created::Same => Ok(Swapped::Done),
                Created::Other(_) => Ok(Swapped::Lost),
            }
        };
        self.locked(key, &sent, work).await
    }

    async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Bytes>, BucketError> {
        self.bucket.get(key, bytes_max).await
    }

    /// Reads ignore their condition there, too. What changes after the look is for whoever reads to find, by its hash.
    async fn read(&self, key: &str, etag: &str) -> Result<Option<Pieces>, BucketError> {
        match self.bucket.head(key).await? {
            Some(found) if found.etag == etag => self.bucket.read(key, etag).await,
            _ => Ok(None),
        }
    }

    async fn head(&self, key: &str) -> Result<Option<Stored>, BucketError> {
        self.bucket.head(key).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, BucketError> {
        self.bucket.list(prefix, after).await
    }

    async fn give_up_uploads(&self, prefix: &str, before: Timestamp) -> Result<u64, BucketError> {
        // Of uploads that were begun long ago, by their own names: whenever it lands, no object changes.
        self.locked(prefix, &Sent::Delete, async |_: &Working| self.bucket.give_up_uploads(prefix, before).await).await
    }

    /// For Rollcall's own small documents: objects only where [`Bucket::deletes`] says that they may go.
    async fn delete(&self, key: &str, etag: &str) -> Result<Swapped, BucketError> {
        let (_alone, sent) = (self.alone_at(key).await, Sent::Delete);
        let work = async |working: &Working| match self.bucket.head(key).await? {
            None => Ok(Swapped::Done),
            Some(found) if found.etag != etag => Ok(Swapped::Lost),
            Some(_) => working.write(key, sent.clone(), self.bucket.delete(key, etag)).await,
        };
        self.locked(key, &sent, work).await
    }

    async fn deletes(&self) -> Result<Deletes, BucketError> {
        self.bucket.deletes().await
    }

    fn repeated(&self) -> u64 {
        self.bucket.repeated()
    }
}

#[cfg(test)]
mod tests;
