//! Names that were immutable in the version before and whose bytes are others now (I3). Never entry files: theirs may change.

use std::collections::BTreeMap;

use super::report::{Collected, Severity};
use super::{Rule, Subject};
use crate::api::ContentHash;
use crate::manifest::{Class, ManifestFile, classify};

pub(super) fn look(subject: &Subject<'_>, found: &mut Collected) {
    let Some(previous) = subject.previous else { return };
    let before: BTreeMap<&str, _> = previous.of_class(Class::Asset).map(|file| (file.path.as_str(), &file.sha256)).collect();
    let may_conflict = |file: &&ManifestFile| file.class != Class::Entry && !classify::is_beside_a_script(&file.path);
    for file in subject.manifest.files.iter().filter(may_conflict) {
        if let Some(hash) = before.get(file.path.as_str()).filter(|hash| ***hash != file.sha256) {
            let (ours, theirs) = (short(&file.sha256), short(hash));
            let message = format!("its bytes are others than in the version before (sha256 {ours}, before {theirs}), under the same name");
            found.add(Rule::ChangedUnderSameName, Severity::Error, &file.path, message);
        }
    }
}

fn short(hash: &ContentHash) -> String {
    hash.to_string().chars().take(12).collect()
}
