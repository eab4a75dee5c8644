//! The bucket that a command of the program works with: its store tried out before the first write, and locked where that is asked for.
//! Never makes a request by itself.

use std::sync::Arc;

use crate::api::store::WriteGuard;
use crate::bucket::s3::{S3Bucket, fresh};
use crate::bucket::{Bucket, BucketError};
use crate::clock::Clock;
use crate::upload::{Holder, Origin, SingleWriter, Tried};

use super::Target;

/// A bucket, open.
pub struct Opened {
    /// To read from and write to.
    pub bucket: Arc<dyn Bucket>,
    lock: Option<Arc<SingleWriter>>,
}

/// Opens the bucket of a target for a program of that name.
///
/// # Errors
/// When the settings are not usable.
pub fn open(target: &Target, clock: Arc<dyn Clock>, program: &str) -> Result<Opened, BucketError> {
    let (settings, layout, guard) = (&target.settings, &target.layout, target.guard);
    let origin = Origin { endpoint: settings.endpoint.as_deref(), bucket: &settings.bucket, guard };
    let tried = Arc::new(Tried::before_writing(Arc::new(S3Bucket::connect(settings)?), origin, layout, clock.clone()));
    match guard {
        WriteGuard::Conditional => Ok(Opened { bucket: tried, lock: None }),
        WriteGuard::SingleWriter => {
            let holder = Holder::named(program, &host(), fresh()?);
            let lock = Arc::new(SingleWriter::over(tried, layout, holder, clock));
            Ok(Opened { bucket: lock.clone(), lock: Some(lock) })
        }
    }
}

impl Opened {
    /// Lets the next writer in at once, if there is a lock. A program that ends without this leaves it to time.
    pub async fn close(&self) {
        if let Some(lock) = &self.lock {
            lock.give_back().await;
        }
    }
}

/// For people who wait for the lock: it is hashed there.
fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|_| "an unknown host".to_owned(), |name| name.trim().to_owned())
}
