//! One time of holding the lock, and what is done under it.
//! Never forgets a write that was sent and not answered.

use std::sync::{Arc, Mutex as Latch, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::lock::{Lock, SURE_FOR};
use super::unanswered::Sent;
use crate::bucket::BucketError;

pub(super) struct Tenure {
    pub(super) id: String,
    pub(super) lost: CancellationToken,
    /// Whoever writes the document of this tenure: no renewal lands after the end.
    pub(super) writing: Mutex<()>,
    state: Latch<State>,
    /// Tells whoever waits that nobody works under it.
    rests: Notify,
}

pub(super) struct State {
    /// Begin of the last look that found our name.
    pub(super) seen: Instant,
    /// What the document says.
    pub(super) until: Timestamp,
    pub(super) busy: usize,
    pub(super) worked: Instant,
}

impl Tenure {
    pub(super) fn new(id: String, seen: Instant, until: Timestamp) -> Self {
        let state = State { seen, until, busy: 0, worked: Instant::now() };
        Self { id, lost: CancellationToken::new(), writing: Mutex::default(), state: Latch::new(state), rests: Notify::new() }
    }

    pub(super) fn is_sure(&self) -> bool {
        !self.lost.is_cancelled() && self.state().seen.elapsed() < SURE_FOR
    }

    /// Waits until nobody works under it.
    pub(super) async fn rest(&self) {
        loop {
            let rests = self.rests.notified();
            if self.state().busy == 0 {
                return;
            }
            rests.await;
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        latch(&self.state)
    }
}

/// Every change under these latches is one of figures: a holder that panicked spoiled nothing.
pub(super) fn latch<T>(latch: &Latch<T>) -> MutexGuard<'_, T> {
    latch.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Something is being done under the lock.
pub(super) struct Working {
    lock: Arc<Lock>,
    tenure: Arc<Tenure>,
}

impl Working {
    pub(super) fn begin(lock: &Arc<Lock>, tenure: &Arc<Tenure>) -> Self {
        tenure.state().busy += 1;
        Self { lock: lock.clone(), tenure: tenure.clone() }
    }

    pub(super) async fn lost(&self) {
        self.tenure.lost.cancelled().await;
    }

    /// Sends a write. One that is broken off, that the store did not answer, or that was sent more than once may land later.
    pub(super) async fn write<T>(
        &self,
        key: &str,
        sent: Sent,
        write: impl Future<Output = Result<T, BucketError>>,
    ) -> Result<T, BucketError> {
        let repeated = self.lock.repeated();
        let mut on_its_way = OnItsWay { lock: &self.lock, key, sent: Some(sent) };
        let answer = write.await;
        if !matches!(answer, Err(BucketError::Unavailable { .. })) && self.lock.repeated() == repeated {
            on_its_way.sent = None;
        }
        answer
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        let mut state = self.tenure.state();
        state.busy -= 1;
        state.worked = Instant::now();
        if state.busy == 0 {
            self.tenure.rests.notify_waiters();
        }
    }
}

struct OnItsWay<'a> {
    lock: &'a Lock,
    key: &'a str,
    sent: Option<Sent>,
}

impl Drop for OnItsWay<'_> {
    fn drop(&mut self) {
        if let Some(sent) = self.sent.take() {
            self.lock.not_answered(self.key, sent);
        }
    }
}
