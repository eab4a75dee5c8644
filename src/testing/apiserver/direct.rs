//! Writes and reads without a client, for the parts of a world that are modelled: kubelet, scheduler, the user's hand.
//! They go the same way as requests, but no hook is asked and no request is logged.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::kinds::{Key, Kind};
use super::refusal::Refusal;
use super::request::{Call, PatchKind, Verb};
use super::state::Change;
use super::{ApiServer, write};

impl ApiServer {
    /// The object as it stands.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Arc<Value>> {
        self.shared.state().get(key).cloned()
    }

    /// All objects of a kind.
    #[must_use]
    pub fn all(&self, kind: &'static Kind) -> BTreeMap<Key, Arc<Value>> {
        let state = self.shared.state();
        state.at(kind, state.version())
    }

    /// Every write so far.
    #[must_use]
    pub fn history(&self) -> Vec<Change> {
        self.shared.state().history().to_vec()
    }

    /// The newest `resourceVersion`.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.shared.state().version()
    }

    /// Makes an object; `kind`, namespace and name stand in it. A status in it is written, too.
    pub fn create(&self, actor: &str, object: &Value) -> Result<Arc<Value>, Refusal> {
        let kind = Kind::named(object["kind"].as_str().unwrap_or_default());
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        let made = self.direct(actor, &call(kind, Verb::Create, namespace, None, object.clone()))?;
        if !kind.has_status || object["status"].is_null() {
            return Ok(made);
        }
        let name = made["metadata"]["name"].as_str().unwrap_or_default();
        self.patch_status(actor, &Key::new(kind, namespace, name), &object["status"])
    }

    /// Applies an object under this field manager, as `kubectl apply --server-side` does.
    pub fn apply(&self, manager: &str, object: &Value) -> Result<Arc<Value>, Refusal> {
        let kind = Kind::named(object["kind"].as_str().unwrap_or_default());
        let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default();
        let query = BTreeMap::from([("fieldManager".to_owned(), manager.to_owned())]);
        self.direct("user", &Call { query, ..call(kind, Verb::Apply, text("namespace"), Some(text("name")), object.clone()) })
    }

    /// Merges into an object, its status left out.
    pub fn patch(&self, actor: &str, key: &Key, patch: &Value) -> Result<Arc<Value>, Refusal> {
        self.direct(actor, &call(key.kind(), Verb::Patch, &key.namespace, Some(&key.name), patch.clone()))
    }

    /// Merges into the status of an object; conditions by their type.
    pub fn patch_status(&self, actor: &str, key: &Key, status: &Value) -> Result<Arc<Value>, Refusal> {
        let body = json!({"status": status});
        let call = Call { status: true, ..call(key.kind(), Verb::Patch, &key.namespace, Some(&key.name), body) };
        self.direct(actor, &call)
    }

    /// Deletes an object; finalizers and a grace period hold it as ever.
    pub fn delete(&self, actor: &str, key: &Key) -> Result<Arc<Value>, Refusal> {
        self.direct(actor, &call(key.kind(), Verb::Delete, &key.namespace, Some(&key.name), Value::Null))
    }

    /// Deletes a pod at once, as its kubelet does when its containers have ended.
    pub fn delete_now(&self, actor: &str, key: &Key) -> Result<Arc<Value>, Refusal> {
        let body = json!({"gracePeriodSeconds": 0});
        self.direct(actor, &call(key.kind(), Verb::Delete, &key.namespace, Some(&key.name), body))
    }

    fn direct(&self, actor: &str, call: &Call) -> Result<Arc<Value>, Refusal> {
        let (before, answer) = {
            let mut state = self.shared.state();
            (state.version(), write::carry_out(&mut state, call, actor))
        };
        self.shared.announce(before);
        answer.map(|(_, object)| object)
    }
}

fn call(kind: &'static Kind, verb: Verb, namespace: &str, name: Option<&str>, body: Value) -> Call {
    Call {
        kind,
        verb,
        namespace: namespace.to_owned(),
        name: name.map(str::to_owned),
        status: false,
        query: BTreeMap::new(),
        patch: PatchKind::Strategic,
        body,
        metadata_only: false,
    }
}
