//! Circuit breakers: an endpoint that says nothing, time and again, is not asked for a while.
//! Never counts an answer that somebody does not like, and never lets the failures of one namespace count for another.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::rollout::observed::BucketFault;

use super::places::Whose;
use super::store::unanswered;

/// As often in a row an endpoint may say nothing: one lost connection is no outage.
const SILENT_MAX: u32 = 3;

/// The first pause, doubled after each probe that gets no answer, up to the last.
const PAUSE: SignedDuration = SignedDuration::from_secs(10);
const PAUSE_MAX: SignedDuration = SignedDuration::from_mins(5);

/// How long a probe shuts others out.
const PROBE: SignedDuration = SignedDuration::from_secs(60);

/// A failure that took longer was silence; an answer, a refused connection and a name without an address come sooner.
const SILENT_AFTER: SignedDuration = SignedDuration::from_secs(10);

/// Endpoints remembered, some 300 bytes each. Beyond that the namespace with the most of them loses one.
const REMEMBERED_MAX: usize = 1024;

/// All breakers, by namespace and endpoint: a tenant's buckets may hang where another's do not.
#[derive(Default)]
pub(super) struct Breakers(Mutex<BTreeMap<Whose, Breaker>>);

struct Breaker {
    /// Times in a row.
    silent: u32,
    asked_again_at: Timestamp,
    /// Until when one that is let through has time to show whether it answers.
    probing_until: Option<Timestamp>,
}

/// Why an endpoint is not asked now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Open {
    /// What to say of it.
    pub(super) fault: BucketFault,
    /// When it is asked again.
    pub(super) until: Timestamp,
}

impl Breakers {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Whose, Breaker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this endpoint may be asked.
    ///
    /// # Errors
    /// It was silent too often; with what to say instead of asking.
    pub(super) fn admit(&self, whose: &Whose, now: Timestamp) -> Result<Admitted<'_>, Open> {
        let admitted = |is_probe| Admitted { of: self, whose: whose.clone(), begun_at: now, is_probe };
        let mut breakers = self.lock();
        let Some(breaker) = breakers.get_mut(whose).filter(|breaker| breaker.silent >= SILENT_MAX) else {
            return Ok(admitted(false));
        };
        if now < breaker.asked_again_at || breaker.probing_until.is_some_and(|until| now < until) {
            // A probe ends within a minute or so; who is refused meanwhile looks again a little later.
            return Err(Open { fault: unanswered(), until: breaker.asked_again_at.max(now + PAUSE) });
        }
        // A probe may be an upload of an hour: it keeps nobody else from asking for longer than a look takes.
        breaker.probing_until = Some(now + PROBE);
        Ok(admitted(true))
    }

    fn answered(&self, whose: &Whose) {
        self.lock().remove(whose);
    }

    fn was_silent(&self, whose: &Whose, now: Timestamp) {
        let mut breakers = self.lock();
        let silent = breakers.get(whose).map_or(0, |breaker| breaker.silent).saturating_add(1);
        // 2^5 pauses are past the longest, so the shift cannot overflow.
        let pause = (PAUSE * (1 << silent.saturating_sub(SILENT_MAX).min(5))).min(PAUSE_MAX);
        breakers.insert(whose.clone(), Breaker { silent, asked_again_at: now + pause, probing_until: None });
        if breakers.len() > REMEMBERED_MAX {
            forget_one(&mut breakers);
        }
    }
}

fn forget_one(breakers: &mut BTreeMap<Whose, Breaker>) {
    let mut counts = BTreeMap::<&str, usize>::new();
    for whose in breakers.keys() {
        *counts.entry(&whose.namespace).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count).map(|(namespace, _)| namespace.to_owned());
    let of_most = breakers.iter().filter(|(whose, _)| Some(&whose.namespace) == most.as_ref());
    if let Some(oldest) = of_most.min_by_key(|(_, breaker)| breaker.asked_again_at).map(|(whose, _)| whose.clone()) {
        breakers.remove(&oldest);
    }
}

/// How a question ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With an answer, whatever it is.
    Answered,
    /// With none, or with one that says nothing about the question.
    Unreachable,
}

impl End {
    /// By the reason of a failure.
    pub(super) fn of(reason: Option<&str>) -> Self {
        if reason == Some("StoreUnavailable") { Self::Unreachable } else { Self::Answered }
    }
}

/// Somebody asks. Dropped without a word (the question was cancelled), it says nothing of the endpoint.
pub(super) struct Admitted<'a> {
    of: &'a Breakers,
    whose: Whose,
    begun_at: Timestamp,
    /// The only one that is let through.
    is_probe: bool,
}

impl Admitted<'_> {
    /// The same, but that the asking begins now: what was waited for before was no store's silence.
    pub(super) fn begun(mut self, now: Timestamp) -> Self {
        self.begun_at = now;
        self
    }

    /// How a job ended; what to say of the endpoint, if it was silent. A job takes as long as it takes, so its time says nothing: only one
    /// that was the probe counts when it fails.
    pub(super) fn worked(self, end: End, now: Timestamp) -> Option<BucketFault> {
        if end == End::Unreachable && !self.is_probe { None } else { self.ended(end, now) }
    }

    /// How a look ended; what to say of the endpoint, if it was silent.
    pub(super) fn ended(self, end: End, now: Timestamp) -> Option<BucketFault> {
        if end == End::Unreachable && now.duration_since(self.begun_at) >= SILENT_AFTER {
            self.of.was_silent(&self.whose, now);
            return Some(unanswered());
        }
        self.of.answered(&self.whose);
        None
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        // What was noted of the probe has ended it already.
        if self.is_probe
            && let Some(breaker) = self.of.lock().get_mut(&self.whose)
        {
            breaker.probing_until = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bucket::BucketError;
    use crate::bucket::s3::UNANSWERED;
    use crate::controller::store::fault;

    fn whose(namespace: &str) -> Whose {
        Whose { namespace: namespace.to_owned(), endpoint: "store:80".to_owned() }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// Asks at this second, and gets no answer for 15 seconds. Whether it was let through.
    fn ask_in_vain(breakers: &Breakers, namespace: &str, second: i64) -> bool {
        let admitted = breakers.admit(&whose(namespace), at(second));
        admitted.map(|admitted| admitted.ended(End::Unreachable, at(second + 15))).is_ok()
    }

    fn opened() -> Breakers {
        let breakers = Breakers::default();
        assert!((0..3).all(|turn| ask_in_vain(&breakers, "a", turn * 20)));
        breakers
    }

    #[test]
    fn an_endpoint_that_says_nothing_three_times_is_not_asked_and_the_same_is_said() {
        let breakers = opened();
        let refused = breakers.admit(&whose("a"), at(56)).map(drop).unwrap_err();
        assert_eq!(refused, Open { fault: unanswered(), until: at(66) });
    }

    #[test]
    fn one_at_a_time_is_let_through_and_an_answer_lets_everybody_through() {
        let breakers = opened();
        let probe = breakers.admit(&whose("a"), at(65)).unwrap();
        assert!(breakers.admit(&whose("a"), at(66)).is_err(), "one is asking");
        drop(probe);
        let probe = breakers.admit(&whose("a"), at(67)).unwrap();
        // An error that is an answer is one, and so is a refused connection.
        assert_eq!(probe.ended(End::Unreachable, at(68)), None);
        assert!(breakers.lock().is_empty() && breakers.admit(&whose("a"), at(68)).is_ok());
    }

    /// A probe may be an upload of an hour, and the endpoint be well.
    #[test]
    fn a_probe_that_takes_long_shuts_nobody_out_for_longer_than_a_minute() {
        let breakers = opened();
        let _upload = breakers.admit(&whose("a"), at(65)).unwrap();
        assert!(breakers.admit(&whose("a"), at(124)).is_err());
        assert!(breakers.admit(&whose("a"), at(125)).is_ok());
    }

    #[test]
    fn pauses_double_up_to_five_minutes() {
        let breakers = opened();
        let mut pauses = Vec::new();
        let mut now = 55;
        for _ in 0..8 {
            let until = breakers.lock()[&whose("a")].asked_again_at.as_second();
            pauses.push(until - now);
            assert!(!ask_in_vain(&breakers, "a", until - 1) && ask_in_vain(&breakers, "a", until));
            now = until + 15;
        }
        assert_eq!(pauses, [10, 20, 40, 80, 160, 300, 300, 300]);
    }

    #[test]
    fn the_failures_of_one_namespace_count_for_no_other() {
        let breakers = opened();
        assert!(breakers.admit(&whose("a"), at(56)).is_err() && breakers.admit(&whose("b"), at(56)).is_ok());
    }

    #[test]
    fn a_job_that_fails_after_a_while_opens_nothing_and_one_that_is_the_probe_goes_on_waiting() {
        let breakers = Breakers::default();
        for turn in 0..5 {
            let admitted = breakers.admit(&whose("a"), at(turn * 1_000)).unwrap();
            assert_eq!(admitted.worked(End::Unreachable, at(turn * 1_000 + 900)), None, "it moved bytes for a quarter of an hour");
        }
        let breakers = opened();
        let probe = breakers.admit(&whose("a"), at(65)).unwrap();
        assert_eq!(probe.worked(End::Unreachable, at(155)), Some(unanswered()));
        assert!(breakers.admit(&whose("a"), at(160)).is_err());
    }

    #[test]
    fn who_fills_the_memory_loses_its_own() {
        let breakers = opened();
        for number in 0..2 * REMEMBERED_MAX {
            let whose = Whose { namespace: "greedy".to_owned(), endpoint: format!("tarpit-{number}:80") };
            breakers.was_silent(&whose, at(1_000));
        }
        assert_eq!(breakers.lock().len(), REMEMBERED_MAX);
        assert!(breakers.lock().contains_key(&whose("a")));
    }

    /// Another sentence for silence would tell a filtered port from a closed one.
    #[test]
    fn silence_is_told_as_whatever_else_does_not_answer_as_a_store() {
        let refused = BucketError::Unavailable { operation: "get", key: "a".to_owned(), cause: UNANSWERED.to_owned() };
        let breakers = Breakers::default();
        let silent = breakers.admit(&whose("a"), at(0)).unwrap().ended(End::Unreachable, at(15));
        assert_eq!(silent, Some(fault(&refused)));
    }
}
