//! The conditions: each a verdict over the facts and the decision, dated as the API conventions have it.
//! Never read back by a rule: they are output only.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::conditions;
use crate::api::release::{Phase, PublishEntries, api_time};
use crate::api::status::{MESSAGE_BYTES_MAX, cut};
use crate::manifest::BuildSummary;
use crate::rollout::blocker::{Blocker, LaggingPod};
use crate::rollout::decision::{PointerChange, Step};
use crate::rollout::observed::{Job, JobEnd, PrefixFacts, StoreFacts};
use crate::rollout::{converging, gates, replicas, retention};

use super::{View, step_text, tally};

/// Reason of `StoreVerified` when headers of some objects are not ours.
const OTHER_HEADERS: &str = "CompleteWithOtherHeaders";

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

impl View<'_> {
    /// What is waited for, or that nothing is.
    pub(super) fn message(&self) -> String {
        cut(self.ready().message, MESSAGE_BYTES_MAX)
    }

    pub(super) fn conditions(&self, previous: &[Condition]) -> Vec<Condition> {
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
        ];
        let dated = all.into_iter().filter_map(|(kind, verdict)| Some(self.dated(kind, verdict?, previous)));
        dated.chain(self.retention_blocked(previous)).collect()
    }

    /// What stays as it was said is not dated anew, but for the generation that it is said of.
    fn retention_blocked(&self, previous: &[Condition]) -> Option<Condition> {
        let kind = conditions::RETENTION_BLOCKED;
        match retention::blocked(self.observed)? {
            retention::Blocked::By(reason, message) => Some(self.dated(kind, Verdict::yes(reason, message), previous)),
            retention::Blocked::AsToldBefore => {
                let told = previous.iter().find(|condition| condition.type_ == kind)?;
                Some(Condition { observed_generation: Some(self.observed.release.generation), ..told.clone() })
            }
        }
    }

    /// The transition time moves only with the status, as the API conventions have it.
    fn dated(&self, kind: &str, verdict: Verdict, previous: &[Condition]) -> Condition {
        let status = if verdict.is_true { "True" } else { "False" };
        let unchanged = previous.iter().find(|condition| condition.type_ == kind && condition.status == status);
        Condition {
            type_: kind.into(),
            status: status.into(),
            reason: verdict.reason.into(),
            message: cut(verdict.message, MESSAGE_BYTES_MAX),
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
        let is_fetched = self.upload().is_some_and(|upload| upload.objects_total > 0);
        if self.is_recorded() {
            let read = self.read_build().map(|build| format!(" ({})", build.sentence())).unwrap_or_default();
            let source = self.unused_source();
            return Verdict::yes("Recorded", format!("version {:?} is recorded in the store{read}; {source}", self.version()));
        }
        if is_fetched { Verdict::yes("Fetched", "the build was fetched and checked") } else { self.not_yet("NotFetched") }
    }

    /// What becomes of the source of a version that is recorded. One that is pinned to another build is told: somebody expects it.
    fn unused_source(&self) -> String {
        let pinned = self.observed.release.spec.source.as_ref().and_then(|source| source.bucket.as_ref()).map(|bucket| &bucket.digest);
        let active = self.pointer.as_ref().filter(|_| self.is_active()).and_then(|pointer| pointer.active.as_ref());
        let recorded = active.map(|active| active.digest.clone()).or_else(|| self.candidate_digest()).map(|digest| digest.to_string());
        match (pinned, recorded) {
            (Some(pinned), Some(recorded)) if *pinned != recorded => {
                format!("it is the build {recorded} for ever, and spec.source names {pinned}: give that one another version")
            }
            _ => "spec.source is not used".to_owned(),
        }
    }

    /// How the build was read, until its version is active: from then on the bucket is asked now and then only, for a sweep, and what
    /// is said must not change with it (I7).
    fn read_build(&self) -> Option<&BuildSummary> {
        match &self.observed.prefix {
            PrefixFacts::Known { record: Some(record), .. } if !self.is_active() => record.build.as_deref(),
            PrefixFacts::Known { .. } | PrefixFacts::NotNeeded | PrefixFacts::Asked { .. } | PrefixFacts::Fault(_) => None,
        }
    }

    fn uploaded(&self) -> Verdict {
        if self.is_recorded() { Verdict::yes("Recorded", "every object was sent or found") } else { self.not_yet("NotUploaded") }
    }

    fn store_verified(&self) -> Verdict {
        let is_verified = self.is_on_its_way() && self.verified_for_stage() && self.replicated_for_stage();
        if !self.is_active() && !is_verified {
            return self.not_yet("NotVerified");
        }
        if let Some(unverified) = self.is_active().then(|| self.active_unverified()).flatten() {
            return unverified;
        }
        let everywhere = self.whole_places();
        match self.drifted_headers() {
            Some(drift) => Verdict::yes(OTHER_HEADERS, format!("{everywhere}; {drift}")),
            None => Verdict::yes("Complete", everywhere),
        }
    }

    /// Why nothing can be claimed of the active version (I9): Rollcall's own flips rest on a look at the store, those of another hand do
    /// not, and where the store is gone nobody knows whether it is the one that was looked at.
    fn active_unverified(&self) -> Option<Verdict> {
        let unknown = |why: &str| Verdict::no("NotAsked", format!("the store was not asked for version {:?}: {why}", self.version()));
        if self.observed.own_pointer().is_none() {
            return Some(unknown("another hand wrote the pointer"));
        }
        (self.observed.store == StoreFacts::Missing).then(|| unknown("the AssetStore does not exist"))
    }

    /// Whether the store is asked, or was, for what is going on. What a process still knows of an attempt that is at a halt, another one
    /// does not (I7).
    fn is_on_its_way(&self) -> bool {
        match self.decision.phase {
            Phase::Verifying | Phase::RollCall | Phase::AwaitingApproval | Phase::Converging | Phase::Active => true,
            Phase::Pending | Phase::Uploading | Phase::Suspended | Phase::Stalled | Phase::Terminating => false,
        }
    }

    /// What the last look at the store saw of its objects' headers. Once pages refer to the version it stays as it was said: another
    /// process has looked at nothing of it (I7).
    fn drifted_headers(&self) -> Option<&str> {
        let is_told = |condition: &&Condition| condition.type_ == conditions::STORE_VERIFIED && condition.status == "True";
        if let Some(told) = self.observed.release.status.conditions.iter().find(is_told).filter(|_| self.is_active()) {
            return told.message.split_once("; ").filter(|_| told.reason == OTHER_HEADERS).map(|(_, drift)| drift);
        }
        let looks = self.observed.jobs.ended.iter().rev().filter_map(|(_, end)| match end {
            JobEnd::Verified { headers, .. } => Some(headers.as_deref()),
            _ => None,
        });
        looks.take(1).flatten().next()
    }

    fn whole_places(&self) -> String {
        let admitted = || replicas::status(self.observed).iter().filter(|replica| replica.admitted).count();
        // Once it is active nobody looks again: what was seen was seen before the flip (I9).
        match (self.is_active(), if self.is_active() { admitted() } else { replicas::of_store(self.observed).len() }) {
            (true, 0) => "the store had every object when the version was activated".to_owned(),
            (true, count) => {
                format!("the store had every object when the version was activated, and its admitted replicas ({count}) have it")
            }
            (false, 0) => "the store has every object".to_owned(),
            (false, count) => format!("the store has every object, and so have its replicas ({count})"),
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
            return self.acknowledged_at_the_flip();
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

    /// I9: what was skipped and who was excused is said for as long as the version is active.
    fn acknowledged_at_the_flip(&self) -> Verdict {
        let had = "every pod that counts had the version at the flip";
        let (skipped, excused) = self.waived_at_the_flip();
        let excused = if excused.is_empty() { String::new() } else { format!("; excused were {}", excused.join(", ")) };
        let Some(skipped) = skipped else { return Verdict::yes("Activated", format!("{had}{excused}")) };
        // Gates stand before the reason that a person gave.
        if skipped.split(':').next().is_some_and(|gates| gates.contains("EveryPodReported")) {
            let message = format!("break-glass skipped {skipped}; pods may have lacked the version at the flip{excused}");
            return Verdict::no("Overridden", message);
        }
        Verdict::yes("Activated", format!("{had}; break-glass skipped {skipped}{excused}"))
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

    fn converged(&self) -> Verdict {
        if !self.is_active() {
            return Verdict::no("NotFlipped", format!("version {:?} is not active", self.version()));
        }
        let flips_now = matches!(&self.decision.step, Step::WritePointer(write) if matches!(write.kind, PointerChange::Flip { .. }));
        let pods: Vec<LaggingPod> = converging::not_converged(self.observed);
        if flips_now {
            return Verdict::no("Converging", "the flip was made just now");
        }
        if let Err(unseen) = gates::pods_were_seen(self.observed) {
            return Verdict::no(unseen.reason(), unseen.message());
        }
        if pods.is_empty() {
            return Verdict::yes("EveryPodServes", converging::who_serves(self.observed));
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
}
