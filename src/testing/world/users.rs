//! What users, nodes, networks and other people's controllers do to a world.
//! Never reaches into a process: everything comes as it would from outside.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::doors::Manner;
use super::invariants::pointer_key;
use super::kubelet::Probe;
use super::rules::{QuorumRead, Rule, StaleCache};
use super::volume::Hold;
use super::{World, kubelet};
use crate::api::names::POINTER_KEY;
use crate::testing::apiserver::{Key, Kind};
use crate::testing::builders::{self, APP, NAMESPACE, POINTER, PodPlan, Sidecar};

impl World {
    /// Applies the release with this version; other fields of an existing one stay.
    pub fn release(&self, version: &str) {
        self.trace.note("user", &format!("wants {version}"));
        let key = release_key();
        if self.server.get(&key).is_none() {
            self.server.create("user", &builders::release(version)).expect("it is not there");
        } else {
            self.change_release(&json!({"version": version, "source": builders::source(version)}));
        }
    }

    /// Merges into the release's spec.
    pub fn change_release(&self, spec: &Value) {
        self.server.patch("user", &release_key(), &json!({"spec": spec})).expect("there is a release");
    }

    /// Gives the store a replica; under an endpoint of its own, when it has one, it is of another store.
    pub fn add_replica(&self, endpoint: Option<&str>) {
        self.trace.note("user", "gives the store a replica");
        self.change_replicas(&json!([builders::replica(endpoint)]));
    }

    /// Takes the replica away.
    pub fn remove_replica(&self) {
        self.trace.note("user", "takes the replica out of the store");
        self.change_replicas(&json!([]));
    }

    fn change_replicas(&self, replicas: &Value) {
        let key = Key::new(Kind::named("AssetStore"), NAMESPACE, "store");
        self.server.patch("user", &key, &json!({"spec": {"replicas": replicas}})).expect("there is a store");
    }

    /// The replica's bucket answers no more, until it is mended.
    pub fn break_replica(&self) {
        self.trace.note("replica", "fails");
        self.replica_store.break_off(crate::bucket::faulty::Failure::Unavailable);
    }

    /// It does again.
    pub fn mend_replica(&self) {
        self.trace.note("replica", "is back");
        self.replica_store.mend();
    }

    /// A store that never answers, and a release that waits for it.
    ///
    /// # Panics
    /// When the number was used before.
    pub fn add_tarpit(&self, number: usize, namespace: &str, endpoint: &str) {
        let namespace_object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        // It may be there already.
        let _ = self.server.create("user", &namespace_object);
        for object in builders::tarpit(number, namespace, endpoint) {
            self.server.create("user", &object).expect("a new number");
        }
    }

    /// Deletes the release.
    pub fn delete_release(&self) {
        self.trace.note("user", "deletes the release");
        self.server.delete("user", &release_key()).expect("there is a release");
    }

    /// Starts a pod with an agent.
    pub fn add_pod(&self, name: &str) {
        self.start_pod(name, Sidecar::Agent);
    }

    /// Starts a pod, with or without an agent. Pods go to the two nodes by the bytes of their names.
    pub fn start_pod(&self, name: &str, sidecar: Sidecar) {
        self.start_pod_of(APP, name, sidecar);
    }

    /// Starts a pod of this workload.
    pub fn start_pod_of(&self, workload: &str, name: &str, sidecar: Sidecar) {
        let node = if name.bytes().map(usize::from).sum::<usize>().is_multiple_of(2) { "n2" } else { "n1" };
        self.trace.note("user", &format!("starts pod {name}"));
        self.kubelet.start(&PodPlan { name: name.into(), workload: workload.into(), node: node.into(), sidecar });
    }

    /// Makes a workload that has no pods.
    pub fn add_workload(&self, kind: &str, name: &str) {
        self.server.create("user", &builders::workload(kind, name)).expect("a new name");
    }

    /// Makes a workload whose pods have another label than its name.
    pub fn add_workload_of(&self, kind: &str, name: &str, app: &str) {
        self.trace.note("user", &format!("makes {kind} {name} of pods with app={app}"));
        self.server.create("user", &builders::workload_of(kind, name, app)).expect("a new name");
    }

    /// Deletes a workload and leaves its pods behind, as `kubectl delete --cascade=orphan` does.
    pub fn orphan_pods_of(&self, kind: &str, name: &str) {
        self.trace.note("user", &format!("deletes {kind} {name} and orphans its pods"));
        self.server.delete("user", &Key::new(Kind::named(kind), NAMESPACE, name)).expect("it is there");
    }

    /// Changes the template of a workload: its pods are replaced as its kind has it, by pods with this sidecar.
    pub fn roll_out(&self, kind: &str, name: &str, sidecar: Sidecar) {
        self.trace.note("user", &format!("rolls out {kind} {name}"));
        self.workloads.roll_out(&self.kubelet, Kind::named(kind).kind, name, sidecar);
    }

    /// From now on the pod answers over HTTP like this.
    pub fn answer_in(&self, pod: &str, manner: Manner) {
        self.trace.note("node", &format!("pod {pod} answers over HTTP: {manner:?}"));
        self.kubelet.answer_in(pod, manner);
    }

    /// Somebody else writes a key of the pointer under this name of a field manager.
    pub fn meddle_with_pointer(&self, manager: &str, key: &str, value: &str) {
        self.trace.note("user", &format!("writes {key} of the pointer as field manager {manager}"));
        self.server.patch(manager, &pointer_key(), &json!({"data": {key: value}})).expect("there is a pointer");
    }

    /// A user labels the pointer, under this name of a field manager.
    pub fn label_pointer(&self, manager: &str, label: &str, value: &str) {
        self.trace.note("user", &format!("labels the pointer {label}={value} as field manager {manager}"));
        self.server.patch(manager, &pointer_key(), &json!({"metadata": {"labels": {label: value}}})).expect("there is a pointer");
    }

    /// Somebody else sets the pointer back to what it was before its last write.
    pub fn revert_pointer(&self, manager: &str) {
        let texts: Vec<Value> = self.pointers().iter().map(|object| object["data"][POINTER_KEY].clone()).collect();
        let now = texts.last().expect("there is a pointer");
        let before = texts.iter().rfind(|text| *text != now).and_then(Value::as_str).expect("it was written twice");
        self.meddle_with_pointer(manager, POINTER_KEY, before);
    }

    /// Deletes the pointer.
    pub fn delete_pointer(&self) {
        self.trace.note("user", "deletes the pointer");
        self.server.delete("user", &pointer_key()).expect("there is a pointer");
    }

    /// Puts a deleted pointer back from a backup, under this name of a field manager.
    pub fn put_back_pointer(&self, manager: &str) {
        let backup = self.pointers().into_iter().rfind(|object| !object["data"].is_null()).expect("there was a pointer");
        self.put_back(manager, &backup);
    }

    /// Deletes the pointer and puts it back, in the same moment, from a backup of this flip.
    pub fn delete_pointer_and_put_back(&self, manager: &str, sequence: i64) {
        let is_of_flip = |object: &Arc<Value>| super::invariants::pointer(Some(&**object)).sequence == sequence;
        let backup = self.pointers().into_iter().rfind(is_of_flip).expect("there was such a flip");
        self.delete_pointer();
        self.put_back(manager, &backup);
    }

    fn put_back(&self, manager: &str, backup: &Value) {
        self.trace.note("user", &format!("puts the pointer back as field manager {manager}"));
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": backup["data"],
            "metadata": {"name": POINTER, "namespace": NAMESPACE, "labels": backup["metadata"]["labels"]}});
        self.server.apply(manager, &object).expect("there is no pointer");
    }

    /// Starts a pod whose first reads of the pointer meet a cache of this version, wherever they allow a cache.
    pub fn add_pod_behind_stale_cache(&self, name: &str, version: u64) {
        let quorum_read = if self.without == Some(Rule::QuorumRead) { QuorumRead::TakenOut } else { QuorumRead::Kept };
        let process = kubelet::process(name, 1);
        self.server.hook(Arc::new(StaleCache { process: process.clone(), version, quorum_read }));
        self.deafness.of(&process, Duration::from_secs(60));
        self.add_pod(name);
    }

    /// Asks a pod to end.
    pub fn end_pod(&self, name: &str) {
        self.trace.note("user", &format!("ends pod {name}"));
        self.kubelet.end(name);
    }

    /// The pod's container ends and starts again.
    pub fn restart_pod(&self, name: &str) {
        self.trace.note("node", &format!("restarts pod {name}"));
        self.kubelet.restart(name);
    }

    /// The pod's node goes down: its volume in memory is lost. [`Self::boot_ends`] brings the container back.
    pub fn reboot_pod(&self, name: &str) {
        self.trace.note("node", &format!("of pod {name} reboots"));
        self.kubelet.reboot(name);
    }

    /// The container of a rebooted node starts.
    pub fn boot_ends(&self, name: &str) {
        self.kubelet.boot_ends(name);
    }

    /// The next event of the pod's watches comes this late, and everything behind it.
    pub fn deafen_pod(&self, name: &str, length: Duration) {
        let life = self.kubelet.pods()[name].life;
        self.deafness.of(&kubelet::process(name, life), length);
    }

    /// The probe of a pod fails from now on, or succeeds again.
    pub fn set_probe(&self, name: &str, probe: Probe) {
        self.trace.note("node", &format!("probe of pod {name}: {probe:?}"));
        self.kubelet.set_probe(name, probe);
    }

    /// The pages of a pod stay as they are, or may move again.
    pub fn hold_pages(&self, name: &str, hold: Hold) {
        self.kubelet.pods()[name].volume.hold_back(hold);
    }

    /// Agents started from now on keep unwanted versions only so long.
    pub fn keep_unwanted_for(&self, age_floor: Duration) {
        self.kubelet.keep_unwanted_for(age_floor);
    }

    /// Nothing of this version's own files can be fetched by pods.
    pub fn break_loads(&self, version: &str) {
        let own = builders::build(version);
        self.shelf.break_urls_with(&own[1].0);
    }

    /// Everything can be fetched.
    pub fn mend_loads(&self) {
        self.shelf.mend();
    }

    /// A silent node answers again; its containers start anew.
    pub fn return_node(&self, node: &str) {
        use crate::clock::Clock as _;
        self.trace.note("node", &format!("{node} is back"));
        self.kubelet.return_node(node, self.clock.now());
    }

    /// A node stops answering.
    pub fn silence_node(&self, node: &str) {
        use crate::clock::Clock as _;
        self.trace.note("node", &format!("{node} goes silent"));
        self.kubelet.silence(node, self.clock.now());
    }
}

/// The key of the release.
pub(super) fn release_key() -> Key {
    Key::new(Kind::named("AssetRelease"), NAMESPACE, APP)
}
