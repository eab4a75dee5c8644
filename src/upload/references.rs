//! What a release uses, written into the bucket before it uses it: for a rollback, which uploads nothing, this is the intent.
//! Never writes what is there already, so that an idle release writes nothing.

use std::time::Duration;

use super::documents::{Lasts, ReadFailure, encoded, read};
use crate::bucket::{Bucket, BucketError, Created, Expected, Swapped};
use crate::clock::Clock;
use crate::manifest::{Layout, References};
use crate::retention::references::{OwnFacts, next, says_the_same};

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
    for _ in 0..TRIES {
        // The token first: what is read then is not older, and a change in between makes us lose.
        let there = bucket.head(&key).await?;
        let before = match there {
            Some(_) => read::<References>(bucket, &key).await?,
            None => None,
        };
        let after = next(before.as_ref(), own, clock.now());
        if before.as_ref().is_some_and(|before| says_the_same(before, &after) && !is_old(before, &after)) {
            return Ok(after);
        }
        let (body, attributes) = encoded(&after, Lasts::ForNow);
        let is_written = match there {
            None => !matches!(bucket.create(&key, body, &attributes).await?, Created::Other(_)),
            Some(stored) => bucket.replace(&key, body, &attributes, &Expected::ETag(stored.etag)).await? == Swapped::Done,
        };
        if is_written {
            return Ok(after);
        }
    }
    Err(BucketError::Unavailable { operation: "replace", key, cause: "another program replaced it at each attempt".to_owned() }.into())
}

fn is_old(before: &References, after: &References) -> bool {
    after.written_at.duration_since(before.written_at).unsigned_abs() >= DATED_ANEW_AFTER
}
