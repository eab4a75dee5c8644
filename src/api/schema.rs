//! The two CRDs as they are installed: what the derive gives, plus what it cannot say.
//! Never anything that `kubectl explain` would show differently from the types.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;
use kube::core::Rule;
use serde_json::json;

use super::{AssetRelease, AssetStore};

/// The value of `observedGeneration` that says "the controller has not looked yet".
#[must_use]
pub fn never_observed() -> i64 {
    -1
}

/// Both CRDs, `AssetStore` first.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![finished(AssetStore::crd()), finished(AssetRelease::crd())]
}

/// The name of another Kubernetes object.
pub(super) fn object_name() -> Rule {
    Rule::new(r"self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)*$')")
        .message("must be the name of a Kubernetes object: lower-case letters, digits, hyphens and dots, each part beginning and ending with a letter or digit")
}

/// A directory in a bucket.
pub(super) fn key_prefix() -> Rule {
    Rule::new("self.matches('^([A-Za-z0-9_-][A-Za-z0-9._-]*/)+$')")
        .message("must be folder names of letters, digits, dots, hyphens and underscores, each followed by / and none starting with a dot")
}

/// A directory of another owner in a bucket; `{version}` may stand in it.
pub(super) fn source_folder() -> Rule {
    Rule::new(r"self.matches('^([^/\\s]+/)+$') && !self.matches('(^|/)[.]{1,2}/')")
        .message("must be folder names without spaces, each followed by / and none of them . or ..; {version} may stand in it")
}

/// A label of a build.
pub(super) fn version_label() -> Rule {
    Rule::new("self.matches('^[A-Za-z0-9_][A-Za-z0-9._+-]*$')")
        .message("must be letters, digits, dots, underscores, plus and hyphens, and must not start with a dot, plus or hyphen")
}

/// The name of a bucket.
pub(super) fn bucket_name() -> Rule {
    Rule::new("self.matches('^[a-z0-9][a-z0-9.-]*[a-z0-9]$')")
        .message("must be a bucket name: lower-case letters, digits, dots and hyphens")
}

/// The region of a bucket. It becomes a part of the host that is called.
pub(super) fn region() -> Rule {
    Rule::new("self.matches('^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$')")
        .message("must be the name of a region: letters, digits and hyphens, beginning and ending with a letter or digit")
}

/// A path of a file in a build.
pub(super) fn build_path() -> Rule {
    Rule::new(r"self.matches('^[^/\\\\]+(/[^/\\\\]+)*$') && !self.matches('(^|/)[.]{1,2}(/|$)')")
        .message("must be a relative path with / between its parts, none of them empty, . or ..")
}

/// A page's name.
pub(super) fn page_name() -> Rule {
    Rule::new(r"self.matches('[.]html?$')").message("must end with .html or .htm")
}

/// A URL of one file; `{version}` may stand in it.
pub(super) fn http_url() -> Rule {
    Rule::new(r"self.matches('^https?://[^\\s/?#@\\\\]+/[^\\s#]*$')")
        .message("must be http:// or https://, a host without user and password, and a path, without spaces or #")
}

/// A URL that keys are appended to.
pub(super) fn base_url() -> Rule {
    Rule::new(r"self.matches('^https?://[^\\s/?#@\\\\]+/([^\\s?#]*/)?$')")
        .message("must be http:// or https://, a host without user and password, and a path that ends with /, without spaces, ? or #")
}

/// The address of a store's API.
pub(super) fn endpoint_url() -> Rule {
    Rule::new(r"self.matches('^https?://[^\\s/?#@\\\\]+(/[^\\s?#]*)?$')")
        .message("must start with http:// or https:// and a host without user and password, without spaces, ? or #")
}

/// A replica that lay within the store's own place, or around it, would be swept and counted as a part of it.
pub(super) fn apart_from_the_store() -> Rule {
    Rule::new(format!("!has(self.spec.replicas) || self.spec.replicas.all(one, {})", apart("one.bucket", "self.spec.bucket")))
        .message("a replica must not lie within the store's own bucket and prefix, nor that within it")
        .field_path(".spec.replicas")
}

pub(super) fn apart_from_each_other() -> Rule {
    let apart = apart("one.bucket", "other.bucket");
    Rule::new(format!(
        "!has(self.spec.replicas) || self.spec.replicas.all(one, self.spec.replicas.all(other, one.name == other.name || {apart}))"
    ))
    .message("two replicas must not lie within each other's bucket and prefix")
    .field_path(".spec.replicas")
}

/// Two places that have no key in common: another bucket, another endpoint, or prefixes of which neither begins with the other.
fn apart(one: &str, other: &str) -> String {
    let text = |place: &str, field: &str| format!("(has({place}.{field}) ? {place}.{field} : '')");
    let (here, there) = (text(one, "prefix"), text(other, "prefix"));
    let endpoints = format!("{} != {}", text(one, "endpoint"), text(other, "endpoint"));
    format!("({one}.name != {other}.name || {endpoints} || (!{here}.startsWith({there}) && !{there}.startsWith({here})))")
}

/// A path of an HTTP server.
pub(super) fn http_path() -> Rule {
    Rule::new(r"self.matches('^/[^\\s#]*$')").message("must start with /, without spaces or #")
}

fn finished(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let Some(root) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) else { continue };
        root.title = None;
        for_each(root, &mut as_the_api_server_wants_it);
        for_each(root, &mut with_years_that_can_be_read);
        if let Some(status) = property(root, "status") {
            default_observed_generation(status);
            bound_conditions(status);
        }
    }
    crd
}

fn property<'a>(schema: &'a mut JSONSchemaProps, name: &str) -> Option<&'a mut JSONSchemaProps> {
    schema.properties.as_mut()?.get_mut(name)
}

fn for_each(schema: &mut JSONSchemaProps, change: &mut impl FnMut(&mut JSONSchemaProps)) {
    change(schema);
    for child in schema.properties.iter_mut().flat_map(|properties| properties.values_mut()) {
        for_each(child, change);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        for_each(items, change);
    }
}

/// `nullable` goes, because `http: null` would pass `has(self.http)`; without it the API server drops the null first.
/// `additionalProperties: false`, which the derive writes for a struct without fields, is refused by the API server.
fn as_the_api_server_wants_it(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if matches!(schema.additional_properties, Some(JSONSchemaPropsOrBool::Bool(false))) {
        schema.additional_properties = None;
    }
}

/// One object with a moment that no reader knows keeps a whole listing from being read: the API server takes 9999-12-31, and time ends here
/// some hours before.
fn with_years_that_can_be_read(schema: &mut JSONSchemaProps) {
    if schema.format.as_deref() == Some("date-time") {
        schema.pattern = Some("^([0-8][0-9]{3}|9[0-8][0-9]{2}|99[0-8][0-9]|999[0-8])-".into());
    }
}

/// kstatus takes an object without status for done; with this default an untouched object reads as in progress.
fn default_observed_generation(status: &mut JSONSchemaProps) {
    status.default = Some(JSON(json!({"observedGeneration": never_observed()})));
}

/// The bounds of `metav1.Condition`, which its Go type carries as markers and its OpenAPI does not.
fn bound_conditions(status: &mut JSONSchemaProps) {
    let Some(conditions) = property(status, "conditions") else { return };
    let Some(JSONSchemaPropsOrArray::Schema(item)) = &mut conditions.items else { return };
    let bounds = [("type", 1, 316), ("reason", 1, 1024), ("message", 0, 32_768)];
    for (name, min, max) in bounds {
        if let Some(field) = property(item, name) {
            field.min_length = (min > 0).then_some(min);
            field.max_length = Some(max);
        }
    }
    if let Some(status) = property(item, "status") {
        status.enum_ = Some(["True", "False", "Unknown"].map(|word| JSON(json!(word))).to_vec());
    }
}

#[cfg(test)]
mod tests;
