//! Builds in a folder of another bucket: listed, checked like an archive, hashed, and left where they lie if the store can copy them.
//! Never writes to that bucket, never uses an object that was changed since it was listed, and never believes a hash but the store's own
//! or ours.

mod in_bucket;
mod listing;

use std::fmt;
use std::sync::Arc;

pub use self::in_bucket::InBucket;
use super::archive::Limits;
use super::workspace::Allotment;
use super::{Build, Bytes, Refusal, SourceError};
use crate::api::ManifestDigest;
use crate::api::release::BucketSource;
use crate::bucket::{Bucket, BucketError};

/// Where a build lies, and what is known of the store there.
#[derive(Clone)]
pub struct BuildFolder {
    /// The bucket, opened with keys that may read the folder.
    pub bucket: Arc<dyn Bucket>,
    /// Its name and the folder in it.
    pub place: BuildPlace,
    /// How its store stands to the one that the build goes to.
    pub kinship: Kinship,
    /// What a build may hold.
    pub limits: Limits,
}

/// A folder in a bucket, as messages name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildPlace {
    /// Name of the bucket.
    pub bucket: String,
    /// What keys begin with; ends with `/`.
    pub folder: String,
}

/// How the store of a folder stands to the store that the build goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kinship {
    /// It is the same, and was seen to copy under conditions, to check SHA-256 and to keep the condition of deletes: large objects are
    /// copied by it, and the hash that it computed is believed.
    Same,
    /// It is another one, or does not do all of that: the bytes come here.
    Other,
}

impl BuildPlace {
    /// Fills the version's name into `{version}`.
    #[must_use]
    pub fn of(source: &BucketSource, version: &str) -> Self {
        Self { bucket: source.name.clone(), folder: source.folder.replace("{version}", version) }
    }
}

impl fmt::Display for BuildPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "folder {:?} of bucket {:?}", self.folder, self.bucket)
    }
}

/// What a build must be: nothing of any other one is ever written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// Digest of its manifest.
    pub digest: ManifestDigest,
    /// Where the build is, for the message.
    pub place: String,
}

impl Pin {
    /// What the release says of the folder.
    ///
    /// # Errors
    /// When the digest is none; the API server refuses that before, so it is a mistake of an older object.
    pub fn of(source: &BucketSource, version: &str) -> Result<Self, Refusal> {
        let digest = source.digest.parse().map_err(|_| Refusal::InvalidDigest { given: source.digest.clone() })?;
        Ok(Self { digest, place: BuildPlace::of(source, version).to_string() })
    }

    /// Whether this is the build.
    ///
    /// # Errors
    /// Names the digest that was asked for, never the other one.
    pub fn check(&self, actual: &ManifestDigest) -> Result<(), Refusal> {
        if *actual == self.digest {
            return Ok(());
        }
        Err(Refusal::OtherBuild { place: self.place.clone(), expected: self.digest.clone() })
    }
}

/// Reads the build: every object has its hash after it, and what is small or cannot be copied lies in a room of the workspace.
///
/// # Errors
/// [`SourceError`] names the object and what is wrong with it.
pub async fn read(from: BuildFolder, space: &Allotment) -> Result<Build, SourceError> {
    let objects = listing::objects(&from).await?;
    let lying = Arc::new(InBucket::new(from, objects, space)?);
    let files = lying.hash_all().await?;
    Ok(Build::new(files, Bytes::InBucket(lying)))
}

impl BuildFolder {
    fn failed(&self, error: BucketError) -> SourceError {
        SourceError::Bucket { place: self.place.to_string(), error }
    }
}

#[cfg(test)]
mod tests;
