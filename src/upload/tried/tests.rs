//! When a store is tried out, and what is refused: counted by the requests that reach it.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::bucket::memory::MemoryBucket;
use crate::bucket::probe::Finding;
use crate::clock::TokioClock;

/// A bucket in memory that counts how often it is tried out, and says what it is told to.
struct Counting {
    bucket: MemoryBucket,
    found: Capabilities,
    trials: AtomicUsize,
}

#[async_trait]
impl Bucket for Counting {
    async fn create(&self, key: &str, body: Body, attributes: &Attributes) -> Result<Created, BucketError> {
        self.bucket.create(key, body, attributes).await
    }

    async fn replace(&self, key: &str, body: Body, attributes: &Attributes, expected: &Expected) -> Result<Swapped, BucketError> {
        self.bucket.replace(key, body, attributes, expected).await
    }

    async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Bytes>, BucketError> {
        self.bucket.get(key, bytes_max).await
    }

    async fn read(&self, key: &str, etag: &str) -> Result<Option<Pieces>, BucketError> {
        self.bucket.read(key, etag).await
    }

    async fn head(&self, key: &str) -> Result<Option<Stored>, BucketError> {
        self.bucket.head(key).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, BucketError> {
        self.bucket.list(prefix, after).await
    }

    async fn give_up_uploads(&self, prefix: &str, before: Timestamp) -> Result<u64, BucketError> {
        self.bucket.give_up_uploads(prefix, before).await
    }

    async fn delete(&self, key: &str, etag: &str) -> Result<Swapped, BucketError> {
        self.bucket.delete(key, etag).await
    }
}

#[async_trait]
impl Probe for Counting {
    async fn probe(&self, _: &str) -> Result<Capabilities, BucketError> {
        self.trials.fetch_add(1, Ordering::Relaxed);
        Ok(self.found.clone())
    }

    fn heed(&self, _: &Capabilities) {}
}

struct World {
    clock: Arc<TokioClock>,
    bucket: Arc<Counting>,
}

impl World {
    fn of(found: Capabilities) -> Self {
        let clock = Arc::new(TokioClock::starting_at("2026-11-21T00:00:00Z".parse().unwrap()));
        let bucket = Counting { bucket: MemoryBucket::new(clock.clone()), found, trials: AtomicUsize::new(0) };
        Self { clock, bucket: Arc::new(bucket) }
    }

    /// A publisher begins, to whom the store is at this endpoint.
    fn begins(&self, endpoint: &str) -> Tried {
        let origin = Origin { endpoint: Some(endpoint), bucket: "web", guard: WriteGuard::Conditional };
        Tried::before_writing(self.bucket.clone(), origin, &Layout::new("", "shop/"), self.clock.clone())
    }

    fn trials(&self) -> usize {
        self.bucket.trials.load(Ordering::Relaxed)
    }
}

async fn write(bucket: &Tried, key: &str) -> Result<Created, BucketError> {
    let (body, attributes) = super::super::documents::json(Bytes::from_static(b"{}"), Lasts::ForEver);
    bucket.create(key, body, &attributes).await
}

#[tokio::test]
async fn a_store_is_tried_out_once_before_the_first_write_and_not_for_reads() {
    let world = World::of(Capabilities::strict());
    let bucket = world.begins("http://store");
    bucket.head("shop/a").await.unwrap();
    bucket.list("shop/", None).await.unwrap();
    assert_eq!((world.trials(), world.bucket.bucket.log().len()), (0, 0));
    for key in ["shop/a", "shop/b"] {
        assert_eq!(write(&bucket, key).await, Ok(Created::New));
    }
    assert_eq!(world.trials(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_found_counts_for_a_week_and_for_that_store_alone() {
    let world = World::of(Capabilities::strict());
    write(&world.begins("http://store"), "shop/a").await.unwrap();
    write(&world.begins("http://store"), "shop/b").await.unwrap();
    assert_eq!(world.trials(), 1);
    write(&world.begins("http://another"), "shop/c").await.unwrap();
    assert_eq!(world.trials(), 2);
    tokio::time::advance(COUNTS_FOR + Duration::from_secs(1)).await;
    write(&world.begins("http://another"), "shop/d").await.unwrap();
    write(&world.begins("http://another"), "shop/e").await.unwrap();
    assert_eq!(world.trials(), 3);
    world.bucket.bucket.overwrite("shop/.rollcall/store.json", "{");
    write(&world.begins("http://another"), "shop/f").await.unwrap();
    assert_eq!(world.trials(), 4, "what cannot be understood says nothing");
}

// I3, I5
#[tokio::test]
async fn nothing_is_written_into_a_store_that_is_refused_and_nothing_is_remembered_of_it() {
    let lax = Capabilities { conditional_replace: Finding::ignored("overwritten"), ..Capabilities::strict() };
    let world = World::of(lax);
    for trial in 1..=2 {
        let error = write(&world.begins("http://store"), "shop/a").await.unwrap_err();
        assert!(error.to_string().starts_with("the store is refused: it does not honour the conditions of writes: overwritten"), "{error}");
        assert_eq!((world.trials(), world.bucket.bucket.log().len()), (trial, 0));
    }
}

// I5
#[tokio::test]
async fn what_is_remembered_says_that_nothing_may_be_deleted_and_why() {
    let lax = Capabilities { conditional_delete: Finding::ignored("deleted all the same"), ..Capabilities::strict() };
    let world = World::of(lax);
    write(&world.begins("http://store"), "shop/a").await.unwrap();
    let never = Deletes::Never { seen: "deleted all the same".into() };
    assert_eq!(world.begins("http://store").deletes().await, Ok(never));
    assert_eq!(world.trials(), 1);
}
