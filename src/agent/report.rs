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
use crate::api::names;
use crate::clock::Clock;

/// After this a controller that asks over HTTP has long used or dropped the answer it got before.
const HTTP_GRACE: Duration = Duration::from_secs(30);

/// The part of the answer to a status patch that is read: nothing but that it is a pod.
#[derive(Debug, Clone, Serialize, Deserialize, kube::Resource)]
#[resource(inherit = "Pod")]
pub(super) struct PatchedPod {
    metadata: ObjectMeta,
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
            if let Err(cause) = self.write(&publication, changed).await {
                failures += 1;
                tracing::warn!(%cause, failures, "cannot write the pod's condition");
                sleep(self.pace.delay(failures)).await;
                continue;
            }
            failures = 0;
            let acknowledged = Event::Acknowledged { revision: publication.revision };
            if self.events.send(acknowledged).await.is_err() || self.publications.changed().await.is_err() {
                return;
            }
        }
    }

    async fn write(&self, publication: &Publication, changed: Timestamp) -> Result<(), String> {
        let params = PatchParams { field_manager: Some(names::AGENT_FIELD_MANAGER.into()), ..PatchParams::default() };
        let patch = Patch::Strategic(condition_patch(publication, &self.identity.pod_uid, changed));
        match timeout(CALL_MAX, self.api.patch_status(&self.identity.pod_name, &params, &patch)).await {
            Ok(answer) => answer.map(|_| ()).map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {} s", CALL_MAX.as_secs())),
        }
    }
}

/// A strategic merge: the list's merge key is the condition's type, so all other conditions stay as they are. The uid makes the API
/// server refuse (409) when a pod of the same name has taken this one's place.
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
