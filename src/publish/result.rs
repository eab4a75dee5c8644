//! What the command did (or would do), for people and for programs. The only thing that goes to standard output.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::api::{ContentHash, ManifestDigest};
use crate::lint::Report;
use crate::manifest::closure::{TakenBase, Verdict};
use crate::manifest::evidence::{self, Evidence};
use crate::manifest::readers::Reading;
use crate::manifest::{Class, Manifest};
use crate::upload::{Before, Plan, Prepared, Progress};

/// Lines of a list that people are shown; programs get all.
const SHOWN_MAX: usize = 20;

/// What was done. Its JSON form is an interface: fields are added, never changed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Outcome {
    pub(super) version: String,
    pub(super) digest: ManifestDigest,
    pub(super) files: u64,
    pub(super) bytes: u64,
    pub(super) objects_sent: u64,
    pub(super) objects_reused: u64,
    pub(super) bytes_sent: u64,
    pub(super) seconds: f64,
    /// How the build was read.
    pub(super) manifest: Reading,
    /// Files by class: `immutable`, `pages`, `unversioned`.
    pub(super) classes: BTreeMap<&'static str, u64>,
    /// How many names each kind of evidence vouches for.
    pub(super) evidence: BTreeMap<Evidence, u64>,
    /// Where the build lies, when its references say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) base: Option<TakenBase>,
    /// References that may lead nowhere.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) warnings: Vec<String>,
    /// Absent when nothing was published before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) returning_visitor: Option<ReturningVisitor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lint: Option<Report>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dry_run: Option<Lists>,
}

/// Somebody who has all assets of another version.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReturningVisitor {
    /// That version.
    pub(super) version: String,
    /// Bytes of assets that they must load again.
    pub(super) bytes: u64,
}

/// What would be done with which key.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Lists {
    send: Vec<Sent>,
    reuse: Vec<String>,
    refuse: Vec<Refused>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    key: String,
    bytes: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Refused {
    key: String,
    our_sha256: ContentHash,
    #[serde(skip_serializing_if = "Option::is_none")]
    their_sha256: Option<ContentHash>,
    #[serde(skip_serializing_if = "Option::is_none")]
    written_by: Option<crate::manifest::Writer>,
}

impl Outcome {
    /// Of a build, with nothing sent.
    pub(super) fn of(version: &str, prepared: &Prepared) -> Self {
        Self {
            version: version.to_owned(),
            digest: prepared.digest.clone(),
            files: prepared.manifest.files.len() as u64,
            bytes: prepared.manifest.bytes(),
            objects_sent: 0,
            objects_reused: 0,
            bytes_sent: 0,
            seconds: 0.0,
            manifest: prepared.reading.clone(),
            classes: classes(&prepared.manifest),
            evidence: evidence::counts(&prepared.manifest, &BTreeSet::new()),
            base: None,
            warnings: Vec::new(),
            returning_visitor: None,
            lint: None,
            dry_run: None,
        }
    }

    /// What the build's references say.
    pub(super) fn looked_at(&mut self, verdict: &Verdict) {
        self.base.clone_from(&verdict.base);
        self.warnings = verdict.warnings().map(|one| format!("{}: {}", one.referrer, one.finding())).collect();
    }

    /// What was sent in all tries together; `progress` is the last one's, for which what earlier ones sent is there already.
    pub(super) fn sent(&mut self, progress: &Progress, earlier: Progress) {
        self.objects_sent = progress.objects_sent + earlier.objects_sent;
        self.objects_reused = progress.objects_total.saturating_sub(self.objects_sent);
        self.bytes_sent = progress.bytes_sent + earlier.bytes_sent;
    }

    /// What a set vouches for, by what was published before.
    pub(super) fn vouched(&mut self, by_set: u64) {
        if by_set > 0 {
            self.evidence.insert(Evidence::Set, by_set);
        }
    }

    /// What would be sent; answers what was published before.
    pub(super) fn planned(&mut self, plan: Plan) -> Option<Before> {
        self.vouched(plan.by_set.len() as u64);
        self.objects_sent = plan.send.len() as u64;
        self.objects_reused = plan.reuse.len() as u64;
        self.bytes_sent = plan.send.iter().map(|(_, bytes)| bytes).sum();
        let refuse = plan.refuse.into_iter().map(|refused| Refused {
            key: refused.key,
            our_sha256: refused.our_hash,
            their_sha256: refused.their_hash,
            written_by: refused.theirs,
        });
        self.dry_run = Some(Lists {
            send: plan.send.into_iter().map(|(key, bytes)| Sent { key, bytes }).collect(),
            reuse: plan.reuse,
            refuse: refuse.collect(),
        });
        plan.before
    }

    /// How many keys have other bytes, and the first of them, if a dry run found any.
    pub(super) fn refused(&self) -> Option<(usize, &str)> {
        let refuse = &self.dry_run.as_ref()?.refuse;
        refuse.first().map(|first| (refuse.len(), first.key.as_str()))
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut lines = match &self.dry_run {
            None => vec![format!(
                "published {} as {}: {} objects sent ({} bytes), {} were there already, {:.1} s",
                self.version, self.digest, self.objects_sent, self.bytes_sent, self.objects_reused, self.seconds
            )],
            Some(lists) => vec![format!(
                "would publish {} as {}: {} objects to send ({} bytes), {} are there already, {} have other bytes; nothing was written",
                self.version,
                self.digest,
                self.objects_sent,
                self.bytes_sent,
                self.objects_reused,
                lists.refuse.len()
            )],
        };
        if let Some(lists) = &self.dry_run {
            shown(&mut lines, "send", lists.send.iter().map(|sent| format!("{} ({} bytes)", sent.key, sent.bytes)));
            shown(&mut lines, "reuse", lists.reuse.iter().cloned());
            shown(&mut lines, "refuse", lists.refuse.iter().map(|refused| refused.key.clone()));
        }
        lines.push(self.manifest.sentence());
        lines.push(classes_sentence(&self.classes, &self.evidence));
        lines.extend(self.base.as_ref().map(TakenBase::sentence));
        if let Some(visitor) = &self.returning_visitor {
            lines.push(format!("a visitor who has {} loads {} bytes of assets again", visitor.version, visitor.bytes));
        }
        lines.join("\n")
    }

    /// For programs.
    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).expect("an outcome has only strings and numbers")
    }
}

fn classes(manifest: &Manifest) -> BTreeMap<&'static str, u64> {
    let classes = [("immutable", Class::Asset), ("pages", Class::Entry), ("unversioned", Class::Unversioned)];
    classes.map(|(word, class)| (word, manifest.of_class(class).count() as u64)).into()
}

/// `12 immutable (10 ToolManifest, 2 Digest), 1 pages, 3 unversioned`
fn classes_sentence(classes: &BTreeMap<&'static str, u64>, evidence: &BTreeMap<Evidence, u64>) -> String {
    let evidence: Vec<String> = evidence.iter().map(|(evidence, count)| format!("{count} {evidence:?}")).collect();
    let because = if evidence.is_empty() { String::new() } else { format!("; vouched for: {}", evidence.join(", ")) };
    let count = |word| classes.get(word).copied().unwrap_or_default();
    format!("files: {} immutable, {} pages, {} unversioned{because}", count("immutable"), count("pages"), count("unversioned"))
}

fn shown(lines: &mut Vec<String>, word: &str, all: impl ExactSizeIterator<Item = String>) {
    let count = all.len();
    lines.extend(all.take(SHOWN_MAX).map(|line| format!("  {word} {line}")));
    if count > SHOWN_MAX {
        lines.push(format!("  {word} … and {} more; --output json has all", count - SHOWN_MAX));
    }
}
