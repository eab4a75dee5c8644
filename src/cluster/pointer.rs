//! The pointer `ConfigMap` on the API server: read by quorum, made empty, written by server-side apply under UID and resource
//! version. Never forces a field away from another manager, and never creates data.

mod managed;

use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::api::names::{FIELD_MANAGER, LABEL_POINTER, LABEL_RELEASE, NAME_MAP_KEY, POINTER_KEY};
use crate::api::{ForeignText, Pointer};
use crate::rollout::decision::PointerWrite;
use crate::rollout::observed::{ForeignLabels, PointerFacts, PointerFound, PointerGuard};
use crate::rollout::status::StepOutcome;

use super::calls::{Call, CallError, Class};
use super::lite::WrittenPointer;

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WrittenAs {
    /// It was carried out, and brought this resource version.
    Version(String),
    /// Something had changed: nothing was written.
    Lost,
}

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

    /// Makes it this release's by its label, under this precondition, and changes nothing else. No apply: it would have to carry the document, and
    /// the admission policy lets the label go only with the document as it was.
    pub async fn adopt(&self, expected: &PointerGuard) -> Result<StepOutcome, CallError> {
        let body = json!({"metadata": {
            "uid": expected.uid,
            "resourceVersion": expected.resource_version,
            "labels": {LABEL_RELEASE: self.release},
        }});
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        done_unless_conflict(self.call("patch").make(self.api.patch(&self.name, &params, &Patch::Merge(&body))).await)
    }

    /// Writes it under the decision's precondition. A missing or recreated object is a lost race, because the body carries the UID.
    pub async fn write(&self, write: &PointerWrite) -> Result<WrittenAs, CallError> {
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
        let api: Api<WrittenPointer> = Api::namespaced(self.api.clone().into_client(), &self.namespace);
        let written = unless_conflict(self.call("apply").make(api.patch(&self.name, &params, &patch)).await)?;
        Ok(written.map_or(WrittenAs::Lost, |written| WrittenAs::Version(written.metadata.resource_version.unwrap_or_default())))
    }

    fn labels(&self) -> Value {
        json!({ LABEL_POINTER: "true", LABEL_RELEASE: self.release })
    }

    fn call(&self, verb: &str) -> Call {
        Call::new(verb, "ConfigMap", &self.namespace, &self.name)
    }
}

/// A 409 means resource version, UID or another field manager: the first two are a lost race, and the third is seen at the next
/// look, from managedFields, which say more than the refusal.
fn unless_conflict<T>(answer: Result<T, CallError>) -> Result<Option<T>, CallError> {
    match answer {
        Ok(written) => Ok(Some(written)),
        Err(error) if error.class == Class::Conflict => Ok(None),
        Err(error) => Err(error),
    }
}

fn done_unless_conflict<T>(answer: Result<T, CallError>) -> Result<StepOutcome, CallError> {
    Ok(unless_conflict(answer)?.map_or(StepOutcome::Lost, |_| StepOutcome::Done))
}

fn facts(config_map: &ConfigMap) -> PointerFacts {
    let label = |name: &str| config_map.metadata.labels.as_ref().and_then(|labels| labels.get(name)).map(String::as_str);
    let (Some("true"), Some(release)) = (label(LABEL_POINTER), label(LABEL_RELEASE)) else {
        return PointerFacts::Foreign(foreign_labels(config_map, label(LABEL_POINTER), label(LABEL_RELEASE)));
    };
    let data = config_map.data.as_ref();
    let value = |key: &str| data.and_then(|data| data.get(key));
    match Pointer::parse(value(POINTER_KEY).map_or("", String::as_str)) {
        Err(invalid) => PointerFacts::Unreadable { cause: invalid.to_string(), written_by: managed::writer_of_the_document(config_map) },
        Ok(pointer) => PointerFacts::Present(Box::new(PointerFound {
            guard: PointerGuard {
                uid: config_map.metadata.uid.clone().unwrap_or_default(),
                resource_version: config_map.metadata.resource_version.clone().unwrap_or_default(),
            },
            pointer,
            name_map: value(NAME_MAP_KEY).map(|text| Arc::from(text.as_str())),
            contest: managed::contest(config_map),
            release: release.to_owned(),
            labelled_by: managed::setter_of_label(config_map, LABEL_RELEASE),
        })),
    }
}

/// The first of the two labels that is wrong is looked at more closely.
fn foreign_labels(config_map: &ConfigMap, pointer: Option<&str>, release: Option<&str>) -> ForeignLabels {
    let wrong = if pointer == Some("true") { LABEL_RELEASE } else { LABEL_POINTER };
    ForeignLabels {
        pointer: pointer.map(ForeignText::of),
        release: release.map(ForeignText::of),
        set_by: managed::setter_of_label(config_map, wrong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::observed::PointerField;

    fn config_map(data: &Value, manager: &str) -> ConfigMap {
        serde_json::from_value(json!({
            "metadata": {
                "name": "p", "uid": "u", "resourceVersion": "7", "labels": {LABEL_POINTER: "true", LABEL_RELEASE: "shop"},
                "managedFields": [
                    {"manager": "kubectl-label", "fieldsV1": {"f:metadata": {}}},
                    {"manager": manager, "operation": "Apply", "fieldsV1": {"f:data": {"f:pointer.json": {}}}},
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
        assert_eq!((found.contest, found.release.as_str()), (None, "shop"));
        assert_eq!(found.guard, PointerGuard { uid: "u".into(), resource_version: "7".into() });
    }

    /// I4: somebody else's write is reported, not fought.
    #[test]
    fn another_writer_of_our_key_is_named() {
        let PointerFacts::Present(found) = facts(&config_map(&json!({}), "argocd-controller")) else { panic!() };
        let contest = found.contest.unwrap();
        assert_eq!(contest.manager.unwrap().name, "argocd-controller");
        assert_eq!(contest.fields, [PointerField::Document]);
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
            assert!(matches!(facts(&foreign), PointerFacts::Foreign(_)), "{labels}");
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
        assert_eq!(found.contest, None);
        assert_eq!(found.labelled_by.unwrap().name, "flux");
    }

    /// I9: a person who takes the pointer away by its label is named for the label, and for nothing else.
    #[test]
    fn who_changed_a_label_is_named_for_the_label() {
        let mut relabelled = config_map(&json!({}), FIELD_MANAGER);
        relabelled.metadata.labels.as_mut().unwrap().insert(LABEL_POINTER.into(), "false".into());
        let labels = json!({"f:metadata": {"f:labels": {"f:rollcall.dev/pointer": {}}}});
        relabelled.metadata.managed_fields.as_mut().unwrap()[0] =
            serde_json::from_value(json!({"manager": "kubectl-label", "operation": "Update", "fieldsV1": labels})).unwrap();
        let PointerFacts::Foreign(found) = facts(&relabelled) else { panic!() };
        assert_eq!((found.pointer.as_deref(), found.release.as_deref()), (Some("false"), Some("shop")));
        assert_eq!(found.set_by.unwrap().name, "kubectl-label");
    }

    #[test]
    fn a_document_that_cannot_be_read_is_not_guessed_at() {
        let facts = facts(&config_map(&json!({POINTER_KEY: "{\"protocol\":9}"}), FIELD_MANAGER));
        assert!(matches!(facts, PointerFacts::Unreadable { written_by: None, .. }));
    }
}
