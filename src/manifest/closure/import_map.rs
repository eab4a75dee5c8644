//! Import maps of a page: which specifiers they change, and the files to which they lead.
//! Never resolves a specifier from where the page lies: keys and specifiers are compared below the same place, whatever it is.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use url::Url;

/// Longest import map that is read; it grows to about ten times its length in memory.
const BYTES_MAX: usize = 2 * 1024 * 1024;

/// Folders within folders, for keys of whole folders.
const DEPTH_MAX: usize = 32;

/// Stands for the page's folder.
const FOLDER: &str = "http://page.invalid/a/b/c/d/";

/// The specifiers that a page's import maps change.
#[derive(Debug, Default)]
pub(super) struct ImportMap(BTreeSet<String>);

/// As it is written; a target may be null.
#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    imports: BTreeMap<String, Option<String>>,
    #[serde(default)]
    scopes: BTreeMap<String, BTreeMap<String, Option<String>>>,
}

impl ImportMap {
    /// Adds what one map says; answers its targets that are files: addresses, not bare names, and not folders.
    pub(super) fn read(&mut self, text: &str) -> Vec<String> {
        let written = Some(text).filter(|text| text.len() <= BYTES_MAX).and_then(|text| serde_json::from_str::<Written>(text).ok());
        let Some(Written { imports, scopes }) = written else { return Vec::new() };
        let is_file = |target: &String| !target.ends_with('/') && (target.starts_with(['/', '.']) || target.contains("://"));
        let mut targets = Vec::new();
        for (key, target) in std::iter::once(imports).chain(scopes.into_values()).flatten() {
            self.0.extend(placed(&key));
            targets.extend(target.filter(is_file));
        }
        targets
    }

    /// Whether a specifier is changed: by its own key, or by that of a folder around it.
    pub(super) fn maps(&self, specifier: &str) -> bool {
        let Some(placed) = placed(specifier).filter(|_| !self.0.is_empty()) else { return false };
        let folders = placed.rmatch_indices('/').take(DEPTH_MAX).map(|(at, _)| &placed[..=at]);
        self.0.contains(&placed) || folders.into_iter().any(|folder| self.0.contains(folder))
    }
}

/// An address below the stand-in; bare names are left as they are.
fn placed(specifier: &str) -> Option<String> {
    if specifier.starts_with(['/', '.']) || specifier.contains("://") {
        return Url::parse(FOLDER).ok()?.join(specifier).ok().map(String::from);
    }
    Some(specifier.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_compared_as_addresses() {
        let mut map = ImportMap::default();
        let targets = map.read(r#"{"imports":{"./a.js":"/b.js","/lib/":"/x/","c":"d","e":null},"scopes":{"/":{"../f.js":"./g.js"}}}"#);
        assert_eq!(targets, ["/b.js", "./g.js"]);
        for specifier in ["./a.js", "./x/../a.js", "/lib/y/z.js", "c", "../f.js"] {
            assert!(map.maps(specifier), "{specifier}");
        }
        for specifier in ["/a.js", "./b.js", "/libx/a.js", "./f.js", "d"] {
            assert!(!map.maps(specifier), "{specifier}");
        }
        assert!(!ImportMap::default().maps("./a.js"));
    }
}
