//! Slim forms of other people's objects: only the fields that are looked at, so that ten thousand pods fit into memory.
//! Never written back: a slim object lacks what its owner put there.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, Time};
use serde::de::{self, Deserializer, IgnoredAny, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::seen::OfParts;
use crate::api::names::{ANNOTATION_POINTER, ANNOTATION_REQUESTED_AT, CONDITION_ASSETS};
use crate::api::release::{AssetReleaseSpec, AssetReleaseStatus};
use crate::api::report::InvalidReport;
use crate::api::{AssetRelease, AssetStore, AssetStoreSpec, AssetStoreStatus, Report};

/// A pod.
#[derive(kube::Resource, Serialize, Deserialize, Clone, Debug, Default)]
#[resource(inherit = k8s_openapi::api::core::v1::Pod)]
pub struct PodLite {
    /// Name, UID, labels, creation and deletion time.
    #[serde(deserialize_with = "slim_metadata")]
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
    /// A report, read once however often it is looked at.
    #[serde(serialize_with = "shared")]
    Report(Arc<Report>),
    /// The whole of another text.
    Text(String),
    /// Longer than any report; so many bytes.
    TooLong(usize),
}

fn shared<S: Serializer>(report: &Arc<Report>, serializer: S) -> Result<S::Ok, S::Error> {
    report.serialize(serializer)
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
                Ok(match Report::parse(text) {
                    Ok(report) => Message::Report(Arc::new(report)),
                    Err(InvalidReport::TooLong(bytes)) => Message::TooLong(bytes),
                    Err(InvalidReport::Malformed(_) | InvalidReport::UnknownProtocol(_) | InvalidReport::Unbelievable { .. }) => {
                        Message::Text(text.to_owned())
                    }
                })
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
            #[serde(deserialize_with = "slim_metadata")]
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
    #[serde(deserialize_with = "slim_metadata")]
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

impl OfParts for AssetRelease {
    type Spec = AssetReleaseSpec;
    type Status = AssetReleaseStatus;

    fn of_parts(metadata: ObjectMeta, spec: Self::Spec, status: Option<Self::Status>) -> Self {
        Self { metadata, spec, status }
    }
}

/// A store as it is looked at.
#[derive(kube::Resource, Serialize, Deserialize, Clone, Debug)]
#[resource(inherit = AssetStore)]
pub struct StoreLite {
    /// Name, UID, generation.
    #[serde(deserialize_with = "slim_metadata")]
    pub metadata: ObjectMeta,
    /// Where its bucket is.
    pub spec: AssetStoreSpec,
}

impl OfParts for StoreLite {
    type Spec = AssetStoreSpec;
    type Status = IgnoredAny;

    fn of_parts(metadata: ObjectMeta, spec: Self::Spec, _: Option<IgnoredAny>) -> Self {
        Self { metadata, spec }
    }
}

impl OfParts for AssetStore {
    type Spec = AssetStoreSpec;
    type Status = AssetStoreStatus;

    fn of_parts(metadata: ObjectMeta, spec: Self::Spec, status: Option<Self::Status>) -> Self {
        Self { metadata, spec, status }
    }
}

macro_rules! status_only {
    ($name:ident, $kind:ident, $status:ident, $doc:literal) => {
        #[doc = $doc]
        #[derive(kube::Resource, Serialize, Deserialize, Clone, Debug)]
        #[resource(inherit = $kind)]
        pub struct $name {
            /// Name, UID, generation and resource version.
            #[serde(deserialize_with = "slim_metadata")]
            pub metadata: ObjectMeta,
            /// What a controller wrote last.
            #[serde(default)]
            pub status: Option<$status>,
        }
    };
}

status_only!(
    ReleaseStatusOnly,
    AssetRelease,
    AssetReleaseStatus,
    "A release of which nothing but the status is read: its spec may be one that cannot be."
);
status_only!(
    StoreStatusOnly,
    AssetStore,
    AssetStoreStatus,
    "An AssetStore of which nothing but the status is read: its spec may be one that cannot be."
);

/// The answer to a write of a release.
#[derive(kube::Resource, Serialize, Deserialize, Clone, Debug)]
#[resource(inherit = AssetRelease)]
pub struct WrittenRelease {
    /// With the resource version that the write brought.
    #[serde(deserialize_with = "slim_metadata")]
    pub metadata: ObjectMeta,
    /// What a CRD that is older than the controller would not keep.
    #[serde(default)]
    pub status: Option<WrittenStatus>,
}

/// The part of a written status that shows whether the CRD knows its fields.
#[derive(Serialize, Deserialize, Clone, Debug, Default)]
pub struct WrittenStatus {
    /// The epoch of the controller that wrote.
    #[serde(default)]
    pub epoch: i64,
}

/// The answer to a write of a pointer.
#[derive(kube::Resource, Serialize, Deserialize, Clone, Debug)]
#[resource(inherit = ConfigMap)]
pub struct WrittenPointer {
    /// With the resource version that the write brought.
    #[serde(deserialize_with = "slim_metadata")]
    pub metadata: ObjectMeta,
}

/// The part of any object's metadata that is looked at.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetadataLite {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<Annotations>,
    finalizers: Option<Vec<String>>,
}

/// The annotations that are looked at. The names are literals here, as serde wants them; a test compares them with the constants.
#[derive(Deserialize)]
struct Annotations {
    #[serde(rename = "rollcall.dev/requestedAt")]
    requested_at: Option<String>,
    #[serde(rename = "rollcall.dev/pointer")]
    pointer: Option<String>,
}

impl Annotations {
    fn map(self) -> BTreeMap<String, String> {
        let named = [(ANNOTATION_REQUESTED_AT, self.requested_at), (ANNOTATION_POINTER, self.pointer)];
        named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

/// Without `managedFields`, whose parsing takes more time than that of all the rest, and the annotations of others.
pub(super) fn slim_metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let metadata = MetadataLite::deserialize(deserializer)?;
    Ok(ObjectMeta {
        name: metadata.name,
        namespace: metadata.namespace,
        uid: metadata.uid,
        resource_version: metadata.resource_version,
        generation: metadata.generation,
        creation_timestamp: metadata.creation_timestamp,
        deletion_timestamp: metadata.deletion_timestamp,
        labels: metadata.labels,
        annotations: metadata.annotations.map(Annotations::map),
        finalizers: metadata.finalizers,
        ..ObjectMeta::default()
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Pods and releases are found and asked for again by these two, so a rename of a constant must not lose them.
    #[test]
    fn of_all_annotations_those_with_our_names_are_kept() {
        let object = serde_json::json!({"metadata": {
            "name": "web",
            "annotations": {ANNOTATION_REQUESTED_AT: "now", ANNOTATION_POINTER: "assets", "other": "z"},
            "managedFields": [{"manager": "anyone", "fieldsV1": {"f:spec": {}}}],
        }});
        let written: WrittenPointer = serde_json::from_value(object).unwrap();
        let kept = [(ANNOTATION_REQUESTED_AT, "now"), (ANNOTATION_POINTER, "assets")].map(|(name, text)| (name.into(), text.into()));
        assert_eq!(written.metadata.annotations, Some(BTreeMap::from(kept)));
        assert_eq!((written.metadata.name.as_deref(), written.metadata.managed_fields), (Some("web"), None));
    }
}
