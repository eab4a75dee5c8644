//! The kustomize component: what it makes of workloads that users have, and that a real API server takes it.

use std::path::Path;
use std::process::Command;

use rollcall::api::names::{CONDITION_ASSETS, LABEL_RELEASE};
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::apiserver::{self, program, run};
use crate::chart::is_an_option;

/// `kubectl kustomize` of a folder below the repository's root.
fn built(folder: &str) -> Option<String> {
    let kubectl = program("kubectl")?;
    Some(run(Command::new(kubectl).arg("kustomize").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))).unwrap())
}

fn objects(text: &str) -> Vec<Value> {
    serde_yaml_ng::Deserializer::from_str(text).map(|document| Value::deserialize(document).unwrap()).collect()
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().map(|item| item["name"].as_str().unwrap()).collect()
}

#[test]
fn every_kind_of_workload_gets_the_whole_agent() {
    let Some(text) = built("tests/data/kustomize") else { return };
    let objects = objects(&text);
    let workloads: Vec<&Value> =
        objects.iter().filter(|object| object["metadata"]["name"] == "shop" && object["spec"]["template"].is_object()).collect();
    assert_eq!(workloads.len(), 3, "Deployment, StatefulSet, DaemonSet");
    for workload in workloads {
        let template = &workload["spec"]["template"];
        let pod = &template["spec"];
        assert_eq!(template["metadata"]["labels"][LABEL_RELEASE], "shop");
        assert_eq!(template["metadata"]["annotations"]["rollcall.dev/pointer"], "shop-assets");
        assert!(workload["spec"]["selector"]["matchLabels"][LABEL_RELEASE].is_null(), "a selector cannot be changed later");
        assert_eq!(pod["readinessGates"], json!([{"conditionType": CONDITION_ASSETS}]));
        assert_eq!((&pod["serviceAccountName"], &pod["automountServiceAccountToken"]), (&json!("rollcall-agent"), &json!(false)));
        let agent = pod["initContainers"].as_array().unwrap().iter().find(|container| container["name"] == "rollcall-agent").unwrap();
        assert_eq!(agent["restartPolicy"], "Always");
        assert_eq!(agent["readinessProbe"]["httpGet"], json!({"path": "/readyz", "port": "rollcall"}));
        for variable in ["ROLLCALL_POINTER", "ROLLCALL_NAMESPACE", "ROLLCALL_POD_NAME", "ROLLCALL_POD_UID", "ROLLCALL_MIRROR"] {
            assert!(names(&agent["env"]).contains(&variable), "{variable}");
        }
        for variable in names(&agent["env"]) {
            assert!(is_an_option(variable), "the agent does not know {variable}");
        }
        let assets = pod["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == "rollcall-assets").unwrap();
        assert!(assets["emptyDir"]["sizeLimit"].is_string());
    }
}

#[test]
fn what_a_workload_had_stays() {
    let Some(text) = built("tests/data/kustomize") else { return };
    let objects = objects(&text);
    let pod = |name: &str| {
        let found = objects.iter().find(|object| object["kind"] == "Deployment" && object["metadata"]["name"] == name);
        found.unwrap()["spec"]["template"]["spec"].clone()
    };
    let shop = pod("shop");
    assert_eq!(names(&shop["initContainers"]), ["rollcall-agent", "migrate"]);
    assert!(names(&shop["initContainers"][0]["env"]).contains(&"ROLLCALL_APPLICATION"), "settings of the user's own");
    assert!(names(&shop["volumes"]).contains(&"cache"));
    assert!(pod("worker")["initContainers"].is_null(), "a workload labelled rollcall.dev/agent: none is left alone");
}

#[test]
fn the_right_to_report_goes_to_the_kustomizations_own_namespace() {
    let Some(text) = built("examples/kustomize") else { return };
    let objects = objects(&text);
    let named = |kind: &str, name: &str| {
        let found = objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("no {kind} {name}")).clone()
    };
    for (binding, role) in [("rollcall-agent", "ClusterRole"), ("shop-assets", "Role")] {
        let binding = named("RoleBinding", binding);
        assert_eq!((&binding["roleRef"]["kind"], &binding["roleRef"]["name"]), (&json!(role), &binding["metadata"]["name"]));
        assert_eq!(binding["subjects"], json!([{"kind": "ServiceAccount", "name": "rollcall-agent", "namespace": "shop"}]));
    }
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["shop-assets"], "verbs": ["get", "watch"]}]);
    assert_eq!(named("Role", "shop-assets")["rules"], rules);
}

/// Every port but the agent's own is as open as before: policies add up, and this one does not know the application's.
#[test]
fn the_pod_port_can_be_closed_to_all_but_the_controller() {
    let Some(text) = built("tests/data/kustomize-closed") else { return };
    let objects = objects(&text);
    let policy = objects.iter().find(|object| object["kind"] == "NetworkPolicy").unwrap();
    assert_eq!(policy["metadata"]["namespace"], "shop");
    assert_eq!(policy["spec"]["podSelector"], json!({"matchExpressions": [{"key": LABEL_RELEASE, "operator": "Exists"}]}));
    let rules = policy["spec"]["ingress"].as_array().unwrap();
    let allows = |rule: &Value, port: u64| {
        let fits = |range: &Value| {
            let first = range["port"].as_u64().unwrap();
            range["protocol"] == "TCP" && (first..=range["endPort"].as_u64().unwrap_or(first)).contains(&port)
        };
        rule["ports"].as_array().unwrap().iter().any(fits)
    };
    for port in [1, 80, 8080, 8410, 8412, 65_535] {
        assert!(rules.iter().any(|rule| allows(rule, port) && rule["from"].is_null()), "{port} is open to all");
    }
    let pod_port: Vec<&Value> = rules.iter().filter(|rule| allows(rule, 8411)).collect();
    assert_eq!(pod_port.len(), 1);
    let controller = json!({"rollcall.dev/component": "controller"});
    let namespace = json!({"matchLabels": {"kubernetes.io/metadata.name": "rollcall-system"}});
    let expected = json!([{"namespaceSelector": namespace, "podSelector": {"matchLabels": controller}}]);
    assert_eq!(pod_port[0]["from"], expected);
}

#[tokio::test]
async fn the_example_is_taken_by_a_real_api_server() {
    let Some(server) = apiserver::server().await else { return };
    server.install_crds().await;
    let namespace = server.namespace("kustomize").await;
    let folder = tempfile::tempdir().unwrap();
    for (built_from, objects) in [("examples/kustomize", 8), ("deploy/agent/network-policy", 1)] {
        let Some(text) = built(built_from) else { return };
        let file = folder.path().join("example.yaml");
        std::fs::write(&file, text.replace("namespace: shop\n", &format!("namespace: {namespace}\n"))).unwrap();
        let said = server.kubectl(&["apply", "--dry-run=server", "-n", &namespace, "-f", file.to_str().unwrap()]).unwrap();
        assert_eq!(said.lines().count(), objects, "{said}");
    }
    server.forget(&namespace).await;
}
