//! Slim forms of other people's objects: only the fields that are looked at, so that ten thousand pods fit into memory.
//! Never written back: a slim object lacks what its owner put there.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, Time};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};

use crate::api::names::CONDITION_ASSETS;
use crate::api::report::REPORT_BYTES_MAX;

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
    /// The pointer that its agent was given, when its annotation says so: the only annotation that is kept.
    #[serde(skip)]
    pub pointer: Option<Box<str>>,
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
    /// Its name.
    #[serde(default)]
    pub name: String,
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
    /// Conditions: Ready and ours are looked at, and no other is kept.
    #[serde(default, deserialize_with = "looked_at")]
    pub conditions: Vec<PodConditionLite>,
    /// Containers that do not run.
    #[serde(default, rename = "containerStatuses", deserialize_with = "stopped")]
    pub stopped: Vec<ContainerStatusLite>,
    /// Init containers that do not run, sidecars among them.
    #[serde(default, rename = "initContainerStatuses", deserialize_with = "stopped")]
    pub stopped_init: Vec<ContainerStatusLite>,
}

/// What is looked at of a container's status.
#[derive(Serialize, Deserialize, Clone, Debug, Default)]
pub struct ContainerStatusLite {
    /// Its name.
    pub name: String,
    /// How it stands.
    #[serde(default)]
    pub state: ContainerStateLite,
}

/// A container's state.
#[derive(Serialize, Deserialize, Clone, Debug, Default)]
pub struct ContainerStateLite {
    /// There while it runs.
    #[serde(default)]
    pub running: Option<Running>,
}

/// A container that runs.
#[derive(Serialize, Deserialize, Clone, Copy, Debug)]
pub struct Running {}

/// A condition of a pod.
#[derive(Serialize, Deserialize, Clone, Debug, Default)]
pub struct PodConditionLite {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False`, `Unknown`.
    pub status: String,
    /// The report, of our condition.
    #[serde(default)]
    pub message: Option<Message>,
}

/// A message, as far as it is kept: whoever may write a pod's status may put nearly a megabyte into it.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
#[serde(untagged)]
pub enum Message {
    /// The whole of it.
    Text(String),
    /// Longer than any report; so many bytes.
    TooLong(usize),
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bounded;
        impl Visitor<'_> for Bounded {
            type Value = Message;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a message")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Message, E> {
                Ok(if text.len() > REPORT_BYTES_MAX { Message::TooLong(text.len()) } else { Message::Text(text.to_owned()) })
            }
        }
        deserializer.deserialize_str(Bounded)
    }
}

fn looked_at<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PodConditionLite>, D::Error> {
    let mut conditions = Option::<Vec<PodConditionLite>>::deserialize(deserializer)?.unwrap_or_default();
    conditions.retain(|condition| ["Ready", CONDITION_ASSETS].contains(&condition.kind.as_str()));
    for condition in conditions.iter_mut().filter(|condition| condition.kind != CONDITION_ASSETS) {
        condition.message = None;
    }
    conditions.shrink_to_fit();
    Ok(conditions)
}

fn stopped<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ContainerStatusLite>, D::Error> {
    let mut statuses = Option::<Vec<ContainerStatusLite>>::deserialize(deserializer)?.unwrap_or_default();
    statuses.retain(|status| status.state.running.is_none());
    statuses.shrink_to_fit();
    Ok(statuses)
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
