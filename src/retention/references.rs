//! What a release writes down of itself in the bucket: what it uses now, and what it used, for as long as that matters.
//! Never drops a version while any rule of its own may still keep it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::manifest::record::{Activation, FORMAT, References, RetentionPolicy, Use};

/// What a release says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnFacts {
    /// UID of the cluster.
    pub cluster: String,
    /// `namespace/name`.
    pub release: String,
    /// For how long; `None`: for ever.
    pub retention: Option<RetentionPolicy>,
    /// Versions in use.
    pub uses: BTreeSet<Use>,
    /// Versions that its status remembers to have been activated; it remembers a few only.
    pub activated: Vec<Activation>,
}

/// The next document: what is in use is replaced, what was activated is added to what was known.
#[must_use]
pub fn next(before: Option<&References>, own: &OwnFacts, now: Timestamp) -> References {
    let mut activated: BTreeMap<i64, Activation> =
        before.into_iter().flat_map(|before| &before.activated).map(|activation| (activation.sequence, activation.clone())).collect();
    for activation in &own.activated {
        let retired_before = activated.get(&activation.sequence).and_then(|known| known.retired_at);
        let retired_at = activation.retired_at.or(retired_before);
        activated.insert(activation.sequence, Activation { retired_at, ..activation.clone() });
    }
    let latest = activated.keys().next_back().copied();
    // The status forgot when: then the time runs from now, which only keeps it longer.
    for activation in activated.values_mut().filter(|activation| Some(activation.sequence) != latest) {
        activation.retired_at.get_or_insert(now);
    }
    let activated = activated.into_values().rev().collect();
    References {
        references_version: FORMAT,
        cluster: own.cluster.clone(),
        release: own.release.clone(),
        since: before.map_or(now, |before| before.since),
        written_at: now,
        retention: own.retention.clone(),
        uses: own.uses.iter().cloned().collect(),
        activated: still_needed(activated, own.retention.as_ref(), now),
    }
}

/// Whether both say the same, whenever they were written.
#[must_use]
pub fn says_the_same(one: &References, other: &References) -> bool {
    *one == References { written_at: one.written_at, ..other.clone() }
}

fn still_needed(activated: Vec<Activation>, policy: Option<&RetentionPolicy>, now: Timestamp) -> Vec<Activation> {
    let Some(policy) = policy else { return activated };
    let longest = policy.pins.iter().map(|pin| pin.ttl_seconds).chain([policy.ttl_seconds]).max().unwrap_or(u64::MAX);
    let longest = SignedDuration::from_secs(i64::try_from(longest).unwrap_or(i64::MAX));
    let mut seen = BTreeSet::new();
    let mut needed = Vec::new();
    for activation in activated {
        let is_recent = seen.insert(activation.digest.clone()) && seen.len() <= policy.releases as usize;
        let is_young = activation.retired_at.is_none_or(|at| now.duration_since(at) <= longest);
        if is_recent || is_young {
            needed.push(activation);
        }
    }
    needed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ManifestDigest;
    use crate::manifest::record::{Pin, Role};

    const HOUR: u64 = 3600;

    fn at(hour: u64) -> Timestamp {
        Timestamp::UNIX_EPOCH + std::time::Duration::from_secs(hour * HOUR)
    }

    fn activation(sequence: i64, retired_hour: Option<u64>) -> Activation {
        let version = format!("v{sequence}");
        Activation { digest: ManifestDigest::of(version.as_bytes()), version, sequence, retired_at: retired_hour.map(at) }
    }

    fn own(activated: Vec<Activation>) -> OwnFacts {
        let uses = [Use { digest: ManifestDigest::of(b"v9"), role: Role::Active }].into();
        let policy = RetentionPolicy { releases: 1, ttl_seconds: 10 * HOUR, pins: Vec::new() };
        OwnFacts { cluster: "c".into(), release: "web/shop".into(), retention: Some(policy), uses, activated }
    }

    fn sequences(references: &References) -> Vec<i64> {
        references.activated.iter().map(|activation| activation.sequence).collect()
    }

    #[test]
    fn what_the_status_forgot_is_remembered_until_its_time_is_over() {
        // I5
        let first = next(None, &own(vec![activation(2, None), activation(1, Some(1))]), at(1));
        assert_eq!((sequences(&first), first.since), (vec![2, 1], at(1)));
        let second = next(Some(&first), &own(vec![activation(3, None)]), at(5));
        assert_eq!(sequences(&second), [3, 2, 1]);
        assert_eq!(second.activated[1].retired_at, Some(at(5)), "when it was retired is not known: from now");
        assert_eq!(second.since, at(1));
        assert_eq!(sequences(&next(Some(&second), &own(vec![activation(3, None)]), at(11))), [3, 2, 1]);
        assert_eq!(sequences(&next(Some(&second), &own(vec![activation(3, None)]), at(12))), [3, 2]);
    }

    #[test]
    fn a_pin_keeps_the_memory_of_a_version_as_long_as_it_lasts() {
        let pinned = |pins| OwnFacts {
            retention: Some(RetentionPolicy { releases: 1, ttl_seconds: HOUR, pins }),
            ..own(vec![activation(2, None), activation(1, Some(1))])
        };
        let pin = Pin { pattern: "mail/**".into(), ttl_seconds: 100 * HOUR };
        assert_eq!(sequences(&next(None, &pinned(vec![pin]), at(50))), [2, 1]);
        assert_eq!(sequences(&next(None, &pinned(vec![]), at(50))), [2]);
        assert_eq!(sequences(&next(None, &OwnFacts { retention: None, ..pinned(vec![]) }, at(50))), [2, 1]);
    }

    #[test]
    fn the_same_facts_say_the_same_later() {
        let facts = own(vec![activation(1, None)]);
        let first = next(None, &facts, at(1));
        assert!(says_the_same(&first, &next(Some(&first), &facts, at(2))));
        assert!(!says_the_same(&first, &next(Some(&first), &own(vec![activation(2, None)]), at(2))));
    }
}
