//! References that lead nowhere: the same check as before a publish, said file by file. Never an error that a publish would pass.

use super::Rule;
use super::report::{Collected, Severity};
use crate::manifest::closure::{Dangling, Evidence, Verdict};

pub(super) fn finish(verdict: Verdict, found: &mut Collected) {
    for dangling in verdict.dangling {
        let severity = if dangling.is_error() { Severity::Error } else { Severity::Warning };
        found.add(Rule::ClosureGap, severity, &dangling.referrer, message(&dangling));
    }
}

fn message(dangling: &Dangling) -> String {
    let reference: String = dangling.reference.chars().take(200).collect();
    let near = dangling.near.as_ref().map(|near| format!(": {near}")).unwrap_or_default();
    match dangling.evidence {
        Evidence::Asked => format!("it refers to {reference:?}, which the build lacks{near}"),
        Evidence::Icon => format!("its icon is {reference:?}, which the build lacks{near}"),
        Evidence::Outside => format!("it refers to {reference:?}, outside of the place where the build's other references lead{near}"),
        Evidence::Guessed { line } => format!("line {line} seems to load {reference:?}, which the build lacks{near}"),
    }
}
