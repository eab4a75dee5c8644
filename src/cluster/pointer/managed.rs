//! Reads `metadata.managedFields` of the pointer's `ConfigMap`: who else has a field that Rollcall writes.
//! Never takes a manager of other fields (labels, annotations, other keys) for a writer of the pointer.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;

use crate::api::ForeignText;
use crate::api::names::FIELD_MANAGER;
use crate::rollout::observed::{Contest, FieldManager, Operation, PointerField};

/// What keeps our next apply from succeeding: fields that another manager has (the first manager by name; the others are counted), and
/// fields that are there although nobody has them.
pub(super) fn contest(config_map: &ConfigMap) -> Option<Contest> {
    let entries = entries(config_map);
    let mut by_manager = BTreeMap::<FieldManager, Vec<PointerField>>::new();
    for entry in entries.iter().filter(|entry| !is_our_apply(entry)) {
        let owned = PointerField::ALL.into_iter().filter(|field| owns_field(entry, *field) && is_in_the_way(config_map, *field));
        owned.for_each(|field| by_manager.entry(manager(entry)).or_default().push(field));
    }
    let others = by_manager.len().saturating_sub(1);
    if let Some((manager, mut fields)) = by_manager.into_iter().next() {
        fields.sort_unstable();
        fields.dedup();
        return Some(Contest { manager: Some(manager), fields, others });
    }
    let fields: Vec<_> = PointerField::ALL.into_iter().filter(|field| is_unowned(config_map, *field)).collect();
    (!fields.is_empty()).then_some(Contest { manager: None, fields, others: 0 })
}

/// Who has the document, if Rollcall does not.
pub(super) fn writer_of_the_document(config_map: &ConfigMap) -> Option<FieldManager> {
    let foreign = entries(config_map).iter().filter(|entry| !is_our_apply(entry) && owns_field(entry, PointerField::Document));
    foreign.map(manager).min()
}

/// Who has a label, if Rollcall does not have it, too: it is set when the object is made, and again by each apply.
pub(super) fn setter_of_label(config_map: &ConfigMap, label: &str) -> Option<FieldManager> {
    let is_of_others = |entry: &&ManagedFieldsEntry| entry.manager.as_deref() != Some(FIELD_MANAGER);
    let owners = entries(config_map).iter().filter(|entry| owns(entry, &["f:metadata", "f:labels", &format!("f:{label}")]));
    owners.filter(is_of_others).map(manager).min()
}

fn entries(config_map: &ConfigMap) -> &[ManagedFieldsEntry] {
    config_map.metadata.managed_fields.as_deref().unwrap_or_default()
}

/// Rollcall only ever applies data: a request of another kind under its name is another program's, and conflicts with each apply.
fn is_our_apply(entry: &ManagedFieldsEntry) -> bool {
    let is_apply = entry.operation.as_deref() == Some("Apply");
    entry.manager.as_deref() == Some(FIELD_MANAGER) && is_apply && subresource(entry).is_none()
}

fn manager(entry: &ManagedFieldsEntry) -> FieldManager {
    let operation = if entry.operation.as_deref() == Some("Apply") { Operation::Apply } else { Operation::Update };
    let name = ForeignText::of(entry.manager.as_deref().unwrap_or_default());
    FieldManager { name, operation, subresource: subresource(entry).map(ForeignText::of) }
}

fn subresource(entry: &ManagedFieldsEntry) -> Option<&str> {
    entry.subresource.as_deref().filter(|name| !name.is_empty())
}

/// An entry without `fieldsV1` has nothing.
fn owns(entry: &ManagedFieldsEntry, path: &[&str]) -> bool {
    let root = entry.fields_v1.as_ref().map(|fields| &fields.0);
    path.iter().try_fold(root, |at, name| at.map(|fields| fields.get(*name))).flatten().is_some()
}

fn owns_field(entry: &ManagedFieldsEntry, field: PointerField) -> bool {
    match field.place() {
        (field, Some(key)) => owns(entry, &[&format!("f:{field}"), &format!("f:{key}")]),
        (field, None) => owns(entry, &[&format!("f:{field}")]),
    }
}

/// `immutable: false` is in nobody's way.
fn is_in_the_way(config_map: &ConfigMap, field: PointerField) -> bool {
    match field {
        PointerField::Document | PointerField::NameMap => true,
        PointerField::BinaryDocument | PointerField::BinaryNameMap => is_there(config_map, field),
        PointerField::Immutable => config_map.immutable == Some(true),
    }
}

/// Whether a field is there, is in the way, and belongs to nobody. Where managedFields were cleared, the API server takes all that is there
/// for another manager's (`before-first-apply`), and refuses an apply that changes it.
fn is_unowned(config_map: &ConfigMap, field: PointerField) -> bool {
    match field {
        PointerField::Document | PointerField::NameMap => entries(config_map).is_empty() && is_there(config_map, field),
        PointerField::BinaryDocument | PointerField::BinaryNameMap | PointerField::Immutable => is_in_the_way(config_map, field),
    }
}

fn is_there(config_map: &ConfigMap, field: PointerField) -> bool {
    match field.place() {
        ("data", Some(key)) => config_map.data.as_ref().is_some_and(|data| data.contains_key(key)),
        (_, Some(key)) => config_map.binary_data.as_ref().is_some_and(|data| data.contains_key(key)),
        (_, None) => config_map.immutable.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::names::{LABEL_RELEASE, POINTER_KEY};

    fn config_map(data: &Value, entries: &Value) -> ConfigMap {
        let mut object = json!({"metadata": {"name": "p", "managedFields": entries}});
        object.as_object_mut().unwrap().extend(data.as_object().unwrap().clone());
        serde_json::from_value(object).unwrap()
    }

    fn ours() -> Value {
        let labels = json!({"f:labels": {"f:rollcall.dev/pointer": {}, "f:rollcall.dev/release": {}}});
        let fields = json!({"f:metadata": labels, "f:data": {"f:pointer.json": {}, "f:manifest.json": {}}});
        json!({"manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": fields})
    }

    fn entry(manager: &str, operation: &str, fields: &Value) -> Value {
        json!({"manager": manager, "operation": operation, "fieldsV1": fields})
    }

    fn written() -> Value {
        json!({"data": {POINTER_KEY: "{}", "manifest.json": "{}"}})
    }

    fn told(data: &Value, entries: &Value) -> Option<(Option<String>, Vec<String>, usize)> {
        let contest = contest(&config_map(data, entries))?;
        let fields = contest.fields.iter().map(ToString::to_string).collect();
        Some((contest.manager.map(|manager| manager.to_string()), fields, contest.others))
    }

    /// I9: who sets labels, annotations or other keys has not written the pointer.
    #[test]
    fn a_manager_of_labels_annotations_and_other_keys_is_not_named_as_a_writer_of_the_pointer() {
        let harmless = [
            json!({"f:metadata": {"f:labels": {"f:rollcall.dev/release": {}, "f:rollcall.dev/pointer": {}}}}),
            json!({"f:metadata": {"f:annotations": {".": {}, "f:argocd.argoproj.io/tracking-id": {}}}}),
            json!({"f:data": {".": {}, "f:note": {}}}),
            json!({"f:data": {}}),
            json!({"f:binaryData": {".": {}, "f:logo.png": {}}}),
            json!({"f:immutable": {}}),
        ];
        for fields in harmless {
            for operation in ["Update", "Apply"] {
                assert_eq!(told(&written(), &json!([ours(), entry("kubectl-label", operation, &fields)])), None, "{fields}");
            }
        }
        assert_eq!(told(&written(), &json!([ours(), {"manager": "old", "operation": "Update"}])), None, "an entry without fieldsV1");
    }

    #[test]
    fn each_field_that_is_in_the_way_is_named_with_its_own_manager() {
        let name_map = entry("kustomize-controller", "Apply", &json!({"f:data": {"f:manifest.json": {}}}));
        let expected = |who: &str, fields: &[&str]| Some((Some(who.to_owned()), fields.iter().map(ToString::to_string).collect(), 0));
        let flux = "the field manager \"kustomize-controller\" (operation Apply)";
        assert_eq!(told(&written(), &json!([ours(), name_map])), expected(flux, &["data[\"manifest.json\"]"]));

        let both = json!({"f:data": {"f:manifest.json": {}, "f:pointer.json": {}}});
        let through_status = json!({"manager": "x", "operation": "Update", "subresource": "status", "fieldsV1": both});
        let who = "the field manager \"x\" (operation Update, subresource \"status\")";
        assert_eq!(told(&written(), &json!([through_status])), expected(who, &["data[\"pointer.json\"]", "data[\"manifest.json\"]"]));

        let binary = entry("kubectl-edit", "Update", &json!({"f:binaryData": {"f:pointer.json": {}}}));
        let who = "the field manager \"kubectl-edit\" (operation Update)";
        assert_eq!(told(&json!({"binaryData": {POINTER_KEY: "e30="}}), &json!([binary])), expected(who, &["binaryData[\"pointer.json\"]"]));

        let immutable = entry("kubectl-patch", "Update", &json!({"f:immutable": {}}));
        let who = "the field manager \"kubectl-patch\" (operation Update)";
        assert_eq!(
            told(&json!({"immutable": true, "data": {POINTER_KEY: "{}"}}), &json!([ours(), immutable])),
            expected(who, &["immutable"])
        );
    }

    /// A backup that was put back by a plain create, under our name: each apply of ours would lose against it without a word.
    #[test]
    fn an_update_of_our_key_under_our_name_is_not_ours() {
        let restored = entry(FIELD_MANAGER, "Update", &json!({"f:data": {"f:pointer.json": {}}}));
        let (who, ..) = told(&written(), &json!([restored])).unwrap();
        assert_eq!(who.as_deref(), Some("the field manager \"rollcall\" (operation Update)"));
        let status = json!({"manager": FIELD_MANAGER, "operation": "Apply", "subresource": "status", "fieldsV1": {"f:data": {"f:pointer.json": {}}}});
        assert!(told(&written(), &json!([status])).is_some());
    }

    #[test]
    fn of_many_managers_the_first_by_name_is_named_and_the_others_are_counted() {
        let fields = json!({"f:data": {"f:pointer.json": {}}});
        let mut all: Vec<Value> = (0..500).rev().map(|n| entry(&format!("m{n:03}"), "Apply", &fields)).collect();
        all.push(ours());
        let (who, fields, others) = told(&written(), &json!(all)).unwrap();
        assert_eq!((who.as_deref(), fields.len(), others), (Some("the field manager \"m000\" (operation Apply)"), 1, 499));
    }

    /// The API server then refuses each apply that changes something, and names `before-first-apply`, which is no program.
    #[test]
    fn where_managed_fields_were_cleared_nobody_is_named() {
        let (who, fields, _) = told(&written(), &json!([])).unwrap();
        assert_eq!((who, fields), (None, vec!["data[\"pointer.json\"]".to_owned(), "data[\"manifest.json\"]".to_owned()]));
        assert_eq!(told(&json!({"data": {"note": "x"}}), &json!([])), None, "nothing of ours is there");
        let (who, fields, _) = told(&json!({"immutable": true}), &json!([ours()])).unwrap();
        assert_eq!((who, fields), (None, vec!["immutable".to_owned()]));
    }

    #[test]
    fn what_a_manager_calls_itself_is_escaped() {
        let hostile = entry("\u{1b}[2Jgpj.\u{202e}exe", "Apply", &json!({"f:data": {"f:pointer.json": {}}}));
        let (who, ..) = told(&written(), &json!([hostile])).unwrap();
        assert!(!who.unwrap().chars().any(crate::api::foreign::is_hidden));
    }

    #[test]
    fn a_label_is_set_by_who_has_it_and_by_us_where_we_made_it() {
        let labels = json!({"f:metadata": {"f:labels": {"f:rollcall.dev/release": {}}}});
        let setter = |entries: &Value| setter_of_label(&config_map(&written(), entries), LABEL_RELEASE).map(|manager| manager.name);
        assert_eq!(setter(&json!([ours(), entry(FIELD_MANAGER, "Update", &labels)])), None);
        assert_eq!(setter(&json!([ours(), entry("kubectl-label", "Update", &labels)])).as_deref(), Some("kubectl-label"));
        assert_eq!(setter(&json!([entry("x", "Update", &json!({"f:metadata": {"f:labels": {"f:app": {}}}}))])), None);
    }
}
