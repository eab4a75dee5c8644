//! A version that an older program recorded: it knew fewer classes, so the same files had another manifest, and another digest.
//! Never takes a manifest for the build's but one that lists the same files with the same bytes.

use super::Prepared;
use crate::bucket::Bucket;
use crate::manifest::{Class, Manifest};
use crate::upload::records::read_record;
use crate::upload::{Publish, ReadFailure, read_manifest};

impl Prepared {
    /// This build under the manifest with which its version was recorded; `None` where the version is not recorded, or means another
    /// build, or was recorded by a program that knows what this one knows.
    pub(in crate::upload) async fn as_recorded(&self, bucket: &dyn Bucket, request: &Publish) -> Result<Option<Self>, ReadFailure> {
        let Some(record) = read_record(bucket, &request.layout, &request.version).await?.filter(|record| record.digest != self.digest)
        else {
            return Ok(None);
        };
        let Some(manifest) = read_manifest(bucket, &request.layout, &record.digest).await? else { return Ok(None) };
        let (stored_size, digest) = manifest.identity();
        if digest != record.digest || !is_of_before(&manifest) || !is_same_build(&manifest, &self.manifest) {
            return Ok(None);
        }
        Ok(Some(Self { bytes: self.bytes.clone(), manifest, reading: self.reading.clone(), stored_size, digest }))
    }
}

fn is_of_before(manifest: &Manifest) -> bool {
    manifest.files.iter().all(|file| file.evidence.is_none() && file.class != Class::Unversioned)
}

fn is_same_build(one: &Manifest, other: &Manifest) -> bool {
    let pairs = || one.files.iter().zip(&other.files);
    one.files.len() == other.files.len() && pairs().all(|(one, other)| (&one.path, &one.sha256) == (&other.path, &other.sha256))
}
