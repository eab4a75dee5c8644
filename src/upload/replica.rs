//! Replicas: other buckets that hold what the store's own bucket holds, under the same keys below a prefix of their own.
//! Never takes anything for there that the replica's own listing does not show, and never reads or writes what is only the store's
//! (intents, references, tombstones). Whoever opens a replica has claimed its prefix there (`claim`).
//!
//! A replica is a prefix that can be read as the store's own: objects first, then the manifest, then the version record. So a record in
//! a replica says the same as one in the store: the version is whole there, unless there is a sign for its build.

mod backfill;
mod bring;
mod public;
mod version;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub use self::backfill::backfill;
pub use self::version::bring_version;
use super::documents::ReadFailure;
use crate::api::ContentHash;
use crate::bucket::{Bucket, BucketError};
use crate::manifest::Layout;
use crate::source::{Allotment, SourceError};

/// A place that objects are in or go to.
#[derive(Clone)]
pub struct Place {
    /// The bucket.
    pub bucket: Arc<dyn Bucket>,
    /// Where everything of one release lies in it.
    pub layout: Layout,
}

/// The store's own place and one replica of it.
pub struct Pair {
    store: Place,
    replica: Place,
    /// Name of the store's bucket, when the replica's store can copy out of it.
    original_bucket: Option<String>,
    /// The store has said that it does not copy from there: it is not asked again.
    gave_up_copying: AtomicBool,
    space: Allotment,
}

impl Pair {
    /// `original_bucket`: name of the store's bucket, when both are of one store that was seen to keep the condition on copies.
    /// `space`: room for large objects on their way, one at a time.
    #[must_use]
    pub fn new(store: Place, replica: Place, original_bucket: Option<String>, space: Allotment) -> Self {
        Self { store, replica, original_bucket, gave_up_copying: AtomicBool::new(false), space }
    }
}

/// Why a replica did not get what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplicaFailure {
    /// The store's own bucket, or a document in it.
    #[error("the store's own bucket: {0}")]
    Store(ReadFailure),
    /// The replica's bucket.
    #[error(transparent)]
    Replica(BucketError),
    /// The replica has something else under a key of the store (I3).
    #[error("{key:?} is there with other bytes ({theirs} instead of sha256 {ours}): another program writes below the replica's prefix")]
    Occupied {
        /// The key in the replica's bucket.
        key: String,
        /// What the store has.
        ours: ContentHash,
        /// What the replica has, in words.
        theirs: String,
    },
    /// The store's own object is not what it says, or what the manifest says.
    #[error("the store's own {key:?} is damaged: {cause}")]
    Damaged {
        /// The key in the store's bucket.
        key: String,
        /// What is wrong.
        cause: String,
    },
    /// Our own disk.
    #[error("an object on its way into the replica: {0}")]
    Workspace(SourceError),
}

fn of_store(failure: impl Into<ReadFailure>) -> ReplicaFailure {
    ReplicaFailure::Store(failure.into())
}
