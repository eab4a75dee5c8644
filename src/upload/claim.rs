//! Who may write below a prefix: claims, which count for every key that begins so.
//! Never takes keys that another release has claimed, above or below, and never takes damage for absence.
//!
//! Write, then look. Of two who claim overlapping prefixes, whoever wrote last sees the other one, and yields: it takes its own
//! claim back, under which it has written nothing yet. The races, with A and B the two who claim:
//! - A wrote and looked before B wrote: B sees A, whose date is not later than its own, and yields.
//! - Both wrote before either looked: both see each other. The later one by the store's dates yields. Dates that are too close to
//!   each other ([`SAME_TIME`]) say nothing: the one with the longer (then the greater) prefix yields at once, the other one looks
//!   again [`LOOKS`] times, and yields, too, if the first is still there: it may have looked before.
//! - A ended between its write and its look: its claim is young or nothing was recorded under it, so whoever goes on looks again.
//! - A listing lags: prefixes above are read by key, which no store lets lag. A claim below that was not listed is found while the claim is
//!   young, and by every sweep ([`crate::sweep`]); until then `neighbours` keeps either from the other's objects.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::documents::{Lasts, ReadFailure, encoded, list_all, read};
use crate::bucket::probe::Deletes;
use crate::bucket::{Bucket, BucketError, Expected, Stored, Swapped, Walk};
use crate::manifest::claim::SAME_TIME;
use crate::manifest::object::OWN_FOLDER;
use crate::manifest::{Claim, Layout, Overlap, Owner};

/// A claim is looked at again, with a listing, while it is younger than this: longer than any listing lags.
const YOUNG: SignedDuration = SignedDuration::from_hours(1);

/// How often a claim that was made at the same time as another one looks whether that one yields.
const LOOKS: usize = 3;

/// Between two of these looks: enough for the other one's requests.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// Prefixes below one that are looked at, of 1 KiB at most each: a store that invents them takes no more than 1 MiB here.
const NESTED_MAX: usize = 1000;

/// How often a claim begins anew because what it saw had changed when it wrote.
const TRIES: usize = 5;

/// Who claims a prefix.
#[derive(Debug, Clone, Copy)]
pub struct Claimant<'a> {
    ours: &'a Owner,
    predecessor: Option<&'a str>,
}

impl<'a> From<&'a Owner> for Claimant<'a> {
    fn from(ours: &'a Owner) -> Self {
        Self { ours, predecessor: None }
    }
}

impl<'a> Claimant<'a> {
    /// The claim of this release (`namespace/name`) of the same cluster is taken for our own; the caller knows that it is gone.
    #[must_use]
    pub fn inheriting(self, predecessor: Option<&'a str>) -> Self {
        Self { predecessor, ..self }
    }

    /// A pipeline's claim names no cluster, so nobody can know that it is the predecessor's.
    fn has(&self, claim: &Claim) -> bool {
        let is_inherited = self.predecessor == Some(claim.owner.release.as_str()) && claim.owner.cluster == self.ours.cluster;
        claim.is_of(self.ours) || (is_inherited && !self.ours.cluster.is_empty())
    }
}

/// How a claim ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// The prefix is ours, from now on or already before.
    Ours,
    /// The prefix has another writer.
    Theirs(Owner),
    /// Another claim is of some of these keys, and was first.
    Overlaps(Overlap),
}

/// What the bucket says about a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Nobody's, and nothing stands against a claim.
    Free,
    /// Ours.
    Ours,
    /// Ours, but the document says something else: other exclusions, no cluster, or the release whose place we take.
    Renew,
    /// Ours, and another claim may have been first: nothing was written under ours, so it is to be taken back.
    Yields,
    /// The prefix has another writer.
    Theirs(Owner),
    /// Another claim is of some of these keys, and was first.
    Overlaps(Overlap),
}

/// The claim of a prefix, if there is one.
///
/// # Errors
/// When the bucket fails, or what lies there is no owner object.
pub async fn read_claim(bucket: &dyn Bucket, layout: &Layout) -> Result<Option<Claim>, ReadFailure> {
    read(bucket, &layout.owner()).await
}

/// The one writer of the prefix, if it has one.
///
/// # Errors
/// When the bucket fails, or what lies there is no owner object.
pub async fn read_owner(bucket: &dyn Bucket, layout: &Layout) -> Result<Option<Owner>, ReadFailure> {
    Ok(read_claim(bucket, layout).await?.map(|claim| claim.owner))
}

/// A claim of ours as it lies there.
struct Written {
    claim: Claim,
    etag: String,
    since: Timestamp,
    last_modified: Timestamp,
}

/// Looks who has the prefix, and who has keys of it. Writes nothing. A claim that is neither young nor unused is taken at its word: claims that
/// overlap since before claims were hierarchical go on, and sweeps tell of them.
///
/// # Errors
/// When the bucket fails, or a claim cannot be understood; [`BucketError::Denied`] names the right that a new claim needs.
pub async fn standing(
    bucket: &dyn Bucket,
    layout: &Layout,
    claimant: impl Into<Claimant<'_>>,
    now: Timestamp,
) -> Result<Standing, ReadFailure> {
    let claimant = claimant.into();
    let ours = claimant.ours;
    let written = match find(bucket, layout, &claimant).await? {
        Found::Nobody => return Ok(first_of(bucket, layout, Against::All).await?.map_or(Standing::Free, Standing::Overlaps)),
        Found::Theirs(owner) => return Ok(Standing::Theirs(owner)),
        Found::Ours(written) => written,
    };
    let is_unused = is_unused(bucket, layout).await?;
    let against = if is_unused { Against::NotLater(written.since) } else { Against::Earlier(written.since) };
    let is_young = is_unused || now.duration_since(written.last_modified) < YOUNG;
    if is_young && let Some(overlap) = first_of(bucket, layout, against).await? {
        return Ok(if may_withdraw(bucket, layout).await? { Standing::Yields } else { Standing::Overlaps(overlap) });
    }
    if let Some(overlap) = no_longer_excluded(bucket, layout, &written.claim).await? {
        return Ok(Standing::Overlaps(overlap));
    }
    Ok(if is_current(&written.claim, layout, ours) { Standing::Ours } else { Standing::Renew })
}

/// Claims the prefix, unless somebody has it or some of its keys. Two who claim at the same time, this prefix or overlapping ones, never
/// both have it.
///
/// # Errors
/// As [`standing`].
pub async fn claim_owner(bucket: &dyn Bucket, layout: &Layout, claimant: impl Into<Claimant<'_>>) -> Result<Claimed, ReadFailure> {
    let claimant = claimant.into();
    let (owner, mut is_new) = (claimant.ours, false);
    for _ in 0..TRIES {
        let written = match find(bucket, layout, &claimant).await? {
            Found::Theirs(theirs) => return Ok(Claimed::Theirs(theirs)),
            Found::Ours(written) => written,
            Found::Nobody => {
                if let Some(overlap) = first_of(bucket, layout, Against::All).await? {
                    return Ok(Claimed::Overlaps(overlap));
                }
                let (body, attributes) = encoded(&Claim::new(owner, layout), Lasts::ForNow);
                // Whatever came of it: what lies there now says so.
                bucket.create(&layout.owner(), body, &attributes).await?;
                is_new = true;
                continue;
            }
        };
        // A claim in use is renewed, and `standing` says what stands against it: it cannot be taken back.
        let first = if is_new || is_unused(bucket, layout).await? { overlapped(bucket, layout, &written).await? } else { None };
        if let Some(overlap) = first.or(no_longer_excluded(bucket, layout, &written.claim).await?) {
            return Ok(Claimed::Overlaps(overlap));
        }
        if is_current(&written.claim, layout, owner) || renew(bucket, layout, owner, &written).await? == Swapped::Done {
            return Ok(Claimed::Ours);
        }
    }
    let cause = "it changes as often as it is claimed".to_owned();
    Err(BucketError::Unavailable { operation: "create", key: layout.owner(), cause }.into())
}

/// Looks after the write, and takes the claim back if another one was first.
async fn overlapped(bucket: &dyn Bucket, layout: &Layout, written: &Written) -> Result<Option<Overlap>, ReadFailure> {
    let mut looks = 0..LOOKS;
    loop {
        let Some(overlap) = first_of(bucket, layout, Against::NotLater(written.since)).await? else { return Ok(None) };
        let is_tie = since(bucket, &overlap).await?.is_some_and(|theirs| theirs.duration_since(written.since).abs() <= SAME_TIME);
        let is_first = rank(&overlap.ours) < rank(&overlap.theirs);
        if is_tie && is_first && looks.next().is_some() {
            tokio::time::sleep(BETWEEN_LOOKS).await;
            continue;
        }
        withdraw(bucket, layout, written).await?;
        return Ok(Some(overlap));
    }
}

enum Found {
    Nobody,
    Theirs(Owner),
    Ours(Written),
}

async fn find(bucket: &dyn Bucket, layout: &Layout, claimant: &Claimant<'_>) -> Result<Found, ReadFailure> {
    // The token first: what is read then is not older, and a change in between makes a write on its ground lose.
    let Some(Stored { etag, last_modified, .. }) = bucket.head(&layout.owner()).await? else { return Ok(Found::Nobody) };
    Ok(match read_claim(bucket, layout).await? {
        None => Found::Nobody,
        Some(claim) if !claimant.has(&claim) => Found::Theirs(claim.owner),
        Some(claim) => Found::Ours(Written { since: claim.claimed_at.unwrap_or(last_modified), claim, etag, last_modified }),
    })
}

/// Whether the document says what it should. A pipeline does not take a cluster's name away.
fn is_current(claim: &Claim, layout: &Layout, ours: &Owner) -> bool {
    let has_cluster = claim.owner.cluster == ours.cluster || ours.cluster.is_empty();
    has_cluster && claim.owner.release == ours.release && claim.excluded_prefixes == layout.excluded()
}

async fn renew(bucket: &dyn Bucket, layout: &Layout, owner: &Owner, written: &Written) -> Result<Swapped, BucketError> {
    let cluster = if owner.cluster.is_empty() { written.claim.owner.cluster.clone() } else { owner.cluster.clone() };
    let claim = Claim { claimed_at: Some(written.since), ..Claim::new(&Owner { cluster, ..owner.clone() }, layout) };
    let (body, attributes) = encoded(&claim, Lasts::ForNow);
    bucket.replace(&layout.owner(), body, &attributes, &Expected::ETag(written.etag.clone())).await
}

/// Takes a claim back, if nothing was written under it.
async fn withdraw(bucket: &dyn Bucket, layout: &Layout, written: &Written) -> Result<(), BucketError> {
    if may_withdraw(bucket, layout).await? {
        // Lost: it is another one's by now.
        bucket.delete(&layout.owner(), &written.etag).await?;
    }
    Ok(())
}

/// Whether nothing was written under a claim, and the store lets it go.
async fn may_withdraw(bucket: &dyn Bucket, layout: &Layout) -> Result<bool, BucketError> {
    let own = list_all(bucket, &layout.key(OWN_FOLDER)).await?;
    let about_the_store = [layout.owner(), layout.lock(), layout.tried()];
    let is_unused = own.iter().all(|one| about_the_store.contains(&one.key) || one.key.contains("/probe/"));
    Ok(is_unused && matches!(bucket.deletes().await?, Deletes::Conditional))
}

/// Whether nothing was ever recorded under this prefix.
async fn is_unused(bucket: &dyn Bucket, layout: &Layout) -> Result<bool, BucketError> {
    Ok(bucket.list(&layout.versions(), None).await?.objects.is_empty())
}

/// Which other claims stand against ours.
#[derive(Clone, Copy)]
enum Against {
    /// All: ours is not written yet.
    All,
    /// Those that are not clearly later than ours: it is written, and was not looked at since.
    NotLater(Timestamp),
    /// Those that are earlier, in an order in which no two are the same: ours is in use.
    Earlier(Timestamp),
}

impl Against {
    fn has(self, overlap: &Overlap, theirs: Timestamp) -> bool {
        match self {
            Self::All => true,
            Self::NotLater(ours) => theirs.duration_since(ours) <= SAME_TIME,
            Self::Earlier(ours) => (theirs, rank(&overlap.theirs)) < (ours, rank(&overlap.ours)),
        }
    }
}

/// The order of claims that were made at the same time.
fn rank(prefix: &str) -> (usize, &str) {
    (prefix.len(), prefix)
}

/// The first claim above or below that stands against ours.
async fn first_of(bucket: &dyn Bucket, layout: &Layout, against: Against) -> Result<Option<Overlap>, ReadFailure> {
    for above in above(bucket, layout).await? {
        if since(bucket, &above).await?.is_some_and(|theirs| against.has(&above, theirs)) {
            return Ok(Some(above));
        }
    }
    for prefix in below(bucket, layout).await? {
        let owner = read_owner(bucket, &Layout::new(&prefix, "")).await?;
        let below = Overlap { ours: layout.prefix().to_owned(), theirs: prefix, owner };
        // Without a claim builds were published there before ours: nobody who claims would write anything else first.
        if since(bucket, &below).await?.is_none_or(|theirs| against.has(&below, theirs)) && is_there(bucket, &below).await? {
            return Ok(Some(below));
        }
    }
    Ok(None)
}

/// Whether anything is left of what a listing showed: a claim that was taken back stands against nobody.
async fn is_there(bucket: &dyn Bucket, overlap: &Overlap) -> Result<bool, BucketError> {
    if overlap.owner.is_some() {
        return Ok(true);
    }
    let theirs = Layout::new(&overlap.theirs, "");
    Ok(!is_unused(bucket, &theirs).await?)
}

/// When the other one was claimed; nothing when it is no claim (any more).
async fn since(bucket: &dyn Bucket, overlap: &Overlap) -> Result<Option<Timestamp>, ReadFailure> {
    let theirs = Layout::new(&overlap.theirs, "");
    let Some(stored) = bucket.head(&theirs.owner()).await? else { return Ok(None) };
    Ok(read_claim(bucket, &theirs).await?.map(|claim| claim.claimed_at.unwrap_or(stored.last_modified)))
}

/// Every claim that this prefix lies within and that does not exclude it, the innermost first. By key, which no store lets lag.
///
/// # Errors
/// As [`standing`].
pub async fn above(bucket: &dyn Bucket, layout: &Layout) -> Result<Vec<Overlap>, ReadFailure> {
    let mut found = Vec::new();
    for outer in layout.ancestors().into_iter().rev() {
        let claim = match read_claim(bucket, &outer).await {
            Err(ReadFailure::Bucket(BucketError::Denied { key, cause, .. })) if is_unused(bucket, layout).await? => {
                let cause = format!(
                    "{cause}: claiming the prefix {:?} needs s3:GetObject on this object, as the policies that `rollcall store check` prints have it",
                    layout.prefix()
                );
                return Err(BucketError::Denied { operation: "get", key, cause }.into());
            }
            // A prefix that was in use before anybody asked for this right goes on.
            Err(ReadFailure::Bucket(BucketError::Denied { .. })) => continue,
            claim => claim?,
        };
        let Some(claim) = claim else { continue };
        let outer = outer.excluding(&claim.excluded_prefixes);
        if !outer.excludes(layout.prefix()) {
            let (ours, theirs) = (layout.prefix().to_owned(), outer.prefix().to_owned());
            found.push(Overlap { ours, theirs, owner: Some(claim.owner) });
        }
    }
    Ok(found)
}

/// Every prefix below this one that has documents of its own, but for those within excluded parts. Lists the whole prefix, page by page.
///
/// # Errors
/// When the bucket fails, or more than [`NESTED_MAX`] prefixes are there.
pub(super) async fn below(bucket: &dyn Bucket, layout: &Layout) -> Result<BTreeSet<String>, BucketError> {
    let (mut found, mut walk) = (BTreeSet::new(), Walk::new(bucket, layout.prefix()));
    while let Some(objects) = walk.page().await? {
        let nested = objects.iter().filter_map(|one| layout.nested(&one.key));
        found.extend(nested.filter(|prefix| !layout.excludes(prefix)).map(str::to_owned));
        if found.len() > NESTED_MAX {
            let cause = format!("more than {NESTED_MAX} prefixes below it have documents of their own: choose a prefix beside them");
            return Err(BucketError::Refused { operation: "claim", key: layout.prefix().to_owned(), cause });
        }
    }
    Ok(found)
}

/// A claim within a part that the document excludes and the layout does not any more.
async fn no_longer_excluded(bucket: &dyn Bucket, layout: &Layout, claim: &Claim) -> Result<Option<Overlap>, ReadFailure> {
    let before = Layout::new(layout.prefix(), "").excluding(&claim.excluded_prefixes);
    if before.excluded().iter().all(|below| layout.excludes(&layout.key(below))) {
        return Ok(None);
    }
    let inner = below(bucket, layout).await?.into_iter().find(|inner| before.excludes(inner));
    let Some(theirs) = inner else { return Ok(None) };
    let owner = read_owner(bucket, &Layout::new(&theirs, "")).await?;
    Ok(Some(Overlap { ours: layout.prefix().to_owned(), theirs, owner }))
}
