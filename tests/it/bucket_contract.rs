//! One contract for every implementation of `trait Bucket`: memory, faulty, S3 over the embedded store, S3 over a strict third-party store.
//! A clause that holds for one of them only is not a clause.

pub mod clauses;
mod on_the_wire;
pub mod over_s3;
pub mod third_party;
pub mod wire;

use std::sync::Arc;
use std::time::Duration;

use rollcall::bucket::faulty::{Failure, Fault, FaultyBucket, Operation};
use rollcall::bucket::lax::LaxBucket;
use rollcall::bucket::memory::{Change, MemoryBucket};
use rollcall::bucket::s3::S3Bucket;
use rollcall::bucket::{Bucket, BucketError, Created};
use rollcall::clock::{Clock, SystemClock, TokioClock};
use rollcall::manifest::Layout;
use rollcall::upload::{Holder, SingleWriter};

use self::third_party::ThirdParty;
use crate::dev_store;

fn memory() -> Arc<MemoryBucket> {
    Arc::new(MemoryBucket::new(Arc::new(TokioClock::starting_at("2026-11-21T00:00:00Z".parse().unwrap()))))
}

#[tokio::test]
async fn the_memory_bucket_keeps_the_contract() {
    let bucket: Arc<dyn Bucket> = memory();
    clauses::all(&bucket).await;
    clauses::many_objects_are_listed_page_by_page(&bucket, 2500).await;
}

#[tokio::test]
async fn a_faulty_bucket_without_faults_keeps_the_contract() {
    let bucket: Arc<dyn Bucket> = Arc::new(FaultyBucket::new(memory()));
    clauses::all(&bucket).await;
    clauses::many_objects_are_listed_page_by_page(&bucket, 1001).await;
}

/// The one writer of everything in a bucket.
fn single_writer(bucket: Arc<dyn Bucket>, clock: Arc<dyn Clock>) -> Arc<dyn Bucket> {
    let holder = Holder { name: "the contract".into(), instance: "contract".into() };
    Arc::new(SingleWriter::over(bucket, &Layout::new("", "lock/"), holder, clock))
}

// I3
#[tokio::test(start_paused = true)]
async fn a_single_writer_over_a_store_that_keeps_no_condition_keeps_the_contract() {
    let clock = Arc::new(TokioClock::starting_at("2026-11-21T00:00:00Z".parse().unwrap()));
    let lax = Arc::new(LaxBucket::over(Arc::new(MemoryBucket::new(clock.clone())), Duration::from_millis(5)));
    let racers = ["one", "other"].map(|bytes| clauses::create(&*lax, "lax/race", bytes.as_bytes(), "v1"));
    assert_eq!(futures::future::join_all(racers).await, [Ok(Created::New), Ok(Created::New)], "without the lock both win");
    let bucket = single_writer(lax, clock);
    clauses::all(&bucket).await;
    clauses::many_objects_are_listed_page_by_page(&bucket, 1001).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_writer_over_rclone_keeps_the_contract_but_for_checksums() {
    let Some(rclone) = ThirdParty::rclone().await else { return };
    rclone.server().client().create_bucket().bucket("contract").send().await.unwrap();
    let s3 = Arc::new(S3Bucket::connect(&rclone.server().settings("contract")).unwrap());
    let bucket = single_writer(s3, Arc::new(SystemClock));
    clauses::all_but_checksums(&bucket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_over_the_embedded_store_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let store = dev_store::Running::start(folder.path(), "contract").await;
    over_s3::holds(store.server(), 1100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_over_a_strict_third_party_store_keeps_the_contract() {
    let Some(versitygw) = ThirdParty::versitygw().await else { return };
    let server = versitygw.server();
    server.client().create_bucket().bucket("contract").send().await.unwrap();
    over_s3::holds(server, 1100).await;
}

#[tokio::test]
async fn buckets_in_memory_that_stand_side_by_side_copy() {
    let clock = || Arc::new(TokioClock::starting_at("2026-11-21T00:00:00Z".parse().unwrap()));
    let (from, to) = (Arc::new(MemoryBucket::named("from", clock())), Arc::new(MemoryBucket::named("to", clock())));
    from.stand_beside(&to);
    clauses::copies(&*from, "from", &FaultyBucket::new(to)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_store_copies() {
    let folder = tempfile::tempdir().unwrap();
    let store = dev_store::Running::start(folder.path(), "original").await;
    store.server().client().create_bucket().bucket("replica").send().await.unwrap();
    let bucket = |name| S3Bucket::connect(&store.server().settings(name)).unwrap();
    clauses::copies(&bucket("original"), "original", &bucket("replica")).await;
    clauses::copies(&bucket("original"), "original", &bucket("original")).await;
}

#[tokio::test]
async fn a_lost_answer_after_the_commit_is_the_same_on_the_next_try() {
    let inner = memory();
    let bucket = FaultyBucket::new(inner.clone());
    bucket.fail_nth(Operation::Create, 2, Fault::After(Failure::Unavailable));
    assert_eq!(clauses::create(&bucket, "a", b"a", "v1").await, Ok(Created::New));
    let lost = clauses::create(&bucket, "b", b"b", "v1").await;
    assert!(matches!(lost, Err(BucketError::Unavailable { .. })), "{lost:?}");
    assert_eq!(clauses::create(&bucket, "b", b"b", "v1").await, Ok(Created::Same));
    assert_eq!(inner.log().len(), 2, "{:?}", inner.log());
}

#[tokio::test]
async fn a_fault_before_the_call_and_an_undecided_race_change_nothing() {
    let inner = memory();
    let bucket = FaultyBucket::new(inner.clone());
    bucket.fail_nth(Operation::Create, 1, Fault::Before(Failure::Denied));
    bucket.fail_nth(Operation::Create, 2, Fault::Undecided);
    assert!(matches!(clauses::create(&bucket, "a", b"a", "v1").await, Err(BucketError::Denied { .. })));
    assert!(matches!(clauses::create(&bucket, "a", b"a", "v1").await, Err(BucketError::Unavailable { .. })));
    assert_eq!(inner.log(), Vec::<Change>::new());
    assert_eq!(clauses::create(&bucket, "a", b"a", "v1").await, Ok(Created::New));
    assert_eq!(bucket.calls(Operation::Create), 3);
}

#[tokio::test]
async fn an_outage_lasts_until_it_is_mended() {
    let bucket = FaultyBucket::new(memory());
    bucket.break_off(Failure::NoSuchBucket);
    assert!(matches!(bucket.head("a").await, Err(BucketError::NoSuchBucket { .. })));
    assert!(matches!(bucket.list("", None).await, Err(BucketError::NoSuchBucket { .. })));
    bucket.break_off(Failure::Unavailable);
    assert!(matches!(bucket.get("a", 1).await, Err(BucketError::Unavailable { .. })));
    bucket.mend();
    assert_eq!(bucket.head("a").await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn scattered_faults_are_the_same_for_the_same_seed_and_a_delay_is_tokio_time() {
    async fn trace(seed: u64) -> Vec<bool> {
        let bucket = FaultyBucket::new(memory());
        bucket.scatter(seed, 4);
        let mut ends = Vec::new();
        for _ in 0..64 {
            ends.push(bucket.head("a").await.is_ok());
        }
        ends
    }
    assert_eq!(trace(7).await, trace(7).await);
    assert_ne!(trace(7).await, trace(8).await);
    let faults = trace(7).await.iter().filter(|ok| !**ok).count();
    assert!((4..32).contains(&faults), "one call in four of 64 fails, roughly: {faults}");

    let bucket = FaultyBucket::new(memory());
    bucket.delay(std::time::Duration::from_secs(3));
    let before = tokio::time::Instant::now();
    bucket.head("a").await.unwrap();
    assert_eq!(before.elapsed(), std::time::Duration::from_secs(3));
}
