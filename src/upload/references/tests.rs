//! One document, its release, the release of the same name after it, and processes that are late.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::api::ManifestDigest;
use crate::bucket::memory::MemoryBucket;
use crate::clock::TokioClock;
use crate::manifest::record::{RetentionPolicy, Role, Use};

struct Place {
    bucket: MemoryBucket,
    clock: Arc<TokioClock>,
    layout: Layout,
}

impl Place {
    fn new() -> Self {
        let clock = Arc::new(TokioClock::starting_at("2026-11-21T00:00:00Z".parse().unwrap()));
        Self { bucket: MemoryBucket::new(clock.clone()), clock, layout: Layout::new("", "web/") }
    }

    async fn write(&self, own: &OwnFacts) -> Referred {
        write_references(&self.bucket, &self.layout, own, &*self.clock).await.unwrap()
    }

    async fn end(&self, own: &OwnFacts) -> Referred {
        end_references(&self.bucket, &self.layout, own, &*self.clock).await.unwrap()
    }

    async fn document(&self) -> References {
        read(&self.bucket, &self.layout.references_of("c", "web/shop")).await.unwrap().unwrap()
    }
}

fn own(uid: &str, version: &str) -> OwnFacts {
    OwnFacts {
        cluster: "c".into(),
        release: "web/shop".into(),
        uid: uid.into(),
        retention: Some(RetentionPolicy { releases: 1, ttl_seconds: 3600, pins: Vec::new() }),
        uses: BTreeSet::from([used(version)]),
        activated: Vec::new(),
    }
}

fn used(version: &str) -> Use {
    Use { digest: ManifestDigest::of(version.as_bytes()), role: Role::Active }
}

#[tokio::test(start_paused = true)]
async fn a_deleted_release_says_so_with_all_that_it_used_and_once() {
    // I5, I7
    let place = Place::new();
    assert_eq!(place.end(&own("u1", "v1")).await, Referred::Absent, "what never was has no end");
    place.write(&own("u1", "v1")).await;
    // The pods were not seen in the last look.
    assert!(matches!(place.end(&own("u1", "v2")).await, Referred::Said(_)));
    let document = place.document().await;
    assert_eq!(document.deleted_at, Some(place.clock.now()));
    assert_eq!(BTreeSet::from_iter(document.uses), BTreeSet::from([used("v1"), used("v2")]));
    let log = place.bucket.log().len();
    assert!(matches!(place.end(&own("u1", "v2")).await, Referred::Said(_)), "another controller does the same");
    assert_eq!(place.bucket.log().len(), log, "the time begins once");
}

#[tokio::test(start_paused = true)]
async fn a_release_of_the_same_name_takes_the_document_and_no_late_process_takes_it_back() {
    // I5: of a controller that stood still meanwhile, or of a job that was broken off.
    let place = Place::new();
    place.write(&own("u1", "v1")).await;
    place.end(&own("u1", "v1")).await;
    let over = place.document().await;
    assert_eq!(place.write(&own("u1", "v1")).await, Referred::Over, "a deleted release uses nothing any more");
    assert_eq!(place.document().await, over);
    assert!(matches!(place.write(&own("u2", "v1")).await, Referred::Said(_)));
    let taken = place.document().await;
    assert_eq!((taken.deleted_at, taken.uid.as_deref()), (None, Some("u2")));
    assert_eq!(place.end(&own("u1", "v1")).await, Referred::Successors);
    assert_eq!(place.document().await, taken);
}

#[tokio::test(start_paused = true)]
async fn a_document_of_an_older_controller_is_ended_and_taken_like_any_other() {
    let place = Place::new();
    place.write(&own("u1", "v1")).await;
    let old = References { uid: None, ..place.document().await };
    let key = place.layout.references_of("c", "web/shop");
    let lay = || place.bucket.overwrite(&key, serde_json::to_vec(&old).unwrap());
    lay();
    place.write(&own("u1", "v1")).await;
    assert_eq!(place.document().await.uid.as_deref(), Some("u1"), "the next look at it names the object");
    lay();
    place.end(&own("u1", "v1")).await;
    assert!(place.document().await.deleted_at.is_some());
    // What an older controller writes for the release that is made anew ends the end: it knows nothing of it.
    lay();
    assert_eq!(place.document().await.deleted_at, None);
}

#[tokio::test(start_paused = true)]
async fn a_release_that_a_person_took_for_gone_takes_its_document_back() {
    // I5
    let place = Place::new();
    let end =
        async |cluster: &str| end_references_of(&place.bucket, &place.layout, (cluster, "web/shop"), place.clock.now()).await.unwrap();
    assert_eq!(end("d").await, Referred::Absent);
    place.write(&own("u1", "v1")).await;
    assert!(matches!(end("c").await, Referred::Said(_)));
    assert!(place.document().await.deleted_at.is_some());
    assert!(matches!(place.write(&own("u1", "v1")).await, Referred::Said(_)), "it is there after all");
    assert_eq!(place.document().await.deleted_at, None);
}

#[test]
fn an_end_is_dated_by_the_store_or_by_its_own_date_where_the_listing_lags() {
    // I5
    let said = |at: &str| {
        let at = at.parse().unwrap();
        let document = last(&next(None, &own("u1", "v1"), at), &own("u1", "v1"), at).unwrap();
        let written = "2026-11-30T12:00:00Z".parse().unwrap();
        let listed = Listed { key: "k".into(), size: 1, etag: "e".into(), last_modified: written };
        dated_by_store(document, &listed).deleted_at.unwrap().to_string()
    };
    assert_eq!(said("1999-01-01T00:00:00Z"), "2026-11-30T12:00:00Z", "a clock that is behind");
    assert_eq!(said("2026-12-01T12:00:00Z"), "2026-12-01T12:00:00Z", "a listing from before the end");
    assert_eq!(said("2026-12-01T12:00:01Z"), "2026-11-30T12:00:00Z", "a clock that is ahead");
    assert_eq!(said("9999-01-01T00:00:00Z"), "2026-11-30T12:00:00Z");
}
