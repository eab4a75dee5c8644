//! Locks of prefixes in stores that keep no conditions: one for each prefix, shared by everything that this process does there.
//! Never gives two parts of this process a lock each: they would wait for one another.

use std::sync::{Arc, Mutex, PoisonError};

use super::context::Context;
use crate::bucket::s3::{S3Settings, fresh};
use crate::bucket::{Bucket, BucketError};
use crate::manifest::Layout;
use crate::upload::{Holder, SingleWriter};

/// Locks that are kept. The one that was made first goes first; whoever still writes under it keeps it.
const KEPT_MAX: usize = 1024;

/// The locks of this process.
#[derive(Default)]
pub(super) struct Writers(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// What no other process has; asked for when the first lock is made.
    instance: Option<String>,
    of: Vec<(S3Settings, Layout, Arc<SingleWriter>)>,
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
        if let Some((_, _, known)) = kept.of.iter().find(|(known, place, _)| known == settings && place == layout) {
            return Ok(known.clone());
        }
        let instance = match &kept.instance {
            Some(instance) => instance.clone(),
            None => kept.instance.insert(fresh()?).clone(),
        };
        let holder = Holder { name: format!("controller {}", cx.settings.instance), instance };
        let writer = Arc::new(SingleWriter::over(bucket, layout, holder, cx.outside.clock.clone()));
        let is_replaced =
            |known: &S3Settings, place: &Layout| place == layout && known.bucket == settings.bucket && known.endpoint == settings.endpoint;
        kept.of.retain(|(known, place, _)| !is_replaced(known, place));
        if kept.of.len() >= KEPT_MAX {
            kept.of.remove(0);
        }
        kept.of.push((settings.clone(), layout.clone(), writer.clone()));
        Ok(writer)
    }
}
