//! Propshaft's `.manifest.json` (Rails 8): from logical paths to digested ones, as texts or, since 1.2, as objects with their integrity.
//! Never takes a file without a digest in its name for hashed: Propshaft keeps names that have one already.

use super::json::Node;
use super::{Input, Names, Place, Reader, Unsuitable, UsedBy, mix};
use crate::api::Format;

/// In `public/assets`.
pub const READER: Reader =
    Reader { format: Format::Auto, tool: "Propshaft", places: &[Place { path: ".manifest.json", used_by: UsedBy::Others }], read };

fn read(input: &Input<'_>) -> Result<Names, Unsuitable> {
    let object = Node::object(input.bytes).map_err(Unsuitable::AnotherFormat)?;
    let texts = object.into_iter().filter_map(|(name, node)| Some((name, path(node)?)));
    mix::map(input, &texts.collect())
}

fn path(node: Node) -> Option<String> {
    match node {
        Node::Text(path) => Some(path),
        Node::Object(mut object) => object.remove("digested_path")?.text(),
        Node::List(_) | Node::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Sample;

    #[test]
    fn both_forms_lead_to_digested_paths() {
        let text = include_str!("../../../tests/data/builds/lists/propshaft-manifest.json");
        let files = ["assets/application-bfcdf840.css", "assets/controllers/hello-708796bd.js"];
        let build = Sample::of(&[("assets/.manifest.json", text), (files[0], ""), (files[1], "")]).auto();
        assert_eq!(build.names.logical.get(files[1]).map(String::as_str), Some("controllers/hello.js"), "{build:?}");
        assert!(files.iter().all(|file| build.names.hashed.contains(*file)), "{build:?}");
    }
}
