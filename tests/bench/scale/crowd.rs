//! The pods of many releases, which follow their pointers by themselves: what a pointer names is reported at once.
//! Never reports what a newer pointer has taken back already, and never more pods side by side than the API server takes.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::runtime::watcher::{self, Event};
use kube::{Client, ResourceExt};
use rollcall::api::Pointer;
use rollcall::api::names::{LABEL_POINTER, LABEL_RELEASE, POINTER_KEY};
use rollcall::cluster::streams::events;
use tokio::sync::{Semaphore, watch};

use super::Place;
use crate::pods::{self, Said};
use crate::{Failure, objects};

/// Requests side by side; more would only queue in an API server that has half of two cores.
const PARALLEL: usize = 16;

/// Name and UID of each of a release's pods.
type Pods = Vec<(String, String)>;

/// Makes that many pods for each place, running and Ready, and lets them follow their pointers from now on.
/// The first report that could not be written is what the receiver gets.
pub async fn gather(client: &Client, places: &[Place], each: usize) -> Result<watch::Receiver<Option<String>>, Failure> {
    let (failed, failure) = watch::channel(None);
    let wanted = places.iter().flat_map(|place| (0..each).map(move |number| (place.clone(), number)));
    let made: Vec<(Place, (String, String))> =
        stream::iter(wanted).map(|(place, number)| create(client, place, number)).buffered(PARALLEL).try_collect().await?;
    let mut crowd: BTreeMap<Place, Pods> = BTreeMap::new();
    for (place, pod) in made {
        crowd.entry(place).or_default().push(pod);
    }
    let at_once = Arc::new(Semaphore::new(PARALLEL));
    let told: BTreeMap<Place, watch::Sender<Option<Pointer>>> = crowd
        .into_iter()
        .map(|(place, pods)| {
            let (tell, told) = watch::channel(None);
            tokio::spawn(follow((client.clone(), place.namespace.clone()), pods, told, (at_once.clone(), failed.clone())));
            (place, tell)
        })
        .collect();
    tokio::spawn(watch_pointers(client.clone(), told));
    Ok(failure)
}

async fn create(client: &Client, place: Place, number: usize) -> Result<(Place, (String, String)), Failure> {
    let name = format!("{}-{number}", place.release);
    let api: Api<Pod> = Api::namespaced(client.clone(), &place.namespace);
    let pod = api.create(&PostParams::default(), &serde_json::from_value(objects::pod(&name, &place.release))?).await?;
    api.patch_status(&name, &PatchParams::default(), &Patch::Strategic(objects::pod_status("127.1.0.1"))).await?;
    Ok((place, (name, pod.uid().unwrap_or_default())))
}

/// One watch for all pods: what they read is none of the measurement.
async fn watch_pointers(client: Client, told: BTreeMap<Place, watch::Sender<Option<Pointer>>>) {
    let config = watcher::Config::default().labels(LABEL_POINTER);
    let mut pointers = std::pin::pin!(events::<ConfigMap>(Api::all(client), config));
    while let Some(event) = pointers.next().await {
        let (Event::Apply(object) | Event::InitApply(object)) = event else { continue };
        let place = object
            .labels()
            .get(LABEL_RELEASE)
            .map(|release| Place { namespace: object.namespace().unwrap_or_default(), release: release.clone() });
        let pointer = object.data.as_ref().and_then(|data| Pointer::parse(data.get(POINTER_KEY)?).ok());
        if let Some(tell) = place.and_then(|place| told.get(&place)) {
            tell.send_replace(pointer);
        }
    }
}

/// Until the program ends.
async fn follow(
    (client, namespace): (Client, String),
    pods: Pods,
    mut told: watch::Receiver<Option<Pointer>>,
    (at_once, failed): (Arc<Semaphore>, watch::Sender<Option<String>>),
) {
    while told.changed().await.is_ok() {
        let Some(said) = told.borrow_and_update().as_ref().map(Said::of) else { continue };
        for (name, uid) in &pods {
            let Ok(_place) = at_once.acquire().await else { return };
            if let Err(problem) = pods::write_as(&client, &namespace, name, &pods::report(name, uid, &said)).await {
                failed.send_replace(Some(format!("{name} could not report: {problem}")));
            }
        }
    }
}
