//! The page of everything that a release can wait for: reason, a message as it is printed, whether it stalls, what to do.
//! Never text of its own about a reason: samples and advice stand beside the types.

use std::fmt::Write as _;

use super::failures::{self, Entry};
use super::{Artifact, page_header};
use crate::rollout::Blocker;

const INTRODUCTION: &str = "\
# Blockers

What a release waits for has a *reason*: it stands in the conditions and events of the AssetRelease, labels the metric
`rollcall_releases_blocked`, and is the heading here. The quoted text is a message as it is printed, with made-up names.

*Waits*: Rollcall goes on by itself when the cause is gone. *Stalls*: nothing happens until a person changes something (condition
`Stalled`); a changed spec or a new value of the annotation `rollcall.dev/requestedAt` begins a new attempt. The active version is
served all the while.
";

/// `docs/reference/blockers.md`.
pub(super) fn page() -> Vec<Artifact> {
    let mut text = page_header("src/rollout/blocker.rs, src/upload, src/source and src/bucket") + INTRODUCTION;
    let blockers = Blocker::samples().into_iter().map(|blocker| Entry {
        reason: blocker.reason(),
        message: blocker.message(),
        stalls: blocker.stalls(),
        advice: blocker.advice(),
    });
    section(&mut text, "The release", blockers.collect());
    section(&mut text, "The bucket", failures::of_the_bucket());
    section(&mut text, "Publishing", failures::of_a_publish());
    section(&mut text, "The source", failures::of_a_source());
    section(&mut text, "The build", failures::of_a_build());
    section(&mut text, "Entry files in the bucket", failures::of_entry_files());
    vec![Artifact { path: "docs/reference/blockers.md".into(), text }]
}

fn section(text: &mut String, title: &str, entries: Vec<Entry>) {
    let _ = writeln!(text, "\n## {title}");
    for Entry { reason, message, stalls, advice } in entries {
        let kind = if stalls { "Stalls" } else { "Waits" };
        let _ = write!(text, "\n### {reason}\n\n> {message}\n\n*{kind}.* {advice}\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words that `fn reason` of a file may answer.
    fn reasons(source: &'static str) -> impl Iterator<Item = &'static str> {
        source.lines().filter_map(|line| line.trim().split_once(" => \"")?.1.strip_suffix("\","))
    }

    #[test]
    fn every_reason_that_a_failure_can_have_is_on_the_page() {
        let page = page().remove(0).text;
        let sources = [
            include_str!("../source/refusal.rs"),
            include_str!("../source/mod.rs"),
            include_str!("../upload/failure.rs"),
            include_str!("../upload/entries.rs"),
            include_str!("../manifest/build.rs"),
            include_str!("../manifest/readers/failure.rs"),
        ];
        let all: Vec<&str> = sources.into_iter().flat_map(reasons).collect();
        assert!(all.len() > 35, "{all:?}");
        for reason in all {
            assert!(page.contains(&format!("\n### {reason}\n")), "{reason}");
        }
    }

    #[test]
    fn a_reason_has_one_entry() {
        let page = page().remove(0).text;
        let mut reasons: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("### ")).collect();
        let all = reasons.len();
        reasons.sort_unstable();
        reasons.dedup();
        assert_eq!(reasons.len(), all);
    }
}
