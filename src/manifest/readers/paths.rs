//! The paths of a build, for readers to look names up in. Never gives back a path that the build does not have.

use std::collections::BTreeMap;

use crate::manifest::classify::{is_page, is_source_map};

/// Folders in front of a file that are tried as the public path.
const DEPTH_MAX: usize = 32;

/// The files of a build that are published, sorted.
#[derive(Debug, Clone)]
pub struct Paths<'a>(Vec<&'a str>);

impl<'a> Paths<'a> {
    /// These paths.
    #[must_use]
    pub fn new(paths: impl IntoIterator<Item = &'a str>) -> Self {
        let mut sorted: Vec<&str> = paths.into_iter().collect();
        sorted.sort_unstable();
        Self(sorted)
    }

    /// The build's own text for this path, if it has it.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&'a str> {
        self.0.binary_search(&path).ok().map(|at| self.0[at])
    }

    /// All of them, sorted.
    pub fn all(&self) -> impl Iterator<Item = &'a str> {
        self.0.iter().copied()
    }

    /// What a tool puts in front of its paths (webpack's `publicPath`), told from the URLs that it wrote: of all beginnings
    /// after which the rest is a file of the build, the one that fits most URLs; of several the shortest. URLs that are paths of the
    /// build as they stand need none. `None` when no URL leads to a file.
    #[must_use]
    pub fn public_path<'u>(&self, urls: impl IntoIterator<Item = &'u str>) -> Option<&'u str> {
        let mut fits: BTreeMap<&str, usize> = BTreeMap::new();
        let mut is_any_plain = false;
        for url in urls {
            if self.find(url).is_some() {
                is_any_plain = true;
                continue;
            }
            let ends = url.match_indices('/').map(|(at, _)| at + 1).take(DEPTH_MAX);
            for end in ends.filter(|end| self.find(&url[*end..]).is_some()) {
                *fits.entry(&url[..end]).or_default() += 1;
            }
        }
        let best = fits.into_iter().max_by_key(|(start, count)| (*count, std::cmp::Reverse(start.len())));
        best.map(|(start, _)| start).or(is_any_plain.then_some(""))
    }

    /// The file that a URL means, with what the tool puts in front.
    #[must_use]
    pub fn behind(&self, public_path: &str, url: &str) -> Option<&'a str> {
        self.find(url).or_else(|| self.find(url.strip_prefix(public_path)?))
    }
}

/// A path or URL without query and fragment.
#[must_use]
pub fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}

/// Whether a text ends in a file's name: something, a dot, and an ending with a letter (`1.2.3` has none).
#[must_use]
pub fn names_a_file(url: &str) -> bool {
    let path = without_query(url);
    let below_host = path.split_once("//").map_or(path, |(_, rest)| rest.split_once('/').map_or("", |(_, below)| below));
    let name = below_host.rsplit_once('/').map_or(below_host, |(_, name)| name);
    name.rsplit_once('.').is_some_and(|(stem, ending)| {
        !stem.is_empty() && ending.bytes().all(|b| b.is_ascii_alphanumeric()) && ending.bytes().any(|b| b.is_ascii_alphabetic())
    })
}

/// Whether a page can need the file. Source maps, licences and pages may have been taken out of the build on purpose: no page
/// fails to load for them.
#[must_use]
pub fn is_needed(path: &str) -> bool {
    !(is_source_map(path) || path.ends_with(".LICENSE.txt") || path.ends_with(".LEGAL.txt") || is_page(path))
}

/// The folder of a path, with `/` at its end, and the rest.
#[must_use]
pub fn folder_and_name(path: &str) -> (&str, &str) {
    path.rfind('/').map_or(("", path), |at| path.split_at(at + 1))
}

/// What a path's name has behind its last dot.
#[must_use]
pub fn ending(path: &str) -> Option<&str> {
    folder_and_name(path).1.rsplit_once('.').map(|(_, ending)| ending)
}

/// Whether a page loads the file to run it or to be styled by it.
#[must_use]
pub fn is_script_or_style(path: &str) -> bool {
    matches!(ending(path), Some("js" | "mjs" | "css"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_path_is_what_stands_in_front_of_most_files() {
        let paths = Paths::new(["js/a.js", "index.html", "a.js"]);
        for (urls, expected) in [
            (vec!["/static/js/a.js", "/static/index.html"], Some("/static/")),
            (vec!["https://cdn.example.com/x/js/a.js", "https://cdn.example.com/x/gone.js"], Some("https://cdn.example.com/x/")),
            (vec!["js/a.js", "gone.js"], Some("")),
            (vec!["js/a.js", "index.html"], Some("")),
            // react-scripts writes entry points without it.
            (vec!["js/a.js", "/index.html"], Some("/")),
            (vec!["/../../etc/passwd", ""], None),
        ] {
            assert_eq!(paths.public_path(urls.iter().copied()), expected, "{urls:?}");
        }
    }

    #[test]
    fn versions_and_hosts_are_no_files() {
        for text in ["1.2.3", "https://cdn.example.com", "https://cdn.example.com/", "v2", "2026.11.21", ".js", "a/b"] {
            assert!(!names_a_file(text), "{text}");
        }
        for text in ["a.js", "/x/a.woff2?v=1", "https://cdn.example.com/a.1.css"] {
            assert!(names_a_file(text), "{text}");
        }
    }
}
