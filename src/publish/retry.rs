//! When to try again: growing pauses until the time is used up. Never tries again what only somebody can mend.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Failure;
use crate::clock::Clock;
use crate::upload::PublishFailure;

/// After the engine's and the SDK's own retries of single requests, which take seconds.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// A store that comes back is noticed by then.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Time for all tries of one command together.
pub(super) struct Retry<'a> {
    ends: Instant,
    clock: &'a dyn Clock,
    cancel: &'a CancellationToken,
}

/// A try that failed, and when the next one is.
#[derive(Debug)]
pub(super) struct Again<'a> {
    pub(super) failure: &'a Failure,
    pub(super) pause: Duration,
}

impl<'a> Retry<'a> {
    /// From now on, for so long.
    pub(super) fn within(budget: Duration, clock: &'a dyn Clock, cancel: &'a CancellationToken) -> Self {
        Self { ends: Instant::now() + budget, clock, cancel }
    }

    /// Tries until it is done, cannot be done, or the time is used up; the last failure is the answer then.
    pub(super) async fn until_done<T>(
        &self,
        mut attempt: impl AsyncFnMut() -> Result<T, Failure>,
        told: impl Fn(&Again<'_>),
    ) -> Result<T, Failure> {
        let mut pause = FIRST_PAUSE;
        loop {
            let failure = match attempt().await {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            };
            let Some(wait) = self.wait(&failure, pause) else { return Err(failure) };
            told(&Again { failure: &failure, pause: wait });
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Err(PublishFailure::Cancelled.into()),
                () = tokio::time::sleep(wait) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The same for what only reads: a signal ends it at once.
    pub(super) async fn until_read<T>(
        &self,
        mut attempt: impl AsyncFnMut() -> Result<T, Failure>,
        told: impl Fn(&Again<'_>),
    ) -> Result<T, Failure> {
        let attempt = async || {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => Err(PublishFailure::Cancelled.into()),
                read = attempt() => read,
            }
        };
        self.until_done(attempt, told).await
    }

    /// How long to wait; `None` when it is over. What is left of the time is used for a last try.
    fn wait(&self, failure: &Failure, pause: Duration) -> Option<Duration> {
        let left = self.ends.saturating_duration_since(Instant::now());
        if !failure.may_pass() || left.is_zero() {
            return None;
        }
        match failure {
            Failure::Publish(PublishFailure::Reclaiming { until, .. }) => {
                let wait = Duration::try_from(until.duration_since(self.clock.now())).unwrap_or_default().max(FIRST_PAUSE);
                (wait <= left).then_some(wait)
            }
            _ => Some(pause.min(left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use jiff::Timestamp;

    use super::*;
    use crate::bucket::BucketError;
    use crate::clock::TokioClock;

    fn unavailable() -> Failure {
        BucketError::Unavailable { operation: "list", key: "a".into(), cause: "503".into() }.into()
    }

    /// Tries a thing that fails `fails` times; answers the seconds of all pauses.
    async fn tried(budget: u64, fails: usize, failure: impl Fn() -> Failure) -> (Result<(), Failure>, Vec<u64>) {
        let (clock, cancel) = (TokioClock::starting_at(Timestamp::UNIX_EPOCH), CancellationToken::new());
        let (left, pauses) = (Cell::new(fails), RefCell::new(Vec::new()));
        let attempt = async || match left.get() {
            0 => Ok(()),
            more => {
                left.set(more - 1);
                Err(failure())
            }
        };
        let told = |again: &Again<'_>| pauses.borrow_mut().push(again.pause.as_secs());
        let done = Retry::within(Duration::from_secs(budget), &clock, &cancel).until_done(attempt, told).await;
        (done, pauses.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_and_the_rest_of_the_time_is_used() {
        let (done, pauses) = tried(120, 99, unavailable).await;
        assert_eq!(done.unwrap_err().exit() as u8, 3);
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 29]);
        let (done, pauses) = tried(120, 2, unavailable).await;
        assert!(done.is_ok());
        assert_eq!(pauses, [1, 2]);
        assert_eq!(tried(0, 1, unavailable).await.1, Vec::<u64>::new());
    }

    #[tokio::test(start_paused = true)]
    async fn what_only_somebody_can_mend_is_not_tried_again() {
        let (done, pauses) = tried(120, 1, || BucketError::NoSuchBucket { bucket: "web".into() }.into()).await;
        assert_eq!((done.unwrap_err().exit() as u8, pauses), (1, vec![]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_being_freed_is_waited_for_only_if_the_time_is_enough() {
        let freed_at_1000 = || PublishFailure::Reclaiming { key: "a".into(), until: "1970-01-01T00:16:40Z".parse().unwrap() }.into();
        assert_eq!(tried(2000, 1, freed_at_1000).await.1, [1000]);
        let (done, pauses) = tried(120, 1, freed_at_1000).await;
        assert_eq!((done.unwrap_err().exit() as u8, pauses), (3, vec![]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_signal_ends_a_pause() {
        let (clock, cancel) = (TokioClock::starting_at(Timestamp::UNIX_EPOCH), CancellationToken::new());
        let retry = Retry::within(Duration::from_secs(60), &clock, &cancel);
        let done = retry.until_done(async || Err::<(), _>(unavailable()), |_| cancel.cancel()).await;
        assert_eq!(done.unwrap_err().exit() as u8, 4);
    }
}
