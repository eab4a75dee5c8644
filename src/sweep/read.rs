//! Reading many documents: a bounded number at a time, each one at most once as long as it stays the same.
//! Never takes a document that vanished while it was read for one that was never there, unless that is harmless.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _};

use super::PARALLEL;
use crate::bucket::{Bucket, Listed};
use crate::upload::ReadFailure;
use crate::upload::documents::{Document, list_all, read};

/// Documents by key, with the token under which they were read.
pub(super) struct Cache<D>(BTreeMap<String, (String, D)>);

impl<D> Default for Cache<D> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<D: Document + Clone> Cache<D> {
    /// Every document of a folder. One that vanishes between listing and reading was taken back by its owner.
    pub(super) async fn all(&mut self, bucket: &dyn Bucket, folder: &str) -> Result<Vec<(Listed, D)>, ReadFailure> {
        let listed = list_all(bucket, folder).await?;
        let is_known = |one: &Listed| self.0.get(&one.key).is_some_and(|(etag, _)| *etag == one.etag);
        let unknown: Vec<Listed> = listed.iter().filter(|one| !is_known(one)).cloned().collect();
        let read = futures::stream::iter(unknown).map(|one| async move {
            let document = read::<D>(bucket, &one.key).await?;
            Ok::<_, ReadFailure>(document.map(|document| (one.key, (one.etag, document))))
        });
        let read: Vec<_> = read.buffered(PARALLEL).try_collect().await?;
        self.0.extend(read.into_iter().flatten());
        self.0.retain(|key, _| listed.binary_search_by(|one| one.key.as_str().cmp(key)).is_ok());
        Ok(listed.into_iter().filter_map(|one| self.0.get(&one.key).map(|(_, document)| (one.clone(), document.clone()))).collect())
    }
}
