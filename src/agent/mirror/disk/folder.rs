//! A folder of the volume by its handle, and what lies in it, by names below the handle. Never follows a link, never opens anything but
//! regular files and folders, and never waits for a pipe: the application may put whatever it likes on the volume.

use std::ffi::{CStr, CString};
use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags};
use rustix::io::Errno;

use super::MirrorError;
use super::files::failed;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// A pipe would hold up the thread that opens it.
const FILE: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC).union(OFlags::NOCTTY);

/// Names that are looked at in one removal: a million take some five seconds. What is left goes with the next one.
pub(super) const STEPS_MAX: usize = 1_000_000;

/// See the module's description.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    handle: Arc<OwnedFd>,
    /// For messages.
    path: Arc<Path>,
}

impl Folder {
    /// The folder at this path, whose last step is no link. What is above it is the operator's.
    pub(super) fn open_root(path: &Path) -> Result<Self, MirrorError> {
        let handle = rustix::fs::openat(CWD, path, FOLDER, Mode::empty()).map_err(|error| refused(path, error))?;
        Ok(Self { handle: Arc::new(handle), path: path.into() })
    }

    pub(super) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// What it is itself.
    pub(super) fn metadata(&self) -> Result<Metadata, MirrorError> {
        let handle = self.handle.try_clone().map_err(failed("look at", &self.path))?;
        File::from(handle).metadata().map_err(failed("look at", &self.path))
    }

    /// What has this name, itself: not what it leads to. `None` when nothing has, or it cannot be looked at.
    pub(super) fn metadata_of(&self, name: &str) -> Option<Metadata> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = rustix::fs::openat(&*self.handle, name, flags, Mode::empty()).ok()?;
        File::from(handle).metadata().ok()
    }

    /// Lets nobody but us change what is in it.
    pub(super) fn close_to_others(&self) -> Result<(), MirrorError> {
        let mode = Mode::from_raw_mode(0o755);
        rustix::fs::fchmod(&*self.handle, mode).map_err(|error| failed("change the mode of", &self.path)(error.into()))
    }

    /// The folder with this name.
    pub(super) fn folder(&self, name: &str) -> Result<Self, MirrorError> {
        let path = self.path(name);
        let handle = rustix::fs::openat(&*self.handle, name, FOLDER, Mode::empty()).map_err(|error| refused(&path, error))?;
        Ok(Self { handle: Arc::new(handle), path: path.into() })
    }

    /// The same, step by step: no step may be a link.
    pub(super) fn below(&self, path: &str) -> Result<Self, MirrorError> {
        path.split('/').filter(|step| !step.is_empty()).try_fold(self.clone(), |folder, step| folder.folder(step))
    }

    /// The same, and makes what is missing.
    pub(super) fn make_below(&self, path: &str) -> Result<Self, MirrorError> {
        path.split('/').filter(|step| !step.is_empty()).try_fold(self.clone(), |folder, step| folder.make(step))
    }

    /// The folder with this name, which is made when it is not there. Others may read it, so that the application can.
    pub(super) fn make(&self, name: &str) -> Result<Self, MirrorError> {
        match rustix::fs::mkdirat(&*self.handle, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => self.folder(name),
            Err(error) => Err(failed("make the folder", &self.path(name))(error.into())),
        }
    }

    /// A regular file, to read; `None` when nothing has this name.
    pub(super) fn open(&self, name: &str) -> Result<Option<(File, Metadata)>, MirrorError> {
        let path = || self.path(name);
        let file = match rustix::fs::openat(&*self.handle, name, FILE, Mode::empty()) {
            Ok(handle) => File::from(handle),
            Err(Errno::NOENT) => return Ok(None),
            // A link, a socket or a device without a driver; a file of somebody else whom we may not read.
            Err(Errno::LOOP | Errno::NXIO | Errno::NODEV | Errno::ACCESS | Errno::PERM) => {
                return Err(changed(path(), "it is no file of ours"));
            }
            Err(error) => return Err(failed("open", &path())(error.into())),
        };
        let metadata = file.metadata().map_err(failed("look at", &path()))?;
        if metadata.is_file() { Ok(Some((file, metadata))) } else { Err(changed(path(), "it is no regular file")) }
    }

    /// All of a small file; `None` when it is not there, no regular file, or longer than `bytes_max`.
    pub(super) fn read(&self, name: &str, bytes_max: u64) -> Option<Vec<u8>> {
        let (file, _) = self.open(name).ok()??;
        let mut bytes = Vec::new();
        file.take(bytes_max + 1).read_to_end(&mut bytes).ok()?;
        (bytes.len() as u64 <= bytes_max).then_some(bytes)
    }

    /// A new file, and its name: nobody else's. Whoever writes to it later has to change its mode first.
    pub(super) fn create(&self) -> Result<(File, String), MirrorError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.under_a_new_name("create a file in", |name| {
            rustix::fs::openat(&*self.handle, name, flags, Mode::from_raw_mode(0o444)).map(File::from)
        })
    }

    /// A new folder, and its name.
    pub(super) fn create_folder(&self) -> Result<(Self, String), MirrorError> {
        let make = |name: &str| rustix::fs::mkdirat(&*self.handle, name, Mode::from_raw_mode(0o755));
        let ((), name) = self.under_a_new_name("make a folder in", make)?;
        Ok((self.folder(&name)?, name))
    }

    fn under_a_new_name<T>(&self, action: &'static str, make: impl Fn(&str) -> Result<T, Errno>) -> Result<(T, String), MirrorError> {
        loop {
            let name = new_name();
            match make(&name) {
                Ok(made) => return Ok((made, name)),
                Err(Errno::EXIST) => {}
                Err(error) => return Err(failed(action, &self.path)(error.into())),
            }
        }
    }

    pub(super) fn rename(&self, name: &str, to: &Self, new: &str) -> Result<(), MirrorError> {
        rustix::fs::renameat(&*self.handle, name, &*to.handle, new).map_err(|error| failed("rename to", &to.path(new))(error.into()))
    }

    /// The same for whatever name was found.
    pub(super) fn move_away(&self, name: &CStr, to: &Self) -> Result<(), MirrorError> {
        let renamed = rustix::fs::renameat(&*self.handle, name, &*to.handle, "gone");
        renamed.map_err(|error| failed("move away", &self.path(&*name.to_string_lossy()))(error.into()))
    }

    pub(super) fn link(&self, name: &str, to: &Self, new: &str) -> Result<(), Errno> {
        rustix::fs::linkat(&*self.handle, name, &*to.handle, new, AtFlags::empty())
    }

    pub(super) fn symlink(&self, name: &str, target: &str) -> Result<(), MirrorError> {
        rustix::fs::symlinkat(target, &*self.handle, name).map_err(|error| failed("link", &self.path(name))(error.into()))
    }

    fn unlink(&self, name: &CStr) -> Result<(), Errno> {
        rustix::fs::unlinkat(&*self.handle, name, AtFlags::empty())
    }

    /// Removes what has this name, with everything in it, as far as it is ours to remove and [`STEPS_MAX`] allows. What is gone
    /// already is no error.
    pub(super) fn remove(&self, name: &CStr) -> Result<(), MirrorError> {
        let removed = match self.unlink(name) {
            Err(Errno::ISDIR) => match self.subfolder(name) {
                Ok(folder) => folder.clear(STEPS_MAX).and(Ok(rustix::fs::unlinkat(&*self.handle, name, AtFlags::REMOVEDIR)))?,
                Err(error) => Err(error),
            },
            result => result,
        };
        match removed {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(failed("remove", &self.path(&*name.to_string_lossy()))(error.into())),
        }
    }

    fn subfolder(&self, name: &CStr) -> Result<Self, Errno> {
        let handle = rustix::fs::openat(&*self.handle, name, FOLDER, Mode::empty())?;
        Ok(Self { handle: Arc::new(handle), path: self.path(&*name.to_string_lossy()).into() })
    }

    /// The names in it, whatever they are, one by one: there may be millions, and none need be text.
    pub(super) fn names(&self) -> Result<impl Iterator<Item = CString> + use<>, MirrorError> {
        let listing = Dir::read_from(&*self.handle).map_err(|error| failed("list", &self.path)(error.into()))?;
        // What cannot be read further is left for the next time.
        let names = listing.map_while(Result::ok).map(|entry| entry.file_name().to_owned());
        Ok(names.filter(|name| !matches!(name.to_bytes(), b"." | b"..")))
    }

    /// Empties it, however deep and wide it is: folders in folders are moved up here first, so that there is no recursion and few
    /// files are open. Ends after `steps_max`; what is left, or not ours to remove, stays.
    pub(super) fn clear(&self, steps_max: usize) -> Result<(), MirrorError> {
        let (mut steps, mut gets_on) = (0, true);
        while gets_on && steps < steps_max {
            gets_on = false;
            for name in self.names()? {
                steps += 1;
                gets_on |= match self.unlink(&name) {
                    Err(Errno::ISDIR) => self.flatten(&name, steps_max, &mut steps),
                    removed => removed.is_ok(),
                };
                if steps >= steps_max {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Moves the folders in a folder up here, removes everything else in it, then the folder. Whether anything has changed.
    fn flatten(&self, name: &CStr, steps_max: usize, steps: &mut usize) -> bool {
        let Ok(folder) = self.subfolder(name) else { return false };
        let Ok(names) = folder.names() else { return false };
        let mut changed = false;
        for inner in names.take(steps_max.saturating_sub(*steps)) {
            *steps += 1;
            let moved = match folder.unlink(&inner) {
                Err(Errno::ISDIR) => rustix::fs::renameat(&*folder.handle, &*inner, &*self.handle, new_name()),
                removed => removed,
            };
            changed |= moved.is_ok();
        }
        rustix::fs::unlinkat(&*self.handle, name, AtFlags::REMOVEDIR).is_ok() || changed
    }
}

/// What stands on the volume is not what we put there.
pub(super) fn changed(path: PathBuf, how: &str) -> MirrorError {
    MirrorError::Changed { path, how: how.to_owned() }
}

fn refused(path: &Path, error: Errno) -> MirrorError {
    match error {
        Errno::LOOP | Errno::NOTDIR => changed(path.to_owned(), "it is no folder"),
        error => failed("open the folder", path)(error.into()),
    }
}

/// A name that this process uses once; what an earlier one left may have it, so that whoever makes something under it looks.
fn new_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A new file or folder, removed unless it is kept.
pub(super) struct Temporary {
    folder: Folder,
    name: Option<String>,
}

impl Temporary {
    pub(super) fn new(folder: &Folder, name: String) -> Self {
        Self { folder: folder.clone(), name: Some(name) }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path(self.name.as_deref().unwrap_or_default())
    }

    /// Gives it its name, over whatever has it.
    pub(super) fn rename(mut self, to: &Folder, new: &str) -> Result<(), MirrorError> {
        let name = self.name.as_deref().expect("only this takes the name");
        self.folder.rename(name, to, new)?;
        self.name = None;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(name) = self.name.take().and_then(|name| CString::new(name).ok()) {
            // What cannot be removed now is removed at the next start.
            let _next_time = self.folder.remove(&name);
        }
    }
}
