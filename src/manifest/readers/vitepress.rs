//! VitePress' `hashmap.json`: from each page's source to the hash of its chunk, which lies in two forms below `assets`.
//! Never takes a hash for a file that the build lacks to be another one's.

use std::collections::BTreeMap;

use super::json::Node;
use super::{Input, Names, OwnFile, Place, Reader, Unsuitable, UsedBy};
use crate::api::Format;

/// At the top of the site.
pub const READER: Reader =
    Reader { format: Format::Auto, tool: "VitePress", places: &[Place { path: "hashmap.json", used_by: UsedBy::Others }], read };

fn read(input: &Input<'_>) -> Result<Names, Unsuitable> {
    let object = Node::object(input.bytes).map_err(Unsuitable::AnotherFormat)?;
    let pages: BTreeMap<String, String> =
        object.into_iter().filter_map(|(page, node)| if let Node::Text(hash) = node { Some((page, hash)) } else { None }).collect();
    let folder = input.path.strip_suffix("hashmap.json").unwrap_or_default();
    let mut names = Names { own_file: OwnFile::Published, ..Names::default() };
    for (page, hash) in pages.iter().filter(|(page, _)| page.rsplit_once('.').is_some_and(|(_, ending)| ending == "md")) {
        let forms = [format!("{folder}assets/{page}.{hash}.js"), format!("{folder}assets/{page}.{hash}.lean.js")];
        let there: Vec<&str> = forms.iter().filter_map(|form| input.paths.find(form)).collect();
        names.hashed.extend(there.iter().map(|file| (*file).to_owned()));
        if there.is_empty() {
            names.missing.insert(forms[0].clone());
        }
    }
    if names.hashed.is_empty() {
        return Err(Unsuitable::AnotherFormat("none of its hashes is that of a page's chunk".to_owned()));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Sample;

    #[test]
    fn chunks_of_pages_are_found_in_both_forms() {
        let text = include_str!("../../../tests/data/builds/lists/vitepress-hashmap.json");
        let files =
            [("hashmap.json", text), ("assets/index.md.CZ6bk-9a.js", ""), ("assets/index.md.CZ6bk-9a.lean.js", ""), ("index.html", "")];
        let build = Sample::of(&files).auto();
        assert_eq!(build.names.hashed.len(), 2, "{build:?}");
        assert_eq!(build.names.missing.iter().collect::<Vec<_>>(), ["assets/guide_intro.md.lowercas.js"]);
    }
}
