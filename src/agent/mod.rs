//! `rollcall agent`: the sidecar that holds a pod's half of the roll call. It announces the pod, mirrors the versions that the pointer
//! names, reports them, and serves their files.
//!
//! ```text
//!   pointer ──events──▶ core (pure) ──effects──▶ mirror, report, serve
//!      ▲                                            │
//!      └──────────── API server, store ◀────────────┘
//! ```
//! Never decides when pages change: it follows the pointer, and never serves a version that is not completely here.

pub mod catalogue;
pub mod core;
pub mod fetch;
pub mod mirror;

mod driver;
mod library;
mod pointer;
mod report;
mod serve;
mod settings;
#[cfg(test)]
mod testing;

use std::sync::Arc;

use crate::clock::Clock;

pub use driver::run;
#[cfg(feature = "testing")]
pub(crate) use driver::run_showing;
pub(crate) use serve::metrics_example;
pub use settings::{Application, ReportChannel, Settings, UnknownHash, default_mirror};

/// Which pod this is, and which life of the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Namespace of the pod and of the pointer.
    pub namespace: String,
    /// Name of the pod.
    pub pod_name: String,
    /// UID of the pod.
    pub pod_uid: String,
    /// A value that no other life of an agent has: a container that restarts gets a new one.
    pub instance: String,
}

/// The world around one agent.
#[derive(Clone)]
pub struct Context {
    /// The API server.
    pub client: kube::Client,
    /// Where files come from.
    pub fetch: Arc<dyn fetch::Fetch>,
    /// Where files are kept.
    pub mirror: Arc<dyn mirror::Mirror>,
    /// For the times in the pod condition.
    pub clock: Arc<dyn Clock>,
    /// Which pod this is.
    pub identity: Identity,
    /// How to run.
    pub settings: Settings,
}

/// Why the agent cannot run at all. Whatever may pass is retried instead.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The volume is of no use.
    #[error("the mirror cannot be opened: {0}")]
    Mirror(#[from] mirror::MirrorError),
    /// An address is taken or not allowed.
    #[error("cannot listen on {address}: {cause}")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// What the system said.
        cause: std::io::Error,
    },
}
