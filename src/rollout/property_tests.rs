//! Moments that others have written: any of them, in every place where a decision or a status meets one.
//! Never outside tests.

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;

use crate::api::release::{
    ActivatedVersion, CandidateStatus, EntriesStatus, HistoryEntry, Outcome, PublishEntries, RetentionStatus, SilentPods, api_time,
};

use super::blocker::Blocker;
use super::decision::{PointerChange, Step};
use super::fixture::{at, digest, fixture, seconds, verified, verify};
use super::observed::{Job, JobEnd, Observed, ReportFacts, Standing};
use super::status::{StepOutcome, next};
use super::{converging, decide, retention, watched};

fn moment() -> impl Strategy<Value = Timestamp> {
    let any = any::<i64>().prop_map(|second| {
        let (first, last) = (Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
        Timestamp::from_second(second.clamp(first, last)).unwrap()
    });
    prop_oneof![Just(Timestamp::MIN), Just(Timestamp::MAX), (0_i64..4_000).prop_map(at), any]
}

fn swept(planned_at: Timestamp, swept_at: Timestamp) -> RetentionStatus {
    RetentionStatus { planned_at: Some(api_time(planned_at)), swept_at: Some(api_time(swept_at)), ..RetentionStatus::default() }
}

/// A world with a moment in every place that has one, in this order.
fn world(moments: &[Timestamp], number: i64) -> Observed {
    let mut moments = moments.iter().copied().cycle();
    let mut any = move || moments.next().unwrap();
    let mut observed = fixture().after_v1().staged().spec(|spec| {
        spec.targets[0].silent_pods = SilentPods::ExcuseAfter;
        spec.targets[0].excuse_after_seconds = Some(86_400);
        spec.retention = Some(serde_json::from_value(json!({})).unwrap());
        spec.entries.publish = PublishEntries::Bucket;
    });
    observed.now = any();
    let pointer = &mut observed.pointer_mut().pointer;
    (pointer.staged_at, pointer.activated_at) = (Some(any()), Some(any()));
    let stage = pointer.stage;
    observed = observed.pod("silent", ReportFacts::Silent).last_pod(|pod| (pod.has_agent, pod.created_at) = (false, any()));
    observed = observed.reporting("lost", &["v1"], "v0").last_pod(|pod| {
        (pod.ready, pod.created_at, pod.unreachable_since) = (false, any(), Some(any()));
    });
    observed = observed.reporting("away", &["v1"], "v0").last_pod(|pod| (pod.ready, pod.created_at) = (false, any()));
    let mut former = observed.targets[0].clone();
    (former.standing, former.selector, former.seen_since_stage) = (Standing::Former, Some("app=old".into()), Some(stage));
    former.pods.clear();
    observed.targets.push(former);
    let mut gone = observed.targets[0].clone();
    (gone.standing, gone.pods) = (Standing::Missing, Vec::new());
    observed.targets.push(gone);
    let status = &mut observed.release.status;
    status.selectors = watched::next(&fixture());
    status.selectors[0].empty_since = Some(api_time(any()));
    status.selectors[0].selector = "app=old".into();
    let activated = |version: &str, at: Timestamp| ActivatedVersion {
        version: version.into(),
        digest: digest(version),
        sequence: 1,
        activated_at: Some(api_time(at)),
        fallback: None,
    };
    (status.active, status.previous) = (Some(activated("v1", any())), Some(activated("v0", any())));
    status.candidate = Some(CandidateStatus {
        version: "v2".into(),
        digest: Some(digest("v2")),
        stage: Some(stage),
        deadline_at: Some(api_time(any())),
        approval_wait_seconds: number,
        awaiting_approval_since: Some(api_time(any())),
        upload: None,
        targets: Vec::new(),
    });
    status.entries = Some(EntriesStatus { sequence: 2, confirmed_at: api_time(any()), without_pages: false });
    status.history = vec![HistoryEntry {
        version: "v0".into(),
        digest: Some(digest("v0")),
        sequence: 1,
        outcome: Outcome::Activated,
        at: api_time(any()),
        retired_at: Some(api_time(any())),
        restorable: None,
        overridden: None,
        excused: Vec::new(),
    }];
    status.retention = Some(swept(any(), any()));
    let mut end = verified(&[]);
    if let JobEnd::Verified { at, .. } = &mut end {
        *at = any();
    }
    observed.jobs.ended = vec![(verify(stage), end), (published(), JobEnd::EntriesPublished { at: any() })];
    observed
}

fn published() -> Job {
    Job::PublishEntries {
        version: "v1".into(),
        digest: digest("v1"),
        sequence: 2,
        publish: PublishEntries::Bucket,
        round: super::observed::EntriesRound::AtFlip,
    }
}

proptest! {
    #[test]
    fn no_moment_makes_a_decision_or_a_status_panic(moments in prop::collection::vec(moment(), 1..24), number in any::<i64>()) {
        let mut observed = world(&moments, number);
        for version in ["v2", "v1"] {
            observed.release.spec.version = version.into();
            let decision = decide(&observed);
            for outcome in [StepOutcome::Done, StepOutcome::Lost] {
                prop_assert_eq!(&next(&observed, &decision, outcome), &next(&observed, &decision, outcome));
            }
            let (_, _, _) = (converging::next_change(&observed), retention::look_at(&observed), watched::look_at(&observed));
            let own = retention::own_facts(&observed, "cluster", None);
            let first = crate::retention::references::next(None, &own, observed.now);
            prop_assert!(first.activated.iter().all(|activation| activation.retired_at.is_none_or(|at| at <= observed.now)));
        }
    }

    /// I12: whenever a candidate says that it was staged, it is taken back when its time is over.
    #[test]
    fn a_candidate_is_given_up_whenever_it_says_that_it_was_staged(staged_at in moment(), told in moment(), number in any::<i64>()) {
        let mut observed = fixture().after_v1().staged().reporting("a", &["v1"], "v1").at(at(1_000));
        observed.pointer_mut().pointer.staged_at = Some(staged_at);
        let stage = observed.found().unwrap().pointer.stage;
        observed.release.status.candidate = Some(CandidateStatus {
            version: "v2".into(),
            digest: None,
            stage: Some(stage),
            deadline_at: Some(api_time(told)),
            approval_wait_seconds: number.min(0),
            awaiting_approval_since: None,
            upload: None,
            targets: Vec::new(),
        });
        for _ in 0..6 {
            let decision = decide(&observed);
            if matches!(&decision.step, Step::WritePointer(write) if matches!(write.kind, PointerChange::Unstage(_))) {
                return Ok(());
            }
            observed.release.status = next(&observed, &decision, StepOutcome::Done);
            observed.now = observed.now.checked_add(seconds(700)).unwrap();
        }
        prop_assert!(false, "still staged: {:?}", decide(&observed));
    }
}

/// A pod without an agent is excused although the flip before is dated in another century.
#[test]
fn a_flip_that_is_dated_later_than_now_keeps_no_pod_from_being_excused() {
    let mut observed = fixture().after_v1().staged().spec(|spec| {
        spec.targets[0].silent_pods = SilentPods::ExcuseAfter;
        spec.targets[0].excuse_after_seconds = Some(100);
    });
    observed = observed.pod("a", ReportFacts::Silent).last_pod(|pod| pod.has_agent = false);
    let lags = |observed: &Observed| decide(observed).blockers.iter().any(|it| matches!(it, Blocker::NotConverged { .. }));
    observed.pointer_mut().pointer.activated_at = Some(at(950));
    assert!(lags(&observed.clone().at(at(1_000))));
    observed.pointer_mut().pointer.activated_at = Some(Timestamp::MAX);
    assert!(!lags(&observed.at(at(1_000))));
}

/// A sweep that says that it ended in another century is not waited for, and its plan gives way to the next one.
#[test]
fn a_sweep_that_is_dated_later_than_now_is_not_believed() {
    let mut observed = fixture().activated("v2").spec(|spec| spec.retention = Some(serde_json::from_value(json!({})).unwrap()));
    observed.release.status.retention = Some(swept(Timestamp::MAX, Timestamp::MAX));
    let due = retention::due_at(&observed.release, observed.now);
    assert_eq!(due, Some(Timestamp::UNIX_EPOCH));
    let plan = retention::job(&observed).unwrap();
    let shown = Box::new(retention::shown(&crate::retention::Plan::default(), None, observed.now));
    observed.jobs.ended = vec![(plan, JobEnd::Planned { kept: [].into(), shown })];
    let status = retention::status(&observed).unwrap();
    assert_eq!(status.planned_at, Some(api_time(observed.now)), "{status:?}");
}
