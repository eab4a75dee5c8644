//! Looking: reads only. The order is part of the protocol: first what may be old (workloads), then pointer (GET), pods (the view, not
//! older than the stage) and release (GET), one after the other, so that pre-emption takes effect at the last read. Caches are only
//! triggers.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use kube::{Api, ResourceExt};

use crate::api::names::{AGENT_CONTAINER, ANNOTATION_REQUESTED_AT, CONDITION_ASSETS, FINALIZER, is_object_name};
use crate::api::release::{AssetReleaseSpec, TargetSpec};
use crate::api::report::InvalidReport;
use crate::api::{AssetRelease, ForeignText, Pointer, Report};
use crate::cluster::lite::{ContainerLite, Message, PodLite, ReleaseStatusOnly};
use crate::cluster::pods::{ReleaseKey, Snapshot};
use crate::cluster::pointer::PointerObject;
use crate::cluster::seen::Seen;
use crate::cluster::{Call, nodes};
use crate::rollout::observed::{
    Inheritance, Observed, OtherPointer, PodFacts, PointerFacts, Predecessor, PrefixFacts, Presence, ReleaseFacts, ReportFacts, StoreFacts,
    TargetFacts,
};

use super::context::Context;
use super::prefix;
use super::retry::Failure;
use super::store::{FoundStore, find_store};
use super::targets::{self, remembered};

/// One look, and the handles that a step needs.
pub(super) struct Look {
    pub(super) observed: Observed,
    /// When the first of its reads was begun: no fact is older.
    pub(super) begun_at: Timestamp,
    pub(super) pointer: PointerObject,
    pub(super) store: FoundStore,
    /// What is taken over in the bucket from the release before this one.
    pub(super) inherits: Option<Inheritance>,
    /// Finalizers and resource version of the release, for the finalizer's patch.
    pub(super) finalizers: Vec<String>,
    pub(super) resource_version: String,
}

/// Looks at everything that a decision about this release may need; `None` when the release is gone.
pub(super) async fn observe(cx: &Arc<Context>, trigger: &AssetRelease, key: &ReleaseKey) -> Result<Option<Look>, Failure> {
    let client = &cx.outside.client;
    let selectors = targets::find_selectors(cx, key, &trigger.spec.targets).await;
    // From here on facts are timed: the step that moves the pointer rests on them.
    let begun_at = cx.outside.clock.now();
    let pointer = PointerObject::new(client.clone(), &key.namespace, &trigger.spec.pointer.config_map_name, &key.name);
    let pointer_facts = pointer.read().await?;
    let follows = (trigger.spec.pointer.config_map_name.as_str(), pointer_of(&pointer_facts));
    let predecessor = find_predecessor(cx, key, &trigger.spec).await?;
    let targets = async {
        let plan = targets::plan(cx, key, trigger, selectors?, predecessor.as_ref());
        targets::look(cx, key, plan, follows).await
    };
    let targets = match targets.await {
        // A release that goes waits for no pod: what they were seen to use is in its references.
        Err(_) if is_deleting(trigger) => Vec::new(),
        seen => seen?,
    };
    let other_pointer = find_other_pointer(cx, key, &targets).await;
    let asking = release_facts(trigger, key);
    let inherits = predecessor.as_ref().and_then(|predecessor| predecessor.leaves(&asking, &pointer_facts));
    let mut store = find_store(cx, key, &asking, pointer_of(&pointer_facts)).await?;
    let question = prefix::ask(cx, key, &asking, &store, inherits.as_ref()).await?;
    let api: Api<Seen<AssetRelease>> = Api::namespaced(client.clone(), &key.namespace);
    let Some(release) = Call::new("get", "AssetRelease", &key.namespace, &key.name).find(api.get_opt(&key.name)).await? else {
        return Ok(None);
    };
    let release = release.into_whole().map_err(Failure::Unreadable)?;
    if is_another(&release, trigger) {
        // The trigger was older than the release: what was looked at so far is not what the release speaks of.
        return Box::pin(observe(cx, &release, key)).await;
    }
    let facts = release_facts(&release, key);
    // Last of all: a store that answers at once has done so by now.
    let prefix = question.map_or(Ok(PrefixFacts::NotNeeded), |question| prefix::seen(cx, key, &question));
    let prefix = prefix.unwrap_or_else(|problem| {
        store.facts = StoreFacts::Unusable(problem);
        PrefixFacts::NotNeeded
    });
    let observed = Observed {
        now: cx.outside.clock.now(),
        epoch: cx.settings.epoch,
        store: store.facts.clone(),
        pointer: pointer_facts,
        prefix,
        jobs: cx.jobs.facts(key, &facts.uid),
        targets,
        predecessor,
        other_pointer,
        release: facts,
    };
    Ok(Some(Look {
        observed,
        begun_at,
        pointer,
        store,
        inherits,
        finalizers: release.finalizers().to_vec(),
        resource_version: release.resource_version().unwrap_or_default(),
    }))
}

fn pointer_of(facts: &PointerFacts) -> Option<&Pointer> {
    match facts {
        PointerFacts::Present(found) => Some(&found.pointer),
        PointerFacts::Absent | PointerFacts::Foreign(_) | PointerFacts::Unreadable { .. } => None,
    }
}

/// Whether something was looked at by what the release does not say any more: what is wished for, or whose pods are remembered.
fn is_another(release: &AssetRelease, trigger: &AssetRelease) -> bool {
    release.spec != trigger.spec
        || release.metadata.uid != trigger.metadata.uid
        || is_deleting(release) != is_deleting(trigger)
        || remembered(release) != remembered(trigger)
}

fn is_deleting(release: &AssetRelease) -> bool {
    release.metadata.deletion_timestamp.is_some()
}

/// What status has room for; a longer request is another one when these characters differ.
fn request(text: &str) -> String {
    text.chars().take(64).collect()
}

fn release_facts(release: &AssetRelease, key: &ReleaseKey) -> ReleaseFacts {
    ReleaseFacts {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        uid: release.uid().unwrap_or_default(),
        generation: release.metadata.generation.unwrap_or_default(),
        deleting: is_deleting(release),
        has_finalizer: release.finalizers().iter().any(|finalizer| finalizer == FINALIZER),
        requested_at: release.annotations().get(ANNOTATION_REQUESTED_AT).map(|text| request(text)),
        spec: release.spec.clone(),
        status: release.status.clone().unwrap_or_default(),
    }
}

/// The release whose place this one takes; looked at after the pointer, whose resource version fences what rests on it.
async fn find_predecessor(cx: &Context, key: &ReleaseKey, spec: &AssetReleaseSpec) -> Result<Option<Predecessor>, Failure> {
    let Some(name) = &spec.adopt_from else { return Ok(None) };
    let api: Api<ReleaseStatusOnly> = Api::namespaced(cx.outside.client.clone(), &key.namespace);
    let found = Call::new("get", "AssetRelease", &key.namespace, name).find(api.get_opt(name)).await?;
    let presence = match &found {
        None => Presence::Gone,
        Some(release) if release.metadata.deletion_timestamp.is_some() => Presence::Ending,
        Some(_) => Presence::There,
    };
    let selectors = found.and_then(|release| release.status).map(|status| status.selectors).unwrap_or_default();
    Ok(Some(Predecessor { name: name.clone(), presence, selectors }))
}

/// Whose pointer pods of the targets follow instead of this release's: one read, of the first by name. For people only: what cannot be
/// read is left out, and nothing else waits for it.
async fn find_other_pointer(cx: &Context, key: &ReleaseKey, targets: &[TargetFacts]) -> Option<OtherPointer> {
    let named = targets.iter().flat_map(|target| &target.pods).filter_map(|pod| match &pod.report {
        ReportFacts::OfAnother(pointer) => Some(pointer),
        ReportFacts::NotAsked | ReportFacts::Silent | ReportFacts::Unusable(_) | ReportFacts::Known(_) => None,
    });
    let config_map = named.min()?.clone();
    let mut other = OtherPointer { config_map, release: None };
    if is_object_name(&other.config_map) {
        let pointer = PointerObject::new(cx.outside.client.clone(), &key.namespace, &other.config_map, &key.name);
        if let Ok(PointerFacts::Present(found)) = pointer.read().await {
            other.release = Some(ForeignText::of(&found.release));
        }
    }
    Some(other)
}

pub(super) fn pod_facts(pod: &PodLite, spec: &TargetSpec, snapshot: &Snapshot, config_map: &str) -> PodFacts {
    let uid = pod.uid().to_owned();
    let created_at = pod.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    PodFacts {
        name: pod.metadata.name.clone().unwrap_or_default(),
        bound: pod.spec.node_name.as_ref().is_some_and(|node| !node.is_empty()),
        finished: matches!(pod.status.phase.as_deref(), Some("Succeeded" | "Failed")),
        ready: pod.condition("Ready").is_some_and(|condition| condition.status == "True"),
        terminating: pod.metadata.deletion_timestamp.is_some(),
        has_agent: has_agent(pod, spec),
        agent_runs: agent_runs(pod, spec),
        unreachable_since: None,
        created_at,
        report: answering(report_facts(pod, spec, snapshot, &uid), config_map),
        uid,
    }
}

/// Whether the pod's template has an agent: a readiness gate for our condition (or the condition itself), or, over HTTP, a
/// declared port with the report's number.
fn has_agent(pod: &PodLite, spec: &TargetSpec) -> bool {
    match &spec.report.http {
        Some(http) => {
            let mut ports = pod.spec.containers.iter().chain(&pod.spec.init_containers).flat_map(|container| &container.ports);
            ports.any(|port| port.container_port == http.port)
        }
        None => {
            let gate = pod.spec.readiness_gates.iter().any(|gate| gate.condition_type == CONDITION_ASSETS);
            gate || pod.condition(CONDITION_ASSETS).is_some()
        }
    }
}

/// Whether the agent's container runs: the one that declares the report's port, or the sidecar under its usual name. Of a pod whose agent
/// has another name nothing is known, and it is taken to run.
fn agent_runs(pod: &PodLite, spec: &TargetSpec) -> bool {
    let is_agent = |container: &&ContainerLite| match &spec.report.http {
        Some(http) => container.ports.iter().any(|port| port.container_port == http.port),
        None => container.name == AGENT_CONTAINER,
    };
    let agent = pod.spec.containers.iter().chain(&pod.spec.init_containers).find(is_agent);
    let mut stopped = pod.status.stopped.iter().chain(&pod.status.stopped_init);
    agent.is_none_or(|agent| !stopped.any(|status| status.name == agent.name))
}

/// A report of another pointer says nothing of this one: its numbers are that one's.
fn answering(report: ReportFacts, config_map: &str) -> ReportFacts {
    match &report {
        ReportFacts::Known(known) => known.other_pointer(config_map).cloned().map_or(report, ReportFacts::OfAnother),
        ReportFacts::NotAsked | ReportFacts::Silent | ReportFacts::Unusable(_) | ReportFacts::OfAnother(_) => report,
    }
}

fn report_facts(pod: &PodLite, spec: &TargetSpec, snapshot: &Snapshot, uid: &str) -> ReportFacts {
    let of_this_pod = |report: Arc<Report>| {
        // I2: bound to the pod's UID. A report of another pod is nothing that this one said.
        if report.pod_uid == uid { ReportFacts::Known(report) } else { ReportFacts::Silent }
    };
    let text = match &spec.report.http {
        Some(_) => match snapshot.polled.get(uid) {
            None if pod.status.pod_ip.is_some() => return ReportFacts::NotAsked,
            None => return ReportFacts::Silent,
            Some(Err(cause)) => return ReportFacts::Unusable(ForeignText::of(cause)),
            Some(Ok(text)) => text.as_str(),
        },
        None => match pod.condition(CONDITION_ASSETS) {
            None => return ReportFacts::Silent,
            Some(condition) => match &condition.message {
                None => "",
                Some(Message::Report(report)) => return of_this_pod(report.clone()),
                Some(Message::Text(text)) => text.as_str(),
                Some(Message::TooLong(bytes)) => {
                    return ReportFacts::Unusable(ForeignText::of(&InvalidReport::TooLong(*bytes).to_string()));
                }
            },
        },
    };
    match Report::parse(text) {
        Ok(report) => of_this_pod(Arc::new(report)),
        Err(invalid) => ReportFacts::Unusable(ForeignText::of(&invalid.to_string())),
    }
}

/// Asks for the nodes of pods that are not Ready and have not reported this stage, or serve another version than the active one: only
/// those can be excused for their node.
pub(super) async fn find_unreachable(cx: &Context, pods: &mut [PodFacts], snapshot: &Snapshot, pointer: Option<&Pointer>) {
    let now = cx.outside.clock.now();
    let stage = pointer.map_or(0, |pointer| pointer.stage);
    let active = pointer.and_then(|pointer| Some((&pointer.active.as_ref()?.digest, pointer.sequence)));
    let serves_active = |report: &Report| active.is_some_and(|(digest, sequence)| report.serves(digest, sequence));
    let has_followed = |report: &Report| report.stage == stage && (report.serving.is_none() || serves_active(report));
    let is_behind = |pod: &PodFacts| !matches!(&pod.report, ReportFacts::Known(report) if has_followed(report));
    let waited_for = pods.iter_mut().filter(|pod| pod.bound && !pod.finished && !pod.ready && is_behind(pod));
    let with_node: Vec<(&mut PodFacts, &str)> = waited_for
        .filter_map(|pod| Some((snapshot.pods.get(&pod.name)?.spec.node_name.as_deref()?, pod)))
        .map(|(node, pod)| (pod, node))
        .collect();
    let unknown: BTreeSet<String> =
        with_node.iter().filter(|(_, node)| cx.nodes().fresh(node, now).is_none()).map(|(_, node)| (*node).to_owned()).collect();
    let answers = nodes::ask(&cx.outside.client, unknown).await;
    cx.nodes().remember(answers, now);
    for (pod, node) in with_node {
        pod.unreachable_since = cx.nodes().fresh(node, now).and_then(|state| state.unreachable_since(pod.created_at));
    }
}
