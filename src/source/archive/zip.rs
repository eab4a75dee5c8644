//! Reads zip by its central directory, one entry at a time, so that memory does not grow with the archive; local headers
//! that say something else are refused, and so is whatever lies between entries.
//! Never takes anything but plain files and folders, stored or deflated.

use std::fs::File;
use std::io::{BufReader, Read, Seek as _, SeekFrom};
use std::ops::Range;
use std::rc::Rc;

use ::zip::CompressionMethod;
use ::zip::read::{ArchiveOffset, Config, ZipFileEntry};
use ::zip::unstable::read::ZipIterable;
use flate2::CrcReader;
use flate2::bufread::DeflateDecoder;

use self::layout::{LOCAL_BYTES, Places, number};
use super::{Packed, Spool, Unpacked, malformed, shown};
use crate::source::{Refusal, SourceError};

mod layout;

/// The bits of a Unix mode that say what a file is.
const KIND_MASK: u32 = 0o170_000;
const KIND_FILE: u32 = 0o100_000;
const KIND_FOLDER: u32 = 0o040_000;
const KIND_LINK: u32 = 0o120_000;

type Reader = BufReader<Packed<File>>;

/// `names` reads the directory, `contents` the entries.
pub(super) fn read(mut names: File, contents: File, spool: &mut Spool<'_>) -> Result<(), SourceError> {
    let directory = layout::directory(&mut names).map_err(|error| malformed(None, &error))?;
    let mut contents = BufReader::new(Packed { inner: contents, meter: Rc::clone(&spool.meter) });
    let config = Config { archive_offset: ArchiveOffset::Known(0) };
    let archive = ZipIterable::try_new(BufReader::new(names), config).map_err(|error| malformed(None, &error))?;
    let mut archive = archive.enforce_header_consistency(true);
    let mut places = Places::default();
    for entry in archive.files().map_err(|error| malformed(None, &error))? {
        let entry = entry.map_err(|error| malformed(None, &error))?;
        spool.count_entry()?;
        let place = place(&entry, &mut contents)?;
        take(&entry, &place, &mut contents, spool)?;
        places.add(entry.header_start()..place.end);
    }
    places.check(directory.start).map_err(|error| malformed(None, &error))
}

/// Where the content lies.
fn place(entry: &ZipFileEntry<'_>, contents: &mut Reader) -> Result<Range<u64>, SourceError> {
    let failed = |cause: &dyn ToString| malformed(Some(entry.name_raw()), cause);
    let mut header = [0; LOCAL_BYTES];
    contents.seek(SeekFrom::Start(entry.header_start())).map_err(|error| failed(&error))?;
    contents.read_exact(&mut header).map_err(|error| failed(&error))?;
    // No number of a zip has more than 64 bits, and few of these are needed: what overflows is none.
    let start = entry.header_start().checked_add(LOCAL_BYTES as u64 + number(&header[26..28]) + number(&header[28..30]));
    let end = start.and_then(|start| start.checked_add(entry.compressed_size()));
    start.zip(end).map(|(start, end)| start..end).ok_or_else(|| failed(&"it lies beyond any file"))
}

fn take(entry: &ZipFileEntry<'_>, place: &Range<u64>, contents: &mut Reader, spool: &mut Spool<'_>) -> Result<(), SourceError> {
    let (name, size) = (entry.name_raw(), entry.size());
    check_kind(entry, name)?;
    if name.ends_with(b"/") {
        Spool::check_folder(name)?;
        // Some tools deflate nothing into two bytes.
        let one = size.max(entry.compressed_size().saturating_sub(2));
        return if one == 0 { Ok(()) } else { Err(Refusal::ContradictoryLength { entry: shown(name), one, other: 0 }.into()) };
    }
    contents.seek(SeekFrom::Start(place.start)).map_err(|error| malformed(Some(name), &error))?;
    let packed = contents.take(place.end - place.start);
    let (crc, rest) = if entry.compression() == CompressionMethod::Stored {
        let (crc, packed) = add(name, size, packed, spool)?;
        (crc, packed.limit())
    } else {
        let (crc, decoder) = add(name, size, DeflateDecoder::new(packed), spool)?;
        (crc, entry.compressed_size() - decoder.total_in())
    };
    if rest > 0 {
        return Err(malformed(Some(name), &format_args!("{rest} bytes behind its content")));
    }
    if crc == entry.crc32() { Ok(()) } else { Err(malformed(Some(name), &"its checksum is another one")) }
}

/// Takes a file; answers its checksum, and gives the reader back.
fn add<R: Read>(name: &[u8], size: u64, content: R, spool: &mut Spool<'_>) -> Result<(u32, R), SourceError> {
    let mut content = CrcReader::new(Unpacked { inner: content, meter: Rc::clone(&spool.meter) });
    let other = spool.add(name, size, &mut content)?;
    if other != size {
        return Err(Refusal::ContradictoryLength { entry: shown(name), one: size, other }.into());
    }
    Ok((content.crc().sum(), content.into_inner().inner))
}

fn check_kind(entry: &ZipFileEntry<'_>, name: &[u8]) -> Result<(), SourceError> {
    let unreadable = |how: String| Err(Refusal::Unreadable { entry: shown(name), how }.into());
    if entry.encrypted() {
        return unreadable("encrypted".to_owned());
    }
    if !matches!(entry.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) {
        return unreadable(format!("compressed by {}", entry.compression()));
    }
    let special = |kind: &str| Err(Refusal::SpecialFile { entry: shown(name), kind: kind.to_owned() }.into());
    match entry.unix_mode().map_or(0, |mode| mode & KIND_MASK) {
        KIND_LINK => Err(Refusal::Link { entry: shown(name), kind: "symbolic link" }.into()),
        KIND_FOLDER if !name.ends_with(b"/") => special("folder without a trailing /"),
        0 | KIND_FILE | KIND_FOLDER => Ok(()),
        _ => special("device or pipe"),
    }
}
