//! React Router's and Remix' `manifest-….js`: `window.__reactRouterManifest={…}`, with every route's module, imports and styles.
//! Never runs it: the object is JSON.

use super::json::Node;
use super::listed::{self, Needs};
use super::{Input, Names, Place, Reader, Unsuitable, UsedBy};
use crate::api::Format;

/// In `assets` of the client build; before version 7 in `build`.
pub const READER: Reader =
    Reader { format: Format::Auto, tool: "React Router", places: &[Place { path: "manifest-*.js", used_by: UsedBy::Others }], read };

/// What stands before the object.
const NAMES: [&str; 2] = ["__reactRouterManifest=", "__remixManifest="];

fn read(input: &Input<'_>) -> Result<Names, Unsuitable> {
    let another = |why: &str| Unsuitable::AnotherFormat(why.to_owned());
    let text = std::str::from_utf8(input.bytes).map_err(|_| another("it is not UTF-8"))?;
    let at = NAMES.iter().find_map(|name| Some(text.find(name)? + name.len())).ok_or_else(|| another("it sets no manifest of routes"))?;
    // `;` and comments may follow the object.
    let mut values = serde_json::Deserializer::from_str(&text[at..]).into_iter::<Node>();
    let manifest = values.next().and_then(Result::ok).ok_or_else(|| another("its manifest of routes is not JSON"))?;
    let mut urls = Vec::new();
    collect(&manifest, "", &mut urls);
    urls.sort_unstable();
    urls.dedup();
    listed::names(input, urls.iter().map(String::as_str), Needs::WhatPagesLoad)
}

/// Modules, imports and styles at any depth, and the manifest's own URL.
fn collect(node: &Node, member: &str, urls: &mut Vec<String>) {
    match node {
        Node::Text(text) if is_url_member(member) => urls.push(text.clone()),
        Node::List(list) if is_url_member(member) => urls.extend(list.iter().cloned()),
        Node::Object(object) => object.iter().for_each(|(name, node)| collect(node, name, urls)),
        Node::Text(_) | Node::List(_) | Node::Other => {}
    }
}

fn is_url_member(member: &str) -> bool {
    matches!(
        member,
        "module" | "imports" | "css" | "url" | "runtime" | "clientActionModule" | "clientLoaderModule" | "hydrateFallbackModule"
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::Sample;

    #[test]
    fn modules_of_routes_are_hashed_and_must_be_there() {
        let text = include_str!("../../../tests/data/builds/lists/react-router-manifest.js");
        let files =
            ["assets/manifest-2f6a1c3d.js", "assets/entry.client-BvJ0nPsk.js", "assets/root-lW7ccsqz.js", "assets/chunk-DQRVZFIR.js"];
        let mut all: Vec<(&str, &str)> = files.iter().map(|file| (*file, "")).collect();
        let text = text.replace("root-lowercas", "root-lW7ccsqz");
        all[0].1 = &text;
        all.push(("index.html", ""));
        let build = Sample::of(&all).auto();
        assert!(files.iter().all(|file| build.names.hashed.contains(*file)), "{build:?}");
        assert_eq!(build.names.missing.iter().collect::<Vec<_>>(), ["/assets/cart-DSJ8mBsC.js", "/assets/root-DgT2sLqW.css"], "{build:?}");
    }

    #[test]
    fn a_module_without_a_hash_is_not_vouched_for() {
        let text = r#"window.__reactRouterManifest={"entry":{"module":"/assets/entry.client.js","imports":["/assets/b-BvJ0nPsk.js"]}};"#;
        let build =
            Sample::of(&[("assets/manifest-2f6a1c3d.js", text), ("assets/entry.client.js", ""), ("assets/b-BvJ0nPsk.js", "")]).auto();
        assert_eq!(build.names.hashed.iter().collect::<Vec<_>>(), ["assets/b-BvJ0nPsk.js"], "{build:?}");
    }
}
