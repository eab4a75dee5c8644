//! What a store was seen to do, and what follows from it. The attempts themselves are each implementation's own (`s3::S3Bucket::probe`).
//! Never takes a vendor's word: only what was tried counts.

use async_trait::async_trait;

use super::{Bucket, BucketError};
use crate::api::foreign::shown;
use crate::api::store::{Capability, StoreCapabilities, WriteGuard};

/// A bucket whose store can be tried out.
#[async_trait]
pub trait Probe: Bucket {
    /// Finds out what the store does, below `<prefix>.rollcall/probe/`, and heeds it from then on. Leaves nothing behind that may be
    /// deleted.
    ///
    /// # Errors
    /// When the store cannot be reached, or denies writing: then nothing is known.
    async fn probe(&self, prefix: &str) -> Result<Capabilities, BucketError>;

    /// Heeds what was found out before.
    fn heed(&self, found: &Capabilities);
}

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
    /// The same for an object that is sent in parts (I3).
    pub create_only_multipart: Finding,
    /// A replace that names another version changes nothing, and of several at once that name the same one exactly one wins (I4, I5).
    pub conditional_replace: Finding,
    /// A delete that names another version deletes nothing (I5).
    pub conditional_delete: Finding,
    /// What was written is in the next listing (I5).
    pub list_after_write: Finding,
    /// Bytes that do not have the hash that was promised are refused, and nothing is kept of them.
    pub checksum_verified: Finding,
    /// The same where the checksum header alone says the hash, and the signature does not.
    pub checksum_header_verified: Finding,
    /// The store copies an object by itself, and not onto one that is there.
    pub copy: Finding,
}

/// Why a store is refused. The same words for the controller's conditions, `rollcall publish` and `rollcall store`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Objection {
    /// Writes that forbid to overwrite do so all the same; with what was seen.
    #[error("it does not honour the conditions of writes: {0}; use a store that does, or the write guard SingleWriter, which is weaker")]
    Overwrites(String),
    /// Its listings lag behind its writes, or lack what they must say; with what was seen.
    #[error("its listings cannot be relied on: {0}; use a store whose listings show everything that was written before")]
    ListsUnreliably(String),
}

impl Objection {
    /// Stable CamelCase word.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Overwrites(_) => "StoreOverwrites",
            Self::ListsUnreliably(_) => "StoreListsUnreliably",
        }
    }
}

/// Whether objects may be deleted in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deletes {
    /// Deletes keep their condition.
    Conditional,
    /// They do not: nothing is ever deleted.
    Never {
        /// What was seen.
        seen: String,
    },
}

/// Characters of one piece of evidence: 1,024 fit into a status, with the capability's name before them.
const EVIDENCE_CHARS_MAX: usize = 900;

/// A store's own words are in most of it.
fn visible(evidence: impl Into<String>) -> String {
    shown(&evidence.into(), EVIDENCE_CHARS_MAX)
}

impl Finding {
    /// It was seen to hold.
    #[must_use]
    pub fn holds(evidence: impl Into<String>) -> Self {
        Self { capability: Capability::Holds, evidence: visible(evidence) }
    }

    /// It was asked for and not done.
    #[must_use]
    pub fn ignored(evidence: impl Into<String>) -> Self {
        Self { capability: Capability::Ignored, evidence: visible(evidence) }
    }

    /// What was seen says neither.
    #[must_use]
    pub fn unknown(evidence: impl Into<String>) -> Self {
        Self { capability: Capability::Unknown, evidence: visible(evidence) }
    }

    /// Whether it was seen to hold: what is unknown does not count.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.capability == Capability::Holds
    }
}

impl Capabilities {
    /// A store that does everything: the one in memory.
    #[must_use]
    pub fn strict() -> Self {
        let holds = || Finding::holds("by construction");
        Self {
            create_only: holds(),
            create_only_multipart: holds(),
            conditional_replace: holds(),
            conditional_delete: holds(),
            list_after_write: holds(),
            checksum_verified: holds(),
            checksum_header_verified: holds(),
            copy: holds(),
        }
    }

    /// What was written down as the API shows it.
    #[must_use]
    pub fn recalled(status: &StoreCapabilities) -> Self {
        let finding = |name: &str, capability: Capability| {
            let said = status.evidence.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            Finding { capability, evidence: said.unwrap_or("it was seen some time ago").to_owned() }
        };
        Self {
            create_only: finding("createOnly", status.create_only),
            create_only_multipart: finding("createOnlyMultipart", status.create_only_multipart),
            conditional_replace: finding("conditionalReplace", status.conditional_replace),
            conditional_delete: finding("conditionalDelete", status.conditional_delete),
            list_after_write: finding("listAfterWrite", status.list_after_write),
            checksum_verified: finding("checksumVerified", status.checksum_verified),
            checksum_header_verified: finding("checksumHeaderVerified", status.checksum_header_verified),
            copy: finding("copy", status.copy),
        }
    }

    /// Each with its name in the API, in a fixed order.
    #[must_use]
    pub fn each(&self) -> [(&'static str, &Finding); 8] {
        [
            ("createOnly", &self.create_only),
            ("createOnlyMultipart", &self.create_only_multipart),
            ("conditionalReplace", &self.conditional_replace),
            ("conditionalDelete", &self.conditional_delete),
            ("listAfterWrite", &self.list_after_write),
            ("checksumVerified", &self.checksum_verified),
            ("checksumHeaderVerified", &self.checksum_header_verified),
            ("copy", &self.copy),
        ]
    }

    /// Why nothing may be written into this store; `None` when it may. Without create-only writes two publishers could mix their bytes
    /// under one name, and nobody would be told (I3). Intents, tombstones and references each go by a replace that must lose when
    /// somebody was faster, and are found by listings: without either a sweep could take what a page needs (I5). Without the others
    /// Rollcall does less, nothing wrong: see [`Self::deletes`]; files go as a whole, not in parts.
    #[must_use]
    pub fn objection(&self) -> Option<Objection> {
        self.objection_under(WriteGuard::Conditional)
    }

    /// The same where something else may keep writers from each other's objects. Listings nothing can stand in for.
    #[must_use]
    pub fn objection_under(&self, guard: WriteGuard) -> Option<Objection> {
        let overwrites = [&self.create_only, &self.conditional_replace].into_iter().find(|finding| !finding.is_held());
        if let (Some(finding), WriteGuard::Conditional) = (overwrites, guard) {
            return Some(Objection::Overwrites(finding.evidence.clone()));
        }
        (!self.list_after_write.is_held()).then(|| Objection::ListsUnreliably(self.list_after_write.evidence.clone()))
    }

    /// Whether anything may ever be deleted here. A delete whose condition is not kept may take the object that somebody has just written
    /// anew (I5), so without it nothing goes.
    #[must_use]
    pub fn deletes(&self) -> Deletes {
        match &self.conditional_delete {
            finding if finding.is_held() => Deletes::Conditional,
            finding => Deletes::Never { seen: finding.evidence.clone() },
        }
    }

    /// As the API shows it.
    #[must_use]
    pub fn status(&self) -> StoreCapabilities {
        let lacking = self.each().into_iter().filter(|(_, finding)| !finding.is_held());
        StoreCapabilities {
            create_only: self.create_only.capability,
            create_only_multipart: self.create_only_multipart.capability,
            conditional_replace: self.conditional_replace.capability,
            conditional_delete: self.conditional_delete.capability,
            list_after_write: self.list_after_write.capability,
            checksum_verified: self.checksum_verified.capability,
            checksum_header_verified: self.checksum_header_verified.capability,
            copy: self.copy.capability,
            evidence: lacking.map(|(name, finding)| format!("{name}: {}", finding.evidence)).collect(),
        }
    }
}

/// What writes of several at once came to, of which exactly one may be accepted: for each key how many were, of `racers` each.
pub(super) fn of_race(what: &str, accepted: &[usize], racers: usize) -> Finding {
    let (most, keys) = (accepted.iter().copied().max().unwrap_or_default(), accepted.len());
    if most > 1 {
        Finding::ignored(format!("of {racers} {what} of one key at once {most} were accepted, although each forbade to overwrite"))
    } else if accepted.contains(&0) {
        Finding::unknown(format!("of {racers} {what} of one key at once none was accepted"))
    } else {
        Finding::holds(format!("of {racers} {what} of one key at once exactly one was accepted, {keys} times"))
    }
}

/// What a second create of a key with other bytes came to.
pub(super) const OVERWRITTEN: &str = "a second create of one key was accepted and overwrote the first: the condition was ignored";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_with_two_winners_is_enough_to_refuse_a_store() {
        let creates = |accepted: &[usize]| of_race("creates", accepted, 8);
        assert_eq!(creates(&[1, 1, 1]).capability, Capability::Holds);
        let racy = creates(&[1, 3, 1]);
        assert_eq!(racy.capability, Capability::Ignored);
        assert!(racy.evidence.contains("8 creates of one key at once 3 were accepted"), "{}", racy.evidence);
        assert_eq!(creates(&[1, 0, 1]).capability, Capability::Unknown, "nobody could write");
    }

    // I3, I5
    #[test]
    fn what_was_not_seen_to_hold_is_refused_where_a_page_could_break() {
        let (amiss, strict) = (|| Finding::unknown("no answer"), Capabilities::strict);
        assert_eq!(strict().objection(), None);
        let overwrites = Some(Objection::Overwrites("no answer".into()));
        assert_eq!(Capabilities { create_only: amiss(), ..strict() }.objection(), overwrites);
        let lax = Capabilities { conditional_replace: amiss(), ..strict() };
        assert_eq!((lax.objection(), lax.objection_under(WriteGuard::SingleWriter)), (overwrites, None));
        let late = Capabilities { list_after_write: amiss(), ..strict() }.objection().unwrap();
        assert_eq!((late.reason(), late), ("StoreListsUnreliably", Objection::ListsUnreliably("no answer".into())));
        let late = Capabilities { list_after_write: amiss(), ..strict() };
        assert!(late.objection_under(WriteGuard::SingleWriter).is_some(), "a lock makes no listing right");
        for careful in [
            Capabilities { create_only_multipart: amiss(), ..strict() },
            Capabilities { conditional_delete: amiss(), ..strict() },
            Capabilities { checksum_verified: amiss(), ..strict() },
            Capabilities { checksum_header_verified: amiss(), ..strict() },
            Capabilities { copy: amiss(), ..strict() },
        ] {
            assert_eq!(careful.objection(), None, "{careful:?}");
        }
    }

    // I5
    #[test]
    fn without_conditional_deletes_nothing_is_ever_deleted() {
        assert_eq!(Capabilities::strict().deletes(), Deletes::Conditional);
        let lax = Capabilities { conditional_delete: Finding::ignored("deleted all the same"), ..Capabilities::strict() };
        assert_eq!(lax.deletes(), Deletes::Never { seen: "deleted all the same".into() });
    }

    #[test]
    fn the_status_tells_what_was_seen_only_where_something_is_amiss() {
        assert!(Capabilities::strict().status().evidence.is_empty());
        let lax = Capabilities { conditional_delete: Finding::ignored("deleted all the same"), ..Capabilities::strict() };
        assert_eq!(lax.status().evidence, ["conditionalDelete: deleted all the same"]);
    }

    #[test]
    fn what_was_written_down_before_there_was_a_capability_says_that_it_is_unknown() {
        let mut before = serde_json::to_value(Capabilities::strict().status()).unwrap();
        before.as_object_mut().unwrap().remove("checksumHeaderVerified").expect("it is written down now");
        let found = Capabilities::recalled(&serde_json::from_value(before).unwrap());
        assert_eq!(found.checksum_header_verified.capability, Capability::Unknown);
        assert!(found.checksum_verified.is_held());
    }
}
