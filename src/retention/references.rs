//! What a release writes down of itself in the bucket: what it uses now, and what it used, for as long as that matters.
//! Never drops a version while any rule of its own may still keep it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::api::moment::later;
use crate::manifest::record::{Activation, FORMAT, References, RetentionPolicy, Use};

/// What a release says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnFacts {
    /// UID of the cluster.
    pub cluster: String,
    /// `namespace/name`.
    pub release: String,
    /// UID of the AssetRelease: one of the same name that is made later is another one.
    pub uid: String,
    /// For how long; `None`: for ever.
    pub retention: Option<RetentionPolicy>,
    /// Versions in use.
    pub uses: BTreeSet<Use>,
    /// Versions that its status remembers to have been activated; it remembers a few only.
    pub activated: Vec<Activation>,
}

/// What is taken over in the bucket: the claim of the prefix, and what the references remember.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inheritance {
    /// `namespace/name` of the release that is gone.
    pub release: String,
    /// The pointer's number of flips: what the references remember beyond it belongs to another pointer.
    pub sequence: i64,
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
    // A status or a document that names a time to come would keep its version until then. What the document itself was written after is no such
    // time, whatever our clock says: a clock that is years behind would take what was retired yesterday.
    let at_most = before.map_or(now, |before| now.max(before.written_at));
    for activation in activated.values_mut() {
        activation.retired_at = activation.retired_at.map(|at| at.min(at_most));
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
        uid: Some(own.uid.clone()),
        deleted_at: None,
        // Not the earlier of both: a clock that is years behind would take the time of what is not mentioned. A date that has not come yet
        // is the store's for those who read it.
        since: before.map_or(now, |before| before.since),
        written_at: now,
        retention: own.retention.clone(),
        uses: own.uses.iter().cloned().collect(),
        activated: still_needed(activated, own.retention.as_ref(), now),
    }
}

/// What a release knew before, when it takes the place of another one and goes on with its pointer: both documents as one. `None` where
/// their numbers are not one line: `sequence` is the pointer's, and what the old document has beyond it was another pointer's.
#[must_use]
pub fn inherited(before: Option<&References>, old: &References, own: &OwnFacts, sequence: i64) -> Option<References> {
    let mut activated: BTreeMap<i64, Activation> = BTreeMap::new();
    for activation in old.activated.iter().chain(before.iter().flat_map(|before| &before.activated)) {
        let known = activated.entry(activation.sequence).or_insert_with(|| activation.clone());
        if known.digest != activation.digest {
            return None;
        }
        known.retired_at = known.retired_at.max(activation.retired_at);
    }
    let is_one_line = old.activated.iter().all(|activation| activation.sequence <= sequence);
    is_one_line.then(|| References {
        release: own.release.clone(),
        since: before.map_or(old.since, |before| before.since.min(old.since)),
        activated: activated.into_values().rev().collect(),
        ..old.clone()
    })
}

/// Whether this very release was deleted: what a process still has to say of it came too late.
#[must_use]
pub fn is_over(before: &References, own: &OwnFacts) -> bool {
    before.deleted_at.is_some() && before.uid.as_deref() == Some(own.uid.as_str())
}

/// The last document of a release that is deleted: what it used until then, and that its time runs. `None` when nothing is to be
/// written: it says so already, or it is of a release of the same name that was made later.
#[must_use]
pub fn last(before: &References, own: &OwnFacts, now: Timestamp) -> Option<References> {
    let is_ours = before.uid.as_ref().is_none_or(|uid| *uid == own.uid);
    (is_ours && before.deleted_at.is_none()).then(|| {
        let next = next(Some(before), own, now);
        // The pods may not have been seen in this last look: what was in use before still counts.
        let uses: BTreeSet<Use> = before.uses.iter().chain(&next.uses).cloned().collect();
        References { uses: uses.into_iter().collect(), deleted_at: Some(now), ..next }
    })
}

/// Of a release that is gone and has not said so itself, by a person's word. Without the UID, so that a release that is there after all
/// takes its document back with the next thing that it writes.
#[must_use]
pub fn ended_by_hand(before: &References, now: Timestamp) -> References {
    References { uid: None, deleted_at: Some(now), written_at: now, ..before.clone() }
}

/// What a deleted release keeps that had no policy: 30 days, the default of `spec.retention.ttl`.
const TTL_WITHOUT_POLICY: u64 = 720 * 60 * 60;

/// The shortest time that a deleted release keeps what it used: pods that it left behind may still be loading, and two clocks differ.
const TTL_OF_DELETED_MIN: u64 = 24 * 60 * 60;

/// For how long a deleted release keeps what it used until its end.
#[must_use]
pub fn policy_of_deleted(references: &References) -> RetentionPolicy {
    let without = RetentionPolicy { releases: 1, ttl_seconds: TTL_WITHOUT_POLICY, pins: Vec::new() };
    let policy = references.retention.clone().unwrap_or(without);
    RetentionPolicy { ttl_seconds: policy.ttl_seconds.max(TTL_OF_DELETED_MIN), ..policy }
}

/// From when nothing of a deleted release counts any more, neither what it used nor a pin. `None` while it is there.
#[must_use]
pub fn ends_at(references: &References) -> Option<Timestamp> {
    let policy = policy_of_deleted(references);
    references.deleted_at.map(|at| later(at, Duration::from_secs(longest(&policy))))
}

fn longest(policy: &RetentionPolicy) -> u64 {
    policy.pins.iter().map(|pin| pin.ttl_seconds).chain([policy.ttl_seconds]).max().unwrap_or(u64::MAX)
}

/// Whether both say the same, whenever they were written.
#[must_use]
pub fn says_the_same(one: &References, other: &References) -> bool {
    *one == References { written_at: one.written_at, ..other.clone() }
}

fn still_needed(activated: Vec<Activation>, policy: Option<&RetentionPolicy>, now: Timestamp) -> Vec<Activation> {
    let Some(policy) = policy else { return activated };
    let longest = SignedDuration::from_secs(i64::try_from(longest(policy)).unwrap_or(i64::MAX));
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
        OwnFacts { cluster: "c".into(), release: "web/shop".into(), uid: "u1".into(), retention: Some(policy), uses, activated }
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

    /// I5: the time of what the release before had activated runs on, and nothing of it is forgotten.
    #[test]
    fn a_release_that_takes_anothers_place_remembers_what_that_one_activated() {
        let old = next(None, &own(vec![activation(2, None), activation(1, Some(1))]), at(1));
        let heir = OwnFacts { release: "web/store".into(), activated: Vec::new(), ..own(Vec::new()) };
        let merged = next(Some(&inherited(None, &old, &heir, 2).unwrap()), &heir, at(5));
        assert_eq!((merged.release.as_str(), merged.since, sequences(&merged)), ("web/store", at(1), vec![2, 1]));
        assert_eq!((merged.activated[0].retired_at, merged.activated[1].retired_at), (None, Some(at(1))), "the latest is still active");
        let third = next(Some(&merged), &OwnFacts { activated: vec![activation(3, None)], ..heir.clone() }, at(6));
        assert_eq!(sequences(&third), [3, 2, 1]);
        let known = inherited(Some(&third), &old, &heir, 3).unwrap();
        assert_eq!((known.since, sequences(&known), known.activated[1].retired_at), (at(1), vec![3, 2, 1], Some(at(6))));
    }

    /// Numbers of another pointer say nothing of this one's: the old document stays, and keeps what it keeps.
    #[test]
    fn documents_of_two_pointers_are_not_made_into_one() {
        let old = next(None, &own(vec![activation(7, None)]), at(1));
        let heir = OwnFacts { release: "web/store".into(), ..own(Vec::new()) };
        assert_eq!(inherited(None, &old, &heir, 6), None, "the pointer is behind it");
        let mut other = next(None, &own(vec![activation(7, None)]), at(2));
        other.activated[0].digest = ManifestDigest::of(b"another build");
        assert_eq!(inherited(Some(&other), &old, &heir, 9), None, "one number, two builds");
    }

    #[test]
    fn the_same_facts_say_the_same_later() {
        let facts = own(vec![activation(1, None)]);
        let first = next(None, &facts, at(1));
        assert!(says_the_same(&first, &next(Some(&first), &facts, at(2))));
        assert!(!says_the_same(&first, &next(Some(&first), &own(vec![activation(2, None)]), at(2))));
    }
}
