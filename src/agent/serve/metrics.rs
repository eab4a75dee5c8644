//! The agent's numbers for Prometheus.
//! Never a label whose values a visitor could make up.

use std::sync::Mutex;

use axum::http::StatusCode;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::miss::Miss;
use crate::agent::core::Publication;

type Labels = [(&'static str, String); 1];

/// Counters and what they are called.
pub(super) struct Metrics {
    registry: Mutex<Registry>,
    answers: Family<Labels, Counter>,
    misses: Family<Labels, Counter>,
    ready: Gauge,
    versions: Gauge,
    stage: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let (answers, misses) = (Family::default(), Family::default());
        let (ready, versions, stage) = (Gauge::default(), Gauge::default(), Gauge::default());
        let mut registry = Registry::with_prefix("rollcall_agent");
        registry.register("answers", "Answers to visitors, by status code", Family::clone(&answers));
        registry.register("misses", "Files that a manifest has and the mirror had not, by outcome", Family::clone(&misses));
        registry.register("ready", "1 while the pod may get traffic", ready.clone());
        registry.register("versions", "Versions that are completely here", versions.clone());
        registry.register("stage", "Stage number of the pointer that is followed", stage.clone());
        Self { registry: Mutex::new(registry), answers, misses, ready, versions, stage }
    }
}

/// What the endpoint prints with one sample of each family, for the reference page: a family without samples is not rendered.
pub(crate) fn example() -> String {
    let metrics = Metrics::default();
    metrics.answered(StatusCode::OK);
    metrics.missed(None);
    metrics.text(None)
}

impl Metrics {
    pub(super) fn answered(&self, status: StatusCode) {
        self.answers.get_or_create(&[("code", status.as_str().to_owned())]).inc();
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
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        encode(&mut text, &registry).expect("writing to a string does not fail");
        text
    }
}
