//! Verdicts over small runs.

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn failure(load: u64, second: i64, flaw: Flaw, pod: Option<&str>) -> Failure {
    let (url, page, version, seen) = ("http://shop/a.js".into(), "/".into(), "v2".into(), "404".into());
    Failure { load, at: at(second), url, page, version, flaw, seen, pod: pod.map(str::to_owned) }
}

fn event(number: u64, second: i64, words: &str, phase: Phase, pods: &[&str]) -> Event {
    Event { at: at(second), number, words: words.into(), phase, pods: pods.iter().map(ToString::to_string).collect(), note: String::new() }
}

fn group(broken: u64) -> Group {
    Group { page_loads: 1000, broken, requests: 4000, connect_retries: 0, kept_retries: 0 }
}

/// The agent of the pod with address `a` was killed at 100 and is back at 101.
fn run(broken: u64, failures: Vec<Failure>) -> Run {
    Run {
        facts: Facts { seed: 1, seconds: 60, wanted: 1000, flips: 3, unsettled: None },
        events: vec![event(1, 100, "kill-agent 3", Phase::Begin, &["a"]), event(1, 101, "kill-agent 3", Phase::End, &["a"])],
        pods: [("a".to_owned(), ["shop-1".to_owned()].into())].into(),
        visitors: [("new".to_owned(), (group(broken), failures))].into(),
        controls: [("naive".to_owned(), group(5)), ("listed".to_owned(), group(1))].into(),
    }
}

fn reasons_of(run: &Run) -> String {
    judge(run).reasons.join("; ")
}

#[test]
fn a_run_without_a_broken_page_holds() {
    let verdict = judge(&run(0, vec![]));
    assert!(verdict.held, "{:?}", verdict.reasons);
    assert!(verdict.table().contains("1000 page loads (16 a second)"), "{}", verdict.table());
}

#[test]
fn a_connection_that_a_killed_pod_cut_is_counted_apart() {
    let cut =
        run(3, vec![failure(1, 100, Flaw::Cut, Some("a")), failure(2, 116, Flaw::Late, Some("a")), failure(3, 105, Flaw::Refused, None)]);
    let verdict = judge(&cut);
    assert!(verdict.held, "{:?}", verdict.reasons);
    assert_eq!(verdict.broken, [(Cause::Killed, 3)].into());
}

#[test]
fn a_silence_of_another_pod_or_at_another_time_fails_the_run() {
    for silence in [failure(1, 100, Flaw::Cut, Some("b")), failure(1, 117, Flaw::Cut, Some("a")), failure(1, 99, Flaw::Refused, None)] {
        assert!(reasons_of(&run(1, vec![silence])).starts_with("1 page loads got no whole answer"));
    }
}

#[test]
fn a_wrong_answer_fails_the_run_whatever_was_killed() {
    for flaw in [Flaw::Status, Flaw::HtmlForAsset, Flaw::ContentType, Flaw::OtherBytes, Flaw::NoVersion, Flaw::Elsewhere] {
        let both = vec![failure(1, 100, Flaw::Cut, Some("a")), failure(1, 100, flaw, Some("a"))];
        let verdict = judge(&run(1, both));
        assert_eq!(verdict.broken, [(Cause::Wrong, 1)].into(), "the worst of a page load counts");
        assert!(!verdict.held);
    }
}

#[test]
fn a_broken_page_load_that_was_not_written_down_fails_the_run() {
    assert!(reasons_of(&run(2, vec![failure(1, 100, Flaw::Cut, Some("a"))])).contains("1 page loads got a wrong or missing piece"));
}

#[test]
fn a_run_that_proves_nothing_fails() {
    let mut harmless = run(0, vec![]);
    harmless.controls.insert("listed".into(), group(0));
    assert!(reasons_of(&harmless).contains("the control group listed had no broken page"));
    let mut short = run(0, vec![]);
    short.facts.wanted = 1001;
    assert!(reasons_of(&short).contains("1000 page loads of 1001"));
    let mut still = run(0, vec![]);
    still.facts.flips = 0;
    assert!(reasons_of(&still).contains("never moved"));
    let mut wedged = run(0, vec![]);
    wedged.facts.unsettled = Some("Stalled".into());
    assert!(reasons_of(&wedged).contains("did not settle when everything was over: Stalled"));
    let mut undone = run(0, vec![]);
    undone.events.push(event(2, 120, "roll", Phase::Failed, &[]));
    assert!(reasons_of(&undone).contains("roll was never carried out (1 attempts failed)"));
}

#[test]
fn an_example_names_piece_version_pod_time_and_the_events_around_it() {
    let table = judge(&run(1, vec![failure(7, 110, Flaw::Status, Some("a"))])).table();
    for part in
        ["Wrong: 1970-01-01T00:01:50Z", "of \"v2\"", "asked a (shop-1) for http://shop/a.js: Status 404", "-10.0 s Begin kill-agent 3"]
    {
        assert!(table.contains(part), "{part:?} is not in {table}");
    }
    assert!(table.contains("FAILED: 1 page loads"), "{table}");
}
