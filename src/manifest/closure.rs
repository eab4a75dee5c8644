//! Looks for references that lead nowhere: whatever a page, a style sheet, a web app manifest or a build tool's own list names must be in
//! the build, or at a place that others serve. What a script's text seems to name is only a guess.
//! Never fetches anything, and never judges hosts of others.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::OnceLock;

use url::Url;

use super::readers::BuildNames;

mod base;
mod chunks;
mod css;
mod ends;
mod external;
mod found;
mod gaps;
mod html;
mod import_map;
mod lexer;
mod likeness;
mod lines;
mod near;
mod page_reader;
mod script;
mod srcset;
mod tags;
mod verdict;
mod web_app;

#[cfg(test)]
mod tests;

pub use base::{By, TakenBase};
pub use external::{External, InvalidGlob};
pub use found::Evidence;
pub use gaps::Gaps;
pub use verdict::{Dangling, UnusedPattern, Verdict, Warning};

use base::Base;
use ends::Ends;
use found::{Found, Guess, Guessed, List, Reference, Start};
use likeness::Shapes;

/// Largest page, style sheet or script that is looked at.
pub const TEXT_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Stands for the place where the build will lie; no real host ends so.
const HERE: &str = "http://build.invalid/";

/// Folders in front of a file that are tried as the build's base.
const FOLDERS_MAX: usize = 16;

/// The paths of a build and where it may be found.
#[derive(Debug, Clone)]
pub struct Closure<'a> {
    paths: BTreeSet<&'a str>,
    bases: Vec<Base>,
    external: External,
    /// Made when the first guess needs them.
    shapes: OnceLock<Shapes<'a>>,
    ends: OnceLock<Ends>,
}

/// Where one reference leads.
#[derive(Debug, PartialEq, Eq)]
enum Leads {
    /// To a file of the build, as it stands.
    There,
    /// To a file of the build, through this base.
    By(Base),
    /// Out of the build, or to what others serve.
    Elsewhere,
    /// To a path of the build where there is nothing.
    Nowhere { path: String, is_rooted: bool },
    /// To a file of the build, if the build lies at this base; else nowhere.
    Perhaps { base: Base, path: String },
    /// To another host, which may be the build's own.
    Foreign(Url),
}

impl<'a> Closure<'a> {
    /// `urls`: in front of the build's paths, for example the store's public URL with the release's prefix; references that begin
    /// with one are looked at too. What is not a URL there is passed over.
    #[must_use]
    pub fn new(paths: impl IntoIterator<Item = &'a str>, urls: &[String]) -> Self {
        let bases = urls.iter().filter(|url| url.contains("://")).filter_map(|url| Base::new(url, By::PublicUrl)).collect();
        let (paths, external) = (paths.into_iter().collect(), External::well_known());
        let mut closure = Self { paths, bases, external, shapes: OnceLock::new(), ends: OnceLock::new() };
        // A build made for `/shop/` refers to `/shop/assets/…`, whatever host lies in front of it.
        let path =
            |url: &String| if url.starts_with('/') { Some(url.clone()) } else { Url::parse(url).ok().map(|url| url.path().to_owned()) };
        closure.bases.extend(urls.iter().filter_map(path).filter_map(|path| Base::new(&path, By::PublicUrl)));
        closure
    }

    /// With the build's prefix in the bucket.
    #[must_use]
    pub fn below(mut self, prefix: &str) -> Self {
        self.bases.extend(base::of_prefix(prefix));
        self
    }

    /// With what the build tool says of its own URLs.
    #[must_use]
    pub fn built_as(self, build: &BuildNames) -> Self {
        self.built_at(build.names.public_path.as_deref())
    }

    /// With what a build tool puts in front of its files.
    #[must_use]
    pub fn built_at(mut self, public_path: Option<&str>) -> Self {
        let public_path = public_path.filter(|path| path.starts_with('/') || path.contains("//"));
        self.bases.extend(public_path.and_then(|path| Base::new(path, By::Manifest)));
        self
    }

    /// With what others serve.
    #[must_use]
    pub fn without(mut self, external: &External) -> Self {
        self.external = external.clone();
        self
    }

    /// Whether a file is one that can refer to others.
    #[must_use]
    pub fn looks_at(path: &str) -> bool {
        super::classify::is_page(path) || kind(path).is_some()
    }

    /// Whether a build must not be published without this file being looked at. What scripts seem to name is a guess.
    #[must_use]
    pub fn must_look_at(path: &str) -> bool {
        super::classify::is_page(path) || kind(path) == Some(Kind::Style)
    }

    /// References of one file that lead nowhere by themselves, without what only the whole build can tell.
    #[must_use]
    pub fn dangling(&self, path: &str, text: &str) -> BTreeSet<Dangling> {
        let mut gaps = Gaps::default();
        gaps.look(self, path, text);
        gaps.finish(self).dangling
    }

    /// Whether a reference of a file leads to a file of the build, or out of it.
    #[must_use]
    pub fn leads_somewhere(&self, path: &str, reference: &str) -> bool {
        let Some(place) = place(path) else { return true };
        !matches!(self.leads(&[], &place, reference), Leads::Nowhere { .. } | Leads::Perhaps { .. })
    }

    /// Whether the build has this path.
    #[must_use]
    pub fn has_path(&self, path: &str) -> bool {
        self.paths.contains(path)
    }

    /// Where each reference of a file leads, with the reference. One at a time: a page has up to 200,000.
    fn all_leads<'s>(&'s self, path: &'s str, text: &str) -> Box<dyn Iterator<Item = (Reference, Leads)> + 's> {
        let (Some(place), Found { base, is_whole_page, references, guesses, lists }) = (place(path), found(path, text)) else {
            return Box::new(std::iter::empty());
        };
        let is_part = !is_whole_page && super::classify::is_page(path) && !is_opened_by_its_folder(path);
        let document = base.as_deref().and_then(|base| place.join(base).ok()).unwrap_or_else(|| place.clone());
        let own = if base.is_some() { of_document(&document, path) } else { Vec::new() };
        let references = references.into_iter().map(move |reference| {
            let leads = self.leads(&own, &document, &reference.text);
            if is_part { self.of_part(reference, leads) } else { (reference, leads) }
        });
        let guesses = guesses.into_iter().filter_map(move |guess| self.guessed(&place, guess));
        Box::new(references.chain(guesses).chain(lists.into_iter().flat_map(|list| self.listed(path, list))))
    }

    /// A part of a page is put into another one, mostly one at the top: there its references lead from that page's folder.
    fn of_part(&self, reference: Reference, leads: Leads) -> (Reference, Leads) {
        match leads {
            Leads::Nowhere { .. } | Leads::Perhaps { .. } => {
                let from_top = Url::parse(HERE).ok().map(|top| self.leads(&[], &top, &reference.text));
                let is_there = matches!(from_top, Some(Leads::There | Leads::By(_)));
                let evidence = if reference.evidence == Evidence::Asked { Evidence::Unlikely } else { reference.evidence };
                (Reference { evidence, ..reference }, if is_there { Leads::There } else { leads })
            }
            Leads::There | Leads::By(_) | Leads::Elsewhere | Leads::Foreign(_) => (reference, leads),
        }
    }

    /// What a list in a script names and the build lacks. The output folder is the one around the script that has most of the list; if none
    /// has any, the list is about something else, or all of it is gone: a guess.
    fn listed(&self, path: &str, list: List) -> Vec<(Reference, Leads)> {
        let has = |folder: &str, name: &String| self.paths.contains(format!("{folder}{name}").as_str());
        let count = |folder: &str| list.names.iter().filter(|name| has(folder, name)).count();
        let around = path.match_indices('/').map(|(at, _)| &path[..=at]).take(FOLDERS_MAX);
        let best = std::iter::once("").chain(around).map(|folder| (count(folder), Reverse(folder.len()), folder)).max();
        let Some((known, _, folder)) = best else { return Vec::new() };
        let evidence = if known == 0 { Evidence::Guessed { line: list.line } } else { Evidence::Asked };
        let lost = list.names.into_iter().filter(|name| !has(folder, name));
        lost.map(|text| {
            let path = format!("{folder}{text}");
            (Reference { text, start: Start::Build, evidence }, Leads::Nowhere { path, is_rooted: false })
        })
        .collect()
    }

    /// A guess counts only where it looks like a file of the build that is not there.
    fn guessed(&self, place: &Url, guess: Guessed) -> Option<(Reference, Leads)> {
        let evidence = Evidence::Guessed { line: guess.line };
        let is_relative = guess.text.starts_with('.');
        let target = if is_relative { place.join(&guess.text).ok()? } else { Url::parse(HERE).ok()?.join(&guess.text).ok()? };
        let path = decoded(target.path().trim_start_matches('/'));
        let is_lost = match guess.kind {
            Guess::Literal => !self.has(target.path().trim_start_matches('/')) && self.shapes().has_a_sibling_of(&path),
            Guess::Chunk => !self.paths.contains(path.as_str()) && !self.ends().has_below_a_folder(&path),
        };
        let reference = Reference { text: guess.text, start: Start::Build, evidence };
        is_lost.then_some((reference, Leads::Nowhere { path, is_rooted: false }))
    }

    fn shapes(&self) -> &Shapes<'a> {
        self.shapes.get_or_init(|| Shapes::of(&self.paths))
    }

    fn ends(&self) -> &Ends {
        self.ends.get_or_init(|| Ends::of(&self.paths))
    }

    /// Where a reference leads from a URL.
    fn leads(&self, own: &[Base], from: &Url, reference: &str) -> Leads {
        // A URL that no browser can read is not followed by one either.
        let Ok(target) = from.join(reference) else { return Leads::Elsewhere };
        if !matches!(target.scheme(), "http" | "https") {
            return Leads::Elsewhere;
        }
        let (is_here, path) = (base::is_here(&target), target.path().trim_start_matches('/'));
        if is_here && self.has(path) {
            return Leads::There;
        }
        let below: Vec<(&Base, &str)> = own.iter().chain(&self.bases).filter_map(|base| Some((base, base.below(&target)?))).collect();
        if let Some((base, _)) = below.iter().find(|(_, rest)| self.has(rest)) {
            return Leads::By((*base).clone());
        }
        if is_here && self.is_external(path, below.iter().map(|(_, rest)| *rest)) {
            return Leads::Elsewhere;
        }
        match below.first() {
            Some((_, rest)) if !is_here && self.is_external(rest, std::iter::empty()) => Leads::Elsewhere,
            Some((_, rest)) if !is_here => Leads::Nowhere { path: decoded(rest), is_rooted: true },
            None if !is_here => Leads::Foreign(target),
            first => {
                let path = decoded(first.map_or(path, |(_, rest)| *rest));
                // A path from the host's top may begin with the build's base, of which nothing else is known.
                let is_rooted = reference.starts_with('/') || !own.is_empty();
                match self.base_before(&target).filter(|_| is_rooted) {
                    Some(base) => Leads::Perhaps { base, path },
                    None => Leads::Nowhere { path, is_rooted },
                }
            }
        }
    }

    /// The shortest start of a URL after which the rest is a file of the build.
    fn base_before(&self, target: &Url) -> Option<Base> {
        let path = target.path();
        // The top of the build's own host was looked at before.
        let ends = path.match_indices('/').map(|(at, _)| at + 1).skip(usize::from(base::is_here(target))).take(FOLDERS_MAX);
        let end = ends.into_iter().find(|end| !path[*end..].is_empty() && self.paths.contains(decoded(&path[*end..]).as_str()))?;
        let mut url = target.clone();
        url.set_path(&path[..end]);
        Base::new(url.as_str(), By::References)
    }

    fn is_external<'t>(&self, path: &str, mut below: impl Iterator<Item = &'t str>) -> bool {
        let is = |path: &str| self.external.has(&decoded(path));
        is(path) || below.any(is)
    }

    /// Whether another program serves what a tool's list names: a path of the build, or that with what leads to the build before it.
    fn is_external_name(&self, name: &str) -> bool {
        let Some(url) = Url::parse(HERE).ok().and_then(|here| here.join(name).ok()) else { return false };
        let below = self.bases.iter().filter_map(|base| base.below(&url));
        self.is_external(if base::is_here(&url) { url.path().trim_start_matches('/') } else { "" }, below)
    }

    /// Whether another program serves this path, without the build's base.
    fn is_external_below(&self, base: &str, path: &str) -> bool {
        path.strip_prefix(base.trim_start_matches('/')).is_some_and(|below| self.external.has(below))
    }

    fn has(&self, escaped_path: &str) -> bool {
        let path = percent_encoding::percent_decode_str(escaped_path).decode_utf8_lossy();
        let has = |page: String| self.paths.contains(page.as_str());
        if self.paths.contains(path.as_ref()) {
            return true;
        }
        // A folder stands for its page, and a page may be asked for without its ending.
        if path.is_empty() || path.ends_with('/') {
            return has(format!("{path}index.html"));
        }
        has(format!("{path}/index.html")) || has(format!("{path}.html"))
    }
}

/// Whether a page is the one that a browser gets for a folder: it is whole, however little of a page it has.
fn is_opened_by_its_folder(path: &str) -> bool {
    path == "index.html" || path.ends_with("/index.html")
}

/// Bases that a page's `<base>` gives: its own URL, and that without the folder in which the page lies.
fn of_document(document: &Url, path: &str) -> Vec<Base> {
    let folder = document.path().rfind('/').map_or("/", |at| &document.path()[..=at]);
    let own_folder = path.rfind('/').map_or("", |at| &path[..=at]);
    let around = folder.strip_suffix(own_folder).filter(|around| around.ends_with('/') && !own_folder.is_empty());
    let base_at = |path: &str| {
        let mut url = document.clone();
        url.set_path(path);
        Base::new(url.as_str(), By::BaseElement)
    };
    around.into_iter().chain([folder]).filter_map(base_at).collect()
}

/// What is looked at besides pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Style,
    Script,
    WebApp,
}

fn kind(path: &str) -> Option<Kind> {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    match name.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
        "css" => Some(Kind::Style),
        "js" | "mjs" => Some(Kind::Script),
        "webmanifest" => Some(Kind::WebApp),
        "json" if name == "manifest.json" => Some(Kind::WebApp),
        _ => None,
    }
}

fn found(path: &str, text: &str) -> Found {
    let mut found = Found::default();
    match kind(path) {
        None => return html::references(text, syntax(path)),
        Some(Kind::Style) => css::references(text, &mut found),
        Some(Kind::Script) => script::references(text, &mut found),
        Some(Kind::WebApp) => web_app::references(text, &mut found),
    }
    found
}

fn syntax(page: &str) -> html::Syntax {
    let is_xhtml = page.rsplit_once('.').is_some_and(|(_, ending)| ending.eq_ignore_ascii_case("xhtml"));
    if is_xhtml { html::Syntax::Xhtml } else { html::Syntax::Html }
}

/// Where a file will lie, below the stand-in for the build's place.
fn place(path: &str) -> Option<Url> {
    Url::parse(HERE).and_then(|here| here.join(&escaped(path))).ok()
}

fn decoded(path: &str) -> String {
    percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned()
}

/// A path as a relative URL. `./` in front, because a first part with a colon would be read as a scheme.
fn escaped(path: &str) -> String {
    const NOT_IN_PATHS: &percent_encoding::AsciiSet = &percent_encoding::CONTROLS.add(b' ').add(b'?').add(b'#').add(b'%');
    format!("./{}", percent_encoding::utf8_percent_encode(path, NOT_IN_PATHS))
}
