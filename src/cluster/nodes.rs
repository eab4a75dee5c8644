//! Nodes that do not answer: looked up only for pods that keep a gate closed.
//! Never watched or listed whole: they matter only while a release waits, and asking by name needs the right `get` alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use kube::{Api, Client};
use tokio::time::{Instant, timeout_at};

use super::calls::{Call, Class};
use super::lite::NodeLite;
use crate::api::moment::later;

/// A node is asked again after this time. Excusing takes five minutes, so half a minute is exact enough.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// Nodes that are remembered; beyond it the oldest answers are dropped.
const NODES_MAX: usize = 1_000;

/// Nodes that are asked side by side, for a DaemonSet whose zone is gone: at 5 ms a GET, 500 nodes take 0.3 s.
const ASKED_AT_ONCE: usize = 8;

/// Longest time for all nodes of one look. Whoever was not asked by then is not excused yet and is asked by the next look, ten seconds
/// later: a server that takes 100 ms for a GET still says all of 1,200 nodes before the first answer is asked for anew.
const ASKING_MAX: Duration = Duration::from_secs(5);

/// What a node was last seen to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    /// It answers, as far as we may know: without the right to see nodes no pod is excused for its node.
    Answering,
    /// It does not answer since then: its Ready condition is `Unknown`, the node controller's word for it.
    SilentSince(Timestamp),
    /// There is no such node.
    Gone,
}

impl NodeState {
    /// Since when a pod of it, created then, is out of reach.
    #[must_use]
    pub fn unreachable_since(self, created_at: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Answering => None,
            Self::SilentSince(since) => Some(since),
            Self::Gone => Some(created_at),
        }
    }
}

/// What was last seen of each node.
#[derive(Debug, Default)]
pub struct Nodes {
    seen: BTreeMap<String, (Timestamp, NodeState)>,
}

impl Nodes {
    /// What is still fresh enough for this node.
    #[must_use]
    pub fn fresh(&self, node: &str, now: Timestamp) -> Option<NodeState> {
        let (looked_at, state) = self.seen.get(node)?;
        (now < later(*looked_at, LOOK_AGAIN_AFTER)).then_some(*state)
    }

    /// Remembers answers.
    pub fn remember(&mut self, answers: Vec<(String, NodeState)>, now: Timestamp) {
        if self.seen.len() + answers.len() > NODES_MAX {
            self.seen.retain(|_, (looked_at, _)| now < later(*looked_at, LOOK_AGAIN_AFTER));
        }
        self.seen.extend(answers.into_iter().map(|(node, state)| (node, (now, state))));
    }
}

/// What these nodes do, as far as they can be asked within [`ASKING_MAX`]. A node that cannot be asked now is left out: a fact that
/// only excuses must not hold up the rest of the look.
pub async fn ask(client: &Client, nodes: BTreeSet<String>) -> Vec<(String, NodeState)> {
    let until = Instant::now() + ASKING_MAX;
    let api: Api<NodeLite> = Api::all(client.clone());
    let asked = nodes.into_iter().map(|node| {
        let api = api.clone();
        async move {
            let state = ask_one(&api, &node).await?;
            Some((node, state))
        }
    });
    let mut asking = futures::stream::iter(asked).buffer_unordered(ASKED_AT_ONCE);
    let mut answers = Vec::new();
    while let Ok(Some(answer)) = timeout_at(until, asking.next()).await {
        answers.extend(answer);
    }
    answers
}

async fn ask_one(api: &Api<NodeLite>, node: &str) -> Option<NodeState> {
    match Call::new("get", "Node", "", node).find(api.get_opt(node)).await {
        Ok(None) => Some(NodeState::Gone),
        Ok(Some(found)) => {
            let unknown = found.status.conditions.iter().find(|condition| condition.kind == "Ready" && condition.status == "Unknown");
            let since = unknown.and_then(|condition| condition.last_transition_time.as_ref());
            Some(since.map_or(NodeState::Answering, |time| NodeState::SilentSince(time.0)))
        }
        Err(error) if error.class == Class::Denied => Some(NodeState::Answering),
        Err(error) => {
            tracing::debug!(%node, %error, "the node was not asked");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;

    use super::*;
    use crate::clock::TokioClock;
    use crate::testing::apiserver::{ApiServer, Before, Hook, Key, Kind, Refusal, Seen};
    use crate::testing::builders;

    /// Every GET takes 5 ms; those of nodes with this text in their name never end, or are refused.
    struct Slow {
        hanging: &'static str,
        refused: &'static str,
        asked: AtomicUsize,
    }

    impl Hook for Slow {
        fn latency(&self, _seen: &Seen) -> Duration {
            Duration::from_millis(5)
        }

        fn before(&self, seen: &Seen) -> Before {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let about = |text: &str| !text.is_empty() && seen.key.name.contains(text);
            match (about(self.hanging), about(self.refused)) {
                (true, _) => Before::Hang,
                (_, true) => Before::Refuse(Refusal::new(403, "Forbidden", "nodes is forbidden")),
                _ => Before::Pass,
            }
        }
    }

    fn start() -> Timestamp {
        "2026-11-21T00:00:00Z".parse().unwrap()
    }

    /// Nodes that are silent since the beginning, with those faults, and their names.
    fn silent_nodes(count: usize, hanging: &'static str, refused: &'static str) -> (ApiServer, Arc<Slow>, BTreeSet<String>) {
        let server = ApiServer::new(Arc::new(TokioClock::starting_at(start())), 1);
        let names: BTreeSet<String> = (0..count).map(|number| format!("n{number:03}")).collect();
        for name in &names {
            server.create("test", &builders::node(name)).unwrap();
            let unknown = json!({"conditions": [{"type": "Ready", "status": "Unknown", "lastTransitionTime": start()}]});
            server.patch_status("test", &Key::new(Kind::named("Node"), "", name), &unknown).unwrap();
        }
        let slow = Arc::new(Slow { hanging, refused, asked: AtomicUsize::new(0) });
        server.hook(slow.clone());
        (server, slow, names)
    }

    #[tokio::test(start_paused = true)]
    async fn five_hundred_nodes_are_asked_within_half_a_second() {
        let (server, slow, names) = silent_nodes(500, "", "");
        let begun = Instant::now();
        let answers = ask(&server.client("controller"), names).await;
        assert_eq!((answers.len(), slow.asked.load(Ordering::Relaxed)), (500, 500));
        assert!(answers.iter().all(|(_, state)| *state == NodeState::SilentSince(start())));
        assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_answer_costs_five_seconds_and_not_what_it_said_before() {
        let (server, _, names) = silent_nodes(100, "n05", "");
        let begun = Instant::now();
        let answers = ask(&server.client("controller"), names).await;
        assert_eq!(begun.elapsed(), ASKING_MAX);
        assert_eq!(answers.len(), 50, "the ten that hang fill every place");
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_is_gone_or_may_not_be_seen_is_an_answer() {
        let (server, _, mut names) = silent_nodes(2, "", "n001");
        names.insert("gone".into());
        let mut answers = ask(&server.client("controller"), names).await;
        answers.sort_by(|one, other| one.0.cmp(&other.0));
        let states: Vec<_> = answers.into_iter().map(|(_, state)| state.unreachable_since(Timestamp::UNIX_EPOCH)).collect();
        assert_eq!(states, [Some(Timestamp::UNIX_EPOCH), Some(start()), None]);
    }
}
