//! Convergence: which pods do not serve the active version yet, and which of them keep the next flip away.
//! Never takes a pod that is not Ready for one that serves nothing: a probe that fails for a moment is no restart (I11).

use jiff::Timestamp;

use crate::api::moment::{later, past};

use super::blocker::{LaggingPod, some_of};
use super::observed::{Observed, PodFacts, ReportFacts, TargetFacts};
use super::roll_call::{Followers, NODE_LOOKED_AT_AFTER, UNREACHABLE_EXCUSED_AFTER, counts, follows, follows_on};

/// Pods that keep the next flip away: Ready ones that do not serve the active version, and those that are not Ready and say that they
/// serve another one. Such a pod may become Ready again at any time without a restart, and its page then needs assets that a pod of after
/// the next flip has never loaded. A pod without an agent does not follow the pointer before the second flip.
#[must_use]
pub fn not_serving(observed: &Observed) -> Vec<LaggingPod> {
    lagging(observed, |pod| pod.ready || may_return(observed, pod))
}

/// Pods that keep a flip from being called converged: those of [`not_serving`], and while no pod is Ready at all, those that have
/// announced themselves. Otherwise a first release would be done before anybody serves it (I9). The gate does not ask for this: a
/// pod that never served anything must not keep the next version away.
#[must_use]
pub fn not_converged(observed: &Observed) -> Vec<LaggingPod> {
    if observed.targets.iter().flat_map(|target| &target.pods).any(|pod| pod.ready) {
        return not_serving(observed);
    }
    lagging(observed, |pod| may_return(observed, pod) || (!pod.terminating && pod.unreachable_since.is_none()))
}

/// The next moment at which time alone changes who lags behind.
#[must_use]
pub fn next_change(observed: &Observed) -> Option<Timestamp> {
    let pods = counted(observed).filter(|(target, pod)| serves_other(observed, target, pod).is_some());
    let changes = pods.filter_map(|(target, pod)| match pod.unreachable_since {
        _ if pod.ready => excused_from_serving_at(observed, target, pod),
        Some(since) => Some(later(since, UNREACHABLE_EXCUSED_AFTER)),
        None => Some(later(observed.now, NODE_LOOKED_AT_AFTER)),
    });
    changes.filter(|at| *at > observed.now).min()
}

/// Whether a pod that is not Ready says that it serves something, and may be Ready again without a restart. One whose agent's container
/// does not run may not: its next life announces itself first, and is not Ready on what is neither active nor previous.
fn may_return(observed: &Observed, pod: &PodFacts) -> bool {
    let says_what = match &pod.report {
        ReportFacts::Known(report) => report.serving.is_some(),
        // Whatever it serves, it does not go by this pointer.
        ReportFacts::OfAnother(_) => true,
        ReportFacts::NotAsked | ReportFacts::Silent | ReportFacts::Unusable(_) => false,
    };
    let is_unreachable = pod.unreachable_since.is_some_and(|since| later(since, UNREACHABLE_EXCUSED_AFTER) <= observed.now);
    says_what && pod.agent_runs && !is_unreachable
}

fn lagging(observed: &Observed, who: impl Fn(&PodFacts) -> bool) -> Vec<LaggingPod> {
    let asked = counted(observed).filter(|(_, pod)| who(pod));
    let lags = |(target, pod): (&TargetFacts, &PodFacts)| {
        let why = format!("{}{}", target.standing.prefix(), serves_other(observed, target, pod)?);
        Some(LaggingPod { name: pod.name.clone(), why })
    };
    let mut lagging: Vec<_> = asked.filter_map(lags).collect();
    lagging.sort();
    lagging
}

/// Every pod that counts after the flip, with its target.
fn counted(observed: &Observed) -> impl Iterator<Item = (&TargetFacts, &PodFacts)> {
    let followers = observed.found().map_or(Followers::WithAgent, |found| Followers::of_active(&found.pointer));
    let pods = observed.targets.iter().flat_map(|target| target.pods.iter().map(move |pod| (target, pod)));
    pods.filter(move |(target, pod)| follows_on(target, pod, followers))
}

/// What a pod does instead of serving the active version.
fn serves_other(observed: &Observed, target: &TargetFacts, pod: &PodFacts) -> Option<String> {
    let found = observed.found()?;
    let active = &found.pointer.active.as_ref()?.digest;
    match &pod.report {
        ReportFacts::Known(report) if report.serves(active, found.pointer.sequence) => None,
        ReportFacts::Known(report) => match &report.serving {
            Some(serving) if serving == active => Some("serves the version as an earlier flip had it".into()),
            Some(serving) if pod.ready => Some(format!("serves {}", serving.short())),
            Some(serving) => Some(format!("serves {} and is not Ready: delete it if it stays so", serving.short())),
            None => Some("serves nothing yet".into()),
        },
        ReportFacts::Unusable(cause) => Some(cause.to_string()),
        ReportFacts::OfAnother(pointer) => Some(follows(pointer)),
        ReportFacts::NotAsked => Some("not asked yet".into()),
        ReportFacts::Silent if is_excused_from_serving(observed, target, pod) => None,
        ReportFacts::Silent if !pod.has_agent => Some("has no agent".into()),
        ReportFacts::Silent => Some("silent".into()),
    }
}

fn is_excused_from_serving(observed: &Observed, target: &TargetFacts, pod: &PodFacts) -> bool {
    excused_from_serving_at(observed, target, pod).is_some_and(|at| at <= observed.now)
}

/// Only a pod without an agent, that never said anything: what it serves cannot be known, so the user's word and the wait from
/// the flip on stand for it. A pod that has an agent may have said that it serves the version before: it is never excused (I11).
fn excused_from_serving_at(observed: &Observed, target: &TargetFacts, pod: &PodFacts) -> Option<Timestamp> {
    let never_spoke = pod.report == ReportFacts::Silent && !pod.has_agent;
    // A flip that is dated later than now is not waited for until then: the pod's own time counts.
    let flipped_at = observed.found().and_then(|found| found.pointer.activated_at).map(|at| past(at, observed.now));
    let since = flipped_at.map_or(observed.now, |at| at.unwrap_or(Timestamp::MIN)).max(pod.created_at);
    target.target.excuse_after().filter(|_| never_spoke).map(|patience| later(since, patience))
}

/// Who serves the active version when nobody lags behind: nothing is claimed of pods of which nobody knows what they serve (I9).
#[must_use]
pub fn who_serves(observed: &Observed) -> String {
    let followers = observed.found().map_or(Followers::WithAgent, |found| Followers::of_active(&found.pointer));
    let is_excused = |target: &TargetFacts, pod: &PodFacts| {
        pod.ready && counts(target, pod, followers) && is_excused_from_serving(observed, target, pod)
    };
    let pods = observed.targets.iter().flat_map(|target| target.pods.iter().filter(move |pod| is_excused(target, pod)));
    let excused: Vec<String> = pods.map(|pod| pod.name.clone()).collect();
    if excused.is_empty() {
        return "every Ready pod serves the active version".into();
    }
    format!("every Ready pod that reports serves the active version; excused, because what they serve is unknown: {}", some_of(&excused))
}
