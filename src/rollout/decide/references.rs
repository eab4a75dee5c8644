//! What the bucket says of a release: written when an object takes over pages that another one brought about, ended when it is deleted.
//! Never holds a deletion up for a store that does not answer: a release can always go.

use crate::api::release::Phase;
use crate::rollout::decision::{Decision, Step, UnstageReason, Wait};
use crate::rollout::observed::{Job, JobEnd, Observed, StoreFacts};
use crate::rollout::retention;

use super::super::gates;
use super::{is_due, is_idle, lead, ours, unstage};

/// Deletion takes the candidate back and says in the bucket that the release is gone. What pages use stays: pods may go on serving it.
pub(super) fn let_go_of_a_deleted_release(observed: &Observed) -> Option<Decision> {
    if !observed.release.deleting {
        return None;
    }
    let step = match (&observed.jobs.running, ours(observed)) {
        (Some((Job::EndReferences { .. }, _)), _) => {
            return Some(Decision { wait: Wait::Change, ..Decision::step(Phase::Terminating, Step::Nothing) });
        }
        (Some((job, _)), _) => Step::CancelJob(job.clone()),
        (None, Some(found)) if found.pointer.candidate.is_some() && !lead::is_ahead(observed, found) => {
            unstage(found, UnstageReason::Deleted)
        }
        (None, _) if observed.release.has_finalizer => say_the_end(observed),
        (None, _) => Step::Nothing,
    };
    let wait = if step == Step::Nothing { Wait::Change } else { Wait::Again };
    Some(Decision { wait, ..Decision::step(Phase::Terminating, step) })
}

/// The job tries for a while by itself: a failure is its last word, and then a person has to end the references.
fn say_the_end(observed: &Observed) -> Step {
    let job = Job::EndReferences { store: observed.store_identity().to_owned() };
    let is_tried = observed.jobs.end_of(&job).is_some();
    match &observed.store {
        StoreFacts::Usable { .. } if !is_tried => Step::StartJob(job),
        StoreFacts::Usable { .. } | StoreFacts::Missing | StoreFacts::Unusable(_) => Step::RemoveFinalizer,
    }
}

/// The job that writes what the release uses, while nothing says that this very object has done so.
pub(super) fn job(observed: &Observed) -> Option<Job> {
    let is_due = retention::are_references_due(&observed.release, observed.own_pointer());
    let is_usable = matches!(observed.store, StoreFacts::Usable { .. });
    (is_due && is_usable).then(|| Job::WriteReferences { store: observed.store_identity().to_owned() })
}

/// A staging writes them before it begins. Who takes over pages that are active already (an object that was made anew, under the same name
/// or another one, or a controller of before) stages nothing: without this the time of these pages would run with the object of before.
pub(super) fn write_beside(observed: &Observed, decided: Decision) -> Decision {
    // What pods report is among what is used: nothing is written over it before they were seen.
    let may_begin = is_idle(observed, &decided) && gates::pods_were_seen(observed).is_ok();
    let Some(job) = job(observed).filter(|_| may_begin) else { return decided };
    match observed.jobs.end_of(&job) {
        // The status that says so is written in this look.
        Some(JobEnd::ReferencesWritten) => decided,
        Some(JobEnd::Failed(failure)) if !is_due(failure.retry_at, observed.now) => decided.until_also(failure.retry_at),
        _ => Decision { step: Step::StartJob(job), wait: Wait::Again, ..decided },
    }
}
