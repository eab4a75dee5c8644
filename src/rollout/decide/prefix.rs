//! Whose the prefix is: claimed by the first release, renewed when the claim has to say something else, left alone when it is another one's.
//! Never lets a release write below a prefix that it has not claimed.

use crate::api::release::{Phase, PublishEntries};
use crate::manifest::{Layout, Owner};

use super::super::blocker::Blocker;
use super::super::decision::{Decision, Step, Wait};
use super::super::observed::{Job, JobEnd, Observed, OwnerFacts, PrefixFacts};
use super::{ASK_AGAIN_AFTER, adopt, await_end, is_due, is_idle};

/// Other exclusions, or a pipeline's claim that becomes this cluster's: also while nothing is to be released.
pub(super) fn renew_the_claim_beside(observed: &Observed, decided: Decision) -> Decision {
    let is_idle = is_idle(observed, &decided);
    let claim = match &observed.prefix {
        PrefixFacts::Known { owner: OwnerFacts::Renewing(claim), .. } => claim,
        // Nobody else looks again, and others may wait for the renewal.
        PrefixFacts::Known { owner: OwnerFacts::Overlaps(_), .. } | PrefixFacts::Fault(_) if is_idle => {
            return decided.until_also(observed.now.checked_add(ASK_AGAIN_AFTER).ok());
        }
        PrefixFacts::Known { .. } | PrefixFacts::Fault(_) | PrefixFacts::Asked { .. } | PrefixFacts::NotNeeded => return decided,
    };
    let job = claim_job(observed, claim);
    match observed.jobs.end_of(&job) {
        _ if !is_idle => decided,
        Some(JobEnd::Failed(failure)) if !is_due(failure.retry_at, observed.now) => decided.until_also(failure.retry_at),
        _ => Decision { step: Step::StartJob(job), wait: Wait::Again, ..decided },
    }
}

fn claim_job(observed: &Observed, claim: &Owner) -> Job {
    Job::Claim { owner: claim.clone(), store: observed.store_identity().to_owned() }
}

pub(super) fn own_the_prefix(observed: &Observed) -> Option<Decision> {
    let PrefixFacts::Known { owner, .. } = &observed.prefix else { return None };
    match owner {
        OwnerFacts::Us => None,
        // Who writes nothing below the prefix may share it with its writer.
        OwnerFacts::Other(owner) if adopt::prefix(observed, owner).is_some() => {
            adopt::prefix(observed, owner).map(|blocker| Decision::blocked(Phase::Pending, blocker))
        }
        OwnerFacts::Other(_) if only_reads(observed) => None,
        OwnerFacts::Overlaps(overlap) => Some(Decision::blocked(Phase::Pending, Blocker::PrefixOverlaps(overlap.clone()))),
        OwnerFacts::Nobody(claim) | OwnerFacts::Renewing(claim) => {
            let prefix = observed.release.spec.prefix.clone();
            Some(await_end(observed, Phase::Pending, &claim_job(observed, claim), Blocker::Claiming { prefix }))
        }
        OwnerFacts::Other(owner) => Some(Decision::blocked(Phase::Pending, prefix_owned(observed, owner))),
    }
}

/// Whether the release writes neither objects nor pages: somebody else publishes, and the pods serve.
fn only_reads(observed: &Observed) -> bool {
    let spec = &observed.release.spec;
    is_published_elsewhere(observed) && spec.entries.publish == PublishEntries::Pods
}

pub(super) fn is_published_elsewhere(observed: &Observed) -> bool {
    observed.release.spec.source.as_ref().is_some_and(|source| source.published.is_some())
}

fn prefix_owned(observed: &Observed, owner: &Owner) -> Blocker {
    let prefix = observed.release.spec.prefix.clone();
    let key = Layout::new("", &prefix).owner();
    Blocker::PrefixOwned { prefix, owner: owner.clone(), key }
}
