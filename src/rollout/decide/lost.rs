//! A pointer that is missing, lost, put back from a backup, or somebody else's.
//! Never lets sequence or stage go back: agents refuse to follow (I4), and old reports would count for a new staging (I2).

use std::sync::Arc;

use crate::api::release::{ActivatedVersion, Phase};
use crate::api::{ManifestDigest, PointedVersion, Pointer, Report};

use super::super::blocker::Blocker;
use super::super::decision::{Decision, PointerChange, Step};
use super::super::gates;
use super::super::observed::{Job, JobEnd, Observed, PointerFacts, PointerFound, ReportFacts, StoreFacts};
use super::{adopt, await_end, name_map, pointed, write};

/// A pointer that is missing is made, one that was lost is restored, and one that is somebody else's is left alone.
pub(super) fn have_a_pointer_of_our_own(observed: &Observed) -> Option<Decision> {
    let wait_for = |blocker| Some(Decision::blocked(Phase::Pending, blocker));
    let config_map = observed.release.spec.pointer.config_map_name.clone();
    match &observed.pointer {
        PointerFacts::Foreign(labels) => {
            wait_for(Blocker::PointerForeign { config_map, release: observed.release.name.clone(), labels: Box::new(labels.clone()) })
        }
        PointerFacts::Unreadable { cause, written_by } => {
            wait_for(Blocker::PointerUnreadable { config_map, cause: cause.clone(), written_by: written_by.clone() })
        }
        PointerFacts::Absent => Some(match vanished(observed) {
            Some(vanished) => Decision::blocked(Phase::Pending, vanished),
            None => Decision::step(Phase::Pending, Step::CreatePointer),
        }),
        PointerFacts::Present(found) => {
            if found.release != observed.release.name {
                return Some(adopt::pointer(observed, found));
            }
            if let Some(contest) = &found.contest {
                return wait_for(Blocker::PointerContested { config_map, contest: contest.clone() });
            }
            restore(observed, found)
        }
    }
}

/// Stagings that may have happened without a status that says so: each is one pass whose status write failed. What a pod names beyond
/// that was never given, and is not believed.
const UNRECORDED_MAX: i64 = 1000;

/// A pointer may be made again only from the highest sequence that was seen; what the pods have seen is not known before they were
/// looked at. One pod is not believed against the others: after a loss of status and pointer most of them have seen later flips, and a
/// single one that names flips which never were must not stop the release. Should that one be right (the controller ended between a
/// flip and its status, and the pointer went in the same moment, before others had read it), it refuses to go back, does not report
/// what is staged next, and is named by the roll call.
fn vanished(observed: &Observed) -> Option<Blocker> {
    if let Err(unseen) = gates::pods_were_seen(observed) {
        return Some(unseen);
    }
    let known = known_sequence(observed);
    let ahead: Vec<(&str, i64)> = reports(observed).map(|(pod, report)| (pod, report.sequence)).filter(|(_, flip)| *flip > known).collect();
    if 2 * ahead.len() <= reports(observed).count() {
        return None;
    }
    let reported = ahead.iter().map(|(_, flip)| *flip).max()?;
    let config_map = observed.release.spec.pointer.config_map_name.clone();
    let pods = ahead.into_iter().map(|(pod, _)| pod.to_owned()).collect();
    Some(Blocker::PointerVanished { config_map, pods, reported, known })
}

/// The highest flip that status or pointer know.
fn known_sequence(observed: &Observed) -> i64 {
    let remembered = observed.release.status.active.as_ref().map_or(0, |active| active.sequence);
    remembered.max(observed.found().map_or(0, |found| found.pointer.sequence))
}

/// What pods report of this pointer, each with its name. The numbers of another one say nothing of ours.
fn reports(observed: &Observed) -> impl Iterator<Item = (&str, &Report)> {
    observed.targets.iter().flat_map(|target| &target.pods).filter_map(|pod| match &pod.report {
        ReportFacts::Known(report) => Some((pod.name.as_str(), &**report)),
        ReportFacts::NotAsked | ReportFacts::Silent | ReportFacts::Unusable(_) | ReportFacts::OfAnother(_) => None,
    })
}

/// Whether the pointer is empty or older than what was seen of it: another hand made it or put it back from a backup. Agents refuse
/// to go back (I4), so it would be followed by nobody but pods born since, and its stage numbers would be given twice (I2).
pub(super) fn is_behind(observed: &Observed, pointer: &Pointer) -> bool {
    let is_empty = pointer.sequence == 0 && pointer.stage == 0;
    is_empty || pointer.sequence < known_sequence(observed) || pointer.stage < observed.release.status.last_stage
}

/// A pointer that is behind gets back what is known of it: sequence and stage go on, or else old reports would count for a new
/// staging (I2). That needs no gate: the pods that were there at the last flip hold that version, and serve it.
fn restore(observed: &Observed, found: &PointerFound) -> Option<Decision> {
    match vanished(observed) {
        // Of a pointer that is not behind, nothing is claimed before the pods were seen.
        Some(Blocker::PodsUnseen { .. }) if !is_behind(observed, &found.pointer) => {}
        Some(blocker) => return Some(Decision::blocked(Phase::Pending, blocker)),
        None => {}
    }
    if !is_behind(observed, &found.pointer) {
        return None;
    }
    let stage = stage_of_the_lost(observed);
    let restored = |pointer, map| Some(Decision::step(Phase::Pending, write(found, PointerChange::Restore, pointer, map)));
    let lost = observed.release.status.active.as_ref().filter(|active| found.pointer.sequence < active.sequence);
    let Some(active) = lost else {
        let stays = Pointer { stage, ..found.pointer.unstaged() };
        return if stage == 0 { None } else { restored(stays, found.name_map.clone()) };
    };
    let StoreFacts::Usable { base_url, fetch_url, .. } = &observed.store else { return None };
    // With the fallback that was seen to be there, whatever is wished for by now.
    let at_store = |it: &ActivatedVersion| PointedVersion {
        fallback: it.fallback.clone(),
        ..pointed(observed, (&it.version, &it.digest), (base_url, fetch_url))
    };
    let pointer = Pointer {
        active: Some(at_store(active)),
        previous: observed.release.status.previous.as_ref().map(at_store),
        sequence: active.sequence,
        stage,
        activated_at: active.activated_at.as_ref().map(|at| at.0),
        // Of the flip that was put back; the history has that of this one.
        waived: None,
        // Not known any more; where the version has none, nothing is written.
        public_files: true,
        given_up: None,
        ..found.pointer.unstaged()
    };
    match map_of_the_lost(observed, active) {
        Ok(map) => restored(pointer, map),
        Err(waiting) => Some(*waiting),
    }
}

/// The highest stage that can have been given: what status and pointer say, and what pods say as far as it can follow from that.
fn stage_of_the_lost(observed: &Observed) -> i64 {
    let known = observed.release.status.last_stage.max(observed.found().map_or(0, |found| found.pointer.stage));
    let believed = known.saturating_add(UNRECORDED_MAX);
    reports(observed).map(|(_, report)| report.stage).filter(|stage| *stage <= believed).fold(known, i64::max)
}

/// The question that brings a lost pointer's name map back: the same as before a staging, because the answer carries the map.
pub(super) fn verify_of_the_lost(observed: &Observed) -> Option<Job> {
    let sequence = observed.found()?.pointer.sequence;
    let active = observed.release.status.active.as_ref().filter(|active| sequence < active.sequence)?;
    Some(verify(observed, &active.digest))
}

/// No flip follows: what the pods serve is put back, whatever lies at public keys.
fn verify(observed: &Observed, digest: &ManifestDigest) -> Job {
    let (stage, store) = (stage_of_the_lost(observed), observed.store_identity().to_owned());
    Job::Verify { digest: digest.clone(), stage, store, flip: None, fallback: None }
}

/// The name map that a lost pointer had beside it, or what to do until it is known. Objects that the store lacks do not matter here:
/// pages refer to them already.
fn map_of_the_lost(observed: &Observed, active: &ActivatedVersion) -> Result<Option<Arc<str>>, Box<Decision>> {
    let job = verify(observed, &active.digest);
    if let Some(JobEnd::Verified { .. }) = observed.jobs.end_of(&job) {
        return Ok(name_map(observed, &job));
    }
    Err(Box::new(await_end(observed, Phase::Pending, &job, Blocker::Verifying { version: active.version.clone() })))
}
