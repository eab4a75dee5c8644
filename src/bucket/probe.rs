//! What a store was seen to do, and what follows from it. The attempts themselves are each implementation's own (`s3::S3Bucket::probe`).
//! Never takes a vendor's word: only what was tried counts.

use crate::api::store::{Capability, StoreCapabilities};

/// What was found out about one capability.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether the store has it.
    pub capability: Capability,
    /// What was seen, one sentence without a full stop.
    pub evidence: String,
}

/// What was found out about a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// Of several creates of one key exactly one wins, at once or one after the other (I3).
    pub create_only: Finding,
    /// A delete that names another version deletes nothing (I5).
    pub conditional_delete: Finding,
    /// Bytes that do not have the hash that was promised are refused, and nothing is kept of them.
    pub checksum_verified: Finding,
    /// The store copies an object by itself, and not onto one that is there.
    pub copy: Finding,
}

impl Finding {
    /// It was seen to hold.
    #[must_use]
    pub fn holds(evidence: impl Into<String>) -> Self {
        Self { capability: Capability::Holds, evidence: evidence.into() }
    }

    /// It was asked for and not done.
    #[must_use]
    pub fn ignored(evidence: impl Into<String>) -> Self {
        Self { capability: Capability::Ignored, evidence: evidence.into() }
    }

    /// What was seen says neither.
    #[must_use]
    pub fn unknown(evidence: impl Into<String>) -> Self {
        Self { capability: Capability::Unknown, evidence: evidence.into() }
    }
}

impl Capabilities {
    /// A store that does everything: the one in memory.
    #[must_use]
    pub fn strict() -> Self {
        let holds = || Finding::holds("by construction");
        Self { create_only: holds(), conditional_delete: holds(), checksum_verified: holds(), copy: holds() }
    }

    /// Each with its name in the API, in a fixed order.
    #[must_use]
    pub fn each(&self) -> [(&'static str, &Finding); 4] {
        [
            ("createOnly", &self.create_only),
            ("conditionalDelete", &self.conditional_delete),
            ("checksumVerified", &self.checksum_verified),
            ("copy", &self.copy),
        ]
    }

    /// Why nothing may be published into this store; `None` when it may. Without create-only writes two publishers could mix their
    /// bytes under one name, and nobody would be told (I3). Without the others Rollcall is careful, not wrong.
    #[must_use]
    pub fn objection(&self) -> Option<&str> {
        (self.create_only.capability != Capability::Holds).then_some(self.create_only.evidence.as_str())
    }

    /// As the API shows it.
    #[must_use]
    pub fn status(&self) -> StoreCapabilities {
        let lacking = self.each().into_iter().filter(|(_, finding)| finding.capability != Capability::Holds);
        StoreCapabilities {
            create_only: self.create_only.capability,
            conditional_delete: self.conditional_delete.capability,
            checksum_verified: self.checksum_verified.capability,
            copy: self.copy.capability,
            evidence: lacking.map(|(name, finding)| format!("{name}: {}", finding.evidence)).collect(),
        }
    }
}

/// What creates of keys that were free came to: for each key how many were accepted, of `racers` at once.
pub(super) fn of_creates(accepted: &[usize], racers: usize) -> Finding {
    let (most, keys) = (accepted.iter().copied().max().unwrap_or_default(), accepted.len());
    if most > 1 {
        Finding::ignored(format!("of {racers} creates of one key at once {most} were accepted, although each forbade to overwrite"))
    } else if accepted.contains(&0) {
        Finding::unknown(format!("of {racers} creates of one key at once none was accepted"))
    } else {
        Finding::holds(format!("of {racers} creates of one key at once exactly one was accepted, {keys} times"))
    }
}

/// What a second create of a key with other bytes came to.
pub(super) const OVERWRITTEN: &str = "a second create of one key was accepted and overwrote the first: the condition was ignored";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_with_two_winners_is_enough_to_refuse_a_store() {
        assert_eq!(of_creates(&[1, 1, 1], 8).capability, Capability::Holds);
        let racy = of_creates(&[1, 3, 1], 8);
        assert_eq!(racy.capability, Capability::Ignored);
        assert!(racy.evidence.contains("8 creates of one key at once 3 were accepted"), "{}", racy.evidence);
        assert_eq!(of_creates(&[1, 0, 1], 8).capability, Capability::Unknown, "nobody could write");
        let (racy, strict) = (Capabilities { create_only: racy, ..Capabilities::strict() }, Capabilities::strict());
        assert!(racy.objection().is_some() && strict.objection().is_none());
    }

    #[test]
    fn the_status_tells_what_was_seen_only_where_something_is_amiss() {
        assert!(Capabilities::strict().status().evidence.is_empty());
        let lax = Capabilities { conditional_delete: Finding::ignored("deleted all the same"), ..Capabilities::strict() };
        assert_eq!(lax.status().evidence, ["conditionalDelete: deleted all the same"]);
        assert_eq!(lax.objection(), None, "it is used with care");
    }
}
