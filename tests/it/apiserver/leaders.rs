//! Two real controllers, a real API server, and a leader that is stopped (SIGSTOP) past its lease with a write under way: when it goes on, and
//! when its write arrives, another one leads, and nothing wrong is written. With the rights and the policies of the plain manifests.
//!
//! `ROLLCALL_TAKEOVERS=200` stops as many leaders; `ROLLCALL_LEASE_TIMES=15s,10s,2s` does so with the chart's own times.

mod proxy;
mod stage;

use std::time::Duration;

use rollcall::api::Pointer;
use rustix::process::Signal;
use tokio::time::Instant;

use stage::{Controller, Stage};

#[expect(clippy::disallowed_methods, reason = "whoever runs the tests says how long")]
fn setting(name: &str, otherwise: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| otherwise.to_owned())
}

/// Which write of the leader is under way when it is stopped.
const WRITES: [(&str, usize); 5] = [("/configmaps/", 1), ("/configmaps/", 2), ("/status", 1), ("/configmaps/", 2), ("/status", 2)];

/// What was seen of one takeover.
struct Takeover {
    /// From the stop to the first write of the next leader.
    gap: Duration,
    epoch: i64,
}

/// One leader is stopped in the midst of a write; the next one brings the release to its end, and then the first goes on.
async fn take_over(stage: &Stage, controllers: &mut [Controller; 2], turn: usize) -> Takeover {
    let leader = stage.leader(controllers).await;
    let (place, nth) = WRITES[turn % WRITES.len()];
    let (version, then) = if turn.is_multiple_of(2) { ("v2", "v1") } else { ("v1", "v2") };
    let held = controllers[leader].proxy.hold(place, nth);
    let others = controllers[1 - leader].proxy.lines().len();
    stage.wish(version).await;
    tokio::time::timeout(Duration::from_secs(20), held.reached).await.expect("the leader writes").unwrap();
    let (stopped, at) = (&controllers[leader], Instant::now());
    stopped.signal(Signal::STOP);
    stage.until_led_by(&controllers[1 - leader]).await;
    let gap = stage.first_write_since(&controllers[1 - leader].proxy, others).await.duration_since(at);
    stage.until_active(version).await;
    // In every third turn the wish is another one by then.
    if turn.is_multiple_of(3) {
        stage.wish(then).await;
        stage.until_active(then).await;
        stage.wish(version).await;
        stage.until_active(version).await;
    }
    let (pointer, resource_version) = stage.pointer().await;
    held.release.send(()).unwrap();
    let code = tokio::time::timeout(Duration::from_secs(20), held.answered).await.expect("the write arrives").unwrap();
    assert!([403, 409, 422].contains(&code), "turn {turn}: the late write {place} was answered {code}");

    let before = stopped.proxy.lines().len();
    stopped.signal(Signal::CONT);
    let said = controllers[leader].until_ended().await;
    assert!(said.contains("leadership was lost"), "turn {turn}: {said}");
    let late: Vec<_> =
        controllers[leader].proxy.lines().split_off(before).into_iter().filter(proxy::Line::writes_more_than_the_lease).collect();
    assert!(late.is_empty(), "turn {turn}: it wrote after it was stopped: {late:?}");
    assert_eq!(stage.pointer().await, (pointer.clone(), resource_version), "turn {turn}");
    controllers[leader].start();
    Takeover { gap, epoch: pointer.epoch }
}

/// I4, over real sockets and a real clock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_stopped_past_its_lease_writes_nothing_wrong_when_it_goes_on() {
    let turns: usize = setting("ROLLCALL_TAKEOVERS", "5").parse().unwrap();
    let times = setting("ROLLCALL_LEASE_TIMES", "2s,1500ms,500ms");
    let Some(stage) = Stage::begin("leaders", &times).await else { return };
    let mut controllers = [stage.controller("c1").await, stage.controller("c2").await];
    stage.until_active("v1").await;
    let numbers = stage.follow_the_pointer();
    let (mut gaps, mut epoch) = (Vec::new(), 0);
    for turn in 0..turns {
        let takeover = take_over(&stage, &mut controllers, turn).await;
        assert!(takeover.epoch > epoch, "turn {turn}: each leader has a higher epoch");
        epoch = takeover.epoch;
        gaps.push(takeover.gap);
    }
    hand_over(&stage, &mut controllers).await;
    let seen = numbers.taken();
    assert!(seen.len() > turns, "{} pointers", seen.len());
    let grows = |two: &[Pointer]| two[0].epoch <= two[1].epoch && two[0].sequence <= two[1].sequence && two[0].stage <= two[1].stage;
    assert!(seen.windows(2).all(grows), "numbers only grow");
    gaps.sort_unstable();
    println!(
        "lease {times}: {turns} takeovers, from SIGSTOP to the next leader's first write: median {:?}, maximum {:?}",
        gaps[gaps.len() / 2],
        gaps[gaps.len() - 1]
    );
    stage.end().await;
}

/// A leader that is asked to stop gives the Lease back, and the standby does not wait for it to expire.
#[expect(clippy::print_stdout, reason = "the time of a handover is a figure that people ask for")]
async fn hand_over(stage: &Stage, controllers: &mut [Controller; 2]) {
    let leader = stage.leader(controllers).await;
    // It has begun, and waits.
    stage.until_ready(&controllers[1 - leader]).await;
    let at = Instant::now();
    controllers[leader].signal(Signal::TERM);
    stage.until_led_by(&controllers[1 - leader]).await;
    println!("asked to stop: the next one leads after {:?}", at.elapsed());
    let said = controllers[leader].until_ended().await;
    assert!(!said.contains("leadership was lost"), "{said}");
}
