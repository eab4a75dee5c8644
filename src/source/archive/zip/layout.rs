//! Whether the parts of a zip lie one after the other, from its first byte to its last: then readers that go by the directory at its end and
//! readers that go from its beginning see the same entries.
//! Never reads an entry's content.

use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};
use std::ops::Range;

/// The end record without its comment, and the longest comment.
const END_BYTES: u64 = 22;
const COMMENT_BYTES_MAX: u64 = 0xffff;

const END: &[u8] = b"PK\x05\x06";
const END64: &[u8] = b"PK\x06\x06";
const LOCATOR: &[u8] = b"PK\x06\x07";
const LOCATOR_BYTES: u64 = 20;
const CENTRAL: &[u8] = b"PK\x01\x02";
const CENTRAL_BYTES: usize = 46;

/// A local header without name and extra fields.
pub(super) const LOCAL_BYTES: usize = 30;

/// Lengths of what may stand behind an entry's content: its checksum and lengths, with 4 or 8 bytes each, with or without a signature. No
/// entry fits into any of them.
const DESCRIPTORS: [u64; 5] = [0, 12, 16, 20, 24];

/// What is wrong with the layout, in words, or with reading it.
#[derive(Debug, thiserror::Error)]
pub(super) enum LayoutError {
    #[error("{0}")]
    Read(#[from] io::Error),
    #[error("{0}")]
    Contradiction(&'static str),
}

const NO_END: LayoutError = LayoutError::Contradiction("it does not end with the end record of a zip and its comment");

/// Where the directory lies: it ends where the end records begin, and they end where the file ends.
pub(super) fn directory(file: &mut File) -> Result<Range<u64>, LayoutError> {
    let length = file.seek(SeekFrom::End(0))?;
    let from = length.saturating_sub(END_BYTES + COMMENT_BYTES_MAX);
    let tail = read_at(file, from, length - from)?;
    // The last one: readers look for it from the end. So no comment can hold another one.
    let at = tail.windows(4).rposition(|window| window == END).ok_or(NO_END)?;
    let end = &tail[at..];
    let comment = end.get(20..22).map(number);
    if comment.is_none_or(|comment| end.len() as u64 != END_BYTES + comment) {
        return Err(NO_END);
    }
    let (at, small) =
        (from + at as u64, Counts { entries: number(&end[10..12]), bytes: number(&end[12..16]), start: number(&end[16..20]) });
    let (counts, ends_at) = match large(file, at)? {
        Some((large, _)) if small.contradicts(&large) => return Err(LayoutError::Contradiction("its two end records disagree")),
        Some((large, begins)) => (large, begins),
        None => (small, at),
    };
    if counts.start.checked_add(counts.bytes) != Some(ends_at) {
        return Err(LayoutError::Contradiction("its directory does not end where its end record begins"));
    }
    walk(file, &counts)?;
    Ok(counts.start..ends_at)
}

/// What an end record says of the directory.
struct Counts {
    entries: u64,
    bytes: u64,
    start: u64,
}

impl Counts {
    /// All ones in the small record mean: see the large one.
    fn contradicts(&self, large: &Self) -> bool {
        let differs = |small: u64, large: u64, ones: u64| small != large && small != ones;
        differs(self.entries, large.entries, 0xffff)
            || differs(self.bytes, large.bytes, 0xffff_ffff)
            || differs(self.start, large.start, 0xffff_ffff)
    }
}

/// The large end record and where it begins, if a locator stands before the small one.
fn large(file: &mut File, small_at: u64) -> Result<Option<(Counts, u64)>, LayoutError> {
    let Some(locator_at) = small_at.checked_sub(LOCATOR_BYTES) else { return Ok(None) };
    let locator = read_at(file, locator_at, LOCATOR_BYTES)?;
    if !locator.starts_with(LOCATOR) {
        return Ok(None);
    }
    let at = number(&locator[8..16]);
    let misplaced = LayoutError::Contradiction("its large end record is not before the small one");
    if at.checked_add(56).is_none_or(|end| end > locator_at) {
        return Err(misplaced);
    }
    let record = read_at(file, at, 56)?;
    if !record.starts_with(END64) || number(&record[4..12]).checked_add(at + 12) != Some(locator_at) {
        return Err(misplaced);
    }
    Ok(Some((Counts { entries: number(&record[32..40]), bytes: number(&record[40..48]), start: number(&record[48..56]) }, at)))
}

/// The directory holds as many entries as are counted, and nothing else.
fn walk(file: &mut File, counts: &Counts) -> Result<(), LayoutError> {
    file.seek(SeekFrom::Start(counts.start))?;
    let mut records = BufReader::new(file.take(counts.bytes));
    let mut left = counts.bytes;
    for _ in 0..counts.entries {
        let mut record = [0; CENTRAL_BYTES];
        records.read_exact(&mut record)?;
        let more = [28..30, 30..32, 32..34].map(|field| number(&record[field])).iter().sum::<u64>();
        left = left.checked_sub(CENTRAL_BYTES as u64 + more).filter(|_| record.starts_with(CENTRAL)).ok_or(OTHER_DIRECTORY)?;
        io::copy(&mut (&mut records).take(more), &mut io::sink())?;
    }
    if left == 0 { Ok(()) } else { Err(OTHER_DIRECTORY) }
}

const OTHER_DIRECTORY: LayoutError = LayoutError::Contradiction("its directory holds something else than the entries that are counted");

fn read_at(file: &mut File, at: u64, bytes: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(at))?;
    let mut read = Vec::new();
    file.take(bytes).read_to_end(&mut read)?;
    if read.len() as u64 == bytes { Ok(read) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Of at most 8 bytes, the least one first.
pub(super) fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Where the entries lie: each from its local header to the end of its content.
#[derive(Debug, Default)]
pub(super) struct Places(Vec<Range<u64>>);

impl Places {
    pub(super) fn add(&mut self, place: Range<u64>) {
        self.0.push(place);
    }

    /// From the first byte to the directory, with nothing before, between and behind them.
    pub(super) fn check(mut self, directory: u64) -> Result<(), LayoutError> {
        self.0.sort_unstable_by_key(|place| place.start);
        let starts = self.0.iter().map(|place| place.start).skip(1).chain([directory]);
        let begins = self.0.first().map_or(directory, |place| place.start) == 0;
        let follows =
            self.0.iter().zip(starts).all(|(place, next)| next.checked_sub(place.end).is_some_and(|gap| DESCRIPTORS.contains(&gap)));
        if begins && follows {
            return Ok(());
        }
        Err(LayoutError::Contradiction("its entries overlap, or something lies before or between them that is none"))
    }
}
