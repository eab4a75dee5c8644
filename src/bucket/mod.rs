//! The object store seam: what Rollcall asks of a bucket, in its own words.
//!
//! Implementations: `s3` (the real one), `memory` and `faulty` (for tests). One contract suite runs on all of them.
//! Never offers an unconditional write: every change says what it expects to find (I3).

#[cfg(any(test, feature = "testing"))]
pub mod faulty;
#[cfg(any(test, feature = "testing"))]
pub mod lax;
#[cfg(any(test, feature = "testing"))]
pub mod memory;
pub mod probe;
pub mod s3;

mod walk;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{TryStreamExt as _, future};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::api::ContentHash;
use crate::manifest::Writer;

use self::probe::{Deletes, Objection};
pub use self::walk::Walk;

/// Longest time that a signed request may still land after it was sent: the life of its signature.
pub const SIGNED_REQUEST_LIFE: std::time::Duration = std::time::Duration::from_secs(15 * 60);

/// The bytes of an object to be written. Their hash is known before: hashed once, verified by the server.
#[derive(Debug, Clone)]
pub enum Body {
    /// In memory.
    Bytes(Bytes),
    /// In a file, streamed with bounded memory.
    File {
        /// Where.
        path: PathBuf,
        /// Length in bytes.
        size: u64,
    },
    /// Made when it is sent, piece by piece: never held as a whole.
    Made(Arc<dyn Making>),
}

/// What makes the bytes of an object, the same ones for each try.
pub trait Making: std::fmt::Debug + Send + Sync {
    /// Length of all pieces together, in bytes.
    fn size(&self) -> u64;

    /// From the first byte on.
    fn pieces(&self) -> Box<dyn Iterator<Item = Bytes> + Send + Sync>;

    /// All pieces in one.
    fn whole(&self) -> Bytes {
        let mut whole = BytesMut::new();
        self.pieces().for_each(|piece| whole.extend_from_slice(&piece));
        whole.freeze()
    }
}

impl Body {
    /// Length in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { size, .. } => *size,
            Self::Made(making) => making.size(),
        }
    }
}

/// Everything about an object to be written but its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    /// `Content-Type` header.
    pub content_type: String,
    /// `Cache-Control` header.
    pub cache_control: String,
    /// `Content-Encoding` header, of a variant that was compressed beforehand.
    pub content_encoding: Option<&'static str>,
    /// Hash of the bytes: payload hash, checksum header and metadata.
    pub sha256: ContentHash,
    /// Who writes it; stored as metadata. `None` for Rollcall's own documents, which say it themselves.
    pub writer: Option<Writer>,
    /// For an entry file at its public key: the number of the flip that it belongs to (I4).
    pub sequence: Option<i64>,
}

/// An object as the store describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Length in bytes.
    pub size: u64,
    /// Opaque version token for conditional writes; never an identity of the bytes.
    pub etag: String,
    /// Hash of the bytes, from the verified checksum or else our metadata; `None` when somebody else wrote it without either.
    pub sha256: Option<ContentHash>,
    /// Hash of the whole object as the store itself says that it computed it; never from our metadata.
    pub computed: Option<ContentHash>,
    /// `Content-Type` header.
    pub content_type: Option<String>,
    /// `Cache-Control` header.
    pub cache_control: Option<String>,
    /// `Content-Encoding` header.
    pub content_encoding: Option<String>,
    /// Who wrote it, if it was one of us.
    pub writer: Option<Writer>,
    /// Flip number of an entry file, if it is one.
    pub sequence: Option<i64>,
    /// When it was written, by the store's clock.
    pub last_modified: Timestamp,
}

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Full key.
    pub key: String,
    /// Length in bytes.
    pub size: u64,
    /// Opaque version token.
    pub etag: String,
    /// When it was written, by the store's clock.
    pub last_modified: Timestamp,
}

/// One page of a listing, in byte order of the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// At most 1,000 objects.
    pub objects: Vec<Listed>,
    /// Pass it as `after` to get the next page; `None` at the end.
    pub next: Option<String>,
}

/// How a create ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// The object is there now and was not before.
    New,
    /// An object with the same bytes was there already (perhaps our own earlier try, whose answer got lost).
    Same,
    /// An object with other bytes is there: it stays as it is (I3).
    Other(Box<Stored>),
}

/// What a conditional write or delete expects to find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Nothing.
    Absent,
    /// The object with this token.
    ETag(String),
}

/// How a conditional replace or delete ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swapped {
    /// Done.
    Done,
    /// Something else was there: look again.
    Lost,
}

/// An object that is to be copied, in this bucket or in another one of the same store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Original {
    /// Name of the bucket.
    pub bucket: String,
    /// Its key there.
    pub key: String,
    /// The token under which its bytes were known.
    pub etag: String,
    /// Length in bytes.
    pub size: u64,
}

/// How a copy within the store ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Copied {
    /// As a create would have.
    Ended(Created),
    /// The original is gone, or another one by now: nothing was copied.
    OriginalChanged,
    /// The store does not copy this object, with what it said: somebody has to read and write it.
    Unable(String),
}

/// The bytes of an object, piece by piece.
pub type Pieces = BoxStream<'static, Result<Bytes, BucketError>>;

/// The hash of all the bytes; none of them are kept.
///
/// # Errors
/// When one of the pieces does not come.
pub async fn hash_of(pieces: Pieces) -> Result<ContentHash, BucketError> {
    let hasher = pieces.try_fold(Sha256::new(), |hasher, piece| future::ok(hasher.chain_update(piece))).await?;
    Ok(ContentHash::from_array(hasher.finalize().into()))
}

/// Why a bucket did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BucketError {
    /// No answer, or an answer that asks to come again: try later.
    #[error("{operation} {key:?} failed for now: {cause}")]
    Unavailable {
        /// What was tried, for example `create`.
        operation: &'static str,
        /// The key or prefix.
        key: String,
        /// What was seen.
        cause: String,
    },
    /// Another program writes below this prefix, under the lock that stands in for the store's conditions: try later.
    #[error("the lock {key:?} is not ours: {cause}")]
    Locked {
        /// The key of the lock.
        key: String,
        /// Who has it, and until when; or why it was not to be had.
        cause: String,
    },
    /// The store knows who asks and refuses, or does not know who asks.
    #[error("{operation} {key:?} was denied: {cause}")]
    Denied {
        /// What was tried.
        operation: &'static str,
        /// The key or prefix.
        key: String,
        /// What was seen.
        cause: String,
    },
    /// There is no such bucket.
    #[error("bucket {bucket:?} does not exist")]
    NoSuchBucket {
        /// Its name.
        bucket: String,
    },
    /// The endpoint is none that this program may call: nothing was sent.
    #[error("the endpoint may not be called: {cause}")]
    NotAllowed {
        /// Which host, and what is wrong with it.
        cause: String,
    },
    /// The store was tried out and found wanting: nothing is written into it.
    #[error("the store is refused: {0}")]
    Unfit(Objection),
    /// The store refuses this request for ever (wrong checksum, invalid key, too large).
    #[error("{operation} {key:?} was refused: {cause}")]
    Refused {
        /// What was tried.
        operation: &'static str,
        /// The key or prefix.
        key: String,
        /// What was seen.
        cause: String,
    },
}

impl BucketError {
    /// The same about another key, for where the key itself must not be told.
    #[must_use]
    pub fn of_key(self, other: &str) -> Self {
        let key = other.to_owned();
        match self {
            Self::Unavailable { operation, cause, .. } => Self::Unavailable { operation, key, cause },
            Self::Denied { operation, cause, .. } => Self::Denied { operation, key, cause },
            Self::Refused { operation, cause, .. } => Self::Refused { operation, key, cause },
            other @ (Self::Locked { .. } | Self::NoSuchBucket { .. } | Self::NotAllowed { .. } | Self::Unfit(_)) => other,
        }
    }
}

/// One bucket of an object store. Reads are strong: what was written is seen by the next read, listings included.
#[async_trait]
pub trait Bucket: Send + Sync + 'static {
    /// Creates an object, and never touches one that is there (I3). The server verifies the bytes against `attributes.sha256`.
    /// A precondition failure is answered by looking and comparing; an undecided race is tried again.
    async fn create(&self, key: &str, body: Body, attributes: &Attributes) -> Result<Created, BucketError>;

    /// Creates an object from another one, without its bytes coming here; never touches one that is there (I3). The store copies exactly
    /// the original with that token, whose bytes have `attributes.sha256`: that is the caller's word, as is that the store was seen to
    /// keep the condition on copies (`probe::Capabilities::copy`).
    async fn copy(&self, key: &str, original: &Original, attributes: &Attributes) -> Result<Copied, BucketError> {
        let _ = (key, original, attributes);
        Ok(Copied::Unable("this store copies nothing".to_owned()))
    }

    /// Writes an entry file at its public key: only if what is there now is what `expected` says.
    async fn replace(&self, key: &str, body: Body, attributes: &Attributes, expected: &Expected) -> Result<Swapped, BucketError>;

    /// Reads a whole small object; `None` when there is none. Refused when it is longer than `bytes_max`.
    async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Bytes>, BucketError>;

    /// Reads an object of any length, only if it still has this token; `None` when it is gone or another one. What is read is not
    /// checked against any hash.
    async fn read(&self, key: &str, etag: &str) -> Result<Option<Pieces>, BucketError>;

    /// Describes an object; `None` when there is none.
    async fn head(&self, key: &str) -> Result<Option<Stored>, BucketError>;

    /// Lists up to 1,000 objects whose key begins with `prefix`, after the key `after`.
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, BucketError>;

    /// Gives up multipart uploads below `prefix` that were begun before that moment, by the store's clock; answers how many. A store
    /// without multipart uploads has none.
    async fn give_up_uploads(&self, prefix: &str, before: Timestamp) -> Result<u64, BucketError>;

    /// Deletes an object only if it still has this token. An object that is gone is `Done`.
    async fn delete(&self, key: &str, etag: &str) -> Result<Swapped, BucketError>;

    /// Whether objects may be deleted here at all. Ask before the first one is: where the condition of a delete is not kept, none may.
    async fn deletes(&self) -> Result<Deletes, BucketError> {
        Ok(Deletes::Conditional)
    }

    /// How many requests that write were sent once more so far, as the one before was not answered. Whatever came of the last, the one
    /// before may land later; where the store keeps conditions, it is turned away then.
    fn repeated(&self) -> u64 {
        0
    }
}

fn longer_than(key: &str, bytes_max: u64) -> BucketError {
    BucketError::Refused { operation: "get", key: key.to_owned(), cause: format!("it is longer than {bytes_max} bytes") }
}

/// A file of ours that was to be sent: the disk may come back, the store has no part in it.
fn unreadable(operation: &'static str, key: &str, error: &std::io::Error) -> BucketError {
    BucketError::Unavailable { operation, key: key.to_owned(), cause: format!("the file to send cannot be read: {error}") }
}
