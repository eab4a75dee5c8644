//! The pointer `ConfigMap` on the API server: read by quorum, made empty, written by server-side apply under UID and resource
//! version. Never forces a field away from another manager, and never creates data.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::api::Pointer;
use crate::api::names::{FIELD_MANAGER, LABEL_POINTER, LABEL_RELEASE, NAME_MAP_KEY, POINTER_KEY};
use crate::rollout::decision::PointerWrite;
use crate::rollout::observed::{PointerFacts, PointerFound, PointerGuard};
use crate::rollout::status::StepOutcome;

use super::calls::{Call, CallError, Class};

/// One release's pointer.
#[derive(Clone)]
pub struct PointerObject {
    api: Api<ConfigMap>,
    namespace: String,
    name: String,
    release: String,
}

impl PointerObject {
    /// The `ConfigMap` of this name, as the pointer of this release.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, release: &str) -> Self {
        Self { api: Api::namespaced(client, namespace), namespace: namespace.into(), name: name.into(), release: release.into() }
    }

    /// Reads it by quorum (a GET without resource version).
    pub async fn read(&self) -> Result<PointerFacts, CallError> {
        let found = self.call("get").find(self.api.get_opt(&self.name)).await?;
        Ok(found.map_or(PointerFacts::Absent, |config_map| facts(&config_map)))
    }

    /// Makes it without data. A create that comes late or twice meets 409 and changes nothing.
    pub async fn create(&self) -> Result<StepOutcome, CallError> {
        let body: ConfigMap = serde_json::from_value(json!({"metadata": {"name": self.name, "labels": self.labels()}}))
            .expect("a ConfigMap of constants and names is one");
        let params = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        done_unless_conflict(self.call("create").make(self.api.create(&params, &body)).await)
    }

    /// Writes it under the decision's precondition. A missing or recreated object is a lost race, because the body carries the UID.
    pub async fn write(&self, write: &PointerWrite) -> Result<StepOutcome, CallError> {
        let mut data = json!({ POINTER_KEY: write.pointer.to_json() });
        if let Some(name_map) = &write.name_map {
            data[NAME_MAP_KEY] = Value::from(&**name_map);
        }
        let body = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": self.name,
                "uid": write.expected.uid,
                "resourceVersion": write.expected.resource_version,
                "labels": self.labels(),
            },
            "data": data,
        });
        let (params, patch) = (PatchParams::apply(FIELD_MANAGER), Patch::Apply(&body));
        done_unless_conflict(self.call("apply").make(self.api.patch(&self.name, &params, &patch)).await)
    }

    fn labels(&self) -> Value {
        json!({ LABEL_POINTER: "true", LABEL_RELEASE: self.release })
    }

    fn call(&self, verb: &str) -> Call {
        Call::new(verb, "ConfigMap", &self.namespace, &self.name)
    }
}

/// A 409 means resource version, UID or another field manager: the first two are a lost race, and the third is seen at the next
/// look, from managedFields.
fn done_unless_conflict<T>(answer: Result<T, CallError>) -> Result<StepOutcome, CallError> {
    match answer {
        Ok(_) => Ok(StepOutcome::Done),
        Err(error) if error.class == Class::Conflict => Ok(StepOutcome::Lost),
        Err(error) => Err(error),
    }
}

fn facts(config_map: &ConfigMap) -> PointerFacts {
    let label = |name: &str| config_map.metadata.labels.as_ref().and_then(|labels| labels.get(name)).map(String::as_str);
    let (Some("true"), Some(release)) = (label(LABEL_POINTER), label(LABEL_RELEASE)) else { return PointerFacts::Foreign };
    let data = config_map.data.as_ref();
    let value = |key: &str| data.and_then(|data| data.get(key));
    match Pointer::parse(value(POINTER_KEY).map_or("", String::as_str)) {
        Err(invalid) => PointerFacts::Unreadable(invalid.to_string()),
        Ok(pointer) => PointerFacts::Present(Box::new(PointerFound {
            guard: PointerGuard {
                uid: config_map.metadata.uid.clone().unwrap_or_default(),
                resource_version: config_map.metadata.resource_version.clone().unwrap_or_default(),
            },
            pointer,
            name_map: value(NAME_MAP_KEY).map(|text| Arc::from(text.as_str())),
            contested_by: contested_by(config_map.metadata.managed_fields.as_deref().unwrap_or_default()),
            release: release.to_owned(),
        })),
    }
}

/// The first manager, by name, that is not us and owns one of our keys. We only ever apply data: whoever updates them under our
/// name is somebody else, with whom every apply of ours would be in conflict. The labels may be another's: they are how a `ConfigMap`
/// is given to us, and what they say is looked at before.
fn contested_by(entries: &[ManagedFieldsEntry]) -> Option<String> {
    let is_foreign = |entry: &&ManagedFieldsEntry| {
        let Some(fields) = entry.fields_v1.as_ref().map(|fields| &fields.0) else { return false };
        let data =
            fields.get("f:data").is_some_and(|data| [POINTER_KEY, NAME_MAP_KEY].iter().any(|key| data.get(format!("f:{key}")).is_some()));
        if entry.manager.as_deref() == Some(FIELD_MANAGER) {
            return data && entry.operation.as_deref() == Some("Update");
        }
        data
    };
    entries.iter().filter(is_foreign).filter_map(|entry| entry.manager.clone()).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config_map(data: &Value, manager: &str) -> ConfigMap {
        serde_json::from_value(json!({
            "metadata": {
                "name": "p", "uid": "u", "resourceVersion": "7", "labels": {LABEL_POINTER: "true", LABEL_RELEASE: "shop"},
                "managedFields": [
                    {"manager": "kubectl-label", "fieldsV1": {"f:metadata": {}}},
                    {"manager": manager, "fieldsV1": {"f:data": {"f:pointer.json": {}}}},
                ],
            },
            "data": data,
        }))
        .unwrap()
    }

    #[test]
    fn a_pointer_that_we_wrote_is_ours() {
        let PointerFacts::Present(found) = facts(&config_map(&json!({"other": "x"}), FIELD_MANAGER)) else { panic!() };
        assert_eq!(found.pointer, Pointer::empty());
        assert_eq!((found.contested_by, found.release.as_str()), (None, "shop"));
        assert_eq!(found.guard, PointerGuard { uid: "u".into(), resource_version: "7".into() });
    }

    /// I4: somebody else's write is reported, not fought.
    #[test]
    fn another_writer_of_our_key_is_named() {
        let PointerFacts::Present(found) = facts(&config_map(&json!({}), "argocd-controller")) else { panic!() };
        assert_eq!(found.contested_by.as_deref(), Some("argocd-controller"));
    }

    /// A backup that was put back by a plain create, under our name: each apply of ours would lose against it without a word.
    #[test]
    fn an_update_of_our_key_under_our_name_is_not_ours() {
        let mut config_map = config_map(&json!({}), FIELD_MANAGER);
        config_map.metadata.managed_fields.as_mut().unwrap()[1].operation = Some("Update".into());
        let PointerFacts::Present(found) = facts(&config_map) else { panic!() };
        assert_eq!(found.contested_by.as_deref(), Some(FIELD_MANAGER));
    }

    /// `kube-root-ca.crt` and its kind: an object of the name is no pointer before its owner says so.
    #[test]
    fn an_object_that_nobody_labelled_as_a_pointer_is_somebody_elses() {
        for labels in [
            json!(null),
            json!({LABEL_RELEASE: "shop"}),
            json!({LABEL_POINTER: "true"}),
            json!({LABEL_POINTER: "no", LABEL_RELEASE: "shop"}),
        ] {
            let mut foreign = config_map(&json!({}), "kube-controller-manager");
            foreign.metadata.labels = serde_json::from_value(labels.clone()).unwrap();
            assert_eq!(facts(&foreign), PointerFacts::Foreign, "{labels}");
        }
    }

    /// Whoever keeps the empty `ConfigMap` in Git owns its labels, and gives it away by them.
    #[test]
    fn labels_of_another_manager_give_the_object_to_us() {
        let mut given = config_map(&json!({}), FIELD_MANAGER);
        let labels = json!({"f:metadata": {"f:labels": {"f:rollcall.dev/pointer": {}, "f:rollcall.dev/release": {}}}});
        given.metadata.managed_fields.as_mut().unwrap()[0] =
            serde_json::from_value(json!({"manager": "flux", "operation": "Apply", "fieldsV1": labels})).unwrap();
        let PointerFacts::Present(found) = facts(&given) else { panic!() };
        assert_eq!(found.contested_by, None);
    }

    #[test]
    fn a_document_that_cannot_be_read_is_not_guessed_at() {
        let facts = facts(&config_map(&json!({POINTER_KEY: "{\"protocol\":9}"}), FIELD_MANAGER));
        assert!(matches!(facts, PointerFacts::Unreadable(_)));
    }
}
