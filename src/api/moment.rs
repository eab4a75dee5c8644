//! Arithmetic on moments that others have written: status, pointer, nodes and documents may name any.
//! Never panics at the end of time, and never believes a moment that has not come.

use jiff::{SignedDuration, Timestamp, TimestampArithmetic};

/// Clocks of machines that take part may differ by this much.
const SKEW: SignedDuration = SignedDuration::from_mins(2);

/// A moment and a time after it; the end of time when it would be beyond.
#[must_use]
pub fn later(at: Timestamp, by: impl Into<TimestampArithmetic>) -> Timestamp {
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}

/// A moment of the past that others have written; `None` when it has not come yet, and not because clocks differ a little.
#[must_use]
pub fn past(at: Timestamp, now: Timestamp) -> Option<Timestamp> {
    (at <= later(now, SKEW)).then_some(at)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn time_ends_where_it_ends() {
        for at in [Timestamp::MIN, Timestamp::UNIX_EPOCH, Timestamp::MAX] {
            assert_eq!(later(at, SignedDuration::MAX), Timestamp::MAX);
            assert_eq!(later(at, SignedDuration::MIN), Timestamp::MIN);
            assert!(later(at, Duration::from_secs(1)) >= at);
        }
        assert_eq!(later(Timestamp::MIN, Duration::MAX), Timestamp::MAX);
    }

    #[test]
    fn what_has_not_come_is_not_believed() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(past(at(120), at(0)), Some(at(120)));
        assert_eq!((past(at(121), at(0)), past(Timestamp::MAX, at(0))), (None, None));
        assert_eq!(past(Timestamp::MIN, at(0)), Some(Timestamp::MIN));
    }
}
