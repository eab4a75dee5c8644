//! Many publishers at one prefix, under faults and ends drawn from a seed: whatever meets whatever, no version is recorded whose objects
//! are not all there (I1), and no object has other bytes than the first time (I3). `ROLLCALL_UPLOAD_SEEDS=1000` runs more.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rollcall::bucket::faulty::FaultyBucket;
use rollcall::clock::TokioClock;
use rollcall::upload::{FailureClass, PARALLEL, Progress, Publish, PublishFailure, Publisher, Tools, publish};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::world::{World, build};

/// Publishers in one storm.
const PUBLISHERS: u64 = 4;

/// Tries of one publisher while it storms.
const TRIES: u64 = 4;

/// Draws from a seed: the same numbers every time.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// What one publisher wants: a version, under a name of its own or as anybody. Versions share most files; two of them are one build,
/// version `v3` is wanted with two builds, and `v4` has other bytes under a name that all of them have.
fn wish(world: &World, publisher: u64, draw: &mut Draw) -> Publish {
    let version = ["v1", "v2", "v3", "v3", "v4", "v4"][usize::try_from(draw.below(6)).unwrap()];
    let publisher = if draw.below(2) == 0 { Publisher::Anybody } else { Publisher::OneAtATime(format!("p{publisher}")) };
    Publish { publisher, ..world.request(version) }
}

/// One publisher: tries, is ended in the middle, waits, and tries again.
async fn publisher(world: &World, seed: u64, number: u64) {
    let mut draw = Draw(seed * 31 + number);
    let request = wish(world, number, &mut draw);
    let source = if draw.below(3) == 0 && request.version == "v3" { "other" } else { &request.version };
    for attempt in 0..TRIES {
        let bucket = FaultyBucket::new(world.bucket.clone());
        bucket.delay(Duration::from_millis(1 + draw.below(9)));
        bucket.scatter(seed * 1000 + number * 10 + attempt, 8 + draw.below(40));
        // Clocks of machines differ by up to a minute each way.
        let now = world.now().saturating_add(Duration::from_secs(draw.below(120))).unwrap() - Duration::from_secs(60);
        let tools = Tools { bucket: Arc::new(bucket), clock: Arc::new(TokioClock::starting_at(now)), parallel: PARALLEL };
        let (progress, cancel) = (watch::Sender::new(Progress::default()), CancellationToken::new());
        let trying = publish(&tools, &request, world.fetch(source), &progress, &cancel);
        let soon = tokio::time::sleep(Duration::from_millis(20 + draw.below(400)));
        if draw.below(2) == 0 {
            // A power cut: nothing of it is cleaned up.
            futures::future::select(pin!(trying), pin!(soon)).await;
        } else {
            // A signal: it may finish what cannot be stopped any more, and take its intent back.
            let signal = async {
                soon.await;
                cancel.cancel();
            };
            let (_ended, ()) = tokio::join!(trying, signal);
        }
        world.check();
        tokio::time::sleep(Duration::from_secs(draw.below(3) * draw.below(1800))).await;
    }
}

/// After the storm every wish that can come true does, and the others say why.
async fn calm(world: &World, seed: u64) {
    world.pass(Duration::from_secs(25 * 3600)).await;
    for number in 0..PUBLISHERS {
        let request = wish(world, number, &mut Draw(seed * 31 + number));
        let mut left = 5;
        loop {
            let outcome = world.publish_as(&format!("calm-{number}"), &request.version).await;
            world.check();
            match outcome {
                Ok(_) => break,
                Err(PublishFailure::Reclaiming { .. } | PublishFailure::KeyInUse { .. }) if left > 0 => {
                    left -= 1;
                    world.pass(Duration::from_secs(3600)).await;
                }
                // Two builds under one name, or one key with two contents: a person must choose.
                Err(failure) => break assert_eq!(failure.class(), FailureClass::Permanent, "seed {seed}: {failure}"),
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "whoever runs the tests says how many storms")]
fn seeds() -> u64 {
    std::env::var("ROLLCALL_UPLOAD_SEEDS").ok().and_then(|number| number.parse().ok()).unwrap_or(50)
}

#[tokio::test(start_paused = true)]
async fn no_storm_of_publishers_breaks_a_promise() {
    for seed in 0..seeds() {
        let world = World::new();
        for (version, name) in [("v1", "one"), ("v2", "two"), ("v3", "one"), ("other", "three")] {
            world.put(version, build(name));
        }
        let mut kept_name = build("four");
        let shared = kept_name.iter_mut().find(|(path, _)| path.starts_with("assets/shared")).unwrap();
        shared.1 = b"the bundler kept the name".to_vec();
        world.put("v4", kept_name);
        futures::future::join_all((0..PUBLISHERS).map(|number| publisher(&world, seed, number))).await;
        world.check();
        calm(&world, seed).await;
        assert!(!world.records().is_empty(), "seed {seed}");
    }
}
