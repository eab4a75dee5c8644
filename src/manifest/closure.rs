//! Looks for references that lead nowhere: whatever a page, a style sheet or a build tool's manifest names must be in the build.
//! Never fetches anything, never judges other hosts, and reads no JavaScript: what chunks import is in the build tool's manifest.

use std::collections::BTreeSet;

use url::Url;

use super::readers::BuildNames;

mod css;
mod html;

#[cfg(test)]
mod tests;

/// Largest page or style sheet that is looked at.
pub const TEXT_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Most references that one message names.
const SHOWN_MAX: usize = 10;

/// Stands for the place where the build will lie; no real host ends so.
const HERE: &str = "http://build.invalid/";

/// A reference that leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dangling {
    /// The file that refers.
    pub referrer: String,
    /// What it refers to, as it is written there.
    pub reference: String,
}

/// The paths of a build and the URLs under which it will be found.
#[derive(Debug, Clone)]
pub struct Closure<'a> {
    paths: BTreeSet<&'a str>,
    bases: Vec<Url>,
}

impl<'a> Closure<'a> {
    /// `bases`: URLs in front of the build's paths, for example the store's public URL with the release's prefix; references
    /// that begin with one are looked at too. What is not a URL there is passed over.
    #[must_use]
    pub fn new(paths: impl IntoIterator<Item = &'a str>, bases: &[String]) -> Self {
        Self { paths: paths.into_iter().collect(), bases: bases.iter().filter_map(|base| Url::parse(base).ok()).collect() }
    }

    /// Whether a file is one that can refer to others.
    #[must_use]
    pub fn looks_at(path: &str) -> bool {
        super::classify::is_page(path) || is_style(path)
    }

    /// References of one file that lead nowhere, sorted.
    #[must_use]
    pub fn dangling(&self, path: &str, text: &str) -> BTreeSet<Dangling> {
        let Some(place) = place(path) else { return BTreeSet::new() };
        let found = found(path, text);
        let base = found.base.and_then(|base| place.join(&base).ok()).unwrap_or(place);
        let lost = found.references.into_iter().filter(|reference| !self.resolves(&base, reference));
        lost.map(|reference| Dangling { referrer: path.to_owned(), reference }).collect()
    }

    /// Whether a reference of a file leads to a file of the build, or out of it.
    #[must_use]
    pub fn leads_somewhere(&self, path: &str, reference: &str) -> bool {
        place(path).is_none_or(|place| self.resolves(&place, reference))
    }

    /// Whether the build has this path.
    #[must_use]
    pub fn has_path(&self, path: &str) -> bool {
        self.paths.contains(path)
    }

    /// What the build tool's manifest names and the build lacks, sorted.
    #[must_use]
    pub fn dangling_in_names(build: &BuildNames) -> BTreeSet<Dangling> {
        let referrer = build.reading.path.as_deref().unwrap_or_default();
        build.names.missing.iter().map(|lost| Dangling { referrer: referrer.to_owned(), reference: lost.clone() }).collect()
    }

    /// Whether a reference leads to a file of the build, or out of it.
    fn resolves(&self, base: &Url, reference: &str) -> bool {
        let reference = reference.trim();
        if reference.is_empty() || reference.starts_with('#') {
            return true;
        }
        // A URL that no browser can read is not followed by one either.
        let Ok(target) = base.join(reference) else { return true };
        if let Some(below) = self.bases.iter().find_map(|base| below(base, &target)) {
            return self.has(below);
        }
        if target.origin() != base_origin() {
            return true;
        }
        let path = target.path().trim_start_matches('/');
        // A build made for `/shop/` refers to `/shop/assets/…`, whatever lies in front of it.
        self.has(path) || self.bases.iter().any(|base| target.path().strip_prefix(base.path()).is_some_and(|below| self.has(below)))
    }

    fn has(&self, escaped_path: &str) -> bool {
        let path = percent_encoding::percent_decode_str(escaped_path).decode_utf8_lossy();
        // A folder stands for its page.
        let page = format!("{path}index.html");
        self.paths.contains(path.as_ref()) || ((path.is_empty() || path.ends_with('/')) && self.paths.contains(page.as_str()))
    }
}

/// What a page or a style sheet refers to, as it is written there.
#[must_use]
pub fn references(path: &str, text: &str) -> BTreeSet<String> {
    found(path, text).references
}

fn found(path: &str, text: &str) -> Found {
    if is_style(path) { css::references(text) } else { html::references(text) }
}

/// Where a file will lie, below the stand-in for the build's place.
fn place(path: &str) -> Option<Url> {
    Url::parse(HERE).and_then(|here| here.join(&escaped(path))).ok()
}

/// Text for all references that lead nowhere: sorted, and cut after ten.
#[must_use]
pub fn message(dangling: &BTreeSet<Dangling>) -> String {
    let shown: Vec<String> = dangling.iter().take(SHOWN_MAX).map(|one| format!("{} refers to {:?}", one.referrer, one.reference)).collect();
    let rest = dangling.len().saturating_sub(SHOWN_MAX);
    let more = if rest == 0 { String::new() } else { format!(", and {rest} more") };
    format!("the build lacks files that it refers to: {}{more}", shown.join(", "))
}

/// References of one file, before they are resolved.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    base: Option<String>,
    references: BTreeSet<String>,
}

fn is_style(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, ending)| ending.eq_ignore_ascii_case("css"))
}

/// A path as a relative URL. `./` in front, because a first part with a colon would be read as a scheme.
fn escaped(path: &str) -> String {
    const NOT_IN_PATHS: &percent_encoding::AsciiSet = &percent_encoding::CONTROLS.add(b' ').add(b'?').add(b'#').add(b'%');
    format!("./{}", percent_encoding::utf8_percent_encode(path, NOT_IN_PATHS))
}

fn base_origin() -> url::Origin {
    Url::parse(HERE).expect("a constant URL").origin()
}

/// The part of `target` below `base`, when it lies there.
fn below<'t>(base: &Url, target: &'t Url) -> Option<&'t str> {
    let same = base.host_str() == target.host_str() && base.port_or_known_default() == target.port_or_known_default();
    if same { target.path().strip_prefix(base.path()) } else { None }
}
