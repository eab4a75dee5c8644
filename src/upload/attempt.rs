//! One attempt to bring a prepared build into the bucket, in the order that makes every crash harmless.
//! Never writes the version record before a listing has shown every object.

use std::collections::BTreeMap;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::documents::{Lasts, encoded, json};
use super::prepare::Prepared;
use super::send::{Object, Occupied};
use super::verify::compare;
use super::{FailureClass, Progress, Publish, PublishFailure, Published, Tools, intent, known, read_record};
use crate::bucket::{BucketError, Created, Stored};
use crate::manifest::VersionRecord;
use crate::manifest::record::{BuildSummary, FORMAT};

/// How often objects that a listing does not show are sent again. Once is enough against a sweep that was under way; a store
/// that loses what it has just taken is broken.
const ROUNDS: usize = 3;

pub(super) struct Attempt<'a> {
    pub(super) tools: &'a Tools,
    pub(super) request: &'a Publish,
    pub(super) progress: &'a watch::Sender<Progress>,
    pub(super) prepared: Prepared,
}

impl Attempt<'_> {
    pub(super) async fn run(&self, cancel: &CancellationToken) -> Result<Published, PublishFailure> {
        let recorded = tokio::select! {
            biased;
            () = cancel.cancelled() => Err(PublishFailure::Cancelled),
            recorded = self.bring() => recorded,
        };
        let recorded = match recorded {
            Ok(Some(record)) => Ok(record),
            // From here on there is no stopping: whether a record that was sent has landed is not known until it is answered.
            Ok(None) => self.record().await,
            Err(failure) => Err(failure),
        };
        match recorded {
            Ok(record) => {
                self.withdraw().await?;
                Ok(Published { record, manifest: self.prepared.manifest.clone(), progress: *self.progress.borrow() })
            }
            Err(failure) => {
                if failure == PublishFailure::Cancelled || failure.class() == FailureClass::Permanent {
                    // Nothing of this publish will write a record any more, so others need not wait for it. When the bucket
                    // fails here, the intent stays, and that is only slower for others.
                    let _ = self.withdraw().await;
                }
                Err(failure)
            }
        }
    }

    async fn withdraw(&self) -> Result<(), BucketError> {
        intent::withdraw(self.tools, self.request, &self.prepared.digest).await
    }

    /// Everything up to the version record. Answers the record if an earlier attempt wrote it.
    async fn bring(&self) -> Result<Option<VersionRecord>, PublishFailure> {
        let objects = self.objects();
        let bytes_total = objects.values().map(Object::size).sum();
        self.progress.send_modify(|progress| (progress.objects_total, progress.bytes_total) = (objects.len() as u64, bytes_total));
        let record = self.recorded().await?;
        if record.is_some() && self.lacking().await?.is_empty() {
            self.progress.send_modify(|progress| progress.objects_reused = progress.objects_total);
            return Ok(record);
        }
        // First say what we are about to use, then look who is about to delete: see `reclaim` for the other side.
        intent::write(self.tools, self.request, &self.prepared.digest).await?;
        self.bury_or_wait(&objects).await?;
        let known = known::recent(&*self.tools.bucket, &self.request.layout).await?;
        let is_known = |object: &&Object| known.get(object.key_below(self.request.layout.prefix())) == Some(&object.sha256);
        let (reused, new): (Vec<&Object>, Vec<&Object>) = objects.values().partition(is_known);
        self.progress.send_modify(|progress| progress.objects_reused += reused.len() as u64);
        self.send_all(new.into_iter().cloned().collect()).await?;
        self.store_manifest().await?;
        self.see_all_there(&objects).await?;
        Ok(record)
    }

    /// The record of our version, if it is there and means our build.
    async fn recorded(&self) -> Result<Option<VersionRecord>, PublishFailure> {
        let Some(record) = read_record(&*self.tools.bucket, &self.request.layout, &self.request.version).await? else { return Ok(None) };
        if record.digest == self.prepared.digest {
            return Ok(Some(record));
        }
        Err(PublishFailure::VersionTaken {
            version: record.version,
            recorded: record.digest,
            release: record.release,
            ours: self.prepared.digest.clone(),
        })
    }

    async fn send_all(&self, objects: Vec<Object>) -> Result<(), PublishFailure> {
        let occupied = self.send(objects).await?;
        if occupied.is_empty() { Ok(()) } else { Err(self.reclaim(occupied).await?) }
    }

    async fn store_manifest(&self) -> Result<(), PublishFailure> {
        let key = self.request.layout.manifest(&self.prepared.digest);
        let (body, attributes) = json(self.prepared.stored.clone(), Lasts::ForEver);
        match self.tools.bucket.create(&key, body, &attributes).await? {
            Created::New | Created::Same => Ok(()),
            // The key is the digest, so other bytes there are damage, not somebody's version.
            Created::Other(_) => Err(PublishFailure::Damaged { key, cause: "it has other bytes than its name says".to_owned() }),
        }
    }

    /// Keys that the bucket lacks, the manifest's included; an object of another length is a conflict.
    async fn lacking(&self) -> Result<Vec<String>, PublishFailure> {
        let (bucket, layout) = (&*self.tools.bucket, &self.request.layout);
        let (mut missing, wrong_size) = compare(bucket, layout, &self.prepared.manifest).await?;
        if let Some(key) = wrong_size.first() {
            return Err(self.damaged(key).await?);
        }
        let manifest = layout.manifest(&self.prepared.digest);
        // Of another length it is damaged, and sending it again says so.
        let is_there = |stored: Stored| stored.size == self.prepared.stored.len() as u64;
        if !bucket.head(&manifest).await?.is_some_and(is_there) {
            missing.push(manifest);
        }
        Ok(missing)
    }

    /// An object that a record names or that we sent has another length: somebody overwrote it past Rollcall.
    async fn damaged(&self, key: &str) -> Result<PublishFailure, PublishFailure> {
        let objects = self.objects();
        let our_hash = objects[key].sha256.clone();
        match self.tools.bucket.head(key).await? {
            Some(theirs) => Ok(self.conflict(&Occupied { key: key.to_owned(), our_hash, theirs })),
            None => Ok(PublishFailure::Vanishing { missing: 1, first: key.to_owned() }),
        }
    }

    /// The barrier before the record: a listing that shows every object. What is not there, although a record or the store's
    /// own answer said so, is sent again.
    async fn see_all_there(&self, objects: &BTreeMap<String, Object>) -> Result<(), PublishFailure> {
        let mut missing = Vec::new();
        for _ in 0..ROUNDS {
            missing = self.lacking().await?;
            if missing.is_empty() {
                return Ok(());
            }
            let again = missing.iter().filter(|key| objects.contains_key(*key)).count() as u64;
            self.progress.send_modify(|progress| progress.objects_reused = progress.objects_reused.saturating_sub(again));
            self.send_all(missing.iter().filter_map(|key| objects.get(key)).cloned().collect()).await?;
            self.store_manifest().await?;
        }
        Err(PublishFailure::Vanishing { missing: missing.len(), first: missing.swap_remove(0) })
    }

    async fn record(&self) -> Result<VersionRecord, PublishFailure> {
        // From here on a record may be on its way: whoever comes after us counts the life of that request from this date.
        intent::write(self.tools, self.request, &self.prepared.digest).await?;
        let record = VersionRecord {
            record_version: FORMAT,
            version: self.request.version.clone(),
            digest: self.prepared.digest.clone(),
            release: self.request.release.clone(),
            published_at: self.tools.clock.now(),
            files: self.prepared.manifest.files.len() as u64,
            bytes: self.prepared.manifest.bytes(),
            build: Some(Box::new(BuildSummary::of(self.prepared.reading.clone(), &self.prepared.manifest))),
        };
        let (body, attributes) = encoded(&record, Lasts::ForEver);
        match self.tools.bucket.create(&self.request.layout.version(&self.request.version), body, &attributes).await? {
            Created::New | Created::Same => Ok(record),
            // Another publish of this version was faster; its time differs, and its build may.
            Created::Other(_) => self.recorded().await?.ok_or_else(|| PublishFailure::Damaged {
                key: self.request.layout.version(&self.request.version),
                cause: "it was removed while it was written".to_owned(),
            }),
        }
    }
}
