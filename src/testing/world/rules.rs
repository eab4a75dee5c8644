//! Rules of the protocol, each of which can be taken out, to show what it is for.
//! Taken out at the border between two processes: one is shown what it would go by if the rule were not there. The programs
//! themselves stay as they are.

use serde_json::{Value, json};

use super::invariants::{lease_key, pointer, pointer_key};
use super::kubelet::{pod_key, says_ready};
use super::lives::is_controller;
use crate::api::names::{CONDITION_ASSETS, POINTER_KEY};
use crate::api::{Pointer, Report};
use crate::testing::apiserver::{ApiServer, Before, Hook, Key, Kind, Seen, Verb};
use crate::testing::builders::NAMESPACE;

/// A rule of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Reports count for the stage number that they name. Without it the controller takes every report for one of this stage.
    StageNumbers,
    /// No second flip before every Ready pod serves the first one. Without it every pod seems to serve the active version.
    ConvergeGate,
    /// A pod that is not Ready and serves something keeps the next flip away. Without it every such pod seems to serve nothing.
    FlappingPods,
    /// A pod loads the previous version before its first Ready. Without it agents of pods that are not Ready see no `previous`.
    Previous,
    /// A pod that has announced itself counts before it is Ready. Without it the controller sees no report of a pod that is not Ready.
    Announcement,
    /// Over HTTP a pod counts from its start. Without it the controller sees no such pod before it is Ready.
    BoundPodsCount,
    /// A pod reads the pointer by quorum when it starts. Without it the first read may be as old as the cache of a server.
    QuorumRead,
    /// A report names the pointer that it answers. Without it the controller sees no such name, as in the reports of older agents.
    NamedPointer,
    /// Pods are watched by the last selector that was seen. Without it the status seems to remember only what is there anyway.
    LastSelector,
    /// A new leader raises the epoch first. Without it everything seems to have been written under its own epoch.
    Epoch,
}

/// Takes one rule out.
pub(super) struct Without {
    pub(super) rule: Rule,
    pub(super) server: ApiServer,
}

impl Without {
    fn pointer(&self) -> Pointer {
        pointer(self.server.get(&pointer_key()).as_deref())
    }

    /// Whether this is the agent of a pod that is not Ready.
    fn is_starting(&self, actor: &str) -> bool {
        let pod = actor.strip_prefix("agent/").and_then(|life| life.split('#').next());
        pod.is_some_and(|pod| !self.server.get(&pod_key(pod)).is_some_and(|object| says_ready(&object)))
    }

    fn change_report(object: &mut Value, change: impl FnOnce(&mut Report)) {
        let mut conditions = object["status"]["conditions"].as_array_mut().into_iter().flatten();
        let Some(condition) = conditions.find(|condition| condition["type"] == CONDITION_ASSETS) else { return };
        if let Ok(mut report) = Report::parse(condition["message"].as_str().unwrap_or_default()) {
            change(&mut report);
            condition["message"] = json!(report.to_json());
        }
    }

    fn show_own_epoch(&self, seen: &Seen, object: &mut Value) {
        let Some(lease) = self.server.get(&lease_key()).filter(|lease| lease["spec"]["holderIdentity"] == *seen.actor) else { return };
        let epoch = &lease["spec"]["leaseTransitions"];
        if seen.key.plural == "assetreleases" && object["status"].is_object() {
            object["status"]["epoch"] = epoch.clone();
        }
        if seen.key.plural == "configmaps" && !object["data"][POINTER_KEY].is_null() {
            let shown = Pointer { epoch: epoch.as_i64().unwrap_or_default(), ..pointer(Some(object)) };
            object["data"][POINTER_KEY] = json!(shown.to_json());
        }
    }

    /// Hides what is remembered of workloads that are gone or have another selector, and of those that are no targets any more.
    fn forget_selectors(&self, object: &mut Value) {
        let targets = object["spec"]["targets"].as_array().cloned().unwrap_or_default();
        let is_there = |told: &Value| {
            let (kind, name) = (told["kind"].as_str().unwrap_or_default(), told["name"].as_str().unwrap_or_default());
            let workload = self.server.get(&Key::new(Kind::named(kind), NAMESPACE, name));
            let app = workload.map(|workload| workload["spec"]["selector"]["matchLabels"]["app"].clone());
            let is_target = targets.iter().any(|target| target["workloadRef"]["name"] == name);
            is_target && app.is_some_and(|app| told["selector"] == format!("app={}", app.as_str().unwrap_or_default()))
        };
        if let Some(selectors) = object.pointer_mut("/status/selectors").and_then(Value::as_array_mut) {
            selectors.retain(is_there);
        }
    }

    fn hide_report(object: &mut Value) {
        let conditions = object["status"]["conditions"].as_array_mut();
        let is_ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
        if let Some(conditions) = conditions.filter(|conditions| !conditions.iter().any(is_ready)) {
            conditions.retain(|condition| condition["type"] != CONDITION_ASSETS);
        }
    }
}

impl Hook for Without {
    fn show(&self, seen: &Seen, object: &mut Value) {
        let (is_pod, is_pointer) = (seen.key.plural == "pods", seen.key.plural == "configmaps");
        match self.rule {
            Rule::StageNumbers if is_pod && is_controller(&seen.actor) => {
                let stage = self.pointer().stage;
                Self::change_report(object, |report| report.stage = stage);
            }
            Rule::NamedPointer if is_pod && is_controller(&seen.actor) => Self::change_report(object, |report| report.pointer = None),
            Rule::Epoch if is_controller(&seen.actor) => self.show_own_epoch(seen, object),
            Rule::LastSelector if seen.key.plural == "assetreleases" && is_controller(&seen.actor) => self.forget_selectors(object),
            Rule::ConvergeGate if is_pod && is_controller(&seen.actor) => {
                let active = self.pointer().active.map(|active| active.digest);
                Self::change_report(object, |report| (report.serving, report.serving_sequence) = (active, None));
            }
            Rule::FlappingPods if is_pod && is_controller(&seen.actor) && !says_ready(object) => {
                Self::change_report(object, |report| report.serving = None);
            }
            Rule::Announcement if is_pod && is_controller(&seen.actor) => Self::hide_report(object),
            Rule::BoundPodsCount if is_pod && is_controller(&seen.actor) && !says_ready(object) => {
                object["spec"]["nodeName"] = json!("");
            }
            Rule::Previous if is_pointer && self.is_starting(&seen.actor) && !object["data"][POINTER_KEY].is_null() => {
                let shown = Pointer { previous: None, ..pointer(Some(object)) };
                object["data"][POINTER_KEY] = json!(shown.to_json());
            }
            _ => {}
        }
    }
}

/// A cache that answers agents' reads from an earlier version, wherever a read allows it.
pub(super) struct StaleCache {
    pub(super) process: String,
    pub(super) version: u64,
    pub(super) quorum_read: QuorumRead,
}

/// Whether the rule of that name is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QuorumRead {
    Kept,
    TakenOut,
}

impl Hook for StaleCache {
    fn before(&self, seen: &Seen) -> Before {
        if seen.actor != self.process || seen.key.plural != "configmaps" || seen.verb == Verb::Watch {
            return Before::Pass;
        }
        match self.quorum_read {
            QuorumRead::Kept => Before::FromVersion(self.version),
            QuorumRead::TakenOut => Before::Lie(self.version),
        }
    }
}
