//! Gatsby's `webpack.stats.json` and `chunk-map.json`: which files each page component needs.
//! Never vouches for a file by these lists alone: Gatsby's names carry their hash.

use super::json::Node;
use super::listed::{self, Needs};
use super::{Input, Names, Place, Reader, Unsuitable, UsedBy};
use crate::api::Format;

/// In `public`.
pub const READER: Reader =
    Reader { format: Format::Auto, tool: "Gatsby", places: &[Place { path: "webpack.stats.json", used_by: UsedBy::Others }], read };

/// The same for the runtime.
pub const CHUNK_MAP: Reader = Reader {
    format: Format::Auto,
    tool: "Gatsby",
    places: &[Place { path: "chunk-map.json", used_by: UsedBy::Others }],
    read: read_chunk_map,
};

fn read(input: &Input<'_>) -> Result<Names, Unsuitable> {
    let mut object = Node::object(input.bytes).map_err(Unsuitable::AnotherFormat)?;
    match object.remove("assetsByChunkName") {
        Some(Node::Object(chunks)) => named(input, chunks.into_values()),
        Some(Node::Text(_) | Node::List(_) | Node::Other) | None => {
            Err(Unsuitable::AnotherFormat("it has no assetsByChunkName".to_owned()))
        }
    }
}

fn read_chunk_map(input: &Input<'_>) -> Result<Names, Unsuitable> {
    named(input, Node::object(input.bytes).map_err(Unsuitable::AnotherFormat)?.into_values())
}

fn named(input: &Input<'_>, chunks: impl Iterator<Item = Node>) -> Result<Names, Unsuitable> {
    let files: Vec<String> = chunks.flat_map(|node| if let Node::List(list) = node { list } else { Vec::new() }).collect();
    listed::names(input, files.iter().map(String::as_str), Needs::WhatPagesLoad)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Sample;

    #[test]
    fn files_of_components_must_be_there() {
        let (stats, map) = (
            include_str!("../../../tests/data/builds/lists/gatsby-webpack.stats.json"),
            include_str!("../../../tests/data/builds/lists/gatsby-chunk-map.json"),
        );
        let files = ["app-5b1f5a1e9d3c7b2a4f60.js", "webpack-runtime-0c3f8a7b6d5e4f3a2b1c.js"];
        let build = Sample::of(&[("webpack.stats.json", stats), ("chunk-map.json", map), (files[0], ""), (files[1], "")]).auto();
        assert!(files.iter().all(|file| build.names.hashed.contains(*file)), "{build:?}");
        let missing: Vec<_> = build.missing().collect();
        let component = "component---src-pages-index-js-9f8e7d6c5b4a39281706.js";
        let with_slash = format!("/{component}");
        assert_eq!(missing, [("webpack.stats.json", component), ("chunk-map.json", with_slash.as_str())], "{build:?}");
    }
}
