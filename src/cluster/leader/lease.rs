//! The Lease on the API server: read by quorum, created, replaced under its resource version.
//! Never patched: a patch without a resource version would take it from the process that has just acquired it.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ApiResource, DynamicObject, ObjectMeta, PostParams};
use kube::{Api, Client};

use super::core::{Event, Found, Record};

/// One Lease, by a client that serves nothing else.
#[derive(Clone)]
pub struct LeaseObject {
    api: Api<Lease>,
    /// For reads: no process would lead as long as a time stands in the Lease that cannot be read.
    reader: Api<DynamicObject>,
    name: String,
    request_max: Duration,
}

/// A Lease as it was last seen: what others wrote into it stays.
pub(super) type Last = Option<Box<Lease>>;

impl LeaseObject {
    /// The Lease of this name. Each request ends after `request_max`.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, request_max: Duration) -> Self {
        let reader = Api::namespaced_with(client.clone(), namespace, &ApiResource::erase::<Lease>(&()));
        Self { api: Api::namespaced(client, namespace), reader, name: name.to_owned(), request_max }
    }

    pub(super) async fn read(self) -> (Event, Last) {
        match self.bounded(self.reader.get_opt(&self.name)).await {
            Ok(None) => (Event::Read(None), None),
            Ok(Some(object)) => match readable(object) {
                Ok(lease) => (Event::Read(Some(found(&lease))), Some(Box::new(lease))),
                Err(error) => (Event::Failed(format!("the Lease cannot be read: {error}")), None),
            },
            Err(event) => (event, None),
        }
    }

    pub(super) async fn create(self, record: Record) -> (Event, Last) {
        let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
        let lease = Lease { metadata, spec: Some(spec(LeaseSpec::default(), &record)) };
        self.written(self.api.create(&PostParams::default(), &lease)).await
    }

    pub(super) async fn replace(self, record: Record, version: String, last: Last) -> (Event, Last) {
        let mut lease = last.map_or_else(Lease::default, |last| *last);
        lease.metadata.name = Some(self.name.clone());
        lease.metadata.resource_version = Some(version);
        lease.spec = Some(spec(lease.spec.unwrap_or_default(), &record));
        self.written(self.api.replace(&self.name, &PostParams::default(), &lease)).await
    }

    async fn written(&self, request: impl Future<Output = kube::Result<Lease>>) -> (Event, Last) {
        match self.bounded(request).await {
            Ok(lease) => (Event::Written(found(&lease)), Some(Box::new(lease))),
            Err(event) => (event, None),
        }
    }

    /// A conflict, and a Lease that is gone, are lost races; whatever else goes wrong leaves open whether the request was carried out.
    async fn bounded<T>(&self, request: impl Future<Output = kube::Result<T>>) -> Result<T, Event> {
        match tokio::time::timeout(self.request_max, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(kube::Error::Api(status))) if [404, 409].contains(&status.code) => Err(Event::Lost),
            Ok(Err(error)) => Err(Event::Failed(error.to_string())),
            Err(_) => Err(Event::Failed(format!("the API server did not answer within {:?}", self.request_max))),
        }
    }
}

/// The Lease without times that no reader knows: they are for people, and the next write puts others there.
fn readable(object: DynamicObject) -> serde_json::Result<Lease> {
    let DynamicObject { metadata, mut data, .. } = object;
    if let Some(spec) = data["spec"].as_object_mut() {
        spec.retain(|name, value| !name.ends_with("Time") || serde_json::from_value::<MicroTime>(value.clone()).is_ok());
    }
    Ok(Lease { metadata, spec: serde_json::from_value(data["spec"].take())? })
}

fn found(lease: &Lease) -> Found {
    let spec = lease.spec.clone().unwrap_or_default();
    let record = Record {
        holder: spec.holder_identity.unwrap_or_default(),
        lasts: Duration::from_secs(spec.lease_duration_seconds.unwrap_or_default().max(0).unsigned_abs().into()),
        acquired_at: spec.acquire_time.map(|time| time.0),
        renewed_at: spec.renew_time.map(|time| time.0),
        epoch: spec.lease_transitions.unwrap_or_default().max(0).into(),
    };
    Found { record, version: lease.metadata.resource_version.clone().unwrap_or_default() }
}

fn spec(before: LeaseSpec, record: &Record) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(record.holder.clone()),
        lease_duration_seconds: Some(i32::try_from(record.lasts.as_secs()).unwrap_or(i32::MAX)),
        acquire_time: record.acquired_at.map(MicroTime),
        renew_time: record.renewed_at.map(MicroTime),
        lease_transitions: Some(i32::try_from(record.epoch).unwrap_or(i32::MAX)),
        ..before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_with_a_time_that_cannot_be_read_has_a_holder_all_the_same() {
        let lease = serde_json::json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "rollcall"},
            "spec": {"holderIdentity": "one", "leaseTransitions": 7, "strategy": "x",
                "acquireTime": "9999-12-31T23:59:59.999999Z", "renewTime": "2026-11-20T16:05:50.000000Z"}});
        assert!(serde_json::from_value::<Lease>(lease.clone()).is_err(), "else this is not needed");
        let lease = readable(serde_json::from_value(lease).unwrap()).unwrap();
        let record = found(&lease).record;
        assert_eq!((record.holder.as_str(), record.epoch, record.acquired_at), ("one", 7, None));
        assert_eq!(record.renewed_at, Some("2026-11-20T16:05:50Z".parse().unwrap()));
        assert_eq!(lease.spec.unwrap().strategy.as_deref(), Some("x"), "what others wrote stays");
    }
}
