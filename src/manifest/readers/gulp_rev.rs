//! gulp-rev's `rev-manifest.json`: from each path to the same with a hash in its name. Other tools (gulp-rev-all, node-rev, Eleventy plugins) write the same.
//! Never guesses: what the map does not name stays without a name.

use super::json::Node;
use super::{Input, Names, Place, Reader, Unsuitable, UsedBy, mix};
use crate::api::Format;

/// At the top, or beside the files.
pub const READER: Reader =
    Reader { format: Format::Auto, tool: "gulp-rev", places: &[Place { path: "rev-manifest.json", used_by: UsedBy::Others }], read };

fn read(input: &Input<'_>) -> Result<Names, Unsuitable> {
    let object = Node::object(input.bytes).map_err(Unsuitable::AnotherFormat)?;
    let texts = object.into_iter().filter_map(|(name, node)| if let Node::Text(url) = node { Some((name, url)) } else { None });
    mix::map(input, &texts.collect())
}

#[cfg(test)]
mod tests {
    use super::super::tests::Sample;

    #[test]
    fn names_lead_to_hashed_files_also_from_a_folder() {
        let text = include_str!("../../../tests/data/builds/lists/rev-manifest.json");
        for folder in ["", "assets/"] {
            let at = |path: &str| format!("{folder}{path}");
            let (list, style, script) = (at("rev-manifest.json"), at("css/unicorn-d41d8cd98f.css"), at("js/app-273c2c123f.js"));
            let build = Sample::of(&[(&list, text), (&style, ""), (&script, "")]).auto();
            assert_eq!(build.names.logical.get(&style).map(String::as_str), Some("css/unicorn.css"), "{build:?}");
            assert_eq!((build.names.hashed.len(), build.names.missing.len()), (2, 1), "{build:?}");
        }
    }
}
