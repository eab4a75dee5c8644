//! The report: what one pod announces, can serve and does serve, for which stage number.
//! Never trusted further than the pod UID and the stage that it names.

use serde::{Deserialize, Deserializer, Serialize};

use super::digest::ManifestDigest;
use super::foreign::ForeignText;
use super::pointer::{NUMBER_MAX, PROTOCOL};

/// Longest report that is read or kept, in bytes: what the admission policy lets through, 8,192 characters. A report of 64 versions has
/// 5 KiB.
pub const REPORT_BYTES_MAX: usize = 32 * 1024;

/// What `GET /v1/availability` answers and what the message of the pod condition `rollcall.dev/assets` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Version of this document's format.
    pub protocol: i32,
    /// Name of the pointer `ConfigMap` that this report answers, in the pod's namespace. Older agents do not say it.
    #[serde(default, deserialize_with = "pointer_name", skip_serializing_if = "Option::is_none")]
    pub pointer: Option<ForeignText>,
    /// UID of the reporting pod.
    pub pod_uid: String,
    /// The agent's boot id: another value is another life of the agent.
    pub instance: String,
    /// True until the agent has read the pointer after announcing itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub joining: bool,
    /// Stage number of the pointer that this report answers.
    pub stage: i64,
    /// Sequence number of that pointer.
    pub sequence: i64,
    /// Digests of the versions that are completely here, sorted.
    pub available: Vec<ManifestDigest>,
    /// Digest of the version whose pages are served now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving: Option<ManifestDigest>,
    /// Sequence number of the newest flip for which it is served: the same build may be flipped to again, at other URLs. Older agents
    /// and applications do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving_sequence: Option<i64>,
    /// Why something wanted is not available; for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<ForeignText>,
}

/// A report that must not be counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReport {
    /// Not the JSON of a report.
    #[error("not a report: {0}")]
    Malformed(String),
    /// Written by an agent of another generation.
    #[error("report protocol {0} is not known here (this controller knows {PROTOCOL})")]
    UnknownProtocol(i32),
    /// More than a report can be.
    #[error("the report has {0} bytes, at most {REPORT_BYTES_MAX} are read")]
    TooLong(usize),
    /// Numbers that no pointer ever had.
    #[error("it names stage {stage} and flip {sequence}: no pointer has such numbers")]
    Unbelievable {
        /// The stage.
        stage: i64,
        /// The sequence.
        sequence: i64,
    },
}

/// Longest name of a `ConfigMap`, in characters.
const NAME_CHARS_MAX: usize = 253;

/// The name of a pointer as a report has it.
#[must_use]
pub fn pointer_named(name: &str) -> ForeignText {
    ForeignText::up_to(name, NAME_CHARS_MAX)
}

fn pointer_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ForeignText>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.as_deref().map(pointer_named))
}

/// Just enough of any report of any protocol.
#[derive(Deserialize)]
struct Envelope {
    protocol: i32,
}

impl Report {
    /// Reads a report. The protocol is looked at first: a newer report may have another shape.
    ///
    /// # Errors
    /// When it is too long, not JSON of this shape, of an unknown protocol, or names numbers that cannot be.
    pub fn parse(text: &str) -> Result<Self, InvalidReport> {
        if text.len() > REPORT_BYTES_MAX {
            return Err(InvalidReport::TooLong(text.len()));
        }
        let malformed = |error: serde_json::Error| InvalidReport::Malformed(error.to_string());
        let envelope: Envelope = serde_json::from_str(text).map_err(malformed)?;
        if envelope.protocol != PROTOCOL {
            return Err(InvalidReport::UnknownProtocol(envelope.protocol));
        }
        let report: Self = serde_json::from_str(text).map_err(malformed)?;
        let (stage, sequence) = (report.stage, report.sequence);
        let is_believable = [stage, sequence].iter().all(|number| (0..=NUMBER_MAX).contains(number));
        if is_believable { Ok(report) } else { Err(InvalidReport::Unbelievable { stage, sequence }) }
    }

    /// Compact JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a report has only strings and numbers")
    }

    /// Whether this report says that the pod serves what this flip made active.
    #[must_use]
    pub fn serves(&self, digest: &ManifestDigest, sequence: i64) -> bool {
        self.serving.as_ref() == Some(digest) && self.serving_sequence.is_none_or(|served| served >= sequence)
    }

    /// The pointer that this report answers, if it says that it is another one than this.
    #[must_use]
    pub fn other_pointer(&self, config_map: &str) -> Option<&ForeignText> {
        self.pointer.as_ref().filter(|pointer| pointer.as_str() != config_map)
    }

    /// Whether this report says, for this stage number, that the version is completely there.
    #[must_use]
    pub fn has(&self, digest: &ManifestDigest, stage: i64) -> bool {
        !self.joining && self.stage == stage && self.available.contains(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            protocol: PROTOCOL,
            pointer: Some("shop-assets".into()),
            pod_uid: "u1".into(),
            instance: "i1".into(),
            joining: false,
            stage: 3,
            sequence: 2,
            available: vec![ManifestDigest::of(b"v1")],
            serving: None,
            serving_sequence: None,
            problem: None,
        }
    }

    /// I2: a report for an earlier staging of the same version is stale.
    #[test]
    fn a_report_counts_only_for_the_stage_it_names() {
        let digest = ManifestDigest::of(b"v1");
        assert!(report().has(&digest, 3));
        assert!(!report().has(&digest, 4), "an earlier staging of the same version is stale");
        assert!(!report().has(&ManifestDigest::of(b"v2"), 3));
        assert!(!Report { joining: true, ..report() }.has(&digest, 3), "a joining agent has not read the pointer yet");
    }

    /// The version matrix: an agent of before says nothing of its pointer, and one of after nothing that an older reader refuses.
    #[test]
    fn a_report_that_names_no_pointer_may_be_of_any() {
        let older = Report { pointer: None, ..report() };
        assert_eq!(Report::parse(&older.to_json()), Ok(older.clone()));
        assert_eq!(older.other_pointer("shop-assets"), None);
        assert_eq!(report().other_pointer("shop-assets"), None);
        assert_eq!(report().other_pointer("cart-assets").map(ForeignText::as_str), Some("shop-assets"));
    }

    #[test]
    fn the_longest_name_of_a_pointer_is_kept_whole_and_what_is_no_name_is_cut_and_escaped() {
        let longest = "a".repeat(253);
        let named = |name: &str| Report::parse(&report().to_json().replace("shop-assets", name)).unwrap();
        assert_eq!(named(&longest).other_pointer(&longest), None);
        let hostile = named(&format!("\\u001b[2J{}", "x".repeat(400)));
        let shown = hostile.other_pointer("shop-assets").unwrap();
        assert!(shown.chars().count() <= 253 && !shown.chars().any(crate::api::foreign::is_hidden), "{shown}");
        let most = Report {
            available: (0..64).map(|n: u8| ManifestDigest::of(&[n])).collect(),
            problem: Some(ForeignText::up_to(&"p".repeat(700), 600)),
            ..named(&longest)
        };
        assert!(most.to_json().len() < 8192, "the admission policy lets it through");
    }

    #[test]
    fn an_unknown_protocol_is_told_from_rubbish() {
        assert_eq!(Report::parse(&report().to_json()), Ok(report()));
        assert_eq!(Report::parse(r#"{"protocol":9,"other":true}"#), Err(InvalidReport::UnknownProtocol(9)));
        assert!(matches!(Report::parse("joining"), Err(InvalidReport::Malformed(_))));
        for (stage, sequence) in [(1, i64::MAX), (NUMBER_MAX + 1, 1), (-1, 1)] {
            let text = Report { stage, sequence, ..report() }.to_json();
            assert_eq!(Report::parse(&text), Err(InvalidReport::Unbelievable { stage, sequence }));
        }
    }
}
