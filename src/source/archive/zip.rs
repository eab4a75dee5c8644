//! Reads zip by its central directory, one entry at a time, so that memory does not grow with the archive; local headers
//! that say something else are refused.
//! Never takes anything but plain files and folders, stored or deflated.

use std::fs::File;
use std::io::BufReader;
use std::rc::Rc;

use ::zip::read::{Config, ZipFileEntry};
use ::zip::unstable::read::ZipIterable;
use ::zip::{CompressionMethod, ZipReadOptions};

use super::{Packed, Spool, Unpacked, malformed, shown};
use crate::source::{Refusal, SourceError};

/// The bits of a Unix mode that say what a file is.
const KIND_MASK: u32 = 0o170_000;
const KIND_FILE: u32 = 0o100_000;
const KIND_FOLDER: u32 = 0o040_000;
const KIND_LINK: u32 = 0o120_000;

type Reader = BufReader<Packed<File>>;

/// `names` reads the directory, `contents` the entries.
pub(super) fn read(names: File, contents: File, spool: &mut Spool<'_>) -> Result<(), SourceError> {
    let names = BufReader::new(names);
    let mut contents = BufReader::new(Packed { inner: contents, meter: Rc::clone(&spool.meter) });
    let archive = ZipIterable::try_new(names, Config::default()).map_err(|error| malformed(None, &error))?;
    let mut archive = archive.enforce_header_consistency(true);
    for entry in archive.files().map_err(|error| malformed(None, &error))? {
        let entry = entry.map_err(|error| malformed(None, &error))?;
        spool.count_entry()?;
        take(entry, &mut contents, spool)?;
    }
    Ok(())
}

fn take(entry: ZipFileEntry<'_>, contents: &mut Reader, spool: &mut Spool<'_>) -> Result<(), SourceError> {
    let name = entry.name_raw().to_vec();
    let size = entry.size();
    check_kind(&entry, &name)?;
    if name.ends_with(b"/") {
        return if size == 0 {
            Spool::check_folder(&name)
        } else {
            Err(Refusal::ContradictoryLength { entry: shown(&name), one: size, other: 0 }.into())
        };
    }
    let file = entry.with_reader(contents, ZipReadOptions::new()).map_err(|error| malformed(Some(&name), &error))?;
    let other = spool.add(&name, size, &mut Unpacked { inner: file, meter: Rc::clone(&spool.meter) })?;
    if other == size { Ok(()) } else { Err(Refusal::ContradictoryLength { entry: shown(&name), one: size, other }.into()) }
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
