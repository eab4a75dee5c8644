//! The jobs' work: from a job to the upload engine's words and back. Never decides whether to try again: it says what can mend
//! a failure.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::api::release::{PublishEntries, UploadStatus};
use crate::api::{AssetStoreSpec, BuildManifestSpec, ContentHash, ManifestDigest};
use crate::bucket::s3::S3Settings;
use crate::bucket::{Bucket, BucketError};
use crate::cluster::pods::ReleaseKey;
use crate::manifest::{Declared, Layout, Manifest, Owner, Writer};
use crate::retention::Plan;
use crate::retention::references::OwnFacts;
use crate::rollout::observed::{BuildSource, Inheritance, Job, JobEnd, Observed, StoreFacts, StoreProblem, SweepAct};
use crate::rollout::{Blocker, retention};
use crate::source::{NoRoom, SourceError};
use crate::sweep::{self, SweepFailure};
use crate::upload::{
    self, Claimant, Claimed, EntriesFailure, Extent, FailureClass, FlipFiles, PARALLEL, Progress, Publish, PublishFailure, Publisher,
    Referred, Tools, VerifyFailure,
};
use crate::upload::{ReadFailure, Usable};

use super::breakers::{End, Open};
use super::context::Context;
use super::jobs::{Mending, WorkFailure, Worked};
use super::places::Whose;
use super::prefix::{self, Learnt};
use super::store::{fault, open_for_job};

/// Objects whose headers are looked at with each listing of a version: a request each, beside one for each 1,000 keys.
const HEADERS_LOOKED_AT: usize = 16;

/// How long a deletion is held up by a store that does not take the release's last word. Longer than the ten seconds that the lock of a
/// single writer takes.
const END_WITHIN: Duration = Duration::from_secs(30);

/// Between two tries of that.
const END_AGAIN_AFTER: Duration = Duration::from_secs(3);

/// A job that was decided, with everything that it needs to begin.
#[derive(Clone)]
pub(super) struct Order {
    pub(super) cx: Arc<Context>,
    pub(super) key: ReleaseKey,
    /// UID of the release.
    pub(super) uid: String,
    /// How to reach the store's own bucket.
    pub(super) address: S3Settings,
    pub(super) layout: Layout,
    /// The release's own prefix.
    pub(super) prefix: String,
    pub(super) store_name: String,
    /// UID and generation of the store.
    pub(super) store_identity: String,
    pub(super) store: AssetStoreSpec,
    /// What pages put in front of a path.
    pub(super) base_url: String,
    /// What is taken over from the release before this one.
    pub(super) inherits: Option<Inheritance>,
    /// What the release uses.
    pub(super) own: OwnFacts,
    pub(super) job: Job,
}

impl Order {
    /// Does the job. The last word of a release is said more than once, within a time that a person would wait: after that nobody says it.
    pub(super) async fn carry_out(self, progress: watch::Sender<UploadStatus>, cancel: CancellationToken) -> Worked {
        if !matches!(self.job, Job::EndReferences { .. }) {
            return self.attempt(progress, cancel).await;
        }
        let mut last = None;
        let tries = async {
            loop {
                match self.clone().attempt(progress.clone(), cancel.clone()).await {
                    Err(failure) if !matches!(failure.mending, Mending::Never) => last = Some(failure),
                    worked => return worked,
                }
                tokio::time::sleep(END_AGAIN_AFTER).await;
            }
        };
        match tokio::time::timeout(END_WITHIN, tries).await {
            Ok(worked) => worked,
            Err(_) => Err(last.unwrap_or_else(|| unanswered(&self.layout))),
        }
    }

    /// Waits for a place and does the work, unless the endpoint has been silent lately.
    async fn attempt(self, progress: watch::Sender<UploadStatus>, cancel: CancellationToken) -> Worked {
        let (cx, whose) = (self.cx.clone(), Whose::at(&self.key.namespace, &self.address));
        let open = |open: Open| WorkFailure { reason: open.fault.reason, message: open.fault.message, mending: Mending::At(open.until) };
        let admitted = cx.breakers.admit(&whose, cx.outside.clock.now()).map_err(open)?;
        let _place = cx.places.of(&self.job).take(whose).await;
        let admitted = admitted.begun(cx.outside.clock.now());
        let worked = self.work(progress, cancel).await;
        let end = End::of(worked.as_ref().err().map(|failure| failure.reason));
        let silent = admitted.worked(end, cx.outside.clock.now());
        worked.map_err(|failure| match silent {
            Some(fault) => WorkFailure { reason: fault.reason, message: fault.message, ..failure },
            None => failure,
        })
    }

    /// Opens the bucket and does the work.
    async fn work(self, progress: watch::Sender<UploadStatus>, cancel: CancellationToken) -> Worked {
        let opened = open_for_job(&self.cx, &self.store, &self.address, &self.layout).await;
        let opened = opened.map_err(|error| bucket_failure(&error))?;
        let bucket = opened.map_err(|problem| self.unusable(problem))?;
        Task {
            bucket,
            cx: self.cx,
            layout: self.layout,
            namespace: self.key.namespace.clone(),
            prefix: self.prefix,
            store_name: self.store_name,
            store_identity: self.store_identity,
            store: Some(self.store),
            release: format!("{}/{}", self.key.namespace, self.key.name),
            key: self.key,
            uid: self.uid,
            base_url: self.base_url,
            inherits: self.inherits,
            own: self.own,
            job: self.job,
        }
        .run(progress, cancel)
        .await
    }

    /// Somebody has to change the store, which is seen by a watch, or upgrade it, which is not.
    fn unusable(&self, problem: StoreProblem) -> WorkFailure {
        let (store, namespace) = (self.store_name.clone(), self.key.namespace.clone());
        let blocker = Blocker::StoreUnusable { store, namespace, problem };
        WorkFailure { reason: blocker.reason(), message: blocker.message(), mending: Mending::Seldom }
    }
}

/// One job with everything that it works with.
pub(super) struct Task {
    pub(super) cx: Arc<Context>,
    pub(super) bucket: Arc<dyn Bucket>,
    pub(super) layout: Layout,
    pub(super) key: ReleaseKey,
    /// UID of the release.
    pub(super) uid: String,
    /// UID and generation of the store.
    pub(super) store_identity: String,
    /// Namespace of the release and of its store.
    pub(super) namespace: String,
    /// The release's own prefix.
    pub(super) prefix: String,
    /// Name of the store.
    pub(super) store_name: String,
    /// The store as it was looked at.
    pub(super) store: Option<AssetStoreSpec>,
    /// `namespace/name` of the release.
    pub(super) release: String,
    /// What pages put in front of a path.
    pub(super) base_url: String,
    /// What is taken over from the release before this one.
    pub(super) inherits: Option<Inheritance>,
    /// What the release uses.
    pub(super) own: OwnFacts,
    pub(super) job: Job,
}

/// What pages put in front of a path; empty when the store does not say.
pub(super) fn base_url(observed: &Observed) -> String {
    match &observed.store {
        StoreFacts::Usable { base_url, .. } => base_url.clone(),
        StoreFacts::Missing | StoreFacts::Unusable(_) => String::new(),
    }
}

impl Task {
    /// Does the work.
    pub(super) async fn run(self, progress: watch::Sender<UploadStatus>, cancel: CancellationToken) -> Worked {
        match &self.job {
            Job::Claim { owner, .. } => self.claim_prefix(owner).await,
            Job::Publish { version, source, names, declared, external, .. } => {
                let read_as = ReadAs { names, declared, external };
                self.publish(version, (source, read_as), progress, cancel).await
            }
            Job::Verify { digest, stage, flip, fallback, .. } => self.verify(digest, *stage, (flip.as_ref(), fallback.as_deref())).await,
            Job::Replicate { version, digest, .. } => self.replicate(version, digest).await,
            Job::Backfill { replicas, pages, .. } => self.backfill(replicas, pages.as_ref(), &progress).await,
            Job::PublishEntries { version, digest, sequence, publish, .. } => {
                self.publish_entries(version, digest, (*publish, *sequence)).await
            }
            Job::WriteReferences { .. } => self.refer().await.map(|()| JobEnd::ReferencesWritten),
            Job::EndReferences { .. } => self.end_references().await,
            Job::Sweep { act, .. } => self.sweep(*act).await,
        }
    }

    /// What another one has claimed meanwhile is looked at anew. What the release before this one used is written down as used by this
    /// one before its claim is taken over: who ends in between begins anew.
    async fn claim_prefix(&self, owner: &Owner) -> Worked {
        if let Some(inherits) = &self.inherits {
            let clock = self.cx.outside.clock.as_ref();
            let inherited = upload::inherit_references(self.bucket.as_ref(), &self.layout, &self.own, inherits, clock).await;
            inherited.map_err(|failure| read_failure(failure.reason(), failure.to_string()))?;
        }
        let claimed = upload::claim_owner(self.bucket.as_ref(), &self.layout, self.claimant(owner)).await;
        match claimed.map_err(|failure| read_failure(failure.reason(), failure.to_string()))? {
            Claimed::Ours => self.learn(Learnt::PrefixIsOurs { without: self.layout.excluded() }),
            Claimed::Theirs(_) | Claimed::Overlaps(_) => {
                self.cx.looks.forget(&self.key);
                // The next look says whose it is; should it see that otherwise, claiming is tried again with a pause.
                let message = format!("the prefix {:?} was claimed by another release meanwhile", self.prefix);
                return Err(read_failure("PrefixOwned", message));
            }
        }
        Ok(JobEnd::Claimed)
    }

    /// Who claims a prefix for this release, in its store and in each replica.
    pub(super) fn claimant<'a>(&'a self, owner: &'a Owner) -> Claimant<'a> {
        Claimant::from(owner).inheriting(self.inherits.as_ref().map(|inherits| inherits.release.as_str()))
    }

    fn learn(&self, learnt: Learnt) {
        prefix::learn(&self.cx, &self.key, &self.uid, &self.store_identity, learnt);
    }

    async fn publish(
        &self,
        version: &str,
        (source, read_as): (&BuildSource, ReadAs<'_>),
        told: watch::Sender<UploadStatus>,
        cancel: CancellationToken,
    ) -> Worked {
        let asked = self.asked(version, source).await?;
        let tools = Tools { bucket: self.bucket.clone(), clock: self.cx.outside.clock.clone(), parallel: PARALLEL };
        let request = Publish {
            layout: self.layout.clone(),
            release: self.release.clone(),
            version: version.to_owned(),
            names: read_as.names.clone(),
            declared: read_as.declared.clone(),
            external: read_as.external.to_vec(),
            publisher: Publisher::OneAtATime(publisher_id(&self.release)),
            base_urls: vec![self.base_url.clone()],
            pin: asked.pin(),
        };
        let space = self.cx.settings.workspace.of(&self.namespace);
        let build = self.build(asked, &space);
        let (progress, seen) = watch::channel(Progress::default());
        let published = tokio::select! {
            biased;
            published = upload::publish(&tools, &request, build, &progress, &cancel) => published,
            () = pass_on(seen, &told) => Err(PublishFailure::Cancelled),
            // What was sent stays sent: the next try goes on from there.
            () = space.asked_to_leave() => Err(SourceError::NoRoom { why: NoRoom::Yielded }.into()),
        };
        let published = published.map_err(|failure| publish_failure(&failure))?;
        self.learn(Learnt::Recorded(published.record.clone()));
        Ok(JobEnd::Published { record: published.record, upload: upload_status(published.progress) })
    }

    async fn verify(
        &self,
        digest: &ManifestDigest,
        stage: i64,
        (flip, fallback): (Option<&(String, PublishEntries)>, Option<&str>),
    ) -> Worked {
        // Before the first request: what the store says is at least as new as this.
        let at = self.cx.outside.clock.now();
        self.claim(digest).await?;
        let verified = upload::verify(self.bucket.as_ref(), &self.layout, digest).await;
        match verified {
            Ok(verified) => {
                if let Some(fallback) = fallback.filter(|fallback| !verified.manifest.has_page(fallback)) {
                    return Err(no_fallback(fallback));
                }
                let mut missing: Vec<String> = verified.missing.into_iter().chain(verified.wrong_size).collect();
                missing.sort();
                if let Some(flip) = flip.filter(|_| missing.is_empty()) {
                    self.ready_for_flip(&verified.manifest, digest, flip).await?;
                }
                let headers = self.drifted_headers(&verified.manifest, stage).await;
                Ok(JobEnd::Verified { missing, name_map: Some(verified.manifest.name_map(&self.base_url).into()), headers, at })
            }
            // A manifest that is gone is mended like any other object: by publishing again.
            Err(VerifyFailure::ManifestMissing { key }) => Ok(JobEnd::Verified { missing: vec![key], name_map: None, headers: None, at }),
            Err(failure @ VerifyFailure::Read(_)) => Err(read_failure(failure.reason(), failure.to_string())),
        }
    }

    /// Sees that the public keys can get this version's files with the flip: after it would be too late to say that they cannot.
    async fn ready_for_flip(
        &self,
        manifest: &Manifest,
        digest: &ManifestDigest,
        (version, publish): &(String, PublishEntries),
    ) -> Result<(), WorkFailure> {
        let files = match publish {
            PublishEntries::Bucket => FlipFiles::All,
            PublishEntries::Pods => FlipFiles::Unversioned,
        };
        let writer = self.writer(version, digest);
        let ready = upload::ready_for_flip(self.bucket.as_ref(), &self.layout, (manifest, files), &writer).await;
        ready.map(drop).map_err(|failure| entries_failure(&failure))
    }

    /// How the headers of some objects differ from ours. For people only: a store that fails here has just shown that it has everything.
    /// Each staging looks at others, and each look for one staging at the same: a status that has settled stays as it is (I7).
    async fn drifted_headers(&self, manifest: &Manifest, stage: i64) -> Option<String> {
        let extent = Extent::Sample { count: HEADERS_LOOKED_AT, turn: usize::try_from(stage).unwrap_or(0) };
        upload::headers_of(self.bucket.as_ref(), &self.layout, manifest, extent).await.ok()?.sentence()
    }

    /// Writes down that the version is about to be used, then takes its objects out of whatever is about to delete them. For a
    /// rollback, which uploads nothing, this is the intent (I5, I8).
    async fn claim(&self, digest: &ManifestDigest) -> Result<(), WorkFailure> {
        let (bucket, layout, clock) = (self.bucket.as_ref(), &self.layout, self.cx.outside.clock.as_ref());
        let failed = |failure: ReadFailure| read_failure(failure.reason(), failure.to_string());
        self.refer().await?;
        let manifest = upload::read_manifest(bucket, layout, digest).await.map_err(failed)?;
        let files = || manifest.iter().flat_map(|manifest| &manifest.files);
        let public = files().filter(|file| !file.class.lies_at_its_path()).map(|file| layout.key(&file.path));
        let needed: BTreeSet<String> = files().map(|file| layout.key(&file.key())).chain(public).chain([layout.manifest(digest)]).collect();
        match upload::take_out(bucket, layout, clock.now(), &|key| needed.contains(key)).await.map_err(failed)? {
            Usable::Now => Ok(()),
            Usable::From { key, until } => {
                let message = format!("{key:?} is being deleted by retention; whether the version is still there is known at {until}");
                Err(WorkFailure { reason: "Reclaiming", message, mending: Mending::At(until) })
            }
        }
    }

    /// Writes down what the release uses.
    async fn refer(&self) -> Result<(), WorkFailure> {
        let written = upload::write_references(self.bucket.as_ref(), &self.layout, &self.own, self.cx.outside.clock.as_ref()).await;
        match written.map_err(|failure| read_failure(failure.reason(), failure.to_string()))? {
            Referred::Said(_) => Ok(()),
            Referred::Absent | Referred::Over | Referred::Successors => {
                let key = self.layout.references_of(&self.own.cluster, &self.own.release);
                let message = format!("{key:?} says that this release was deleted: what this process knows of it is old");
                Err(WorkFailure { reason: "ReleaseDeleted", message, mending: Mending::Seldom })
            }
        }
    }

    /// Writes down that the release is deleted.
    async fn end_references(&self) -> Worked {
        let ended = upload::end_references(self.bucket.as_ref(), &self.layout, &self.own, self.cx.outside.clock.as_ref()).await;
        match ended.map_err(|failure| read_failure(failure.reason(), failure.to_string()))? {
            Referred::Said(_) | Referred::Absent | Referred::Over | Referred::Successors => Ok(JobEnd::ReferencesEnded),
        }
    }

    async fn sweep(&self, act: SweepAct) -> Worked {
        let clock = &self.cx.outside.clock;
        let replicas = if act == SweepAct::CarryOut { self.places_of_replicas().await? } else { Vec::new() };
        let tools = sweep::Tools { bucket: self.bucket.clone(), clock: clock.clone(), grace: sweep::GRACE, replicas };
        self.refer().await.map_err(|failure| WorkFailure { mending: Mending::At(clock.now() + SWEPT_AGAIN_AFTER), ..failure })?;
        let failed = |failure: SweepFailure| sweep_failure(&failure, clock.now());
        // Before the plan: status never shows that something goes where nothing may.
        sweep::permitted(&tools).await.map_err(failed)?;
        let builds = |plan: &Plan| plan.roots.kept.keys().cloned().collect();
        match act {
            SweepAct::Plan => {
                let plan = sweep::plan(&tools, &self.layout).await.map_err(failed)?;
                Ok(JobEnd::Planned { kept: builds(&plan), shown: Box::new(retention::shown(&plan, None, clock.now())) })
            }
            SweepAct::CarryOut => {
                let outcome = sweep::sweep(&tools, &self.layout, &publisher_id(&self.release)).await.map_err(failed)?;
                self.cx.metrics.swept(outcome.deleted);
                let shown = retention::shown(&outcome.plan, Some(outcome.deleted), clock.now());
                Ok(JobEnd::Swept { kept: builds(&outcome.plan), shown: Box::new(shown) })
            }
        }
    }

    async fn publish_entries(&self, version: &str, digest: &ManifestDigest, (publish, sequence): (PublishEntries, i64)) -> Worked {
        // Before the first request: what is confirmed is at least as new as this.
        let at = self.cx.outside.clock.now();
        let bucket = self.bucket.as_ref();
        let manifest = upload::read_manifest(bucket, &self.layout, digest).await;
        let manifest = manifest.map_err(|failure| read_failure(failure.reason(), failure.to_string()))?;
        let Some(manifest) = manifest else {
            return Err(read_failure("ManifestMissing", format!("the manifest {:?} is not in the store", self.layout.manifest(digest))));
        };
        let writer = self.writer(version, digest);
        let published = put_flip_files((bucket, &self.layout), &manifest, (publish, sequence), &writer).await;
        published.map_err(|failure| entries_failure(&failure))?;
        self.publish_entries_to_replicas(&manifest, (publish, sequence), &writer).await?;
        Ok(JobEnd::EntriesPublished { at })
    }
}

/// Writes what a flip puts at public keys, in the store or in a replica.
pub(super) async fn put_flip_files(
    (bucket, layout): (&dyn Bucket, &Layout),
    manifest: &Manifest,
    (publish, sequence): (PublishEntries, i64),
    writer: &Writer,
) -> Result<(), EntriesFailure> {
    let published = match publish {
        PublishEntries::Bucket => upload::publish_entries(bucket, layout, manifest, sequence, writer).await,
        PublishEntries::Pods => upload::publish_unversioned(bucket, layout, manifest, sequence, writer).await,
    };
    published.map(drop)
}

/// How the spec has a build read.
#[derive(Clone, Copy)]
struct ReadAs<'a> {
    names: &'a BuildManifestSpec,
    declared: &'a Declared,
    external: &'a [String],
}

/// One for each release: a release has one job at a time, so whatever its last publish left is dead, and its intent is taken over
/// instead of being waited out.
fn publisher_id(release: &str) -> String {
    ContentHash::of(release.as_bytes()).to_string()[..16].to_owned()
}

/// A doubt may go away when somebody acts or a publish ends.
const SWEPT_AGAIN_AFTER: Duration = Duration::from_secs(60 * 60);

fn sweep_failure(failure: &SweepFailure, now: jiff::Timestamp) -> WorkFailure {
    WorkFailure { reason: failure.reason(), message: failure.to_string(), mending: Mending::At(now + SWEPT_AGAIN_AFTER) }
}

/// The last word of a release met a store that said nothing at all.
fn unanswered(layout: &Layout) -> WorkFailure {
    let message = format!("the store did not answer within {} s, asked for {:?}", END_WITHIN.as_secs(), layout.references());
    WorkFailure { reason: "StoreUnavailable", message, mending: Mending::Seldom }
}

/// Passes the engine's figures on, for ever.
pub(super) async fn pass_on(mut seen: watch::Receiver<Progress>, told: &watch::Sender<UploadStatus>) {
    while seen.changed().await.is_ok() {
        let progress = *seen.borrow_and_update();
        told.send_replace(upload_status(progress));
    }
    std::future::pending::<()>().await;
}

pub(super) fn upload_status(progress: Progress) -> UploadStatus {
    let count = |figure: u64| i64::try_from(figure).unwrap_or(i64::MAX);
    UploadStatus {
        objects_total: count(progress.objects_total),
        objects_sent: count(progress.objects_sent),
        objects_reused: count(progress.objects_reused),
        bytes_total: count(progress.bytes_total),
        bytes_sent: count(progress.bytes_sent),
    }
}

pub(super) fn publish_failure(failure: &PublishFailure) -> WorkFailure {
    let mending = match (failure, failure.class()) {
        (PublishFailure::Reclaiming { until, .. }, _) => Mending::At(*until),
        // Somebody else's publish goes on or dies, in a day at most; each try reads the build anew.
        (PublishFailure::KeyInUse { .. }, _) => Mending::Seldom,
        (_, FailureClass::Permanent) => Mending::Never,
        (_, FailureClass::Transient) => Mending::Retry,
    };
    WorkFailure { reason: failure.reason(), message: failure.to_string(), mending }
}

/// The store could not even be opened.
fn bucket_failure(error: &BucketError) -> WorkFailure {
    let fault = fault(error);
    read_failure(fault.reason, fault.message)
}

/// The spec or the build has to change; the retry is for a version that is published again.
fn no_fallback(fallback: &str) -> WorkFailure {
    WorkFailure { reason: FALLBACK_MISSING, message: no_fallback_message(fallback), mending: Mending::Seldom }
}

/// Reason of a version whose build lacks the page that `spec.entries.fallback` names.
pub(crate) const FALLBACK_MISSING: &str = "FallbackMissing";

pub(crate) fn no_fallback_message(fallback: &str) -> String {
    format!(
        "the build has no page {fallback:?}, which spec.entries.fallback names; set it to a page of the build, add the page to the build, or \
         remove the field (for a version of before the page, in the same change)"
    )
}

/// The store may come back, or somebody mends it: neither is seen from here but by trying.
pub(super) fn read_failure(reason: &'static str, message: String) -> WorkFailure {
    WorkFailure { reason, message, mending: Mending::Retry }
}

pub(super) fn entries_failure(failure: &EntriesFailure) -> WorkFailure {
    WorkFailure { reason: failure.reason(), message: failure.to_string(), mending: Mending::Seldom }
}
