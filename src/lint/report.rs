//! Findings: sorted, the same for the same build, and bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::Rule;
use super::groups::{Group, groups};

/// Findings of one rule that are kept; those that come first in order.
pub const FINDINGS_MAX: usize = 200;

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The publish would be refused, or pages break.
    Error,
    /// Pages may break, or people are hindered.
    Warning,
    /// Worth knowing.
    Info,
}

/// One thing that was found. Ordered by gravity, rule, path and message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// How grave it is.
    pub severity: Severity,
    /// The rule.
    pub rule: Rule,
    /// The file; none when it is about the whole build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What was found, in one sentence.
    pub message: String,
}

/// Everything that was found in a build.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The findings, gravest first.
    pub findings: Vec<Finding>,
    /// The same by rule and folder, for people.
    pub groups: Vec<Group>,
    /// How many more there were, by rule.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub more: BTreeMap<&'static str, u64>,
    /// Texts that are too large to be looked at, sorted.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub unread: BTreeSet<String>,
}

impl Report {
    /// How many findings of this gravity are shown.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.as_deref().map(|path| format!("{path}: ")).unwrap_or_default();
        write!(f, "{}: {path}{} ({})", self.severity, self.message, self.rule.name())
    }
}

/// Findings on their way into a report.
#[derive(Debug, Default)]
pub(super) struct Collected {
    by_rule: BTreeMap<Rule, BTreeSet<Finding>>,
    more: BTreeMap<&'static str, u64>,
    unread: BTreeSet<String>,
}

impl Collected {
    /// Keeps a finding, and of too many those that come first: which ones does not depend on the order of files.
    pub(super) fn add(&mut self, rule: Rule, severity: Severity, path: &str, message: String) {
        let path = (!path.is_empty()).then(|| path.to_owned());
        let kept = self.by_rule.entry(rule).or_default();
        if kept.insert(Finding { severity, rule, path, message }) && kept.len() > FINDINGS_MAX {
            kept.pop_last();
            *self.more.entry(rule.name()).or_default() += 1;
        }
    }

    pub(super) fn unread(&mut self, path: &str) {
        self.unread.insert(path.to_owned());
    }

    pub(super) fn into_report(self) -> Report {
        let all: BTreeSet<Finding> = self.by_rule.into_values().flatten().collect();
        let findings: Vec<Finding> = all.into_iter().collect();
        Report { groups: groups(&findings), findings, more: self.more, unread: self.unread }
    }
}
