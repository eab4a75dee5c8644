//! How long a staging may take: the progress deadline, which stands still while approval is all that is waited for.
//! Never reads a clock; "now" is among the facts.

use jiff::{SignedDuration, Timestamp};

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
    let staged_at = found.pointer.staged_at.unwrap_or(observed.now);
    staged_at.saturating_add(allowed + approval_wait(observed, found)).unwrap_or(Timestamp::MAX)
}

/// How long this staging has waited for approval alone, so far.
#[must_use]
pub fn approval_wait(observed: &Observed, found: &PointerFound) -> SignedDuration {
    let candidate = observed.release.status.candidate.as_ref().filter(|candidate| candidate.stage == Some(found.pointer.stage));
    let Some(candidate) = candidate else { return SignedDuration::ZERO };
    let ended = SignedDuration::from_secs(candidate.approval_wait_seconds);
    let running = candidate.awaiting_approval_since.as_ref().map(|since| observed.now.duration_since(since.0));
    ended + running.unwrap_or_default()
}
