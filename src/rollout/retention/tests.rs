//! When a sweep is due, in which order its halves run, what a release writes down of itself, and what people are shown.

use jiff::SignedDuration;

use super::*;
use crate::api::release::Outcome;
use crate::rollout::decide;
use crate::rollout::decision::Wait;
use crate::rollout::fixture::{at, digest, failed, fixture};
use crate::rollout::observed::PrefixFacts;
use crate::rollout::status::{self, StepOutcome};

/// `v2` is active and served everywhere; retention is on.
fn settled() -> Observed {
    let retention: RetentionSpec = serde_json::from_str("{}").unwrap();
    fixture().activated("v1").activated("v2").at(at(100_000)).spec(|spec| spec.retention = Some(retention))
}

fn shown_at(second: i64, swept: bool) -> Box<RetentionStatus> {
    let at = api_time(at(second));
    Box::new(RetentionStatus { planned_at: Some(at.clone()), swept_at: swept.then_some(at), ..RetentionStatus::default() })
}

fn started(observed: &Observed) -> Option<SweepAct> {
    match decide(observed).step {
        Step::StartJob(Job::Sweep { act, .. }) => Some(act),
        Step::Nothing => None,
        other => panic!("{other:?}"),
    }
}

fn ended(observed: Observed, act: SweepAct, end: JobEnd) -> Observed {
    let Some(Job::Sweep { active, retention, due, .. }) = job(&observed) else { panic!("no sweep is due") };
    let mut observed = observed;
    observed.jobs.running = None;
    observed.jobs.ended = vec![(Job::Sweep { act, active, retention, due }, end)];
    observed
}

#[test]
fn a_sweep_is_planned_then_carried_out_then_not_due_for_a_day() {
    let planned = || JobEnd::Planned { shown: shown_at(100_000, false), kept: [digest("v2")].into() };
    let swept = || JobEnd::Swept { shown: shown_at(100_400, true), kept: [digest("v2")].into() };
    assert_eq!(started(&settled()), Some(SweepAct::Plan));
    let after_plan = ended(settled(), SweepAct::Plan, planned());
    assert_eq!(started(&after_plan), Some(SweepAct::CarryOut));
    let shown = status::next(&after_plan, &decide(&after_plan), StepOutcome::Done).retention.unwrap();
    assert_eq!((shown.planned_at.is_some(), shown.swept_at), (true, None), "status shows the plan before anything goes");

    let after_sweep = ended(after_plan, SweepAct::CarryOut, swept());
    assert_eq!(started(&after_sweep), None, "its status is not written yet");
    let mut told = after_sweep.clone().at(at(100_400));
    told.release.status.retention = status(&after_sweep);
    assert_eq!(told.release.status.retention, Some(*shown_at(100_400, true)));
    assert_eq!((started(&told), decide(&told).wait), (None, Wait::Until(at(100_400) + SignedDuration::from_hours(24))));
    assert_eq!(status(&told), told.release.status.retention, "I7: nothing is written again");
    assert_eq!(started(&told.at(at(100_400 + 86_400))), Some(SweepAct::Plan));
}

#[test]
fn without_a_policy_nothing_is_planned_and_nothing_shown() {
    let idle = settled().spec(|spec| spec.retention = None);
    assert_eq!((started(&idle), decide(&idle).wait), (None, Wait::Change));
    assert_eq!(status::next(&idle, &decide(&idle), StepOutcome::Done).retention, None);
}

#[test]
fn a_release_on_its_way_is_not_swept_and_a_sweep_gives_way_to_it() {
    let busy = settled().spec(|spec| spec.version = "v3".into());
    assert!(job(&busy).is_none());
    let mut running = settled();
    let job = job(&running).unwrap();
    running.jobs.running = Some((job.clone(), crate::api::release::UploadStatus::default()));
    assert_eq!(started(&running), None);
    assert_eq!(decide(&running.clone().spec(|spec| spec.version = "v3".into())).step, Step::CancelJob(job.clone()));
    let other = running.spec(|spec| spec.retention.as_mut().unwrap().ttl = "1000h".into());
    assert_eq!(decide(&other).step, Step::CancelJob(job), "what was planned under another policy is not carried out");
}

#[test]
fn a_sweep_waits_for_a_store_that_answers_and_a_prefix_that_is_ours() {
    let mut silent = settled();
    silent.prefix = PrefixFacts::NotNeeded;
    assert_eq!(started(&silent), None);
}

#[test]
fn a_doubt_is_shown_and_looked_at_again() {
    // I5
    let doubt = ended(settled(), SweepAct::Plan, failed(Some(at(103_600))));
    assert_eq!((started(&doubt), decide(&doubt).wait), (None, Wait::Until(at(103_600))));
    let conditions = status::next(&doubt, &decide(&doubt), StepOutcome::Done).conditions;
    let blocked = conditions.iter().find(|condition| condition.type_ == "RetentionBlocked").unwrap();
    assert_eq!((blocked.status.as_str(), blocked.reason.as_str()), ("True", "SourceUnavailable"));
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    assert_eq!(ready.status, "True", "pages are as they should be");
    assert_eq!(started(&doubt.at(at(103_600))), Some(SweepAct::Plan));
}

#[test]
fn what_is_used_is_what_pointer_status_and_pods_name_and_what_is_about_to_be() {
    // I5
    let report = serde_json::json!({
        "protocol": 1, "podUid": "uid-a", "instance": "i", "stage": 1, "sequence": 1,
        "available": [digest("v1"), digest("v0")], "serving": digest("v2"),
    });
    let reported = ReportFacts::Known(std::sync::Arc::new(crate::api::Report::parse(&report.to_string()).unwrap()));
    let own = own_facts(&settled().pod("a", reported), "c", Some(&digest("v9")));
    let roles = |version: &str| own.uses.iter().filter(|one| one.digest == digest(version)).map(|one| one.role).collect::<Vec<_>>();
    assert_eq!(roles("v2"), [Role::Active, Role::Reported]);
    assert_eq!(roles("v1"), [Role::Previous, Role::Reported]);
    assert_eq!((roles("v0"), roles("v9")), (vec![Role::Reported], vec![Role::Candidate]));
    assert_eq!((own.release.as_str(), own.retention.map(|policy| policy.ttl_seconds)), ("ns/shop", Some(720 * 3600)));
}

#[test]
fn a_version_that_retention_takes_is_shown_before_anybody_tries() {
    // I8
    let entry = |version: &str, sequence: i64, second: i64| HistoryEntry {
        version: version.into(),
        digest: Some(digest(version)),
        sequence,
        outcome: Outcome::Activated,
        at: api_time(at(second)),
        retired_at: None,
        restorable: None,
        overridden: None,
        excused: Vec::new(),
    };
    let mut observed = settled();
    observed.release.status.history = vec![entry("v2", 2, 100), entry("v1", 1, 50)];
    let planned = JobEnd::Planned { shown: shown_at(100_000, false), kept: [digest("v2")].into() };
    let restorable = |observed: &Observed| -> Vec<Option<bool>> {
        let history = status::next(observed, &decide(observed), StepOutcome::Done).history;
        history.iter().map(|entry| entry.restorable).collect()
    };
    assert_eq!(restorable(&observed), [None, None], "nothing was planned yet");
    let mut observed = ended(observed, SweepAct::Plan, planned);
    assert_eq!(restorable(&observed), [Some(true), Some(false)]);
    // Activated again since: it was published again, whatever the old plan says.
    observed.release.status.history.insert(0, entry("v1", 3, 100_500));
    assert_eq!(restorable(&observed), [Some(true), Some(true), Some(true)]);
}
