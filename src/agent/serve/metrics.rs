//! The agent's numbers for Prometheus.
//! Never a label whose values a visitor could make up.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::miss::Miss;
use crate::agent::core::Publication;
use crate::serving::Tally;

type Labels = [(&'static str, String); 1];
type Ends = [(&'static str, &'static str); 2];

/// The servers whose tallies these are, in this order.
const SERVERS: [&str; 2] = ["site", "pod"];

/// Counters and what they are called.
pub(super) struct Metrics {
    registry: Mutex<Registry>,
    answers: Family<Labels, Counter>,
    misses: Family<Labels, Counter>,
    changed: Counter,
    connections: Family<Labels, Gauge>,
    ended: Family<Ends, Counter>,
    tallies: [Arc<Tally>; 2],
    ready: Gauge,
    versions: Gauge,
    stage: Gauge,
}

impl Metrics {
    /// With the connections of site and pod server.
    pub(super) fn new(tallies: [Arc<Tally>; 2]) -> Self {
        let (answers, misses) = (Family::default(), Family::default());
        let (connections, ended, changed) = (Family::default(), Family::default(), Counter::default());
        let (ready, versions, stage) = (Gauge::default(), Gauge::default(), Gauge::default());
        let mut registry = Registry::with_prefix("rollcall_agent");
        registry.register("answers", "Answers to visitors, by status code", Family::clone(&answers));
        registry.register("misses", "Files that a manifest has and the mirror had not, by outcome", Family::clone(&misses));
        let help = "Files of the mirror that were not what the agent put there, removed and fetched again";
        registry.register("changed_files", help, changed.clone());
        registry.register("connections", "Open connections, by server", Family::clone(&connections));
        let help = "Connections that were refused, gave way to another one, or did not get on in time, by server";
        registry.register("connections_ended", help, Family::clone(&ended));
        registry.register("ready", "1 while the pod may get traffic", ready.clone());
        registry.register("versions", "Versions that are completely here", versions.clone());
        registry.register("stage", "Stage number of the pointer that is followed", stage.clone());
        Self { registry: Mutex::new(registry), answers, misses, changed, connections, ended, tallies, ready, versions, stage }
    }
}

/// What the endpoint prints with one sample of each family, for the reference page: a family without samples is not rendered.
pub(crate) fn example() -> String {
    let metrics = Metrics::new(Default::default());
    metrics.answered(StatusCode::OK);
    metrics.missed(None);
    metrics.text(None)
}

impl Metrics {
    pub(super) fn answered(&self, status: StatusCode) {
        self.answers.get_or_create(&[("code", status.as_str().to_owned())]).inc();
    }

    pub(super) fn found_changed(&self) {
        self.changed.inc();
    }

    pub(super) fn missed(&self, failure: Option<&Miss>) {
        let outcome = match failure {
            None => "filled",
            Some(Miss::Busy) => "busy",
            Some(Miss::Gone) => "gone",
            Some(Miss::Failed(_)) => "failed",
        };
        self.misses.get_or_create(&[("outcome", outcome.to_owned())]).inc();
    }

    pub(super) fn text(&self, publication: Option<&Publication>) -> String {
        if let Some(publication) = publication {
            self.ready.set(publication.ready.into());
            self.versions.set(i64::try_from(publication.report.available.len()).unwrap_or(i64::MAX));
            self.stage.set(publication.report.stage);
        }
        for (server, tally) in SERVERS.into_iter().zip(&self.tallies) {
            self.count_connections(server, tally);
        }
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        encode(&mut text, &registry).expect("writing to a string does not fail");
        text
    }

    fn count_connections(&self, server: &'static str, tally: &Tally) {
        let open = tally.open.load(Ordering::Relaxed);
        self.connections.get_or_create(&[("server", server.to_owned())]).set(i64::try_from(open).unwrap_or(i64::MAX));
        for (why, count) in [("refused", &tally.refused), ("displaced", &tally.displaced), ("late", &tally.late)] {
            let counter = self.ended.get_or_create(&[("server", server), ("why", why)]);
            counter.inner().store(count.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}
