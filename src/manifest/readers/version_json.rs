//! A plain `version.json`: a map from each name to the hash of its file, or to the file. What a value is, the build tells.
//! Never takes a hash's word for a file that does not carry it in its name: such a file may change.

use std::collections::BTreeMap;

use super::json::Node;
use super::paths::{folder_and_name, names_a_file, without_query};
use super::webpack::{Target, named};
use super::{Input, Names, Paths, Place, Reader, Unsuitable, UsedBy};
use crate::api::Format;
use crate::manifest::classify;

/// No file system takes a longer name for one part of a path, and no source of a build does.
const NAME_BYTES_MAX: usize = 255;

/// Written by hand-made build steps, so its shape is the only evidence.
pub const READER: Reader =
    Reader { format: Format::VersionJson, tool: "VersionJson", places: &[Place { path: "version.json", used_by: UsedBy::Others }], read };

/// Dots at which a hash may stand, from the last one on.
const DOTS_MAX: usize = 8;

fn read(input: &Input<'_>) -> Result<Names, Unsuitable> {
    let object = Node::object(input.bytes).map_err(Unsuitable::AnotherFormat)?;
    let texts: BTreeMap<String, String> = object.into_iter().filter_map(|(name, node)| Some((name, text(node)?))).collect();
    let (files, hashes): (BTreeMap<_, _>, BTreeMap<_, _>) = texts.into_iter().partition(|(_, value)| names_a_file(value));
    let public_path = input.paths.public_path(files.values().map(|url| without_query(url)));
    let target = |url: &str| Target::of(url, public_path.unwrap_or_default(), input.paths);
    let mut names = named(&files, files.values().map(|url| without_query(url)), &target);
    read_hashes(&hashes, input.paths, &mut names)?;
    if names.logical.is_empty() {
        return Err(Unsuitable::AnotherFormat("none of its hashes or file names is that of a file of the build".to_owned()));
    }
    Ok(names)
}

fn text(node: Node) -> Option<String> {
    if let Node::Text(text) = node { Some(text) } else { None }
}

/// Names without an ending are not files' (`version`, `commit`).
fn read_hashes(hashes: &BTreeMap<String, String>, paths: &Paths<'_>, names: &mut Names) -> Result<(), Unsuitable> {
    let hashes = hashes.iter().filter(|(name, hash)| names_a_file(name) && is_one_word(hash));
    let places = Places::of(paths);
    for (name, hash) in hashes {
        match places.carrying(name, hash).as_slice() {
            [] => drop(names.missing.insert(format!("{name} ({hash})"))),
            [file] => {
                names.logical.entry((*file).to_owned()).or_insert_with(|| name.clone());
                if classify::is_hash_of_a_tool(hash) {
                    names.hashed.insert((*file).to_owned());
                }
            }
            several => {
                let files = several.iter().map(|file| (*file).to_owned()).collect();
                return Err(Unsuitable::Ambiguous { name: name.clone(), files });
            }
        }
    }
    Ok(())
}

fn is_one_word(hash: &str) -> bool {
    !hash.is_empty() && hash.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// The build's files by the last part of their paths.
struct Places<'a>(BTreeMap<&'a str, Vec<&'a str>>);

impl<'a> Places<'a> {
    fn of(paths: &Paths<'a>) -> Self {
        let mut by_name: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for path in paths.all() {
            by_name.entry(folder_and_name(path).1).or_default().push(path);
        }
        Self(by_name)
    }

    /// Files whose names are this one with this hash: those at the name's own folder, or else below any, since the names in such
    /// a map rarely have the folders that the build tool has made.
    fn carrying(&self, name: &str, hash: &str) -> Vec<&'a str> {
        let (folder, last) = folder_and_name(name.trim_start_matches('/'));
        // No file of a build has such a name, and one of 100 KiB of dots would have 400,000 forms of that length.
        if last.len() + hash.len() >= NAME_BYTES_MAX {
            return Vec::new();
        }
        let wanted = hashed_forms(last, hash);
        let mut all: Vec<&str> = wanted.iter().filter_map(|name| self.0.get(name.as_str())).flatten().copied().collect();
        all.sort_unstable();
        let own: Vec<&str> = all.iter().copied().filter(|path| folder_and_name(path).0 == folder).collect();
        if own.is_empty() { all } else { own }
    }
}

/// `app.min.js` with the hash `H`: `app.H.min.js`, `app.min.H.js`, the same with `-` and `_`, `H.app.min.js`, `H.js`.
fn hashed_forms(name: &str, hash: &str) -> Vec<String> {
    let mut forms = Vec::new();
    for (at, _) in name.rmatch_indices('.').filter(|(at, _)| *at > 0).take(DOTS_MAX) {
        let (stem, ending) = name.split_at(at);
        forms.extend(['.', '-', '_'].map(|mark| format!("{stem}{mark}{hash}{ending}")));
        forms.push(format!("{hash}{ending}"));
    }
    forms.extend(['.', '-', '_'].map(|mark| format!("{hash}{mark}{name}")));
    forms.sort_unstable();
    forms.dedup();
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever may write a release may name a build of theirs: without the bound this name alone takes 20 GB of the shared controller.
    #[test]
    fn a_name_that_no_file_can_have_is_not_looked_for_in_all_its_forms() {
        let places = Places(BTreeMap::from([("a.h.js", vec!["x/a.h.js"])]));
        assert_eq!(places.carrying("a.js", "h"), ["x/a.h.js"]);
        assert_eq!(places.carrying(&"a.".repeat(50_000), "h"), [""; 0]);
        assert_eq!(places.carrying("a.js", &"h".repeat(50_000)), [""; 0]);
    }
}
