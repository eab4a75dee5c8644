//! Counts page loads and makes the summary. It must never round a broken page load away.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::judge::Flaw;

/// How many failures the summary shows whole.
const EXAMPLES_MAX: usize = 10;

/// One piece that failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// Number of the page load.
    pub load: u64,
    /// When it was judged.
    pub at: Timestamp,
    /// The piece.
    pub url: String,
    /// The page that needed it.
    pub page: String,
    /// Version of that page; empty when it is not known.
    pub version: String,
    /// What was wrong.
    pub flaw: Flaw,
    /// What was seen.
    pub seen: String,
    /// Who answered, by name, or where the Service led to, by address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
}

/// One page with everything it needs.
#[derive(Debug, Clone)]
pub struct PageLoad {
    /// Version of the page; empty when the page itself failed.
    pub version: String,
    /// When the visitor asked.
    pub started: Timestamp,
    /// Until the last piece was there.
    pub took: Duration,
    /// GETs, the page's own included.
    pub requests: u64,
    /// Connections that could not be made and were tried again.
    pub connect_retries: u64,
    /// Kept connections that had ended and were replaced.
    pub kept_retries: u64,
    /// Pieces that failed; the page is broken when there is one.
    pub failures: Vec<Failure>,
}

/// Page loads of one version.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OfVersion {
    /// All of them.
    pub page_loads: u64,
    /// Those with a failed piece.
    pub broken: u64,
    /// When the first one began.
    pub first: Timestamp,
    /// When the last one began.
    pub last: Timestamp,
}

/// How long page loads took, in milliseconds.
#[derive(Debug, Default, Serialize)]
struct Latency {
    p50: u128,
    p95: u128,
    p99: u128,
    max: u128,
}

/// Everything counted so far.
#[derive(Debug, Default)]
pub struct Tally {
    page_loads: u64,
    broken: u64,
    requests: u64,
    connect_retries: u64,
    kept_retries: u64,
    versions: BTreeMap<String, OfVersion>,
    flaws: BTreeMap<Flaw, u64>,
    statuses: BTreeMap<String, u64>,
    examples: Vec<Failure>,
    took: Vec<Duration>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary<'a> {
    page_loads: u64,
    broken: u64,
    requests: u64,
    connect_retries: u64,
    kept_retries: u64,
    versions: &'a BTreeMap<String, OfVersion>,
    failed_pieces: &'a BTreeMap<Flaw, u64>,
    failed_statuses: &'a BTreeMap<String, u64>,
    latency_ms: Latency,
    examples: &'a [Failure],
}

impl Tally {
    /// Counts one page load.
    pub fn add(&mut self, load: PageLoad) {
        let broken = u64::from(!load.failures.is_empty());
        self.page_loads += 1;
        self.broken += broken;
        self.requests += load.requests;
        self.connect_retries += load.connect_retries;
        self.kept_retries += load.kept_retries;
        self.took.push(load.took);
        let fresh = OfVersion { page_loads: 0, broken: 0, first: load.started, last: load.started };
        let version = self.versions.entry(name_of(&load.version)).or_insert(fresh);
        version.page_loads += 1;
        version.broken += broken;
        version.first = version.first.min(load.started);
        version.last = version.last.max(load.started);
        load.failures.into_iter().for_each(|failure| self.count(failure));
    }

    fn count(&mut self, failure: Failure) {
        *self.flaws.entry(failure.flaw).or_default() += 1;
        if failure.flaw == Flaw::Status {
            *self.statuses.entry(failure.seen.clone()).or_default() += 1;
        }
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(failure);
        }
    }

    /// One short line for people.
    pub fn line(&self) -> String {
        let versions: Vec<_> = self.versions.iter().map(|(name, of)| format!("{name} {}", of.page_loads)).collect();
        format!("{} page loads ({}), {} broken", self.page_loads, versions.join(", "), self.broken)
    }

    /// One line of JSON.
    pub fn summary(&self) -> String {
        let summary = Summary {
            page_loads: self.page_loads,
            broken: self.broken,
            requests: self.requests,
            connect_retries: self.connect_retries,
            kept_retries: self.kept_retries,
            versions: &self.versions,
            failed_pieces: &self.flaws,
            failed_statuses: &self.statuses,
            latency_ms: self.latency(),
            examples: &self.examples,
        };
        serde_json::to_string(&summary).expect("the summary has only strings, numbers and maps with string keys")
    }

    fn latency(&self) -> Latency {
        let mut took: Vec<_> = self.took.iter().map(Duration::as_millis).collect();
        took.sort_unstable();
        let at = |percent: usize| took.get((took.len() * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default();
        Latency { p50: at(50), p95: at(95), p99: at(99), max: at(100) }
    }
}

fn name_of(version: &str) -> String {
    if version.is_empty() { "unknown".into() } else { version.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(version: &str, second: i64, failures: Vec<Failure>) -> PageLoad {
        let started = Timestamp::from_second(second).unwrap();
        let took = Duration::from_millis(second.unsigned_abs());
        PageLoad { version: version.into(), started, took, requests: 20, connect_retries: 0, kept_retries: 0, failures }
    }

    fn missing() -> Failure {
        let (at, url) = (Timestamp::UNIX_EPOCH, "http://shop/a.js".into());
        Failure { load: 1, at, url, page: "/".into(), version: "v2".into(), flaw: Flaw::Status, seen: "404".into(), pod: None }
    }

    #[test]
    fn a_page_load_is_broken_once_however_many_pieces_fail() {
        let mut tally = Tally::default();
        tally.add(load("v1", 1, vec![]));
        tally.add(load("v2", 3, vec![missing(), missing()]));
        tally.add(load("v2", 2, vec![]));
        tally.add(load("", 4, vec![missing()]));
        let seen: serde_json::Value = serde_json::from_str(&tally.summary()).unwrap();
        assert_eq!(tally.line(), "4 page loads (unknown 1, v1 1, v2 2), 2 broken");
        assert_eq!(seen["broken"], 2);
        assert_eq!(seen["requests"], 80);
        assert_eq!(seen["failedPieces"]["status"], 3);
        assert_eq!(seen["failedStatuses"]["404"], 3);
        assert_eq!(seen["versions"]["v2"]["first"], "1970-01-01T00:00:02Z");
        assert_eq!(seen["versions"]["v2"]["last"], "1970-01-01T00:00:03Z");
        assert_eq!(seen["latencyMs"], serde_json::json!({"p50": 2, "p95": 4, "p99": 4, "max": 4}));
    }

    #[test]
    fn nothing_counted_is_a_summary_too() {
        let seen: serde_json::Value = serde_json::from_str(&Tally::default().summary()).unwrap();
        assert_eq!((&seen["pageLoads"], &seen["latencyMs"]["max"]), (&0.into(), &0.into()));
    }
}
