//! Metrics of retention: what went, what stays, how long ago the last sweep was, and what blocks it.
//! Never a label that names a release: each figure is over all releases of this controller.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::ByReason;
use crate::cluster::pods::ReleaseKey;
use crate::retention::Tally;
use crate::rollout::observed::Observed;
use crate::rollout::retention;

/// Every metric of retention.
#[derive(Default)]
pub(super) struct Retention {
    objects_deleted: Counter,
    bytes_deleted: Counter,
    builds_kept: Gauge,
    last_sweep: Gauge,
    blocked: Family<ByReason, Gauge>,
    seen: Mutex<BTreeMap<ReleaseKey, Seen>>,
}

/// What was seen of one release that has a policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Seen {
    /// `None` before the first plan of this process.
    builds_kept: Option<usize>,
    /// In seconds of Unix time; `None` before the first sweep.
    swept_at: Option<i64>,
    blocked: Option<&'static str>,
}

impl Retention {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("retention_objects_deleted", "Objects that sweeps have deleted", self.objects_deleted.clone());
        registry.register("retention_bytes_deleted", "Bytes of objects that sweeps have deleted", self.bytes_deleted.clone());
        registry.register(
            "retention_builds_kept",
            "Builds that stay, by the last plan of each release since this process began",
            self.builds_kept.clone(),
        );
        registry.register(
            "retention_last_sweep_timestamp_seconds",
            "When the release was swept whose last sweep is longest ago; 0 while none was swept",
            self.last_sweep.clone(),
        );
        registry.register("retention_blocked", "Releases whose retention is at a halt, by reason", self.blocked.clone());
    }

    /// With a sample of each family.
    pub(super) fn fill_example(&self) {
        drop(self.blocked.get_or_create(&ByReason { reason: "PublishUnderWay" }));
    }

    /// A sweep has ended.
    pub(super) fn swept(&self, deleted: Tally) {
        self.objects_deleted.inc_by(deleted.objects);
        self.bytes_deleted.inc_by(deleted.bytes);
    }

    /// Looks at a release.
    pub(super) fn look(&self, key: &ReleaseKey, observed: &Observed) {
        if observed.release.spec.retention.is_none() {
            return self.forgot(key);
        }
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all.get(key).cloned().unwrap_or_default();
        let swept_at = retention::status(observed).and_then(|status| status.swept_at).map(|at| at.0.as_second());
        let now = Seen {
            builds_kept: retention::builds_kept(observed).or(before.builds_kept),
            swept_at,
            blocked: match retention::blocked(observed) {
                Some(retention::Blocked::By(reason, _)) => Some(reason),
                Some(retention::Blocked::AsToldBefore) | None => None,
            },
        };
        if all.insert(key.clone(), now.clone()).as_ref() != Some(&now) {
            self.tell(&all, before.blocked, now.blocked);
        }
    }

    /// The release is gone, or has no policy any more.
    pub(super) fn forgot(&self, key: &ReleaseKey) {
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = all.remove(key) {
            self.tell(&all, before.blocked, None);
        }
    }

    fn tell(&self, all: &BTreeMap<ReleaseKey, Seen>, was_blocked: Option<&'static str>, is_blocked: Option<&'static str>) {
        let kept: usize = all.values().filter_map(|seen| seen.builds_kept).sum();
        self.builds_kept.set(i64::try_from(kept).unwrap_or(i64::MAX));
        self.last_sweep.set(all.values().filter_map(|seen| seen.swept_at).min().unwrap_or_default());
        if let Some(reason) = was_blocked {
            self.blocked.get_or_create(&ByReason { reason }).dec();
        }
        if let Some(reason) = is_blocked {
            self.blocked.get_or_create(&ByReason { reason }).inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::release::{RetentionSpec, RetentionStatus, api_time};
    use crate::rollout::fixture::{at, digest, fixture};
    use crate::rollout::observed::{Job, JobEnd, JobFailure, SweepAct};

    fn key(name: &str) -> ReleaseKey {
        ReleaseKey { namespace: "ns".into(), name: name.into() }
    }

    fn ended(end: JobEnd) -> Observed {
        let retention: RetentionSpec = serde_json::from_str("{}").unwrap();
        let mut observed = fixture().spec(|spec| spec.retention = Some(retention.clone()));
        let job = Job::Sweep { act: SweepAct::CarryOut, active: digest("v1"), retention, due: at(0) };
        observed.jobs.ended = vec![(job, end)];
        observed
    }

    fn swept(second: i64) -> Observed {
        let at = api_time(at(second));
        let shown = RetentionStatus { planned_at: Some(at.clone()), swept_at: Some(at), ..RetentionStatus::default() };
        ended(JobEnd::Swept { shown: Box::new(shown), kept: [digest("v1"), digest("v2")].into() })
    }

    fn figures(metrics: &Retention) -> [i64; 3] {
        let blocked = metrics.blocked.get_or_create(&ByReason { reason: "X" }).get();
        [metrics.builds_kept.get(), metrics.last_sweep.get() - at(0).as_second(), blocked]
    }

    #[test]
    fn figures_are_over_all_releases_and_forget_those_that_are_gone() {
        let metrics = Retention::default();
        metrics.look(&key("a"), &swept(100));
        metrics.look(&key("b"), &swept(50));
        metrics.look(&key("b"), &swept(50));
        assert_eq!(figures(&metrics), [4, 50, 0]);
        let failure = JobFailure { reason: "X", message: String::new(), retry_at: None };
        let mut halted = ended(JobEnd::Failed(failure));
        halted.release.status.retention = retention::status(&swept(50));
        halted.now = at(100_000);
        metrics.look(&key("b"), &halted);
        metrics.look(&key("b"), &halted);
        assert_eq!(figures(&metrics), [4, 50, 1], "what stays is as the last plan had it");
        metrics.look(&key("b"), &fixture());
        assert_eq!(figures(&metrics), [2, 100, 0], "no policy any more");
        metrics.forgot(&key("a"));
        assert_eq!((metrics.builds_kept.get(), metrics.last_sweep.get()), (0, 0));
        metrics.swept(Tally { objects: 2, bytes: 30 });
        metrics.swept(Tally { objects: 1, bytes: 5 });
        assert_eq!((metrics.objects_deleted.get(), metrics.bytes_deleted.get()), (3, 35));
    }
}
