//! A stolen token of the controller, against a real API server: with the rights and the admission policies of the plain manifests it
//! writes pointers, its finalizer, statuses and its own events, and nothing else of anybody.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use rollcall::api::{AssetRelease, Pointer};
use rollcall::cluster::pointer::{PointerObject, WrittenAs};
use rollcall::rollout::decision::{PointerChange, PointerWrite};
use rollcall::rollout::observed::{PointerFacts, PointerField};
use rollcall::rollout::status::StepOutcome;
use serde_json::{Value, json};

use super::Server;
use super::admission::install_policies;

const ONLY_LABELLED: &str = "only ConfigMaps that are labelled";
const ONLY_EMPTY: &str = "makes a ConfigMap as an empty pointer only";
const NO_METADATA: &str = "changes no annotations, finalizers or owners";
const ONLY_ONE_LABEL: &str = "changes no label of a ConfigMap but rollcall.dev/release";
const ONLY_KEYS: &str = "changes only the keys pointer.json and manifest.json";
const FORBIDDEN: &str = "is forbidden";
const ONLY_FINALIZER: &str = "changes nothing of an AssetRelease but its finalizer";
const ONLY_GROW: &str = "epoch, sequence and stage of a pointer only grow";
const ONLY_OWN_LEASE: &str = "writes the Lease of its own election only";
const ONLY_OWN_EVENTS: &str = "makes events about AssetReleases";

struct Theft {
    server: Server,
    namespace: String,
    /// Whoever has the controller's token.
    thief: Client,
}

/// The account of the plain manifests with the chart's role in a namespace of the test's own.
async fn theft(name: &str) -> Option<Theft> {
    let server = super::server().await?;
    server.install_crds().await;
    install_policies(&server);
    let namespace = server.namespace(name).await;
    bind(&server, &namespace);
    let mut config = server.config.clone();
    config.auth_info.impersonate = Some("system:serviceaccount:rollcall-system:rollcall".into());
    let groups = ["system:serviceaccounts", "system:serviceaccounts:rollcall-system", "system:authenticated"];
    config.auth_info.impersonate_groups = Some(groups.map(str::to_owned).to_vec());
    let thief = Client::try_from(config).unwrap();
    let theft = Theft { server, namespace, thief };
    theft.wait_for_the_policies().await;
    Some(theft)
}

fn bind(server: &Server, namespace: &str) {
    let account = "--serviceaccount=rollcall-system:rollcall";
    let name = format!("controller-{}", std::process::id());
    let answer = server.kubectl(&["-n", namespace, "create", "rolebinding", &name, "--clusterrole=rollcall-controller", account]);
    assert!(answer.as_ref().err().is_none_or(|error| error.contains("already exists")), "{answer:?}");
}

fn maps(client: &Client, namespace: &str) -> Api<ConfigMap> {
    Api::namespaced(client.clone(), namespace)
}

impl Theft {
    async fn given(&self, namespace: &str, body: Value) {
        maps(&self.server.client, namespace)
            .create(&kube::api::PostParams::default(), &serde_json::from_value(body).unwrap())
            .await
            .unwrap();
    }

    async fn patch(&self, namespace: &str, name: &str, body: &Value) -> Result<(), String> {
        let answer = maps(&self.thief, namespace).patch(name, &PatchParams::default(), &Patch::Merge(body)).await;
        answer.map(|_| ()).map_err(|error| error.to_string())
    }

    /// A ConfigMap `shop-assets` that is labelled as a pointer, without data.
    async fn given_pointer(&self) {
        let labels = json!({"rollcall.dev/pointer": "true", "rollcall.dev/release": "shop"});
        self.given(&self.namespace, json!({"metadata": {"name": "shop-assets", "labels": labels}})).await;
    }

    async fn refuses(&self, namespace: &str, name: &str, body: Value, message: &str) {
        let error = self.patch(namespace, name, &body).await.expect_err(&format!("{body} for {name} must be refused"));
        assert!(error.contains(message), "{body} for {name}: {error}");
    }

    async fn refuses_to_make(&self, namespace: &str, body: Value, message: &str) {
        let map = serde_json::from_value(body.clone()).unwrap();
        let answer = maps(&self.thief, namespace).create(&kube::api::PostParams::default(), &map).await;
        let error = answer.expect_err(&format!("{body} must not be made")).to_string();
        assert!(error.contains(message), "{body}: {error}");
    }

    /// A new policy takes effect when the API server's own watch has seen it.
    async fn wait_for_the_policies(&self) {
        self.given(&self.namespace, json!({"metadata": {"name": "probe"}})).await;
        self.given_release("probe", json!({})).await;
        let releases: Api<AssetRelease> = Api::namespaced(self.thief.clone(), &self.namespace);
        for attempt in 0.. {
            let text = format!("probe {attempt}");
            let map = self.patch(&self.namespace, "probe", &json!({"data": {"probe": text}})).await;
            let labels = Patch::Merge(json!({"metadata": {"labels": {"probe": attempt.to_string()}}}));
            let release = releases.patch("probe", &PatchParams::default(), &labels).await;
            let event = self.event(&event(&self.namespace, &format!("probe-{attempt}"), "Pod")).await;
            let refused = map.as_ref().is_err_and(|error| error.contains(ONLY_LABELLED))
                && release.as_ref().is_err_and(|error| error.to_string().contains(ONLY_FINALIZER))
                && event.as_ref().is_err_and(|error| error.contains(ONLY_OWN_EVENTS));
            if refused {
                return;
            }
            assert!(attempt < 300, "the policies do not take effect: {map:?} {:?} {event:?}", release.map(|_| ()));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn given_release(&self, name: &str, metadata: Value) {
        let mut body = json!({
            "apiVersion": "rollcall.dev/v1alpha1", "kind": "AssetRelease", "metadata": metadata,
            "spec": {
                "storeRef": {"name": "main"}, "prefix": "shop/", "version": "v1", "pointer": {"configMapName": "shop-assets"},
                "targets": [{"workloadRef": {"kind": "Deployment", "name": "shop"}}],
            },
        });
        body["metadata"]["name"] = json!(name);
        let releases: Api<AssetRelease> = Api::namespaced(self.server.client.clone(), &self.namespace);
        releases.create(&kube::api::PostParams::default(), &serde_json::from_value(body).unwrap()).await.unwrap();
    }

    async fn event(&self, body: &Value) -> Result<(), String> {
        let api: Api<k8s_openapi::api::events::v1::Event> = Api::namespaced(self.thief.clone(), &self.namespace);
        let event = serde_json::from_value(body.clone()).unwrap();
        api.create(&kube::api::PostParams::default(), &event).await.map(|_| ()).map_err(|error| error.to_string())
    }
}

fn event(namespace: &str, name: &str, kind: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": namespace},
        "eventTime": "2026-11-30T00:00:00.000000Z", "action": "Flip", "reason": "Activated", "type": "Normal", "note": "x",
        "reportingController": "rollcall.dev/controller", "reportingInstance": "i",
        "regarding": {"apiVersion": "rollcall.dev/v1alpha1", "kind": kind, "namespace": namespace, "name": "shop"},
    })
}

/// On EKS `aws-auth` makes whoever writes it an administrator; `kube-root-ca.crt` is what every pod trusts.
#[tokio::test]
async fn a_stolen_controller_token_writes_no_config_map_of_anybody() {
    let Some(theft) = theft("theft-foreign").await else { return };
    let of_the_system = format!("aws-auth-{}", std::process::id());
    bind(&theft.server, "kube-system");
    theft.given("kube-system", json!({"metadata": {"name": of_the_system}, "data": {"mapRoles": "[]"}})).await;
    // As kustomize labels everything of an application: that makes it no pointer.
    let labels = json!({"rollcall.dev/release": "shop", "app": "shop"});
    theft.given(&theft.namespace, json!({"metadata": {"name": "settings", "labels": labels}, "data": {"a": "b"}})).await;
    for attempt in 0.. {
        if maps(&theft.server.client, &theft.namespace).get_opt("kube-root-ca.crt").await.unwrap().is_some() {
            break;
        }
        assert!(attempt < 100, "the controller manager makes kube-root-ca.crt");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let own = theft.namespace.as_str();
    for (namespace, name) in [("kube-system", of_the_system.as_str()), (own, "kube-root-ca.crt"), (own, "settings")] {
        let pointer = json!({"rollcall.dev/pointer": "true", "rollcall.dev/release": "shop"});
        for body in [
            json!({"data": {"mapRoles": "system:masters"}}),
            json!({"data": {"pointer.json": "{}"}}),
            json!({"metadata": {"labels": pointer}}),
            json!({"metadata": {"labels": pointer}, "data": {"pointer.json": "{}"}}),
            json!({"metadata": {"annotations": {"a": "b"}}}),
            json!({"immutable": true}),
        ] {
            theft.refuses(namespace, name, body, ONLY_LABELLED).await;
        }
        let apply = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"labels": pointer}, "data": {"pointer.json": "{}"}});
        let forced = PatchParams::apply("rollcall").force();
        let error = maps(&theft.thief, namespace).patch(name, &forced, &Patch::Apply(&apply)).await.unwrap_err();
        assert!(error.to_string().contains(ONLY_LABELLED), "{name}: {error}");
        let map = maps(&theft.server.client, namespace).get(name).await.unwrap();
        let put = maps(&theft.thief, namespace).replace(name, &kube::api::PostParams::default(), &map).await.unwrap_err();
        assert!(put.to_string().contains(FORBIDDEN), "{name}: {put}");
        let deleted = maps(&theft.thief, namespace).delete(name, &kube::api::DeleteParams::default()).await.unwrap_err();
        assert!(deleted.to_string().contains(FORBIDDEN), "{name}: {deleted}");
    }
    let labels = || json!({"rollcall.dev/pointer": "true", "rollcall.dev/release": "shop"});
    theft.refuses_to_make("kube-system", json!({"metadata": {"name": "new", "labels": labels()}}), ONLY_EMPTY).await;
    theft.server.kubectl(&["-n", "kube-system", "delete", "configmap", &of_the_system]).unwrap();
    for (wrong, part) in [
        ("no label", json!({"metadata": {}})),
        ("one label", json!({"metadata": {"labels": {"rollcall.dev/pointer": "true"}}})),
        (
            "another label",
            json!({"metadata": {"labels": {"rollcall.dev/pointer": "true", "rollcall.dev/release": "shop", "grafana_dashboard": "1"}}}),
        ),
        ("a name of the system", json!({"metadata": {"name": "kube-proxy", "labels": labels()}})),
        ("data", json!({"metadata": {"labels": labels()}, "data": {"pointer.json": "{}"}})),
        ("binary data", json!({"metadata": {"labels": labels()}, "binaryData": {"x": "AA=="}})),
        ("immutable", json!({"metadata": {"labels": labels()}, "immutable": true})),
        ("an annotation", json!({"metadata": {"labels": labels(), "annotations": {"a": "b"}}})),
        ("a finalizer", json!({"metadata": {"labels": labels(), "finalizers": ["a.example/b"]}})),
        ("an owner", json!({"metadata": {"labels": labels(), "ownerReferences": [owner()]}})),
    ] {
        let mut body = part;
        if body["metadata"]["name"].is_null() {
            body["metadata"]["name"] = json!("made");
        }
        let answer = std::panic::AssertUnwindSafe(theft.refuses_to_make(own, body, ONLY_EMPTY));
        futures::FutureExt::catch_unwind(answer).await.unwrap_or_else(|_| panic!("with {wrong}"));
    }
    theft.server.forget(own).await;
}

fn owner() -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "probe", "uid": "6d1f2a3c-0000-0000-0000-000000000000"})
}

/// What the controller itself does, and everything beside that to a pointer that is its own.
#[tokio::test]
async fn a_stolen_controller_token_changes_nothing_of_a_pointer_but_the_pointer() {
    let Some(theft) = theft("theft-pointer").await else { return };
    let own = theft.namespace.as_str();
    let object = |name: &str| PointerObject::new(theft.thief.clone(), own, name, "shop");
    assert_eq!(object("shop-assets").create().await, Ok(StepOutcome::Done));
    let pointers = maps(&theft.server.client, own);
    let users = json!({"data": {"note": "mine"}, "binaryData": {"bytes": "AA=="}, "metadata": {"labels": {"team": "shop"}, "annotations": {"a": "b"}}});
    pointers.patch("shop-assets", &PatchParams::default(), &Patch::Merge(&users)).await.unwrap();
    written(&object("shop-assets")).await;
    let map = pointers.get("shop-assets").await.unwrap();
    assert!(map.data.as_ref().unwrap()["pointer.json"].contains("\"stage\":7") && map.data.unwrap()["note"] == "mine");

    let boast = Pointer { stage: 8, ..Pointer::empty() }.to_json();
    for (body, message) in [
        (json!({"data": {"mapRoles": "x"}}), ONLY_KEYS),
        (json!({"data": {"note": "yours"}}), ONLY_KEYS),
        (json!({"data": {"note": null}}), ONLY_KEYS),
        (json!({"data": null}), ONLY_KEYS),
        (json!({"binaryData": {"bytes": "AQ=="}}), ONLY_KEYS),
        (json!({"binaryData": {"more": "AQ=="}}), ONLY_KEYS),
        (json!({"binaryData": null}), ONLY_KEYS),
        (json!({"immutable": true}), ONLY_KEYS),
        (json!({"metadata": {"labels": {"rollcall.dev/pointer": null}}}), ONLY_ONE_LABEL),
        (json!({"metadata": {"labels": {"rollcall.dev/release": null}}}), ONLY_ONE_LABEL),
        (json!({"metadata": {"labels": {"rollcall.dev/release": "another", "team": "another"}}}), ONLY_ONE_LABEL),
        (json!({"metadata": {"labels": {"rollcall.dev/release": "another"}}, "data": {"pointer.json": boast}}), ONLY_ONE_LABEL),
        (json!({"metadata": {"labels": {"grafana_dashboard": "1"}}}), ONLY_ONE_LABEL),
        (json!({"metadata": {"labels": {"team": null}}}), ONLY_ONE_LABEL),
        (json!({"metadata": {"annotations": {"a": "c"}}}), NO_METADATA),
        (json!({"metadata": {"finalizers": ["a.example/b"]}}), NO_METADATA),
        (json!({"metadata": {"ownerReferences": [owner()]}}), NO_METADATA),
    ] {
        theft.refuses(own, "shop-assets", body, message).await;
    }

    // Given away by its owner: before that it is somebody else's, for the controller and for the API server alike.
    theft.given(own, json!({"metadata": {"name": "in-git"}, "data": {"note": "mine"}})).await;
    assert!(matches!(object("in-git").read().await, Ok(PointerFacts::Foreign(_))));
    theft.refuses(own, "in-git", json!({"data": {"pointer.json": "{}"}}), ONLY_LABELLED).await;
    theft.server.kubectl(&["-n", own, "label", "configmap", "in-git", "rollcall.dev/pointer=true", "rollcall.dev/release=shop"]).unwrap();
    written(&object("in-git")).await;
    theft.server.forget(own).await;
}

/// A renamed release takes its pointer over by one label, under the version that was looked at, and goes on writing it.
#[tokio::test]
async fn a_pointer_is_taken_over_by_its_label_alone_and_only_as_it_was_seen() {
    let Some(theft) = theft("theft-adopted").await else { return };
    let own = theft.namespace.as_str();
    let object = |release: &str| PointerObject::new(theft.thief.clone(), own, "shop-assets", release);
    assert_eq!(object("shop").create().await, Ok(StepOutcome::Done));
    written(&object("shop")).await;
    let PointerFacts::Present(seen) = object("store").read().await.unwrap() else { panic!("it is a pointer") };
    assert_eq!((seen.release.as_str(), &seen.labelled_by, &seen.contest), ("shop", &None, &None));
    theft.server.kubectl(&["-n", own, "annotate", "configmap", "shop-assets", "a=b"]).unwrap();
    assert_eq!(object("store").adopt(&seen.guard).await, Ok(StepOutcome::Lost), "it has changed since");
    let PointerFacts::Present(seen) = object("store").read().await.unwrap() else { panic!("it is a pointer") };
    assert_eq!(object("store").adopt(&seen.guard).await, Ok(StepOutcome::Done));
    let PointerFacts::Present(adopted) = object("store").read().await.unwrap() else { panic!("it is a pointer") };
    assert_eq!((adopted.release.as_str(), adopted.labelled_by, adopted.contest), ("store", None, None));
    assert_eq!(adopted.pointer, seen.pointer);
    written(&object("store")).await;
    theft.server.forget(own).await;
}

/// I9: what the API server books is read as it is: a label is a label, and where it books nothing nobody is named.
#[tokio::test]
async fn who_has_which_field_of_a_pointer_is_read_from_what_the_api_server_books() {
    let Some(theft) = theft("theft-fields").await else { return };
    let own = theft.namespace.as_str();
    let object = PointerObject::new(theft.thief.clone(), own, "shop-assets", "shop");
    let found = async || match object.read().await.unwrap() {
        PointerFacts::Present(found) => found,
        other => panic!("{other:?}"),
    };
    assert_eq!(object.create().await, Ok(StepOutcome::Done));
    written(&object).await;
    let kubectl = |arguments: &[&str]| theft.server.kubectl(&[&["-n", own], arguments].concat()).unwrap();
    kubectl(&["label", "configmap", "shop-assets", "rollcall.dev/release=other", "--overwrite"]);
    let relabelled = found().await;
    assert_eq!((relabelled.release.as_str(), &relabelled.contest), ("other", &None));
    assert_eq!(relabelled.labelled_by.unwrap().name, "kubectl-label");
    kubectl(&["label", "configmap", "shop-assets", "rollcall.dev/release=shop", "--overwrite"]);
    written(&object).await;
    let map = serde_json::from_str::<Value>(&kubectl(&["get", "configmap", "shop-assets", "-o", "json"])).unwrap();
    let name_map = json!([{"op": "replace", "path": "/data/manifest.json", "value": "{\"a\":1}"}]).to_string();
    kubectl(&["patch", "configmap", "shop-assets", "--type=json", "--field-manager=flux-like", "-p", &name_map]);
    let contest = found().await.contest.unwrap();
    assert_eq!((contest.manager.unwrap().name.as_str(), contest.fields.as_slice()), ("flux-like", &[PointerField::NameMap][..]));
    let back = json!([{"op": "replace", "path": "/metadata/managedFields", "value": [{}]}]).to_string();
    kubectl(&["patch", "configmap", "shop-assets", "--type=json", "-p", &back]);
    let seen = found().await;
    let contest = seen.contest.clone().unwrap();
    assert_eq!((contest.manager, contest.fields.len()), (None, 2), "{map}");
    let pointer = Pointer { stage: 8, ..seen.pointer };
    let write = PointerWrite { kind: PointerChange::Stage, expected: seen.guard, pointer, name_map: Some("{}".into()) };
    assert_eq!(object.write(&write).await, Ok(WrittenAs::Lost), "an apply over cleared managedFields is refused, each time");
    theft.server.forget(own).await;
}

/// One write as the controller makes it.
async fn written(object: &PointerObject) {
    let PointerFacts::Present(found) = object.read().await.unwrap() else { panic!("it is a pointer") };
    let pointer = Pointer { stage: 7, activated_at: Some(Timestamp::UNIX_EPOCH), ..Pointer::empty() };
    let write = PointerWrite { kind: PointerChange::Stage, expected: found.guard, pointer, name_map: Some("{}".into()) };
    let answer = object.write(&write).await.unwrap();
    assert!(matches!(&answer, WrittenAs::Version(version) if !version.is_empty()), "{answer:?}");
}

/// I4: what comes late from a leader before, and what goes back, is refused by the API server itself, whoever sends it.
#[tokio::test]
async fn the_numbers_of_a_pointer_only_grow() {
    let Some(theft) = theft("theft-numbers").await else { return };
    let own = theft.namespace.as_str();
    theft.given_pointer().await;
    let data = |text: String| json!({"data": {"pointer.json": text}});
    let with = |epoch, sequence, stage| data(Pointer { epoch, sequence, stage, ..Pointer::empty() }.to_json());
    theft.patch(own, "shop-assets", &with(7, 3, 5)).await.unwrap();
    for back in [with(6, 3, 5), with(7, 2, 5), with(7, 3, 4), with(8, 0, 0), data(String::new()), data("{}".into())] {
        theft.refuses(own, "shop-assets", back, ONLY_GROW).await;
    }
    // A version's name is text: what stands in it is no number of the document, and cannot stand for one.
    let boast = Pointer { epoch: 6, sequence: 3, stage: 5, ..Pointer::empty() }.to_json();
    let boast = boast.replacen('{', r#"{"active":{"version":"\"epoch\":9,"},"#, 1);
    theft.refuses(own, "shop-assets", data(boast), ONLY_GROW).await;
    let twice = Pointer { epoch: 8, sequence: 3, stage: 5, ..Pointer::empty() }.to_json().replacen('{', r#"{"epoch":1,"#, 1);
    theft.refuses(own, "shop-assets", data(twice), ONLY_GROW).await;
    theft.refuses(own, "shop-assets", json!({"data": {"pointer.json": null}}), "takes no pointer.json away").await;
    // A version that is given up names its stage as well: the write that takes it back, a new leader's, and the next staging.
    let given_up = |epoch, sequence, stage, of: i64| {
        let it = format!(r#"{{"givenUp":{{"version":"v2","generation":3,"stage":{of},"message":"m","at":"2026-11-21T00:00:00Z"}},"#);
        data(Pointer { epoch, sequence, stage, ..Pointer::empty() }.to_json().replacen('{', &it, 1))
    };
    theft.refuses(own, "shop-assets", given_up(7, 3, 5, 4), ONLY_GROW).await;
    for on in [given_up(7, 3, 5, 5), given_up(7, 3, 5, 5)] {
        theft.patch(own, "shop-assets", &on).await.unwrap();
    }
    for on in [with(7, 3, 5), with(7, 3, 6), with(7, 4, 6), with(28_900_000, 4, 6)] {
        theft.patch(own, "shop-assets", &on).await.unwrap();
    }
    theft.server.forget(own).await;
}

/// I11: a person or a GitOps tool that put an older pointer over a newer one split the pods in `make load`: one that started meanwhile followed it.
#[tokio::test]
async fn no_person_puts_an_older_pointer_over_a_newer_one() {
    let Some(theft) = theft("pointers-back").await else { return };
    let own = theft.namespace.as_str();
    theft.given_pointer().await;
    let maps: Api<ConfigMap> = Api::namespaced(theft.server.client.clone(), own);
    let patch = async |body: &Value| maps.patch("shop-assets", &PatchParams::default(), &Patch::Merge(body)).await;
    let data = |text: String| json!({"data": {"pointer.json": text}});
    let text = |epoch, sequence, stage| Pointer { epoch, sequence, stage, ..Pointer::empty() }.to_json();
    patch(&data(text(7, 3, 5))).await.unwrap();
    let pretty = |text: &str| serde_json::to_string_pretty(&serde_json::from_str::<Value>(text).unwrap()).unwrap();
    let unlabelled = json!({"metadata": {"labels": null}, "data": {"pointer.json": text(7, 2, 5)}});
    for back in [
        data(text(7, 2, 5)),
        data(text(6, 3, 5)),
        data(text(7, 3, 4)),
        data("version: v2".into()),
        data(pretty(&text(7, 2, 5))),
        unlabelled,
    ] {
        let mut refused = patch(&back).await;
        // A policy is in force a moment after it was created.
        for _ in 0..100 {
            if refused.is_err() {
                break;
            }
            patch(&data(text(7, 3, 5))).await.ok();
            tokio::time::sleep(Duration::from_millis(100)).await;
            refused = patch(&back).await;
        }
        let refused = refused.expect_err(&format!("{back} must be refused")).to_string();
        assert!(refused.contains("a pointer never goes back"), "{back}: {refused}");
    }
    for allowed in [
        data(pretty(&text(7, 3, 5))),
        data(text(8, 4, 6)),
        json!({"metadata": {"annotations": {"note": "seen"}}, "data": {"note": "mine"}}),
        json!({"data": {"pointer.json": null}}),
        data("version: v2".into()),
        json!({"metadata": {"labels": null}}),
    ] {
        patch(&allowed).await.unwrap_or_else(|error| panic!("{allowed}: {error}"));
    }
    theft.server.forget(own).await;
}

/// Of all Leases the controller has the one of its election: no node's heartbeat, no other controller's leadership.
#[tokio::test]
async fn a_stolen_controller_token_takes_no_lease_but_its_own() {
    use k8s_openapi::api::coordination::v1::Lease;
    let Some(theft) = theft("theft-lease").await else { return };
    let own = theft.namespace.as_str();
    theft.server.kubectl(&["-n", own, "create", "role", "leases", "--verb=get,create,update,delete", "--resource=leases"]).unwrap();
    let account = "--serviceaccount=rollcall-system:rollcall";
    theft.server.kubectl(&["-n", own, "create", "rolebinding", "leases", "--role=leases", account]).unwrap();
    let leases: Api<Lease> = Api::namespaced(theft.thief.clone(), own);
    let lease: Lease = serde_json::from_value(json!({"metadata": {"name": "rollcall"}, "spec": {"holderIdentity": "thief"}})).unwrap();
    for attempt in 0.. {
        let refused = leases.create(&kube::api::PostParams::default(), &lease).await.expect_err("another namespace").to_string();
        if refused.contains(ONLY_OWN_LEASE) {
            break;
        }
        assert!(attempt < 100, "{refused}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let as_owner: Api<Lease> = Api::namespaced(theft.server.client.clone(), own);
    let given = as_owner.create(&kube::api::PostParams::default(), &lease).await.unwrap();
    let taken = leases.replace("rollcall", &kube::api::PostParams::default(), &given).await.unwrap_err().to_string();
    assert!(taken.contains(ONLY_OWN_LEASE), "{taken}");
    let deleted = leases.delete("rollcall", &kube::api::DeleteParams::default()).await.unwrap_err().to_string();
    assert!(deleted.contains(ONLY_OWN_LEASE), "{deleted}");
    theft.server.forget(own).await;
}

#[tokio::test]
async fn a_stolen_controller_token_changes_no_release_and_speaks_for_nobody() {
    let Some(theft) = theft("theft-release").await else { return };
    theft.given_release("shop", json!({"labels": {"team": "shop"}, "annotations": {"a": "b"}, "finalizers": ["a.example/b"]})).await;
    let releases: Api<AssetRelease> = Api::namespaced(theft.thief.clone(), &theft.namespace);
    let patch = async |body: &Value| releases.patch("shop", &PatchParams::default(), &Patch::Merge(body)).await;
    for body in [
        json!({"spec": {"version": "v2"}}),
        json!({"spec": {"suspend": true}}),
        json!({"metadata": {"labels": {"team": null}}}),
        json!({"metadata": {"labels": {"x": "y"}}}),
        json!({"metadata": {"annotations": {"rollcall.dev/requestedAt": "now"}}}),
        json!({"metadata": {"ownerReferences": [owner()]}}),
        json!({"metadata": {"finalizers": []}}),
        json!({"metadata": {"finalizers": ["a.example/b", "c.example/d"]}}),
    ] {
        let error = patch(&body).await.expect_err(&format!("{body} must be refused")).to_string();
        assert!(error.contains(ONLY_FINALIZER), "{body}: {error}");
    }
    for finalizers in [json!(["a.example/b", "rollcall.dev/unstage"]), json!(["a.example/b"])] {
        patch(&json!({"metadata": {"finalizers": finalizers}})).await.unwrap();
    }
    let status =
        json!({"status": {"observedGeneration": 1, "message": "seen"}, "spec": {"version": "v9"}, "metadata": {"labels": {"x": "y"}}});
    let answered = releases.patch_status("shop", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    assert_eq!((answered.spec.version.as_str(), answered.labels().get("x")), ("v1", None), "a status write writes the status");
    assert!(releases.delete("shop", &kube::api::DeleteParams::default()).await.unwrap_err().to_string().contains(FORBIDDEN));

    theft.event(&event(&theft.namespace, "ours", "AssetRelease")).await.unwrap();
    let mut others = vec![event(&theft.namespace, "of-a-pod", "Pod"), event(&theft.namespace, "of-a-store", "AssetStore")];
    others.push(json!({"reportingController": "kubelet"}));
    others.push(json!({"related": {"kind": "Pod", "name": "x", "namespace": theft.namespace}}));
    for (number, other) in others.into_iter().enumerate() {
        let mut body = event(&theft.namespace, &format!("theirs-{number}"), "AssetRelease");
        body.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
        let error = theft.event(&body).await.expect_err(&format!("{body} must be refused"));
        assert!(error.contains(ONLY_OWN_EVENTS), "{error}");
    }
    theft.server.forget(&theft.namespace).await;
}
