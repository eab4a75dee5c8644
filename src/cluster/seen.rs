//! Objects of our own kinds as the API server shows them. A field or value that this program does not know, because a newer CRD has it, is a
//! matter of the object that has it: it must never cost the list in which the object stands, and never be passed over in silence.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::lite::slim_metadata;
use crate::api::ForeignText;

/// What is shown of a name or value that is not known.
const CAUSE_CHARS_MAX: usize = 600;

/// How a cause begins that lies in the status.
const STATUS: &str = "status";

/// A kind that is put together from its parts.
pub trait OfParts: Resource<DynamicType = ()> {
    /// What its owner wants.
    type Spec: DeserializeOwned;
    /// What a controller wrote last.
    type Status: DeserializeOwned;

    /// The object.
    fn of_parts(metadata: ObjectMeta, spec: Self::Spec, status: Option<Self::Status>) -> Self;
}

/// An object, as far as this program can read it.
#[derive(Debug, Clone)]
pub enum Seen<K> {
    /// All of it.
    Whole(K),
    /// No more than its metadata.
    Unreadable(Box<Unreadable>),
}

/// An object of which only the metadata can be read.
#[derive(Debug, Clone)]
pub struct Unreadable {
    metadata: ObjectMeta,
    /// Of a release, the store that it names.
    store: Option<String>,
    /// What the reader said.
    cause: String,
}

impl<K: Resource<DynamicType = ()>> Seen<K> {
    /// The whole object, or what is wrong with it and how to set it right.
    ///
    /// # Errors
    /// A message for people, of at most about 1,000 characters.
    pub fn whole(&self) -> Result<&K, String> {
        match self {
            Self::Whole(object) => Ok(object),
            Self::Unreadable(unreadable) => Err(unreadable.message(&K::kind(&()))),
        }
    }

    /// As [`whole`](Self::whole), for who owns it.
    ///
    /// # Errors
    /// A message for people, of at most about 1,000 characters.
    pub fn into_whole(self) -> Result<K, String> {
        match self {
            Self::Whole(object) => Ok(object),
            Self::Unreadable(unreadable) => Err(unreadable.message(&K::kind(&()))),
        }
    }
}

impl<K> Seen<K> {
    /// With another form of the object.
    pub fn map<L>(self, form: impl FnOnce(K) -> L) -> Seen<L> {
        match self {
            Self::Whole(object) => Seen::Whole(form(object)),
            Self::Unreadable(unreadable) => Seen::Unreadable(unreadable),
        }
    }
}

impl Unreadable {
    /// The store that a release names, as far as it can be read.
    #[must_use]
    pub fn store(&self) -> Option<&str> {
        self.store.as_deref()
    }

    fn message(&self, kind: &str) -> String {
        let (namespace, name) = (self.metadata.namespace.as_deref().unwrap_or_default(), self.metadata.name.as_deref().unwrap_or_default());
        let cause = ForeignText::up_to(&self.cause, CAUSE_CHARS_MAX);
        let remedy = if self.cause.starts_with(STATUS) {
            "a newer controller wrote it: run the newer controllers, or remove what is named here with `kubectl edit --subresource=status`"
                .to_owned()
        } else {
            format!(
                "a controller that is older than the CRD does not know its new fields: upgrade the controllers, or remove from the {kind} what is \
                 named here"
            )
        };
        format!("{kind} {namespace}/{name} cannot be read: {cause}; {remedy}")
    }
}

#[derive(Deserialize)]
struct Parts {
    #[serde(deserialize_with = "slim_metadata")]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Value,
    #[serde(default)]
    status: Option<Value>,
}

impl<'de, K: OfParts> Deserialize<'de> for Seen<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Parts { metadata, spec, status } = Parts::deserialize(deserializer)?;
        let store = spec.pointer("/storeRef/name").and_then(Value::as_str).map(str::to_owned);
        let read = part::<K::Spec>("spec", spec).and_then(|spec| Ok((spec, status.map(|status| part(STATUS, status)).transpose()?)));
        Ok(match read {
            Ok((spec, status)) => Self::Whole(K::of_parts(metadata, spec, status)),
            Err(cause) => Self::Unreadable(Box::new(Unreadable { metadata, store, cause })),
        })
    }
}

/// With the path at which reading ends: `spec.build: unknown field …`.
fn part<T: DeserializeOwned>(name: &str, value: Value) -> Result<T, String> {
    serde_path_to_error::deserialize(value).map_err(|error| match error.path().iter().next() {
        None => format!("{name}: {}", error.inner()),
        Some(_) => format!("{name}.{}: {}", error.path(), error.inner()),
    })
}

impl<K: Resource> Resource for Seen<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(dt)
    }

    fn group(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::group(dt)
    }

    fn version(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::version(dt)
    }

    fn plural(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(dt)
    }

    fn meta(&self) -> &ObjectMeta {
        match self {
            Self::Whole(object) => object.meta(),
            Self::Unreadable(unreadable) => &unreadable.metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::Whole(object) => object.meta_mut(),
            Self::Unreadable(unreadable) => &mut unreadable.metadata,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::AssetRelease;
    use kube::ResourceExt;

    fn release(change: impl FnOnce(&mut Value)) -> Seen<AssetRelease> {
        let mut release = json!({
            "metadata": {"name": "shop", "namespace": "web", "uid": "u", "resourceVersion": "7", "managedFields": [{"manager": "x"}]},
            "spec": {"storeRef": {"name": "cdn"}, "prefix": "shop/", "version": "v1", "pointer": {"configMapName": "c"}},
        });
        change(&mut release);
        serde_json::from_value(release).unwrap()
    }

    #[test]
    fn an_object_that_is_known_is_read_as_a_whole() {
        let read = release(|_| ()).into_whole().unwrap();
        assert_eq!((read.spec.version.as_str(), read.status.is_none(), read.metadata.managed_fields), ("v1", true, None));
        assert!(release(|release| release["status"] = json!({"phase": "Active"})).into_whole().unwrap().status.is_some());
    }

    #[test]
    fn what_is_not_known_costs_only_its_object_and_says_where_it_is() {
        for (changed, place) in [
            (json!({"spec": {"build": {"novelty": true}}}), "spec.build.novelty: unknown field `novelty`"),
            (json!({"spec": {"novelty": 1}}), "spec.novelty: unknown field `novelty`"),
            (json!({"spec": {"entries": {"publish": "Orbit"}}}), "spec.entries.publish: unknown variant `Orbit`"),
            (json!({"spec": null}), "spec: invalid type: null"),
            (json!({"status": {"phase": "Orbiting"}}), "status.phase: unknown variant `Orbiting`"),
        ] {
            let seen = release(|release| merge(release, &changed));
            assert_eq!((seen.name_any(), seen.resource_version()), ("shop".into(), Some("7".into())));
            let message = seen.into_whole().unwrap_err();
            assert!(message.starts_with(&format!("AssetRelease web/shop cannot be read: {place}")), "{message}");
            let remedy = if place.starts_with("status") {
                "`kubectl edit --subresource=status`"
            } else {
                "remove from the AssetRelease what is named here"
            };
            assert!(message.ends_with(remedy), "{message}");
        }
    }

    #[test]
    fn a_message_stays_short_whatever_the_name_of_the_field() {
        let message = release(|release| merge(release, &json!({"spec": {"x".repeat(1 << 20): 1}}))).into_whole().unwrap_err();
        assert!(message.len() < 1_500, "{} bytes", message.len());
    }

    fn merge(into: &mut Value, change: &Value) {
        match (into, change) {
            (Value::Object(into), Value::Object(change)) => {
                for (name, value) in change {
                    merge(into.entry(name.clone()).or_insert(Value::Null), value);
                }
            }
            (into, change) => *into = change.clone(),
        }
    }
}
