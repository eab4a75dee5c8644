//! Keys to buckets that were read a moment ago, so that a rollout of ten passes does not read one Secret ten times.
//! Never remembers that a Secret was missing or refused, and never gives the keys of one namespace to another.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::bucket::s3::Credentials;

/// How long keys are used without reading their Secret. Shorter than the time after which a release that was refused by its store looks
/// again, which is 10 s: the look after a refusal has the new keys.
const KEPT: Duration = Duration::from_secs(5);

/// What the Secrets held, by namespace and name. Bounded by the Secrets that were read within [`KEPT`].
#[derive(Default)]
pub(super) struct RecentKeys(Mutex<BTreeMap<(String, String), (Instant, Credentials)>>);

impl RecentKeys {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String), (Instant, Credentials)>> {
        // Each holder only moves whole values in and out.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The keys of a Secret, if they were read a moment ago.
    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<Credentials> {
        let keys = self.lock();
        let (read_at, credentials) = keys.get(&(namespace.to_owned(), name.to_owned()))?;
        (read_at.elapsed() < KEPT).then(|| credentials.clone())
    }

    /// Keeps what was just read. `read_at` is the time before the request.
    pub(super) fn keep(&self, namespace: &str, name: &str, read_at: Instant, credentials: &Credentials) {
        let mut keys = self.lock();
        keys.retain(|_, (read_at, _)| read_at.elapsed() < KEPT);
        keys.insert((namespace.to_owned(), name.to_owned()), (read_at, credentials.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(id: &str) -> Credentials {
        let text = |key: &str| Some(if key.contains("id") || key.contains("ID") { id.to_owned() } else { "secret".to_owned() });
        Credentials::of_keys(text).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn keys_are_used_for_five_seconds_and_only_in_their_namespace() {
        let (recent, begun) = (RecentKeys::default(), Instant::now());
        recent.keep("shop", "keys", begun, &keys("a"));
        tokio::time::advance(Duration::from_millis(4_999)).await;
        assert_eq!(format!("{:?}", recent.get("shop", "keys")), format!("{:?}", Some(keys("a"))));
        assert!(recent.get("bank", "keys").is_none(), "a Secret of this name in another namespace is another one");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(recent.get("shop", "keys").is_none());
        recent.keep("bank", "keys", Instant::now(), &keys("b"));
        assert_eq!(recent.lock().len(), 1, "what has expired is dropped");
    }
}
