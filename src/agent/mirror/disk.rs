//! [`Mirror`] on a volume. Layout below the root:
//!
//! ```text
//! objects/<sha256>              one file per content, verified before it gets this name
//! versions/<digest>/files/…     hard links to objects, under the paths of the build
//! versions/<digest>/stored.json the manifest's stored bytes
//! versions/<digest>/version.json what the pointer said; written last
//! versions/<digest>/manifest.json the name map
//! current -> versions/<digest>  replaced atomically
//! temp/                         whatever is not finished; emptied at start
//! ```
//! Never writes to a file in place: everything is written in `temp` and renamed. Never believes what it finds: the application may write
//! to the volume, so a file counts only while its bytes are known to be those of its hash (`seal`), and no link is followed (`folder`).

mod files;
mod folder;
mod read;
mod seal;
mod sweep;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::CString;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use tokio::io::AsyncWriteExt as _;

use super::{HeldVersion, Mirror, MirrorError, check_path};
use crate::agent::fetch::{Check, Fetch, FetchedManifest, Pieces, object_url};
use crate::api::{ContentHash, ManifestDigest, PointedVersion};
use crate::manifest::ManifestFile;

use files::{Folders, blocking, failed};
use folder::Temporary;
use read::Readers;
use seal::{Sealed, Seals};
use sweep::InUse;

/// Files fetched at a time for one version: at 20 ms per answer this is 400 files a second.
const FETCHES_MAX: usize = 8;
/// Longest read of the volume: each costs a thread switch.
const READ_BYTES: usize = 256 * 1024;

/// Versions on a volume that the application may write to.
#[derive(Debug, Clone)]
pub struct Disk {
    root: Arc<Path>,
    folders: Arc<RwLock<Arc<Folders>>>,
    seals: Arc<Seals>,
    readers: Readers,
    in_use: Arc<Mutex<InUse>>,
    #[cfg(test)]
    space: Arc<tests::Space>,
}

impl Disk {
    /// A mirror in this folder, which is made when it is not there. Its last step must be no link.
    ///
    /// # Errors
    /// When it is no folder, or its subfolders cannot be made.
    pub fn open(root: &Path) -> Result<Self, MirrorError> {
        Self::open_settling(root, seal::SETTLED_SECONDS)
    }

    fn open_settling(root: &Path, settled_seconds: i64) -> Result<Self, MirrorError> {
        if !root.is_symlink() {
            std::fs::create_dir_all(root).map_err(failed("make the folder", root))?;
        }
        let folders = Folders::open(root)?;
        let seals = Seals::new(&folders.temp, settled_seconds)?;
        Ok(Self {
            root: root.into(),
            folders: Arc::new(RwLock::new(Arc::new(folders))),
            seals: Arc::new(seals),
            readers: Readers::default(),
            in_use: Arc::default(),
            #[cfg(test)]
            space: Arc::default(),
        })
    }

    /// As they were opened: the same folders whatever has been put in their places.
    fn folders(&self) -> Arc<Folders> {
        Arc::clone(&self.folders.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The same for whoever writes: folders that were moved away are made again.
    fn folders_in_place(&self) -> Result<Arc<Folders>, MirrorError> {
        let folders = self.folders();
        if folders.are_in_place() {
            return Ok(folders);
        }
        tracing::warn!(mirror = %self.root.display(), "the mirror's folders were replaced by something else; the agent creates them again");
        let anew = Arc::new(Folders::open(&self.root)?);
        *self.folders.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&anew);
        Ok(anew)
    }

    /// The object with this hash, if it is here with the right bytes. Whatever else has its name is removed. Blocking.
    fn object(&self, hash: &ContentHash) -> Result<Option<Sealed>, MirrorError> {
        let (folders, name) = (self.folders(), hash.to_string());
        let opened = self.seals.open(&folders.objects, &name, hash);
        if let Err(MirrorError::Changed { path, how }) = &opened {
            tracing::warn!(path = %path.display(), %how, "a file of the mirror is not what was put there; it is removed and fetched again");
            folders.objects.remove(&CString::new(name).expect("a hash has no NUL"))?;
        }
        opened
    }

    /// The same; what is not the object counts as its absence. Blocking.
    fn object_if_right(&self, hash: &ContentHash) -> Result<Option<Sealed>, MirrorError> {
        match self.object(hash) {
            Err(MirrorError::Changed { .. }) => Ok(None),
            other => other,
        }
    }

    async fn fetch_objects(&self, version: &PointedVersion, fetched: &FetchedManifest, fetch: &dyn Fetch) -> Result<(), MirrorError> {
        let contents: BTreeMap<&ContentHash, &ManifestFile> = fetched.manifest.files.iter().map(|file| (&file.sha256, file)).collect();
        let fills: Vec<_> = contents.into_values().map(|file| self.fetch_object(version, file, fetch).boxed()).collect();
        futures::stream::iter(fills).buffer_unordered(FETCHES_MAX).try_collect().await
    }

    async fn fetch_object(&self, version: &PointedVersion, file: &ManifestFile, fetch: &dyn Fetch) -> Result<(), MirrorError> {
        if self.has_object(file).await? {
            return Ok(());
        }
        self.fill(file, &object_url(version.fetch_base(), &file.key())?, fetch).await
    }

    async fn has_object(&self, file: &ManifestFile) -> Result<bool, MirrorError> {
        let (disk, hash) = (self.clone(), file.sha256.clone());
        blocking(move || Ok(disk.object_if_right(&hash)?.is_some())).await
    }

    async fn write_piece(&self, to: &mut tokio::fs::File, piece: &Bytes) -> std::io::Result<()> {
        #[cfg(test)]
        self.space.take(piece.len())?;
        to.write_all(piece).await
    }

    async fn write_pieces(&self, to: &mut tokio::fs::File, mut pieces: Pieces, mut check: Check, temp: &Path) -> Result<(), MirrorError> {
        while let Some(piece) = pieces.try_next().await? {
            check.take(&piece)?;
            self.write_piece(to, &piece).await.map_err(failed("write", temp))?;
        }
        // Tokio's file reports a failed write at the next call; without the flush the last one would be lost.
        to.flush().await.map_err(failed("write", temp))?;
        Ok(check.finish()?)
    }
}

#[async_trait]
impl Mirror for Disk {
    async fn held(&self) -> Result<Vec<HeldVersion>, MirrorError> {
        let disk = self.clone();
        blocking(move || disk.recover()).await
    }

    async fn load(&self, version: &PointedVersion, fetched: &FetchedManifest, fetch: &dyn Fetch) -> Result<(), MirrorError> {
        fetched.manifest.files.iter().try_for_each(|file| check_path(&file.path))?;
        // Before anything is looked for: what lies in folders that are not there any more cannot be linked.
        self.folders_in_place()?;
        let claim = self.claim(&fetched.manifest);
        let result = match self.fetch_objects(version, fetched, fetch).await {
            Ok(()) => {
                let (disk, version, fetched) = (self.clone(), version.clone(), fetched.clone());
                blocking(move || disk.assemble(&version, &fetched)).await
            }
            Err(error) => Err(error),
        };
        drop(claim);
        if matches!(result, Err(MirrorError::NoSpace { .. })) {
            let disk = self.clone();
            blocking(move || disk.sweep()).await?;
        }
        result
    }

    async fn fill(&self, file: &ManifestFile, url: &str, fetch: &dyn Fetch) -> Result<(), MirrorError> {
        let folders = self.folders_in_place()?;
        let pieces = fetch.get(url).await?;
        // Opened here and not by tokio: a load that is dropped while another thread opens the file would leave it behind.
        let (to, name) = folders.temp.create()?;
        let temp = Temporary::new(&folders.temp, name);
        let mut to = tokio::fs::File::from_std(to);
        self.write_pieces(&mut to, pieces, Check::new(url, file), &temp.path()).await?;
        temp.rename(&folders.objects, &file.sha256.to_string())
    }

    async fn read(&self, hash: &ContentHash, range: Range<u64>) -> Result<Option<Pieces>, MirrorError> {
        let (disk, hash) = (self.clone(), hash.clone());
        blocking(move || {
            let Some(sealed) = disk.object(&hash)? else { return Ok(None) };
            let path = disk.folders().objects.path(hash.to_string());
            disk.readers.begin(sealed, path, range).map(Some)
        })
        .await
    }

    async fn make_current(&self, digest: &ManifestDigest, name_map: &str) -> Result<(), MirrorError> {
        let (disk, digest, name_map) = (self.clone(), digest.clone(), name_map.to_owned());
        blocking(move || disk.replace_current(&digest, &name_map)).await
    }

    async fn evict(&self, digest: &ManifestDigest) -> Result<(), MirrorError> {
        let (disk, digest) = (self.clone(), digest.clone());
        blocking(move || disk.remove(&digest)).await
    }
}
