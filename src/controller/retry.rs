//! The only place that turns failures into delays.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::cluster::pods::ReleaseKey;
use crate::cluster::{CallError, Class};

/// Why a pass failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// A call to the API server failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// An object cannot be read: what it says, and where.
    #[error("{0}")]
    Unreadable(String),
    /// The pass panicked: a bug, but not the end of the controller.
    #[error("the pass panicked: {0}")]
    Panicked(String),
    /// The pass took too long.
    #[error("the pass took longer than {} s", .0.as_secs())]
    TooLong(Duration),
}

impl Failure {
    /// What kind of failure it is.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Call(error) => error.class,
            Self::Panicked(_) | Self::Unreadable(_) => Class::Invalid,
            Self::TooLong(_) => Class::Transient,
        }
    }

    /// Label of metrics: a closed set.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match (self, self.class()) {
            (Self::Panicked(_), _) => "panicked",
            (_, Class::Transient) => "transient",
            (_, Class::Denied) => "denied",
            (_, Class::Invalid) => "invalid",
            (_, Class::Conflict) => "conflict",
        }
    }
}

/// How long to wait after the nth failure in a row (n from 1). Transient: 0.5 s doubling to 1 min. Denied and invalid: somebody
/// has to change something, 5 s doubling to 5 min. Conflict: at once, then like transient.
#[must_use]
pub fn delay(class: Class, attempt: u32) -> Duration {
    let (first, most) = match class {
        Class::Transient | Class::Conflict => (Duration::from_millis(500), Duration::from_secs(60)),
        Class::Denied | Class::Invalid => (Duration::from_secs(5), Duration::from_secs(300)),
    };
    if class == Class::Conflict && attempt <= 1 {
        return Duration::ZERO;
    }
    // 2^10 seconds are past every limit, so the shift cannot overflow.
    first.saturating_mul(1 << attempt.saturating_sub(1).min(10)).min(most)
}

/// How often each release has failed in a row: kube's error policy is not told.
#[derive(Debug, Default)]
pub struct Attempts(Mutex<BTreeMap<ReleaseKey, u32>>);

impl Attempts {
    /// Counts a failure and says how many there were in a row.
    pub fn failed(&self, key: &ReleaseKey) -> u32 {
        let mut attempts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = attempts.entry(key.clone()).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// Starts counting anew.
    pub fn succeeded(&self, key: &ReleaseKey) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ReleaseKey {
        ReleaseKey { namespace: "ns".into(), name: name.into() }
    }

    #[test]
    fn delays_double_up_to_a_limit() {
        let seconds: Vec<_> = (1..=9).map(|attempt| delay(Class::Transient, attempt).as_millis()).collect();
        assert_eq!(seconds, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        assert_eq!(delay(Class::Denied, 99), Duration::from_secs(300));
        assert_eq!(delay(Class::Conflict, 1), Duration::ZERO);
    }

    #[test]
    fn each_release_has_its_own_count() {
        let attempts = Attempts::default();
        assert_eq!((attempts.failed(&key("a")), attempts.failed(&key("a")), attempts.failed(&key("b"))), (1, 2, 1));
        attempts.succeeded(&key("a"));
        assert_eq!(attempts.failed(&key("a")), 1);
    }
}
