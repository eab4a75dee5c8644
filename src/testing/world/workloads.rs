//! The workload controllers: how a Deployment, a StatefulSet and a DaemonSet replace their pods when their template changes.
//! Never looks at what an agent says: as the real ones, it goes by the pods' Ready conditions alone.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::kubelet::Kubelet;
use crate::testing::builders::{PodPlan, Sidecar};
use crate::testing::trace::Trace;

/// A pod of a workload as its controller sees it.
struct Member {
    plan: PodPlan,
    uid: String,
    ready: bool,
    ending: bool,
}

/// A template that is on its way to every pod.
struct Rollout {
    kind: &'static str,
    sidecar: Sidecar,
    /// Which template of the workload it is, from 2: names of new pods have it.
    revision: u32,
    /// Pods of the template before, by UID.
    old: BTreeMap<String, PodPlan>,
    made: u32,
}

/// What a controller does next.
enum Next {
    Wait,
    Start(PodPlan),
    End(String),
    Done,
}

/// All workloads that are not at rest.
pub(super) struct Workloads {
    trace: Trace,
    revisions: Mutex<BTreeMap<String, u32>>,
    rollouts: Mutex<BTreeMap<String, Rollout>>,
}

impl Workloads {
    pub(super) fn new(trace: Trace) -> Self {
        Self { trace, revisions: Mutex::default(), rollouts: Mutex::default() }
    }

    /// The workload's template changes: from now on its pods are replaced. A rollout that is on its way is taken over.
    pub(super) fn roll_out(&self, kubelet: &Kubelet, kind: &'static str, name: &str, sidecar: Sidecar) {
        let mut revisions = self.revisions.lock().expect("no holder of this lock panics");
        let revision = revisions.entry(name.to_owned()).and_modify(|revision| *revision += 1).or_insert(2);
        let old = members(kubelet, name).into_iter().filter(|member| !member.ending).map(|member| (member.uid, member.plan)).collect();
        let rollout = Rollout { kind, sidecar, revision: *revision, old, made: 0 };
        self.rollouts.lock().expect("no holder of this lock panics").insert(name.to_owned(), rollout);
    }

    /// Does what the controllers would have done by now: one thing for each workload.
    pub(super) fn tend(&self, kubelet: &Kubelet) {
        let mut rollouts = self.rollouts.lock().expect("no holder of this lock panics");
        rollouts.retain(|name, rollout| {
            let members = members(kubelet, name);
            let next = if rollout.kind == "Deployment" { rollout.surge(name, &members) } else { rollout.replace(name, &members) };
            match next {
                Next::Wait => {}
                Next::Done => return false,
                Next::Start(plan) => {
                    self.trace.note("workloads", &format!("{name} starts pod {}", plan.name));
                    kubelet.start(&plan);
                }
                Next::End(pod) => {
                    self.trace.note("workloads", &format!("{name} ends pod {pod}"));
                    kubelet.end(&pod);
                }
            }
            true
        });
    }
}

fn members(kubelet: &Kubelet, workload: &str) -> Vec<Member> {
    let pods = kubelet.pods();
    let mine = pods.values().filter(|pod| pod.plan.workload == workload);
    mine.map(|pod| Member {
        plan: pod.plan.clone(),
        uid: pod.uid.clone(),
        ready: kubelet.is_shown_ready(&pod.plan.name),
        ending: pod.ending.is_some(),
    })
    .collect()
}

impl Rollout {
    fn plan(&self, workload: &str, like: &PodPlan, name: String) -> PodPlan {
        PodPlan { name, workload: workload.to_owned(), node: like.node.clone(), sidecar: self.sidecar }
    }

    /// A Deployment with maxSurge 1 and maxUnavailable 0: one pod more than wanted, and never one less that is available.
    fn surge(&mut self, workload: &str, members: &[Member]) -> Next {
        let standing: Vec<&Member> = members.iter().filter(|member| !member.ending).collect();
        let replicas = self.old.len();
        let (old, new): (Vec<&Member>, Vec<&Member>) = standing.iter().copied().partition(|member| self.old.contains_key(&member.uid));
        let available = standing.iter().filter(|member| member.ready).count();
        let Some(first) = old.first() else {
            return if new.iter().all(|member| member.ready) { Next::Done } else { Next::Wait };
        };
        if let Some(spare) = old.iter().find(|member| !member.ready || available > replicas).filter(|_| standing.len() > replicas) {
            return Next::End(spare.plan.name.clone());
        }
        if standing.len() > replicas {
            return Next::Wait;
        }
        self.made += 1;
        Next::Start(self.plan(workload, &first.plan, format!("{workload}-{}-{}", self.revision, self.made)))
    }

    /// A StatefulSet (highest name first, the same names) or a DaemonSet (the same nodes): one pod goes, its successor comes and is
    /// Ready before the next one goes.
    fn replace(&mut self, workload: &str, members: &[Member]) -> Next {
        let is_old = |member: &&Member| self.old.contains_key(&member.uid);
        let (old, new): (Vec<&Member>, Vec<&Member>) = members.iter().partition(is_old);
        if members.iter().any(|member| member.ending) || new.iter().any(|member| !member.ready) {
            return Next::Wait;
        }
        let gone = self.old.iter().find(|(uid, _)| !old.iter().any(|member| member.uid == **uid));
        if let Some((uid, plan)) = gone.map(|(uid, plan)| (uid.clone(), plan.clone())) {
            self.old.remove(&uid);
            self.made += 1;
            let name = if self.kind == "StatefulSet" { plan.name.clone() } else { format!("{workload}-{}-{}", self.revision, self.made) };
            return Next::Start(self.plan(workload, &plan, name));
        }
        old.iter().map(|member| &member.plan.name).max().map_or(Next::Done, |name| Next::End(name.clone()))
    }
}
