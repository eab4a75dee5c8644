//! Symfony Encore's `entrypoints.json`: which scripts and styles each entry point loads; names are in its `manifest.json`.
//! Never vouches for a file whose name carries no hash: `enableVersioning` is an option.

use super::json::Node;
use super::listed::{self, Needs};
use super::{Input, Names, Place, Reader, Unsuitable, UsedBy};
use crate::api::Format;

/// In `public/build`.
pub const READER: Reader =
    Reader { format: Format::Auto, tool: "Symfony Encore", places: &[Place { path: "entrypoints.json", used_by: UsedBy::Others }], read };

fn read(input: &Input<'_>) -> Result<Names, Unsuitable> {
    let mut object = Node::object(input.bytes).map_err(Unsuitable::AnotherFormat)?;
    // Vite's bundle for Symfony writes `entryPoints`.
    let entries = object.remove("entrypoints").or_else(|| object.remove("entryPoints"));
    let Some(Node::Object(entries)) = entries else { return Err(Unsuitable::AnotherFormat("it has no entrypoints".to_owned())) };
    let lists =
        entries.into_values().flat_map(|entry| if let Node::Object(kinds) = entry { kinds.into_values().collect() } else { Vec::new() });
    let files: Vec<String> = lists.flat_map(|node| if let Node::List(list) = node { list } else { Vec::new() }).collect();
    listed::names(input, files.iter().map(String::as_str), Needs::WhatPagesLoad)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Sample;

    #[test]
    fn files_of_entry_points_must_be_there_and_names_come_from_the_manifest() {
        let (entries, manifest) = (
            include_str!("../../../tests/data/builds/lists/encore-entrypoints.json"),
            include_str!("../../../tests/data/builds/lists/encore-manifest.json"),
        );
        let (runtime, app) = ("build/runtime.188fa053.js", "build/app.5c8a2a9e.js");
        let build = Sample::of(&[("build/entrypoints.json", entries), ("build/manifest.json", manifest), (runtime, ""), (app, "")]).auto();
        assert_eq!(build.names.logical.get(app).map(String::as_str), Some("build/app.js"), "{build:?}");
        assert!(build.names.hashed.contains(runtime), "{build:?}");
        assert!(build.missing().any(|(list, name)| list == "build/entrypoints.json" && name == "/build/app.f2c14b0e.css"), "{build:?}");
    }
}
