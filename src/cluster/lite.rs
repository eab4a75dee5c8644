//! Slim forms of other people's objects: only the fields that are looked at, so that ten thousand pods fit into memory.
//! Never written back: a slim object lacks what its owner put there.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, Time};
use serde::{Deserialize, Serialize};

/// A pod.
#[derive(kube::Resource, Serialize, Deserialize, Clone, Debug, Default)]
#[resource(inherit = k8s_openapi::api::core::v1::Pod)]
pub struct PodLite {
    /// Name, UID, creation and deletion time.
    pub metadata: ObjectMeta,
    /// Node, readiness gates, ports.
    #[serde(default)]
    pub spec: PodSpecLite,
    /// Phase, conditions, address.
    #[serde(default)]
    pub status: PodStatusLite,
}

/// What is looked at of a pod's spec.
#[derive(Serialize, Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase")]
pub struct PodSpecLite {
    /// Node it is bound to.
    #[serde(default)]
    pub node_name: Option<String>,
    /// Its readiness gates.
    #[serde(default)]
    pub readiness_gates: Vec<ReadinessGateLite>,
    /// Its containers' ports.
    #[serde(default)]
    pub containers: Vec<ContainerLite>,
    /// Sidecars are init containers.
    #[serde(default)]
    pub init_containers: Vec<ContainerLite>,
}

/// A readiness gate.
#[derive(Serialize, Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase")]
pub struct ReadinessGateLite {
    /// Type of the condition.
    pub condition_type: String,
}

/// A container.
#[derive(Serialize, Deserialize, Clone, Debug, Default)]
pub struct ContainerLite {
    /// Its declared ports.
    #[serde(default)]
    pub ports: Vec<PortLite>,
}

/// A declared port.
#[derive(Serialize, Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase")]
pub struct PortLite {
    /// Its number.
    pub container_port: i32,
}

/// What is looked at of a pod's status.
#[derive(Serialize, Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase")]
pub struct PodStatusLite {
    /// `Pending`, `Running`, `Succeeded`, `Failed`.
    #[serde(default)]
    pub phase: Option<String>,
    /// Its address.
    #[serde(default, rename = "podIP")]
    pub pod_ip: Option<String>,
    /// Conditions: Ready and ours are looked at.
    #[serde(default)]
    pub conditions: Vec<PodConditionLite>,
}

/// A condition of a pod.
#[derive(Serialize, Deserialize, Clone, Debug, Default)]
pub struct PodConditionLite {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False`, `Unknown`.
    pub status: String,
    /// Its message: the report, for our condition.
    #[serde(default)]
    pub message: Option<String>,
}

macro_rules! workload {
    ($name:ident, $kind:ident, $doc:literal) => {
        #[doc = $doc]
        #[derive(kube::Resource, Serialize, Deserialize, Clone, Debug)]
        #[resource(inherit = k8s_openapi::api::apps::v1::$kind)]
        pub struct $name {
            /// Name and UID.
            pub metadata: ObjectMeta,
            /// The selector.
            pub spec: WorkloadSpecLite,
        }
    };
}

workload!(DeploymentLite, Deployment, "A Deployment.");
workload!(StatefulSetLite, StatefulSet, "A StatefulSet.");
workload!(DaemonSetLite, DaemonSet, "A DaemonSet.");

/// What is looked at of a workload's spec.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct WorkloadSpecLite {
    /// Which pods are its own.
    pub selector: LabelSelector,
}

/// A node.
#[derive(kube::Resource, Serialize, Deserialize, Clone, Debug)]
#[resource(inherit = k8s_openapi::api::core::v1::Node)]
pub struct NodeLite {
    /// Name.
    pub metadata: ObjectMeta,
    /// Conditions.
    #[serde(default)]
    pub status: NodeStatusLite,
}

/// What is looked at of a node's status.
#[derive(Serialize, Deserialize, Clone, Debug, Default)]
pub struct NodeStatusLite {
    /// Ready is looked at.
    #[serde(default)]
    pub conditions: Vec<NodeConditionLite>,
}

/// A condition of a node.
#[derive(Serialize, Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase")]
pub struct NodeConditionLite {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// `Unknown` when the node does not answer.
    pub status: String,
    /// Since when.
    #[serde(default)]
    pub last_transition_time: Option<Time>,
}

/// An EndpointSlice.
#[derive(kube::Resource, Serialize, Deserialize, Clone, Debug)]
#[resource(inherit = k8s_openapi::api::discovery::v1::EndpointSlice)]
pub struct EndpointSliceLite {
    /// Name.
    pub metadata: ObjectMeta,
    /// Its endpoints; `null` when there are none.
    #[serde(default)]
    pub endpoints: Option<Vec<EndpointLite>>,
}

/// An endpoint.
#[derive(Serialize, Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase")]
pub struct EndpointLite {
    /// The pod behind it.
    #[serde(default)]
    pub target_ref: Option<TargetRefLite>,
}

/// Who is behind an endpoint.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct TargetRefLite {
    /// UID of the pod.
    #[serde(default)]
    pub uid: Option<String>,
}

impl PodLite {
    /// A condition, by type.
    #[must_use]
    pub fn condition(&self, kind: &str) -> Option<&PodConditionLite> {
        self.status.conditions.iter().find(|condition| condition.kind == kind)
    }

    /// UID, or nothing for an object that was never stored.
    #[must_use]
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }
}
