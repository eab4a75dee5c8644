//! Replicas as the rollout sees them: what each must hold before the flip, which ones are admitted, and the back-fill beside everything else.
//! Never admits one of which it was not seen, since it is where it is, that it holds every version that the prefix keeps (I1).

use jiff::{SignedDuration, Timestamp};

use crate::api::ManifestDigest;
use crate::api::release::{AssetReleaseStatus, PublishEntries, ReplicaStatus};
use crate::api::status::cut;

use super::blocker::Blocker;
use super::decision::{Decision, Step, Wait};
use super::observed::{Job, JobEnd, Observed, PrefixFacts, ReplicaEnd, ReplicaFacts, StoreFacts};

/// A replica that did not get everything is gone over again after this time.
const FILL_AGAIN_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// The replicas of the store; none while it cannot be used.
#[must_use]
pub fn of_store(observed: &Observed) -> &[ReplicaFacts] {
    match &observed.store {
        StoreFacts::Usable { replicas, .. } => replicas,
        StoreFacts::Missing | StoreFacts::Unusable(_) => &[],
    }
}

/// The job that brings a version into every replica, for one staging; `None` for a store without replicas.
#[must_use]
pub fn replicate(observed: &Observed, version: &str, digest: &ManifestDigest, stage: i64) -> Option<Job> {
    let (version, digest, store) = (version.to_owned(), digest.clone(), observed.store_identity().to_owned());
    (!of_store(observed).is_empty()).then_some(Job::Replicate { version, digest, stage, store })
}

/// Whether every replica was seen to hold the version of this job.
///
/// # Errors
/// What is missing.
pub fn are_whole(observed: &Observed, job: &Job) -> Result<(), Blocker> {
    let Job::Replicate { version, .. } = job else { return Ok(()) };
    match observed.jobs.end_of(job) {
        Some(JobEnd::Replicated { replicas, .. }) => match replicas.iter().find(|replica| !replica.is_whole()) {
            None => Ok(()),
            Some(lacking) => Err(Blocker::ReplicaIncomplete { version: version.clone(), replica: lacking.clone() }),
        },
        Some(JobEnd::Failed(failure)) => Err(Blocker::JobFailed(failure.clone())),
        _ => Err(Blocker::Replicating { version: version.clone() }),
    }
}

/// Whether a replica is admitted: it was before, or the last back-fill says so.
fn is_admitted(observed: &Observed, replica: &ReplicaFacts) -> bool {
    known(&observed.release.status, replica).is_some_and(|known| known.admitted)
        || last_fill(observed, replica).is_some_and(ReplicaEnd::is_whole)
}

/// What the status knows of a replica; nothing of one that lies elsewhere by now.
fn known<'a>(status: &'a AssetReleaseStatus, replica: &ReplicaFacts) -> Option<&'a ReplicaStatus> {
    status.replicas.iter().find(|known| known.is_of(&replica.name, &replica.place))
}

/// What the last back-fill of this very store says of a replica.
fn last_fill<'a>(observed: &'a Observed, replica: &ReplicaFacts) -> Option<&'a ReplicaEnd> {
    observed.jobs.ended.iter().find_map(|(job, end)| match (job, end) {
        (Job::Backfill { store, .. }, JobEnd::Replicated { replicas, .. }) if store == observed.store_identity() => {
            replicas.iter().find(|end| end.name == replica.name)
        }
        _ => None,
    })
}

/// The next `status.replicas`. While the store cannot be used nothing is known of its replicas, and what was known stays.
#[must_use]
pub fn status(observed: &Observed) -> Vec<ReplicaStatus> {
    if !matches!(observed.store, StoreFacts::Usable { .. }) {
        return observed.release.status.replicas.clone();
    }
    of_store(observed).iter().map(|replica| status_of(observed, replica)).collect()
}

fn status_of(observed: &Observed, replica: &ReplicaFacts) -> ReplicaStatus {
    let admitted = is_admitted(observed, replica);
    let running = observed.jobs.running.as_ref().filter(|(job, _)| matches!(job, Job::Backfill { .. })).map(|(_, upload)| upload);
    let missing = running.map(|upload| upload.objects_total - upload.objects_sent);
    let end = last_fill(observed, replica);
    // A process that has not looked leaves what another one said (I7).
    let told = known(&observed.release.status, replica).filter(|_| running.is_none() && end.is_none());
    ReplicaStatus {
        name: replica.name.clone(),
        place: replica.place.clone(),
        admitted,
        missing: missing.or_else(|| told?.missing).filter(|_| !admitted),
        message: end.map(|end| cut(end.sentence(), 1024)).or_else(|| told?.message.clone()).filter(|_| !admitted),
    }
}

/// Whether status says that a replica is admitted which the store does not name any more: that is unsaid before the next flip, or it
/// would still be taken for admitted if it came back.
#[must_use]
pub fn are_to_be_forgotten(observed: &Observed) -> bool {
    let named = |known: &ReplicaStatus| of_store(observed).iter().any(|one| known.is_of(&one.name, &one.place));
    matches!(observed.store, StoreFacts::Usable { .. }) && observed.release.status.replicas.iter().any(|known| !named(known))
}

/// Whether a replica is not admitted, as far as the status knows.
#[must_use]
pub fn are_to_be_filled(store: &StoreFacts, status: &AssetReleaseStatus) -> bool {
    let StoreFacts::Usable { replicas, .. } = store else { return false };
    !replicas.iter().all(|replica| known(status, replica).is_some_and(|known| known.admitted))
}

/// The back-fill, while a replica is not admitted.
fn backfill(observed: &Observed) -> Option<Job> {
    let replicas: Vec<String> =
        of_store(observed).iter().filter(|replica| !is_admitted(observed, replica)).map(|replica| replica.name.clone()).collect();
    let release = &observed.release;
    let publish = release.spec.entries.publish;
    let public = observed.found().filter(|found| publish == PublishEntries::Bucket || found.pointer.public_files);
    let pages = public.and_then(|found| {
        let active = found.pointer.active.as_ref()?;
        Some((active.version.clone(), active.digest.clone(), found.pointer.sequence, publish))
    });
    let is_wished = !replicas.is_empty() && !release.deleting && !release.spec.suspend;
    is_wished.then(|| Job::Backfill { replicas, store: observed.store_identity().to_owned(), pages })
}

/// The facts as the rules see them: a back-fill stands in nobody's way.
#[must_use]
pub fn without_backfill(observed: &Observed) -> Option<Observed> {
    running_backfill(observed)?;
    let mut observed = observed.clone();
    observed.jobs.running = None;
    Some(observed)
}

fn running_backfill(observed: &Observed) -> Option<&Job> {
    observed.jobs.running.as_ref().map(|(job, _)| job).filter(|job| matches!(job, Job::Backfill { .. }))
}

/// What the rules decided, with the back-fill beside it: begun when nothing else is to be done, ended when another job is.
pub fn beside(observed: &Observed, decided: Decision) -> Decision {
    let wanted = backfill(observed);
    if let Some(running) = running_backfill(observed) {
        let is_in_the_way = matches!(decided.step, Step::StartJob(_)) || wanted.as_ref() != Some(running);
        let step = Step::CancelJob(running.clone());
        return if is_in_the_way { Decision { step, wait: Wait::Again, ..decided } } else { decided };
    }
    let is_idle = decided.step == Step::Nothing && decided.wait != Wait::Again && observed.jobs.running.is_none();
    let can_begin = is_idle && matches!(observed.prefix, PrefixFacts::Known { .. });
    match wanted.filter(|_| can_begin) {
        None => decided,
        Some(job) => match due_at(observed, &job).filter(|at| *at > observed.now) {
            None => Decision { step: Step::StartJob(job), wait: Wait::Again, ..decided },
            at => decided.until_also(at),
        },
    }
}

/// When the job is to be tried again; `None` when it was not tried.
fn due_at(observed: &Observed, job: &Job) -> Option<Timestamp> {
    match observed.jobs.end_of(job)? {
        JobEnd::Replicated { at, .. } => at.checked_add(FILL_AGAIN_AFTER).ok(),
        JobEnd::Failed(failure) => Some(failure.retry_at.unwrap_or(Timestamp::MAX)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
