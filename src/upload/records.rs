//! The version records and the manifests: what was published. Never takes damage for absence.

use std::sync::Arc;

use super::documents::{ReadFailure, list_all, read};
use super::{Publish, PublishFailure};
use crate::api::ManifestDigest;
use crate::bucket::{Bucket, BucketError, Listed};
use crate::manifest::{Layout, MANIFEST_BYTES_MAX, Manifest, ManifestLine, VersionRecord};

/// The record of a version, if it was published.
///
/// # Errors
/// When the bucket fails, or what lies there is no version record of that version.
pub async fn read_record(bucket: &dyn Bucket, layout: &Layout, version: &str) -> Result<Option<VersionRecord>, ReadFailure> {
    let key = layout.version(version);
    match read::<VersionRecord>(bucket, &key).await? {
        Some(record) if record.version != version => {
            Err(ReadFailure::Malformed { key, cause: format!("it is the record of version {:?}", record.version) })
        }
        record => Ok(record),
    }
}

/// The record of the version that is published, if it is there and means this build.
pub(super) async fn read_own_record(
    bucket: &dyn Bucket,
    request: &Publish,
    digest: &ManifestDigest,
) -> Result<Option<VersionRecord>, PublishFailure> {
    match read_record(bucket, &request.layout, &request.version).await? {
        Some(VersionRecord { version, digest: recorded, release, .. }) if recorded != *digest => {
            Err(PublishFailure::VersionTaken { version, recorded, release, ours: digest.clone() })
        }
        record => Ok(record),
    }
}

/// Where all version records lie, the newest first: by the store's date, since versions' names do not sort by time.
pub(super) async fn list_records(bucket: &dyn Bucket, layout: &Layout) -> Result<Vec<Listed>, BucketError> {
    let mut records = list_all(bucket, &layout.versions()).await?;
    records.sort_by(|a, b| b.last_modified.cmp(&a.last_modified).then_with(|| a.key.cmp(&b.key)));
    Ok(records)
}

/// A record that was just listed.
pub(super) async fn record_at(bucket: &dyn Bucket, key: &str) -> Result<VersionRecord, ReadFailure> {
    let gone = || ReadFailure::Malformed { key: key.to_owned(), cause: "it was removed while it was read".to_owned() };
    read(bucket, key).await?.ok_or_else(gone)
}

/// Looks through a stored manifest where it lies, without building it up. One that is not there is damage: a record names it.
pub(super) async fn scan_manifest(
    bucket: &dyn Bucket,
    layout: &Layout,
    digest: &ManifestDigest,
    each: impl FnMut(&ManifestLine<'_>),
) -> Result<(), ReadFailure> {
    let key = layout.manifest(digest);
    let scanned = match bucket.get(&key, MANIFEST_BYTES_MAX).await? {
        Some(stored) => Manifest::scan(&stored, digest, each).map_err(|error| error.to_string()),
        None => Err("it is not there".to_owned()),
    };
    scanned.map_err(|cause| ReadFailure::Malformed { key, cause })
}

/// A stored manifest, if it is there.
///
/// # Errors
/// When the bucket fails, or the bytes do not have that digest.
pub async fn read_manifest(bucket: &dyn Bucket, layout: &Layout, digest: &ManifestDigest) -> Result<Option<Arc<Manifest>>, ReadFailure> {
    let key = layout.manifest(digest);
    let Some(stored) = bucket.get(&key, MANIFEST_BYTES_MAX).await? else { return Ok(None) };
    match Manifest::parse(&stored, digest) {
        Ok(manifest) => Ok(Some(Arc::new(manifest))),
        Err(error) => Err(ReadFailure::Malformed { key, cause: error.to_string() }),
    }
}
