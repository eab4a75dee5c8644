//! Fetches a file that a known manifest has and the mirror has not: once for all who ask, and not faster than the store should see.
//! Never asks for a name that no manifest has.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use tokio::time::Instant;

use crate::agent::catalogue::Found;
use crate::agent::fetch::{Fetch, FetchError, object_url};
use crate::agent::mirror::{Mirror, MirrorError};
use crate::api::ContentHash;
use crate::manifest::ManifestFile;

/// Why a miss stays one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Miss {
    /// The store has been asked enough for now.
    Busy,
    /// The store does not have it.
    Gone,
    /// The store or the volume did not do it.
    Failed(String),
}

type Filling = Shared<BoxFuture<'static, Result<(), Miss>>>;

/// Misses being fetched.
pub(super) struct Misses {
    fetch: Arc<dyn Fetch>,
    mirror: Arc<dyn Mirror>,
    under_way: Arc<Mutex<BTreeMap<ContentHash, Filling>>>,
    tokens: Mutex<Tokens>,
}

impl Misses {
    pub(super) fn new(fetch: Arc<dyn Fetch>, mirror: Arc<dyn Mirror>, rate: u32, burst: u32) -> Self {
        Self { fetch, mirror, under_way: Arc::default(), tokens: Mutex::new(Tokens::new(rate, burst)) }
    }

    /// Makes the mirror have the file's bytes.
    pub(super) async fn fill(&self, found: Found<'_>) -> Result<(), Miss> {
        let url = object_url(found.version.pointed.fetch_base(), &found.file.key()).map_err(|error| Miss::Failed(error.to_string()))?;
        self.join_or_begin(found.file, url)?.await
    }

    fn join_or_begin(&self, file: &ManifestFile, url: String) -> Result<Filling, Miss> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(filling) = under_way.get(&file.sha256) {
            return Ok(filling.clone());
        }
        if !self.tokens.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now()) {
            return Err(Miss::Busy);
        }
        let filling = self.begin(file.clone(), url);
        under_way.insert(file.sha256.clone(), filling.clone());
        Ok(filling)
    }

    /// A task of its own: a visitor who goes away does not stop what others wait for.
    fn begin(&self, file: ManifestFile, url: String) -> Filling {
        let (fetch, mirror, under_way) = (Arc::clone(&self.fetch), Arc::clone(&self.mirror), Arc::clone(&self.under_way));
        let task = tokio::spawn(async move {
            let result = mirror.fill(&file, &url, &*fetch).await.map_err(Miss::from);
            under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&file.sha256);
            result
        });
        task.map(|joined| joined.unwrap_or_else(|error| Err(Miss::Failed(error.to_string())))).boxed().shared()
    }
}

impl From<MirrorError> for Miss {
    fn from(error: MirrorError) -> Self {
        match error {
            MirrorError::Fetch(FetchError::Missing { .. }) => Self::Gone,
            other => Self::Failed(other.to_string()),
        }
    }
}

/// A token bucket, in millionths of a token, so that no fraction is lost.
#[derive(Debug)]
struct Tokens {
    rate: u64,
    full: u64,
    left: u64,
    filled_at: Option<Instant>,
}

const TOKEN: u64 = 1_000_000;

impl Tokens {
    fn new(rate: u32, burst: u32) -> Self {
        let full = u64::from(burst.max(1)) * TOKEN;
        Self { rate: rate.into(), full, left: full, filled_at: None }
    }

    fn take(&mut self, now: Instant) -> bool {
        let passed = self.filled_at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let gained = u64::try_from(passed.as_micros()).unwrap_or(u64::MAX).saturating_mul(self.rate);
        self.filled_at = Some(now);
        self.left = self.left.saturating_add(gained).min(self.full);
        let enough = self.left >= TOKEN;
        self.left -= if enough { TOKEN } else { 0 };
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_at_the_rate_up_to_the_burst() {
        let begin = Instant::now();
        let mut tokens = Tokens::new(10, 2);
        let mut taken = |milliseconds| tokens.take(begin + Duration::from_millis(milliseconds));
        assert_eq!([taken(0), taken(0), taken(0)], [true, true, false]);
        assert_eq!([taken(50), taken(100), taken(100)], [false, true, false]);
        assert_eq!([taken(10_000), taken(10_000), taken(10_000)], [true, true, false]);
    }
}
