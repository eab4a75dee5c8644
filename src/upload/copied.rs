//! Objects of a build that lies in a bucket of the same store: copied by the store, then looked at.
//! Never takes a copy for right on anybody's word: its hash is the store's own computation, or is computed here.

use futures::TryStreamExt as _;
use sha2::{Digest as _, Sha256};

use super::PublishFailure;
use super::attempt::Attempt;
use crate::api::ContentHash;
use crate::bucket::{Attributes, BucketError, Copied, Created, Stored};
use crate::manifest::ManifestFile;
use crate::source::Bytes;

impl Attempt<'_> {
    /// Has the store copy a file's bytes; `None` when they have to be sent.
    pub(super) async fn copied(&self, file: &ManifestFile, key: &str, attributes: &Attributes) -> Result<Option<Created>, PublishFailure> {
        let Bytes::InBucket(objects) = &self.prepared.bytes else { return Ok(None) };
        let Some(original) = objects.original(&file.path, &file.sha256) else { return Ok(None) };
        match self.tools.bucket.copy(key, &original, attributes).await? {
            Copied::Ended(Created::New) if !self.has_bytes(key, &file.sha256).await? => Err(objects.changed_at(&file.path).into()),
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
    async fn has_bytes(&self, key: &str, sha256: &ContentHash) -> Result<bool, PublishFailure> {
        let Some(stored) = self.tools.bucket.head(key).await? else {
            return Err(PublishFailure::Vanishing { missing: 1, first: key.to_owned() });
        };
        let found = match &stored.computed {
            Some(computed) => computed.clone(),
            None => self.read_back(key, &stored).await?,
        };
        if found == *sha256 {
            return Ok(true);
        }
        self.tools.bucket.delete(key, &stored.etag).await?;
        Ok(false)
    }

    async fn read_back(&self, key: &str, stored: &Stored) -> Result<ContentHash, PublishFailure> {
        let Some(pieces) = self.tools.bucket.read(key, &stored.etag).await? else {
            return Err(PublishFailure::Vanishing { missing: 1, first: key.to_owned() });
        };
        let add = |hasher: Sha256, piece: bytes::Bytes| async move { Ok::<_, BucketError>(hasher.chain_update(&piece)) };
        let hasher = pieces.try_fold(Sha256::new(), add).await?;
        Ok(ContentHash::from_array(hasher.finalize().into()))
    }
}
