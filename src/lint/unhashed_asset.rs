//! Files that pages load and whose names do not change with their bytes. Never names that are fixed by custom.

use super::report::{Collected, Severity};
use super::{Rule, Subject};
use crate::manifest::{Class, ManifestFile, classify};

/// Beginnings of names that browsers and systems ask for by themselves, at the top of a site.
const FIXED_AT_THE_TOP: [&str; 6] = ["favicon", "apple-touch-icon", "android-chrome", "mstile", "browserconfig", "safari-pinned-tab"];

/// Parts of the names of service workers: a new name would be a second one.
const OF_SERVICE_WORKERS: [&str; 5] = ["sw.js", "service-worker", "serviceworker", "ngsw-worker", "registersw"];

pub(super) fn look(subject: &Subject<'_>, found: &mut Collected) {
    let entries = subject.manifest.of_class(Class::Unversioned);
    for file in entries.filter(|file| is_loaded_by_pages(file) && !is_fixed(&file.path) && !classify::looks_hashed(&file.path)) {
        found.add(Rule::UnhashedAsset, Severity::Warning, &file.path, "it has no content hash in its name".to_owned());
    }
}

fn is_loaded_by_pages(file: &ManifestFile) -> bool {
    let kind = file.content_type.split(';').next().unwrap_or_default();
    let is_code = matches!(kind, "text/javascript" | "text/css" | "application/wasm");
    let is_media = ["image/", "font/", "audio/", "video/"].iter().any(|start| kind.starts_with(start));
    !classify::is_page(&file.path) && file.encoding().is_none() && (is_code || is_media)
}

fn is_fixed(path: &str) -> bool {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name).to_ascii_lowercase();
    let at_top = !path.contains('/') && FIXED_AT_THE_TOP.iter().any(|start| name.starts_with(start));
    let is_worker = OF_SERVICE_WORKERS
        .iter()
        .any(|part| name == *part || name.ends_with(&format!("-{part}")) || (*part != "sw.js" && name.starts_with(part)));
    at_top || is_worker || path.starts_with(".well-known/")
}
