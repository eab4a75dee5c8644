//! Why a publish did not end well: what happened, where, and whether trying again can help.
//! Never decides when to try again: that is the controller's.

use jiff::Timestamp;

use super::documents::ReadFailure;
use crate::api::{ContentHash, ManifestDigest};
use crate::bucket::BucketError;
use crate::manifest::{Evidence, Writer};
use crate::source::SourceError;

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureClass {
    /// It may go away by itself, or when somebody mends store, credentials or network: try again.
    Transient,
    /// Only another spec, another build or a hand in the bucket helps.
    Permanent,
}

/// Why a publish ended without a version record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishFailure {
    /// There is no build.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// There is a build, but it must not be published as it is.
    #[error("{message}")]
    InvalidBuild {
        /// A stable name.
        reason: &'static str,
        /// What is wrong and where.
        message: String,
    },
    /// Another object has the key (I3).
    #[error(
        "{key:?} already holds other bytes: {}, and {} brings sha256 {our_hash}; stored bytes never change, and these were taken for bytes that stay, as {}: give the file another name, and name files like it in spec.build.unversioned (--unversioned) if their bytes may change",
        described(.theirs.as_deref()), described(Some(.ours)), vouched(*.evidence)
    )]
    Conflict {
        /// The key of the bucket.
        key: String,
        /// Who wants to write.
        ours: Box<Writer>,
        /// What we bring.
        our_hash: ContentHash,
        /// Who wrote what is there; `None` when it was none of Rollcall's.
        theirs: Option<Box<Writer>>,
        /// What is there, when the store knows; for a person's own command, never for a status.
        their_hash: Option<ContentHash>,
        /// What vouched for the name; `None` when an earlier version stored it as immutable, for a reason that is not known here.
        evidence: Option<Evidence>,
    },
    /// The version's name means another build.
    #[error(
        "version {version:?} was published before by {release} as another build than this one, {ours}; a version means one build for ever: choose another name"
    )]
    VersionTaken {
        /// The label.
        version: String,
        /// The build that has it.
        recorded: ManifestDigest,
        /// Who published that.
        release: String,
        /// The build that does not get it.
        ours: ManifestDigest,
    },
    /// One of Rollcall's own documents in the bucket is damaged.
    #[error("{key:?} is not what Rollcall wrote there: {cause}")]
    Damaged {
        /// The key of the bucket.
        key: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The bucket.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// The key's leftover object is being deleted; signed requests may still be on their way until then.
    #[error("{key:?} is being deleted, by retention or because an unfinished publish left it there; it may be written again at {until}")]
    Reclaiming {
        /// The key of the bucket, the first one if there are several.
        key: String,
        /// When to try again.
        until: Timestamp,
    },
    /// Another publish, under way, may need what is at the key.
    #[error("{key:?} holds other bytes, and the unfinished publish of {} may need them; waiting until it ends or its intent is a day old", described(Some(.by)))]
    KeyInUse {
        /// The key of the bucket, the first one if there are several.
        key: String,
        /// Whose intent it is.
        by: Writer,
    },
    /// A dead publish left other bytes at the key, and nothing may be deleted in this store.
    #[error(
        "{key:?} holds other bytes, which the unfinished publish of {} left there; they stay, as this store does not honour the condition of a delete ({seen}): remove that object by hand while nothing publishes, or give the file another name", described(.theirs.as_deref())
    )]
    LeftoverStays {
        /// The key of the bucket, the first one if there are several.
        key: String,
        /// Who wrote what is there.
        theirs: Option<Box<Writer>>,
        /// What the store was seen to do.
        seen: String,
    },
    /// Objects keep vanishing while they are checked.
    #[error("{missing} objects of the build vanish as soon as they are written, {first:?} among them")]
    Vanishing {
        /// How many.
        missing: usize,
        /// One of them.
        first: String,
    },
    /// It was told to stop.
    #[error("the publish was cancelled")]
    Cancelled,
}

impl PublishFailure {
    /// Whether trying again can help.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Source(SourceError::Refused(_))
            | Self::InvalidBuild { .. }
            | Self::Conflict { .. }
            | Self::VersionTaken { .. }
            | Self::Damaged { .. }
            | Self::LeftoverStays { .. }
            | Self::Bucket(BucketError::Refused { .. } | BucketError::Unfit(_)) => FailureClass::Permanent,
            Self::Source(_)
            | Self::Bucket(_)
            | Self::Reclaiming { .. }
            | Self::KeyInUse { .. }
            | Self::Vanishing { .. }
            | Self::Cancelled => FailureClass::Transient,
        }
    }

    /// A stable name for conditions, events and metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Source(error) => error.reason(),
            Self::InvalidBuild { reason, .. } => reason,
            Self::Conflict { .. } => "ObjectConflict",
            Self::VersionTaken { .. } => "VersionTaken",
            Self::Damaged { .. } => "DocumentDamaged",
            Self::Bucket(error) => bucket_reason(error),
            Self::Reclaiming { .. } => "Reclaiming",
            Self::KeyInUse { .. } => "KeyInUse",
            Self::LeftoverStays { .. } => "LeftoverStays",
            Self::Vanishing { .. } => "ObjectsVanish",
            Self::Cancelled => "Cancelled",
        }
    }
}

impl From<ReadFailure> for PublishFailure {
    fn from(failure: ReadFailure) -> Self {
        match failure {
            ReadFailure::Bucket(error) => Self::Bucket(error),
            ReadFailure::Malformed { key, cause } => Self::Damaged { key, cause },
        }
    }
}

/// A stable name for what a bucket did not do.
#[must_use]
pub(crate) fn bucket_reason(error: &BucketError) -> &'static str {
    match error {
        BucketError::Unavailable { .. } => "StoreUnavailable",
        BucketError::Locked { .. } => "WriterLocked",
        BucketError::Denied { .. } => "StoreAccessDenied",
        BucketError::NoSuchBucket { .. } => "BucketNotFound",
        BucketError::Refused { .. } => "StoreRefused",
        BucketError::NotAllowed { .. } => "EndpointNotAllowed",
        BucketError::Unfit(objection) => objection.reason(),
    }
}

fn vouched(evidence: Option<Evidence>) -> &'static str {
    evidence.map_or("an earlier version stored the file as an immutable one", Evidence::sentence)
}

fn described(writer: Option<&Writer>) -> String {
    match writer {
        Some(writer) => format!("version {:?} of release {}", writer.version, writer.release),
        None => "an object that Rollcall did not write".to_owned(),
    }
}
