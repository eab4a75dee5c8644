//! Buckets in a folder: one folder per bucket, one file per object, an index in memory that is read back at start.
//! Never lets a key choose a file name, and never changes an object outside of its bucket's lock.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use tempfile::NamedTempFile;

use super::record::Description;
use crate::api::ContentHash;

/// Where bodies lie while they arrive; no bucket's name begins with a dot.
const UPLOADS: &str = ".uploads";

/// Held while the store runs: two of them in one folder would not see each other's objects.
const LOCK: &str = ".lock";

/// What a conditional change expects to find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expectation {
    /// Whatever there is.
    Anything,
    /// Nothing.
    Absent,
    /// Some object.
    Present,
    /// The object with this ETag.
    ETag(String),
}

/// How a conditional change ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Done,
    /// Something else was expected.
    Unexpected,
    /// An object was expected and there is none.
    Missing,
}

/// All buckets of one folder.
pub(super) struct Folder {
    root: PathBuf,
    shelves: Mutex<BTreeMap<String, Arc<Shelf>>>,
    _lock: FolderLock,
}

/// Keeps every other store out of the folder. A closed file alone would not let the next store in: a child process that was forked a
/// moment ago has a copy of the file, and with it the lock, until it becomes the program that it runs.
struct FolderLock(File);

impl FolderLock {
    fn acquire(path: &Path) -> io::Result<Self> {
        let file = File::create(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(io::Error::new(io::ErrorKind::ResourceBusy, "another store uses this folder")),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // The kernel releases the lock of a file that cannot be unlocked with its last copy.
        self.0.unlock().ok();
    }
}

/// One bucket.
pub(super) struct Shelf {
    path: PathBuf,
    index: Mutex<BTreeMap<String, Arc<Description>>>,
}

impl Folder {
    /// Opens a folder, made if it is missing, and reads back what lies in it.
    pub fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        let lock = FolderLock::acquire(&root.join(LOCK))?;
        let uploads = root.join(UPLOADS);
        if uploads.exists() {
            fs::remove_dir_all(&uploads)?;
        }
        fs::create_dir(&uploads)?;
        let mut shelves = BTreeMap::new();
        for entry in fs::read_dir(root)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type()?.is_dir() && !name.starts_with('.') {
                shelves.insert(name, Arc::new(Shelf::open(entry.path())?));
            }
        }
        Ok(Self { root: root.to_owned(), shelves: Mutex::new(shelves), _lock: lock })
    }

    /// A new bucket; `false` when it is there already. The caller has checked the name.
    pub fn make(&self, bucket: &str) -> io::Result<bool> {
        let mut shelves = self.shelves();
        if shelves.contains_key(bucket) {
            return Ok(false);
        }
        let path = self.root.join(bucket);
        fs::create_dir(&path)?;
        shelves.insert(bucket.to_owned(), Arc::new(Shelf { path, index: Mutex::default() }));
        Ok(true)
    }

    pub fn shelf(&self, bucket: &str) -> Option<Arc<Shelf>> {
        self.shelves().get(bucket).cloned()
    }

    pub fn names(&self) -> Vec<String> {
        self.shelves().keys().cloned().collect()
    }

    /// An empty file for a body that arrives; it vanishes unless it is put on a shelf.
    pub fn upload(&self) -> io::Result<NamedTempFile> {
        NamedTempFile::new_in(self.root.join(UPLOADS))
    }

    /// The bytes of an object's file under another description, complete.
    pub fn duplicate(&self, from: File, description: &Description) -> io::Result<NamedTempFile> {
        let mut upload = self.upload()?;
        io::copy(&mut from.take(description.size), &mut upload)?;
        upload.write_all(&description.footer())?;
        Ok(upload)
    }

    fn shelves(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Shelf>>> {
        self.shelves.lock().expect("no holder of this lock panics")
    }
}

impl Shelf {
    fn open(path: PathBuf) -> io::Result<Self> {
        let mut index = BTreeMap::new();
        for entry in fs::read_dir(&path)? {
            let file = entry?.path();
            let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", file.display()));
            let description = Description::read(&mut File::open(&file)?).map_err(named)?;
            index.insert(description.key.clone(), Arc::new(description));
        }
        Ok(Self { path, index: Mutex::new(index) })
    }

    /// Puts a complete file (bytes and footer) in the place of the object, if what is there is what is expected: one rename under the lock.
    pub fn put(&self, upload: NamedTempFile, description: Description, expected: &Expectation) -> io::Result<Change> {
        let mut index = self.index();
        let change = expected.check(index.get(&description.key).map(Arc::as_ref));
        if change == Change::Done {
            upload.persist(self.file(&description.key)).map_err(|error| error.error)?;
            index.insert(description.key.clone(), Arc::new(description));
        }
        Ok(change)
    }

    /// Takes an object away, if it is what is expected.
    pub fn delete(&self, key: &str, expected: &Expectation) -> io::Result<Change> {
        let mut index = self.index();
        let change = expected.check(index.get(key).map(Arc::as_ref));
        if change == Change::Done && index.contains_key(key) {
            fs::remove_file(self.file(key))?;
            index.remove(key);
        }
        Ok(change)
    }

    pub fn describe(&self, key: &str) -> Option<Arc<Description>> {
        self.index().get(key).cloned()
    }

    /// The object's file, at its begin, and the description out of that very file: a replace in between cannot mix them.
    pub fn read(&self, key: &str) -> io::Result<Option<(File, Description)>> {
        let mut file = match File::open(self.file(key)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let description = Description::read(&mut file)?;
        Ok(Some((file, description)))
    }

    /// Up to `count` objects below `prefix`, after the key `after`, in byte order; and whether there are more.
    pub fn list(&self, prefix: &str, after: &str, count: usize) -> (Vec<Arc<Description>>, bool) {
        let index = self.index();
        let start = if after >= prefix && !after.is_empty() { Bound::Excluded(after) } else { Bound::Included(prefix) };
        let mut rest = index.range::<str, _>((start, Bound::Unbounded)).take_while(|(key, _)| key.starts_with(prefix));
        let objects = rest.by_ref().take(count).map(|(_, object)| Arc::clone(object)).collect();
        (objects, rest.next().is_some())
    }

    /// Keys are hashed: any of them is a fit file name, and none leaves the folder.
    fn file(&self, key: &str) -> PathBuf {
        self.path.join(ContentHash::of(key.as_bytes()).to_string())
    }

    fn index(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Description>>> {
        self.index.lock().expect("no holder of this lock panics")
    }
}

impl Expectation {
    fn check(&self, found: Option<&Description>) -> Change {
        match (self, found) {
            (Self::Anything, _) | (Self::Absent, None) | (Self::Present, Some(_)) => Change::Done,
            (Self::ETag(etag), Some(object)) if *etag == object.etag() => Change::Done,
            (Self::Absent | Self::ETag(_), Some(_)) => Change::Unexpected,
            (Self::Present | Self::ETag(_), None) => Change::Missing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev_store::record::Headers;

    fn put(folder: &Folder, key: &str, bytes: &[u8], expected: &Expectation) -> Change {
        let description = Description {
            key: key.to_owned(),
            size: bytes.len() as u64,
            sha256: ContentHash::of(bytes),
            checksum_given: true,
            last_modified: jiff::Timestamp::UNIX_EPOCH,
            headers: Headers::default(),
            metadata: BTreeMap::new(),
        };
        let mut upload = folder.upload().unwrap();
        upload.write_all(&[bytes, &description.footer()].concat()).unwrap();
        folder.shelf("web").unwrap().put(upload, description, expected).unwrap()
    }

    #[test]
    fn a_closed_folder_can_be_opened_while_a_forked_process_still_has_its_lock_file() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(LOCK);
        let lock = FolderLock::acquire(&path).unwrap();
        let busy = Folder::open(root.path()).err().map(|error| error.kind());
        assert_eq!(busy, Some(io::ErrorKind::ResourceBusy));
        // What a child process has between fork and exec.
        let of_the_child = lock.0.try_clone().unwrap();
        drop(lock);
        Folder::open(root.path()).expect("the folder that was closed is free");
        drop(of_the_child);
    }

    #[test]
    fn a_key_that_looks_like_a_path_stays_in_the_folder() {
        let outside = tempfile::tempdir().unwrap();
        let root = outside.path().join("store");
        let folder = Folder::open(&root).unwrap();
        assert!(folder.make("web").unwrap());
        for key in ["../../escaped", "/etc/escaped", "a/../../../escaped", ".", "..", "con", "\u{0}", &"x".repeat(1024)] {
            assert_eq!(put(&folder, key, b"x", &Expectation::Absent), Change::Done, "{key:?}");
            assert_eq!(folder.shelf("web").unwrap().read(key).unwrap().unwrap().1.key, key);
        }
        let beside: Vec<_> = fs::read_dir(outside.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(beside, ["store"]);
        assert!(fs::read_dir(root.join("web")).unwrap().all(|entry| entry.unwrap().file_name().len() == 64));
    }

    #[test]
    fn what_was_stored_is_there_after_a_restart_and_half_an_upload_is_not() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path()).unwrap();
        folder.make("web").unwrap();
        put(&folder, "b", b"2", &Expectation::Absent);
        put(&folder, "a", b"1", &Expectation::Absent);
        put(&folder, "c", b"3", &Expectation::Absent);
        folder.shelf("web").unwrap().delete("c", &Expectation::Anything).unwrap();
        let abandoned = folder.upload().unwrap().keep().unwrap().1;
        drop(folder);
        let folder = Folder::open(root.path()).unwrap();
        assert!(!abandoned.exists());
        assert_eq!(folder.names(), ["web"]);
        let (objects, more) = folder.shelf("web").unwrap().list("", "", 10);
        assert_eq!((objects.iter().map(|object| object.key.as_str()).collect::<Vec<_>>(), more), (vec!["a", "b"], false));
        assert_eq!(put(&folder, "a", b"other", &Expectation::Absent), Change::Unexpected);
    }

    #[test]
    fn a_second_store_in_the_same_folder_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let _first = Folder::open(root.path()).unwrap();
        assert_eq!(Folder::open(root.path()).err().unwrap().kind(), io::ErrorKind::ResourceBusy);
    }

    #[test]
    fn a_file_that_is_not_ours_stops_the_start_and_is_named() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("web")).unwrap();
        fs::write(root.path().join("web/notes.txt"), "mine").unwrap();
        let error = Folder::open(root.path()).err().unwrap();
        assert!(error.to_string().contains("notes.txt"), "{error}");
    }
}
