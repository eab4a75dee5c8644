//! What this process has sent to one prefix and nobody answered: it may land later, until no store accepts its signature any more.
//! Never lets anything else to a key at which one of these may land.

use std::collections::BTreeMap;
use std::sync::{Mutex as Latch, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::super::SKEW;
use super::tenure::latch;
use crate::api::ContentHash;
use crate::bucket::SIGNED_REQUEST_LIFE;

/// How long a request may land after it was sent: the store's clock may be behind ours by this much.
const LIFE: Duration = SIGNED_REQUEST_LIFE.saturating_add(SKEW);

/// Keys that are remembered: the breaking off of a dozen publishes with all their writes. What is on its way when it is full comes on top.
pub(super) const KEYS_MAX: usize = 4096;

/// What lies at a key once a request has landed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sent {
    Bytes(ContentHash),
    Delete,
}

#[derive(Default)]
pub(super) struct Unanswered(Latch<State>);

#[derive(Default)]
struct State {
    writes: BTreeMap<String, Write>,
    /// Claims of the lock that were not written in time, by their tenure.
    claims: BTreeMap<String, Instant>,
}

struct Write {
    sent: Sent,
    at: Instant,
    /// For people: when it can land no more.
    until: Timestamp,
}

impl Unanswered {
    /// A write was broken off, or not answered.
    pub(super) fn note(&self, key: &str, sent: Sent, now: Timestamp) {
        let write = Write { sent, at: Instant::now(), until: now + LIFE };
        self.state().writes.insert(key.to_owned(), write);
    }

    /// Whether this may be sent to that key; or why not.
    pub(super) fn admits(&self, key: &str, sent: &Sent) -> Result<(), String> {
        let state = self.state();
        if let Some(write) = state.writes.get(key).filter(|write| write.sent != *sent) {
            return Err(format!(
                "something else was sent there, was not answered, and may still land; nothing is written there before {:.0}",
                write.until
            ));
        }
        match state.writes.values().map(|write| write.until).min() {
            Some(until) if state.writes.len() >= KEYS_MAX => {
                Err(format!("{} writes were not answered and may still land; nothing is written before {until:.0}", state.writes.len()))
            }
            _ => Ok(()),
        }
    }

    /// Whether nothing that was sent can land any more.
    pub(super) fn is_clear(&self) -> bool {
        self.state().writes.is_empty()
    }

    /// A claim is about to be sent. Until it is [settled](Self::settle) it may land over a lock that somebody else holds by then.
    pub(super) fn claim(&self, tenure: &str) {
        let mut state = self.state();
        // By then the time in the document is over, too: it is 60 s.
        state.claims.retain(|_, at| at.elapsed() <= 2 * LIFE);
        state.claims.insert(tenure.to_owned(), Instant::now());
    }

    pub(super) fn settle(&self, tenure: &str) {
        self.state().claims.remove(tenure);
    }

    /// Whether a claim of ours landed at a time that nobody knows: whom it took the lock from may have writes on their way.
    pub(super) fn was_late(&self, tenure: &str) -> bool {
        self.state().claims.contains_key(tenure)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = latch(&self.0);
        state.writes.retain(|_, write| write.at.elapsed() <= LIFE);
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // I3
    #[tokio::test(start_paused = true)]
    async fn beyond_the_bound_everything_waits_until_the_oldest_can_land_no_more() {
        let (unanswered, now) = (Unanswered::default(), "2026-11-21T00:00:00Z".parse().unwrap());
        let bytes = |text: &str| Sent::Bytes(ContentHash::of(text.as_bytes()));
        unanswered.note("oldest", bytes("a"), now);
        tokio::time::advance(Duration::from_secs(60)).await;
        for number in 1..KEYS_MAX {
            assert_eq!(unanswered.admits("free", &bytes("a")), Ok(()));
            unanswered.note(&number.to_string(), bytes("a"), now + Duration::from_secs(60));
        }
        let told = unanswered.admits("free", &bytes("a")).unwrap_err();
        assert!(told.contains("4096 writes were not answered") && told.contains("before 2026-11-21T00:17:00Z"), "{told}");
        tokio::time::advance(LIFE.saturating_sub(Duration::from_secs(59))).await;
        assert_eq!(unanswered.admits("free", &bytes("a")), Ok(()));
        assert!(unanswered.admits("1", &bytes("b")).is_err() && unanswered.admits("1", &bytes("a")).is_ok());
    }
}
