//! Claims of prefixes: the document that says whose a prefix is, and when two claims are of the same keys.
//! Never asks a bucket: who looks where, and in which order, is `upload::claim`.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Layout, Owner};

/// Format of a claim that excludes parts of its prefix. A program that knows only the first format refuses the document, and writes
/// nothing below the prefix: it would take the excluded parts for its own.
pub const FORMAT_WITH_EXCLUSIONS: i32 = 2;

/// Claims this close to each other count as made at the same time: stores date objects in whole seconds, and have several clocks.
pub const SAME_TIME: SignedDuration = SignedDuration::from_secs(2);

/// The owner object of a prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// Whose the prefix is.
    #[serde(flatten)]
    pub owner: Owner,
    /// Folders below the prefix that belong to others, each ending with `/`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded_prefixes: Vec<String>,
    /// When it was first claimed, by the store's clock; absent in a document that was never replaced: its own date says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_at: Option<Timestamp>,
}

impl Claim {
    /// The claim of a prefix for this owner, with the exclusions of the layout.
    #[must_use]
    pub fn new(owner: &Owner, layout: &Layout) -> Self {
        let excluded_prefixes = layout.excluded();
        let owner_version = if excluded_prefixes.is_empty() { super::record::FORMAT } else { FORMAT_WITH_EXCLUSIONS };
        Self { owner: Owner { owner_version, ..owner.clone() }, excluded_prefixes, claimed_at: None }
    }

    /// Whether it is of the same release. A pipeline does not know its cluster, and claims without one: the cluster that comes first
    /// with a release of that name has it.
    #[must_use]
    pub fn is_of(&self, owner: &Owner) -> bool {
        let clusters = [&self.owner.cluster, &owner.cluster];
        self.owner.release == owner.release && (clusters[0] == clusters[1] || clusters.iter().any(|cluster| cluster.is_empty()))
    }
}

/// Another claim of keys that are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// The prefix that is wanted, as keys of the bucket begin.
    pub ours: String,
    /// The other one's; empty for the bucket's root.
    pub theirs: String,
    /// Who has claimed that; nobody where builds were published without a release.
    pub owner: Option<Owner>,
}

impl Overlap {
    fn is_around(&self) -> bool {
        self.ours.starts_with(&self.theirs)
    }

    /// What to do about it, without a subject in front.
    #[must_use]
    pub fn advice(&self) -> String {
        let (outer, inner) = if self.is_around() { (&self.theirs, &self.ours) } else { (&self.ours, &self.theirs) };
        let below = inner.strip_prefix(outer.as_str()).unwrap_or(inner);
        let release = match (&self.owner, self.is_around()) {
            (Some(owner), true) => format!("of {}", owner.release),
            _ => "of this release".to_owned(),
        };
        format!(
            "choose a prefix beside it; or, if both are meant to be there, name {below:?} in spec.excludedPrefixes {release} (`--exclude-prefix` of `rollcall publish`); or, if the other release is gone for good, delete {:?}",
            Layout::new(&self.theirs, "").owner()
        )
    }
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ours, theirs, owner } = self;
        let whose = match owner {
            Some(Owner { release, cluster, .. }) if cluster.is_empty() => format!("of release {release} (claimed by a pipeline)"),
            Some(Owner { release, cluster, .. }) => format!("of release {release} (cluster {cluster})"),
            None => "where builds were published without a release".to_owned(),
        };
        let place = |prefix: &str| if prefix.is_empty() { "the bucket's root".to_owned() } else { format!("the prefix {prefix:?}") };
        if self.is_around() {
            write!(f, "the prefix {ours:?} lies within {} {whose}", place(theirs))
        } else {
            write!(f, "{} lies around the prefix {theirs:?} {whose}", place(ours))
        }
    }
}
