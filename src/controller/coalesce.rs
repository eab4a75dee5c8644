//! Many events about one release become one look: after a short quiet time, and after a longest time at the latest.
//! Never lets a stream of events postpone a look without an end: deadlines, suspension and deletion are among what is looked at.

use std::collections::HashMap;
use std::hash::Hash;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use futures::stream::{BoxStream, StreamExt as _};
use tokio::time::Instant;
use tokio_util::time::DelayQueue;
use tokio_util::time::delay_queue::Key;

/// How long events are collected.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// An event is passed on when none about the same thing has come for this time.
    pub(super) quiet: Duration,
    /// And this long after the first one at the latest.
    pub(super) most: Duration,
}

/// What is about to be passed on.
struct Waiting {
    key: Key,
    until: Instant,
}

/// A stream of things to look at, each at most once in [`Pace::quiet`].
pub(super) struct Coalesced<T> {
    events: Option<BoxStream<'static, T>>,
    pace: Pace,
    due: DelayQueue<T>,
    waiting: HashMap<T, Waiting>,
}

/// Collects events about the same thing. Ends when the events end and all of them were passed on.
pub(super) fn coalesce<T: Eq + Hash + Clone>(events: impl Stream<Item = T> + Send + 'static, pace: Pace) -> Coalesced<T> {
    Coalesced { events: Some(events.boxed()), pace, due: DelayQueue::new(), waiting: HashMap::new() }
}

impl<T: Eq + Hash + Clone> Coalesced<T> {
    fn note(&mut self, thing: T) {
        let now = Instant::now();
        match self.waiting.get(&thing) {
            Some(waiting) => self.due.reset_at(&waiting.key, waiting.until.min(now + self.pace.quiet)),
            None => {
                let key = self.due.insert_at(thing.clone(), now + self.pace.quiet);
                self.waiting.insert(thing, Waiting { key, until: now + self.pace.most });
            }
        }
    }
}

impl<T: Eq + Hash + Clone + Unpin> Stream for Coalesced<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        // What is due first: events that never stop must not keep it from being passed on.
        if let Poll::Ready(Some(due)) = self.due.poll_expired(cx) {
            let thing = due.into_inner();
            self.waiting.remove(&thing);
            return Poll::Ready(Some(thing));
        }
        while let Some(events) = &mut self.events {
            match events.poll_next_unpin(cx) {
                Poll::Ready(Some(thing)) => self.note(thing),
                Poll::Ready(None) => self.events = None,
                Poll::Pending => break,
            }
        }
        match self.due.poll_expired(cx) {
            Poll::Ready(Some(due)) => {
                let thing = due.into_inner();
                self.waiting.remove(&thing);
                Poll::Ready(Some(thing))
            }
            Poll::Ready(None) if self.events.is_none() => Poll::Ready(None),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use tokio::time::sleep;

    use super::*;

    const PACE: Pace = Pace { quiet: Duration::from_millis(5), most: Duration::from_millis(100) };

    /// Events about these things, each so long after the one before.
    fn events(things: Vec<&'static str>, apart: Duration) -> impl Stream<Item = &'static str> + Send + 'static {
        stream::iter(things).then(move |thing| async move {
            sleep(apart).await;
            thing
        })
    }

    async fn passed_on(events: impl Stream<Item = &'static str> + Send + 'static) -> Vec<(&'static str, u128)> {
        let begun = Instant::now();
        coalesce(events, PACE).map(|thing| (thing, begun.elapsed().as_millis())).collect().await
    }

    #[tokio::test(start_paused = true)]
    async fn events_that_follow_one_another_closely_are_one_look_after_five_milliseconds() {
        let reports = events(vec!["shop"; 10], Duration::from_millis(3));
        assert_eq!(passed_on(reports).await, [("shop", 35)]);
    }

    #[tokio::test(start_paused = true)]
    async fn events_that_never_stop_postpone_a_look_by_a_tenth_of_a_second_at_most() {
        let starting = events(vec!["shop"; 1_000], Duration::from_millis(3));
        let looks: Vec<u128> = passed_on(starting).await.into_iter().map(|(_, at)| at).collect();
        let pauses: Vec<u128> = looks.windows(2).map(|two| two[1] - two[0]).collect();
        assert!(looks.len() >= 29 && pauses.iter().all(|pause| *pause <= 104), "{looks:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_release_keeps_no_other_waiting() {
        let busy = events(vec!["busy"; 100], Duration::from_millis(1));
        let other = events(vec!["other"], Duration::from_millis(20));
        let looks = passed_on(stream::select(busy, other)).await;
        assert!(looks.contains(&("other", 25)) || looks.contains(&("other", 26)), "{looks:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn things_that_all_come_at_once_are_all_passed_on() {
        let many: Vec<&'static str> = vec!["a", "b", "c", "a", "b"];
        let mut looks: Vec<&str> = passed_on(stream::iter(many)).await.into_iter().map(|(thing, _)| thing).collect();
        looks.sort_unstable();
        assert_eq!(looks, ["a", "b", "c"]);
    }
}
