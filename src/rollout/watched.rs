//! Whose pods are watched: those of every target, by its workload's selector or the last one that was seen, and those of former targets
//! and selectors, until none of them is left. The status is the memory.
//! Never forgets a selector whose pods may still serve pages: they are asked at every flip (I2, I11).

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::api::release::{TargetSpec, api_time};
use crate::api::watched::{SELECTORS_MAX, WatchedSelector};

use super::blocker::Blocker;
use super::observed::{Observed, PodFacts, ReportFacts, Standing, TargetFacts};

/// How long there must be no pod of a former selector before it is forgotten: a pod that is replaced is away for some seconds, and until
/// its image is on its node.
const FORGOTTEN_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// No watch tells that a workload is created; while one is missing it is asked for again after this time. Where it blocks, the pass is
/// sooner.
const MISSING_LOOKED_AT_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// What is to be looked at of one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// The target as the spec has it; a former one as it was.
    pub target: TargetSpec,
    /// Whether it still is one, and has its workload.
    pub standing: Standing,
    /// The selector of its pods; `None` when no workload of it was ever seen.
    pub selector: Option<String>,
}

impl Watched {
    /// A name for the view of its pods that no other one of the release has.
    #[must_use]
    pub fn view(&self) -> String {
        match (self.standing, &self.selector) {
            (Standing::Former, Some(selector)) => format!("{} by {selector}", self.target.display_name()),
            (Standing::Present | Standing::Missing | Standing::Former, _) => self.target.display_name(),
        }
    }
}

/// Everything that is to be looked at: the targets of the spec, each with the selector that was found for it, and what else is
/// remembered. Pods of a former target that are matched by the very selector of another one are watched by that one.
#[must_use]
pub fn plan(targets: &[TargetSpec], found: Vec<Option<String>>, remembered: &[WatchedSelector]) -> Vec<Watched> {
    let last_of = |target: &TargetSpec| remembered.iter().find(|it| it.is_of(&target.workload_ref)).map(|it| it.selector.clone());
    let mut all: Vec<Watched> = targets
        .iter()
        .zip(found)
        .map(|(target, found)| {
            let standing = if found.is_some() { Standing::Present } else { Standing::Missing };
            Watched { target: target.clone(), standing, selector: found.or_else(|| last_of(target)) }
        })
        .collect();
    for former in remembered {
        if !all.iter().any(|it| it.selector.as_ref() == Some(&former.selector)) {
            all.push(Watched { target: former.target(), standing: Standing::Former, selector: Some(former.selector.clone()) });
        }
    }
    all
}

/// Whether a pod of a former target is still asked: it has an agent or has ever reported. Of any other one nobody knows what it serves,
/// and that the user does not name it any more stands for it.
#[must_use]
pub fn is_asked(pod: &PodFacts) -> bool {
    pod.has_agent || !matches!(pod.report, ReportFacts::Silent | ReportFacts::NotAsked)
}

/// The next `status.selectors`: those of the targets in the spec's order, then the others. What is there already stays where there is not
/// room for all.
#[must_use]
pub fn next(observed: &Observed) -> Vec<WatchedSelector> {
    let mut all: Vec<WatchedSelector> = observed.targets.iter().filter_map(|target| remembered(observed, target)).collect();
    let mut room = SELECTORS_MAX.saturating_sub(all.iter().filter(|it| is_known(observed, it)).count());
    all.retain(|it| {
        let is_kept = is_known(observed, it) || room > 0;
        room = room.saturating_sub(usize::from(!is_known(observed, it)));
        is_kept
    });
    all
}

/// What is remembered of a target; `None` of a former one that is forgotten now.
fn remembered(observed: &Observed, target: &TargetFacts) -> Option<WatchedSelector> {
    let known = WatchedSelector::of(&target.target, target.selector.as_deref()?);
    let empty_since = empty_since(observed, target);
    let is_over =
        target.seen_since_stage.is_some() && empty_since.is_some_and(|since| observed.now.duration_since(since) >= FORGOTTEN_AFTER);
    (!is_over).then(|| WatchedSelector { empty_since: empty_since.map(api_time), ..known })
}

/// Since when a former target has no pod. What another process has written counts, but for a time that has not come yet.
fn empty_since(observed: &Observed, target: &TargetFacts) -> Option<Timestamp> {
    let is_empty = target.standing == Standing::Former && target.pods.iter().all(|pod| pod.finished);
    let told = told(observed, target).and_then(|told| told.empty_since.as_ref());
    // A process that has not seen the pods yet leaves what another one said (I7).
    if target.seen_since_stage.is_none() {
        return told.map(|told| told.0.min(observed.now)).filter(|_| is_empty);
    }
    is_empty.then(|| told.map_or(observed.now, |told| told.0.min(observed.now)))
}

fn told<'a>(observed: &'a Observed, target: &TargetFacts) -> Option<&'a WatchedSelector> {
    let mut told = observed.release.status.selectors.iter();
    told.find(|told| told.is_of(&target.target.workload_ref) && Some(&told.selector) == target.selector.as_ref())
}

/// Whether the status says as much already; since when there is no pod does not matter.
fn is_known(observed: &Observed, wanted: &WatchedSelector) -> bool {
    let same = |told: &WatchedSelector| WatchedSelector { empty_since: wanted.empty_since.clone(), ..told.clone() } == *wanted;
    observed.release.status.selectors.iter().any(same)
}

/// The memory comes before the flip: a process that ends right after it has told nobody, and the workload may go at any time.
///
/// # Errors
/// Which targets are not remembered yet.
pub fn are_recorded(observed: &Observed) -> Result<(), Blocker> {
    let lacks = |target: &&TargetFacts| {
        let known = target.selector.as_deref().map(|selector| WatchedSelector::of(&target.target, selector));
        known.is_some_and(|known| !is_known(observed, &known))
    };
    let targets: Vec<String> = observed.targets.iter().filter(lacks).map(TargetFacts::name).collect();
    if targets.is_empty() {
        return Ok(());
    }
    let kept: BTreeSet<String> = next(observed).into_iter().map(|it| it.selector).collect();
    let has_room = observed.targets.iter().filter_map(|target| target.selector.as_ref()).all(|it| kept.contains(it));
    let former = observed.targets.iter().filter(|target| target.standing == Standing::Former && !has_room);
    Err(Blocker::SelectorsUnrecorded { targets, former: former.filter_map(|target| target.selector.clone()).collect() })
}

/// When time alone changes what is watched.
#[must_use]
pub fn look_at(observed: &Observed) -> Option<Timestamp> {
    let changes = observed.targets.iter().filter_map(|target| match target.standing {
        Standing::Present => None,
        Standing::Missing => observed.now.checked_add(MISSING_LOOKED_AT_AFTER).ok(),
        Standing::Former => empty_since(observed, target)?.checked_add(FORGOTTEN_AFTER).ok(),
    });
    changes.filter(|at| *at > observed.now).min()
}

#[cfg(test)]
mod tests;
