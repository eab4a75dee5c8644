//! Follows the pointer: a GET without a resourceVersion (a quorum read), then a watch from exactly there.
//! Never reads before it is told that the announcement was acknowledged, and never from a cache (I2).

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, WatchEvent, WatchParams};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use super::core::{Event, Pace};
use crate::api::{Pointer, names};

/// Longest wait for one answer of the API server.
pub(super) const CALL_MAX: Duration = Duration::from_secs(10);
/// Life of one watch. A connection that died without a word hides changes for at most this long and [`WATCH_GRACE`].
const WATCH_SECONDS: u32 = 60;
/// Longest pause between two reads: a first release waits for pods that look for a pointer that is not there yet.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// What the server may take longer to end a watch.
const WATCH_GRACE: Duration = Duration::from_secs(5);

/// The part of a `ConfigMap` that is read: the name map beside it may be 256 KiB, so it is skipped while parsing.
#[derive(Debug, Clone, Serialize, Deserialize, kube::Resource)]
#[resource(inherit = "k8s_openapi::api::core::v1::ConfigMap")]
pub(super) struct PointerMap {
    metadata: ObjectMeta,
    #[serde(default)]
    data: PointerData,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct PointerData {
    #[serde(rename = "pointer.json", default)]
    pointer: String,
}

/// What a follower needs.
pub(super) struct Follower {
    pub api: Api<PointerMap>,
    pub config_map: String,
    pub pace: Pace,
    /// Number of the newest read that was asked for; 0 is none.
    pub reads: watch::Receiver<u64>,
    pub events: mpsc::Sender<Event>,
}

/// The agent's loop has ended: nobody listens any more.
struct Closed;

impl Follower {
    /// Follows until nobody listens any more.
    pub(super) async fn run(mut self) {
        let _ended = self.follow().await;
    }

    async fn follow(&mut self) -> Result<(), Closed> {
        self.reads.wait_for(|number| *number > 0).await.map_err(|_| Closed)?;
        let mut failures = 0;
        loop {
            let answers = *self.reads.borrow_and_update();
            let began = Instant::now();
            let version = self.read(answers).await?;
            let read = version.is_some();
            if let Some(version) = version {
                self.watch_from(version).await?;
            }
            if self.reads.has_changed().map_err(|_| Closed)? {
                continue;
            }
            // A watch that lived for a while was a good one: what ended it is news.
            failures = if read && began.elapsed() >= self.pace.retry_first { 1 } else { failures + 1 };
            self.pause(self.pace.delay(failures).min(PAUSE_MAX)).await?;
        }
    }

    /// Waits, but not when a read is asked for.
    async fn pause(&mut self, delay: Duration) -> Result<(), Closed> {
        tokio::select! {
            biased;
            changed = self.reads.changed() => { self.reads.mark_changed(); changed.map_err(|_| Closed) }
            () = sleep(delay) => Ok(()),
        }
    }

    /// Reads the pointer; returns the resourceVersion to watch from.
    async fn read(&mut self, answers: u64) -> Result<Option<String>, Closed> {
        let answer = match timeout(CALL_MAX, self.api.get_opt(&self.config_map)).await {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {} s", CALL_MAX.as_secs())),
        };
        let (event, version) = match answer {
            Ok(Some(map)) => (understood(&map, |pointer| Event::PointerRead { answers, pointer }), map.metadata.resource_version),
            Ok(None) => (Event::PointerMissing { answers }, None),
            Err(cause) => (self.unreadable(&cause), None),
        };
        self.send(event).await?;
        Ok(version)
    }

    fn unreadable(&self, cause: &str) -> Event {
        tracing::warn!(config_map = %self.config_map, %cause, "cannot read the pointer");
        Event::PointerUnreadable { problem: format!("cannot read the pointer ConfigMap {:?}: {cause}", self.config_map) }
    }

    /// Watches until a read is due: asked for, after an error, or because the object is gone.
    async fn watch_from(&mut self, mut version: String) -> Result<(), Closed> {
        loop {
            let began = Instant::now();
            match self.watch_once(&version).await? {
                // An end at once, again and again, would be a hot loop; the caller's delay grows.
                Some(newest) if began.elapsed() >= Duration::from_secs(1) => version = newest,
                _ => return Ok(()),
            }
        }
    }

    /// One watch; returns the newest resourceVersion when it ended in good order.
    async fn watch_once(&mut self, version: &str) -> Result<Option<String>, Closed> {
        let only_it = WatchParams::default().fields(&format!("metadata.name={}", self.config_map)).timeout(WATCH_SECONDS);
        let until = Instant::now() + Duration::from_secs(WATCH_SECONDS.into()) + WATCH_GRACE;
        let Ok(Ok(stream)) = timeout(CALL_MAX, self.api.watch(&only_it, version)).await else { return Ok(None) };
        let mut stream = stream.boxed();
        let mut newest = version.to_owned();
        loop {
            let next = tokio::select! {
                biased;
                changed = self.reads.changed() => {
                    self.reads.mark_changed();
                    return changed.map(|()| None).map_err(|_| Closed);
                }
                next = tokio::time::timeout_at(until, stream.try_next()) => next,
            };
            match next {
                Ok(Ok(Some(WatchEvent::Added(map) | WatchEvent::Modified(map)))) => {
                    self.send(understood(&map, |pointer| Event::PointerChanged { pointer })).await?;
                    newest = map.metadata.resource_version.unwrap_or(newest);
                }
                Ok(Ok(Some(WatchEvent::Bookmark(bookmark)))) => newest = bookmark.metadata.resource_version,
                Ok(Ok(None)) => return Ok(Some(newest)),
                // Half-open, broken, expired (410) or deleted: look by GET.
                Err(_) | Ok(Err(_) | Ok(Some(WatchEvent::Deleted(_) | WatchEvent::Error(_)))) => return Ok(None),
            }
        }
    }

    async fn send(&self, event: Event) -> Result<(), Closed> {
        self.events.send(event).await.map_err(|_| Closed)
    }
}

/// An unknown protocol is a problem, never a guess.
fn understood(map: &PointerMap, known: impl FnOnce(Pointer) -> Event) -> Event {
    match Pointer::parse(&map.data.pointer) {
        Ok(pointer) => known(pointer),
        Err(error) => Event::PointerUnreadable { problem: format!("ConfigMap key {:?}: {error}", names::POINTER_KEY) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_map_beside_the_pointer_is_skipped() {
        let map: PointerMap = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "shop"},
            "data": {"pointer.json": Pointer::empty().to_json(), "manifest.json": "{}"},
        }))
        .unwrap();
        assert_eq!(Pointer::parse(&map.data.pointer), Ok(Pointer::empty()));
        let bare: PointerMap = serde_json::from_value(serde_json::json!({"metadata": {"name": "shop"}})).unwrap();
        assert_eq!(bare.data.pointer, "");
    }

    #[test]
    fn an_unknown_protocol_is_a_problem_and_no_pointer() {
        let text = Pointer { protocol: 7, ..Pointer::empty() }.to_json();
        let map = PointerMap { metadata: ObjectMeta::default(), data: PointerData { pointer: text } };
        let event = understood(&map, |pointer| Event::PointerChanged { pointer });
        assert!(matches!(event, Event::PointerUnreadable { problem } if problem.contains("protocol 7")));
    }
}
