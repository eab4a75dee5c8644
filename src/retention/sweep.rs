//! The plan: what goes, what stays and what is not known, line by line of a listing.
//! Never lets anything go that no manifest and no writer of ours vouches for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use super::ledger::{Ledger, Named};
use super::referrer::Referrer;
use super::roots::Roots;
use crate::api::ManifestDigest;
use crate::manifest::object::OWN_FOLDER;
use crate::manifest::record::Buried;

/// Objects that go in one round: their tombstones are 2 MB, which every publish of that time reads; the next round follows at once.
pub const ROUND_MAX: usize = 10_000;

/// How many objects and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Objects.
    pub objects: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Tally {
    /// One more.
    pub fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes += bytes;
    }
}

/// One line of the listing.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// Key below the prefix.
    pub key: &'a str,
    /// Length in bytes.
    pub size: u64,
    /// When it was written.
    pub last_modified: Timestamp,
}

/// What is to be done about a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// A build that stays has it.
    Kept,
    /// A pin keeps it.
    Pinned,
    /// A document of ours; not the sweep's business.
    Own,
    /// A manifest.
    Manifest,
    /// It goes.
    Goes,
    /// Only its metadata can say: ask the store for its writer.
    AskWriter,
    /// Nobody here knows it.
    Unknown,
}

/// What the manifests say about a line.
#[must_use]
pub fn fate(ledger: &Ledger, line: Line<'_>) -> Fate {
    match line.key.strip_prefix(OWN_FOLDER) {
        Some(own) if own.starts_with("manifests/") => return Fate::Manifest,
        Some(own) if !own.starts_with("entries/") => return Fate::Own,
        Some(_) | None => {}
    }
    match ledger.named(line.key) {
        Some(Named::Kept) => Fate::Kept,
        Some(Named::Pinned) => Fate::Pinned,
        Some(Named::Going(size)) if size == line.size => Fate::Goes,
        // Somebody overwrote it past Rollcall.
        Some(Named::Going(_)) => Fate::Unknown,
        Some(Named::KeptPage | Named::Page) | None => Fate::AskWriter,
    }
}

/// Who wrote an object that no manifest names, by its metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Author {
    /// None of us.
    Stranger,
    /// One of us, as an object or as a file at its public key that names no others: no build that stays has it.
    Publisher,
    /// One of us, and a build that stays has a file at this public key, which names no others.
    OfOneThatStays,
    /// One of us, as an entry file at its public key.
    Page(ManifestDigest),
}

/// What becomes of an object that no manifest names.
#[must_use]
pub fn fate_of_unnamed(author: &Author, line: Line<'_>, now: Timestamp, unrecorded_life: Duration) -> Fate {
    match author {
        Author::Stranger => Fate::Unknown,
        Author::Publisher
            if now.duration_since(line.last_modified).as_secs() > i64::try_from(unrecorded_life.as_secs()).unwrap_or(i64::MAX) =>
        {
            Fate::Goes
        }
        // A page stays, and its build with it; what is young may be of a publish under way.
        Author::Publisher | Author::OfOneThatStays | Author::Page(_) => Fate::Kept,
    }
}

/// An object that goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doomed {
    /// Which.
    pub object: Buried,
    /// Its length.
    pub bytes: u64,
}

/// What a sweep would do now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Objects that builds which stay have.
    pub kept: Tally,
    /// Objects that stay by a pin.
    pub pinned: Tally,
    /// Objects that nobody here knows; they stay.
    pub unknown: Tally,
    /// Objects that go.
    pub going: Tally,
    /// The first [`ROUND_MAX`] of them by key, manifests when there are no others.
    pub round: Vec<Doomed>,
    /// Builds whose manifest is in this round.
    pub manifests: Vec<ManifestDigest>,
    /// Versions that stay, each with why, and those that go.
    pub roots: Roots,
    /// Prefixes of others within this one that it does not exclude: what lies below them is left alone.
    pub nested: Vec<Nested>,
    /// Who uses the prefix, as the documents say.
    pub referrers: Vec<Referrer>,
}

/// A prefix of another release within the one that is swept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nested {
    /// As it is called below ours; ends with `/`.
    pub below: String,
    /// `namespace/name` of its release; nothing where builds were published without one.
    pub release: Option<String>,
}

impl fmt::Display for Nested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { below, release } = self;
        let release = release.as_deref().unwrap_or("an unknown owner");
        write!(
            f,
            "{below:?} within this prefix is claimed by {release} and was left alone: name it in spec.excludedPrefixes, or give one of the two another prefix"
        )
    }
}

/// Makes a plan out of lines, in the order of the listing.
#[derive(Debug)]
pub struct Planner {
    plan: Plan,
    manifests: BTreeMap<ManifestDigest, Doomed>,
}

impl Planner {
    /// A plan for these roots.
    #[must_use]
    pub fn new(roots: Roots) -> Self {
        Self { plan: Plan { roots, ..Plan::default() }, manifests: BTreeMap::new() }
    }

    /// Enters one line with its fate; `buried` is asked for what goes only.
    pub fn enter(&mut self, fate: Fate, bytes: u64, buried: impl FnOnce() -> Buried) {
        let plan = &mut self.plan;
        match fate {
            Fate::Kept => plan.kept.add(bytes),
            Fate::Pinned => plan.pinned.add(bytes),
            Fate::Unknown | Fate::AskWriter => plan.unknown.add(bytes),
            Fate::Own | Fate::Manifest => {}
            Fate::Goes => {
                plan.going.add(bytes);
                if plan.round.len() < ROUND_MAX {
                    plan.round.push(Doomed { object: buried(), bytes });
                }
            }
        }
    }

    /// Enters the manifest of a build.
    pub fn enter_manifest(&mut self, digest: ManifestDigest, doomed: Doomed) {
        self.manifests.insert(digest, doomed);
    }

    /// The plan. Manifests go when nothing else is left to go, so that as long as an object of a build is there, something
    /// vouches for it; and never while a pin of theirs lives.
    #[must_use]
    pub fn finish(mut self) -> Plan {
        if self.plan.round.is_empty() {
            for (digest, going) in &self.plan.roots.going {
                if let Some(doomed) = self.manifests.remove(digest).filter(|_| going.pins.is_empty()) {
                    self.plan.going.add(doomed.bytes);
                    self.plan.round.push(doomed);
                    self.plan.manifests.push(digest.clone());
                }
            }
        }
        self.plan
    }
}

impl Plan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.round.is_empty()
    }

    /// The labels of versions that go, sorted.
    #[must_use]
    pub fn versions_going(&self) -> BTreeSet<&str> {
        self.roots.going.values().flat_map(|going| going.versions.iter().map(String::as_str)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::ledger::{Names, Pins, Standing};
    use super::*;
    use crate::retention::testing::{digest_of, manifest};

    fn line(key: &str, size: u64) -> Line<'_> {
        Line { key, size, last_modified: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn what_a_kept_build_has_stays_and_what_only_gone_builds_have_goes() {
        // I5
        let (old, new) = (manifest(&["a-1.js", "shared.js", "mail/x.png"]), manifest(&["a-2.js", "shared.js"]));
        let mut ledger = Ledger::default();
        let going = Standing::Going(Pins::new([&"mail/**".to_owned()]).unwrap());
        for (stored, standing) in [(&old, &going), (&new, &Standing::Kept)] {
            ledger.enter(&Names::read(stored, &digest_of(stored), standing).unwrap(), standing);
        }
        let fates = [
            ("a-1.js", 3, Fate::Goes),
            ("a-1.js", 4, Fate::Unknown),
            ("shared.js", 3, Fate::Kept),
            ("mail/x.png", 3, Fate::Pinned),
            ("strange.js", 3, Fate::AskWriter),
            (".rollcall/versions/v1.json", 9, Fate::Own),
            (".rollcall/manifests/x.json", 9, Fate::Manifest),
            (".rollcall/entries/x", 9, Fate::AskWriter),
        ];
        for (key, size, expected) in fates {
            assert_eq!(fate(&ledger, line(key, size)), expected, "{key} of {size} bytes");
        }
    }

    #[test]
    fn an_object_of_no_manifest_goes_only_if_one_of_us_wrote_it_long_ago() {
        let (life, then) = (Duration::from_secs(100), Timestamp::UNIX_EPOCH);
        let at = |seconds| then + Duration::from_secs(seconds);
        let fate = |author: Author, now| fate_of_unnamed(&author, line("x", 1), now, life);
        assert_eq!(fate(Author::Stranger, at(1000)), Fate::Unknown);
        assert_eq!(fate(Author::Publisher, at(100)), Fate::Kept);
        assert_eq!(fate(Author::Publisher, at(101)), Fate::Goes);
        assert_eq!(fate(Author::Page(ManifestDigest::of(b"m")), at(1000)), Fate::Kept);
        assert_eq!(fate(Author::OfOneThatStays, at(1000)), Fate::Kept);
    }

    #[test]
    fn a_manifest_goes_last_and_not_while_it_has_pins() {
        let digests = [ManifestDigest::of(b"plain"), ManifestDigest::of(b"pinned")];
        let mut roots = Roots::default();
        roots.going.insert(digests[0].clone(), super::super::roots::Going::default());
        let pins = ["mail/**".to_owned()].into();
        roots.going.insert(digests[1].clone(), super::super::roots::Going { pins, ..Default::default() });
        let buried = |key: &str| Buried { key: key.into(), etag: "e".into() };
        let plan = |objects: &[&str]| {
            let mut planner = Planner::new(roots.clone());
            for digest in &digests {
                planner.enter_manifest(digest.clone(), Doomed { object: buried(digest.hex()), bytes: 7 });
            }
            for key in objects {
                planner.enter(Fate::Goes, 5, || buried(key));
            }
            planner.finish()
        };
        let first = plan(&["a", "b"]);
        assert_eq!((first.round.len(), first.manifests.len(), first.going), (2, 0, Tally { objects: 2, bytes: 10 }));
        let last = plan(&[]);
        assert_eq!(
            (last.manifests.clone(), last.round),
            (vec![digests[0].clone()], vec![Doomed { object: buried(digests[0].hex()), bytes: 7 }])
        );
    }
}
