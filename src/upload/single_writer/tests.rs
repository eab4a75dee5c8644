//! One writer at a time over a store in memory that ignores every condition, in paused time.
//! Never sleeps for real.

use std::time::Duration;

use super::lock::PAUSE;
use super::*;
use crate::bucket::SIGNED_REQUEST_LIFE;
use crate::bucket::faulty::{Failure, Fault, FaultyBucket, Operation};
use crate::bucket::lax::LaxBucket;
use crate::bucket::memory::{Change, MemoryBucket};
use crate::clock::TokioClock;
use crate::upload::SKEW;

struct World {
    clock: Arc<TokioClock>,
    memory: Arc<MemoryBucket>,
}

/// A process that writes, and its way to the store.
struct Process {
    writer: SingleWriter,
    line: Arc<FaultyBucket>,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(TokioClock::starting_at("2026-11-21T00:00:00Z".parse().unwrap()));
        Self { memory: Arc::new(MemoryBucket::new(clock.clone())), clock }
    }

    fn process(&self, name: &str) -> Process {
        let lax = LaxBucket::over(self.memory.clone(), Duration::from_millis(30));
        let line = Arc::new(FaultyBucket::new(Arc::new(lax)));
        let holder = Holder { name: name.into(), instance: format!("instance-of-{name}") };
        let writer = SingleWriter::over(line.clone(), &Layout::new("", "shop/"), holder, self.clock.clone());
        Process { writer, line }
    }

    /// Objects that got other bytes.
    fn overwritten(&self) -> Vec<Change> {
        let lock = Layout::new("", "shop/").lock();
        self.memory.log().into_iter().filter(|change| matches!(change, Change::Replaced { key, .. } if *key != lock)).collect()
    }
}

impl Process {
    async fn create(&self, key: &str, text: &'static str) -> Result<Created, BucketError> {
        let attributes = Attributes {
            content_type: "text/plain".into(),
            cache_control: "no-store".into(),
            content_encoding: None,
            sha256: ContentHash::of(text.as_bytes()),
            writer: None,
            sequence: None,
        };
        self.writer.create(key, Body::Bytes(Bytes::from_static(text.as_bytes())), &attributes).await
    }
}

fn told(end: &Result<Created, BucketError>) -> String {
    end.as_ref().unwrap_err().to_string()
}

// I3
#[tokio::test(start_paused = true)]
async fn of_two_writers_who_begin_at_once_one_writes_and_the_other_is_told_who_it_is() {
    let world = World::new();
    let (one, other) = (world.process("one"), world.process("other"));
    let ends = tokio::join!(one.create("shop/a.js", "one"), other.create("shop/a.js", "other"));
    let (winner, loser) = if ends.0.is_ok() { (&one, &other) } else { (&other, &one) };
    assert_eq!([&ends.0, &ends.1].iter().filter(|end| ***end == Ok(Created::New)).count(), 1, "{ends:?}");
    let lost = if ends.0.is_ok() { told(&ends.1) } else { told(&ends.0) };
    assert!(lost.contains(&winner.writer.lock.holder_name()) && lost.contains("until 2026-11-21T00:01:0"), "{lost}");

    winner.writer.give_back().await;
    assert!(matches!(loser.create("shop/a.js", "another").await, Ok(Created::Other(_))));
    assert_eq!(loser.create("shop/b.js", "b").await, Ok(Created::New));
    assert_eq!(world.overwritten(), []);
}

// I3
#[tokio::test(start_paused = true)]
async fn what_a_dead_holder_left_is_taken_over_only_when_nothing_of_it_can_land() {
    let world = World::new();
    let (dead, next) = (world.process("dead"), world.process("next"));
    dead.create("shop/a.js", "a").await.unwrap();
    dead.line.break_off(Failure::Unavailable);
    for _ in 0..3 {
        let lost = told(&next.create("shop/b.js", "b").await);
        assert!(lost.contains("dead writes below this prefix") && lost.contains("others may from 2026-11-21T00:18"), "{lost}");
        tokio::time::advance(Duration::from_secs(5 * 60)).await;
    }
    tokio::time::advance(SIGNED_REQUEST_LIFE + SKEW).await;
    assert_eq!(next.create("shop/b.js", "b").await, Ok(Created::New));
    dead.line.mend();
    let lost = told(&dead.create("shop/c.js", "c").await);
    assert!(lost.contains("next writes below this prefix"), "the dead one comes back: {lost}");
}

#[tokio::test(start_paused = true)]
async fn a_lock_under_which_nothing_is_written_is_given_back_by_itself() {
    let world = World::new();
    let (one, other) = (world.process("one"), world.process("other"));
    one.create("shop/a.js", "a").await.unwrap();
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(other.create("shop/b.js", "b").await, Ok(Created::New));
    tokio::time::sleep(Duration::from_secs(300)).await;
    let before = world.memory.log().len();
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(world.memory.log().len(), before, "an idle writer writes nothing");
}

#[tokio::test(start_paused = true)]
async fn a_holder_whose_lock_was_taken_stops_before_the_other_may_write() {
    let world = World::new();
    let (one, other) = (world.process("one"), world.process("other"));
    one.create("shop/a.js", "a").await.unwrap();
    one.line.delay(Duration::from_millis(500));
    // Somebody takes the document away, as a person may: for the other one the prefix is free.
    world.memory.remove("shop/.rollcall/lock.json");
    let begun = tokio::time::Instant::now();
    let work = async {
        loop {
            if let Err(error) = one.create("shop/same.js", "same").await {
                return (error.to_string(), begun.elapsed());
            }
        }
    };
    let ((lost, stopped), wrote) = tokio::join!(work, async {
        let wrote = other.create("shop/b.js", "b").await;
        (wrote, begun.elapsed())
    });
    assert_eq!(wrote.0, Ok(Created::New));
    assert!(stopped < wrote.1 && wrote.1 >= PAUSE, "{stopped:?} {wrote:?}");
    assert!(lost.contains("ours any more") || lost.contains("other writes below"), "{lost}");
}

#[tokio::test(start_paused = true)]
async fn after_a_write_that_was_not_answered_the_lock_is_not_given_back() {
    let world = World::new();
    let (one, other) = (world.process("one"), world.process("other"));
    one.create("shop/a.js", "a").await.unwrap();
    one.line.fail_nth(Operation::Create, 1, Fault::After(Failure::Unavailable));
    assert!(one.create("shop/b.js", "b").await.is_err());
    one.writer.give_back().await;
    assert!(told(&other.create("shop/c.js", "c").await).contains("one writes below this prefix"));
    assert_eq!(one.create("shop/b.js", "b").await, Ok(Created::Same), "the same process goes on");
}

// I3
#[tokio::test(start_paused = true)]
async fn other_bytes_that_lie_there_afterwards_are_no_success() {
    let world = World::new();
    let one = world.process("one");
    one.create("shop/a.js", "a").await.unwrap();
    one.line.delay(Duration::from_secs(1));
    let meddled = async {
        // After the write, before the look.
        tokio::time::sleep(Duration::from_millis(2500)).await;
        world.memory.overwrite("shop/b.js", "meddled");
    };
    let (end, ()) = tokio::join!(one.create("shop/b.js", "ours"), meddled);
    assert!(matches!(end, Ok(Created::Other(_))), "{end:?}");
}
