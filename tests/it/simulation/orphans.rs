//! Pods whose workload is gone, has another selector, or is no target any more: they go on serving pages, so they go on being asked.

use rollcall::testing::builders::target;

use super::*;

/// `v2` is active, and pod `a` serves `v1` still.
async fn a_lags_behind(world: &mut World, sidecar: Sidecar) {
    world.start_pod("a", sidecar);
    world.start_pod("b", sidecar);
    world.release("v1");
    world.change_release(&json!({"targets": [target("Deployment", "web", sidecar)]}));
    settle(world).await;
    world.hold_pages("a", Hold::Back);
    world.release("v2");
    seconds(world, 30).await;
    assert_eq!(world.active().as_deref(), Some("v2"));
}

fn restart_controller(world: &mut World) {
    world.kill_controller();
    world.start_controller();
}

/// The next version is wanted, and a pod that serves the version before the active one keeps it away; the status names it.
async fn v3_waits_for(world: &mut World, pod: &str, why: &str) {
    assert_eq!(world.reason().as_deref(), Some("NotConverged"), "{}", world.trace.lines().join("\n"));
    world.release("v3");
    seconds(world, 120).await;
    let message = world.status().message.unwrap_or_default();
    assert_eq!(world.active().as_deref(), Some("v2"), "{message}\n{}", world.trace.lines().join("\n"));
    assert!(message.contains(&format!("{pod} ({why}")), "{message}");
}

/// What the status remembers.
fn selectors(world: &World) -> Vec<String> {
    world.status().selectors.into_iter().map(|it| it.selector).collect()
}

fn orphaned(sidecar: Sidecar, activation: impl Fn(&World)) {
    run(async || {
        let mut world = World::new(1);
        a_lags_behind(&mut world, sidecar).await;
        activation(&world);
        world.orphan_pods_of("Deployment", "web");
        restart_controller(&mut world);
        seconds(&mut world, 30).await;
        v3_waits_for(&mut world, "a", "its workload is missing, serves ").await;
        restart_controller(&mut world);
        seconds(&mut world, 30).await;
        assert_eq!(world.active().as_deref(), Some("v2"));
        world.hold_pages("a", Hold::Off);
        ends_well(&mut world, "v3").await;
        assert_eq!(selectors(&world), ["app=web"]);
        world.end_pod("a");
        world.end_pod("b");
        seconds(&mut world, 1200).await;
        assert_eq!(selectors(&world), ["app=web"], "the spec names it, and what left its pods behind may make more of them");
        ends_well(&mut world, "v3").await;
    });
}

fn proceed(world: &World) {
    world.change_release(&json!({"activation": {"onMissingWorkload": "Proceed"}}));
}

fn break_glass(world: &World) {
    let glass = json!({"version": "v3", "gates": ["WorkloadsExist"], "reason": "the Deployment was deleted"});
    world.change_release(&json!({"activation": {"override": glass}}));
}

/// I11: two flips would pass while one of the pods that were left behind serves the version of before.
#[test]
fn pods_that_were_left_behind_are_asked_with_proceed_also_by_another_controller() {
    orphaned(Sidecar::Agent, proceed);
}

#[test]
fn pods_that_were_left_behind_are_asked_over_http() {
    orphaned(Sidecar::HttpAgent, proceed);
}

#[test]
fn pods_that_were_left_behind_are_asked_when_break_glass_skips_their_workload() {
    orphaned(Sidecar::Agent, break_glass);
}

/// A workload that comes later than its release is seen although nothing of the release changes, and remembered.
#[test]
fn a_workload_that_comes_later_is_remembered_before_it_goes() {
    run(async || {
        let mut world = World::new(1);
        world.orphan_pods_of("Deployment", "web");
        world.release("v1");
        proceed(&world);
        settle(&mut world).await;
        assert_active(&world, "v1");
        assert_eq!(selectors(&world), [""; 0]);
        world.add_workload("Deployment", "web");
        world.add_pod("a");
        seconds(&mut world, 90).await;
        world.hold_pages("a", Hold::Back);
        world.orphan_pods_of("Deployment", "web");
        world.release("v2");
        seconds(&mut world, 60).await;
        assert_eq!(world.active().as_deref(), Some("v2"), "{}", world.trace.lines().join("\n"));
        restart_controller(&mut world);
        seconds(&mut world, 10).await;
        v3_waits_for(&mut world, "a", "its workload is missing, serves ").await;
        world.hold_pages("a", Hold::Off);
        ends_well(&mut world, "v3").await;
    });
}

/// A selector cannot be changed, so the workload is made anew: the pods of before are asked until they are gone.
#[test]
fn pods_of_a_selector_that_their_workload_has_no_more_are_asked_until_they_are_gone() {
    run(async || {
        let mut world = World::new(1);
        a_lags_behind(&mut world, Sidecar::Agent).await;
        world.orphan_pods_of("Deployment", "web");
        world.add_workload_of("Deployment", "web", "shop");
        world.start_pod_of("shop", "c", Sidecar::Agent);
        restart_controller(&mut world);
        seconds(&mut world, 30).await;
        assert_eq!(selectors(&world), ["app=shop", "app=web"]);
        v3_waits_for(&mut world, "a", "of a former target, serves ").await;
        world.end_pod("a");
        seconds(&mut world, 60).await;
        assert_eq!(world.active().as_deref(), Some("v3"), "{}", world.trace.lines().join("\n"));
        world.end_pod("b");
        seconds(&mut world, 90).await;
        assert_eq!(selectors(&world), ["app=shop", "app=web"], "one may be replaced");
        seconds(&mut world, 600).await;
        assert_eq!(selectors(&world), ["app=shop"]);
        ends_well(&mut world, "v3").await;
    });
}

/// The user takes a target out of the spec while its pods run.
#[test]
fn pods_of_a_target_that_the_spec_does_not_name_any_more_are_asked_until_they_are_gone() {
    run(async || {
        let mut world = World::new(1);
        world.add_workload("Deployment", "old");
        world.start_pod_of("old", "z", Sidecar::Agent);
        world.add_pod("a");
        world.release("v1");
        let both = [target("Deployment", "web", Sidecar::Agent), target("Deployment", "old", Sidecar::Agent)];
        world.change_release(&json!({"targets": both}));
        settle(&mut world).await;
        world.hold_pages("z", Hold::Back);
        world.release("v2");
        seconds(&mut world, 30).await;
        world.change_release(&json!({"targets": [target("Deployment", "web", Sidecar::Agent)]}));
        restart_controller(&mut world);
        seconds(&mut world, 30).await;
        v3_waits_for(&mut world, "z", "of a former target, serves ").await;
        world.end_pod("z");
        seconds(&mut world, 700).await;
        assert_eq!(selectors(&world), ["app=web"]);
        ends_well(&mut world, "v3").await;
    });
}
