//! Laravel Mix's `mix-manifest.json`: from each file to its URL, which has the hash in a query or, with a plugin, in its name.
//! Never takes a hash in a query for one in a name.

use std::collections::BTreeMap;

use super::json::Node;
use super::listed::Finder;
use super::paths::without_query;
use super::webpack::{Target, named};
use super::{Input, Names, Place, Reader, Unsuitable, UsedBy};
use crate::api::Format;

/// Beside the public folder's own files.
pub const READER: Reader =
    Reader { format: Format::Auto, tool: "Laravel Mix", places: &[Place { path: "mix-manifest.json", used_by: UsedBy::Others }], read };

fn read(input: &Input<'_>) -> Result<Names, Unsuitable> {
    let object = Node::object(input.bytes).map_err(Unsuitable::AnotherFormat)?;
    let texts = object.into_iter().filter_map(|(name, node)| match node {
        Node::Text(url) => Some((name.trim_start_matches('/').to_owned(), url)),
        Node::List(_) | Node::Object(_) | Node::Other => None,
    });
    map(input, &texts.collect())
}

/// The names of a plain map from names to URLs.
pub(super) fn map(input: &Input<'_>, texts: &BTreeMap<String, String>) -> Result<Names, Unsuitable> {
    let urls = || texts.values().map(String::as_str);
    let finder = Finder::of(input, &urls())?;
    let target = |url: &str| match finder.find(url) {
        Some(file) => Target::File(file),
        None if finder.is_lost(url) => Target::Nowhere,
        None => Target::Elsewhere,
    };
    let mut names = named(texts, urls().map(without_query), &target);
    names.public_path = finder.public_path();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Sample;

    #[test]
    fn names_lead_to_files_with_the_hash_in_the_query_or_in_the_name() {
        let text = include_str!("../../../tests/data/builds/lists/mix-manifest.json");
        let build =
            Sample::of(&[("mix-manifest.json", text), ("js/app.js", ""), ("css/app.css", ""), ("js/vendor.3a4f5b6c.js", "")]).auto();
        assert_eq!(build.reading.sentence(), r#"names from "mix-manifest.json" (Laravel Mix, at its usual place)"#);
        assert_eq!(build.names.logical.get("js/vendor.3a4f5b6c.js").map(String::as_str), Some("js/vendor.js"));
        assert_eq!(build.names.hashed.iter().collect::<Vec<_>>(), ["js/vendor.3a4f5b6c.js"], "a query is no part of a name");
        assert_eq!(build.names.missing.iter().collect::<Vec<_>>(), ["/js/gone.js"]);
    }
}
