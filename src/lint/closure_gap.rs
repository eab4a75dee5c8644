//! References that lead nowhere: the same check as before a publish, said file by file. Never an error that a publish would pass.

use super::Rule;
use super::report::{Collected, Severity};
use crate::manifest::closure::{Evidence, Verdict};

pub(super) fn finish(verdict: Verdict, found: &mut Collected) {
    for dangling in verdict.dangling {
        let severity = if dangling.is_error() { Severity::Error } else { Severity::Warning };
        let rule = if dangling.evidence == Evidence::Plus { Rule::AmbiguousUrl } else { Rule::ClosureGap };
        found.add(rule, severity, &dangling.referrer, dangling.finding());
    }
}
