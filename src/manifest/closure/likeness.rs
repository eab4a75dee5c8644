//! Whether a path looks like the files beside which it would lie: same folder, same ending, a part of the same length at the same place.
//! Never proof of anything: it says only that a string in a script is worth a warning.

use std::collections::BTreeSet;

/// Shortest part of a name that may be a hash.
const HASH_CHARS_MIN: usize = 5;

/// Files of a folder that are compared.
const SIBLINGS_MAX: usize = 2_000;

/// The shape of a name: its ending, the mark before its last part, and that part's length.
type Shape<'n> = (&'n str, u8, usize);

pub(super) fn looks_like_a_sibling(paths: &BTreeSet<&str>, path: &str) -> bool {
    let Some(at) = path.rfind('/') else { return false };
    let (folder, name) = path.split_at(at + 1);
    let shapes = shapes(name);
    if shapes.is_empty() {
        return false;
    }
    let siblings = paths.range(folder..).take_while(|other| other.starts_with(folder)).take(SIBLINGS_MAX);
    siblings
        .map(|other| &other[at + 1..])
        .filter(|other| !other.contains('/'))
        .any(|other| self::shapes(other).iter().any(|one| shapes.contains(one)))
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
        let paths = BTreeSet::from(["assets/a-B1cD2eF3.js", "assets/x/b-B1cD2eF3.css", "js/7.3a4f5b6c.js", "js/main.js"]);
        for like in ["assets/z-Q_w-rT1y.js", "assets/b-aaaaaaa1.js", "js/8.00000001.js"] {
            assert!(looks_like_a_sibling(&paths, like), "{like}");
        }
        for unlike in ["assets/b-B1cD2eF3.css", "assets/a.js", "js/vendor.js", "lib/a-B1cD2eF3.js", "a-B1cD2eF3.js", "js/8.3a4f5.js"] {
            assert!(!looks_like_a_sibling(&paths, unlike), "{unlike}");
        }
    }
}
