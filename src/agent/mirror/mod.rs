//! The pod's own copy of the versions: complete and verified, or not there at all.
//! Never shows a version that is half loaded, and never deletes one unless told.

mod disk;
#[cfg(any(test, feature = "testing"))]
mod memory;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use super::fetch::{Fetch, FetchError, FetchedManifest, Pieces};
use crate::api::{ContentHash, ManifestDigest, PointedVersion};
use crate::manifest::{Manifest, ManifestFile};

pub use disk::Disk;
#[cfg(any(test, feature = "testing"))]
pub use memory::Memory;

/// A version that is completely here.
#[derive(Debug, Clone)]
pub struct HeldVersion {
    /// As the pointer named it when it was loaded.
    pub pointed: PointedVersion,
    /// Its files.
    pub manifest: Arc<Manifest>,
}

/// Why the mirror did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MirrorError {
    /// The bytes did not come, or not the right ones.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The volume is full.
    #[error("no space left on the volume while writing {path:?}")]
    NoSpace {
        /// What was being written.
        path: PathBuf,
    },
    /// A path that leads out of the version's folder. No build of ours has one.
    #[error("the manifest names the unsafe path {path:?}")]
    UnsafePath {
        /// As the manifest has it.
        path: String,
    },
    /// What is on the volume is not what was put there.
    #[error("{path:?} is not what the agent put there: {how}")]
    Changed {
        /// Which file or folder.
        path: PathBuf,
        /// What was seen.
        how: String,
    },
    /// The volume refuses.
    #[error("could not {action} {path:?}: {cause}")]
    Volume {
        /// For example `rename`.
        action: &'static str,
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        cause: String,
    },
}

/// Keeps versions.
#[async_trait]
pub trait Mirror: Send + Sync + 'static {
    /// The versions that an earlier life completed; removes whatever it left half done. Called once, before anything else.
    async fn held(&self) -> Result<Vec<HeldVersion>, MirrorError>;

    /// Makes a version complete: every file is fetched (or linked from a version that has the same bytes) and verified, then the
    /// version appears at once. A version that is complete is left as it is. May be dropped at any point.
    async fn load(&self, version: &PointedVersion, fetched: &FetchedManifest, fetch: &dyn Fetch) -> Result<(), MirrorError>;

    /// Fetches and verifies one file of a known manifest, so that [`Mirror::read`] has its bytes for a while.
    async fn fill(&self, file: &ManifestFile, url: &str, fetch: &dyn Fetch) -> Result<(), MirrorError>;

    /// The bytes `range` of the file with this hash; `None` when it is not here. Only bytes that are those of the hash are ever returned:
    /// [`MirrorError::Changed`] means that something else was found, which is gone now.
    async fn read(&self, hash: &ContentHash, range: Range<u64>) -> Result<Option<Pieces>, MirrorError>;

    /// Makes a held version the current one, with this name map, for an application that shares the volume.
    async fn make_current(&self, digest: &ManifestDigest, name_map: &str) -> Result<(), MirrorError>;

    /// Deletes a version and the bytes that no other one has. After an error the version is still complete.
    async fn evict(&self, digest: &ManifestDigest) -> Result<(), MirrorError>;
}

/// Refuses paths that could leave the version's folder, whatever the manifest says.
///
/// # Errors
/// [`MirrorError::UnsafePath`] for an absolute path, an empty, `.` or `..` segment, a backslash or a control character.
pub fn check_path(path: &str) -> Result<(), MirrorError> {
    let bad_segment = path.split('/').any(|segment| matches!(segment, "" | "." | ".."));
    let bad_character = path.chars().any(|c| c == '\\' || c.is_control());
    if bad_segment || bad_character { Err(MirrorError::UnsafePath { path: path.to_owned() }) } else { Ok(()) }
}
