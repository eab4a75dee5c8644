//! From an HTTP request to a call of the API.
//! Never touches an object.

use std::collections::BTreeMap;

use http::Request;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::request::Parts;
use http_body_util::BodyExt as _;
use serde_json::Value;

use super::kinds::{Key, Kind};
use super::refusal::Refusal;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// One object.
    Get,
    /// Many objects.
    List,
    /// Changes.
    Watch,
    /// A new object.
    Create,
    /// A whole object.
    Update,
    /// A merge, strategic merge or JSON patch.
    Patch,
    /// A server-side apply.
    Apply,
    /// The end of an object.
    Delete,
}

impl Verb {
    /// Whether it can change anything.
    #[must_use]
    pub fn mutates(self) -> bool {
        !matches!(self, Self::Get | Self::List | Self::Watch)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PatchKind {
    Merge,
    Strategic,
    Json,
    Apply,
}

/// A request that was understood.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) kind: &'static Kind,
    pub(super) verb: Verb,
    pub(super) namespace: String,
    pub(super) name: Option<String>,
    pub(super) status: bool,
    pub(super) query: BTreeMap<String, String>,
    pub(super) patch: PatchKind,
    pub(super) body: Value,
    pub(super) metadata_only: bool,
}

impl Call {
    pub(super) fn key(&self) -> Key {
        Key::new(self.kind, &self.namespace, self.name.as_deref().unwrap_or_default())
    }

    pub(super) fn ask(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    pub(super) fn is_true(&self, name: &str) -> bool {
        matches!(self.ask(name), Some("true" | "1"))
    }

    /// The `resourceVersion` of the query; `None` when it asks for the newest.
    pub(super) fn version(&self) -> Option<u64> {
        self.ask("resourceVersion")?.parse().ok()
    }

    pub(super) async fn read(request: Request<kube::client::Body>) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        let bytes = body.collect().await.map_err(|error| Refusal::bad_request(error.to_string()))?.to_bytes();
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).map_err(|error| Refusal::bad_request(error.to_string()))?
        };
        Self::parse(&parts, body)
    }

    fn parse(parts: &Parts, body: Value) -> Result<Self, Refusal> {
        let query: BTreeMap<String, String> =
            url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        let place = Place::parse(parts.uri.path()).ok_or_else(|| Refusal::new(404, "NotFound", "404 page not found"))?;
        let patch = patch_kind(parts, place.kind)?;
        let watches = matches!(query.get("watch").map(String::as_str), Some("true" | "1"));
        let verb = match (parts.method.as_str(), place.name.is_some()) {
            ("GET", true) => Verb::Get,
            ("GET", false) if watches => Verb::Watch,
            ("GET", false) => Verb::List,
            ("POST", false) => Verb::Create,
            ("PUT", true) => Verb::Update,
            ("PATCH", true) if patch == PatchKind::Apply => Verb::Apply,
            ("PATCH", true) => Verb::Patch,
            ("DELETE", true) => Verb::Delete,
            _ => return Err(Refusal::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")),
        };
        let metadata_only = header(parts, &ACCEPT).contains("as=PartialObjectMetadata");
        let Place { kind, namespace, name, status } = place;
        Ok(Self { kind, verb, namespace, name, status, query, patch, body, metadata_only })
    }
}

fn header<'a>(parts: &'a Parts, name: &http::HeaderName) -> &'a str {
    parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn patch_kind(parts: &Parts, kind: &Kind) -> Result<PatchKind, Refusal> {
    match header(parts, &CONTENT_TYPE) {
        "application/apply-patch+yaml" => Ok(PatchKind::Apply),
        "application/json-patch+json" => Ok(PatchKind::Json),
        "application/strategic-merge-patch+json" if kind.custom => {
            let message = "the body of the request was in an unknown format - accepted media types include: \
                           application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
            Err(Refusal::new(415, "UnsupportedMediaType", message))
        }
        "application/strategic-merge-patch+json" => Ok(PatchKind::Strategic),
        _ => Ok(PatchKind::Merge),
    }
}

struct Place {
    kind: &'static Kind,
    namespace: String,
    name: Option<String>,
    status: bool,
}

impl Place {
    fn parse(path: &str) -> Option<Self> {
        let steps: Vec<&str> = path.split('/').filter(|step| !step.is_empty()).collect();
        let (group, version, rest) = match steps.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let (plural, name, status) = match rest {
            [plural] => (plural, None, false),
            [plural, name] => (plural, Some((*name).to_owned()), false),
            [plural, name, "status"] => (plural, Some((*name).to_owned()), true),
            _ => return None,
        };
        let kind = Kind::at(group, version, plural)?;
        (!status || kind.has_status).then_some(Self { kind, namespace: namespace.to_owned(), name, status })
    }
}
