//! The pointer: the one document that says which version pages refer to, and the only three ways in which it changes.
//! Never changes by anything but [`Pointer::staged`], [`Pointer::flipped`] and [`Pointer::unstaged`].

use jiff::Timestamp;
use serde::de::{DeserializeOwned, Deserializer};
use serde::{Deserialize, Serialize};

use super::digest::ManifestDigest;
use super::release::GivenUp;

/// The protocol number that this build writes and understands.
pub const PROTOCOL: i32 = 1;

/// Highest stage, sequence and epoch that a document may name: one each millisecond for thirty years.
pub const NUMBER_MAX: i64 = 1_000_000_000_000;

/// One version as the pods need it: what it is, and where its bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PointedVersion {
    /// The user's label for the build.
    pub version: String,
    /// Identity of the build.
    pub digest: ManifestDigest,
    /// Where pods fetch the manifest. Objects lie beside it: see [`PointedVersion::fetch_base`].
    pub manifest_url: String,
    /// What pages put in front of an object key; ends with `/`.
    pub base_url: String,
    /// The page that answers paths which lead to no file, as `spec.entries.fallback` has it. An agent that does not know it answers 404.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
}

impl PointedVersion {
    /// Where pods fetch objects: the manifest's URL up to `.rollcall/`; ends with `/`.
    #[must_use]
    pub fn fetch_base(&self) -> &str {
        let end = self.manifest_url.rfind(".rollcall/").unwrap_or(self.manifest_url.len());
        &self.manifest_url[..end]
    }
}

/// The document under the key `pointer.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pointer {
    /// Version of this document's format; readers refuse a number they do not know.
    pub protocol: i32,
    /// What pages refer to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<PointedVersion>,
    /// What pods are asked to load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<PointedVersion>,
    /// What `active` was before the last flip: pages of it may still be on screens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PointedVersion>,
    /// Number of stagings so far; reports echo it.
    pub stage: i64,
    /// Number of flips so far; only grows.
    pub sequence: i64,
    /// Under which leadership it was last written: only grows, and stale leaders are refused by it. 0 without an election.
    pub epoch: i64,
    /// When `candidate` was staged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged_at: Option<Timestamp>,
    /// When `active` was flipped to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activated_at: Option<Timestamp>,
    /// What the last flip did not wait for; status, event and history say it from here, whichever process writes them.
    #[serde(default, deserialize_with = "if_known", skip_serializing_if = "Option::is_none")]
    pub waived: Option<Waived>,
    /// Whether the active version has unversioned files: the flip replaces their public copies, whoever serves the pages, and whichever process
    /// comes after it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub public_files: bool,
    /// The attempt whose candidate was taken back at its deadline, until the next staging.
    #[serde(default, deserialize_with = "if_known", skip_serializing_if = "Option::is_none")]
    pub given_up: Option<GivenUp>,
}

/// What only controllers look at keeps no reader from the versions: a newer Rollcall may write it in another shape.
fn if_known<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    let value = Option::<serde_json::Value>::deserialize(deserializer)?;
    Ok(value.and_then(|value| serde_json::from_value(value).ok()))
}

/// What a flip did not wait for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Waived {
    /// Gates that did not hold and that break-glass skipped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<String>,
    /// The reason that was given for break-glass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Names of pods that counted and were excused, at most ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excused: Vec<String>,
}

/// A document that is not a pointer this build can read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPointer {
    /// Not the JSON of a pointer.
    #[error("not a pointer document: {0}")]
    Malformed(String),
    /// Written by a newer Rollcall.
    #[error("pointer protocol {0} is not known here (this build knows {PROTOCOL})")]
    UnknownProtocol(i32),
    /// Numbers that nobody can have counted to.
    #[error("it names stage {stage}, sequence {sequence} and epoch {epoch}, which are too large to be counts")]
    Unbelievable {
        /// The stage.
        stage: i64,
        /// The sequence.
        sequence: i64,
        /// The epoch.
        epoch: i64,
    },
}

impl Pointer {
    /// The pointer before the first staging.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            protocol: PROTOCOL,
            active: None,
            candidate: None,
            previous: None,
            stage: 0,
            sequence: 0,
            epoch: 0,
            staged_at: None,
            activated_at: None,
            waived: None,
            public_files: false,
            given_up: None,
        }
    }

    /// Reads the value of `pointer.json`; an empty value is the empty pointer.
    ///
    /// # Errors
    /// When it is not JSON of this shape, of an unknown protocol, or names numbers that cannot be.
    pub fn parse(text: &str) -> Result<Self, InvalidPointer> {
        if text.trim().is_empty() {
            return Ok(Self::empty());
        }
        let pointer: Self = serde_json::from_str(text).map_err(|error| InvalidPointer::Malformed(error.to_string()))?;
        if pointer.protocol != PROTOCOL {
            return Err(InvalidPointer::UnknownProtocol(pointer.protocol));
        }
        let Self { stage, sequence, epoch, .. } = pointer;
        let is_believable = [stage, sequence, epoch].iter().all(|number| (0..=NUMBER_MAX).contains(number));
        if is_believable { Ok(pointer) } else { Err(InvalidPointer::Unbelievable { stage, sequence, epoch }) }
    }

    /// The value of `pointer.json`.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a pointer has only strings and numbers")
    }

    /// The number of the next staging.
    #[must_use]
    pub fn next_stage(&self) -> i64 {
        self.stage.saturating_add(1)
    }

    /// With this candidate under a new stage number; a candidate that was there is replaced.
    #[must_use]
    pub fn staged(&self, candidate: PointedVersion, now: Timestamp) -> Self {
        Self { candidate: Some(candidate), stage: self.next_stage(), staged_at: Some(now), given_up: None, ..self.clone() }
    }

    /// With the candidate as the active version under a new sequence number. Without a candidate nothing changes.
    #[must_use]
    pub fn flipped(&self, now: Timestamp) -> Self {
        if self.candidate.is_none() {
            return self.clone();
        }
        // The same build at the same place with another fallback: open tabs still belong to the version before it. At another place that version
        // may not be, and pods that start could not load it.
        let manifest = |version: &Option<PointedVersion>| version.as_ref().map(|version| version.manifest_url.clone());
        let previous = if manifest(&self.candidate) == manifest(&self.active) { &self.previous } else { &self.active };
        Self {
            active: self.candidate.clone(),
            candidate: None,
            previous: previous.clone(),
            sequence: self.sequence.saturating_add(1),
            staged_at: None,
            activated_at: Some(now),
            waived: None,
            public_files: false,
            ..self.clone()
        }
    }

    /// Without a candidate. The stage number stays, so that the next staging gets a new one.
    #[must_use]
    pub fn unstaged(&self) -> Self {
        Self { candidate: None, staged_at: None, ..self.clone() }
    }

    /// With what the flip did not wait for.
    #[must_use]
    pub fn waiving(self, waived: Waived) -> Self {
        Self { waived: Some(waived).filter(|waived| *waived != Waived::default()), ..self }
    }

    /// Without a candidate, and with why it was given up: one write, so that a process that ends here has not forgotten either.
    #[must_use]
    pub fn giving_up(&self, given_up: GivenUp) -> Self {
        Self { given_up: Some(given_up), ..self.unstaged() }
    }

    /// The versions that a pod loads before its first Ready: active, candidate and previous, without repeats, in this order.
    #[must_use]
    pub fn wanted(&self) -> Vec<&PointedVersion> {
        let mut wanted: Vec<&PointedVersion> = Vec::with_capacity(3);
        for version in [&self.active, &self.candidate, &self.previous].into_iter().flatten() {
            if !wanted.iter().any(|w| w.digest == version.digest) {
                wanted.push(version);
            }
        }
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(name: &str) -> PointedVersion {
        PointedVersion {
            version: name.into(),
            digest: ManifestDigest::of(name.as_bytes()),
            manifest_url: format!("http://store/b/shop/.rollcall/manifests/{name}.json"),
            base_url: "https://cdn.example.com/shop/".into(),
            fallback: None,
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// A newer controller may know another gate, and write down more of an attempt.
    #[test]
    fn what_only_controllers_look_at_keeps_no_agent_from_the_versions() {
        let text = r#"{"protocol":1,"stage":3,"sequence":2,"epoch":0,"waived":{"gates":["GateOfTomorrow"]},"givenUp":{"attempt":7}}"#;
        let pointer = Pointer::parse(text).unwrap();
        assert_eq!((pointer.stage, pointer.given_up, pointer.waived.unwrap().gates), (3, None, vec!["GateOfTomorrow".to_owned()]));
    }

    #[test]
    fn a_flip_makes_the_candidate_active_and_keeps_the_active_as_previous() {
        let first = Pointer::empty().staged(version("v1"), at(1)).flipped(at(2));
        let second = first.staged(version("v2"), at(3)).flipped(at(4));
        assert_eq!(second.active, Some(version("v2")));
        assert_eq!(second.previous, Some(version("v1")));
        assert_eq!((second.stage, second.sequence), (2, 2));
        assert_eq!((second.candidate, second.staged_at, second.activated_at), (None, None, Some(at(4))));
    }

    /// Another fallback, or another public URL beside an internal one. Tabs of v1 are open, and their files have to stay with the pods.
    #[test]
    fn a_flip_of_the_same_build_keeps_the_version_before_it_as_previous() {
        let second = Pointer::empty().staged(version("v1"), at(1)).flipped(at(2)).staged(version("v2"), at(3)).flipped(at(4));
        let elsewhere = PointedVersion { base_url: "https://other.example.com/".into(), ..version("v2") };
        let third = second.staged(elsewhere.clone(), at(5)).flipped(at(6));
        assert_eq!((third.active, third.previous, third.sequence), (Some(elsewhere), Some(version("v1")), 3));
        let moved = PointedVersion { manifest_url: "http://other/v2.json".into(), ..version("v2") };
        let fourth = second.staged(moved, at(5)).flipped(at(6));
        assert_eq!(fourth.previous, Some(version("v2")), "where a pod that starts finds v1 nobody knows");
    }

    #[test]
    fn an_unstaged_pointer_gives_the_next_staging_a_new_number() {
        let pointer = Pointer::empty().staged(version("v1"), at(1)).unstaged().staged(version("v1"), at(2));
        assert_eq!((pointer.stage, pointer.sequence), (2, 0));
    }

    #[test]
    fn a_flip_without_a_candidate_changes_nothing() {
        let pointer = Pointer::empty().staged(version("v1"), at(1)).flipped(at(2));
        assert_eq!(pointer.flipped(at(3)), pointer);
    }

    #[test]
    fn a_pod_loads_active_candidate_and_previous_once_each() {
        let pointer = Pointer::empty().staged(version("v1"), at(1)).flipped(at(2)).staged(version("v2"), at(3)).flipped(at(4));
        let rollback = pointer.staged(version("v1"), at(5));
        let names: Vec<_> = rollback.wanted().iter().map(|v| v.version.as_str()).collect();
        assert_eq!(names, ["v2", "v1"]);
    }

    #[test]
    fn objects_are_fetched_beside_the_manifest() {
        assert_eq!(version("v1").fetch_base(), "http://store/b/shop/");
    }

    #[test]
    fn a_pointer_survives_json_and_an_unknown_protocol_is_refused() {
        let pointer = Pointer::empty().staged(version("v1"), at(1));
        assert_eq!(Pointer::parse(&pointer.to_json()).unwrap(), pointer);
        assert_eq!(Pointer::parse("").unwrap(), Pointer::empty());
        let newer = Pointer { protocol: 2, ..pointer };
        assert_eq!(Pointer::parse(&newer.to_json()), Err(InvalidPointer::UnknownProtocol(2)));
        assert!(matches!(Pointer::parse("{"), Err(InvalidPointer::Malformed(_))));
        for unbelievable in [
            Pointer { stage: i64::MAX, ..Pointer::empty() },
            Pointer { sequence: NUMBER_MAX + 1, ..Pointer::empty() },
            Pointer { epoch: -1, ..Pointer::empty() },
        ] {
            assert!(matches!(Pointer::parse(&unbelievable.to_json()), Err(InvalidPointer::Unbelievable { .. })));
        }
        assert_eq!(Pointer { stage: i64::MAX, ..Pointer::empty() }.staged(version("v1"), at(1)).stage, i64::MAX, "no wrap-around");
    }
}
