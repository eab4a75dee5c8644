//! What is watched, and what the flip waits for because of it.

use serde_json::json;

use super::super::blocker::Blocker;
use super::super::decide::decide;
use super::super::decision::{PointerChange, Step, Wait};
use super::super::fixture::{SELECTOR, at, fixture};
use super::super::observed::Observed;
use super::super::{converging, retention, roll_call};
use super::*;
use crate::api::release::{OverrideSpec, ProceedOrWait, SkippableGate};

fn spec(name: &str) -> TargetSpec {
    serde_json::from_value(json!({"workloadRef": {"kind": "Deployment", "name": name}})).unwrap()
}

fn of(name: &str, selector: &str) -> WatchedSelector {
    WatchedSelector::of(&spec(name), selector)
}

/// `v2` is active, and pod `a` serves `v1` still; `v3` is not wanted yet.
fn behind() -> Observed {
    fixture().activated("v1").activated("v2").reporting("a", &["v1", "v2"], "v1")
}

/// `v2` is staged and has every report; the pod of the only target serves `v1`, which is active.
fn ready_to_flip() -> Observed {
    let observed = fixture().after_v1().staged();
    observed.reporting("a", &["v1", "v2"], "v1")
}

fn standing(mut observed: Observed, standing: Standing) -> Observed {
    observed.targets[0].standing = standing;
    observed
}

fn is_flip(observed: &Observed) -> bool {
    matches!(decide(observed).step, Step::WritePointer(write) if matches!(write.kind, PointerChange::Flip { .. }))
}

fn proceeding(observed: Observed) -> Observed {
    observed.spec(|spec| spec.activation.on_missing_workload = ProceedOrWait::Proceed)
}

fn breaking_glass(observed: Observed) -> Observed {
    let glass = OverrideSpec { version: "v2".into(), gates: vec![SkippableGate::WorkloadsExist], reason: "it is gone".into() };
    observed.spec(|spec| spec.activation.r#override = Some(glass))
}

#[test]
fn a_target_is_watched_by_its_selector_or_by_the_last_one_that_was_seen() {
    let remembered = [of("web", "app=web"), of("old", "app=old"), of("web", "app=web0"), of("renamed", "app=shop")];
    let found = vec![Some("app=shop".into()), None, None];
    let plan = plan(&[spec("shop"), spec("web"), spec("never")], found, &remembered);
    let seen: Vec<_> = plan.iter().map(|it| (it.view(), it.standing, it.selector.as_deref())).collect();
    let wanted = [
        ("Deployment/shop", Standing::Present, Some("app=shop")),
        ("Deployment/web", Standing::Missing, Some("app=web")),
        ("Deployment/never", Standing::Missing, None),
        ("Deployment/old by app=old", Standing::Former, Some("app=old")),
        ("Deployment/web by app=web0", Standing::Former, Some("app=web0")),
    ];
    assert_eq!(seen, wanted.map(|(view, standing, selector)| (view.to_owned(), standing, selector)));
}

/// I2, I11: neither `Proceed` nor break-glass is about pods that are there.
#[test]
fn pods_that_were_left_behind_are_waited_for_whatever_is_said_of_the_workload() {
    for allowed in [proceeding, breaking_glass] {
        let gone = |observed| allowed(standing(observed, Standing::Missing));
        assert!(is_flip(&gone(ready_to_flip())), "it has reported and serves the active version");
        let lacks = gone(fixture().after_v1().staged().reporting("a", &["v1"], "v1"));
        let decision = decide(&lacks);
        assert!(matches!(decision.blockers.as_slice(), [Blocker::PodsMissing { .. }]), "{:?}", decision.blockers);
        let message = decision.blockers[0].message();
        assert!(message.contains("a (its workload is missing, loading)"), "{message}");
        let lags = gone(fixture().activated("v0").activated("v1").staged().reporting("a", &["v0", "v1", "v2"], "v0"));
        assert!(matches!(decide(&lags).blockers.as_slice(), [Blocker::NotConverged { .. }]), "{:?}", decide(&lags).blockers);
    }
}

#[test]
fn pods_of_a_former_target_are_waited_for_in_the_same_way_and_named() {
    let lags = standing(behind(), Standing::Former);
    let pods = converging::not_serving(&lags);
    assert!(pods.len() == 1 && pods[0].why.starts_with("of a former target, serves "), "{pods:?}");
    let roll = roll_call::of_candidate(&standing(ready_to_flip(), Standing::Former));
    assert_eq!((roll[0].name.as_str(), roll[0].counted), ("Deployment/web (former)", 1));
    let nobody = roll_call::of_candidate(&standing(fixture().after_v1().staged(), Standing::Former));
    assert!(nobody.is_empty(), "a former target without pods is not shown");
}

/// I9: an active version is not called converged while a pod that was left behind serves another one.
#[test]
fn ready_goes_by_pods_that_were_left_behind() {
    for gone in [Standing::Missing, Standing::Former] {
        let decision = decide(&standing(proceeding(behind()), gone));
        assert!(matches!(decision.blockers.as_slice(), [Blocker::NotConverged { .. }]), "{gone:?}: {:?}", decision.blockers);
    }
}

/// I5: what they report is referred to.
#[test]
fn retention_goes_by_pods_that_were_left_behind() {
    let facts = retention::own_facts(&standing(fixture().reporting("a", &["v7"], "v7"), Standing::Former), "cluster", None);
    assert!(facts.uses.iter().any(|it| it.digest == super::super::fixture::digest("v7")), "{:?}", facts.uses);
}

/// I11: a process that ends right after the flip has told nobody; whoever comes next must find in the status whom to ask.
#[test]
fn no_flip_before_the_status_says_by_which_selectors_pods_are_watched() {
    let mut observed = ready_to_flip();
    assert!(is_flip(&observed));
    observed.release.status.selectors.clear();
    let decision = decide(&observed);
    assert_eq!(decision.blockers, [Blocker::SelectorsUnrecorded { targets: vec!["Deployment/web".into()], former: Vec::new() }]);
    observed.release.status.selectors = next(&observed);
    assert!(is_flip(&observed));
    observed.targets[0].selector = Some("app=shop".into());
    assert!(!is_flip(&observed), "the workload was made anew with another selector");
    let skipping = observed.spec(|spec| {
        let gates = vec![SkippableGate::WorkloadsExist, SkippableGate::PodsExist, SkippableGate::EveryPodReported, SkippableGate::Approved];
        spec.activation.r#override = Some(OverrideSpec { version: "v2".into(), gates, reason: "now".into() });
    });
    let mut skipping = skipping;
    skipping.release.status.selectors = vec![of("web", SELECTOR)];
    assert!(!is_flip(&skipping), "nothing skips this");
}

fn former(observed: Observed) -> Observed {
    let mut observed = standing(observed, Standing::Former);
    observed.targets[0].seen_since_stage = Some(1);
    observed
}

#[test]
fn a_former_selector_is_forgotten_ten_minutes_after_its_last_pod() {
    let mut observed = former(fixture().activated("v2")).at(at(1_000));
    let once = next(&observed);
    assert_eq!(once[0].empty_since, Some(api_time(at(1_000))));
    observed.release.status.selectors = once.clone();
    assert_eq!(next(&observed.clone().at(at(1_599))), once, "the time is not written anew");
    assert_eq!(look_at(&observed), Some(at(1_600)));
    assert_eq!(decide(&observed).wait, Wait::Until(at(1_600)));
    assert!(next(&observed.clone().at(at(1_600))).is_empty());
    let again = observed.clone().at(at(1_599)).reporting("a", &["v2"], "v2");
    assert_eq!(next(&again)[0].empty_since, None, "a pod was replaced");
    let finished = observed.clone().at(at(1_600)).reporting("a", &["v2"], "v2").last_pod(|pod| pod.finished = true);
    assert!(next(&finished).is_empty());
    observed.targets[0].seen_since_stage = None;
    assert_eq!(next(&observed.at(at(1_600))), once, "its pods have not been listed, and another process has seen none");
}

/// A clock that was ahead, or a hand: it is forgotten ten minutes after now at the latest.
#[test]
fn a_time_that_has_not_come_is_not_believed() {
    let mut observed = former(fixture().activated("v2")).at(at(1_000));
    for empty_since in [at(1_001), Timestamp::MAX] {
        observed.release.status.selectors[0].empty_since = Some(api_time(empty_since));
        assert_eq!(next(&observed)[0].empty_since, Some(api_time(at(1_000))));
        assert_eq!(look_at(&observed), Some(at(1_600)));
    }
    observed.release.status.selectors[0].empty_since = Some(api_time(Timestamp::MIN));
    assert!(next(&observed).is_empty());
}

/// The selector of a missing workload stays for as long as the spec names it: what left its pods behind may make more of them.
#[test]
fn a_missing_workload_keeps_its_selector_and_is_looked_for() {
    let observed = standing(proceeding(fixture().activated("v2")), Standing::Missing).at(Timestamp::MAX);
    assert_eq!(next(&observed), [of("web", SELECTOR)]);
    let observed = observed.at(at(1_000));
    assert_eq!(look_at(&observed), Some(at(1_060)));
}

#[test]
fn where_there_is_not_room_for_all_nothing_is_forgotten_and_no_flip_is_made() {
    let mut observed = ready_to_flip();
    observed.release.status.selectors.clear();
    for number in 0..SELECTORS_MAX {
        let (target, selector) = (spec(&format!("old-{number}")), format!("app=old-{number}"));
        observed.release.status.selectors.push(WatchedSelector::of(&target, &selector));
        let pods = observed.targets[0].pods.clone();
        let former = TargetFacts { target, standing: Standing::Former, selector: Some(selector), seen_since_stage: Some(9), pods };
        observed.targets.push(former);
    }
    assert_eq!(next(&observed), observed.release.status.selectors);
    let blocker = are_recorded(&observed).unwrap_err();
    assert!(
        blocker.message().contains("no room for those of Deployment/web: delete the pods of former selectors"),
        "{}",
        blocker.message()
    );
    assert!(!is_flip(&observed));
}

/// Of a pod that has no agent and never reported nobody knows what it serves, and the user does not name it any more.
#[test]
fn of_a_former_target_only_pods_that_follow_the_pointer_are_asked() {
    let pod = |change: fn(&mut PodFacts)| fixture().pod("a", ReportFacts::Silent).last_pod(change).targets[0].pods[0].clone();
    assert!(is_asked(&pod(|_| {})));
    assert!(!is_asked(&pod(|pod| pod.has_agent = false)));
    assert!(is_asked(&pod(|pod| (pod.has_agent, pod.report) = (false, ReportFacts::Unusable("x".into())))));
}
