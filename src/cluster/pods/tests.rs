//! The views: who shares them, what they hold, and that a shared one shows each release its own stage.

use std::collections::BTreeSet;

use serde_json::json;

use std::time::Duration;

use super::*;
use crate::api::names::CONDITION_ASSETS;
use crate::api::report::REPORT_BYTES_MAX;
use crate::clock::TokioClock;
use crate::cluster::lite::Message;
use crate::cluster::reports::Answer;
use crate::testing::apiserver::{ApiServer, Change, Delivery, Hook, Seen};

const RELEASES: usize = 25;
const PODS: usize = 12;

struct NobodyAnswers;

#[async_trait::async_trait]
impl ReportReader for NobodyAnswers {
    async fn read(
        &self,
        _: Option<&Answer>,
        _: std::net::IpAddr,
        _: &crate::api::release::HttpReport,
        _: i64,
        _: Duration,
    ) -> Result<Answer, String> {
        std::future::pending().await
    }
}

/// An API server with pods that have a report of this length, and much that nobody looks at.
fn server(report: usize) -> Arc<ApiServer> {
    let server = Arc::new(ApiServer::new(Arc::new(TokioClock::starting_at(jiff::Timestamp::UNIX_EPOCH)), 1));
    let conditions = json!([
        {"type": CONDITION_ASSETS, "status": "True", "message": "x".repeat(report)},
        {"type": "Ready", "status": "True", "message": "y".repeat(10_000)},
        {"type": "balancer.example/in", "status": "True", "message": "y".repeat(10_000)},
    ]);
    for pod in 0..PODS {
        let body = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": format!("shop-{pod}"), "namespace": "shop", "labels": {"app": "shop"},
                "annotations": {"much": "z".repeat(100_000), ANNOTATION_POINTER: "shop-assets"},
            },
            "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "i"}]},
            "status": {"phase": "Running", "conditions": conditions},
        });
        server.create("user", &body).unwrap();
    }
    server
}

fn release(number: usize) -> ReleaseKey {
    ReleaseKey { namespace: "shop".into(), name: format!("release-{number}") }
}

fn wish(stage: i64) -> Wish {
    Wish { selector: "app=shop".into(), report: ReportSpec::default(), stage }
}

fn views(server: &ApiServer) -> (PodViews, mpsc::UnboundedReceiver<ReleaseKey>) {
    let (changed, changes) = mpsc::unbounded_channel();
    (PodViews::new(server.client("test"), Arc::new(NobodyAnswers), changed), changes)
}

fn watches(views: &PodViews) -> usize {
    lock(&views.views).hubs.len()
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// What 12 pods of 25 releases hold: each pod once, each without what nobody looks at, and no report that is none.
#[tokio::test(start_paused = true)]
async fn releases_with_the_same_pods_share_one_view_and_hold_each_pod_once() {
    for (report, kept) in [(5_000, Message::Text("x".repeat(5_000))), (900_000, Message::TooLong(900_000))] {
        let server = server(report);
        let (views, mut changes) = views(&server);
        let look = |number: usize| views.look(&release(number), "Deployment/shop", &wish(1));
        (0..RELEASES).for_each(|number| drop(look(number)));
        seconds(5).await;
        assert_eq!(watches(&views), 1, "one watch");
        let told: BTreeSet<ReleaseKey> = std::iter::from_fn(|| changes.try_recv().ok()).collect();
        assert_eq!(told.len(), RELEASES, "everybody is told");
        let shown: Vec<Snapshot> = (0..RELEASES).map(look).collect();
        let mut held = BTreeMap::new();
        for pod in shown.iter().flat_map(|snapshot| snapshot.pods.values()) {
            held.insert(Arc::as_ptr(pod), pod.clone());
        }
        assert_eq!(held.len(), PODS, "each pod is held once");
        let bytes: usize = held.values().map(|pod| serde_json::to_vec(&**pod).unwrap().len()).sum();
        assert!(bytes <= PODS * (report.min(REPORT_BYTES_MAX) + 500), "{bytes} bytes for reports of {report}");
        assert!(held.values().all(|pod| pod.pointer.as_deref() == Some("shop-assets")));
        assert!(held.values().all(|pod| pod.condition(CONDITION_ASSETS).unwrap().message.as_ref() == Some(&kept)));
        for number in 0..RELEASES {
            views.keep_only(&release(number), &[]);
        }
        assert_eq!(watches(&views), 0, "and it ends with its last user");
    }
}

/// I2: a view that others have begun is as old as their stages: whoever comes, and whoever stages, waits for a LIST of his own.
#[tokio::test(start_paused = true)]
async fn a_shared_view_shows_nobody_a_stage_before_a_list_that_began_after_it() {
    let server = server(10);
    let (views, _changes) = views(&server);
    let seen = |number: usize, stage: i64| views.look(&release(number), "Deployment/shop", &wish(stage)).seen_since_stage;
    assert_eq!(seen(0, 3), None);
    seconds(1).await;
    assert_eq!(seen(0, 3), Some(3));
    assert_eq!(seen(1, 900), None, "another release's stages are other numbers");
    assert_eq!(seen(0, 4), Some(3));
    seconds(1).await;
    assert_eq!((seen(0, 4), seen(1, 900)), (Some(4), Some(900)));
    assert_eq!(seen(0, 4), Some(4));
    views.keep_only(&release(0), &[]);
    assert_eq!((seen(1, 900), watches(&views)), (Some(900), 1), "the other goes on");
}

/// A release that joins, or stages, has a LIST of its own; the others are not looked at for it, or each newcomer would cost as many looks as
/// there are releases.
#[tokio::test(start_paused = true)]
async fn a_list_that_shows_the_same_pods_is_news_for_those_alone_who_wait_for_it() {
    let server = server(10);
    let (views, mut changes) = views(&server);
    let look = |number: usize, stage: i64| drop(views.look(&release(number), "Deployment/shop", &wish(stage)));
    let mut told = || {
        let mut told: Vec<ReleaseKey> = std::iter::from_fn(|| changes.try_recv().ok()).collect();
        told.dedup();
        told
    };
    look(0, 1);
    seconds(1).await;
    assert_eq!(told(), [release(0)]);
    look(1, 1);
    seconds(1).await;
    assert_eq!(told(), [release(1)], "the newcomer");
    look(0, 2);
    seconds(1).await;
    assert_eq!(told(), [release(0)], "the one that staged");
    let pod = server.history().into_iter().find(|change| change.key.plural == "pods").expect("there are pods").key;
    server.patch_status("kubelet", &pod, &json!({"phase": "Succeeded"})).unwrap();
    seconds(1).await;
    assert_eq!(told(), [release(0), release(1)], "a change is news for all");
}

/// The same, with what it was asked for of pods, one line for each request: `watch=true` or not, and the label selector.
fn views_with_a_log(server: &ApiServer) -> (PodViews, mpsc::UnboundedReceiver<ReleaseKey>, Arc<Mutex<Vec<String>>>) {
    let (changed, changes) = mpsc::unbounded_channel();
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let written = asked.clone();
    let layer = tower::util::MapRequestLayer::new(move |request: http::Request<kube::client::Body>| {
        lock(&written).push(request.uri().to_string());
        request
    });
    (PodViews::new(server.client_through("test", &layer), Arc::new(NobodyAnswers), changed), changes, asked)
}

fn pod_of(app: &str, name: &str) -> serde_json::Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "shop", "labels": {"app": app, "tier": "web"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]}, "status": {"phase": "Running"},
    })
}

fn empty_server() -> ApiServer {
    ApiServer::new(Arc::new(TokioClock::starting_at(jiff::Timestamp::UNIX_EPOCH)), 1)
}

fn look_of(views: &PodViews, number: usize, stage: i64) -> Snapshot {
    let selector = format!("app=shop-{number},tier=web");
    views.look(&release(number), "Deployment/shop", &Wish { selector, report: ReportSpec::default(), stage })
}

fn names(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.pods.keys().map(String::as_str).collect()
}

/// Of 300 releases: one watch, whose selector names their pods and no others, and as many LISTs as there were times to ask.
#[tokio::test(start_paused = true)]
async fn a_namespace_has_one_watch_however_many_selectors_are_looked_at_and_reads_no_other_pods() {
    let server = empty_server();
    for number in 0..300 {
        server.create("user", &pod_of(&format!("shop-{number}"), &format!("pod-{number}"))).unwrap();
    }
    server.create("user", &pod_of("foreign", "foreign")).unwrap();
    let (views, mut changes, asked) = views_with_a_log(&server);
    for number in 0..300 {
        drop(look_of(&views, number, 1));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    seconds(2).await;
    for number in 0..300 {
        let snapshot = look_of(&views, number, 1);
        assert_eq!((names(&snapshot), snapshot.seen_since_stage), (vec![format!("pod-{number}").as_str()], Some(1)));
    }
    let (watched, listed): (Vec<_>, Vec<_>) = lock(&asked).drain(..).partition(|uri| uri.contains("watch=true"));
    assert!(watched.len() <= 20 && listed.len() <= 20, "in 1.5 s: {} watches, {} LISTs", watched.len(), listed.len());
    assert!(watched.last().unwrap().contains("app+in+%28shop-0%2Cshop-1%2C"), "{}", watched.last().unwrap());
    seconds(60).await;
    let later = std::mem::take(&mut *lock(&asked));
    assert!(later.len() <= 1 && later.iter().all(|uri| uri.contains("watch=true")), "in a minute: {later:?}");
    while changes.try_recv().is_ok() {}
    let change = |name: &str| {
        let key = crate::testing::apiserver::Key { group: "", plural: "pods", namespace: "shop".into(), name: name.into() };
        server.patch_status("kubelet", &key, &json!({"phase": "Succeeded"})).unwrap();
    };
    change("pod-7");
    change("foreign");
    seconds(1).await;
    assert_eq!(std::iter::from_fn(|| changes.try_recv().ok()).collect::<Vec<_>>(), [release(7)]);
    for number in 0..300 {
        views.keep_only(&release(number), &[]);
    }
    assert_eq!(watches(&views), 0);
}

/// I2: the watch goes on from where it stood, so what happens while a selector comes is in its LIST or in the watch.
#[tokio::test(start_paused = true)]
async fn a_selector_that_comes_while_its_pods_change_misses_none() {
    let server = empty_server();
    let (views, _changes) = views(&server);
    drop(look_of(&views, 0, 1));
    for round in 0..200_usize {
        server.create("user", &pod_of("shop-1", &format!("pod-{round}"))).unwrap();
        if round == 50 {
            drop(look_of(&views, 1, 1));
        }
        if round % 10 == 5 {
            server.create("user", &pod_of("shop-0", &format!("old-{round}"))).unwrap();
        }
        tokio::time::sleep(Duration::from_millis(round as u64 % 4)).await;
    }
    seconds(1).await;
    assert_eq!((look_of(&views, 1, 1).pods.len(), look_of(&views, 0, 1).pods.len()), (200, 20));
}

/// A pod whose label changes belongs to the other release from then on.
#[tokio::test(start_paused = true)]
async fn a_pod_that_is_relabelled_moves_from_one_view_to_the_other() {
    let server = empty_server();
    server.create("user", &pod_of("shop-0", "pod")).unwrap();
    let (views, _changes) = views(&server);
    (0..2).for_each(|number| drop(look_of(&views, number, 1)));
    seconds(1).await;
    assert_eq!((look_of(&views, 0, 1).pods.len(), look_of(&views, 1, 1).pods.len()), (1, 0));
    let key = server.history().into_iter().find(|change| change.key.plural == "pods").unwrap().key;
    server.patch("user", &key, &json!({"metadata": {"labels": {"app": "shop-1"}}})).unwrap();
    seconds(1).await;
    assert_eq!((look_of(&views, 0, 1).pods.len(), look_of(&views, 1, 1).pods.len()), (0, 1));
    server.patch("user", &key, &json!({"metadata": {"labels": {"tier": "db"}}})).unwrap();
    seconds(1).await;
    assert_eq!((look_of(&views, 0, 1).pods.len(), look_of(&views, 1, 1).pods.len()), (0, 0));
}

/// Says once that the history is forgotten.
#[derive(Default)]
struct ExpiresOnce(std::sync::atomic::AtomicBool);

impl Hook for ExpiresOnce {
    fn deliver(&self, _: &Seen, _: &Change) -> Delivery {
        if self.0.swap(true, std::sync::atomic::Ordering::Relaxed) { Delivery::Now } else { Delivery::Expire }
    }
}

/// History that the server has forgotten: everything is listed anew, and nothing is lost.
#[tokio::test(start_paused = true)]
async fn a_watch_that_cannot_go_on_is_begun_anew_by_one_list_of_all() {
    let server = empty_server();
    let (views, _changes, asked) = views_with_a_log(&server);
    (0..30).for_each(|number| drop(look_of(&views, number, 1)));
    seconds(15).await;
    lock(&asked).clear();
    server.hook(Arc::new(ExpiresOnce::default()));
    for number in 0..30 {
        server.create("user", &pod_of(&format!("shop-{number}"), &format!("pod-{number}"))).unwrap();
    }
    seconds(5).await;
    assert!((0..30).all(|number| look_of(&views, number, 1).pods.len() == 1));
    let listed = lock(&asked).iter().filter(|uri| !uri.contains("watch=true")).count();
    assert_eq!(listed, 1);
}
