//! A namespace with a store, a release of an application without pods, and controllers as processes.
//! Never a right that the plain manifests do not give.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use rollcall::api::names::POINTER_KEY;
use rollcall::api::{AssetRelease, AssetStore, Pointer};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use super::proxy::Proxy;
use crate::apiserver::Server;
use crate::apiserver::admission::install_policies;
use crate::dev_store::{ACCESS_KEY_ID, Running, SECRET_ACCESS_KEY};

const ACCOUNT: &str = "system:serviceaccount:rollcall-system:rollcall";
const SYSTEM: &str = "rollcall-system";

pub(super) struct Stage {
    server: Server,
    namespace: String,
    /// The controller's account.
    account: Client,
    scratch: TempDir,
    store: Running,
    times: [String; 3],
}

/// One controller, over several lives.
pub(super) struct Controller {
    name: String,
    command: Arc<dyn Fn() -> Command + Send + Sync>,
    log: PathBuf,
    process: Child,
    pub(super) proxy: Proxy,
}

/// Every pointer that a third client saw.
pub(super) struct Numbers(Arc<Mutex<Vec<Pointer>>>);

/// Tries until it holds, at most a minute and a half.
async fn until<T>(what: &str, mut holds: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = holds().await {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(90), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Stage {
    pub(super) async fn begin(name: &str, times: &str) -> Option<Self> {
        let server = crate::apiserver::server().await?;
        server.install_crds().await;
        install_policies(&server);
        let namespace = server.namespace(name).await;
        let scratch = tempfile::tempdir().unwrap();
        let store = Running::start(&scratch.path().join("store"), "web").await;
        let times: Vec<String> = times.split(',').map(ToOwned::to_owned).collect();
        let mut config = server.config.clone();
        config.auth_info.impersonate = Some(ACCOUNT.into());
        let groups = ["system:serviceaccounts", "system:serviceaccounts:rollcall-system", "system:authenticated"];
        config.auth_info.impersonate_groups = Some(groups.map(str::to_owned).to_vec());
        let account = Client::try_from(config).unwrap();
        let stage = Self { server, namespace, account, scratch, store, times: times.try_into().unwrap() };
        stage.give_rights().await;
        stage.publish("v1");
        stage.publish("v2");
        stage.make_release().await;
        Some(stage)
    }

    fn kubectl(&self, arguments: &[&str]) {
        let answer = self.server.kubectl(arguments);
        assert!(answer.as_ref().err().is_none_or(|error| error.contains("already exists")), "{answer:?}");
    }

    /// What the chart gives, and a Role for the store's Secret.
    async fn give_rights(&self) {
        let system: Namespace = serde_json::from_value(json!({"metadata": {"name": SYSTEM}})).unwrap();
        let _ = Api::<Namespace>::all(self.server.client.clone()).create(&PostParams::default(), &system).await;
        let (own, account) = (self.namespace.as_str(), "--serviceaccount=rollcall-system:rollcall");
        let binding = format!("rollcall-{own}");
        self.kubectl(&["create", "clusterrolebinding", &binding, "--clusterrole=rollcall-controller", account]);
        self.kubectl(&["-n", own, "create", "role", "keys", "--verb=get", "--resource=secrets", "--resource-name=keys"]);
        self.kubectl(&["-n", own, "create", "rolebinding", "keys", "--role=keys", account]);
        let role = ["--resource=leases.coordination.k8s.io", "--resource-name=rollcall"];
        self.kubectl(&[&["-n", SYSTEM, "create", "role", "rollcall-leader", "--verb=get,update"][..], &role].concat());
        self.kubectl(&["-n", SYSTEM, "create", "role", "rollcall-candidate", "--verb=create", role[0]]);
        for role in ["rollcall-leader", "rollcall-candidate"] {
            self.kubectl(&["-n", SYSTEM, "create", "rolebinding", role, &format!("--role={role}"), account]);
        }
    }

    fn publish(&self, version: &str) {
        let folder = self.scratch.path().join(version);
        std::fs::create_dir_all(folder.join("assets")).unwrap();
        let text = format!("export default {version:?}");
        let hash = &rollcall::api::ContentHash::of(text.as_bytes()).to_string()[..12];
        std::fs::write(folder.join(format!("assets/app-{hash}.js")), text).unwrap();
        std::fs::write(folder.join("index.html"), format!("<script src=assets/app-{hash}.js></script>")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
        command.env_clear().env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID).env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY);
        command.arg("publish").arg(&folder).args(["--endpoint", &self.store.endpoint, "--to", "s3://web/shop/", "--version", version]);
        let output = tokio::task::block_in_place(|| command.stdin(Stdio::null()).output()).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    async fn make_release(&self) {
        let (own, endpoint) = (self.namespace.as_str(), &self.store.endpoint);
        let made = |body: Value| serde_json::to_value(body).unwrap();
        let secret =
            json!({"metadata": {"name": "keys"}, "stringData": {"accessKeyId": ACCESS_KEY_ID, "secretAccessKey": SECRET_ACCESS_KEY}});
        let secret: Secret = serde_json::from_value(made(secret)).unwrap();
        Api::<Secret>::namespaced(self.server.client.clone(), own).create(&PostParams::default(), &secret).await.unwrap();
        let store: AssetStore = serde_json::from_value(json!({
            "apiVersion": "rollcall.dev/v1alpha1", "kind": "AssetStore", "metadata": {"name": "main"},
            "spec": {
                "bucket": {"name": "web", "region": "us-east-1", "endpoint": endpoint, "forcePathStyle": true},
                "credentials": {"secretName": "keys"}, "publicUrl": format!("{endpoint}/web/"),
            },
        }))
        .unwrap();
        Api::<AssetStore>::namespaced(self.server.client.clone(), own).create(&PostParams::default(), &store).await.unwrap();
        let release: AssetRelease = serde_json::from_value(json!({
            "apiVersion": "rollcall.dev/v1alpha1", "kind": "AssetRelease", "metadata": {"name": "shop"},
            "spec": {
                "storeRef": {"name": "main"}, "prefix": "shop/", "version": "v1", "source": {"published": {}},
                "targets": [{"workloadRef": {"kind": "Deployment", "name": "shop"}}],
                "activation": {"onMissingWorkload": "Proceed"}, "pointer": {"configMapName": "shop-assets"},
            },
        }))
        .unwrap();
        self.releases().create(&PostParams::default(), &release).await.unwrap();
    }

    fn releases(&self) -> Api<AssetRelease> {
        Api::namespaced(self.server.client.clone(), &self.namespace)
    }

    fn maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.server.client.clone(), &self.namespace)
    }

    pub(super) async fn controller(&self, name: &str) -> Controller {
        let proxy = Proxy::start(self.account.clone()).await;
        let kubeconfig = self.scratch.path().join(format!("{name}.kubeconfig"));
        let server = format!("http://127.0.0.1:{}", proxy.port);
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": server}}], "users": [{"name": "c", "user": {}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c", "namespace": SYSTEM}}],
        });
        std::fs::write(&kubeconfig, config.to_string()).unwrap();
        let (log, workspace) = (self.scratch.path().join(format!("{name}.log")), self.scratch.path().join(format!("{name}.workspace")));
        let (instance, namespace, times, output) = (name.to_owned(), self.namespace.clone(), self.times.clone(), log.clone());
        let command = Arc::new(move || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
            command.env_clear().arg("controller").arg("--kubeconfig").arg(&kubeconfig).arg("--workspace").arg(&workspace);
            command.args(["--watch-namespace", &namespace, "--instance", &instance, "--egress-allow", "127.0.0.1"]);
            command.args(["--admin-listen", "127.0.0.1:0", "--leader-elect-lease-duration", &times[0]]);
            command.args(["--leader-elect-renew-deadline", &times[1], "--leader-elect-retry-period", &times[2]]);
            let file = std::fs::File::create(&output).unwrap();
            command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
            command
        });
        let process = command().spawn().unwrap();
        Controller { name: name.to_owned(), command, log, process, proxy }
    }

    pub(super) async fn wish(&self, version: &str) {
        let patch = json!({"spec": {"version": version}});
        self.releases().patch("shop", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    /// Active, and said so of this very wish.
    pub(super) async fn until_active(&self, version: &str) {
        until(&format!("{version} becomes active"), async || {
            let release = self.releases().get("shop").await.unwrap();
            let status = release.status.clone().unwrap_or_default();
            let is_ready = status.conditions.iter().any(|it| it.type_ == "Ready" && it.status == "True");
            let is_active = status.active.is_some_and(|active| active.version == version);
            (is_ready && is_active && Some(status.observed_generation) == release.metadata.generation).then_some(())
        })
        .await;
    }

    pub(super) async fn pointer(&self) -> (Pointer, String) {
        let map = self.maps().get("shop-assets").await.unwrap();
        (pointer(&map), map.resource_version().unwrap())
    }

    async fn holder(&self) -> String {
        let leases: Api<Lease> = Api::namespaced(self.server.client.clone(), SYSTEM);
        let lease = leases.get_opt("rollcall").await.unwrap();
        lease.and_then(|lease| lease.spec?.holder_identity).unwrap_or_default()
    }

    /// Which of the two leads.
    pub(super) async fn leader(&self, controllers: &[Controller; 2]) -> usize {
        until("one of the two leads", async || {
            let holder = self.holder().await;
            controllers.iter().position(|controller| holder.starts_with(&format!("{}_", controller.name)))
        })
        .await
    }

    pub(super) async fn until_led_by(&self, controller: &Controller) {
        let name = format!("{}_", controller.name);
        until(&format!("{} leads", controller.name), async || self.holder().await.starts_with(&name).then_some(())).await;
    }

    /// It has asked for the Lease.
    pub(super) async fn until_ready(&self, controller: &Controller) {
        let begun = controller.proxy.lines().len();
        until("a standby asks for the Lease", async || (controller.proxy.lines().len() > begun).then_some(())).await;
    }

    /// When a controller's first write behind that line was carried out.
    pub(super) async fn first_write_since(&self, proxy: &Proxy, line: usize) -> Instant {
        until("the next leader writes", async || {
            let lines = proxy.lines().split_off(line);
            lines.into_iter().find(|line| line.writes_more_than_the_lease() && line.code < 300).map(|line| line.at)
        })
        .await
    }

    pub(super) fn follow_the_pointer(&self) -> Numbers {
        let seen: Arc<Mutex<Vec<Pointer>>> = Arc::default();
        let (numbers, config) = (seen.clone(), watcher::Config::default().fields("metadata.name=shop-assets"));
        let events = watcher(self.maps(), config).applied_objects();
        tokio::spawn(events.for_each(move |map| {
            if let Ok(map) = map {
                numbers.lock().unwrap().push(pointer(&map));
            }
            std::future::ready(())
        }));
        Numbers(seen)
    }

    pub(super) async fn end(self) {
        self.kubectl(&["delete", "clusterrolebinding", &format!("rollcall-{}", self.namespace)]);
        self.server.forget(&self.namespace).await;
    }
}

fn pointer(map: &ConfigMap) -> Pointer {
    let text = map.data.as_ref().and_then(|data| data.get(POINTER_KEY)).map_or("", String::as_str);
    Pointer::parse(text).unwrap()
}

impl Numbers {
    pub(super) fn taken(self) -> Vec<Pointer> {
        self.0.lock().unwrap().clone()
    }
}

impl Controller {
    pub(super) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.process.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for its end; what it said.
    pub(super) async fn until_ended(&mut self) -> String {
        until(&format!("{} ends", self.name), async || self.process.try_wait().unwrap()).await;
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Another life.
    pub(super) fn start(&mut self) {
        self.process = (self.command)().spawn().unwrap();
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
