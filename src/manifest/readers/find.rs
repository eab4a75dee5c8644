//! Which files of a build may be a tool's own: those at a usual place, at the top or below a few folders (`public/build/manifest.json`).
//! Never reads one, and never gives more than a bounded number of them.

use super::{BYTES_MAX, Place, READERS, Reader};
use crate::manifest::build::NewFile;

/// Folders in front of a usual place.
const DEPTH_MAX: usize = 3;

/// Files that are looked at: more folders with a file of such a name belong to a site of documents, not to a build tool.
const CANDIDATES_MAX: usize = 96;

/// Bytes of all of them together; the first is taken whatever its size.
const BYTES_OF_ALL_MAX: u64 = 2 * BYTES_MAX;

/// A file at a usual place.
#[derive(Clone, Copy)]
pub(super) struct Candidate<'f> {
    pub(super) reader: &'static Reader,
    pub(super) place: &'static Place,
    pub(super) path: &'f str,
    /// Folders in front of the usual place.
    pub(super) depth: usize,
}

/// Those that are small enough to be read, in the order in which they are asked about.
pub(super) fn candidates(files: &[NewFile]) -> Vec<Candidate<'_>> {
    sized(files).into_iter().filter(|(_, size)| *size <= BYTES_MAX).map(|(candidate, _)| candidate).collect()
}

/// Those too that are too large: a tool's own file at the top must be readable.
pub(super) fn candidates_of_any_size(files: &[NewFile]) -> Vec<Candidate<'_>> {
    sized(files).into_iter().map(|(candidate, _)| candidate).collect()
}

fn sized(files: &[NewFile]) -> Vec<(Candidate<'_>, u64)> {
    let mut found: Vec<(usize, Candidate<'_>, u64)> = Vec::new();
    for file in files {
        let places = READERS.iter().flat_map(|reader| reader.places.iter().map(move |place| (reader, place))).enumerate();
        found.extend(places.filter_map(|(order, (reader, place))| {
            let depth = depth(place.path, &file.path)?;
            Some((order, Candidate { reader, place, path: &file.path, depth }, file.size))
        }));
    }
    // The top goes before folders, whatever the reader: a folder's list is one of a part.
    found.sort_unstable_by_key(|(order, candidate, _)| (candidate.depth, *order, candidate.path));
    let mut bytes = 0_u64;
    let fits = |size: u64| {
        bytes = bytes.saturating_add(size.min(BYTES_MAX));
        bytes <= BYTES_OF_ALL_MAX
    };
    let first = found.into_iter().take(CANDIDATES_MAX).map(|(_, candidate, size)| (candidate, size));
    let mut fits = fits;
    first.enumerate().filter(|(at, (_, size))| fits(*size) || *at == 0).map(|(_, one)| one).collect()
}

/// The folders in front of a usual place, if the path ends with one.
fn depth(place: &str, path: &str) -> Option<usize> {
    let (mut wanted, mut parts) = (place.rsplit('/'), path.rsplit('/'));
    if !matches(wanted.next()?, parts.next()?) {
        return None;
    }
    for part in wanted {
        if parts.next()? != part {
            return None;
        }
    }
    let depth = parts.count();
    (depth <= DEPTH_MAX).then_some(depth)
}

fn matches(wanted: &str, name: &str) -> bool {
    match wanted.split_once('*') {
        None => wanted == name,
        Some((start, end)) => name.len() > wanted.len() - 1 && name.starts_with(start) && name.ends_with(end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usual_place_may_lie_below_three_folders() {
        for (place, path, expected) in [
            ("manifest.json", "manifest.json", Some(0)),
            ("manifest.json", "public/build/manifest.json", Some(2)),
            (".vite/manifest.json", "public/build/.vite/manifest.json", Some(2)),
            (".vite/manifest.json", "vite/manifest.json", None),
            ("manifest-*.js", "assets/manifest-1a.js", Some(1)),
            ("manifest-*.js", "assets/manifest-.js", None),
            ("manifest.json", "a/b/c/d/manifest.json", None),
            ("manifest.json", "a/my-manifest.json", None),
        ] {
            assert_eq!(depth(place, path), expected, "{place} {path}");
        }
    }
}
