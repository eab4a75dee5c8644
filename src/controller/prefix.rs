//! What the bucket of a release says about prefix and version: who may write there, and what was published. Asked beside the passes.
//! Never asks for what is known for good: a prefix that is ours, and the record of a version, which is immutable.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::api::AssetStoreSpec;
use crate::bucket::s3::{S3Settings, UNANSWERED};
use crate::bucket::{Bucket, BucketError};
use crate::cluster::pods::ReleaseKey;
use crate::manifest::{Layout, Owner, VersionRecord};
use crate::rollout::observed::{BucketFault, Inheritance, OwnerFacts, PrefixFacts, ReleaseFacts, StoreFacts, StoreProblem};
use crate::upload::{self, Claimant, Standing};

use super::asking;
use super::context::{Context, Memory};
use super::looks::{Answer, Known};
use super::places::Whose;
use super::retry::Failure;
use super::store::{FoundStore, cluster_id, document_fault, fault, open_tried};

/// A small document, or the word that it is not there. S3's own tail for small requests is a few seconds; who says nothing for
/// longer holds a place that others wait for.
pub(super) const FIRST_ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// A store that is met for the first time is tried out by some twenty requests one after another.
pub(super) const PROBE_TIME_MAX: Duration = Duration::from_secs(60);

/// The whole look: besides, a prefix that is claimed anew is listed: 1,000 pages of 0.2 s for a million objects.
const LOOK_TIME_MAX: Duration = Duration::from_secs(300);

/// What a look is about: another value of any of these is another look.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Question {
    /// UID of the release.
    uid: String,
    /// UID and generation of the store.
    store: String,
    address: S3Settings,
    layout: Layout,
    version: String,
    /// The request that a person made by annotation.
    request: Option<String>,
    /// The claim that this release would make.
    ours: Owner,
    /// The release whose claim counts as ours: it is gone, and this one takes its place.
    predecessor: Option<String>,
}

/// What a look showed.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Seen {
    /// Whose prefix it is, and the record of the wanted version.
    Prefix(OwnerFacts, Option<VersionRecord>),
    /// Nothing may be published into this store.
    Unusable(StoreProblem),
    /// The bucket did not answer as it should.
    Fault(BucketFault),
}

impl Answer for Seen {
    fn broken(message: String) -> Self {
        Self::Fault(BucketFault { reason: "LookPanicked", message })
    }
}

/// Has the bucket asked, if the decision may need it and it is not known already; the question is for [`seen`].
pub(super) async fn ask(
    cx: &Arc<Context>,
    key: &ReleaseKey,
    release: &ReleaseFacts,
    found: &FoundStore,
    inherits: Option<&Inheritance>,
) -> Result<Option<Question>, Failure> {
    let (Some(address), Some(spec), StoreFacts::Usable { identity, .. }) = (&found.address, &found.spec, &found.facts) else {
        return Ok(None);
    };
    if !found.is_asked {
        return Ok(None);
    }
    let question = Question {
        uid: release.uid.clone(),
        store: identity.clone(),
        address: address.clone(),
        layout: found.layout.clone(),
        version: release.spec.version.clone(),
        request: release.requested_at.clone(),
        ours: Owner::new(&cluster_id(cx).await?, &release.full_name()),
        predecessor: inherits.map(|inherits| inherits.release.clone()),
    };
    if remembered(cx, key, &question).is_none() {
        let look = look(cx.clone(), key.clone(), question.clone(), spec.clone());
        cx.looks.begin(key, question.clone(), || look);
    }
    Ok(Some(question))
}

/// What is known now.
pub(super) fn seen(cx: &Context, key: &ReleaseKey, question: &Question) -> Result<PrefixFacts, StoreProblem> {
    if let Some(known) = remembered(cx, key, question) {
        return Ok(known);
    }
    match cx.looks.known(key, question) {
        Some(Known::Answer(Seen::Prefix(owner, record))) => {
            // The look may be older than the claim, and than the record.
            let memory = memory(cx, key, question);
            let owner = if is_ours(&memory, question) { OwnerFacts::Us } else { owner };
            let record = memory.record_of(&question.version).or(record);
            Ok(PrefixFacts::Known { owner, record })
        }
        Some(Known::Answer(Seen::Unusable(problem))) => Err(problem),
        Some(Known::Answer(Seen::Fault(fault))) => Ok(PrefixFacts::Fault(fault)),
        Some(Known::Asked(since)) => Ok(PrefixFacts::Asked { since }),
        None => Ok(PrefixFacts::Asked { since: cx.outside.clock.now() }),
    }
}

/// Prefix and version, when both are known for good.
fn remembered(cx: &Context, key: &ReleaseKey, question: &Question) -> Option<PrefixFacts> {
    let memory = memory(cx, key, question);
    if !is_ours(&memory, question) {
        return None;
    }
    let record = memory.record_of(&question.version)?;
    Some(PrefixFacts::Known { owner: OwnerFacts::Us, record: Some(record) })
}

fn is_ours(memory: &Memory, question: &Question) -> bool {
    memory.owns_prefix_without == Some(question.layout.excluded())
}

fn memory(cx: &Context, key: &ReleaseKey, question: &Question) -> Memory {
    let memory = cx.recall(key, &question.uid);
    if memory.store == question.store { memory } else { Memory::default() }
}

impl Memory {
    fn record_of(self, version: &str) -> Option<VersionRecord> {
        self.record.filter(|record| record.version == version)
    }
}

/// What a job has found out: it need not be asked for.
pub(super) fn learn(cx: &Context, key: &ReleaseKey, uid: &str, store: &str, learnt: Learnt) {
    cx.remember(key, uid, |memory| {
        if memory.store != store {
            *memory = Memory { uid: uid.to_owned(), store: store.to_owned(), record: None, owns_prefix_without: None, ..memory.clone() };
        }
        match learnt {
            Learnt::PrefixIsOurs { without } => memory.owns_prefix_without = Some(without),
            Learnt::Recorded(record) => memory.record = Some(record),
        }
    });
}

/// What a job found out about prefix and version.
pub(super) enum Learnt {
    /// The claim was made, or had been.
    PrefixIsOurs {
        /// The parts that it leaves to others.
        without: Vec<String>,
    },
    /// The version has this record.
    Recorded(VersionRecord),
}

async fn look(cx: Arc<Context>, key: ReleaseKey, question: Question, store: AssetStoreSpec) -> Seen {
    let whose = Whose::at(&key.namespace, &question.address);
    let answer = asking::ask(&cx, whose, &cx.places.looks, async {
        let looked = async { Ok(asked(&cx, &key, &question, &store).await) };
        within(LOOK_TIME_MAX, &question.layout.owner(), looked).await.map_err(|error| fault(&error))?
    });
    answer.await.unwrap_or_else(Seen::Fault)
}

/// The record first: a store that does not answer is known by it, and trying it out takes many times as long. Listings are believed
/// only of a store that was tried out.
async fn asked(cx: &Context, key: &ReleaseKey, question: &Question, store: &AssetStoreSpec) -> Result<Seen, BucketFault> {
    let bucket = cx.outside.buckets.open(&question.address).map_err(|error| fault(&error))?;
    let record = async { Ok(record(cx, key, question, bucket.as_ref()).await) };
    let record = within(FIRST_ANSWER_WITHIN, &question.layout.owner(), record).await.map_err(|error| fault(&error))??;
    let tried = open_tried(cx, &store.bucket, store.write_guard, &question.address).await.map_err(|error| fault(&error))?;
    let bucket = match tried {
        Ok(bucket) => bucket,
        Err(problem) => return Ok(Seen::Unusable(problem)),
    };
    let owner = owner(cx, key, question, bucket.as_ref()).await?;
    // What a job has found out since this look began is newer: nothing is unlearnt.
    if owner == OwnerFacts::Us {
        learn(cx, key, &question.uid, &question.store, Learnt::PrefixIsOurs { without: question.layout.excluded() });
    }
    if let Some(record) = &record {
        learn(cx, key, &question.uid, &question.store, Learnt::Recorded(record.clone()));
    }
    Ok(Seen::Prefix(owner, record))
}

async fn record(cx: &Context, key: &ReleaseKey, question: &Question, bucket: &dyn Bucket) -> Result<Option<VersionRecord>, BucketFault> {
    match memory(cx, key, question).record_of(&question.version) {
        Some(record) => Ok(Some(record)),
        None => upload::read_record(bucket, &question.layout, &question.version).await.map_err(|failure| document_fault(&failure)),
    }
}

/// Lists the whole prefix while the claim is new, which [`LOOK_TIME_MAX`] has room for.
async fn owner(cx: &Context, key: &ReleaseKey, question: &Question, bucket: &dyn Bucket) -> Result<OwnerFacts, BucketFault> {
    if is_ours(&memory(cx, key, question), question) {
        return Ok(OwnerFacts::Us);
    }
    let claimant = Claimant::from(&question.ours).inheriting(question.predecessor.as_deref());
    let standing = upload::standing(bucket, &question.layout, claimant, cx.outside.clock.now()).await;
    Ok(match standing.map_err(|failure| document_fault(&failure))? {
        Standing::Free | Standing::Yields => OwnerFacts::Nobody(question.ours.clone()),
        Standing::Ours => OwnerFacts::Us,
        Standing::Renew => OwnerFacts::Renewing(question.ours.clone()),
        Standing::Theirs(owner) => OwnerFacts::Other(owner),
        Standing::Overlaps(overlap) => OwnerFacts::Overlaps(overlap),
    })
}

/// The answer, or the word that there was none in this time.
pub(super) async fn within<T>(
    time_max: Duration,
    key: &str,
    answer: impl Future<Output = Result<T, BucketError>>,
) -> Result<T, BucketError> {
    let silent = |_| {
        tracing::warn!(key, seconds = time_max.as_secs(), "a store did not answer in time");
        BucketError::Unavailable { operation: "get", key: key.to_owned(), cause: UNANSWERED.to_owned() }
    };
    timeout(time_max, answer).await.map_err(silent)?
}
