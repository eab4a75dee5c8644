//! Entry pages that the bucket serves: written after the flip, confirmed when no write from before it can land any more.
//! Never before the flip: pages of a version that pods do not have are what Rollcall is there to prevent.

use jiff::Timestamp;

use crate::api::release::{Phase, PublishEntries};

use super::super::blocker::Blocker;
use super::super::decision::{Decision, Step, Wait};
use super::super::observed::{EntriesRound, Job, JobEnd, Observed, OwnerFacts, PointerFound, PrefixFacts, ReleaseFacts};
use super::{ASK_AGAIN_AFTER, await_end, is_due, ours, storeless};
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
    let active = found.pointer.active.as_ref()?;
    let publish = observed.release.spec.entries.publish;
    let is_due = match publish {
        PublishEntries::Bucket => observed.is_wanted(active),
        // Pods serve these pages now, whatever is wished for next.
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

/// The public files of the active version, although another one is wished for, or the release is suspended: where pods serve the pages, these
/// run with the files of the version before until then. One try: the next version's flip brings that version's files.
pub(super) fn finish(observed: &Observed) -> Option<Decision> {
    let found = ours(observed)?;
    let active = found.pointer.active.as_ref()?;
    let is_followed_up = observed.is_wanted(active) && !observed.release.spec.suspend;
    let is_done = observed.entries_are_published(found.pointer.sequence);
    if is_followed_up || is_done || observed.release.spec.entries.publish != PublishEntries::Pods || storeless(observed).is_some() {
        return None;
    }
    let job = job(observed).filter(|job| observed.jobs.end_of(job).is_none())?;
    let phase = if observed.release.spec.suspend { Phase::Suspended } else { Phase::Converging };
    Some(await_end(observed, phase, &job, Blocker::PublishingEntries { version: active.version.clone() }))
}

/// Whether the wanted version has files that lie at public keys whoever serves the pages, as its record says: where the record is not known at
/// this moment, it may have. Another release's prefix gets none of ours.
pub(super) fn has_unversioned(observed: &Observed) -> bool {
    match &observed.prefix {
        PrefixFacts::Known { .. } if is_anothers(observed) => false,
        PrefixFacts::Known { record: Some(record), .. } => record.build.as_ref().is_some_and(|build| build.unversioned > 0),
        PrefixFacts::Known { record: None, .. } | PrefixFacts::NotNeeded | PrefixFacts::Asked { .. } | PrefixFacts::Fault(_) => true,
    }
}

/// Whether the prefix is another release's, of which this one only reads.
pub(super) fn is_anothers(observed: &Observed) -> bool {
    matches!(&observed.prefix, PrefixFacts::Known { owner: OwnerFacts::Other(_), .. })
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
    let later = signatures_die_at(&found.pointer).filter(|at| is_open && *at > observed.now);
    // Due since the bucket was not asked: in the same look, a moment later.
    let is_due = is_open && public_files_are_due(&observed.release, &found.pointer, observed.now);
    let unasked = is_due && observed.prefix == PrefixFacts::NotNeeded;
    if unasked { observed.now.checked_add(ASK_AGAIN_AFTER).ok() } else { later }
}

/// When no write that was signed before the flip can land any more: a signature lives 15 minutes, clocks differ by 2 at most.
fn signatures_die_at(pointer: &Pointer) -> Option<Timestamp> {
    const LIFE_AND_SKEW: jiff::SignedDuration = jiff::SignedDuration::from_mins(17);
    pointer.activated_at.and_then(|at| at.checked_add(LIFE_AND_SKEW).ok())
}
