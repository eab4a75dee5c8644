//! What stays and why, rule by rule, and every doubt.

use super::*;
use crate::manifest::record::{Activation, FORMAT, Use};

const HOUR: u64 = 3600;

fn at(hour: u64) -> Timestamp {
    Timestamp::UNIX_EPOCH + Duration::from_secs(hour * HOUR)
}

fn digest(version: &str) -> ManifestDigest {
    ManifestDigest::of(version.as_bytes())
}

fn record(version: &str, hour: u64) -> VersionRecord {
    VersionRecord {
        record_version: FORMAT,
        version: version.into(),
        digest: digest(version),
        release: "web/shop".into(),
        published_at: at(hour),
        files: 1,
        bytes: 1,
        build: None,
    }
}

/// `v1` to `v9`, published and activated an hour after the other; `v9` is active. The document is as old as the prefix.
fn references() -> References {
    let activation = |n: u64| Activation {
        version: format!("v{n}"),
        digest: digest(&format!("v{n}")),
        sequence: i64::try_from(n).unwrap(),
        retired_at: (n < 9).then(|| at(n + 1)),
    };
    let used = |version: &str, role| Use { digest: digest(version), role };
    References {
        references_version: FORMAT,
        cluster: "c".into(),
        release: "web/shop".into(),
        uid: None,
        deleted_at: None,
        since: at(0),
        written_at: at(9),
        retention: Some(RetentionPolicy { releases: 1, ttl_seconds: HOUR, pins: Vec::new() }),
        uses: vec![used("v9", Role::Active), used("v8", Role::Previous)],
        activated: (1..=9).rev().map(activation).collect(),
    }
}

fn facts() -> Facts {
    let versions: Vec<String> = (1..=9).map(|n| format!("v{n}")).collect();
    Facts {
        now: at(100),
        intents: Vec::new(),
        records: versions.iter().zip(1..).map(|(version, hour)| record(version, hour)).collect(),
        references: vec![references()],
        manifests: versions.iter().map(|version| (digest(version), at(1))).collect(),
        swept: BTreeSet::new(),
        pages: BTreeSet::new(),
        unrecorded_life: Duration::from_secs(24 * HOUR),
    }
}

fn kept(facts: &Facts) -> Vec<String> {
    let roots = roots(facts).unwrap();
    (1..=12).map(|n| format!("v{n}")).filter(|version| roots.kept.contains_key(&digest(version))).collect()
}

fn with(change: impl FnOnce(&mut Facts)) -> Facts {
    let mut facts = facts();
    change(&mut facts);
    facts
}

#[test]
fn what_is_in_use_stays_and_what_nothing_names_goes() {
    // I5
    assert_eq!(kept(&facts()), ["v8", "v9"]);
    let roots = roots(&facts()).unwrap();
    assert_eq!(roots.going[&digest("v3")].versions, ["v3".to_owned()].into());
    let reasons: Vec<String> = roots.kept[&digest("v9")].iter().map(ToString::to_string).collect();
    assert_eq!(reasons, ["active in web/shop", "one of the last versions of web/shop"]);
    for (role, version) in [(Role::Candidate, "v2"), (Role::Reported, "v4")] {
        let facts = with(|facts| facts.references[0].uses.push(Use { digest: digest(version), role }));
        assert!(kept(&facts).contains(&version.to_owned()), "{role:?}");
    }
}

#[test]
fn the_last_activated_versions_stay_each_once_however_often_it_was_activated() {
    let back_and_forth = with(|facts| {
        facts.references[0].retention.as_mut().unwrap().releases = 3;
        for (sequence, version) in [(10, "v8"), (11, "v9"), (12, "v8"), (13, "v9")] {
            let activation = Activation { version: version.into(), digest: digest(version), sequence, retired_at: Some(at(20)) };
            facts.references[0].activated.push(activation);
        }
    });
    assert_eq!(kept(&back_and_forth), ["v7", "v8", "v9"]);
}

#[test]
fn the_time_runs_from_retirement_not_from_the_publish() {
    // v7 was retired at hour 8; its time is one hour.
    let at_second = |seconds: u64| with(|facts| facts.now = at(9) + Duration::from_secs(seconds));
    assert_eq!(kept(&at_second(0)), ["v7", "v8", "v9"]);
    assert_eq!(kept(&at_second(1)), ["v8", "v9"]);
    let again = with(|facts| {
        let activation = Activation { version: "v2".into(), digest: digest("v2"), sequence: 20, retired_at: Some(at(100)) };
        facts.references[0].activated.push(activation);
        facts.references[0].retention.as_mut().unwrap().releases = 1;
    });
    assert!(kept(&again).contains(&"v2".to_owned()), "its last retirement counts");
}

#[test]
fn a_version_that_nobody_activated_stays_for_its_time_after_the_publish() {
    let published = |hour| {
        with(|facts| {
            facts.records.push(record("v10", hour));
            facts.manifests.insert(digest("v10"), at(1));
        })
    };
    assert_eq!(kept(&published(99)), ["v8", "v9", "v10"]);
    assert_eq!(kept(&published(98)), ["v8", "v9"]);
}

#[test]
fn a_build_that_is_published_again_after_its_retirement_stays_for_its_time_after_that() {
    // I5: v3 was retired at hour 4. Nobody activates it for an hour.
    let another_name = with(|facts| facts.records.push(VersionRecord { digest: digest("v3"), ..record("v10", 99) }));
    let brought_back = with(|facts| {
        facts.manifests.insert(digest("v3"), at(99));
    });
    for facts in [another_name, brought_back] {
        assert_eq!(kept(&facts), ["v3", "v8", "v9"]);
        let reasons: Vec<String> = roots(&facts).unwrap().kept[&digest("v3")].iter().map(ToString::to_string).collect();
        assert_eq!(reasons, ["published, never activated, until 1970-01-05T04:00:00Z"]);
        assert_eq!(kept(&Facts { now: at(101), ..facts }), ["v8", "v9"]);
    }
}

#[test]
fn a_lost_document_of_references_only_keeps_more() {
    // I5: everything that the new document does not know counts as retired when it was begun.
    let begun = with(|facts| {
        facts.references[0].since = at(99);
        facts.references[0].activated.clear();
    });
    assert_eq!(kept(&begun).len(), 9);
}

#[test]
fn every_cluster_counts_and_the_longest_time_wins() {
    // I5
    let two = with(|facts| {
        let mut other = References { cluster: "d".into(), ..references() };
        other.uses = vec![Use { digest: digest("v3"), role: Role::Active }];
        other.activated.clear();
        other.retention = Some(RetentionPolicy { releases: 2, ttl_seconds: 95 * HOUR, pins: Vec::new() });
        facts.references.push(other);
    });
    // The other one never activated v5 to v9 and counts them from their publish.
    assert_eq!(kept(&two), ["v3", "v5", "v6", "v7", "v8", "v9"]);
    let forever = with(|facts| facts.references.push(References { retention: None, cluster: "d".into(), ..references() }));
    assert_eq!(roots(&forever).unwrap_err().reason(), "KeepsEverything");
}

#[test]
fn without_any_references_nothing_goes() {
    // I5
    assert_eq!(roots(&with(|facts| facts.references.clear())), Err(Doubt::NoReferences));
}

/// A reader of another cluster that uses `v3`, deleted at this hour; the release of `references` stays.
fn with_deleted(hour: u64, now: u64, change: impl FnOnce(&mut References)) -> Facts {
    with(|facts| {
        let mut reader = References { cluster: "d".into(), deleted_at: Some(at(hour)), ..references() };
        reader.uses = vec![Use { digest: digest("v3"), role: Role::Active }];
        reader.activated = vec![Activation { version: "v4".into(), digest: digest("v4"), sequence: 1, retired_at: None }];
        change(&mut reader);
        facts.references.push(reader);
        facts.now = at(now);
    })
}

#[test]
fn what_a_deleted_release_used_stays_for_its_time_and_goes_then() {
    // I5
    let policy = |ttl: u64| Some(RetentionPolicy { releases: 1, ttl_seconds: ttl * HOUR, pins: Vec::new() });
    let at_hour = |now| kept(&with_deleted(100, now, |reader| reader.retention = policy(48)));
    assert_eq!(at_hour(148), ["v3", "v4", "v8", "v9"]);
    assert_eq!(at_hour(149), ["v8", "v9"]);
    // However short its own time was, pods that it left behind may still load.
    let short = |now| kept(&with_deleted(100, now, |reader| reader.retention = policy(1)));
    assert_eq!((short(124).len(), short(125).len()), (4, 2));
}

#[test]
fn a_deleted_release_without_a_policy_keeps_what_it_used_for_a_month_and_stops_nobody() {
    // I5
    let at_hour = |now| kept(&with_deleted(100, now, |reader| reader.retention = None));
    assert_eq!(at_hour(100 + 720), ["v3", "v4", "v8", "v9"]);
    assert_eq!(at_hour(101 + 720), ["v8", "v9"]);
}

#[test]
fn what_was_published_after_a_release_was_deleted_is_not_its_business() {
    let deleted =
        with_deleted(100, 130, |reader| reader.retention = Some(RetentionPolicy { releases: 1, ttl_seconds: 50 * HOUR, pins: Vec::new() }));
    let later = Facts { records: deleted.records.iter().cloned().chain([record("v10", 110)]).collect(), ..deleted };
    let later = Facts { manifests: later.manifests.clone().into_iter().chain([(digest("v10"), at(110))]).collect(), ..later };
    assert_eq!(kept(&later), ["v3", "v4", "v8", "v9"]);
}

#[test]
fn a_pin_of_a_deleted_release_lasts_from_when_its_version_was_retired() {
    // I5
    let pin = Pin { pattern: "mail/**".into(), ttl_seconds: 200 * HOUR };
    let pinned = |now| {
        let policy = RetentionPolicy { releases: 1, ttl_seconds: HOUR, pins: vec![pin.clone()] };
        let facts = with_deleted(100, now, |reader| reader.retention = Some(policy));
        roots(&facts).unwrap().going[&digest("v4")].pins.len()
    };
    assert_eq!((pinned(300), pinned(301)), (1, 0));
}

#[test]
fn where_every_release_was_deleted_nothing_goes() {
    // I5: pods may go on with what they have, and no release says which.
    for now in [101, 10_000] {
        let facts = with(|facts| {
            facts.references[0].deleted_at = Some(at(100));
            facts.now = at(now);
        });
        assert_eq!(roots(&facts), Err(Doubt::NoReferences));
    }
}

#[test]
fn a_build_that_only_a_deleted_release_used_is_no_doubt_once_retention_took_it() {
    let facts = with_deleted(100, 101, |_| {});
    let mut facts = facts;
    facts.manifests.remove(&digest("v3"));
    assert!(matches!(roots(&facts), Err(Doubt::ManifestMissing { .. })));
    facts.swept.insert(digest("v3"));
    assert!(roots(&facts).is_ok());
}

#[test]
fn a_build_that_stays_and_has_no_manifest_stops_everything() {
    // I5
    for gone in ["v8", "v9"] {
        let doubt = roots(&with(|facts| {
            facts.manifests.remove(&digest(gone));
        }))
        .unwrap_err();
        assert_eq!(doubt.reason(), "ManifestMissing", "{gone}");
    }
    // What is not kept needs none; what retention took is not missed unless somebody uses it.
    assert_eq!(
        kept(&with(|facts| {
            facts.manifests.remove(&digest("v3"));
        })),
        ["v8", "v9"]
    );
    let taken = |version: &str| {
        let digest = digest(version);
        with(|facts| {
            facts.references[0].retention.as_mut().unwrap().releases = 3;
            facts.manifests.remove(&digest);
            facts.swept.insert(digest);
        })
    };
    assert_eq!(kept(&taken("v7")), ["v8", "v9"]);
    assert_eq!(roots(&taken("v7")).unwrap().lost, [digest("v7")].into());
    assert_eq!(roots(&taken("v8")).unwrap_err().reason(), "ManifestMissing", "pages may need it");
}

#[test]
fn a_publish_under_way_keeps_its_build_or_stops_everything() {
    // I5
    let intent = |version: &str| Intent {
        intent_version: FORMAT,
        digest: digest(version),
        version: version.into(),
        release: "web/shop".into(),
        started_at: at(100),
    };
    assert_eq!(kept(&with(|facts| facts.intents.push(intent("v2")))), ["v2", "v8", "v9"]);
    let unknown = roots(&with(|facts| facts.intents.push(intent("v10")))).unwrap_err();
    assert_eq!(unknown, Doubt::PublishUnderWay { version: "v10".into(), release: "web/shop".into() });
}

#[test]
fn public_pages_keep_their_build() {
    // I5
    assert_eq!(
        kept(&with(|facts| {
            facts.pages.insert(digest("v1"));
        })),
        ["v1", "v8", "v9"]
    );
}

#[test]
fn a_manifest_that_nobody_recorded_is_left_alone_for_a_day() {
    let written = |hour| {
        with(|facts| {
            facts.manifests.insert(digest("v11"), at(hour));
        })
    };
    assert_eq!(kept(&written(76)), ["v8", "v9", "v11"]);
    assert_eq!(kept(&written(75)), ["v8", "v9"]);
    assert!(roots(&written(75)).unwrap().going[&digest("v11")].versions.is_empty());
}

#[test]
fn a_pin_lives_from_the_retirement_of_its_version() {
    let pinned = |hours: u64| {
        with(|facts| {
            facts.references[0].retention.as_mut().unwrap().pins = vec![Pin { pattern: "mail/**".into(), ttl_seconds: hours * HOUR }];
        })
    };
    // v3 was retired at hour 4, and it is hour 100.
    assert_eq!(roots(&pinned(96)).unwrap().going[&digest("v3")].pins, ["mail/**".to_owned()].into());
    assert!(roots(&pinned(95)).unwrap().going[&digest("v3")].pins.is_empty());
}

#[test]
fn times_beyond_the_calendar_keep_for_ever() {
    let endless = with(|facts| facts.references[0].retention.as_mut().unwrap().ttl_seconds = u64::MAX);
    assert_eq!(kept(&endless).len(), 9);
}
