//! The agent's two web servers: the site for visitors, and the pod's own business (probes, report, name map).
//! Never fetches a name that no known manifest has, never answers an asset's path with html, never lets a 404 be cached.

mod answer;
mod application;
mod encoding;
mod metrics;
mod miss;
mod path;
mod pod;
mod site;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::catalogue::Catalogue;
use super::core::{Event, Publication};
use super::mirror::Mirror;
use super::settings::UnknownHash;
use super::{AgentError, Context};
use crate::serving::Tally;

pub(super) use application::poll;
use metrics::Metrics;
pub(crate) use metrics::example as metrics_example;
use miss::Misses;

/// What both servers read. They change nothing; what they notice they tell the loop.
pub(super) struct Shared {
    pub catalogue: watch::Receiver<Arc<Catalogue>>,
    pub publications: watch::Receiver<Option<Publication>>,
    /// Revision of the newest report that was served.
    pub served: watch::Sender<u64>,
    /// True from the request to stop on.
    pub draining: watch::Receiver<bool>,
    pub events: mpsc::Sender<Event>,
    pub base_path: String,
    unknown_hash: UnknownHash,
    mirror: Arc<dyn Mirror>,
    misses: Misses,
    metrics: Metrics,
}

/// The loop's ends of what the servers read.
pub(super) struct Feeds {
    pub catalogue: watch::Receiver<Arc<Catalogue>>,
    pub publications: watch::Receiver<Option<Publication>>,
    pub served: watch::Sender<u64>,
    pub draining: watch::Receiver<bool>,
    pub events: mpsc::Sender<Event>,
}

impl Shared {
    /// `tallies` are those of the site and of the pod's own business.
    pub(super) fn new(context: &Context, feeds: Feeds, tallies: [Arc<Tally>; 2]) -> Self {
        let Feeds { catalogue, publications, served, draining, events } = feeds;
        let settings = &context.settings;
        let (fetch, mirror) = (Arc::clone(&context.fetch), Arc::clone(&context.mirror));
        let misses = Misses::new(fetch, Arc::clone(&mirror), settings.miss_rate, settings.miss_burst);
        let base_path = match settings.base_path.trim_matches('/') {
            "" => String::new(),
            base => format!("/{base}"),
        };
        let (unknown_hash, metrics) = (settings.unknown_hash, Metrics::new(tallies));
        Self { catalogue, publications, served, draining, events, base_path, unknown_hash, mirror, misses, metrics }
    }
}

/// The site: pages and assets.
pub(super) fn site(shared: &Arc<Shared>) -> Router {
    Router::new().fallback(site::serve).with_state(Arc::clone(shared))
}

/// The pod's own business.
pub(super) fn pod(shared: &Arc<Shared>) -> Router {
    pod::routes(Arc::clone(shared))
}

/// Between two times that the visitors' address is asked for, when another program has taken it since the start.
const LISTEN_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Whether the address may be listened at; no connection is accepted.
///
/// # Errors
/// When it is taken or not allowed.
pub(super) fn try_address(address: SocketAddr) -> Result<(), AgentError> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let bound = socket.and_then(|socket| {
        socket.set_reuseaddr(true)?;
        socket.bind(address)
    });
    bound.map_err(|cause| AgentError::Listen { address, cause })
}

/// Listens for visitors once a version is served. Until then their connections are refused, which every proxy takes for "try another pod";
/// an answer that says "not yet" is handed to the visitor.
pub(super) async fn listen_once_serving(address: SocketAddr, mut catalogue: watch::Receiver<Arc<Catalogue>>) -> Option<TcpListener> {
    catalogue.wait_for(|catalogue| catalogue.name_map().is_some()).await.ok()?;
    loop {
        match listen(address).await {
            Ok(listener) => return Some(listener),
            Err(error) => tracing::error!(%error, "visitors cannot be served; retrying"),
        }
        sleep(LISTEN_AGAIN_AFTER).await;
    }
}

/// Takes the address.
///
/// # Errors
/// When it is taken or not allowed.
pub(super) async fn listen(address: SocketAddr) -> Result<TcpListener, AgentError> {
    TcpListener::bind(address).await.map_err(|cause| AgentError::Listen { address, cause })
}
