//! Brings the report to where the controller reads it: the pod's own status condition, or the HTTP endpoint.
//! Never touches anything of the pod but that one condition.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, Patch, PatchParams};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use super::Identity;
use super::core::{Event, Pace, Publication};
use super::pointer::CALL_MAX;
use crate::api::{names, recreated};
use crate::clock::Clock;

/// After this a controller that asks over HTTP has long used or dropped the answer it got before.
const HTTP_GRACE: Duration = Duration::from_secs(30);

/// The part of the answer to a status patch that is read: nothing but that it is a pod.
#[derive(Debug, Clone, Serialize, Deserialize, kube::Resource)]
#[resource(inherit = "Pod")]
pub(super) struct PatchedPod {
    metadata: ObjectMeta,
}

/// What became of a write.
enum Written {
    /// It is in the pod's status.
    Acknowledged,
    /// A pod of the same name has taken this one's place; what the API server said.
    ToAnother(String),
}

/// Writes the condition.
pub(super) struct ConditionChannel {
    pub api: Api<PatchedPod>,
    pub identity: Identity,
    pub clock: Arc<dyn Clock>,
    pub pace: Pace,
    pub publications: watch::Receiver<Option<Publication>>,
    pub events: mpsc::Sender<Event>,
}

impl ConditionChannel {
    /// Writes each publication, or the newest when one was overtaken, until nobody publishes any more.
    pub(super) async fn run(mut self) {
        let mut since: Option<(bool, Timestamp)> = None;
        let mut failures = 0;
        while self.publications.wait_for(Option::is_some).await.is_ok() {
            let Some(publication) = self.publications.borrow_and_update().clone() else { continue };
            let changed = since.filter(|(ready, _)| *ready == publication.ready).map_or_else(|| self.clock.now(), |(_, at)| at);
            since = Some((publication.ready, changed));
            match self.write(&publication, changed).await {
                Ok(Written::Acknowledged) => {
                    failures = 0;
                    let acknowledged = Event::Acknowledged { revision: publication.revision };
                    if self.events.send(acknowledged).await.is_err() {
                        return;
                    }
                }
                // No try can change that: the next one is made when there is something else to say.
                Ok(Written::ToAnother(cause)) => tracing::error!(%cause, "this pod's object is gone; another pod has its name"),
                Err(cause) => {
                    failures += 1;
                    tracing::warn!(%cause, failures, "cannot write the pod's condition");
                    sleep(self.pace.delay(failures)).await;
                    continue;
                }
            }
            if self.publications.changed().await.is_err() {
                return;
            }
        }
    }

    async fn write(&self, publication: &Publication, changed: Timestamp) -> Result<Written, String> {
        let params = PatchParams { field_manager: Some(names::AGENT_FIELD_MANAGER.into()), ..PatchParams::default() };
        let patch = Patch::Strategic(condition_patch(publication, &self.identity.pod_uid, changed));
        match timeout(CALL_MAX, self.api.patch_status(&self.identity.pod_name, &params, &patch)).await {
            Ok(Ok(_)) => Ok(Written::Acknowledged),
            Ok(Err(kube::Error::Api(answer))) if recreated::is_of_another_object(&answer) => Ok(Written::ToAnother(answer.message.clone())),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} s", CALL_MAX.as_secs())),
        }
    }
}

/// A strategic merge: the list's merge key is the condition's type, so all other conditions stay as they are. The uid makes the API
/// server refuse (422) when a pod of the same name has taken this one's place.
fn condition_patch(publication: &Publication, pod_uid: &str, changed: Timestamp) -> serde_json::Value {
    json!({
        "metadata": {"uid": pod_uid},
        "status": {"conditions": [{
            "type": names::CONDITION_ASSETS,
            "status": if publication.ready { "True" } else { "False" },
            "reason": publication.reason,
            "message": publication.report.to_json(),
            "lastTransitionTime": changed.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        }]},
    })
}

/// Acknowledges what was served over HTTP.
pub(super) struct HttpChannel {
    pub publications: watch::Receiver<Option<Publication>>,
    /// Revision of the newest report that was served.
    pub served: watch::Receiver<u64>,
    pub events: mpsc::Sender<Event>,
}

impl HttpChannel {
    /// Nobody can be told over this channel, only asked; therefore every pod counts from its start, and the announcement needs no
    /// acknowledgement. A later report is acknowledged when it was served, or when older answers are surely forgotten.
    pub(super) async fn run(mut self) {
        let mut first = true;
        while self.publications.wait_for(Option::is_some).await.is_ok() {
            let Some(revision) = self.publications.borrow_and_update().as_ref().map(|publication| publication.revision) else { continue };
            if !first {
                let _served_or_grace = timeout(HTTP_GRACE, self.served.wait_for(|served| *served >= revision)).await;
            }
            first = false;
            if self.events.send(Event::Acknowledged { revision }).await.is_err() || self.publications.changed().await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::core::Lot;
    use crate::api::Report;
    use crate::api::pointer::PROTOCOL;
    use crate::clock::TokioClock;
    use crate::testing::{apiserver::ApiServer, builders};

    fn publication(revision: u64) -> Publication {
        let report = Report {
            protocol: PROTOCOL,
            pointer: None,
            pod_uid: "the-pod-before".into(),
            instance: "i".into(),
            joining: false,
            stage: 0,
            sequence: 0,
            available: Vec::new(),
            serving: None,
            serving_sequence: None,
            problem: None,
        };
        Publication { revision, report, ready: false, reason: "NoActiveVersion", settled: true, map_sequence: 0 }
    }

    /// Another pod has the name: nothing is acknowledged, and trying again is left to the next thing that there is to say.
    #[tokio::test(start_paused = true)]
    async fn a_pod_whose_object_is_gone_writes_nothing_over_and_over() {
        let clock = Arc::new(TokioClock::starting_at(Timestamp::UNIX_EPOCH));
        let server = ApiServer::new(clock.clone(), 1);
        let plan =
            builders::PodPlan { name: "a".into(), workload: builders::APP.into(), node: "n1".into(), sidecar: builders::Sidecar::Agent };
        server.create("user", &builders::pod(&plan)).unwrap();
        let identity = Identity {
            namespace: builders::NAMESPACE.into(),
            pod_name: "a".into(),
            pod_uid: "the-pod-before".into(),
            instance: "i".into(),
        };
        let (publish, publications) = watch::channel(Some(publication(1)));
        let (events, mut acknowledged) = mpsc::channel(8);
        let second = Duration::from_secs(1);
        let pace = Pace { retry_first: second, retry_max: second, age_floor: second, load_spread: second, lot: Lot::Last };
        let api = Api::namespaced(server.client("agent"), builders::NAMESPACE);
        let task = tokio::spawn(ConditionChannel { api, identity, clock, pace, publications, events }.run());
        sleep(Duration::from_secs(60)).await;
        assert_eq!(server.log().iter().map(|line| line.code).collect::<Vec<_>>(), [422]);
        publish.send_replace(Some(publication(2)));
        sleep(Duration::from_secs(60)).await;
        assert_eq!(server.log().iter().map(|line| line.code).collect::<Vec<_>>(), [422, 422]);
        assert!(acknowledged.try_recv().is_err());
        task.abort();
    }
}
