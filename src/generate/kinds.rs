//! One reference page for each kind, from the schema that the API server is given.
//! Never a sentence that `kubectl explain` does not have.

use std::fmt::Write as _;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray,
};

use super::{Artifact, page_header};
use crate::api::schema;

/// `docs/reference/<singular>.md`.
pub(super) fn pages() -> Vec<Artifact> {
    schema::crds().iter().map(page).collect()
}

fn page(crd: &CustomResourceDefinition) -> Artifact {
    let names = &crd.spec.names;
    let version = &crd.spec.versions[0];
    let root = version.schema.as_ref().and_then(|s| s.open_api_v3_schema.as_ref()).expect("the derive writes a schema");
    let mut text = page_header("src/api");
    let _ = write!(text, "# {}\n\n`apiVersion: {}/{}`\n", names.kind, crd.spec.group, version.name);
    for part in ["spec", "status"] {
        let Some(schema) = root.properties.as_ref().and_then(|properties| properties.get(part)) else { continue };
        let _ = write!(text, "\n## {part}\n\n{}\n", in_one_line(schema));
        text.push_str("\n| field | type | default | meaning |\n|---|---|---|---|\n");
        rows(&mut text, part, schema);
    }
    whole_object_rules(&mut text, root);
    Artifact { path: format!("docs/reference/{}.md", names.singular.as_deref().unwrap_or(&names.plural)), text }
}

fn whole_object_rules(text: &mut String, root: &JSONSchemaProps) {
    let rules = rules_of(root);
    if rules.is_empty() {
        return;
    }
    text.push_str("\n## Rules across fields\n\n");
    for rule in rules {
        let _ = writeln!(text, "- {rule}");
    }
}

fn rows(text: &mut String, path: &str, schema: &JSONSchemaProps) {
    for (name, field) in schema.properties.iter().flatten() {
        let required = schema.required.iter().flatten().any(|required| required == name);
        let (shape, inner) = (shape(field), innermost(field));
        let path = format!("{path}.{name}{}", if inner.1 { "[]" } else { "" });
        let default = if required { "**required**".into() } else { default_of(field) };
        let _ = writeln!(text, "| `{path}` | {shape} | {default} | {} |", meaning(field));
        rows(text, &path, inner.0);
    }
}

/// The schema of a list's items, or the field's own; true for a list.
fn innermost(field: &JSONSchemaProps) -> (&JSONSchemaProps, bool) {
    match &field.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => (items, true),
        _ => (field, false),
    }
}

fn shape(field: &JSONSchemaProps) -> String {
    let (inner, list) = innermost(field);
    let word = match (&inner.enum_, inner.format.as_deref(), inner.type_.as_deref()) {
        (Some(values), _, _) => {
            values.iter().map(|JSON(value)| format!("`{}`", value.as_str().unwrap_or_default())).collect::<Vec<_>>().join(", ")
        }
        (None, Some("date-time"), _) => "time".into(),
        (None, _, kind) => kind.unwrap_or("any").into(),
    };
    match (list, field.max_items) {
        (true, Some(max)) => format!("list of {word}, at most {max}"),
        (true, None) => format!("list of {word}"),
        (false, _) => word + &bounds(field),
    }
}

fn bounds(field: &JSONSchemaProps) -> String {
    match (field.minimum, field.maximum, field.min_length, field.max_length) {
        (Some(min), Some(max), _, _) => format!(", {min} to {max}"),
        (_, _, Some(min), Some(max)) if min == max => format!(", {max} characters"),
        (_, _, _, Some(max)) => format!(", at most {max} characters"),
        _ => String::new(),
    }
}

/// The default of an object is that of its fields, which have rows of their own.
fn default_of(field: &JSONSchemaProps) -> String {
    match &field.default {
        Some(JSON(value)) if !value.is_object() => format!("`{value}`"),
        _ => String::new(),
    }
}

fn meaning(field: &JSONSchemaProps) -> String {
    let mut text = in_one_line(field);
    for rule in rules_of(field) {
        let _ = write!(text, " Rule: {rule}.");
    }
    text.replace('|', "\\|")
}

fn rules_of(schema: &JSONSchemaProps) -> Vec<&str> {
    schema.x_kubernetes_validations.iter().flatten().filter_map(|rule| rule.message.as_deref()).collect()
}

fn in_one_line(schema: &JSONSchemaProps) -> String {
    schema.description.as_deref().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nested_field_has_its_row_with_type_bounds_default_and_rule() {
        let page = pages().into_iter().find(|page| page.path.ends_with("assetrelease.md")).unwrap().text;
        let row = |field: &str| {
            page.lines().find(|line| line.starts_with(&format!("| `{field}` |"))).unwrap_or_else(|| panic!("no row for {field}"))
        };
        assert!(row("spec.prefix").contains("**required**"));
        assert!(row("spec.prefix").contains("Rule: must be folder names"));
        assert!(row("spec.progressDeadlineSeconds").contains("integer, 10 to 86400 | `600`"));
        assert!(row("spec.targets[].workloadRef.kind").contains("`Deployment`, `StatefulSet`, `DaemonSet`"));
        assert!(row("status.history[].at").contains("time"));
        assert!(page.contains("- spec.prefix is immutable"));
    }
}
