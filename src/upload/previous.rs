//! What was published before, and what of a build its visitors have already. Only reads.

use super::documents::{ReadFailure, list_all, read};
use crate::bucket::Bucket;
use crate::manifest::{Class, Layout, MANIFEST_BYTES_MAX, Manifest, VersionRecord};

/// The newest recorded version with another name; by the store's date, since versions' names do not sort by time.
///
/// # Errors
/// When the bucket fails or the record is damaged.
pub async fn newest_other(bucket: &dyn Bucket, layout: &Layout, version: &str) -> Result<Option<VersionRecord>, ReadFailure> {
    let ours = layout.version(version);
    let others = list_all(bucket, &layout.versions()).await?.into_iter().filter(|listed| listed.key != ours);
    match others.max_by(|a, b| a.last_modified.cmp(&b.last_modified).then_with(|| b.key.cmp(&a.key))) {
        Some(newest) => read(bucket, &newest.key).await,
        None => Ok(None),
    }
}

/// Bytes of a build's assets that somebody who has all assets of `before` must load nevertheless.
///
/// # Errors
/// When the bucket fails, or the manifest of `before` is gone or damaged.
pub async fn load_again(bucket: &dyn Bucket, layout: &Layout, manifest: &Manifest, before: &VersionRecord) -> Result<u64, ReadFailure> {
    let key = layout.manifest(&before.digest);
    let Some(stored) = bucket.get(&key, MANIFEST_BYTES_MAX).await? else {
        return Err(ReadFailure::Malformed { key, cause: "it is not there".to_owned() });
    };
    let mut had = vec![false; manifest.files.len()];
    let scanned = Manifest::scan(&stored, &before.digest, |line| {
        if let (Class::Asset, Ok(at)) = (line.class, manifest.files.binary_search_by(|file| file.path.as_str().cmp(&line.path))) {
            had[at] = true;
        }
    });
    scanned.map_err(|error| ReadFailure::Malformed { key, cause: error.to_string() })?;
    let files = manifest.files.iter().zip(had);
    Ok(files.filter(|(file, had)| file.class == Class::Asset && !had).map(|(file, _)| file.size).sum())
}
