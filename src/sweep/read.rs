//! Reading many documents: a bounded number at a time, each one at most once as long as it stays the same.
//! Never takes a document that vanished while it was read for one that was never there, unless that is harmless.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _};

use super::PARALLEL;
use crate::bucket::{Bucket, Listed};
use crate::upload::ReadFailure;
use crate::upload::documents::{Document, list_all, read};

/// Documents by key, with the token under which they were read.
pub(super) struct Cache<D> {
    documents: BTreeMap<String, (String, D)>,
    /// How many of the last listing were gone when they were read.
    vanished: usize,
}

/// How often a folder is listed anew because one of its documents was gone when it was read.
const LOOKS: usize = 4;

impl<D> Default for Cache<D> {
    fn default() -> Self {
        Self { documents: BTreeMap::new(), vanished: 0 }
    }
}

impl<D: Document + Clone> Cache<D> {
    /// Every document of a folder, none of which vanished while they were read.
    pub(super) async fn whole(&mut self, bucket: &dyn Bucket, folder: &str) -> Result<Vec<(Listed, D)>, ReadFailure> {
        for _ in 0..LOOKS {
            let found = self.all(bucket, folder).await?;
            if self.vanished == 0 {
                return Ok(found);
            }
        }
        Err(ReadFailure::Malformed { key: folder.to_owned(), cause: "documents in it vanish as often as they are read".to_owned() })
    }

    /// Every document of a folder. One that vanishes between listing and reading was taken back by its owner.
    pub(super) async fn all(&mut self, bucket: &dyn Bucket, folder: &str) -> Result<Vec<(Listed, D)>, ReadFailure> {
        let listed = list_all(bucket, folder).await?;
        let is_known = |one: &Listed| self.documents.get(&one.key).is_some_and(|(etag, _)| *etag == one.etag);
        let unknown: Vec<Listed> = listed.iter().filter(|one| !is_known(one)).cloned().collect();
        let read = futures::stream::iter(unknown).map(|one| async move {
            let document = read::<D>(bucket, &one.key).await?;
            Ok::<_, ReadFailure>(document.map(|document| (one.key, (one.etag, document))))
        });
        let read: Vec<_> = read.buffered(PARALLEL).try_collect().await?;
        self.documents.extend(read.into_iter().flatten());
        self.documents.retain(|key, _| listed.binary_search_by(|one| one.key.as_str().cmp(key)).is_ok());
        let listed_count = listed.len();
        let found: Vec<_> = listed
            .into_iter()
            .filter_map(|one| self.documents.get(&one.key).map(|(_, document)| (one.clone(), document.clone())))
            .collect();
        self.vanished = listed_count - found.len();
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;
    use bytes::Bytes;
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::bucket::memory::MemoryBucket;
    use crate::bucket::{Attributes, Body, BucketError, Created, Expected, Page, Pieces, Stored, Swapped};
    use crate::clock::TokioClock;
    use crate::manifest::References;

    fn document(release: &str) -> String {
        let at = Timestamp::UNIX_EPOCH;
        let document =
            json!({"referencesVersion": 1, "cluster": "c", "release": release, "since": at, "writtenAt": at, "uses": [], "activated": []});
        document.to_string()
    }

    /// A release takes over another one's document between the listing and the read: first the new one is there, then the old one gone.
    struct Moving(Arc<MemoryBucket>);

    #[async_trait]
    impl Bucket for Moving {
        async fn create(&self, key: &str, body: Body, attributes: &Attributes) -> Result<Created, BucketError> {
            self.0.create(key, body, attributes).await
        }

        async fn replace(&self, key: &str, body: Body, attributes: &Attributes, expected: &Expected) -> Result<Swapped, BucketError> {
            self.0.replace(key, body, attributes, expected).await
        }

        async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Bytes>, BucketError> {
            if key == "r/old.json" && self.0.stored(key).is_some() {
                self.0.overwrite("r/new.json", document("shop/new"));
                self.0.remove(key);
            }
            self.0.get(key, bytes_max).await
        }

        async fn read(&self, key: &str, etag: &str) -> Result<Option<Pieces>, BucketError> {
            self.0.read(key, etag).await
        }

        async fn head(&self, key: &str) -> Result<Option<Stored>, BucketError> {
            self.0.head(key).await
        }

        async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, BucketError> {
            self.0.list(prefix, after).await
        }

        async fn give_up_uploads(&self, prefix: &str, before: Timestamp) -> Result<u64, BucketError> {
            self.0.give_up_uploads(prefix, before).await
        }

        async fn delete(&self, key: &str, etag: &str) -> Result<Swapped, BucketError> {
            self.0.delete(key, etag).await
        }
    }

    /// I5: or neither the old document nor the new one would keep anything for the length of this sweep.
    #[tokio::test(start_paused = true)]
    async fn a_document_that_moves_while_it_is_read_is_read_where_it_went() {
        let memory = Arc::new(MemoryBucket::new(Arc::new(TokioClock::starting_at(Timestamp::UNIX_EPOCH))));
        memory.overwrite("r/old.json", document("shop/old"));
        let mut cache = Cache::<References>::default();
        let found = cache.whole(&Moving(memory), "r/").await.unwrap();
        assert_eq!(found.iter().map(|(_, one)| one.release.as_str()).collect::<Vec<_>>(), ["shop/new"]);
    }
}
