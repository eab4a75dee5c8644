//! Carries out retention in a bucket: reads what `retention` needs to know, writes tombstones, looks again, deletes.
//! Never deletes what was not planned, warned of, and found to be unreferenced by fresh reads after the warning (I5).
//!
//! Order of one round: facts and listing → plan → **tombstones (`Warned`)** → [`GRACE`] → **facts again** → tombstone to
//! `Deleting` (conditional) → conditional deletes → tombstone says from when the keys may be used.
//! Order of whoever needs a key: **intent or references, then tombstones** → take the key out of a `Warned` one (conditional),
//! or wait for a `Deleting` one. See `upload::tombstones`.
//!
//! The races, with S the sweep and U whoever is about to use a key:
//! - U's intent lies there before S looks again: S sees it and spares the key (or everything, while U's objects are not known).
//! - U's intent comes after that: S's tombstone was there before, and U, which reads tombstones after its intent, finds it. It is
//!   `Warned`: both write it under the token that they read, one wins. U wins: S loses its tombstone. S wins: U reads again, finds
//!   `Deleting`, and waits.
//! - U has ended between S's two looks: its record (or its references) was there before its intent went, and S reads intents first.
//! - A delete lands late: it is conditional on the token of what goes, it was signed before the tombstone's window ended, and the
//!   key is not used before every such signature is dead.
//! - S dies anywhere: a `Warned` tombstone holds up nobody, a `Deleting` one until the time that stands in it; the next sweep plans
//!   anew and takes over what is still there.
//! - Two of S: each tombstone is moved to `Deleting` by one of them.
//! - The store does not keep the condition of a delete: nothing goes, see [`permitted`].
//! - A replica: the object goes there first, under the same tombstone and with the same deadline, so that whatever a replica holds is
//!   in the listing of the store, and a sweep that died finds it again. A version that is staged later is brought there again.
//! - A document cannot be read, a build that stays has no manifest, nobody says what he uses: [`Doubt`], nothing goes.

mod carry_out;
mod facts;
mod read;
mod replicas;
mod survey;

use std::sync::Arc;
use std::time::Duration;

use crate::bucket::probe::Deletes;
use crate::bucket::{Bucket, BucketError};
use crate::clock::Clock;
use crate::manifest::Layout;
use crate::retention::{Doubt, Plan, Tally};
use crate::upload::ReadFailure;
use crate::upload::replica::Place;

/// Between tombstones and deletes. The order of writes and reads needs none where reads are strong; this is for stores whose
/// listings lag, and for people who see a plan and do not like it.
pub const GRACE: Duration = Duration::from_secs(5 * 60);

/// Requests in flight.
const PARALLEL: usize = 32;

/// Rounds of one sweep: 10,000 objects each. What is left goes the next time.
const ROUNDS_MAX: usize = 20;

/// What a sweep works with.
#[derive(Clone)]
pub struct Tools {
    /// Where the objects are.
    pub bucket: Arc<dyn Bucket>,
    /// The time that is written down.
    pub clock: Arc<dyn Clock>,
    /// How long everything was warned of before it goes; [`GRACE`] unless told.
    pub grace: Duration,
    /// Replicas of this prefix: what goes, goes there, too, and first.
    pub replicas: Vec<Place>,
}

/// What a sweep did.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// What was deleted.
    pub deleted: Tally,
    /// Multipart uploads that were given up because nobody finished them within a day; `None` when the sweep broke off before, or
    /// the credentials do not let us.
    pub uploads_given_up: Option<u64>,
    /// The plan after it: what stays, and what goes the next time.
    pub plan: Plan,
}

/// Why a sweep did not take place, or broke off.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SweepFailure {
    /// Whether something may go is not certain.
    #[error(transparent)]
    Doubt(#[from] Doubt),
    /// The store may delete what it was not told to.
    #[error(
        "this store does not honour the condition of a delete ({seen}), so nothing is ever deleted in it: take spec.retention away, or move to a store that does"
    )]
    DeletesUnconditional {
        /// What was seen.
        seen: String,
    },
    /// The bucket.
    #[error(transparent)]
    Bucket(#[from] BucketError),
}

impl SweepFailure {
    /// A stable name for conditions, events and metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Doubt(doubt) => doubt.reason(),
            Self::DeletesUnconditional { .. } => "DeletesUnconditional",
            Self::Bucket(error) => crate::upload::bucket_reason(error),
        }
    }
}

impl From<ReadFailure> for SweepFailure {
    fn from(failure: ReadFailure) -> Self {
        match failure {
            ReadFailure::Bucket(error) => Self::Bucket(error),
            ReadFailure::Malformed { key, cause } => Self::Doubt(Doubt::Unreadable { key, cause }),
        }
    }
}

/// Whether the store lets anything be deleted.
///
/// # Errors
/// [`SweepFailure::DeletesUnconditional`] when it does not.
pub async fn permitted(tools: &Tools) -> Result<(), SweepFailure> {
    for bucket in [&tools.bucket].into_iter().chain(tools.replicas.iter().map(|replica| &replica.bucket)) {
        if let Deletes::Never { seen } = bucket.deletes().await? {
            return Err(SweepFailure::DeletesUnconditional { seen });
        }
    }
    Ok(())
}

/// What a sweep would do now. Writes nothing.
///
/// # Errors
/// [`SweepFailure::Doubt`] when nothing may go.
pub async fn plan(tools: &Tools, layout: &Layout) -> Result<Plan, SweepFailure> {
    Ok(survey::Survey::take(tools, layout, &mut survey::Strangers::default()).await?.plan)
}

/// Does what [`plan`] says, round by round. Whatever happened to an earlier sweep, calling it again goes on from there; dropping
/// it is safe at any moment. `id` names the sweeper among all of this prefix: letters, digits, `-` and `_`.
///
/// # Errors
/// [`SweepFailure::Doubt`] when nothing may go (any more), [`SweepFailure::DeletesUnconditional`] when nothing ever may here.
pub async fn sweep(tools: &Tools, layout: &Layout, id: &str) -> Result<Outcome, SweepFailure> {
    permitted(tools).await?;
    let (mut deleted, mut strangers) = (Tally::default(), survey::Strangers::default());
    for _ in 0..ROUNDS_MAX {
        let mut survey = survey::Survey::take(tools, layout, &mut strangers).await?;
        if survey.plan.is_empty() {
            carry_out::tidy(tools, layout, &survey).await?;
            let uploads_given_up = carry_out::give_up_uploads(tools, layout).await?;
            return Ok(Outcome { deleted, uploads_given_up, plan: survey.plan });
        }
        let round = carry_out::round(tools, layout, id, &mut survey).await?;
        deleted.objects += round.objects;
        deleted.bytes += round.bytes;
        if round.objects == 0 {
            // Everything was spared: whoever needs it is at work, and asking at once would only find the same.
            return Ok(Outcome { deleted, uploads_given_up: None, plan: survey.plan });
        }
    }
    Ok(Outcome { deleted, uploads_given_up: None, plan: plan(tools, layout).await? })
}
