//! Managed fields: who set what, and server-side apply, which rests on it.
//! A model: fields are those of [`super::fields`]; apply never guesses.

use serde_json::{Value, json};

use super::fields::{self, Fields, Path, Step};
use super::refusal::Refusal;

/// Who writes, how, and through which door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Writer {
    pub(super) manager: String,
    pub(super) operation: &'static str,
    pub(super) api_version: String,
    pub(super) status: bool,
}

/// What one writer has set.
#[derive(Debug, Clone, PartialEq)]
struct Entry {
    writer: Writer,
    time: Value,
    fields: Fields,
}

fn entries(object: &Value) -> Vec<Entry> {
    let list = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    list.iter().map(Entry::read).collect()
}

impl Entry {
    fn read(line: &Value) -> Self {
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let operation = if line["operation"] == "Apply" { "Apply" } else { "Update" };
        let writer =
            Writer { manager: text("manager"), operation, api_version: text("apiVersion"), status: line["subresource"] == "status" };
        Self { writer, time: line["time"].clone(), fields: fields::decode(&line["fieldsV1"]) }
    }

    fn write(&self) -> Value {
        let Writer { manager, operation, api_version, status } = &self.writer;
        let mut line = json!({"manager": manager, "operation": operation, "apiVersion": api_version, "time": self.time,
            "fieldsType": "FieldsV1", "fieldsV1": fields::encode(&self.fields)});
        if *status {
            line["subresource"] = json!("status");
        }
        line
    }

    /// As conflicts name it.
    fn name(&self) -> String {
        let subresource = if self.writer.status { " with subresource \"status\"" } else { "" };
        let using = if self.writer.operation == "Update" { format!(" using {}", self.writer.api_version) } else { String::new() };
        format!("{:?}{subresource}{using}", self.writer.manager)
    }
}

fn store(object: &mut Value, mut entries: Vec<Entry>) {
    entries.retain(|entry| !entry.fields.is_empty());
    entries.sort_by(|a, b| (a.writer.operation, a.time.as_str()).cmp(&(b.writer.operation, b.time.as_str())));
    object["metadata"]["managedFields"] = entries.iter().map(Entry::write).collect();
}

/// Fields that have no manager: identity and what the server itself sets.
fn of(object: &Value) -> Fields {
    const SYSTEM: [&str; 9] = [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "managedFields",
    ];
    let mut rest = object.clone();
    if let Some(map) = rest.as_object_mut() {
        map.shift_remove("apiVersion");
        map.shift_remove("kind");
        if let Some(metadata) = map.get_mut("metadata").and_then(Value::as_object_mut) {
            for name in SYSTEM {
                metadata.shift_remove(name);
            }
        }
    }
    let mut fields = fields::of(&rest);
    fields.retain(|path| !path.is_empty() && *path != [Step::Field("metadata".into())]);
    fields
}

/// Books an update or patch: whoever changes a field owns it alone.
pub(super) fn book(old: Option<&Value>, new: &mut Value, writer: &Writer, now: &Value) {
    let nothing = Value::Null;
    let before = old.unwrap_or(&nothing);
    let after = of(new);
    let changed: Fields = after.iter().filter(|path| fields::get(before, path) != fields::get(new, path)).cloned().collect();
    let mut entries = entries(before);
    let mut mine = take(&mut entries, writer);
    for entry in &mut entries {
        entry.fields.retain(|path| fields::get(new, path).is_some() && !changed.contains(path));
    }
    mine.fields.retain(|path| after.contains(path));
    if !changed.is_empty() {
        mine.time = now.clone();
    }
    mine.fields.extend(changed);
    entries.push(mine);
    store(new, entries);
}

fn take(entries: &mut Vec<Entry>, writer: &Writer) -> Entry {
    match entries.iter().position(|entry| entry.writer == *writer) {
        Some(index) => entries.remove(index),
        None => Entry { writer: writer.clone(), time: Value::Null, fields: Fields::new() },
    }
}

/// Server-side apply over what is there: the merged object, or the conflicts.
pub(super) fn apply(live: &Value, intent: &Value, writer: &Writer, force: bool, now: &Value) -> Result<Value, Refusal> {
    let wanted = of(intent);
    let mut entries = entries(live);
    let mut mine = take(&mut entries, writer);
    let differing: Fields = wanted.iter().filter(|path| fields::get(live, path) != fields::get(intent, path)).cloned().collect();
    let conflicts = conflicts(&entries, &differing);
    if !conflicts.is_empty() && !force {
        return Err(conflict(&conflicts));
    }
    for entry in &mut entries {
        entry.fields.retain(|path| !differing.contains(path));
    }
    let mut merged = live.clone();
    let dropped = mine.fields.difference(&wanted).filter(|path| !entries.iter().any(|entry| entry.fields.contains(*path)));
    dropped.for_each(|path| fields::remove(&mut merged, path));
    fields::merge(&mut merged, &without_identity(intent), false);
    if mine.fields != wanted || !differing.is_empty() {
        mine.time = now.clone();
    }
    mine.fields = wanted;
    entries.push(mine);
    store(&mut merged, entries);
    Ok(merged)
}

fn without_identity(intent: &Value) -> Value {
    let mut rest = intent.clone();
    if let Some(metadata) = rest["metadata"].as_object_mut() {
        for name in ["uid", "resourceVersion", "managedFields"] {
            metadata.shift_remove(name);
        }
    }
    rest
}

fn conflicts(entries: &[Entry], differing: &Fields) -> Vec<(String, Path)> {
    let of_entry =
        |entry: &Entry| -> Vec<(String, Path)> { entry.fields.intersection(differing).map(|path| (entry.name(), path.clone())).collect() };
    entries.iter().flat_map(of_entry).collect()
}

fn conflict(conflicts: &[(String, Path)]) -> Refusal {
    let causes: Vec<Value> = conflicts
        .iter()
        .map(|(manager, path)| json!({"reason": "FieldManagerConflict", "message": format!("conflict with {manager}"), "field": fields::display(path)}))
        .collect();
    let mut by_manager: Vec<(&String, Vec<String>)> = Vec::new();
    for (manager, path) in conflicts {
        match by_manager.last_mut() {
            Some((name, paths)) if *name == manager => paths.push(fields::display(path)),
            _ => by_manager.push((manager, vec![fields::display(path)])),
        }
    }
    let text = |(manager, paths): &(&String, Vec<String>)| match paths.as_slice() {
        [one] => format!("conflict with {manager}: {one}"),
        many => format!("conflicts with {manager}:\n- {}", many.join("\n- ")),
    };
    let plural = if conflicts.len() == 1 { "" } else { "s" };
    let lines: Vec<String> = by_manager.iter().map(text).collect();
    let message = format!("Apply failed with {} conflict{plural}: {}", conflicts.len(), lines.join("\n"));
    Refusal { details: json!({"causes": causes}), ..Refusal::new(409, "Conflict", message) }
}
