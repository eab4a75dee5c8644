//! Puts a build into a bucket so that every crash leaves something that the next try can finish.
//! Never overwrites (I3), never records a version before every object of it was seen in the bucket (I1), and never deletes but
//! what a dead publish left behind (I5).
//!
//! Order of one publish: fetch, manifest, closure, **intent, then tombstones**, then what recorded versions have, objects,
//! manifest, version record **last**, intent withdrawn. Each step can be done again. A first try lists nothing but Rollcall's own
//! few documents; one that finds its own intent, or a record whose objects are gone, lists the prefix.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::api::{BuildManifestSpec, ContentHash, ManifestDigest};
use crate::bucket::Bucket;
use crate::clock::Clock;
use crate::manifest::{Declared, Layout, Manifest, VersionRecord, Writer};
use crate::source::bucket::Pin;
use crate::source::{Build, SourceError};

mod attempt;
mod claim;
mod copied;
pub(crate) mod documents;
mod drift;
mod entries;
mod failure;
mod intent;
mod known;
pub(crate) mod neighbours;
mod objects;
mod plan;
mod prepare;
mod previous;
mod reclaim;
mod records;
mod references;
pub mod replica;
mod send;
mod single_writer;
mod tombstones;
mod tried;
mod unversioned;
mod verify;

pub use claim::{Claimant, Claimed, Standing, above, claim_owner, read_claim, read_owner, standing};
pub use documents::ReadFailure;
pub use drift::{Difference, Drifted, Extent, HeadersSeen, has_right_bytes, headers_of};
pub use entries::{
    EntriesChecked, EntriesFailure, EntriesPublished, FlipFiles, entries_confirmed, publish_entries, publish_unversioned, ready_for_flip,
};
pub(crate) use failure::bucket_reason;
pub use failure::{FailureClass, PublishFailure};
pub use intent::{INTENT_LIFE, SKEW, withdraw_intent};
pub use plan::{Plan, Refused, plan};
pub use prepare::{Prepared, closure_of};
pub use previous::{Before, before, newest_other};
pub use records::{read_manifest, read_record};
pub(crate) use references::dated_by_store;
pub use references::{Referred, all_references, end_references, end_references_of, inherit_references, write_references};
pub use single_writer::{Holder, SingleWriter};
pub(crate) use tombstones::free_at;
pub use tombstones::{DELETE_WINDOW, Grave, Usable, graves, take_out};
pub use tried::{Origin, Tried};
pub use verify::{Verified, VerifyFailure, verify};

/// Requests at hand for objects. How many of them are really under way is for the bucket to say, which knows how it is answered.
pub const PARALLEL: usize = 256;

/// What a publish works with.
#[derive(Clone)]
pub struct Tools {
    /// Where the objects go.
    pub bucket: Arc<dyn Bucket>,
    /// The time that is written down.
    pub clock: Arc<dyn Clock>,
    /// Requests in flight, at least 1; [`PARALLEL`] unless told.
    pub parallel: usize,
}

/// One build to be published.
#[derive(Debug, Clone)]
pub struct Publish {
    /// Where everything lies.
    pub layout: Layout,
    /// `namespace/name` of the release.
    pub release: String,
    /// The user's label.
    pub version: String,
    /// How the build is read.
    pub names: BuildManifestSpec,
    /// What a person says of its files' names.
    pub declared: Declared,
    /// Whose intent it is.
    pub publisher: Publisher,
    /// What another program serves: see `spec.build.external`.
    pub external: Vec<String>,
    /// URLs in front of the build's paths (public URL with the release's prefix, each ending with `/`): absolute references
    /// that begin so are part of the closure. May be empty.
    pub base_urls: Vec<String>,
    /// The only build that may be published; `None` where the source has seen to that, or anything may be.
    pub pin: Option<Pin>,
}

/// Who publishes, among all of a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Publisher {
    /// One that does one publish after the other, under this name: letters, digits, `-` and `_`. An intent that an earlier one left
    /// is taken for dead as soon as nothing that it sent can land any more.
    OneAtATime(String),
    /// Somebody who may run several times side by side, such as a pipeline. Publishes of the same version and build share an
    /// intent, so that a second try finds what the first one left; any other counts as alive for a day.
    Anybody,
}

/// How far a publish is. Zero until the build is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Objects of the build.
    pub objects_total: u64,
    /// Objects sent so far.
    pub objects_sent: u64,
    /// Objects that were there already.
    pub objects_reused: u64,
    /// Bytes of the build.
    pub bytes_total: u64,
    /// Bytes sent so far.
    pub bytes_sent: u64,
}

/// A publish that is done: every object, the manifest and the version record are in the bucket.
#[derive(Debug, Clone)]
pub struct Published {
    /// The record, as it is stored.
    pub record: VersionRecord,
    /// The manifest that it names.
    pub manifest: Arc<Manifest>,
    /// What was sent and what was reused.
    pub progress: Progress,
    /// What was published before; `None` also when it need not or could not be read.
    pub before: Option<Before>,
}

/// Publishes a build, once it is there. Whatever happened to an earlier try, calling it again goes on from there.
///
/// `cancel` ends it soon, up to the moment when the version record is sent; from then on it is finished. Dropping the future is
/// safe too, but leaves its intent behind, which blocks nobody of the same build and others for a day at most.
///
/// # Errors
/// [`PublishFailure`] says what to wait for, or what somebody must change.
pub async fn publish(
    tools: &Tools,
    request: &Publish,
    build: impl Future<Output = Result<Build, SourceError>>,
    progress: &watch::Sender<Progress>,
    cancel: &CancellationToken,
) -> Result<Published, PublishFailure> {
    progress.send_replace(Progress::default());
    let prepared = tokio::select! {
        biased;
        () = cancel.cancelled() => return Err(PublishFailure::Cancelled),
        prepared = prepare::fetched(&*tools.bucket, request, build) => prepared?,
    };
    publish_prepared(tools, request, &prepared, progress, cancel).await
}

/// The rest of [`publish`], for a build that was prepared before.
///
/// # Errors
/// As [`publish`].
pub async fn publish_prepared(
    tools: &Tools,
    request: &Publish,
    prepared: &Prepared,
    progress: &watch::Sender<Progress>,
    cancel: &CancellationToken,
) -> Result<Published, PublishFailure> {
    progress.send_replace(Progress::default());
    let taken = match attempt(tools, request, prepared, progress, cancel).await {
        Err(taken @ PublishFailure::VersionTaken { .. }) => taken,
        ended => return ended,
    };
    match prepared.as_recorded(&*tools.bucket, request).await? {
        Some(recorded) => attempt(tools, request, &recorded, progress, cancel).await,
        None => Err(taken),
    }
}

async fn attempt(
    tools: &Tools,
    request: &Publish,
    prepared: &Prepared,
    progress: &watch::Sender<Progress>,
    cancel: &CancellationToken,
) -> Result<Published, PublishFailure> {
    let objects = objects::Objects::new(&request.layout, &prepared.manifest);
    attempt::Attempt { tools, request, progress, prepared, objects }.run(cancel).await
}

impl Publish {
    /// What the names of this publisher's intents begin with.
    fn intent_id(&self, digest: &ManifestDigest) -> String {
        match &self.publisher {
            Publisher::OneAtATime(id) => id.clone(),
            Publisher::Anybody => format!("any-{}-{}", ContentHash::of(self.version.as_bytes()).short(), digest.short()),
        }
    }

    fn writer(&self, digest: &ManifestDigest) -> Writer {
        Writer { release: self.release.clone(), version: self.version.clone(), digest: digest.clone() }
    }
}
