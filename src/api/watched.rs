//! The selectors by which a release's pods are watched: what the status remembers beyond a workload and beyond `spec.targets`.
//! Never read from anywhere but the status: two controllers must remember the same.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::release::{HttpReport, ReportSpec, SilentPods, TargetSpec, WorkloadKind, WorkloadRef};

/// Most selectors that a status has room for: twice as many as targets.
pub const SELECTORS_MAX: usize = 32;

/// Longest selector that can be remembered, in bytes.
pub const SELECTOR_BYTES_MAX: usize = 4096;

/// A selector by which pods are watched. It outlives the workload that it was read from: pods that were orphaned go on serving pages.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WatchedSelector {
    /// Kind of the workload.
    pub kind: WorkloadKind,
    /// Name of the workload.
    #[schemars(length(max = 253))]
    pub name: String,
    /// The workload's label selector as it was last seen, as `kubectl get pods --selector` takes it.
    #[schemars(length(max = 4096))]
    pub selector: String,
    /// Where its pods answer over HTTP; absent when they report by the pod condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<WatchedHttp>,
    /// Seconds after which a silent pod of it is excused; absent when it is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excuse_after_seconds: Option<i32>,
    /// Since when there is no pod of a selector that no target has any more. Ten minutes later it is forgotten. Absent while it has pods,
    /// and while a target has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_since: Option<Time>,
}

/// Where pods answer over HTTP.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WatchedHttp {
    /// Port of the pod.
    pub port: i32,
    /// Path of the report.
    #[schemars(length(max = 256))]
    pub path: String,
}

impl WatchedSelector {
    /// What is remembered of a target with this selector.
    #[must_use]
    pub fn of(target: &TargetSpec, selector: &str) -> Self {
        Self {
            kind: target.workload_ref.kind,
            name: target.workload_ref.name.clone(),
            selector: selector.to_owned(),
            http: target.report.http.as_ref().map(|http| WatchedHttp { port: http.port, path: http.path.clone() }),
            excuse_after_seconds: target.excuse_after().and_then(|patience| i32::try_from(patience.as_secs()).ok()),
            empty_since: None,
        }
    }

    /// The target as it was.
    #[must_use]
    pub fn target(&self) -> TargetSpec {
        TargetSpec {
            workload_ref: WorkloadRef { kind: self.kind, name: self.name.clone() },
            report: ReportSpec {
                http: self.http.as_ref().map(|http| HttpReport { port: http.port, path: http.path.clone() }),
                pod_condition: None,
            },
            silent_pods: if self.excuse_after_seconds.is_some() { SilentPods::ExcuseAfter } else { SilentPods::Wait },
            excuse_after_seconds: self.excuse_after_seconds,
        }
    }

    /// Whether it was read from this workload.
    #[must_use]
    pub fn is_of(&self, workload: &WorkloadRef) -> bool {
        self.kind == workload.kind && self.name == workload.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_target_is_remembered_with_its_channel_and_its_patience() {
        let silent = json!({"silentPods": "ExcuseAfter"});
        for more in
            [json!({}), silent, json!({"silentPods": "ExcuseAfter", "excuseAfterSeconds": 7}), json!({"report": {"http": {"port": 8}}})]
        {
            let mut target = json!({"workloadRef": {"kind": "DaemonSet", "name": "edge"}});
            target.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let target: TargetSpec = serde_json::from_value(target).unwrap();
            let remembered = WatchedSelector::of(&target, "app=edge").target();
            assert_eq!((&remembered.workload_ref, &remembered.report), (&target.workload_ref, &target.report));
            assert_eq!((remembered.silent_pods, remembered.excuse_after()), (target.silent_pods, target.excuse_after()));
        }
    }
}
