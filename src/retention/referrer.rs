//! Who uses a prefix, for people: which release of which cluster, whether it is still there, and until when it keeps what it used.
//! Never decides what stays: that is [`roots`](super::roots).

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::references::ends_at;
use crate::manifest::References;

/// A settled release with a policy writes its document once a day; one that has written nothing for so long may be gone.
const SILENT_AFTER: SignedDuration = SignedDuration::from_hours(7 * 24);

/// One release that uses the prefix, or did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referrer {
    /// UID of its cluster.
    pub cluster: String,
    /// `namespace/name`.
    pub release: String,
    /// When it last wrote its document.
    pub written_at: Timestamp,
    /// What is known of it at the moment of the look.
    pub state: ReferrerState,
}

/// What is known of a release that uses a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferrerState {
    /// It is there, as far as its document says.
    There,
    /// It has written nothing for a week: it is suspended or unsettled, has no policy, or went without saying so.
    Silent,
    /// It was deleted.
    Deleted {
        /// When, by the store's clock.
        at: Timestamp,
        /// Until when it keeps anything.
        until: Timestamp,
    },
}

impl Referrer {
    /// What this document says at this moment; its end has the store's date.
    #[must_use]
    pub fn of(references: &References, now: Timestamp) -> Self {
        let state = match (references.deleted_at, ends_at(references)) {
            (Some(at), Some(until)) => ReferrerState::Deleted { at, until },
            _ if now.duration_since(references.written_at) > SILENT_AFTER => ReferrerState::Silent,
            _ => ReferrerState::There,
        };
        let (cluster, release) = (references.cluster.clone(), references.release.clone());
        Self { cluster, release, written_at: references.written_at, state }
    }

    /// What a person may have to do about it.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        let Self { cluster, release, written_at, state } = self;
        (*state == ReferrerState::Silent).then(|| {
            format!(
                "release {release} of cluster {cluster} has written nothing since {written_at}, and what it used stays: if it is gone, end its references with `rollcall store end-references`"
            )
        })
    }
}

impl fmt::Display for Referrer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cluster, release, written_at, state } = self;
        write!(f, "{release} of cluster {cluster}, ")?;
        match state {
            ReferrerState::There | ReferrerState::Silent => write!(f, "last written {written_at}"),
            ReferrerState::Deleted { at, until } => write!(f, "deleted {at}, keeps what it used until {until} at most"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::record::FORMAT;

    fn document(deleted_at: Option<&str>) -> References {
        References {
            references_version: FORMAT,
            cluster: "c".into(),
            release: "web/shop".into(),
            uid: None,
            deleted_at: deleted_at.map(|at| at.parse().unwrap()),
            since: "2026-11-01T00:00:00Z".parse().unwrap(),
            written_at: "2026-11-20T00:00:00Z".parse().unwrap(),
            retention: None,
            uses: Vec::new(),
            activated: Vec::new(),
        }
    }

    fn at(time: &str, document: &References) -> Referrer {
        Referrer::of(document, time.parse().unwrap())
    }

    #[test]
    fn a_release_that_writes_nothing_for_a_week_is_named_with_what_to_do() {
        let there = document(None);
        assert_eq!(at("2026-11-27T00:00:00Z", &there).advice(), None);
        let silent = at("2026-11-27T00:00:01Z", &there);
        let advice = silent.advice().unwrap();
        assert!(advice.contains("web/shop of cluster c") && advice.contains("store end-references"), "{advice}");
    }

    #[test]
    fn a_deleted_release_says_until_when_it_keeps_what_it_used() {
        let deleted = at("2026-12-24T00:00:00Z", &document(Some("2026-11-21T00:00:00Z")));
        assert_eq!(deleted.advice(), None, "its time runs by itself");
        let said = "web/shop of cluster c, deleted 2026-11-21T00:00:00Z, keeps what it used until 2026-12-21T00:00:00Z at most";
        assert_eq!(deleted.to_string(), said);
    }
}
