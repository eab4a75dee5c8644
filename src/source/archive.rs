//! Takes an archive apart: every entry is checked, every byte is counted, every file lands under its own hash.
//! Never gives an entry's name to the file system, never keeps an archive's content in memory, never reads on once a limit is passed.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::path::{BuildPath, Collisions};
use super::refusal::{PathProblem, Refusal};
use super::workspace::Room;
use super::{SourceError, spooled, workspace};
use crate::api::ContentHash;
use crate::api::foreign::ForeignText;
use crate::manifest::build::NewFile;

mod tar;
mod zip;

#[cfg(test)]
mod tests;

/// How much an archive may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Entries, folders included. 200,000 files are the largest build whose manifest is read.
    pub entries: u64,
    /// Bytes of one file. S3 takes 5 GB in one request.
    pub file_bytes: u64,
    /// Bytes of all files together.
    pub total_bytes: u64,
    /// Bytes that may come out for each byte that was read; the first [`RATIO_FREE_BYTES`] are not counted. JavaScript
    /// shrinks to a tenth or so, maps and json to a thirtieth; deflate's own limit is 1,032.
    pub ratio: u64,
}

/// Small archives may well be one repetitive file: the ratio is looked at only beyond this.
pub const RATIO_FREE_BYTES: u64 = 64 * 1024 * 1024;

/// One read: large enough that system calls do not count, small enough to be cheap.
const CHUNK: usize = 64 * 1024;

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 200_000, file_bytes: 1 << 30, total_bytes: 4 << 30, ratio: 100 }
    }
}

/// Takes the archive apart into the room's folder of files. Blocks: run it where blocking is allowed. Ends soon after `cancel`.
pub(super) fn unpack(archive: &Path, room: &Arc<Room>, limits: &Limits, cancel: &CancellationToken) -> Result<Vec<NewFile>, SourceError> {
    let meter = Rc::new(Meter::new(limits.clone(), cancel.clone()));
    let mut spool = Spool { room, meter: Rc::clone(&meter), files: Vec::new(), collisions: Collisions::default(), entries: 0 };
    let read = match format(archive)? {
        Format::TarGz => tar::read_gzip(open(archive)?, &mut spool),
        Format::TarZst => tar::read_zstd(open(archive)?, &mut spool),
        Format::Zip => zip::read(open(archive)?, open(archive)?, &mut spool),
    };
    // A reader in between may have dressed up the reason why it was stopped; the meter knows the real one.
    meter.stopped().map_or(read, Err)?;
    spool.finish()
}

enum Format {
    TarGz,
    TarZst,
    Zip,
}

fn format(archive: &Path) -> Result<Format, SourceError> {
    let mut magic = Vec::new();
    open(archive)?.take(4).read_to_end(&mut magic).map_err(|error| workspace(archive, &error))?;
    match magic[..] {
        [0x1f, 0x8b, ..] => Ok(Format::TarGz),
        [0x28, 0xb5, 0x2f, 0xfd] => Ok(Format::TarZst),
        // An empty zip has only its end record.
        [b'P', b'K', 3, 4] | [b'P', b'K', 5, 6] => Ok(Format::Zip),
        _ => Err(Refusal::UnknownFormat { magic: hex::encode(magic) }.into()),
    }
}

fn open(archive: &Path) -> Result<File, SourceError> {
    File::open(archive).map_err(|error| workspace(archive, &error))
}

/// A name as messages show it.
fn shown(raw: &[u8]) -> ForeignText {
    ForeignText::of_bytes(raw)
}

fn malformed(entry: Option<&[u8]>, cause: &dyn ToString) -> SourceError {
    Refusal::Malformed { entry: entry.map(shown), cause: cause.to_string() }.into()
}

/// Counts what goes into the decompressor and what comes out, for one whole archive.
struct Meter {
    limits: Limits,
    cancel: CancellationToken,
    packed: Cell<u64>,
    unpacked: Cell<u64>,
    stop: RefCell<Option<SourceError>>,
}

impl Meter {
    fn new(limits: Limits, cancel: CancellationToken) -> Self {
        Self { limits, cancel, packed: Cell::new(0), unpacked: Cell::new(0), stop: RefCell::new(None) }
    }

    fn stopped(&self) -> Option<SourceError> {
        self.stop.borrow().clone()
    }

    fn stop(&self, why: SourceError) -> io::Error {
        self.stop.borrow_mut().get_or_insert(why);
        io::Error::other("stopped")
    }

    fn check_cancelled(&self) -> io::Result<()> {
        if self.cancel.is_cancelled() {
            return Err(self.stop(SourceError::Unavailable { url: "the archive".to_owned(), cause: "cancelled".to_owned() }));
        }
        Ok(())
    }

    fn came_out(&self, bytes: usize) -> io::Result<()> {
        self.check_cancelled()?;
        let total = self.unpacked.get() + bytes as u64;
        self.unpacked.set(total);
        if total > self.limits.total_bytes {
            return Err(self.stop(Refusal::BuildTooLarge { bytes_max: self.limits.total_bytes }.into()));
        }
        if total.saturating_sub(RATIO_FREE_BYTES) > self.packed.get().saturating_mul(self.limits.ratio) {
            return Err(self.stop(Refusal::DecompressionBomb { ratio: self.limits.ratio }.into()));
        }
        Ok(())
    }
}

/// Counts the packed bytes.
struct Packed<R> {
    inner: R,
    meter: Rc<Meter>,
}

impl<R: Read> Read for Packed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.meter.check_cancelled()?;
        let bytes = self.inner.read(buffer)?;
        self.meter.packed.set(self.meter.packed.get() + bytes as u64);
        Ok(bytes)
    }
}

impl<R: Seek> Seek for Packed<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

/// Counts the unpacked bytes and stops at the limits.
struct Unpacked<R> {
    inner: R,
    meter: Rc<Meter>,
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.inner.read(buffer)?;
        self.meter.came_out(bytes)?;
        Ok(bytes)
    }
}

/// Where accepted files go: each under the name of its hash.
struct Spool<'a> {
    room: &'a Arc<Room>,
    meter: Rc<Meter>,
    files: Vec<NewFile>,
    collisions: Collisions,
    entries: u64,
}

impl Spool<'_> {
    /// Counts one entry of any kind.
    fn count_entry(&mut self) -> Result<(), SourceError> {
        self.entries += 1;
        let max = self.meter.limits.entries;
        if self.entries > max { Err(Refusal::TooManyEntries { max }.into()) } else { Ok(()) }
    }

    /// Checks a folder's name; the folder itself is of no interest.
    fn check_folder(name: &[u8]) -> Result<(), SourceError> {
        match BuildPath::parse(name) {
            Ok(_) | Err(PathProblem::Empty) => Ok(()),
            Err(problem) => Err(Refusal::UnsafePath { entry: shown(name), problem }.into()),
        }
    }

    /// Takes a file whose header announced `length` bytes. Returns how many there were.
    fn add(&mut self, name: &[u8], length: u64, content: &mut dyn Read) -> Result<u64, SourceError> {
        let path = BuildPath::parse(name).map_err(|problem| Refusal::UnsafePath { entry: shown(name), problem })?;
        let bytes_max = self.meter.limits.file_bytes;
        let too_large = || Refusal::FileTooLarge { entry: shown(name), bytes_max };
        if length > bytes_max {
            return Err(too_large().into());
        }
        self.collisions.add(&path)?;
        let (size, sha256) = self.store(name, &mut content.take(bytes_max + 1))?;
        if size > bytes_max {
            return Err(too_large().into());
        }
        self.files.push(NewFile { path: path.as_str().to_owned(), size, sha256 });
        Ok(size)
    }

    fn store(&self, name: &[u8], content: &mut dyn Read) -> Result<(u64, ContentHash), SourceError> {
        let folder = spooled(self.room);
        let mut out = self.room.draft(&folder)?;
        let (mut hasher, mut size, mut buffer) = (Sha256::new(), 0, vec![0; CHUNK]);
        loop {
            let bytes = match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.meter.stopped().unwrap_or_else(|| malformed(Some(name), &error))),
            };
            hasher.update(&buffer[..bytes]);
            out.write(&buffer[..bytes])?;
            size += bytes as u64;
        }
        let sha256 = ContentHash::from_array(hasher.finalize().into());
        // Two files with the same bytes are one in the spool: this just replaces equal by equal.
        out.persist(&folder.join(sha256.to_string()))?;
        Ok((size, sha256))
    }

    fn finish(self) -> Result<Vec<NewFile>, SourceError> {
        self.collisions.finish()?;
        if self.files.is_empty() {
            return Err(Refusal::Empty.into());
        }
        Ok(without_wrapping_folder(self.files))
    }
}

/// Takes off the folder that an archive of `dist` or `package` has around everything. Only when that folder is clearly the
/// root of a site: it holds a page or a build tool's manifest itself. An archive of nothing but `assets/…` keeps its paths.
fn without_wrapping_folder(mut files: Vec<NewFile>) -> Vec<NewFile> {
    let Some((folder, _)) = files.first().and_then(|file| file.path.split_once('/')) else { return files };
    let folder = format!("{folder}/");
    let below = |file: &NewFile| file.path.strip_prefix(&folder).map(str::to_owned);
    let is_root_mark = |path: String| (!path.contains('/') && is_page(&path)) || path.starts_with(".vite/");
    if files.iter().all(|file| below(file).is_some()) && files.iter().filter_map(below).any(is_root_mark) {
        for file in &mut files {
            file.path.drain(..folder.len());
        }
    }
    files
}

fn is_page(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    [".html", ".htm", ".xhtml"].iter().any(|end| path.ends_with(end))
}
