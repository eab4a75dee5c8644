//! The election's rules as a table: what has happened, at which moment, and what is to be done. Never a clock: every moment is typed.

use super::*;

const A: &str = "a_1";

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn wall(second: i64) -> Timestamp {
    Timestamp::from_second(EPOCHS_BEGIN + second).unwrap()
}

fn record(holder: &str, epoch: i64, renewed: i64) -> Record {
    let lasts = if holder.is_empty() { secs(1) } else { secs(15) };
    Record { holder: holder.into(), lasts, acquired_at: Some(wall(0)), renewed_at: Some(wall(renewed)), epoch }
}

fn found(holder: &str, epoch: i64, renewed: i64) -> Found {
    Found { record: record(holder, epoch, renewed), version: format!("v{renewed}") }
}

fn core() -> Core {
    Core::new(A, Times::default())
}

/// What it writes, when it writes; with the version it expects.
fn replaced(effects: &[Effect]) -> (&Record, &str) {
    match effects {
        [Effect::Replace(record, version)] => (record, version),
        other => panic!("one replace, not {other:?}"),
    }
}

/// A leader since second 0 of its own clock, under epoch 101.
fn leader() -> Core {
    let mut core = core();
    assert_eq!(core.on(Event::Tick, secs(0), wall(50)), [Effect::Read]);
    let (record, version) = {
        let effects = core.on(Event::Read(Some(found("", 100, 7))), secs(0), wall(50));
        let (record, version) = replaced(&effects);
        (record.clone(), version.to_owned())
    };
    assert_eq!((record.holder.as_str(), record.epoch, version.as_str()), (A, 101, "v7"));
    let effects = core.on(Event::Written(Found { record, version: "v8".into() }), secs(0), wall(50));
    assert_eq!(effects, [Effect::Lead { epoch: 101, until: secs(10) }]);
    core
}

#[test]
fn times_with_which_two_could_lead_are_refused() {
    let times = Times::default();
    assert_eq!(times.checked(), Ok(times));
    assert_eq!(Times { renew_deadline: secs(15), ..times }.checked(), Err(InvalidTimes::DeadlineTooLong));
    assert_eq!(Times { retry_period: secs(5), ..times }.checked(), Err(InvalidTimes::RetryTooLong));
    assert_eq!(Times { lease_duration: Duration::from_millis(15_500), ..times }.checked(), Err(InvalidTimes::NoWholeSeconds));
    assert!(times.request_max() * 3 <= times.renew_deadline);
}

#[test]
fn a_missing_lease_is_created_and_leads_once_the_answer_is_there() {
    let mut core = core();
    core.on(Event::Tick, secs(0), wall(500));
    let effects = core.on(Event::Read(None), secs(0), wall(500));
    let [Effect::Create(record)] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!((record.holder.as_str(), record.epoch, record.lasts), (A, 500, secs(15)));
    let written = Found { record: record.clone(), version: "1".into() };
    assert_eq!(core.on(Event::Written(written), secs(1), wall(501)), [Effect::Lead { epoch: 500, until: secs(10) }]);
}

#[test]
fn a_held_lease_is_waited_for_since_it_was_seen_to_change() {
    let mut core = core();
    core.on(Event::Tick, secs(100), wall(0));
    assert_eq!(core.on(Event::Read(Some(found("b", 5, 1))), secs(100), wall(0)), []);
    let next = core.next_tick();
    assert!(next >= secs(102) && next < Duration::from_millis(104_400), "{next:?}");
    core.on(Event::Tick, secs(114), wall(0));
    assert_eq!(core.on(Event::Read(Some(found("b", 5, 1))), secs(114), wall(0)), [], "14.9 seconds are not 15");
    core.on(Event::Tick, secs(120), wall(0));
    assert_eq!(core.on(Event::Read(Some(found("b", 5, 2))), secs(120), wall(0)), [], "it was renewed");
    core.on(Event::Tick, secs(135), wall(0));
    let effects = core.on(Event::Read(Some(found("b", 5, 2))), secs(135), wall(0));
    let (taken, version) = replaced(&effects);
    assert_eq!((taken.holder.as_str(), taken.epoch, version), (A, 6, "v2"));
}

/// The clocks of the two differ by an hour, either way: neither looks at the other's timestamps.
#[test]
fn skewed_clocks_change_nothing() {
    for skew in [-3600, 3600] {
        let mut core = core();
        core.on(Event::Tick, secs(0), wall(10_000));
        assert_eq!(core.on(Event::Read(Some(found("b", 5, 10_000 + skew))), secs(0), wall(10_000)), []);
        core.on(Event::Tick, secs(14), wall(10_014));
        assert_eq!(core.on(Event::Read(Some(found("b", 5, 10_000 + skew))), secs(14), wall(10_014)), []);
        core.on(Event::Tick, secs(18), wall(10_018));
        let effects = core.on(Event::Read(Some(found("b", 5, 10_000 + skew))), secs(18), wall(10_018));
        assert_eq!(replaced(&effects).0.holder, A);
    }
}

#[test]
fn of_two_candidates_the_one_whose_write_loses_waits_again() {
    let mut core = core();
    core.on(Event::Tick, secs(0), wall(0));
    core.on(Event::Read(Some(found("", 5, 1))), secs(0), wall(0));
    assert_eq!(core.on(Event::Lost, secs(0), wall(0)), []);
    assert!(core.next_tick() >= secs(2));
    core.on(Event::Tick, secs(5), wall(0));
    assert_eq!(core.on(Event::Read(Some(found("b", 6, 2))), secs(5), wall(0)), []);
}

#[test]
fn a_leader_renews_over_what_it_wrote_without_a_read() {
    let mut core = leader();
    assert_eq!(core.next_tick(), secs(2));
    let effects = core.on(Event::Tick, secs(2), wall(52));
    let (renewed, version) = replaced(&effects);
    assert_eq!((renewed.epoch, renewed.renewed_at, version), (101, Some(wall(52)), "v8"));
    assert_eq!(renewed.acquired_at, Some(wall(50)));
    let written = Found { record: renewed.clone(), version: "v9".into() };
    assert_eq!(core.on(Event::Written(written), secs(4), wall(54)), [Effect::GoOn { until: secs(12) }], "since it was sent");
}

#[test]
fn a_leader_whose_write_lost_looks_at_once_and_goes_on_if_the_lease_is_still_its_own() {
    let mut core = leader();
    core.on(Event::Tick, secs(2), wall(52));
    assert_eq!(core.on(Event::Lost, secs(2), wall(52)), [Effect::Read]);
    let effects = core.on(Event::Read(Some(found(A, 101, 9))), secs(3), wall(53));
    assert_eq!(replaced(&effects).1, "v9");
    assert_eq!(core.on(Event::Lost, secs(3), wall(53)), [], "the second time it waits");
    assert_eq!(core.next_tick(), secs(5));
}

#[test]
fn a_leader_ends_as_soon_as_it_sees_the_lease_with_another_or_with_nobody() {
    for (seen, why) in [(Some(found("b", 102, 9)), "\"b\""), (Some(found("", 101, 9)), "no process"), (None, "deleted")] {
        let mut core = leader();
        core.on(Event::Tick, secs(2), wall(52));
        core.on(Event::Lost, secs(2), wall(52));
        let effects = core.on(Event::Read(seen), secs(3), wall(53));
        assert!(matches!(effects.as_slice(), [Effect::Deposed(cause)] if cause.contains(why)), "{effects:?}");
        assert_eq!(core.on(Event::Tick, secs(99), wall(53)), [], "nothing comes after it");
    }
}

#[test]
fn a_leader_that_cannot_renew_goes_on_until_its_deadline_and_not_a_moment_longer() {
    let mut core = leader();
    for second in [2, 4, 6, 8] {
        let effects = core.on(Event::Tick, secs(second), wall(50));
        assert_eq!(effects.len(), 1, "second {second}: {effects:?}");
        assert_eq!(core.on(Event::Failed("no route to host".into()), secs(second), wall(50)), []);
    }
    assert_eq!(core.next_tick(), secs(10));
    let effects = core.on(Event::Tick, secs(10), wall(50));
    assert!(matches!(effects.as_slice(), [Effect::Deposed(_)]), "{effects:?}");
}

/// The answer came while the process was stopped: it is of long ago.
#[test]
fn a_process_that_was_paused_past_its_deadline_does_not_lead_whatever_it_finds_in_its_socket() {
    let mut core = leader();
    let effects = core.on(Event::Tick, secs(2), wall(52));
    let written = Found { record: replaced(&effects).0.clone(), version: "v9".into() };
    assert!(matches!(core.on(Event::Written(written), secs(60), wall(110)).as_slice(), [Effect::Deposed(_)]));
    let mut core = leader();
    assert!(matches!(core.on(Event::Tick, secs(60), wall(110)).as_slice(), [Effect::Deposed(_)]), "nothing under way");
}

#[test]
fn an_acquisition_whose_answer_was_lost_counts_once_a_write_over_it_is_confirmed() {
    let mut core = core();
    core.on(Event::Tick, secs(0), wall(0));
    core.on(Event::Read(Some(found("", 5, 1))), secs(0), wall(0));
    assert_eq!(core.on(Event::Failed("504".into()), secs(3), wall(0)), []);
    core.on(Event::Tick, secs(8), wall(0));
    let effects = core.on(Event::Read(Some(found(A, 6, 2))), secs(8), wall(0));
    let record = replaced(&effects).0.clone();
    assert_eq!(record.epoch, 6, "the same leadership");
    let effects = core.on(Event::Written(Found { record, version: "v3".into() }), secs(9), wall(0));
    assert_eq!(effects, [Effect::Lead { epoch: 6, until: secs(18) }]);
}

#[test]
fn an_acquisition_that_was_confirmed_too_late_is_made_again() {
    let mut core = core();
    core.on(Event::Tick, secs(0), wall(0));
    let effects = core.on(Event::Read(Some(found("", 5, 1))), secs(0), wall(0));
    let written = Found { record: replaced(&effects).0.clone(), version: "v2".into() };
    assert_eq!(core.on(Event::Written(written), secs(11), wall(0)), [Effect::Read]);
}

#[test]
fn a_lease_that_vanished_is_waited_for_as_long_as_it_would_have_held() {
    let mut core = core();
    core.on(Event::Tick, secs(0), wall(0));
    core.on(Event::Read(Some(found("b", 900, 1))), secs(0), wall(0));
    core.on(Event::Tick, secs(5), wall(5));
    assert_eq!(core.on(Event::Read(None), secs(5), wall(5)), [], "its holder may not know yet");
    core.on(Event::Tick, secs(15), wall(15));
    let effects = core.on(Event::Read(None), secs(15), wall(15));
    assert!(matches!(effects.as_slice(), [Effect::Create(record)] if record.epoch == 901), "{effects:?}");
}

#[test]
fn an_epoch_grows_also_where_a_lease_begins_anew() {
    assert!(epoch_at(wall(1_000)) > 999, "counting on from an earlier second is slower than the clock");
    assert_eq!(epoch_at(Timestamp::UNIX_EPOCH), 1, "a clock that was never set");
    assert_eq!(epoch_at("2200-01-01T00:00:00Z".parse().unwrap()), EPOCH_BY_CLOCK_MAX);
    let mut core = core();
    core.on(Event::Tick, secs(0), wall(0));
    let effects = core.on(Event::Read(Some(found("", 7, 1))), secs(0), wall(1_000));
    assert_eq!(replaced(&effects).0.epoch, 1_000);
}

#[test]
fn a_leader_that_resigns_empties_the_lease_and_keeps_its_epoch() {
    let mut core = leader();
    let effects = core.on(Event::Resign, secs(3), wall(53));
    let (released, version) = replaced(&effects);
    assert_eq!((released.holder.as_str(), released.lasts, released.epoch, version), ("", secs(1), 101, "v8"));
    let written = Found { record: released.clone(), version: "v9".into() };
    assert_eq!(core.on(Event::Written(written), secs(3), wall(53)), [Effect::Left]);
    assert_eq!(core.on(Event::Tick, secs(9), wall(59)), []);
}

#[test]
fn resigning_waits_for_what_is_under_way() {
    let mut renewing = leader();
    let effects = renewing.on(Event::Tick, secs(2), wall(52));
    let renewed = Found { record: replaced(&effects).0.clone(), version: "v9".into() };
    assert_eq!(renewing.on(Event::Resign, secs(3), wall(53)), []);
    let effects = renewing.on(Event::Written(renewed), secs(3), wall(53));
    assert_eq!((replaced(&effects).0.holder.as_str(), replaced(&effects).1), ("", "v9"));

    let mut acquiring = core();
    acquiring.on(Event::Tick, secs(0), wall(0));
    let effects = acquiring.on(Event::Read(Some(found("", 5, 1))), secs(0), wall(0));
    let acquired = Found { record: replaced(&effects).0.clone(), version: "v2".into() };
    assert_eq!(acquiring.on(Event::Resign, secs(1), wall(0)), []);
    let effects = acquiring.on(Event::Written(acquired), secs(1), wall(0));
    assert_eq!(replaced(&effects).0.holder, "", "what was just acquired is given back, and never led");
}

#[test]
fn a_candidate_that_resigns_leaves_the_lease_alone() {
    assert_eq!(core().on(Event::Resign, secs(0), wall(0)), [Effect::Left]);
    let mut reading = core();
    reading.on(Event::Tick, secs(0), wall(0));
    assert_eq!(reading.on(Event::Resign, secs(0), wall(0)), []);
    assert_eq!(reading.on(Event::Read(Some(found("b", 5, 1))), secs(1), wall(0)), [Effect::Left]);
}

#[test]
fn candidates_of_other_names_come_at_other_moments() {
    let next = |name: &str| {
        let mut core = Core::new(name, Times::default());
        core.on(Event::Tick, secs(0), wall(0));
        core.on(Event::Read(Some(found("x", 5, 1))), secs(0), wall(0));
        core.next_tick()
    };
    assert_ne!(next("rollcall-1"), next("rollcall-2"));
}
