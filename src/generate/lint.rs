//! The page of the rules that a build is looked at with. Never text of its own about a rule: it stands beside the rules.

use std::fmt::Write as _;

use super::{Artifact, page_header};
use crate::lint::{Rule, sample};

const INTRODUCTION: &str = "\
# Lint

What may go wrong with a build although it can be published. Each finding has the name of a rule, a gravity (*error*: the publish
would be refused, or pages break; *warning*: pages may break, or people are hindered; *information*), the file, and a sentence. The
findings of a build are sorted and the same each time; of one rule at most 200 are shown and the rest is counted. Texts over 32 MiB
are named and not looked at. The quoted lines are findings as they are printed, of a made-up build.
";

/// `docs/reference/lint.md`.
pub(super) fn page() -> Vec<Artifact> {
    let mut text = page_header("src/lint") + INTRODUCTION;
    let report = sample::Build::new().report();
    for rule in Rule::ALL {
        let _ = write!(text, "\n## {}\n\n{}\n\n", rule.name(), rule.about());
        for finding in report.findings.iter().filter(|finding| finding.rule == rule) {
            let _ = writeln!(text, "    {finding}");
        }
        let _ = write!(text, "\n{}\n", rule.advice());
    }
    vec![Artifact { path: "docs/reference/lint.md".into(), text }]
}
