//! One round: warn, wait, look again, delete. See the races at the top of this folder.
//! Never sends a delete but under a tombstone that this process has moved to `Deleting` itself.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;

use super::facts::intent_lives;
use super::read::Cache;
use super::replicas;
use super::survey::Survey;
use super::{PARALLEL, SweepFailure, Tools};
use crate::bucket::{Bucket, BucketError, Expected, Swapped};
use crate::manifest::record::{Buried, FORMAT};
use crate::manifest::{Intent, Layout, Swept, Tombstone, TombstonePhase};
use crate::retention::Tally;
use crate::retention::sweep::Doomed;
use crate::upload::documents::{Lasts, encoded};
use crate::upload::{DELETE_WINDOW, Grave, INTENT_LIFE, SKEW, free_at, graves};

/// Objects of one tombstone: a publish reads the whole of it.
const PART: usize = 1000;

/// Does one round of a plan; answers what was deleted.
pub(super) async fn round(tools: &Tools, layout: &Layout, id: &str, survey: &mut Survey) -> Result<Tally, SweepFailure> {
    let round = survey.plan.round.clone();
    warn(tools, layout, id, &round).await?;
    tokio::time::sleep(tools.grace).await;
    if let Err(failure) = survey.look_again(tools, layout).await {
        call_off(tools, layout, &round).await?;
        return Err(failure);
    }
    mark_swept(tools, layout, survey).await?;
    let planned: BTreeMap<&Buried, u64> = round.iter().map(|doomed| (&doomed.object, doomed.bytes)).collect();
    let mut deleted = Tally::default();
    for grave in graves(tools.bucket.as_ref(), layout).await? {
        let now = tools.clock.now();
        let is_due = now.duration_since(grave.warned_at(now)).unsigned_abs() >= tools.grace;
        if grave.tombstone.phase != TombstonePhase::Warned || !is_due {
            continue;
        }
        let may_go = |one: &&Buried| planned.contains_key(one) && survey.may_go(layout, &one.key);
        let objects: Vec<Buried> = grave.tombstone.objects.iter().filter(may_go).cloned().collect();
        for object in delete_under(tools, layout, grave, objects, &survey.writers).await? {
            deleted.add(planned.get(&object).copied().unwrap_or_default());
        }
    }
    tidy(tools, layout, survey).await?;
    Ok(deleted)
}

/// Writes tombstones for what no `Warned` one names yet.
async fn warn(tools: &Tools, layout: &Layout, id: &str, round: &[Doomed]) -> Result<(), SweepFailure> {
    let graves = graves(tools.bucket.as_ref(), layout).await?;
    let warned = graves.iter().filter(|grave| grave.tombstone.phase == TombstonePhase::Warned);
    let warned: BTreeSet<&Buried> = warned.flat_map(|grave| &grave.tombstone.objects).collect();
    let new: Vec<Buried> = round.iter().map(|doomed| &doomed.object).filter(|one| !warned.contains(one)).cloned().collect();
    let at = tools.clock.now();
    for (number, part) in new.chunks(PART).enumerate() {
        let tombstone = Tombstone { tombstone_version: FORMAT, at, phase: TombstonePhase::Warned, objects: part.to_vec() };
        let (body, attributes) = encoded(&tombstone, Lasts::ForNow);
        // Taken: another sweeper under our name did the same at the same time; what it did not warn of is planned again.
        tools.bucket.create(&layout.sweep(&format!("{id}.{}.{number}", at.as_millisecond())), body, &attributes).await?;
    }
    Ok(())
}

/// Takes the warnings of a plan back that does not hold any more. What cannot be taken back holds up nobody.
async fn call_off(tools: &Tools, layout: &Layout, round: &[Doomed]) -> Result<(), SweepFailure> {
    let planned: BTreeSet<&Buried> = round.iter().map(|doomed| &doomed.object).collect();
    for grave in graves(tools.bucket.as_ref(), layout).await? {
        if grave.tombstone.phase == TombstonePhase::Warned && grave.tombstone.objects.iter().all(|one| planned.contains(one)) {
            tools.bucket.delete(&grave.place, &grave.etag).await?;
        }
    }
    Ok(())
}

/// Moves a tombstone to `Deleting`, deletes, and writes down from when the keys may be used. Answers what was deleted.
async fn delete_under(
    tools: &Tools,
    layout: &Layout,
    grave: Grave,
    objects: Vec<Buried>,
    writers: &BTreeSet<String>,
) -> Result<Vec<Buried>, SweepFailure> {
    let bucket = tools.bucket.as_ref();
    if objects.is_empty() {
        bucket.delete(&grave.place, &grave.etag).await?;
        return Ok(Vec::new());
    }
    let begun = tokio::time::Instant::now();
    let mut tombstone = Tombstone { objects, ..grave.tombstone };
    let window_ends = tools.clock.now() + DELETE_WINDOW;
    if !rewrite(tools, &mut tombstone, &grave.place, &grave.etag, window_ends).await? {
        return Ok(Vec::new());
    }
    let deletes = futures::stream::iter(tombstone.objects.clone()).map(|one| async move {
        if is_foreign(bucket, &one, writers).await? {
            return Ok(None);
        }
        replicas::delete(tools, layout, &one).await?;
        // Lost: another object is there by now; it stays.
        Ok::<_, SweepFailure>((bucket.delete(&one.key, &one.etag).await? == Swapped::Done).then_some(one))
    });
    let deletes = deletes.buffer_unordered(PARALLEL).try_filter_map(|one| async move { Ok(one) }).try_collect();
    // When the window has passed nothing is signed any more, a client's own repetition included.
    let Ok(deleted) = tokio::time::timeout_at(begun + DELETE_WINDOW, deletes).await else { return Ok(Vec::new()) };
    let deleted = deleted?;
    if let Some(stored) = bucket.head(&grave.place).await? {
        rewrite(tools, &mut tombstone, &grave.place, &stored.etag, tools.clock.now()).await?;
    }
    Ok(deleted)
}

/// Whether the object that would go was written by another release than those of this prefix. One that nobody of ours wrote has the bytes
/// and the key of a build that goes, and no other one's.
async fn is_foreign(bucket: &dyn Bucket, object: &Buried, writers: &BTreeSet<String>) -> Result<bool, BucketError> {
    let stored = bucket.head(&object.key).await?.filter(|stored| stored.etag == object.etag);
    Ok(stored.and_then(|stored| stored.writer).is_some_and(|writer| !writers.contains(&writer.release)))
}

/// Whether the tombstone was written: `Deleting`, with deletes signed until `signed` at the latest.
async fn rewrite(tools: &Tools, tombstone: &mut Tombstone, place: &str, etag: &str, signed: Timestamp) -> Result<bool, SweepFailure> {
    tombstone.phase = TombstonePhase::Deleting { usable_from: free_at(signed) };
    let (body, attributes) = encoded(tombstone, Lasts::ForNow);
    Ok(tools.bucket.replace(place, body, &attributes, &Expected::ETag(etag.to_owned())).await? == Swapped::Done)
}

/// Before the first object of a build goes, a sign says so. From then on a publish does not take the build's manifest for proof that
/// its objects are there, and the manifest's absence is no doubt.
async fn mark_swept(tools: &Tools, layout: &Layout, survey: &Survey) -> Result<(), SweepFailure> {
    let marks = futures::stream::iter(survey.going_unmarked()).map(|digest| async move {
        let place = layout.swept(&digest);
        let (body, attributes) = encoded(&Swept { swept_version: FORMAT, digest, at: tools.clock.now() }, Lasts::ForEver);
        replicas::mark_swept(tools, layout, &place, &body, &attributes).await?;
        tools.bucket.create(&place, body, &attributes).await.map(drop)
    });
    Ok(marks.buffered(PARALLEL).try_collect().await?)
}

/// Clears away tombstones whose time is over or that name nothing any more, intents of publishes that died, and references of deleted
/// releases that keep nothing any more. A release that is made anew under such a name writes its document under the token of this one or
/// creates it: one of the two wins, and it notices.
pub(super) async fn tidy(tools: &Tools, layout: &Layout, survey: &Survey) -> Result<(), SweepFailure> {
    let (bucket, now) = (tools.bucket.as_ref(), tools.clock.now());
    for grave in graves(bucket, layout).await? {
        let is_over = grave.usable_from(now).map_or(grave.tombstone.objects.is_empty(), |usable_from| now > usable_from);
        if is_over {
            bucket.delete(&grave.place, &grave.etag).await?;
        }
    }
    for (listed, intent) in Cache::<Intent>::default().all(bucket, &layout.intents()).await? {
        if !intent_lives(&intent, &listed, now) {
            bucket.delete(&listed.key, &listed.etag).await?;
        }
    }
    for listed in &survey.known.over {
        bucket.delete(&listed.key, &listed.etag).await?;
    }
    Ok(())
}

/// Gives up multipart uploads of publishes that died: as old as an intent that does not count any more.
pub(super) async fn give_up_uploads(tools: &Tools, layout: &Layout) -> Result<Option<u64>, SweepFailure> {
    let before = tools.clock.now() - (INTENT_LIFE + SKEW);
    let give_up = async |bucket: &dyn Bucket, layout: &Layout| match bucket.give_up_uploads(layout.prefix(), before).await {
        Ok(count) => Ok(Some(count)),
        // A right of its own, which nothing else needs: a sweep does without.
        Err(BucketError::Denied { .. }) => Ok(None),
        Err(error) => Err(SweepFailure::from(error)),
    };
    for replica in &tools.replicas {
        give_up(&*replica.bucket, &replica.layout).await?;
    }
    give_up(&*tools.bucket, layout).await
}
