//! One version into a replica: what its listing does not show is brought, the manifest after the objects, the record last.
//! Never answers "whole" but from a listing that was made after the last write.

use futures::{StreamExt as _, TryStreamExt as _};

use super::bring::{Brought, Wanting, occupied};
use super::public::as_listed;
use super::{Pair, ReplicaFailure, of_store};
use crate::api::ManifestDigest;
use crate::bucket::{Body, BucketError, Expected};
use crate::manifest::Class;
use crate::manifest::build::ENTRY_BYTES_MAX;
use crate::upload::known;
use crate::upload::objects::Objects;
use crate::upload::send::object_attributes;
use crate::upload::verify::{Listing, There, compare};
use crate::upload::{VerifyFailure, read_manifest};

/// Looks at single keys in flight.
const LOOKS: usize = 16;

impl Pair {
    async fn list(&self, objects: &Objects) -> Result<Listing, ReplicaFailure> {
        let listing = compare(&*self.replica.bucket, &self.replica.layout, objects).await.map_err(ReplicaFailure::Replica)?;
        self.refuse_other_lengths(objects, listing).await
    }

    async fn refuse_other_lengths(&self, objects: &Objects, listing: Listing) -> Result<Listing, ReplicaFailure> {
        let Some(at) = objects.all().find(|at| listing.objects[*at] == There::OtherLength) else { return Ok(listing) };
        let key = objects.key(at);
        match self.replica.bucket.head(&key).await.map_err(ReplicaFailure::Replica)? {
            Some(theirs) => Err(occupied(key, objects.file(at).sha256.clone(), &theirs)),
            None => Err(vanishing(key)),
        }
    }

    /// The listing, once no asset lies there as a public copy from the time when nothing proved that its bytes stay. Such a copy may have
    /// missed the writes of flips, its length proves nothing, and as an asset no later flip would write it.
    async fn list_settled(&self, objects: &Objects, version: &str) -> Result<Listing, ReplicaFailure> {
        let (bucket, layout) = (&*self.replica.bucket, &self.replica.layout);
        let listing = compare(bucket, layout, objects).await.map_err(ReplicaFailure::Replica)?;
        let is_there = |at: &usize| objects.file(*at).class == Class::Asset && listing.objects[*at] != There::Missing;
        if !objects.all().any(|at| is_there(&at)) {
            return self.refuse_other_lengths(objects, listing).await;
        }
        // The record comes last, so that this version is none of those.
        let known = known::recent(bucket, layout, version, objects).await.map_err(ReplicaFailure::Replica)?.known;
        let doubtful: Vec<usize> = objects.all().filter(|at| is_there(at) && !known[*at]).collect();
        let settled = futures::stream::iter(doubtful).map(|at| self.settle(objects, at)).buffer_unordered(LOOKS);
        let settled: Vec<bool> = settled.try_collect().await?;
        if settled.contains(&true) { self.list(objects).await } else { self.refuse_other_lengths(objects, listing).await }
    }

    /// Whether a public copy had to give way to the store's object.
    async fn settle(&self, objects: &Objects, at: usize) -> Result<bool, ReplicaFailure> {
        let (file, key) = (objects.file(at), objects.key(at));
        let there = self.replica.bucket.head(&key).await.map_err(ReplicaFailure::Replica)?;
        let Some(there) = there.filter(|there| there.sequence.is_some() && there.writer.is_some()) else { return Ok(false) };
        let original = self.store.layout.key(&file.key());
        let Some(stored) = self.store.bucket.head(&original).await.map_err(of_store)? else { return Ok(false) };
        let Some(bytes) = self.store.bucket.get(&original, ENTRY_BYTES_MAX).await.map_err(of_store)? else { return Ok(false) };
        let bytes = as_listed(file, original, bytes)?;
        let attributes = object_attributes(file, stored.writer);
        let replaced = self.replica.bucket.replace(&key, Body::Bytes(bytes), &attributes, &Expected::ETag(there.etag)).await;
        // Lost: somebody else wrote it, and the next listing is compared.
        replaced.map(|_| true).map_err(ReplicaFailure::Replica)
    }

    /// Brings a document of ours unless it is there; whether it is there now.
    pub(super) async fn bring_document(&self, store_key: &str) -> Result<Brought, ReplicaFailure> {
        let below = self.store.layout.below(store_key).to_owned();
        if self.replica.bucket.head(&self.replica.layout.key(&below)).await.map_err(ReplicaFailure::Replica)?.is_some() {
            return Ok(Brought::There);
        }
        self.bring(&Wanting { below, size: 0, sha256: None }).await
    }

    /// Everything of the build is there: whatever retention took before, it is no more.
    pub(super) async fn take_back_the_sign(&self, digest: &ManifestDigest) -> Result<(), ReplicaFailure> {
        let (bucket, sign) = (&self.replica.bucket, self.replica.layout.swept(digest));
        if let Some(stored) = bucket.head(&sign).await.map_err(ReplicaFailure::Replica)? {
            bucket.delete(&sign, &stored.etag).await.map_err(ReplicaFailure::Replica)?;
        }
        Ok(())
    }
}

/// Brings a version that the store has into the replica; answers the keys of the replica that are still lacking: what the store lacks,
/// too. Whatever happened to an earlier try, calling it again goes on from there, and when all is there it only lists.
///
/// # Errors
/// [`ReplicaFailure`] says which of the two buckets, and what to do about it.
pub async fn bring_version(pair: &Pair, version: &str, digest: &ManifestDigest) -> Result<Vec<String>, ReplicaFailure> {
    let manifest = read_manifest(&*pair.store.bucket, &pair.store.layout, digest).await.map_err(of_store)?;
    let Some(manifest) = manifest else {
        let missing = VerifyFailure::ManifestMissing { key: pair.store.layout.manifest(digest) };
        return Err(ReplicaFailure::Damaged { key: pair.store.layout.manifest(digest), cause: missing.to_string() });
    };
    let objects = Objects::new(&pair.replica.layout, &manifest);
    let mut listing = pair.list_settled(&objects, version).await?;
    let missing: Vec<usize> = objects.all().filter(|at| listing.objects[*at] == There::Missing).collect();
    if !missing.is_empty() {
        let wanting = missing.iter().map(|at| objects.file(*at)).map(|file| Wanting {
            below: file.key().into_owned(),
            size: file.size,
            sha256: Some(file.sha256.clone()),
        });
        pair.bring_all(wanting.collect(), &|_| {}).await?;
        listing = pair.list(&objects).await?;
        let is_missing = |at: &usize| listing.objects[*at] == There::Missing;
        let mut lacking: Vec<String> = objects.all().filter(is_missing).map(|at| objects.key(at)).collect();
        if !lacking.is_empty() {
            lacking.sort();
            return Ok(lacking);
        }
    }
    let unversioned = listing.lacking_publicly(&objects).into_iter().map(|at| objects.file(at).clone()).collect();
    pair.place_unversioned(unversioned, version, digest).await?;
    if pair.bring_document(&pair.store.layout.manifest(digest)).await? != Brought::There {
        return Ok(vec![pair.replica.layout.manifest(digest)]);
    }
    pair.take_back_the_sign(digest).await?;
    if pair.bring_document(&pair.store.layout.version(version)).await? != Brought::There {
        return Ok(vec![pair.replica.layout.version(version)]);
    }
    Ok(Vec::new())
}

fn vanishing(key: String) -> ReplicaFailure {
    ReplicaFailure::Replica(BucketError::Unavailable { operation: "list", key, cause: "it was removed while it was looked at".to_owned() })
}
