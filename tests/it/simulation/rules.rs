//! Each counter-example of the model check, with its rule in force and with the rule taken out: the first keeps every promise,
//! the second breaks one. So no rule is there for decoration.

use std::time::Duration;

use super::*;

/// Tells the story under the rule and without it. Without it this promise must break.
#[expect(clippy::needless_pass_by_value, reason = "a story is written where it is told")]
fn needs(rule: Rule, promise: &str, story: impl AsyncFn(&mut World)) {
    run(async || {
        let mut world = World::new(1);
        story(&mut world).await;
        settle(&mut world).await;
        assert_promises(&world, &format!("{rule:?} in force"));
    });
    run(async || {
        let mut world = World::without(1, rule);
        story(&mut world).await;
        let _may_never_settle = world.settle(Duration::from_secs(120)).await;
        let broken = world.violations();
        assert!(
            broken.iter().any(|violation| violation.promise == promise),
            "without {rule:?}: {broken:?}\n{}",
            world.trace.lines().join("\n")
        );
    });
}

async fn two_pods_on_v1(world: &mut World) {
    world.add_pod("a");
    world.add_pod("b");
    world.release("v1");
    settle(world).await;
}

/// Stage(v2) -> Load -> Unstage -> the pod loses v2 -> Stage(v2) -> the old report counts -> Flip(v2).
#[test]
fn without_stage_numbers_a_report_for_an_earlier_staging_counts() {
    needs(Rule::StageNumbers, "I2", async |world| {
        two_pods_on_v1(world).await;
        world.change_release(&json!({"activation": {"mode": "Manual"}}));
        world.release("v2");
        seconds(world, 20).await;
        world.change_release(&json!({"suspend": true}));
        seconds(world, 10).await;
        assert_eq!(world.pointer().candidate, None);
        world.reboot_pod("a");
        world.change_release(&json!({"suspend": false, "activation": {"mode": "Manual", "approvedVersion": "v2"}}));
        seconds(world, 30).await;
        world.boot_ends("a");
    });
}

/// Flip(v2) while one pod still serves v1 -> Stage(v3) -> Flip(v3) -> a new pod holds v3 and v2 only.
#[test]
fn without_the_converge_gate_a_new_pod_cannot_serve_an_old_page() {
    needs(Rule::ConvergeGate, "I11", async |world| {
        two_pods_on_v1(world).await;
        world.hold_pages("a", Hold::Back);
        world.release("v2");
        seconds(world, 30).await;
        assert_eq!(world.active().as_deref(), Some("v2"));
        v3_flips_while_deaf(world, "a").await;
        world.add_pod("c");
        seconds(world, 20).await;
        world.hold_pages("a", Hold::Off);
    });
}

/// A pod has loaded v3, and hears of its flip a minute late: until then its own side of the rule does not hold.
async fn v3_flips_while_deaf(world: &mut World, pod: &str) {
    world.change_release(&json!({"activation": {"mode": "Manual"}}));
    world.release("v3");
    seconds(world, 20).await;
    world.deafen_pod(pod, Duration::from_secs(60));
    world.change_release(&json!({"activation": {"mode": "Manual", "approvedVersion": "v3"}}));
    seconds(world, 3).await;
}

/// Flip(v2) while one pod serves v1 and is not Ready for a moment -> Flip(v3) -> a new pod holds v3 and v2 only -> the first is Ready again.
#[test]
fn without_asking_pods_that_are_not_ready_a_flapping_pod_serves_an_old_page() {
    needs(Rule::FlappingPods, "I11", async |world| {
        two_pods_on_v1(world).await;
        world.hold_pages("a", Hold::Back);
        world.release("v2");
        seconds(world, 30).await;
        assert_eq!(world.active().as_deref(), Some("v2"));
        world.set_probe("a", Probe::Fails);
        v3_flips_while_deaf(world, "a").await;
        world.add_pod("c");
        seconds(world, 20).await;
        world.set_probe("a", Probe::Succeeds);
        seconds(world, 1).await;
        world.hold_pages("a", Hold::Off);
    });
}

/// Flip(v2) while one pod serves v1 -> its Deployment goes and leaves it behind -> Flip(v3) -> a new pod holds v3 and v2 only.
#[test]
fn without_the_last_selector_an_orphaned_pod_serves_an_old_page() {
    needs(Rule::LastSelector, "I11", async |world| {
        two_pods_on_v1(world).await;
        world.hold_pages("a", Hold::Back);
        world.release("v2");
        seconds(world, 30).await;
        assert_eq!(world.active().as_deref(), Some("v2"));
        world.orphan_pods_of("Deployment", "web");
        world.change_release(&json!({"activation": {"mode": "Manual", "onMissingWorkload": "Proceed"}}));
        v3_flips_while_deaf(world, "a").await;
        world.add_pod("c");
        seconds(world, 20).await;
        world.hold_pages("a", Hold::Off);
    });
}

/// Flip(v2) while one pod still serves v1 -> a new pod loads v2 only.
#[test]
fn without_previous_a_new_pod_cannot_serve_the_page_that_was_active_before() {
    needs(Rule::Previous, "I11", async |world| {
        two_pods_on_v1(world).await;
        world.hold_pages("a", Hold::Back);
        world.release("v2");
        seconds(world, 30).await;
        world.add_pod("c");
        seconds(world, 20).await;
        world.hold_pages("a", Hold::Off);
    });
}

/// A pod starts and sees v1 only -> Stage(v2), Observe: it is not Ready yet -> Ready -> Flip(v2).
#[test]
fn without_the_announcement_a_starting_pod_is_overlooked() {
    needs(Rule::Announcement, "I2", async |world| {
        two_pods_on_v1(world).await;
        world.hold_pages("a", Hold::Back);
        world.restart_pod("a");
        seconds(world, 5).await;
        world.deafen_pod("a", Duration::from_secs(60));
        world.release("v2");
        seconds(world, 30).await;
        world.hold_pages("a", Hold::Off);
        seconds(world, 10).await;
    });
}

/// Stage(v2) -> a pod starts that cannot load it -> all others report -> Flip(v2).
#[test]
fn without_counting_bound_pods_a_starting_pod_is_overlooked_over_http() {
    needs(Rule::BoundPodsCount, "I2", async |world| {
        world.start_pod("a", Sidecar::HttpAgent);
        world.start_pod("b", Sidecar::HttpAgent);
        over_http(world, "v1");
        settle(world).await;
        world.answer_in("a", Manner::Garbage);
        seconds(world, 40).await;
        world.release("v2");
        seconds(world, 10).await;
        world.break_loads("v2");
        world.start_pod("c", Sidecar::HttpAgent);
        seconds(world, 10).await;
        world.answer_in("a", Manner::Honest);
        seconds(world, 30).await;
        world.mend_loads();
    });
}

/// Flip(v2) -> a pod starts and is told of v1 by a cache -> Ready.
#[test]
fn without_the_quorum_read_a_starting_pod_believes_a_cache() {
    needs(Rule::QuorumRead, "I2", async |world| {
        two_pods_on_v1(world).await;
        let before = world.server.version();
        world.release("v2");
        settle(world).await;
        world.add_pod_behind_stale_cache("c", before);
        seconds(world, 30).await;
    });
}
