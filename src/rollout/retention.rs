//! Retention as the rollout sees it: what a release says that it uses, when a sweep is due, and what people are shown of it.
//! Never decides what may go: that is `crate::retention`.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::api::moment::{later, past};
use crate::api::release::{HistoryEntry, Phase, PublishEntries, RetentionSpec, RetentionStatus, api_time};
use crate::api::status::cut;
use crate::api::{ManifestDigest, Pointer};
use crate::manifest::record::{Activation, Pin, RetentionPolicy, Role, Use};
use crate::retention::references::OwnFacts;
use crate::retention::{Plan, Referrer, Tally};

use super::decision::{Decision, Step};
use super::observed::{Job, JobEnd, Observed, ReleaseFacts, ReportFacts, StoreFacts, SweepAct};

/// From the end of one sweep to the next. A version that is retired today goes a day later than it could: nobody waits for it.
const EVERY: SignedDuration = SignedDuration::from_hours(24);

/// As long as the status has room for.
const MESSAGE_BYTES: usize = 1024;

/// Names shown in status.
const NAMES_MAX: usize = 10;

/// When the next sweep is due; `None` without `spec.retention`. A last one that is dated later than now is not believed.
#[must_use]
pub fn due_at(release: &ReleaseFacts, now: Timestamp) -> Option<Timestamp> {
    release.spec.retention.as_ref()?;
    let last = release.status.retention.as_ref().and_then(|retention| retention.swept_at.as_ref());
    Some(last.and_then(|last| past(last.0, now)).map_or(Timestamp::UNIX_EPOCH, |last| later(last, EVERY)))
}

/// The sweep's job, while one is due. First the plan, so that status shows it, then its execution.
#[must_use]
pub fn job(observed: &Observed) -> Option<Job> {
    let retention = observed.release.spec.retention.clone()?;
    let found = observed.found()?;
    let active = found.pointer.active.as_ref().filter(|active| observed.is_wanted(active))?;
    let pages_are_out =
        observed.release.spec.entries.publish == PublishEntries::Pods || observed.entries_are_published(found.pointer.sequence);
    let due = due_at(&observed.release, observed.now).filter(|at| pages_are_out && *at <= observed.now)?;
    let job = |act| Job::Sweep { act, active: active.digest.clone(), retention: retention.clone(), due };
    let planned = job(SweepAct::Plan);
    let has_plan = observed.jobs.ended.iter().any(|(ended, end)| match end {
        JobEnd::Planned { .. } => *ended == planned,
        _ => *ended == job(SweepAct::CarryOut),
    });
    let is_carried_out = observed.jobs.running.as_ref().is_some_and(|(running, _)| *running == job(SweepAct::CarryOut));
    Some(if has_plan || is_carried_out { job(SweepAct::CarryOut) } else { planned })
}

/// What is to be done about retention when everything else is settled.
#[must_use]
pub fn decide(observed: &Observed) -> Option<Decision> {
    let job = job(observed)?;
    let is_waiting = match observed.jobs.end_of(&job) {
        Some(JobEnd::Failed(failure)) => failure.retry_at.is_none_or(|at| at > observed.now),
        Some(_) => true,
        None => false,
    };
    (!is_waiting && observed.jobs.running.is_none() && observed.bucket_is_open())
        .then(|| Decision::step(Phase::Active, Step::StartJob(job)))
}

/// When to look again on account of retention.
#[must_use]
pub fn look_at(observed: &Observed) -> Option<Timestamp> {
    let due = due_at(&observed.release, observed.now)?;
    let retry = job(observed).and_then(|job| match observed.jobs.end_of(&job) {
        Some(JobEnd::Failed(failure)) => failure.retry_at,
        _ => None,
    });
    [Some(due), retry].into_iter().flatten().filter(|at| *at > observed.now).min()
}

/// Whether this object has yet to write into the bucket what it uses: pages of it are active, and it has staged none itself.
#[must_use]
pub fn are_references_due(release: &ReleaseFacts, pointer: Option<&Pointer>) -> bool {
    !release.deleting && !have_written(release) && pointer.is_some_and(|pointer| pointer.active.is_some())
}

fn have_written(release: &ReleaseFacts) -> bool {
    release.status.references_written_by.as_ref() == Some(&release.uid)
}

/// The object that has written into the bucket what it uses.
#[must_use]
pub fn references_written_by(observed: &Observed) -> Option<String> {
    let told = observed.release.status.references_written_by.clone();
    if references_written(observed) { Some(observed.release.uid.clone()) } else { told }
}

/// Whether this object has written into the bucket what it uses.
fn references_written(observed: &Observed) -> bool {
    let wrote = |end: &JobEnd| match end {
        JobEnd::ReferencesWritten | JobEnd::Verified { .. } | JobEnd::Planned { .. } | JobEnd::Swept { .. } => true,
        JobEnd::Claimed
        | JobEnd::Published { .. }
        | JobEnd::Replicated { .. }
        | JobEnd::EntriesPublished { .. }
        | JobEnd::ReferencesEnded
        | JobEnd::Failed(_) => false,
    };
    have_written(&observed.release) || observed.jobs.ended.iter().any(|(_, end)| wrote(end))
}

/// Why the end of the release's references could not be written, once that was tried; `None` where they end.
#[must_use]
pub fn why_references_stay(observed: &Observed) -> Option<String> {
    let failed = observed.jobs.ended.iter().find_map(|(job, end)| match (job, end) {
        (Job::EndReferences { .. }, JobEnd::Failed(failure)) => Some(failure.message.clone()),
        _ => None,
    });
    let store = &observed.release.spec.store_ref.name;
    let unusable = match &observed.store {
        StoreFacts::Missing => Some(format!("AssetStore {store:?} does not exist")),
        StoreFacts::Unusable(_) => Some(format!("AssetStore {store:?} cannot be used")),
        StoreFacts::Usable { .. } => None,
    };
    failed.or_else(|| unusable.filter(|_| references_written(observed)))
}

/// What the release uses and used, for the document in the bucket. What is about to be staged counts as used.
#[must_use]
pub fn own_facts(observed: &Observed, cluster: &str, about_to_use: Option<&ManifestDigest>) -> OwnFacts {
    let status = &observed.release.status;
    let mut uses = BTreeSet::new();
    let mut add = |digest: &ManifestDigest, role| {
        uses.insert(Use { digest: digest.clone(), role });
    };
    if let Some(found) = observed.found() {
        let pointer = &found.pointer;
        for (version, role) in [(&pointer.active, Role::Active), (&pointer.candidate, Role::Candidate), (&pointer.previous, Role::Previous)]
        {
            if let Some(version) = version {
                add(&version.digest, role);
            }
        }
    }
    for (version, role) in [(&status.active, Role::Active), (&status.previous, Role::Previous)] {
        if let Some(version) = version {
            add(&version.digest, role);
        }
    }
    if let Some(digest) = about_to_use {
        add(digest, Role::Candidate);
    }
    for pod in observed.targets.iter().flat_map(|target| &target.pods) {
        // What a pod has of another pointer's versions is kept by the release that it follows.
        if let ReportFacts::Known(report) = &pod.report {
            for digest in report.available.iter().chain(&report.serving) {
                add(digest, Role::Reported);
            }
        }
    }
    OwnFacts {
        cluster: cluster.into(),
        release: observed.release.full_name(),
        uid: observed.release.uid.clone(),
        retention: observed.release.spec.retention.as_ref().map(policy),
        uses,
        activated: activated(observed),
    }
}

fn policy(spec: &RetentionSpec) -> RetentionPolicy {
    RetentionPolicy {
        releases: u32::try_from(spec.releases).unwrap_or(u32::MAX),
        ttl_seconds: spec.ttl_seconds(),
        pins: spec.pins.iter().map(|pin| Pin { pattern: pin.r#match.clone(), ttl_seconds: pin.ttl_seconds() }).collect(),
    }
}

fn activated(observed: &Observed) -> Vec<Activation> {
    let history = observed.release.status.history.iter().filter(|entry| entry.sequence > 0);
    let entries = history.filter_map(|entry| {
        Some(Activation {
            version: entry.version.clone(),
            digest: entry.digest.clone()?,
            sequence: entry.sequence,
            retired_at: entry.retired_at.as_ref().map(|at| at.0),
        })
    });
    entries.collect()
}

/// What people are shown of a plan; with what was deleted, when it was carried out.
#[must_use]
pub fn shown(plan: &Plan, deleted: Option<Tally>, at: Timestamp) -> RetentionStatus {
    let count = |figure: u64| i64::try_from(figure).unwrap_or(i64::MAX);
    let going = plan.versions_going();
    let message = match deleted {
        None if plan.is_empty() => format!("nothing goes; {} builds stay", plan.roots.kept.len()),
        None => format!("{} objects of {} versions go; {} builds stay", plan.going.objects, going.len(), plan.roots.kept.len()),
        Some(deleted) => {
            format!("{} objects ({} bytes) were deleted; {} builds stay", deleted.objects, deleted.bytes, plan.roots.kept.len())
        }
    };
    let silent = plan.referrers.iter().find_map(Referrer::advice);
    let message =
        [plan.nested.first().map(ToString::to_string), silent].into_iter().flatten().fold(message, |all, one| format!("{all}; {one}"));
    RetentionStatus {
        message: cut(message, MESSAGE_BYTES),
        planned_at: Some(api_time(at)),
        swept_at: deleted.map(|_| api_time(at)),
        versions_going: going.into_iter().take(NAMES_MAX).map(ToOwned::to_owned).collect(),
        objects_going: count(plan.going.objects),
        bytes_going: count(plan.going.bytes),
        objects_kept: count(plan.kept.objects),
        bytes_kept: count(plan.kept.bytes),
        objects_pinned: count(plan.pinned.objects),
        objects_unknown: count(plan.unknown.objects),
        objects_deleted: count(deleted.unwrap_or_default().objects),
        bytes_deleted: count(deleted.unwrap_or_default().bytes),
    }
}

/// The next `status.retention`: what the last job saw; a plan that is not carried out yet keeps the time of the last sweep.
#[must_use]
pub fn status(observed: &Observed) -> Option<RetentionStatus> {
    observed.release.spec.retention.as_ref()?;
    let before = observed.release.status.retention.clone();
    match last_plan(observed).map(|(_, shown)| shown.clone()) {
        Some(shown) => {
            let is_older = planned_at(before.as_ref(), observed.now) > shown.planned_at.as_ref().map(|at| at.0);
            let swept_at = shown.swept_at.clone().or_else(|| before.as_ref()?.swept_at.clone());
            if is_older { before } else { Some(RetentionStatus { swept_at, ..shown }) }
        }
        None => before,
    }
}

/// When another process has planned, as far as that is believed.
fn planned_at(told: Option<&RetentionStatus>, now: Timestamp) -> Option<Timestamp> {
    past(told?.planned_at.as_ref()?.0, now)
}

/// Why retention is at a halt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocked {
    /// For this reason: stable word and message.
    By(&'static str, String),
    /// As the status has it, if it has anything: this process has not tried the sweep that is due.
    AsToldBefore,
}

/// Why retention is at a halt, as far as the sweep that is due says.
#[must_use]
pub fn blocked(observed: &Observed) -> Option<Blocked> {
    unprotected(observed).or_else(|| sweep_blocked(observed))
}

/// What the release uses is not in the bucket yet: another cluster's sweep would not know of it.
fn unprotected(observed: &Observed) -> Option<Blocked> {
    (are_references_due(&observed.release, observed.own_pointer()) && !references_written(observed)).then_some(())?;
    let tried = observed.jobs.ended.iter().find(|(job, _)| matches!(job, Job::WriteReferences { .. }));
    match tried {
        Some((_, JobEnd::Failed(failure))) => {
            let message =
                format!("what this release uses could not be written into the store, so sweeps do not know of it: {}", failure.message);
            Some(Blocked::By(failure.reason, message))
        }
        Some(_) | None => Some(Blocked::AsToldBefore),
    }
}

fn sweep_blocked(observed: &Observed) -> Option<Blocked> {
    due_at(&observed.release, observed.now).filter(|at| *at <= observed.now)?;
    let due = job(observed);
    let last = observed.jobs.ended.iter().find(|(job, _)| matches!(job, Job::Sweep { .. }));
    match last {
        Some((_, JobEnd::Planned { .. })) => None,
        Some((tried, end)) if due.as_ref().is_none_or(|due| due == tried) => match end {
            JobEnd::Failed(failure) => Some(Blocked::By(failure.reason, failure.message.clone())),
            _ => None,
        },
        Some(_) | None => Some(Blocked::AsToldBefore),
    }
}

/// Whether the last plan keeps a build; `None` without a plan. What was activated since then was found whole before.
#[must_use]
pub fn is_kept(observed: &Observed, history: &[HistoryEntry], digest: &ManifestDigest) -> Option<bool> {
    let (kept, shown) = last_plan(observed)?;
    let planned_at = shown.planned_at.as_ref()?;
    // Another process has planned since: its word is in the status.
    let is_outdated = self::planned_at(observed.release.status.retention.as_ref(), observed.now) > Some(planned_at.0);
    if is_outdated {
        return None;
    }
    let is_newer = |entry: &HistoryEntry| entry.digest.as_ref() == Some(digest) && entry.at.0 >= planned_at.0;
    Some(kept.contains(digest) || history.iter().any(is_newer))
}

/// How many builds the last plan keeps; `None` without a plan of this process.
#[must_use]
pub fn builds_kept(observed: &Observed) -> Option<usize> {
    last_plan(observed).map(|(kept, _)| kept.len())
}

fn last_plan(observed: &Observed) -> Option<(&BTreeSet<ManifestDigest>, &RetentionStatus)> {
    observed.jobs.ended.iter().find_map(|(_, end)| match end {
        JobEnd::Planned { kept, shown } | JobEnd::Swept { kept, shown } => Some((kept, &**shown)),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
