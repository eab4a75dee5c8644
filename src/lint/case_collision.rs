//! Paths that some systems hold for one. Never paths that differ in more than spelling.

use std::collections::BTreeMap;

use super::report::{Collected, Severity};
use super::{Rule, Subject};
use crate::source::path::folded;

pub(super) fn look(subject: &Subject<'_>, found: &mut Collected) {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for file in &subject.manifest.files {
        if let Some(other) = seen.insert(folded(&file.path), &file.path) {
            found.add(Rule::CaseCollision, Severity::Error, &file.path, format!("it differs from {other:?} in spelling alone"));
        }
    }
    for file in subject.previous.iter().flat_map(|previous| &previous.files) {
        if let Some(ours) = seen.get(&folded(&file.path)).filter(|ours| **ours != file.path && !has(subject, &file.path)) {
            let message = format!("the version before has {:?}, which differs in spelling alone", file.path);
            found.add(Rule::CaseCollision, Severity::Warning, ours, message);
        }
    }
}

fn has(subject: &Subject<'_>, path: &str) -> bool {
    subject.manifest.files.binary_search_by(|file| file.path.as_str().cmp(path)).is_ok()
}
