//! Intents, "I am about to use these objects": written before the tombstones are read, so that at least one of two who meet sees
//! the other. Never reads before it has written.

use std::time::Duration;

use jiff::Timestamp;

use super::documents::{Lasts, ReadFailure, believed, encoded, list_all, read};
use super::{Publish, PublishFailure, Tools};
use crate::api::ManifestDigest;
use crate::api::moment::later;
use crate::bucket::{Bucket, BucketError, Created, Expected, Listed, SIGNED_REQUEST_LIFE, Swapped};
use crate::manifest::record::FORMAT;
use crate::manifest::{Intent, Layout};

/// An intent older than this belongs to a publish that died: the longest upload that is imagined (5 TB at 1 Gbit/s take 11 hours), doubled.
pub const INTENT_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// Clocks of machines that take part may differ by this much. A store refuses signatures of clocks that are 15 minutes off;
/// machines in a cluster keep theirs within seconds.
pub const SKEW: Duration = Duration::from_secs(2 * 60);

/// How often a lost race for our own intent is tried again. Only two publishes with one id can race, and only a few times.
const TRIES: usize = 5;

/// What our intent tells about earlier attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begun {
    /// It was not there: this publish begins.
    Anew,
    /// It was there: an earlier attempt ended early, and what it sent is there.
    Again,
}

/// Writes our intent, or dates it anew: a resumed publish must not look dead.
pub(super) async fn write(tools: &Tools, request: &Publish, digest: &ManifestDigest) -> Result<Begun, PublishFailure> {
    let intent = Intent {
        intent_version: FORMAT,
        digest: digest.clone(),
        version: request.version.clone(),
        release: request.release.clone(),
        started_at: tools.clock.now(),
    };
    let key = key(request, digest);
    for _ in 0..TRIES {
        let (body, attributes) = encoded(&intent, Lasts::ForNow);
        let stored = match tools.bucket.create(&key, body.clone(), &attributes).await? {
            Created::New => return Ok(Begun::Anew),
            Created::Same => return Ok(Begun::Again),
            Created::Other(stored) => stored,
        };
        if tools.bucket.replace(&key, body, &attributes, &Expected::ETag(stored.etag)).await? == Swapped::Done {
            return Ok(Begun::Again);
        }
    }
    Err(BucketError::Unavailable { operation: "replace", key, cause: "another publish with the same id writes it too".to_owned() }.into())
}

/// Where our intent lies. With the build in its name: the same id with another build is another intent, because a record of
/// the first may still be on its way.
fn key(request: &Publish, digest: &ManifestDigest) -> String {
    request.layout.intent(&format!("{}.{}", request.intent_id(digest), digest.short()))
}

/// Takes all intents of this id back. Only for a publish that is over: nothing of it may write a version record any more.
///
/// # Errors
/// When the bucket fails. A bucket that lets us write but not delete is fine: the intents die by age.
pub async fn withdraw_intent(bucket: &dyn Bucket, layout: &Layout, intent_id: &str) -> Result<(), BucketError> {
    for listed in list_all(bucket, &ours_begin(layout, intent_id)).await? {
        delete(bucket, &listed.key, &listed.etag).await?;
    }
    Ok(())
}

/// Takes our own intent back, and with it what dead publishes of our id left.
pub(super) async fn withdraw(tools: &Tools, request: &Publish, digest: &ManifestDigest) -> Result<(), BucketError> {
    let (bucket, ours) = (&*tools.bucket, key(request, digest));
    for listed in list_all(bucket, &ours_begin(&request.layout, &request.intent_id(digest))).await? {
        let is_dead = match read::<Intent>(bucket, &listed.key).await {
            Ok(Some(intent)) => tools.clock.now() > dies(tools, &intent, &listed, SIGNED_REQUEST_LIFE),
            Ok(None) | Err(ReadFailure::Malformed { .. }) => false,
            Err(ReadFailure::Bucket(error)) => return Err(error),
        };
        if listed.key == ours || is_dead {
            delete(bucket, &listed.key, &listed.etag).await?;
        }
    }
    Ok(())
}

/// What the keys of all intents of an id begin with.
fn ours_begin(layout: &Layout, intent_id: &str) -> String {
    format!("{}{intent_id}.", layout.intents())
}

/// When an intent stops to count, if its publish can act for `life` after the intent's date.
fn dies(tools: &Tools, intent: &Intent, listed: &Listed, life: Duration) -> Timestamp {
    let started_at = believed(intent.started_at, Duration::ZERO, listed.last_modified, tools.clock.now());
    later(started_at, life + SKEW)
}

async fn delete(bucket: &dyn Bucket, key: &str, etag: &str) -> Result<(), BucketError> {
    match bucket.delete(key, etag).await {
        // Lost: somebody has just begun anew under this id, and the intent is theirs.
        // Refused: the store knows no conditional delete.
        Ok(Swapped::Done | Swapped::Lost) | Err(BucketError::Denied { .. } | BucketError::Refused { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Another publish that is alive and brings another build; the first one by id. One of the same build wants the same bytes.
///
/// One of our own id is dead, because an id has one publish at a time; but a request that it had sent may still land, and every
/// intent is dated anew right before the record is sent. So it counts only as long as such a request lives.
pub(super) async fn other_live(tools: &Tools, request: &Publish, digest: &ManifestDigest) -> Result<Option<Intent>, ReadFailure> {
    let (ours, same_id) = (key(request, digest), ours_begin(&request.layout, &request.intent_id(digest)));
    let bucket = &*tools.bucket;
    for listed in list_all(bucket, &request.layout.intents()).await?.into_iter().filter(|listed| listed.key != ours) {
        let Some(intent) = read::<Intent>(bucket, &listed.key).await? else { continue };
        let life = if listed.key.starts_with(&same_id) { SIGNED_REQUEST_LIFE } else { INTENT_LIFE };
        if intent.digest != *digest && tools.clock.now() <= dies(tools, &intent, &listed, life) {
            return Ok(Some(intent));
        }
    }
    Ok(None)
}
