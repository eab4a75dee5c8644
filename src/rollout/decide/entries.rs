//! Entry pages that the bucket serves: written after the flip, confirmed when no write from before it can land any more.
//! Never before the flip: pages of a version that pods do not have are what Rollcall is there to prevent.

use jiff::Timestamp;

use crate::api::release::{Phase, PublishEntries};

use super::super::blocker::Blocker;
use super::super::decision::{Decision, Step, Wait};
use super::super::observed::{EntriesRound, Job, JobEnd, Observed, OwnerFacts, PointerFound, PrefixFacts, ReleaseFacts};
use super::{ASK_AGAIN_AFTER, await_end, is_due, storeless};
use crate::api::Pointer;

pub(super) fn publish(observed: &Observed, job: &Job) -> Decision {
    await_end(observed, Phase::Converging, job, Blocker::PublishingEntries { version: observed.release.spec.version.clone() })
}

/// Entry files that were confirmed are looked at again: when no stalled write can land any more, and once by each process (the
/// status knows that they were confirmed, and no more). What was seen stays said meanwhile, and while the store does not answer.
pub(super) fn confirm_again(observed: &Observed, found: &PointerFound, job: Job, standing: Decision) -> Decision {
    let in_a_while = observed.now.checked_add(ASK_AGAIN_AFTER).ok();
    match observed.jobs.end_of(&job) {
        Some(JobEnd::EntriesPublished { .. }) => standing.until(signatures_die_at(&found.pointer).filter(|at| *at > observed.now)),
        Some(JobEnd::Failed(failure)) if !is_due(failure.retry_at, observed.now) => {
            let standing = standing.until(failure.retry_at);
            // What the status says of public files is of an earlier flip, and somebody has to hear why.
            let is_silent = standing.blockers.is_empty() && !observed.entries_are_published(found.pointer.sequence);
            let blocked = Decision::blocked(Phase::Converging, Blocker::JobFailed(failure.clone())).until(failure.retry_at);
            if is_silent { blocked } else { standing }
        }
        _ if observed.jobs.running.is_some() => standing,
        _ if storeless(observed).is_some() => standing.until(in_a_while),
        _ => Decision { step: Step::StartJob(job), wait: Wait::Again, ..standing },
    }
}

pub(super) fn job(observed: &Observed) -> Option<Job> {
    let found = observed.found()?;
    let active = found.pointer.active.as_ref().filter(|active| observed.is_wanted(active))?;
    let publish = observed.release.spec.entries.publish;
    let is_due = match publish {
        PublishEntries::Bucket => true,
        PublishEntries::Pods => public_files_are_due(&observed.release, &found.pointer, observed.now) && is_ours(observed),
    };
    let signatures_died = signatures_die_at(&found.pointer).is_some_and(|at| at <= observed.now);
    is_due.then(|| Job::PublishEntries {
        publish,
        version: active.version.clone(),
        digest: active.digest.clone(),
        sequence: found.pointer.sequence,
        round: if signatures_died { EntriesRound::WhenSignaturesDied } else { EntriesRound::AtFlip },
    })
}

/// Whether the wanted version has files that lie at public keys whoever serves the pages, as its record says.
pub(super) fn has_unversioned(observed: &Observed) -> bool {
    let PrefixFacts::Known { record: Some(record), .. } = &observed.prefix else { return false };
    record.build.as_ref().is_some_and(|build| build.unversioned > 0)
}

/// Public copies are ours to write only where the prefix is.
fn is_ours(observed: &Observed) -> bool {
    matches!(&observed.prefix, PrefixFacts::Known { owner: OwnerFacts::Us, .. })
}

/// Whether public copies of unversioned files are to be written, where pods serve the pages: after the flip, and once more when no write
/// from before it can land any more. Pointer and status say so, so that a process that begins later goes on, and then nobody asks the bucket.
#[must_use]
pub fn public_files_are_due(release: &ReleaseFacts, pointer: &Pointer, now: Timestamp) -> bool {
    let looked = release.status.entries.as_ref().filter(|entries| entries.sequence == pointer.sequence);
    let is_over = |at: Timestamp| looked.is_some_and(|entries| entries.confirmed_at.0 >= at) || now < at;
    pointer.public_files && !(looked.is_some() && signatures_die_at(pointer).is_none_or(is_over))
}

/// When public copies are looked at once more.
pub(super) fn look_at(observed: &Observed, found: &PointerFound) -> Option<Timestamp> {
    let is_open = found.pointer.public_files && observed.release.spec.entries.publish == PublishEntries::Pods;
    signatures_die_at(&found.pointer).filter(|at| is_open && *at > observed.now)
}

/// When no write that was signed before the flip can land any more: a signature lives 15 minutes, clocks differ by 2 at most.
fn signatures_die_at(pointer: &Pointer) -> Option<Timestamp> {
    const LIFE_AND_SKEW: jiff::SignedDuration = jiff::SignedDuration::from_mins(17);
    pointer.activated_at.and_then(|at| at.checked_add(LIFE_AND_SKEW).ok())
}
