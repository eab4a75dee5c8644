//! From what the documents of a prefix say to which builds stay, and why.
//! Never guesses: what is missing or cannot be understood is a [`Doubt`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use super::references::{ends_at, policy_of_deleted};
use crate::api::ManifestDigest;
use crate::api::moment::later;
use crate::manifest::record::{Pin, References, RetentionPolicy, Role};
use crate::manifest::{Intent, VersionRecord};

/// Everything that says whether a build is still referred to. Taken after the tombstones were written, the intents first.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Now.
    pub now: Timestamp,
    /// Intents that are alive.
    pub intents: Vec<Intent>,
    /// Every version record.
    pub records: Vec<VersionRecord>,
    /// What every release of every cluster uses. `deletedAt` is the date that the store gave such a document: one clock for all of them.
    pub references: Vec<References>,
    /// Manifests that are there, and since when; a publish that brings back what retention took dates its manifest anew.
    pub manifests: BTreeMap<ManifestDigest, Timestamp>,
    /// Builds that retention took.
    pub swept: BTreeSet<ManifestDigest>,
    /// Builds whose entry files lie at public keys.
    pub pages: BTreeSet<ManifestDigest>,
    /// How long a manifest or object that nobody recorded is left alone: its publish may be under way without our seeing it.
    pub unrecorded_life: Duration,
}

/// Why a build stays.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A release uses it.
    Used {
        /// `namespace/name`.
        release: String,
        /// As what.
        role: Role,
    },
    /// It is one of the last activated versions.
    Recent {
        /// `namespace/name`.
        release: String,
    },
    /// It was retired a short while ago.
    Retired {
        /// Until when it stays.
        until: Timestamp,
    },
    /// A release that was deleted used it.
    OfDeleted {
        /// `namespace/name`.
        release: String,
        /// Until when it stays.
        until: Timestamp,
    },
    /// It was published and no release has activated it.
    Published {
        /// Until when it stays.
        until: Timestamp,
    },
    /// An entry file of it lies at its public key.
    Page,
    /// A publish of it is under way.
    Intent {
        /// The label that it will have.
        version: String,
    },
    /// A manifest that no record names; its publish may be under way.
    Unrecorded {
        /// Until when it stays.
        until: Timestamp,
    },
}

impl Reason {
    /// Whether somebody may need the build's files now, so that their absence is no matter of taste.
    fn is_in_use(&self) -> bool {
        matches!(self, Self::Used { .. } | Self::Page)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Used { release, role: Role::Active } => write!(f, "active in {release}"),
            Self::Used { release, role: Role::Candidate } => write!(f, "candidate of {release}"),
            Self::Used { release, role: Role::Previous } => write!(f, "previous in {release}"),
            Self::Used { release, role: Role::Reported } => write!(f, "reported by pods of {release}"),
            Self::Recent { release } => write!(f, "one of the last versions of {release}"),
            Self::Retired { until } => write!(f, "retired, until {until}"),
            Self::OfDeleted { release, until } => write!(f, "used by {release}, which was deleted, until {until}"),
            Self::Published { until } => write!(f, "published, never activated, until {until}"),
            Self::Page => f.write_str("a public page is of it"),
            Self::Intent { version } => write!(f, "being published as {version:?}"),
            Self::Unrecorded { until } => write!(f, "not recorded, until {until}"),
        }
    }
}

/// A build that goes, but for files that are pinned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Going {
    /// The labels that mean it; none when nobody recorded it.
    pub versions: BTreeSet<String>,
    /// Patterns of files that stay longer.
    pub pins: BTreeSet<String>,
}

/// Which builds stay, and which go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roots {
    /// Those that stay and whose manifest is there.
    pub kept: BTreeMap<ManifestDigest, BTreeSet<Reason>>,
    /// Those that go and whose manifest is there.
    pub going: BTreeMap<ManifestDigest, Going>,
    /// Builds that a release keeps by count or time but that retention took before.
    pub lost: BTreeSet<ManifestDigest>,
}

/// Why nothing may go now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// No release says what it uses, or each one that did was deleted.
    #[error("no release that is still there says what it uses below this prefix")]
    NoReferences,
    /// A release keeps everything.
    #[error(
        "release {release} of cluster {cluster} keeps everything it ever used, and last said so at {written_at}: set its spec.retention; if that release or cluster is gone, end its references with `rollcall store end-references`"
    )]
    KeepsEverything {
        /// `namespace/name`.
        release: String,
        /// Its cluster.
        cluster: String,
        /// When it last wrote its document.
        written_at: Timestamp,
    },
    /// A build that stays has no manifest: what it needs is not known.
    #[error("the manifest of {digest} is not in the store, and it is {reason}: put it back, or publish that version again")]
    ManifestMissing {
        /// The build.
        digest: ManifestDigest,
        /// Why it stays.
        reason: Reason,
    },
    /// A publish whose objects are not known yet.
    #[error("version {version:?} of {release} is being published; a sweep waits until it ends or its intent is a day old")]
    PublishUnderWay {
        /// The label.
        version: String,
        /// `namespace/name`.
        release: String,
    },
    /// A document of ours cannot be read.
    #[error("{key:?} cannot be understood: {cause}; put it back from a backup, or remove it if nothing needs it")]
    Unreadable {
        /// Its key.
        key: String,
        /// What is wrong.
        cause: String,
    },
    /// Somebody has claimed a prefix within this one, and the claim cannot be understood.
    #[error(
        "{key:?} says whose the prefix is that lies within this one, and cannot be understood: {cause}; put it back from a backup, or delete it if no release publishes there"
    )]
    NestedPrefix {
        /// The owner object.
        key: String,
        /// What is wrong.
        cause: String,
    },
    /// Pages live longer in caches than what they refer to.
    #[error(
        "{path:?} of {digest} may stay in caches for {max_age} s, longer than retention keeps a retired version ({ttl} s): raise spec.retention.ttl"
    )]
    RetentionTooShort {
        /// The entry file.
        path: String,
        /// Its build.
        digest: ManifestDigest,
        /// Seconds in caches.
        max_age: u64,
        /// Seconds of retention.
        ttl: u64,
    },
    /// A pattern that cannot be understood.
    #[error("the pin {pattern:?} is not a pattern: {cause}")]
    InvalidPin {
        /// The pattern.
        pattern: String,
        /// What is wrong.
        cause: String,
    },
}

impl Doubt {
    /// Stable CamelCase word.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoReferences => "NoReferences",
            Self::KeepsEverything { .. } => "KeepsEverything",
            Self::ManifestMissing { .. } => "ManifestMissing",
            Self::PublishUnderWay { .. } => "PublishUnderWay",
            Self::Unreadable { .. } => "DocumentDamaged",
            Self::NestedPrefix { .. } => "NestedPrefix",
            Self::RetentionTooShort { .. } => "RetentionTooShort",
            Self::InvalidPin { .. } => "InvalidPin",
        }
    }
}

/// Which builds stay, and which go.
///
/// # Errors
/// [`Doubt`]: then nothing may go.
pub fn roots(facts: &Facts) -> Result<Roots, Doubt> {
    if facts.references.iter().all(|references| references.deleted_at.is_some()) {
        return Err(Doubt::NoReferences);
    }
    let policies = policies(facts)?;
    let mut kept = Kept::default();
    for (references, policy) in &policies {
        match references.deleted_at {
            None => {
                kept.add_uses(references);
                kept.add_recent(references, policy);
            }
            Some(at) => kept.add_of_deleted(references, policy, later(at, Duration::from_secs(policy.ttl_seconds)), facts.now),
        }
        kept.add_retired(facts, references, policy);
    }
    kept.add_pages(facts);
    kept.add_intents(facts)?;
    kept.add_unrecorded(facts);
    finish(facts, &policies, kept.0)
}

/// Each release whose word counts, with for how long it keeps what it used. A deleted one counts until its time is over.
fn policies(facts: &Facts) -> Result<Vec<(&References, RetentionPolicy)>, Doubt> {
    let mut policies = Vec::new();
    for references in &facts.references {
        match (&references.retention, ends_at(references)) {
            (_, Some(end)) if facts.now > end => {}
            (_, Some(_)) => policies.push((references, policy_of_deleted(references))),
            (Some(policy), None) => policies.push((references, policy.clone())),
            (None, None) => {
                let (release, cluster) = (references.release.clone(), references.cluster.clone());
                return Err(Doubt::KeepsEverything { release, cluster, written_at: references.written_at });
            }
        }
    }
    Ok(policies)
}

#[derive(Default)]
struct Kept(BTreeMap<ManifestDigest, BTreeSet<Reason>>);

impl Kept {
    fn add(&mut self, digest: &ManifestDigest, reason: Reason) {
        self.0.entry(digest.clone()).or_default().insert(reason);
    }

    fn add_uses(&mut self, references: &References) {
        for one in &references.uses {
            self.add(&one.digest, Reason::Used { release: references.release.clone(), role: one.role });
        }
    }

    fn add_recent(&mut self, references: &References, policy: &RetentionPolicy) {
        for digest in recent(references, policy) {
            self.add(digest, Reason::Recent { release: references.release.clone() });
        }
    }

    /// What it used until its end and what it kept by count: pods that it left behind may still need it.
    fn add_of_deleted(&mut self, references: &References, policy: &RetentionPolicy, until: Timestamp, now: Timestamp) {
        let used = references.uses.iter().map(|one| &one.digest);
        for digest in used.chain(recent(references, policy)).filter(|_| now <= until) {
            self.add(digest, Reason::OfDeleted { release: references.release.clone(), until });
        }
    }

    fn add_retired(&mut self, facts: &Facts, references: &References, policy: &RetentionPolicy) {
        for (digest, start) in starts(facts, references) {
            let until = later(start.at, Duration::from_secs(policy.ttl_seconds));
            if facts.now <= until {
                self.add(&digest, start.reason(references, until));
            }
        }
    }

    fn add_pages(&mut self, facts: &Facts) {
        for digest in &facts.pages {
            self.add(digest, Reason::Page);
        }
    }

    fn add_intents(&mut self, facts: &Facts) -> Result<(), Doubt> {
        for intent in &facts.intents {
            if !facts.manifests.contains_key(&intent.digest) {
                return Err(Doubt::PublishUnderWay { version: intent.version.clone(), release: intent.release.clone() });
            }
            self.add(&intent.digest, Reason::Intent { version: intent.version.clone() });
        }
        Ok(())
    }

    fn add_unrecorded(&mut self, facts: &Facts) {
        let recorded: BTreeSet<&ManifestDigest> = facts.records.iter().map(|record| &record.digest).collect();
        for (digest, since) in facts.manifests.iter().filter(|(digest, _)| !recorded.contains(digest)) {
            let until = later(*since, facts.unrecorded_life);
            if facts.now <= until {
                self.add(digest, Reason::Unrecorded { until });
            }
        }
    }
}

/// The last builds by flip, each once: going back and forth between two versions does not push the others out.
fn recent<'r>(references: &'r References, policy: &RetentionPolicy) -> Vec<&'r ManifestDigest> {
    let mut activated: Vec<_> = references.activated.iter().collect();
    activated.sort_by_key(|activation| std::cmp::Reverse(activation.sequence));
    let mut seen = BTreeSet::new();
    let builds = activated.into_iter().map(|activation| &activation.digest).filter(|digest| seen.insert(*digest));
    builds.take(policy.releases as usize).collect()
}

/// From when the time of a build runs, as one release sees it.
struct Start {
    at: Timestamp,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Published,
    Retired,
    /// Activated, and nothing is known to have taken its place.
    Activated,
}

impl Start {
    fn reason(&self, references: &References, until: Timestamp) -> Reason {
        match self.phase {
            Phase::Published => Reason::Published { until },
            Phase::Retired => Reason::Retired { until },
            Phase::Activated => Reason::Recent { release: references.release.clone() },
        }
    }
}

/// For each build the latest start. What the release does not mention was never activated by it, or its document was lost: then
/// the time runs from the publish or from the document's beginning, whichever is later. A build that was published again since it was
/// retired, under another name or because retention had taken it, is as new as that publish. For a deleted release everything was
/// retired at its end at the latest, and what was published after that is not its business.
fn starts(facts: &Facts, references: &References) -> BTreeMap<ManifestDigest, Start> {
    let mut starts = BTreeMap::<ManifestDigest, Start>::new();
    for activation in &references.activated {
        let retired_at = activation.retired_at.or(references.deleted_at);
        let at = retired_at.unwrap_or(facts.now);
        let phase = if retired_at.is_some() { Phase::Retired } else { Phase::Activated };
        let start = starts.entry(activation.digest.clone()).or_insert(Start { at, phase });
        (start.at, start.phase) = (start.at.max(at), start.phase.max(phase));
    }
    for record in &facts.records {
        // A record keeps its first date for ever; the manifest is dated anew by whoever brings back what retention took.
        let published = facts.manifests.get(&record.digest).map_or(record.published_at, |since| record.published_at.max(*since));
        if references.deleted_at.is_some_and(|deleted| published > deleted) {
            continue;
        }
        let at = published.max(references.since);
        let start = starts.entry(record.digest.clone()).or_insert(Start { at, phase: Phase::Published });
        if published > start.at {
            *start = Start { at: published, phase: Phase::Published };
        }
    }
    starts
}

fn finish(
    facts: &Facts,
    policies: &[(&References, RetentionPolicy)],
    kept: BTreeMap<ManifestDigest, BTreeSet<Reason>>,
) -> Result<Roots, Doubt> {
    let mut roots = Roots::default();
    for (digest, reasons) in kept {
        if facts.manifests.contains_key(&digest) {
            roots.kept.insert(digest, reasons);
            continue;
        }
        let in_use = reasons.iter().find(|reason| reason.is_in_use());
        match (in_use, reasons.first(), facts.swept.contains(&digest)) {
            (None, _, true) => {
                roots.lost.insert(digest);
            }
            (Some(reason), ..) | (None, Some(reason), false) => return Err(Doubt::ManifestMissing { digest, reason: reason.clone() }),
            (None, None, false) => {}
        }
    }
    for digest in facts.manifests.keys().filter(|digest| !roots.kept.contains_key(*digest)) {
        roots.going.insert(digest.clone(), Going::default());
    }
    for record in &facts.records {
        if let Some(going) = roots.going.get_mut(&record.digest) {
            going.versions.insert(record.version.clone());
        }
    }
    for (references, policy) in policies {
        let starts = starts(facts, references);
        for (digest, going) in &mut roots.going {
            if let Some(start) = starts.get(digest) {
                let is_live = |pin: &&Pin| facts.now <= later(start.at, Duration::from_secs(pin.ttl_seconds));
                going.pins.extend(policy.pins.iter().filter(is_live).map(|pin| pin.pattern.clone()));
            }
        }
    }
    Ok(roots)
}

#[cfg(test)]
mod tests;
