//! Every way to change an object, with the preconditions of the real server.
//! Never writes when nothing would change.

use std::sync::Arc;

use serde_json::{Value, json};

use super::kinds::{Key, Kind};
use super::managed::{self, Writer};
use super::patch;
use super::refusal::Refusal;
use super::request::{Call, Verb};
use super::state::State;

/// What a write answers: HTTP code and body.
pub(super) type Answer = Result<(u16, Arc<Value>), Refusal>;

/// Carries out a mutating call.
pub(super) fn carry_out(state: &mut State, call: &Call, actor: &str) -> Answer {
    match call.verb {
        Verb::Create => create(state, call, actor),
        Verb::Delete => delete(state, call, actor),
        Verb::Apply => apply(state, call, actor),
        Verb::Update => update(state, call, actor),
        Verb::Patch => {
            let old = live(state, &call.key())?;
            let patched = patch::apply(call.patch, &old, &call.body)?;
            settle(state, call, &old, &patched, actor, Books::ToBeWritten)
        }
        Verb::Get | Verb::List | Verb::Watch => unreachable!("reads are answered elsewhere"),
    }
}

fn live(state: &State, key: &Key) -> Result<Arc<Value>, Refusal> {
    state.get(key).cloned().ok_or_else(|| Refusal::not_found(key))
}

fn writer(call: &Call, actor: &str, operation: &'static str) -> Writer {
    let manager = call.ask("fieldManager").unwrap_or(actor).to_owned();
    Writer { manager, operation, api_version: call.kind.api_version(), status: call.status }
}

fn create(state: &mut State, call: &Call, actor: &str) -> Answer {
    let given = &call.body["metadata"];
    if given["namespace"].as_str().is_some_and(|namespace| call.kind.namespaced && namespace != call.namespace) {
        return Err(Refusal::bad_request("the namespace of the provided object does not match the namespace sent on the request"));
    }
    if given["resourceVersion"].as_str().is_some_and(|version| !version.is_empty()) {
        return Err(Refusal::new(500, "", "resourceVersion should not be set on objects to be created"));
    }
    let name = match (given["name"].as_str(), given["generateName"].as_str()) {
        (Some(name), _) if !name.is_empty() => name.to_owned(),
        (_, Some(prefix)) => format!("{prefix}{}", &state.next_uid()[..5]),
        _ => {
            return Err(Refusal::invalid(
                call.kind,
                "",
                "metadata.name",
                "FieldValueRequired",
                "Required value: name or generateName is required",
            ));
        }
    };
    let key = Key::new(call.kind, &call.namespace, &name);
    if state.get(&key).is_some() {
        return Err(Refusal::already_exists(&key));
    }
    let mut object = call.body.clone();
    let writer = writer(call, actor, "Update");
    born(state, &key, &mut object);
    managed::book(None, &mut object, &writer, &json!(state.now()));
    state.admit(&key, &object, None)?;
    Ok((201, state.commit(key, object, false, actor)))
}

/// Identity, and what a new object may not bring along.
fn born(state: &mut State, key: &Key, object: &mut Value) {
    let kind = key.kind();
    let uid = state.next_uid();
    object["apiVersion"] = json!(kind.api_version());
    object["kind"] = json!(kind.kind);
    let metadata = &mut object["metadata"];
    metadata["name"] = json!(key.name);
    if kind.namespaced {
        metadata["namespace"] = json!(key.namespace);
    }
    metadata["uid"] = json!(uid);
    metadata["creationTimestamp"] = json!(state.now());
    if kind.has_generation {
        metadata["generation"] = json!(1);
    }
    if kind.has_status {
        take(object, "status");
    }
    state.fill_in(kind, object);
}

fn take(object: &mut Value, name: &str) -> Option<Value> {
    object.as_object_mut().and_then(|map| map.shift_remove(name))
}

fn update(state: &mut State, call: &Call, actor: &str) -> Answer {
    let key = call.key();
    let given = &call.body["metadata"];
    if let Some(name) = given["name"].as_str().filter(|name| *name != key.name) {
        let message = format!("the name of the object ({name}) does not match the name on the URL ({})", key.name);
        return Err(Refusal::bad_request(message));
    }
    let old = live(state, &key)?;
    if let Some(uid) = given["uid"].as_str().filter(|uid| old["metadata"]["uid"] != *uid) {
        let found = old["metadata"]["uid"].as_str().unwrap_or_default();
        return Err(Refusal::conflict(&key, &format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {found}")));
    }
    settle(state, call, &old, &call.body, actor, Books::ToBeWritten)
}

fn apply(state: &mut State, call: &Call, actor: &str) -> Answer {
    let key = call.key();
    if call.ask("fieldManager").is_none() {
        return Err(Refusal::no_field_manager());
    }
    if call.body["metadata"]["managedFields"].as_array().is_some_and(|fields| !fields.is_empty()) {
        return Err(Refusal::bad_request("metadata.managedFields must be nil"));
    }
    let writer = writer(call, actor, "Apply");
    let now = json!(state.now());
    let mut intent = through_door(call, &call.body);
    let Some(old) = state.get(&key).cloned() else {
        return apply_to_nothing(state, call, &key, &writer, &mut intent, actor);
    };
    let mut merged = managed::apply(&old, &intent, &writer, call.is_true("force"), &now)?;
    for name in ["uid", "resourceVersion"] {
        if let Some(value) = call.body["metadata"].get(name) {
            merged["metadata"][name] = value.clone();
        }
    }
    settle(state, call, &old, &merged, actor, Books::Written)
}

fn apply_to_nothing(state: &mut State, call: &Call, key: &Key, writer: &Writer, intent: &mut Value, actor: &str) -> Answer {
    if call.status {
        return Err(Refusal::not_found(key));
    }
    if let Some(uid) = call.body["metadata"]["uid"].as_str() {
        let why = format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
        return Err(Refusal::conflict(key, &why));
    }
    let mut object = managed::apply(&json!({}), intent, writer, true, &json!(state.now()))?;
    born(state, key, &mut object);
    state.admit(key, &object, None)?;
    Ok((201, state.commit(key.clone(), object, false, actor)))
}

/// Only what this door lets through: status, or everything but status.
fn through_door(call: &Call, body: &Value) -> Value {
    let mut rest = body.clone();
    if call.status {
        let status = take(&mut rest, "status");
        rest = json!({"metadata": {"name": call.name}});
        rest["status"] = status.unwrap_or(Value::Null);
    } else if call.kind.has_status {
        take(&mut rest, "status");
    }
    rest
}

/// Whether the managed fields of a wish are right already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Books {
    ToBeWritten,
    Written,
}

/// From the object that a caller would like to the one that is stored.
fn settle(state: &mut State, call: &Call, old: &Arc<Value>, wished: &Value, actor: &str, books: Books) -> Answer {
    let key = call.key();
    check(&key, old, wished)?;
    let mut new = combine(call, old, wished);
    keep_identity(&key, old, &mut new)?;
    if books == Books::ToBeWritten {
        managed::book(Some(old), &mut new, &writer(call, actor, "Update"), &json!(state.now()));
    }
    state.fill_in(call.kind, &mut new);
    raise_generation(call.kind, old, &mut new);
    state.admit(&key, &new, Some(old))?;
    if is_over(&new) {
        state.commit(key, new.clone(), true, actor);
        return Ok((200, Arc::new(new)));
    }
    if same(old, &new) {
        return Ok((200, old.clone()));
    }
    Ok((200, state.commit(key, new, false, actor)))
}

/// Optimistic concurrency: a version that is given must be the newest.
fn check(key: &Key, old: &Value, wished: &Value) -> Result<(), Refusal> {
    let given = wished["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    if given.is_empty() || old["metadata"]["resourceVersion"] == given { Ok(()) } else { Err(Refusal::modified(key)) }
}

fn combine(call: &Call, old: &Value, wished: &Value) -> Value {
    let mut new = if call.status { old.clone() } else { wished.clone() };
    if call.status {
        new["status"] = wished["status"].clone();
        new["metadata"]["managedFields"] = wished["metadata"]["managedFields"].clone();
        // The registries of built-in kinds take labels and annotations through the status door too, and refuse another UID; those of
        // custom kinds do not look at either.
        if !call.kind.custom {
            new["metadata"]["uid"] = wished["metadata"]["uid"].clone();
            replace(&mut new["metadata"], &wished["metadata"], &["labels", "annotations"]);
        }
    } else if call.kind.has_status {
        replace(&mut new, old, &["status"]);
    }
    new
}

fn replace(to: &mut Value, from: &Value, names: &[&str]) {
    for name in names {
        match from.get(name) {
            Some(value) => to[*name] = value.clone(),
            None => drop(take(to, name)),
        }
    }
}

fn keep_identity(key: &Key, old: &Value, new: &mut Value) -> Result<(), Refusal> {
    let uid = &new["metadata"]["uid"];
    if !uid.is_null() && *uid != old["metadata"]["uid"] {
        let message = format!("Invalid value: {uid}: field is immutable");
        return Err(Refusal::invalid(key.kind(), &key.name, "metadata.uid", "FieldValueInvalid", &message));
    }
    let system = [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "resourceVersion",
    ];
    replace(&mut new["metadata"], &old["metadata"], &system);
    replace(new, old, &["apiVersion", "kind"]);
    let finalizers = |object: &Value| object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    let added: Vec<Value> = finalizers(new).into_iter().filter(|name| !finalizers(old).contains(name)).collect();
    if is_deleting(old) && !added.is_empty() {
        let message =
            format!("Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers {}", json!(added));
        return Err(Refusal::invalid(key.kind(), &key.name, "metadata.finalizers", "FieldValueForbidden", &message));
    }
    Ok(())
}

fn raise_generation(kind: &Kind, old: &Value, new: &mut Value) {
    let wish = |object: &Value| {
        let mut rest = object.clone();
        take(&mut rest, "metadata");
        take(&mut rest, "status");
        rest
    };
    if kind.has_generation && wish(old) != wish(new) {
        new["metadata"]["generation"] = json!(old["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
    }
}

fn same(old: &Value, new: &Value) -> bool {
    // A time in managed fields alone is no change.
    let plain = |object: &Value| {
        let mut plain = object.clone();
        for entry in plain["metadata"]["managedFields"].as_array_mut().into_iter().flatten() {
            take(entry, "time");
        }
        plain
    };
    plain(old) == plain(new)
}

fn is_deleting(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

/// Deleted, and nothing holds it any more.
fn is_over(object: &Value) -> bool {
    let held = object["metadata"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty());
    is_deleting(object) && !held && object["metadata"]["deletionGracePeriodSeconds"] == 0
}

fn delete(state: &mut State, call: &Call, actor: &str) -> Answer {
    let key = call.key();
    let old = live(state, &key)?;
    for (name, field) in [("uid", "UID"), ("resourceVersion", "ResourceVersion")] {
        let (asked, found) = (&call.body["preconditions"][name], &old["metadata"][name]);
        if !asked.is_null() && asked != found {
            let (asked, found) = (asked.as_str().unwrap_or_default(), found.as_str().unwrap_or_default());
            return Err(Refusal::conflict(
                &key,
                &format!("the {field} in the precondition ({asked}) does not match the {field} in record ({found})"),
            ));
        }
    }
    let grace = grace_seconds(call, &old);
    let mut new = (*old).clone();
    let metadata = &mut new["metadata"];
    let at = state.now() + jiff::SignedDuration::from_secs(grace);
    let sooner = metadata["deletionGracePeriodSeconds"].as_i64().is_none_or(|known| grace < known);
    if sooner {
        metadata["deletionTimestamp"] = json!(at);
        metadata["deletionGracePeriodSeconds"] = json!(grace);
    }
    if is_over(&new) {
        state.commit(key.clone(), new, true, actor);
        let details = json!({"name": key.name, "group": key.group, "kind": key.plural, "uid": old["metadata"]["uid"]});
        return Ok((200, Arc::new(json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}))));
    }
    if same(&old, &new) {
        return Ok((200, old));
    }
    if call.kind.has_generation {
        new["metadata"]["generation"] = json!(old["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
    }
    Ok((200, state.commit(key, new, false, actor)))
}

/// A pod that has a node ends gracefully; its kubelet deletes it for good.
fn grace_seconds(call: &Call, old: &Value) -> i64 {
    if call.kind.kind != "Pod" || old["spec"]["nodeName"].is_null() {
        return 0;
    }
    let spec = old["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(30);
    call.body["gracePeriodSeconds"].as_i64().or_else(|| call.ask("gracePeriodSeconds")?.parse().ok()).unwrap_or(spec)
}
