//! Every metric, declared once with its help text. Labels are closed sets: never the name of an object.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::cluster::pods::ReleaseKey;
use crate::controller::Failure;
use crate::retention::Tally;
use crate::rollout::Decision;
use crate::rollout::decision::{PointerChange, Step};
use crate::rollout::observed::Observed;
use crate::rollout::status::StepOutcome;

mod retention;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByResult {
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByReason {
    reason: &'static str,
}

/// Every metric.
pub struct Metrics {
    registry: Registry,
    leading: Gauge,
    passes: Family<ByResult, Counter>,
    pass_seconds: Histogram,
    panics: Counter,
    active: Gauge,
    blocked: Family<ByReason, Gauge>,
    stages: Counter,
    flips: Counter,
    unstages: Family<ByReason, Counter>,
    overrides: Counter,
    excused: Counter,
    roll_call_seconds: Histogram,
    last_blocker: Mutex<BTreeMap<ReleaseKey, &'static str>>,
    retention: retention::Retention,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("rollcall"),
            leading: Gauge::default(),
            passes: Family::default(),
            // 1 ms to 16 s.
            pass_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 15)),
            panics: Counter::default(),
            active: Gauge::default(),
            blocked: Family::default(),
            stages: Counter::default(),
            flips: Counter::default(),
            unstages: Family::default(),
            overrides: Counter::default(),
            excused: Counter::default(),
            // 0.1 s to 27 min.
            roll_call_seconds: Histogram::new(exponential_buckets(0.1, 2.0, 15)),
            last_blocker: Mutex::default(),
            retention: retention::Retention::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    /// With one sample of each family, for the reference page: a family without samples is not rendered.
    #[must_use]
    pub fn example() -> Self {
        let metrics = Self::default();
        let reason = ByReason { reason: "PodsMissing" };
        drop(metrics.passes.get_or_create(&ByResult { result: "ok" }));
        drop(metrics.blocked.get_or_create(&reason));
        drop(metrics.unstages.get_or_create(&reason));
        metrics.retention.fill_example();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("leading", "1 while this process acts on releases, 0 while it stands by", self.leading.clone());
        registry.register("reconcile", "Passes over a release, by result", self.passes.clone());
        registry.register("reconcile_time_seconds", "Time that a pass took", self.pass_seconds.clone());
        registry.register("reconcile_panics", "Passes that panicked: each one is a bug", self.panics.clone());
        registry.register("active_workers", "Passes under way", self.active.clone());
        registry.register("releases_blocked", "Releases that wait, by the reason of their first blocker", self.blocked.clone());
        registry.register("stages", "Candidates staged", self.stages.clone());
        registry.register("flips", "Flips of a pointer", self.flips.clone());
        registry.register("unstages", "Candidates taken back, by reason", self.unstages.clone());
        registry.register("overrides", "Flips for which break-glass skipped a gate", self.overrides.clone());
        registry.register("excused_pods", "Pods that a flip did not wait for", self.excused.clone());
        registry.register("roll_call_seconds", "Time from staging to the flip", self.roll_call_seconds.clone());
        self.retention.register(registry);
    }

    /// This process acts on releases from now on. It ends with its leadership, so there is no way back.
    pub fn leads(&self) {
        self.leading.set(1);
    }

    /// Begins to measure a pass.
    #[must_use]
    pub fn pass(&self) -> Pass<'_> {
        self.active.inc();
        Pass { metrics: self, begun: tokio::time::Instant::now() }
    }

    /// Counts what was decided and done.
    pub fn decided(&self, key: &ReleaseKey, observed: &Observed, decision: &Decision, outcome: StepOutcome) {
        self.count_blocker(key, decision);
        self.retention.look(key, observed);
        let (Step::WritePointer(write), StepOutcome::Done) = (&decision.step, outcome) else { return };
        match &write.kind {
            PointerChange::Stage => {
                self.stages.inc();
            }
            PointerChange::Unstage(reason) => {
                self.unstages.get_or_create(&ByReason { reason: reason.reason() }).inc();
            }
            PointerChange::Restore | PointerChange::Lead => {}
            PointerChange::Flip { overridden } => {
                self.flips.inc();
                self.overrides.inc_by(u64::from(!overridden.is_empty()));
                let excused = decision.rolls.iter().map(|roll| roll.excused.len()).sum::<usize>();
                self.excused.inc_by(excused as u64);
                if let Some(staged_at) = observed.found().and_then(|found| found.pointer.staged_at) {
                    self.roll_call_seconds.observe(observed.now.duration_since(staged_at).as_secs_f64().max(0.0));
                }
            }
        }
    }

    /// The release is gone, and waits for nothing any more.
    pub fn forgot(&self, key: &ReleaseKey) {
        self.count_reason(key, None);
        self.retention.forgot(key);
    }

    /// A sweep has deleted this.
    pub fn swept(&self, deleted: Tally) {
        self.retention.swept(deleted);
    }

    fn count_blocker(&self, key: &ReleaseKey, decision: &Decision) {
        self.count_reason(key, decision.blockers.first().map(crate::rollout::Blocker::reason));
    }

    /// Counts a release that could not be looked at; the next decision about it takes that back.
    pub fn blocked_by(&self, key: &ReleaseKey, reason: &'static str) {
        self.count_reason(key, Some(reason));
    }

    fn count_reason(&self, key: &ReleaseKey, reason: Option<&'static str>) {
        let mut last = self.last_blocker.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match reason {
            Some(reason) => last.insert(key.clone(), reason),
            None => last.remove(key),
        };
        if let Some(before) = before {
            self.blocked.get_or_create(&ByReason { reason: before }).dec();
        }
        if let Some(reason) = reason {
            self.blocked.get_or_create(&ByReason { reason }).inc();
        }
    }

    /// In the text format of OpenMetrics.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).expect("writing to a String does not fail");
        text
    }
}

/// A pass that is being measured.
pub struct Pass<'a> {
    metrics: &'a Metrics,
    begun: tokio::time::Instant,
}

impl Pass<'_> {
    /// The pass has ended, with this failure or none.
    pub fn ended(self, failure: Option<&Failure>) {
        let result = failure.map_or("ok", Failure::label);
        self.metrics.passes.get_or_create(&ByResult { result }).inc();
        self.metrics.panics.inc_by(u64::from(matches!(failure, Some(Failure::Panicked(_)))));
        self.metrics.pass_seconds.observe(self.begun.elapsed().as_secs_f64());
        self.metrics.active.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::decide;
    use crate::rollout::fixture::fixture;

    #[test]
    fn a_release_that_cannot_be_looked_at_is_counted_once_until_it_can() {
        let (metrics, key) = (Metrics::default(), ReleaseKey { namespace: "ns".into(), name: "shop".into() });
        metrics.blocked_by(&key, "ReadDenied");
        metrics.blocked_by(&key, "ReadDenied");
        assert!(metrics.render().contains("rollcall_releases_blocked{reason=\"ReadDenied\"} 1\n"), "{}", metrics.render());
        let observed = fixture();
        metrics.decided(&key, &observed, &decide(&observed), StepOutcome::Done);
        assert!(metrics.render().contains("rollcall_releases_blocked{reason=\"ReadDenied\"} 0\n"), "{}", metrics.render());
    }
}
