//! Rung 3: the real controller and real agents in paused time. Every promise is checked after every write; below
//! are the stories, the crashes, the storms and the rules without which a promise breaks.

use std::time::Duration;

use rollcall::testing::apiserver::{Key, Kind};
use rollcall::testing::builders::{NAMESPACE, Sidecar};
use rollcall::testing::trace;
use rollcall::testing::world::{Crash, Hold, Manner, Probe, Rule, Side, Violation, World};
use serde_json::json;

mod claims;
mod crashes;
mod gone;
mod http;
mod leaders;
mod memory;
mod orphans;
mod pointer;
mod references;
mod rename;
mod replicas;
mod retention;
mod rollback;
mod rules;
mod scenarios;
mod second_release;
mod slow;
mod storms;
mod tenants;
mod unreadable;
mod unversioned;
mod workloads;

const AN_HOUR: Duration = Duration::from_secs(3600);

/// A run of its own: a fresh runtime, so that nothing of another run is left.
pub(crate) fn run<T>(story: impl AsyncFnOnce() -> T) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(story())
}

async fn settle(world: &mut World) {
    if let Err(why) = world.settle(AN_HOUR).await {
        panic!("{why}\n{}", world.trace.lines().join("\n"));
    }
}

fn assert_promises(world: &World, about: &str) {
    assert_eq!(world.violations(), Vec::<Violation>::new(), "{about}\n{}", world.trace.lines().join("\n"));
}

async fn seconds(world: &mut World, count: u64) {
    world.advance(Duration::from_secs(count)).await;
}

fn assert_active(world: &World, version: &str) {
    let found = (world.active(), world.reason());
    let expected = (Some(version.to_owned()), Some("Active".to_owned()));
    assert_eq!(found, expected, "\n{}", world.trace.lines().join("\n"));
}

/// A pod `a` and a pod `b`, and two releases that went well.
async fn two_pods_on_v2(world: &mut World) {
    world.add_pod("a");
    world.add_pod("b");
    for version in ["v1", "v2"] {
        world.release(version);
        settle(world).await;
    }
    assert_active(world, "v2");
}

/// Reason and message of the Ready condition of the release of this name.
fn ready_of(world: &World, name: &str) -> (String, String) {
    let release = world.server.get(&Key::new(Kind::named("AssetRelease"), NAMESPACE, name)).expect("it is there");
    let conditions = release["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let ready = conditions.iter().find(|one| one["type"] == "Ready").cloned().unwrap_or_default();
    let text = |field: &str| ready[field].as_str().unwrap_or_default().to_owned();
    (text("reason"), text("message"))
}

/// I7: nothing is written any more, for ten minutes.
async fn assert_idle(world: &mut World) {
    let before = world.writes();
    world.advance(Duration::from_secs(600)).await;
    assert_eq!(world.writes(), before, "an idle world writes\n{}", world.trace.last(10).join("\n"));
}

/// The end of a story in calm: what was wanted is active, every promise was kept (I1 to I4, I7, I9 to I12), nothing is written any more.
async fn ends_well(world: &mut World, version: &str) {
    settle(world).await;
    assert_active(world, version);
    assert_idle(world).await;
    assert_promises(world, version);
}

/// A release whose pods are asked over HTTP alone.
fn over_http(world: &World, version: &str) {
    world.release(version);
    world.change_release(&json!({"targets": [rollcall::testing::builders::target("Deployment", "web", Sidecar::HttpAgent)]}));
}

/// I9: `spec.build` reaches the publish, and changing it begins a new attempt.
#[test]
fn a_build_is_read_as_the_release_says() {
    run(async || {
        let mut world = World::new(1);
        world.add_pod("a");
        world.release("v1");
        world.change_release(&json!({"build": {"manifest": {"format": "Webpack"}}}));
        settle(&mut world).await;
        let stalled = world.status().conditions.into_iter().find(|condition| condition.type_ == "Stalled").unwrap();
        assert_eq!((stalled.status.as_str(), stalled.reason.as_str()), ("True", "BuildManifestMissing"));
        assert_eq!(world.active(), None);
        world.change_release(&json!({"build": {"manifest": {"format": "Auto"}}}));
        settle(&mut world).await;
        assert_eq!(world.active().as_deref(), Some("v1"));
        assert_promises(&world, "another way to read the build");
    });
}
