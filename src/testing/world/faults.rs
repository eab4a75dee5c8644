//! Faults of the network and of the API server: by seed, or aimed at one process.
//! Never for ever: what is thrown by seed can be switched off, so that the world may settle.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use crate::testing::apiserver::{After, Before, Change, Delivery, Hook, Refusal, Seen, Verb};

/// One step of splitmix64: every bit of the input moves about half the bits of the output.
pub(super) fn mix(input: u64) -> u64 {
    let mut z = input.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Every request takes between 1 and 8 ms, as the seed has it.
pub(super) struct Latency(pub(super) u64);

impl Hook for Latency {
    fn latency(&self, seen: &Seen) -> Duration {
        Duration::from_micros(1000 + mix(self.0 ^ mix(seen.number)) % 7000)
    }
}

/// About one request in twelve and one event in twenty goes wrong.
pub(super) struct Storm {
    seed: u64,
    blowing: AtomicBool,
}

impl Storm {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, blowing: AtomicBool::new(true) }
    }

    pub(super) fn end(&self) {
        self.blowing.store(false, Ordering::SeqCst);
    }

    fn draw(&self, number: u64, salt: u64) -> u64 {
        if self.blowing.load(Ordering::SeqCst) { mix(self.seed ^ mix(number ^ mix(salt))) } else { u64::MAX }
    }
}

impl Hook for Storm {
    fn before(&self, seen: &Seen) -> Before {
        match self.draw(seen.number, 1) % 60 {
            0 => Before::Refuse(Refusal::new(
                429,
                "TooManyRequests",
                "the server has received too many requests and has asked us to try again later",
            )),
            1 => Before::Refuse(Refusal::new(503, "ServiceUnavailable", "the server is currently unable to handle the request")),
            2 => Before::Refuse(Refusal::new(500, "InternalError", "etcdserver: leader changed")),
            3 => Before::Break,
            4 if seen.verb.mutates() && seen.verb != Verb::Create => Before::Refuse(Refusal::new(
                409,
                "Conflict",
                "the object has been modified; please apply your changes to the latest version and try again",
            )),
            _ => Before::Pass,
        }
    }

    fn after(&self, seen: &Seen, _code: u16) -> After {
        match self.draw(seen.number, 2) % 30 {
            0 => After::Replace(Refusal::new(504, "Timeout", "request did not complete within requested timeout")),
            1 => After::Break,
            _ => After::Pass,
        }
    }

    fn deliver(&self, seen: &Seen, change: &Change) -> Delivery {
        match self.draw(change.version, mix(seen.number)) % 60 {
            0 => Delivery::Close,
            1 => Delivery::Expire,
            2 => Delivery::Late(Duration::from_millis(700)),
            _ => Delivery::Now,
        }
    }
}

/// Requests of single processes that are on their way for long.
#[derive(Default)]
pub(super) struct Held {
    until: Mutex<BTreeMap<String, Instant>>,
    /// Begins with the next write of such an object, and lasts this long.
    armed: Mutex<BTreeMap<String, (&'static str, Duration)>>,
}

impl Held {
    fn until(&self) -> MutexGuard<'_, BTreeMap<String, Instant>> {
        self.until.lock().expect("no holder of this lock panics")
    }

    /// Everything of this process from now on.
    pub(super) fn of(&self, process: &str, until: Instant) {
        self.until().insert(process.to_owned(), until);
    }

    /// Everything of this process from its next write of an object of this kind on.
    pub(super) fn at_write(&self, process: &str, plural: &'static str, length: Duration) {
        self.armed.lock().expect("no holder of this lock panics").insert(process.to_owned(), (plural, length));
    }
}

impl Hook for Held {
    fn hold(&self, seen: &Seen) -> Duration {
        let mut armed = self.armed.lock().expect("no holder of this lock panics");
        if let Some((_, length)) = armed.get(&seen.actor).filter(|(plural, _)| seen.verb.mutates() && *plural == seen.key.plural) {
            self.of(&seen.actor, Instant::now() + *length);
            armed.remove(&seen.actor);
        }
        self.until().get(&seen.actor).map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }
}

/// Watches of single processes that see nothing new for a while: a connection that is cut without a word.
#[derive(Default)]
pub(super) struct Deafness {
    deaf: Mutex<BTreeMap<String, Duration>>,
}

impl Deafness {
    pub(super) fn of(&self, process: &str, length: Duration) {
        self.deaf.lock().expect("no holder of this lock panics").insert(process.to_owned(), length);
    }
}

impl Hook for Deafness {
    fn deliver(&self, seen: &Seen, _change: &Change) -> Delivery {
        match self.deaf.lock().expect("no holder of this lock panics").remove(&seen.actor) {
            Some(length) => Delivery::Late(length),
            None => Delivery::Now,
        }
    }
}
