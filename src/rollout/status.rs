//! What users see: the next status from the facts, the decision and what became of its step. Never read back to
//! decide, but for its named facts.

mod conditions;
mod history;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::release::{
    AssetReleaseStatus, CandidateStatus, EntriesStatus, Phase, PublishEntries, TargetStatus, UploadStatus, api_time,
};
use crate::api::status::cut;
use crate::api::{ManifestDigest, Pointer};

use super::blocker::Blocker;
use super::deadline::{approval_wait, deadline, only_approval_is_missing};
use super::decision::{Decision, PointerChange, Step};
use super::observed::{Job, Observed, PodFacts, PrefixFacts, SweepAct};
use super::roll_call::{self, Followers, RollCall};
use super::{replicas, retention, watched};

/// What became of a decision's step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepOutcome {
    /// It was done (or there was nothing to do).
    Done,
    /// Something had changed: nothing was done.
    Lost,
}

const NAMES_MAX: usize = 10;

/// Targets of a candidate that are shown; those of the spec come first.
const TARGETS_MAX: usize = 32;

/// The next status.
#[must_use]
pub fn next(observed: &Observed, decision: &Decision, outcome: StepOutcome) -> AssetReleaseStatus {
    let pointer = pointer_after(observed, decision, outcome);
    let undone = (outcome == StepOutcome::Lost).then(|| without_its_step(decision));
    // I9: nothing of a step that was not done is told as done.
    let view = View { observed, decision: undone.as_ref().unwrap_or(decision), pointer };
    let previous = &observed.release.status;
    AssetReleaseStatus {
        observed_generation: observed.release.generation,
        phase: Some(view.phase()),
        message: Some(view.message()),
        pods: view.pods(),
        conditions: view.conditions(&previous.conditions),
        candidate: view.candidate(),
        active: view.active().or_else(|| previous.active.clone()),
        previous: view.previous().or_else(|| previous.previous.clone()),
        entries: view.entries(),
        history: view.history(),
        references_written_by: retention::references_written_by(observed),
        retention: retention::status(observed),
        replicas: replicas::status(observed),
        selectors: watched::next(observed),
        given_up: view.given_up(),
        last_stage: previous.last_stage.max(view.pointer.as_ref().map_or(0, |pointer| pointer.stage)),
        epoch: observed.epoch.unwrap_or(previous.epoch),
        last_handled_request: observed.release.requested_at.as_deref().map(|request| cut(request.into(), 256)),
    }
}

/// A decision whose step was not done, and nothing that only the step would have made so.
pub(super) fn without_its_step(decision: &Decision) -> Decision {
    // An attempt that could not be taken back is still in the roll call.
    let phase = if decision.phase == Phase::Stalled { Phase::RollCall } else { decision.phase };
    let blockers = decision.blockers.iter().filter(|blocker| !matches!(blocker, Blocker::GivenUp { .. })).cloned().collect();
    Decision { step: Step::Nothing, phase, blockers, ..decision.clone() }
}

/// The pointer as it is now.
#[must_use]
pub fn pointer_after(observed: &Observed, decision: &Decision, outcome: StepOutcome) -> Option<Pointer> {
    match &decision.step {
        Step::WritePointer(write) if outcome == StepOutcome::Done => Some(write.pointer.clone()),
        _ => observed.found().map(|found| found.pointer.clone()),
    }
}

struct View<'a> {
    observed: &'a Observed,
    decision: &'a Decision,
    pointer: Option<Pointer>,
}

impl View<'_> {
    fn version(&self) -> &str {
        &self.observed.release.spec.version
    }

    fn is_active(&self) -> bool {
        self.pointer.as_ref().and_then(|pointer| pointer.active.as_ref()).is_some_and(|active| self.observed.is_wanted(active))
    }

    fn is_staged(&self) -> bool {
        self.pointer.as_ref().and_then(|pointer| pointer.candidate.as_ref()).is_some_and(|it| self.observed.is_wanted(it))
    }

    fn is_recorded(&self) -> bool {
        matches!(&self.observed.prefix, PrefixFacts::Known { record: Some(_), .. }) || self.is_staged() || self.is_active()
    }

    fn phase(&self) -> Phase {
        match self.decision.phase {
            phase if self.blocker().is_some_and(Blocker::stalls) && phase != Phase::Terminating => Phase::Stalled,
            // A flip that lost its race.
            Phase::Converging if !self.is_active() => Phase::RollCall,
            phase => phase,
        }
    }

    fn blocker(&self) -> Option<&Blocker> {
        self.decision.blockers.first()
    }

    /// The newest that is known; of the flip before, while those of the newest are not out.
    fn entries(&self) -> Option<EntriesStatus> {
        let has_public_files = self.pointer.as_ref().is_some_and(|pointer| pointer.public_files);
        let publish = self.observed.release.spec.entries.publish;
        let without_pages = publish == PublishEntries::Pods;
        if without_pages && !has_public_files {
            return None;
        }
        let now = self.pointer.as_ref().and_then(|pointer| {
            let at = self.observed.jobs.entries_confirmed_at(pointer.sequence, publish)?;
            Some(EntriesStatus { sequence: pointer.sequence, confirmed_at: api_time(at), without_pages })
        });
        let told = self.observed.release.status.entries.clone();
        // Two processes that have looked at different times both keep the later one (I7).
        let is_later = |now: &EntriesStatus, told: &EntriesStatus| {
            let has_pages_now = told.without_pages && !now.without_pages;
            now.sequence != told.sequence || has_pages_now || now.confirmed_at.0 > told.confirmed_at.0
        };
        match (now, told) {
            (Some(now), Some(told)) if !is_later(&now, &told) => Some(told),
            (now, told) => now.or(told),
        }
    }

    /// How far the upload is: as our job has it while it runs, and then whichever of two processes has seen more of it (I7).
    fn upload(&self) -> Option<UploadStatus> {
        let jobs = &self.observed.jobs;
        let runs = matches!(&jobs.running, Some((Job::Publish { version, .. }, _)) if version == self.version());
        let candidate = self.observed.release.status.candidate.as_ref().filter(|candidate| candidate.version == self.version());
        let seen = |upload: &UploadStatus| upload.objects_sent.saturating_add(upload.objects_reused);
        match (jobs.upload_of(self.version()), candidate.and_then(|candidate| candidate.upload.clone())) {
            (Some(ours), Some(told)) if !runs && seen(&told) >= seen(&ours) => Some(told),
            (ours, told) => ours.or(told),
        }
    }

    fn pods(&self) -> Option<String> {
        if self.is_staged() {
            return Some(tally(&self.decision.rolls));
        }
        serving_tally(self.observed, self.pointer.as_ref()?)
    }

    fn candidate(&self) -> Option<CandidateStatus> {
        if self.observed.release.deleting || (self.is_active() && !self.is_staged()) {
            return None;
        }
        let staged = self.pointer.as_ref().filter(|_| self.is_staged());
        Some(CandidateStatus {
            version: self.version().into(),
            digest: self.candidate_digest(),
            stage: staged.map(|pointer| pointer.stage),
            deadline_at: self.deadline_at(),
            approval_wait_seconds: self.approval_wait_seconds(),
            awaiting_approval_since: self.awaiting_approval_since(),
            upload: self.upload(),
            targets: self.decision.rolls.iter().take(TARGETS_MAX).map(target_status).collect(),
        })
    }

    /// While only the approval is missing the deadline stands still: its moment would move on with each look, and each look would
    /// write (I7).
    fn deadline_at(&self) -> Option<Time> {
        let runs = self.is_staged() && !only_approval_is_missing(&self.decision.blockers);
        self.observed.found().filter(|_| runs).map(|found| api_time(deadline(self.observed, found)))
    }

    fn candidate_digest(&self) -> Option<ManifestDigest> {
        let staged = self.pointer.as_ref().filter(|_| self.is_staged()).and_then(|pointer| pointer.candidate.as_ref());
        match (&self.observed.prefix, staged) {
            (_, Some(candidate)) => Some(candidate.digest.clone()),
            (PrefixFacts::Known { record: Some(record), .. }, None) => Some(record.digest.clone()),
            _ => None,
        }
    }

    fn previous_of_this_stage(&self) -> Option<&CandidateStatus> {
        let stage = self.pointer.as_ref().map(|pointer| pointer.stage);
        self.observed.release.status.candidate.as_ref().filter(|candidate| candidate.stage.is_some() && candidate.stage == stage)
    }

    fn awaiting_approval_since(&self) -> Option<Time> {
        only_approval_is_missing(&self.decision.blockers).then(|| {
            let running = self.previous_of_this_stage().and_then(|candidate| candidate.awaiting_approval_since.clone());
            running.unwrap_or_else(|| api_time(self.observed.now))
        })
    }

    fn approval_wait_seconds(&self) -> i64 {
        let Some(candidate) = self.previous_of_this_stage() else { return 0 };
        let ended = candidate.awaiting_approval_since.is_some() && !only_approval_is_missing(&self.decision.blockers);
        match self.observed.found() {
            Some(found) if ended => approval_wait(self.observed, found).as_secs(),
            _ => candidate.approval_wait_seconds,
        }
    }
}

fn target_status(roll: &RollCall) -> TargetStatus {
    TargetStatus {
        name: roll.name.clone(),
        pods: count(roll.counted),
        reported: count(roll.reported),
        missing: roll.missing.iter().take(NAMES_MAX).map(|pod| pod.name.clone()).collect(),
        excused: roll.excused.iter().take(NAMES_MAX).cloned().collect(),
    }
}

fn count(pods: usize) -> i32 {
    i32::try_from(pods).unwrap_or(i32::MAX)
}

fn tally(rolls: &[RollCall]) -> String {
    let (reported, counted) = rolls.iter().fold((0, 0), |sum, roll| (sum.0 + roll.reported, sum.1 + roll.counted));
    format!("{reported}/{counted}")
}

/// The pods that count are those of the roll call: a pod that is not Ready yet does not disappear from the figure at the flip.
fn serving_tally(observed: &Observed, pointer: &Pointer) -> Option<String> {
    let active = &pointer.active.as_ref()?.digest;
    let followers = Followers::of_active(pointer);
    // As in the roll call, a pod whose node does not answer is left out.
    let counts = move |target, pod: &&PodFacts| roll_call::counts(target, pod, followers) && pod.unreachable_since.is_none();
    let counting = observed.targets.iter().flat_map(|target| target.pods.iter().filter(move |pod| counts(target, pod)));
    let (serving, all) =
        counting.fold((0, 0), |sum, pod| (sum.0 + usize::from(roll_call::serves(pod, active, pointer.sequence)), sum.1 + 1));
    Some(format!("{serving}/{all}"))
}

fn step_text(step: &Step) -> String {
    match step {
        Step::Nothing => "waiting".into(),
        Step::AddFinalizer => "taking charge of the release".into(),
        Step::RemoveFinalizer => "letting go of the release".into(),
        Step::StartJob(Job::Claim { .. }) => "claiming the prefix".into(),
        Step::StartJob(Job::Publish { .. }) => "publishing".into(),
        Step::StartJob(Job::Verify { .. }) => "asking the store for every object".into(),
        Step::StartJob(Job::Replicate { .. }) => "bringing the version into every replica".into(),
        Step::StartJob(Job::Backfill { .. }) => "filling a replica".into(),
        Step::StartJob(Job::PublishEntries { publish: PublishEntries::Bucket, .. }) => "writing the entry files to the bucket".into(),
        Step::StartJob(Job::PublishEntries { publish: PublishEntries::Pods, version, .. }) => {
            format!("writing the unversioned files of version {version:?}, which is active, to the bucket")
        }
        Step::StartJob(Job::WriteReferences { .. }) => "writing into the store what the release uses".into(),
        Step::StartJob(Job::EndReferences { .. }) => "writing into the store that the release is deleted".into(),
        Step::StartJob(Job::Sweep { act: SweepAct::Plan, .. }) => "planning what retention lets go".into(),
        Step::StartJob(Job::Sweep { act: SweepAct::CarryOut, .. }) => "deleting what retention lets go".into(),
        Step::CancelJob(_) => "ending work that is not wanted any more".into(),
        Step::CreatePointer => "making the pointer".into(),
        Step::AdoptPointer(_) => "taking over the pointer".into(),
        Step::TellEpoch => "this controller begins to lead".into(),
        Step::WritePointer(write) => match &write.kind {
            PointerChange::Stage => "staged; waiting for the pods".into(),
            PointerChange::Flip { .. } => "flipped; waiting until every pod serves it".into(),
            PointerChange::Unstage(reason) => format!("the candidate is taken back ({})", reason.reason()),
            PointerChange::Restore => "restoring the pointer".into(),
            PointerChange::Lead => "this controller begins to lead".into(),
        },
    }
}

/// Whether two statuses differ only in figures that change all the time while work goes on: those need not be written at once.
#[must_use]
pub fn differs_in_progress_only(one: &AssetReleaseStatus, other: &AssetReleaseStatus) -> bool {
    without_progress(one).says_the_same(&without_progress(other))
}

fn without_progress(status: &AssetReleaseStatus) -> AssetReleaseStatus {
    let mut status = status.clone();
    status.pods = None;
    status.message = None;
    for condition in &mut status.conditions {
        condition.message.clear();
    }
    if let Some(candidate) = &mut status.candidate {
        candidate.upload = None;
        candidate.targets.clear();
    }
    for replica in &mut status.replicas {
        replica.missing = None;
    }
    status
}

#[cfg(test)]
mod tests;
