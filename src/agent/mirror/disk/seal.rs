//! Which bytes on the volume are those of a manifest: those that were hashed here, for as long as the file stays what it was then.
//! Never believes a name, an owner, a length or a time alone, and never a note on the volume.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rustix::fs::{Timespec, Timestamps, UTIME_NOW};
use sha2::{Digest as _, Sha256};

use super::folder::{Folder, changed};
use super::{MirrorError, READ_BYTES};
use crate::api::ContentHash;

/// A file whose status changed less long ago may change again within the same tick of the volume's clock, unseen: kernels count in steps of up
/// to 10 ms, some volumes in seconds.
pub(super) const SETTLED_SECONDS: i64 = 2;
/// Of 100 bytes each. Beyond it all are forgotten and files hashed again as they are asked for.
const SEALS_MAX: usize = 400_000;

/// What a file was when its bytes were hashed. Writing to it, and setting its times, changes the last two; nobody can set those.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seal {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Seal {
    pub(super) fn of(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Whether both are names of one file.
    pub(super) fn is_same_file(&self, other: &Metadata) -> bool {
        (self.device, self.inode) == (other.dev(), other.ino())
    }

    /// Whether the file is still what it was: asked after a read, it says that the bytes read were those that were hashed.
    pub(super) fn holds(&self, file: &File) -> bool {
        file.metadata().is_ok_and(|now| Self::of(&now) == *self)
    }
}

/// A file whose bytes are those of its hash.
#[derive(Debug)]
pub(super) struct Sealed {
    pub file: File,
    pub seal: Seal,
    /// All of it, when it was read just now anyway.
    pub bytes: Option<Bytes>,
}

/// The seals of this life.
#[derive(Debug)]
pub(super) struct Seals {
    known: Mutex<HashMap<ContentHash, Seal>>,
    /// A file without a name on the volume, to ask the volume for its time.
    clock: File,
    /// Who makes files on this volume when we do: some volumes give all files to one user.
    owner: u32,
    settled_seconds: i64,
    /// One large file at a time is hashed: a hundred visitors of a new one wait for one hash.
    large: Mutex<()>,
}

impl Seals {
    pub(super) fn new(folder: &Folder, settled_seconds: i64) -> Result<Self, MirrorError> {
        let (clock, name) = folder.create()?;
        drop(super::folder::Temporary::new(folder, name.clone()));
        let owner = clock.metadata().map_err(super::files::failed("look at", &folder.path(name)))?.uid();
        Ok(Self { known: Mutex::default(), clock, owner, settled_seconds, large: Mutex::default() })
    }

    pub(super) fn is_ours(&self, found: &Metadata) -> bool {
        found.uid() == self.owner
    }

    fn known(&self) -> MutexGuard<'_, HashMap<ContentHash, Seal>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn keep_only(&self, wanted: impl Fn(&ContentHash) -> bool) {
        self.known().retain(|hash, _| wanted(hash));
    }

    /// The file with this name, if its bytes have this hash; `None` when there is none. Hashes it unless its seal holds.
    ///
    /// # Errors
    /// [`MirrorError::Changed`] when it is no regular file, is somebody else's, or has other bytes.
    pub(super) fn open(&self, folder: &Folder, name: &str, hash: &ContentHash) -> Result<Option<Sealed>, MirrorError> {
        let Some((file, found)) = folder.open(name)? else { return Ok(None) };
        if !self.is_ours(&found) {
            return Err(changed(folder.path(name), "it belongs to another user"));
        }
        let seal = Seal::of(&found);
        if self.is_known(hash, seal) {
            return Ok(Some(Sealed { file, seal, bytes: None }));
        }
        self.hash(&folder.path(name), hash, file, seal).map(Some)
    }

    fn is_known(&self, hash: &ContentHash, seal: Seal) -> bool {
        self.known().get(hash) == Some(&seal)
    }

    fn hash(&self, path: &std::path::Path, hash: &ContentHash, file: File, seal: Seal) -> Result<Sealed, MirrorError> {
        let is_large = seal.size > READ_BYTES as u64;
        let _one_at_a_time = is_large.then(|| self.large.lock().unwrap_or_else(PoisonError::into_inner));
        if is_large && self.is_known(hash, seal) {
            return Ok(Sealed { file, seal, bytes: None });
        }
        let settled = self.is_settled(&seal);
        let bad = |how: &str| changed(path.to_owned(), how);
        let (actual, bytes) = if is_large { (hash_of(&file, seal.size), None) } else { small(&file, seal.size) };
        match actual {
            Some(actual) if actual == *hash && seal.holds(&file) => {}
            Some(_) => return Err(bad("it has other bytes")),
            None => return Err(bad("it cannot be read, or is shorter than it says")),
        }
        if settled {
            self.remember(hash, seal);
        }
        Ok(Sealed { file, seal, bytes })
    }

    fn remember(&self, hash: &ContentHash, seal: Seal) {
        let mut known = self.known();
        if known.len() >= SEALS_MAX {
            known.clear();
        }
        known.insert(hash.clone(), seal);
    }

    /// By the volume's own clock, as another machine may keep it.
    fn is_settled(&self, seal: &Seal) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let told = rustix::fs::futimens(&self.clock, &Timestamps { last_access: now, last_modification: now });
        told.is_ok() && self.clock.metadata().is_ok_and(|clock| clock.mtime() - seal.changed.0 >= self.settled_seconds)
    }
}

/// The hash of the first `size` bytes.
fn hash_of(file: &File, size: u64) -> Option<ContentHash> {
    let (mut hasher, mut buffer, mut at) = (Sha256::new(), vec![0; READ_BYTES], 0);
    while at < size {
        let read = file.read_at(&mut buffer, at).ok().filter(|read| *read > 0)?;
        hasher.update(&buffer[..read]);
        at += read as u64;
    }
    (at == size).then(|| ContentHash::from_array(hasher.finalize().into()))
}

/// The same with the bytes: those that were hashed are those that are sent.
fn small(file: &File, size: u64) -> (Option<ContentHash>, Option<Bytes>) {
    let mut bytes = vec![0; usize::try_from(size).expect("a small file fits into memory")];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => (Some(ContentHash::of(&bytes)), Some(bytes.into())),
        Err(_) => (None, None),
    }
}
