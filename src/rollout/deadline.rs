//! How long a staging may take: the progress deadline, which stands still while approval is all that is waited for.
//! Never reads a clock; "now" is among the facts.

use jiff::{SignedDuration, Timestamp};

use crate::api::moment::{later, past};

use super::blocker::Blocker;
use super::observed::{Observed, PointerFound};

/// Whether approval is all that is waited for: then the deadline stands still.
#[must_use]
pub fn only_approval_is_missing(blockers: &[Blocker]) -> bool {
    !blockers.is_empty() && blockers.iter().all(|blocker| matches!(blocker, Blocker::NotApproved { .. }))
}

/// When the attempt is given up: staging, plus the progress deadline, plus the time spent waiting for approval.
#[must_use]
pub fn deadline(observed: &Observed, found: &PointerFound) -> Timestamp {
    let allowed = SignedDuration::from_secs(observed.release.spec.progress_deadline_seconds.into());
    let allowed = allowed.saturating_add(approval_wait(observed, found));
    match found.pointer.staged_at.map(|at| past(at, observed.now)) {
        Some(Some(staged_at)) => later(staged_at, allowed),
        None => later(observed.now, allowed),
        // Dated later than now: its time runs from when it was first seen, which the status knows (I12).
        Some(None) => later(observed.now, allowed).min(told(observed, found).unwrap_or(Timestamp::MAX)),
    }
}

/// The deadline of this staging as the status has it.
fn told(observed: &Observed, found: &PointerFound) -> Option<Timestamp> {
    let candidate = observed.release.status.candidate.as_ref().filter(|candidate| candidate.stage == Some(found.pointer.stage));
    candidate?.deadline_at.as_ref().map(|at| at.0)
}

/// How long this staging has waited for approval alone, so far.
#[must_use]
pub fn approval_wait(observed: &Observed, found: &PointerFound) -> SignedDuration {
    let candidate = observed.release.status.candidate.as_ref().filter(|candidate| candidate.stage == Some(found.pointer.stage));
    let Some(candidate) = candidate else { return SignedDuration::ZERO };
    let ended = SignedDuration::from_secs(candidate.approval_wait_seconds.max(0));
    let running = candidate.awaiting_approval_since.as_ref().map(|since| observed.now.duration_since(since.0));
    ended.saturating_add(running.unwrap_or_default().max(SignedDuration::ZERO))
}
