//! The controller is ended before and after each of its mutating requests in turn, and every promise is kept on the way to the
//! same end.

use std::collections::BTreeMap;

use rollcall::bucket::memory::Change;

use super::*;

/// A story up to where it settles.
#[derive(Debug, Clone, Copy)]
enum Story {
    WholeRelease,
    Rollback,
    PreEmpted,
    PagesInTheBucket,
    OverHttp,
    GivenUp,
    FromAFolder,
}

const STORIES: [Story; 7] =
    [Story::WholeRelease, Story::Rollback, Story::PreEmpted, Story::PagesInTheBucket, Story::OverHttp, Story::GivenUp, Story::FromAFolder];

impl Story {
    /// What has happened before: the controller is ended in it by another story.
    async fn begin(self, world: &mut World) {
        let sidecar = if matches!(self, Self::OverHttp) { Sidecar::HttpAgent } else { Sidecar::Agent };
        world.start_pod("a", sidecar);
        world.start_pod("b", sidecar);
        match self {
            Self::WholeRelease | Self::PagesInTheBucket | Self::FromAFolder => return,
            Self::OverHttp => over_http(world, "v1"),
            Self::Rollback | Self::PreEmpted | Self::GivenUp => world.release("v1"),
        }
        settle(world).await;
        if matches!(self, Self::Rollback) {
            world.release("v2");
            settle(world).await;
        }
    }

    async fn go_on(self, world: &mut World) {
        match self {
            Self::WholeRelease | Self::Rollback => world.release("v1"),
            Self::PreEmpted => {
                world.break_loads("v2");
                world.release("v2");
                seconds(world, 20).await;
                world.release("v3");
            }
            Self::PagesInTheBucket => {
                world.release("v1");
                world.change_release(&json!({"entries": {"publish": "Bucket"}}));
                settle(world).await;
                world.release("v2");
            }
            Self::OverHttp => world.release("v2"),
            Self::FromAFolder => {
                let digest = world.put_into_folder("v2").await;
                world.release_from_folder("v2", &digest);
            }
            Self::GivenUp => {
                world.change_release(&json!({"progressDeadlineSeconds": 30}));
                world.break_loads("v2");
                world.release("v2");
                seconds(world, 60).await;
            }
        }
        settle(world).await;
    }

    fn wanted(self) -> &'static str {
        match self {
            Self::WholeRelease | Self::Rollback | Self::GivenUp => "v1",
            Self::PreEmpted => "v3",
            Self::PagesInTheBucket | Self::OverHttp | Self::FromAFolder => "v2",
        }
    }
}

/// Where a world has come to rest; the same for every way there.
fn end_state(world: &World) -> String {
    let pointer = world.pointer();
    let ready: Vec<String> = world.pods().into_iter().filter(|pod| world.is_ready(pod)).collect();
    let keys: Vec<String> = world.bucket.keys().into_iter().filter(|key| !key.contains("/intents/")).collect();
    let status = world.status();
    let given_up = status.history.iter().filter(|entry| entry.sequence == 0).count();
    format!(
        "active {:?}, candidate {:?}, previous {:?}, sequence {}, stage {}, given up {given_up} times, phase {:?}, ready {ready:?}, keys {keys:?}",
        pointer.active.map(|version| version.version),
        pointer.candidate.map(|version| version.version),
        pointer.previous.map(|version| version.version),
        pointer.sequence,
        pointer.stage,
        status.phase,
    )
}

/// How often each object was created and deleted on the way, at the API server and in the bucket, by any actor. An end of the controller may
/// repeat a request and never its effect (the oracle of Sieve, OSDI 2022). Without Events, which are dated, Leases, and the intents of publishes that
/// ended: each attempt has its own.
fn created_and_deleted(world: &World) -> BTreeMap<String, (usize, usize)> {
    let mut counts = BTreeMap::<String, (usize, usize)>::new();
    for change in world.server.history() {
        let kind = change.key.kind().full_kind();
        let counted = counts.entry(format!("{kind} {}", change.key.name)).or_default();
        counted.0 += usize::from(change.was.is_none() && !change.deleted);
        counted.1 += usize::from(change.deleted);
    }
    for change in world.bucket.log() {
        match change {
            Change::Created { key, .. } => counts.entry(key).or_default().0 += 1,
            Change::Deleted { key, .. } => counts.entry(key).or_default().1 += 1,
            Change::Replaced { .. } | Change::Meddled { .. } => {}
        }
    }
    counts.retain(|name, _| !name.starts_with("Event") && !name.starts_with("Lease") && !name.contains("/intents/"));
    counts
}

/// I7, I9: unchanged releases write nothing.
#[test]
fn every_story_ends_where_it_should_and_then_nothing_is_written() {
    for story in STORIES {
        run(async || {
            let mut world = World::new(1);
            story.begin(&mut world).await;
            story.go_on(&mut world).await;
            assert!(world.is_ready("a") && world.is_ready("b"), "{story:?}\n{}", world.trace.lines().join("\n"));
            if matches!(story, Story::GivenUp) {
                assert_eq!(world.active().as_deref(), Some(story.wanted()));
                assert_idle(&mut world).await;
                assert_promises(&world, "given up");
            } else {
                ends_well(&mut world, story.wanted()).await;
            }
        });
    }
}

/// I1 to I4, I7, I9 to I12 at every crash point: the controller is ended before and after each of its mutating requests in turn.
#[expect(clippy::print_stdout, reason = "the number of crash points is a figure that people ask for")]
fn ended_at_every_request(story: Story) {
    let (expected, first, requests) = run(async || {
        let mut world = World::new(1);
        story.begin(&mut world).await;
        let first = world.crash_points().len();
        story.go_on(&mut world).await;
        ((end_state(&world), created_and_deleted(&world)), first, world.crash_points())
    });
    for (nth, request) in (1..).zip(&requests).skip(first) {
        for side in [Side::Before, Side::After] {
            run(async || {
                let mut world = World::new(1);
                world.crash_at(Crash { nth, side });
                story.begin(&mut world).await;
                story.go_on(&mut world).await;
                let about = format!("{story:?}, ended {side:?} request {nth}: {request}");
                assert_promises(&world, &about);
                assert_eq!(created_and_deleted(&world), expected.1, "{about}\n{}", world.trace.lines().join("\n"));
                assert_eq!(end_state(&world), expected.0, "{about}\n{}", world.trace.lines().join("\n"));
            });
        }
    }
    println!("{story:?}: ended at {} points", (requests.len() - first) * 2);
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
fn a_bump_over_http_survives_the_controllers_end_at_any_request() {
    ended_at_every_request(Story::OverHttp);
}

#[test]
fn a_release_from_a_folder_survives_the_controllers_end_at_any_request() {
    ended_at_every_request(Story::FromAFolder);
}

/// I7: an attempt that was given up is not made again because the controller ended between telling and taking back.
#[test]
fn an_attempt_given_up_stays_so_over_the_controllers_end_at_any_request() {
    ended_at_every_request(Story::GivenUp);
}
