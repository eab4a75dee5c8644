//! Rung 3: the real controller and real agents in paused time. Every promise is checked after every write; here are the stories,
//! the crashes, the storms and the rules without which a promise breaks.

use std::time::Duration;

use rollcall::testing::trace;
use rollcall::testing::world::{Crash, Hold, Rule, Side, Violation, World};
use serde_json::json;

mod rules;
mod scenarios;

const AN_HOUR: Duration = Duration::from_secs(3600);

/// A run of its own: a fresh runtime, so that nothing of another run is left.
fn run<T>(story: impl AsyncFnOnce() -> T) -> T {
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

/// A story up to where it settles.
#[derive(Debug, Clone, Copy)]
enum Story {
    WholeRelease,
    Rollback,
    PreEmpted,
    PagesInTheBucket,
}

const STORIES: [Story; 4] = [Story::WholeRelease, Story::Rollback, Story::PreEmpted, Story::PagesInTheBucket];

impl Story {
    async fn tell(self, world: &mut World) {
        world.add_pod("a");
        world.add_pod("b");
        world.release("v1");
        match self {
            Self::WholeRelease => settle(world).await,
            Self::Rollback => {
                settle(world).await;
                world.release("v2");
                settle(world).await;
                world.release("v1");
            }
            Self::PreEmpted => {
                settle(world).await;
                world.break_loads("v2");
                world.release("v2");
                world.advance(Duration::from_secs(20)).await;
                world.release("v3");
            }
            Self::PagesInTheBucket => {
                world.change_release(&json!({"entries": {"publish": "Bucket"}}));
                settle(world).await;
                world.release("v2");
            }
        }
        settle(world).await;
    }

    fn wanted(self) -> &'static str {
        match self {
            Self::WholeRelease | Self::Rollback => "v1",
            Self::PreEmpted => "v3",
            Self::PagesInTheBucket => "v2",
        }
    }
}

/// Where a world has come to rest; the same for every way there.
fn end_state(world: &World) -> String {
    let pointer = world.pointer();
    let ready: Vec<String> = world.pods().into_iter().filter(|pod| world.is_ready(pod)).collect();
    let keys: Vec<String> = world.bucket.keys().into_iter().filter(|key| !key.contains("/intents/")).collect();
    format!(
        "active {:?}, candidate {:?}, previous {:?}, sequence {}, phase {:?}, ready {ready:?}, keys {keys:?}",
        pointer.active.map(|version| version.version),
        pointer.candidate.map(|version| version.version),
        pointer.previous.map(|version| version.version),
        pointer.sequence,
        world.status().phase,
    )
}

/// I7: nothing is written any more, for ten minutes.
async fn assert_idle(world: &mut World) {
    let before = world.writes();
    world.advance(Duration::from_secs(600)).await;
    assert_eq!(world.writes(), before, "an idle world writes\n{}", world.trace.last(10).join("\n"));
}

#[test]
fn every_story_ends_where_it_should_and_then_nothing_is_written() {
    for story in STORIES {
        run(async || {
            let mut world = World::new(1);
            story.tell(&mut world).await;
            assert_eq!(world.active().as_deref(), Some(story.wanted()), "{story:?}\n{}", world.trace.lines().join("\n"));
            assert!(world.is_ready("a") && world.is_ready("b"), "{story:?}\n{}", world.trace.lines().join("\n"));
            assert_idle(&mut world).await;
            assert_promises(&world, &format!("{story:?}"));
        });
    }
}

/// I1 to I4, I7, I9 to I12 at every crash point: the controller is ended before and after each of its mutating requests in turn.
#[expect(clippy::print_stdout, reason = "the number of crash points is a figure that people ask for")]
fn ended_at_every_request(story: Story) {
    let (expected, requests) = run(async || {
        let mut world = World::new(1);
        story.tell(&mut world).await;
        (end_state(&world), world.crash_points())
    });
    for (nth, request) in (1..).zip(&requests) {
        for side in [Side::Before, Side::After] {
            run(async || {
                let mut world = World::new(1);
                world.crash_at(Crash { nth, side });
                story.tell(&mut world).await;
                let about = format!("{story:?}, ended {side:?} request {nth}: {request}");
                assert_promises(&world, &about);
                assert_eq!(end_state(&world), expected, "{about}\n{}", world.trace.lines().join("\n"));
            });
        }
    }
    println!("{story:?}: ended at {} points", requests.len() * 2);
}

#[test]
fn a_whole_release_survives_the_controllers_end_at_any_request() {
    ended_at_every_request(Story::WholeRelease);
}

#[test]
fn a_rollback_survives_the_controllers_end_at_any_request() {
    ended_at_every_request(Story::Rollback);
}

#[test]
fn a_pre_empted_release_survives_the_controllers_end_at_any_request() {
    ended_at_every_request(Story::PreEmpted);
}

#[test]
fn pages_in_the_bucket_survive_the_controllers_end_at_any_request() {
    ended_at_every_request(Story::PagesInTheBucket);
}

#[test]
fn the_same_seed_gives_the_same_requests() {
    let hash = |seed: u64| {
        run(async || {
            let mut world = World::new(seed);
            stormy(&mut world, seed).await;
            (trace::hash(&world.server), world.trace.lines())
        })
    };
    let (first, second) = (hash(7), hash(7));
    let differs = first.1.iter().zip(&second.1).find(|(one, other)| one != other);
    assert_eq!(differs, None, "the first line that differs");
    assert_eq!(first.0, second.0);
    assert_ne!(first.0, hash(8).0);
}

/// Splitmix64, from the seed on.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

/// Two minutes in which anything may happen, and then calm.
async fn stormy(world: &mut World, seed: u64) {
    let mut dice = Dice(seed);
    let mut made = 2;
    world.add_pod("p1");
    world.add_pod("p2");
    world.release("v1");
    settle(world).await;
    world.begin_storm(seed);
    for _ in 0..24 {
        let pods = world.pods();
        let one = pods.get(usize::try_from(dice.roll(pods.len().max(1) as u64)).unwrap()).cloned();
        match (dice.roll(7), one) {
            (0 | 1, _) => world.release(&format!("v{}", 1 + dice.roll(5))),
            (2, Some(pod)) if world.is_ready(&pod) => world.restart_pod(&pod),
            (3, Some(pod)) if pods.len() > 1 => world.end_pod(&pod),
            (4, _) if pods.len() < 5 => {
                made += 1;
                world.add_pod(&format!("p{made}"));
            }
            (5, _) => world.kill_controller(),
            (6, _) => world.server.compact(),
            _ => {}
        }
        world.advance(Duration::from_secs(1 + dice.roll(8))).await;
        if dice.roll(2) == 0 {
            world.kill_controller();
            world.start_controller();
        }
    }
    world.end_storm();
    world.kill_controller();
    world.start_controller();
    settle(world).await;
}

#[expect(clippy::disallowed_methods, reason = "whoever runs the tests says how long")]
fn seeds() -> u64 {
    std::env::var("ROLLCALL_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(10)
}

#[test]
fn no_storm_breaks_a_promise_and_after_it_the_wish_comes_true() {
    let mut lived = Duration::ZERO;
    for seed in 1..=seeds() {
        lived += run(async || {
            let mut world = World::new(seed);
            stormy(&mut world, seed).await;
            let about = format!("seed {seed}");
            assert_promises(&world, &about);
            let status = world.status();
            assert_eq!(
                status.phase.map(|phase| format!("{phase:?}")).as_deref(),
                Some("Active"),
                "{about}\n{}",
                world.trace.lines().join("\n")
            );
            world.age()
        });
    }
    println!("{} virtual seconds", lived.as_secs());
}
