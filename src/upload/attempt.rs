//! One attempt to bring a prepared build into the bucket, in the order that makes every crash harmless.
//! Never writes the version record before every object was confirmed: by the store's own answer in this attempt, or by a recorded
//! version whose objects nobody may delete while our intent stands.

use std::collections::BTreeSet;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::documents::{Lasts, encoded};
use super::intent::Begun;
use super::known::{self, Public, Recent};
use super::neighbours::{Foreign, Neighbours};
use super::objects::Objects;
use super::prepare::Prepared;
use super::records::read_own_record;
use super::send::{Occupied, Seen, Sent, Wanting};
use super::verify::{Listing, There, compare};
use super::{Before, FailureClass, Progress, Publish, PublishFailure, Published, Tools, intent};
use crate::api::ContentHash;
use crate::bucket::{BucketError, Created, Expected};
use crate::manifest::VersionRecord;
use crate::manifest::record::{BuildSummary, FORMAT};

/// How often objects that a listing does not show are sent again. Once is enough against a sweep that was under way; a store
/// that loses what it has just taken is broken.
const ROUNDS: usize = 3;

pub(super) struct Attempt<'a> {
    pub(super) tools: &'a Tools,
    pub(super) request: &'a Publish,
    pub(super) progress: &'a watch::Sender<Progress>,
    pub(super) prepared: &'a Prepared,
    pub(super) objects: Objects,
}

/// Whether a listing is made before anything is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ListFirst {
    Yes,
    No,
}

/// All but the version record is there.
struct Brought {
    /// If an earlier attempt wrote it.
    record: Option<VersionRecord>,
    before: Option<Before>,
    /// Files whose names a set vouches for.
    by_set: BTreeSet<String>,
}

impl Attempt<'_> {
    pub(super) async fn run(&self, cancel: &CancellationToken) -> Result<Published, PublishFailure> {
        let brought = tokio::select! {
            biased;
            () = cancel.cancelled() => Err(PublishFailure::Cancelled),
            brought = self.bring() => brought,
        };
        let recorded = match brought {
            Ok(Brought { record: Some(record), before, .. }) => Ok((record, before)),
            // From here on there is no stopping: whether a record that was sent has landed is not known until it is answered.
            Ok(Brought { record: None, before, by_set }) => self.record(&by_set).await.map(|record| (record, before)),
            Err(failure) => Err(failure),
        };
        match recorded {
            Ok((record, before)) => {
                self.withdraw().await?;
                let (manifest, progress) = (self.prepared.manifest.clone(), *self.progress.borrow());
                Ok(Published { record, manifest, progress, before })
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

    /// Everything up to the version record.
    async fn bring(&self) -> Result<Brought, PublishFailure> {
        let (total, bytes_total) = (self.objects.count() as u64, self.objects.bytes());
        self.progress.send_modify(|progress| (progress.objects_total, progress.bytes_total) = (total, bytes_total));
        let record = self.recorded().await?;
        if record.is_some() && self.is_whole().await? {
            self.progress.send_modify(|progress| progress.objects_reused = progress.objects_total);
            return Ok(Brought { record, before: None, by_set: BTreeSet::new() });
        }
        // First say what we are about to use, then look who is about to delete: see `reclaim` for the other side.
        let begun = intent::write(self.tools, self.request, &self.prepared.digest).await?;
        self.bury_or_wait().await?;
        let Recent { known, public, before, by_set } =
            known::recent(&*self.tools.bucket, &self.request.layout, &self.request.version, &self.objects).await?;
        let list_first = if begun == Begun::Again || record.is_some() { ListFirst::Yes } else { ListFirst::No };
        let wanting = self.wanting(&known, list_first).await?;
        self.see_whose_folders(&wanting).await?;
        let reused = total - wanting.len() as u64;
        self.progress.send_modify(|progress| progress.objects_reused += reused);
        let mut reused = self.send_all(wanting).await?;
        // What was lost once may have been lost at the public keys, too.
        let public = if list_first == ListFirst::Yes { vec![Public::Unknown; public.len()] } else { public };
        self.place_unversioned(&public, &by_set).await?;
        self.store_manifest().await?;
        if record.is_some() {
            reused.extend(self.see_all_there().await?);
        }
        self.promote_all(reused).await?;
        self.take_back_the_sign().await?;
        Ok(Brought { record, before, by_set })
    }

    /// What has to be brought. Normally what recorded versions do not have: a few requests, however many files there are. What a
    /// recorded version names stays, because our intent is written and no tombstone was there. `listed`: an earlier attempt of
    /// this publish ended early, or a recorded version lacks something; then a listing says what is there.
    async fn wanting(&self, known: &[bool], listed: ListFirst) -> Result<Vec<Wanting>, PublishFailure> {
        if listed == ListFirst::No {
            let unknown = self.objects.all().filter(|at| !known[*at]);
            return Ok(unknown.map(|at| Wanting { at, seen: Seen::Nothing }).collect());
        }
        let there = self.list().await?.objects;
        let wanting = self.objects.all().filter_map(|at| match (there[at], known[at]) {
            (There::Likely, true) => None,
            (There::Likely, false) => Some(Wanting { at, seen: Seen::Likely }),
            (There::Missing | There::OtherLength, _) => Some(Wanting { at, seen: Seen::Nothing }),
        });
        Ok(wanting.collect())
    }

    /// Sees that nothing new, pages at their public keys included, lies in a folder that another release has claimed.
    async fn see_whose_folders(&self, wanting: &[Wanting]) -> Result<(), PublishFailure> {
        let Publish { layout, release, .. } = self.request;
        // By their bytes: entry files with the same bytes share an object, and each has a public key of its own.
        let new: BTreeSet<&ContentHash> = wanting.iter().map(|one| &self.objects.file(one.at).sha256).collect();
        let files = self.prepared.manifest.files.iter().filter(|file| new.contains(&file.sha256));
        let keys: Vec<String> = files.map(|file| layout.key(&file.path)).collect();
        match Neighbours::new(&*self.tools.bucket, layout, release).of_any(&keys).await? {
            None => Ok(()),
            Some((key, Foreign { release, because })) => Err(PublishFailure::InvalidBuild {
                reason: "PathOfAnotherRelease",
                message: format!("{key:?} belongs to {release}: {because}; take the file out of the build"),
            }),
        }
    }

    async fn recorded(&self) -> Result<Option<VersionRecord>, PublishFailure> {
        read_own_record(&*self.tools.bucket, self.request, &self.prepared.digest).await
    }

    /// Answers the places of objects that were there already.
    async fn send_all(&self, objects: Vec<Wanting>) -> Result<Vec<usize>, PublishFailure> {
        let Sent { occupied, reused } = self.send(objects).await?;
        if occupied.is_empty() { Ok(reused) } else { Err(self.reclaim(occupied).await?) }
    }

    /// Everything is there again, whatever retention took before. The manifest first: while the sign lies there, a publish that died
    /// in between does all of this again.
    async fn take_back_the_sign(&self) -> Result<(), PublishFailure> {
        let sign = self.request.layout.swept(&self.prepared.digest);
        if let Some(stored) = self.tools.bucket.head(&sign).await? {
            self.date_manifest_anew().await?;
            self.tools.bucket.delete(&sign, &stored.etag).await?;
        }
        Ok(())
    }

    /// The same bytes once more: from the manifest's date retention counts the time of a build whose record is older.
    async fn date_manifest_anew(&self) -> Result<(), PublishFailure> {
        let key = self.request.layout.manifest(&self.prepared.digest);
        let Some(stored) = self.tools.bucket.head(&key).await? else {
            return Err(PublishFailure::Vanishing { missing: 1, first: key });
        };
        let (body, attributes) = self.prepared.stored_manifest();
        // Lost: somebody else has just done it.
        self.tools.bucket.replace(&key, body, &attributes, &Expected::ETag(stored.etag)).await?;
        Ok(())
    }

    async fn store_manifest(&self) -> Result<(), PublishFailure> {
        let key = self.request.layout.manifest(&self.prepared.digest);
        let (body, attributes) = self.prepared.stored_manifest();
        match self.tools.bucket.create(&key, body, &attributes).await? {
            Created::New | Created::Same => Ok(()),
            // The key is the digest, so other bytes there are damage, not somebody's version.
            Created::Other(_) => Err(PublishFailure::Damaged { key, cause: "it has other bytes than its name says".to_owned() }),
        }
    }

    /// What a listing says; an object of another length is a conflict: somebody overwrote it past Rollcall.
    async fn list(&self) -> Result<Listing, PublishFailure> {
        let listing = compare(&*self.tools.bucket, &self.request.layout, &self.objects).await?;
        let Some(at) = self.objects.all().find(|at| listing.objects[*at] == There::OtherLength) else { return Ok(listing) };
        let (key, our_hash) = (self.objects.key(at), self.objects.file(at).sha256.clone());
        match self.tools.bucket.head(&key).await? {
            Some(theirs) => Err(self.conflict(&Occupied { key, our_hash, theirs, evidence: None })),
            None => Err(PublishFailure::Vanishing { missing: 1, first: key }),
        }
    }

    /// Whether a listing shows every object and something at every public key that pages of the version need, the manifest is there, and
    /// retention takes neither.
    async fn is_whole(&self) -> Result<bool, PublishFailure> {
        let sign = self.request.layout.swept(&self.prepared.digest);
        if self.tools.bucket.head(&sign).await?.is_some() {
            return Ok(false);
        }
        let listing = self.list().await?;
        let has_all = self.objects.all().all(|at| listing.objects[at] == There::Likely);
        Ok(has_all && listing.lacking_publicly(&self.objects).is_empty() && self.has_manifest().await?)
    }

    async fn has_manifest(&self) -> Result<bool, BucketError> {
        let manifest = self.request.layout.manifest(&self.prepared.digest);
        // Of another length it is damaged, and sending it again says so.
        let stored = self.tools.bucket.head(&manifest).await?;
        Ok(stored.is_some_and(|stored| stored.size == self.prepared.stored_size))
    }

    /// After a repair: a listing that shows every object. What is not there, although the store's own answer said so, is sent again. Answers
    /// the places of objects that were there by then.
    async fn see_all_there(&self) -> Result<Vec<usize>, PublishFailure> {
        let (mut missing, mut reused) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let there = self.list().await?.objects;
            missing = self.objects.all().filter(|at| there[*at] == There::Missing).collect();
            if missing.is_empty() {
                return Ok(reused);
            }
            reused.extend(self.send_all(missing.iter().map(|at| Wanting { at: *at, seen: Seen::Nothing }).collect()).await?);
        }
        Err(PublishFailure::Vanishing { missing: missing.len(), first: self.objects.key(missing[0]) })
    }

    async fn record(&self, by_set: &BTreeSet<String>) -> Result<VersionRecord, PublishFailure> {
        // From here on a record may be on its way: whoever comes after us counts the life of that request from this date.
        let begun = intent::write(self.tools, self.request, &self.prepared.digest).await?;
        if begun == Begun::Anew {
            // Somebody who shares our intent took it back: for a while nothing kept what we reuse. So all of it is looked at again.
            self.bury_or_wait().await?;
            let reused = self.see_all_there().await?;
            self.promote_all(reused).await?;
        }
        let record = VersionRecord {
            record_version: FORMAT,
            version: self.request.version.clone(),
            digest: self.prepared.digest.clone(),
            release: self.request.release.clone(),
            published_at: self.tools.clock.now(),
            files: self.prepared.manifest.files.len() as u64,
            bytes: self.prepared.manifest.bytes(),
            build: Some(Box::new(BuildSummary::of(self.prepared.reading.clone(), &self.prepared.manifest, by_set))),
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
