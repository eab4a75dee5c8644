//! One pass over one release: look, think, do, tell. Reads as a table of contents.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::controller::Action;

use crate::api::AssetRelease;
use crate::api::moment::later;
use crate::cluster::Class;
use crate::cluster::pods::ReleaseKey;
use crate::rollout::blocker::LossCause;
use crate::rollout::decision::{Decision, Step, Wait};
use crate::rollout::status::{self, StepOutcome};
use crate::rollout::{Blocker, decide};

use super::act::{act, are_old};
use super::context::Context;
use super::echoes::Seen;
use super::guarded::guarded;
use super::observe::{Look, observe};
use super::publish::{Published, Written, publish};
use super::retry::{Failure, delay};
use super::run::SeenRelease;
use super::unseen::tell_failure;

/// Things that no watch shows (a Secret, a bucket, a workload that does not exist yet) are looked at again after this time,
/// while they block.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Lost steps in a row that are told: the third comes a second and a half after the first.
const LOSSES_UNTIL_TOLD: u32 = 3;

/// One pass, and whatever a release leaves behind that went during it.
pub async fn reconcile(release: Arc<SeenRelease>, cx: Arc<Context>) -> Result<Action, std::convert::Infallible> {
    let key = ReleaseKey { namespace: release.namespace().unwrap_or_default(), name: release.name_any() };
    let action = counted(&release, &cx, &key).await;
    cx.forget_if_gone(&key);
    Ok(action)
}

/// One pass. Its failures are logged, counted and turned into a delay here; kube's error policy never sees one.
async fn counted(release: &SeenRelease, cx: &Arc<Context>, key: &ReleaseKey) -> Action {
    let measured = cx.metrics.pass();
    // Boxed: the futures of all calls of a pass are too large for the stack of every worker.
    let outcome = match release.whole() {
        Ok(release) => guarded(Box::pin(pass(release, cx, key))).await,
        Err(message) => {
            // What its owner wants now is not known.
            cx.jobs.cancel_all_of(key);
            Err(Failure::Unreadable(message))
        }
    };
    let (told, failure) = match outcome {
        Ok(Ended::Well(action)) => {
            measured.ended(None);
            cx.attempts.succeeded(key);
            return action;
        }
        Ok(Ended::StepFailed(failure)) => (true, failure),
        Err(failure) => (false, failure),
    };
    measured.ended(Some(&failure));
    let attempt = cx.attempts.failed(key);
    let pause = delay(failure.class(), attempt);
    tracing::warn!(release.namespace = %key.namespace, release.name = %key.name, error = %failure, retry_in = ?pause, "pass failed");
    if !told {
        tell_failure(cx, key, &failure, attempt).await;
    }
    Action::requeue(pause)
}

/// How a pass ended that could look and tell.
enum Ended {
    Well(Action),
    /// The step failed, and the status says so.
    StepFailed(Failure),
}

async fn pass(release: &AssetRelease, cx: &Arc<Context>, key: &ReleaseKey) -> Result<Ended, Failure> {
    let Some(mut look) = observe(cx, release, key).await? else {
        cx.forget(key);
        return Ok(Ended::Well(Action::await_change()));
    };
    let mut decision = decide(&look.observed);
    tracing::debug!(release.namespace = %key.namespace, release.name = %key.name, step = ?decision.step, blockers = ?decision.blockers, "decided");
    if decision.blockers.iter().any(Blocker::doubts_the_store) {
        let store = look.observed.release.spec.store_ref.name.clone();
        cx.reached.doubt(&(key.namespace.clone(), store), look.observed.now);
    }
    let outcome = match act(cx, key, &look, &decision.step).await {
        Ok(StepOutcome::Lost) => return lost(cx, key, &look, decision).await,
        Ok(StepOutcome::Done) => StepOutcome::Done,
        Err(failure) => {
            // Told as far as it can be told: whoever waits must not have to read the log.
            decision.blockers.insert(0, Blocker::StepFailed { message: failure.to_string() });
            let _ = publish(cx, key, &look, &decision, StepOutcome::Lost).await?;
            return Ok(Ended::StepFailed(failure));
        }
    };
    cx.lost_steps.succeeded(key);
    let published = publish(cx, key, &look, &decision, outcome).await?;
    let after = match published {
        Published::Lost => return Ok(Ended::Well(Action::requeue(delay(Class::Conflict, cx.losses.failed(key))))),
        Published::Written(written) => after_telling(cx, key, &mut look, (decision, *written)),
        Published::UpToDate => next_look(&decision, None, look.observed.now),
        Published::Later(at) => next_look(&decision, Some(at), look.observed.now),
    };
    cx.losses.succeeded(key);
    Ok(Ended::Well(after))
}

/// A lost race is no news, and the next look is at once. Several in a row are a reason why the release does not go on.
async fn lost(cx: &Arc<Context>, key: &ReleaseKey, look: &Look, mut decision: Decision) -> Result<Ended, Failure> {
    let losses = cx.lost_steps.failed(key);
    if losses >= LOSSES_UNTIL_TOLD {
        let cause = if are_old(cx, look) { LossCause::TooOld } else { LossCause::Changed };
        decision.blockers.insert(0, Blocker::StepLost { step: decision.step.verb(), cause });
        let _ = publish(cx, key, look, &decision, StepOutcome::Lost).await?;
    }
    Ok(Ended::Well(Action::requeue(delay(Class::Conflict, losses))))
}

/// The watch brings the written status back. A pass over it would find the same facts but for the status, so its decision is known
/// already: only when that decision does something, the next look is at once.
fn after_telling(cx: &Context, key: &ReleaseKey, look: &mut Look, (decision, written): (Decision, Written)) -> Action {
    let (now, echo) = (look.observed.now, Seen::Release(written.version));
    if decision.step != Step::Nothing {
        if decision.wait == Wait::Again {
            cx.echoes.expect(key, echo);
        }
        return next_look(&decision, None, now);
    }
    cx.echoes.expect(key, echo);
    look.observed.release.status = written.status;
    let next = decide(&look.observed);
    let says_the_same = status::next(&look.observed, &next, StepOutcome::Done).says_the_same(&look.observed.release.status);
    if next.step == Step::Nothing && says_the_same { next_look(&next, None, now) } else { Action::requeue(Duration::ZERO) }
}

fn next_look(decision: &Decision, status: Option<Timestamp>, now: Timestamp) -> Action {
    if decision.wait == Wait::Again {
        return Action::requeue(Duration::ZERO);
    }
    let decided = match decision.wait {
        Wait::Until(at) => Some(at),
        Wait::Change | Wait::Again => None,
    };
    let unwatched = decision.blockers.iter().any(is_unwatched).then(|| later(now, LOOK_AGAIN_AFTER));
    match [decided, status, unwatched].into_iter().flatten().min() {
        Some(at) => Action::requeue(Duration::try_from(at.duration_since(now)).unwrap_or_default()),
        None => Action::await_change(),
    }
}

/// Whether the blocker can go away without any watch telling us.
fn is_unwatched(blocker: &Blocker) -> bool {
    matches!(
        blocker,
        Blocker::StoreUnusable { .. }
            | Blocker::BucketFault(_)
            | Blocker::PrefixOwned { .. }
            | Blocker::PrefixOverlaps(_)
            | Blocker::SourceMissing { .. }
            | Blocker::ObjectsMissing { .. }
            | Blocker::ReplicaIncomplete { .. }
            | Blocker::WorkloadMissing { .. }
            | Blocker::NotConverged { .. }
            | Blocker::SelectorsUnrecorded { .. }
            | Blocker::PointerUnreadable { .. }
            | Blocker::PointerContested { .. }
            | Blocker::PointerVanished { .. }
            | Blocker::StepFailed { .. }
            | Blocker::StepLost { .. }
            | Blocker::PointerTaken { .. }
            | Blocker::AdoptionWaits(_)
            | Blocker::PointerForeign { .. }
    )
}
