//! [`Fetch`] from a [`Bucket`], for tests and the simulator: what a store's public side would answer.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt as _;

use super::{Fetch, FetchError, Pieces};
use crate::bucket::{Bucket, BucketError};

/// Larger objects than tests have.
const BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Serves a bucket's objects below a base URL.
pub struct BucketFetch {
    bucket: Arc<dyn Bucket>,
    base: String,
}

impl BucketFetch {
    /// The object `key` is at `{base}{key}`; `base` ends with `/`.
    #[must_use]
    pub fn new(bucket: Arc<dyn Bucket>, base: &str) -> Self {
        Self { bucket, base: base.to_owned() }
    }
}

#[async_trait]
impl Fetch for BucketFetch {
    async fn get(&self, url: &str) -> Result<Pieces, FetchError> {
        let missing = || FetchError::Missing { url: url.to_owned(), status: 404 };
        let encoded = url.strip_prefix(&self.base).ok_or_else(missing)?;
        let key = percent_encoding::percent_decode_str(encoded).decode_utf8_lossy().into_owned();
        match self.bucket.get(&key, BYTES_MAX).await {
            Ok(Some(bytes)) => Ok(futures::stream::iter([Ok(bytes)]).boxed()),
            Ok(None) | Err(BucketError::Denied { .. } | BucketError::NoSuchBucket { .. }) => Err(missing()),
            Err(error) => Err(FetchError::Unavailable { url: url.to_owned(), cause: error.to_string() }),
        }
    }
}
