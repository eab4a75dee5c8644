//! What a release uses, written into the bucket before it uses it: for a rollback, which uploads nothing, this is the intent. And its
//! last word, when it is deleted. Never writes what is there already, so that an idle release writes nothing.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::documents::{Lasts, ReadFailure, encoded, list_all, read};
use crate::bucket::probe::Deletes;
use crate::bucket::{Bucket, BucketError, Created, Expected, Listed, Swapped};
use crate::clock::Clock;
use crate::manifest::{Layout, References};
use crate::retention::references::{Inheritance, OwnFacts, ended_by_hand, inherited, is_over, last, next, says_the_same};

/// How often a lost race is tried again. Only the one release of one cluster writes its document.
const TRIES: usize = 5;

/// A document that says the same is dated anew when it is this old, so that people see which clusters are alive. Nothing is
/// decided by it: what a cluster that does not answer used last stays.
const DATED_ANEW_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// What became of a release's document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Referred {
    /// It says what the release uses, and that it was deleted where that is so.
    Said(Box<References>),
    /// Nothing was written: there is no document whose end could be said.
    Absent,
    /// Nothing was written: this very release was deleted, and what this process knows of it is old.
    Over,
    /// Nothing was written: a release of the same name that was made later has the document.
    Successors,
}

/// Writes down what a release uses. Read the tombstones after it, before anything is used.
///
/// # Errors
/// When the bucket fails, or the document that lies there cannot be understood.
pub async fn write_references(bucket: &dyn Bucket, layout: &Layout, own: &OwnFacts, clock: &dyn Clock) -> Result<Referred, ReadFailure> {
    rewrite(bucket, &layout.references_of(&own.cluster, &own.release), |before| match before {
        Some(before) if is_over(before, own) => Next::Leave(Referred::Over),
        before => said_anew(before, next(before, own, clock.now())),
    })
    .await
}

/// Writes down that the release uses what the one before it used, and takes that one's document away, in this order: a sweep that reads in
/// between reads both. Where the numbers of the two are not one line (another pointer), and where the store deletes unconditionally,
/// the old document stays. It also stays, and ends in its time, where it names a use that is not the heir's.
///
/// # Errors
/// As [`write_references`].
pub async fn inherit_references(
    bucket: &dyn Bucket,
    layout: &Layout,
    own: &OwnFacts,
    from: &Inheritance,
    clock: &dyn Clock,
) -> Result<(), ReadFailure> {
    let old_key = layout.references_of(&own.cluster, &from.release);
    let Some(stored) = bucket.head(&old_key).await? else { return Ok(()) };
    let Some(old) = read::<References>(bucket, &old_key).await? else { return Ok(()) };
    let own_key = layout.references_of(&own.cluster, &own.release);
    let taken_over = rewrite(bucket, &own_key, |before| {
        if before.is_some_and(|before| is_over(before, own)) {
            return Next::Leave(Referred::Over);
        }
        match inherited(before, &old, own, from.sequence) {
            None => Next::Leave(Referred::Absent),
            Some(merged) => said_anew(before, next(Some(&merged), own, clock.now())),
        }
    });
    if !matches!(taken_over.await?, Referred::Said(_)) {
        return Ok(());
    }
    // Pods that the heir does not see may still use what the old release saw them use: then the old document ends in its own time.
    let is_covered = old.uses.iter().all(|old| own.uses.iter().any(|ours| ours.digest == old.digest));
    if !is_covered {
        end_references_of(bucket, layout, (&own.cluster, &from.release), clock.now()).await?;
    } else if matches!(bucket.deletes().await?, Deletes::Conditional) {
        // Lost: another process has written it since, and it says what it says.
        bucket.delete(&old_key, &stored.etag).await?;
    }
    Ok(())
}

/// Writes the document, unless the one that is there says the same and is not old.
fn said_anew(before: Option<&References>, after: References) -> Next {
    let is_said = before.is_some_and(|before| says_the_same(before, &after) && !is_old(before, &after));
    if is_said { Next::Leave(Referred::Said(Box::new(after))) } else { Next::Write(Box::new(after)) }
}

/// Writes down that a release was deleted: what it used stays for its time from now on, and then it keeps nothing.
///
/// # Errors
/// As [`write_references`].
pub async fn end_references(bucket: &dyn Bucket, layout: &Layout, own: &OwnFacts, clock: &dyn Clock) -> Result<Referred, ReadFailure> {
    rewrite(bucket, &layout.references_of(&own.cluster, &own.release), |before| match before {
        None => Next::Leave(Referred::Absent),
        Some(before) => match last(before, own, clock.now()) {
            Some(last) => Next::Write(Box::new(last)),
            None if before.deleted_at.is_some() => Next::Leave(Referred::Said(Box::new(before.clone()))),
            None => Next::Leave(Referred::Successors),
        },
    })
    .await
}

/// The same by a person's word, for a release or a cluster that went without saying so.
///
/// # Errors
/// As [`write_references`].
pub async fn end_references_of(
    bucket: &dyn Bucket,
    layout: &Layout,
    (cluster, release): (&str, &str),
    now: Timestamp,
) -> Result<Referred, ReadFailure> {
    rewrite(bucket, &layout.references_of(cluster, release), |before| match before {
        None => Next::Leave(Referred::Absent),
        Some(before) if before.deleted_at.is_some() => Next::Leave(Referred::Said(Box::new(before.clone()))),
        Some(before) => Next::Write(Box::new(ended_by_hand(before, now))),
    })
    .await
}

/// Every document of a prefix, with its line of the listing. The end of a deleted release is the date that the store gave it.
///
/// # Errors
/// As [`write_references`].
pub async fn all_references(bucket: &dyn Bucket, layout: &Layout) -> Result<Vec<(Listed, References)>, ReadFailure> {
    let mut all = Vec::new();
    for listed in list_all(bucket, &layout.references()).await? {
        if let Some(references) = read::<References>(bucket, &listed.key).await? {
            let references = dated_by_store(references, &listed);
            all.push((listed, references));
        }
    }
    Ok(all)
}

/// The clock of who wrote it may have been wrong by any time, and then either nothing would be kept or nothing would ever go. A listing that
/// lags has the date of the document before, so a date of the document itself that is less than [`LISTING_LAG_MAX`] later counts: a clock
/// that is ahead by as much keeps a day longer what is deleted, and nothing is taken early.
pub(crate) fn dated_by_store(references: References, listed: &Listed) -> References {
    let by_store = listed.last_modified;
    let dated = |said: Timestamp| if said.duration_since(by_store) <= LISTING_LAG_MAX { said.max(by_store) } else { by_store };
    References { deleted_at: references.deleted_at.map(dated), ..references }
}

/// No store's listing is older than this.
const LISTING_LAG_MAX: SignedDuration = SignedDuration::from_hours(24);

enum Next {
    Write(Box<References>),
    Leave(Referred),
}

/// Replaces a document by what `judge` makes of it, if nobody else has changed it since.
async fn rewrite(bucket: &dyn Bucket, key: &str, judge: impl Fn(Option<&References>) -> Next) -> Result<Referred, ReadFailure> {
    for _ in 0..TRIES {
        // The token first: what is read then is not older, and a change in between makes us lose.
        let there = bucket.head(key).await?;
        let before = match there {
            Some(_) => read::<References>(bucket, key).await?,
            None => None,
        };
        let after = match judge(before.as_ref()) {
            Next::Write(after) => after,
            Next::Leave(referred) => return Ok(referred),
        };
        let (body, attributes) = encoded(&*after, Lasts::ForNow);
        let is_written = match there {
            None => !matches!(bucket.create(key, body, &attributes).await?, Created::Other(_)),
            Some(stored) => bucket.replace(key, body, &attributes, &Expected::ETag(stored.etag)).await? == Swapped::Done,
        };
        if is_written {
            return Ok(Referred::Said(after));
        }
    }
    let cause = "another program replaced it at each attempt".to_owned();
    Err(BucketError::Unavailable { operation: "replace", key: key.to_owned(), cause }.into())
}

fn is_old(before: &References, after: &References) -> bool {
    after.written_at.duration_since(before.written_at).unsigned_abs() >= DATED_ANEW_AFTER
}

#[cfg(test)]
mod tests;
