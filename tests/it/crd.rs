//! A table of objects that are taken and refused, once against the schema here and once against a real API server.
//! tests/data/crd/accepted, …/rejected: one file a case; documents after the first are changes of the same object; a
//! refused one names, in its first line, what the user must be told.

use std::path::{Path, PathBuf};

use kube::core::cel::Validator;
use rollcall::api::{AssetRelease, AssetStore, schema};
use serde::Deserialize as _;
use serde_json::Value;

use crate::apiserver;

struct Case {
    name: String,
    file: PathBuf,
    documents: Vec<Value>,
    /// What the user must be told; none for an object that is taken.
    message: Option<String>,
    /// Bounds and defaulting are the API server's own work.
    server_only: bool,
}

fn cases(folder: &str) -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/crd").join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    files.into_iter().map(case).collect()
}

fn case(file: PathBuf) -> Case {
    let text = std::fs::read_to_string(&file).unwrap();
    Case {
        name: file.file_stem().unwrap().to_string_lossy().into_owned(),
        documents: serde_yaml_ng::Deserializer::from_str(&text).map(|document| Value::deserialize(document).unwrap()).collect(),
        message: text.lines().find_map(|line| line.strip_prefix("# message: ")).map(ToOwned::to_owned),
        server_only: text.contains("# only the API server refuses this"),
        file,
    }
}

/// What our own types say, then what the CEL rules say.
fn refusal(object: &Value, old: Option<&Value>) -> Option<String> {
    let (object, old) = (&without_nulls(object), old.map(without_nulls));
    let (plural, parsed) = match object["kind"].as_str() {
        Some("AssetStore") => ("assetstores", AssetStore::deserialize(object).err()),
        _ => ("assetreleases", AssetRelease::deserialize(object).err()),
    };
    let crd = schema::crds().into_iter().find(|crd| crd.spec.names.plural == plural).unwrap();
    let root = serde_json::to_value(&crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema).unwrap();
    let rules = Validator::new().validate(&root, object, old.as_ref()).err();
    parsed.map(|error| format!("not of the kind: {error}")).or(rules.map(|errors| errors.to_string()))
}

/// The API server drops them before it looks, because no field is nullable.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), without_nulls(v))).collect(),
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

#[test]
fn what_should_be_taken_is_taken() {
    for case in cases("accepted") {
        for (index, document) in case.documents.iter().enumerate() {
            let old = index.checked_sub(1).map(|before| &case.documents[before]);
            assert_eq!(refusal(document, old), None, "{} document {index}", case.name);
        }
    }
}

#[test]
fn what_should_be_refused_is_refused_with_its_message() {
    for case in cases("rejected").into_iter().filter(|case| !case.server_only) {
        let (last, before) = case.documents.split_last().unwrap();
        for document in before {
            assert_eq!(refusal(document, None), None, "{}: what was there before", case.name);
        }
        let found = refusal(last, before.last()).unwrap_or_else(|| panic!("{} is taken", case.name));
        let message = case.message.expect("a refused case names its message");
        assert!(found.contains(&message) || found.starts_with("not of the kind"), "{}: {found}", case.name);
    }
}

/// As users meet it: through kubectl, whose strict validation finds unknown fields.
#[tokio::test]
async fn the_real_api_server_takes_and_refuses_the_same() {
    let Some(server) = apiserver::server().await else { return };
    server.install_crds().await;
    let namespace = server.namespace("crd-table").await;
    for case in cases("accepted").into_iter().chain(cases("rejected")) {
        let applied = server.kubectl(&["apply", "-n", &namespace, "-f", case.file.to_str().unwrap()]);
        match (&case.message, applied) {
            (None, Ok(_)) => {}
            (None, Err(said)) => panic!("{}: {said}", case.name),
            (Some(_), Ok(_)) => panic!("{} is taken", case.name),
            (Some(message), Err(said)) => assert!(said.contains(message), "{}: {said}", case.name),
        }
        server.kubectl(&["delete", "assetreleases,assetstores", "--all", "-n", &namespace]).unwrap();
    }
    server.forget(&namespace).await;
}

/// I9: nobody takes an object that the controller has not looked at for done.
#[tokio::test]
async fn an_untouched_object_is_in_progress() {
    let Some(server) = apiserver::server().await else { return };
    server.install_crds().await;
    let namespace = server.namespace("crd-untouched").await;
    for (kind, case) in [("assetrelease/shop", "release-minimal"), ("assetstore/main", "store-minimal")] {
        let file = format!("{}/tests/data/crd/accepted/{case}.yaml", env!("CARGO_MANIFEST_DIR"));
        server.kubectl(&["apply", "-n", &namespace, "-f", &file]).unwrap();
        let observed =
            server.kubectl(&["get", "-n", &namespace, kind, "-o", "jsonpath={.status.observedGeneration} {.metadata.generation}"]);
        assert_eq!(observed.unwrap(), "-1 1", "kstatus: generation differs from observedGeneration, so InProgress");
    }
    let columns = server.kubectl(&["get", "assetreleases", "-n", &namespace, "-o", "wide"]).unwrap();
    let header: Vec<&str> = columns.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(header, ["NAME", "ACTIVE", "TARGET", "PHASE", "PODS", "READY", "MESSAGE", "AGE"]);
    server.forget(&namespace).await;
}

/// The server's OpenAPI documents follow a CRD some moments after it is established.
async fn explained_soon(server: &apiserver::Server, kind: &str) -> String {
    for _ in 0..300 {
        if let Ok(explained) = server.kubectl(&["explain", kind, "--recursive"]) {
            return explained;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    server.kubectl(&["explain", kind, "--recursive"]).unwrap()
}

#[tokio::test]
async fn kubectl_explains_every_field() {
    let Some(server) = apiserver::server().await else { return };
    server.install_crds().await;
    for crd in schema::crds() {
        let kind = crd.spec.names.singular.clone().unwrap();
        let all = explained_soon(&server, &kind).await;
        assert!(all.contains("spec\t<Object> -required-"), "{all}");
        for path in objects(&serde_json::to_value(&crd.spec.versions[0].schema).unwrap()["openAPIV3Schema"], &kind) {
            let explained = server.kubectl(&["explain", &path]).unwrap();
            assert!(!explained.contains("<no description>"), "{path}: {explained}");
        }
    }
}

/// Paths of everything that has fields: one `explain` shows all fields of one.
fn objects(schema: &Value, path: &str) -> Vec<String> {
    let inner = if schema["items"].is_object() { &schema["items"] } else { schema };
    let Some(fields) = inner["properties"].as_object() else { return Vec::new() };
    let below = fields.iter().flat_map(|(name, field)| objects(field, &format!("{path}.{name}")));
    std::iter::once(path.to_owned()).chain(below).collect()
}
