//! Jobs as facts: what is being done beside the loop, and what became of what was done.
//! Never holds a handle on the work itself: whoever carries it out is elsewhere.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use crate::api::release::{BucketSource, HttpSource, PublishEntries, RetentionSpec, RetentionStatus, SourceSpec, UploadStatus};
use crate::api::{BuildManifestSpec, ManifestDigest};
use crate::manifest::{Declared, Owner, VersionRecord};

use super::ReplicaEnd;

/// Work that runs beside the loop, one job at a time for each release. Equal jobs are the same work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    /// Fetch the source, upload what is missing, record the version.
    Publish {
        /// The version.
        version: String,
        /// Where the build is, as the spec has it.
        source: BuildSource,
        /// How its build is to be read, as the spec has it.
        names: BuildManifestSpec,
        /// What the spec says of its files' names.
        declared: Declared,
        /// What another program serves, as the spec has it.
        external: Vec<String>,
        /// The request that a person made by annotation; another value is another attempt.
        request: Option<String>,
    },
    /// Claim the prefix: create-only, so that one of two claims at the same time wins.
    Claim {
        /// The owner object.
        owner: Owner,
        /// Which store: see [`StoreFacts::Usable`].
        store: String,
    },
    /// Ask the store whether it has every object, for the staging with this number, and whether the flip can write to the public keys.
    Verify {
        /// The build.
        digest: ManifestDigest,
        /// The stage number.
        stage: i64,
        /// The version and who serves its pages, where a flip is to follow: where the pods do, only unversioned files are written.
        flip: Option<(String, PublishEntries)>,
        /// The page that the build must have for paths that lead to no file.
        fallback: Option<String>,
        /// Which store was asked: see [`StoreFacts::Usable`].
        store: String,
    },
    /// Bring a version that the store has into every replica, for the staging with this number.
    Replicate {
        /// The version.
        version: String,
        /// The build.
        digest: ManifestDigest,
        /// The stage number.
        stage: i64,
        /// Which store, and so which replicas: see [`StoreFacts::Usable`].
        store: String,
    },
    /// Bring everything that the prefix keeps into replicas that are not admitted yet.
    Backfill {
        /// Their names.
        replicas: Vec<String>,
        /// Which store: see [`StoreFacts::Usable`].
        store: String,
        /// Version, build and flip whose files lie at public keys: with pages where `entries.publish` is `Bucket`, else without.
        pages: Option<(String, ManifestDigest, i64, PublishEntries)>,
    },
    /// Write the files whose bytes may change to their public keys.
    PublishEntries {
        /// The version.
        version: String,
        /// The build.
        digest: ManifestDigest,
        /// The flip that they belong to.
        sequence: i64,
        /// Who serves the pages: where the pods do, only unversioned files are written.
        publish: PublishEntries,
        /// At the flip, or once more when no stalled write can land any more.
        round: EntriesRound,
    },
    /// Write into the bucket what the release uses, where another release object has done so until now or none has.
    WriteReferences {
        /// Which store: see [`StoreFacts::Usable`].
        store: String,
    },
    /// Write into the bucket that the release is deleted, so that the time of what it used runs.
    EndReferences {
        /// Which store: see [`StoreFacts::Usable`].
        store: String,
    },
    /// Plan a sweep of the prefix, or carry it out.
    Sweep {
        /// Which half.
        act: SweepAct,
        /// The active build: another one is another sweep.
        active: ManifestDigest,
        /// The policy.
        retention: RetentionSpec,
        /// When it became due.
        due: Timestamp,
    },
}

/// Where the build of a publish is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildSource {
    /// In an archive behind a URL.
    Http(HttpSource),
    /// In a folder of a bucket.
    Bucket(BucketSource),
}

impl BuildSource {
    /// The source, if it is one that this release publishes from itself.
    #[must_use]
    pub fn of(spec: &SourceSpec) -> Option<Self> {
        let http = || spec.http.clone().map(Self::Http);
        http().or_else(|| spec.bucket.clone().map(Self::Bucket))
    }
}

/// The two halves of a sweep: status shows the first one's result before the second one deletes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SweepAct {
    /// Say what would go. Writes what the release uses, and nothing else.
    Plan,
    /// Delete it.
    CarryOut,
}

/// When entry files are written and confirmed (I4): S3 cannot fence them, so a stalled write of an earlier flip may land until
/// its signature dies; a second look finds and mends that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntriesRound {
    /// Right after the flip.
    AtFlip,
    /// When every request that was signed before the flip is dead.
    WhenSignaturesDied,
}

/// What is known of the jobs.
#[derive(Debug, Clone, Default)]
pub struct JobFacts {
    /// The running one and how far it is.
    pub running: Option<(Job, UploadStatus)>,
    /// How the last one of each kind ended.
    pub ended: Vec<(Job, JobEnd)>,
}

impl JobFacts {
    /// How this very job ended, if it did.
    #[must_use]
    pub fn end_of(&self, job: &Job) -> Option<&JobEnd> {
        self.ended.iter().find(|(ended, _)| ended == job).map(|(_, end)| end)
    }

    /// When the files of this flip that lie at public keys were last confirmed by this process. Where the bucket serves the pages, those
    /// must have been among them.
    #[must_use]
    pub fn entries_confirmed_at(&self, flip: i64, needed: PublishEntries) -> Option<Timestamp> {
        let confirmed = self.ended.iter().filter_map(|(job, end)| match (job, end) {
            (Job::PublishEntries { sequence, publish, .. }, JobEnd::EntriesPublished { at })
                if *sequence == flip && (*publish == needed || needed == PublishEntries::Pods) =>
            {
                Some(*at)
            }
            _ => None,
        });
        confirmed.max()
    }

    /// How far the last publish of this version came.
    #[must_use]
    pub fn upload_of(&self, version: &str) -> Option<UploadStatus> {
        let published = self.ended.iter().find_map(|(job, end)| match (job, end) {
            (Job::Publish { version: of, .. }, JobEnd::Published { upload, .. }) if of == version => Some(upload.clone()),
            _ => None,
        });
        match &self.running {
            Some((Job::Publish { version: of, .. }, upload)) if of == version => Some(upload.clone()),
            _ => published,
        }
    }
}

/// How a job ended.
#[derive(Debug, Clone)]
pub enum JobEnd {
    /// The claim was made, or another one was there before. Which of them it is, is a fact of the prefix.
    Claimed,
    /// The version is recorded.
    Published {
        /// The record.
        record: VersionRecord,
        /// What it took.
        upload: UploadStatus,
    },
    /// The store was asked.
    Verified {
        /// Keys that are not there or have another length, sorted.
        missing: Vec<String>,
        /// The version's name map; `None` when the store lacks the manifest.
        name_map: Option<Arc<str>>,
        /// For people: how the headers of some objects, which were looked at, differ from ours.
        headers: Option<String>,
        /// When the store had answered.
        at: Timestamp,
    },
    /// Replicas were gone over, by either of the two jobs for that.
    Replicated {
        /// What became of each.
        replicas: Vec<ReplicaEnd>,
        /// Before the first of them was looked at.
        at: Timestamp,
    },
    /// The entry files are confirmed at their public keys.
    EntriesPublished {
        /// Before the first of them was looked at.
        at: Timestamp,
    },
    /// The bucket says what the release uses.
    ReferencesWritten,
    /// The bucket says that the release is deleted, or it never said anything of it.
    ReferencesEnded,
    /// A sweep is planned.
    Planned {
        /// For people.
        shown: Box<RetentionStatus>,
        /// Builds that stay.
        kept: BTreeSet<ManifestDigest>,
    },
    /// A sweep is over.
    Swept {
        /// For people.
        shown: Box<RetentionStatus>,
        /// Builds that stay.
        kept: BTreeSet<ManifestDigest>,
    },
    /// It failed.
    Failed(JobFailure),
}

/// Why a job failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFailure {
    /// Stable CamelCase word.
    pub reason: &'static str,
    /// What, where, which input.
    pub message: String,
    /// When to try again; `None` when somebody has to change something first.
    pub retry_at: Option<Timestamp>,
}
