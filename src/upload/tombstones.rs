//! Tombstones, "I am about to delete these objects", as those see them who need the objects.
//! Never touches a key under which a delete may be on its way, and never reads tombstones before its own intent is written.

use std::time::Duration;

use jiff::Timestamp;

use super::SKEW;
use super::documents::{Lasts, ReadFailure, believed, encoded, list_all, read};
use crate::bucket::{Bucket, BucketError, Expected, SIGNED_REQUEST_LIFE, Swapped};
use crate::manifest::{Layout, Tombstone, TombstonePhase};

/// Deletes are sent only this long after a tombstone was moved to `Deleting`: 1,000 of them take seconds.
pub const DELETE_WINDOW: Duration = Duration::from_secs(10 * 60);

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
    /// When it was written, by the store's clock; not newer than what it says.
    pub written_at: Timestamp,
}

impl Grave {
    /// When its objects were warned of.
    #[must_use]
    pub fn warned_at(&self, now: Timestamp) -> Timestamp {
        believed(self.tombstone.at, Duration::ZERO, self.written_at, now)
    }

    /// From when on its keys may be used, if deletes were sent under it.
    #[must_use]
    pub fn usable_from(&self, now: Timestamp) -> Option<Timestamp> {
        match self.tombstone.phase {
            TombstonePhase::Warned => None,
            TombstonePhase::Deleting { usable_from } => {
                Some(believed(usable_from, DELETE_WINDOW + SIGNED_REQUEST_LIFE + SKEW, self.written_at, now))
            }
        }
    }
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
            graves.push(Grave { tombstone, place: listed.key, etag: listed.etag, written_at: listed.last_modified });
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
        match grave.usable_from(now) {
            None => {
                if !spare(bucket, &grave, needs).await? {
                    return Ok(Look::Lost);
                }
            }
            Some(usable_from) if now <= usable_from => {
                let (first, latest) = waits.unwrap_or((needed, usable_from));
                waits = Some((first, latest.max(usable_from)));
            }
            Some(_) => over.push(grave),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(60 * minute).unwrap()
    }

    fn grave(at: Timestamp, phase: TombstonePhase, written_at: Timestamp) -> Grave {
        let tombstone = Tombstone { tombstone_version: 1, at, phase, objects: Vec::new() };
        Grave { tombstone, place: "p".into(), etag: "e".into(), written_at }
    }

    /// What an honest clock wrote is taken as it is, also where the listing is older than what was read after it.
    #[test]
    fn dates_are_believed_unless_no_clock_can_have_written_them() {
        let warned = |said| grave(said, TombstonePhase::Warned, at(3)).warned_at(at(10));
        assert_eq!((warned(at(10)), warned(at(12)), warned(Timestamp::MIN)), (at(10), at(12), Timestamp::MIN));
        assert_eq!((warned(at(13)), warned(Timestamp::MAX)), (at(5), at(5)), "then by when it was written");
        let usable = |said| grave(at(0), TombstonePhase::Deleting { usable_from: said }, at(3)).usable_from(at(10));
        assert_eq!((usable(at(39)), usable(at(40))), (Some(at(39)), Some(at(32))), "10 + 15 + 2 minutes, and 2 more");
        assert_eq!((usable(Timestamp::MAX), grave(at(0), TombstonePhase::Warned, at(3)).usable_from(at(10))), (Some(at(32)), None));
    }
}
