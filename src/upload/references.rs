//! What a release uses, written into the bucket before it uses it: for a rollback, which uploads nothing, this is the intent.
//! Never writes what is there already, so that an idle release writes nothing.

use std::time::Duration;

use super::documents::{Lasts, ReadFailure, encoded, read};
use crate::bucket::probe::Deletes;
use crate::bucket::{Bucket, BucketError, Created, Expected, Swapped};
use crate::clock::Clock;
use crate::manifest::{Layout, References};
use crate::retention::references::{OwnFacts, inherited, next, says_the_same};
use crate::rollout::observed::Inheritance;

/// How often a lost race is tried again. Only the one release of one cluster writes its document.
const TRIES: usize = 5;

/// A document that says the same is dated anew when it is this old, so that people see which clusters are alive. Nothing is
/// decided by it: what a cluster that does not answer used last stays.
const DATED_ANEW_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Writes down what a release uses. Read the tombstones after it, before anything is used.
///
/// # Errors
/// When the bucket fails, or the document that lies there cannot be understood.
pub async fn write_references(bucket: &dyn Bucket, layout: &Layout, own: &OwnFacts, clock: &dyn Clock) -> Result<References, ReadFailure> {
    let key = layout.references_of(&own.cluster, &own.release);
    let written = rewrite(bucket, &key, |before| Some(next(before.as_ref(), own, clock.now()))).await?;
    Ok(written.expect("what is made of every document is written"))
}

/// Writes down that the release uses what the one before it used, and takes that one's document away, in this order: a sweep that reads in
/// between reads both. Where the numbers of the two are not one line (another pointer), and where the store deletes unconditionally,
/// the old document stays.
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
    let merged = |before: Option<References>| Some(next(Some(&inherited(before.as_ref(), &old, own, from.sequence)?), own, clock.now()));
    let is_taken_over = rewrite(bucket, &own_key, merged).await?.is_some();
    if is_taken_over && matches!(bucket.deletes().await?, Deletes::Conditional) {
        // Lost: someone has written it since, and it says what it says.
        bucket.delete(&old_key, &stored.etag).await?;
    }
    Ok(())
}

/// Replaces a document by what is made of it, unless that says the same; nothing is written where nothing is made.
async fn rewrite(
    bucket: &dyn Bucket,
    key: &str,
    make: impl Fn(Option<References>) -> Option<References>,
) -> Result<Option<References>, ReadFailure> {
    for _ in 0..TRIES {
        // The token first: what is read then is not older, and a change in between makes us lose.
        let there = bucket.head(key).await?;
        let before = match there {
            Some(_) => read::<References>(bucket, key).await?,
            None => None,
        };
        let Some(after) = make(before.clone()) else { return Ok(None) };
        if before.as_ref().is_some_and(|before| says_the_same(before, &after) && !is_old(before, &after)) {
            return Ok(Some(after));
        }
        let (body, attributes) = encoded(&after, Lasts::ForNow);
        let is_written = match there {
            None => !matches!(bucket.create(key, body, &attributes).await?, Created::Other(_)),
            Some(stored) => bucket.replace(key, body, &attributes, &Expected::ETag(stored.etag)).await? == Swapped::Done,
        };
        if is_written {
            return Ok(Some(after));
        }
    }
    Err(BucketError::Unavailable {
        operation: "replace",
        key: key.to_owned(),
        cause: "another program replaced it at each attempt".to_owned(),
    }
    .into())
}

fn is_old(before: &References, after: &References) -> bool {
    after.written_at.duration_since(before.written_at).unsigned_abs() >= DATED_ANEW_AFTER
}
