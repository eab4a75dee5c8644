//! The admission policies: each pod writes its own report and nothing else, and nobody else's status writes are touched.
//! Tokens are real ones, bound to pods, as kubelet fetches them.

use std::time::Duration;

use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use rollcall::api::names::{AGENT_FIELD_MANAGER, CONDITION_ASSETS, LABEL_RELEASE};
use serde_json::{Value, json};

use super::Server;

const BOUNDED: &str = "a report has at most 8192 characters";
const OWN_POD: &str = "an agent may write the status of its own pod only";
const OWN_REPORT: &str = "only a token bound to that pod may change it";
const NO_CONDITION: &str = "an agent may change no condition but rollcall.dev/assets";
const NO_STATUS: &str = "an agent may change nothing of a pod's status but its report";
const NO_METADATA: &str = "an agent may not change a pod's labels, annotations or finalizers";

pub(super) struct Stage {
    pub(super) server: Server,
    pub(super) namespace: String,
}

/// Two pods with an agent, one of a load balancer's controller, and their rights.
pub(super) async fn stage(name: &str) -> Option<Stage> {
    let server = super::server().await?;
    install_policies(&server);
    let namespace = server.namespace(name).await;
    let stage = Stage { server, namespace };
    for (pod, account) in [("shop-0", "shop"), ("shop-1", "shop"), ("balancer-0", "balancer"), ("boss-0", "boss")] {
        stage.pod(pod, account).await;
    }
    stage.bind("shop", "clusterrole=rollcall-agent", "serviceaccount");
    stage.kubectl(&["create", "role", "pointer", "--verb=get,watch", "--resource=configmaps", "--resource-name=shop-assets"]);
    let account = format!("--serviceaccount={}:shop", stage.namespace);
    stage.kubectl(&["create", "rolebinding", "pointer", "--role=pointer", &account]);
    stage.bind("boss", "clusterrole=cluster-admin", "serviceaccount");
    stage.kubectl(&["create", "role", "statuses", "--verb=get,patch,update", "--resource=pods/status"]);
    stage.bind("balancer", "role=statuses", "serviceaccount");
    stage.bind("system:node:node-1", "role=statuses", "user");
    stage.wait_for_the_policies().await;
    Some(stage)
}

/// The policies and roles of the plain manifests, without the controller: they have fixed names, so tests share them.
pub(super) fn install_policies(server: &Server) {
    let manifests = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/rollcall.yaml");
    let kinds = "clusterrole,validatingadmissionpolicy,validatingadmissionpolicybinding";
    let all = std::fs::read_to_string(manifests).unwrap();
    let wanted: Vec<&str> = all
        .split("\n---\n")
        .filter(|document| {
            document
                .lines()
                .any(|line| line.strip_prefix("kind: ").is_some_and(|kind| kinds.split(',').any(|known| known == kind.to_lowercase())))
        })
        .collect();
    assert!(wanted.len() >= 5, "{manifests} has the policies");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policies.yaml");
    std::fs::write(&file, wanted.join("\n---\n")).unwrap();
    let arguments = ["apply", "--server-side", "--force-conflicts", "--field-manager=rollcall-test", "-f", file.to_str().unwrap()];
    server.kubectl(&arguments).unwrap();
}

impl Stage {
    fn kubectl(&self, arguments: &[&str]) {
        self.server.kubectl(&[&["-n", &self.namespace], arguments].concat()).unwrap();
    }

    fn bind(&self, name: &str, role: &str, kind: &str) {
        let subject = if kind == "user" { format!("--user={name}") } else { format!("--serviceaccount={}:{name}", self.namespace) };
        let binding = name.replace(':', "-");
        self.kubectl(&["create", "rolebinding", &binding, &format!("--{role}"), &subject]);
    }

    pub(super) fn pods(&self, client: &Client) -> Api<Pod> {
        Api::namespaced(client.clone(), &self.namespace)
    }

    pub(super) async fn pod(&self, name: &str, account: &str) {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.server.client.clone(), &self.namespace);
        let new = serde_json::from_value(json!({"metadata": {"name": account}})).unwrap();
        if let Err(error) = accounts.create(&PostParams::default(), &new).await {
            assert!(error.to_string().contains("already exists"), "{error}");
        }
        let secure = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
        let pod = serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {LABEL_RELEASE: "shop"}},
            "spec": {
                "serviceAccountName": account,
                "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{"name": "c", "image": "none.invalid/none", "imagePullPolicy": "Never", "securityContext": secure}],
                // Nothing else may write its status while the test does.
                "nodeSelector": {"no": "node"},
            },
        }));
        self.pods(&self.server.client).create(&PostParams::default(), &pod.unwrap()).await.unwrap();
    }

    /// A client with a token for the account, bound to a pod as kubelet's are, or to nothing.
    pub(super) async fn token(&self, account: &str, pod: Option<&str>) -> Client {
        let mut request = json!({"metadata": {}, "spec": {"audiences": [], "expirationSeconds": 600}});
        if let Some(name) = pod {
            let uid = self.pods(&self.server.client).get(name).await.unwrap().uid();
            request["spec"]["boundObjectRef"] = json!({"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid});
        }
        let request: TokenRequest = serde_json::from_value(request).unwrap();
        let accounts: Api<ServiceAccount> = Api::namespaced(self.server.client.clone(), &self.namespace);
        let answer = accounts.create_token_request(account, &PostParams::default(), &request).await.unwrap();
        self.client(&json!({"token": answer.status.unwrap().token}))
    }

    fn client(&self, auth: &Value) -> Client {
        let mut config = self.server.config.clone();
        config.auth_info = serde_json::from_value(auth.clone()).unwrap();
        Client::try_from(config).unwrap()
    }

    fn node(&self) -> Client {
        let mut config = self.server.config.clone();
        config.auth_info.impersonate = Some("system:node:node-1".into());
        config.auth_info.impersonate_groups = Some(vec!["system:nodes".into(), "system:authenticated".into()]);
        Client::try_from(config).unwrap()
    }

    async fn patch(&self, who: &Client, pod: &str, body: &Value) -> Result<(), String> {
        let patched = self.pods(who).patch_status(pod, &PatchParams::default(), &Patch::Strategic(body)).await;
        patched.map(|_| ()).map_err(|error| error.to_string())
    }

    async fn accepts(&self, who: &Client, pod: &str, body: &Value) {
        self.patch(who, pod, body).await.unwrap_or_else(|error| panic!("{body} for {pod}: {error}"));
    }

    pub(super) async fn refuses(&self, who: &Client, pod: &str, body: &Value, message: &str) {
        self.refuses_by_one_of(who, pod, body, &[message]).await;
    }

    /// When a write breaks two policies, the API server names the one that it happens to look at first.
    async fn refuses_by_one_of(&self, who: &Client, pod: &str, body: &Value, messages: &[&str]) {
        let error = self.patch(who, pod, body).await.expect_err(&format!("{body} for {pod} must be refused"));
        assert!(messages.iter().any(|message| error.contains(message)), "{body} for {pod}: {error}");
    }

    /// A new policy takes effect when the API server's own watch has seen it.
    async fn wait_for_the_policies(&self) {
        type Body = fn(String) -> Value;
        let agent = self.token("shop", Some("shop-0")).await;
        let probe = |text: String| json!({"status": {"message": text}});
        let probes: [(Client, Body, &str); 2] = [(self.server.client.clone(), |text| report(&text), OWN_REPORT), (agent, probe, NO_STATUS)];
        for (who, body, message) in probes {
            for attempt in 0.. {
                // Another text each time: what was accepted before the policy took effect would be no change any more.
                let body = body(format!("probe {attempt}"));
                let answer = self.patch(&who, "shop-1", &body).await;
                let refused = answer.as_ref().is_err_and(|error| error.contains(message) || error.contains(OWN_POD));
                if refused {
                    break;
                }
                assert!(attempt < 600, "the policy {message:?} does not take effect: {answer:?}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn condition(kind: &str, status: &str, message: &str) -> Value {
    json!({"status": {"conditions": [{"type": kind, "status": status, "reason": "Test", "message": message}]}})
}

fn report(message: &str) -> Value {
    condition(CONDITION_ASSETS, "True", message)
}

#[tokio::test]
async fn a_pod_writes_its_own_report_and_nothing_else() {
    let Some(stage) = stage("admission-agent").await else { return };
    let agent = stage.token("shop", Some("shop-0")).await;
    stage.accepts(&agent, "shop-0", &report("joining")).await;
    stage.accepts(&agent, "shop-0", &report("another")).await;
    stage.accepts(&agent, "shop-0", &condition(CONDITION_ASSETS, "False", "lost")).await;

    for (long, what) in [(8192, "whole"), (900_000, "reports")] {
        let answer = stage.patch(&agent, "shop-0", &report(&"x".repeat(long))).await;
        assert_eq!(answer.is_ok(), long == 8192, "{what}: {answer:?}");
        assert!(answer.err().is_none_or(|error| error.contains(BOUNDED)), "{what}");
    }
    stage.refuses(&agent, "shop-0", &report(&"x".repeat(8193)), BOUNDED).await;
    stage.refuses(&agent, "shop-0", &condition(CONDITION_ASSETS, &"x".repeat(9000), "x"), BOUNDED).await;
    let reason =
        json!({"status": {"conditions": [{"type": CONDITION_ASSETS, "status": "True", "reason": "r".repeat(129), "message": "x"}]}});
    stage.refuses(&agent, "shop-0", &reason, BOUNDED).await;

    stage.refuses_by_one_of(&agent, "shop-1", &report("forged"), &[OWN_REPORT, OWN_POD]).await;
    stage.refuses(&agent, "shop-1", &condition("Ready", "True", ""), OWN_POD).await;
    for (kind, status) in [("Ready", "True"), ("ContainersReady", "True"), ("PodScheduled", "True"), ("balancer.example/in", "True")] {
        stage.refuses(&agent, "shop-0", &condition(kind, status, "forged"), NO_CONDITION).await;
    }
    let statuses = json!([{"name": "c", "ready": true, "restartCount": 0, "image": "x", "imageID": "x", "state": {}}]);
    for rest in [
        json!({"phase": "Running"}),
        json!({"message": "x"}),
        json!({"podIP": "10.0.0.9", "podIPs": [{"ip": "10.0.0.9"}]}),
        json!({"hostIP": "10.0.0.9"}),
        json!({"startTime": "2026-01-01T00:00:00Z"}),
        json!({"containerStatuses": statuses}),
        json!({"nominatedNodeName": "node-1"}),
    ] {
        stage.refuses(&agent, "shop-0", &json!({"status": rest}), NO_STATUS).await;
    }
    for metadata in [json!({"labels": {LABEL_RELEASE: null}}), json!({"annotations": {"a": "b"}}), json!({"finalizers": ["a.example/b"]})] {
        stage.refuses(&agent, "shop-0", &json!({"metadata": metadata}), NO_METADATA).await;
    }
    stage.server.forget(&stage.namespace).await;
}

/// `rollcall agent` may write by server-side apply, and takes its report away by applying nothing.
#[tokio::test]
async fn a_report_can_be_applied_and_withdrawn() {
    let Some(stage) = stage("admission-apply").await else { return };
    let node = stage.node();
    stage.accepts(&node, "shop-0", &condition("Ready", "False", "")).await;
    let agent = stage.token("shop", Some("shop-0")).await;
    let parameters = PatchParams::apply(AGENT_FIELD_MANAGER);
    for conditions in [json!([{"type": CONDITION_ASSETS, "status": "True", "message": "x"}]), json!([])] {
        let body = json!({"apiVersion": "v1", "kind": "Pod", "status": {"conditions": conditions}});
        let pod = stage.pods(&agent).patch_status("shop-0", &parameters, &Patch::Apply(&body)).await.unwrap();
        let kinds: Vec<String> = pod.status.unwrap().conditions.unwrap().into_iter().map(|condition| condition.type_).collect();
        assert_eq!(kinds.contains(&CONDITION_ASSETS.to_owned()), conditions[0].is_object(), "{kinds:?}");
        assert!(kinds.contains(&"Ready".to_owned()), "{kinds:?}");
    }
    stage.server.forget(&stage.namespace).await;
}

#[tokio::test]
async fn nobody_writes_a_report_for_a_pod() {
    let Some(stage) = stage("admission-report").await else { return };
    let agent = stage.token("shop", Some("shop-0")).await;
    stage.accepts(&agent, "shop-0", &report("true")).await;
    let others = [
        stage.server.client.clone(),
        stage.node(),
        stage.token("balancer", Some("balancer-0")).await,
        stage.token("boss", Some("boss-0")).await,
        stage.token("shop", Some("shop-1")).await,
        stage.token("shop", None).await,
    ];
    for other in &others {
        stage.refuses_by_one_of(other, "shop-0", &report("forged"), &[OWN_REPORT, OWN_POD]).await;
        let removal = json!({"status": {"conditions": [{"type": CONDITION_ASSETS, "$patch": "delete"}]}});
        stage.refuses_by_one_of(other, "shop-0", &removal, &[OWN_REPORT, OWN_POD]).await;
    }
    stage.server.forget(&stage.namespace).await;
}

#[tokio::test]
async fn other_controllers_status_writes_are_left_alone() {
    let Some(stage) = stage("admission-others").await else { return };
    let balancer = stage.token("balancer", Some("balancer-0")).await;
    for pod in ["shop-0", "balancer-0"] {
        stage.accepts(&balancer, pod, &condition("balancer.example/in", "True", "")).await;
    }
    let node = stage.node();
    for body in
        [condition("Ready", "True", ""), json!({"status": {"phase": "Running", "podIP": "10.0.0.9", "podIPs": [{"ip": "10.0.0.9"}]}})]
    {
        stage.accepts(&node, "shop-0", &body).await;
    }
    let boss = stage.token("boss", Some("boss-0")).await;
    stage.accepts(&boss, "shop-1", &condition("Ready", "True", "")).await;
    stage.accepts(&stage.server.client, "shop-1", &json!({"status": {"message": "by hand"}})).await;
    // A pod that nobody marked, and an agent beside all of these.
    let agent = stage.token("shop", Some("shop-0")).await;
    stage.accepts(&agent, "shop-0", &report("still")).await;
    stage.server.forget(&stage.namespace).await;
}
