//! The CRDs, once as plain files and once as templates of the chart.
//! Never CRDs that differ between the two: only the chart's wrapping does.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use super::Artifact;
use crate::api::schema;

const HEADER: &str = "# Generated from src/api by `rollcall generate`; do not edit.\n";

/// `crds/<plural>.yaml`.
pub(super) fn plain() -> Vec<Artifact> {
    each(|name, crd| Artifact { path: format!("crds/{name}.yaml"), text: format!("{HEADER}{}", yaml(crd)) })
}

/// `charts/rollcall/templates/crds/<plural>.yaml`. Templates and not the chart's `crds/` folder, because Helm never upgrades
/// what lies there; kept on uninstall, because with a CRD go all its objects.
pub(super) fn chart() -> Vec<Artifact> {
    each(|name, crd| {
        let mut crd = crd.clone();
        crd.metadata.annotations = Some([("helm.sh/resource-policy".into(), "keep".into())].into());
        let body = yaml(&crd).replace("{{", "{{ \"{{\" }}");
        Artifact {
            path: format!("charts/rollcall/templates/crds/{name}.yaml"),
            text: format!("{HEADER}{{{{- if .Values.crds.install }}}}\n{body}{{{{- end }}}}\n"),
        }
    })
}

fn each(artifact: impl Fn(&str, &CustomResourceDefinition) -> Artifact) -> Vec<Artifact> {
    schema::crds().iter().map(|crd| artifact(&crd.spec.names.plural, crd)).collect()
}

fn yaml(crd: &CustomResourceDefinition) -> String {
    serde_yaml_ng::to_string(crd).expect("a CRD has only string keys")
}
