//! Module Federation's `mf-manifest.json`: the remote entry, and what each shared and exposed module loads.
//! Never asks for what remotes have: they are other builds.

use super::json::Node;
use super::listed::{self, Needs, Vouch};
use super::{Input, Names, Place, Reader, Unsuitable, UsedBy};
use crate::api::Format;

/// Beside the remote entry.
pub const READER: Reader = Reader {
    format: Format::Auto,
    tool: "Module Federation",
    places: &[Place { path: "mf-manifest.json", used_by: UsedBy::Others }],
    read,
};

fn read(input: &Input<'_>) -> Result<Names, Unsuitable> {
    let value: serde_json::Value = serde_json::from_slice(input.bytes).map_err(|error| Unsuitable::AnotherFormat(error.to_string()))?;
    let Some(data) = value.get("metaData").filter(|data| data.is_object()) else {
        return Err(Unsuitable::AnotherFormat("it has no metaData".to_owned()));
    };
    let mut files = Vec::new();
    if let Some(name) = data["remoteEntry"]["name"].as_str() {
        let folder = data["remoteEntry"]["path"].as_str().unwrap_or_default().trim_matches('/');
        files.push(if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") });
    }
    for list in ["shared", "exposes"] {
        for module in value[list].as_array().into_iter().flatten() {
            files.extend(assets(&module["assets"]));
        }
    }
    listed::names(input, files.iter().map(String::as_str), Vouch::ByName, Needs::WhatPagesLoad)
}

/// `{js: {sync: […], async: […]}, css: {…}}`.
fn assets(node: &serde_json::Value) -> Vec<String> {
    let mut files = Vec::new();
    if let Ok(node) = serde_json::from_value::<Node>(node.clone()) {
        collect(node, &mut files);
    }
    files
}

fn collect(node: Node, files: &mut Vec<String>) {
    match node {
        Node::List(list) => files.extend(list),
        Node::Object(object) => object.into_values().for_each(|node| collect(node, files)),
        Node::Text(_) | Node::Other => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Sample;

    #[test]
    fn files_of_exposed_modules_must_be_there() {
        let text = include_str!("../../../tests/data/builds/lists/mf-manifest.json");
        let files = [("mf-manifest.json", text), ("remoteEntry.js", ""), ("js/expose_button.9f8e7d6c.js", "")];
        let build = Sample::of(&files).auto();
        assert_eq!(
            build.names.hashed.iter().collect::<Vec<_>>(),
            ["js/expose_button.9f8e7d6c.js"],
            "the remote entry keeps its name: {build:?}"
        );
        assert_eq!(build.names.missing.iter().collect::<Vec<_>>(), ["js/vendors-react.0a1b2c3d.js"]);
    }
}
