//! Buckets by address: one client for each, kept as long as its settings stay the same.
//! Never hands out a client that was made with credentials that have changed since.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::api::store::WriteGuard;
use crate::bucket::probe::{Capabilities, Probe as _};
use crate::bucket::s3::{S3Bucket, S3Settings};
use crate::bucket::{Bucket, BucketError};
use crate::egress::Egress;

/// Opens buckets; the simulation has its own.
#[async_trait]
pub trait Buckets: Send + Sync + 'static {
    /// The bucket with these settings. Makes no request.
    fn open(&self, settings: &S3Settings) -> Result<Arc<dyn Bucket>, BucketError>;

    /// What the store with these settings was seen to do, below this prefix. Tried out when it is first asked for, and again when
    /// anything in the settings has changed, credentials included; else remembered, unless it was found wanting under that guard.
    async fn probe(&self, settings: &S3Settings, store_prefix: &str, guard: WriteGuard) -> Result<Capabilities, BucketError>;
}

/// Clients kept open; a cluster has a handful of stores. The one that was opened first goes first.
const CLIENTS_MAX: usize = 64;

/// Of one bucket: a store's keys and those of who only reads builds there, and those from before a rotation.
const CLIENTS_OF_A_BUCKET_MAX: usize = 3;

/// Stores whose capabilities are remembered: beyond that, each is tried out again when it is met again.
const PROBED_MAX: usize = 256;

/// A store that was found wanting is tried out again after this time: somebody may have upgraded it.
const OBJECTED_FOR: Duration = Duration::from_secs(10 * 60);

/// Buckets of S3-compatible stores.
pub struct S3Buckets {
    egress: Egress,
    open: Mutex<Vec<(S3Settings, Arc<S3Bucket>)>>,
    probed: Mutex<Vec<Probed>>,
}

struct Probed {
    settings: S3Settings,
    store_prefix: String,
    found: Arc<OnceCell<(Instant, Capabilities)>>,
}

impl S3Buckets {
    /// Buckets at endpoints that this lets be called.
    #[must_use]
    pub fn new(egress: Egress) -> Self {
        Self { egress, open: Mutex::default(), probed: Mutex::default() }
    }

    fn client(&self, settings: &S3Settings) -> Result<Arc<S3Bucket>, BucketError> {
        let mut open = lock(&self.open);
        if let Some((_, bucket)) = open.iter().find(|(known, _)| known == settings) {
            return Ok(bucket.clone());
        }
        let bucket = Arc::new(S3Bucket::connect_through(&self.egress, settings)?);
        let is_of_the_bucket = |known: &S3Settings| known.bucket == settings.bucket && known.endpoint == settings.endpoint;
        if open.iter().filter(|(known, _)| is_of_the_bucket(known)).count() >= CLIENTS_OF_A_BUCKET_MAX
            && let Some(oldest) = open.iter().position(|(known, _)| is_of_the_bucket(known))
        {
            open.remove(oldest);
        }
        if open.len() >= CLIENTS_MAX {
            open.remove(0);
        }
        open.push((settings.clone(), bucket.clone()));
        Ok(bucket)
    }

    /// The cell that all who ask for this store share, so that it is tried out once.
    fn cell(&self, settings: &S3Settings, store_prefix: &str, guard: WriteGuard) -> Arc<OnceCell<(Instant, Capabilities)>> {
        let mut probed = lock(&self.probed);
        probed.retain(|known| {
            let found = known.found.get().filter(|_| known.settings == *settings && known.store_prefix == store_prefix);
            !found.is_some_and(|(at, found)| found.objection_under(guard).is_some() && at.elapsed() >= OBJECTED_FOR)
        });
        if let Some(known) = probed.iter().find(|known| known.settings == *settings && known.store_prefix == store_prefix) {
            return known.found.clone();
        }
        if probed.len() >= PROBED_MAX {
            probed.remove(0);
        }
        let found = Arc::<OnceCell<_>>::default();
        probed.push(Probed { settings: settings.clone(), store_prefix: store_prefix.to_owned(), found: found.clone() });
        found
    }
}

#[async_trait]
impl Buckets for S3Buckets {
    fn open(&self, settings: &S3Settings) -> Result<Arc<dyn Bucket>, BucketError> {
        Ok(self.client(settings)?)
    }

    async fn probe(&self, settings: &S3Settings, store_prefix: &str, guard: WriteGuard) -> Result<Capabilities, BucketError> {
        let (client, cell) = (self.client(settings)?, self.cell(settings, store_prefix, guard));
        let (_, found) = cell.get_or_try_init(|| async { Ok((Instant::now(), client.probe(store_prefix).await?)) }).await?;
        // This client may be younger than what was found.
        client.heed(found);
        Ok(found.clone())
    }
}

/// What is kept here can be made anew: a holder that panicked spoiled nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
