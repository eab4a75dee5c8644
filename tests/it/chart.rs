//! The chart as helm renders it, and as a real API server takes it: least rights, Pod Security, nothing that helm or a
//! user of plain manifests would trip over.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{CommandFactory as _, Parser as _};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use rollcall::cli::Cli;
use serde::Deserialize as _;
use serde_json::Value;

use crate::apiserver::{self, program, run};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const EVERYTHING: [&str; 9] = [
    "devStore.enabled=true",
    "networkPolicy.metricsFrom.matchLabels.team=monitoring",
    "watchNamespaces={shop,blog}",
    "secrets[0].namespace=shop",
    "secrets[0].name=bucket-keys",
    "egress.allowedHosts={builds.ci.svc}",
    "ambientCredentials[0].namespaces={shop,blog}",
    "ambientCredentials[0].bucket=web-assets",
    "ambientCredentials[0].prefix=shop/",
];

pub(crate) fn helm() -> Option<PathBuf> {
    program("helm")
}

fn chart() -> String {
    format!("{ROOT}/charts/rollcall")
}

/// The chart's objects with these settings.
pub(crate) fn rendered(helm: &Path, settings: &[&str]) -> Vec<Value> {
    template(helm, "rollcall", "rollcall-system", settings).unwrap()
}

/// The objects of an installation, or helm's complaint.
pub(crate) fn template(helm: &Path, release: &str, namespace: &str, settings: &[&str]) -> Result<Vec<Value>, String> {
    let mut command = Command::new(helm);
    command.args(["template", release, &chart(), "--namespace", namespace]);
    for setting in settings {
        command.args(["--set", setting]);
    }
    run(&mut command).map(|text| documents(&text))
}

/// The objects of a YAML text.
pub(crate) fn documents(text: &str) -> Vec<Value> {
    let documents = serde_yaml_ng::Deserializer::from_str(text).map(|document| Value::deserialize(document).unwrap());
    documents.filter(|object| !object.is_null()).collect()
}

pub(crate) fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

fn words(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().map(|word| word.as_str().unwrap()).collect()
}

/// `group/resource verb`, and `[name]` behind it where the rule is for named objects only.
pub(crate) fn rights(role: &Value) -> BTreeSet<String> {
    let mut rights = BTreeSet::new();
    for rule in role["rules"].as_array().into_iter().flatten() {
        let names = words(&rule["resourceNames"]).join(", ");
        let names = if names.is_empty() { names } else { format!(" [{names}]") };
        for group in words(&rule["apiGroups"]) {
            for resource in words(&rule["resources"]) {
                rights.extend(words(&rule["verbs"]).iter().map(|verb| format!("{group}/{resource} {verb}{names}")));
            }
        }
    }
    rights
}

pub(crate) fn named<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = of_kind(objects, kind).into_iter().find(|object| object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

#[test]
fn helm_finds_nothing_to_complain_about() {
    let Some(helm) = helm() else { return };
    run(Command::new(&helm).args(["lint", "--strict", &chart()])).unwrap();
    let unknown = run(Command::new(&helm).args(["template", &chart(), "--set", "watchNamespace=shop"])).unwrap_err();
    assert!(unknown.contains("watchNamespace"), "a value that does not exist is named: {unknown}");
}

/// What each look and each act of the controller needs; a call that is not here fails on a cluster, not here.
const CONTROLLER: [&str; 21] = [
    "rollcall.dev/assetreleases get",
    "rollcall.dev/assetreleases list",
    "rollcall.dev/assetreleases watch",
    "rollcall.dev/assetreleases patch",
    "rollcall.dev/assetreleases/status patch",
    "rollcall.dev/assetstores get",
    "rollcall.dev/assetstores list",
    "rollcall.dev/assetstores watch",
    "rollcall.dev/assetstores/status patch",
    "/configmaps get",
    "/configmaps list",
    "/configmaps watch",
    "/configmaps create",
    "/configmaps patch",
    "/pods list",
    "/pods watch",
    "apps/deployments get",
    "apps/statefulsets get",
    "apps/daemonsets get",
    "events.k8s.io/events create",
    "/nodes get",
];
const CLUSTER_ONLY: [&str; 1] = ["/namespaces get [kube-system]"];

#[test]
fn the_controller_may_do_what_it_does_and_nothing_else() {
    let Some(helm) = helm() else { return };
    let all = rights(named(&rendered(&helm, &[]), "ClusterRole", "rollcall-controller"));
    let expected: BTreeSet<String> = CONTROLLER.iter().chain(&CLUSTER_ONLY).map(ToString::to_string).collect();
    assert_eq!(all, expected);

    let few = rendered(&helm, &["watchNamespaces={shop,blog}"]);
    let cluster = rights(named(&few, "ClusterRole", "rollcall-controller"));
    assert!(cluster.iter().all(|right| right.contains("/nodes ") || right.contains("/namespaces ")), "{cluster:?}");
    let roles: Vec<_> = of_kind(&few, "Role").into_iter().filter(|role| role["metadata"]["name"] == "rollcall-controller").collect();
    assert_eq!(roles.iter().map(|role| role["metadata"]["namespace"].as_str().unwrap()).collect::<Vec<_>>(), ["shop", "blog"]);
    for role in roles {
        let together: BTreeSet<String> = rights(role).union(&cluster).cloned().collect();
        assert_eq!(together, expected);
    }
}

#[test]
fn nobody_gets_a_wildcard_or_secrets_that_were_not_named() {
    let Some(helm) = helm() else { return };
    for settings in [&[][..], &EVERYTHING] {
        let objects = rendered(&helm, settings);
        for role in of_kind(&objects, "ClusterRole") {
            assert!(rights(role).iter().all(|right| !right.contains('*') && !right.contains("secrets")), "{role}");
        }
        for role in of_kind(&objects, "Role") {
            for right in rights(role) {
                assert!(!right.contains('*'), "{right}");
                assert!(!right.contains("secrets") || right == "/secrets get [bucket-keys]", "{right}");
            }
        }
    }
    let secrets = rendered(&helm, &EVERYTHING);
    let role = of_kind(&secrets, "Role").into_iter().find(|role| rights(role).contains("/secrets get [bucket-keys]")).unwrap();
    assert_eq!(role["metadata"]["namespace"], "shop");
}

#[test]
fn an_agent_may_write_a_report_and_reads_what_its_namespace_names() {
    let Some(helm) = helm() else { return };
    let agent = rights(named(&rendered(&helm, &[]), "ClusterRole", "rollcall-agent"));
    let expected = ["/pods/status patch", "rollcall.dev/agents confined"];
    assert_eq!(agent, expected.iter().map(ToString::to_string).collect());
}

/// Whoever follows the README's settings gets what they say.
#[test]
fn settings_reach_the_controllers_command_line() {
    let Some(helm) = helm() else { return };
    let objects = rendered(&helm, &EVERYTHING);
    let controller = named(&objects, "Deployment", "rollcall");
    let arguments = words(&controller["spec"]["template"]["spec"]["containers"][0]["args"]);
    for wanted in [
        "controller",
        "--watch-namespace=shop",
        "--watch-namespace=blog",
        "--egress-allow=builds.ci.svc",
        "--egress-allow=rollcall-dev-store.rollcall-system.svc:9000",
        r#"--ambient-credentials={"bucket":"web-assets","namespaces":["shop","blog"],"prefix":"shop/"}"#,
        "--workspace=/var/lib/rollcall",
        "--workspace-size=4Gi",
    ] {
        assert!(arguments.contains(&wanted), "{wanted} in {arguments:?}");
    }
}

/// Two by default: a handover without a gap, and never both gone at once. A single one has nobody to keep.
#[test]
fn two_replicas_elect_a_leader_by_a_lease_of_their_own() {
    let Some(helm) = helm() else { return };
    let objects = rendered(&helm, &[]);
    let spec = &named(&objects, "Deployment", "rollcall")["spec"];
    assert_eq!(spec["replicas"], 2);
    assert_eq!(spec["strategy"], serde_json::json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}));
    let pod = &spec["template"]["spec"];
    let arguments = words(&pod["containers"][0]["args"]);
    for wanted in ["--leader-elect-resource-name=rollcall", "--leader-elect-resource-namespace=rollcall-system"] {
        assert!(arguments.contains(&wanted), "{wanted} in {arguments:?}");
    }
    assert_eq!(pod["topologySpreadConstraints"][0]["topologyKey"], "kubernetes.io/hostname");
    assert_eq!(named(&objects, "PodDisruptionBudget", "rollcall")["spec"]["minAvailable"], 1);
    let lease = named(&objects, "Role", "rollcall-leader");
    assert_eq!(lease["metadata"]["namespace"], "rollcall-system");
    let expected = ["leases create", "leases get [rollcall]", "leases update [rollcall]"];
    assert_eq!(rights(lease), expected.map(|right| format!("coordination.k8s.io/{right}")).into());

    let single = rendered(&helm, &["replicas=1"]);
    assert!(of_kind(&single, "PodDisruptionBudget").is_empty());
    let pod = &named(&single, "Deployment", "rollcall")["spec"]["template"]["spec"];
    assert!(pod["topologySpreadConstraints"].is_null() && !words(&pod["containers"][0]["args"]).contains(&"--no-leader-elect"));
}

/// Also where the names of what lies in the cluster begin with the namespace: the Lease lies in the namespace, and its name does not.
#[test]
fn the_lease_has_one_name_in_arguments_rights_and_policy_wherever_it_is_installed() {
    let Some(helm) = helm() else { return };
    for (release, namespace, name) in
        [("rollcall", "rollcall-system", "rollcall"), ("rollcall", "rollcall", "rollcall"), ("web", "tools", "web-rollcall")]
    {
        let objects = template(&helm, release, namespace, &[]).unwrap();
        let container = &named(&objects, "Deployment", name)["spec"]["template"]["spec"]["containers"][0];
        let wanted = format!("--leader-elect-resource-name={name}");
        assert!(words(&container["args"]).contains(&wanted.as_str()), "{wanted} in {namespace}");
        let expected = ["create".to_owned(), format!("get [{name}]"), format!("update [{name}]")];
        let rights = rights(named(&objects, "Role", &format!("{name}-leader")));
        assert_eq!(rights, expected.map(|right| format!("coordination.k8s.io/leases {right}")).into(), "in {namespace}");
        let policies = of_kind(&objects, "ValidatingAdmissionPolicy");
        let lease = policies.iter().find(|policy| policy["metadata"]["name"].as_str().unwrap().ends_with("-controller-lease")).unwrap();
        let rule = lease["spec"]["validations"][0]["expression"].as_str().unwrap();
        assert!(rule.contains(&format!("object.metadata.name == '{name}'")), "in {namespace}: {rule}");
    }
}

/// The program that is started takes the command lines that the chart writes.
#[test]
fn the_program_understands_what_the_chart_starts_it_with() {
    let Some(helm) = helm() else { return };
    let objects = rendered(&helm, &EVERYTHING);
    let keys = ["--access-key-id=a", "--secret-access-key=b"];
    for (deployment, from_environment) in [("rollcall", &[][..]), ("rollcall-dev-store", &keys)] {
        let container = &named(&objects, "Deployment", deployment)["spec"]["template"]["spec"]["containers"][0];
        let typed = std::iter::once("rollcall").chain(words(&container["args"])).chain(from_environment.iter().copied());
        Cli::try_parse_from(typed).unwrap_or_else(|error| panic!("{deployment}: {error}"));
        for variable in container["env"].as_array().into_iter().flatten() {
            assert!(is_an_option(variable["name"].as_str().unwrap()), "{variable}");
        }
    }
}

/// Whether the program looks at this environment variable.
pub(crate) fn is_an_option(variable: &str) -> bool {
    let program = Cli::command();
    program.get_subcommands().flat_map(clap::Command::get_arguments).any(|option| option.get_env().is_some_and(|name| name == variable))
}

/// A flood of the admin port takes a neighbour in the same namespace, or one that was let in.
#[test]
fn nobody_reaches_the_controller_but_its_namespace_and_who_was_let_in() {
    let Some(helm) = helm() else { return };
    let from = |settings: &[&str]| {
        let objects = rendered(&helm, settings);
        let policy = named(&objects, "NetworkPolicy", "rollcall").clone();
        let controller = named(&objects, "Deployment", "rollcall")["spec"]["template"]["metadata"]["labels"].clone();
        for (label, value) in policy["spec"]["podSelector"]["matchLabels"].as_object().unwrap() {
            assert_eq!(&controller[label], value, "the policy selects the controller");
        }
        assert_eq!(policy["spec"]["policyTypes"], serde_json::json!(["Ingress"]));
        assert_eq!(policy["spec"]["ingress"].as_array().unwrap().len(), 1);
        assert_eq!(policy["spec"]["ingress"][0]["ports"], serde_json::json!([{"port": "admin"}]));
        policy["spec"]["ingress"][0]["from"].clone()
    };
    assert_eq!(from(&[]), serde_json::json!([{"podSelector": {}}]));
    let label = "networkPolicy.metricsFrom.matchLabels.team=monitoring";
    let selector = serde_json::json!({"namespaceSelector": {"matchLabels": {"team": "monitoring"}}});
    assert_eq!(from(&[label]), serde_json::json!([{"podSelector": {}}, selector]));
    assert!(of_kind(&rendered(&helm, &["networkPolicy.enabled=false"]), "NetworkPolicy").is_empty());
}

/// Helm never upgrades what lies in a chart's `crds/`, and deleting a CRD deletes every release of the cluster.
#[test]
fn crds_are_upgraded_and_outlive_the_chart() {
    let Some(helm) = helm() else { return };
    let objects = rendered(&helm, &[]);
    let crds = of_kind(&objects, "CustomResourceDefinition");
    assert_eq!(crds.len(), 2);
    for crd in crds {
        assert_eq!(crd["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    }
    assert!(of_kind(&rendered(&helm, &["crds.install=false"]), "CustomResourceDefinition").is_empty());
}

#[test]
fn the_plain_manifests_are_the_rendered_chart() {
    let Some(_) = helm() else { return };
    let checked = run(Command::new(Path::new(ROOT).join("deploy/render.sh")).arg("--check"));
    checked.unwrap_or_else(|difference| panic!("{difference}"));
}

/// The cluster-wide parts with fixed names are left to `apiserver::admission`, which may be running beside this.
#[tokio::test]
async fn pod_security_restricted_takes_every_pod_and_the_dev_stores_keys_stay() {
    let Some(helm) = helm() else { return };
    let Some(server) = apiserver::server().await else { return };
    let namespace = server.namespace("chart").await;
    let release = format!("rollcall-{namespace}");
    let chart = chart();
    let settings = "devStore.enabled=true,crds.install=false,admissionPolicies.enabled=false,agent.clusterRole=false";
    let install = ["upgrade", "--install", &release, &chart, "--namespace", &namespace, "--set", settings];
    let mut keys = BTreeSet::new();
    for _ in 0..2 {
        server.helm(&helm, &install).unwrap();
        keys.insert(
            server
                .kubectl(&["get", "secret", "-n", &namespace, "-l", "app.kubernetes.io/name=rollcall", "-o", "jsonpath={.items[*].data}"])
                .unwrap(),
        );
    }
    assert!(keys.iter().all(|data| data.contains("secretAccessKey")), "{keys:?}");
    assert_eq!(keys.len(), 1, "an upgrade keeps the generated keys: {keys:?}");
    let pods: Api<Pod> = Api::namespaced(server.client.clone(), &namespace);
    // The namespace enforces `restricted`: a pod that breaks it is never made.
    for attempt in 0.. {
        let made = pods.list(&ListParams::default()).await.unwrap().items.len();
        // Two replicas of the controller and the store.
        if made == 3 {
            break;
        }
        assert!(attempt < 100, "{made} of 3 pods: {}", server.kubectl(&["get", "events", "-n", &namespace]).unwrap());
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    server.helm(&helm, &["uninstall", &release, "--namespace", &namespace]).unwrap();
    server.forget(&namespace).await;
}

/// What is committed is known to everybody: keys are made by whoever applies a manifest.
#[test]
fn no_committed_manifest_holds_a_key() {
    let manifests = crate::repository::files(&["deploy", "examples", "tests"], &[".yaml"]);
    assert!(manifests.len() > 100, "{} manifests", manifests.len());
    for file in manifests {
        let documents = serde_yaml_ng::Deserializer::from_str(&file.text).filter_map(|document| Value::deserialize(document).ok());
        let secrets: Vec<Value> = documents.filter(|document| document["kind"] == "Secret").collect();
        assert!(secrets.is_empty(), "{} holds a Secret", file.path);
        assert!(!file.text.contains("not-for-production"), "{} holds a key", file.path);
    }
}
