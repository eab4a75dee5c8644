//! The gates: named preconditions, in the order in which people should read about them. A gate looks at facts and says yes, or
//! what is missing; it never acts.

use std::collections::BTreeSet;

use crate::api::release::{ActivationMode, ProceedOrWait, SkippableGate};

use super::blocker::Blocker;
use super::converging;
use super::observed::{JobEnd, Observed, PodFacts, ReportFacts, Standing, TargetFacts};
use super::replicas;
use super::roll_call::{self, Followers};
use super::watched;

/// A named precondition.
pub struct Gate {
    /// The break-glass name, when break-glass may skip it. That objects are in the store (I1) and that the flip before has
    /// converged (I11) cannot be skipped.
    pub skippable: Option<SkippableGate>,
    /// Says yes, or what is missing.
    pub holds: fn(&Observed) -> Result<(), Blocker>,
}

/// What must hold at the flip, over facts of the very pass that flips.
pub const FLIP_GATES: &[Gate] = &[
    Gate { skippable: None, holds: objects_are_in_the_store },
    Gate { skippable: None, holds: objects_are_in_every_replica },
    Gate { skippable: Some(SkippableGate::WorkloadsExist), holds: workloads_exist },
    Gate { skippable: Some(SkippableGate::PodsExist), holds: pods_exist },
    Gate { skippable: Some(SkippableGate::EveryPodReported), holds: pods_were_seen_since_stage },
    Gate { skippable: Some(SkippableGate::EveryPodReported), holds: pods_follow_this_pointer },
    Gate { skippable: Some(SkippableGate::EveryPodReported), holds: every_pod_reported },
    Gate { skippable: None, holds: previous_flip_has_converged },
    Gate { skippable: None, holds: selectors_are_recorded },
    Gate { skippable: Some(SkippableGate::Approved), holds: version_is_approved },
];

/// Everything that keeps the flip from happening, in the order of the gates.
#[must_use]
pub fn blockers(gates: &[Gate], observed: &Observed) -> Vec<Blocker> {
    gates.iter().filter(|gate| !is_overridden(gate, observed)).filter_map(|gate| (gate.holds)(observed).err()).collect()
}

/// Gates that do not hold and that break-glass skips for the wanted version.
#[must_use]
pub fn overridden(gates: &[Gate], observed: &Observed) -> Vec<SkippableGate> {
    let mut skipped: Vec<_> = gates
        .iter()
        .filter(|gate| is_overridden(gate, observed) && (gate.holds)(observed).is_err())
        .filter_map(|gate| gate.skippable)
        .collect();
    skipped.sort_unstable();
    skipped.dedup();
    skipped
}

fn is_overridden(gate: &Gate, observed: &Observed) -> bool {
    let spec = &observed.release.spec;
    match (&spec.activation.r#override, gate.skippable) {
        (Some(glass), Some(name)) => glass.version == spec.version && glass.gates.contains(&name),
        _ => false,
    }
}

/// I1: the store was asked for this staging, and has every object.
fn objects_are_in_the_store(observed: &Observed) -> Result<(), Blocker> {
    let Some((found, candidate)) = observed.found().zip(observed.candidate()) else {
        return Err(Blocker::Verifying { version: observed.release.spec.version.clone() });
    };
    let version = candidate.version.clone();
    let job = super::decide::verify(observed, &version, &candidate.digest, found.pointer.stage);
    match observed.jobs.end_of(&job) {
        Some(JobEnd::Verified { missing, .. }) if missing.is_empty() => Ok(()),
        Some(JobEnd::Verified { missing, .. }) => Err(Blocker::ObjectsMissing { version, keys: missing.clone() }),
        Some(JobEnd::Failed(failure)) => Err(Blocker::JobFailed(failure.clone())),
        _ => Err(Blocker::Verifying { version }),
    }
}

/// I1: so has every replica, admitted or not: one that is being filled must not fall behind meanwhile.
fn objects_are_in_every_replica(observed: &Observed) -> Result<(), Blocker> {
    let Some((found, candidate)) = observed.found().zip(observed.candidate()) else { return Ok(()) };
    let job = replicas::replicate(observed, &candidate.version, &candidate.digest, found.pointer.stage);
    job.map_or(Ok(()), |job| replicas::are_whole(observed, &job))
}

/// A target that is not there is a typing error until the user says otherwise.
fn workloads_exist(observed: &Observed) -> Result<(), Blocker> {
    if observed.release.spec.activation.on_missing_workload == ProceedOrWait::Proceed {
        return Ok(());
    }
    let targets = names(observed, |target| target.standing == Standing::Missing);
    if targets.is_empty() { Ok(()) } else { Err(Blocker::WorkloadMissing { targets }) }
}

/// No pods is vacuous truth, unless the user wants to wait for some.
fn pods_exist(observed: &Observed) -> Result<(), Blocker> {
    if observed.release.spec.activation.on_zero_replicas == ProceedOrWait::Proceed {
        return Ok(());
    }
    let followers = observed.found().map_or(Followers::WithAgent, |found| Followers::of_candidate(&found.pointer));
    let is_empty = |target: &TargetFacts| !target.pods.iter().any(|pod| roll_call::counts(target, pod, followers));
    let targets = names(observed, |target| target.standing == Standing::Present && is_empty(target));
    if targets.is_empty() { Ok(()) } else { Err(Blocker::NoPods { targets }) }
}

/// The view of the pods may be old, since reports only grow within a stage, but never older than the stage.
fn pods_were_seen_since_stage(observed: &Observed) -> Result<(), Blocker> {
    let stage = observed.found().map_or(0, |found| found.pointer.stage);
    seen_since(observed, stage)
}

/// Whether there is any view of the pods: without one nothing can be said of them.
pub(super) fn pods_were_seen(observed: &Observed) -> Result<(), Blocker> {
    seen_since(observed, 0)
}

fn seen_since(observed: &Observed, stage: i64) -> Result<(), Blocker> {
    let targets = names(observed, |target| {
        let not_asked = target.pods.iter().any(|pod| !pod.finished && pod.report == ReportFacts::NotAsked);
        target.selector.is_some() && (not_asked || target.seen_since_stage.is_none_or(|seen| seen < stage))
    });
    if targets.is_empty() { Ok(()) } else { Err(Blocker::PodsUnseen { targets }) }
}

/// I9: a pod that follows another release's pointer never reports the candidate, whatever it has; who waits for it reads why.
fn pods_follow_this_pointer(observed: &Observed) -> Result<(), Blocker> {
    let rolls = roll_call::of_candidate(observed);
    let waited_for = rolls.iter().flat_map(|roll| &roll.missing).map(|pod| pod.name.as_str()).collect::<BTreeSet<_>>();
    let all = observed.targets.iter().flat_map(|target| &target.pods).filter(|pod| waited_for.contains(pod.name.as_str()));
    let follows = |pod: &PodFacts| matches!(pod.report, ReportFacts::OfAnother(_)).then(|| pod.name.clone());
    let pods: BTreeSet<String> = all.filter_map(follows).collect();
    match &observed.other_pointer {
        Some(other) if !pods.is_empty() => Err(Blocker::PodsFollowAnother {
            config_map: observed.release.spec.pointer.config_map_name.clone(),
            other: other.clone(),
            pods: pods.into_iter().collect(),
        }),
        _ => Ok(()),
    }
}

/// I2: every pod that counts has reported the candidate for this stage number.
fn every_pod_reported(observed: &Observed) -> Result<(), Blocker> {
    let rolls = roll_call::of_candidate(observed);
    let pods: Vec<_> = rolls.iter().flat_map(|roll| roll.missing.iter().cloned()).collect();
    if pods.is_empty() {
        return Ok(());
    }
    let reported = rolls.iter().map(|roll| roll.reported).sum();
    let counted = rolls.iter().map(|roll| roll.counted).sum();
    Err(Blocker::PodsMissing { reported, counted, pods })
}

/// I11: no second flip while a pod, Ready or not, says that it still serves the version before. Nothing skips this gate: a new pod holds
/// active and previous only, so it would lack that page's assets.
fn previous_flip_has_converged(observed: &Observed) -> Result<(), Blocker> {
    pods_were_seen(observed)?;
    let pods = converging::not_serving(observed);
    if pods.is_empty() { Ok(()) } else { Err(Blocker::NotConverged { pods }) }
}

/// I11: whoever comes next finds in the status whose pods to ask, also when the workload is gone by then.
fn selectors_are_recorded(observed: &Observed) -> Result<(), Blocker> {
    watched::are_recorded(observed)
}

/// Approval is never implied.
fn version_is_approved(observed: &Observed) -> Result<(), Blocker> {
    let spec = &observed.release.spec;
    let is_approved = spec.activation.approved_version.as_ref() == Some(&spec.version);
    if spec.activation.mode == ActivationMode::Automatic || is_approved {
        Ok(())
    } else {
        Err(Blocker::NotApproved { version: spec.version.clone() })
    }
}

fn names(observed: &Observed, wanted: impl Fn(&TargetFacts) -> bool) -> Vec<String> {
    observed.targets.iter().filter(|target| wanted(target)).map(TargetFacts::name).collect()
}
