//! Each behaviour of the API server, asked through a real client.

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions, WatchEvent, WatchParams};
use kube::runtime::watcher;
use serde_json::{Value, json};

use super::*;
use crate::api::AssetRelease;
use crate::clock::TokioClock;

fn server() -> ApiServer {
    ApiServer::new(Arc::new(TokioClock::starting_at("2026-11-21T00:00:00Z".parse().unwrap())), 7)
}

fn map(name: &str, data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop"}, "data": data})
}

fn maps(server: &ApiServer) -> Api<ConfigMap> {
    Api::namespaced(server.client("test"), "shop")
}

fn release(version: &str) -> AssetRelease {
    serde_json::from_value(json!({"apiVersion": "rollcall.dev/v1alpha1", "kind": "AssetRelease", "metadata": {"name": "shop"},
        "spec": {"storeRef": {"name": "s"}, "prefix": "shop/", "version": version, "pointer": {"configMapName": "p"}}}))
    .unwrap()
}

async fn apply(server: &ApiServer, manager: &str, body: Value, force: bool) -> Result<ConfigMap, kube::Error> {
    let mut body = body;
    body["apiVersion"] = json!("v1");
    body["kind"] = json!("ConfigMap");
    let params = PatchParams { force, ..PatchParams::apply(manager) };
    maps(server).patch("x", &params, &Patch::Apply(body)).await
}

fn status(error: kube::Error) -> kube::core::Status {
    match error {
        kube::Error::Api(status) => *status,
        other => panic!("not an answer of the API: {other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_gets_its_identity_and_conflicts_are_told() {
    let server = server();
    let made: ConfigMap = serde_json::from_value((*server.create("test", &map("x", &json!({"a": "1"}))).unwrap()).clone()).unwrap();
    assert_eq!(made.metadata.resource_version.as_deref(), Some("2"));
    assert_eq!(made.metadata.creation_timestamp.as_ref().unwrap().0.to_string(), "2026-11-21T00:00:00Z");
    let exists = status(maps(&server).create(&PostParams::default(), &made_new("x")).await.unwrap_err());
    assert_eq!((exists.code, exists.reason.as_str()), (409, "AlreadyExists"));
    let mut stale = made.clone();
    stale.metadata.resource_version = Some("1".into());
    let stale = status(maps(&server).replace("x", &PostParams::default(), &stale).await.unwrap_err());
    assert_eq!((stale.code, stale.reason.as_str()), (409, "Conflict"));
    let missing = status(maps(&server).get("none").await.unwrap_err());
    assert_eq!(missing.message, r#"configmaps "none" not found"#);
}

fn made_new(name: &str) -> ConfigMap {
    serde_json::from_value(map(name, &json!({}))).unwrap()
}

#[tokio::test(start_paused = true)]
async fn spec_and_status_have_doors_of_their_own() {
    let server = server();
    let releases: Api<AssetRelease> = Api::namespaced(server.client("test"), "shop");
    let made = releases.create(&PostParams::default(), &release("v1")).await.unwrap();
    assert_eq!(made.metadata.generation, Some(1));
    assert_eq!(made.status.as_ref().unwrap().observed_generation, -1, "the default of the CRD's schema");
    let both = json!({"spec": {"version": "v2"}, "status": {"message": "hello"}});
    let params = PatchParams::default();
    let by_main = releases.patch("shop", &params, &Patch::Merge(&both)).await.unwrap();
    assert_eq!((by_main.metadata.generation, by_main.status.unwrap().message), (Some(2), None));
    let other = json!({"spec": {"version": "v3"}, "status": {"message": "hello"}});
    let by_status = releases.patch_status("shop", &params, &Patch::Merge(&other)).await.unwrap();
    assert_eq!((by_status.spec.version.as_str(), by_status.metadata.generation), ("v2", Some(2)));
    assert_eq!(by_status.status.unwrap().message.as_deref(), Some("hello"));
    let again = releases.patch_status("shop", &params, &Patch::Merge(&other)).await.unwrap();
    assert_eq!(again.metadata.resource_version, by_status.metadata.resource_version, "nothing changed, so nothing was written");
}

#[tokio::test(start_paused = true)]
async fn a_strategic_patch_of_a_pods_status_merges_conditions_only() {
    let server = server();
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "shop"}, "spec": {"nodeName": "n", "containers": []},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    server.create("kubelet", &pod).unwrap();
    let pods: Api<Pod> = Api::namespaced(server.client("agent"), "shop");
    let patch = json!({"spec": {"nodeName": "other"}, "status": {"conditions": [{"type": "rollcall.dev/assets", "status": "False"}]}});
    let patched = pods.patch_status("p", &PatchParams::default(), &Patch::Strategic(patch)).await.unwrap();
    assert_eq!(patched.spec.unwrap().node_name.as_deref(), Some("n"));
    let types: Vec<String> = patched.status.unwrap().conditions.unwrap().into_iter().map(|condition| condition.type_).collect();
    assert_eq!(types, ["Ready", "rollcall.dev/assets"]);
}

#[tokio::test(start_paused = true)]
async fn an_apply_conflicts_by_field_and_drops_what_its_manager_no_longer_names() {
    let server = server();
    apply(&server, "a", json!({"metadata": {"name": "x", "labels": {"l": "1"}}, "data": {"p": "1", "q": "1"}}), false).await.unwrap();
    let conflict = status(apply(&server, "b", json!({"metadata": {"name": "x"}, "data": {"p": "2"}}), false).await.unwrap_err());
    assert_eq!(conflict.message, r#"Apply failed with 1 conflict: conflict with "a": .data.p"#);
    let cause = &conflict.details.unwrap().causes[0];
    assert_eq!((cause.reason.as_str(), cause.field.as_str()), ("FieldManagerConflict", ".data.p"));
    apply(&server, "b", json!({"metadata": {"name": "x"}, "data": {"p": "2"}}), true).await.unwrap();
    let dropped = apply(&server, "a", json!({"metadata": {"name": "x"}, "data": {}}), false).await.unwrap();
    let data = dropped.data.unwrap();
    assert_eq!((data.get("p").map(String::as_str), data.get("q")), (Some("2"), None));
    assert_eq!(dropped.metadata.labels, None);
}

#[tokio::test(start_paused = true)]
async fn an_update_takes_fields_over_and_the_next_apply_hears_of_it() {
    let server = server();
    apply(&server, "a", json!({"metadata": {"name": "x"}, "data": {"p": "1"}}), false).await.unwrap();
    let params = PatchParams { field_manager: Some("kubectl".into()), ..PatchParams::default() };
    let updated = maps(&server).patch("x", &params, &Patch::Merge(json!({"data": {"p": "2"}}))).await.unwrap();
    let managers: Vec<String> = updated.metadata.managed_fields.unwrap().into_iter().filter_map(|entry| entry.manager).collect();
    assert_eq!(managers, ["kubectl"]);
    let conflict = status(apply(&server, "a", json!({"metadata": {"name": "x"}, "data": {"p": "1"}}), false).await.unwrap_err());
    assert_eq!(conflict.details.unwrap().causes[0].message, r#"conflict with "kubectl" using v1"#);
}

#[tokio::test(start_paused = true)]
async fn an_apply_with_a_uid_never_creates_and_with_a_version_never_overwrites() {
    let server = server();
    let body = |uid: &str| json!({"metadata": {"name": "x", "uid": uid}, "data": {"p": "1"}});
    let missing = status(apply(&server, "a", body("u"), true).await.unwrap_err());
    assert_eq!((missing.code, missing.reason.as_str()), (409, "Conflict"));
    let made = apply(&server, "a", json!({"metadata": {"name": "x"}, "data": {"p": "1"}}), true).await.unwrap();
    assert_eq!(status(apply(&server, "a", body("u"), true).await.unwrap_err()).code, 422, "another object of this name");
    let stale = json!({"metadata": {"name": "x", "uid": made.metadata.uid, "resourceVersion": "1"}, "data": {"p": "2"}});
    let stale = status(apply(&server, "a", stale, true).await.unwrap_err());
    assert_eq!((stale.code, stale.reason.as_str()), (409, "Conflict"));
    let right =
        json!({"metadata": {"name": "x", "uid": made.metadata.uid, "resourceVersion": made.metadata.resource_version}, "data": {"p": "2"}});
    assert_eq!(apply(&server, "a", right, true).await.unwrap().data.unwrap()["p"], "2");
}

#[tokio::test(start_paused = true)]
async fn finalizers_hold_an_object_and_preconditions_guard_its_end() {
    let server = server();
    let mut object = map("x", &json!({}));
    object["metadata"]["finalizers"] = json!(["rollcall.dev/unstage"]);
    server.create("test", &object).unwrap();
    let wrong = DeleteParams {
        preconditions: Some(Preconditions { uid: Some("u".into()), ..Preconditions::default() }),
        ..DeleteParams::default()
    };
    assert_eq!(status(maps(&server).delete("x", &wrong).await.unwrap_err()).code, 409);
    maps(&server).delete("x", &DeleteParams::default()).await.unwrap();
    assert!(maps(&server).get("x").await.unwrap().metadata.deletion_timestamp.is_some());
    let more = json!({"metadata": {"finalizers": ["rollcall.dev/unstage", "other/one"]}});
    assert_eq!(status(maps(&server).patch("x", &PatchParams::default(), &Patch::Merge(more)).await.unwrap_err()).code, 422);
    maps(&server).patch("x", &PatchParams::default(), &Patch::Merge(json!({"metadata": {"finalizers": null}}))).await.unwrap();
    assert!(maps(&server).get_opt("x").await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_list_is_paged_over_one_version_and_selected() {
    let server = server();
    for name in ["a", "b", "c"] {
        let mut object = map(name, &json!({}));
        object["metadata"]["labels"] = json!({"name": name});
        server.create("test", &object).unwrap();
    }
    let first = maps(&server).list(&ListParams::default().limit(2)).await.unwrap();
    server.create("test", &map("d", &json!({}))).unwrap();
    let token = first.metadata.continue_.unwrap();
    let rest = maps(&server).list(&ListParams::default().limit(2).continue_token(&token)).await.unwrap();
    assert_eq!((first.items.len(), rest.items.len(), rest.metadata.resource_version), (2, 1, first.metadata.resource_version));
    let selected = maps(&server).list(&ListParams::default().labels("name in (a,c)").fields("metadata.name!=a")).await.unwrap();
    assert_eq!(selected.items.len(), 1);
    server.compact();
    assert_eq!(status(maps(&server).list(&ListParams::default().continue_token(&token)).await.unwrap_err()).code, 410);
}

async fn next(stream: &mut (impl Stream<Item = Result<WatchEvent<ConfigMap>, kube::Error>> + Unpin)) -> String {
    match stream.next().await {
        Some(Ok(WatchEvent::Added(map))) => format!("added {}", map.metadata.name.unwrap()),
        Some(Ok(WatchEvent::Modified(map))) => format!("modified {}", map.metadata.name.unwrap()),
        Some(Ok(WatchEvent::Deleted(map))) => format!("deleted {}", map.metadata.name.unwrap()),
        Some(Ok(WatchEvent::Bookmark(_))) => "bookmark".into(),
        Some(Ok(WatchEvent::Error(status))) => format!("error {}", status.code),
        Some(Err(error)) => error.to_string(),
        None => "end".into(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_sees_every_change_as_its_selector_shows_it() {
    let server = server();
    let begun = server.version().to_string();
    let params = WatchParams::default().labels("on=yes").timeout(90);
    let mut stream = Box::pin(maps(&server).watch(&params, &begun).await.unwrap());
    let key = Key::new(Kind::named("ConfigMap"), "shop", "x");
    server.create("test", &map("x", &json!({}))).unwrap();
    server.patch("test", &key, &json!({"metadata": {"labels": {"on": "yes"}}})).unwrap();
    server.patch("test", &key, &json!({"data": {"a": "1"}})).unwrap();
    server.patch("test", &key, &json!({"metadata": {"labels": {"on": "no"}}})).unwrap();
    server.delete("test", &key).unwrap();
    for expected in ["added x", "modified x", "deleted x", "bookmark", "end"] {
        assert_eq!(next(&mut stream).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_from_a_compacted_version_is_told_in_the_stream() {
    let server = server();
    let begun = server.version().to_string();
    server.create("test", &map("x", &json!({}))).unwrap();
    server.compact();
    let mut stream = Box::pin(maps(&server).watch(&WatchParams::default(), &begun).await.unwrap());
    assert_eq!(next(&mut stream).await, "error 410");
    assert_eq!(next(&mut stream).await, "end");
}

struct Once<F>(Mutex<Option<F>>);

impl<F: Fn(&Seen, &Change) -> Delivery + Send + Sync> Hook for Once<F> {
    fn deliver(&self, seen: &Seen, change: &Change) -> Delivery {
        self.0.lock().unwrap().take().map_or(Delivery::Now, |choose| choose(seen, change))
    }
}

#[tokio::test(start_paused = true)]
async fn the_watcher_of_kube_recovers_from_a_closed_and_from_an_expired_watch() {
    for fault in [Delivery::Close, Delivery::Expire, Delivery::Late(Duration::from_secs(5))] {
        let server = server();
        server.hook(Arc::new(Once(Mutex::new(Some(move |_: &Seen, _: &Change| fault)))));
        let mut events = Box::pin(watcher(maps(&server), watcher::Config::default()));
        assert!(matches!(events.try_next().await.unwrap(), Some(watcher::Event::Init)));
        assert!(matches!(events.try_next().await.unwrap(), Some(watcher::Event::InitDone)));
        server.create("test", &map("x", &json!({}))).unwrap();
        let seen = async {
            loop {
                if let Ok(Some(watcher::Event::Apply(map) | watcher::Event::InitApply(map))) = events.try_next().await {
                    return map.metadata.name;
                }
            }
        };
        assert_eq!(tokio::time::timeout(Duration::from_secs(60), seen).await.unwrap().as_deref(), Some("x"), "{fault:?}");
    }
}

struct Nth(u64, Before, After);

impl Hook for Nth {
    fn before(&self, seen: &Seen) -> Before {
        if seen.mutation == Some(self.0) { self.1.clone() } else { Before::Pass }
    }

    fn after(&self, seen: &Seen, _code: u16) -> After {
        if seen.mutation == Some(self.0) { self.2.clone() } else { After::Pass }
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_before_changes_nothing_and_one_after_loses_only_the_answer() {
    let busy = Refusal::new(429, "TooManyRequests", "later");
    let timeout = Refusal::new(504, "Timeout", "no answer from etcd");
    for (before, after, code, is_there) in [
        (Before::Refuse(busy), After::Pass, Some(429), false),
        (Before::Break, After::Pass, None, false),
        (Before::Hang, After::Pass, None, false),
        (Before::Pass, After::Replace(timeout), Some(504), true),
        (Before::Pass, After::Break, None, true),
        (Before::Pass, After::Hang, None, true),
    ] {
        let server = server();
        server.hook(Arc::new(Nth(1, before.clone(), after.clone())));
        let (maps, params, object) = (maps(&server), PostParams::default(), made_new("x"));
        let answer = tokio::time::timeout(Duration::from_secs(9), maps.create(&params, &object)).await;
        let told = answer.ok().and_then(|answer| match answer.unwrap_err() {
            kube::Error::Api(status) => Some(status.code),
            _ => None,
        });
        let key = Key::new(Kind::named("ConfigMap"), "shop", "x");
        assert_eq!((told, server.get(&key).is_some()), (code, is_there), "{before:?} {after:?}");
    }
}

struct Old(u64);

impl Hook for Old {
    fn before(&self, _seen: &Seen) -> Before {
        Before::FromVersion(self.0)
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_read_that_allows_it_may_be_stale() {
    let server = server();
    server.create("test", &map("x", &json!({"a": "old"}))).unwrap();
    server.hook(Arc::new(Old(server.version())));
    server.patch("test", &Key::new(Kind::named("ConfigMap"), "shop", "x"), &json!({"data": {"a": "new"}})).unwrap();
    assert_eq!(maps(&server).get("x").await.unwrap().data.unwrap()["a"], "new");
    let any = kube::api::GetParams::any();
    assert_eq!(maps(&server).get_with("x", &any).await.unwrap().data.unwrap()["a"], "old");
    let list = maps(&server).list(&ListParams::default().match_any()).await.unwrap();
    assert_eq!(list.items[0].data.as_ref().unwrap()["a"], "old");
}

#[tokio::test(start_paused = true)]
async fn every_committed_write_is_observed_and_every_request_logged() {
    let server = server();
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let sink = seen.clone();
    server.observe(move |change| sink.lock().unwrap().push(format!("{} {}", change.actor, change.key)));
    maps(&server).create(&PostParams::default(), &made_new("x")).await.unwrap();
    let _ = maps(&server).get("none").await;
    assert_eq!(*seen.lock().unwrap(), ["test configmaps shop/x"]);
    let lines: Vec<String> = server.log().iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        ["1 2026-11-21T00:00:00Z test Create configmaps shop/ 201 2", "2 2026-11-21T00:00:00Z test Get configmaps shop/none 404 NotFound"]
    );
}

#[tokio::test(start_paused = true)]
async fn an_admission_refuses_as_a_rule_of_the_crd_would() {
    let server = server();
    server.admit(Arc::new(|new, old| match old {
        Some(old) if old["spec"]["prefix"] != new["spec"]["prefix"] => Err("spec.prefix is immutable".into()),
        _ => Ok(()),
    }));
    let releases: Api<AssetRelease> = Api::namespaced(server.client("test"), "shop");
    releases.create(&PostParams::default(), &release("v1")).await.unwrap();
    let patch = Patch::Merge(json!({"spec": {"prefix": "other/"}}));
    assert_eq!(status(releases.patch("shop", &PatchParams::default(), &patch).await.unwrap_err()).code, 422);
}
