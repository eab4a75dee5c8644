//! A version that was recorded before, by an older program or under another `spec.build`: the same files had another manifest, and another
//! digest. Never takes a manifest for the build's but one that lists the same files with the same bytes.

use std::collections::BTreeMap;

use super::Prepared;
use crate::api::ContentHash;
use crate::bucket::Bucket;
use crate::manifest::build::is_left_out;
use crate::manifest::readers::{BuildNames, Decided};
use crate::manifest::{Manifest, VersionRecord};
use crate::source::Build;
use crate::upload::records::read_record;
use crate::upload::{Publish, ReadFailure, read_manifest};

impl Prepared {
    /// A build under the manifest with which its version was recorded: no rule of today can refuse what was published. `None` where the
    /// version is not recorded or means another build, or its manifest is not there any more or damaged: then it is made and judged anew.
    ///
    /// # Errors
    /// When the bucket fails, or the record cannot be understood.
    pub async fn recorded(bucket: &dyn Bucket, request: &Publish, build: &Build) -> Result<Option<Self>, ReadFailure> {
        let Some(VersionRecord { digest: recorded, build: summary, .. }) = read_record(bucket, &request.layout, &request.version).await?
        else {
            return Ok(None);
        };
        let manifest = match read_manifest(bucket, &request.layout, &recorded).await {
            Ok(Some(manifest)) => manifest,
            Ok(None) | Err(ReadFailure::Malformed { .. }) => return Ok(None),
            Err(failure @ ReadFailure::Bucket(_)) => return Err(failure),
        };
        let reading = summary.map_or_else(|| BuildNames::none(Decided::NothingFound).reading, |summary| summary.reading);
        let (stored_size, digest) = manifest.identity();
        let files = build.files.iter().map(|file| (&file.path, &file.sha256));
        let (left_out, kept): (Vec<_>, Vec<_>) = files.partition(|(path, _)| is_left_out(path) || reading.path.as_ref() == Some(*path));
        let is_same = digest == recorded && has_recorded(&manifest, kept, left_out);
        Ok(is_same.then(|| Self { bytes: build.bytes.clone(), manifest, reading, stored_size, digest, left_out: Vec::new() }))
    }

    /// Whether this build was recorded as this version, under today's manifest or another one.
    ///
    /// # Errors
    /// When the bucket fails, or the record cannot be understood.
    pub async fn is_recorded(&self, bucket: &dyn Bucket, request: &Publish) -> Result<bool, ReadFailure> {
        match read_record(bucket, &request.layout, &request.version).await? {
            None => Ok(false),
            Some(record) => Ok(record.digest == self.digest || self.under(bucket, request, record).await?.is_some()),
        }
    }

    /// [`Prepared::recorded`] for a build that was prepared: under the manifest with which its version was recorded, if that is another one.
    pub(in crate::upload) async fn as_recorded(&self, bucket: &dyn Bucket, request: &Publish) -> Result<Option<Self>, ReadFailure> {
        match read_record(bucket, &request.layout, &request.version).await?.filter(|record| record.digest != self.digest) {
            Some(record) => self.under(bucket, request, record).await,
            None => Ok(None),
        }
    }

    async fn under(&self, bucket: &dyn Bucket, request: &Publish, record: VersionRecord) -> Result<Option<Self>, ReadFailure> {
        let Some(manifest) = read_manifest(bucket, &request.layout, &record.digest).await? else { return Ok(None) };
        let (stored_size, digest) = manifest.identity();
        let kept = self.manifest.files.iter().map(|file| (&file.path, &file.sha256));
        let left_out = self.left_out.iter().map(|(path, sha256)| (path, sha256));
        let is_same = digest == record.digest && has_recorded(&manifest, kept, left_out);
        let (bytes, reading) = (self.bytes.clone(), self.reading.clone());
        Ok(is_same.then(|| Self { bytes, manifest, reading, stored_size, digest, left_out: Vec::new() }))
    }
}

/// Whether a recorded manifest lists these files and no other: what was published counts, whatever is left out today.
fn has_recorded<'b>(
    manifest: &'b Manifest,
    kept: impl IntoIterator<Item = (&'b String, &'b ContentHash)>,
    left_out: impl IntoIterator<Item = (&'b String, &'b ContentHash)>,
) -> bool {
    let is_listed = |path: &str| manifest.files.binary_search_by(|file| file.path.as_str().cmp(path)).is_ok();
    let was_published = left_out.into_iter().filter(|(path, _)| is_listed(path));
    let ours: BTreeMap<_, _> = kept.into_iter().chain(was_published).collect();
    ours.into_iter().eq(manifest.files.iter().map(|file| (&file.path, &file.sha256)))
}
