//! Source maps that are named and not there, or missing beside scripts. Never an opinion on whether maps should be public.

use std::collections::BTreeSet;

use super::report::{Collected, Severity};
use super::{Rule, Subject};
use crate::manifest::closure::Closure;
use crate::manifest::{Class, ManifestFile, classify};

/// What a script or style ends with.
const MARK: &str = "sourceMappingURL=";

/// Which scripts have a map.
#[derive(Debug, Default)]
pub(super) struct Maps {
    scripts: usize,
    /// Hashed scripts that name none and have none beside them.
    without: BTreeSet<String>,
}

impl Maps {
    pub(super) fn read(&mut self, closure: &Closure<'_>, file: &ManifestFile, text: &str, found: &mut Collected) {
        let (is_script, is_style) = (file.content_type.starts_with("text/javascript"), file.content_type.starts_with("text/css"));
        let named = if is_script || is_style { named(text) } else { None };
        if let Some(map) = named.filter(|map| !closure.leads_somewhere(&file.path, map)) {
            let map: String = map.chars().take(200).collect();
            found.add(
                Rule::MissingSourceMap,
                Severity::Warning,
                &file.path,
                format!("it names the source map {map:?}, which the build lacks"),
            );
        }
        if is_script && (file.class == Class::Asset || file.class == Class::Unversioned && classify::looks_hashed(&file.path)) {
            self.scripts += 1;
            if named.is_none() && !closure.has_path(&format!("{}.map", file.path)) {
                self.without.insert(file.path.clone());
            }
        }
    }

    pub(super) fn finish(&self, subject: &Subject<'_>, found: &mut Collected) {
        tell_public(subject, found);
        let mut tell = |path: &str, message: &str| found.add(Rule::MissingSourceMap, Severity::Info, path, message.to_owned());
        let has_maps = subject.manifest.files.iter().any(|file| classify::is_source_map(&file.path));
        if self.scripts > 0 && self.without.len() == self.scripts && !has_maps {
            return tell("", "no script of the build has a source map");
        }
        self.without.iter().for_each(|path| tell(path, "it has no source map, and other scripts of the build have one"));
    }
}

/// One finding for all of them: whether they should be public is the owner's to say.
fn tell_public(subject: &Subject<'_>, found: &mut Collected) {
    let mut maps = subject.manifest.files.iter().filter(|file| classify::is_source_map(&file.path) && file.encoding().is_none());
    if let Some(first) = maps.next() {
        let count = maps.count() + 1;
        let message = format!(
            "it is public, as are all {count} source maps of the build: leave them out with --exclude '**/*.map' if they should not be"
        );
        found.add(Rule::PublicSourceMap, Severity::Info, &first.path, message);
    }
}

/// The map that a file names, in the last comment that does; a map within the file is none.
fn named(text: &str) -> Option<&str> {
    let at = text.rfind(MARK)?;
    let is_comment = text[..at].ends_with("# ") || text[..at].ends_with("@ ");
    let map = text[at + MARK.len()..].split(|c: char| c.is_whitespace() || matches!(c, '*' | '"' | '\'' | '`')).next()?;
    (is_comment && !map.is_empty()).then_some(map)
}
