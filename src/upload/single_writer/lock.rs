//! The lock of a prefix: a document that says who writes, and until when.
//! Never believed for longer than it was seen, and never taken while a write of the one before may still land.
//!
//! On a store that ignores conditions whoever writes last has the lock, and the one before must notice. So a holder looks every
//! [`LOOK_EVERY`], and stops when it has not seen its own name for [`SURE_FOR`]; and whoever takes the lock writes its name, waits
//! [`PAUSE`], which is longer, and holds it only if it then still finds its name there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::documents::{Lasts, ReadFailure, believed, encoded, read};
use super::super::tombstones::free_at;
use super::Holder;
use super::tenure::{Tenure, Working};
use super::unanswered::{Sent, Unanswered};
use crate::bucket::{Bucket, BucketError, Expected, Swapped};
use crate::clock::Clock;
use crate::manifest::WriterLock;
use crate::manifest::record::FORMAT;

/// How often a holder sees whether the lock is still its own.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long a holder is sure of what it saw. Three looks of at most [`LOOK_EVERY`] each: a store under load answers one of them.
pub(super) const SURE_FOR: Duration = Duration::from_secs(8);

/// Between writing our name and holding the lock: longer than whoever held it is sure of it.
pub(super) const PAUSE: Duration = Duration::from_secs(10);

/// From the look that found the lock free to the end of writing our name: nobody who wrote theirs in between holds it yet.
const CLAIMED_WITHIN: Duration = Duration::from_secs(5);

/// How long the document says that it holds, from each renewal on; for those who wait.
const HOLDS_FOR: Duration = Duration::from_secs(60);

/// Renewed when no more than this is left.
const RENEWED_AT: Duration = Duration::from_secs(40);

/// A lock under which nothing was written for this long is given back.
const IDLE: Duration = Duration::from_secs(10);

/// What giving the lock back may take, when the process ends.
const RELEASED_WITHIN: Duration = Duration::from_secs(5);

/// Numbers the times that this process has taken a lock.
static TENURES: AtomicU64 = AtomicU64::new(0);

pub(super) struct Lock {
    bucket: Arc<dyn Bucket>,
    key: String,
    holder: Holder,
    clock: Arc<dyn Clock>,
    held: Mutex<Option<Arc<Tenure>>>,
    unanswered: Arc<Unanswered>,
    /// Tells whoever waits to hold the lock that nobody wants it any more.
    unwanted: Notify,
    /// This process is about to end: nothing begins any more, here or in another lock of this process at this place.
    closed: CancellationToken,
}

impl Lock {
    pub(super) fn new(bucket: Arc<dyn Bucket>, key: String, holder: Holder, clock: Arc<dyn Clock>) -> Self {
        Self {
            bucket,
            key,
            holder,
            clock,
            held: Mutex::default(),
            unanswered: Arc::default(),
            unwanted: Notify::new(),
            closed: CancellationToken::new(),
        }
    }

    /// Another lock of the same process at the same place, which knows what this one was not answered.
    pub(super) fn over(&self, bucket: Arc<dyn Bucket>) -> Self {
        let next = Self::new(bucket, self.key.clone(), self.holder.clone(), self.clock.clone());
        Self { unanswered: self.unanswered.clone(), closed: self.closed.clone(), ..next }
    }

    /// Takes the lock, unless it is held already.
    pub(super) async fn hold(self: &Arc<Self>) -> Result<Working, BucketError> {
        if let Some(working) = self.work_under(self.held.lock().await.as_ref())? {
            return Ok(working);
        }
        // By itself: whoever is broken off meanwhile leaves no claim behind, but a lock that is given back when it is idle.
        let lock = self.clone();
        let taking = tokio::spawn(async move { lock.take_unless_held().await });
        taking.await.unwrap_or_else(|_| Err(self.failed("taking it was broken off")))
    }

    async fn take_unless_held(self: &Arc<Self>) -> Result<Working, BucketError> {
        let mut held = self.held.lock().await;
        if let Some(working) = self.work_under(held.as_ref())? {
            return Ok(working);
        }
        if let Some(over) = held.take() {
            over.lost.cancel();
        }
        let tenure = Arc::new(self.take().await?);
        tokio::spawn(keep(self.clone(), tenure.clone()));
        let working = Working::begin(self, &tenure);
        *held = Some(tenure);
        Ok(working)
    }

    /// Under `held`, so that whoever closes the lock counts all who have begun.
    fn work_under(self: &Arc<Self>, held: Option<&Arc<Tenure>>) -> Result<Option<Working>, BucketError> {
        self.is_open()?;
        Ok(held.filter(|tenure| tenure.is_sure()).map(|tenure| Working::begin(self, tenure)))
    }

    fn is_open(&self) -> Result<(), BucketError> {
        if self.closed.is_cancelled() { Err(self.failed("this program is about to end")) } else { Ok(()) }
    }

    /// Lets what is under way end, begins nothing else, and gives the lock back. What has not ended by then may land later, so that the
    /// lock ends by time. A lock that is just being taken is let go.
    pub(super) async fn close(&self, by: Instant) {
        self.closed.cancel();
        let at_rest = async {
            let tenure = self.held.lock().await.clone();
            if let Some(tenure) = tenure {
                // It is looked after until then: see `keep`.
                tenure.rest().await;
            }
        };
        // Of no consequence here: whether anybody still works under it, `end` sees.
        let _ = tokio::time::timeout_at(by, at_rest).await;
        let _ = tokio::time::timeout_at(by + RELEASED_WITHIN, self.give_back()).await;
    }

    pub(super) async fn give_back(&self) {
        self.unwanted.notify_waiters();
        if let Some(tenure) = self.held.lock().await.take() {
            self.end(&tenure).await;
        }
    }

    /// Whether nothing is lost with it: it is not held, and neither it nor another one at its place has sent what may land.
    pub(super) fn is_at_rest(&self) -> bool {
        let is_free = self.held.try_lock().is_ok_and(|held| held.is_none());
        is_free && self.unanswered.is_clear() && Arc::strong_count(&self.unanswered) == 1
    }

    /// Whether this may be sent to that key.
    pub(super) fn admit(&self, key: &str, sent: &Sent) -> Result<(), BucketError> {
        let refused = |cause| BucketError::Unavailable { operation: "write", key: key.to_owned(), cause };
        self.unanswered.admits(key, sent).map_err(refused)
    }

    pub(super) fn not_answered(&self, key: &str, sent: Sent) {
        self.unanswered.note(key, sent, self.clock.now());
    }

    pub(super) fn repeated(&self) -> u64 {
        self.bucket.repeated()
    }

    #[cfg(test)]
    pub(super) fn holder_name(&self) -> String {
        self.holder.name.clone()
    }

    /// What those are told whose work was broken off.
    pub(super) fn taken(&self) -> BucketError {
        self.failed("it was not seen to be ours any more while we wrote")
    }

    async fn take(&self) -> Result<Tenure, BucketError> {
        // Tries the store out, if nobody has: two minutes that must not lie between the look and the write.
        self.bucket.deletes().await?;
        let in_time = Instant::now() + CLAIMED_WITHIN;
        let there = self.look().await?;
        if let Some((_, lock)) = &there {
            self.may_be_taken(lock)?;
        }
        self.is_open()?;
        let id = format!("{}/{}", self.holder.instance, TENURES.fetch_add(1, Ordering::Relaxed));
        let until = self.clock.now() + HOLDS_FOR;
        let expected = there.map_or(Expected::Absent, |(etag, _)| Expected::ETag(etag));
        self.claim(&id, until, &expected, in_time).await?;
        let mut waited = Ok(());
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = self.unwanted.notified() => waited = Err(self.failed("it was given back before it was ours")),
            () = self.closed.cancelled() => waited = self.is_open(),
        }
        let seen = Instant::now();
        let found = match waited {
            Ok(()) => self.look().await,
            Err(error) => Err(error),
        };
        match found {
            Ok(Some((_, lock))) if lock.tenure == id => Ok(Tenure::new(id, seen, until)),
            Ok(Some((_, lock))) => Err(self.held_by(&lock)),
            Ok(None) => Err(self.failed("it was taken away as soon as it was written")),
            Err(error) => {
                self.release(&id).await;
                Err(error)
            }
        }
    }

    /// Writes our name. One that comes too late may have taken the lock from somebody who holds it, and whose writes may land: then it
    /// stands by its time, for us as for everybody.
    async fn claim(&self, id: &str, until: Timestamp, expected: &Expected, in_time: Instant) -> Result<(), BucketError> {
        self.unanswered.claim(id);
        match tokio::time::timeout_at(in_time, self.write(id, Some(until), expected)).await {
            Ok(Ok(Swapped::Done)) if Instant::now() <= in_time => {
                self.unanswered.settle(id);
                Ok(())
            }
            Ok(Ok(Swapped::Lost)) => Err(self.failed("another writer acquired it at the same time")),
            Ok(Err(error)) => Err(error),
            Ok(Ok(Swapped::Done)) | Err(_) => Err(self.failed("the store was too slow to acquire it: another writer may hold it by now")),
        }
    }

    /// A lock that was given back is free, one that this very process took in time too; any other when nothing that its holder sent can land any more.
    fn may_be_taken(&self, lock: &WriterLock) -> Result<(), BucketError> {
        let is_of_us = lock.tenure.strip_prefix(&self.holder.instance).is_some_and(|rest| rest.starts_with('/'));
        let is_ours = is_of_us && !self.unanswered.was_late(&lock.tenure);
        match lock.until {
            Some(until) if !is_ours && self.clock.now() <= free_at(until) => Err(self.held_by(lock)),
            _ => Ok(()),
        }
    }

    fn held_by(&self, lock: &WriterLock) -> BucketError {
        match lock.until {
            Some(until) => self.failed(&format!(
                "{} writes below this prefix, until {until} at least; should it be gone, others may from {}",
                lock.holder,
                free_at(until)
            )),
            None => self.failed(&format!("{} has just written below this prefix", lock.holder)),
        }
    }

    fn failed(&self, cause: &str) -> BucketError {
        BucketError::Locked { key: self.key.clone(), cause: cause.to_owned() }
    }

    /// The token first: what is read then is not older.
    async fn look(&self) -> Result<Option<(String, WriterLock)>, BucketError> {
        let Some(stored) = self.bucket.head(&self.key).await? else { return Ok(None) };
        let until = |until| believed(until, HOLDS_FOR, stored.last_modified, self.clock.now());
        Ok(self.read().await?.map(|lock| (stored.etag, WriterLock { until: lock.until.map(until), ..lock })))
    }

    async fn read(&self) -> Result<Option<WriterLock>, BucketError> {
        read::<WriterLock>(&*self.bucket, &self.key).await.map_err(|failure| match failure {
            ReadFailure::Bucket(error) => error,
            ReadFailure::Malformed { key, cause } => {
                let cause = format!("it is not what Rollcall wrote there: {cause}; delete it while nothing writes below this prefix");
                BucketError::Refused { operation: "lock", key, cause }
            }
        })
    }

    async fn write(&self, id: &str, until: Option<Timestamp>, expected: &Expected) -> Result<Swapped, BucketError> {
        let lock = WriterLock { lock_version: FORMAT, holder: self.holder.name.clone(), tenure: id.to_owned(), until };
        let (body, attributes) = encoded(&lock, Lasts::ForNow);
        self.bucket.replace(&self.key, body, &attributes, expected).await
    }

    async fn is_ours(&self, tenure: &Tenure) -> Result<bool, BucketError> {
        Ok(self.read().await?.is_some_and(|lock| lock.tenure == tenure.id))
    }

    /// Dates the lock anew when it is time; answers whether it is still this one's.
    async fn renew(&self, tenure: &Tenure) -> Result<bool, BucketError> {
        let left = tenure.state().until.duration_since(self.clock.now());
        if left > jiff::SignedDuration::try_from(RENEWED_AT).expect("some seconds fit") {
            return Ok(true);
        }
        let _writing = tenure.writing.lock().await;
        let Some((etag, _)) = self.look().await?.filter(|(_, lock)| lock.tenure == tenure.id) else { return Ok(false) };
        if tenure.lost.is_cancelled() {
            return Ok(false);
        }
        let until = self.clock.now() + HOLDS_FOR;
        if self.write(&tenure.id, Some(until), &Expected::ETag(etag)).await? == Swapped::Lost {
            return Ok(false);
        }
        tenure.state().until = until;
        Ok(true)
    }

    /// Ends a tenure. The lock is free at once if nobody works under it, nothing of ours can land any more, and it is still ours.
    async fn end(&self, tenure: &Tenure) {
        let is_over = tenure.is_sure() && tenure.state().busy == 0;
        tenure.lost.cancel();
        // A renewal that is on its way would land on top.
        let _writing = tenure.writing.lock().await;
        if is_over {
            self.release(&tenure.id).await;
        }
    }

    /// Writes that a lock of ours is free. What cannot be written ends by time.
    async fn release(&self, id: &str) {
        if self.unanswered.is_clear()
            && let Ok(Some((etag, _))) = self.look().await.map(|there| there.filter(|(_, lock)| lock.tenure == *id))
        {
            let _ = self.write(id, None, &Expected::ETag(etag)).await;
        }
    }

    /// Whether the tenure was ended, as nobody works under it any more.
    async fn end_if_idle(&self, tenure: &Arc<Tenure>) -> bool {
        let mut held = self.held.lock().await;
        let is_idle = {
            let state = tenure.state();
            state.busy == 0 && state.worked.elapsed() >= IDLE
        };
        if is_idle {
            self.end(tenure).await;
            held.take_if(|held| Arc::ptr_eq(held, tenure));
        }
        is_idle
    }
}

/// Looks after a tenure until it is over.
async fn keep(lock: Arc<Lock>, tenure: Arc<Tenure>) {
    let mut next = Instant::now();
    loop {
        next = Instant::now().max(next + LOOK_EVERY);
        tokio::select! {
            () = tenure.lost.cancelled() => return,
            () = tokio::time::sleep_until(next) => {}
        }
        if lock.end_if_idle(&tenure).await {
            return;
        }
        if !tenure.is_sure() {
            return tenure.lost.cancel();
        }
        let begun = Instant::now();
        // One that hangs must not take the time of the next.
        match tokio::time::timeout(LOOK_EVERY, lock.is_ours(&tenure)).await {
            Ok(Ok(true)) => tenure.state().seen = begun,
            Ok(Err(_)) | Err(_) if tenure.is_sure() => continue,
            Ok(Ok(false) | Err(_)) | Err(_) => return tenure.lost.cancel(),
        }
        // Time is left for another look. What was not renewed is tried again, as long as nobody else may take it.
        match tokio::time::timeout_at(begun + SURE_FOR - LOOK_EVERY, lock.renew(&tenure)).await {
            Ok(Ok(false)) => return tenure.lost.cancel(),
            _ if tenure.state().until < lock.clock.now() => return tenure.lost.cancel(),
            _ => {}
        }
    }
}
