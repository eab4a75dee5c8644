//! Watch streams that cannot hurt each other: each one carries its own backoff and yields only what it has seen. kube's
//! `Controller` slows all its triggers down when one fails, so failures end here, as a log line.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use futures::{Stream, StreamExt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::utils::Backoff;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::calls::PAGE;
use crate::api::names::{ANNOTATION_REQUESTED_AT, LABEL_POINTER, LABEL_RELEASE};

const BACKOFF_MIN: Duration = Duration::from_millis(800);
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// A half-open connection hides changes until the watch ends; kube's default is 295 s.
const WATCH_SECONDS_MAX: u32 = 60;

/// After this time without a failure the backoff begins anew.
const QUIET: Duration = Duration::from_secs(120);

/// Doubles from 0.8 s to 30 s. Without jitter: one controller does not stampede, and a simulation can be repeated.
#[derive(Debug, Clone)]
pub struct Doubling {
    next: Duration,
    failed_at: Option<Instant>,
}

impl Default for Doubling {
    fn default() -> Self {
        Self { next: BACKOFF_MIN, failed_at: None }
    }
}

impl Iterator for Doubling {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        if self.failed_at.replace(Instant::now()).is_some_and(|at| at.elapsed() > QUIET) {
            self.next = BACKOFF_MIN;
        }
        let pause = self.next;
        self.next = (pause * 2).min(BACKOFF_MAX);
        Some(pause)
    }
}

impl Backoff for Doubling {
    /// Nothing: a watcher says that it has begun before each of its tries, and kube takes that for a success. Only time shows
    /// that a watch holds.
    fn reset(&mut self) {}
}

/// Everything about these objects, for ever: errors are logged and waited out, and never seen by the consumer.
pub fn events<K>(api: Api<K>, config: watcher::Config) -> impl Stream<Item = watcher::Event<K>> + Send
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let config = config.timeout(WATCH_SECONDS_MAX).page_size(PAGE);
    watcher(api, config)
        .backoff(Doubling::default())
        .filter_map(|event| async move {
            event.inspect_err(|error| tracing::warn!(kind = %K::kind(&()), %error, "watch failed; it will be begun again")).ok()
        })
        .map(slim)
}

/// Of the metadata what is looked at of a watched object: whoever may write an object may fill labels and annotations with a megabyte, and
/// 1,000 such objects would be more than the controller may have.
fn slim<K: Resource>(event: watcher::Event<K>) -> watcher::Event<K> {
    let slim = |mut object: K| {
        let all = std::mem::take(object.meta_mut());
        *object.meta_mut() = ObjectMeta {
            annotations: only(all.annotations, &[ANNOTATION_REQUESTED_AT]),
            labels: only(all.labels, &[LABEL_POINTER, LABEL_RELEASE]),
            name: all.name,
            namespace: all.namespace,
            uid: all.uid,
            resource_version: all.resource_version,
            generation: all.generation,
            creation_timestamp: all.creation_timestamp,
            deletion_timestamp: all.deletion_timestamp,
            ..ObjectMeta::default()
        };
        object
    };
    map_event(event, slim)
}

/// The same event, of another form of its object.
pub fn map_event<K, L>(event: watcher::Event<K>, form: impl FnOnce(K) -> L) -> watcher::Event<L> {
    match event {
        watcher::Event::Apply(object) => watcher::Event::Apply(form(object)),
        watcher::Event::InitApply(object) => watcher::Event::InitApply(form(object)),
        watcher::Event::Delete(object) => watcher::Event::Delete(form(object)),
        watcher::Event::Init => watcher::Event::Init,
        watcher::Event::InitDone => watcher::Event::InitDone,
    }
}

fn only(pairs: Option<BTreeMap<String, String>>, names: &[&str]) -> Option<BTreeMap<String, String>> {
    pairs.map(|mut pairs| names.iter().filter_map(|name| pairs.remove_entry(*name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http::{Request, Response, StatusCode};
    use http_body_util::Full;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::client::Body;
    use kube::runtime::watcher::Event;

    /// An API server whose watches of one namespace are forbidden, and whose others bring one change a second.
    fn client(forbidden: Arc<AtomicUsize>) -> kube::Client {
        let service = tower::service_fn(move |request: Request<Body>| {
            let forbidden = forbidden.clone();
            async move {
                let uri = request.uri().to_string();
                if uri.contains("/namespaces/closed/") {
                    forbidden.fetch_add(1, Ordering::Relaxed);
                    return Ok::<_, std::convert::Infallible>(answer(StatusCode::FORBIDDEN, FORBIDDEN.to_owned()));
                }
                if uri.contains("watch=true") {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    return Ok(answer(StatusCode::OK, format!("{CHANGE}\n")));
                }
                Ok(answer(StatusCode::OK, LIST.to_owned()))
            }
        });
        kube::Client::new(service, "default")
    }

    const FORBIDDEN: &str = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"no","reason":"Forbidden","code":403}"#;
    const CHANGE: &str = r#"{"type":"MODIFIED","object":{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"open","resourceVersion":"2"}}}"#;
    const LIST: &str = r#"{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[]}"#;

    fn answer(status: StatusCode, body: String) -> Response<Full<bytes::Bytes>> {
        Response::builder().status(status).body(Full::from(body)).expect("a status and a body make a response")
    }

    /// F3: in kube's own `Controller`, an error of one trigger stream pauses all of them.
    #[tokio::test(start_paused = true)]
    async fn a_watch_that_fails_does_not_slow_the_others() {
        let forbidden = Arc::<AtomicUsize>::default();
        let client = client(forbidden.clone());
        let of = |namespace: &str| events::<ConfigMap>(Api::namespaced(client.clone(), namespace), watcher::Config::default()).boxed();
        let mut both = futures::stream::select_all([of("closed"), of("open")]);
        let begun = Instant::now();
        let mut changes = 0;
        while changes < 60 {
            changes += usize::from(matches!(both.next().await, Some(Event::Apply(_))));
        }
        assert!(begun.elapsed() < Duration::from_secs(65), "60 changes, one a second, took {:?}", begun.elapsed());
        let tries = forbidden.load(Ordering::Relaxed);
        assert!((3..10).contains(&tries), "the failing watch was begun {tries} times in a minute");
    }

    #[tokio::test(start_paused = true)]
    async fn the_backoff_doubles_up_to_half_a_minute_and_begins_anew_after_a_quiet_time() {
        let mut pauses = Doubling::default();
        let first: Vec<_> = pauses.by_ref().take(7).map(|pause| pause.as_millis()).collect();
        assert_eq!(first, [800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000]);
        pauses.reset();
        assert_eq!(pauses.next(), Some(BACKOFF_MAX));
        tokio::time::advance(QUIET + Duration::from_secs(1)).await;
        assert_eq!(pauses.next(), Some(BACKOFF_MIN));
    }

    #[test]
    fn of_a_watched_object_nothing_is_kept_that_anybody_may_fill() {
        let given = serde_json::json!({"metadata": {
            "name": "a", "namespace": "shop", "uid": "u", "resourceVersion": "7", "generation": 3,
            "labels": {LABEL_RELEASE: "shop", "filler": "x"},
            "annotations": {ANNOTATION_REQUESTED_AT: "now", "filler": "x"},
            "finalizers": ["filler.example.com/x"],
            "ownerReferences": [{"apiVersion": "v1", "kind": "Filler", "name": "x", "uid": "v"}],
            "managedFields": [{"manager": "filler"}],
        }});
        let Event::Apply(kept) = slim(Event::Apply(serde_json::from_value::<ConfigMap>(given).unwrap())) else { panic!("another event") };
        let kept = serde_json::to_value(kept).unwrap();
        assert!(!kept.to_string().to_lowercase().contains("filler"), "{kept}");
        assert_eq!(kept["metadata"]["labels"], serde_json::json!({LABEL_RELEASE: "shop"}));
        assert_eq!((&kept["metadata"]["generation"], &kept["metadata"]["resourceVersion"]), (&3.into(), &"7".into()));
    }
}
