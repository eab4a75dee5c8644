//! Pods that report over HTTP alone: nobody announces anything, so every bound, unfinished pod counts.

use super::*;

async fn three_pods_on_v1(world: &mut World) {
    for pod in ["a", "b", "c"] {
        world.start_pod(pod, Sidecar::HttpAgent);
    }
    over_http(world, "v1");
    settle(world).await;
    assert_active(world, "v1");
}

/// A long poll that was begun before is answered as it was begun.
async fn an_old_poll_ends(world: &mut World) {
    seconds(world, 40).await;
}

/// What the status says of the pods that are waited for.
fn message(world: &World) -> String {
    world.status().message.unwrap_or_default()
}

/// A pod that never reports usably is named with the reason, holds the flip up, and nobody loses readiness (I2, I12).
fn is_waited_for(manner: Manner, why: &str) {
    run(async || {
        let mut world = World::new(1);
        three_pods_on_v1(&mut world).await;
        world.answer_in("b", manner);
        an_old_poll_ends(&mut world).await;
        world.release("v2");
        seconds(&mut world, 90).await;
        assert_eq!(world.active().as_deref(), Some("v1"));
        assert!(message(&world).contains(why), "{}", message(&world));
        assert!(["a", "b", "c"].iter().all(|pod| world.is_ready(pod)));
        world.answer_in("b", Manner::Honest);
        ends_well(&mut world, "v2").await;
    });
}

/// I2 over a channel on which nobody can announce itself; I7: then the polls go on and nothing is written.
#[test]
fn a_first_release_and_a_bump_over_http() {
    run(async || {
        let mut world = World::new(1);
        three_pods_on_v1(&mut world).await;
        assert!(["a", "b", "c"].iter().all(|pod| world.is_ready(pod)));
        world.release("v2");
        ends_well(&mut world, "v2").await;
    });
}

#[test]
fn a_pod_that_answers_with_a_page_is_waited_for() {
    is_waited_for(Manner::Garbage, "b (not a report:");
}

#[test]
fn a_pod_of_another_protocol_is_waited_for() {
    is_waited_for(Manner::OtherProtocol, "b (report protocol 9 is not known here");
}

#[test]
fn a_pod_that_answers_too_late_every_time_is_waited_for() {
    is_waited_for(Manner::Slow(Duration::from_secs(50)), "b (");
}

/// I2: a bound pod counts from its start, whether or not it has said a word.
#[test]
fn a_pod_that_is_born_in_the_roll_call_counts_before_it_is_ready() {
    run(async || {
        let mut world = World::new(1);
        three_pods_on_v1(&mut world).await;
        world.answer_in("a", Manner::Garbage);
        an_old_poll_ends(&mut world).await;
        world.release("v2");
        seconds(&mut world, 10).await;
        world.break_loads("v2");
        world.start_pod("d", Sidecar::HttpAgent);
        world.answer_in("a", Manner::Honest);
        seconds(&mut world, 60).await;
        assert_eq!(world.active().as_deref(), Some("v1"), "{}", message(&world));
        assert!(message(&world).contains("3 of 4 pods have reported; waiting for d ("), "{}", message(&world));
        world.mend_loads();
        ends_well(&mut world, "v2").await;
    });
}

/// A slow pod makes the release slow, and nothing else.
#[test]
fn a_pod_that_is_slow_is_waited_for_until_it_has_answered() {
    run(async || {
        let mut world = World::new(1);
        three_pods_on_v1(&mut world).await;
        world.answer_in("c", Manner::Slow(Duration::from_secs(4)));
        an_old_poll_ends(&mut world).await;
        world.release("v2");
        seconds(&mut world, 3).await;
        assert_eq!(world.active().as_deref(), Some("v1"));
        ends_well(&mut world, "v2").await;
    });
}
