//! Unversioned files at the public keys of a replica, before any page of their version is served from there.
//! Never replaces anything: what lies there gives way with the flip.

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};

use super::{Pair, ReplicaFailure, of_store};
use crate::api::{ContentHash, ManifestDigest};
use crate::bucket::Body;
use crate::manifest::build::ENTRY_BYTES_MAX;
use crate::manifest::{ManifestFile, Publicly, Writer};
use crate::upload::entries::by_size;
use crate::upload::records::read_record;
use crate::upload::unversioned::{BEFORE_ANY_FLIP, declared_immutable, public_attributes};

impl Pair {
    /// Puts these unversioned files of a version where the replica's listing showed nothing.
    pub(super) async fn place_unversioned(
        &self,
        files: Vec<ManifestFile>,
        version: &str,
        digest: &ManifestDigest,
    ) -> Result<(), ReplicaFailure> {
        if files.is_empty() {
            return Ok(());
        }
        let Some(record) = read_record(&*self.store.bucket, &self.store.layout, version).await.map_err(of_store)? else { return Ok(()) };
        let writer = Writer { release: record.release, version: version.to_owned(), digest: digest.clone() };
        for (files, parallel) in by_size(files) {
            let placed = futures::stream::iter(files).map(|file| {
                let writer = writer.clone();
                async move { self.place(&file, &writer).await }
            });
            placed.buffer_unordered(parallel).try_collect::<()>().await?;
        }
        Ok(())
    }

    async fn place(&self, file: &ManifestFile, writer: &Writer) -> Result<(), ReplicaFailure> {
        let (bucket, layout) = (&*self.replica.bucket, &self.replica.layout);
        let key = layout.key(&file.path);
        let original = self.store.bucket.head(&self.store.layout.key(&file.path)).await.map_err(of_store)?;
        let is_same = original.filter(|original| original.sha256.as_ref() == Some(&file.sha256));
        let lasts = if is_same.as_ref().is_some_and(|it| declared_immutable(it).is_some()) { Publicly::ForEver } else { Publicly::ForNow };
        let stored = layout.key(&file.key());
        let Some(bytes) = bucket.get(&stored, ENTRY_BYTES_MAX).await.map_err(ReplicaFailure::Replica)? else {
            return Err(ReplicaFailure::Damaged { key: stored, cause: "it went while it was copied to its public key".to_owned() });
        };
        let bytes = as_listed(file, stored, bytes)?;
        let attributes = public_attributes(file, writer, BEFORE_ANY_FLIP, lasts);
        // Lost: another program put something there, which is as good.
        bucket.create(&key, Body::Bytes(bytes), &attributes).await.map_err(ReplicaFailure::Replica)?;
        Ok(())
    }
}

/// The bytes, if they are those that the manifest lists for the file.
pub(super) fn as_listed(file: &ManifestFile, key: String, bytes: Bytes) -> Result<Bytes, ReplicaFailure> {
    if ContentHash::of(&bytes) == file.sha256 {
        return Ok(bytes);
    }
    Err(ReplicaFailure::Damaged { key, cause: "its bytes are not what the manifest says".to_owned() })
}
