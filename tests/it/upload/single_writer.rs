//! Publishers over a store that keeps no condition, one at a time by the lock: at once, and after one of them died.

use std::sync::Arc;
use std::time::Duration;

use rollcall::bucket::faulty::{Failure, Fault, FaultyBucket, Operation};
use rollcall::bucket::lax::LaxBucket;
use rollcall::upload::{FailureClass, Holder, PublishFailure, Published, SingleWriter};
use tokio_util::sync::CancellationToken;

use super::world::{Files, World, build};

/// A process that publishes, and its way to the store.
struct Publisher {
    writer: Arc<SingleWriter>,
    line: Arc<FaultyBucket>,
}

fn publisher(world: &World, name: &str, delay: u64) -> Publisher {
    let line = Arc::new(FaultyBucket::new(Arc::new(LaxBucket::over(world.bucket.clone(), Duration::from_millis(delay)))));
    let holder = Holder { name: name.into(), instance: name.into() };
    let writer = SingleWriter::over(line.clone(), &world.layout, holder, world.clock.clone());
    Publisher { writer: Arc::new(writer), line }
}

impl Publisher {
    /// Tries until it is done or cannot be done; answers what it was told meanwhile.
    async fn publish(&self, world: &World, version: &str) -> (Result<Published, PublishFailure>, Vec<String>) {
        let mut told = Vec::new();
        loop {
            match world.publish_through(self.writer.clone(), version, &CancellationToken::new()).await {
                Err(failure) if failure.class() == FailureClass::Transient => told.push(failure.to_string()),
                ended => {
                    self.writer.give_back().await;
                    return (ended, told);
                }
            }
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
    }
}

/// The same site, but the shared asset has other bytes under the same name.
fn mended(name: &str) -> Files {
    let mut files = build(name);
    files.iter_mut().find(|(path, _)| path.contains("shared")).unwrap().1 = b"mended".to_vec();
    files
}

// I1, I3
#[tokio::test(start_paused = true)]
async fn two_publishers_who_want_one_key_for_other_bytes_never_mix_them() {
    for delay in 1..12 {
        let world = World::new();
        world.put("v1", build("one"));
        world.put("v2", mended("two"));
        let (one, other) = (publisher(&world, "one", 7), publisher(&world, "other", delay));
        let ((first, waited), (second, told)) = tokio::join!(one.publish(&world, "v1"), other.publish(&world, "v2"));
        let (won, lost) = if first.is_ok() { (first, second) } else { (second, first) };
        assert!(won.is_ok() && lost.as_ref().unwrap_err().reason() == "ObjectConflict", "delay {delay}: {won:?} {lost:?}");
        let told = [waited, told].concat();
        assert!(told.iter().any(|told| told.contains("writes below this prefix")), "delay {delay}: {told:?}");
        world.check();
    }
}

// I1, I3
#[tokio::test(start_paused = true)]
async fn a_publisher_that_died_holds_up_the_next_one_for_a_while_and_spoils_nothing() {
    for death in 1..=10 {
        let world = World::new();
        world.put("v1", build("one"));
        let (dead, next) = (publisher(&world, "dead", 7), publisher(&world, "next", 7));
        dead.line.fail_nth(Operation::Create, death, Fault::Before(Failure::Denied));
        let ended = world.publish_through(dead.writer.clone(), "v1", &CancellationToken::new()).await;
        dead.line.break_off(Failure::Unavailable);
        let (done, told) = next.publish(&world, "v1").await;
        assert_eq!(done.unwrap().record.version, "v1", "death {death}: {ended:?}");
        // One that dies after its last create is done: the next one finds everything, and writes nothing.
        assert_eq!(told.is_empty(), ended.is_ok(), "death {death}: {told:?}");
        assert!(ended.is_err() || death > 8, "death {death} is none");
        assert!(told.iter().all(|told| told.contains("dead writes below this prefix")), "death {death}: {told:?}");
        world.check();
    }
}
