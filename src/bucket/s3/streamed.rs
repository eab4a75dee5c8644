//! Bodies on their way into a request: files are read again, documents made anew for each try.
//! Never sends a file to its end with other bytes than were promised.
//! A file may change between the moment in which it was hashed and the one in which it is sent. A store that checks the hash
//! refuses it then; one that does not would keep other bytes under our name and our hash (I3).

use std::fs::File;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::Bytes;
use futures::Stream as _;
use http_body::{Body as HttpBody, Frame, SizeHint};
use sha2::{Digest as _, Sha256};
use tokio_util::io::ReaderStream;

use super::classify::Call;
use super::description::checksum;
use crate::api::ContentHash;
use crate::bucket::probe::Finding;
use crate::bucket::{Attributes, Body, BucketError, Making, unreadable};

/// The SDK reads 4 KiB at a time by default, which costs ten times the CPU; beyond 256 KiB nothing is gained.
const READ_BUFFER_BYTES: usize = 256 * 1024;

/// A file of ours got other bytes after it was hashed.
pub(super) fn changed(call: Call<'_>) -> BucketError {
    call.refused("the file was changed while it was published")
}

/// A small body. Read on this thread: the file was read a moment ago to be hashed, and from the page cache a small one comes in less
/// time than a hop to another thread and back takes. Hashing it once more takes 0.15 ms at most.
pub(super) fn in_memory(call: Call<'_>, body: &Body, attributes: &Attributes) -> Result<Bytes, BucketError> {
    let path = match body {
        Body::Bytes(bytes) => return Ok(bytes.clone()),
        Body::File { path, .. } => path,
        Body::Made(making) => return Ok(making.whole()),
    };
    let bytes = std::fs::read(path).map_err(|error| unreadable(call.operation, call.key, &error))?;
    if ContentHash::of(&bytes) == attributes.sha256 { Ok(bytes.into()) } else { Err(changed(call)) }
}

/// Whether a large file is hashed again while it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// It is, because nobody else does.
    Hashed,
    /// The store does it.
    ByTheStore,
}

/// What the signature of a PUT speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signed {
    /// The bytes, by their hash. The store computes it, and a second time for the checksum header.
    Bytes,
    /// The checksum header, against which the store holds the bytes: one hash for it instead of two.
    Checksum,
}

/// Whether the store hashes what it gets. Hashing a large file once more costs either side 0.6 s of CPU for each GB.
#[derive(Debug, Default)]
pub(super) struct Checks {
    /// As far as its last answer shows.
    told: AtomicBool,
    /// It was seen to refuse bytes by the checksum header alone.
    by_header: AtomicBool,
    /// It has taken signed bytes, having turned the same away when they were signed by the checksum alone. Whatever was found before.
    turned_away: AtomicBool,
}

impl Checks {
    /// The store said this of the checksum, in answer to bytes with that hash. One that does not compute it says nothing.
    pub(super) fn saw(&self, said: Option<&str>, sha256: &ContentHash) {
        self.told.store(said.is_some_and(|said| said == checksum(sha256)), Ordering::Relaxed);
    }

    /// What was found out about the checksum header alone.
    pub(super) fn heed(&self, header: &Finding) {
        self.by_header.store(header.is_held(), Ordering::Relaxed);
    }

    /// The store no longer takes what is signed by its checksum alone.
    pub(super) fn turned_away(&self) {
        self.turned_away.store(true, Ordering::Relaxed);
    }

    pub(super) fn again(&self) -> Again {
        if self.told.load(Ordering::Relaxed) { Again::ByTheStore } else { Again::Hashed }
    }

    /// For a large file. Both signs are asked for: what was tried out a week ago, and what the store said a moment ago.
    pub(super) fn signed(&self) -> Signed {
        let [by_header, told, turned_away] = [&self.by_header, &self.told, &self.turned_away].map(|sign| sign.load(Ordering::Relaxed));
        if by_header && told && !turned_away { Signed::Checksum } else { Signed::Bytes }
    }
}

/// A large file as the body of a request, from the beginning for each try.
pub(super) struct Streamed {
    pub(super) body: ByteStream,
    changed: Arc<AtomicBool>,
}

impl Streamed {
    pub(super) fn new(path: &Path, size: u64, sha256: &ContentHash, again: Again) -> Self {
        let changed = Arc::new(AtomicBool::new(false));
        let (told, path, sha256) = (Arc::clone(&changed), path.to_owned(), sha256.clone());
        let open = move || {
            let hashing = (again == Again::Hashed).then(|| (Sha256::new(), sha256.clone()));
            SdkBody::from_body_1_x(FileBody { place: Place::Path(path.clone()), left: size, hashing, changed: Arc::clone(&told) })
        };
        Self { body: ByteStream::new(SdkBody::retryable(open)), changed }
    }

    /// Tells, once the request has failed, whether it is because the file has changed.
    pub(super) fn witness(&self) -> impl Fn() -> bool + use<> {
        let changed = Arc::clone(&self.changed);
        move || changed.load(Ordering::Relaxed)
    }
}

/// A large body that is made while it is sent. Nobody changes it meanwhile.
pub(super) fn made(making: &Arc<dyn Making>) -> ByteStream {
    let making = Arc::clone(making);
    ByteStream::new(SdkBody::retryable(move || SdkBody::from_body_1_x(MadeBody { left: making.size(), pieces: making.pieces() })))
}

struct MadeBody {
    left: u64,
    pieces: Box<dyn Iterator<Item = Bytes> + Send + Sync>,
}

impl HttpBody for MadeBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        let Some(piece) = self.pieces.next() else { return Poll::Ready(None) };
        let left = self.left.checked_sub(piece.len() as u64);
        self.left = left.ok_or_else(|| std::io::Error::other("it was made longer than it was said to be"))?;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

enum Place {
    Path(PathBuf),
    Open(Pin<Box<ReaderStream<tokio::fs::File>>>),
}

/// The first bytes of a file. The last of them are given out only when all are what was promised: a body that breaks off is not kept.
struct FileBody {
    place: Place,
    left: u64,
    hashing: Option<(Sha256, ContentHash)>,
    changed: Arc<AtomicBool>,
}

impl FileBody {
    fn check(&mut self, chunk: &Bytes) -> std::io::Result<()> {
        let Some((hasher, _)) = &mut self.hashing else { return Ok(()) };
        hasher.update(chunk);
        if self.left > 0 {
            return Ok(());
        }
        let (hasher, promised) = self.hashing.take().expect("there is a hasher until the last byte");
        if ContentHash::from_array(hasher.finalize().into()) == promised { Ok(()) } else { Err(self.other_bytes()) }
    }

    fn other_bytes(&self) -> std::io::Error {
        self.changed.store(true, Ordering::Relaxed);
        std::io::Error::other("the file was changed")
    }
}

impl HttpBody for FileBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        if this.left == 0 {
            return Poll::Ready(None);
        }
        if let Place::Path(path) = &this.place {
            let file = tokio::fs::File::from_std(File::open(path)?);
            this.place = Place::Open(Box::pin(ReaderStream::with_capacity(file, READ_BUFFER_BYTES)));
        }
        let Place::Open(stream) = &mut this.place else { unreachable!("it was opened just now") };
        let Some(chunk) = ready!(stream.as_mut().poll_next(context)).transpose()? else {
            return Poll::Ready(Some(Err(this.other_bytes())));
        };
        let wanted = usize::try_from(this.left).map_or(chunk.len(), |left| left.min(chunk.len()));
        let chunk = chunk.slice(..wanted);
        this.left -= chunk.len() as u64;
        this.check(&chunk)?;
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    const SIZE: usize = READ_BUFFER_BYTES * 2 + 5;

    /// What arrives of a file that was hashed as `before` and has `now` when it is sent.
    async fn sent(before: &[u8], now: &[u8], again: Again) -> (Option<usize>, bool) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), now).unwrap();
        let streamed = Streamed::new(file.path(), before.len() as u64, &ContentHash::of(before), again);
        let changed = streamed.witness();
        let arrived = streamed.body.into_inner().collect().await.ok().map(|collected| collected.to_bytes().len());
        (arrived, changed())
    }

    #[tokio::test]
    async fn a_file_arrives_whole_and_a_changed_one_never_does() {
        let before = vec![7; SIZE];
        assert_eq!(sent(&before, &before, Again::Hashed).await, (Some(SIZE), false));
        let mut other = before.clone();
        other[SIZE - 1] = 8;
        assert_eq!(sent(&before, &other, Again::Hashed).await, (None, true));
        for again in [Again::Hashed, Again::ByTheStore] {
            assert_eq!(sent(&before, &before[1..], again).await, (None, true), "shorter");
        }
        assert_eq!(sent(&before, &[&before[..], b"x"].concat(), Again::Hashed).await, (Some(SIZE), false), "what was hashed is there");
        assert_eq!(sent(&before, &other, Again::ByTheStore).await, (Some(SIZE), false), "the store refuses it");
    }

    #[test]
    fn a_large_file_is_hashed_again_unless_the_store_last_said_the_checksum() {
        let (checks, sha256) = (Checks::default(), ContentHash::of(b"x"));
        assert_eq!(checks.again(), Again::Hashed);
        checks.saw(Some(&checksum(&sha256)), &sha256);
        assert_eq!(checks.again(), Again::ByTheStore);
        for other in [None, Some("AAAA")] {
            checks.saw(other, &sha256);
            assert_eq!(checks.again(), Again::Hashed, "{other:?}");
        }
    }

    // I3: never on the word of an answer alone, nor on what was seen a week ago alone.
    #[test]
    fn the_checksum_alone_is_signed_where_the_store_was_seen_to_go_by_it_and_still_says_it() {
        let (checks, sha256) = (Checks::default(), ContentHash::of(b"x"));
        let (holds, ignored) = (Finding::holds("a wrong one was refused"), Finding::ignored("a wrong one was accepted"));
        let told = Some(checksum(&sha256));
        let seen = [(&holds, None), (&ignored, told.as_deref()), (&holds, told.as_deref())].map(|(header, said)| {
            checks.heed(header);
            checks.saw(said, &sha256);
            checks.signed()
        });
        assert_eq!(seen, [Signed::Bytes, Signed::Bytes, Signed::Checksum]);
        checks.turned_away();
        checks.heed(&holds);
        assert_eq!((checks.signed(), checks.again()), (Signed::Bytes, Again::ByTheStore));
    }

    #[test]
    fn a_small_file_that_changed_is_not_sent() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "now").unwrap();
        let call = Call { operation: "create", bucket: "b", key: "a.js", told: crate::egress::Told::Operator };
        let attributes = |promised: &[u8]| Attributes {
            content_type: String::new(),
            cache_control: String::new(),
            content_encoding: None,
            sha256: ContentHash::of(promised),
            writer: None,
            sequence: None,
        };
        let body = Body::File { path: file.path().to_owned(), size: 3 };
        assert_eq!(in_memory(call, &body, &attributes(b"now")).unwrap(), "now");
        let refused = in_memory(call, &body, &attributes(b"old")).unwrap_err();
        assert_eq!(refused.to_string(), r#"create "a.js" was refused: the file was changed while it was published"#);
    }
}
