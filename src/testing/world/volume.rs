//! A pod's volume: the mirror in memory, whose switch of pages can be held back as a slow application holds it, and which can be full.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use tokio::sync::watch;

use super::World;
use crate::agent::fetch::{Fetch, FetchedManifest, Pieces};
use crate::agent::mirror::{HeldVersion, Memory, Mirror, MirrorError};
use crate::api::{ContentHash, ManifestDigest, PointedVersion};
use crate::manifest::ManifestFile;

/// The volume of one pod. Outlives its agents.
pub(super) struct Volume {
    memory: Memory,
    held_back: watch::Sender<bool>,
    full: AtomicBool,
}

impl Volume {
    pub(super) fn new() -> Self {
        Self { memory: Memory::default(), held_back: watch::Sender::new(false), full: AtomicBool::new(false) }
    }

    /// The versions that are completely here.
    pub(super) fn digests(&self) -> Vec<ManifestDigest> {
        self.memory.digests()
    }

    /// The version whose pages are served.
    pub(super) fn served(&self) -> Option<ManifestDigest> {
        self.memory.current().map(|(digest, _)| digest)
    }

    /// From now on (or no longer) pages stay as they are.
    pub(super) fn hold_back(&self, hold: Hold) {
        self.held_back.send_replace(hold == Hold::Back);
    }
}

/// How much room a pod's volume has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// Everything that is written is refused.
    None,
    /// As much as is needed.
    Enough,
}

impl World {
    /// The volume of a pod is full, or has room again.
    pub fn fill_volume(&self, name: &str, space: Space) {
        self.kubelet.pods()[name].volume.full.store(space == Space::None, Ordering::SeqCst);
    }
}

impl Volume {
    /// As the real volume says it.
    fn room_for(&self, path: &str) -> Result<(), MirrorError> {
        if self.full.load(Ordering::SeqCst) { Err(MirrorError::NoSpace { path: path.into() }) } else { Ok(()) }
    }
}

/// Whether a pod's pages may move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// They stay as they are.
    Back,
    /// They may.
    Off,
}

#[async_trait]
impl Mirror for Volume {
    async fn held(&self) -> Result<Vec<HeldVersion>, MirrorError> {
        self.memory.held().await
    }

    async fn load(&self, version: &PointedVersion, fetched: &FetchedManifest, fetch: &dyn Fetch) -> Result<(), MirrorError> {
        // What is here needs no room; what is not is fetched first, as far as it goes.
        if !self.digests().contains(&version.digest) {
            self.room_for(&version.version)?;
        }
        self.memory.load(version, fetched, fetch).await
    }

    async fn fill(&self, file: &ManifestFile, url: &str, fetch: &dyn Fetch) -> Result<(), MirrorError> {
        self.room_for(&file.path)?;
        self.memory.fill(file, url, fetch).await
    }

    async fn read(&self, hash: &ContentHash, range: Range<u64>) -> Result<Option<Pieces>, MirrorError> {
        self.memory.read(hash, range).await
    }

    async fn make_current(&self, digest: &ManifestDigest, name_map: &str) -> Result<(), MirrorError> {
        let mut held_back = self.held_back.subscribe();
        let _gone = held_back.wait_for(|held_back| !held_back).await.map(|_| ());
        self.memory.make_current(digest, name_map).await
    }

    async fn evict(&self, digest: &ManifestDigest) -> Result<(), MirrorError> {
        self.memory.evict(digest).await
    }
}
