//! VitePress' `hashmap.json`: from each page's source to the hash of its chunk, which lies in two forms below `assets`.
//! Never takes a hash for a file that the build lacks to be another one's.

use std::collections::BTreeMap;

use super::json::Node;
use super::paths::folder_and_name;
use super::{Input, Names, OwnFile, Place, Reader, Unsuitable, UsedBy};
use crate::api::Format;
use crate::manifest::classify;

/// At the top of the site.
pub const READER: Reader =
    Reader { format: Format::Auto, tool: "VitePress", places: &[Place { path: "hashmap.json", used_by: UsedBy::Others }], read };

fn read(input: &Input<'_>) -> Result<Names, Unsuitable> {
    let object = Node::object(input.bytes).map_err(Unsuitable::AnotherFormat)?;
    let pages: BTreeMap<String, String> =
        object.into_iter().filter_map(|(page, node)| if let Node::Text(hash) = node { Some((page, hash)) } else { None }).collect();
    let folder = format!("{}assets/", folder_and_name(input.path).0);
    // VitePress writes its keys in lower case, and files as their pages are written (`guide_Getting-Started.md`, `README.md`).
    let files = input.paths.all().filter_map(|path| Some((path.strip_prefix(folder.as_str())?.to_lowercase(), path)));
    let files: BTreeMap<String, &str> = files.collect();
    let mut names = Names { own_file: OwnFile::Published, ..Names::default() };
    for (page, hash) in pages.iter().filter(|(page, _)| page.rsplit_once('.').is_some_and(|(_, ending)| ending == "md")) {
        let forms = [format!("{page}.{hash}.js"), format!("{page}.{hash}.lean.js")];
        // The hash has both cases: it stays as it is.
        let is_it = |file: &&str| file.contains(hash.as_str());
        let there: Vec<&str> = forms.iter().filter_map(|form| files.get(&form.to_lowercase()).copied().filter(is_it)).collect();
        names.hashed.extend(there.iter().map(|file| (*file).to_owned()));
        if there.is_empty() {
            names.missing.insert(format!("{folder}{}", forms[0]));
        }
    }
    if names.hashed.is_empty() {
        return Err(Unsuitable::AnotherFormat("none of its hashes is that of a page's chunk".to_owned()));
    }
    names
        .hashed
        .extend(input.paths.all().filter(|path| path.strip_prefix(folder.as_str()).is_some_and(is_named_by_vitepress)).map(str::to_owned));
    Ok(names)
}

/// Types of which a site has few but the tool's own. A picture may be one that a person put into `public/assets`.
const OF_THE_TOOL: [&str; 5] = ["js", "css", "woff2", "woff", "ttf"];

/// `chunks/framework.vLhlLNVn.js`, `inter-roman-latin.Di8DUHzh.woff2`: the list names pages alone. What a person put into the same folder has a word or a date there,
/// or nothing.
fn is_named_by_vitepress(file: &str) -> bool {
    const HASH_CHARS: usize = 8;
    let mut parts = folder_and_name(file).1.rsplit('.');
    let (ending, hash, stem) = (parts.next(), parts.next(), parts.next());
    let is_hash = |hash: &str| hash.len() == HASH_CHARS && classify::is_hash_of_a_tool(hash) && !classify::reads_as_word(hash);
    ending.is_some_and(|ending| OF_THE_TOOL.contains(&ending)) && stem.is_some() && hash.is_some_and(is_hash)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Sample;

    #[test]
    fn pages_with_capitals_in_their_names_are_found() {
        let text = r#"{"index.md":"CZ6bk-9a","guide_getting-started.md":"Abcdefg1","readme.md":"Xbcdefg1"}"#;
        let files = ["assets/guide_Getting-Started.md.Abcdefg1.js", "assets/README.md.Xbcdefg1.lean.js", "assets/index.md.CZ6bk-9a.js"];
        let mut all: Vec<(&str, &str)> = files.iter().map(|file| (*file, "")).collect();
        all.push(("hashmap.json", text));
        let build = Sample::of(&all).auto();
        assert!(build.names.missing.is_empty() && files.iter().all(|file| build.names.hashed.contains(*file)), "{build:?}");
        let other = Sample::of(&[("hashmap.json", text), ("assets/index.md.CZ6bk-9a.js", ""), ("assets/README.md.xbcdefg1.js", "")]).auto();
        assert_eq!(other.names.missing.len(), 2, "another hash is another file: {other:?}");
    }

    /// The list names pages alone; the fonts, pictures and shared chunks lie beside their chunks.
    #[test]
    fn what_vitepress_names_is_hashed_and_what_a_person_put_beside_it_is_not() {
        let theirs = ["assets/chunks/framework.vLhlLNVn.js", "assets/index.md.CZ6bk-9a.js", "assets/inter-roman-latin.Di8DUHzh.woff2"];
        let ours = [
            "assets/flag.PORTUGAL.svg",
            "assets/prices.20261120.json",
            "assets/hero.png",
            "assets/map.Overview.svg",
            "assets/photo.IMG_1234.jpg",
            "assets/print.Overview.css",
            "other/x.Di8DUHzh.png",
        ];
        let text = r#"{"index.md":"CZ6bk-9a"}"#;
        let files: Vec<(&str, &str)> = theirs.iter().chain(&ours).map(|path| (*path, "")).chain([("hashmap.json", text)]).collect();
        assert_eq!(Sample::of(&files).auto().names.hashed, theirs.map(str::to_owned).into());
    }

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
