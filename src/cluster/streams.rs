//! Watch streams that cannot hurt each other: each one carries its own backoff and yields only what it has seen. kube's
//! `Controller` slows all its triggers down when one fails, so failures end here, as a log line.

use std::fmt::Debug;
use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::runtime::utils::Backoff;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

const BACKOFF_MIN: Duration = Duration::from_millis(800);
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// A half-open connection hides changes until the watch ends; kube's default is 295 s.
const WATCH_SECONDS_MAX: u32 = 60;

/// Doubles from 0.8 s to 30 s. Without jitter: one controller does not stampede, and a simulation can be repeated.
#[derive(Debug, Clone)]
pub struct Doubling {
    next: Duration,
}

impl Default for Doubling {
    fn default() -> Self {
        Self { next: BACKOFF_MIN }
    }
}

impl Iterator for Doubling {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let now = self.next;
        self.next = (now * 2).min(BACKOFF_MAX);
        Some(now)
    }
}

impl Backoff for Doubling {
    fn reset(&mut self) {
        *self = Self::default();
    }
}

/// Everything about these objects, for ever: errors are logged and waited out, and never seen by the consumer.
pub fn events<K>(api: Api<K>, config: watcher::Config) -> impl Stream<Item = watcher::Event<K>> + Send
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let config = config.timeout(WATCH_SECONDS_MAX);
    watcher(api, config).backoff(Doubling::default()).filter_map(|event| async move {
        event.inspect_err(|error| tracing::warn!(kind = %K::kind(&()), %error, "watch failed; it will be begun again")).ok()
    })
}
