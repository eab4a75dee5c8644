//! Watches: every change after a version, as frames of a stream, in tokio's time.
//! Never skips a change: whatever goes wrong, the next watch from the last version sees it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use http_body::Frame;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Shared;
use super::faults::{Delivery, Seen};
use super::read::{is_wanted, shape};
use super::refusal::Refusal;
use super::request::Call;
use super::selector::Selector;
use super::state::{Change, State};

/// The real server sends one about every minute.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);

/// Used when the client names no `timeoutSeconds`; the real server draws 30 to 60 minutes.
const TIMEOUT_DEFAULT: u64 = 1800;

struct Watch {
    shared: Arc<Shared>,
    seen: Seen,
    call: Call,
    selector: Selector,
    /// Everything up to this version was sent.
    version: u64,
    changed: Arc<Notify>,
    ends: Instant,
    bookmark: Instant,
    ready: VecDeque<Value>,
    over: bool,
}

/// The stream of a watch.
pub(super) fn open(shared: Arc<Shared>, call: Call, seen: Seen) -> Result<impl Stream<Item = Result<Frame<Bytes>, Infallible>>, Refusal> {
    let selector = Selector::parse(call.ask("labelSelector"), call.ask("fieldSelector"))?;
    let seconds = call.ask("timeoutSeconds").and_then(|seconds| seconds.parse().ok()).unwrap_or(TIMEOUT_DEFAULT);
    let now = Instant::now();
    let changed = shared.bell();
    let (ends, bookmark) = (now + Duration::from_secs(seconds), now + BOOKMARK_EVERY);
    let mut watch = Watch { shared, seen, call, selector, version: 0, changed, ends, bookmark, ready: VecDeque::new(), over: false };
    watch.begin();
    Ok(futures::stream::unfold(watch, |mut watch| async move {
        let line = watch.next().await?;
        Some((Ok(Frame::data(Bytes::from(format!("{line}\n")))), watch))
    }))
}

impl Watch {
    fn begin(&mut self) {
        let shared = self.shared.clone();
        let state = shared.state();
        match self.call.version() {
            Some(version) if version > 0 => self.version = version,
            _ => self.send_what_there_is(&state),
        }
        if self.version < state.compacted() {
            self.expire(state.compacted());
        }
    }

    /// Without a version (or with 0) a watch begins with everything there is.
    fn send_what_there_is(&mut self, state: &State) {
        self.version = state.version();
        for (key, object) in state.at(self.call.kind, self.version) {
            if is_wanted(&self.call, &self.selector, &key, &object) {
                self.ready.push_back(json!({"type": "ADDED", "object": shape(&self.call, &object)}));
            }
        }
        if self.call.is_true("sendInitialEvents") {
            let mut mark = self.mark();
            mark["object"]["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
            self.ready.push_back(mark);
        }
    }

    fn expire(&mut self, compacted: u64) {
        self.ready.push_back(json!({"type": "ERROR", "object": Refusal::expired(compacted, self.version).to_json()}));
        self.over = true;
    }

    fn mark(&self) -> Value {
        let metadata = json!({"resourceVersion": self.version.to_string(), "creationTimestamp": null});
        let kind = self.call.kind;
        json!({"type": "BOOKMARK", "object": {"kind": kind.kind, "apiVersion": kind.api_version(), "metadata": metadata}})
    }

    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(line);
            }
            if self.over || Instant::now() >= self.ends {
                return None;
            }
            if self.take_changes().await {
                continue;
            }
            self.wait().await;
        }
    }

    /// True when there may be more at once.
    async fn take_changes(&mut self) -> bool {
        let next = self.shared.state().history_after(self.version).first().cloned();
        let Some(change) = next else { return false };
        if let Some(line) = self.line(&change) {
            match self.shared.delivery(&self.seen, &change) {
                Delivery::Now => {}
                Delivery::Late(delay) => tokio::time::sleep(delay).await,
                Delivery::Close => {
                    self.over = true;
                    return true;
                }
                Delivery::Expire => {
                    self.expire(change.version);
                    return true;
                }
            }
            self.ready.push_back(line);
        }
        self.version = change.version;
        true
    }

    async fn wait(&mut self) {
        let bookmark = if self.call.is_true("allowWatchBookmarks") { self.bookmark } else { self.ends };
        tokio::select! {
            biased;
            () = self.changed.notified() => {}
            () = tokio::time::sleep_until(self.ends) => {}
            () = tokio::time::sleep_until(bookmark) => {
                self.bookmark += BOOKMARK_EVERY;
                self.version = self.version.max(self.shared.state().version());
                self.ready.push_back(self.mark());
            }
        }
    }

    /// The event of a change for this watch: an object that a selector no longer shows is deleted as far as it can see.
    fn line(&self, change: &Change) -> Option<Value> {
        let kind = self.call.kind;
        if (change.key.group, change.key.plural) != (kind.group, kind.plural) {
            return None;
        }
        let shown = |object: &Value| is_wanted(&self.call, &self.selector, &change.key, object);
        let before = change.was.as_deref().is_some_and(&shown);
        let after = !change.deleted && shown(&change.object);
        let event = match (before, after) {
            (false, false) => return None,
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
        };
        let mut object = shape(&self.call, &last_shown(change, after));
        self.shared.show(&self.seen, &mut object);
        Some(json!({"type": event, "object": object}))
    }
}

/// A DELETED event shows the last state that was visible, at the version of the change.
fn last_shown(change: &Change, after: bool) -> Value {
    let mut object = match (&change.was, after || change.deleted) {
        (Some(was), false) => (**was).clone(),
        _ => (*change.object).clone(),
    };
    object["metadata"]["resourceVersion"] = json!(change.version.to_string());
    object
}
