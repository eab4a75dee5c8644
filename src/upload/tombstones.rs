//! Tombstones, "I am about to delete these objects", as those see them who need the objects.
//! Never touches a key under which a delete may be on its way, and never reads tombstones before its own intent is written.

use jiff::Timestamp;

use super::SKEW;
use super::documents::{Lasts, ReadFailure, encoded, list_all, read};
use crate::bucket::{Bucket, BucketError, Expected, SIGNED_REQUEST_LIFE, Swapped};
use crate::manifest::{Layout, Tombstone, TombstonePhase};

/// How often a lost race for a tombstone is tried again: it has two steps in its life, and few need a key of it at once.
const TRIES: usize = 8;

/// A tombstone as it lies in the bucket.
#[derive(Debug, Clone)]
pub struct Grave {
    /// What it says.
    pub tombstone: Tombstone,
    /// Its key.
    pub place: String,
    /// Its token, not newer than what it says: a change on that ground is lost if it has changed since.
    pub etag: String,
}

/// Whether keys may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Usable {
    /// All of them: no tombstone names one any more.
    Now,
    /// Deletes may be on their way until then.
    From {
        /// One of the keys.
        key: String,
        /// When all may be used.
        until: Timestamp,
    },
}

/// From when on a key may be used again if its delete was signed at that time at the latest.
pub(crate) fn free_at(signed: Timestamp) -> Timestamp {
    signed.saturating_add(SIGNED_REQUEST_LIFE + SKEW).expect("a duration of minutes never needs a calendar")
}

/// All tombstones of a prefix, by place.
///
/// # Errors
/// When the bucket fails, or one of them cannot be understood: then nobody knows which keys it is for.
pub async fn graves(bucket: &dyn Bucket, layout: &Layout) -> Result<Vec<Grave>, ReadFailure> {
    let mut graves = Vec::new();
    for listed in list_all(bucket, &layout.tombstones()).await? {
        if let Some(tombstone) = read::<Tombstone>(bucket, &listed.key).await? {
            graves.push(Grave { tombstone, place: listed.key, etag: listed.etag });
        }
    }
    Ok(graves)
}

/// Takes the keys that we need out of every tombstone under which nothing was deleted yet, and clears away those whose time is
/// over. Call it after the intent (or the references) is written.
///
/// # Errors
/// When the bucket fails, or a tombstone cannot be understood.
pub async fn take_out(
    bucket: &dyn Bucket,
    layout: &Layout,
    now: Timestamp,
    needs: &(dyn Fn(&str) -> bool + Sync),
) -> Result<Usable, ReadFailure> {
    for _ in 0..TRIES {
        match look(bucket, layout, now, needs).await? {
            Look::Settled(usable) => return Ok(usable),
            Look::Lost => {}
        }
    }
    let key = layout.tombstones();
    Err(BucketError::Unavailable { operation: "replace", key, cause: "tombstones change as often as they are read".to_owned() }.into())
}

enum Look {
    Settled(Usable),
    /// Somebody was faster.
    Lost,
}

async fn look(bucket: &dyn Bucket, layout: &Layout, now: Timestamp, needs: &(dyn Fn(&str) -> bool + Sync)) -> Result<Look, ReadFailure> {
    let mut waits: Option<(String, Timestamp)> = None;
    let mut over = Vec::new();
    for grave in graves(bucket, layout).await? {
        let Some(needed) = grave.tombstone.objects.iter().find(|object| needs(&object.key)).map(|object| object.key.clone()) else {
            continue;
        };
        match grave.tombstone.phase {
            TombstonePhase::Warned => {
                if !spare(bucket, &grave, needs).await? {
                    return Ok(Look::Lost);
                }
            }
            TombstonePhase::Deleting { usable_from } if now <= usable_from => {
                let (first, latest) = waits.unwrap_or((needed, usable_from));
                waits = Some((first, latest.max(usable_from)));
            }
            TombstonePhase::Deleting { .. } => over.push(grave),
        }
    }
    if let Some((key, until)) = waits {
        return Ok(Look::Settled(Usable::From { key, until }));
    }
    for grave in over {
        // Lost: another one cleared it away. If somebody wants this key dead now, that is a new tombstone, written after our intent.
        bucket.delete(&grave.place, &grave.etag).await?;
    }
    Ok(Look::Settled(Usable::Now))
}

/// Writes the tombstone without the keys that are needed; whether that was done. Whoever wants to delete under it must write it,
/// too, and one of the two loses.
async fn spare(bucket: &dyn Bucket, grave: &Grave, needs: &(dyn Fn(&str) -> bool + Sync)) -> Result<bool, ReadFailure> {
    let mut tombstone = grave.tombstone.clone();
    tombstone.objects.retain(|object| !needs(&object.key));
    let (body, attributes) = encoded(&tombstone, Lasts::ForNow);
    Ok(bucket.replace(&grave.place, body, &attributes, &Expected::ETag(grave.etag.clone())).await? == Swapped::Done)
}
