//! Asks the bucket whether a version is completely there: one request for each 1,000 keys, and memory for the manifest only.
//! Never takes a listing for proof of bytes: the store checked those when it took them (I3 keeps them).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::documents::ReadFailure;
use super::read_manifest;
use crate::api::ManifestDigest;
use crate::bucket::{Bucket, BucketError, Listed};
use crate::manifest::{Layout, Manifest};

/// What a bucket has of a version.
#[derive(Debug, Clone)]
pub struct Verified {
    /// The manifest, as it is stored.
    pub manifest: Arc<Manifest>,
    /// Keys of the bucket where nothing is: sorted, all of them.
    pub missing: Vec<String>,
    /// Keys of the bucket where something of another length is: sorted, all of them.
    pub wrong_size: Vec<String>,
}

impl Verified {
    /// Whether every object is there.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.wrong_size.is_empty()
    }
}

/// Why a version could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyFailure {
    /// The bucket failed, or the manifest is damaged.
    #[error(transparent)]
    Read(#[from] ReadFailure),
    /// The manifest itself is gone.
    #[error("the manifest {key:?} is not in the store")]
    ManifestMissing {
        /// Its key in the bucket.
        key: String,
    },
}

impl VerifyFailure {
    /// A stable name for conditions, events and metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Read(failure) => failure.reason(),
            Self::ManifestMissing { .. } => "ManifestMissing",
        }
    }
}

impl From<BucketError> for VerifyFailure {
    fn from(error: BucketError) -> Self {
        Self::Read(error.into())
    }
}

/// Looks whether the version with this digest is completely in the bucket.
///
/// # Errors
/// When the manifest cannot be read or the bucket not be listed. Missing objects are no error but the answer.
pub async fn verify(bucket: &dyn Bucket, layout: &Layout, digest: &ManifestDigest) -> Result<Verified, VerifyFailure> {
    let Some(manifest) = read_manifest(bucket, layout, digest).await? else {
        return Err(VerifyFailure::ManifestMissing { key: layout.manifest(digest) });
    };
    let (missing, wrong_size) = compare(bucket, layout, &manifest).await?;
    Ok(Verified { manifest, missing, wrong_size })
}

/// Merges the listing of the prefix with the manifest's keys: both come in byte order.
pub(super) async fn compare(bucket: &dyn Bucket, layout: &Layout, manifest: &Manifest) -> Result<(Vec<String>, Vec<String>), BucketError> {
    let expected: BTreeMap<String, u64> = manifest.files.iter().map(|file| (layout.key(&file.key), file.size)).collect();
    let mut wanted = expected.into_iter().peekable();
    let (mut missing, mut wrong_size) = (Vec::new(), Vec::new());
    let mut after = None;
    loop {
        let page = bucket.list(layout.prefix(), after.as_deref()).await?;
        for Listed { key, size, .. } in page.objects {
            while let Some((gone, _)) = wanted.next_if(|(wanted, _)| *wanted < key) {
                missing.push(gone);
            }
            if let Some((there, wanted_size)) = wanted.next_if(|(wanted, _)| *wanted == key)
                && size != wanted_size
            {
                wrong_size.push(there);
            }
        }
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    missing.extend(wanted.map(|(key, _)| key));
    Ok((missing, wrong_size))
}
