//! One look at a prefix: the documents, the manifests one by one, the listing line by line, and the plan that comes of it.
//! Never holds more than a few manifests in memory.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};

use super::facts::{self, Known};
use super::{PARALLEL, SweepFailure, Tools};
use crate::api::ManifestDigest;
use crate::bucket::{Bucket, Listed, Walk};
use crate::manifest::record::Buried;
use crate::manifest::{Claim, Layout, MANIFEST_BYTES_MAX, classify, variant};
use crate::retention::ledger::{KeyHash, Named, Pins};
use crate::retention::sweep::{Author, Doomed, Line, Planner, fate, fate_of_unnamed};
use crate::retention::{Doubt, Facts, Fate, Ledger, Names, Nested, Plan, Referrer, Roots, Standing, roots};
use crate::upload::neighbours::Neighbours;
use crate::upload::{ReadFailure, read_claim};

/// Manifests that are fetched and read side by side: reading them takes the processor, and each has up to 64 MiB.
const DECODERS: usize = 2;

/// How often a look begins anew because it found pages of builds that it had not counted.
const LOOKS: usize = 4;

/// Objects that none of us wrote, by key, token and date: each is asked for once in a sweep, however many rounds it has. 16 bytes
/// for each; a prefix has few, and nothing says that it has not a million.
#[derive(Default)]
pub(super) struct Strangers(HashSet<KeyHash>);

impl Strangers {
    fn hash(listed: &Listed) -> KeyHash {
        KeyHash::of(&format!("{}\n{}\n{}", listed.key, listed.etag, listed.last_modified))
    }
}

/// What was seen, and what may go.
pub(super) struct Survey {
    pub(super) known: Known,
    facts: Facts,
    ledger: Ledger,
    pub(super) plan: Plan,
    /// Releases that have written below this very prefix. What another one wrote stays.
    pub(super) writers: BTreeSet<String>,
    /// Keys below this prefix that builds around it name.
    named_above: BTreeSet<String>,
}

impl Survey {
    pub(super) async fn take(tools: &Tools, layout: &Layout, strangers: &mut Strangers) -> Result<Self, SweepFailure> {
        let mut known = Known::default();
        let bucket = tools.bucket.as_ref();
        let claim = read_claim(bucket, layout).await?;
        let layout = &layout.clone().excluding(claim.iter().flat_map(|claim| &claim.excluded_prefixes));
        let named_above: BTreeSet<String> = Neighbours::new(bucket, layout, "").named_above().await?.keys().cloned().collect();
        for _ in 0..LOOKS {
            let facts = facts::read(tools, layout, &mut known).await?;
            let roots = roots(&facts)?;
            let mut ledger = Ledger::default();
            enter_all(tools, layout, &facts, &roots, &Roots::default(), &mut ledger).await?;
            let writers = writers(claim.as_ref(), &facts);
            let around = Around { writers: &writers, nested: &known.nested, named_above: &named_above };
            let looked = Listing { tools, layout, facts: &facts, ledger: &ledger, around }.look(roots, strangers).await?;
            let is_known = looked.nested.iter().all(|prefix| known.nested.contains_key(prefix));
            if is_known && looked.pages.is_subset(&known.pages) {
                let mut plan = looked.plan;
                plan.nested = told(layout, &known.nested);
                plan.referrers = referrers(&facts);
                return Ok(Self { known, facts, ledger, plan, writers, named_above });
            }
            known.pages.extend(looked.pages);
            for prefix in looked.nested {
                let release = owner_of(bucket, &prefix).await?;
                known.nested.insert(prefix, release);
            }
        }
        let key = layout.prefix().to_owned();
        Err(Doubt::Unreadable { key, cause: "its public pages change as often as they are looked at".into() }.into())
    }

    /// Looks again, by fresh reads, and enters every build that stays now and did not before.
    pub(super) async fn look_again(&mut self, tools: &Tools, layout: &Layout) -> Result<(), SweepFailure> {
        self.facts = facts::read(tools, layout, &mut self.known).await?;
        let roots = roots(&self.facts)?;
        enter_all(tools, layout, &self.facts, &roots, &self.plan.roots, &mut self.ledger).await?;
        self.plan.roots = roots;
        Ok(())
    }

    /// Builds that go and that no sign says so of.
    pub(super) fn going_unmarked(&self) -> Vec<ManifestDigest> {
        self.plan.roots.going.keys().filter(|digest| !self.facts.swept.contains(*digest)).cloned().collect()
    }

    /// Whether an object of the plan may still go. `key` is one of the bucket.
    pub(super) fn may_go(&self, layout: &Layout, key: &str) -> bool {
        if self.named_above.contains(key) {
            return false;
        }
        if let Some(digest) = layout.digest_at(&layout.manifests(), key) {
            return self.plan.roots.going.get(&digest).is_some_and(|going| going.pins.is_empty());
        }
        let Some(below) = key.strip_prefix(layout.prefix()) else { return false };
        match self.ledger.named(below) {
            // A page is in no plan: what lies at its key and is none was written there by one of us, and no build that stays has it.
            None | Some(Named::Going(_) | Named::Page) => true,
            Some(Named::Kept | Named::KeptPage | Named::Pinned) => false,
        }
    }
}

/// Releases that have written below this very prefix: its owner, who published versions, and who uses them.
fn writers(claim: Option<&Claim>, facts: &Facts) -> BTreeSet<String> {
    let owner = claim.map(|claim| claim.owner.release.clone());
    let publishers = facts.records.iter().map(|record| record.release.clone());
    owner.into_iter().chain(publishers).chain(facts.references.iter().map(|references| references.release.clone())).collect()
}

fn referrers(facts: &Facts) -> Vec<Referrer> {
    facts.references.iter().map(|one| Referrer::of(one, facts.now)).collect()
}

/// Who has claimed a prefix. Whose claim cannot be understood may be anybody: then it is for people to say.
async fn owner_of(bucket: &dyn Bucket, prefix: &str) -> Result<Option<String>, SweepFailure> {
    match read_claim(bucket, &Layout::new(prefix, "")).await {
        Ok(claim) => Ok(claim.map(|claim| claim.owner.release)),
        Err(ReadFailure::Malformed { key, cause }) => Err(Doubt::NestedPrefix { key, cause }.into()),
        Err(ReadFailure::Bucket(error)) => Err(error.into()),
    }
}

fn told(layout: &Layout, nested: &BTreeMap<String, Option<String>>) -> Vec<Nested> {
    let surprising = nested.iter().filter(|(prefix, _)| !layout.excludes(prefix));
    surprising.map(|(prefix, release)| Nested { below: layout.below(prefix).to_owned(), release: release.clone() }).collect()
}

/// Enters every manifest whose standing is another than in `before`: kept ones first, so that pins are asked for little.
async fn enter_all(
    tools: &Tools,
    layout: &Layout,
    facts: &Facts,
    now: &Roots,
    before: &Roots,
    ledger: &mut Ledger,
) -> Result<(), SweepFailure> {
    let kept = now.kept.keys().filter(|digest| !before.kept.contains_key(*digest)).map(|digest| (digest.clone(), Standing::Kept));
    let mut work: Vec<(ManifestDigest, Standing)> = kept.collect();
    for (digest, going) in now.going.iter().filter(|(digest, going)| before.going.get(*digest).is_none_or(|then| then.pins != going.pins)) {
        work.push((digest.clone(), Standing::Going(Pins::new(&going.pins)?)));
    }
    let there = facts.references.iter().filter(|one| one.deleted_at.is_none());
    let ttl = there.filter_map(|one| Some(one.retention.as_ref()?.ttl_seconds)).min().unwrap_or(u64::MAX);
    let reading = futures::stream::iter(work).map(|(digest, standing)| {
        let (bucket, key) = (tools.bucket.clone(), layout.manifest(&digest));
        // A task of its own, so that two of them use two processors.
        let read = tokio::spawn(names(bucket, key, digest.clone(), standing.clone()));
        async move { (digest, standing, read.await) }
    });
    let mut reading = reading.buffered(DECODERS);
    while let Some((digest, standing, read)) = reading.next().await {
        let names = read.map_err(|error| Doubt::Unreadable { key: layout.manifest(&digest), cause: error.to_string() })??;
        match (&names.longest_cached, &standing) {
            (Some((path, max_age)), Standing::Kept) if *max_age > ttl => {
                return Err(Doubt::RetentionTooShort { path: path.clone(), digest, max_age: *max_age, ttl }.into());
            }
            _ => ledger.enter(&names, &standing),
        }
    }
    Ok(())
}

async fn names(bucket: Arc<dyn Bucket>, key: String, digest: ManifestDigest, standing: Standing) -> Result<Names, SweepFailure> {
    let unreadable = |cause: String| SweepFailure::Doubt(Doubt::Unreadable { key: key.clone(), cause });
    let Some(stored) = bucket.get(&key, MANIFEST_BYTES_MAX).await? else {
        return Err(unreadable("it was removed while it was read".into()));
    };
    let read = tokio::task::spawn_blocking(move || Names::read(&stored, &digest, &standing)).await;
    read.map_err(|error| unreadable(error.to_string()))?.map_err(|error| unreadable(error.to_string()))
}

struct Listing<'a> {
    tools: &'a Tools,
    layout: &'a Layout,
    facts: &'a Facts,
    ledger: &'a Ledger,
    around: Around<'a>,
}

/// What is known of others.
struct Around<'a> {
    writers: &'a BTreeSet<String>,
    nested: &'a BTreeMap<String, Option<String>>,
    named_above: &'a BTreeSet<String>,
}

impl Around<'_> {
    /// Whether a key is another release's to judge.
    fn has(&self, layout: &Layout, key: &str) -> bool {
        let is_nested = layout.folders(key).any(|folder| self.nested.contains_key(folder));
        is_nested || layout.excludes(key) || self.named_above.contains(key)
    }
}

struct Looked {
    plan: Plan,
    pages: BTreeSet<ManifestDigest>,
    /// Prefixes of others within this one.
    nested: BTreeSet<String>,
}

impl Listing<'_> {
    async fn look(&self, roots: Roots, strangers: &mut Strangers) -> Result<Looked, SweepFailure> {
        let (mut planner, mut pages, mut nested) = (Planner::new(roots), BTreeSet::new(), BTreeSet::new());
        let mut walk = Walk::new(self.tools.bucket.as_ref(), self.layout.prefix());
        while let Some(objects) = walk.page().await? {
            let mut unnamed = Vec::new();
            for listed in objects {
                // Every release has documents of its own: where there are others, the objects around them are not ours to judge.
                nested.extend(self.layout.nested(&listed.key).filter(|_| !self.layout.excludes(&listed.key)).map(str::to_owned));
                if self.around.has(self.layout, &listed.key) {
                    planner.enter(Fate::Unknown, listed.size, || buried(&listed));
                    continue;
                }
                match self.fate(&listed) {
                    Fate::AskWriter if strangers.0.contains(&Strangers::hash(&listed)) => {
                        planner.enter(Fate::Unknown, listed.size, || buried(&listed));
                    }
                    Fate::AskWriter => unnamed.push(listed),
                    Fate::Manifest => {
                        if let Some(digest) = self.layout.digest_at(&self.layout.manifests(), &listed.key) {
                            planner.enter_manifest(digest, Doomed { object: buried(&listed), bytes: listed.size });
                        }
                    }
                    fate => planner.enter(fate, listed.size, || buried(&listed)),
                }
            }
            // Page by page, however many there are: one that is not asked for may be a public page, and its build would go.
            self.ask(unnamed, &mut planner, &mut pages, strangers).await?;
        }
        Ok(Looked { plan: planner.finish(), pages, nested })
    }

    fn fate(&self, listed: &Listed) -> Fate {
        self.line(listed).map_or(Fate::Own, |line| fate(self.ledger, line))
    }

    fn line<'l>(&self, listed: &'l Listed) -> Option<Line<'l>> {
        let key = listed.key.strip_prefix(self.layout.prefix())?;
        Some(Line { key, size: listed.size, last_modified: listed.last_modified })
    }

    /// Whether a build that stays has a file at this public key. An older program took every file whose name says too little for an entry
    /// file, and so does this one with a build tool's manifest under a name of its own.
    fn is_of_one_that_stays(&self, key: &str) -> bool {
        match self.ledger.named(key) {
            None | Some(Named::Page) => false,
            Some(Named::KeptPage | Named::Kept | Named::Pinned | Named::Going(_)) => true,
        }
    }

    /// Asks for the writers of objects that no manifest names; adds the builds whose pages are among them.
    async fn ask(
        &self,
        unnamed: Vec<Listed>,
        planner: &mut Planner,
        pages: &mut BTreeSet<ManifestDigest>,
        strangers: &mut Strangers,
    ) -> Result<(), SweepFailure> {
        let asked = futures::stream::iter(unnamed).map(|listed| {
            let bucket = self.tools.bucket.clone();
            async move { Ok::<_, SweepFailure>((bucket.head(&listed.key).await?, listed)) }
        });
        let mut asked = asked.buffered(PARALLEL);
        while let Some((stored, listed)) = asked.try_next().await? {
            let Some((stored, line)) = stored.zip(self.line(&listed)) else { continue };
            let author = match (stored.writer, stored.sequence) {
                // Written anew since the listing: whoever did that is at work.
                _ if stored.etag != listed.etag => Author::Stranger,
                (None, _) => {
                    strangers.0.insert(Strangers::hash(&listed));
                    Author::Stranger
                }
                (Some(writer), _) if !self.around.writers.contains(&writer.release) => Author::Stranger,
                (Some(writer), Some(_)) if classify::is_entry(variant::original_path(line.key)) => Author::Page(writer.digest),
                (Some(_), _) if self.is_of_one_that_stays(line.key) => Author::OfOneThatStays,
                (Some(_), _) => Author::Publisher,
            };
            let fate = fate_of_unnamed(&author, line, self.facts.now, self.facts.unrecorded_life);
            planner.enter(fate, listed.size, || buried(&listed));
            if let Author::Page(digest) = author {
                pages.insert(digest);
            }
        }
        Ok(())
    }
}

fn buried(listed: &Listed) -> Buried {
    Buried { key: listed.key.clone(), etag: listed.etag.clone() }
}
