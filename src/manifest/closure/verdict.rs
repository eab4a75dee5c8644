//! What the references of a build come to: those that lead nowhere, for the publish, for people and for lint.
//! Never says a list in full where people read: it is bounded, and says how much it leaves out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::base::TakenBase;
use super::found::Evidence;

/// Most references that one message names.
const SHOWN_MAX: usize = 10;

/// Longest reference in a message.
const REFERENCE_CHARS_MAX: usize = 200;

/// What helps where a file only looks like a build tool's list.
const LIST_REMEDY: &str = "; if what names them is no list of a build tool's, set spec.build.manifest.format to Folder (--format Folder)";

/// Files whose warnings are said one by one.
const WARNED_MAX: usize = 20;

/// A reference that leads nowhere, or may. Ordered by its place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dangling {
    /// The file that refers.
    pub referrer: String,
    /// What it refers to, as it is written there.
    pub reference: String,
    /// How certain it is that a browser asks for it.
    pub evidence: Evidence,
    /// What the build has that is nearly this, in words.
    pub near: Option<String>,
    /// Other references to the same that lead nowhere. They are not given one by one: one file is missing.
    pub others: usize,
}

impl Dangling {
    /// Whether a build with it must not be published.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.evidence == Evidence::Asked
    }

    /// What is wrong, in a sentence about the file that refers.
    #[must_use]
    pub fn finding(&self) -> String {
        let reference: String = self.reference.chars().take(REFERENCE_CHARS_MAX).collect();
        let near = format!("{}{}", self.near.as_ref().map(|near| format!(": {near}")).unwrap_or_default(), self.others());
        match self.evidence {
            Evidence::Asked => format!("it refers to {reference:?}, which the build lacks{near}"),
            Evidence::Icon => format!("its icon is {reference:?}, which the build lacks{near}"),
            Evidence::Unlikely => format!("it refers to {reference:?}, which the build lacks and browsers may do without{near}"),
            Evidence::Outside => {
                format!("it refers to {reference:?}, outside of the place to which the build's other references lead{near}")
            }
            Evidence::Plus => format!("it refers to {reference:?}, whose + S3 reads as a space: write %2B"),
            Evidence::Guessed { line } => format!("line {line} seems to load {reference:?}, which the build lacks{near}"),
        }
    }

    /// Of what is kept of it, the length of its texts.
    pub(super) fn bytes(&self) -> usize {
        self.referrer.len() + self.reference.len()
    }

    fn others(&self) -> String {
        match self.others {
            0 => String::new(),
            1 => " (another reference leads there, too)".to_owned(),
            others => format!(" ({others} other references lead there, too)"),
        }
    }
}

impl fmt::Display for Dangling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reference: String = self.reference.chars().take(REFERENCE_CHARS_MAX).collect();
        write!(f, "{} refers to {reference:?}", self.referrer)?;
        self.near.iter().try_for_each(|near| write!(f, " ({near})"))?;
        f.write_str(&self.others())
    }
}

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// References that lead nowhere, sorted.
    pub dangling: BTreeSet<Dangling>,
    /// Where the build lies, when references say so.
    pub base: Option<TakenBase>,
    /// Whether a list of the build names something that is missing.
    pub is_any_listed: bool,
    /// Patterns of the release or the command line that match nothing, each with what it was given for.
    pub unused: Vec<UnusedPattern>,
}

/// A pattern that matches nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnusedPattern {
    /// Where it is given: `spec.build.immutable (--immutable)`.
    pub given: &'static str,
    /// The pattern.
    pub pattern: String,
}

/// What only warns, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// What it is about: a file of the build, or where a pattern is given.
    pub referrer: String,
    sentence: String,
}

impl Warning {
    fn of_file(referrer: &str, all: &[&Dangling]) -> Self {
        let first = all.first().map(|one| one.finding()).unwrap_or_default();
        let more = match all.len() {
            0 | 1 => String::new(),
            all => format!("; and {} more of this file", all - 1),
        };
        Self { referrer: referrer.to_owned(), sentence: format!("{first}{more}") }
    }

    fn of_pattern(unused: &UnusedPattern) -> Self {
        let pattern: String = unused.pattern.chars().take(REFERENCE_CHARS_MAX).collect();
        Self { referrer: unused.given.to_owned(), sentence: format!("the pattern {pattern:?} matches nothing in this build") }
    }

    /// What is wrong, in a sentence about it.
    #[must_use]
    pub fn finding(&self) -> String {
        self.sentence.clone()
    }
}

impl Verdict {
    /// Whether the build must not be published.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.dangling.iter().any(Dangling::is_error)
    }

    /// What only warns, for people: what one file has in one, and of many files the first ones.
    pub fn warnings(&self) -> impl Iterator<Item = Warning> {
        let mut all: Vec<Warning> = self.unused.iter().map(Warning::of_pattern).collect();
        let mut files: BTreeMap<&str, Vec<&Dangling>> = BTreeMap::new();
        for one in self.dangling.iter().filter(|one| !one.is_error()) {
            files.entry(&one.referrer).or_default().push(one);
        }
        let (shown, rest) = (files.len().min(WARNED_MAX), files.values().skip(WARNED_MAX).map(Vec::len).sum::<usize>());
        all.extend(files.iter().take(shown).map(|(referrer, all)| Warning::of_file(referrer, all)));
        all.extend((rest > 0).then(|| Warning {
            referrer: format!("{} more files", files.len() - shown),
            sentence: format!("{rest} more references that lead nowhere, or may; publish --lint shows them by folder"),
        }));
        all.into_iter()
    }

    /// Text for all references that must lead somewhere and do not: sorted, and cut after ten.
    #[must_use]
    pub fn message(&self) -> String {
        let errors: Vec<&Dangling> = self.dangling.iter().filter(|one| one.is_error()).collect();
        let shown: Vec<String> = errors.iter().take(SHOWN_MAX).map(ToString::to_string).collect();
        let rest = errors.len().saturating_sub(SHOWN_MAX);
        let more = if rest == 0 { String::new() } else { format!(", and {rest} more") };
        let place = self.base.as_ref().map(|base| format!("; {}", base.sentence())).unwrap_or_default();
        let list = if self.is_any_listed { LIST_REMEDY } else { "" };
        format!(
            "the build lacks files that it refers to: {}{more}{place}; build again from an empty output folder, or name what another program serves in spec.build.external (--external), and the build's base with --public-url{list}",
            shown.join(", ")
        )
    }
}
