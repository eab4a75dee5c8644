//! What users see of facts and decisions.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::super::decide::decide;
use super::super::fixture::{at, contested_by, digest, failed, fixture, verified, verify};
use super::super::observed::*;
use super::*;
use crate::api::conditions::{ACTIVATED, CONVERGED, PODS_ACKNOWLEDGED, READY, RECONCILING, SOURCE_FETCHED, STALLED, STEPS, STORE_VERIFIED};
use crate::api::release::{ActivationMode, HistoryEntry, Outcome, OverrideSpec, SkippableGate};
use crate::api::{AssetReleaseSpec, PointedVersion};

fn status_of(observed: &Observed) -> AssetReleaseStatus {
    next(observed, &decide(observed), StepOutcome::Done)
}

fn condition<'a>(status: &'a AssetReleaseStatus, kind: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.type_ == kind)
}

fn is_true(status: &AssetReleaseStatus, kind: &str) -> bool {
    condition(status, kind).is_some_and(|condition| condition.status == "True")
}

/// What a release looks like on its way, for rules that hold everywhere.
fn stations() -> Vec<(&'static str, Observed)> {
    let mut unpublished = fixture();
    unpublished.prefix = PrefixFacts::Known { owner: OwnerFacts::Us, record: None };
    let mut failing = unpublished.clone().spec(|spec| spec.source = None);
    failing.release.status = status_of(&unpublished);
    let mut deleting = fixture().after_v1();
    deleting.release.deleting = true;
    let mut contested = fixture();
    contested.pointer_mut().contest = Some(contested_by("argocd"));
    vec![
        ("new", unpublished),
        ("stalled", failing),
        ("verified", fixture().after_v1().verified_for(3, &[])),
        ("roll call", fixture().after_v1().staged().reporting("a", &["v1"], "v1")),
        ("flip", fixture().after_v1().staged().reporting("a", &["v1", "v2"], "v1")),
        ("converging", fixture().activated("v1").activated("v2").reporting("a", &["v1", "v2"], "v1")),
        ("active", fixture().activated("v1").activated("v2").reporting("a", &["v1", "v2"], "v2")),
        ("suspended", fixture().activated("v2").spec(|spec| spec.suspend = true)),
        ("deadline", fixture().after_v1().staged().reporting("a", &["v1"], "v1").at(at(9_000))),
        ("deleting", deleting),
        ("contested", contested),
    ]
}

#[test]
fn how_the_build_was_read_stands_in_the_condition_of_the_source() {
    let status = status_of(&fixture().after_v1());
    assert_eq!(
        condition(&status, SOURCE_FETCHED).unwrap().message,
        r#"version "v2" is recorded in the store (2 assets, 1 entry files; no names from a build tool (Folder: no build tool's manifest was found)); spec.source is not used"#
    );
}

#[test]
fn a_source_that_is_pinned_to_another_build_than_the_recorded_one_is_told() {
    let other = digest("another");
    let pinned = |digest: String| {
        move |spec: &mut AssetReleaseSpec| {
            let bucket = serde_json::json!({"name": "builds", "folder": "shop/", "digest": digest});
            spec.source = Some(serde_json::from_value(serde_json::json!({"bucket": bucket})).unwrap());
        }
    };
    let told = |fixture: &Observed| condition(&status_of(fixture), SOURCE_FETCHED).unwrap().message.clone();
    for fixture in [fixture().after_v1(), fixture().activated("v1").activated("v2")] {
        let said = told(&fixture.clone().spec(pinned(other.to_string())));
        assert!(said.contains(&digest("v2").to_string()) && said.contains(&other.to_string()), "{said}");
        let said = told(&fixture.spec(pinned(digest("v2").to_string())));
        assert!(said.ends_with("spec.source is not used"), "{said}");
    }
}

#[test]
fn headers_that_differ_are_told_and_stop_nothing() {
    let mut observed = fixture().after_v1().staged();
    let (job, headers) = (verify(3), Some("1 of 16 objects looked at have other headers".to_owned()));
    observed.jobs.ended = vec![(job, JobEnd::Verified { missing: vec![], name_map: Some("{}".into()), headers, at: at(990) })];
    let status = status_of(&observed);
    let said = condition(&status, STORE_VERIFIED).unwrap();
    assert_eq!((said.status.as_str(), said.reason.as_str()), ("True", "CompleteWithOtherHeaders"));
    let whole = "the store had every object when the version was activated";
    assert_eq!(said.message, format!("{whole}; 1 of 16 objects looked at have other headers"));
}

/// I9: what Rollcall flipped to was looked at before; what another hand wrote was not, and a store that is gone may not be the same one.
#[test]
fn the_store_is_said_to_have_an_active_version_only_if_it_was_asked_for_it() {
    let active = fixture().activated("v1").activated("v2").reporting("a", &["v1", "v2"], "v2");
    let said = |observed: &Observed| {
        let told = condition(&status_of(observed), STORE_VERIFIED).unwrap().clone();
        (told.status, told.reason, told.message)
    };
    let (status, reason, message) = said(&active);
    assert_eq!((status.as_str(), reason.as_str()), ("True", "Complete"));
    assert_eq!(message, "the store had every object when the version was activated");
    let mut contested = active.clone();
    contested.pointer_mut().contest = Some(contested_by("kubectl-edit"));
    let mut gone = active;
    gone.store = StoreFacts::Missing;
    for (unknown, why) in [(contested, "another hand wrote the pointer"), (gone, "the AssetStore does not exist")] {
        let (status, reason, message) = said(&unknown);
        assert_eq!((status.as_str(), reason.as_str()), ("False", "NotAsked"), "{message}");
        assert!(message.ends_with(why), "{message}");
    }
}

/// I9: what Flux checks of every status of its own kinds.
#[test]
fn every_status_is_kstatus_clean() {
    for (name, observed) in stations() {
        let status = status_of(&observed);
        let (ready, reconciling, stalled) = (is_true(&status, READY), is_true(&status, RECONCILING), is_true(&status, STALLED));
        assert!(condition(&status, READY).is_some(), "{name}: Ready is always there");
        assert!(!(ready && (reconciling || stalled)), "{name}: Ready with something wrong");
        assert!(!(reconciling && stalled), "{name}: Reconciling and Stalled");
        assert!(ready || reconciling || stalled, "{name}: neither ready nor saying why not");
        assert!(condition(&status, RECONCILING).is_none_or(|it| it.status == "True"), "{name}: Reconciling is there only when True");
        assert_eq!(status.observed_generation, 3, "{name}");
        assert!(status.conditions.iter().all(|it| it.observed_generation == Some(3)), "{name}");
        assert!(STEPS.iter().all(|step| condition(&status, step).is_some()), "{name}: every step has a condition");
        assert!(status.conditions.iter().all(|it| !it.reason.is_empty()), "{name}: a condition without a reason");
    }
}

/// I4: a lost pointer is made again from the highest flip in status, so another hand must not set that back.
#[test]
fn a_pointer_that_went_back_or_is_contested_does_not_change_what_is_remembered() {
    let mut observed = fixture().activated("v1").activated("v2");
    let known = status_of(&observed);
    assert_eq!(known.active.as_ref().map(|active| active.sequence), Some(2));
    observed.release.status = known.clone();
    let mut back = fixture().activated("v1");
    back.release.status = known.clone();
    let mut contested = fixture().activated("v1").activated("v2").activated("v3");
    contested.pointer_mut().contest = Some(contested_by("argocd"));
    contested.release.status = known.clone();
    for observed in [observed, back, contested] {
        let status = status_of(&observed);
        assert_eq!((status.active, status.previous, status.history), (known.active.clone(), known.previous.clone(), known.history.clone()));
    }
}

/// I7: the same facts write nothing new.
#[test]
fn a_status_that_was_written_is_not_written_again() {
    for (name, mut observed) in stations() {
        let decision = decide(&observed);
        if decision.step != Step::Nothing {
            continue;
        }
        let first = next(&observed, &decision, StepOutcome::Done);
        observed.release.status = first.clone();
        observed.now += jiff::SignedDuration::from_secs(30);
        assert_eq!(status_of(&observed), first, "{name}");
    }
}

/// I9: nothing is claimed that was not observed.
#[test]
fn ready_is_claimed_only_for_an_active_version_that_every_pod_serves() {
    for (name, observed) in stations() {
        assert_eq!(is_true(&status_of(&observed), READY), matches!(name, "active" | "suspended"), "{name}");
    }
}

/// I9: another URL, or another fallback. The version before was activated two flips ago.
#[test]
fn the_version_before_keeps_its_number_over_a_flip_of_the_same_build() {
    let observed = fixture().activated("v1").activated("v2");
    let mut after = observed.clone();
    after.release.status = status_of(&observed);
    let before = after.release.status.previous.clone().unwrap();
    let PointerFacts::Present(found) = &observed.pointer else { panic!("it is there") };
    let elsewhere = PointedVersion { fallback: Some("index.html".into()), ..found.pointer.active.clone().unwrap() };
    let flipped = found.pointer.staged(elsewhere, at(900)).flipped(at(901));
    after = after.with_pointer(flipped);
    let status = status_of(&after);
    assert_eq!(status.previous, Some(before));
    assert_eq!(status.active.map(|active| (active.sequence, active.fallback)), Some((3, Some("index.html".into()))));
}

#[test]
fn a_flip_is_entered_in_the_status_at_once() {
    let observed = fixture().after_v1().staged().reporting("a", &["v1", "v2"], "v1");
    let status = status_of(&observed);
    assert_eq!(status.active.as_ref().map(|it| (it.version.as_str(), it.sequence)), Some(("v2", 3)));
    assert_eq!(status.previous.as_ref().map(|it| (it.version.as_str(), it.sequence)), Some(("v1", 2)));
    assert_eq!((status.history[0].version.as_str(), status.history[0].outcome), ("v2", Outcome::Activated));
    assert!(is_true(&status, ACTIVATED) && !is_true(&status, CONVERGED));
    let lost = next(&observed, &decide(&observed), StepOutcome::Lost);
    assert_eq!(lost.active.unwrap().version, "v1", "a lost race has changed nothing");
}

/// A crash between the flip and the status loses nothing of the history.
#[test]
fn a_flip_whose_status_was_never_written_is_entered_at_the_next_look() {
    let mut observed = fixture().activated("v1").activated("v2");
    observed.release.status.history = status_of(&fixture().activated("v1")).history;
    let history = status_of(&observed).history;
    assert_eq!(history.iter().map(|it| it.sequence).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(history[1].retired_at.as_ref().map(|time| time.0), Some(at(100)));
}

#[test]
fn a_version_that_was_active_before_is_a_rollback() {
    let mut observed = fixture().activated("v1").activated("v2");
    observed.release.status = status_of(&observed);
    let back = Observed { release: observed.release.clone(), ..fixture().activated("v1").activated("v2").activated("v1") };
    let back = back.spec(|spec| spec.version = "v1".into());
    let history = status_of(&back).history;
    assert_eq!((history[0].version.as_str(), history[0].outcome), ("v1", Outcome::Activated), "the first entry of v1 was never written");
    let mut known = back;
    known.release.status.history.push(HistoryEntry { version: "v1".into(), sequence: 1, ..history[0].clone() });
    assert_eq!(status_of(&known).history[0].outcome, Outcome::RolledBack);
}

#[test]
fn an_attempt_given_up_is_written_down_with_what_was_missing() {
    let observed = fixture().after_v1().staged().reporting("a", &["v1"], "v1").at(at(1_500));
    let status = status_of(&observed);
    let given_up = status.given_up.as_ref().unwrap();
    assert_eq!((given_up.version.as_str(), given_up.generation), ("v2", 3));
    assert!(given_up.message.contains("a (loading)"), "{}", given_up.message);
    assert_eq!((given_up.stage, status.history[0].outcome), (Some(3), Outcome::GivenUp));
    let mut taken_back = observed;
    taken_back.release.status = status.clone();
    taken_back.release.requested_at = Some("again".into());
    let lost = next(&taken_back, &decide(&taken_back), StepOutcome::Lost);
    assert_eq!((lost.given_up, lost.history.len()), (status.given_up, status.history.len()), "it stays until its candidate is gone");
    assert_eq!(status_of(&taken_back).given_up, None, "then the next attempt begins");
}

#[test]
fn pages_in_the_bucket_are_dated_by_what_was_seen() {
    let mut observed = fixture().activated("v1").activated("v2").spec(|spec| spec.entries.publish = PublishEntries::Bucket);
    let told = |observed: &Observed| status_of(observed).entries.map(|entries| (entries.sequence, entries.confirmed_at.0));
    assert_eq!((told(&observed), is_true(&status_of(&observed), ACTIVATED)), (None, false));
    let job = Job::PublishEntries {
        version: "v2".into(),
        digest: digest("v2"),
        sequence: 2,
        publish: PublishEntries::Bucket,
        round: EntriesRound::AtFlip,
    };
    observed.jobs.ended = vec![(job, JobEnd::EntriesPublished { at: at(950) })];
    assert_eq!((told(&observed), is_true(&status_of(&observed), ACTIVATED)), (Some((2, at(950))), true));
    observed.release.status = status_of(&observed);
    observed.jobs = JobFacts::default();
    let restarted = status_of(&observed);
    assert_eq!(restarted, observed.release.status, "a restart changes nothing that was seen");
    observed = observed.spec(|spec| spec.entries.publish = PublishEntries::Pods);
    assert_eq!(told(&observed), None);
}

/// I9: from the staging on the figure has the pods in it, Ready or not, and the first release is done when they serve it.
#[test]
fn the_pods_of_a_first_release_are_counted_before_they_are_ready() {
    let unready = |observed: Observed, serving: &str| observed.reporting("a", &["v2"], serving).last_pod(|pod| pod.ready = false);
    let pods = |observed: &Observed| {
        let status = status_of(observed);
        (status.phase.unwrap(), status.pods.unwrap())
    };
    let verified = unready(fixture().verified_for(1, &[]), "");
    assert_eq!(pods(&verified), (Phase::RollCall, "0/1".into()), "staged");
    let mut staged = fixture().staged();
    staged = unready(staged, "");
    assert_eq!(pods(&staged), (Phase::Converging, "0/1".into()), "flipped");
    let lost = next(&staged, &decide(&staged), StepOutcome::Lost);
    assert_eq!((lost.phase, lost.pods.as_deref()), (Some(Phase::RollCall), Some("1/1")), "a flip that lost its race");
    assert_eq!(pods(&unready(fixture().activated("v2"), "")), (Phase::Converging, "0/1".into()));
    assert_eq!(pods(&unready(fixture().activated("v2"), "v2")), (Phase::Active, "1/1".into()));
}

#[test]
fn break_glass_and_excused_pods_stay_in_the_history() {
    let glass = OverrideSpec { version: "v2".into(), gates: vec![SkippableGate::EveryPodReported], reason: "fire".into() };
    let mut observed = fixture().after_v1().staged().reporting("a", &["v1"], "v1").spec(|spec| spec.activation.r#override = Some(glass));
    observed = observed.reporting("b", &["v1"], "v1").last_pod(|pod| {
        pod.ready = false;
        pod.unreachable_since = Some(at(1));
    });
    let entry = status_of(&observed).history.remove(0);
    assert_eq!(entry.overridden.as_deref(), Some("EveryPodReported: fire"));
    assert_eq!(entry.excused, ["b"]);
}

#[test]
fn waiting_for_approval_is_dated_and_summed_up() {
    let manual = |spec: &mut AssetReleaseSpec| spec.activation.mode = ActivationMode::Manual;
    let mut observed = fixture().after_v1().staged().spec(manual);
    let waiting = status_of(&observed);
    assert_eq!(waiting.phase, Some(Phase::AwaitingApproval));
    assert_eq!(waiting.candidate.as_ref().unwrap().awaiting_approval_since.as_ref().map(|it| it.0), Some(at(1_000)));
    assert_eq!(waiting.candidate.as_ref().unwrap().deadline_at, None, "it stands still, so there is no such moment");
    observed.release.status = waiting.clone();
    assert!(status_of(&observed.clone().at(at(1_300))).says_the_same(&waiting), "I7: waiting writes nothing");
    let behind = observed.at(at(1_400)).reporting("a", &["v1"], "v1");
    let candidate = status_of(&behind).candidate.unwrap();
    assert_eq!((candidate.approval_wait_seconds, candidate.awaiting_approval_since), (400, None));
    assert_eq!(candidate.deadline_at.map(|it| it.0), Some(at(900 + 600 + 400)));
}

#[test]
fn steps_tell_where_a_release_is() {
    let rolling = status_of(&fixture().after_v1().staged().reporting("a", &["v1"], "v1").reporting("b", &["v1", "v2"], "v1"));
    assert!(is_true(&rolling, STORE_VERIFIED) && !is_true(&rolling, PODS_ACKNOWLEDGED));
    assert_eq!(rolling.pods.as_deref(), Some("1/2"));
    assert_eq!(rolling.candidate.as_ref().unwrap().targets[0].missing, ["a"]);
    let active = status_of(&fixture().activated("v1").activated("v2").reporting("a", &["v2"], "v2").reporting("b", &["v2"], "v1"));
    assert_eq!(active.pods.as_deref(), Some("1/2"));
    assert!(active.candidate.is_none());
}

#[test]
fn a_failure_shows_in_the_step_that_it_stops() {
    let mut observed = fixture().after_v1();
    observed.jobs.ended = vec![(verify(3), failed(None))];
    let status = status_of(&observed);
    assert_eq!(condition(&status, STORE_VERIFIED).unwrap().reason, "SourceUnavailable");
    assert_eq!(status.phase, Some(Phase::Stalled));
}

#[test]
fn figures_that_only_move_on_are_told_from_news() {
    let one = status_of(&fixture().after_v1().staged().reporting("a", &["v1"], "v1").reporting("b", &["v1"], "v1"));
    let two = status_of(&fixture().after_v1().staged().reporting("a", &["v1"], "v1").reporting("b", &["v1", "v2"], "v1"));
    assert!(one != two && differs_in_progress_only(&one, &two));
    let mut ended = fixture().after_v1().staged().reporting("a", &["v1"], "v1");
    ended.jobs.ended = vec![(verify(3), verified(&["x"]))];
    assert!(!differs_in_progress_only(&one, &status_of(&ended)));
}

#[test]
fn long_messages_are_cut_at_a_character() {
    assert_eq!(cut("ü".repeat(10), 20), "ü".repeat(10));
    assert_eq!(cut("ü".repeat(10), 18), format!("{}…", "ü".repeat(7)));
}
