//! Workloads whose pods come and go as their controllers have it, in the middle of a release; targets of every kind.

use rollcall::testing::builders::target;

use super::*;

async fn targets(world: &mut World, version: &str, targets: &[serde_json::Value]) {
    world.release(version);
    world.change_release(&json!({"targets": targets}));
    settle(world).await;
    assert_active(world, version);
}

/// I2, I11, I12: new pods are born while old ones leave; those that are born in the roll call count.
fn rolled_out_in_the_roll_call(sidecar: Sidecar) {
    run(async || {
        let mut world = World::new(1);
        for pod in ["a", "b", "c"] {
            world.start_pod(pod, sidecar);
        }
        targets(&mut world, "v1", &[target("Deployment", "web", sidecar)]).await;
        world.break_loads("v2");
        world.release("v2");
        seconds(&mut world, 5).await;
        world.roll_out("Deployment", "web", sidecar);
        seconds(&mut world, 30).await;
        assert!(["a", "b", "c"].iter().all(|pod| world.is_ready(pod)), "no pod leaves before its successor is Ready");
        assert_eq!(world.active().as_deref(), Some("v1"));
        world.mend_loads();
        ends_well(&mut world, "v2").await;
        let pods: Vec<String> = world.pods();
        assert_eq!(pods, ["web-2-1", "web-2-2", "web-2-3"].map(str::to_owned), "{}", world.trace.lines().join("\n"));
        assert!(pods.iter().all(|pod| world.is_ready(pod)));
    });
}

#[test]
fn a_deployment_is_rolled_out_in_the_roll_call() {
    rolled_out_in_the_roll_call(Sidecar::Agent);
}

#[test]
fn a_deployment_is_rolled_out_in_the_roll_call_over_http() {
    rolled_out_in_the_roll_call(Sidecar::HttpAgent);
}

/// I11: just after a flip some pods serve the old page; pods born now must be able to serve its assets.
#[test]
fn a_deployment_is_rolled_out_right_after_a_flip() {
    run(async || {
        let mut world = World::new(1);
        for pod in ["a", "b", "c"] {
            world.add_pod(pod);
        }
        targets(&mut world, "v1", &[target("Deployment", "web", Sidecar::Agent)]).await;
        world.hold_pages("b", Hold::Back);
        world.release("v2");
        while world.active().as_deref() != Some("v2") {
            world.advance(Duration::from_millis(50)).await;
        }
        world.roll_out("Deployment", "web", Sidecar::Agent);
        world.release("v3");
        ends_well(&mut world, "v3").await;
        assert_eq!(world.pods(), ["web-2-1", "web-2-2", "web-2-3"].map(str::to_owned));
    });
}

/// A candidate that no pod can load stops a rollout (new pods want it before their first Ready) until it is taken back (I12).
#[test]
fn a_rollout_goes_on_when_a_candidate_that_cannot_be_loaded_is_taken_back() {
    run(async || {
        let mut world = World::new(1);
        world.add_pod("a");
        world.add_pod("b");
        targets(&mut world, "v1", &[target("Deployment", "web", Sidecar::Agent)]).await;
        world.break_loads("v2");
        world.release("v2");
        seconds(&mut world, 5).await;
        world.roll_out("Deployment", "web", Sidecar::Agent);
        seconds(&mut world, 300).await;
        assert!(world.is_ready("a") && world.is_ready("b"));
        seconds(&mut world, 320).await;
        settle(&mut world).await;
        assert_eq!(world.status().phase.map(|phase| format!("{phase:?}")).as_deref(), Some("Stalled"));
        assert_eq!(world.active().as_deref(), Some("v1"));
        assert_eq!(world.pods(), ["web-2-1", "web-2-2"].map(str::to_owned), "{}", world.trace.lines().join("\n"));
        assert_promises(&world, "taken back");
        world.release("v3");
        ends_well(&mut world, "v3").await;
    });
}

/// The names of a StatefulSet's pods stay, their UIDs do not: a report of the pod before counts for nobody (I2).
#[test]
fn a_stateful_set_restarts_in_the_roll_call() {
    run(async || {
        let mut world = World::new(1);
        world.add_workload("StatefulSet", "shelf");
        for pod in ["shelf-0", "shelf-1", "shelf-2"] {
            world.start_pod_of("shelf", pod, Sidecar::Agent);
        }
        targets(&mut world, "v1", &[target("StatefulSet", "shelf", Sidecar::Agent)]).await;
        world.change_release(&json!({"activation": {"mode": "Manual"}}));
        world.release("v2");
        seconds(&mut world, 20).await;
        world.break_loads("v2");
        world.roll_out("StatefulSet", "shelf", Sidecar::Agent);
        seconds(&mut world, 10).await;
        world.change_release(&json!({"activation": {"mode": "Manual", "approvedVersion": "v2"}}));
        seconds(&mut world, 30).await;
        assert_eq!(world.active().as_deref(), Some("v1"), "the new shelf-2 has not reported, the one before had");
        world.mend_loads();
        ends_well(&mut world, "v2").await;
        assert_eq!(world.pods(), ["shelf-0", "shelf-1", "shelf-2"].map(str::to_owned));
    });
}

/// A DaemonSet keeps its pod on a node that does not answer; it is excused after five minutes, and the status says so.
#[test]
fn a_daemon_sets_pod_on_an_unreachable_node_is_excused_after_five_minutes() {
    run(async || {
        let mut world = World::new(1);
        world.add_workload("DaemonSet", "edge");
        world.start_pod_of("edge", "edge-a", Sidecar::Agent);
        world.start_pod_of("edge", "edge-b", Sidecar::Agent);
        targets(&mut world, "v1", &[target("DaemonSet", "edge", Sidecar::Agent)]).await;
        world.silence_node("n2");
        world.release("v2");
        seconds(&mut world, 280).await;
        assert_eq!(world.active().as_deref(), Some("v1"));
        seconds(&mut world, 30).await;
        assert_eq!(world.active().as_deref(), Some("v2"), "{}", world.trace.lines().join("\n"));
        world.return_node("n2");
        ends_well(&mut world, "v2").await;
        assert!(world.pods().iter().all(|pod| world.is_ready(pod)));
    });
}

/// One release, two kinds, two channels: every pod of both counts, and both roll while it moves (I2, I11).
#[test]
fn two_targets_of_different_kinds_and_channels() {
    run(async || {
        let mut world = World::new(1);
        world.add_workload("DaemonSet", "edge");
        world.add_pod("a");
        world.add_pod("b");
        world.start_pod_of("edge", "edge-a", Sidecar::HttpAgent);
        world.start_pod_of("edge", "edge-b", Sidecar::HttpAgent);
        let both = [target("Deployment", "web", Sidecar::Agent), target("DaemonSet", "edge", Sidecar::HttpAgent)];
        targets(&mut world, "v1", &both).await;
        world.answer_in("edge-b", Manner::Garbage);
        world.release("v2");
        seconds(&mut world, 30).await;
        assert_eq!(world.active().as_deref(), Some("v1"), "the other target's pods have reported");
        world.roll_out("DaemonSet", "edge", Sidecar::HttpAgent);
        world.roll_out("Deployment", "web", Sidecar::Agent);
        ends_well(&mut world, "v2").await;
        assert_eq!(world.pods(), ["edge-2-1", "edge-2-2", "web-2-1", "web-2-2"].map(str::to_owned));
    });
}
