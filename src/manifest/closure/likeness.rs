//! Whether a path looks like the files beside which it would lie: same folder, same ending, a part of the same length at the same place.
//! Never proof of anything: it says only that a string in a script is worth a warning.

use std::collections::{BTreeSet, HashSet};

/// Shortest part of a name that may be a hash.
const HASH_CHARS_MIN: usize = 5;

/// The shape of a name: its ending, the mark before its last part, and that part's length.
type Shape<'n> = (&'n str, u8, usize);

/// The shapes of a build's names, each with its folder.
#[derive(Debug, Clone)]
pub(super) struct Shapes<'a>(HashSet<(&'a str, Shape<'a>)>);

impl<'a> Shapes<'a> {
    pub(super) fn of(paths: &BTreeSet<&'a str>) -> Self {
        Self(paths.iter().flat_map(|path| in_a_folder(path)).collect())
    }

    pub(super) fn has_a_sibling_of(&self, path: &str) -> bool {
        in_a_folder(path).iter().any(|shape| self.0.contains(shape))
    }
}

/// What lies in no folder looks like too much.
fn in_a_folder(path: &str) -> Vec<(&str, Shape<'_>)> {
    let Some((folder, name)) = path.rsplit_once('/') else { return Vec::new() };
    shapes(name).into_iter().map(|shape| (folder, shape)).collect()
}

fn shapes(name: &str) -> Vec<Shape<'_>> {
    let Some((stem, ending)) = name.rsplit_once('.').filter(|(stem, _)| stem.is_ascii()) else { return Vec::new() };
    let last = stem.bytes().rposition(|byte| matches!(byte, b'-' | b'.' | b'_')).map(|at| (at, stem.len() - at - 1));
    // Hashes of base64 have the marks in them; all tools that write such cut them to 8.
    let fixed = stem.len().checked_sub(9).map(|at| (at, 8)).filter(|(at, _)| matches!(stem.as_bytes()[*at], b'-' | b'.' | b'_'));
    let is_hash = |part: &str| {
        let (digit, capital) = (part.bytes().any(|b| b.is_ascii_digit()), part.bytes().skip(1).any(|b| b.is_ascii_uppercase()));
        part.len() >= HASH_CHARS_MIN && (digit || capital)
    };
    let found = last.into_iter().chain(fixed).filter(|(at, _)| is_hash(&stem[at + 1..]));
    found.map(|(at, length)| (ending, stem.as_bytes()[at], length)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_looks_like_those_beside_it_and_not_like_those_elsewhere() {
        let shapes = Shapes::of(&BTreeSet::from([
            "assets/a-B1cD2eF3.js",
            "assets/x/b-B1cD2eF3.css",
            "js/7.3a4f5b6c.js",
            "js/main.js",
            "c-B1cD2eF3.js",
        ]));
        for like in ["assets/z-Q_w-rT1y.js", "assets/b-aaaaaaa1.js", "js/8.00000001.js"] {
            assert!(shapes.has_a_sibling_of(like), "{like}");
        }
        for unlike in ["assets/b-B1cD2eF3.css", "assets/a.js", "js/vendor.js", "lib/a-B1cD2eF3.js", "a-B1cD2eF3.js", "js/8.3a4f5.js"] {
            assert!(!shapes.has_a_sibling_of(unlike), "{unlike}");
        }
    }

    #[test]
    fn siblings_are_found_behind_any_number_of_folders() {
        let pages: Vec<String> = (0..3_000).map(|n| format!("a/{n}/index.html")).collect();
        let paths = pages.iter().map(String::as_str).chain(["a/z-B1cD2eF3.js"]).collect();
        assert!(Shapes::of(&paths).has_a_sibling_of("a/y-Q1w2E3r4.js"));
    }
}
