//! Every name that Rollcall writes into Kubernetes: labels, annotations, finalizers, field managers, keys.
//! Never a value that could differ between two installations.

/// API group of both kinds.
pub const GROUP: &str = "rollcall.dev";

/// Field manager of everything the controller applies.
pub const FIELD_MANAGER: &str = "rollcall";

/// Field manager of the pod condition that an agent writes.
pub const AGENT_FIELD_MANAGER: &str = "rollcall-agent";

/// Name of the agent's container, as the component for kustomize and the examples have it.
pub const AGENT_CONTAINER: &str = "rollcall-agent";

/// Finalizer of an `AssetRelease`: its candidate is unstaged before the object goes.
pub const FINALIZER: &str = "rollcall.dev/unstage";

/// Label of pods that run the agent and of the pointer: the release they belong to.
pub const LABEL_RELEASE: &str = "rollcall.dev/release";

/// Label of the pointer `ConfigMap`, so that the controller's watch sees pointers and nothing else.
pub const LABEL_POINTER: &str = "rollcall.dev/pointer";

/// Annotation of pods from which the agent's component takes the name of its pointer.
pub const ANNOTATION_POINTER: &str = "rollcall.dev/pointer";

/// A new value asks for another attempt; copied to `status.lastHandledRequest`.
pub const ANNOTATION_REQUESTED_AT: &str = "rollcall.dev/requestedAt";

/// Pod condition (and readiness gate) that carries an agent's report.
pub const CONDITION_ASSETS: &str = "rollcall.dev/assets";

/// The pointer's only mandatory key: one document, so that no reader mixes two generations.
pub const POINTER_KEY: &str = "pointer.json";

/// Key of the active name map, when it is small enough.
pub const NAME_MAP_KEY: &str = "manifest.json";

/// Whether an object can have this name: what a pod names is not put into a request otherwise.
#[must_use]
pub fn is_object_name(name: &str) -> bool {
    let is_edge = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    (1..=253).contains(&bytes.len())
        && bytes.iter().all(|byte| is_edge(byte) || [b'-', b'.'].contains(byte))
        && bytes.first().is_some_and(is_edge)
        && bytes.last().is_some_and(is_edge)
}

/// Largest name map that is written into the pointer. A `ConfigMap` may hold 1 MiB; a quarter of it leaves room for what
/// users keep beside our keys and keeps the object cheap to watch.
pub const NAME_MAP_BYTES_MAX: usize = 256 * 1024;

/// What one write of the pointer may send to all pods together for the name map, unless the release says `nameMap: Always`. Every pod's agent
/// watches the pointer, so a map of 256 KiB is 2.5 GiB for 10,000 pods, at staging and at the flip. 64 MiB are the largest map for 256
/// pods, and one of 6.5 KiB for 10,000: half a second of a link of 1 Gbit/s.
pub const NAME_MAP_SENT_BYTES_MAX: usize = 64 * 1024 * 1024;
