//! Gathers what the files of a build refer to and decides when all are known: where the build lies, and which references lead nowhere.
//! Never holds a text, and only a bounded number of references.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::base::{self, Base, By, TakenBase};
use super::found::{Evidence, Reference};
use super::near::Nearby;
use super::verdict::{Dangling, UnusedPattern, Verdict};
use super::{Closure, Leads};
use crate::manifest::classify;
use crate::manifest::readers::BuildNames;

/// References that lead nowhere and are kept; more say nothing new.
const KEPT_MAX: usize = 10_000;

/// Bytes of the references in one list of these: 10,000 real ones have about 1 MB. All lists of a build together stay below 25 MiB.
const KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bases that are considered at once.
const BASES_MAX: usize = 256;

/// What is known of a build's references so far.
#[derive(Debug, Default)]
pub struct Gaps {
    lost: Vec<Lost>,
    /// Kept of those that are errors and of all others: many warnings must not push an error out.
    errors: Kept,
    warnings: Kept,
    /// Kept for all candidates together.
    cases: Kept,
    plus: Vec<Dangling>,
    kept_plus: Kept,
    /// References that led to files as they stand, from the host's top.
    plain: u64,
    /// The same of pages, from where the page lies.
    relative: u64,
    taken: BTreeMap<String, (By, u64)>,
    candidates: BTreeMap<String, Candidate>,
    foreign: Vec<(url::Url, Dangling)>,
    kept_foreign: Kept,
}

/// How much of one kind is kept.
#[derive(Debug, Default)]
struct Kept {
    entries: usize,
    bytes: usize,
}

impl Kept {
    /// Whether there is room for one more, which then is taken. The first one always has room.
    fn takes(&mut self, bytes: usize) -> bool {
        let fits = self.entries == 0 || (self.entries < KEPT_MAX && self.bytes + bytes <= KEPT_BYTES_MAX);
        self.entries += usize::from(fits);
        self.bytes += if fits { bytes } else { 0 };
        fits
    }
}

/// A reference that leads nowhere, and the path of the build that it means.
#[derive(Debug)]
struct Lost {
    dangling: Dangling,
    path: String,
    is_rooted: bool,
    /// Whether a tool's list names it.
    is_listed: bool,
}

impl Lost {
    fn bytes(&self) -> usize {
        self.dangling.bytes() + self.path.len()
    }
}

/// A base that only references speak for.
#[derive(Debug)]
struct Candidate {
    base: Base,
    files: BTreeSet<String>,
    references: u64,
    /// What leads nowhere if it is not taken.
    cases: Vec<Lost>,
}

impl Gaps {
    /// What the build tools' manifests name and the build lacks.
    pub fn look_at_names(&mut self, build: &BuildNames) {
        for (referrer, reference) in build.missing() {
            let dangling = Dangling {
                referrer: referrer.to_owned(),
                reference: reference.to_owned(),
                evidence: Evidence::Asked,
                near: None,
                others: 0,
            };
            self.lose(Lost { dangling, path: reference.trim_start_matches('/').to_owned(), is_rooted: false, is_listed: true });
        }
    }

    /// The references of one file.
    pub fn look(&mut self, closure: &Closure<'_>, path: &str, text: &str) {
        let is_of_page = classify::is_page(path);
        for (reference, leads) in closure.all_leads(path, text) {
            let is_root = reference.text.starts_with('/') && !reference.text.starts_with("//");
            let Reference { text: reference, evidence, .. } = reference;
            let dangling = Dangling { referrer: path.to_owned(), reference, evidence, near: None, others: 0 };
            match leads {
                Leads::Elsewhere => {}
                Leads::There => {
                    self.plain += u64::from(is_root);
                    self.relative += u64::from(!is_root && is_of_page && dangling.evidence == Evidence::Asked);
                    self.look_for_plus(dangling);
                }
                Leads::By(base) => {
                    self.take(&base);
                    self.look_for_plus(dangling);
                }
                Leads::Nowhere { path, is_rooted } => self.lose(Lost { dangling, path, is_rooted, is_listed: false }),
                Leads::Perhaps { base, path } => self.consider(base, Lost { dangling, path, is_rooted: true, is_listed: false }),
                Leads::Foreign(target) => self.consider_foreign(closure, target, dangling),
            }
        }
    }

    fn look_for_plus(&mut self, dangling: Dangling) {
        if dangling.reference.split(['?', '#']).next().is_some_and(|path| path.contains('+')) {
            let one = Dangling { evidence: Evidence::Plus, ..dangling };
            let fits = self.kept_plus.takes(one.bytes());
            self.plus.extend(Some(one).filter(|_| fits));
        }
    }

    fn lose(&mut self, lost: Lost) {
        let kept = if lost.dangling.is_error() { &mut self.errors } else { &mut self.warnings };
        if kept.takes(lost.bytes()) {
            self.lost.push(lost);
        }
    }

    fn take(&mut self, base: &Base) {
        if self.taken.len() < BASES_MAX || self.taken.contains_key(&base.shown()) {
            self.taken.entry(base.shown()).or_insert((base.by, 0)).1 += 1;
        }
    }

    fn consider(&mut self, base: Base, lost: Lost) {
        let key = base.shown();
        if self.candidates.len() >= BASES_MAX && !self.candidates.contains_key(&key) {
            return self.lose(lost);
        }
        let candidate = self.candidates.entry(key).or_insert_with(|| Candidate::of(base));
        candidate.references += 1;
        // The first of each is kept whatever the others have: if its base is not taken, it must be missed.
        // Its path is kept twice.
        if candidate.cases.is_empty() || self.cases.takes(lost.bytes() + lost.path.len()) {
            let below = lost.path.strip_prefix(candidate.base.url.path().trim_start_matches('/')).unwrap_or(&lost.path);
            candidate.files.insert(below.to_owned());
            candidate.cases.push(lost);
        }
    }

    /// Another host counts as the build's own only when several files of the build are asked for there.
    fn consider_foreign(&mut self, closure: &Closure<'_>, target: url::Url, dangling: Dangling) {
        match closure.base_before(&target) {
            Some(base) => {
                let path = target.path().trim_start_matches('/').to_owned();
                self.consider(base, Lost { dangling, path, is_rooted: false, is_listed: false });
            }
            None if self.kept_foreign.takes(dangling.bytes() + target.as_str().len()) => self.foreign.push((target, dangling)),
            None => {}
        }
    }

    /// Length of all texts that are kept.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let cases = self.candidates.values().flat_map(|candidate| &candidate.cases).map(Lost::bytes).sum::<usize>();
        let foreign = self.foreign.iter().map(|(url, dangling)| url.as_str().len() + dangling.bytes()).sum::<usize>();
        cases + foreign + self.lost.iter().map(Lost::bytes).chain(self.plus.iter().map(Dangling::bytes)).sum::<usize>()
    }

    /// What leads nowhere, now that all references are known.
    #[must_use]
    pub fn finish(mut self, closure: &Closure<'_>) -> Verdict {
        let own = self.take_own();
        if let Some(base) = &own {
            self.lose_at_own_host(closure, base);
        }
        let base = self.taken.iter().max_by_key(|(_, (by, references))| (*references, std::cmp::Reverse(*by)));
        let base = base.map(|(base, (by, references))| TakenBase { base: base.clone(), by: *by, references: *references });
        let has_place = self.plain == 0 && base.as_ref().is_some_and(|base| base.base.starts_with('/'));
        let near = if self.lost.is_empty() { None } else { Some(Nearby::of(&closure.paths)) };
        let (mut missing, mut is_any_listed) = (Missing::default(), false);
        // Only now it is known where the paths of others are relative to.
        let is_below = |lost: &Lost| base.as_ref().is_some_and(|base| closure.is_external_below(&base.base, &lost.path));
        let is_name = |lost: &Lost| lost.is_listed && closure.is_external_name(&lost.dangling.reference);
        let is_external = |lost: &Lost| if lost.is_rooted { is_below(lost) } else { closure.external.has(&lost.path) || is_name(lost) };
        for lost in self.lost.into_iter().filter(|lost| !is_external(lost)) {
            is_any_listed |= lost.is_listed;
            let mut one = lost.dangling;
            one.near = near.as_ref().and_then(|near| near.sentence(&lost.path));
            let below = |base: &TakenBase| one.reference.starts_with(&base.base);
            if has_place && lost.is_rooted && one.reference.starts_with('/') && !base.as_ref().is_some_and(below) && one.is_error() {
                one.evidence = Evidence::Outside;
            }
            missing.add(base.as_ref(), lost.path, one);
        }
        let unused = closure.external.unused(closure.paths.iter().copied());
        let unused = unused.into_iter().map(|pattern| UnusedPattern { given: "spec.build.external (--external)", pattern });
        Verdict { dangling: missing.0.into_values().chain(self.plus).collect(), base, is_any_listed, unused: unused.collect() }
    }

    /// Takes the base that most references speak for; those of the others lead nowhere.
    fn take_own(&mut self) -> Option<Base> {
        // What leads nowhere below a base speaks for it as much as for any other.
        let is_against = |lost: &&Lost, base: &str| lost.is_rooted && !lost.path.starts_with(base.trim_start_matches('/'));
        let misses = |base: &str| self.lost.iter().filter(|lost| is_against(lost, base)).count() as u64;
        let declared: u64 = self.taken.values().map(|(_, references)| references).sum();
        let best = self.candidates.iter().max_by_key(|(key, candidate)| (candidate.references, std::cmp::Reverse(key.len())));
        let others = Others { here: self.plain + declared, relative: self.relative };
        let best = best.filter(|(key, candidate)| candidate.is_plausible(others, misses(key))).map(|(key, _)| key.clone());
        let own = best.as_ref().and_then(|key| self.candidates.remove(key));
        if let Some(own) = &own {
            self.taken.insert(own.base.shown(), (own.base.by, own.references));
        }
        for candidate in std::mem::take(&mut self.candidates).into_values().filter(|candidate| base::is_here(&candidate.base.url)) {
            candidate.cases.into_iter().for_each(|lost| self.lose(lost));
        }
        own.map(|candidate| candidate.base)
    }

    /// With a host that is the build's own by its references, what else they name there should be there too.
    fn lose_at_own_host(&mut self, closure: &Closure<'_>, base: &Base) {
        for (target, dangling) in std::mem::take(&mut self.foreign) {
            if let Some(below) = base.below(&target).filter(|below| !closure.is_external(below, std::iter::empty())) {
                let dangling = Dangling { evidence: Evidence::Outside, ..dangling };
                self.lose(Lost { dangling, path: super::decoded(below), is_rooted: false, is_listed: false });
            }
        }
    }
}

/// What is missing, by its path in the build, each with the strongest evidence for it.
#[derive(Default)]
struct Missing(BTreeMap<String, Dangling>);

impl Missing {
    fn add(&mut self, base: Option<&TakenBase>, path: String, one: Dangling) {
        // A list may say it with the build's base before it.
        let below = base.and_then(|base| path.strip_prefix(base.base.trim_start_matches('/'))).map(str::to_owned);
        match self.0.entry(below.unwrap_or(path)) {
            Entry::Vacant(new) => drop(new.insert(one)),
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                let others = known.others + 1;
                let key = |one: &Dangling| (one.evidence, one.referrer.clone(), one.reference.clone());
                if key(&one) < key(known) {
                    *known = one;
                }
                known.others = others;
            }
        }
    }
}

impl Candidate {
    fn of(base: Base) -> Self {
        Self { base, files: BTreeSet::new(), references: 0, cases: Vec::new() }
    }

    /// More references speak for it than for anything else, and one alone is no accident of two names. Another host is a stranger's, who
    /// serves files of the same name, until several files are asked for there and more than the pages ask for by themselves.
    fn is_plausible(&self, others: Others, misses: u64) -> bool {
        if base::is_here(&self.base.url) {
            let is_no_accident = self.files.len() > 1 || self.files.iter().any(|file| file.contains('/'));
            return is_no_accident && self.references > others.here && self.references > misses;
        }
        self.files.len() > 1 && self.references > others.here + others.relative
    }
}

/// References that lead to files without a base that is only considered.
#[derive(Clone, Copy)]
struct Others {
    /// From the host's top, or through a base that is known.
    here: u64,
    /// From where a page lies.
    relative: u64,
}
