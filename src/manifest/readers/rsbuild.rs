//! Rsbuild's and Rspack's `manifest.json` (`output.manifest`): `allFiles`, and for each entry what it loads.
//! Never takes the name of an entry's first script for more than a name: there may be several.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::listed::{self, Finder, Needs};
use super::paths::folder_and_name;
use super::{Input, Names, Place, Reader, Unsuitable, UsedBy};
use crate::api::Format;

/// At the top of the output folder, under a name that others use.
pub const READER: Reader = Reader {
    format: Format::Auto,
    tool: "Rsbuild",
    places: &[Place { path: "manifest.json", used_by: UsedBy::Others }, Place { path: "rspack-manifest.json", used_by: UsedBy::Others }],
    read,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    all_files: Vec<String>,
    #[serde(default)]
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    #[serde(default)]
    initial: Loaded,
    #[serde(default, rename = "async")]
    later: Loaded,
    #[serde(default)]
    assets: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Loaded {
    #[serde(default)]
    js: Vec<String>,
    #[serde(default)]
    css: Vec<String>,
}

fn read(input: &Input<'_>) -> Result<Names, Unsuitable> {
    let manifest: Manifest = serde_json::from_slice(input.bytes).map_err(|error| Unsuitable::AnotherFormat(error.to_string()))?;
    let loaded =
        |entry: &'_ Entry| [entry.initial.js.clone(), entry.initial.css.clone(), entry.later.js.clone(), entry.later.css.clone()].concat();
    let of_entries: Vec<String> =
        manifest.entries.values().flat_map(|entry| loaded(entry).into_iter().chain(entry.assets.clone())).collect();
    let urls = || manifest.all_files.iter().chain(&of_entries).map(String::as_str);
    let mut names = listed::names(input, urls(), Needs::WhatPagesLoad)?;
    let finder = Finder::of(input, &urls())?;
    let mut used: BTreeSet<String> = BTreeSet::new();
    for (entry, files) in &manifest.entries {
        for (list, ending) in [(&files.initial.js, "js"), (&files.initial.css, "css")] {
            // The entry's own file begins with its name; the others are shared.
            let own = list.iter().filter_map(|url| finder.find(url)).find(|file| is_named(file, entry));
            let name = format!("{entry}.{ending}");
            if let Some(file) = own.filter(|_| used.insert(name.clone())) {
                names.logical.entry(file.to_owned()).or_insert(name);
            }
        }
    }
    Ok(names)
}

fn is_named(file: &str, entry: &str) -> bool {
    folder_and_name(file).1.strip_prefix(folder_and_name(entry).1).is_some_and(|rest| rest.starts_with(['.', '-', '_']))
}

#[cfg(test)]
mod tests {
    use super::super::tests::Sample;

    /// Copied files are listed, too, and a hash may be of digits alone.
    #[test]
    fn what_has_the_form_of_the_scripts_hashes_is_hashed_and_no_word_is() {
        let paths = [
            "static/js/index.225fcd9ccf.js",
            "static/js/async/0.8354937812.js",
            "static/image/texture.fb5874c7ce.png",
            "flag-PORTUGAL.svg",
            "hero-SUMMER24.jpg",
            "photos/20241121.jpg",
            "products/4006381333931.jpg",
            "img/cafe2024.jpg",
            "js/goToPage.js",
        ];
        let text = serde_json::json!({"allFiles": paths.map(|path| format!("/{path}")), "entries": {}}).to_string();
        let files: Vec<(&str, &str)> = paths.iter().map(|path| (*path, "")).chain([("manifest.json", text.as_str())]).collect();
        let hashed = Sample::of(&files).auto().names.hashed;
        assert_eq!(hashed, paths[..3].iter().map(|path| (*path).to_owned()).collect());
    }

    #[test]
    fn all_files_are_listed_and_entries_have_names() {
        let text = include_str!("../../../tests/data/builds/lists/rsbuild-manifest.json");
        let files = [
            "static/js/index.b9d6a6fc.js",
            "static/css/index.2960ac62.css",
            "static/js/lib-react.7d3a5e1b.js",
            "static/js/async/404.c0ffee12.js",
        ];
        let mut all: Vec<(&str, &str)> = files.iter().map(|file| (*file, "")).collect();
        all.extend([("manifest.json", text), ("index.html", "")]);
        let build = Sample::of(&all).auto();
        assert_eq!(build.names.logical.get(files[0]).map(String::as_str), Some("index.js"), "{build:?}");
        assert!(files.iter().all(|file| build.names.hashed.contains(*file)), "{build:?}");
        assert!(build.names.missing.is_empty(), "maps and pages are not needed: {build:?}");
        all.retain(|(path, _)| *path != files[3]);
        assert_eq!(Sample::of(&all).auto().names.missing.len(), 1);
    }
}
