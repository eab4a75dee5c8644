//! What the CRDs say about a missing status, taken from the CRDs themselves.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::Value;

use super::kinds::KINDS;

/// Default of `status`, by kind. Made once: deriving both CRDs takes longer than a short run of a world.
pub(super) fn status() -> &'static BTreeMap<&'static str, Value> {
    static STATUS: OnceLock<BTreeMap<&'static str, Value>> = OnceLock::new();
    STATUS.get_or_init(from_crds)
}

fn from_crds() -> BTreeMap<&'static str, Value> {
    let mut defaults = BTreeMap::new();
    for crd in crate::api::schema::crds() {
        let schema = crd.spec.versions.first().and_then(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref());
        let status = schema.and_then(|schema| schema.properties.as_ref()?.get("status")?.default.as_ref());
        let kind = KINDS.iter().find(|kind| kind.kind == crd.spec.names.kind);
        if let (Some(kind), Some(default)) = (kind, status) {
            defaults.insert(kind.kind, default.0.clone());
        }
    }
    defaults
}
