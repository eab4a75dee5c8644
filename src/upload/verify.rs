//! Asks the bucket whether a version is completely there: one request for each 1,000 keys, and memory for the manifest only.
//! Never takes a listing for proof of bytes: the store checked those when it took them (I3 keeps them).

use std::sync::Arc;

use super::documents::ReadFailure;
use super::objects::{Objects, Purpose};
use super::read_manifest;
use crate::api::ManifestDigest;
use crate::bucket::{Bucket, BucketError, Listed, Walk};
use crate::manifest::{Class, Layout, Manifest};

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
    let objects = Objects::new(layout, &manifest);
    let there = compare(bucket, layout, &objects).await?.objects;
    let keys = |word: There| {
        let mut keys: Vec<String> = objects.all().filter(|at| there[*at] == word).map(|at| objects.key(at)).collect();
        keys.sort();
        keys
    };
    let (missing, wrong_size) = (keys(There::Missing), keys(There::OtherLength));
    Ok(Verified { manifest, missing, wrong_size })
}

/// What a listing says about the objects of a build: one word for each place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum There {
    /// Nothing is at its key.
    Missing,
    /// Something of its length.
    Likely,
    /// Something of another length.
    OtherLength,
}

/// What a listing says about a build: one word for each place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listing {
    /// Of the objects.
    pub(super) objects: Vec<There>,
    /// Of the public keys of unversioned files. Every other place says `Missing`.
    public: Vec<There>,
}

impl Listing {
    /// Places of unversioned files whose public key has nothing.
    pub(super) fn lacking_publicly(&self, objects: &Objects) -> Vec<usize> {
        let lacks = |at: &usize| objects.file(*at).class == Class::Unversioned && self.public[*at] == There::Missing;
        (0..objects.places()).filter(lacks).collect()
    }
}

/// Merges the listing of the prefix with the build's keys: both come in byte order.
pub(super) async fn compare(bucket: &dyn Bucket, layout: &Layout, objects: &Objects) -> Result<Listing, BucketError> {
    let keys = objects.in_listing_order();
    let nothing = || vec![There::Missing; objects.places()];
    let mut listing = Listing { objects: nothing(), public: nothing() };
    let (mut wanted, mut walk) = (keys.iter().peekable(), Walk::new(bucket, layout.prefix()));
    while let Some(lines) = walk.page().await? {
        for Listed { key, size, .. } in lines {
            let below = layout.below(&key);
            while wanted.next_if(|(wanted, ..)| wanted.as_ref() < below).is_some() {}
            if let Some((_, at, purpose)) = wanted.next_if(|(wanted, ..)| wanted == below) {
                let there = match purpose {
                    Purpose::Object => &mut listing.objects,
                    Purpose::Public => &mut listing.public,
                };
                there[*at] = if size == objects.file(*at).size { There::Likely } else { There::OtherLength };
            }
        }
        // Nothing behind the last key that is wanted says anything.
        if wanted.peek().is_none() {
            break;
        }
    }
    Ok(listing)
}
