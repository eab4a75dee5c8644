//! Entry pages that the bucket serves: written after the flip, confirmed when no write from before it can land any more.
//! Never before the flip: pages of a version that pods do not have are what Rollcall is there to prevent.

use jiff::Timestamp;

use crate::api::release::{Phase, PublishEntries};

use super::super::blocker::Blocker;
use super::super::decision::{Decision, Step, Wait};
use super::super::observed::{EntriesRound, Job, JobEnd, Observed, OwnerFacts, PointerFound, PrefixFacts};
use super::{ASK_AGAIN_AFTER, await_end, is_due, storeless};
use crate::api::PointedVersion;

pub(super) fn publish(observed: &Observed, job: &Job) -> Decision {
    await_end(observed, Phase::Converging, job, Blocker::PublishingEntries { version: observed.release.spec.version.clone() })
}

/// Entry files that were confirmed are looked at again: when no stalled write can land any more, and once by each process (the
/// status knows that they were confirmed, and no more). What was seen stays said meanwhile, and while the store does not answer.
pub(super) fn confirm_again(observed: &Observed, found: &PointerFound, job: Job, standing: Decision) -> Decision {
    let in_a_while = observed.now.checked_add(ASK_AGAIN_AFTER).ok();
    match observed.jobs.end_of(&job) {
        Some(JobEnd::EntriesPublished { .. }) => standing.until(signatures_die_at(found).filter(|at| *at > observed.now)),
        Some(JobEnd::Failed(failure)) if !is_due(failure.retry_at, observed.now) => standing.until(failure.retry_at),
        _ if observed.jobs.running.is_some() => standing,
        _ if storeless(observed).is_some() => standing.until(in_a_while),
        _ => Decision { step: Step::StartJob(job), wait: Wait::Again, ..standing },
    }
}

pub(super) fn job(observed: &Observed) -> Option<Job> {
    let found = observed.found()?;
    let active = found.pointer.active.as_ref().filter(|active| observed.is_wanted(active))?;
    let publish = observed.release.spec.entries.publish;
    let is_due = publish == PublishEntries::Bucket || has_unversioned(observed, active);
    let signatures_died = signatures_die_at(found).is_some_and(|at| at <= observed.now);
    is_due.then(|| Job::PublishEntries {
        publish,
        version: active.version.clone(),
        digest: active.digest.clone(),
        sequence: found.pointer.sequence,
        round: if signatures_died { EntriesRound::WhenSignaturesDied } else { EntriesRound::AtFlip },
    })
}

/// Whether the version has files that lie at public keys whoever serves the pages. They are ours to write only where the prefix is.
fn has_unversioned(observed: &Observed, active: &PointedVersion) -> bool {
    let PrefixFacts::Known { owner: OwnerFacts::Us, record: Some(record), .. } = &observed.prefix else { return false };
    record.digest == active.digest && record.build.as_ref().is_some_and(|build| build.unversioned > 0)
}

/// When no write that was signed before the flip can land any more: a signature lives 15 minutes, clocks differ by 2 at most.
fn signatures_die_at(found: &PointerFound) -> Option<Timestamp> {
    const LIFE_AND_SKEW: jiff::SignedDuration = jiff::SignedDuration::from_mins(17);
    found.pointer.activated_at.and_then(|at| at.checked_add(LIFE_AND_SKEW).ok())
}
