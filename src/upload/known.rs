//! What recorded versions say is in the bucket.
//! Never trusted for more than saving requests, unless every record could be read.

use std::collections::{BTreeMap, BTreeSet};

use super::documents::{ReadFailure, list_all, read};
use super::read_manifest;
use crate::api::{ContentHash, ManifestDigest};
use crate::bucket::{Bucket, BucketError};
use crate::manifest::{Layout, ManifestFile, VersionRecord};

/// Manifests that are read to find out what need not be sent. The newest one has nearly all of it; two more cost two requests.
const RECENT: usize = 3;

/// Objects that the newest recorded versions have: key below the prefix, and hash. A record or a manifest that cannot be read
/// only costs requests for objects that are there. Newest by the store's date: versions' names do not sort by time.
pub(super) async fn recent(bucket: &dyn Bucket, layout: &Layout) -> Result<BTreeMap<String, ContentHash>, BucketError> {
    let mut records = list_all(bucket, &layout.versions()).await?;
    records.sort_by(|a, b| b.last_modified.cmp(&a.last_modified).then_with(|| a.key.cmp(&b.key)));
    let mut known = BTreeMap::new();
    for record in records.iter().take(RECENT) {
        match files_of(bucket, layout, &record.key).await {
            Ok(files) => known.extend(files.into_iter().map(|file| (file.key, file.sha256))),
            Err(ReadFailure::Malformed { .. }) => {}
            Err(ReadFailure::Bucket(error)) => return Err(error),
        }
    }
    Ok(known)
}

/// Which of these keys any recorded version names. An error is doubt: then nothing may be deleted.
pub(super) async fn named(bucket: &dyn Bucket, layout: &Layout, keys: &BTreeSet<String>) -> Result<BTreeSet<String>, ReadFailure> {
    let mut named = BTreeSet::new();
    let mut seen = BTreeSet::<ManifestDigest>::new();
    for listed in list_all(bucket, &layout.versions()).await? {
        let record = record_at(bucket, &listed.key).await?;
        if seen.insert(record.digest.clone()) {
            let files = manifest_files(bucket, layout, &record, &listed.key).await?;
            named.extend(files.into_iter().map(|file| layout.key(&file.key)).filter(|key| keys.contains(key)));
        }
    }
    Ok(named)
}

async fn files_of(bucket: &dyn Bucket, layout: &Layout, record_key: &str) -> Result<Vec<ManifestFile>, ReadFailure> {
    let record = record_at(bucket, record_key).await?;
    manifest_files(bucket, layout, &record, record_key).await
}

async fn record_at(bucket: &dyn Bucket, key: &str) -> Result<VersionRecord, ReadFailure> {
    let gone = || ReadFailure::Malformed { key: key.to_owned(), cause: "it was removed while it was read".to_owned() };
    read(bucket, key).await?.ok_or_else(gone)
}

async fn manifest_files(
    bucket: &dyn Bucket,
    layout: &Layout,
    record: &VersionRecord,
    record_key: &str,
) -> Result<Vec<ManifestFile>, ReadFailure> {
    match read_manifest(bucket, layout, &record.digest).await? {
        Some(manifest) => Ok(manifest.files.clone()),
        None => Err(ReadFailure::Malformed { key: record_key.to_owned(), cause: format!("the manifest {} is not there", record.digest) }),
    }
}
