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
//! Never writes to a file in place: everything is written in `temp` and renamed.

mod files;
mod sweep;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};
use tokio_util::io::ReaderStream;

use super::{HeldVersion, Mirror, MirrorError, check_path};
use crate::agent::fetch::{Check, Fetch, FetchError, FetchedManifest, Pieces, object_url};
use crate::api::{ContentHash, ManifestDigest, PointedVersion};
use crate::manifest::ManifestFile;

use files::{blocking, failed, shared};
use sweep::InUse;

/// Files fetched at a time for one version: at 20 ms per answer this is 400 files a second.
const FETCHES_MAX: usize = 8;
/// One read of the volume; tokio's default of 4 KiB costs a thread switch per page.
const READ_BYTES: usize = 256 * 1024;

/// Versions on a volume that nothing else writes to.
#[derive(Debug, Clone)]
pub struct Disk {
    root: Arc<Path>,
    in_use: Arc<Mutex<InUse>>,
    #[cfg(test)]
    space: Arc<tests::Space>,
}

impl Disk {
    /// A mirror in this folder, which is made when it is not there.
    ///
    /// # Errors
    /// When its subfolders cannot be made.
    pub fn open(root: &Path) -> Result<Self, MirrorError> {
        for folder in ["objects", "versions", "temp"] {
            let path = root.join(folder);
            std::fs::create_dir_all(&path).map_err(failed("make the folder", &path))?;
        }
        Ok(Self {
            root: root.into(),
            in_use: Arc::default(),
            #[cfg(test)]
            space: Arc::default(),
        })
    }

    fn object(&self, hash: &ContentHash) -> PathBuf {
        self.root.join("objects").join(hash.to_string())
    }

    fn version(&self, digest: &ManifestDigest) -> PathBuf {
        self.root.join("versions").join(digest.hex())
    }

    fn temp(&self) -> PathBuf {
        self.root.join("temp")
    }

    async fn fetch_objects(&self, version: &PointedVersion, fetched: &FetchedManifest, fetch: &dyn Fetch) -> Result<(), MirrorError> {
        let contents: BTreeMap<&ContentHash, &ManifestFile> = fetched.manifest.files.iter().map(|file| (&file.sha256, file)).collect();
        let fills: Vec<_> = contents.into_values().map(|file| self.fetch_object(version, file, fetch).boxed()).collect();
        futures::stream::iter(fills).buffer_unordered(FETCHES_MAX).try_collect().await
    }

    async fn fetch_object(&self, version: &PointedVersion, file: &ManifestFile, fetch: &dyn Fetch) -> Result<(), MirrorError> {
        if self.has_object(file).await {
            return Ok(());
        }
        self.fill(file, &object_url(version.fetch_base(), &file.key())?, fetch).await
    }

    async fn has_object(&self, file: &ManifestFile) -> bool {
        tokio::fs::metadata(self.object(&file.sha256)).await.is_ok_and(|found| found.len() == file.size)
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
        let pieces = fetch.get(url).await?;
        // Opened here and not by tokio: a load that is dropped while another thread opens the file would leave it behind.
        let temp = shared(0o644).tempfile_in(self.temp()).map_err(failed("create a file in", &self.temp()))?;
        let (file_to_write, temp) = temp.into_parts();
        let mut to = tokio::fs::File::from_std(file_to_write);
        self.write_pieces(&mut to, pieces, Check::new(url, file), &temp).await?;
        let object = self.object(&file.sha256);
        temp.persist(&object).map_err(|error| failed("rename to", &object)(error.error))
    }

    async fn read(&self, hash: &ContentHash, range: Range<u64>) -> Result<Option<Pieces>, MirrorError> {
        let path = self.object(hash);
        let mut file = match tokio::fs::File::open(&path).await {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("open", &path)(error)),
        };
        if range.start > 0 {
            file.seek(std::io::SeekFrom::Start(range.start)).await.map_err(failed("seek in", &path))?;
        }
        let part = file.take(range.end.saturating_sub(range.start));
        let broken = move |error: std::io::Error| FetchError::Unavailable { url: path.display().to_string(), cause: error.to_string() };
        Ok(Some(ReaderStream::with_capacity(part, READ_BYTES).map_err(broken).boxed()))
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
