//! How many creates are under way at a time: as many as make the store faster, never more than a limit, half as many as soon as
//! it asks for less. Never decides on its own clock, and never starves: one at a time always goes.
//!
//! S3 spreads its latencies by a factor of ten without any queue, so latency alone says nothing; throughput does. Each window of
//! answers is compared with the best one so far: while more at a time brings more done, the pace climbs by half; when it does not,
//! it goes back to where it was best and stays there for a while.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::multipart::PARTS_AT_A_TIME;

/// Where a bucket begins: what one core of a small store answers at once.
const START: f64 = 16.0;

/// Most at a time. At 200 ms for each, which is across an ocean, these are 1,280 a second; S3 takes 3,500 for a prefix.
const MOST: f64 = 256.0;

/// Answers in a window, for each request under way: enough that one slow answer does not decide.
const ROUNDS: f64 = 8.0;

/// A window is worth its place when it brought this much more than the best one.
const GAIN: f64 = 1.05;

/// How much faster a window with more under way is tried.
const STEP: f64 = 1.5;

/// Windows until more is tried again after it did not help: conditions change.
const REST: u32 = 24;

/// Bytes that take about as long as a request itself: work is counted in requests plus these.
const BYTES_PER_UNIT: f64 = 64.0 * 1024.0;

/// Bytes of bodies in memory at a time, in KiB.
const MEMORY_KIB: usize = 8 * 1024;

/// The rule, without a clock: it is told what happened and when.
#[derive(Debug, Clone)]
struct Rule {
    limit: f64,
    most: f64,
    /// The best window so far: units of work in a second, and the limit it had.
    best: Option<(f64, f64)>,
    /// Windows still to wait until more is tried.
    rest: u32,
    begun: Duration,
    answers: f64,
    units: f64,
    /// Answers to what was sent before this moment say nothing about the halved limit.
    halved_at: Option<Duration>,
}

impl Rule {
    fn new(start: f64, most: f64) -> Self {
        let limit = start.min(most);
        Self { limit, most, best: None, rest: 0, begun: Duration::ZERO, answers: 0.0, units: 0.0, halved_at: None }
    }

    /// The store took something.
    fn taken(&mut self, now: Duration, bytes: u64) {
        self.answers += 1.0;
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
        let bytes = bytes as f64;
        self.units += 1.0 + bytes / BYTES_PER_UNIT;
        if self.answers >= self.limit * ROUNDS {
            self.close(now);
        }
    }

    /// The store asked for less, in answer to something sent at `sent`.
    fn too_much(&mut self, now: Duration, sent: Duration) {
        if self.halved_at.is_some_and(|halved| sent < halved) {
            return;
        }
        self.limit = (self.limit / 2.0).max(1.0);
        (self.best, self.rest, self.halved_at) = (None, REST, Some(now));
        self.open(now);
    }

    fn open(&mut self, now: Duration) {
        (self.begun, self.answers, self.units) = (now, 0.0, 0.0);
    }

    fn close(&mut self, now: Duration) {
        let rate = self.units / (now.saturating_sub(self.begun)).as_secs_f64().max(1e-6);
        self.open(now);
        match self.best {
            // More was tried and did not help: back to where it was best.
            Some((best, limit)) if self.limit > limit && rate < best * GAIN => {
                (self.limit, self.rest) = (limit, REST);
            }
            _ => {
                self.best = Some((rate, self.limit));
                self.rest = self.rest.saturating_sub(1);
                if self.rest == 0 {
                    self.limit = (self.limit * STEP).min(self.most);
                }
            }
        }
    }
}

/// Lets creates in, one permit for each.
#[derive(Debug)]
pub(super) struct Pace {
    rule: Mutex<Rule>,
    under_way: Mutex<usize>,
    left: Notify,
    memory: Arc<Semaphore>,
    parts: Arc<Semaphore>,
    since: Instant,
}

/// One create that was let in.
pub(super) struct Permit<'p> {
    pace: &'p Pace,
    sent: Duration,
    _memory: OwnedSemaphorePermit,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            rule: Mutex::new(Rule::new(START, MOST)),
            under_way: Mutex::default(),
            left: Notify::new(),
            memory: Arc::new(Semaphore::new(MEMORY_KIB)),
            parts: Arc::new(Semaphore::new(PARTS_AT_A_TIME)),
            since: Instant::now(),
        }
    }

    /// Waits until there is room for a create with this many bytes in memory.
    pub(super) async fn enter(&self, bytes: u64) -> Permit<'_> {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).clamp(1, 4096);
        let memory = self.memory.clone().acquire_many_owned(kib).await.expect("this semaphore is never closed");
        while !self.try_enter() {
            self.left.notified().await;
        }
        Permit { pace: self, sent: self.now(), _memory: memory }
    }

    /// Waits until one more part of a large object may be in memory, whichever object it belongs to.
    pub(super) async fn room_for_a_part(&self) -> OwnedSemaphorePermit {
        self.parts.clone().acquire_owned().await.expect("this semaphore is never closed")
    }

    #[cfg(test)]
    pub(super) fn limit(&self) -> f64 {
        lock(&self.rule).limit
    }

    /// Now, as [`Self::turned_away`] wants to have it.
    pub(super) fn now(&self) -> Duration {
        self.since.elapsed()
    }

    /// The store asked for less, in answer to something sent then.
    pub(super) fn turned_away(&self, sent: Duration) {
        lock(&self.rule).too_much(self.now(), sent);
    }

    fn try_enter(&self) -> bool {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 256")]
        let limit = lock(&self.rule).limit as usize;
        let mut under_way = lock(&self.under_way);
        let room = *under_way < limit.max(1);
        *under_way += usize::from(room);
        room
    }
}

impl Permit<'_> {
    /// The store took it.
    pub(super) fn taken(&self, bytes: u64) {
        lock(&self.pace.rule).taken(self.pace.now(), bytes);
    }

    /// The store asked for less.
    pub(super) fn too_much(&self) {
        self.pace.turned_away(self.sent);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *lock(&self.pace.under_way) -= 1;
        // The limit may have grown by half meanwhile: whoever enters finds room, and passes the word on by leaving.
        self.pace.left.notify_one();
        self.pace.left.notify_one();
    }
}

/// A holder that panicked left numbers behind, and any numbers are good enough to go on from.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store that answers every request after `latency`, but not more than `capacity` of them in a second, and `worse` percent
    /// fewer for each request at a time beyond 32. Answers the limit at which the rule ends up after this many requests.
    fn settled(latency_ms: f64, capacity: f64, worse: f64) -> f64 {
        let mut rule = Rule::new(START, MOST);
        let mut now = 0.0;
        let mut limits = Vec::new();
        for _ in 0..60_000 {
            let crowd = (rule.limit - 32.0).max(0.0);
            let rate = (rule.limit * 1000.0 / latency_ms).min(capacity * (1.0 - worse * crowd / 100.0).max(0.1));
            now += 1.0 / rate;
            rule.taken(Duration::from_secs_f64(now), 0);
            limits.push(rule.limit);
        }
        // Half of the time is spent there or below.
        limits.sort_by(f64::total_cmp);
        limits[limits.len() / 2]
    }

    #[test]
    fn the_pace_goes_where_more_at_a_time_brings_more_done_and_not_beyond() {
        // Far away: only the limit itself holds it back.
        assert!((settled(200.0, 1e9, 0.0) - MOST).abs() < 1.0);
        // A store on this machine is busy with what it gets at the beginning.
        assert!(settled(0.5, 2_000.0, 1.0) <= START * STEP, "{}", settled(0.5, 2_000.0, 1.0));
        // 50 ms away and able to do 1,500 a second: 75 at a time are enough, and half as many again are tried.
        let limit = settled(50.0, 1_500.0, 0.0);
        assert!((54.0..=130.0).contains(&limit), "{limit}");
    }

    #[test]
    fn a_store_that_asks_for_less_gets_half_once_for_each_crowd() {
        let mut rule = Rule::new(64.0, MOST);
        let ms = Duration::from_millis;
        (0..60).for_each(|_| rule.too_much(ms(100), ms(50)));
        assert!((rule.limit - 32.0).abs() < f64::EPSILON, "all of them were sent before the first answer");
        rule.too_much(ms(200), ms(150));
        assert!((rule.limit - 16.0).abs() < f64::EPSILON);
        (0..100).for_each(|n| rule.too_much(ms(300 + 2 * n), ms(299 + 2 * n)));
        assert!((rule.limit - 1.0).abs() < f64::EPSILON, "one at a time always goes");
    }

    #[tokio::test]
    async fn as_many_enter_as_the_pace_allows_and_bodies_wait_for_memory() {
        let pace = Pace::new();
        let mut inside = Vec::new();
        while let Some(permit) = futures::FutureExt::now_or_never(pace.enter(1)) {
            inside.push(permit);
        }
        assert_eq!(inside.len(), 16);
        inside.pop();
        assert!(futures::FutureExt::now_or_never(pace.enter(1)).is_some());
        inside.clear();
        let full: Vec<_> = std::iter::from_fn(|| futures::FutureExt::now_or_never(pace.enter(2 << 20))).collect();
        assert_eq!(full.len(), 4, "8 MiB hold four bodies of 2 MiB");
    }

    #[tokio::test]
    async fn parts_of_all_large_objects_together_are_few() {
        let pace = Pace::new();
        let parts: Vec<_> = std::iter::from_fn(|| futures::FutureExt::now_or_never(pace.room_for_a_part())).collect();
        assert_eq!(parts.len(), PARTS_AT_A_TIME);
        assert!(futures::FutureExt::now_or_never(pace.enter(1)).is_some(), "small bodies do not wait for them");
    }

    #[tokio::test]
    async fn nobody_waits_for_ever() {
        let pace = Pace::new();
        let crowd = (0..500).map(|_| async {
            let permit = pace.enter(1).await;
            tokio::task::yield_now().await;
            permit.taken(1);
        });
        tokio::time::timeout(Duration::from_secs(20), futures::future::join_all(crowd)).await.unwrap();
        assert_eq!(*lock(&pace.under_way), 0);
    }
}
