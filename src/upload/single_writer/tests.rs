//! One writer at a time over a store in memory that ignores every condition, in paused time.
//! Never sleeps for real.

use std::time::Duration;

use super::lock::PAUSE;
use super::*;
use crate::bucket::SIGNED_REQUEST_LIFE;
use crate::bucket::faulty::{Failure, Fault, FaultyBucket, Operation};
use crate::bucket::lax::{LaxBucket, Way};
use crate::bucket::memory::{Change, MemoryBucket};
use crate::clock::TokioClock;
use crate::upload::{SKEW, bucket_reason};

struct World {
    clock: Arc<TokioClock>,
    memory: Arc<MemoryBucket>,
}

/// A process that writes, and its way to the store.
struct Process {
    writer: SingleWriter,
    store: Arc<LaxBucket>,
    line: Arc<FaultyBucket>,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(TokioClock::starting_at("2026-11-21T00:00:00Z".parse().unwrap()));
        Self { memory: Arc::new(MemoryBucket::new(clock.clone())), clock }
    }

    fn process(&self, name: &str) -> Process {
        let store = Arc::new(LaxBucket::over(self.memory.clone(), Duration::from_millis(30)));
        let line = Arc::new(FaultyBucket::new(store.clone()));
        let holder = Holder { name: name.into(), instance: format!("instance-of-{name}") };
        let writer = SingleWriter::over(line.clone(), &Layout::new("", "shop/"), holder, self.clock.clone());
        Process { writer, store, line }
    }

    /// Objects that got other bytes.
    fn overwritten(&self) -> Vec<Change> {
        let lock = Layout::new("", "shop/").lock();
        self.memory.log().into_iter().filter(|change| matches!(change, Change::Replaced { key, .. } if *key != lock)).collect()
    }
}

impl Process {
    async fn create(&self, key: &str, text: &'static str) -> Result<Created, BucketError> {
        self.writer.create(key, Body::Bytes(Bytes::from_static(text.as_bytes())), &attributes(text)).await
    }

    /// Over whatever is there now.
    async fn replace(&self, key: &str, text: &'static str) -> Result<Swapped, BucketError> {
        let expected = self.writer.head(key).await?.map_or(Expected::Absent, |found| Expected::ETag(found.etag));
        self.writer.replace(key, Body::Bytes(Bytes::from_static(text.as_bytes())), &attributes(text), &expected).await
    }

    async fn delete(&self, key: &str) -> Result<Swapped, BucketError> {
        let etag = self.writer.head(key).await?.map_or_else(String::new, |found| found.etag);
        self.writer.delete(key, &etag).await
    }

    /// Ends after a while, with so much patience; how long that took.
    async fn close(&self, after: Duration, patience: Duration) -> Duration {
        tokio::time::sleep(after).await;
        let begun = Instant::now();
        self.writer.close(begun + patience).await;
        begun.elapsed()
    }

    /// Begins something and breaks it off after a second.
    async fn begin<T>(&self, work: impl Future<Output = T>) {
        assert!(tokio::time::timeout(Duration::from_secs(1), work).await.is_err(), "it was to be broken off");
    }
}

fn attributes(text: &str) -> Attributes {
    Attributes {
        content_type: "text/plain".into(),
        cache_control: "no-store".into(),
        content_encoding: None,
        sha256: ContentHash::of(text.as_bytes()),
        writer: None,
        sequence: None,
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
    let failures = [ends.0, ends.1].into_iter().filter_map(Result::err);
    assert_eq!(failures.map(|error| bucket_reason(&error)).collect::<Vec<_>>(), ["WriterLocked"]);
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

// I3: the next controller writes at once, and nothing of this one lands after.
#[tokio::test(start_paused = true)]
async fn a_program_that_ends_lets_what_is_under_way_end_and_gives_the_lock_back() {
    let world = World::new();
    let (one, other) = (world.process("one"), world.process("other"));
    one.create("shop/a.js", "a").await.unwrap();
    one.line.delay(Duration::from_millis(1500));
    let (ended, late, took) = tokio::join!(
        one.create("shop/b.js", "b"),
        async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            one.create("shop/c.js", "c").await
        },
        one.close(Duration::from_secs(1), Duration::from_secs(15)),
    );
    assert_eq!(ended, Ok(Created::New));
    assert!(told(&late).contains("this program is about to end"), "{late:?}");
    assert!(took < Duration::from_secs(12), "it waits for the write, not for its time: {took:?}");
    assert_eq!(other.create("shop/d.js", "d").await, Ok(Created::New));
}

#[tokio::test(start_paused = true)]
async fn a_program_that_ends_lets_go_of_the_lock_that_it_is_taking() {
    for after in [100, 2000, 9000].map(Duration::from_millis) {
        let world = World::new();
        let (one, other) = (world.process("one"), world.process("other"));
        one.line.delay(Duration::from_millis(100));
        let (first, queued, took) =
            tokio::join!(one.create("shop/a.js", "a"), one.create("shop/b.js", "b"), one.close(after, Duration::from_secs(15)));
        assert!([&first, &queued].iter().all(|end| told(end).contains("about to end")), "{after:?}: {first:?} {queued:?}");
        assert!(took < Duration::from_secs(2), "{after:?}: {took:?}");
        assert_eq!(other.create("shop/c.js", "c").await, Ok(Created::New), "{after:?}");
    }
}

// I3
#[tokio::test(start_paused = true)]
async fn a_program_that_ends_before_its_write_does_leaves_the_lock_to_end_by_time() {
    let world = World::new();
    let (one, other) = (world.process("one"), world.process("other"));
    one.create("shop/a.js", "a").await.unwrap();
    one.line.delay(Duration::from_millis(1500));
    let second = Duration::from_secs(1);
    let (ended, _) = tokio::join!(one.create("shop/b.js", "b"), one.close(second, second));
    assert!(told(&ended).contains("ours any more"), "it is broken off");
    assert!(told(&other.create("shop/c.js", "c").await).contains("one writes below this prefix"));
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

const LOCK: &str = "shop/.rollcall/lock.json";

// I1, I3
#[tokio::test(start_paused = true)]
async fn a_create_that_was_broken_off_and_lands_late_meets_no_other_bytes() {
    let world = World::new();
    let one = world.process("one");
    one.create("shop/a.js", "a").await.unwrap();
    one.store.plan("shop/k.js", Way::Stranded);
    one.begin(one.create("shop/k.js", "of v2")).await;
    let refused = told(&one.create("shop/k.js", "of v3").await);
    assert!(refused.contains("may still land; nothing is written there before 2026-11-21T00:17:"), "{refused}");
    assert!(one.delete("shop/k.js").await.is_err(), "it would lie there again");
    assert_eq!(one.create("shop/other.js", "other").await, Ok(Created::New), "other keys are free");
    assert_eq!(one.create("shop/k.js", "of v2").await, Ok(Created::New), "the same bytes do no harm");
    assert_eq!(one.store.land().await, 1);
    assert!(one.create("shop/k.js", "of v3").await.is_err());
    tokio::time::advance(SIGNED_REQUEST_LIFE + SKEW).await;
    assert!(matches!(one.create("shop/k.js", "of v3").await, Ok(Created::Other(_))), "it is known now what lies there");
    let hash = ContentHash::of(b"of v2");
    let same = |change: &Change| matches!(change, Change::Replaced { sha256, .. } if *sha256 == hash);
    assert!(world.overwritten().iter().all(same), "{:?}", world.overwritten());
}

// I4
#[tokio::test(start_paused = true)]
async fn a_page_of_an_earlier_flip_that_lands_late_does_not_land_on_the_next() {
    let world = World::new();
    let one = world.process("one");
    one.replace("shop/index.html", "flip 4").await.unwrap();
    one.store.plan("shop/index.html", Way::Stranded);
    one.begin(one.replace("shop/index.html", "flip 5")).await;
    let refused = one.replace("shop/index.html", "flip 6").await.unwrap_err().to_string();
    assert!(refused.contains("may still land"), "{refused}");
    assert_eq!(one.store.land().await, 1);
    tokio::time::advance(SIGNED_REQUEST_LIFE + SKEW).await;
    assert_eq!(one.replace("shop/index.html", "flip 6").await, Ok(Swapped::Done));
    assert_eq!(world.memory.bytes("shop/index.html").unwrap(), "flip 6");
}

// I3
#[tokio::test(start_paused = true)]
async fn a_write_that_was_sent_twice_is_not_answered_by_the_second_answer() {
    let world = World::new();
    let (one, other) = (world.process("one"), world.process("other"));
    one.create("shop/a.js", "a").await.unwrap();
    one.store.plan("shop/k.js", Way::Repeated);
    assert_eq!(one.create("shop/k.js", "k").await, Ok(Created::New));
    one.writer.give_back().await;
    assert!(told(&other.create("shop/b.js", "b").await).contains("one writes below this prefix"));
    assert!(one.replace("shop/k.js", "another").await.is_err());
}

// I3
#[tokio::test(start_paused = true)]
async fn another_lock_of_the_same_process_knows_what_the_first_was_not_answered() {
    let world = World::new();
    let one = world.process("one");
    one.create("shop/a.js", "a").await.unwrap();
    one.store.plan("shop/k.js", Way::Stranded);
    one.begin(one.create("shop/k.js", "of v2")).await;
    let next = Process { writer: one.writer.by_way_of(one.line.clone()), store: one.store.clone(), line: one.line.clone() };
    assert_eq!(next.create("shop/b.js", "b").await, Ok(Created::New), "it takes the lock from the first, of its own process");
    assert!(told(&next.create("shop/k.js", "of v3").await).contains("may still land"));
    assert!(!next.writer.is_at_rest());
    drop(one);
    tokio::time::sleep(SIGNED_REQUEST_LIFE + SKEW).await;
    assert!(next.writer.is_at_rest(), "nothing is lost with it");
}

// I3
#[tokio::test(start_paused = true)]
async fn a_claim_that_lands_after_somebody_else_holds_the_lock_is_not_ours_to_take_over() {
    let world = World::new();
    let (slow, other) = (world.process("slow"), world.process("other"));
    slow.store.plan(LOCK, Way::Stranded);
    let (late, wrote) = tokio::join!(slow.create("shop/a.js", "a"), other.create("shop/b.js", "b"));
    assert!(told(&late).contains("too slow to acquire it"), "{late:?}");
    assert_eq!(wrote, Ok(Created::New));
    // A write of the holder is on its way when the late claim takes the lock from it.
    other.store.plan("shop/k.js", Way::Stranded);
    let (end, landed) = tokio::join!(other.create("shop/k.js", "the other's"), slow.store.land());
    assert!(landed == 1 && told(&end).contains("ours any more"), "{end:?}");
    for _ in 0..3 {
        let lost = told(&slow.create("shop/k.js", "the slow one's").await);
        assert!(lost.contains("slow writes below this prefix"), "{lost}");
        tokio::time::sleep(Duration::from_secs(5 * 60)).await;
    }
    other.store.land().await;
    tokio::time::sleep(Duration::from_secs(5 * 60)).await;
    assert!(matches!(slow.create("shop/k.js", "the slow one's").await, Ok(Created::Other(_))));
    assert_eq!(world.overwritten(), []);
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_nobody_wants_any_more_before_it_is_held_is_given_back() {
    let world = World::new();
    let (one, other) = (world.process("one"), world.process("other"));
    // As at Ctrl-C: broken off, then closed.
    one.begin(one.create("shop/a.js", "a")).await;
    one.writer.give_back().await;
    assert_eq!(other.create("shop/b.js", "b").await, Ok(Created::New));
    other.writer.give_back().await;
    // Broken off, and nobody closes anything: it ends as an idle one.
    one.begin(one.create("shop/a.js", "a")).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(other.create("shop/c.js", "c").await, Ok(Created::New));
    other.writer.give_back().await;
    // The look after the pause fails.
    one.begin(one.create("shop/d.js", "d")).await;
    one.line.fail_nth(Operation::Head, 1, Fault::Before(Failure::Unavailable));
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(other.create("shop/d.js", "d").await, Ok(Created::New));
}

#[tokio::test(start_paused = true)]
async fn a_look_that_hangs_does_not_lose_the_lock() {
    let world = World::new();
    let one = world.process("one");
    one.create("shop/a.js", "a").await.unwrap();
    one.line.delay(Duration::from_millis(200));
    let work = async {
        for _ in 0..200 {
            one.create("shop/same.js", "same").await.unwrap();
        }
    };
    let hang = async {
        for _ in 0..5 {
            one.store.plan(LOCK, Way::Hanging);
            tokio::time::sleep(Duration::from_secs(7)).await;
        }
    };
    tokio::join!(work, hang);
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_works_for_long_renews_the_lock_and_gives_it_back_at_the_end() {
    for phase in 0..8 {
        let world = World::new();
        let (one, other) = (world.process("one"), world.process("other"));
        one.create("shop/a.js", "a").await.unwrap();
        one.line.delay(Duration::from_millis(150));
        let begun = tokio::time::Instant::now();
        while begun.elapsed() < Duration::from_secs(150) {
            assert!(one.create("shop/same.js", "same").await.is_ok());
        }
        let renewed = world.memory.log().iter().filter(|change| matches!(change, Change::Replaced { key, .. } if key == LOCK)).count();
        assert!((5..10).contains(&renewed), "every twenty seconds: {renewed}");
        // At any moment of a renewal.
        tokio::time::sleep(Duration::from_millis(200 * phase)).await;
        one.writer.give_back().await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(other.create("shop/b.js", "b").await, Ok(Created::New), "phase {phase}");
    }
}

/// While a renewal is on its way.
#[tokio::test(start_paused = true)]
async fn a_lock_that_is_given_back_during_a_renewal_stays_free() {
    let world = World::new();
    let (one, other) = (world.process("one"), world.process("other"));
    one.create("shop/a.js", "a").await.unwrap();
    one.store.plan(LOCK, Way::Slow);
    one.line.delay(Duration::from_millis(100));
    // The renewal has looked, and is on its way.
    while one.line.calls(Operation::Replace) < 2 {
        one.create("shop/same.js", "same").await.unwrap();
    }
    one.writer.give_back().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(other.create("shop/b.js", "b").await, Ok(Created::New));
}

#[test]
fn a_holder_is_named_without_its_host() {
    let holder = Holder::named("rollcall publish", "ci-runner-7", "id".into());
    assert_eq!(holder.name, format!("rollcall publish on host {}", &ContentHash::of(b"ci-runner-7").to_string()[..8]));
}

/// A clock that was wrong, or a hand: the lock counts from when the store says that it was written.
#[tokio::test(start_paused = true)]
async fn a_lock_that_holds_until_another_century_is_free_when_an_honest_one_would_be() {
    let world = World::new();
    let lock = serde_json::json!({"lockVersion": 1, "holder": "x", "tenure": "x/0", "until": "9000-01-01T00:00:00Z"});
    world.memory.overwrite(&Layout::new("", "shop/").lock(), lock.to_string());
    let process = world.process("one");
    assert!(told(&process.create("shop/a.js", "a").await).contains("x writes below this prefix"));
    tokio::time::sleep(SIGNED_REQUEST_LIFE + 3 * SKEW + Duration::from_secs(300)).await;
    assert_eq!(process.create("shop/a.js", "a").await, Ok(Created::New));
}
