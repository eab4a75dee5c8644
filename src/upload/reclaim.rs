//! Frees keys of what a dead publish left there, so that it does not block the next one for ever.
//! Never deletes what any record names, what another release wrote or has claimed, what another live publish may use, what could not be looked up, or what Rollcall did not write,
//! and nothing at all in a store that does not keep the condition of a delete.
//!
//! The races, with D the one who deletes (here) and P any other publish:
//! - P writes its intent before D reads intents: D sees it and gives up.
//! - P writes its intent after that: then D's tombstone was there before, and P, which reads tombstones after its intent, waits.
//! - P ended between D's two looks: its record was there before its intent went, and D reads records *after* intents, so D sees the record.
//! - D's delete lands late: it is conditional on the token of the leftover, and the key stays unusable until the request's signature
//!   has died; D does not send one when [`DELETE_WITHIN`] has passed since the tombstone.
//! - Two of D: the tombstone is create-only, the second one waits for the first.
//! - P's own create of the leftover lands late, after D's delete: it is create-only and not named by any record, so it is again a
//!   leftover, found and freed the same way.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;

use super::attempt::Attempt;
use super::documents::{Lasts, ReadFailure, encoded};
use super::intent::other_live;
use super::neighbours::Neighbours;
use super::send::Occupied;
use super::tombstones::{self, Usable, free_at};
use super::{PublishFailure, known};
use crate::bucket::probe::Deletes;
use crate::bucket::{BucketError, Created};
use crate::manifest::record::{Buried, FORMAT};
use crate::manifest::{Tombstone, TombstonePhase, Writer};

/// A delete is sent only this soon after its tombstone, so that its signature dies within the time that others wait. Taken out
/// of the two minutes for clocks.
pub const DELETE_WITHIN: Duration = Duration::from_secs(30);

/// Keys that are freed under one look at intents and records: 1,000 tombstones take about three seconds.
const BATCH: usize = 1000;

/// Why the keys must stay as they are.
enum Stay {
    /// A recorded version may name this one.
    Conflict(Box<Occupied>),
    /// This publish may use them.
    InUse(Writer),
}

impl Attempt<'_> {
    /// Takes keys that we need out of tombstones, or waits for those under which something was deleted. Call it after the intent is written.
    pub(super) async fn bury_or_wait(&self) -> Result<(), PublishFailure> {
        let (bucket, layout) = (&*self.tools.bucket, &self.request.layout);
        let manifest = layout.manifest(&self.prepared.digest);
        let needs = |key: &str| self.objects.find(key).is_some() || self.objects.is_public(key) || key == manifest;
        match tombstones::take_out(bucket, layout, self.tools.clock.now(), &needs).await? {
            Usable::Now => Ok(()),
            Usable::From { key, until } => Err(PublishFailure::Reclaiming { key, until }),
        }
    }

    /// Looks at keys that have other bytes, frees those that can be freed, and says what to tell the user.
    pub(super) async fn reclaim(&self, occupied: Vec<Occupied>) -> Result<PublishFailure, PublishFailure> {
        if let Some(foreign) = self.foreign(&occupied).await? {
            return Ok(self.conflict(foreign));
        }
        // The first look costs nothing and spares most conflicts the tombstone. Records first: they make the better message.
        if let Some(stay) = self.look(&occupied).await? {
            return Ok(self.stay(&occupied, stay));
        }
        if let Deletes::Never { seen } = self.tools.bucket.deletes().await? {
            let first = occupied.first().map(|one| (one.key.clone(), one.theirs.writer.clone()));
            let (key, theirs) = first.unwrap_or_default();
            return Ok(PublishFailure::LeftoverStays { key, theirs: theirs.map(Box::new), seen });
        }
        let mut latest = None;
        for batch in occupied.chunks(BATCH) {
            let at = self.tools.clock.now();
            let buried = self.bury(batch, at).await?;
            if let Some(stay) = self.look(batch).await? {
                self.dig_up(&buried).await?;
                return Ok(self.stay(batch, stay));
            }
            self.delete(&buried, at).await?;
            latest = Some(free_at(at));
        }
        let key = occupied.first().map(|one| one.key.clone()).unwrap_or_default();
        Ok(PublishFailure::Reclaiming { key, until: latest.unwrap_or_else(|| self.tools.clock.now()) })
    }

    /// One that is not a leftover of this prefix's own publishes: nobody of ours wrote it, or as a public file, or another release did, or has the key. What
    /// cannot be read is doubt, and doubt deletes nothing.
    async fn foreign<'o>(&self, occupied: &'o [Occupied]) -> Result<Option<&'o Occupied>, PublishFailure> {
        let neighbours = Neighbours::new(&*self.tools.bucket, &self.request.layout, &self.request.release);
        for one in occupied {
            // At its public key a file with the number of a flip is no leftover: visitors ask for it now.
            if one.theirs.writer.is_none() || one.theirs.sequence.is_some() {
                return Ok(Some(one));
            }
            match neighbours.of_object(&one.key, &one.theirs).await {
                Ok(None) => {}
                Ok(Some(_)) | Err(ReadFailure::Malformed { .. }) => return Ok(Some(one)),
                Err(ReadFailure::Bucket(error)) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    pub(super) fn conflict(&self, occupied: &Occupied) -> PublishFailure {
        PublishFailure::Conflict {
            key: occupied.key.clone(),
            ours: Box::new(self.request.writer(&self.prepared.digest)),
            our_hash: occupied.our_hash.clone(),
            theirs: occupied.theirs.writer.clone().map(Box::new),
            their_hash: occupied.theirs.sha256.clone(),
            evidence: occupied.evidence.or_else(|| self.objects.find(&occupied.key).and_then(|at| self.objects.file(at).evidence)),
        }
    }

    fn stay(&self, occupied: &[Occupied], stay: Stay) -> PublishFailure {
        match stay {
            Stay::Conflict(one) => self.conflict(&one),
            Stay::InUse(by) => {
                let key = occupied.first().map(|one| one.key.clone()).unwrap_or_default();
                PublishFailure::KeyInUse { key, by }
            }
        }
    }

    /// Reads intents, **then** records (see the races above). What cannot be read is doubt, and doubt deletes nothing.
    async fn look(&self, occupied: &[Occupied]) -> Result<Option<Stay>, PublishFailure> {
        let keys: BTreeSet<String> = occupied.iter().map(|one| one.key.clone()).collect();
        let doubtful = || Some(Stay::Conflict(Box::new(occupied[0].clone())));
        let live = match other_live(self.tools, self.request, &self.prepared.digest).await {
            Ok(live) => live,
            Err(ReadFailure::Malformed { .. }) => return Ok(doubtful()),
            Err(ReadFailure::Bucket(error)) => return Err(error.into()),
        };
        let named = match known::named(&*self.tools.bucket, &self.request.layout, &keys).await {
            Ok(named) => named,
            Err(ReadFailure::Malformed { .. }) => return Ok(doubtful()),
            Err(ReadFailure::Bucket(error)) => return Err(error.into()),
        };
        if let Some(one) = occupied.iter().find(|one| named.contains(&one.key)) {
            return Ok(Some(Stay::Conflict(Box::new(one.clone()))));
        }
        Ok(live.map(|intent| Stay::InUse(Writer { release: intent.release, version: intent.version, digest: intent.digest })))
    }

    /// Writes a tombstone for each key; answers those that are ours.
    async fn bury(&self, occupied: &[Occupied], at: Timestamp) -> Result<Vec<Occupied>, BucketError> {
        let written = futures::stream::iter(occupied.to_vec()).map(|one| async move {
            let phase = TombstonePhase::Deleting { usable_from: free_at(at) };
            let objects = vec![Buried { key: one.key.clone(), etag: one.theirs.etag.clone() }];
            let tombstone = Tombstone { tombstone_version: FORMAT, at, phase, objects };
            let (body, attributes) = encoded(&tombstone, Lasts::ForNow);
            let place = self.request.layout.tombstone(&one.key);
            let created = self.tools.bucket.create(&place, body, &attributes).await?;
            // Somebody else's: theirs to delete, ours to wait.
            Ok((!matches!(created, Created::Other(_))).then_some(one))
        });
        let buried = written.buffered(self.tools.parallel.max(1));
        buried.try_filter_map(|one| async move { Ok(one) }).try_collect().await
    }

    /// Takes our tombstones back: nothing was deleted under them.
    async fn dig_up(&self, buried: &[Occupied]) -> Result<(), BucketError> {
        for one in buried {
            let place = self.request.layout.tombstone(&one.key);
            if let Some(stored) = self.tools.bucket.head(&place).await? {
                self.tools.bucket.delete(&place, &stored.etag).await?;
            }
        }
        Ok(())
    }

    async fn delete(&self, buried: &[Occupied], at: Timestamp) -> Result<(), BucketError> {
        let deleted = futures::stream::iter(buried.to_vec()).map(|one| async move {
            let waited = self.tools.clock.now().duration_since(at);
            if waited.unsigned_abs() <= DELETE_WITHIN {
                // Lost: another object is there by now; it stays, and the next attempt looks at it.
                self.tools.bucket.delete(&one.key, &one.theirs.etag).await?;
            }
            Ok(())
        });
        deleted.buffered(self.tools.parallel.max(1)).try_collect().await
    }
}
