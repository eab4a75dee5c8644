//! Rollcall's own small documents in the bucket: JSON with a format number.
//! Never reads one leniently: what is not understood is an error that names the key.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::ContentHash;
use crate::api::moment::later;
use crate::bucket::{Attributes, Body, Bucket, BucketError, Listed, Walk};
use crate::manifest::claim::FORMAT_WITH_EXCLUSIONS;
use crate::manifest::object::{IMMUTABLE, REVALIDATE};
use crate::manifest::record::FORMAT;
use crate::manifest::{Claim, Intent, References, Swept, Tombstone, TriedOut, VersionRecord, WriterLock};

/// Largest small document that is read; they have a few hundred bytes.
const BYTES_MAX: u64 = 64 * 1024;

/// Largest tombstone that is read: 1,000 keys, which S3 lets have 1,024 bytes each, in JSON.
const TOMBSTONE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Largest document of references that is read: at 170 bytes an activation about 100,000 of them, 20 a day for 13 years.
const REFERENCES_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Most documents of one kind: 20 versions a day for 13 years. Each line is held, at 200 bytes as a rule and 1,200 at most: 120 MB.
const HELD_MAX: u64 = 100_000;

const JSON: &str = "application/json; charset=utf-8";

/// Why a document was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadFailure {
    /// The bucket.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// Something else lies at its key.
    #[error("{key:?} is not what Rollcall wrote there: {cause}")]
    Malformed {
        /// The key of the bucket.
        key: String,
        /// What is wrong.
        cause: String,
    },
}

impl ReadFailure {
    /// A stable name for conditions, events and metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Bucket(error) => super::bucket_reason(error),
            Self::Malformed { .. } => "DocumentDamaged",
        }
    }
}

/// A document that says which format it has.
pub(crate) trait Document: Serialize + DeserializeOwned + Send {
    /// The most bytes that are read of it.
    const BYTES_MAX: u64;

    /// The number that it carries.
    fn format(&self) -> i32;

    /// Whether this build understands all that a document with that number says.
    fn is_known(&self) -> bool {
        self.format() == FORMAT
    }
}

impl Document for Claim {
    const BYTES_MAX: u64 = BYTES_MAX;

    fn format(&self) -> i32 {
        self.owner.owner_version
    }

    fn is_known(&self) -> bool {
        let expected = if self.excluded_prefixes.is_empty() { FORMAT } else { FORMAT_WITH_EXCLUSIONS };
        self.format() == expected
    }
}

macro_rules! documents {
    ($($name:ident: $field:ident, $bytes_max:expr;)*) => {
        $(impl Document for $name {
            const BYTES_MAX: u64 = $bytes_max;

            fn format(&self) -> i32 {
                self.$field
            }
        })*
    };
}

documents! {
    VersionRecord: record_version, BYTES_MAX;
    Intent: intent_version, BYTES_MAX;
    Swept: swept_version, BYTES_MAX;
    Tombstone: tombstone_version, TOMBSTONE_BYTES_MAX;
    References: references_version, REFERENCES_BYTES_MAX;
    TriedOut: tried_version, BYTES_MAX;
    WriterLock: lock_version, BYTES_MAX;
}

/// A moment that a document names, which may lie so far after its writing. One that lies beyond, as seen from now, was written by a clock
/// that is wrong or by a hand: then the store's clock says when it was written. Only then, because a listing may be older than what is
/// read after it.
pub(crate) fn believed(said: Timestamp, ahead: Duration, written_at: Timestamp, now: Timestamp) -> Timestamp {
    let ahead = ahead + super::SKEW;
    if said <= later(now, ahead) { said } else { said.min(later(written_at, ahead)) }
}

/// Reads a document; `None` when there is none.
pub(crate) async fn read<D: Document>(bucket: &dyn Bucket, key: &str) -> Result<Option<D>, ReadFailure> {
    let Some(bytes) = bucket.get(key, D::BYTES_MAX).await? else { return Ok(None) };
    let malformed = |cause: String| ReadFailure::Malformed { key: key.to_owned(), cause };
    let document: D = serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
    if document.is_known() {
        return Ok(Some(document));
    }
    Err(malformed(format!("format {} is not known here (this build knows {FORMAT})", document.format())))
}

/// A document as it is stored, and with which attributes.
pub(crate) fn encoded(document: &impl Document, lasts: Lasts) -> (Body, Attributes) {
    let bytes = serde_json::to_vec(document).expect("a document has only strings and numbers");
    json(bytes.into(), lasts)
}

/// JSON bytes as they are stored.
pub(crate) fn json(bytes: Bytes, lasts: Lasts) -> (Body, Attributes) {
    let attributes = attributes(ContentHash::of(&bytes), lasts);
    (Body::Bytes(bytes), attributes)
}

/// Of JSON with this hash.
pub(crate) fn attributes(sha256: ContentHash, lasts: Lasts) -> Attributes {
    let cache_control = match lasts {
        Lasts::ForEver => IMMUTABLE,
        Lasts::ForNow => REVALIDATE,
    };
    Attributes {
        content_type: JSON.to_owned(),
        cache_control: cache_control.to_owned(),
        content_encoding: None,
        sha256,
        writer: None,
        sequence: None,
    }
}

/// Whether a document may change or go.
#[derive(Clone, Copy)]
pub(crate) enum Lasts {
    ForEver,
    ForNow,
}

/// Lists everything below a prefix. For our own folders, which hold few objects; never for a whole release.
pub(crate) async fn list_all(bucket: &dyn Bucket, prefix: &str) -> Result<Vec<Listed>, BucketError> {
    let (mut all, mut walk) = (Vec::new(), Walk::new(bucket, prefix).of_at_most(HELD_MAX));
    while let Some(objects) = walk.page().await? {
        all.extend(objects);
    }
    Ok(all)
}
