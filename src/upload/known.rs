//! What recorded versions say is in the bucket.
//! Never trusted for more than saving requests, unless every record could be read.

use std::collections::BTreeSet;

use super::documents::{ReadFailure, list_all, read};
use super::objects::Objects;
use super::read_manifest;
use crate::api::ManifestDigest;
use crate::bucket::{Bucket, BucketError, Listed};
use crate::manifest::{Layout, MANIFEST_BYTES_MAX, Manifest, ManifestFile, VersionRecord};

/// Manifests that are read at most to find out what need not be sent: a version that goes back on the one before, and one more.
const RECENT: usize = 3;

/// An older manifest is read only while more than one object in 20 is unknown: below that, asking for them one by one is cheaper.
const UNKNOWN_SHARE: usize = 20;

/// For each place of the manifest whether one of the newest recorded versions has that object. A record or a manifest that cannot
/// be read only costs requests for objects that are there. Newest by the store's date: versions' names do not sort by time.
pub(super) async fn recent(bucket: &dyn Bucket, layout: &Layout, objects: &Objects) -> Result<Vec<bool>, BucketError> {
    let mut records = list_all(bucket, &layout.versions()).await?;
    records.sort_by(|a, b| b.last_modified.cmp(&a.last_modified).then_with(|| a.key.cmp(&b.key)));
    let mut known = vec![false; objects.places()];
    for record in records.iter().take(RECENT) {
        match mark(bucket, layout, record, objects, &mut known).await {
            Ok(()) | Err(ReadFailure::Malformed { .. }) => {}
            Err(ReadFailure::Bucket(error)) => return Err(error),
        }
        if objects.all().filter(|at| !known[*at]).count() <= objects.count() / UNKNOWN_SHARE {
            break;
        }
    }
    Ok(known)
}

/// Marks what the version of one record has. Its manifest is looked through where it lies, never built up.
async fn mark(bucket: &dyn Bucket, layout: &Layout, listed: &Listed, objects: &Objects, known: &mut [bool]) -> Result<(), ReadFailure> {
    let record = record_at(bucket, &listed.key).await?;
    // What retention takes is not there, whatever its manifest says.
    if bucket.head(&layout.swept(&record.digest)).await?.is_some() {
        return Ok(());
    }
    let key = layout.manifest(&record.digest);
    let Some(stored) = bucket.get(&key, MANIFEST_BYTES_MAX).await? else {
        return Err(ReadFailure::Malformed { key, cause: "it is not there".to_owned() });
    };
    let scanned = Manifest::scan(&stored, &record.digest, |line| {
        // By path, for entries too: one with the same bytes under another name is asked for, and answered "the same".
        let found =
            objects.at_path(&line.path).filter(|at| objects.file(*at).class == line.class && line.has_hash(&objects.file(*at).sha256));
        if let Some(at) = found {
            known[at] = true;
        }
    });
    scanned.map_err(|error| ReadFailure::Malformed { key, cause: error.to_string() })
}

/// Which of these keys any recorded version names. An error is doubt: then nothing may be deleted.
pub(super) async fn named(bucket: &dyn Bucket, layout: &Layout, keys: &BTreeSet<String>) -> Result<BTreeSet<String>, ReadFailure> {
    let mut named = BTreeSet::new();
    let mut seen = BTreeSet::<ManifestDigest>::new();
    for listed in list_all(bucket, &layout.versions()).await? {
        let record = record_at(bucket, &listed.key).await?;
        if seen.insert(record.digest.clone()) {
            let files = match manifest_files(bucket, layout, &record, &listed.key).await {
                // Retention took this build, on purpose: it names nothing any more.
                Err(ReadFailure::Malformed { .. }) if is_swept(bucket, layout, &record.digest).await? => continue,
                files => files?,
            };
            named.extend(files.iter().map(|file| layout.key(&file.key())).filter(|key| keys.contains(key)));
        }
    }
    Ok(named)
}

/// Whether the manifest is gone and retention says that it took it.
async fn is_swept(bucket: &dyn Bucket, layout: &Layout, digest: &ManifestDigest) -> Result<bool, BucketError> {
    Ok(bucket.head(&layout.manifest(digest)).await?.is_none() && bucket.head(&layout.swept(digest)).await?.is_some())
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
