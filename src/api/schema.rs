//! The two CRDs as they are installed: what the derive gives, plus what it cannot say.
//! Never anything that `kubectl explain` would show differently from the types.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSON, JSONSchemaProps};
use kube::CustomResourceExt;
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

fn finished(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let root = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
        if let Some(status) = root.and_then(|root| root.properties.as_mut()).and_then(|p| p.get_mut("status")) {
            default_observed_generation(status);
        }
    }
    crd
}

/// kstatus takes an object without status for done; with this default an untouched object reads as in progress.
fn default_observed_generation(status: &mut JSONSchemaProps) {
    status.default = Some(JSON(json!({"observedGeneration": never_observed()})));
    status.nullable = None;
}
