//! [`Mirror`] in memory, for tests and the simulator. Outlives an agent as an `emptyDir` outlives a container.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _};

use super::{HeldVersion, Mirror, MirrorError, check_path};
use crate::agent::fetch::{Check, Fetch, FetchedManifest, Pieces, object_url};
use crate::api::{ContentHash, ManifestDigest, PointedVersion};
use crate::manifest::ManifestFile;

/// Versions in memory.
#[derive(Debug, Default)]
pub struct Memory {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<ContentHash, Bytes>,
    versions: BTreeMap<ManifestDigest, HeldVersion>,
    current: Option<(ManifestDigest, String)>,
}

impl Memory {
    /// The current version and its name map.
    #[must_use]
    pub fn current(&self) -> Option<(ManifestDigest, String)> {
        self.state().current.clone()
    }

    /// The complete versions, by digest.
    #[must_use]
    pub fn digests(&self) -> Vec<ManifestDigest> {
        self.state().versions.keys().cloned().collect()
    }

    /// Takes away a file's bytes behind the agent's back.
    pub fn lose(&self, hash: &ContentHash) {
        self.state().objects.remove(hash);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows the version if all its files are here.
    fn complete(&self, held: &HeldVersion) -> bool {
        let mut state = self.state();
        let whole = held.manifest.files.iter().all(|file| state.objects.contains_key(&file.sha256));
        if whole {
            state.versions.insert(held.pointed.digest.clone(), held.clone());
        }
        whole
    }

    fn has(&self, file: &ManifestFile) -> bool {
        self.state().objects.contains_key(&file.sha256)
    }
}

#[async_trait]
impl Mirror for Memory {
    async fn held(&self) -> Result<Vec<HeldVersion>, MirrorError> {
        Ok(self.state().versions.values().cloned().collect())
    }

    async fn load(&self, version: &PointedVersion, fetched: &FetchedManifest, fetch: &dyn Fetch) -> Result<(), MirrorError> {
        fetched.manifest.files.iter().try_for_each(|file| check_path(&file.path))?;
        let held = HeldVersion { pointed: version.clone(), manifest: fetched.manifest.clone() };
        // An eviction meanwhile may have taken a file that was here before: then once more.
        while !self.complete(&held) {
            for file in &held.manifest.files {
                if !self.has(file) {
                    self.fill(file, &object_url(version.fetch_base(), &file.key())?, fetch).await?;
                }
            }
        }
        Ok(())
    }

    async fn fill(&self, file: &ManifestFile, url: &str, fetch: &dyn Fetch) -> Result<(), MirrorError> {
        let mut check = Check::new(url, file);
        let mut bytes = BytesMut::new();
        let mut pieces = fetch.get(url).await?;
        while let Some(piece) = pieces.try_next().await? {
            check.take(&piece)?;
            bytes.extend_from_slice(&piece);
        }
        check.finish()?;
        self.state().objects.insert(file.sha256.clone(), bytes.freeze());
        Ok(())
    }

    async fn read(&self, hash: &ContentHash, range: Range<u64>) -> Result<Option<Pieces>, MirrorError> {
        let bytes = self.state().objects.get(hash).cloned();
        let at = |position: u64, length: usize| usize::try_from(position).map_or(length, |position| position.min(length));
        Ok(bytes.map(|bytes| {
            let part = bytes.slice(at(range.start, bytes.len())..at(range.end, bytes.len()));
            futures::stream::iter([Ok(part)]).boxed()
        }))
    }

    async fn make_current(&self, digest: &ManifestDigest, name_map: &str) -> Result<(), MirrorError> {
        self.state().current = Some((digest.clone(), name_map.to_owned()));
        Ok(())
    }

    async fn evict(&self, digest: &ManifestDigest) -> Result<(), MirrorError> {
        let mut state = self.state();
        state.versions.remove(digest);
        let State { objects, versions, .. } = &mut *state;
        objects.retain(|hash, _| versions.values().any(|held| held.manifest.files.iter().any(|file| file.sha256 == *hash)));
        Ok(())
    }
}
