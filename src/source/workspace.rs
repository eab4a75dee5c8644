//! The disk for builds on their way, shared by all builds of a process: each byte is counted before it is written, and what goes is
//! given back after it is gone.
//! Never lets all builds together hold more than the budget at any moment, nor one namespace more than it leaves free.
//!
//! The rule of the share (`held by a namespace <= free`) gives one namespace half of the budget, the next one half of the rest, and leaves
//! room for a newcomer, without a list of who may come. It cannot keep out many namespaces that hold on for ever, so a build keeps its
//! room undisturbed for a quarter of an hour only: then it leaves when a build of another namespace finds no room.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tempfile::{NamedTempFile, TempDir};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Refusal, SourceError};

mod size;

#[cfg(test)]
mod tests;

pub use size::{InvalidSize, VolumeSize};

/// Beginning of the names of our folders in the workspace.
const FOLDER: &str = "build-";

/// What common file systems give out at least, and by which kubelet counts.
const BLOCK: u64 = 4096;

/// Inode and name of a file. With the block that each file is counted for at least, a budget of 3.5 GiB holds 816,000 files at most: a node's
/// file system of 100 GB has 6 million inodes.
const FILE_OVERHEAD: u64 = 512;

/// Two folders, with what their own entries take first.
const ROOM_BYTES: u64 = 4 * BLOCK;

/// How long a build keeps its room undisturbed. 1 GiB at 10 Mbit/s, the longest download that ends in time, takes 14 minutes.
const STAY: Duration = Duration::from_secs(15 * 60);

/// Archives of one namespace that are unpacked at a time. Each takes a thread and a core, and there are 16 threads for all that blocks.
const UNPACKED_AT_ONCE: usize = 2;

/// A folder for builds and the budget that they share. Clones share it.
#[derive(Debug, Clone)]
pub struct Workspace {
    folder: Arc<Path>,
    budget: Arc<Budget>,
}

impl Workspace {
    /// A workspace whose builds hold at most `bytes` together, with blocks and names counted.
    #[must_use]
    pub fn new(folder: &Path, bytes: u64) -> Self {
        Self { folder: folder.into(), budget: Arc::new(Budget { limit: bytes, ledger: Mutex::default(), turns: Mutex::default() }) }
    }

    /// What one job of this namespace may use.
    #[must_use]
    pub fn of(&self, namespace: &str) -> Allotment {
        let turns = self.budget.turns_of(namespace);
        Allotment { workspace: self.clone(), namespace: namespace.into(), leave: CancellationToken::new(), turns }
    }

    /// What all builds together hold, in bytes.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.budget.ledger().held()
    }

    /// Removes folders that a killed process left. Call it once, before the first build.
    ///
    /// # Errors
    /// When the workspace cannot be read, or a folder not be removed.
    pub fn clear(&self) -> std::io::Result<usize> {
        let mut removed = 0;
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() && entry.file_name().to_string_lossy().starts_with(FOLDER) {
                std::fs::remove_dir_all(entry.path())?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// The part of the workspace that one job uses.
#[derive(Debug, Clone)]
pub struct Allotment {
    workspace: Workspace,
    namespace: Arc<str>,
    leave: CancellationToken,
    turns: Arc<Semaphore>,
}

impl Allotment {
    /// A new folder for one build. It goes with the last of its holders, drafts included.
    ///
    /// # Errors
    /// [`SourceError::NoRoom`] for now, [`SourceError::Workspace`] when the folder cannot be made.
    pub fn room(&self) -> Result<Arc<Room>, SourceError> {
        let number = self.workspace.budget.enter(&self.namespace, &self.leave);
        let charge = Charges { budget: Arc::clone(&self.workspace.budget), number };
        charge.take(ROOM_BYTES)?;
        let root = &self.workspace.folder;
        let folder = tempfile::Builder::new().prefix(FOLDER).tempdir_in(root).map_err(|error| unusable(root, &error))?;
        Ok(Arc::new(Room { folder: Some(folder), charges: charge }))
    }

    /// A place among the few archives of the namespace that are unpacked at a time.
    pub(crate) async fn turn(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.turns).acquire_owned().await.expect("nobody closes it")
    }

    /// Resolves when the job's build has to leave its room to others: see [`NoRoom::Yielded`].
    pub async fn asked_to_leave(&self) {
        self.leave.cancelled().await;
    }
}

/// A build's own folder, and what it holds of the budget.
#[derive(Debug)]
pub struct Room {
    /// `None` only while it goes.
    folder: Option<TempDir>,
    charges: Charges,
}

impl Room {
    /// The folder.
    ///
    /// # Panics
    /// Never: the folder is taken out only while the room is dropped.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.as_ref().expect("it is taken out only in drop").path()
    }

    /// A new file in `folder`, which lies in the room.
    pub(crate) fn draft(self: &Arc<Self>, folder: &Path) -> Result<Draft, SourceError> {
        let mut charge = Charge { room: Arc::clone(self), bytes: 0 };
        charge.grow_to(0)?;
        let file = NamedTempFile::new_in(folder).map_err(|error| unusable(folder, &error))?;
        Ok(Draft { file, charge, size: 0 })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let Some(folder) = self.folder.take() else { return };
        let path = folder.path().to_owned();
        // What cannot be removed stays counted: it still lies there.
        if let Err(error) = folder.close() {
            tracing::error!(folder = %path.display(), %error, "a build's folder cannot be removed; it counts until the controller starts anew");
            self.charges.keep();
        }
    }
}

/// A file that is being written. Dropped, it goes.
#[derive(Debug)]
pub(crate) struct Draft {
    // Goes first: what is given back is gone.
    file: NamedTempFile,
    charge: Charge,
    size: u64,
}

impl Draft {
    /// Adds these bytes. Some 64 KiB into the page cache take less than a hop to another thread and back.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), SourceError> {
        self.charge.grow_to(self.size + bytes.len() as u64)?;
        self.file.write_all(bytes).map_err(|error| unusable(self.file.path(), &error))?;
        self.size += bytes.len() as u64;
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Gives the file its name in the room. One that is there has the same bytes, and is not counted twice.
    pub(crate) fn persist(self, place: &Path) -> Result<(), SourceError> {
        let replaces = place.exists();
        self.file.persist(place).map_err(|error| unusable(place, &error.error))?;
        if !replaces {
            self.charge.keep();
        }
        Ok(())
    }
}

/// What one file counts for. Dropped, it is given back.
#[derive(Debug)]
struct Charge {
    room: Arc<Room>,
    bytes: u64,
}

impl Charge {
    fn grow_to(&mut self, size: u64) -> Result<(), SourceError> {
        let wanted = size.div_ceil(BLOCK).max(1) * BLOCK + FILE_OVERHEAD;
        self.room.charges.take(wanted.saturating_sub(self.bytes))?;
        self.bytes = self.bytes.max(wanted);
        Ok(())
    }

    /// The file stays until its room goes.
    fn keep(mut self) {
        self.bytes = 0;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.room.charges.give_back(self.bytes);
    }
}

/// A room's line in the ledger.
#[derive(Debug)]
struct Charges {
    budget: Arc<Budget>,
    number: u64,
}

impl Charges {
    fn take(&self, bytes: u64) -> Result<(), SourceError> {
        let limit = self.budget.limit;
        let taken = self.budget.ledger().take(self.number, bytes, limit, Instant::now());
        taken.map_err(|shortage| match shortage {
            Shortage::Never => Refusal::ExceedsWorkspace { bytes_max: limit / 2 }.into(),
            Shortage::Now(why) => SourceError::NoRoom { why },
        })
    }

    fn give_back(&self, bytes: u64) {
        self.budget.ledger().give_back(self.number, bytes);
    }

    /// Leaves the line in the ledger for good.
    fn keep(&mut self) {
        self.number = KEPT;
    }
}

/// The number of no room.
const KEPT: u64 = 0;

impl Drop for Charges {
    fn drop(&mut self) {
        self.budget.ledger().rooms.remove(&self.number);
    }
}

#[derive(Debug)]
struct Budget {
    limit: u64,
    ledger: Mutex<Ledger>,
    /// Of each namespace that has a job.
    turns: Mutex<BTreeMap<String, Weak<Semaphore>>>,
}

impl Budget {
    fn turns_of(&self, namespace: &str) -> Arc<Semaphore> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turns| turns.strong_count() > 0);
        turns.get(namespace).and_then(Weak::upgrade).unwrap_or_else(|| {
            let new = Arc::new(Semaphore::new(UNPACKED_AT_ONCE));
            turns.insert(namespace.to_owned(), Arc::downgrade(&new));
            new
        })
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // A panic in between leaves whole lines.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, namespace: &Arc<str>, leave: &CancellationToken) -> u64 {
        let mut ledger = self.ledger();
        ledger.last += 1;
        let number = ledger.last;
        let line = Line { namespace: Arc::clone(namespace), bytes: 0, since: Instant::now(), leave: leave.clone() };
        ledger.rooms.insert(number, line);
        number
    }
}

/// Who holds how much: as many lines as there are builds on their way.
#[derive(Debug, Default)]
struct Ledger {
    last: u64,
    /// In the order in which they came.
    rooms: BTreeMap<u64, Line>,
}

#[derive(Debug)]
struct Line {
    namespace: Arc<str>,
    bytes: u64,
    since: Instant,
    leave: CancellationToken,
}

enum Shortage {
    Never,
    Now(NoRoom),
}

impl Ledger {
    fn held(&self) -> u64 {
        self.rooms.values().map(|line| line.bytes).sum()
    }

    fn take(&mut self, number: u64, bytes: u64, limit: u64, now: Instant) -> Result<(), Shortage> {
        let line = &self.rooms[&number];
        let (own, namespace) = (line.bytes.saturating_add(bytes), Arc::clone(&line.namespace));
        if line.leave.is_cancelled() {
            return Err(Shortage::Now(NoRoom::Yielded));
        }
        if own > limit / 2 {
            return Err(Shortage::Never);
        }
        let share: u64 = self.rooms.values().filter(|line| line.namespace == namespace).map(|line| line.bytes).sum::<u64>() + bytes;
        let free = limit.saturating_sub(self.held() + bytes);
        if share > free {
            self.ask_to_leave(&namespace, (share - free).max(own), now);
            return Err(Shortage::Now(NoRoom::Full));
        }
        self.rooms.get_mut(&number).expect("it was there a moment ago").bytes = own;
        Ok(())
    }

    /// Asks the oldest builds of others that have had their time, until what they hold is `lacking`.
    fn ask_to_leave(&self, namespace: &str, lacking: u64, now: Instant) {
        let mut found = 0;
        for line in self.rooms.values().filter(|line| &*line.namespace != namespace && now.duration_since(line.since) >= STAY) {
            if found >= lacking {
                break;
            }
            found += line.bytes;
            line.leave.cancel();
        }
    }

    fn give_back(&mut self, number: u64, bytes: u64) {
        if let Some(line) = self.rooms.get_mut(&number) {
            line.bytes = line.bytes.saturating_sub(bytes);
        }
    }
}

/// Why a build has no room that would fit later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoRoom {
    /// Others have it.
    #[error("other builds hold what it needs, and the builds of one namespace together never hold more than stays free")]
    Full,
    /// It had its time.
    #[error("it held its room for more than {} minutes, and a build of another namespace found none", STAY.as_secs() / 60)]
    Yielded,
}

fn unusable(path: &Path, error: &std::io::Error) -> SourceError {
    let folder: PathBuf = path.parent().unwrap_or(path).to_path_buf();
    SourceError::Workspace { folder, cause: error.to_string() }
}
