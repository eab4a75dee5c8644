//! The roll call: which pods count, which of them have reported the candidate, who is excused, who lags behind.
//! Never looks at anything but the facts of one target.

use std::time::Duration;

use jiff::Timestamp;

use crate::api::foreign::shown;
use crate::api::moment::later;
use crate::api::{ManifestDigest, Pointer};

use super::blocker::LaggingPod;
use super::observed::{Observed, PodFacts, ReportFacts, Standing, TargetFacts};

/// After this time a pod on a node that does not answer is excused: one dead node must not block a hotfix. Five minutes is when
/// Kubernetes itself gives up on such a pod (the default toleration of `node.kubernetes.io/unreachable`).
pub const UNREACHABLE_EXCUSED_AFTER: Duration = Duration::from_secs(300);

/// Nothing tells us that the node of a pod dies that was not Ready before: this is short beside the five minutes of its excuse.
pub(super) const NODE_LOOKED_AT_AFTER: Duration = Duration::from_secs(10);

/// Of a pod's problem: ten of them fit into a status.
const PROBLEM_CHARS_MAX: usize = 160;

/// The roll call of one target for one candidate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RollCall {
    /// `Kind/name` of the target.
    pub name: String,
    /// Pods that count, the excused ones left out.
    pub counted: usize,
    /// Of those, pods that have the version for this stage.
    pub reported: usize,
    /// Of those, pods that have not.
    pub missing: Vec<LaggingPod>,
    /// Pods that would count but are excused.
    pub excused: Vec<String>,
    /// The next moment at which time alone changes the outcome.
    pub next_change: Option<Timestamp>,
}

/// What is asked for: this build under this stage number, since this moment.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The build.
    pub digest: &'a ManifestDigest,
    /// The stage number.
    pub stage: i64,
    /// When it was staged.
    pub staged_at: Timestamp,
    /// When the pods were looked at.
    pub now: Timestamp,
    /// Which pods follow the pointer.
    pub followers: Followers,
}

/// Which pods follow the pointer. Until a release has been activated, those whose template has no agent do not yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followers {
    /// Those with an agent.
    WithAgent,
    /// Every pod of the targets.
    All,
}

impl Followers {
    /// Those who are asked for a candidate.
    #[must_use]
    pub fn of_candidate(pointer: &Pointer) -> Self {
        if pointer.active.is_none() { Self::WithAgent } else { Self::All }
    }

    /// Those who are to serve what the pointer names. The first flip was asked of those with an agent.
    #[must_use]
    pub fn of_active(pointer: &Pointer) -> Self {
        if pointer.sequence <= 1 { Self::WithAgent } else { Self::All }
    }
}

/// The roll calls of all targets for the staged candidate; empty when nothing is staged.
#[must_use]
pub fn of_candidate(observed: &Observed) -> Vec<RollCall> {
    observed.found().map_or_else(Vec::new, |found| of_staged(observed, &found.pointer))
}

/// The same for a pointer that is about to be written.
#[must_use]
pub fn of_staged(observed: &Observed, pointer: &Pointer) -> Vec<RollCall> {
    let Some(candidate) = &pointer.candidate else { return Vec::new() };
    let question = Question {
        digest: &candidate.digest,
        stage: pointer.stage,
        staged_at: pointer.staged_at.unwrap_or(observed.now),
        now: observed.now,
        followers: Followers::of_candidate(pointer),
    };
    let is_shown = |target: &TargetFacts, roll: &RollCall| target.standing != Standing::Former || roll.counted + roll.excused.len() > 0;
    let rolls = observed.targets.iter().map(|target| (target, call(target, &question)));
    rolls.filter(|(target, roll)| is_shown(target, roll)).map(|(_, roll)| roll).collect()
}

/// Calls the roll of one target.
#[must_use]
pub fn call(target: &TargetFacts, question: &Question<'_>) -> RollCall {
    let mut roll = RollCall { name: target.name(), ..RollCall::default() };
    for pod in target.pods.iter().filter(|pod| counts(target, pod, question.followers)) {
        if has_reported(pod, question) {
            roll.counted += 1;
            roll.reported += 1;
            continue;
        }
        match excuse(target, pod, question) {
            Excuse::Now => roll.excused.push(pod.name.clone()),
            Excuse::At(at) => {
                roll.next_change = roll.next_change.map_or(Some(at), |next| Some(next.min(at)));
                roll.add_missing(target, pod, question);
            }
            Excuse::Never => roll.add_missing(target, pod, question),
        }
    }
    roll.missing.sort();
    roll.excused.sort();
    roll
}

impl RollCall {
    fn add_missing(&mut self, target: &TargetFacts, pod: &PodFacts, question: &Question<'_>) {
        self.counted += 1;
        let why = format!("{}{}", target.standing.prefix(), why_not_reported(pod, question));
        self.missing.push(LaggingPod { name: pod.name.clone(), why });
        if !pod.ready && pod.unreachable_since.is_none() {
            let soon = later(question.now, NODE_LOOKED_AT_AFTER);
            self.next_change = Some(self.next_change.map_or(soon, |next| next.min(soon)));
        }
    }
}

/// Who counts (design section 4): every Ready pod, and every bound, unfinished pod that has announced itself. Over HTTP a pod
/// cannot announce itself, so there every bound, unfinished pod counts. A terminating pod counts while it is Ready, which
/// is what `conditions.serving` of its endpoint says. In the first release a pod without an agent does not follow the pointer and does not count.
#[must_use]
pub fn counts(target: &TargetFacts, pod: &PodFacts, followers: Followers) -> bool {
    (!pod.terminating || pod.ready) && follows_on(target, pod, followers)
}

/// The same for what a pod serves: a terminating pod whose probe fails for a moment is Ready again for the rest of its grace period.
pub(super) fn follows_on(target: &TargetFacts, pod: &PodFacts, followers: Followers) -> bool {
    let follows = pod.has_agent || followers == Followers::All;
    let over_http = target.target.report.http.is_some();
    pod.bound && !pod.finished && follows && (pod.ready || over_http || has_announced(pod))
}

/// Whether the pod says that it serves this build, for this flip.
#[must_use]
pub fn serves(pod: &PodFacts, digest: &ManifestDigest, sequence: i64) -> bool {
    matches!(&pod.report, ReportFacts::Known(report) if report.serves(digest, sequence))
}

/// I2: bound to the stage number, and to this pod by its UID (checked where the report was read).
fn has_reported(pod: &PodFacts, question: &Question<'_>) -> bool {
    matches!(&pod.report, ReportFacts::Known(report) if report.has(question.digest, question.stage))
}

fn has_announced(pod: &PodFacts) -> bool {
    !matches!(pod.report, ReportFacts::Silent | ReportFacts::NotAsked)
}

enum Excuse {
    Now,
    At(Timestamp),
    Never,
}

fn excuse(target: &TargetFacts, pod: &PodFacts, question: &Question<'_>) -> Excuse {
    let unreachable = pod.unreachable_since.map(|since| later(since, UNREACHABLE_EXCUSED_AFTER));
    let patience = target.target.excuse_after().filter(|_| is_silent(pod, question.stage));
    let silent = patience.map(|patience| later(question.staged_at.max(pod.created_at), patience));
    match unreachable.into_iter().chain(silent).min() {
        Some(at) if at <= question.now => Excuse::Now,
        Some(at) => Excuse::At(at),
        None => Excuse::Never,
    }
}

/// A pod that answers this stage with a problem is not silent: it is waited for, and its problem is shown.
fn is_silent(pod: &PodFacts, stage: i64) -> bool {
    match &pod.report {
        ReportFacts::Known(report) => report.stage != stage || report.joining,
        ReportFacts::NotAsked => false,
        ReportFacts::Silent | ReportFacts::Unusable(_) | ReportFacts::OfAnother(_) => true,
    }
}

/// Of a pod that follows another pointer, in a few words.
pub(super) fn follows(pointer: &str) -> String {
    format!("follows the pointer {pointer:?}")
}

fn why_not_reported(pod: &PodFacts, question: &Question<'_>) -> String {
    if pod.unreachable_since.is_some() {
        return "its node does not answer".into();
    }
    match &pod.report {
        ReportFacts::NotAsked => "not asked yet".into(),
        ReportFacts::Silent if !pod.has_agent => "has no agent".into(),
        ReportFacts::Silent => "silent".into(),
        ReportFacts::Unusable(cause) => cause.to_string(),
        ReportFacts::OfAnother(pointer) => follows(pointer),
        ReportFacts::Known(report) => match &report.problem {
            Some(problem) => shown(problem, PROBLEM_CHARS_MAX),
            None if report.joining => "joining".into(),
            None if report.stage < question.stage => format!("has not seen stage {}", question.stage),
            None if report.stage > question.stage => format!("names stage {}, which was never given: delete it", report.stage),
            None => "loading".into(),
        },
    }
}
