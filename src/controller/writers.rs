//! Locks of prefixes in stores that keep no conditions: one for each prefix, shared by everything that this process does there.
//! Never gives two parts of this process a lock each: they would wait for one another.

use std::sync::{Arc, Mutex, PoisonError};

use super::context::Context;
use crate::bucket::s3::{S3Settings, fresh};
use crate::bucket::{Bucket, BucketError};
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
}

impl Known {
    fn is_at(&self, settings: &S3Settings, layout: &Layout) -> bool {
        self.layout == *layout && self.settings.bucket == settings.bucket && self.settings.endpoint == settings.endpoint
    }

    fn is_needed(&self) -> bool {
        Arc::strong_count(&self.writer) > 1 || !self.writer.is_at_rest()
    }
}

impl Writers {
    /// The one writer below this prefix. With other settings it is another one, which takes the lock of the first: they are one process.
    pub(super) fn of(
        &self,
        settings: &S3Settings,
        layout: &Layout,
        bucket: Arc<dyn Bucket>,
        cx: &Context,
    ) -> Result<Arc<dyn Bucket>, BucketError> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.of.retain(Known::is_needed);
        if let Some(known) = kept.of.iter_mut().find(|known| known.is_at(settings, layout)) {
            if known.settings != *settings {
                known.writer = Arc::new(known.writer.by_way_of(bucket));
                known.settings = settings.clone();
            }
            return Ok(known.writer.clone());
        }
        let instance = match &kept.instance {
            Some(instance) => instance.clone(),
            None => kept.instance.insert(fresh()?).clone(),
        };
        let holder = Holder::named("controller", &cx.settings.instance, instance);
        let writer = Arc::new(SingleWriter::over(bucket, layout, holder, cx.outside.clock.clone()));
        kept.of.push(Known { settings: settings.clone(), layout: layout.clone(), writer: writer.clone() });
        Ok(writer)
    }
}
