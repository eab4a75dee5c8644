//! Get and list.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::kinds::Key;
use super::refusal::Refusal;
use super::request::Call;
use super::selector::Selector;
use super::state::State;

/// One object. `from` is the version to answer from; `None` is the newest.
pub(super) fn get(state: &State, call: &Call, from: Option<u64>) -> Result<Value, Refusal> {
    let key = call.key();
    not_from_the_future(state, call)?;
    let object = match from {
        Some(version) => state.at(call.kind, version).remove(&key),
        None => state.get(&key).cloned(),
    };
    object.map(|object| shape(call, &object)).ok_or_else(|| Refusal::not_found(&key))
}

/// The object as this caller wants it: whole, or metadata only.
pub(super) fn shape(call: &Call, object: &Value) -> Value {
    if call.metadata_only {
        json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
    } else {
        object.clone()
    }
}

fn not_from_the_future(state: &State, call: &Call) -> Result<(), Refusal> {
    let (asked, current) = (call.version().unwrap_or(0), state.version());
    if asked <= current {
        return Ok(());
    }
    let causes = json!([{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]);
    let message = format!("Timeout: Too large resource version: {asked}, current: {current}");
    Err(Refusal { details: json!({"causes": causes, "retryAfterSeconds": 1}), ..Refusal::new(504, "Timeout", message) })
}

/// Where a listing goes on: in the state of this version, after this object.
struct Continue {
    version: u64,
    after: (String, String),
}

impl Continue {
    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(json!({"v": self.version, "namespace": self.after.0, "name": self.after.1}).to_string())
    }

    fn decode(token: &str) -> Result<Self, Refusal> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok();
        let value: Option<Value> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let value = value.ok_or_else(|| Refusal::bad_request("invalid continue token: continue key is not valid"))?;
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        Ok(Self { version: value["v"].as_u64().unwrap_or(0), after: (text("namespace"), text("name")) })
    }
}

/// A page of objects, all of one version.
pub(super) fn list(state: &State, call: &Call, from: Option<u64>) -> Result<Value, Refusal> {
    not_from_the_future(state, call)?;
    let selector = Selector::parse(call.ask("labelSelector"), call.ask("fieldSelector"))?;
    let begun = call.ask("continue").map(Continue::decode).transpose()?;
    let exactly = (call.ask("resourceVersionMatch") == Some("Exact")).then(|| call.version()).flatten();
    let version = begun.as_ref().map(|begun| begun.version).or(exactly).or(from).unwrap_or(state.version());
    if version < state.compacted() {
        return Err(Refusal::expired(state.compacted(), version));
    }
    let after = begun.map(|begun| begun.after);
    let found: Vec<(Key, Arc<Value>)> = state
        .at(call.kind, version)
        .into_iter()
        .filter(|(key, object)| is_wanted(call, &selector, key, object))
        .filter(|(key, _)| after.as_ref().is_none_or(|after| (&key.namespace, &key.name) > (&after.0, &after.1)))
        .collect();
    Ok(page(call, &found, version))
}

/// Whether a list or watch of this call shows the object.
pub(super) fn is_wanted(call: &Call, selector: &Selector, key: &Key, object: &Value) -> bool {
    (call.namespace.is_empty() || key.namespace == call.namespace) && selector.matches(object)
}

fn page(call: &Call, found: &[(Key, Arc<Value>)], version: u64) -> Value {
    let limit = call.ask("limit").and_then(|limit| limit.parse().ok()).filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let items: Vec<Value> = found.iter().take(limit).map(|(_, object)| shape(call, object)).collect();
    let mut metadata = json!({"resourceVersion": version.to_string()});
    if let (true, Some((last, _))) = (found.len() > limit, found.get(limit.saturating_sub(1))) {
        metadata["continue"] = json!(Continue { version, after: (last.namespace.clone(), last.name.clone()) }.encode());
        metadata["remainingItemCount"] = json!(found.len() - limit);
    }
    let (kind, api_version) = if call.metadata_only {
        ("PartialObjectMetadataList".to_owned(), "meta.k8s.io/v1".to_owned())
    } else {
        (format!("{}List", call.kind.kind), call.kind.api_version())
    };
    json!({"kind": kind, "apiVersion": api_version, "metadata": metadata, "items": items})
}
