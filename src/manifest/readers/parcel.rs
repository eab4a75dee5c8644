//! Parcel's `parcel-manifest.json` (`@parcel/reporter-bundle-manifest`, parcel-plugin-bundle-manifest): from each entry to its bundle.
//! Never takes Parcel's other reports, which name sources and sizes, for a list of files.

use super::json::Node;
use super::{Input, Names, Place, Reader, Unsuitable, UsedBy, mix};
use crate::api::Format;

/// In the output folder.
pub const READER: Reader =
    Reader { format: Format::Auto, tool: "Parcel", places: &[Place { path: "parcel-manifest.json", used_by: UsedBy::Others }], read };

fn read(input: &Input<'_>) -> Result<Names, Unsuitable> {
    let object = Node::object(input.bytes).map_err(Unsuitable::AnotherFormat)?;
    let texts = object.into_iter().filter_map(|(name, node)| if let Node::Text(url) = node { Some((name, url)) } else { None });
    mix::map(input, &texts.collect())
}

#[cfg(test)]
mod tests {
    use super::super::tests::Sample;

    #[test]
    fn entries_lead_to_bundles() {
        let text = include_str!("../../../tests/data/builds/lists/parcel-manifest.json");
        let build =
            Sample::of(&[("parcel-manifest.json", text), ("index.html", ""), ("index.8e1a2f3c.js", ""), ("index.6b0d4e51.css", "")]).auto();
        assert_eq!(build.names.logical.get("index.8e1a2f3c.js").map(String::as_str), Some("index.js"));
        assert_eq!((build.names.hashed.len(), build.names.missing.len()), (2, 0), "{build:?}");
    }
}
