//! Locks of prefixes in stores that keep no conditions: one for each prefix, shared by everything that this process does there.
//! Never gives two parts of this process a lock each: they would wait for one another.

use std::iter;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::context::Context;
use crate::bucket::s3::{S3Settings, fresh};
use crate::bucket::{Bucket, BucketError};
use crate::clock::Clock;
use crate::manifest::Layout;
use crate::upload::{Holder, SingleWriter};

/// The locks of this process.
#[derive(Default)]
pub(super) struct Writers(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// What no other process has; asked for when the first lock is made.
    instance: Option<String>,
    /// Those that are in use, were a moment ago, or have sent what may still land.
    of: Vec<Known>,
}

struct Known {
    settings: S3Settings,
    layout: Layout,
    writer: Arc<SingleWriter>,
    /// Those with earlier settings, as long as anything still writes by them.
    before: Vec<Weak<SingleWriter>>,
}

impl Known {
    fn is_at(&self, settings: &S3Settings, layout: &Layout) -> bool {
        self.layout == *layout && self.settings.bucket == settings.bucket && self.settings.endpoint == settings.endpoint
    }

    fn writers(&self) -> impl Iterator<Item = Arc<SingleWriter>> {
        iter::once(self.writer.clone()).chain(self.before.iter().filter_map(Weak::upgrade))
    }

    fn is_needed(&self) -> bool {
        Arc::strong_count(&self.writer) > 1 || !self.writer.is_at_rest()
    }
}

impl Kept {
    fn of(
        &mut self,
        settings: &S3Settings,
        layout: &Layout,
        bucket: Arc<dyn Bucket>,
        host: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<SingleWriter>, BucketError> {
        self.of.retain(Known::is_needed);
        if let Some(known) = self.of.iter_mut().find(|known| known.is_at(settings, layout)) {
            if known.settings != *settings {
                let next = Arc::new(known.writer.by_way_of(bucket));
                known.before.retain(|writer| writer.strong_count() > 0);
                known.before.push(Arc::downgrade(&std::mem::replace(&mut known.writer, next)));
                known.settings = settings.clone();
            }
            return Ok(known.writer.clone());
        }
        let instance = match &self.instance {
            Some(instance) => instance.clone(),
            None => self.instance.insert(fresh()?).clone(),
        };
        let holder = Holder::named("controller", host, instance);
        let writer = Arc::new(SingleWriter::over(bucket, layout, holder, clock));
        self.of.push(Known { settings: settings.clone(), layout: layout.clone(), writer: writer.clone(), before: Vec::new() });
        Ok(writer)
    }
}

/// What a write that is under way may take when the controller ends; 5 s more are for giving the locks back. A pod has 30 s. The next
/// controller waits for what has not ended by then for 18 minutes.
const MAY_END_WITHIN: Duration = Duration::from_secs(15);

impl Writers {
    /// Begins nothing any more, and lets the next controller write below these prefixes as soon as what is under way has ended.
    pub(super) async fn close(&self) {
        let by = Instant::now() + MAY_END_WITHIN;
        let writers: Vec<_> = {
            let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            kept.of.iter().flat_map(Known::writers).collect()
        };
        futures::future::join_all(writers.into_iter().map(async |writer| writer.close(by).await)).await;
    }

    /// The one writer below this prefix. With other settings it is another one, which takes the lock of the first: they are one process.
    pub(super) fn of(
        &self,
        settings: &S3Settings,
        layout: &Layout,
        bucket: Arc<dyn Bucket>,
        cx: &Context,
    ) -> Result<Arc<dyn Bucket>, BucketError> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(kept.of(settings, layout, bucket, &cx.settings.instance, cx.outside.clock.clone())?)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::api::ContentHash;
    use crate::bucket::lax::LaxBucket;
    use crate::bucket::memory::MemoryBucket;
    use crate::bucket::s3::Credentials;
    use crate::bucket::{Attributes, Body};
    use crate::clock::TokioClock;

    fn with_key(key: &str) -> S3Settings {
        let credentials =
            Credentials::Static { access_key_id: key.to_owned(), secret_access_key: "secret".to_owned(), session_token: None };
        let (endpoint, region) = (Some("http://store.test".to_owned()), "us-east-1".to_owned());
        S3Settings { bucket: "web".to_owned(), region, endpoint, force_path_style: true, credentials }
    }

    struct World {
        kept: Kept,
        clock: Arc<TokioClock>,
        bucket: Arc<LaxBucket>,
    }

    impl World {
        fn new() -> Self {
            let clock = Arc::new(TokioClock::starting_at("2026-11-21T00:00:00Z".parse().unwrap()));
            let bucket = Arc::new(LaxBucket::over(Arc::new(MemoryBucket::new(clock.clone())), Duration::from_millis(5)));
            Self { kept: Kept::default(), clock, bucket }
        }

        fn of(&mut self, key: &str, prefix: &str) -> Arc<SingleWriter> {
            let (bucket, layout) = (self.bucket.clone(), Layout::new("", prefix));
            self.kept.of(&with_key(key), &layout, bucket, "test", self.clock.clone()).unwrap()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_writer_is_kept_while_it_is_used_or_holds_its_lock_and_forgotten_at_rest() {
        let mut world = World::new();
        let first = world.of("old", "shop/");
        assert!(Arc::ptr_eq(&first, &world.of("old", "shop/")), "it is shared");
        let rotated = world.of("new", "shop/");
        assert!(!Arc::ptr_eq(&first, &rotated) && world.kept.of.len() == 1, "one place, one writer");
        let attributes = Attributes {
            content_type: "text/plain".into(),
            cache_control: "no-store".into(),
            content_encoding: None,
            sha256: ContentHash::of(b"a"),
            writer: None,
            sequence: None,
        };
        rotated.create("shop/a.js", Body::Bytes(Bytes::from_static(b"a")), &attributes).await.unwrap();
        drop((first, rotated));
        drop(world.of("new", "blog/"));
        assert_eq!(world.kept.of.len(), 2, "it holds its lock");
        tokio::time::sleep(Duration::from_secs(30)).await;
        drop(world.of("new", "blog/"));
        assert_eq!(world.kept.of.len(), 1, "it has given it back");
    }

    #[tokio::test(start_paused = true)]
    async fn a_writer_whose_keys_were_replaced_is_closed_with_the_others() {
        let mut world = World::new();
        let _in_use = world.of("old", "shop/");
        drop(world.of("new", "shop/"));
        assert_eq!(world.kept.of[0].writers().count(), 2);
    }
}
