//! One object from the store into a replica: copied by the store itself where it can, else read once and written once.
//! Never writes bytes whose hash was not computed here or vouched for by the store under the very token that is copied.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use sha2::{Digest as _, Sha256};

use super::{Pair, ReplicaFailure, of_store};
use crate::api::ContentHash;
use crate::bucket::{Attributes, Body, Copied, Created, Original, Pieces, Stored};
use crate::manifest::classify;
use crate::manifest::headers::UNKNOWN_TYPE;
use crate::manifest::object::IMMUTABLE;
use crate::manifest::variant::{self, Encoding};
use crate::source::workspace::Draft;
use crate::source::{NoRoom, SourceError};
use crate::upload::unversioned::BEFORE_ANY_FLIP;

/// Up to here an object goes through memory; with [`PARALLEL`] of them at most 16 MiB.
const SMALL: u64 = 1024 * 1024;

/// Small objects on their way at a time. Larger ones go one by one, through a file.
const PARALLEL: usize = 16;

/// An object that the replica may lack.
#[derive(Debug, Clone)]
pub(super) struct Wanting {
    /// Its key below the prefix.
    pub(super) below: String,
    /// Length in bytes.
    pub(super) size: u64,
    /// What its bytes must be; `None` when only the store knows.
    pub(super) sha256: Option<ContentHash>,
}

/// What became of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Brought {
    /// It is in the replica now.
    There,
    /// The store does not have it (any more).
    Gone,
    /// It is not for a replica: nobody of ours wrote it, it is a page at its public key, or the replica has another file there for now.
    NotOurs,
}

impl Pair {
    /// Brings these; answers what became of each, in no order. `done` hears of each.
    pub(super) async fn bring_all(
        &self,
        wanting: Vec<Wanting>,
        done: &(dyn Fn(&Wanting) + Sync),
    ) -> Result<Vec<(String, Brought)>, ReplicaFailure> {
        let (small, large): (Vec<_>, Vec<_>) = wanting.into_iter().partition(|one| one.size <= SMALL);
        let mut brought = Vec::new();
        for (wanting, parallel) in [(small, PARALLEL), (large, 1)] {
            let each = futures::stream::iter(wanting).map(|one| async move {
                let became = self.bring(&one).await?;
                done(&one);
                Ok::<_, ReplicaFailure>((one.below, became))
            });
            brought.extend(each.buffer_unordered(parallel).try_collect::<Vec<_>>().await?);
        }
        Ok(brought)
    }

    /// Brings one object. One that is there already is compared.
    pub(super) async fn bring(&self, wanting: &Wanting) -> Result<Brought, ReplicaFailure> {
        let key = self.store.layout.key(&wanting.below);
        let Some(stored) = self.store.bucket.head(&key).await.map_err(of_store)? else { return Ok(Brought::Gone) };
        let Some(sha256) = stored.sha256.clone().filter(|_| may_lie_there(&stored, wanting)) else { return Ok(Brought::NotOurs) };
        if let Some(wanted) = wanting.sha256.as_ref().filter(|wanted| **wanted != sha256) {
            return Err(ReplicaFailure::Damaged { key, cause: format!("it has sha256 {sha256} instead of {wanted}") });
        }
        let attributes = attributes(&stored, sha256);
        let to = self.replica.layout.key(&wanting.below);
        let created = match self.copy(&key, &to, &stored, &attributes).await? {
            Copied::Ended(created) => created,
            Copied::OriginalChanged => return Ok(Brought::Gone),
            Copied::Unable(_) => match self.carry(&key, &to, &stored, &attributes).await? {
                Some(created) => created,
                None => return Ok(Brought::Gone),
            },
        };
        match created {
            // A public copy gives way with the flips, each in its own time.
            Created::Same | Created::Other(_) if is_public_copy(&stored, wanting) => Ok(Brought::NotOurs),
            Created::New | Created::Same => Ok(Brought::There),
            Created::Other(theirs) => Err(occupied(to, attributes.sha256, &theirs)),
        }
    }

    async fn copy(&self, key: &str, to: &str, stored: &Stored, attributes: &Attributes) -> Result<Copied, ReplicaFailure> {
        let Some(bucket) = self.original_bucket.clone().filter(|_| !self.gave_up_copying.load(Ordering::Relaxed)) else {
            return Ok(Copied::Unable(String::new()));
        };
        let original = Original { bucket, key: key.to_owned(), etag: stored.etag.clone(), size: stored.size };
        let copied = self.replica.bucket.copy(to, &original, attributes).await.map_err(ReplicaFailure::Replica)?;
        if let Copied::Unable(said) = &copied
            && !self.gave_up_copying.swap(true, Ordering::Relaxed)
        {
            tracing::info!(key, said, "the store does not copy into the replica; objects go through here");
        }
        Ok(copied)
    }

    /// Reads it here and writes it there; `None` when it is gone, or another one by now.
    async fn carry(&self, key: &str, to: &str, stored: &Stored, attributes: &Attributes) -> Result<Option<Created>, ReplicaFailure> {
        let Some(pieces) = self.store.bucket.read(key, &stored.etag).await.map_err(of_store)? else { return Ok(None) };
        let damaged = |found: &ContentHash| ReplicaFailure::Damaged {
            key: key.to_owned(),
            cause: format!("its bytes have sha256 {found}, its description says {}", attributes.sha256),
        };
        let create = |body| self.replica.bucket.create(to, body, attributes);
        if stored.size <= SMALL {
            let bytes: Vec<Bytes> = pieces.try_collect().await.map_err(of_store)?;
            let bytes = Bytes::from(bytes.concat());
            let found = ContentHash::of(&bytes);
            if found != attributes.sha256 {
                return Err(damaged(&found));
            }
            return create(Body::Bytes(bytes)).await.map(Some).map_err(ReplicaFailure::Replica);
        }
        let (file, found) = self.spool(pieces).await?;
        if found != attributes.sha256 {
            return Err(damaged(&found));
        }
        tokio::select! {
            biased;
            created = create(Body::File { path: file.path().to_owned(), size: stored.size }) => created.map(Some).map_err(ReplicaFailure::Replica),
            () = self.space.asked_to_leave() => Err(ReplicaFailure::Workspace(SourceError::NoRoom { why: NoRoom::Yielded })),
        }
    }

    /// Into a file that goes when it is dropped, and the hash of what went into it.
    async fn spool(&self, mut pieces: Pieces) -> Result<(Draft, ContentHash), ReplicaFailure> {
        let room = self.space.room().map_err(ReplicaFailure::Workspace)?;
        let mut file = room.draft(room.path()).map_err(ReplicaFailure::Workspace)?;
        let mut hasher = Sha256::new();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(of_store)?;
            hasher.update(&piece);
            file.write(&piece).map_err(ReplicaFailure::Workspace)?;
        }
        Ok((file, ContentHash::from_array(hasher.finalize().into())))
    }
}

/// Whether it is a public copy of a file that is no page, which a manifest does not ask for as an object: the version that is served from
/// the replica needs it there.
fn is_public_copy(stored: &Stored, wanting: &Wanting) -> bool {
    stored.sequence.is_some() && wanting.sha256.is_none()
}

/// An object, or a public copy of what is no page. A page comes with its flip.
fn may_lie_there(stored: &Stored, wanting: &Wanting) -> bool {
    stored.sequence.is_none() || !classify::is_entry(variant::original_path(&wanting.below))
}

/// As the store has it: headers, writer and all. A public copy has the number of no flip of the replica's yet.
fn attributes(stored: &Stored, sha256: ContentHash) -> Attributes {
    Attributes {
        content_type: stored.content_type.clone().unwrap_or_else(|| UNKNOWN_TYPE.to_owned()),
        cache_control: stored.cache_control.clone().unwrap_or_else(|| IMMUTABLE.to_owned()),
        content_encoding: Encoding::ALL.map(Encoding::word).into_iter().find(|word| stored.content_encoding.as_deref() == Some(word)),
        sha256,
        writer: stored.writer.clone(),
        sequence: stored.sequence.map(|_| BEFORE_ANY_FLIP),
    }
}

pub(super) fn occupied(key: String, ours: ContentHash, theirs: &Stored) -> ReplicaFailure {
    let theirs = theirs.sha256.as_ref().map_or_else(|| format!("{} bytes", theirs.size), |sha256| format!("sha256 {sha256}"));
    ReplicaFailure::Occupied { key, ours, theirs }
}
