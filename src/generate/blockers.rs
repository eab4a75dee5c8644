//! The page of blockers. Never a sentence of its own: reason and message are what a blocker says of itself, here about an
//! example of each; the meaning is the documentation of its variant.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::{Artifact, page_header};
use crate::manifest::Owner;
use crate::rollout::Blocker;
use crate::rollout::blocker::LaggingPod;
use crate::rollout::observed::{BucketFault, JobFailure, StoreProblem};

const SOURCE: &str = include_str!("../rollout/blocker.rs");

/// `docs/reference/blockers.md`.
pub(super) fn page() -> Vec<Artifact> {
    let mut text = page_header("src/rollout/blocker.rs");
    text.push_str(
        "# Blockers\n\nA release that waits says for what: the reason stands in its conditions, events and metrics, the message in \
         `status.message`. A blocker with \"yes\" makes the release Stalled: nothing more happens until somebody changes something.\n\n\
         | reason | meaning | message, for example | stalled |\n|---|---|---|---|\n",
    );
    let meanings = documented_variants(SOURCE);
    for blocker in examples() {
        let meaning = meanings.iter().find(|(name, _)| *name == variant_of(&blocker)).map_or("", |(_, doc)| doc);
        let (message, stalled) = (blocker.message().replace('|', "\\|"), if blocker.stalls() { "yes" } else { "" });
        let _ = writeln!(text, "| `{}` | {meaning} | {message} | {stalled} |", blocker.reason());
    }
    vec![Artifact { path: "docs/reference/blockers.md".into(), text }]
}

/// In the order in which a release meets them.
fn examples() -> Vec<Blocker> {
    [before_staging(), about_the_pointer(), about_pods()].concat()
}

fn before_staging() -> Vec<Blocker> {
    let (version, store) = (String::from("v2"), String::from("main"));
    let unusable = |problem| Blocker::StoreUnusable { store: store.clone(), namespace: "shop".into(), problem };
    let owner = Owner { owner_version: crate::manifest::record::FORMAT, cluster: "0b7d…".into(), release: "shop/blog".into() };
    let (reason, message) = ("SourceUnavailable", "https://builds.example.com/v2.tar.zst: no answer within 30 s".to_owned());
    vec![
        Blocker::Suspended,
        Blocker::StoreMissing { store: store.clone() },
        unusable(StoreProblem::SecretMissing("bucket-keys".into())),
        unusable(StoreProblem::SecretForbidden("bucket-keys".into())),
        unusable(StoreProblem::SecretIncomplete("bucket-keys".into(), "accessKeyId".into())),
        unusable(StoreProblem::Invalid("…".into())),
        Blocker::BucketFault(BucketFault { reason: "StoreUnavailable", message: "https://s3.example.com: connection refused".into() }),
        Blocker::PrefixOwned { prefix: "shop/".into(), owner, key: "shop/.rollcall/owner.json".into() },
        Blocker::SourceMissing { version: version.clone() },
        Blocker::Publishing { version: version.clone() },
        Blocker::JobFailed(JobFailure { reason, message, retry_at: Some(Timestamp::UNIX_EPOCH) }),
        Blocker::Verifying { version: version.clone() },
        Blocker::ObjectsMissing { version, keys: vec!["shop/assets/main.3f2a.js".into()] },
    ]
}

fn about_the_pointer() -> Vec<Blocker> {
    let config_map = String::from("shop-assets");
    vec![
        Blocker::PointerTaken { config_map: config_map.clone(), release: "blog".into() },
        Blocker::PointerContested { config_map: config_map.clone(), manager: "kubectl-edit".into() },
        Blocker::PointerUnreadable { config_map: config_map.clone(), cause: "not a pointer document".into() },
        Blocker::PointerVanished { config_map, reported: 8, known: 7 },
    ]
}

fn about_pods() -> Vec<Blocker> {
    let (version, targets) = (String::from("v2"), vec![String::from("Deployment/shop")]);
    let pods = |why: &str| vec![LaggingPod { name: "shop-5d9f-x2x7k".into(), why: why.into() }];
    vec![
        Blocker::WorkloadMissing { targets: targets.clone() },
        Blocker::NoPods { targets: targets.clone() },
        Blocker::PodsUnseen { targets },
        Blocker::PodsMissing { reported: 7, counted: 8, pods: pods("has not reported") },
        Blocker::NotConverged { pods: pods("serves v1") },
        Blocker::NotApproved { version: version.clone() },
        Blocker::PublishingEntries { version: version.clone() },
        Blocker::GivenUp { version, message: "7 of 8 pods have reported".into() },
    ]
}

/// The name of the variant, as `Debug` writes it.
fn variant_of(blocker: &Blocker) -> String {
    format!("{blocker:?}").chars().take_while(char::is_ascii_alphabetic).collect()
}

/// `(name, documentation)` of each variant of `enum Blocker`.
fn documented_variants(source: &str) -> Vec<(&str, String)> {
    let body = source.split_once("pub enum Blocker {").and_then(|(_, rest)| rest.split_once("\n}")).map_or("", |(body, _)| body);
    let mut found = Vec::new();
    let mut doc: Vec<&str> = Vec::new();
    // Four spaces: a variant; more: a field of one.
    for line in body.lines().filter_map(|line| line.strip_prefix("    ")).filter(|line| !line.starts_with(' ')) {
        if let Some(sentence) = line.strip_prefix("/// ") {
            doc.push(sentence);
            continue;
        }
        let name = line.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
        if !name.is_empty() {
            found.push((name, doc.join(" ")));
        }
        doc.clear();
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_blocker_has_an_example_and_a_meaning() {
        let shown: BTreeSet<String> = examples().iter().map(variant_of).collect();
        let documented: BTreeSet<String> = documented_variants(SOURCE).into_iter().map(|(name, _)| name.to_owned()).collect();
        assert_eq!(shown, documented, "a new variant needs an example in src/generate/blockers.rs");
        assert!(documented_variants(SOURCE).iter().all(|(_, doc)| !doc.is_empty()));
    }

    #[test]
    fn no_two_blockers_share_a_reason() {
        let reasons: BTreeSet<&str> = examples().iter().map(Blocker::reason).collect();
        assert_eq!(reasons.len(), examples().len());
    }
}
