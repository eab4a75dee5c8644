//! Objects of a build that lies in a bucket of the same store: copied by the store, then looked at.
//! Never takes a copy for right on anybody's word: its hash is the store's own computation, or is computed here.

use super::PublishFailure;
use super::attempt::Attempt;
use crate::api::ContentHash;
use crate::bucket::{Attributes, Copied, Created, Stored, hash_of};
use crate::manifest::ManifestFile;
use crate::source::Bytes;

impl Attempt<'_> {
    /// Has the store copy a file's bytes; `None` when they have to be sent.
    pub(super) async fn copied(&self, file: &ManifestFile, key: &str, attributes: &Attributes) -> Result<Option<Created>, PublishFailure> {
        let Bytes::InBucket(objects) = &self.prepared.bytes else { return Ok(None) };
        let Some(original) = objects.original(&file.path, &file.sha256) else { return Ok(None) };
        let _turn = objects.turn().await;
        match self.tools.bucket.copy(key, &original, attributes).await? {
            Copied::Ended(Created::New) if !self.has_bytes(key, attributes).await? => Err(objects.changed_at(&file.path).into()),
            Copied::Ended(Created::Same) => match self.tools.bucket.head(key).await? {
                Some(there) => self.proven(file, key, there).await.map(Some),
                None => Err(vanished(key)),
            },
            Copied::Ended(created) => Ok(Some(created)),
            Copied::OriginalChanged => Err(objects.changed_at(&file.path).into()),
            Copied::Unable(said) => {
                objects.give_up_copying(&said);
                Ok(None)
            }
        }
    }

    /// Whether the object that was just made has these bytes: nothing is kept of it otherwise. Its metadata only repeat what we said. A
    /// store that is asked to copy keeps the condition of deletes: see [`crate::source::bucket::Kinship`].
    async fn has_bytes(&self, key: &str, made_with: &Attributes) -> Result<bool, PublishFailure> {
        let stored = self.tools.bucket.head(key).await?.ok_or_else(|| vanished(key))?;
        if self.hash_of(key, &stored).await? == made_with.sha256 {
            return Ok(true);
        }
        // By another writer it is not the copy that was just made: that one is gone, and this one stays.
        if stored.writer.is_none() || stored.writer == made_with.writer {
            self.tools.bucket.delete(key, &stored.etag).await?;
        }
        Ok(false)
    }

    /// What is there under our own hash. It may be a copy that nobody has looked at, as its publish ended first or its answer was lost:
    /// then the bytes decide.
    pub(super) async fn proven(&self, file: &ManifestFile, key: &str, there: Stored) -> Result<Created, PublishFailure> {
        let may_be_a_copy = matches!(&self.prepared.bytes, Bytes::InBucket(objects) if objects.may_be_copied(file.size));
        let found = if may_be_a_copy { self.hash_of(key, &there).await? } else { file.sha256.clone() };
        Ok(if found == file.sha256 { Created::Same } else { Created::Other(Box::new(Stored { sha256: Some(found), ..there })) })
    }

    /// By the store's own computation, or ours.
    async fn hash_of(&self, key: &str, stored: &Stored) -> Result<ContentHash, PublishFailure> {
        if let Some(computed) = &stored.computed {
            return Ok(computed.clone());
        }
        let pieces = self.tools.bucket.read(key, &stored.etag).await?.ok_or_else(|| vanished(key))?;
        Ok(hash_of(pieces).await?)
    }
}

fn vanished(key: &str) -> PublishFailure {
    PublishFailure::Vanishing { missing: 1, first: key.to_owned() }
}
