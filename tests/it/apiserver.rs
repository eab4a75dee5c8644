//! A real API server for the tests that need one, and what only it can say: admission policies against tokens bound to pods.
//! It must never use a cluster that was not named: ROLLCALL_TEST_KUBECONFIG, or inside `tests/cluster/cluster run`.

use std::path::{Path, PathBuf};
use std::process::Command;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, ResourceExt};
use rollcall::api::schema;
use serde_json::{Value, json};

mod admission;
mod agent;
mod installations;
mod leaders;
mod rights;
mod shop;
mod verbs;

/// The server and the credentials of its administrator.
pub(crate) struct Server {
    kubeconfig: PathBuf,
    kubectl: PathBuf,
    pub(crate) config: Config,
    pub(crate) client: Client,
}

/// None, said loudly, when there is none and ROLLCALL_REQUIRE_ALL is not set.
pub(crate) async fn server() -> Option<Server> {
    let Some(kubeconfig) = kubeconfig() else {
        crate::skip(
            "no API server; run the tests by `tests/cluster/cluster run --api-only -- cargo test`, or name one in ROLLCALL_TEST_KUBECONFIG",
        );
        return None;
    };
    let kubectl = program("kubectl")?;
    let read = Kubeconfig::read_from(&kubeconfig).unwrap();
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await.unwrap();
    let client = Client::try_from(config.clone()).unwrap();
    Some(Server { kubeconfig, kubectl, config, client })
}

#[expect(clippy::disallowed_methods, reason = "whoever runs the tests names the cluster that they may change")]
fn kubeconfig() -> Option<PathBuf> {
    let own_cluster = std::env::var_os("ROLLCALL_CLUSTER").and_then(|_| std::env::var_os("KUBECONFIG"));
    std::env::var_os("ROLLCALL_TEST_KUBECONFIG").or(own_cluster).map(PathBuf::from)
}

impl Server {
    /// What kubectl printed, or what it complained about.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        run(Command::new(&self.kubectl).env("KUBECONFIG", &self.kubeconfig).args(arguments))
    }

    /// By server-side apply, as a user of plain manifests.
    pub(crate) fn apply(&self, objects: &[Value]) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("objects.json");
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        std::fs::write(&file, list.to_string()).unwrap();
        self.kubectl(&["apply", "--server-side", "--force-conflicts", "--field-manager=rollcall-test", "-f", file.to_str().unwrap()])
            .unwrap();
    }

    pub(crate) async fn install_crds(&self) {
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        for crd in schema::crds() {
            api.patch(&crd.name_any(), &PatchParams::apply("rollcall-test").force(), &Patch::Apply(&crd)).await.unwrap();
            let established = kube::runtime::conditions::is_crd_established();
            kube::runtime::wait::await_condition(api.clone(), &crd.name_any(), established).await.unwrap();
        }
    }

    /// A fresh namespace, so that tests run beside each other and beside leftovers. It enforces Pod Security `restricted`.
    pub(crate) async fn namespace(&self, name: &str) -> String {
        let name = format!("{name}-{}", std::process::id());
        let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        let namespace = serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}})).unwrap();
        Api::<Namespace>::all(self.client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
        name
    }

    /// What a test that fails leaves behind goes with the cluster.
    pub(crate) async fn forget(&self, namespace: &str) {
        Api::<Namespace>::all(self.client.clone()).delete(namespace, &DeleteParams::background()).await.unwrap();
    }

    /// What helm printed, or what it complained about.
    pub(crate) fn helm(&self, helm: &Path, arguments: &[&str]) -> Result<String, String> {
        run(Command::new(helm).env("KUBECONFIG", &self.kubeconfig).args(arguments))
    }
}

/// A program of the test cluster: found, downloaded or built by its tool.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/binaries.sh");
    match run(Command::new(tool).args(["path", name])) {
        Ok(path) => Some(path.trim().into()),
        Err(why) => {
            crate::skip(&format!("no {name}: {why}"));
            None
        }
    }
}

/// Its output, or its complaint.
pub(crate) fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stdout) + &text(&output.stderr)) }
}
