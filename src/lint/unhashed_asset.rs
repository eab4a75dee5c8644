//! Scripts and styles that changed at an address that stayed. Never names that are fixed by custom, and never pictures: an old page with a
//! new picture is whole.

use std::collections::BTreeMap;

use super::report::{Collected, Severity};
use super::{Rule, Subject};
use crate::manifest::{Class, ManifestFile, classify};

/// Parts of the names of service workers: a new name would be a second one.
const OF_SERVICE_WORKERS: [&str; 5] = ["sw.js", "service-worker", "serviceworker", "ngsw-worker", "registersw"];

pub(super) fn look(subject: &Subject<'_>, found: &mut Collected) {
    let Some(previous) = subject.previous else { return };
    let before: BTreeMap<&str, _> = previous.files.iter().map(|file| (file.path.as_str(), &file.sha256)).collect();
    let changed = |file: &&ManifestFile| before.get(file.path.as_str()).is_some_and(|hash| **hash != file.sha256);
    let has_no_copy = |file: &&ManifestFile| !has_hashed_copy(&subject.manifest.files, &file.path);
    for file in subject.manifest.files.iter().filter(|file| is_code(file) && !is_fixed(&file.path)).filter(changed).filter(has_no_copy) {
        let message = "its bytes are others than in the version before, at the same address".to_owned();
        found.add(Rule::UnhashedAsset, Severity::Warning, &file.path, message);
    }
}

/// Whether a tool has put a copy with a hash in its name beside the file, as Django and Phoenix do: pages refer to the copy.
fn has_hashed_copy(files: &[ManifestFile], path: &str) -> bool {
    let begin = path.rsplit_once('.').map_or(path, |(stem, _)| stem);
    // Sorted by path, so that neighbours begin alike.
    let first = files.partition_point(|file| file.path.as_str() < begin);
    let mut like_it = files[first..].iter().take_while(|file| file.path.starts_with(begin));
    like_it.any(|file| file.class == Class::Asset && classify::is_hashed_form(&file.path, path))
}

fn is_code(file: &ManifestFile) -> bool {
    let kind = file.content_type.split(';').next().unwrap_or_default();
    let is_code = matches!(kind, "text/javascript" | "text/css" | "application/wasm");
    is_code && file.class != Class::Asset && file.encoding().is_none() && !classify::is_page(&file.path)
}

/// Lists for a site's search, which its tool writes under one name and a page asks for when a visitor searches (Sphinx, Pagefind).
const OF_SEARCH: [&str; 4] = ["searchindex.js", "pagefind.js", "pagefind-ui.js", "pagefind-worker.js"];

fn is_fixed(path: &str) -> bool {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name).to_ascii_lowercase();
    if OF_SEARCH.contains(&name.as_str()) {
        return true;
    }
    let is_worker = OF_SERVICE_WORKERS
        .iter()
        .any(|part| name == *part || name.ends_with(&format!("-{part}")) || (*part != "sw.js" && name.starts_with(part)));
    is_worker || path.starts_with(".well-known/")
}
