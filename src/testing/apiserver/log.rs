//! The log of requests: one line each, the same line for the same run.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde_json::Value;

use super::faults::Seen;
use super::refusal::Refusal;
use super::request::{Call, Verb};

/// One request and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Number of the request.
    pub number: u64,
    /// When it was answered.
    pub at: Timestamp,
    /// Whose client.
    pub actor: String,
    /// What was asked.
    pub verb: Verb,
    /// `resource namespace/name`, with `/status` for that door.
    pub object: String,
    /// HTTP code; 0 when there was no answer.
    pub code: u16,
    /// Reason, version or remark.
    pub outcome: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, at, actor, verb, object, code, outcome } = self;
        write!(f, "{number} {at} {actor} {verb:?} {object} {code} {outcome}")
    }
}

#[derive(Default)]
pub(super) struct Log {
    lines: Vec<Line>,
    requests: u64,
    mutations: BTreeMap<String, u64>,
}

impl Log {
    pub(super) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Numbers a request.
    pub(super) fn see(&mut self, actor: &str, call: &Call) -> Seen {
        self.requests += 1;
        let mutation = call.verb.mutates().then(|| {
            let count = self.mutations.entry(actor.to_owned()).or_default();
            *count += 1;
            *count
        });
        Seen { number: self.requests, mutation, actor: actor.to_owned(), verb: call.verb, key: call.key(), status: call.status }
    }

    pub(super) fn write_down(&mut self, seen: &Seen, call: &Call, at: Timestamp, answer: Result<(u16, &Value), &Refusal>, remark: &str) {
        let (code, outcome) = match answer {
            Ok((code, object)) => (code, object["metadata"]["resourceVersion"].as_str().unwrap_or("-").to_owned()),
            Err(refusal) => (refusal.code, format!("{}{remark}", refusal.reason)),
        };
        self.push(seen, call, at, code, outcome);
    }

    pub(super) fn note(&mut self, seen: &Seen, call: &Call, at: Timestamp, what: &str) {
        self.push(seen, call, at, 0, format!("({what})"));
    }

    fn push(&mut self, seen: &Seen, call: &Call, at: Timestamp, code: u16, outcome: String) {
        let door = if call.status { "/status" } else { "" };
        let object = format!("{}{door}", seen.key);
        self.lines.push(Line { number: seen.number, at, actor: seen.actor.clone(), verb: seen.verb, object, code, outcome });
    }
}
