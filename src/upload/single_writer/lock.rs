//! The lock of a prefix: a document that says who writes, and until when.
//! Never believed for longer than it was seen, and never taken while a write of the one before may still land.
//!
//! On a store that ignores conditions whoever writes last has the lock, and the one before must notice. So a holder looks every
//! [`LOOK_EVERY`], and stops when it has not seen its own name for [`SURE_FOR`]; and whoever takes the lock writes its name, waits
//! [`PAUSE`], which is longer, and holds it only if it then still finds its name there.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex as Latch, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::documents::{Lasts, ReadFailure, encoded, read};
use super::super::tombstones::free_at;
use super::Holder;
use crate::bucket::{Bucket, BucketError, Expected, SIGNED_REQUEST_LIFE, Swapped};
use crate::clock::Clock;
use crate::manifest::WriterLock;
use crate::manifest::record::FORMAT;

/// How often a holder sees whether the lock is still its own.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long a holder is sure of what it saw. Four looks: a store under load answers one of them.
const SURE_FOR: Duration = Duration::from_secs(8);

/// Between writing our name and holding the lock: longer than whoever held it is sure of it.
pub(super) const PAUSE: Duration = Duration::from_secs(10);

/// How long the document says that it holds, from each renewal on; for those who wait.
const HOLDS_FOR: Duration = Duration::from_secs(60);

/// Renewed when no more than this is left.
const RENEWED_AT: Duration = Duration::from_secs(40);

/// A lock under which nothing was written for this long is given back.
const IDLE: Duration = Duration::from_secs(10);

/// Numbers the times that this process has taken a lock.
static TENURES: AtomicU64 = AtomicU64::new(0);

pub(super) struct Lock {
    bucket: Arc<dyn Bucket>,
    key: String,
    holder: Holder,
    clock: Arc<dyn Clock>,
    held: Mutex<Option<Arc<Tenure>>>,
    /// When a write was last broken off or not answered: it may land later.
    unanswered: Latch<Option<Instant>>,
}

/// One time of holding the lock.
struct Tenure {
    id: String,
    lost: CancellationToken,
    state: Latch<State>,
}

struct State {
    /// Begin of the last look that found our name.
    seen: Instant,
    /// What the document says.
    until: Timestamp,
    busy: usize,
    worked: Instant,
}

/// Something is being done under the lock.
pub(super) struct Working {
    lock: Arc<Lock>,
    tenure: Arc<Tenure>,
    sent: AtomicBool,
}

impl Lock {
    pub(super) fn new(bucket: Arc<dyn Bucket>, key: String, holder: Holder, clock: Arc<dyn Clock>) -> Self {
        Self { bucket, key, holder, clock, held: Mutex::default(), unanswered: Latch::default() }
    }

    /// Takes the lock, unless it is held already.
    pub(super) async fn hold(self: &Arc<Self>) -> Result<Working, BucketError> {
        let mut held = self.held.lock().await;
        if let Some(tenure) = held.as_ref().filter(|tenure| tenure.is_sure()) {
            return Ok(Working::begin(self, tenure));
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

    pub(super) async fn give_back(&self) {
        if let Some(tenure) = self.held.lock().await.take() {
            self.end(&tenure).await;
        }
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
        let there = self.look().await?;
        if let Some((_, lock)) = &there {
            self.may_be_taken(lock)?;
        }
        let id = format!("{}/{}", self.holder.instance, TENURES.fetch_add(1, Ordering::Relaxed));
        let until = self.clock.now() + HOLDS_FOR;
        let expected = there.map_or(Expected::Absent, |(etag, _)| Expected::ETag(etag));
        if self.write(&id, Some(until), &expected).await? == Swapped::Lost {
            return Err(self.failed("somebody else took it at the same time"));
        }
        tokio::time::sleep(PAUSE).await;
        let seen = Instant::now();
        match self.look().await? {
            Some((_, lock)) if lock.tenure == id => Ok(Tenure::new(id, seen, until)),
            Some((_, lock)) => Err(self.held_by(&lock)),
            None => Err(self.failed("it was taken away as soon as it was written")),
        }
    }

    /// A lock that was given back is free, one of this very process too; any other when nothing that its holder sent can land any more.
    fn may_be_taken(&self, lock: &WriterLock) -> Result<(), BucketError> {
        let is_ours = lock.tenure.strip_prefix(&self.holder.instance).is_some_and(|rest| rest.starts_with('/'));
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
        BucketError::Unavailable { operation: "lock", key: self.key.clone(), cause: cause.to_owned() }
    }

    /// The token first: what is read then is not older.
    async fn look(&self) -> Result<Option<(String, WriterLock)>, BucketError> {
        let Some(stored) = self.bucket.head(&self.key).await? else { return Ok(None) };
        Ok(self.read().await?.map(|lock| (stored.etag, lock)))
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

    /// Whether the lock is still this one's; dates it anew when it is time.
    async fn is_ours(&self, tenure: &Tenure) -> Result<bool, BucketError> {
        let left = tenure.state().until.duration_since(self.clock.now());
        if left > jiff::SignedDuration::try_from(RENEWED_AT).expect("some seconds fit") {
            return Ok(self.read().await?.is_some_and(|lock| lock.tenure == tenure.id));
        }
        let Some((etag, _)) = self.look().await?.filter(|(_, lock)| lock.tenure == tenure.id) else { return Ok(false) };
        let until = self.clock.now() + HOLDS_FOR;
        if self.write(&tenure.id, Some(until), &Expected::ETag(etag)).await? == Swapped::Lost {
            return Ok(false);
        }
        tenure.state().until = until;
        Ok(true)
    }

    /// Ends a tenure that nobody works under. The lock is free at once if every write was answered, and if it is still ours.
    async fn end(&self, tenure: &Tenure) {
        let is_clear = tenure.is_sure() && tenure.state().busy == 0 && self.is_answered();
        tenure.lost.cancel();
        if is_clear && let Ok(Some((etag, _))) = self.look().await.map(|there| there.filter(|(_, lock)| lock.tenure == tenure.id)) {
            // What cannot be written ends by time.
            let _ = self.write(&tenure.id, None, &Expected::ETag(etag)).await;
        }
    }

    /// Whether nothing that was sent can land any more.
    fn is_answered(&self) -> bool {
        latch(&self.unanswered).is_none_or(|at| at.elapsed() > SIGNED_REQUEST_LIFE)
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
    loop {
        tokio::select! {
            () = tenure.lost.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        if lock.end_if_idle(&tenure).await {
            return;
        }
        let (begun, sure_until) = (Instant::now(), tenure.state().seen + SURE_FOR);
        match tokio::time::timeout_at(sure_until, lock.is_ours(&tenure)).await {
            Ok(Ok(true)) => tenure.state().seen = begun,
            // An answer that did not come: there may be time for another look.
            Ok(Err(_)) if Instant::now() + LOOK_EVERY < sure_until => {}
            Ok(Ok(false) | Err(_)) | Err(_) => return tenure.lost.cancel(),
        }
    }
}

impl Tenure {
    fn new(id: String, seen: Instant, until: Timestamp) -> Self {
        let state = State { seen, until, busy: 0, worked: Instant::now() };
        Self { id, lost: CancellationToken::new(), state: Latch::new(state) }
    }

    fn is_sure(&self) -> bool {
        !self.lost.is_cancelled() && self.state().seen.elapsed() < SURE_FOR
    }

    fn state(&self) -> MutexGuard<'_, State> {
        latch(&self.state)
    }
}

/// Every change under these latches is one of figures: a holder that panicked spoiled nothing.
fn latch<T>(latch: &Latch<T>) -> MutexGuard<'_, T> {
    latch.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Working {
    fn begin(lock: &Arc<Lock>, tenure: &Arc<Tenure>) -> Self {
        tenure.state().busy += 1;
        Self { lock: lock.clone(), tenure: tenure.clone(), sent: AtomicBool::new(false) }
    }

    pub(super) async fn lost(&self) {
        self.tenure.lost.cancelled().await;
    }

    /// Sends a write. One that is broken off, or that the store did not answer, may land later.
    pub(super) async fn write<T>(&self, write: impl Future<Output = Result<T, BucketError>>) -> Result<T, BucketError> {
        self.sent.store(true, Ordering::Relaxed);
        let answer = write.await;
        if !matches!(answer, Err(BucketError::Unavailable { .. })) {
            self.sent.store(false, Ordering::Relaxed);
        }
        answer
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        let mut state = self.tenure.state();
        state.busy -= 1;
        state.worked = Instant::now();
        if self.sent.load(Ordering::Relaxed) {
            *latch(&self.lock.unanswered) = Some(Instant::now());
        }
    }
}
