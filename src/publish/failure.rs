//! Why the command failed, and the exit code that says so to a pipeline. Never decides when to try again.

use crate::bucket::BucketError;
use crate::manifest::Overlap;
use crate::source::SourceError;
use crate::upload::{FailureClass, PublishFailure, ReadFailure};

/// What an exit code means; the numbers are an interface, documented in the command's help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Somebody has to change something first.
    CannotBeDone = 1,
    /// What is typed is not enough; other mistakes of that kind end with this number before the command begins.
    Usage = 2,
    /// The store did not do it for as long as was asked for.
    Unavailable = 3,
    /// A signal.
    Interrupted = 4,
    /// The version is published, and its release not Ready with it.
    NotApplied = 5,
}

/// Why nothing was published, or not all that was asked for was done.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The engine.
    #[error(transparent)]
    Publish(#[from] PublishFailure),
    /// Another release owns the prefix.
    #[error(
        "the {place} belongs to release {owner} (cluster {cluster}), and this build is for {release}: correct the target, or say --release {owner} if the build is meant for it"
    )]
    ForeignPrefix {
        /// The prefix and its bucket.
        place: String,
        /// `namespace/name` of its release.
        owner: String,
        /// The cluster of that release.
        cluster: String,
        /// What `--release` says.
        release: String,
    },
    /// Another release has some of the prefix's keys.
    #[error("in the bucket {bucket:?} {overlap}: {}", .overlap.advice())]
    Overlaps {
        /// Name of the bucket.
        bucket: String,
        /// Whose, and where.
        overlap: Box<Overlap>,
    },
    /// A dry run found keys that hold other bytes.
    #[error(
        "nothing could be published: {keys} keys hold other bytes, {first:?} among them; stored bytes never change: give those files other names"
    )]
    WouldBeRefused {
        /// How many.
        keys: usize,
        /// The first one.
        first: String,
    },
    /// `--lint=strict`.
    #[error("the lint rules found {errors} errors; nothing was sent")]
    Lint {
        /// How many.
        errors: usize,
    },
    /// What is typed does not say where to.
    #[error("{0}")]
    Incomplete(&'static str),
    /// The cluster.
    #[error("cannot {what}: {cause}")]
    Cluster {
        /// What was tried.
        what: String,
        /// What was seen.
        cause: String,
    },
    /// `--apply` did not end well.
    #[error("the version is published, but {release} is not Ready with it: {why}")]
    NotApplied {
        /// The release.
        release: String,
        /// What it waits for, or why it stalled.
        why: String,
    },
}

impl Failure {
    /// What a pipeline is told.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Publish(PublishFailure::Cancelled) => Exit::Interrupted,
            Self::Publish(_) if self.may_pass() => Exit::Unavailable,
            Self::NotApplied { .. } => Exit::NotApplied,
            Self::Incomplete(_) => Exit::Usage,
            _ => Exit::CannotBeDone,
        }
    }

    /// Whether waiting can help. Unlike the controller, a pipeline does not wait for somebody to mend credentials or a bucket.
    pub(super) fn may_pass(&self) -> bool {
        let Self::Publish(failure) = self else { return false };
        let needs_somebody = matches!(
            failure,
            PublishFailure::Cancelled
                | PublishFailure::Source(SourceError::Workspace { .. } | SourceError::Unreadable { .. })
                | PublishFailure::Bucket(
                    BucketError::Denied { .. } | BucketError::NoSuchBucket { .. } | BucketError::NotAllowed { .. } | BucketError::Unfit(_)
                )
        );
        failure.class() == FailureClass::Transient && !needs_somebody
    }
}

impl From<BucketError> for Failure {
    fn from(error: BucketError) -> Self {
        Self::Publish(error.into())
    }
}

impl From<ReadFailure> for Failure {
    fn from(failure: ReadFailure) -> Self {
        Self::Publish(failure.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_the_exit_code_of_the_help() {
        let (operation, key, cause) = ("create", "a".to_owned(), "why".to_owned());
        let unavailable = BucketError::Unavailable { operation, key: key.clone(), cause: cause.clone() };
        let denied = BucketError::Denied { operation, key: key.clone(), cause };
        let invalid = PublishFailure::InvalidBuild { reason: "x", message: "y".into() };
        let reclaiming = PublishFailure::Reclaiming { key: key.clone(), until: jiff::Timestamp::UNIX_EPOCH };
        let gone = PublishFailure::Source(SourceError::Unreadable { path: "dist".into(), cause: "it is not there".into() });
        let locked = BucketError::Locked { key: "lock".into(), cause: "another writes".into() };
        for (failure, exit) in [
            (Failure::from(unavailable), Exit::Unavailable),
            (locked.into(), Exit::Unavailable),
            (reclaiming.into(), Exit::Unavailable),
            (denied.into(), Exit::CannotBeDone),
            (BucketError::NoSuchBucket { bucket: "web".into() }.into(), Exit::CannotBeDone),
            (invalid.into(), Exit::CannotBeDone),
            (gone.into(), Exit::CannotBeDone),
            (PublishFailure::Cancelled.into(), Exit::Interrupted),
            (Failure::WouldBeRefused { keys: 1, first: key }, Exit::CannotBeDone),
            (Failure::Incomplete("where to"), Exit::Usage),
            (Failure::NotApplied { release: "a".into(), why: "b".into() }, Exit::NotApplied),
        ] {
            assert_eq!(failure.exit(), exit, "{failure}");
        }
        assert_eq!([Exit::CannotBeDone, Exit::Unavailable, Exit::Interrupted, Exit::NotApplied].map(|exit| exit as u8), [1, 3, 4, 5]);
    }
}
