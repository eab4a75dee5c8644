//! Claims that overlap (made before claims were hierarchical, or past Rollcall), and where releases have written what they use. Only reads.

use std::collections::{BTreeMap, BTreeSet};

use crate::bucket::probe::Finding;
use crate::bucket::{Bucket, BucketError, Walk};
use crate::manifest::{Claim, Layout};
use crate::upload::{ReadFailure, read_claim};

/// Pages of a listing that are looked through: 200,000 objects, in a minute or so.
const PAGES_MAX: usize = 200;

/// Overlaps that are named.
const NAMED_MAX: usize = 5;

/// What the claims around a prefix and below it say about each other, and which prefixes below it have references.
pub(super) struct Looked {
    pub(super) overlaps: Finding,
    /// As keys begin; of as much of the listing as was looked through.
    pub(super) referred: BTreeSet<String>,
}

/// Looks through the listing once.
pub(super) async fn look(bucket: &dyn Bucket, layout: &Layout) -> Result<Looked, ReadFailure> {
    let (mut claims, mut referred) = (BTreeMap::new(), BTreeSet::new());
    let denied = claims_around(bucket, layout, &mut claims).await?;
    let mut walk = Walk::new(bucket, layout.prefix());
    let mut is_whole = false;
    for _ in 0..PAGES_MAX {
        let Some(objects) = walk.page().await? else {
            is_whole = true;
            break;
        };
        for key in objects.iter().map(|one| one.key.as_str()) {
            referred.extend(key.split_once(".rollcall/references/").map(|(prefix, _)| prefix.to_owned()));
            let Some(prefix) = key.strip_suffix(".rollcall/owner.json") else { continue };
            if let Some(claim) = read_claim(bucket, &Layout::new(prefix, "")).await? {
                claims.insert(prefix.to_owned(), claim);
            }
        }
    }
    let overlaps = match (denied, judged(&claims)) {
        (Some(denied), _) => denied,
        (None, found) if found.is_held() && !is_whole => {
            Finding::unknown(format!("{}; not all of the listing was looked through", found.evidence))
        }
        (None, found) => found,
    };
    Ok(Looked { overlaps, referred })
}

/// Adds the claims of prefixes around this one; answers what keeps them from being read.
async fn claims_around(bucket: &dyn Bucket, layout: &Layout, claims: &mut BTreeMap<String, Claim>) -> Result<Option<Finding>, ReadFailure> {
    for around in layout.ancestors() {
        match read_claim(bucket, &around).await {
            Ok(claim) => claims.extend(claim.map(|claim| (around.prefix().to_owned(), claim))),
            Err(ReadFailure::Bucket(BucketError::Denied { key, .. })) => {
                let what = format!("{key:?} may not be read: allow s3:GetObject on it, or nothing new can be claimed here");
                return Ok(Some(Finding::unknown(what)));
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(None)
}

/// In byte order of the prefixes whatever lies within another one comes after it.
fn judged(claims: &BTreeMap<String, Claim>) -> Finding {
    let mut told = Vec::new();
    for (outer, claim) in claims {
        let layout = Layout::new(outer, "").excluding(&claim.excluded_prefixes);
        let within = claims.range(outer.clone()..).skip(1).take_while(|(inner, _)| inner.starts_with(outer.as_str()));
        for (inner, theirs) in within.filter(|(inner, _)| !layout.excludes(inner)) {
            told.push(format!("{inner:?} of {} lies within {outer:?} of {}", theirs.owner.release, claim.owner.release));
        }
    }
    if told.is_empty() {
        return Finding::holds(format!("{} claims, none within another", claims.len()));
    }
    let more = told.len().saturating_sub(NAMED_MAX);
    told.truncate(NAMED_MAX);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    Finding::ignored(format!(
        "{}{more}: name the inner folder in spec.excludedPrefixes of the outer release, or give one of the two another prefix",
        told.join("; ")
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::api::store::Capability::{Holds, Ignored};
    use crate::bucket::memory::MemoryBucket;
    use crate::clock::TokioClock;

    async fn overlaps(bucket: &dyn Bucket, layout: &Layout) -> Result<Finding, ReadFailure> {
        look(bucket, layout).await.map(|looked| looked.overlaps)
    }

    #[tokio::test]
    async fn claims_within_each_other_are_named_unless_they_are_excluded() {
        let bucket = MemoryBucket::new(Arc::new(TokioClock::starting_at("2026-11-21T00:00:00Z".parse().unwrap())));
        let claim = |prefix: &str, release: &str| {
            let text = format!(r#"{{"ownerVersion":1,"cluster":"c","release":"{release}"}}"#);
            bucket.overwrite(&Layout::new(prefix, "").owner(), text);
        };
        claim("web/shop/", "shop/shop");
        claim("web/shopping/", "shop/other");
        assert_eq!(overlaps(&bucket, &Layout::new("web/", "")).await.unwrap().capability, Holds);
        claim("web/shop/admin/", "admin/admin");
        for place in ["web/", "web/shop/admin/", ""] {
            let found = overlaps(&bucket, &Layout::new(place, "")).await.unwrap();
            assert_eq!(found.capability, Ignored, "from {place:?}");
            assert!(found.evidence.contains(r#""web/shop/admin/" of admin/admin lies within "web/shop/" of shop/shop"#), "{found:?}");
        }
        let excluding = r#"{"ownerVersion":2,"cluster":"c","release":"shop/shop","excludedPrefixes":["admin/"]}"#;
        bucket.overwrite("web/shop/.rollcall/owner.json", excluding);
        assert_eq!(overlaps(&bucket, &Layout::new("web/", "")).await.unwrap().capability, Holds);
    }
}
