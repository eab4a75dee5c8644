//! The documents that say what is referred to, read in the order that the protocol needs: intents first.
//! Never judges them: that is `retention`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::read::Cache;
use super::{SweepFailure, Tools};
use crate::api::ManifestDigest;
use crate::bucket::Listed;
use crate::manifest::{Intent, Layout, References, VersionRecord};
use crate::retention::Facts;
use crate::retention::references::ends_at;
use crate::retention::roots::Doubt;
use crate::upload::dated_by_store;
use crate::upload::documents::{believed, list_all};
use crate::upload::{INTENT_LIFE, ReadFailure, SKEW};

/// What was read before and need not be read again.
#[derive(Default)]
pub(super) struct Known {
    intents: Cache<Intent>,
    records: Cache<VersionRecord>,
    references: Cache<References>,
    /// Documents of deleted releases whose time is over.
    pub(super) over: Vec<Listed>,
    /// Builds whose pages were seen at public keys.
    pub(super) pages: BTreeSet<ManifestDigest>,
    /// Prefixes of others within this one, as keys begin, with the releases that have claimed them.
    pub(super) nested: BTreeMap<String, Option<String>>,
}

/// Reads the facts as they are now. Records after intents: a publish writes its record before its intent goes. References after
/// records: a release refers to what is recorded.
pub(super) async fn read(tools: &Tools, layout: &Layout, known: &mut Known) -> Result<Facts, SweepFailure> {
    let bucket = tools.bucket.as_ref();
    let intents = known.intents.all(bucket, &layout.intents()).await?;
    let records = known.records.all(bucket, &layout.versions()).await?;
    // A document that another release takes over moves: the new one is there before the old one goes, and is in the next listing.
    let references = known.references.whole(bucket, &layout.references()).await?;
    let references: Vec<_> = references.into_iter().map(|(listed, one)| (dated_by_store(one, &listed), listed)).collect();
    for (listed, record) in &records {
        if listed.key != layout.version(&record.version) {
            let cause = format!("it is the record of version {:?}", record.version);
            return Err(Doubt::Unreadable { key: listed.key.clone(), cause }.into());
        }
    }
    let manifests = list_all(bucket, &layout.manifests()).await.map_err(ReadFailure::from)?;
    let swept = list_all(bucket, &layout.swept_all()).await.map_err(ReadFailure::from)?;
    let now = tools.clock.now();
    let is_over = |one: &References| ends_at(one).is_some_and(|end| now > end);
    known.over = references.iter().filter(|(one, _)| is_over(one)).map(|(_, listed)| listed.clone()).collect();
    Ok(Facts {
        now,
        intents: intents.into_iter().filter(|(listed, intent)| intent_lives(intent, listed, now)).map(|(_, intent)| intent).collect(),
        records: records.into_iter().map(|(listed, record)| dated(record, &listed, now)).collect(),
        references: references.into_iter().map(|(references, listed)| all_dated(references, &listed, now)).collect(),
        manifests: manifests
            .iter()
            .filter_map(|one| Some((layout.digest_at(&layout.manifests(), &one.key)?, one.last_modified)))
            .collect::<BTreeMap<_, _>>(),
        swept: swept.iter().filter_map(|one| layout.digest_at(&layout.swept_all(), &one.key)).collect(),
        pages: known.pages.clone(),
        unrecorded_life: INTENT_LIFE + SKEW,
    })
}

/// A record whose date is one of the past: a time that never comes would keep its build for ever.
fn dated(record: VersionRecord, listed: &Listed, now: Timestamp) -> VersionRecord {
    VersionRecord { published_at: believed(record.published_at, Duration::ZERO, listed.last_modified, now), ..record }
}

/// The same of what a release refers to.
fn all_dated(mut references: References, listed: &Listed, now: Timestamp) -> References {
    let dates = references.activated.iter_mut().filter_map(|activation| activation.retired_at.as_mut());
    for date in dates.chain([&mut references.since]) {
        *date = believed(*date, Duration::ZERO, listed.last_modified, now);
    }
    references
}

/// Whether the publish of this intent may still act.
pub(super) fn intent_lives(intent: &Intent, listed: &Listed, now: Timestamp) -> bool {
    let started_at = believed(intent.started_at, Duration::ZERO, listed.last_modified, now);
    now.duration_since(started_at) <= jiff::SignedDuration::try_from(INTENT_LIFE + SKEW).expect("a day fits")
}
