//! Buckets by address: one client for each, kept as long as its settings stay the same.
//! Never hands out a client that was made with credentials that have changed since.

use std::sync::{Arc, Mutex, PoisonError};

use crate::bucket::s3::{S3Bucket, S3Settings};
use crate::bucket::{Bucket, BucketError};

/// Opens buckets; the simulation has its own.
pub trait Buckets: Send + Sync + 'static {
    /// The bucket with these settings. Makes no request.
    fn open(&self, settings: &S3Settings) -> Result<Arc<dyn Bucket>, BucketError>;
}

/// Clients kept open; a cluster has a handful of stores. The one that was opened first goes first.
const CLIENTS_MAX: usize = 64;

/// Buckets of S3-compatible stores.
#[derive(Default)]
pub struct S3Buckets {
    open: Mutex<Vec<(S3Settings, Arc<S3Bucket>)>>,
}

impl Buckets for S3Buckets {
    fn open(&self, settings: &S3Settings) -> Result<Arc<dyn Bucket>, BucketError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bucket)) = open.iter().find(|(known, _)| known == settings) {
            return Ok(bucket.clone());
        }
        let bucket = Arc::new(S3Bucket::connect(settings)?);
        open.retain(|(known, _)| !(known.bucket == settings.bucket && known.endpoint == settings.endpoint));
        if open.len() >= CLIENTS_MAX {
            open.remove(0);
        }
        open.push((settings.clone(), bucket.clone()));
        Ok(bucket)
    }
}
