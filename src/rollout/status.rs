//! What users see: the next status from the facts, the decision and what became of its step. One function for each condition.
//! Conditions are output: nothing here is ever read back to decide.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::api::conditions;
use crate::api::release::{
    ActivatedVersion, AssetReleaseStatus, CandidateStatus, EntriesStatus, GivenUp, HistoryEntry, Outcome, Phase, PublishEntries,
    TargetStatus, api_time,
};
use crate::api::{ManifestDigest, Pointer};

use crate::manifest::BuildSummary;

use super::blocker::{Blocker, LaggingPod};
use super::deadline::{approval_wait, deadline, only_approval_is_missing};
use super::decision::{Decision, PointerChange, Step};
use super::gates;
use super::observed::{Job, JobEnd, Observed, PodFacts, PrefixFacts, SweepAct};
use super::roll_call::{self, Followers, RollCall};
use super::{replicas, retention};

/// What became of a decision's step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepOutcome {
    /// It was done (or there was nothing to do).
    Done,
    /// Something had changed: nothing was done.
    Lost,
}

const HISTORY_MAX: usize = 20;
const NAMES_MAX: usize = 10;

/// The next status.
#[must_use]
pub fn next(observed: &Observed, decision: &Decision, outcome: StepOutcome) -> AssetReleaseStatus {
    let view = View { observed, decision, pointer: pointer_after(observed, decision, outcome) };
    let previous = &observed.release.status;
    AssetReleaseStatus {
        observed_generation: observed.release.generation,
        phase: Some(view.phase()),
        message: Some(cut(view.ready().message, 2048)),
        pods: view.pods(),
        conditions: view.conditions(&previous.conditions),
        candidate: view.candidate(),
        active: view.active().or_else(|| previous.active.clone()),
        previous: view.previous().or_else(|| previous.previous.clone()),
        entries: view.entries(),
        history: view.history(),
        retention: retention::status(observed),
        replicas: replicas::status(observed),
        given_up: view.given_up(),
        last_stage: previous.last_stage.max(view.pointer.as_ref().map_or(0, |pointer| pointer.stage)),
        last_handled_request: observed.release.requested_at.as_deref().map(|request| cut(request.into(), 256)),
    }
}

fn pointer_after(observed: &Observed, decision: &Decision, outcome: StepOutcome) -> Option<Pointer> {
    match &decision.step {
        Step::WritePointer(write) if outcome == StepOutcome::Done => Some(write.pointer.clone()),
        _ => observed.found().map(|found| found.pointer.clone()),
    }
}

/// One condition before it is dated.
struct Verdict {
    is_true: bool,
    reason: &'static str,
    message: String,
}

impl Verdict {
    fn yes(reason: &'static str, message: impl Into<String>) -> Self {
        Self { is_true: true, reason, message: message.into() }
    }

    fn no(reason: &'static str, message: impl Into<String>) -> Self {
        Self { is_true: false, reason, message: message.into() }
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

    fn conditions(&self, previous: &[Condition]) -> Vec<Condition> {
        let ready = self.ready();
        let is_ready = ready.is_true;
        let stalled = (!is_ready).then(|| self.stalled()).flatten();
        let reconciling = (!is_ready && stalled.is_none()).then(|| Verdict::yes(ready.reason, ready.message.clone()));
        let all = [
            (conditions::READY, Some(ready)),
            (conditions::RECONCILING, reconciling),
            (conditions::STALLED, stalled),
            (conditions::SOURCE_FETCHED, Some(self.source_fetched())),
            (conditions::UPLOADED, Some(self.uploaded())),
            (conditions::STORE_VERIFIED, Some(self.store_verified())),
            (conditions::PODS_ACKNOWLEDGED, Some(self.pods_acknowledged())),
            (conditions::ACTIVATED, Some(self.activated())),
            (conditions::CONVERGED, Some(self.converged())),
            (conditions::POINTER_CONTESTED, self.pointer_contested()),
            (conditions::RETENTION_BLOCKED, retention::blocked(self.observed).map(|(reason, message)| Verdict::yes(reason, message))),
        ];
        all.into_iter().filter_map(|(kind, verdict)| Some(self.dated(kind, verdict?, previous))).collect()
    }

    /// The transition time moves only with the status, as the API conventions have it.
    fn dated(&self, kind: &str, verdict: Verdict, previous: &[Condition]) -> Condition {
        let status = if verdict.is_true { "True" } else { "False" };
        let unchanged = previous.iter().find(|condition| condition.type_ == kind && condition.status == status);
        Condition {
            type_: kind.into(),
            status: status.into(),
            reason: verdict.reason.into(),
            message: cut(verdict.message, 2048),
            last_transition_time: unchanged.map_or_else(|| api_time(self.observed.now), |condition| condition.last_transition_time.clone()),
            observed_generation: Some(self.observed.release.generation),
        }
    }

    fn ready(&self) -> Verdict {
        let version = self.version();
        let (activated, converged) = (self.activated(), self.converged());
        match self.blocker() {
            _ if self.observed.release.deleting => Verdict::no("Terminating", "the release is being deleted"),
            Some(Blocker::Suspended) if activated.is_true && converged.is_true => {
                Verdict::yes("Suspended", format!("version {version:?} is active; spec.suspend is true"))
            }
            Some(blocker) => Verdict::no(blocker.reason(), blocker.message()),
            None if activated.is_true && converged.is_true => Verdict::yes("Active", format!("version {version:?} is active")),
            None => Verdict::no("Progressing", format!("version {version:?}: {}", step_text(&self.decision.step))),
        }
    }

    fn stalled(&self) -> Option<Verdict> {
        let blocker = self.blocker().filter(|blocker| blocker.stalls())?;
        Some(Verdict::yes(blocker.reason(), blocker.message()))
    }

    fn source_fetched(&self) -> Verdict {
        let is_fetched = self.observed.jobs.upload_of(self.version()).is_some_and(|upload| upload.objects_total > 0);
        if self.is_recorded() {
            let read = self.read_build().map(|build| format!(" ({})", build.sentence())).unwrap_or_default();
            let message = format!("version {:?} is recorded in the store{read}; spec.source is not looked at", self.version());
            return Verdict::yes("Recorded", message);
        }
        if is_fetched { Verdict::yes("Fetched", "the build was fetched and checked") } else { self.not_yet("NotFetched") }
    }

    /// How the build was read, until its version is active: from then on the bucket is asked now and then only, for a sweep, and what
    /// is said must not change with it (I7).
    fn read_build(&self) -> Option<&BuildSummary> {
        match &self.observed.prefix {
            PrefixFacts::Known { record: Some(record), .. } if !self.is_active() => record.build.as_deref(),
            PrefixFacts::Known { .. } | PrefixFacts::NotNeeded | PrefixFacts::Fault(_) => None,
        }
    }

    fn uploaded(&self) -> Verdict {
        if self.is_recorded() { Verdict::yes("Recorded", "every object was sent or found") } else { self.not_yet("NotUploaded") }
    }

    fn store_verified(&self) -> Verdict {
        if self.is_active() || (self.verified_for_stage() && self.replicated_for_stage()) {
            let everywhere = self.whole_places();
            return match self.drifted_headers() {
                Some(drift) => Verdict::yes("CompleteWithOtherHeaders", format!("{everywhere}; {drift}")),
                None => Verdict::yes("Complete", everywhere),
            };
        }
        self.not_yet("NotVerified")
    }

    /// What the last look at the store saw of its objects' headers.
    fn drifted_headers(&self) -> Option<&str> {
        let looks = self.observed.jobs.ended.iter().rev().filter_map(|(_, end)| match end {
            JobEnd::Verified { headers, .. } => Some(headers.as_deref()),
            _ => None,
        });
        looks.take(1).flatten().next()
    }

    fn whole_places(&self) -> String {
        let admitted = || replicas::status(self.observed).iter().filter(|replica| replica.admitted).count();
        match if self.is_active() { admitted() } else { replicas::of_store(self.observed).len() } {
            0 => "the store has every object".to_owned(),
            count => format!("the store has every object, and so have its replicas ({count})"),
        }
    }

    fn replicated_for_stage(&self) -> bool {
        let wanted = self.stage_to_verify();
        replicas::of_store(self.observed).is_empty()
            || self.observed.jobs.ended.iter().any(|(job, _)| {
                matches!(job, Job::Replicate { stage, .. } if *stage == wanted) && replicas::are_whole(self.observed, job).is_ok()
            })
    }

    fn stage_to_verify(&self) -> i64 {
        let stage = self.pointer.as_ref().map_or(0, |pointer| pointer.stage);
        if self.is_staged() { stage } else { stage + 1 }
    }

    fn verified_for_stage(&self) -> bool {
        let wanted = self.stage_to_verify();
        self.observed.jobs.ended.iter().any(|(job, end)| {
            matches!(job, Job::Verify { stage, .. } if *stage == wanted)
                && matches!(end, JobEnd::Verified { missing, .. } if missing.is_empty())
        })
    }

    fn pods_acknowledged(&self) -> Verdict {
        if self.is_active() {
            return Verdict::yes("Activated", "every pod that counts had the version at the flip");
        }
        let rolls = &self.decision.rolls;
        if !self.is_staged() {
            return Verdict::no("NotStaged", "no candidate is staged");
        }
        if rolls.iter().any(|roll| !roll.missing.is_empty()) {
            Verdict::no("PodsMissing", format!("{} pods have reported", tally(rolls)))
        } else {
            Verdict::yes("EveryPodReported", format!("{} pods have reported", tally(rolls)))
        }
    }

    fn activated(&self) -> Verdict {
        let entries_are_out = self.observed.release.spec.entries.publish == PublishEntries::Pods || self.entries_are_published();
        match (self.is_active(), entries_are_out) {
            (true, true) => Verdict::yes("Flipped", format!("pages refer to version {:?}", self.version())),
            (true, false) => self.not_yet("PublishingEntries"),
            (false, _) => self.not_yet("NotFlipped"),
        }
    }

    fn entries_are_published(&self) -> bool {
        self.pointer.as_ref().is_some_and(|pointer| self.observed.entries_are_published(pointer.sequence))
    }

    /// The newest that is known; of the flip before, while those of the newest are not out.
    fn entries(&self) -> Option<EntriesStatus> {
        if self.observed.release.spec.entries.publish == PublishEntries::Pods {
            return None;
        }
        let now = self.pointer.as_ref().and_then(|pointer| {
            let at = self.observed.jobs.entries_confirmed_at(pointer.sequence)?;
            Some(EntriesStatus { sequence: pointer.sequence, confirmed_at: api_time(at) })
        });
        now.or_else(|| self.observed.release.status.entries.clone())
    }

    fn converged(&self) -> Verdict {
        if !self.is_active() {
            return Verdict::no("NotFlipped", format!("version {:?} is not active", self.version()));
        }
        let flips_now = matches!(&self.decision.step, Step::WritePointer(write) if matches!(write.kind, PointerChange::Flip { .. }));
        let pods: Vec<LaggingPod> = roll_call::not_converged(self.observed);
        if flips_now {
            return Verdict::no("Converging", "the flip was made just now");
        }
        if let Err(unseen) = gates::pods_were_seen(self.observed) {
            return Verdict::no(unseen.reason(), unseen.message());
        }
        if pods.is_empty() {
            return Verdict::yes("EveryPodServes", roll_call::who_serves(self.observed));
        }
        Verdict::no("NotConverged", Blocker::NotConverged { pods }.message())
    }

    fn pointer_contested(&self) -> Option<Verdict> {
        let blocker = self.decision.blockers.iter().find(|it| matches!(it, Blocker::PointerContested { .. }))?;
        Some(Verdict::yes(blocker.reason(), blocker.message()))
    }

    fn not_yet(&self, otherwise: &'static str) -> Verdict {
        match self.blocker() {
            Some(blocker) => Verdict::no(blocker.reason(), blocker.message()),
            None => Verdict::no(otherwise, step_text(&self.decision.step)),
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
        let upload = self.observed.jobs.upload_of(self.version());
        let staged = self.pointer.as_ref().filter(|_| self.is_staged());
        Some(CandidateStatus {
            version: self.version().into(),
            digest: self.candidate_digest(),
            stage: staged.map(|pointer| pointer.stage),
            deadline_at: self.deadline_at(),
            approval_wait_seconds: self.approval_wait_seconds(),
            awaiting_approval_since: self.awaiting_approval_since(),
            upload,
            targets: self.decision.rolls.iter().map(target_status).collect(),
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

    /// The pointer as far as it is remembered: neither what another hand wrote nor what went back makes the highest flip forgotten,
    /// from which alone a lost pointer is made again (I4).
    fn remembered(&self) -> Option<&Pointer> {
        let contested = self.observed.found().is_some_and(|found| found.contested_by.is_some());
        let known = self.observed.release.status.active.as_ref().map_or(0, |active| active.sequence);
        self.pointer.as_ref().filter(|pointer| !contested && pointer.sequence >= known)
    }

    fn active(&self) -> Option<ActivatedVersion> {
        let pointer = self.remembered()?;
        let active = pointer.active.as_ref()?;
        Some(ActivatedVersion {
            version: active.version.clone(),
            digest: active.digest.clone(),
            sequence: pointer.sequence,
            activated_at: pointer.activated_at.map(api_time),
        })
    }

    fn previous(&self) -> Option<ActivatedVersion> {
        let pointer = self.remembered()?;
        let previous = pointer.previous.as_ref()?;
        let status = &self.observed.release.status;
        let known = [&status.active, &status.previous].into_iter().flatten();
        let sequence = pointer.sequence - 1;
        let activated_at =
            known.filter(|it| it.digest == previous.digest && it.sequence == sequence).find_map(|it| it.activated_at.clone());
        Some(ActivatedVersion { version: previous.version.clone(), digest: previous.digest.clone(), sequence, activated_at })
    }

    /// Derived from the pointer's sequence, so that a flip whose status was never written is entered at the next look.
    fn history(&self) -> Vec<HistoryEntry> {
        let mut history = self.observed.release.status.history.clone();
        if let Some(active) = self.active().filter(|active| history.iter().all(|entry| entry.sequence < active.sequence)) {
            let at = active.activated_at.clone().unwrap_or_else(|| api_time(self.observed.now));
            for entry in history.iter_mut().filter(|entry| entry.sequence > 0 && entry.retired_at.is_none()) {
                entry.retired_at = Some(at.clone());
            }
            history.insert(0, self.activation(active, at));
        }
        let restorable: Vec<Option<bool>> = history.iter().map(|entry| self.restorable(&history, entry)).collect();
        for (entry, restorable) in history.iter_mut().zip(restorable) {
            entry.restorable = restorable;
        }
        history.splice(0..0, self.given_up_now());
        while history.len() > HISTORY_MAX {
            // The active version's entry stays, however many attempts were given up since.
            let is_active = |entry: &HistoryEntry| entry.sequence > 0 && entry.retired_at.is_none();
            let oldest = history.iter().rposition(|entry| !is_active(entry)).unwrap_or_default();
            history.remove(oldest);
        }
        history
    }

    /// As the last plan has it; without a plan of this process, as it was said before.
    fn restorable(&self, history: &[HistoryEntry], entry: &HistoryEntry) -> Option<bool> {
        let digest = entry.digest.as_ref().filter(|_| entry.sequence > 0 && self.observed.release.spec.retention.is_some())?;
        retention::is_kept(self.observed, history, digest).or(entry.restorable)
    }

    fn activation(&self, active: ActivatedVersion, at: Time) -> HistoryEntry {
        let was_active = |entry: &HistoryEntry| entry.version == active.version && entry.sequence > 0;
        let outcome = if self.observed.release.status.history.iter().any(was_active) { Outcome::RolledBack } else { Outcome::Activated };
        HistoryEntry {
            version: active.version,
            digest: Some(active.digest),
            sequence: active.sequence,
            outcome,
            at,
            retired_at: None,
            restorable: None,
            overridden: self.overridden(),
            excused: self.excused(),
        }
    }

    fn overridden(&self) -> Option<String> {
        let Step::WritePointer(write) = &self.decision.step else { return None };
        let PointerChange::Flip { overridden } = &write.kind else { return None };
        let glass = self.observed.release.spec.activation.r#override.as_ref()?;
        let names: Vec<String> = overridden.iter().map(|gate| format!("{gate:?}")).collect();
        (!names.is_empty()).then(|| cut(format!("{}: {}", names.join(", "), glass.reason), 1024))
    }

    fn excused(&self) -> Vec<String> {
        let now = self.decision.rolls.iter().flat_map(|roll| roll.excused.iter().cloned());
        let mut names: Vec<String> = now.collect();
        if names.is_empty() {
            // A flip whose status was never written: what the roll call said last is the best that is known.
            let before = self.observed.release.status.candidate.iter().flat_map(|candidate| &candidate.targets);
            names = before.flat_map(|target| target.excused.iter().cloned()).collect();
        }
        names.truncate(NAMES_MAX);
        names
    }

    fn given_up_now(&self) -> Option<HistoryEntry> {
        let Step::GiveUp(_) = &self.decision.step else { return None };
        let candidate = self.observed.candidate()?;
        Some(HistoryEntry {
            version: candidate.version.clone(),
            digest: Some(candidate.digest.clone()),
            sequence: 0,
            outcome: Outcome::GivenUp,
            at: api_time(self.observed.now),
            retired_at: None,
            restorable: None,
            overridden: None,
            excused: Vec::new(),
        })
    }

    fn given_up(&self) -> Option<GivenUp> {
        let release = &self.observed.release;
        let staged = self.pointer.as_ref().filter(|pointer| pointer.candidate.is_some()).map(|pointer| pointer.stage);
        if let Step::GiveUp(message) = &self.decision.step {
            return Some(GivenUp {
                version: release.spec.version.clone(),
                generation: release.generation,
                request: release.requested_at.clone(),
                stage: staged,
                message: cut(message.clone(), 2048),
                at: api_time(self.observed.now),
            });
        }
        let given_up = release.status.given_up.clone()?;
        let is_wanted = given_up.version == release.spec.version && given_up.generation == release.generation;
        let is_staged = staged.is_some() && given_up.stage == staged;
        (is_staged || (is_wanted && given_up.request == release.requested_at)).then_some(given_up)
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
    let (serving, all) = counting.fold((0, 0), |sum, pod| (sum.0 + usize::from(roll_call::serves(pod, active)), sum.1 + 1));
    Some(format!("{serving}/{all}"))
}

fn step_text(step: &Step) -> String {
    match step {
        Step::Nothing => "waiting".into(),
        Step::AddFinalizer => "taking charge of the release".into(),
        Step::RemoveFinalizer => "letting go of the release".into(),
        Step::ClaimPrefix(_) => "claiming the prefix".into(),
        Step::StartJob(Job::Publish { .. }) => "publishing".into(),
        Step::StartJob(Job::Verify { .. }) => "asking the store for every object".into(),
        Step::StartJob(Job::Replicate { .. }) => "bringing the version into every replica".into(),
        Step::StartJob(Job::Backfill { .. }) => "filling a replica".into(),
        Step::StartJob(Job::PublishEntries { .. }) => "writing the entry files to the bucket".into(),
        Step::StartJob(Job::Sweep { act: SweepAct::Plan, .. }) => "planning what retention lets go".into(),
        Step::StartJob(Job::Sweep { act: SweepAct::CarryOut, .. }) => "deleting what retention lets go".into(),
        Step::CancelJob(_) => "ending work that is not wanted any more".into(),
        Step::CreatePointer => "making the pointer".into(),
        Step::GiveUp(_) => "given up; the candidate is taken back next".into(),
        Step::WritePointer(write) => match &write.kind {
            PointerChange::Stage => "staged; waiting for the pods".into(),
            PointerChange::Flip { .. } => "flipped; waiting until every pod serves it".into(),
            PointerChange::Unstage(reason) => format!("the candidate is taken back ({})", reason.reason()),
            PointerChange::Restore => "restoring the pointer".into(),
        },
    }
}

fn cut(text: String, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text;
    }
    let end = (0..=bytes_max - '…'.len_utf8()).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", &text[..end])
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
