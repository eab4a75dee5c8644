//! Who uses the prefixes of a store, so that a person sees a cluster that is gone and still keeps what it used. Only reads.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::bucket::Bucket;
use crate::bucket::probe::Finding;
use crate::manifest::Layout;
use crate::retention::Referrer;
use crate::upload::{ReadFailure, all_references};

/// Prefixes whose documents are read.
const PREFIXES_MAX: usize = 100;

/// Releases that are named.
const NAMED_MAX: usize = 20;

/// Each release that says what it uses below one of these prefixes. Unknown when one of them may be gone: only a person can say.
pub(super) async fn found(bucket: &dyn Bucket, prefixes: &BTreeSet<String>, now: Timestamp) -> Result<Finding, ReadFailure> {
    let (mut said, mut advice) = (Vec::new(), Vec::new());
    for prefix in prefixes.iter().take(PREFIXES_MAX) {
        match all_references(bucket, &Layout::new(prefix, "")).await {
            Ok(all) => {
                for referrer in all.iter().map(|(_, references)| Referrer::of(references, now)) {
                    said.push(format!("{prefix:?}: {referrer}"));
                    advice.extend(referrer.advice().map(|advice| format!("{prefix:?}: {advice}")));
                }
            }
            Err(ReadFailure::Malformed { key, cause }) => advice.push(format!("{key:?} cannot be understood: {cause}")),
            Err(failure @ ReadFailure::Bucket(_)) => return Err(failure),
        }
    }
    let more = said.len().saturating_sub(NAMED_MAX) + prefixes.len().saturating_sub(PREFIXES_MAX);
    said.truncate(NAMED_MAX);
    let more = if more > 0 {
        format!("; and more: name one prefix with --to to see all of its releases ({more} are left out)")
    } else {
        String::new()
    };
    let all = if said.is_empty() { "no release says what it uses".to_owned() } else { said.join("; ") };
    advice.truncate(NAMED_MAX);
    Ok(match advice.join("; ") {
        advice if advice.is_empty() => Finding::holds(format!("{all}{more}")),
        advice => Finding::unknown(format!("{advice}; all of them: {all}{more}")),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::api::store::Capability::{Holds, Unknown};
    use crate::bucket::memory::MemoryBucket;
    use crate::clock::TokioClock;

    #[tokio::test(start_paused = true)]
    async fn every_release_that_uses_a_prefix_is_named_and_one_that_is_silent_with_what_to_do() {
        let bucket = MemoryBucket::new(Arc::new(TokioClock::starting_at("2026-11-21T00:00:00Z".parse().unwrap())));
        let document = |release: &str, more: &str| {
            let text = format!(
                r#"{{"referencesVersion":1,"cluster":"c","release":"{release}","since":"2026-11-01T00:00:00Z","writtenAt":"2026-11-20T00:00:00Z","uses":[],"activated":[]{more}}}"#
            );
            bucket.overwrite(&Layout::new("web/", "").references_of("c", release), text);
        };
        let prefixes = ["web/".to_owned()].into();
        let look = async |time: &str| found(&bucket, &prefixes, time.parse().unwrap()).await.unwrap();
        document("web/shop", "");
        document("web/old", r#","deletedAt":"2020-01-01T00:00:00Z""#);
        let told = look("2026-11-22T00:00:00Z").await;
        assert_eq!(told.capability, Holds);
        assert!(told.evidence.contains("web/shop of cluster c, last written 2026-11-20T00:00:00Z"), "{told:?}");
        // The store's date counts, not the clock of who wrote it.
        assert!(
            told.evidence.contains("web/old of cluster c, deleted 2026-11-21T00:00:00Z, keeps what it used until 2026-12-21"),
            "{told:?}"
        );
        let silent = look("2026-11-28T00:00:00Z").await;
        assert!(silent.capability == Unknown && silent.evidence.contains("store end-references"), "{silent:?}");
        bucket.overwrite(&Layout::new("web/", "").references_of("c", "web/bad"), "{}");
        assert!(look("2026-11-22T00:00:00Z").await.evidence.contains("cannot be understood"));
    }
}
