//! Everything that a prefix keeps into a replica that is new to it: what the listings of both show to be lacking is brought.
//! Never writes a record of a version before every object that the store had when the records were listed is there.

use std::cmp::Ordering;

use tokio::sync::watch;

use super::bring::{Brought, Wanting};
use super::{Pair, Place, ReplicaFailure, of_store};
use crate::bucket::{Listed, Walk};
use crate::manifest::object::{ENTRIES_FOLDER, OWN_FOLDER};
use crate::upload::Progress;
use crate::upload::documents::list_all;

/// How often the listings are compared: once that finds everything, once that finds nothing, and one for what was published meanwhile.
const ROUNDS: usize = 3;

/// Brings everything that the store's prefix keeps. Answers how many objects are still lacking: those of a publish that is under way,
/// which brings them itself. Whatever happened to an earlier try, calling it again goes on from there.
///
/// # Errors
/// [`ReplicaFailure`] says which of the two buckets, and what to do about it.
pub async fn backfill(pair: &Pair, progress: &watch::Sender<Progress>) -> Result<u64, ReplicaFailure> {
    // Before the objects: a record that is written later may be of objects that are behind the listing.
    let records = list_all(&*pair.store.bucket, &pair.store.layout.versions()).await.map_err(of_store)?;
    let lacking = Comparison::new(pair).run(|_, wanting| std::future::ready(Ok(wanting.len() as u64))).await?;
    progress.send_replace(Progress { objects_total: lacking, ..Progress::default() });
    let mut left = lacking;
    for _ in 0..ROUNDS {
        if left == 0 {
            break;
        }
        left = Comparison::new(pair).run(|pair, wanting| bring(pair, wanting, progress)).await?;
    }
    if left > 0 {
        return Ok(left);
    }
    for folder in [pair.store.layout.manifests(), pair.store.layout.swept_all()] {
        for document in list_all(&*pair.store.bucket, &folder).await.map_err(of_store)? {
            pair.bring_document(&document.key).await?;
        }
    }
    take_back_signs(pair).await?;
    for record in records {
        pair.bring_document(&record.key).await?;
    }
    Ok(0)
}

/// Brings some; answers how many of them were lacking indeed.
async fn bring(pair: &Pair, wanting: Vec<Wanting>, progress: &watch::Sender<Progress>) -> Result<u64, ReplicaFailure> {
    let done = |one: &Wanting| {
        progress.send_modify(|progress| {
            progress.objects_sent += 1;
            progress.objects_total = progress.objects_total.max(progress.objects_sent);
            progress.bytes_sent += one.size;
        });
    };
    let brought = pair.bring_all(wanting, &done).await?;
    Ok(brought.iter().filter(|(_, became)| *became == Brought::There).count() as u64)
}

/// Builds that were published again since retention took them.
async fn take_back_signs(pair: &Pair) -> Result<(), ReplicaFailure> {
    let (store, replica) = (&pair.store, &pair.replica);
    for sign in list_all(&*replica.bucket, &replica.layout.swept_all()).await.map_err(ReplicaFailure::Replica)? {
        let Some(digest) = replica.layout.digest_at(&replica.layout.swept_all(), &sign.key) else { continue };
        if store.bucket.head(&store.layout.swept(&digest)).await.map_err(of_store)?.is_none() {
            pair.take_back_the_sign(&digest).await?;
        }
    }
    Ok(())
}

/// Two listings side by side: both come in byte order.
struct Comparison<'a> {
    pair: &'a Pair,
    /// What is left of the replica's page, the last first.
    there: Vec<Listed>,
    behind: Walk<'a>,
}

impl<'a> Comparison<'a> {
    fn new(pair: &'a Pair) -> Self {
        let Place { bucket, layout } = &pair.replica;
        Self { pair, there: Vec::new(), behind: Walk::new(bucket.as_ref(), layout.prefix()) }
    }

    /// Gives `each` what the replica lacks of one page of the store's after the other; the sum of its answers.
    async fn run<F>(mut self, each: impl Fn(&'a Pair, Vec<Wanting>) -> F) -> Result<u64, ReplicaFailure>
    where
        F: Future<Output = Result<u64, ReplicaFailure>>,
    {
        let Place { bucket, layout } = &self.pair.store;
        let (mut sum, mut walk) = (0, Walk::new(bucket.as_ref(), layout.prefix()));
        while let Some(objects) = walk.page().await.map_err(of_store)? {
            let mut wanting = Vec::new();
            for Listed { key, size, .. } in objects {
                let below = layout.below(&key);
                if is_object(below) && !layout.excludes(&key) && layout.nested(&key).is_none() && !self.has(below, size).await? {
                    wanting.push(Wanting { below: below.to_owned(), size, sha256: None });
                }
            }
            sum += each(self.pair, wanting).await?;
        }
        Ok(sum)
    }

    /// Whether the replica's listing shows this key with this length. Keys are asked for in byte order.
    async fn has(&mut self, below: &str, size: u64) -> Result<bool, ReplicaFailure> {
        let layout = &self.pair.replica.layout;
        loop {
            while let Some(listed) = self.there.last() {
                match layout.below(&listed.key).cmp(below) {
                    Ordering::Less => drop(self.there.pop()),
                    Ordering::Equal => return Ok(listed.size == size),
                    Ordering::Greater => return Ok(false),
                }
            }
            let Some(objects) = self.behind.page().await.map_err(ReplicaFailure::Replica)? else { return Ok(false) };
            self.there = objects;
            self.there.reverse();
        }
    }
}

/// What a replica holds of a prefix besides documents.
fn is_object(below: &str) -> bool {
    !below.starts_with(OWN_FOLDER) || below.starts_with(ENTRIES_FOLDER)
}
