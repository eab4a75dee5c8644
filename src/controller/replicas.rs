//! The jobs' work on replicas: opening them, bringing a version or everything, pages, and what a sweep needs of them.
//! Never lets one replica keep another from its objects, and never takes one for open that overwrites (I3).

use std::sync::Arc;

use tokio::sync::watch;

use crate::api::ManifestDigest;
use crate::api::release::{PublishEntries, UploadStatus};
use crate::api::store::{BucketSpec, ReplicaSpec, WriteGuard};
use crate::bucket::Bucket;
use crate::bucket::s3::S3Settings;
use crate::manifest::{Layout, Manifest, Owner, Writer};
use crate::rollout::Blocker;
use crate::rollout::observed::{BucketFault, JobEnd, Lacks, ReplicaEnd, StoreProblem};
use crate::upload::replica::{Pair, Place, ReplicaFailure, backfill, bring_version};
use crate::upload::{self, Claimed, Progress};

use super::context::Context;
use super::jobs::{Mending, WorkFailure, Worked};
use super::reached::StoreKey;
use super::store::{address, fault, open_tried};
use super::work::{Task, entries_failure, pass_on, put_flip_files, read_failure, upload_status};

/// How to reach a replica; or why that is not known, in one sentence without a full stop.
pub(super) async fn replica_settings(cx: &Context, store: &StoreKey, replica: &ReplicaSpec) -> Result<S3Settings, String> {
    let settings = address(cx, &store.0, &replica.bucket, replica.credentials.as_ref()).await;
    settings.map_err(|failure| failure.to_string())?.map_err(|problem| unusable(store, problem).message)
}

/// Opens a replica that is reached in this way, and sees what it does.
pub(super) async fn open_replica(
    cx: &Context,
    store: &StoreKey,
    replica: &ReplicaSpec,
    settings: &S3Settings,
) -> Result<Arc<dyn Bucket>, BucketFault> {
    let tried = open_tried(cx, &replica.bucket, WriteGuard::Conditional, settings).await;
    tried.map_err(|error| fault(&error))?.map_err(|problem| unusable(store, problem))
}

fn unusable(store: &StoreKey, problem: StoreProblem) -> BucketFault {
    let (namespace, store) = store.clone();
    let blocker = Blocker::StoreUnusable { store, namespace, problem };
    BucketFault { reason: blocker.reason(), message: blocker.message() }
}

/// Name of the store's bucket, when the replica's store can copy out of it: one endpoint. Whether it does safely, its bucket knows.
fn original_bucket(store: &BucketSpec, replica: &BucketSpec) -> Option<String> {
    (store.service() == replica.service()).then(|| store.name.clone())
}

impl Task {
    fn replicas(&self) -> &[ReplicaSpec] {
        self.store.as_ref().map_or(&[], |store| &store.replicas)
    }

    fn layout_in(&self, replica: &ReplicaSpec) -> Layout {
        Layout::new(replica.bucket.prefix.as_deref().unwrap_or_default(), &self.prefix).excluding(&self.layout.excluded())
    }

    /// Opens a replica, and claims the prefix there as it is claimed in the store: whoever names another release's prefix as a replica's
    /// gets nothing of it.
    async fn open(&self, replica: &ReplicaSpec) -> Result<Arc<dyn Bucket>, String> {
        let store: StoreKey = (self.namespace.clone(), self.store_name.clone());
        let settings = replica_settings(&self.cx, &store, replica).await?;
        let bucket = open_replica(&self.cx, &store, replica, &settings).await.map_err(|fault| fault.message)?;
        let owner = Owner::new(&self.own.cluster, &self.release);
        let claimed = upload::claim_owner(bucket.as_ref(), &self.layout_in(replica), self.claimant(&owner)).await;
        match claimed.map_err(|failure| failure.to_string())? {
            Claimed::Ours => Ok(bucket),
            Claimed::Theirs(theirs) => Err(format!("its prefix belongs to release {}: choose another prefix for it", theirs.release)),
            Claimed::Overlaps(overlap) => Err(format!("{overlap}: {}", overlap.advice())),
        }
    }

    async fn pair(&self, replica: &ReplicaSpec) -> Result<Pair, String> {
        let bucket = self.open(replica).await?;
        let original = self.store.as_ref().and_then(|store| original_bucket(&store.bucket, &replica.bucket));
        let place = Place { bucket, layout: self.layout_in(replica) };
        let store = Place { bucket: self.bucket.clone(), layout: self.layout.clone() };
        Ok(Pair::new(store, place, original, self.cx.settings.workspace.of(&self.namespace)))
    }

    /// Brings a version into every replica, one after the other.
    pub(super) async fn replicate(&self, version: &str, digest: &ManifestDigest) -> Worked {
        // Before the first request: what is seen is at least as new as this.
        let at = self.cx.outside.clock.now();
        let mut replicas = Vec::new();
        for replica in self.replicas() {
            let brought = match self.pair(replica).await {
                Ok(pair) => told(bring_version(&pair, version, digest).await)?,
                Err(cause) => Err(cause),
            };
            replicas.push(end(replica, brought.map(Lacks::Keys)));
        }
        Ok(JobEnd::Replicated { replicas, at })
    }

    /// Brings everything into these replicas, and then what the last flip put at public keys.
    pub(super) async fn backfill(
        &self,
        names: &[String],
        pages: Option<&(String, ManifestDigest, i64, PublishEntries)>,
        told_to: &watch::Sender<UploadStatus>,
    ) -> Worked {
        let at = self.cx.outside.clock.now();
        let mut replicas = Vec::new();
        for replica in self.replicas().iter().filter(|replica| names.contains(&replica.name)) {
            let brought = match self.pair(replica).await {
                Ok(pair) => self.fill(&pair, replica, pages, told_to).await?,
                Err(cause) => Err(cause),
            };
            replicas.push(end(replica, brought.map(Lacks::Objects)));
        }
        Ok(JobEnd::Replicated { replicas, at })
    }

    async fn fill(
        &self,
        pair: &Pair,
        replica: &ReplicaSpec,
        pages: Option<&(String, ManifestDigest, i64, PublishEntries)>,
        told_to: &watch::Sender<UploadStatus>,
    ) -> Result<Result<u64, String>, WorkFailure> {
        let (progress, seen) = watch::channel(Progress::default());
        let filled = tokio::select! {
            biased;
            filled = backfill(pair, &progress) => filled,
            () = pass_on(seen, told_to) => return Ok(Err("it was cancelled".to_owned())),
        };
        told_to.send_replace(upload_status(Progress::default()));
        match (told(filled)?, pages) {
            (Ok(0), Some((version, digest, sequence, publish))) => {
                let manifest = upload::read_manifest(self.bucket.as_ref(), &self.layout, digest).await;
                let manifest = manifest.map_err(|failure| read_failure(failure.reason(), failure.to_string()))?;
                let Some(manifest) = manifest else { return Ok(Err(format!("the manifest of version {version:?} is not in the store"))) };
                let writer = self.writer(version, digest);
                Ok(self
                    .publish_entries_to(replica, &manifest, (*publish, *sequence), &writer)
                    .await
                    .map(|()| 0)
                    .map_err(|failure| failure.message))
            }
            (filled, _) => Ok(filled),
        }
    }

    /// Pages at their public keys in every replica: each has every object of the version, or there would have been no flip (I10).
    pub(super) async fn publish_entries_to_replicas(
        &self,
        manifest: &Manifest,
        (publish, sequence): (PublishEntries, i64),
        writer: &Writer,
    ) -> Result<(), WorkFailure> {
        let mut failed = None;
        for replica in self.replicas() {
            // The others' visitors need not wait for this one.
            failed = self.publish_entries_to(replica, manifest, (publish, sequence), writer).await.err().or(failed);
        }
        failed.map_or(Ok(()), Err)
    }

    async fn publish_entries_to(
        &self,
        replica: &ReplicaSpec,
        manifest: &Manifest,
        (publish, sequence): (PublishEntries, i64),
        writer: &Writer,
    ) -> Result<(), WorkFailure> {
        let bucket = self.open(replica).await.map_err(|cause| unopened(replica, &cause))?;
        let layout = self.layout_in(replica);
        put_flip_files((bucket.as_ref(), &layout), manifest, (publish, sequence), writer).await.map_err(|failure| {
            let failure = entries_failure(&failure);
            WorkFailure { message: format!("replica {:?}: {}", replica.name, failure.message), ..failure }
        })
    }

    pub(super) fn writer(&self, version: &str, digest: &ManifestDigest) -> Writer {
        Writer { release: self.release.clone(), version: version.to_owned(), digest: digest.clone() }
    }

    /// Where a sweep deletes, too.
    pub(super) async fn places_of_replicas(&self) -> Result<Vec<Place>, WorkFailure> {
        let mut places = Vec::new();
        for replica in self.replicas() {
            let bucket = self.open(replica).await.map_err(|cause| unopened(replica, &cause))?;
            places.push(Place { bucket, layout: self.layout_in(replica) });
        }
        Ok(places)
    }
}

fn unopened(replica: &ReplicaSpec, cause: &str) -> WorkFailure {
    WorkFailure { reason: "ReplicaUnusable", message: format!("replica {:?}: {cause}", replica.name), mending: Mending::Seldom }
}

/// A failure of the store itself ends the job; one of the replica is the replica's.
fn told<T>(brought: Result<T, ReplicaFailure>) -> Result<Result<T, String>, WorkFailure> {
    match brought {
        Err(ReplicaFailure::Store(failure)) => Err(read_failure(failure.reason(), failure.to_string())),
        brought => Ok(brought.map_err(|failure| failure.to_string())),
    }
}

fn end(replica: &ReplicaSpec, brought: Result<Lacks, String>) -> ReplicaEnd {
    let (lacks, failure) = match brought {
        Ok(lacks) => (lacks, None),
        Err(failure) => (Lacks::Keys(Vec::new()), Some(failure)),
    };
    ReplicaEnd { name: replica.name.clone(), lacks, failure }
}
