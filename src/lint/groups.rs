//! Findings for people: those of one rule, one gravity and one folder together, and what to do once for each rule.
//! Never leaves a finding out: a group says how many it has.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::report::{Finding, Report, Severity};
use super::rule::Rule;

/// Findings of a group that are shown.
const SHOWN_MAX: usize = 3;

/// Findings of one rule and gravity in one folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// How grave they are.
    pub severity: Severity,
    /// The rule.
    pub rule: Rule,
    /// The folder, with `/` at its end; empty for the top and for the whole build.
    pub folder: String,
    /// How many there are.
    pub count: usize,
    /// The first of them: file and message.
    pub first: Vec<String>,
}

/// The findings by rule and folder, gravest first.
pub(super) fn groups(findings: &[Finding]) -> Vec<Group> {
    let mut all: BTreeMap<(Severity, Rule, &str), Vec<&Finding>> = BTreeMap::new();
    for finding in findings {
        all.entry((finding.severity, finding.rule, folder(finding))).or_default().push(finding);
    }
    let group = |((severity, rule, folder), findings): ((Severity, Rule, &str), Vec<&Finding>)| Group {
        severity,
        rule,
        folder: folder.to_owned(),
        count: findings.len(),
        first: findings.iter().take(SHOWN_MAX).map(|finding| in_words(finding)).collect(),
    };
    all.into_iter().map(group).collect()
}

impl Report {
    /// For people: one line for each group, and for each rule that found something what to do.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (at, group) in self.groups.iter().enumerate() {
            lines.push(group.to_string());
            let is_last = !self.groups[at + 1..].iter().any(|later| later.rule == group.rule && later.severity == group.severity);
            if is_last {
                lines.push(format!("  what to do: {}", group.rule.advice()));
            }
        }
        lines.extend(self.more.iter().map(|(rule, count)| format!("{rule}: {count} more")));
        lines
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = self.count - self.first.len();
        match self.first.as_slice() {
            [one] => write!(f, "{}: {one} ({})", self.severity, self.rule.name()),
            several => {
                let place = if self.folder.is_empty() { "at the top" } else { &self.folder };
                write!(f, "{}: {} findings {place}: {}", self.severity, self.count, several.join("; "))?;
                if rest > 0 {
                    write!(f, "; and {rest} more")?;
                }
                write!(f, " ({})", self.rule.name())
            }
        }
    }
}

fn folder(finding: &Finding) -> &str {
    finding.path.as_deref().and_then(|path| path.rfind('/').map(|at| &path[..=at])).unwrap_or_default()
}

fn in_words(finding: &Finding) -> String {
    finding.path.as_deref().map_or_else(|| finding.message.clone(), |path| format!("{path}: {}", finding.message))
}
