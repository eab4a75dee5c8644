//! The views: who shares them, what they hold, and that a shared one shows each release its own stage.

use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::api::names::CONDITION_ASSETS;
use crate::api::report::REPORT_BYTES_MAX;
use crate::clock::TokioClock;
use crate::cluster::lite::Message;
use crate::cluster::reports::Answer;
use crate::testing::apiserver::ApiServer;

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
                "annotations": {"much": "z".repeat(100_000)},
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
        assert_eq!(lock(&views.views).begun.len(), 1, "one watch");
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
        assert!(held.values().all(|pod| pod.condition(CONDITION_ASSETS).unwrap().message.as_ref() == Some(&kept)));
        for number in 0..RELEASES {
            views.keep_only(&release(number), &[]);
        }
        assert_eq!(lock(&views.views).begun.len(), 0, "and it ends with its last user");
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
    assert_eq!((seen(1, 900), lock(&views.views).begun.len()), (Some(900), 1), "the other goes on");
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
