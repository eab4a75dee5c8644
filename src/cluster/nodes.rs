//! Nodes that do not answer, and pods that are still in an EndpointSlice: looked up only for pods that keep a gate closed.
//! Never watched: both matter only while somebody waits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, Client};

use super::calls::{Call, CallError};
use super::lite::{EndpointSliceLite, NodeLite};

/// A node is asked again after this time. Excusing takes minutes, so ten seconds are exact enough.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Nodes that are remembered; beyond it the oldest answers are dropped.
const NODES_MAX: usize = 1_000;

/// What was last seen of each node.
#[derive(Debug, Default)]
pub struct Nodes {
    seen: BTreeMap<String, (Timestamp, Option<Timestamp>)>,
}

impl Nodes {
    /// What is still fresh enough for this node: since when it does not answer, or `Some(None)` when it does.
    #[must_use]
    pub fn fresh(&self, node: &str, now: Timestamp) -> Option<Option<Timestamp>> {
        let (looked_at, unreachable_since) = self.seen.get(node)?;
        (now < *looked_at + LOOK_AGAIN_AFTER).then_some(*unreachable_since)
    }

    /// Remembers an answer.
    pub fn remember(&mut self, node: &str, now: Timestamp, unreachable_since: Option<Timestamp>) {
        if self.seen.len() >= NODES_MAX {
            self.seen.retain(|_, (looked_at, _)| now < *looked_at + LOOK_AGAIN_AFTER);
        }
        self.seen.insert(node.into(), (now, unreachable_since));
    }
}

/// Since when a node does not answer: its Ready condition is `Unknown` (the node controller's word for it). A node that is gone
/// does not answer either, since its pods' creation.
pub async fn unreachable_since(client: &Client, node: &str, gone_since: Timestamp) -> Result<Option<Timestamp>, CallError> {
    let api: Api<NodeLite> = Api::all(client.clone());
    let Some(found) = Call::new("get", "Node", "", node).find(api.get_opt(node)).await? else { return Ok(Some(gone_since)) };
    let ready = found.status.conditions.iter().find(|condition| condition.kind == "Ready" && condition.status == "Unknown");
    Ok(ready.and_then(|condition| condition.last_transition_time.as_ref()).map(|time| time.0))
}

/// UIDs of the pods that any EndpointSlice of the namespace names.
pub async fn pods_in_endpoints(client: &Client, namespace: &str) -> Result<BTreeSet<String>, CallError> {
    let api: Api<EndpointSliceLite> = Api::namespaced(client.clone(), namespace);
    let slices = Call::new("list", "EndpointSlice", namespace, "").make(api.list(&ListParams::default())).await?;
    let endpoints = slices.items.into_iter().flat_map(|slice| slice.endpoints.unwrap_or_default());
    Ok(endpoints.filter_map(|endpoint| endpoint.target_ref?.uid).collect())
}
