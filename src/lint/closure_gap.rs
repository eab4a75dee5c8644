//! References that lead nowhere: the same check as before a publish, told file by file. Never other hosts.

use super::report::{Collected, Severity};
use super::{Rule, Subject};
use crate::manifest::ManifestFile;
use crate::manifest::closure::{Closure, Dangling};

pub(super) fn look(subject: &Subject<'_>, found: &mut Collected) {
    for dangling in Closure::dangling_in_names(subject.names) {
        tell(&dangling, found);
    }
}

pub(super) fn read(closure: &Closure<'_>, file: &ManifestFile, text: &str, found: &mut Collected) {
    if Closure::looks_at(&file.path) {
        for dangling in closure.dangling(&file.path, text) {
            tell(&dangling, found);
        }
    }
}

fn tell(dangling: &Dangling, found: &mut Collected) {
    let reference: String = dangling.reference.chars().take(200).collect();
    found.add(Rule::ClosureGap, Severity::Error, &dangling.referrer, format!("it refers to {reference:?}, which the build lacks"));
}
