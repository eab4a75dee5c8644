//! Several installations of the chart in one cluster, under names and settings of their own: each controller's account can do all of its work
//! and no more, the policies of one installation do not apply to another, and no two installations share an object. Never installs the CRDs,
//! the policies for agents or their ClusterRole by Helm: other tests of the same cluster use them.

use std::collections::BTreeSet;
use std::path::Path;

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::Client;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use rollcall::api::AssetRelease;
use serde_json::{Value, json};

use super::Server;
use super::shop::{KEYS, Shop, client_of, until};
use crate::chart::{documents, helm, of_kind, template};

/// Without the objects that only one installation of a cluster has.
const SECOND: &str = "crds.install=false,admissionPolicies.enabled=false,agent.clusterRole=false";

/// Kind, namespace and name of each object.
fn identities(helm: &Path, release: &str, namespace: &str, settings: &[&str]) -> BTreeSet<String> {
    let objects = template(helm, release, namespace, settings).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let names: Vec<String> = objects
        .iter()
        .map(|object| format!("{} {}/{}", text(&object["kind"]), text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"])))
        .collect();
    let distinct: BTreeSet<String> = names.iter().cloned().collect();
    assert_eq!(names.len(), distinct.len(), "{release} in {namespace}: {names:?}");
    distinct
}

#[test]
fn no_two_installations_have_an_object_of_the_same_name() {
    let Some(helm) = helm() else { return };
    let everything = ["devStore.enabled=true", "watchNamespaces={shop}", "secrets[0].namespace=shop", "secrets[0].name=keys"];
    for (one, other) in [
        (("rollcall", "rollcall-system", ""), ("rollcall", "team", "")),
        (("rollcall", "team-a", ""), ("rollcall", "team-b", "")),
        (("rollcall", "team", ""), ("rollcall-2", "team", "")),
        (("rollcall-2", "team", ""), ("blog", "team", "")),
        (("b-c", "a", "fullnameOverride=b-c"), ("c", "a-b", "fullnameOverride=c")),
        (("x", "team-a", "fullnameOverride=pages"), ("x", "team-b", "fullnameOverride=pages")),
        (("x", "team", "nameOverride=pages"), ("y", "team", "nameOverride=pages")),
        (("pages", "rollcall-system", "fullnameOverride=pages"), ("pages", "pages-system", "fullnameOverride=pages")),
    ] {
        let of = |(release, namespace, naming): (&str, &str, &str), more: &[&str]| {
            let naming = if naming.is_empty() { &[][..] } else { &[naming] };
            identities(&helm, release, namespace, &[&everything, naming, more].concat())
        };
        let both: Vec<_> = of(one, &[]).intersection(&of(other, &[SECOND])).cloned().collect();
        assert!(both.is_empty(), "{one:?} and {other:?} have {both:?}");
    }
}

/// The settings of names never make two selectors of one namespace match the same pods.
#[test]
fn deployment_and_network_policy_select_the_pods_of_their_own_installation() {
    let Some(helm) = helm() else { return };
    let selector = |release: &str, setting: &str| {
        let objects = template(&helm, release, "team", &[setting]).unwrap();
        let deployment = of_kind(&objects, "Deployment")[0];
        let labels = &deployment["spec"]["template"]["metadata"]["labels"];
        let selectors =
            [&deployment["spec"]["selector"]["matchLabels"], &of_kind(&objects, "NetworkPolicy")[0]["spec"]["podSelector"]["matchLabels"]];
        for (label, value) in selectors.iter().flat_map(|selector| selector.as_object().unwrap()) {
            assert_eq!(&labels[label], value, "{release} {setting}");
        }
        // The label by which deploy/agent/network-policy admits the controller to the pods.
        assert_eq!(labels["rollcall.dev/component"], "controller", "{release} {setting}");
        selectors[0].to_string()
    };
    let all = [("a", "nameOverride="), ("b", "nameOverride="), ("a", "nameOverride=pages"), ("b", "fullnameOverride=a")];
    let distinct: BTreeSet<String> = all.iter().map(|(release, setting)| selector(release, setting)).collect();
    assert_eq!(distinct.len(), 3, "a fullnameOverride leaves the labels as they are: {distinct:?}");
}

#[test]
fn values_that_cannot_work_together_are_refused_and_the_message_names_what_to_change() {
    let Some(helm) = helm() else { return };
    for (settings, parts) in [
        ("watchNamespaces={Shop}", ["watchNamespaces", "Shop"]),
        ("watchNamespaces={shop},secrets[0].namespace=blog,secrets[0].name=keys", ["secrets: ", "add the namespace to watchNamespaces"]),
        (
            "watchNamespaces={shop},ambientCredentials[0].namespaces={blog},ambientCredentials[0].bucket=web",
            ["ambientCredentials: ", "add it to watchNamespaces"],
        ),
        ("secrets[0].namespace=a,secrets[0].name=k,secrets[1].namespace=a,secrets[1].name=k", ["/secrets", "items at 0 and 1 are equal"]),
        ("serviceAccount.name=default", ["serviceAccount.name: ", "choose another name"]),
        ("serviceAccount.name=No_Name", ["/serviceAccount/name", "No_Name"]),
        ("fullnameOverride=a.b", ["/fullnameOverride", "a.b"]),
        ("fullnameOverride=1st,devStore.enabled=true", ["devStore.enabled: ", "set fullnameOverride"]),
        ("extraArgs={--watch-namespace=shop}", ["extraArgs: --watch-namespace", "use the value watchNamespaces"]),
        ("extraArgs={--workspace-size=1Gi}", ["extraArgs: --workspace-size", "use the value workspace.sizeLimit"]),
        ("extraArgs={--admin-listen=0.0.0.0:9}", ["extraArgs: --admin-listen", "the chart depends on it"]),
        ("extraEnv[0].name=ROLLCALL_WATCH_NAMESPACES,extraEnv[0].value=shop", ["extraEnv: ROLLCALL_WATCH_NAMESPACES", "watchNamespaces"]),
        (r"podLabels.app\.kubernetes\.io/name=x", ["podLabels: ", "remove app.kubernetes.io/name"]),
    ] {
        let error = template(&helm, "rollcall", "rollcall-system", &[settings]).expect_err(settings);
        assert!(parts.iter().all(|part| error.contains(part)), "{settings}: {error}");
    }
}

/// One installation on the API server.
struct Installation<'a> {
    server: &'a Server,
    release: String,
    namespace: String,
    manifest: Vec<Value>,
    /// Where its releases are.
    shop: String,
}

impl<'a> Installation<'a> {
    async fn make(server: &'a Server, helm: &Path, release: &str, name: &str, settings: &str) -> Self {
        let (namespace, shop) = (server.namespace(name).await, server.namespace(&format!("{name}-shop")).await);
        let keys = format!("secrets[0].namespace={shop},secrets[0].name={KEYS}");
        let settings = settings.replace("SHOP", &shop);
        let chart = format!("{}/charts/rollcall", env!("CARGO_MANIFEST_DIR"));
        let mut install = vec!["install", release, &chart, "--namespace", &namespace];
        for setting in [SECOND, &keys, &settings] {
            install.extend(["--set", setting]);
        }
        server.helm(helm, &install).unwrap();
        let manifest = documents(&server.helm(helm, &["get", "manifest", release, "--namespace", &namespace]).unwrap());
        Self { server, release: release.to_owned(), namespace, manifest, shop }
    }

    /// The user name of the controller's pod.
    fn user(&self) -> String {
        let account = &of_kind(&self.manifest, "Deployment")[0]["spec"]["template"]["spec"]["serviceAccountName"];
        format!("system:serviceaccount:{}:{}", self.namespace, account.as_str().unwrap())
    }

    fn client(&self) -> Client {
        client_of(self.server, &self.user())
    }

    /// The name of this installation's policy with this ending.
    fn policy(&self, ending: &str) -> String {
        let names =
            of_kind(&self.manifest, "ValidatingAdmissionPolicy").into_iter().map(|policy| policy["metadata"]["name"].as_str().unwrap());
        names.filter(|name| name.ends_with(ending)).map(str::to_owned).next().unwrap()
    }

    /// Its account can do all of its work: the API server refuses nothing in the whole life of a release.
    async fn works(&self) {
        let mut shop = Shop::open(self.server, &self.shop, &self.user()).await;
        shop.trade().await;
        let refused: Vec<_> = shop.noted.all().into_iter().filter(|(_, code)| *code == 403).collect();
        assert!(refused.is_empty(), "{}: {refused:?}", self.release);
    }

    /// Its account can do no more in its own namespaces: its own policies refuse the write of a foreign ConfigMap and of a release's spec.
    async fn is_held(&self) {
        let admins: Api<ConfigMap> = Api::namespaced(self.server.client.clone(), &self.shop);
        let foreign = serde_json::from_value(json!({"metadata": {"name": "foreign"}})).unwrap();
        admins.create(&PostParams::default(), &foreign).await.unwrap();
        let maps: Api<ConfigMap> = Api::namespaced(self.client(), &self.shop);
        let write = async || {
            let body = Patch::Merge(json!({"data": {"a": "b"}}));
            maps.patch("foreign", &PatchParams::default(), &body).await.map(|_| ()).map_err(|error| error.to_string())
        };
        let policy = self.policy("-controller-pointers");
        until(&format!("{policy} takes effect"), async || write().await.is_err_and(|error| error.contains(&format!("'{policy}'")))).await;
        let releases: Api<AssetRelease> = Api::namespaced(self.client(), &self.shop);
        let body = json!({"metadata": {"name": "held"}, "spec": {
            "storeRef": {"name": "none"}, "prefix": "held/", "version": "v1", "pointer": {"configMapName": "held"},
            "targets": [{"workloadRef": {"kind": "Deployment", "name": "none"}}],
        }});
        let admins: Api<AssetRelease> = Api::namespaced(self.server.client.clone(), &self.shop);
        let typed =
            json!({"apiVersion": "rollcall.dev/v1alpha1", "kind": "AssetRelease", "metadata": body["metadata"], "spec": body["spec"]});
        admins.create(&PostParams::default(), &serde_json::from_value(typed).unwrap()).await.unwrap();
        let policy = self.policy("-controller-releases");
        until(&format!("{policy} takes effect"), async || {
            let spec = Patch::Merge(json!({"spec": {"version": "v9"}}));
            releases
                .patch("held", &PatchParams::default(), &spec)
                .await
                .is_err_and(|error| error.to_string().contains(&format!("'{policy}'")))
        })
        .await;
    }

    /// Whether RBAC lets it read the pods there, and the keys, which are always named one by one.
    async fn reads(&self, namespace: &str) -> [bool; 2] {
        let pods = Api::<Pod>::namespaced(self.client(), namespace).list(&ListParams::default()).await;
        [pods.is_ok(), Api::<Secret>::namespaced(self.client(), namespace).get(KEYS).await.is_ok()]
    }

    async fn remove(self, helm: &Path) {
        self.server.helm(helm, &["uninstall", &self.release, "--namespace", &self.namespace]).unwrap();
        self.server.forget(&self.namespace).await;
        self.server.forget(&self.shop).await;
    }
}

/// Two installations look after one namespace each, two look after the whole cluster. One of each pair has the default names, the other has
/// names of its own; two Helm releases have the same name.
#[tokio::test]
async fn installations_beside_one_another_do_all_of_their_work_and_no_more() {
    let Some(helm) = helm() else { return };
    let Some(server) = super::server().await else { return };
    server.install_crds().await;
    let few = Installation::make(&server, &helm, "rollcall", "inst-few", "watchNamespaces={SHOP}").await;
    let named = "watchNamespaces={SHOP},fullnameOverride=pages,serviceAccount.name=robot";
    let named = Installation::make(&server, &helm, "first.release", "inst-named", named).await;
    let all = Installation::make(&server, &helm, "rollcall", "inst-all", "nameOverride=").await;
    let renamed = Installation::make(&server, &helm, "other", "inst-renamed", "nameOverride=pages").await;
    let installations = [few, named, all, renamed];
    let users: BTreeSet<String> = installations.iter().map(Installation::user).collect();
    assert_eq!(users.len(), 4, "{users:?}");
    assert!(users.iter().any(|user| user.ends_with(":robot")) && users.iter().any(|user| user.ends_with(":other-pages")), "{users:?}");

    futures::future::join_all(installations.iter().map(Installation::is_held)).await;
    // Each with the policies of all others in force.
    futures::future::join_all(installations.iter().map(Installation::works)).await;

    for (number, installation) in installations.iter().enumerate() {
        for (other, there) in installations.iter().enumerate() {
            let (is_own, is_cluster_wide) = (number == other, number >= 2);
            assert_eq!(installation.reads(&there.shop).await, [is_own || is_cluster_wide, is_own], "{number} in the namespace of {other}");
        }
        let everywhere = Api::<AssetRelease>::all(installation.client()).list(&ListParams::default().limit(1)).await;
        assert_eq!(everywhere.is_ok(), number >= 2, "{number}");
    }
    for installation in installations {
        installation.remove(&helm).await;
    }
}

/// Helm refuses the objects that another installation has, and names them, before it makes anything.
#[tokio::test]
async fn a_second_installation_that_brings_the_shared_objects_along_is_refused() {
    let Some(helm) = helm() else { return };
    let Some(server) = super::server().await else { return };
    server.install_crds().await;
    super::admission::install_policies(&server);
    let namespace = server.namespace("inst-second").await;
    let chart = format!("{}/charts/rollcall", env!("CARGO_MANIFEST_DIR"));
    for (left, named) in [
        ("admissionPolicies.enabled=false,agent.clusterRole=false", "CustomResourceDefinition"),
        ("crds.install=false,admissionPolicies.enabled=false", "rollcall-agent"),
        ("crds.install=false,agent.clusterRole=false", "ValidatingAdmissionPolicy"),
    ] {
        let error = server.helm(&helm, &["install", "rollcall", &chart, "--namespace", &namespace, "--set", left]).unwrap_err();
        assert!(error.contains("exists and cannot be imported") && error.contains(named), "{left}: {error}");
    }
    server.forget(&namespace).await;
}
