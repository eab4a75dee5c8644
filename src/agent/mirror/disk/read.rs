//! Bytes from the volume to a visitor, piece by piece. Never a byte of a file that has changed since it was hashed, and never more
//! memory for all visitors together than is said here.

use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::StreamExt as _;

use super::files::blocking;
use super::folder::changed;
use super::seal::Sealed;
use super::{MirrorError, READ_BYTES};
use crate::agent::fetch::{FetchError, Pieces};

/// What the pieces of all answers under way may hold, roughly: of 32 answers each has pieces of 256 KiB, of 512 and more 16 KiB. If each took its
/// piece when there were few, and kept it, 2,000 hold some 50 MiB.
const PIECES_BYTES: usize = 8 * 1024 * 1024;
const PIECE_BYTES_MIN: usize = 16 * 1024;

/// Answers under way, of one mirror.
#[derive(Debug, Clone, Default)]
pub(super) struct Readers(Arc<AtomicUsize>);

/// One of them.
struct Reader {
    readers: Readers,
    sealed: Sealed,
    path: PathBuf,
    left: Range<u64>,
}

impl Readers {
    fn piece_bytes(&self) -> usize {
        let readers = self.0.load(Ordering::Relaxed).max(1);
        (PIECES_BYTES / readers).clamp(PIECE_BYTES_MIN, READ_BYTES)
    }

    /// Reads the first piece, which of most files is all. Blocking.
    pub(super) fn begin(&self, sealed: Sealed, path: PathBuf, range: Range<u64>) -> Result<Pieces, MirrorError> {
        let range = range.start.min(sealed.seal.size())..range.end.min(sealed.seal.size());
        if let Some(bytes) = &sealed.bytes {
            let at = |position: u64| usize::try_from(position).expect("a file in memory is small");
            let part = bytes.slice(at(range.start)..at(range.end).max(at(range.start)));
            return Ok(futures::stream::iter([Ok(part)]).boxed());
        }
        self.0.fetch_add(1, Ordering::Relaxed);
        let mut reader = Reader { readers: self.clone(), sealed, path, left: range };
        let first = reader.piece()?;
        if reader.left.is_empty() {
            return Ok(futures::stream::iter([Ok(first)]).boxed());
        }
        let rest = futures::stream::try_unfold(reader, |reader| async {
            if reader.left.is_empty() { Ok(None) } else { blocking(|| reader.next()).await.map(Some).map_err(|error| broken(&error)) }
        });
        Ok(futures::stream::iter([Ok(first)]).chain(rest).boxed())
    }
}

impl Reader {
    fn next(mut self) -> Result<(Bytes, Self), MirrorError> {
        let piece = self.piece()?;
        Ok((piece, self))
    }

    /// The look after the read says that what was read is what was hashed.
    fn piece(&mut self) -> Result<Bytes, MirrorError> {
        let left = usize::try_from(self.left.end.saturating_sub(self.left.start)).unwrap_or(usize::MAX);
        let mut piece = vec![0; left.min(self.readers.piece_bytes())];
        let read = self.sealed.file.read_exact_at(&mut piece, self.left.start);
        if read.is_err() || !self.sealed.seal.holds(&self.sealed.file) {
            tracing::warn!(path = %self.path.display(), "a file of the mirror changed while it was sent; the answer is broken off");
            return Err(changed(self.path.clone(), "it changed while it was read"));
        }
        self.left.start += piece.len() as u64;
        Ok(piece.into())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.readers.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn broken(error: &MirrorError) -> FetchError {
    FetchError::Unavailable { url: "the mirror".into(), cause: error.to_string() }
}
