//! The objects of a small shop, and builds of it.
//! Never a default that hides what a test is about.

use serde_json::{Value, json};

use crate::api::names::CONDITION_ASSETS;
use crate::api::{ContentHash, ManifestDigest};

/// Namespace of everything.
pub const NAMESPACE: &str = "shop";

/// Name of the release and of its Deployment.
pub const APP: &str = "web";

/// Name of the pointer.
pub const POINTER: &str = "web-assets";

/// Where pods answer that report over HTTP.
pub const REPORT_PORT: i32 = 8481;

/// Where pods fetch from; the bucket's root.
pub const STORE_URL: &str = "http://store.test/";

/// Name of the store's bucket.
pub const BUCKET: &str = "assets";

/// Name of the bucket of its replica.
pub const REPLICA: &str = "assets-eu";

/// Name of the bucket of builds: of the same store, and nothing may ever be written there.
pub const BUILDS: &str = "ci-builds";

/// Where another store would answer: nothing is copied into a replica there, the bytes go through the controller.
pub const ELSEWHERE: &str = "http://eu.store.test";

/// The namespace of another tenant, whom the operator grants as much as the world's own.
pub const NEIGHBOUR: &str = "eve";

/// Name of a bucket whose store takes every request and answers none.
pub const TARPIT: &str = "tarpit";

/// A store that never answers, its keys, and a release that waits for it; another number is another store.
#[must_use]
pub fn tarpit(number: usize, namespace: &str, endpoint: &str) -> [Value; 3] {
    let mut store = store();
    store["metadata"] = json!({"name": format!("tarpit-{number}"), "namespace": namespace});
    store["spec"]["bucket"] = json!({"name": TARPIT, "region": "us-east-1", "endpoint": endpoint});
    store["spec"]["credentials"] = json!({"secretName": format!("tarpit-{number}")});
    let data = json!({"accessKeyId": "a2V5", "secretAccessKey": "a2V5"});
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": store["metadata"], "data": data});
    let mut release = release("v1");
    release["metadata"] = store["metadata"].clone();
    release["spec"]["storeRef"]["name"] = store["metadata"]["name"].clone();
    release["spec"]["prefix"] = json!(format!("tarpit-{number}/"));
    release["spec"]["targets"][0]["workloadRef"]["name"] = json!("nobody");
    release["spec"]["pointer"]["configMapName"] = json!(format!("tarpit-{number}-assets"));
    [secret, store, release]
}

/// The replica, as the store's spec names it. Under an endpoint of its own it is of another store, and nothing is copied into it.
#[must_use]
pub fn replica(endpoint: Option<&str>) -> Value {
    let mut replica = json!({"name": "eu", "bucket": {"name": REPLICA, "region": "eu-central-1"}});
    if let Some(endpoint) = endpoint {
        replica["bucket"]["endpoint"] = json!(endpoint);
    }
    replica
}

/// The store.
#[must_use]
pub fn store() -> Value {
    json!({"apiVersion": "rollcall.dev/v1alpha1", "kind": "AssetStore", "metadata": {"name": "store", "namespace": NAMESPACE},
        "spec": {"bucket": {"name": BUCKET, "region": "us-east-1"}, "publicUrl": STORE_URL}})
}

/// A release of this version, whose pods report by their condition and serve the pages themselves.
#[must_use]
pub fn release(version: &str) -> Value {
    json!({"apiVersion": "rollcall.dev/v1alpha1", "kind": "AssetRelease", "metadata": {"name": APP, "namespace": NAMESPACE},
    "spec": {
        "storeRef": {"name": "store"},
        "prefix": "web/",
        "version": version,
        "source": source(version),
        "targets": [{"workloadRef": {"kind": "Deployment", "name": APP}}],
        "pointer": {"configMapName": POINTER},
    }})
}

/// Where the build of a version is.
#[must_use]
pub fn source(version: &str) -> Value {
    json!({"http": {"url": build_url(version), "sha256": ContentHash::of(version.as_bytes())}})
}

/// A folder of the bucket of builds, with a build of this digest.
#[must_use]
pub fn folder_source(digest: &ManifestDigest) -> Value {
    json!({"bucket": {"name": BUILDS, "folder": "web/{version}/", "digest": digest.as_str()}})
}

/// The URL of a version's archive.
#[must_use]
pub fn build_url(version: &str) -> String {
    format!("http://builds.test/{version}.tar.gz")
}

/// The files of a version: a page, a script of its own, a script that all versions share.
#[must_use]
pub fn build(version: &str) -> Vec<(String, String)> {
    let script = format!("console.log({version:?});");
    let own = format!("assets/app.{}.js", &ContentHash::of(script.as_bytes()).to_string()[..16]);
    let shared = "assets/vendor.48190886c8ff5564.js";
    let page = format!("<!doctype html><title>{version}</title><script src=\"/{shared}\"></script><script src=\"/{own}\"></script>");
    vec![("index.html".into(), page), (own, script), (shared.into(), "console.log('vendor');".into())]
}

/// The Deployment whose pods are asked.
#[must_use]
pub fn deployment() -> Value {
    workload("Deployment", APP)
}

/// A workload of this kind, whose pods have its name as their label `app`.
#[must_use]
pub fn workload(kind: &str, name: &str) -> Value {
    workload_of(kind, name, name)
}

/// A workload of this kind and name, whose pods have another label `app`.
#[must_use]
pub fn workload_of(kind: &str, name: &str, app: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"selector": {"matchLabels": {"app": app}}, "template": {"metadata": {"labels": {"app": app}}, "spec": {"containers": []}}}})
}

/// A target of a release: a workload, and how its pods report.
#[must_use]
pub fn target(kind: &str, name: &str, sidecar: Sidecar) -> Value {
    let mut target = json!({"workloadRef": {"kind": kind, "name": name}});
    if sidecar == Sidecar::HttpAgent {
        target["report"] = json!({"http": {"port": REPORT_PORT}});
    }
    target
}

/// What a pod's template has beside its containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sidecar {
    /// An agent, and the readiness gate.
    Agent,
    /// An agent that is asked over HTTP: a declared port, no readiness gate.
    HttpAgent,
    /// Nothing: it does not follow the pointer.
    None,
}

/// How a pod is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodPlan {
    /// Its name.
    pub name: String,
    /// The workload that it belongs to.
    pub workload: String,
    /// Its node.
    pub node: String,
    /// What it has beside its containers.
    pub sidecar: Sidecar,
}

/// A pod.
#[must_use]
pub fn pod(plan: &PodPlan) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": plan.name, "namespace": NAMESPACE, "labels": {"app": plan.workload}},
        "spec": {"nodeName": plan.node, "containers": [{"name": "web", "image": "web"}], "terminationGracePeriodSeconds": 30}});
    match plan.sidecar {
        Sidecar::Agent => pod["spec"]["readinessGates"] = json!([{"conditionType": CONDITION_ASSETS}]),
        Sidecar::HttpAgent => pod["spec"]["containers"][0]["ports"] = json!([{"containerPort": REPORT_PORT}]),
        Sidecar::None => {}
    }
    pod
}

/// A node that answers.
#[must_use]
pub fn node(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}})
}
