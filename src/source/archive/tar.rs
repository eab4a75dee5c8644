//! Reads tar, compressed by gzip or zstd. Extension headers are read here and not by the library, because their sizes are
//! not limited there and because a size that two readers understand differently hides entries from one of them.
//! Never takes anything but plain files and folders.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::rc::Rc;

use ::tar::{Archive, Entry, EntryType};

use super::{CHUNK, Packed, Spool, Unpacked, malformed, shown};
use crate::source::{Refusal, SourceError};

/// Largest extension header: a path of 1,024 bytes and some attributes fit many times.
const EXTENSION_BYTES_MAX: u64 = 64 * 1024;

/// Largest window of zstd, 32 MiB: the decompressor holds it in memory. `zstd -19` uses 8 MiB.
const WINDOW_LOG_MAX: u32 = 25;

/// Several members one after the other are one stream, as `cat a.gz b.gz` makes it; anything else behind a member is refused, zeros too.
pub(super) fn read_gzip(file: File, spool: &mut Spool<'_>) -> Result<(), SourceError> {
    let packed = BufReader::with_capacity(CHUNK, Packed { inner: file, meter: Rc::clone(&spool.meter) });
    read(flate2::bufread::MultiGzDecoder::new(packed), spool)
}

/// The same with frames; those that are to be skipped are skipped by every reader.
pub(super) fn read_zstd(file: File, spool: &mut Spool<'_>) -> Result<(), SourceError> {
    let packed = BufReader::with_capacity(CHUNK, Packed { inner: file, meter: Rc::clone(&spool.meter) });
    let mut decoder = zstd::stream::read::Decoder::with_buffer(packed).map_err(|error| malformed(None, &error))?;
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(|error| malformed(None, &error))?;
    read(decoder, spool)
}

fn read(unpacked: impl Read, spool: &mut Spool<'_>) -> Result<(), SourceError> {
    let mut archive = Archive::new(Unpacked { inner: unpacked, meter: Rc::clone(&spool.meter) });
    let mut ahead = Ahead::default();
    for entry in archive.entries().map_err(|error| malformed(None, &error))?.raw(true) {
        let mut entry = entry.map_err(|error| malformed(None, &error))?;
        match entry.header().entry_type() {
            EntryType::GNULongName => ahead.long_name(&mut entry)?,
            EntryType::GNULongLink => ahead.long_link(&mut entry)?,
            EntryType::XHeader => ahead.pax(&mut entry)?,
            EntryType::XGlobalHeader => global(&mut entry, spool)?,
            _ => std::mem::take(&mut ahead).apply(&mut entry, spool)?,
        }
    }
    if ahead != Ahead::default() {
        return Err(malformed(None, &"it ends after an extension header"));
    }
    nothing_behind(archive.into_inner())
}

/// Reads on to the end: behind the block that ends a tar, other readers may look for further entries, and a compressed stream may be cut off
/// or go on. Zeros fill up a record; anything else is refused.
fn nothing_behind(mut rest: impl Read) -> Result<(), SourceError> {
    let mut buffer = vec![0; CHUNK];
    loop {
        match rest.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(bytes) if buffer[..bytes].iter().all(|byte| *byte == 0) => {}
            Ok(_) => return Err(malformed(None, &"something lies behind the end of the tar")),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(malformed(None, &error)),
        }
    }
}

/// What extension headers said about the entry that comes next.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ahead {
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    pax: Option<Pax>,
}

/// The records of a PAX header that matter here.
#[derive(Debug, Default, PartialEq, Eq)]
struct Pax {
    path: Option<Vec<u8>>,
    size: Option<u64>,
    sparse: bool,
}

impl Ahead {
    fn long_name(&mut self, entry: &mut Entry<'_, impl Read>) -> Result<(), SourceError> {
        let name = without_end(extension(entry)?);
        once(&mut self.long_name, name)
    }

    fn long_link(&mut self, entry: &mut Entry<'_, impl Read>) -> Result<(), SourceError> {
        let name = without_end(extension(entry)?);
        once(&mut self.long_link, name)
    }

    fn pax(&mut self, entry: &mut Entry<'_, impl Read>) -> Result<(), SourceError> {
        let pax = Pax::parse(&extension(entry)?)?;
        once(&mut self.pax, pax)
    }

    fn apply(self, entry: &mut Entry<'_, impl Read>, spool: &mut Spool<'_>) -> Result<(), SourceError> {
        spool.count_entry()?;
        let pax = self.pax.unwrap_or_default();
        let name = match (self.long_name, pax.path) {
            (Some(one), Some(other)) if one != other => return Err(malformed(Some(&one), &"it has two names")),
            (Some(name), _) | (None, Some(name)) => name,
            (None, None) => entry.path_bytes().into_owned(),
        };
        let size = entry.size();
        if let Some(other) = pax.size.filter(|other| *other != size) {
            return Err(Refusal::ContradictoryLength { entry: shown(&name), one: size, other }.into());
        }
        if pax.sparse {
            return Err(Refusal::SpecialFile { entry: shown(&name), kind: "sparse file".to_owned() }.into());
        }
        take(&name, size, entry, spool)
    }
}

fn take(name: &[u8], size: u64, entry: &mut Entry<'_, impl Read>, spool: &mut Spool<'_>) -> Result<(), SourceError> {
    let kind = entry.header().entry_type();
    // Before there was a type for folders, a trailing slash said so.
    if kind.is_dir() || (kind.is_file() && name.ends_with(b"/")) {
        return if size == 0 {
            Spool::check_folder(name)
        } else {
            Err(Refusal::ContradictoryLength { entry: shown(name), one: size, other: 0 }.into())
        };
    }
    let entry_name = || shown(name);
    match kind {
        EntryType::Regular | EntryType::Continuous => {
            let bytes = spool.add(name, size, entry)?;
            if bytes == size { Ok(()) } else { Err(malformed(Some(name), &format_args!("cut off after {bytes} of {size} bytes"))) }
        }
        EntryType::Symlink => Err(Refusal::Link { entry: entry_name(), kind: "symbolic link" }.into()),
        EntryType::Link => Err(Refusal::Link { entry: entry_name(), kind: "hard link" }.into()),
        other => Err(Refusal::SpecialFile { entry: entry_name(), kind: special(other) }.into()),
    }
}

fn special(kind: EntryType) -> String {
    match kind {
        EntryType::Char => "character device".to_owned(),
        EntryType::Block => "block device".to_owned(),
        EntryType::Fifo => "named pipe".to_owned(),
        EntryType::GNUSparse => "sparse file".to_owned(),
        other => format!("entry of the unknown type {:?}", char::from(other.as_byte())),
    }
}

/// A header for all entries that follow: `git archive` writes its commit there. One that renames or resizes entries is refused.
fn global(entry: &mut Entry<'_, impl Read>, spool: &mut Spool<'_>) -> Result<(), SourceError> {
    spool.count_entry()?;
    let pax = Pax::parse(&extension(entry)?)?;
    if pax == Pax::default() { Ok(()) } else { Err(malformed(None, &"a global header that gives path or size")) }
}

fn extension(entry: &mut Entry<'_, impl Read>) -> Result<Vec<u8>, SourceError> {
    let size = entry.size();
    if size > EXTENSION_BYTES_MAX {
        return Err(malformed(None, &format_args!("an extension header of {size} bytes, more than {EXTENSION_BYTES_MAX}")));
    }
    let mut content = Vec::new();
    entry.read_to_end(&mut content).map_err(|error| malformed(None, &error))?;
    if content.len() as u64 == size { Ok(content) } else { Err(malformed(None, &"cut off within an extension header")) }
}

/// Keeps what an extension header says; a second one of its kind would leave open which is meant.
fn once<T>(place: &mut Option<T>, said: T) -> Result<(), SourceError> {
    if place.replace(said).is_some() { Err(malformed(None, &"two extension headers of one kind for one entry")) } else { Ok(()) }
}

fn without_end(mut name: Vec<u8>) -> Vec<u8> {
    if name.last() == Some(&0) {
        name.pop();
    }
    name
}

impl Pax {
    /// Reads records of the form `<length> <key>=<value>\n`, where the length counts the whole record.
    fn parse(mut content: &[u8]) -> Result<Self, SourceError> {
        let mut pax = Self::default();
        while !content.is_empty() {
            let (key, value, rest) = record(content).ok_or_else(|| malformed(None, &"a record of a PAX header is damaged"))?;
            content = rest;
            match key {
                b"path" => once(&mut pax.path, value.to_vec())?,
                b"size" => {
                    let size = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
                    once(&mut pax.size, size.ok_or_else(|| malformed(None, &"a PAX size is not a number"))?)?;
                }
                _ if key.starts_with(b"GNU.sparse.") => pax.sparse = true,
                _ => {}
            }
        }
        Ok(pax)
    }
}

fn record(content: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = content.iter().position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&content[..space]).ok()?.parse().ok()?;
    let (record, rest) = content.split_at_checked(length)?;
    let pair = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = pair.iter().position(|byte| *byte == b'=')?;
    Some((&pair[..equals], &pair[equals + 1..], rest))
}
