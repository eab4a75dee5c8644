//! Looking at workloads and pods: which selectors there are, whose views are looked at, and what the pods of each say.
//! Never stops looking at pods because their workload is gone: by what the status remembers they are found again.

use std::collections::BTreeSet;

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::Api;
use kube::core::Selector;

use crate::api::release::{TargetSpec, WorkloadKind};
use crate::api::watched::{SELECTOR_BYTES_MAX, WatchedSelector};
use crate::api::{AssetRelease, Pointer};
use crate::cluster::lite::{DaemonSetLite, DeploymentLite, StatefulSetLite};
use crate::cluster::pods::{ReleaseKey, Snapshot, Wish};
use crate::cluster::{Call, CallError, Class};
use crate::rollout::observed::{PodFacts, Predecessor, ReportFacts, Standing, TargetFacts};
use crate::rollout::watched::{self, Watched};

use super::context::Context;
use super::observe::{find_unreachable, pod_facts};
use super::retry::Failure;

/// Workloads asked for side by side: at 100 ms a GET, 40 targets take half a second.
const WORKLOADS_AT_ONCE: usize = 8;

/// The selectors of all targets, in the spec's order. They may be older than a second: a workload's selector never changes.
pub(super) async fn find_selectors(cx: &Context, key: &ReleaseKey, specs: &[TargetSpec]) -> Result<Vec<Option<String>>, Failure> {
    let asked: Vec<_> = specs.iter().map(|spec| find_selector(cx, key, spec)).collect();
    futures::stream::iter(asked).buffered(WORKLOADS_AT_ONCE).try_collect().await
}

/// What the status remembers.
pub(super) fn remembered(release: &AssetRelease) -> &[WatchedSelector] {
    release.status.as_ref().map_or(&[], |status| &status.selectors)
}

/// What is to be looked at: by the selectors that were found, and by those that are remembered. All other views end.
pub(super) fn plan(
    cx: &Context,
    key: &ReleaseKey,
    release: &AssetRelease,
    selectors: Vec<Option<String>>,
    predecessor: Option<&Predecessor>,
) -> Vec<Watched> {
    let before = predecessor.map_or(&[][..], |predecessor| &predecessor.selectors);
    let plan = watched::plan(&release.spec.targets, selectors, &[remembered(release), before].concat());
    cx.pods.keep_only(key, &plan.iter().map(Watched::view).collect::<Vec<_>>());
    plan
}

/// Looks at the pods of everything that is watched.
pub(super) async fn look(
    cx: &Context,
    key: &ReleaseKey,
    plan: Vec<Watched>,
    pointer: (&str, Option<&Pointer>),
) -> Result<Vec<TargetFacts>, Failure> {
    let mut facts = Vec::new();
    for watched in plan {
        facts.push(look_at(cx, key, watched, pointer, &facts).await?);
    }
    Ok(facts)
}

async fn look_at(
    cx: &Context,
    key: &ReleaseKey,
    watched: Watched,
    (config_map, pointer): (&str, Option<&Pointer>),
    others: &[TargetFacts],
) -> Result<TargetFacts, Failure> {
    let view = watched.view();
    let Watched { target, standing, selector } = watched;
    let nobody = TargetFacts { target, standing, selector, seen_since_stage: None, pods: Vec::new() };
    let Some(selector) = nobody.selector.clone() else { return Ok(nobody) };
    let wish = Wish { selector, report: nobody.target.report.clone(), stage: pointer.map_or(0, |pointer| pointer.stage) };
    let snapshot = cx.pods.look(key, &view, &wish);
    if let Some(error) = snapshot.refused {
        return Err(error.into());
    }
    let mut pods: Vec<PodFacts> = snapshot.pods.values().map(|pod| pod_facts(pod, &nobody.target, &snapshot, config_map)).collect();
    if standing == Standing::Former {
        keep_former(&mut pods, &snapshot, config_map, others);
    }
    find_unreachable(cx, &mut pods, &snapshot, pointer).await;
    Ok(TargetFacts { seen_since_stage: snapshot.seen_since_stage, pods, ..nobody })
}

/// Of a former target: pods that are still asked, that no other target has, and whose agent was not given another pointer. A target
/// that moves to another release keeps its selector, and its pods answer for that release's stages.
fn keep_former(pods: &mut Vec<PodFacts>, snapshot: &Snapshot, config_map: &str, others: &[TargetFacts]) {
    let known: BTreeSet<&str> = others.iter().flat_map(|target| &target.pods).map(|pod| pod.uid.as_str()).collect();
    let is_elsewhere = |pod: &PodFacts| {
        let follows = snapshot.pods.get(&pod.name).and_then(|pod| pod.pointer.as_deref());
        follows.is_some_and(|pointer| pointer != config_map) || matches!(pod.report, ReportFacts::OfAnother(_))
    };
    pods.retain(|pod| watched::is_asked(pod) && !known.contains(pod.uid.as_str()) && !is_elsewhere(pod));
}

/// The workload's selector as text; `None` when the workload is not there.
async fn find_selector(cx: &Context, key: &ReleaseKey, spec: &TargetSpec) -> Result<Option<String>, Failure> {
    let (client, name) = (cx.outside.client.clone(), spec.workload_ref.name.as_str());
    let call = Call::new("get", &format!("{:?}", spec.workload_ref.kind), &key.namespace, name);
    let found: Option<LabelSelector> = match spec.workload_ref.kind {
        WorkloadKind::Deployment => {
            let api: Api<DeploymentLite> = Api::namespaced(client, &key.namespace);
            call.find(api.get_opt(name)).await?.map(|it| it.spec.selector)
        }
        WorkloadKind::StatefulSet => {
            let api: Api<StatefulSetLite> = Api::namespaced(client, &key.namespace);
            call.find(api.get_opt(name)).await?.map(|it| it.spec.selector)
        }
        WorkloadKind::DaemonSet => {
            let api: Api<DaemonSetLite> = Api::namespaced(client, &key.namespace);
            call.find(api.get_opt(name)).await?.map(|it| it.spec.selector)
        }
    };
    Ok(found.map(selector_text).transpose()?)
}

fn selector_text(selector: LabelSelector) -> Result<String, CallError> {
    let invalid = |cause: String| CallError { call: "read the workload's selector".into(), class: Class::Invalid, cause, code: None };
    let text = Selector::try_from(selector).map_err(|error| invalid(error.to_string()))?.to_string();
    if text.len() > SELECTOR_BYTES_MAX {
        return Err(invalid(format!("it has {} bytes as text, and {SELECTOR_BYTES_MAX} can be remembered", text.len())));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::cluster::lite::PodLite;

    fn snapshot() -> Snapshot {
        let mut snapshot = Snapshot::default();
        for (name, pointer) in [("ours", Some("shop")), ("theirs", Some("other")), ("unsaid", None), ("twice", Some("shop"))] {
            let pod =
                json!({"metadata": {"name": name, "uid": name}, "spec": {"readinessGates": [{"conditionType": "rollcall.dev/assets"}]}});
            let mut pod: PodLite = serde_json::from_value(pod).unwrap();
            pod.pointer = pointer.map(Into::into);
            Arc::make_mut(&mut snapshot.pods).insert(name.into(), Arc::new(pod));
        }
        snapshot
    }

    /// A target that moved to another release keeps its selector; its pods answer for the other release's stages.
    #[test]
    fn former_pods_that_follow_another_pointer_or_that_another_target_has_are_left_to_others() {
        let target: TargetSpec = serde_json::from_value(json!({"workloadRef": {"kind": "Deployment", "name": "web"}})).unwrap();
        let snapshot = snapshot();
        let mut pods: Vec<PodFacts> = snapshot.pods.values().map(|pod| pod_facts(pod, &target, &snapshot, "shop")).collect();
        assert!(pods.iter().all(|pod| pod.has_agent && pod.report == ReportFacts::Silent));
        let twice = pods.iter().filter(|pod| pod.name == "twice").cloned().collect();
        let other = TargetFacts { target, standing: Standing::Present, selector: None, seen_since_stage: Some(1), pods: twice };
        keep_former(&mut pods, &snapshot, "shop", &[other]);
        assert_eq!(pods.iter().map(|pod| pod.name.as_str()).collect::<Vec<_>>(), ["ours", "unsaid"]);
    }

    #[test]
    fn a_selector_that_cannot_be_remembered_is_refused_by_its_length() {
        let labels = (0..20).map(|number| (format!("label-{number:02}"), "v".repeat(250))).collect();
        let selector = LabelSelector { match_labels: Some(labels), match_expressions: None };
        let error = selector_text(selector).unwrap_err();
        assert!(error.cause.contains("bytes as text, and 4096 can be remembered"), "{error}");
    }
}
