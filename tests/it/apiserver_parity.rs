//! The in-process API server against the real one: the same requests, the same codes, reasons, messages and managed fields.
//! Questions that the client would ask again by itself (a 504, a 500) are left out.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::Request;
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use rollcall::clock::TokioClock;
use rollcall::testing::apiserver::ApiServer;
use serde_json::{Value, json};

const JSON: &str = "application/json";
const APPLY: &str = "application/apply-patch+yaml";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const OPERATIONS: &str = "application/json-patch+json";

/// Method, place and query below the namespace's `configmaps` (or a whole path), content type, body. `$UID` and `$VERSION` stand
/// for those of the object that was last answered.
const QUESTIONS: &[(&str, &str, &str, &str)] = &[
    ("GET", "/x", JSON, ""),
    (
        "PATCH",
        "/x?fieldManager=a",
        APPLY,
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","labels":{"l":"1"}},"data":{"p":"1","q":"1"}}"#,
    ),
    (
        "PATCH",
        "/x?fieldManager=a",
        APPLY,
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","labels":{"l":"1"}},"data":{"p":"1","q":"1"}}"#,
    ),
    ("PATCH", "/x?fieldManager=b", APPLY, r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{"p":"2"}}"#),
    ("PATCH", "/x?fieldManager=b", APPLY, r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{"p":"1"}}"#),
    ("PATCH", "/x?fieldManager=b&force=true", APPLY, r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{"p":"2"}}"#),
    ("PATCH", "/x?fieldManager=a", APPLY, r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{}}"#),
    ("PATCH", "/x?fieldManager=c", MERGE, r#"{"data":{"p":"3","z":"1"},"metadata":{"labels":{"m":"1"}}}"#),
    ("PATCH", "/x?fieldManager=b", APPLY, r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{"p":"4","z":"2"}}"#),
    (
        "PATCH",
        "/x?fieldManager=b",
        APPLY,
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","uid":"nope"},"data":{"p":"3"}}"#,
    ),
    (
        "PATCH",
        "/x?fieldManager=b",
        APPLY,
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","resourceVersion":"1"},"data":{"p":"3"}}"#,
    ),
    ("GET", "/x", JSON, ""),
    (
        "PATCH",
        "/x?fieldManager=b&force=true",
        APPLY,
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","uid":"$UID","resourceVersion":"$VERSION"},"data":{"p":"5"}}"#,
    ),
    (
        "PATCH",
        "/y?fieldManager=b",
        APPLY,
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"y","uid":"nope"},"data":{"p":"3"}}"#,
    ),
    (
        "PATCH",
        "/y?fieldManager=b",
        APPLY,
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"y","resourceVersion":"5"},"data":{"p":"3"}}"#,
    ),
    ("PATCH", "/y", APPLY, r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"y"},"data":{"p":"3"}}"#),
    ("PATCH", "/x?fieldManager=c", MERGE, r#"{"metadata":{"uid":"nope"}}"#),
    ("PATCH", "/x?fieldManager=c", MERGE, r#"{"metadata":{"resourceVersion":"1"},"data":{"k":"9"}}"#),
    ("PATCH", "/none?fieldManager=c", MERGE, r#"{"data":{"k":"9"}}"#),
    ("PATCH", "/x", OPERATIONS, r#"[{"op":"test","path":"/data/p","value":"77"},{"op":"replace","path":"/data/p","value":"5"}]"#),
    ("PATCH", "/x", OPERATIONS, r#"[{"op":"remove","path":"/data/nope"}]"#),
    ("POST", "", JSON, r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"}}"#),
    ("POST", "", JSON, r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"w","namespace":"other"}}"#),
    ("POST", "", JSON, r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{}}"#),
    (
        "POST",
        "?fieldManager=z",
        JSON,
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"v","finalizers":["rollcall.dev/a"],"labels":{"k":"v"}},"data":{"a":"b"}}"#,
    ),
    ("PUT", "/x", JSON, r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","resourceVersion":"1"}}"#),
    ("PUT", "/x", JSON, r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","uid":"nope"}}"#),
    ("PUT", "/none", JSON, r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"none"}}"#),
    ("PUT", "/x", JSON, r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"other"}}"#),
    ("DELETE", "/x", JSON, r#"{"apiVersion":"v1","kind":"DeleteOptions","preconditions":{"uid":"nope"}}"#),
    ("DELETE", "/x", JSON, r#"{"apiVersion":"v1","kind":"DeleteOptions","preconditions":{"resourceVersion":"1"}}"#),
    ("DELETE", "/v", JSON, ""),
    ("DELETE", "/v", JSON, ""),
    ("PATCH", "/v", MERGE, r#"{"metadata":{"finalizers":["rollcall.dev/a","rollcall.dev/b"]}}"#),
    ("PATCH", "/v", MERGE, r#"{"metadata":{"finalizers":null}}"#),
    ("GET", "/v", JSON, ""),
    ("DELETE", "/x", JSON, ""),
    ("DELETE", "/x", JSON, ""),
    ("GET", "?limit=1&continue=zzz", JSON, ""),
    (
        "POST",
        "pods?fieldManager=k",
        JSON,
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"nodeName":"n1","containers":[{"name":"c","image":"x"}]}}"#,
    ),
    (
        "PATCH",
        "pods/p/status?fieldManager=agent",
        APPLY,
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"status":{"conditions":[{"type":"example.com/probe","status":"True","message":"m"}]}}"#,
    ),
    (
        "PATCH",
        "pods/p/status?fieldManager=agent",
        STRATEGIC,
        r#"{"metadata":{"uid":"nope"},"status":{"conditions":[{"type":"Ready","status":"False"}]}}"#,
    ),
    (
        "PATCH",
        "pods/p/status?fieldManager=agent",
        APPLY,
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","uid":"nope"},"status":{"conditions":[{"type":"example.com/probe","status":"False"}]}}"#,
    ),
    (
        "PATCH",
        "pods/gone/status?fieldManager=agent",
        APPLY,
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"gone"},"status":{"conditions":[]}}"#,
    ),
    ("DELETE", "pods/p", JSON, ""),
    (
        "POST",
        "assetstores?fieldManager=k",
        JSON,
        r#"{"apiVersion":"rollcall.dev/v1alpha1","kind":"AssetStore","metadata":{"name":"s"},"spec":{"bucket":{"name":"assets","region":"r","forcePathStyle":false},"publicUrl":"https://cdn.example.com/"}}"#,
    ),
    (
        "PATCH",
        "assetstores/s/status?fieldManager=rollcall&force=true",
        APPLY,
        r#"{"apiVersion":"rollcall.dev/v1alpha1","kind":"AssetStore","metadata":{"name":"s","uid":"nope"},"status":{"observedGeneration":1}}"#,
    ),
    (
        "PATCH",
        "assetstores/s/status?fieldManager=rollcall&force=true",
        APPLY,
        r#"{"apiVersion":"rollcall.dev/v1alpha1","kind":"AssetStore","metadata":{"name":"s","uid":"nope","resourceVersion":"1"},"status":{"observedGeneration":1}}"#,
    ),
    (
        "PATCH",
        "assetstores/s/status?fieldManager=rollcall&force=true",
        APPLY,
        r#"{"apiVersion":"rollcall.dev/v1alpha1","kind":"AssetStore","metadata":{"name":"s","uid":"$UID"},"status":{"observedGeneration":1}}"#,
    ),
    (
        "PATCH",
        "assetstores/gone/status?fieldManager=rollcall&force=true",
        APPLY,
        r#"{"apiVersion":"rollcall.dev/v1alpha1","kind":"AssetStore","metadata":{"name":"gone","uid":"nope"},"status":{"observedGeneration":1}}"#,
    ),
    ("DELETE", "assetstores/s", JSON, ""),
];

#[tokio::test]
async fn both_api_servers_give_the_same_answers() {
    let Some(server) = crate::apiserver::server().await else { return };
    server.install_crds().await;
    let clock = Arc::new(TokioClock::starting_at("2026-11-21T00:00:00Z".parse().unwrap()));
    let model = ask_all(&ApiServer::new(clock, 1).client("test")).await;
    let real = ask_all(&server.client).await;
    let pairs = QUESTIONS.iter().zip(real).zip(model).filter(|((_, real), model)| real != model);
    let differences: Vec<String> =
        pairs.map(|((question, real), model)| format!("{question:?}\n  real  {real}\n  model {model}")).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

async fn ask_all(client: &Client) -> Vec<Value> {
    let mut answers = Vec::new();
    let mut last = BTreeMap::new();
    for (method, place, content_type, body) in QUESTIONS {
        let path = if place.starts_with("assetstores") {
            format!("/apis/rollcall.dev/v1alpha1/namespaces/default/{place}")
        } else if place.starts_with("pods") {
            format!("/api/v1/namespaces/default/{place}")
        } else {
            format!("/api/v1/namespaces/default/configmaps{place}")
        };
        let body = last.iter().fold((*body).to_owned(), |text, (name, value): (&&str, &String)| text.replace(*name, value));
        let request = Request::builder().method(*method).uri(path).header("content-type", *content_type);
        let response = client.send(request.body(Body::from(body.into_bytes())).unwrap()).await.unwrap();
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let answer: Value = serde_json::from_slice(&bytes).unwrap();
        for (name, field) in [("$UID", "uid"), ("$VERSION", "resourceVersion")] {
            if let Some(value) = answer["metadata"][field].as_str() {
                last.insert(name, value.to_owned());
            }
        }
        answers.push(compared(code, &answer));
    }
    answers
}

/// What must be the same. Times, UIDs and versions never are; messages that quote them are left out, and so are the dots of maps.
fn compared(code: u16, answer: &Value) -> Value {
    if answer["kind"] == "Status" {
        let message = answer["message"].as_str().unwrap_or_default();
        let quotes = ["UID", "ResourceVersion", "continue", "Too large", "found new finalizers"].iter().any(|word| message.contains(word));
        let mut causes: Vec<Value> = answer["details"]["causes"].as_array().cloned().unwrap_or_default();
        causes.retain(|cause| cause["reason"] != "FieldValueForbidden");
        causes.dedup();
        let message = if quotes { Value::Null } else { json!(message) };
        return json!({"code": code, "reason": answer["reason"], "message": message, "causes": causes});
    }
    let metadata = &answer["metadata"];
    let names: Vec<&String> = metadata.as_object().map(|map| map.keys().filter(|key| *key != "generation").collect()).unwrap_or_default();
    let names: std::collections::BTreeSet<&String> = names.into_iter().collect();
    json!({"code": code, "metadata": names, "data": answer["data"], "labels": metadata["labels"], "finalizers": metadata["finalizers"],
        "managed": managed(&metadata["managedFields"]), "grace": metadata["deletionGracePeriodSeconds"]})
}

fn managed(entries: &Value) -> BTreeMap<String, Value> {
    let name = |entry: &Value| format!("{} {} {}", entry["manager"], entry["operation"], entry["subresource"]);
    let all = entries.as_array().into_iter().flatten();
    // The real server fills in a pod's spec: what its creator owns is not ours to model.
    all.filter(|entry| entry["manager"] != "k").map(|entry| (name(entry), without_dots(&entry["fieldsV1"]))).collect()
}

fn without_dots(fields: &Value) -> Value {
    match fields {
        Value::Object(map) => {
            map.iter().filter(|(name, _)| *name != ".").map(|(name, child)| (name.clone(), without_dots(child))).collect()
        }
        other => other.clone(),
    }
}
