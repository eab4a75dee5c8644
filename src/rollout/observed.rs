//! Everything a decision may look at, as facts. If a decision needs another fact, it gets a field here, never a client.

mod jobs;
mod ownership;
mod predecessor;

use std::sync::Arc;

use jiff::Timestamp;

use crate::api::release::{AssetReleaseSpec, AssetReleaseStatus, EntriesStatus, GivenUp, PublishEntries, TargetSpec};
use crate::api::{ForeignText, PointedVersion, Pointer, Report};
use crate::manifest::{Overlap, Owner, VersionRecord};

pub use self::jobs::{BuildSource, EntriesRound, Job, JobEnd, JobFacts, JobFailure, SweepAct};
pub use self::ownership::{Contest, FieldManager, ForeignLabels, Operation, PointerField};
pub use self::predecessor::{Predecessor, Presence};
pub use crate::retention::references::Inheritance;

/// One look at the world, taken in this order: pointer, pods, release. Younger than a second when it is acted on.
#[derive(Debug, Clone)]
pub struct Observed {
    /// When the look was finished.
    pub now: Timestamp,
    /// The epoch under which this controller leads; `None` without an election.
    pub epoch: Option<i64>,
    /// The release itself, read last: pre-emption takes effect at that read.
    pub release: ReleaseFacts,
    /// The store it names.
    pub store: StoreFacts,
    /// The pointer, read first.
    pub pointer: PointerFacts,
    /// What the bucket says about prefix and version.
    pub prefix: PrefixFacts,
    /// Work that runs beside the loop.
    pub jobs: JobFacts,
    /// The workloads and their pods: one for each of `spec.targets`, in that order, and then the former ones that are still watched.
    pub targets: Vec<TargetFacts>,
    /// The release that `spec.adoptFrom` names.
    pub predecessor: Option<Predecessor>,
    /// The first pointer, by name, that pods of the targets follow instead of this release's.
    pub other_pointer: Option<OtherPointer>,
}

/// A pointer of another release, which pods of this one's targets follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherPointer {
    /// Name of the `ConfigMap`, as the pods say it.
    pub config_map: ForeignText,
    /// The release that its label names; `None` when there is no such pointer, or it could not be read.
    pub release: Option<ForeignText>,
}

/// The release as the API server has it.
#[derive(Debug, Clone)]
pub struct ReleaseFacts {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID: another value is another object, whatever its name.
    pub uid: String,
    /// Generation of the spec.
    pub generation: i64,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether our finalizer is on it.
    pub has_finalizer: bool,
    /// Value of the annotation `rollcall.dev/requestedAt`.
    pub requested_at: Option<String>,
    /// What is wished.
    pub spec: AssetReleaseSpec,
    /// What was last written; only its named facts are looked at, never its conditions.
    pub status: AssetReleaseStatus,
}

impl ReleaseFacts {
    /// `namespace/name`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Whether a pointed version is what the spec wants, at the URLs that the store says now. An unusable store says nothing,
    /// and then the version's name decides.
    #[must_use]
    pub fn wants(&self, pointed: &PointedVersion, store: &StoreFacts) -> bool {
        pointed.version == self.spec.version
            && match store {
                StoreFacts::Usable { base_url, fetch_url, .. } => {
                    let is_there = pointed.base_url == *base_url && pointed.fetch_base() == fetch_url;
                    is_there && pointed.fallback.as_deref() == self.spec.entries.page_of_agents()
                }
                StoreFacts::Missing | StoreFacts::Unusable(_) => true,
            }
    }
}

/// The store that `spec.storeRef` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreFacts {
    /// There is no such AssetStore.
    Missing,
    /// It cannot be used as it stands.
    Unusable(StoreProblem),
    /// It can be used; with the URLs of this release's prefix.
    Usable {
        /// Which store, in which generation of its spec: evidence and memory of another one do not count.
        identity: String,
        /// What pages put in front of a path; ends with `/`.
        base_url: String,
        /// Where pods fetch from; ends with `/`.
        fetch_url: String,
        /// Its Eager replicas, as its spec has them.
        replicas: Vec<ReplicaFacts>,
    },
}

/// A replica that the store names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaFacts {
    /// Its name.
    pub name: String,
    /// Endpoint, bucket and prefix: another place is another replica.
    pub place: String,
}

/// What became of a replica in a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaEnd {
    /// Its name.
    pub name: String,
    /// Objects that it lacks: keys of its bucket, or a number where they are many.
    pub lacks: Lacks,
    /// Why it did not get what it should; `None` when nothing went wrong with it.
    pub failure: Option<String>,
}

/// Objects that a replica lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lacks {
    /// These, sorted.
    Keys(Vec<String>),
    /// So many.
    Objects(u64),
}

impl ReplicaEnd {
    /// Whether it lacks nothing.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let lacks_nothing = match &self.lacks {
            Lacks::Keys(keys) => keys.is_empty(),
            Lacks::Objects(count) => *count == 0,
        };
        lacks_nothing && self.failure.is_none()
    }
}

/// Why a store cannot be used as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreProblem {
    /// The Secret is not there.
    SecretMissing(String),
    /// The controller may not read the Secret.
    SecretForbidden(String),
    /// The Secret lacks this key.
    SecretIncomplete(String, String),
    /// It names no credentials, and no grant of the controller's own covers it; with the grant that would.
    NotGranted(String),
    /// A client for it could not be made.
    Invalid(String),
    /// It overwrites although each write forbids it; with what was seen and what to do.
    Overwrites(String),
    /// Its listings lag behind its writes, or lack what they must say; with what was seen and what to do.
    ListsUnreliably(String),
}

/// The pointer `ConfigMap`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PointerFacts {
    /// There is none.
    Absent,
    /// A `ConfigMap` of the name is there that nobody labelled as a pointer: somebody else's, whatever is in it.
    Foreign(ForeignLabels),
    /// Its `pointer.json` cannot be read.
    Unreadable {
        /// What is wrong with it.
        cause: String,
        /// Who has it, if Rollcall does not.
        written_by: Option<FieldManager>,
    },
    /// It is there.
    Present(Box<PointerFound>),
}

/// A pointer that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointerFound {
    /// UID and resource version: the precondition of every write.
    pub guard: PointerGuard,
    /// The document.
    pub pointer: Pointer,
    /// The active name map beside it, as it stands there: writes that do not flip carry it along.
    pub name_map: Option<Arc<str>>,
    /// Fields that keep us from writing it, and who has them.
    pub contest: Option<Contest>,
    /// The release that the pointer's label names.
    pub release: String,
    /// Who set that label, if Rollcall did not.
    pub labelled_by: Option<FieldManager>,
}

/// The precondition of a pointer write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointerGuard {
    /// UID of the `ConfigMap`: without it an apply would create a missing one.
    pub uid: String,
    /// Its resource version.
    pub resource_version: String,
}

/// What the bucket says about prefix and version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrefixFacts {
    /// Not looked at: the answer could not change anything, or the store cannot be used.
    NotNeeded,
    /// It is being asked beside the passes, and nothing of this question is known yet.
    Asked {
        /// Since when.
        since: Timestamp,
    },
    /// The bucket did not answer.
    Fault(BucketFault),
    /// It answered.
    Known {
        /// Who may write below the prefix.
        owner: OwnerFacts,
        /// The record of the wanted version.
        record: Option<VersionRecord>,
    },
}

/// Who may write below the prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnerFacts {
    /// Nobody has claimed it; with the claim that this release would make.
    Nobody(Owner),
    /// This release.
    Us,
    /// This release, by a document that has to say something else; with what it should say.
    Renewing(Owner),
    /// Another release has some of its keys, and claimed them before.
    Overlaps(Overlap),
    /// Another one.
    Other(Owner),
}

/// The bucket did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketFault {
    /// Stable CamelCase word: `StoreUnavailable`, `WriterLocked`, `StoreAccessDenied`, `BucketNotFound`, `StoreRefused`, `DocumentDamaged`.
    pub reason: &'static str,
    /// What was seen.
    pub message: String,
}

/// One target.
#[derive(Debug, Clone)]
pub struct TargetFacts {
    /// As the spec has it; a former one as it was.
    pub target: TargetSpec,
    /// Whether it still is a target, and has its workload.
    pub standing: Standing,
    /// The selector by which its pods are watched: its workload's, or the last one that was seen of it. `None` when there never was one.
    pub selector: Option<String>,
    /// The stage number after whose write the view of the pods was begun; `None` when there is no view yet.
    pub seen_since_stage: Option<i64>,
    /// Every pod that the selector matches, by name. Not only those that the workload owns: any of them can get
    /// the Service's traffic, so any of them counts. Of a former target those that no other target has, and that follow this pointer.
    pub pods: Vec<PodFacts>,
}

/// How a target stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its workload is there.
    Present,
    /// Its workload is not there. Its pods, if there are any, were left behind.
    Missing,
    /// The spec does not name it any more, or its workload has another selector by now.
    Former,
}

impl Standing {
    /// What comes before what is known of a pod, for people.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Present => "",
            Self::Missing => "its workload is missing, ",
            Self::Former => "of a former target, ",
        }
    }
}

impl TargetFacts {
    /// `Kind/name`, and whether it is a former one.
    #[must_use]
    pub fn name(&self) -> String {
        match self.standing {
            Standing::Present | Standing::Missing => self.target.display_name(),
            Standing::Former => format!("{} (former)", self.target.display_name()),
        }
    }
}

/// One pod.
#[derive(Debug, Clone)]
pub struct PodFacts {
    /// Name.
    pub name: String,
    /// UID: a report that names another one is not this pod's.
    pub uid: String,
    /// Whether it has a node.
    pub bound: bool,
    /// Whether it has ended for good (`Succeeded` or `Failed`).
    pub finished: bool,
    /// Whether it is Ready.
    pub ready: bool,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// Whether its template has an agent: a readiness gate for our condition, or the port of the report.
    pub has_agent: bool,
    /// Whether the agent's container runs, as far as the pod's status says.
    pub agent_runs: bool,
    /// Since when its node does not answer.
    pub unreachable_since: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
    /// What it reports.
    pub report: ReportFacts,
}

/// What a pod reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReportFacts {
    /// It has not been asked yet: nothing can be said of it, neither good nor bad.
    NotAsked,
    /// Nothing (or nothing of this pod).
    Silent,
    /// Something that is no report we know.
    Unusable(ForeignText),
    /// A report of this pod that answers another pointer, of this name: nothing in it is about this release.
    OfAnother(ForeignText),
    /// A report of this pod, shared with the pod that is held.
    Known(Arc<Report>),
}

impl Observed {
    /// The pointer, when there is one that can be read.
    #[must_use]
    pub fn found(&self) -> Option<&PointerFound> {
        match &self.pointer {
            PointerFacts::Present(found) => Some(found),
            PointerFacts::Absent | PointerFacts::Foreign(_) | PointerFacts::Unreadable { .. } => None,
        }
    }

    /// The pointed candidate.
    #[must_use]
    pub fn candidate(&self) -> Option<&PointedVersion> {
        self.found().and_then(|found| found.pointer.candidate.as_ref())
    }

    /// The pointed active version.
    #[must_use]
    pub fn active(&self) -> Option<&PointedVersion> {
        self.found().and_then(|found| found.pointer.active.as_ref())
    }

    /// The pointer, unless it is another release's or another program wrote it.
    #[must_use]
    pub fn own_pointer(&self) -> Option<&Pointer> {
        self.found().filter(|found| found.contest.is_none() && found.release == self.release.name).map(|found| &found.pointer)
    }

    /// The attempt that was given up last: as the pointer has it, or the status of a controller that wrote it there.
    #[must_use]
    pub fn given_up(&self) -> Option<&GivenUp> {
        let pointed = self.own_pointer().and_then(|pointer| pointer.given_up.as_ref());
        pointed.or(self.release.status.given_up.as_ref())
    }

    /// Whether the bucket answered.
    #[must_use]
    pub fn bucket_is_open(&self) -> bool {
        matches!(self.prefix, PrefixFacts::Known { owner: OwnerFacts::Us, .. })
    }

    /// Which store this is; empty while there is none that can be used.
    #[must_use]
    pub fn store_identity(&self) -> &str {
        match &self.store {
            StoreFacts::Usable { identity, .. } => identity,
            StoreFacts::Missing | StoreFacts::Unusable(_) => "",
        }
    }

    /// Whether a pointed version is what the spec wants: see [`ReleaseFacts::wants`].
    #[must_use]
    pub fn is_wanted(&self, pointed: &PointedVersion) -> bool {
        self.release.wants(pointed, &self.store)
    }

    /// Whether the entry files of this flip were confirmed: by this process, or by one before it, as the status has it.
    #[must_use]
    pub fn entries_are_published(&self, flip: i64) -> bool {
        let needed = self.release.spec.entries.publish;
        let has_needed = |entries: &&EntriesStatus| needed == PublishEntries::Pods || !entries.without_pages;
        let told = self.release.status.entries.as_ref().filter(has_needed).is_some_and(|entries| entries.sequence == flip);
        told || self.jobs.entries_confirmed_at(flip, needed).is_some()
    }
}
