//! A complete look at the world that tests spoil in one place: `fixture().staged("v2").pod("a", reports)`.
//! Never used outside tests.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::api::pointer::PROTOCOL;
use crate::api::release::{AssetReleaseStatus, PublishEntries};
use crate::api::watched::WatchedSelector;
use crate::api::{ManifestDigest, PointedVersion, Pointer, Report};
use crate::manifest::readers::{BuildNames, Decided};
use crate::manifest::{BuildSummary, Layout, Owner, VersionRecord};

use super::observed::*;

/// The base of a test: a release of version `v2`, in charge, with a usable store, an owned prefix, a recorded version, one target
/// without pods, and an empty pointer.
pub(crate) fn fixture() -> Observed {
    let spec = serde_json::from_value(json!({
        "storeRef": {"name": "cdn"}, "prefix": "shop/", "version": "v2",
        "source": {"http": {"url": "https://ci.example.com/{version}.tar.gz", "sha256": "0".repeat(64)}},
        "targets": [{"workloadRef": {"kind": "Deployment", "name": "web"}}],
        "pointer": {"configMapName": "shop-pointer"},
    }))
    .unwrap();
    let mut observed = Observed {
        now: at(1_000),
        epoch: None,
        release: ReleaseFacts {
            namespace: "ns".into(),
            name: "shop".into(),
            uid: "release-uid".into(),
            generation: 3,
            deleting: false,
            has_finalizer: true,
            requested_at: None,
            spec,
            status: AssetReleaseStatus { references_written_by: Some("release-uid".into()), ..AssetReleaseStatus::default() },
        },
        store: StoreFacts::Usable {
            identity: STORE.into(),
            base_url: "https://cdn.example.com/shop/".into(),
            fetch_url: "http://store/b/shop/".into(),
            replicas: Vec::new(),
        },
        pointer: PointerFacts::Absent,
        prefix: PrefixFacts::Known { owner: OwnerFacts::Us, record: Some(record("v2")) },
        jobs: JobFacts::default(),
        targets: Vec::new(),
        predecessor: None,
        other_pointer: None,
    };
    let target = observed.release.spec.targets[0].clone();
    observed.targets.push(TargetFacts {
        target,
        standing: Standing::Present,
        selector: Some(SELECTOR.into()),
        seen_since_stage: Some(0),
        pods: Vec::new(),
    });
    observed.release.status.selectors = vec![WatchedSelector::of(&observed.targets[0].target, SELECTOR)];
    observed.with_pointer(Pointer::empty())
}

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

pub(crate) fn digest(version: &str) -> ManifestDigest {
    ManifestDigest::of(version.as_bytes())
}

pub(crate) fn pointed(version: &str) -> PointedVersion {
    PointedVersion {
        version: version.into(),
        digest: digest(version),
        manifest_url: Layout::new("", "http://store/b/shop/").manifest(&digest(version)),
        base_url: "https://cdn.example.com/shop/".into(),
        fallback: None,
    }
}

pub(crate) fn record(version: &str) -> VersionRecord {
    VersionRecord {
        record_version: 1,
        version: version.into(),
        digest: digest(version),
        release: "ns/shop".into(),
        published_at: at(1),
        files: 3,
        bytes: 30,
        build: Some(Box::new(BuildSummary {
            reading: BuildNames::none(Decided::NothingFound).reading,
            assets: 2,
            entries: 1,
            unversioned: 0,
            evidence: std::collections::BTreeMap::new(),
        })),
    }
}

pub(crate) fn owner(release: &str) -> Owner {
    Owner { owner_version: 1, cluster: "cluster-uid".into(), release: release.into() }
}

pub(crate) fn verified(missing: &[&str]) -> JobEnd {
    JobEnd::Verified { missing: missing.iter().map(ToString::to_string).collect(), name_map: Some("{}".into()), headers: None, at: at(990) }
}

/// The selector of the fixture's target.
pub(crate) const SELECTOR: &str = "app=web";

/// The store of the fixture.
pub(crate) const STORE: &str = "store-uid/1";

/// The job that asks the fixture's store for `v2`.
pub(crate) fn verify(stage: i64) -> Job {
    Job::Verify { digest: digest("v2"), stage, store: STORE.into(), flip: Some(("v2".into(), PublishEntries::Pods)), fallback: None }
}

pub(crate) fn failed(retry_at: Option<Timestamp>) -> JobEnd {
    JobEnd::Failed(JobFailure { reason: "SourceUnavailable", message: "no answer".into(), retry_at })
}

impl Observed {
    pub(crate) fn with_pointer(mut self, pointer: Pointer) -> Self {
        self.pointer = PointerFacts::Present(Box::new(PointerFound {
            guard: PointerGuard { uid: "pointer-uid".into(), resource_version: "7".into() },
            pointer,
            name_map: None,
            contest: None,
            release: "shop".into(),
            labelled_by: None,
        }));
        self
    }

    pub(crate) fn pointer_mut(&mut self) -> &mut PointerFound {
        match &mut self.pointer {
            PointerFacts::Present(found) => found,
            other => panic!("no pointer: {other:?}"),
        }
    }

    /// This version is active since second 100, as the first flip.
    pub(crate) fn activated(self, version: &str) -> Self {
        let pointer = self.found().unwrap().pointer.staged(pointed(version), at(90)).flipped(at(100));
        self.with_pointer(pointer)
    }

    /// `v0` was active before, so that this is not the first release.
    pub(crate) fn after_v1(self) -> Self {
        self.activated("v0").activated("v1")
    }

    /// `v2` is staged since second 900, the store was asked for it, and the pods were looked at since.
    pub(crate) fn staged(self) -> Self {
        let pointer = self.found().unwrap().pointer.staged(pointed("v2"), at(900));
        let stage = pointer.stage;
        let mut staged = self.with_pointer(pointer).verified_for(stage, &[]);
        staged.targets.iter_mut().for_each(|target| target.seen_since_stage = Some(stage));
        staged
    }

    pub(crate) fn verified_for(mut self, stage: i64, missing: &[&str]) -> Self {
        self.jobs.ended = vec![(verify(stage), verified(missing))];
        self
    }

    /// A Ready pod with an agent that says this.
    pub(crate) fn pod(mut self, name: &str, report: ReportFacts) -> Self {
        self.targets[0].pods.push(PodFacts {
            name: name.into(),
            uid: format!("uid-{name}"),
            bound: true,
            finished: false,
            ready: true,
            terminating: false,
            has_agent: true,
            agent_runs: true,
            unreachable_since: None,
            created_at: at(50),
            report,
        });
        self
    }

    pub(crate) fn last_pod(mut self, change: impl FnOnce(&mut PodFacts)) -> Self {
        change(self.targets[0].pods.last_mut().unwrap());
        self
    }

    pub(crate) fn spec(mut self, change: impl FnOnce(&mut crate::api::AssetReleaseSpec)) -> Self {
        change(&mut self.release.spec);
        for (facts, target) in self.targets.iter_mut().zip(&self.release.spec.targets) {
            facts.target = target.clone();
        }
        self.release.status.selectors = super::watched::next(&self);
        self
    }

    pub(crate) fn at(mut self, now: Timestamp) -> Self {
        self.now = now;
        self
    }

    /// A report for the pointer's stage.
    pub(crate) fn report(&self, available: &[&str], serving: &str) -> ReportFacts {
        let pointer = &self.found().unwrap().pointer;
        ReportFacts::Known(Arc::new(Report {
            protocol: PROTOCOL,
            pointer: Some("shop-pointer".into()),
            pod_uid: "any".into(),
            instance: "i".into(),
            joining: false,
            stage: pointer.stage,
            sequence: pointer.sequence,
            available: available.iter().map(|version| digest(version)).collect(),
            serving: (!serving.is_empty()).then(|| digest(serving)),
            serving_sequence: None,
            problem: None,
        }))
    }

    /// A Ready pod that follows this pointer.
    pub(crate) fn following(self, name: &str, pointer: &str) -> Self {
        self.pod(name, ReportFacts::OfAnother(pointer.into()))
    }

    /// A pod that has these and serves that, as of the pointer's stage.
    pub(crate) fn reporting(self, name: &str, available: &[&str], serving: &str) -> Self {
        let report = self.report(available, serving);
        self.pod(name, report)
    }
}

/// This manager has the pointer's document, by apply.
pub(crate) fn contested_by(manager: &str) -> Contest {
    let manager = FieldManager { name: manager.into(), operation: Operation::Apply, subresource: None };
    Contest { manager: Some(manager), fields: vec![PointerField::Document], others: 0 }
}

/// Seconds as the API's duration.
pub(crate) fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}
