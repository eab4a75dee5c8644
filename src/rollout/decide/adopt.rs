//! A release that takes another one's place (`spec.adoptFrom`): its pointer first, then its claim of the prefix.
//! Never takes anything while that release exists: two would write one pointer, or below one prefix.

use crate::api::release::Phase;
use crate::manifest::Owner;

use super::super::blocker::{AdoptionHold, Blocker};
use super::super::decision::{Decision, Step};
use super::super::observed::{Observed, PointerFound, Predecessor, Presence};

/// A pointer that is labelled as another release's: the predecessor's is taken over, by a write under the resource version that was
/// read before the predecessor was found gone. Should that release be recreated meanwhile, one of the two writes wins.
pub(super) fn pointer(observed: &Observed, found: &PointerFound) -> Decision {
    let config_map = observed.release.spec.pointer.config_map_name.clone();
    let (release, heir) = (found.release.clone(), observed.release.name.clone());
    let wait_for = |blocker| Decision::blocked(Phase::Pending, blocker);
    let Some(predecessor) = observed.predecessor.as_ref().filter(|predecessor| predecessor.name == found.release) else {
        return wait_for(Blocker::PointerTaken { config_map, release, labelled_by: found.labelled_by.clone() });
    };
    if let Some(exists) = still_there(predecessor) {
        return wait_for(exists);
    }
    match (&found.labelled_by, &found.contest) {
        (Some(by), _) => wait_for(Blocker::AdoptionWaits(Box::new(AdoptionHold::LabelKept { config_map, release, heir, by: by.clone() }))),
        (None, Some(contest)) => wait_for(Blocker::PointerContested { config_map, contest: contest.clone() }),
        (None, None) => Decision::step(Phase::Pending, Step::AdoptPointer(found.guard.clone())),
    }
}

/// Why a prefix that is another release's is not taken over yet, if it is to be.
pub(super) fn prefix(observed: &Observed, owner: &Owner) -> Option<Blocker> {
    let of_predecessor = |it: &&Predecessor| owner.release == format!("{}/{}", observed.release.namespace, it.name);
    still_there(observed.predecessor.as_ref().filter(of_predecessor)?)
}

fn still_there(predecessor: &Predecessor) -> Option<Blocker> {
    let release = predecessor.name.clone();
    match predecessor.presence {
        Presence::Gone => None,
        Presence::Ending => Some(Blocker::AdoptionWaits(Box::new(AdoptionHold::Ending { release }))),
        Presence::There => Some(Blocker::AdoptionWaits(Box::new(AdoptionHold::There { release }))),
    }
}
