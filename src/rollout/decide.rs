//! The decision: an ordered list of rules, each of which looks at the facts and either decides or passes on.
//! Pure and total: no result type, no clock, no client. "Cannot go on" is a blocker.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::api::names::{NAME_MAP_BYTES_MAX, NAME_MAP_SENT_BYTES_MAX};
use crate::api::pointer::Waived;
use crate::api::release::{ActivationMode, GivenUp, NameMapPolicy, Phase, PublishEntries, SkippableGate, api_time};
use crate::api::status::cut;
use crate::api::{BuildSpec, ManifestDigest, PointedVersion, Pointer};
use crate::manifest::{Declared, Layout};

use super::blocker::Blocker;
use super::deadline::{deadline, only_approval_is_missing};
use super::decision::{Decision, PointerChange, PointerWrite, Step, UnstageReason, Wait};
use super::gates::{self, FLIP_GATES};
use super::observed::{BuildSource, Job, JobEnd, Observed, PointerFound, PrefixFacts, ReplicaEnd, StoreFacts};
use super::roll_call::RollCall;
use super::{converging, replicas, retention, roll_call, watched};

mod adopt;
mod entries;
pub use entries::public_files_are_due;
mod lead;
mod lost;
mod prefix;
mod references;

type Rule = fn(&Observed) -> Option<Decision>;

/// The rules, first match wins. Read from top to bottom, this is what Rollcall does.
const RULES: &[Rule] = &[
    references::let_go_of_a_deleted_release,
    hold_the_release,
    take_back_an_unwanted_candidate,
    cancel_an_unwanted_job,
    entries::finish,
    stop_when_suspended,
    lost::have_a_pointer_of_our_own,
    follow_up_the_flip,
    respect_an_attempt_given_up,
    call_the_roll,
    have_a_usable_store,
    prefix::own_the_prefix,
    have_the_version_recorded,
    have_the_store_verified,
    have_the_replicas_whole,
    stage,
];

/// Decides what to do about one release.
pub fn decide(observed: &Observed) -> Decision {
    if let Some(decision) = lead::first(observed) {
        return decision;
    }
    let alone = replicas::without_backfill(observed);
    let decided = prefix::renew_the_claim_beside(observed, by_rules(alone.as_ref().unwrap_or(observed)));
    let decided = references::write_beside(observed, decided);
    let decided = lead::under_our_epoch(observed, replicas::beside(observed, decided));
    if decided.wait == Wait::Again { decided } else { decided.until_also(watched::look_at(observed)) }
}

fn by_rules(observed: &Observed) -> Decision {
    RULES.iter().find_map(|rule| rule(observed)).unwrap_or_else(|| Decision {
        step: Step::Nothing,
        blockers: Vec::new(),
        phase: Phase::Pending,
        rolls: Vec::new(),
        wait: Wait::Change,
    })
}

fn hold_the_release(observed: &Observed) -> Option<Decision> {
    (!observed.release.has_finalizer).then(|| Decision::step(Phase::Pending, Step::AddFinalizer))
}

/// Pre-emption: at every step, and at once.
fn take_back_an_unwanted_candidate(observed: &Observed) -> Option<Decision> {
    // The restored pointer has no candidate: one that is behind is never written on.
    let found = ours(observed).filter(|found| !lost::is_behind(observed, &found.pointer))?;
    let candidate = found.pointer.candidate.as_ref()?;
    let reason = if observed.release.spec.suspend {
        UnstageReason::Suspended
    } else if !observed.is_wanted(candidate) || found.pointer.active.as_ref().is_some_and(|active| observed.is_wanted(active)) {
        UnstageReason::Superseded
    } else if observed.release.status.given_up.as_ref().is_some_and(|given_up| given_up.stage == Some(found.pointer.stage)) {
        return Some(Decision::step(Phase::Stalled, unstage(found, UnstageReason::DeadlineExceeded)));
    } else {
        return None;
    };
    Some(Decision::step(Phase::Pending, unstage(found, reason)))
}

fn cancel_an_unwanted_job(observed: &Observed) -> Option<Decision> {
    let (job, _) = observed.jobs.running.as_ref()?;
    // Pages are served while the release is suspended, too.
    let is_of_what_is_served = matches!(job, Job::WriteReferences { .. } | Job::PublishEntries { publish: PublishEntries::Pods, .. });
    let goes_on = !observed.release.spec.suspend || is_of_what_is_served;
    let is_wanted = goes_on && is_job_wanted(observed, job);
    (!is_wanted).then(|| Decision::step(Phase::Pending, Step::CancelJob(job.clone())))
}

fn is_job_wanted(observed: &Observed, job: &Job) -> bool {
    match job {
        Job::Publish { .. } => publish_job(observed).as_ref() == Some(job),
        Job::Claim { store, .. } => store == observed.store_identity(),
        Job::Verify { .. } => {
            let staged = observed
                .found()
                .zip(observed.candidate())
                .map(|(found, candidate)| verify(observed, &candidate.version, &candidate.digest, found.pointer.stage));
            staged.or_else(|| lost::verify_of_the_lost(observed)).or_else(|| next_verify(observed)).as_ref() == Some(job)
        }
        Job::Replicate { .. } => {
            let staged = observed.found().zip(observed.candidate());
            let staged = staged.and_then(|(found, it)| replicas::replicate(observed, &it.version, &it.digest, found.pointer.stage));
            staged.or_else(|| next_replicate(observed)).as_ref() == Some(job)
        }
        // It is asked about where nothing else can be in its way.
        Job::Backfill { .. } => true,
        Job::PublishEntries { .. } => entries::job(observed).as_ref() == Some(job),
        Job::WriteReferences { .. } => references::job(observed).as_ref() == Some(job),
        Job::EndReferences { .. } => false,
        Job::Sweep { .. } => retention::job(observed).as_ref() == Some(job),
    }
}

fn stop_when_suspended(observed: &Observed) -> Option<Decision> {
    observed.release.spec.suspend.then(|| Decision::blocked(Phase::Suspended, Blocker::Suspended))
}

/// The wanted version is active: publish its pages where the bucket serves them, and watch until every pod serves it.
fn follow_up_the_flip(observed: &Observed) -> Option<Decision> {
    let found = observed.found()?;
    observed.is_wanted(found.pointer.active.as_ref()?).then_some(())?;
    let entries = entries::job(observed);
    let pages_wait =
        observed.release.spec.entries.publish == PublishEntries::Bucket && !observed.entries_are_published(found.pointer.sequence);
    if let Some(job) = entries.as_ref().filter(|_| pages_wait) {
        return Some(entries::publish(observed, job));
    }
    if let Err(unseen) = gates::pods_were_seen(observed) {
        return Some(Decision::blocked(Phase::Converging, unseen));
    }
    let pods = converging::not_converged(observed);
    let standing = if pods.is_empty() {
        Decision { wait: Wait::Change, ..Decision::step(Phase::Active, Step::Nothing) }
    } else {
        Decision::blocked(Phase::Converging, Blocker::NotConverged { pods }).until(converging::next_change(observed))
    };
    let standing = match entries {
        Some(job) => entries::confirm_again(observed, found, job, standing),
        None => standing.until_also(entries::look_at(observed, found)),
    };
    Some(sweep_when_settled(observed, standing))
}

/// Retention is last: nothing waits for it, and everything else comes before it.
fn sweep_when_settled(observed: &Observed, standing: Decision) -> Decision {
    if standing.step != Step::Nothing || !standing.blockers.is_empty() {
        return standing;
    }
    retention::decide(observed).unwrap_or_else(|| standing.until_also(retention::look_at(observed)))
}

/// An attempt that was given up at its deadline is not made again by itself: the pods would be asked to load it for ever.
fn respect_an_attempt_given_up(observed: &Observed) -> Option<Decision> {
    let release = &observed.release;
    let given_up = observed.given_up().filter(|_| observed.candidate().is_none())?;
    let is_this_attempt =
        given_up.version == release.spec.version && given_up.generation == release.generation && given_up.request == release.requested_at;
    is_this_attempt.then(|| {
        let blocker = Blocker::GivenUp { version: given_up.version.clone(), message: given_up.message.clone() };
        Decision::blocked(Phase::Stalled, blocker)
    })
}

/// The candidate is staged: flip when every gate holds, give up at the deadline, otherwise wait.
fn call_the_roll(observed: &Observed) -> Option<Decision> {
    let found = observed.found()?;
    let candidate = found.pointer.candidate.as_ref()?;
    let rolls = roll_call::of_candidate(observed);
    let verify = verify(observed, &candidate.version, &candidate.digest, found.pointer.stage);
    let replicate = replicas::replicate(observed, &candidate.version, &candidate.digest, found.pointer.stage);
    let mut blockers = gates::blockers(FLIP_GATES, observed);
    let deadline = deadline(observed, found);
    let was_approved_last = was_approved_last(observed, &blockers);
    let evidence_lasts = if blockers.is_empty() { EVIDENCE_AGE_MAX } else { SignedDuration::MAX };
    if let Some(due) = [Some(&verify), replicate.as_ref()].into_iter().flatten().find(|job| is_evidence_due(observed, job, evidence_lasts))
    {
        match storeless(observed) {
            // Without its store nothing can be asked; the deadline goes on (I12).
            Some(blocker) => blockers.insert(0, blocker),
            None if observed.jobs.running.is_none() && (observed.now < deadline || was_approved_last) => {
                return Some(Decision { rolls, ..Decision::step(Phase::RollCall, Step::StartJob(due.clone())) });
            }
            None if blockers.is_empty() => blockers.push(Blocker::Verifying { version: candidate.version.clone() }),
            None => {}
        }
    }
    let is_late = observed.now >= deadline && !only_approval_is_missing(&blockers);
    if is_late && !(was_approved_last && blockers.iter().all(|blocker| matches!(blocker, Blocker::Verifying { .. }))) {
        // Before the flip: an attempt whose time is over is over, whatever holds by now.
        return Some(give_up(observed, found, &blockers, rolls));
    }
    if blockers.is_empty() && replicas::are_to_be_forgotten(observed) {
        // Said first, done in the next look: whoever ends between the two must not take a replica for admitted that missed this flip.
        return Some(Decision { rolls, ..Decision::step(Phase::RollCall, Step::Nothing) });
    }
    if blockers.is_empty() {
        let overridden = gates::overridden(FLIP_GATES, observed);
        let waived = waived(observed, &overridden, &rolls);
        let change = PointerChange::Flip { overridden };
        let pointer = Pointer { public_files: entries::has_unversioned(observed), ..found.pointer.flipped(observed.now).waiving(waived) };
        let step = write(found, change, pointer, name_map(observed, &verify));
        return Some(Decision { rolls, ..Decision::step(Phase::Converging, step) });
    }
    if only_approval_is_missing(&blockers) {
        return Some(Decision { step: Step::Nothing, blockers, phase: Phase::AwaitingApproval, rolls, wait: Wait::Change });
    }
    let changes = rolls.iter().filter_map(|roll| roll.next_change).chain(converging::next_change(observed));
    let next = changes.chain(retry_time(&blockers)).chain([deadline]).filter(|at| *at > observed.now).min();
    Some(Decision { step: Step::Nothing, blockers, phase: Phase::RollCall, rolls, wait: Wait::Change }.until(next))
}

/// Every gate holds, and one of them is a person's word: it came when it came, also if no status has summed up the wait for it.
fn was_approved_last(observed: &Observed, blockers: &[Blocker]) -> bool {
    blockers.is_empty() && observed.release.spec.activation.mode == ActivationMode::Manual
}

/// What the flip does not wait for, to be written with it: a process that ends right after it has told nobody yet.
fn waived(observed: &Observed, overridden: &[SkippableGate], rolls: &[RollCall]) -> Waived {
    let gates: Vec<String> = overridden.iter().map(|gate| format!("{gate:?}")).collect();
    let glass = observed.release.spec.activation.r#override.as_ref().filter(|_| !gates.is_empty());
    let excused = rolls.iter().flat_map(|roll| roll.excused.iter().cloned()).take(EXCUSED_NAMED).collect();
    Waived { reason: glass.map(|glass| glass.reason.clone()), gates, excused }
}

/// Takes the candidate back, and writes down in the same write that the attempt was given up: neither needs the other one's success.
fn give_up(observed: &Observed, found: &PointerFound, blockers: &[Blocker], rolls: Vec<RollCall>) -> Decision {
    let release = &observed.release;
    let message = blockers.first().map_or_else(|| "every gate held only after the deadline".into(), Blocker::message);
    let given_up = GivenUp {
        version: release.spec.version.clone(),
        generation: release.generation,
        request: release.requested_at.clone(),
        stage: Some(found.pointer.stage),
        message: cut(message, GIVEN_UP_BYTES_MAX),
        at: api_time(observed.now),
    };
    let blocker = Blocker::GivenUp { version: given_up.version.clone(), message: given_up.message.clone() };
    let pointer = found.pointer.giving_up(given_up);
    let step = write(found, PointerChange::Unstage(UnstageReason::DeadlineExceeded), pointer, found.name_map.clone());
    Decision { blockers: vec![blocker], rolls, ..Decision::step(Phase::Stalled, step) }
}

fn retry_time(blockers: &[Blocker]) -> Option<Timestamp> {
    blockers.iter().find_map(|blocker| match blocker {
        Blocker::JobFailed(failure) => failure.retry_at,
        _ => None,
    })
}

/// Has the job done, if its last end is not enough: begins it, waits for what runs, and after a failure for the time to try again.
fn await_end(observed: &Observed, phase: Phase, job: &Job, busy: Blocker) -> Decision {
    match observed.jobs.end_of(job) {
        Some(JobEnd::Failed(failure)) if !is_due(failure.retry_at, observed.now) => {
            Decision::blocked(phase, Blocker::JobFailed(failure.clone())).until(failure.retry_at)
        }
        _ if observed.jobs.running.is_some() => Decision::blocked(phase, busy),
        _ => match storeless(observed) {
            Some(blocker) => Decision::blocked(phase, blocker),
            None => Decision::step(phase, Step::StartJob(job.clone())),
        },
    }
}

fn have_a_usable_store(observed: &Observed) -> Option<Decision> {
    storeless(observed).map(|blocker| Decision::blocked(Phase::Pending, blocker))
}

fn unusable_store(observed: &Observed) -> Option<Blocker> {
    let store = observed.release.spec.store_ref.name.clone();
    match &observed.store {
        StoreFacts::Missing => Some(Blocker::StoreMissing { store }),
        StoreFacts::Unusable(problem) => {
            Some(Blocker::StoreUnusable { store, namespace: observed.release.namespace.clone(), problem: problem.clone() })
        }
        StoreFacts::Usable { .. } => None,
    }
}

/// Whether there is room for work that nothing waits for.
fn is_idle(observed: &Observed, decided: &Decision) -> bool {
    decided.step == Step::Nothing && decided.wait != Wait::Again && observed.jobs.running.is_none()
}

/// A version that was recorded is never published again, unless the store lost objects of it and there is a source to mend it.
fn have_the_version_recorded(observed: &Observed) -> Option<Decision> {
    let job = publish_job(observed);
    if recorded_digest(observed).is_some() && lost_objects(observed).is_none() {
        return None;
    }
    let version = observed.release.spec.version.clone();
    let Some(job) = job else {
        let Some(blocker) = lost_objects(observed) else {
            if prefix::is_published_elsewhere(observed) {
                let waiting =
                    Decision::blocked(Phase::Pending, Blocker::NotPublished { version, prefix: observed.release.spec.prefix.clone() });
                return Some(waiting.until(observed.now.checked_add(ASK_AGAIN_AFTER).ok()));
            }
            return Some(Decision::blocked(Phase::Stalled, Blocker::SourceMissing { version }));
        };
        let ask_again = next_verify(observed).is_some_and(|verify| is_evidence_due(observed, &verify, SignedDuration::MAX));
        let waiting = Decision::blocked(Phase::Stalled, blocker).until(observed.now.checked_add(ASK_AGAIN_AFTER).ok());
        return (!ask_again && observed.jobs.running.is_none()).then_some(waiting);
    };
    Some(await_end(observed, Phase::Uploading, &job, Blocker::Publishing { version }))
}

fn publish_job(observed: &Observed) -> Option<Job> {
    let release = &observed.release;
    let source = BuildSource::of(release.spec.source.as_ref()?)?;
    Some(Job::Publish {
        version: release.spec.version.clone(),
        source,
        names: release.spec.build.manifest.clone(),
        declared: declared(&release.spec.build),
        external: release.spec.build.external.clone(),
        request: release.requested_at.clone(),
    })
}

fn declared(build: &BuildSpec) -> Declared {
    Declared { immutable: build.immutable.clone(), unversioned: build.unversioned.clone() }
}

/// The wanted version's digest: from its record, or from the publish that has just ended.
fn recorded_digest(observed: &Observed) -> Option<&ManifestDigest> {
    match &observed.prefix {
        PrefixFacts::Known { record: Some(record), .. } => Some(&record.digest),
        PrefixFacts::Known { record: None, .. } | PrefixFacts::NotNeeded | PrefixFacts::Asked { .. } | PrefixFacts::Fault(_) => None,
    }
}

fn next_verify(observed: &Observed) -> Option<Job> {
    let stage = observed.found()?.pointer.next_stage();
    Some(verify(observed, &observed.release.spec.version, recorded_digest(observed)?, stage))
}

/// The question before a staging and before its flip.
pub(super) fn verify(observed: &Observed, version: &str, digest: &ManifestDigest, stage: i64) -> Job {
    // Who only reads another release's prefix writes nothing there.
    let flip = (!entries::is_anothers(observed)).then(|| (version.to_owned(), observed.release.spec.entries.publish));
    let fallback = observed.release.spec.entries.page_of_agents().map(str::to_owned);
    Job::Verify { digest: digest.clone(), stage, store: observed.store_identity().to_owned(), flip, fallback }
}

fn lost_objects(observed: &Observed) -> Option<Blocker> {
    match observed.jobs.end_of(&next_verify(observed)?)? {
        JobEnd::Verified { missing, .. } if !missing.is_empty() => {
            Some(Blocker::ObjectsMissing { version: observed.release.spec.version.clone(), keys: missing.clone() })
        }
        _ => None,
    }
}

fn have_the_store_verified(observed: &Observed) -> Option<Decision> {
    let job = next_verify(observed)?;
    let version = observed.release.spec.version.clone();
    match observed.jobs.end_of(&job) {
        Some(JobEnd::Verified { missing, .. }) if missing.is_empty() => None,
        _ => Some(await_end(observed, Phase::Verifying, &job, Blocker::Verifying { version })),
    }
}

/// Before pods are asked to load it: what is brought takes its time, and the deadline of a staging should not.
fn have_the_replicas_whole(observed: &Observed) -> Option<Decision> {
    let job = next_replicate(observed)?;
    let version = observed.release.spec.version.clone();
    match replicas::are_whole(observed, &job) {
        Ok(()) => None,
        // What was seen last stays said while it is tried again.
        Err(lacking @ Blocker::ReplicaIncomplete { .. }) => {
            let waiting = Decision::blocked(Phase::Verifying, lacking).until(observed.now.checked_add(ASK_AGAIN_AFTER).ok());
            let is_due = is_evidence_due(observed, &job, SignedDuration::MAX) && observed.jobs.running.is_none();
            Some(if is_due { Decision { step: Step::StartJob(job), wait: Wait::Again, ..waiting } } else { waiting })
        }
        Err(_) => Some(await_end(observed, Phase::Verifying, &job, Blocker::Replicating { version })),
    }
}

fn next_replicate(observed: &Observed) -> Option<Job> {
    let stage = observed.found()?.pointer.next_stage();
    replicas::replicate(observed, &observed.release.spec.version, recorded_digest(observed)?, stage)
}

fn stage(observed: &Observed) -> Option<Decision> {
    let found = observed.found()?;
    let StoreFacts::Usable { base_url, fetch_url, .. } = &observed.store else { return None };
    let candidate = pointed(observed, (&observed.release.spec.version, recorded_digest(observed)?), (base_url, fetch_url));
    let pointer = found.pointer.staged(candidate, observed.now);
    let rolls = roll_call::of_staged(observed, &pointer);
    let step = write(found, PointerChange::Stage, pointer, found.name_map.clone());
    Some(Decision { rolls, ..Decision::step(Phase::RollCall, step) })
}

/// Names of excused pods that go into the pointer.
const EXCUSED_NAMED: usize = 10;

/// As long as the status has room for.
const GIVEN_UP_BYTES_MAX: usize = 2048;

/// Evidence of the store is asked for again when it is this old at the moment when everything else holds (I1): a candidate may
/// have waited for its approval for days.
const EVIDENCE_AGE_MAX: SignedDuration = SignedDuration::from_mins(10);

/// Missing objects may be put back by hand, and a pipeline may publish at any time: the store is asked again after this time.
const ASK_AGAIN_AFTER: SignedDuration = SignedDuration::from_secs(30);

fn is_evidence_due(observed: &Observed, job: &Job, evidence_lasts: SignedDuration) -> bool {
    match observed.jobs.end_of(job) {
        None => true,
        Some(JobEnd::Failed(failure)) => is_due(failure.retry_at, observed.now),
        Some(JobEnd::Verified { missing, at, .. }) if missing.is_empty() => observed.now.duration_since(*at) > evidence_lasts,
        Some(JobEnd::Replicated { replicas, at }) if replicas.iter().all(ReplicaEnd::is_whole) => {
            observed.now.duration_since(*at) > evidence_lasts
        }
        Some(JobEnd::Verified { at, .. } | JobEnd::Replicated { at, .. }) => observed.now.duration_since(*at) >= ASK_AGAIN_AFTER,
        Some(
            JobEnd::Claimed
            | JobEnd::Published { .. }
            | JobEnd::EntriesPublished { .. }
            | JobEnd::ReferencesWritten
            | JobEnd::ReferencesEnded
            | JobEnd::Planned { .. }
            | JobEnd::Swept { .. },
        ) => false,
    }
}

/// What keeps the bucket from being asked at all.
fn storeless(observed: &Observed) -> Option<Blocker> {
    match &observed.prefix {
        PrefixFacts::Fault(fault) => Some(Blocker::BucketFault(fault.clone())),
        PrefixFacts::Asked { .. } => Some(Blocker::AskingStore { store: observed.release.spec.store_ref.name.clone() }),
        PrefixFacts::NotNeeded | PrefixFacts::Known { .. } => unusable_store(observed),
    }
}

fn is_due(retry_at: Option<Timestamp>, now: Timestamp) -> bool {
    retry_at.is_some_and(|at| at <= now)
}

fn pointed(observed: &Observed, (version, digest): (&str, &ManifestDigest), (base_url, fetch_url): (&str, &str)) -> PointedVersion {
    PointedVersion {
        version: version.into(),
        digest: digest.clone(),
        manifest_url: Layout::new("", fetch_url).manifest(digest),
        base_url: base_url.into(),
        fallback: observed.release.spec.entries.page_of_agents().map(str::to_owned),
    }
}

/// The pointer, when it is this release's to write.
fn ours(observed: &Observed) -> Option<&PointerFound> {
    let is_ours = |found: &&PointerFound| found.contest.is_none() && found.release == observed.release.name;
    observed.found().filter(is_ours)
}

fn unstage(found: &PointerFound, reason: UnstageReason) -> Step {
    write(found, PointerChange::Unstage(reason), found.pointer.unstaged(), found.name_map.clone())
}

fn write(found: &PointerFound, kind: PointerChange, pointer: Pointer, name_map: Option<Arc<str>>) -> Step {
    Step::WritePointer(Box::new(PointerWrite { kind, expected: found.guard.clone(), pointer, name_map }))
}

/// The name map of a verified version, when it is to be in the pointer; otherwise readers follow the manifest's URL.
fn name_map(observed: &Observed, verify: &Job) -> Option<Arc<str>> {
    match observed.jobs.end_of(verify) {
        Some(JobEnd::Verified { name_map, .. }) => name_map.clone().filter(|map| is_for_pointer(observed, map)),
        _ => None,
    }
}

fn is_for_pointer(observed: &Observed, map: &str) -> bool {
    let pods = observed.targets.iter().map(|target| target.pods.len()).sum::<usize>();
    map.len() <= NAME_MAP_BYTES_MAX
        && match observed.release.spec.pointer.name_map.unwrap_or_default() {
            NameMapPolicy::Always => true,
            NameMapPolicy::Never => false,
            NameMapPolicy::Automatic => map.len().saturating_mul(pods) <= NAME_MAP_SENT_BYTES_MAX,
        }
}

#[cfg(test)]
mod tests;
