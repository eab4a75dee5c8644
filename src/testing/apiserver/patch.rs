//! Merge, strategic merge and JSON patches.
//! Never the last word: what a patch makes goes the same way as a whole object.

use serde_json::{Value, json};

use super::fields;
use super::refusal::Refusal;
use super::request::PatchKind;

/// The object with the patch applied.
pub(super) fn apply(kind: PatchKind, object: &Value, patch: &Value) -> Result<Value, Refusal> {
    let mut patched = object.clone();
    match kind {
        PatchKind::Json => operations(&mut patched, patch)?,
        PatchKind::Strategic => fields::merge(&mut patched, patch, true),
        PatchKind::Merge | PatchKind::Apply => merge(&mut patched, patch),
    }
    Ok(patched)
}

/// RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let map = target.as_object_mut().expect("made one just before");
    for (name, value) in fields {
        if value.is_null() {
            map.shift_remove(name);
        } else {
            merge(map.entry(name).or_insert(Value::Null), value);
        }
    }
}

/// RFC 6902, as far as `test`, `add`, `replace` and `remove`.
fn operations(object: &mut Value, patch: &Value) -> Result<(), Refusal> {
    let operations = patch.as_array().ok_or_else(|| Refusal::bad_request("a JSON patch is a list"))?;
    for operation in operations {
        one(object, operation)
            .ok_or_else(|| Refusal::new(422, "Invalid", "the server rejected our request due to an error in our request"))?;
    }
    Ok(())
}

fn one(object: &mut Value, operation: &Value) -> Option<()> {
    let path = operation["path"].as_str()?;
    let value = &operation["value"];
    match operation["op"].as_str()? {
        "test" => (object.pointer(path).unwrap_or(&Value::Null) == value).then_some(()),
        "replace" => object.pointer_mut(path).map(|place| *place = value.clone()),
        "add" => add(object, path, value),
        "remove" => remove(object, path),
        _ => None,
    }
}

fn parent<'a>(object: &'a mut Value, path: &str) -> Option<(&'a mut Value, String)> {
    let (parent, last) = path.rsplit_once('/')?;
    Some((object.pointer_mut(parent)?, last.replace("~1", "/").replace("~0", "~")))
}

fn add(object: &mut Value, path: &str, value: &Value) -> Option<()> {
    match parent(object, path)? {
        (Value::Object(map), name) => drop(map.insert(name, value.clone())),
        (Value::Array(items), name) if name == "-" => items.push(value.clone()),
        (Value::Array(items), name) => {
            let index = name.parse().ok().filter(|index| *index <= items.len())?;
            items.insert(index, value.clone());
        }
        _ => return None,
    }
    Some(())
}

fn remove(object: &mut Value, path: &str) -> Option<()> {
    match parent(object, path)? {
        (Value::Object(map), name) => map.shift_remove(&name).map(drop),
        (Value::Array(items), name) => {
            let index = name.parse().ok().filter(|index| *index < items.len())?;
            items.remove(index);
            Some(())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_patch_stops_at_a_test_that_fails() {
        let object = json!({"a": {"x/y": 1}, "l": [1]});
        let patch = json!([{"op": "test", "path": "/a/x~1y", "value": 1}, {"op": "add", "path": "/l/-", "value": 2}, {"op": "remove", "path": "/a/x~1y"}]);
        assert_eq!(apply(PatchKind::Json, &object, &patch).unwrap(), json!({"a": {}, "l": [1, 2]}));
        for bad in [json!([{"op": "test", "path": "/a/x~1y", "value": 2}]), json!([{"op": "remove", "path": "/none"}])] {
            assert_eq!(apply(PatchKind::Json, &object, &bad).unwrap_err().code, 422, "{bad}");
        }
    }

    #[test]
    fn a_merge_patch_replaces_lists_and_a_strategic_one_merges_conditions() {
        let object = json!({"status": {"conditions": [{"type": "A"}, {"type": "B"}]}, "x": 1});
        let patch = json!({"status": {"conditions": [{"type": "B", "status": "True"}]}, "x": null});
        assert_eq!(apply(PatchKind::Merge, &object, &patch).unwrap(), json!({"status": {"conditions": [{"type": "B", "status": "True"}]}}));
        let strategic = apply(PatchKind::Strategic, &object, &patch).unwrap();
        assert_eq!(strategic, json!({"status": {"conditions": [{"type": "A"}, {"type": "B", "status": "True"}]}}));
    }
}
