//! The objects of the measurement as they are sent to the API server.

use rollcall::api::Report;
use rollcall::api::names::CONDITION_ASSETS;
use serde_json::{Value, json};

use crate::Channel;
use crate::programs::{BUCKET, KEY, STORE};

pub const NAMESPACE: &str = "bench";
pub const RELEASE: &str = "shop";
pub const POINTER: &str = "shop-assets";
pub const NODE: &str = "bench-node";
/// Port of the HTTP channel.
pub const REPORT_PORT: u16 = 8081;

pub fn secret() -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bucket-keys"},
        "stringData": {"accessKeyId": KEY[0], "secretAccessKey": KEY[1]}})
}

pub fn asset_store() -> Value {
    json!({"apiVersion": "rollcall.dev/v1alpha1", "kind": "AssetStore", "metadata": {"name": "store"}, "spec": {
        "bucket": {"name": BUCKET, "endpoint": format!("http://{STORE}"), "forcePathStyle": true},
        "credentials": {"secretName": "bucket-keys"},
        "publicUrl": format!("http://{STORE}/{BUCKET}/"),
    }})
}

pub fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

/// The right to the one Secret, as the chart's value `secrets` gives it.
pub fn keys_role() -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "bucket-keys"},
        "rules": [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["bucket-keys"], "verbs": ["get"]}]})
}

pub fn keys_binding() -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "bucket-keys"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "bucket-keys"},
        "subjects": [{"kind": "ServiceAccount", "name": "rollcall", "namespace": "rollcall-system"}]})
}

/// The right to write a pod's own report.
pub fn agents_binding() -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "agents"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "rollcall-agent"},
        "subjects": [{"kind": "ServiceAccount", "name": "default"}]})
}

pub fn tarpit_store(number: usize, endpoint: &str) -> Value {
    json!({"apiVersion": "rollcall.dev/v1alpha1", "kind": "AssetStore", "metadata": {"name": format!("store-{number}")}, "spec": {
        "bucket": {"name": BUCKET, "endpoint": format!("http://{endpoint}"), "forcePathStyle": true},
        "credentials": {"secretName": "bucket-keys"},
        "publicUrl": format!("http://{endpoint}/{BUCKET}/"),
    }})
}

pub fn tarpit_release(number: usize) -> Value {
    json!({"apiVersion": "rollcall.dev/v1alpha1", "kind": "AssetRelease", "metadata": {"name": format!("release-{number}")}, "spec": {
        "storeRef": {"name": format!("store-{number}")},
        "prefix": format!("tenant-{number}/"),
        "version": "v1",
        "source": {"published": {}},
        "targets": [{"workloadRef": {"kind": "Deployment", "name": format!("shop-{number}")}}],
        "pointer": {"configMapName": format!("pointer-{number}")},
    }})
}

/// Without replicas of its own: its controller leaves pods without a pod-template-hash alone.
pub fn deployment(name: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "replicas": 0,
        "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "web", "image": "none"}]}},
    }})
}

pub fn release(channel: Channel, version: &str, source: &Value) -> Value {
    let report = match channel {
        Channel::Condition => json!({"podCondition": {}}),
        Channel::Http => json!({"http": {"port": REPORT_PORT}}),
    };
    json!({"apiVersion": "rollcall.dev/v1alpha1", "kind": "AssetRelease", "metadata": {"name": RELEASE}, "spec": {
        "storeRef": {"name": "store"},
        "prefix": "shop/",
        "version": version,
        "source": source,
        "targets": [{"workloadRef": {"kind": "Deployment", "name": "shop"}, "report": report}],
        "pointer": {"configMapName": POINTER},
    }})
}

/// A release whose versions lie in the store already, and whose pods report by condition.
pub fn published_release(name: &str, version: &str) -> Value {
    json!({"apiVersion": "rollcall.dev/v1alpha1", "kind": "AssetRelease", "metadata": {"name": name}, "spec": {
        "storeRef": {"name": "store"},
        "prefix": format!("{name}/"),
        "version": version,
        "source": {"published": {}},
        "targets": [{"workloadRef": {"kind": "Deployment", "name": name}, "report": {"podCondition": {}}}],
        "pointer": {"configMapName": format!("{name}-assets")},
    }})
}

pub fn node() -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
}

/// A heartbeat: without it the node controller takes the node for dead and its pods for not Ready.
pub fn node_status(now: &str) -> Value {
    json!({"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "Played", "lastHeartbeatTime": now}]}})
}

pub fn pod(name: &str, app: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": app}}, "spec": {
        "nodeName": NODE,
        "readinessGates": [{"conditionType": CONDITION_ASSETS}],
        "containers": [{"name": "agent", "image": "none", "ports": [{"containerPort": REPORT_PORT}]}],
    }})
}

pub fn pod_status(address: &str) -> Value {
    json!({"status": {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": [{"type": "Ready", "status": "True"}],
    }})
}

pub fn token_request(pod: &str, uid: &str) -> Value {
    json!({"spec": {"audiences": [], "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid}}})
}

/// The same patch as the agent's.
pub fn condition(report: &Report) -> Value {
    json!({"metadata": {"uid": report.pod_uid}, "status": {"conditions": [{
        "type": CONDITION_ASSETS, "status": "True", "reason": "Loaded", "message": report.to_json(),
    }]}})
}
