//! Sets of fields, as managed fields name them, and the operations on objects that go by such sets.
//! A model, not the whole: lists are atomic but for those that [`list_kind`] knows; maps are never atomic.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// One step into an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A field of a map.
    Field(String),
    /// The item of a list whose field has this value.
    Item(&'static str, String),
    /// This value of a set.
    Member(String),
}

/// From the root to a field.
pub type Path = Vec<Step>;

/// A set of fields: leaves, and the items of keyed lists.
pub type Fields = BTreeSet<Path>;

/// How a list merges.
enum ListKind {
    Keyed(&'static str),
    Set,
    Atomic,
}

fn list_kind(path: &[Step]) -> ListKind {
    match path.last() {
        Some(Step::Field(name)) => match name.as_str() {
            "conditions" => ListKind::Keyed("type"),
            "ownerReferences" => ListKind::Keyed("uid"),
            "containers" | "initContainers" | "volumes" => ListKind::Keyed("name"),
            "finalizers" => ListKind::Set,
            _ => ListKind::Atomic,
        },
        _ => ListKind::Atomic,
    }
}

/// Every leaf of an object.
#[must_use]
pub fn of(object: &Value) -> Fields {
    let mut fields = Fields::new();
    walk(&mut Vec::new(), object, &mut fields);
    fields
}

fn walk(path: &mut Path, value: &Value, fields: &mut Fields) {
    let children = children(path, value);
    if children.is_empty() || matches!(path.last(), Some(Step::Item(..))) {
        fields.insert(path.clone());
    }
    for (step, child) in children {
        path.push(step);
        walk(path, child, fields);
        path.pop();
    }
}

fn children<'a>(path: &[Step], value: &'a Value) -> Vec<(Step, &'a Value)> {
    match (value, list_kind(path)) {
        (Value::Object(map), _) => map.iter().map(|(name, child)| (Step::Field(name.clone()), child)).collect(),
        (Value::Array(items), ListKind::Keyed(key)) => items.iter().map(|item| (Step::Item(key, text(&item[key])), item)).collect(),
        (Value::Array(items), ListKind::Set) => items.iter().map(|item| (Step::Member(text(item)), &Value::Null)).collect(),
        _ => Vec::new(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The value at a path.
#[must_use]
pub fn get<'a>(object: &'a Value, path: &[Step]) -> Option<&'a Value> {
    path.iter().try_fold(object, |value, step| match step {
        Step::Field(name) => value.get(name),
        Step::Item(key, wanted) => value.as_array()?.iter().find(|item| item[*key] == wanted.as_str()),
        Step::Member(wanted) => value.as_array()?.iter().find(|item| *item == wanted.as_str()),
    })
}

/// Takes a field away, and with it the maps and lists that it leaves empty.
pub fn remove(object: &mut Value, path: &[Step]) {
    let Some((step, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        take(object, step);
    } else if let Some(child) = child_mut(object, step) {
        remove(child, rest);
        let emptied = child.as_object().is_some_and(Map::is_empty) || child.as_array().is_some_and(Vec::is_empty);
        if emptied {
            take(object, step);
        }
    }
}

fn take(object: &mut Value, step: &Step) {
    match (object, step) {
        (Value::Object(map), Step::Field(name)) => drop(map.shift_remove(name)),
        (Value::Array(items), Step::Item(key, value)) => items.retain(|item| item[*key] != value.as_str()),
        (Value::Array(items), Step::Member(value)) => items.retain(|item| *item != value.as_str()),
        _ => {}
    }
}

fn child_mut<'a>(object: &'a mut Value, step: &Step) -> Option<&'a mut Value> {
    match step {
        Step::Field(name) => object.get_mut(name),
        Step::Item(key, wanted) => object.as_array_mut()?.iter_mut().find(|item| item[*key] == wanted.as_str()),
        Step::Member(_) => None,
    }
}

/// Puts one object over another: maps field by field, keyed lists item by item, sets united, everything else replaced. With
/// `nulls_remove`, a null takes the field away, as in patches.
pub fn merge(live: &mut Value, over: &Value, nulls_remove: bool) {
    merge_at(&mut Vec::new(), live, over, nulls_remove);
}

fn merge_at(path: &mut Path, live: &mut Value, over: &Value, nulls_remove: bool) {
    match (over, list_kind(path)) {
        (Value::Object(fields), _) => {
            if !live.is_object() {
                *live = json!({});
            }
            for (name, value) in fields.iter().filter(|(name, _)| !name.starts_with('$')) {
                merge_field(path, live, name, value, nulls_remove);
            }
        }
        (Value::Array(items), ListKind::Keyed(key)) => merge_items(path, live, items, key, nulls_remove),
        (Value::Array(items), ListKind::Set) if live.is_array() => {
            let known = live.as_array_mut().expect("asked just before");
            for item in items {
                if !known.contains(item) {
                    known.push(item.clone());
                }
            }
        }
        _ => *live = over.clone(),
    }
}

fn merge_field(path: &mut Path, live: &mut Value, name: &str, value: &Value, nulls_remove: bool) {
    let map = live.as_object_mut().expect("the caller made it one");
    if value.is_null() && nulls_remove {
        map.shift_remove(name);
        return;
    }
    path.push(Step::Field(name.to_owned()));
    merge_at(path, map.entry(name).or_insert(Value::Null), value, nulls_remove);
    path.pop();
}

fn merge_items(path: &mut Path, live: &mut Value, items: &[Value], key: &'static str, nulls_remove: bool) {
    if !live.is_array() {
        *live = json!([]);
    }
    let known = live.as_array_mut().expect("made one just before");
    for item in items {
        let position = known.iter().position(|other| other[key] == item[key]);
        if item["$patch"] == "delete" {
            known.retain(|other| other[key] != item[key]);
            continue;
        }
        path.push(Step::Item(key, text(&item[key])));
        let index = position.unwrap_or_else(|| {
            known.push(json!({}));
            known.len() - 1
        });
        merge_at(path, &mut known[index], item, nulls_remove);
        path.pop();
    }
}

/// `FieldsV1` of a set.
#[must_use]
pub fn encode(fields: &Fields) -> Value {
    let mut root = json!({});
    for path in fields {
        let mut node = &mut root;
        for step in path {
            // A path that goes on below a field which is in the set itself: the dot says so.
            node = node.as_object_mut().expect("every node is a map").entry(name(step)).or_insert_with(|| json!({}));
        }
        let goes_on = fields.range(path.clone()..).nth(1).is_some_and(|next| next.starts_with(path));
        if goes_on {
            node["."] = json!({});
        }
    }
    root
}

fn name(step: &Step) -> String {
    match step {
        Step::Field(name) => format!("f:{name}"),
        Step::Item(key, value) => format!("k:{}", json!({*key: value})),
        Step::Member(value) => format!("v:{}", json!(value)),
    }
}

/// The set of a `FieldsV1`.
#[must_use]
pub fn decode(encoded: &Value) -> Fields {
    let mut fields = Fields::new();
    decode_at(&mut Vec::new(), encoded, &mut fields);
    fields
}

fn decode_at(path: &mut Path, node: &Value, fields: &mut Fields) {
    let Some(map) = node.as_object() else { return };
    if map.is_empty() || map.contains_key(".") {
        fields.insert(path.clone());
    }
    for (name, child) in map {
        if let Some(step) = step(name) {
            path.push(step);
            decode_at(path, child, fields);
            path.pop();
        }
    }
}

fn step(name: &str) -> Option<Step> {
    if let Some(field) = name.strip_prefix("f:") {
        return Some(Step::Field(field.into()));
    }
    if let Some(value) = name.strip_prefix("v:") {
        return serde_json::from_str(value).ok().map(Step::Member);
    }
    let item: Value = serde_json::from_str(name.strip_prefix("k:")?).ok()?;
    ["type", "uid", "name"].into_iter().find_map(|key| Some(Step::Item(key, item.get(key)?.as_str()?.to_owned())))
}

/// As conflicts name it: `.data.pointer\.json`, `.status.conditions[type="Ready"].status`.
#[must_use]
pub fn display(path: &[Step]) -> String {
    path.iter().fold(String::new(), |text, step| match step {
        Step::Field(name) => format!("{text}.{name}"),
        Step::Item(key, value) => format!("{text}[{key}={value:?}]"),
        Step::Member(value) => format!("{text}[={value:?}]"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_survives_its_encoding() {
        let object = json!({"metadata": {"labels": {"a": "1"}, "finalizers": ["x/y"]}, "data": {"p": "1"}, "empty": {},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]}, "list": [1, 2]});
        let fields = of(&object);
        let encoded = encode(&fields);
        assert_eq!(decode(&encoded), fields);
        assert_eq!(encoded["f:status"]["f:conditions"]["k:{\"type\":\"Ready\"}"], json!({".": {}, "f:status": {}, "f:type": {}}));
        assert_eq!(encoded["f:metadata"]["f:finalizers"], json!({"v:\"x/y\"": {}}));
        assert_eq!(encoded["f:list"], json!({}));
    }

    #[test]
    fn removing_the_last_field_removes_the_map() {
        let mut object = json!({"metadata": {"labels": {"a": "1"}}, "data": {"p": "1", "q": "2"}});
        remove(&mut object, &[Step::Field("metadata".into()), Step::Field("labels".into()), Step::Field("a".into())]);
        remove(&mut object, &[Step::Field("data".into()), Step::Field("q".into())]);
        assert_eq!(object, json!({"data": {"p": "1"}}));
    }

    #[test]
    fn conditions_merge_by_type_and_can_be_deleted() {
        let mut live = json!({"conditions": [{"type": "A", "status": "True", "reason": "R"}, {"type": "B", "status": "True"}]});
        merge(&mut live, &json!({"conditions": [{"type": "A", "status": "False"}, {"type": "B", "$patch": "delete"}]}), true);
        assert_eq!(live, json!({"conditions": [{"type": "A", "status": "False", "reason": "R"}]}));
    }
}
