//! The objects of a build in a bucket: hashed, and brought here as far as that is needed.
//! Never keeps bytes under another hash than theirs, and never holds a whole object in memory.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::{StreamExt as _, TryStreamExt as _};
use sha2::{Digest as _, Sha256};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::super::workspace::{Allotment, Draft, Room};
use super::super::{SourceError, spooled, workspace};
use super::listing::Lying;
use super::{BuildFolder, Kinship};
use crate::api::ContentHash;
use crate::bucket::{Body, BucketError, Original, Pieces};
use crate::manifest::build::NewFile;

/// Up to here an object comes here whatever its store can do: reading and writing it are two requests, asking for its hash, copying it
/// and looking at the copy are three. Nearly all files of a build are below.
const SMALL: u64 = 128 * 1024;

/// Small objects on their way at a time: pieces of some 64 KiB each, so 4 MiB.
const SMALL_AT_ONCE: usize = 64;

/// Large ones: two fill a fast line.
const LARGE_AT_ONCE: usize = 4;

/// A body that breaks off is read anew, so often in all. A request that fails was repeated by the client before.
const TRIES: usize = 3;

/// Objects of a build, and a folder for those of them that come here. Goes with the build.
pub struct InBucket {
    from: BuildFolder,
    /// Sorted by path.
    objects: Vec<Lying>,
    room: Arc<Room>,
    gave_up_copying: AtomicBool,
    turns: Semaphore,
}

/// Whether what is read stays here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    Yes,
    No,
}

impl fmt::Debug for InBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InBucket").field("place", &self.from.place).finish_non_exhaustive()
    }
}

impl InBucket {
    pub(super) fn new(from: BuildFolder, objects: Vec<Lying>, space: &Allotment) -> Result<Self, SourceError> {
        let room = space.room()?;
        let files = spooled(&room);
        std::fs::create_dir(&files).map_err(|error| workspace(&files, &error))?;
        Ok(Self { from, objects, room, gave_up_copying: AtomicBool::new(false), turns: Semaphore::new(LARGE_AT_ONCE) })
    }

    /// Every file with its hash, sorted by path.
    pub(super) async fn hash_all(&self) -> Result<Vec<NewFile>, SourceError> {
        let (small, large): (Vec<usize>, Vec<usize>) = (0..self.objects.len()).partition(|at| self.objects[*at].size <= SMALL);
        let mut files = Vec::with_capacity(self.objects.len());
        for (places, at_once) in [(small, SMALL_AT_ONCE), (large, LARGE_AT_ONCE)] {
            let hashed = futures::stream::iter(places).map(|at| async move {
                let object = &self.objects[at];
                let sha256 = self.hash(object).await?;
                Ok::<_, SourceError>(NewFile { path: object.path.clone(), size: object.size, sha256 })
            });
            files.extend(hashed.buffer_unordered(at_once).try_collect::<Vec<_>>().await?);
        }
        Ok(files)
    }

    async fn hash(&self, object: &Lying) -> Result<ContentHash, SourceError> {
        if object.size <= SMALL || self.from.kinship == Kinship::Other {
            return self.take(object, Keep::Yes).await;
        }
        match self.vouched(object).await? {
            Some(sha256) => Ok(sha256),
            None => self.take(object, Keep::No).await,
        }
    }

    /// What the store says that it computed itself.
    async fn vouched(&self, object: &Lying) -> Result<Option<ContentHash>, SourceError> {
        let stored = self.from.bucket.head(&self.key(object)).await.map_err(|error| self.from.failed(error))?;
        match stored.filter(|stored| stored.etag == object.etag) {
            Some(stored) => Ok(stored.computed),
            None => Err(self.changed(object)),
        }
    }

    /// Reads an object to its end.
    async fn take(&self, object: &Lying, keep: Keep) -> Result<ContentHash, SourceError> {
        let mut tried = 1;
        loop {
            match self.try_to_take(object, keep).await {
                Err(SourceError::Bucket { error: BucketError::Unavailable { .. }, .. }) if tried < TRIES => tried += 1,
                ended => return ended,
            }
        }
    }

    async fn try_to_take(&self, object: &Lying, keep: Keep) -> Result<ContentHash, SourceError> {
        let pieces = self.from.bucket.read(&self.key(object), &object.etag).await.map_err(|error| self.from.failed(error))?;
        let pieces = pieces.ok_or_else(|| self.changed(object))?;
        let mut file = match keep {
            Keep::Yes => Some(self.room.draft(&self.files())?),
            Keep::No => None,
        };
        let sha256 = self.drain(object, pieces, file.as_mut()).await?;
        if let Some(file) = file {
            file.persist(&self.place(&sha256))?;
        }
        Ok(sha256)
    }

    async fn drain(&self, object: &Lying, mut pieces: Pieces, mut to: Option<&mut Draft>) -> Result<ContentHash, SourceError> {
        let (mut hasher, mut bytes) = (Sha256::new(), 0);
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| self.from.failed(error))?;
            bytes += piece.len() as u64;
            if bytes > object.size {
                return Err(self.changed(object));
            }
            hasher.update(&piece);
            if let Some(file) = &mut to {
                file.write(&piece)?;
            }
        }
        if bytes == object.size { Ok(ContentHash::from_array(hasher.finalize().into())) } else { Err(self.changed(object)) }
    }

    /// What the store may copy by itself: what does not lie here.
    #[must_use]
    pub fn original(&self, path: &str, sha256: &ContentHash) -> Option<Original> {
        if self.from.kinship == Kinship::Other || self.gave_up_copying.load(Ordering::Relaxed) || self.place(sha256).exists() {
            return None;
        }
        let object = self.find(path)?;
        let (bucket, etag, size) = (self.from.place.bucket.clone(), object.etag.clone(), object.size);
        Some(Original { bucket, key: self.key(object), etag, size })
    }

    /// Whether an object of this length is one that the store may be asked to copy.
    #[must_use]
    pub fn may_be_copied(&self, size: u64) -> bool {
        size > SMALL && self.from.kinship == Kinship::Same
    }

    /// A place among the few large objects that are on their way at a time, copies too: one that has to be read back comes here.
    ///
    /// # Panics
    /// Never: nobody closes the semaphore.
    pub async fn turn(&self) -> SemaphorePermit<'_> {
        self.turns.acquire().await.expect("nobody closes it")
    }

    /// The store has said that it does not copy from there: it is not asked again.
    pub fn give_up_copying(&self, said: &str) {
        if !self.gave_up_copying.swap(true, Ordering::Relaxed) {
            tracing::info!(place = %self.from.place, said, "the store does not copy the build; its objects go through here");
        }
    }

    /// The bytes of a file, brought here if they are not.
    ///
    /// # Errors
    /// When the object was changed since its hash was known, or cannot be read.
    pub async fn body(&self, path: &str, sha256: &ContentHash, size: u64) -> Result<Body, SourceError> {
        let file = self.place(sha256);
        if !file.exists() {
            let object = self.find(path).ok_or_else(|| SourceError::NoBuild { place: self.from.place.to_string() })?;
            let _turn = self.turn().await;
            if self.take(object, Keep::Yes).await? != *sha256 {
                return Err(self.changed(object));
            }
        }
        Ok(Body::File { path: file, size })
    }

    /// The error for an object of the build that is not the one that was listed.
    #[must_use]
    pub fn changed_at(&self, path: &str) -> SourceError {
        SourceError::Changed { place: self.from.place.to_string(), path: path.to_owned() }
    }

    fn changed(&self, object: &Lying) -> SourceError {
        self.changed_at(&object.path)
    }

    fn find(&self, path: &str) -> Option<&Lying> {
        self.objects.binary_search_by(|object| object.path.as_str().cmp(path)).ok().map(|at| &self.objects[at])
    }

    fn key(&self, object: &Lying) -> String {
        format!("{}{}", self.from.place.folder, object.path)
    }

    fn files(&self) -> PathBuf {
        spooled(&self.room)
    }

    fn place(&self, sha256: &ContentHash) -> PathBuf {
        self.files().join(sha256.to_string())
    }
}
