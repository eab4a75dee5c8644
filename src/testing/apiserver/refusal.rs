//! How the API server says no: `Status` bodies with the words of the real one.
//! Never a refusal that the real server does not know.

use serde_json::{Value, json};

use super::kinds::{Key, Kind};

/// A `Status` that is an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// HTTP code.
    pub code: u16,
    /// CamelCase word; empty where the real server gives none.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// The object it is about, and causes.
    pub details: Value,
}

/// What every lost optimistic race is told.
const MODIFIED: &str = "the object has been modified; please apply your changes to the latest version and try again";

impl Refusal {
    /// Any refusal.
    #[must_use]
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: json!({}) }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    fn about(key: &Key, code: u16, reason: &'static str, message: String) -> Self {
        let mut details = json!({"name": key.name});
        if !key.group.is_empty() {
            details["group"] = json!(key.group);
        }
        details["kind"] = json!(key.plural);
        Self { code, reason, message, details }
    }

    pub(super) fn not_found(key: &Key) -> Self {
        Self::about(key, 404, "NotFound", format!("{} {:?} not found", key.kind().resource(), key.name))
    }

    pub(super) fn already_exists(key: &Key) -> Self {
        Self::about(key, 409, "AlreadyExists", format!("{} {:?} already exists", key.kind().resource(), key.name))
    }

    pub(super) fn conflict(key: &Key, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} {:?}: {why}", key.kind().resource(), key.name);
        Self::about(key, 409, "Conflict", message)
    }

    pub(super) fn modified(key: &Key) -> Self {
        Self::conflict(key, MODIFIED)
    }

    pub(super) fn invalid(kind: &Kind, name: &str, field: &str, reason: &str, message: &str) -> Self {
        let text = format!("{} {name:?} is invalid: {field}: {message}", kind.full_kind());
        let cause = json!({"reason": reason, "message": message, "field": field});
        let details = json!({"name": name, "group": kind.group, "kind": kind.kind, "causes": [cause]});
        Self { code: 422, reason: "Invalid", message: text, details }
    }

    pub(super) fn no_field_manager() -> Self {
        let message = "Required value: is required for apply patch";
        let cause = json!({"reason": "FieldValueRequired", "message": message, "field": "fieldManager"});
        let text = format!("PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: {message}");
        Self { details: json!({"group": "meta.k8s.io", "kind": "PatchOptions", "causes": [cause]}), ..Self::new(422, "Invalid", text) }
    }

    pub(super) fn expired(compacted: u64, asked: u64) -> Self {
        Self::new(410, "Expired", format!("too old resource version: {asked} ({compacted})"))
    }

    /// The body of the answer.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message});
        if !self.reason.is_empty() {
            body["reason"] = json!(self.reason);
        }
        body["details"] = self.details.clone();
        body["code"] = json!(self.code);
        body
    }
}
