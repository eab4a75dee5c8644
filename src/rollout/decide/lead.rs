//! A new leader's first word: it raises the epoch before it decides anything else, so that whatever the leader before it has still under
//! way meets another resource version. Never writes where a later leader has written.

use crate::api::release::Phase;

use super::super::blocker::Blocker;
use super::super::decision::{Decision, PointerChange, Step, Wait};
use super::super::observed::{Observed, PointerFound};
use super::super::status::without_its_step;
use super::{lost, ours, write};

/// What comes before every rule, under an election: leave alone what a later leader wrote, and raise the epoch of what an earlier one did.
/// An empty pointer, and one that is behind, get it with the write that gives them their numbers.
pub(super) fn first(observed: &Observed) -> Option<Decision> {
    let epoch = observed.epoch?;
    let found = ours(observed)?;
    if is_ahead(observed, found) {
        // A release can always go; its pointer is left as it is.
        if observed.release.deleting {
            return None;
        }
        let config_map = observed.release.spec.pointer.config_map_name.clone();
        return Some(Decision::blocked(Phase::Stalled, Blocker::EpochAhead { config_map, pointer: found.pointer.epoch, ours: epoch }));
    }
    if found.pointer.epoch == epoch || lost::is_behind(observed, &found.pointer) {
        return None;
    }
    let step = write(found, PointerChange::Lead, found.pointer.clone(), found.name_map.clone());
    Some(under_our_epoch(observed, Decision::step(Phase::Pending, step)))
}

/// Whether a later leader wrote the pointer.
pub(super) fn is_ahead(observed: &Observed, found: &PointerFound) -> bool {
    observed.epoch.is_some_and(|epoch| found.pointer.epoch > epoch)
}

/// The same decision, with our epoch in whatever it writes. Before a pointer moves, the status says under which epoch: a delayed telling of
/// the leader before would otherwise be taken for what happened after it.
pub(super) fn under_our_epoch(observed: &Observed, mut decision: Decision) -> Decision {
    let Some(epoch) = observed.epoch else { return decision };
    let Step::WritePointer(write) = &mut decision.step else { return decision };
    if write.kind != PointerChange::Lead && observed.release.status.epoch != epoch {
        // I9: the step itself comes with the look after this one.
        return Decision { step: Step::TellEpoch, wait: Wait::Again, ..without_its_step(&decision) };
    }
    write.pointer.epoch = epoch;
    decision
}

#[cfg(test)]
mod tests {
    use super::super::super::decision::PointerWrite;
    use super::super::super::fixture::{at, fixture};
    use super::super::decide;
    use super::*;
    use crate::api::Pointer;

    fn under(observed: Observed, epoch: i64) -> Observed {
        Observed { epoch: Some(epoch), ..observed }
    }

    fn written(observed: &Observed) -> PointerWrite {
        match decide(observed).step {
            Step::WritePointer(write) => *write,
            other => panic!("expected a write of the pointer, got {other:?}"),
        }
    }

    #[test]
    fn a_new_leader_raises_the_epoch_before_anything_else_and_changes_nothing_else() {
        let observed = under(fixture().after_v1().staged().spec(|spec| spec.suspend = true), 7);
        let write = written(&observed);
        assert_eq!(write.kind, PointerChange::Lead);
        let before = &observed.found().unwrap().pointer;
        assert_eq!(write.pointer, Pointer { epoch: 7, ..before.clone() });
        assert_eq!(write.expected, observed.found().unwrap().guard);
        let mut deleting = observed;
        deleting.release.deleting = true;
        assert_eq!(written(&deleting).kind, PointerChange::Lead);
    }

    /// I4: who sees a later leader's epoch does nothing, and says who else may be at work.
    #[test]
    fn what_a_later_leader_wrote_is_left_alone() {
        let ahead = fixture().after_v1().found().unwrap().pointer.clone();
        let observed = under(fixture().with_pointer(Pointer { epoch: 8, ..ahead }), 7);
        let decision = decide(&observed);
        assert_eq!(decision.step, Step::Nothing);
        assert!(matches!(decision.blockers.as_slice(), [Blocker::EpochAhead { pointer: 8, ours: 7, .. }]), "{:?}", decision.blockers);
        let staged = fixture().after_v1().staged();
        let ahead = Pointer { epoch: 8, ..staged.found().unwrap().pointer.clone() };
        let mut deleting = under(staged.with_pointer(ahead), 7);
        deleting.release.deleting = true;
        let step = decide(&deleting).step;
        assert!(matches!(step, Step::StartJob(_) | Step::RemoveFinalizer), "a release can always go: {step:?}");
    }

    /// I9: a pointer moves only under a status that names the leader, so that an earlier one's telling cannot come behind it.
    #[test]
    fn the_status_names_the_epoch_before_the_pointer_moves_and_the_pointer_with_it() {
        let pointer = |observed: &Observed| Pointer { epoch: 7, ..observed.found().unwrap().pointer.clone() };
        let staged = fixture().after_v1().staged().at(at(910));
        let mut observed = under(staged.clone().with_pointer(pointer(&staged)), 7).spec(|spec| spec.suspend = true);
        assert_eq!(decide(&observed).step, Step::TellEpoch);
        observed.release.status.epoch = 7;
        assert!(matches!(written(&observed).kind, PointerChange::Unstage(_)));
        assert_eq!(written(&observed).pointer.epoch, 7);
    }

    #[test]
    fn an_empty_pointer_gets_the_epoch_with_its_first_staging() {
        let mut observed = under(fixture().verified_for(1, &[]), 7);
        observed.release.status.epoch = 7;
        let write = written(&observed);
        assert_eq!((write.kind, write.pointer.epoch, write.pointer.stage), (PointerChange::Stage, 7, 1));
    }

    #[test]
    fn without_an_election_the_epoch_stays_as_it_is() {
        let led = Pointer { epoch: 9, ..fixture().after_v1().staged().found().unwrap().pointer.clone() };
        let observed = fixture().with_pointer(led).spec(|spec| spec.suspend = true);
        let write = written(&observed);
        assert!(matches!(write.kind, PointerChange::Unstage(_)));
        assert_eq!(write.pointer.epoch, 9);
    }
}
