//! Source maps that are named and not there, or there for everybody. Never an opinion on a build from which all were taken out.

use super::report::{Collected, Severity};
use super::{Rule, Subject};
use crate::manifest::closure::Closure;
use crate::manifest::{ManifestFile, classify};

/// What a script or style ends with.
const MARK: &str = "sourceMappingURL=";

/// Maps that scripts and styles name and the build lacks.
#[derive(Debug, Default)]
pub(super) struct Maps {
    gone: Vec<(String, String)>,
}

impl Maps {
    pub(super) fn read(&mut self, closure: &Closure<'_>, file: &ManifestFile, text: &str) {
        let is_code = file.content_type.starts_with("text/javascript") || file.content_type.starts_with("text/css");
        let named = if is_code { named(text) } else { None };
        if let Some(map) = named.filter(|map| !closure.leads_somewhere(&file.path, map)) {
            self.gone.push((file.path.clone(), map.chars().take(200).collect()));
        }
    }

    pub(super) fn finish(self, subject: &Subject<'_>, found: &mut Collected) {
        let maps = || subject.manifest.files.iter().filter(|file| classify::is_source_map(&file.path) && file.encoding().is_none());
        // A build without any map has been stripped of them on purpose.
        let Some(first) = maps().next() else { return };
        for (path, map) in self.gone {
            found.add(Rule::MissingSourceMap, Severity::Warning, &path, format!("it names the source map {map:?}, which the build lacks"));
        }
        let message = format!("source maps are public: {}, the first is {:?}", maps().count(), first.path);
        found.add(Rule::PublicSourceMap, Severity::Info, "", message);
    }
}

/// The map that a file names, in the last comment that does; a map within the file is none.
fn named(text: &str) -> Option<&str> {
    let at = text.rfind(MARK)?;
    let is_comment = text[..at].ends_with("# ") || text[..at].ends_with("@ ");
    let map = text[at + MARK.len()..].split(|c: char| c.is_whitespace() || matches!(c, '*' | '"' | '\'' | '`')).next()?;
    (is_comment && !map.is_empty()).then_some(map)
}
