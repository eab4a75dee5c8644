//! How the agent is run: checked values, read once by the command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::core::{Lot, Pace};
use crate::serving::Limits;

/// Where the report goes. The HTTP endpoint answers in any case, when [`Settings::listen_pod`] is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportChannel {
    /// The pod's status condition `rollcall.dev/assets`.
    PodCondition,
    /// `GET /v1/availability` alone.
    Http,
}

/// Who renders the pages, and how it says with which version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Application {
    /// The agent serves the pages itself.
    None,
    /// A program in this pod renders pages and tells by `PUT /v1/serving`.
    Puts,
    /// A program in this pod renders pages and is asked at this URL; it answers like the body of `PUT /v1/serving`.
    Polled(String),
}

/// What an unknown path with a hash in its name gets, whose plain name the served version has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownHash {
    /// 404, as every unknown path.
    NotFound,
    /// 302 to the plain name, for sites that put hashes into names by themselves.
    Redirect,
}

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Name of the pointer `ConfigMap` in the pod's namespace (`spec.pointer.configMapName` of the release).
    pub config_map: String,
    /// Where the report goes.
    pub channel: ReportChannel,
    /// Who renders the pages.
    pub application: Application,
    /// Address of the web server for visitors (pages and assets); `None` when another program serves the mirror.
    pub listen_site: Option<SocketAddr>,
    /// Address for the pod's own business: probes, report, name map, metrics. Must be reachable by kubelet and controller, and
    /// not through the Service.
    pub listen_pod: Option<SocketAddr>,
    /// What the web server for visitors allows them. Default [`Limits::PUBLIC`].
    pub site: Limits,
    /// What stands in front of every path of the site, such as `/shop`; empty for none. Slashes at its ends do not matter.
    pub base_path: String,
    /// What `a-rfgt45jfsg.js` gets, where no version has it and the served one has `a.js`. Default 404.
    pub unknown_hash: UnknownHash,
    /// How long a version stays after nothing wanted or served it. Default 24 h.
    pub age_floor: Duration,
    /// Delay before the first repeat of anything that failed; doubles. Default 1 s.
    pub retry_first: Duration,
    /// Longest delay between two attempts. Default 30 s.
    pub retry_max: Duration,
    /// Agents of Ready pods begin to load a candidate within this time, each at a moment of its own. Default 250 ms.
    pub load_spread: Duration,
    /// What this agent drew. Default: by its boot id.
    pub lot: Option<Lot>,
    /// How long to go on serving after the request to stop, not ready any more. Default 10 s: longer than endpoints take to
    /// forget a pod, shorter than the default grace period of 30 s.
    pub drain: Duration,
    /// Files fetched from the store on a miss: this many a second on average. Default 20.
    pub miss_rate: u32,
    /// Files fetched from the store on a miss: at most this many at once after a quiet time. Default 100.
    pub miss_burst: u32,
}

impl Settings {
    /// The defaults, for this pointer.
    #[must_use]
    pub fn new(config_map: &str) -> Self {
        Self {
            config_map: config_map.to_owned(),
            channel: ReportChannel::PodCondition,
            application: Application::None,
            listen_site: None,
            listen_pod: None,
            site: Limits::PUBLIC,
            base_path: String::new(),
            unknown_hash: UnknownHash::NotFound,
            age_floor: Duration::from_secs(24 * 3600),
            retry_first: Duration::from_secs(1),
            retry_max: Duration::from_secs(30),
            load_spread: Duration::from_millis(250),
            lot: None,
            drain: Duration::from_secs(10),
            miss_rate: 20,
            miss_burst: 100,
        }
    }

    /// For the agent with this boot id.
    pub(super) fn pace(&self, instance: &str) -> Pace {
        let (retry_first, retry_max) = (self.retry_first, self.retry_max);
        Pace {
            retry_first,
            retry_max,
            age_floor: self.age_floor,
            load_spread: self.load_spread,
            lot: self.lot.unwrap_or_else(|| Lot::of(instance)),
        }
    }
}

/// Where the mirror lies when the command line does not say otherwise: the `emptyDir` that sidecar and application share.
#[must_use]
pub fn default_mirror() -> PathBuf {
    PathBuf::from("/var/lib/rollcall")
}
