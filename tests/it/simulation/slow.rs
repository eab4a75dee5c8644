//! A slow API server, writes that are lost and pods that never stop to report: a release gets slower, and never stops without a word.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rollcall::testing::apiserver::{ApiServer, Before, Hook, Key, Kind, Seen, Verb};
use rollcall::testing::builders::{self, NAMESPACE, POINTER, target};
use serde_json::Value;

use super::*;

/// Every call of the controller takes this many milliseconds; its watches are as fast as ever.
#[derive(Default)]
struct Slow(AtomicU64);

impl Hook for Slow {
    fn latency(&self, seen: &Seen) -> Duration {
        let is_call = seen.actor.starts_with("controller") && seen.verb != Verb::Watch;
        Duration::from_millis(if is_call { self.0.load(Ordering::Relaxed) } else { 0 })
    }
}

fn slowed(world: &World, milliseconds: u64) -> Arc<Slow> {
    let slow = Arc::new(Slow(AtomicU64::new(milliseconds)));
    world.server.hook(slow.clone());
    slow
}

fn pointer_key() -> Key {
    Key::new(Kind::named("ConfigMap"), NAMESPACE, POINTER)
}

fn condition(world: &World, kind: &str) -> (String, String, String) {
    let found = world.status().conditions.into_iter().find(|condition| condition.type_ == kind).expect("it is always told");
    (found.status, found.reason, found.message)
}

/// The reads that a flip rests on take three calls, however many targets there are.
#[test]
fn a_slow_api_server_slows_a_release_and_never_stops_it() {
    for milliseconds in [260, 1_000, 5_000] {
        run(async || {
            let mut world = World::new(1);
            let names: Vec<String> = (0..10).map(|number| format!("web-{number}")).collect();
            let targets: Vec<Value> = names.iter().map(|name| target("Deployment", name, Sidecar::Agent)).collect();
            for name in &names {
                world.add_workload("Deployment", name);
                world.start_pod_of(name, &format!("{name}-a"), Sidecar::Agent);
            }
            world.release("v1");
            world.change_release(&json!({"targets": targets}));
            settle(&mut world).await;
            slowed(&world, milliseconds);
            for name in &names {
                world.roll_out("Deployment", name, Sidecar::Agent);
            }
            world.release("v2");
            seconds(&mut world, 60 + 60 * milliseconds / 1_000).await;
            assert_eq!(world.active().as_deref(), Some("v2"), "{milliseconds} ms a call\n{}", world.trace.lines().join("\n"));
            settle(&mut world).await;
            assert_promises(&world, "slow");
        });
    }
}

#[test]
fn an_api_server_that_gets_slow_after_the_staging_does_not_keep_the_old_version_active() {
    run(async || {
        let mut world = World::new(1);
        world.add_pod("a");
        world.release("v1");
        world.change_release(&json!({"activation": {"mode": "Manual", "approvedVersion": "v1"}}));
        settle(&mut world).await;
        world.release("v2");
        seconds(&mut world, 30).await;
        slowed(&world, 1_500);
        world.change_release(&json!({"activation": {"mode": "Manual", "approvedVersion": "v2"}}));
        seconds(&mut world, 60).await;
        assert_eq!(world.active().as_deref(), Some("v2"), "{}", world.trace.lines().join("\n"));
        ends_well(&mut world, "v2").await;
    });
}

/// Another program labels the pointer each time between the controller's look and its write.
struct Meddler {
    server: ApiServer,
    at_work: AtomicBool,
    count: AtomicU64,
}

impl Hook for Meddler {
    fn before(&self, seen: &Seen) -> Before {
        let is_write = seen.actor.starts_with("controller") && seen.verb == Verb::Apply && seen.key.plural == "configmaps";
        if is_write && self.at_work.load(Ordering::Relaxed) {
            let label = self.count.fetch_add(1, Ordering::Relaxed).to_string();
            let labelled = json!({"metadata": {"labels": {"audit": label}}});
            self.server.patch("auditor", &pointer_key(), &labelled).expect("there is a pointer");
        }
        Before::Pass
    }
}

/// I9: what was not done is not told as done; what is lost again and again is told, and goes on by itself.
#[test]
fn a_write_that_is_lost_again_and_again_is_told_with_its_cause_and_goes_on_when_it_can() {
    run(async || {
        let mut world = World::new(1);
        world.add_pod("a");
        world.release("v1");
        settle(&mut world).await;
        let meddler = Arc::new(Meddler { server: world.server.clone(), at_work: AtomicBool::new(true), count: AtomicU64::new(0) });
        world.server.hook(meddler.clone());
        world.release("v2");
        seconds(&mut world, 30).await;
        assert_eq!(world.active().as_deref(), Some("v1"));
        let (status, reason, message) = condition(&world, "Ready");
        assert_eq!((status.as_str(), reason.as_str()), ("False", "StepLost"), "{message}");
        assert!(message.contains("to stage was decided") && message.contains("changed each time"), "{message}");
        meddler.at_work.store(false, Ordering::Relaxed);
        ends_well(&mut world, "v2").await;
    });
}

/// Ten thousand pods that start, or an application that counts in its report.
#[test]
fn pods_that_never_stop_to_report_postpone_nothing() {
    run(async || {
        let mut world = World::new(1);
        world.add_pod("a");
        world.release("v1");
        world.change_release(&json!({"activation": {"mode": "Manual", "approvedVersion": "v1"}}));
        settle(&mut world).await;
        world.release("v2");
        seconds(&mut world, 20).await;
        assert!(world.pointer().candidate.is_some());
        let key = Key::new(Kind::named("Pod"), NAMESPACE, "a");
        world.change_release(&json!({"suspend": true}));
        for count in 0..400 {
            let counted = json!({"metadata": {"annotations": {"count": format!("{count}")}}});
            world.server.patch("application", &key, &counted).expect("it runs");
            world.advance(Duration::from_millis(3)).await;
        }
        assert_eq!(world.pointer().candidate, None, "1.2 seconds are enough for a suspension\n{}", world.trace.lines().join("\n"));
    });
}

/// I9: the flip itself says what it did not wait for.
#[test]
fn break_glass_is_told_by_the_next_process_when_one_ends_at_the_flip() {
    run(async || {
        let mut world = World::new(1);
        world.add_pod("a");
        world.release("v1");
        settle(&mut world).await;
        world.break_loads("v2");
        world.release("v2");
        seconds(&mut world, 20).await;
        world.change_release(&json!({"activation": {"override": {"version": "v2", "gates": ["EveryPodReported"], "reason": "fire"}}}));
        // So that it can end between two calls.
        let slow = slowed(&world, 200);
        while world.active().as_deref() != Some("v2") {
            world.advance(Duration::from_millis(10)).await;
        }
        world.kill_controller();
        assert!(world.status().history.iter().all(|entry| entry.version != "v2"), "it ended before it could say so");
        slow.0.store(0, Ordering::Relaxed);
        world.change_release(&json!({"activation": {"override": null}}));
        world.start_controller();
        seconds(&mut world, 20).await;
        let entry = world.status().history.remove(0);
        assert_eq!((entry.version.as_str(), entry.overridden.as_deref()), ("v2", Some("EveryPodReported: fire")));
        let (status, reason, message) = condition(&world, "PodsAcknowledged");
        assert_eq!((status.as_str(), reason.as_str()), ("False", "Overridden"), "{message}");
        let events = world.server.history().into_iter().filter(|change| change.key.plural == "events");
        let told: Vec<Value> = events.map(|change| change.object["reason"].clone()).collect();
        assert!(told.contains(&json!("ActivatedByOverride")), "{told:?}");
        world.mend_loads();
        settle(&mut world).await;
    });
}

/// I9: the same build at other URLs is another flip, and pods that have not followed it do not serve it yet.
#[test]
fn a_changed_public_url_has_converged_when_every_pod_serves_it() {
    run(async || {
        let mut world = World::new(1);
        world.add_pod("a");
        world.release("v1");
        settle(&mut world).await;
        world.hold_pages("a", Hold::Back);
        let store = Key::new(Kind::named("AssetStore"), NAMESPACE, "store");
        let url = json!({"spec": {"publicUrl": "https://other.example.com/", "internalUrl": builders::STORE_URL}});
        world.server.patch("user", &store, &url).expect("there is a store");
        seconds(&mut world, 60).await;
        assert_eq!(world.pointer().sequence, 2, "{}", world.trace.lines().join("\n"));
        let (status, _, message) = condition(&world, "Converged");
        assert_eq!(status, "False", "{message}");
        assert!(message.contains("as an earlier flip had it"), "{message}");
        world.hold_pages("a", Hold::Off);
        ends_well(&mut world, "v1").await;
    });
}
