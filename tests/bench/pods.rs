//! The pods: objects on a node that is none, whose reports this program writes, each over its own connection and with a token
//! bound to it, as the admission policies demand. Never says that a pod has what was not staged.

use std::net::Ipv4Addr;
use std::ops::Range;

use futures::{StreamExt, TryStreamExt, stream};
use http::{HeaderName, HeaderValue};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, Config, Resource as _, ResourceExt};
use rollcall::api::names::AGENT_FIELD_MANAGER;
use rollcall::api::pointer::PROTOCOL;
use rollcall::api::{ManifestDigest, Pointer, Report};
use rollcall::cluster::lite::PodLite;
use tokio::time::Instant;

use crate::channel::Endpoint;
use crate::objects::{self, NAMESPACE};
use crate::{Channel, Failure};

/// Pods that write side by side. More would only queue in an API server that has half of two cores.
const PARALLEL: usize = 16;

/// What pods say: the variable part of a report.
#[derive(Debug, Clone)]
pub struct Said {
    stage: i64,
    sequence: i64,
    available: Vec<ManifestDigest>,
    serving: Option<ManifestDigest>,
}

impl Said {
    /// What a pod says that has loaded all that this pointer wants.
    pub fn of(pointer: &Pointer) -> Self {
        let mut available: Vec<_> = pointer.wanted().iter().map(|version| version.digest.clone()).collect();
        available.sort();
        let serving = pointer.active.as_ref().map(|active| active.digest.clone());
        Self { stage: pointer.stage, sequence: pointer.sequence, available, serving }
    }
}

/// All pods.
pub struct Fleet(Vec<Played>);

struct Played {
    name: String,
    uid: String,
    voice: Voice,
}

/// With whose identity pods write their conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// Each with a token bound to it, over its own connection.
    Own,
    /// Impersonated by an administrator, over as many connections as write side by side. The controller sees the same events, and the API
    /// server is spared 10,000 tokens and TLS sessions that no measurement is about.
    Shared,
}

impl Identity {
    /// A hundred connections are few.
    fn of(pods: usize) -> Self {
        if pods > 2_000 { Self::Shared } else { Self::Own }
    }
}

/// How a pod reports.
enum Voice {
    Condition(Box<Api<PodLite>>),
    Shared(Client),
    Http(Endpoint),
}

impl Fleet {
    /// Makes that many pods, running and Ready.
    pub async fn create(config: &Config, channel: Channel, count: usize) -> Result<Self, Failure> {
        let client = Client::try_from(config.clone())?;
        let identity = Identity::of(count);
        let pods = stream::iter(0..count).map(|number| create(config, &client, (channel, identity), number));
        Ok(Self(pods.buffered(PARALLEL).try_collect().await?))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Lets these pods report, and says when the last of them was acknowledged (over HTTP: when its answer was there to be had).
    pub async fn report(&self, pods: Range<usize>, said: &Said) -> Result<Instant, Failure> {
        let reports = self.0[pods].iter().map(|pod| pod.report(said));
        stream::iter(reports).buffer_unordered(PARALLEL).try_collect::<()>().await?;
        Ok(Instant::now())
    }
}

impl Played {
    async fn report(&self, said: &Said) -> Result<(), Failure> {
        let report = report(&self.name, &self.uid, said);
        match &self.voice {
            Voice::Http(endpoint) => endpoint.publish(report),
            Voice::Condition(own) => {
                own.patch_status(&self.name, &agent(), &Patch::Strategic(objects::condition(&report))).await?;
            }
            Voice::Shared(administrator) => write_as(administrator, NAMESPACE, &self.name, &report).await?,
        }
        Ok(())
    }
}

fn agent() -> PatchParams {
    PatchParams { field_manager: Some(AGENT_FIELD_MANAGER.into()), ..PatchParams::default() }
}

/// The same write as the agent's, by an administrator who acts as the pod: the admission policies see the pod's identity.
pub async fn write_as(client: &Client, namespace: &str, name: &str, report: &Report) -> Result<(), Failure> {
    let pods = kube::core::Request::new(PodLite::url_path(&(), Some(namespace)));
    let mut request = pods.patch_subresource("status", name, &agent(), &Patch::Strategic(objects::condition(report)))?;
    let headers = [
        ("impersonate-user", format!("system:serviceaccount:{namespace}:default")),
        ("impersonate-extra-authentication.kubernetes.io%2fpod-uid", report.pod_uid.clone()),
        ("impersonate-extra-authentication.kubernetes.io%2fpod-name", name.to_owned()),
    ];
    for (header, value) in headers {
        request.headers_mut().insert(HeaderName::from_static(header), HeaderValue::try_from(value)?);
    }
    for group in ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}"), "system:authenticated".to_owned()] {
        request.headers_mut().append(HeaderName::from_static("impersonate-group"), HeaderValue::try_from(group)?);
    }
    client.request::<PodLite>(request).await?;
    Ok(())
}

/// What the pod of this name and UID reports.
pub fn report(name: &str, uid: &str, said: &Said) -> Report {
    Report {
        protocol: PROTOCOL,
        pointer: None,
        pod_uid: uid.to_owned(),
        instance: format!("{name}-boot-1"),
        joining: false,
        stage: said.stage,
        sequence: said.sequence,
        available: said.available.clone(),
        serving: said.serving.clone(),
        serving_sequence: None,
        problem: None,
    }
}

/// Over HTTP each pod has a loopback address of its own, because the controller asks all of them at one port.
async fn create(config: &Config, client: &Client, (channel, identity): (Channel, Identity), number: usize) -> Result<Played, Failure> {
    let [high, low] = u16::try_from(number + 256)?.to_be_bytes();
    let (name, address) = (format!("shop-{number}"), Ipv4Addr::new(127, 1, high, low));
    let api: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let pod = api.create(&PostParams::default(), &serde_json::from_value(objects::pod(&name, objects::RELEASE))?).await?;
    let uid = pod.uid().unwrap_or_default();
    let status = Patch::Strategic(objects::pod_status(&address.to_string()));
    api.patch_status(&name, &PatchParams::default(), &status).await?;
    let voice = match channel {
        Channel::Condition if identity == Identity::Shared => Voice::Shared(client.clone()),
        Channel::Condition => Voice::Condition(Box::new(Api::namespaced(own_client(config, client, &name, &uid).await?, NAMESPACE))),
        Channel::Http => Voice::Http(Endpoint::open(address).await?),
    };
    Ok(Played { name, uid, voice })
}

/// A client with a token bound to the pod, as kubelet would fetch it.
async fn own_client(config: &Config, client: &Client, name: &str, uid: &str) -> Result<Client, Failure> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), NAMESPACE);
    let request = serde_json::from_value(objects::token_request(name, uid))?;
    let issued = accounts.create_token_request("default", &PostParams::default(), &request).await?;
    let token = issued.status.ok_or("the token has no status")?.token;
    let mut config = config.clone();
    config.auth_info = serde_json::from_value(serde_json::json!({"token": token}))?;
    Ok(Client::try_from(config)?)
}
