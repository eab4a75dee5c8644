//! What users see of a look that failed: nothing was decided, so nothing is claimed but that.
//! Never touches what is known of the rollout: only message, phase, Ready and what says why it is not.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::conditions::{READY, RECONCILING, STALLED};
use crate::api::release::{AssetReleaseStatus, Phase, api_time};

use super::blocker::Blocker;

/// The status of a release in this generation that could not be looked at, from the one that is there. The same failure gives the
/// same status, so that nothing is written twice (I7).
#[must_use]
pub fn unseen(current: &AssetReleaseStatus, generation: i64, blocker: &Blocker, now: Timestamp) -> AssetReleaseStatus {
    // What cannot be seen may still be well; only where somebody has to act is it certain that nothing moves.
    let (ready, why) = if blocker.stalls() { ("False", STALLED) } else { ("Unknown", RECONCILING) };
    let dated = |kind: &str, status: &str| {
        let unchanged = current.conditions.iter().find(|condition| condition.type_ == kind && condition.status == status);
        Condition {
            type_: kind.into(),
            status: status.into(),
            reason: blocker.reason().into(),
            message: blocker.message(),
            last_transition_time: unchanged.map_or_else(|| api_time(now), |condition| condition.last_transition_time.clone()),
            observed_generation: Some(generation),
        }
    };
    let others = current.conditions.iter().filter(|condition| ![READY, RECONCILING, STALLED].contains(&condition.type_.as_str()));
    AssetReleaseStatus {
        observed_generation: generation,
        phase: if blocker.stalls() { Some(Phase::Stalled) } else { current.phase.or(Some(Phase::Pending)) },
        message: Some(blocker.message()),
        conditions: [dated(READY, ready), dated(why, "True")].into_iter().chain(others.cloned()).collect(),
        ..current.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::super::blocker::LookFailure;
    use super::super::decide::decide;
    use super::super::fixture::{at, fixture};
    use super::super::status::{StepOutcome, next};
    use super::*;

    fn active() -> AssetReleaseStatus {
        let observed = fixture().activated("v1").activated("v2").reporting("a", &["v1", "v2"], "v2");
        next(&observed, &decide(&observed), StepOutcome::Done)
    }

    fn told(failure: fn(String) -> LookFailure) -> AssetReleaseStatus {
        unseen(&active(), 4, &Blocker::LookFailed(failure("get X failed".into())), at(2_000))
    }

    fn verdicts(status: &AssetReleaseStatus) -> Vec<(&str, &str)> {
        let kinds = status.conditions.iter().filter(|condition| [READY, RECONCILING, STALLED].contains(&condition.type_.as_str()));
        kinds.map(|condition| (condition.type_.as_str(), condition.status.as_str())).collect()
    }

    /// I9: never Ready, and one reason why not.
    #[test]
    fn a_look_that_failed_is_unknown_while_time_may_mend_it_and_stalls_otherwise() {
        assert_eq!(verdicts(&told(LookFailure::Failing)), [(READY, "Unknown"), (RECONCILING, "True")]);
        assert_eq!(verdicts(&told(LookFailure::Denied)), [(READY, "False"), (STALLED, "True")]);
        assert_eq!((told(LookFailure::Failing).phase, told(LookFailure::Denied).phase), (active().phase, Some(Phase::Stalled)));
    }

    #[test]
    fn what_is_known_of_the_rollout_stays() {
        let (before, after) = (active(), told(LookFailure::Invalid));
        let rest = |status: &AssetReleaseStatus| AssetReleaseStatus {
            conditions: status
                .conditions
                .iter()
                .filter(|it| ![READY, RECONCILING, STALLED].contains(&it.type_.as_str()))
                .cloned()
                .collect(),
            observed_generation: 0,
            phase: None,
            message: None,
            ..status.clone()
        };
        assert_eq!(rest(&before), rest(&after));
        assert!(after.active.is_some() && after.observed_generation == 4);
    }

    /// I7: over what was told before, later, it is the same.
    #[test]
    fn the_same_failure_is_the_same_status() {
        let once = told(LookFailure::Denied);
        assert_eq!(unseen(&once, 4, &Blocker::LookFailed(LookFailure::Denied("get X failed".into())), at(9_000)), once);
    }
}
