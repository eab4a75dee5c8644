//! Looks at stores beside the loop: one at a time for each release or AssetStore; a pass reads what the last one showed.
//! Never makes a pass wait for a store, and never keeps an answer to another question.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::clock::Clock;

use super::guarded::panic_text;

/// An answer is used for this long after it came. Less than any pause between two passes that wait for a store (10 s), so that each of
/// them asks again; more than what a burst of other changes lasts, so that those do not.
const COUNTS_FOR: SignedDuration = SignedDuration::from_secs(5);

/// What a look shows.
pub(super) trait Answer: Clone + PartialEq + Send + 'static {
    /// The look itself went wrong, in this way.
    fn broken(message: String) -> Self;
}

/// What passes see of an answer that is too old, until the next one comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outdated {
    /// It stays what is known.
    Shown,
    /// Nothing is known any more.
    Dropped,
}

/// What is known of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Known<A> {
    /// The newest answer.
    Answer(A),
    /// None yet: the store is being asked since then. The end of the look wakes whoever it is for.
    Asked(Timestamp),
}

/// All looks of one kind.
pub(super) struct Looks<K, Q, A> {
    changed: mpsc::UnboundedSender<K>,
    clock: Arc<dyn Clock>,
    outdated: Outdated,
    begun: AtomicU64,
    of: Arc<Mutex<Slots<K, Q, A>>>,
}

type Slots<K, Q, A> = BTreeMap<K, Slot<Q, A>>;

struct Slot<Q, A> {
    number: u64,
    question: Q,
    asked_at: Timestamp,
    answer: Option<(A, Timestamp)>,
    running: Option<DropGuard>,
    /// A pass went without an answer, or with an old one.
    is_awaited: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K, Q, A> Looks<K, Q, A>
where
    K: Ord + Clone + Send + 'static,
    Q: PartialEq + Send + 'static,
    A: Answer,
{
    pub(super) fn new(changed: mpsc::UnboundedSender<K>, clock: Arc<dyn Clock>, outdated: Outdated) -> Self {
        Self { changed, clock, outdated, begun: AtomicU64::new(0), of: Arc::default() }
    }

    /// Begins a look, unless the question is being asked or was answered a moment ago. A look for another question ends.
    pub(super) fn begin<F>(&self, key: &K, question: Q, look: impl FnOnce() -> F)
    where
        F: Future<Output = A> + Send + 'static,
    {
        let now = self.clock.now();
        let mut slots = lock(&self.of);
        let before = slots.remove(key).filter(|slot| slot.question == question);
        let is_new = |(_, at): &(A, Timestamp)| now.duration_since(*at) < COUNTS_FOR;
        let answer = match before {
            Some(slot) if slot.running.is_some() || slot.answer.as_ref().is_some_and(is_new) => {
                slots.insert(key.clone(), slot);
                return;
            }
            before => before.and_then(|slot| slot.answer).filter(|_| self.outdated == Outdated::Shown),
        };
        let (cancel, number) = (CancellationToken::new(), self.begun.fetch_add(1, Ordering::Relaxed));
        let running = Some(cancel.clone().drop_guard());
        slots.insert(key.clone(), Slot { number, question, asked_at: now, answer, running, is_awaited: false });
        tokio::spawn(run(self.ending(key, number), cancel, look()));
    }

    fn ending(&self, key: &K, number: u64) -> Ending<K, Q, A> {
        Ending { of: self.of.clone(), changed: self.changed.clone(), clock: self.clock.clone(), key: key.clone(), number }
    }

    /// What is known of this question; `None` when it was not asked. Whoever gets nothing is woken by the look's end.
    pub(super) fn known(&self, key: &K, question: &Q) -> Option<Known<A>> {
        let mut slots = lock(&self.of);
        let slot = slots.get_mut(key).filter(|slot| slot.question == *question)?;
        slot.is_awaited = slot.running.is_some();
        Some(slot.answer.as_ref().map_or(Known::Asked(slot.asked_at), |(answer, _)| Known::Answer(answer.clone())))
    }

    /// Forgets the answer, and ends the look: what was done since makes it worthless.
    pub(super) fn forget(&self, key: &K) {
        lock(&self.of).remove(key);
    }

    /// Forgets all others.
    pub(super) fn keep_only(&self, keys: &BTreeSet<K>) {
        lock(&self.of).retain(|key, _| keys.contains(key));
    }
}

async fn run<K: Ord, Q, A: Answer>(ending: Ending<K, Q, A>, cancel: CancellationToken, look: impl Future<Output = A> + Send) {
    let answer = tokio::select! {
        biased;
        () = cancel.cancelled() => return,
        answer = AssertUnwindSafe(look).catch_unwind() => answer,
    };
    ending.write_down(answer.unwrap_or_else(|panic| A::broken(format!("the look panicked: {}", panic_text(panic.as_ref())))));
}

struct Ending<K, Q, A> {
    of: Arc<Mutex<Slots<K, Q, A>>>,
    changed: mpsc::UnboundedSender<K>,
    clock: Arc<dyn Clock>,
    key: K,
    number: u64,
}

impl<K: Ord, Q, A: Answer> Ending<K, Q, A> {
    fn write_down(self, answer: A) {
        let is_news = {
            let mut slots = lock(&self.of);
            let Some(slot) = slots.get_mut(&self.key).filter(|slot| slot.number == self.number) else { return };
            slot.running = None;
            let is_other = slot.answer.as_ref().is_none_or(|(before, _)| *before != answer);
            slot.answer = Some((answer, self.clock.now()));
            slot.is_awaited && is_other
        };
        if is_news {
            // Nobody listens only while the controller shuts down.
            let _ = self.changed.send(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::TokioClock;

    impl Answer for String {
        fn broken(message: String) -> Self {
            message
        }
    }

    type Woken = mpsc::UnboundedReceiver<&'static str>;

    fn looks(outdated: Outdated) -> (Looks<&'static str, u8, String>, Woken) {
        let (changed, woken) = mpsc::unbounded_channel();
        let clock = Arc::new(TokioClock::starting_at("2026-11-21T00:00:00Z".parse().unwrap()));
        (Looks::new(changed, clock, outdated), woken)
    }

    async fn after(seconds: u64, answer: &str) -> String {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        answer.to_owned()
    }

    async fn pass(seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    fn answer(known: Option<Known<String>>) -> Option<String> {
        match known {
            Some(Known::Answer(answer)) => Some(answer),
            Some(Known::Asked(_)) | None => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_finds_no_answer_is_woken_when_it_comes_and_nobody_else_is() {
        let (looks, mut woken) = looks(Outdated::Shown);
        looks.begin(&"a", 1, || after(2, "yes"));
        assert!(matches!(looks.known(&"a", &1), Some(Known::Asked(_))));
        looks.begin(&"b", 1, || after(2, "yes"));
        pass(3).await;
        assert_eq!(answer(looks.known(&"a", &1)).as_deref(), Some("yes"));
        assert_eq!((woken.try_recv().ok(), woken.try_recv().ok()), (Some("a"), None));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_asked_for_again_when_it_is_old_and_not_before() {
        let (looks, mut woken) = looks(Outdated::Shown);
        looks.begin(&"a", 1, || after(0, "one"));
        pass(1).await;
        looks.begin(&"a", 1, || after(0, "two"));
        pass(1).await;
        assert_eq!(answer(looks.known(&"a", &1)).as_deref(), Some("one"), "it is two seconds old");
        pass(5).await;
        looks.begin(&"a", 1, || after(2, "two"));
        assert_eq!(answer(looks.known(&"a", &1)).as_deref(), Some("one"), "until the next one comes");
        pass(3).await;
        assert_eq!(answer(looks.known(&"a", &1)).as_deref(), Some("two"));
        assert_eq!(woken.try_recv().ok(), Some("a"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_answer_can_be_dropped_instead() {
        let (looks, mut woken) = looks(Outdated::Dropped);
        looks.begin(&"a", 1, || after(0, "one"));
        pass(6).await;
        looks.begin(&"a", 1, || after(2, "one"));
        assert!(matches!(looks.known(&"a", &1), Some(Known::Asked(_))));
        pass(3).await;
        assert_eq!(woken.try_recv().ok(), Some("a"), "the same answer is news for who had none");
    }

    #[tokio::test(start_paused = true)]
    async fn the_answer_to_another_question_is_none() {
        let (looks, mut woken) = looks(Outdated::Shown);
        looks.begin(&"a", 1, || after(5, "one"));
        looks.known(&"a", &1);
        looks.begin(&"a", 2, || after(1, "two"));
        pass(10).await;
        assert_eq!((answer(looks.known(&"a", &1)), answer(looks.known(&"a", &2)).as_deref()), (None, Some("two")));
        assert!(woken.try_recv().is_err(), "the first look was ended, and nobody waited for the second");
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_panics_has_an_answer() {
        let (looks, _woken) = looks(Outdated::Shown);
        looks.begin(&"a", 1, || async { panic!("out of cheese") });
        pass(1).await;
        assert_eq!(answer(looks.known(&"a", &1)).as_deref(), Some("the look panicked: out of cheese"));
        looks.forget(&"a");
        assert!(looks.known(&"a", &1).is_none());
    }
}
