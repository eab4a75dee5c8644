//! The agent's loop against a real API server: with a token bound to its pod, the ClusterRole `rollcall-agent` and the admission
//! policies, nothing else.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, PodCondition};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, WatchParams};
use rollcall::agent::fetch::BucketFetch;
use rollcall::agent::mirror::Memory;
use rollcall::agent::{Context, Identity, Settings, run};
use rollcall::api::names::{AGENT_FIELD_MANAGER, CONDITION_ASSETS, POINTER_KEY};
use rollcall::api::{ContentHash, ManifestDigest, PointedVersion, Pointer, Report};
use rollcall::bucket::memory::MemoryBucket;
use rollcall::bucket::{Attributes, Body, Bucket, Created};
use rollcall::clock::SystemClock;
use rollcall::manifest::{Class, Manifest, ManifestFile, object};
use serde_json::json;

use super::admission::{Stage, stage};

pub(super) const BASE: &str = "http://store/shop/";

async fn put(bucket: &dyn Bucket, key: &str, bytes: Vec<u8>) {
    let attributes = Attributes {
        content_type: "text/plain".into(),
        cache_control: object::IMMUTABLE.into(),
        content_encoding: None,
        sha256: ContentHash::of(&bytes),
        writer: None,
        sequence: None,
    };
    assert_eq!(bucket.create(key, Body::Bytes(bytes.into()), &attributes).await.unwrap(), Created::New);
}

/// A build of one asset.
async fn publish(bucket: &dyn Bucket, version: &str) -> PointedVersion {
    let path = format!("assets/app-{version}.js");
    let file = ManifestFile {
        path: path.clone(),
        size: version.len() as u64,
        sha256: ContentHash::of(version.as_bytes()),
        content_type: "text/javascript".into(),
        cache_control: object::IMMUTABLE.into(),
        class: Class::Asset,
        evidence: None,
        logical_name: None,
    };
    put(bucket, &path, version.as_bytes().to_vec()).await;
    let stored = Manifest::new(vec![file]).to_bytes();
    let digest = ManifestDigest::of(&stored);
    let key = format!(".rollcall/manifests/{}.json", digest.hex());
    put(bucket, &key, stored).await;
    PointedVersion {
        version: version.into(),
        digest,
        manifest_url: format!("{BASE}{key}"),
        base_url: "https://cdn.example.com/".into(),
        fallback: None,
    }
}

pub(super) async fn write_pointer(stage: &Stage, pointer: &Pointer) {
    let maps: Api<ConfigMap> = Api::namespaced(stage.server.client.clone(), &stage.namespace);
    let body = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shop-assets"},
        "data": {POINTER_KEY: pointer.to_json(), "manifest.json": "{}"},
    });
    maps.patch("shop-assets", &PatchParams::apply("rollcall-test").force(), &Patch::Apply(&body)).await.unwrap();
}

async fn condition(stage: &Stage) -> (Pod, Option<PodCondition>) {
    let pod = stage.pods(&stage.server.client).get("shop-0").await.unwrap();
    let conditions = pod.status.clone().and_then(|status| status.conditions).unwrap_or_default();
    let own = conditions.into_iter().find(|condition| condition.type_ == CONDITION_ASSETS);
    (pod, own)
}

/// Waits for at most ten seconds until the condition has this status and its report pleases.
async fn until(stage: &Stage, status: &str, pleases: impl Fn(&Report) -> bool) -> (Pod, PodCondition) {
    let mut last = None;
    for _ in 0..200 {
        let (pod, own) = condition(stage).await;
        if let Some(own) = own {
            let report = Report::parse(own.message.as_deref().unwrap()).unwrap();
            if own.status == status && pleases(&report) {
                return (pod, own);
            }
            last = Some(own);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the condition never became {status}: {last:?}");
}

/// I2: the contract with exactly the rights that the chart gives.
#[tokio::test]
async fn an_agent_follows_a_release_with_its_own_rights() {
    let Some(stage) = stage("agent-loop").await else { return };
    let bucket = Arc::new(MemoryBucket::new(Arc::new(SystemClock)));
    let agent_client = stage.token("shop", Some("shop-0")).await;
    let kubelets = json!({"status": {"conditions": [{"type": "Ready", "status": "False", "message": "kubelet's"}]}});
    let pods = stage.pods(&stage.server.client);
    let pod = pods.patch_status("shop-0", &PatchParams::default(), &Patch::Strategic(&kubelets)).await.unwrap();
    let context = Context {
        client: agent_client.clone(),
        fetch: Arc::new(BucketFetch::new(bucket.clone(), BASE)),
        mirror: Arc::new(Memory::default()),
        clock: Arc::new(SystemClock),
        identity: Identity {
            namespace: stage.namespace.clone(),
            pod_name: "shop-0".into(),
            pod_uid: pod.metadata.uid.unwrap(),
            instance: "life-1".into(),
        },
        settings: Settings::new("shop-assets"),
    };
    let agent = tokio::spawn(run(context, std::future::pending()));
    let (_, none_yet) = until(&stage, "False", |report| !report.joining).await;
    assert_eq!(none_yet.reason.as_deref(), Some("NoActiveVersion"));

    let first = publish(&*bucket, "v1").await;
    let staged = Pointer::empty().staged(first.clone(), Timestamp::UNIX_EPOCH);
    write_pointer(&stage, &staged).await;
    until(&stage, "False", |report| report.has(&first.digest, 1)).await;
    let active = staged.flipped(Timestamp::UNIX_EPOCH);
    write_pointer(&stage, &active).await;
    let (pod, ready) = until(&stage, "True", |report| report.serving.as_ref() == Some(&first.digest)).await;
    let managers: Vec<_> = pod.metadata.managed_fields.unwrap_or_default().into_iter().filter_map(|field| field.manager).collect();
    assert!(managers.contains(&AGENT_FIELD_MANAGER.to_owned()), "{managers:?}");
    let conditions = pod.status.unwrap().conditions.unwrap();
    assert!(conditions.iter().any(|condition| condition.message.as_deref() == Some("kubelet's")), "{conditions:?}");

    let second = publish(&*bucket, "v2").await;
    write_pointer(&stage, &active.staged(second.clone(), Timestamp::UNIX_EPOCH)).await;
    let (_, still) = until(&stage, "True", |report| report.has(&second.digest, 2)).await;
    assert_eq!(still.last_transition_time, ready.last_transition_time, "it changes with the status only");

    let maps: Api<ConfigMap> = Api::namespaced(stage.server.client.clone(), &stage.namespace);
    maps.delete("shop-assets", &DeleteParams::default()).await.unwrap();
    until(&stage, "True", |report| report.problem.is_some() && report.serving.as_ref() == Some(&first.digest)).await;
    agent.abort();

    // Its Role names the pointer: there is no way from there to the namespace's other ConfigMaps.
    let others: Api<ConfigMap> = Api::namespaced(agent_client.clone(), &stage.namespace);
    let forbidden = |answer: Result<(), kube::Error>| answer.is_err_and(|error| error.to_string().contains("forbidden"));
    assert!(forbidden(others.get("kube-root-ca.crt").await.map(|_| ())), "get");
    assert!(forbidden(others.list(&ListParams::default()).await.map(|_| ())), "list");
    for fields in ["", "metadata.name=kube-root-ca.crt", "metadata.name!=shop-assets"] {
        let params = WatchParams::default().fields(fields);
        assert!(forbidden(others.watch(&params, "0").await.map(|_| ())), "watch of {fields:?}");
    }

    let of_another = json!({"metadata": {"uid": "another"}, "status": {"conditions": [{"type": CONDITION_ASSETS, "status": "True"}]}});
    stage.refuses(&agent_client, "shop-0", &of_another, "uid").await;
    stage.server.forget(&stage.namespace).await;
}
