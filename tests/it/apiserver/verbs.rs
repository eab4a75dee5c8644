//! Controller and agent need each of their rights: an account gets all rights but one, and the API server refuses the program's own request
//! for that one. Never a list of rights of its own: they come from the rendered chart, and docs/concepts/rights.md is compared with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use kube::api::{Api, Patch, PatchParams};
use rollcall::agent::fetch::BucketFetch;
use rollcall::agent::mirror::Memory;
use rollcall::agent::{Context, Identity, Settings, run};
use rollcall::api::Pointer;
use rollcall::bucket::memory::MemoryBucket;
use rollcall::clock::SystemClock;
use rollcall::cluster::leader::{Elector, LeaseObject, Term, Times};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::Server;
use super::admission::{Stage, stage};
use super::agent::{BASE, write_pointer};
use super::shop::{KEYS, Noted, Shop, client_of, until};
use crate::chart::{documents, helm, named, of_kind, rendered};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Rights that no request needs: an admission policy asks for them.
const CONFINED: &str = "rollcall.dev/agents confined";

/// Shops that are open side by side.
const AT_ONCE: usize = 8;

/// The roles of the chart for one namespace, which is called `shop` in them.
fn roles() -> Option<(Vec<Value>, Vec<Value>)> {
    let objects = rendered(&helm()?, &["watchNamespaces={shop}", "secrets[0].namespace=shop", &format!("secrets[0].name={KEYS}")]);
    let cluster = named(&objects, "ClusterRole", "rollcall-controller")["rules"].as_array().unwrap().clone();
    let inside = of_kind(&objects, "Role").into_iter().filter(|role| role["metadata"]["namespace"] == "shop");
    Some((cluster, inside.flat_map(|role| role["rules"].as_array().unwrap().clone()).collect()))
}

/// The role of the chart in the controller's own namespace.
fn leader_rules() -> Option<Vec<Value>> {
    Some(named(&rendered(&helm()?, &[]), "Role", "rollcall-leader")["rules"].as_array().unwrap().clone())
}

/// One rule for each right, so that one can be left out. `group/resource verb`.
fn split(rules: &[Value]) -> BTreeMap<String, Value> {
    let words = |list: &Value| list.as_array().unwrap().clone();
    let mut split = BTreeMap::new();
    for rule in rules {
        for group in words(&rule["apiGroups"]) {
            for resource in words(&rule["resources"]) {
                for verb in words(&rule["verbs"]) {
                    let mut one = json!({"apiGroups": [group], "resources": [resource], "verbs": [verb]});
                    if !rule["resourceNames"].is_null() {
                        one["resourceNames"] = rule["resourceNames"].clone();
                    }
                    let name = format!("{}/{} {}", group.as_str().unwrap(), resource.as_str().unwrap(), verb.as_str().unwrap());
                    assert!(split.insert(name.clone(), one).is_none(), "{name} is given twice");
                }
            }
        }
    }
    split
}

fn all_but(rules: &[Value], without: &str) -> Vec<Value> {
    split(rules).into_iter().filter(|(right, _)| right != without).map(|(_, rule)| rule).collect()
}

/// An account of this name with these rights, in this namespace and in the cluster.
fn give(server: &Server, namespace: &str, user: &str, cluster: &[Value], inside: &[Value]) {
    let subject = json!([{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}]);
    let role_ref = |kind: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": user});
    let object = |kind: &str, metadata: Value| json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata});
    let here = json!({"name": user, "namespace": namespace});
    let mut objects = [
        object("ClusterRole", json!({"name": user})),
        object("ClusterRoleBinding", json!({"name": user})),
        object("Role", here.clone()),
        object("RoleBinding", here),
    ];
    objects[0]["rules"] = json!(cluster);
    objects[2]["rules"] = json!(inside);
    for (binding, kind) in [(1, "ClusterRole"), (3, "Role")] {
        objects[binding]["roleRef"] = role_ref(kind);
        objects[binding]["subjects"] = subject.clone();
    }
    server.apply(&objects);
}

fn take_back(server: &Server, user: &str) {
    server.kubectl(&["delete", "clusterrole,clusterrolebinding", user]).unwrap();
}

/// A row of docs/concepts/rights.md.
struct Row {
    /// `resource verb`.
    rights: Vec<String>,
    /// What needs it.
    operation: String,
    /// What users see without it.
    without: String,
}

/// The tables below this heading. In the first column the resources stand in backticks before the verbs.
fn documented(heading: &str) -> Vec<Row> {
    let page = std::fs::read_to_string(format!("{ROOT}/docs/concepts/rights.md")).unwrap();
    let section = page.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let words: Vec<&str> = cells[0].split([' ', ',']).collect();
        let is_verb = |word: &&&str| ["get", "list", "watch", "create", "update", "patch", "confined"].contains(*word);
        let first_verb = words.iter().position(|word| is_verb(&word)).unwrap();
        let resources = words[..first_verb].iter().filter_map(|word| word.strip_prefix('`')?.strip_suffix('`'));
        let verbs: Vec<&&str> = words.iter().filter(is_verb).collect();
        let rights = resources.flat_map(|resource| verbs.iter().map(move |verb| format!("{resource} {verb}"))).collect();
        Row { rights, operation: cells[1].to_owned(), without: cells[2].to_owned() }
    })
    .collect()
}

/// Each right that the roles give has one row, and no row lists another right.
fn assert_documented(heading: &str, given: &BTreeSet<String>) {
    let rows = documented(heading);
    assert!(rows.iter().all(|row| !row.operation.is_empty() && !row.without.is_empty()));
    let mut listed: Vec<String> = rows.into_iter().flat_map(|row| row.rights).collect();
    listed.sort();
    // Without the API group, which the page leaves to the reader.
    let mut wanted: Vec<String> = given.iter().map(|right| right.split_once('/').unwrap().1.to_owned()).collect();
    wanted.sort();
    assert_eq!(listed, wanted, "{heading}: in docs/concepts/rights.md, and in the roles");
}

/// The reason that a release shows without this right, if the right's row names one.
fn sign(rows: &[Row], right: &str) -> Option<String> {
    let right = right.split_once('/').unwrap().1;
    let row = rows.iter().find(|row| row.rights.iter().any(|listed| listed == right)).unwrap();
    Some(row.without.strip_prefix('`')?.split_once('`')?.0.to_owned())
}

fn names(rights: &BTreeMap<String, Value>) -> BTreeSet<String> {
    rights.keys().cloned().collect()
}

#[test]
fn the_page_of_rights_lists_what_the_roles_give() {
    let (Some((cluster, inside)), Some(leader), Some(agent)) = (roles(), leader_rules(), agent_rules()) else { return };
    assert_documented("The controller", &names(&split(&[cluster, inside, leader].concat())));
    assert_documented("An agent", &names(&split(&agent)));
}

/// I9: with the chart's rights nothing is refused in the life of a release, and each of them is used.
#[tokio::test]
async fn a_release_needs_every_right_of_the_chart_and_no_other() {
    let Some((cluster, inside)) = roles() else { return };
    let Some(server) = super::server().await else { return };
    server.install_crds().await;
    let namespace = server.namespace("verbs-all").await;
    give(&server, &namespace, &namespace, &cluster, &inside);
    let mut shop = Shop::open(&server, &namespace, &namespace).await;
    shop.trade().await;
    let noted = shop.noted.all();
    let refused: Vec<_> = noted.iter().filter(|(_, code)| **code == 403).collect();
    assert!(refused.is_empty(), "{refused:?}");
    let used: BTreeSet<String> = noted.into_keys().collect();
    assert_eq!(used, names(&split(&[cluster, inside].concat())), "used, and given");
    take_back(&server, &namespace);
    server.forget(&namespace).await;
}

/// The API server refuses the controller's own request for the missing right, and no other request. If the page of rights names a reason,
/// the release shows it.
#[tokio::test]
async fn without_any_one_right_the_controller_is_refused_what_needs_it() {
    let Some((cluster, inside)) = roles() else { return };
    let Some(server) = super::server().await else { return };
    server.install_crds().await;
    let (server, rows) = (&server, documented("The controller"));
    let rights = names(&split(&[cluster.clone(), inside.clone()].concat()));
    let shops = rights.iter().enumerate().map(async |(number, right)| {
        let namespace = server.namespace(&format!("verbs-{number}")).await;
        give(server, &namespace, &namespace, &all_but(&cluster, right), &all_but(&inside, right));
        let mut shop = Shop::open(server, &namespace, &namespace).await;
        let noted = shop.noted.clone();
        let shown = tokio::select! {
            biased;
            refused = noted.refused(right) => refused,
            () = shop.trade() => Err(format!("a release lives and ends without {right}")),
        };
        if let (Ok(()), Some(reason)) = (&shown, sign(&rows, right)) {
            until(&format!("{reason} without {right}"), async || shop.condition().await.as_ref() == Some(&reason)).await;
        }
        let refused: Vec<String> = noted.all().into_iter().filter(|(_, code)| *code == 403).map(|(right, _)| right).collect();
        take_back(server, &namespace);
        server.forget(&namespace).await;
        shown.err().or_else(|| (refused != [right.as_str()]).then(|| format!("without {right}: {refused:?}")))
    });
    let wrong: Vec<String> = stream::iter(shops).buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A candidate with these rights, and what it asks for.
fn candidate(server: &Server, namespace: &str, user: &str, rules: &[Value]) -> (Noted, tokio::task::JoinHandle<()>) {
    give(server, namespace, user, &[], rules);
    let (noted, seconds) = (Noted::default(), Duration::from_secs);
    let times = Times { lease_duration: seconds(3), renew_deadline: seconds(2), retry_period: Duration::from_millis(200) };
    let elector = Elector {
        lease: LeaseObject::new(noted.by(client_of(server, user)), namespace, "rollcall", times.request_max()),
        identity: user.to_owned(),
        times,
        clock: Arc::new(SystemClock),
        term: Term::standby(),
    };
    let stands = elector.run(CancellationToken::new(), || (), |_| std::future::pending());
    (noted, tokio::spawn(async { drop(stands.await) }))
}

#[tokio::test]
async fn without_any_one_right_a_controller_is_refused_what_its_election_needs() {
    let Some(rules) = leader_rules() else { return };
    let Some(server) = super::server().await else { return };
    let rights = names(&split(&rules));
    let all = server.namespace("lease-verbs-all").await;
    let (noted, running) = candidate(&server, &all, &all, &rules);
    until("the candidate's requests", async || noted.all().keys().cloned().collect::<BTreeSet<_>>() == rights).await;
    assert!(noted.all().values().all(|code| *code < 300 || *code == 404), "{:?}", noted.all());
    running.abort();
    take_back(&server, &all);
    server.forget(&all).await;
    for (number, right) in rights.iter().enumerate() {
        let namespace = server.namespace(&format!("lease-verbs-{number}")).await;
        let (noted, running) = candidate(&server, &namespace, &namespace, &all_but(&rules, right));
        noted.refused(right).await.unwrap();
        running.abort();
        take_back(&server, &namespace);
        server.forget(&namespace).await;
    }
}

/// What the chart's ClusterRole and the Role of the pods' namespace give, for the pointer `shop-assets`.
fn agent_rules() -> Option<Vec<Value>> {
    let objects = rendered(&helm()?, &[]);
    let mut rules = named(&objects, "ClusterRole", "rollcall-agent")["rules"].as_array().unwrap().clone();
    let manifest = documents(&std::fs::read_to_string(format!("{ROOT}/deploy/agent/account.yaml")).unwrap());
    for mut rule in of_kind(&manifest, "Role").into_iter().flat_map(|role| role["rules"].as_array().unwrap().clone()) {
        rule["resourceNames"] = json!(["shop-assets"]);
        rules.push(rule);
    }
    Some(rules)
}

/// A pod `<account>-0` whose account has these rights, and what its agent asks for.
async fn agent(stage: &Stage, account: &str, rules: &[Value]) -> (Noted, tokio::task::JoinHandle<()>) {
    let pod_name = format!("{account}-0");
    stage.pod(&pod_name, account).await;
    let object = |kind: &str| json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": account, "namespace": stage.namespace}});
    let (mut role, mut binding) = (object("Role"), object("RoleBinding"));
    role["rules"] = json!(rules);
    binding["roleRef"] = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account});
    binding["subjects"] = json!([{"kind": "ServiceAccount", "name": account, "namespace": stage.namespace}]);
    stage.server.apply(&[role, binding]);
    let pod = stage.pods(&stage.server.client).get(&pod_name).await.unwrap();
    let noted = Noted::default();
    let bucket = Arc::new(MemoryBucket::new(Arc::new(SystemClock)));
    let context = Context {
        client: noted.by(stage.token(account, Some(&pod_name)).await),
        fetch: Arc::new(BucketFetch::new(bucket, BASE)),
        mirror: Arc::new(Memory::default()),
        clock: Arc::new(SystemClock),
        identity: Identity { namespace: stage.namespace.clone(), pod_name, pod_uid: pod.metadata.uid.unwrap(), instance: "life-1".into() },
        settings: Settings::new("shop-assets"),
    };
    let agent = tokio::spawn(async { drop(run(context, std::future::pending()).await) });
    (noted, agent)
}

#[tokio::test]
async fn without_any_one_right_an_agent_is_refused_what_needs_it() {
    let Some(rules) = agent_rules() else { return };
    let Some(stage) = stage("agent-verbs").await else { return };
    write_pointer(&stage, &Pointer::empty()).await;
    let requested: BTreeSet<String> = names(&split(&rules)).into_iter().filter(|right| right != CONFINED).collect();
    let (noted, running) = agent(&stage, "all", &rules).await;
    until("the agent's requests", async || noted.all().keys().cloned().collect::<BTreeSet<_>>() == requested).await;
    assert!(noted.all().values().all(|code| *code < 300), "{:?}", noted.all());
    running.abort();
    for (number, right) in requested.iter().enumerate() {
        let (noted, running) = agent(&stage, &format!("without-{number}"), &all_but(&rules, right)).await;
        noted.refused(right).await.unwrap();
        running.abort();
    }
    // This right grants nothing by itself: an admission policy holds every account that has it to the report of its own pod.
    let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    let (_, running) = agent(&stage, "loose", &all_but(&rules, CONFINED)).await;
    running.abort();
    for (account, is_held) in [("all", true), ("loose", false)] {
        let name = format!("{account}-0");
        let client = stage.token(account, Some(&name)).await;
        let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::namespaced(client, &stage.namespace);
        let answer = pods.patch_status(&name, &PatchParams::default(), &Patch::Strategic(&ready)).await;
        assert_eq!(answer.is_err(), is_held, "{account}: {:?}", answer.err());
    }
    stage.server.forget(&stage.namespace).await;
}
