//! What a publish would do, without doing it: what is sent, what is there, what stands against it. Only reads.

use std::collections::BTreeSet;

use futures::{StreamExt as _, TryStreamExt as _};

use super::known::{self, Public, Recent};
use super::objects::Objects;
use super::records::read_own_record;
use super::unversioned::stands_against;
use super::verify::{There, compare};
use super::{Before, Prepared, Publish, PublishFailure, Tools};
use crate::api::ContentHash;
use crate::bucket::{Bucket, BucketError, Stored};
use crate::manifest::{Class, Layout, Writer};

/// Looks at single objects in flight.
const PARALLEL: usize = 64;

/// What a publish would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Keys of the bucket that would be written, with the lengths of their bytes; sorted.
    pub send: Vec<(String, u64)>,
    /// Keys that have these bytes already; sorted.
    pub reuse: Vec<String>,
    /// Keys that have other bytes; sorted.
    pub refuse: Vec<Refused>,
    /// What was published before; `None` also when it could not be read.
    pub before: Option<Before>,
    /// Files whose names a set vouches for.
    pub by_set: BTreeSet<String>,
}

/// A key that has other bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The key of the bucket.
    pub key: String,
    /// What the build brings.
    pub our_hash: ContentHash,
    /// What is there, when the store knows.
    pub their_hash: Option<ContentHash>,
    /// Who wrote what is there; `None` when it was none of Rollcall's.
    pub theirs: Option<Writer>,
}

/// Says what [`super::publish_prepared`] would do now. Lists the prefix, and looks at what no recorded version names.
///
/// # Errors
/// When the version means another build, or the bucket fails. Occupied keys are no error but part of the answer.
pub async fn plan(tools: &Tools, request: &Publish, prepared: &Prepared) -> Result<Plan, PublishFailure> {
    let (bucket, layout) = (&*tools.bucket, &request.layout);
    let recorded = match read_own_record(bucket, request, &prepared.digest).await {
        Err(taken @ PublishFailure::VersionTaken { .. }) => Some(prepared.as_recorded(bucket, request).await?.ok_or(taken)?),
        read => read.map(|_| None)?,
    };
    let prepared = recorded.as_ref().unwrap_or(prepared);
    let objects = Objects::new(layout, &prepared.manifest);
    let Recent { known, public, before, by_set } = known::recent(bucket, layout, &request.version, &objects).await?;
    let there = compare(bucket, layout, &objects).await?.objects;
    let places: Vec<usize> = objects.all().collect();
    let looks = futures::stream::iter(places).map(|at| {
        let (objects, known, there) = (&objects, &known, &there);
        async move {
            match there[at] {
                There::Missing => Ok((at, Fate::Send)),
                There::Likely if known[at] => Ok((at, Fate::Reuse)),
                There::Likely | There::OtherLength => look(bucket, objects, at).await.map(|fate| (at, fate)),
            }
        }
    });
    let fates: Vec<(usize, Fate)> = looks.buffer_unordered(PARALLEL).try_collect::<_>().await?;
    let mut plan = Plan { before, by_set, refuse: refused_publicly(bucket, &objects, layout, &public).await?, ..Plan::default() };
    for (at, fate) in fates {
        match fate {
            Fate::Send => plan.send.push((objects.key(at), objects.file(at).size)),
            Fate::Reuse => plan.reuse.push(objects.key(at)),
            Fate::Refuse(refused) => plan.refuse.push(*refused),
        }
    }
    plan.send.sort();
    plan.reuse.sort();
    plan.refuse.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(plan)
}

/// Public keys of unversioned files that hold bytes which were declared immutable.
async fn refused_publicly(bucket: &dyn Bucket, objects: &Objects, layout: &Layout, public: &[Public]) -> Result<Vec<Refused>, BucketError> {
    let wanted = |at: &usize| objects.file(*at).class == Class::Unversioned && public[*at] != Public::Same;
    let places: Vec<usize> = (0..objects.places()).filter(wanted).collect();
    let looks = futures::stream::iter(places).map(|at| async move {
        let (file, key) = (objects.file(at), layout.key(&objects.file(at).path));
        let there = bucket.head(&key).await?.filter(|there| stands_against(file, there).is_some());
        let refused = |there: Stored| Refused { key, our_hash: file.sha256.clone(), their_hash: there.sha256, theirs: there.writer };
        Ok::<_, BucketError>(there.map(refused))
    });
    let looks: Vec<Option<Refused>> = looks.buffer_unordered(PARALLEL).try_collect().await?;
    Ok(looks.into_iter().flatten().collect())
}

enum Fate {
    Send,
    Reuse,
    Refuse(Box<Refused>),
}

async fn look(bucket: &dyn Bucket, objects: &Objects, at: usize) -> Result<Fate, BucketError> {
    let (key, our_hash) = (objects.key(at), objects.file(at).sha256.clone());
    Ok(match bucket.head(&key).await? {
        None => Fate::Send,
        Some(stored) if stored.sha256.as_ref() == Some(&our_hash) && stored.size == objects.file(at).size => Fate::Reuse,
        Some(stored) => Fate::Refuse(Box::new(Refused { key, our_hash, their_hash: stored.sha256, theirs: stored.writer })),
    })
}
