//! Module Federation's `mf-manifest.json`: the remote entry, and what each shared and exposed module loads.
//! Never asks for what remotes have: they are other builds.

use serde::Deserialize;

use super::listed::{self, Needs};
use super::{Input, Names, Place, Reader, Unsuitable, UsedBy};
use crate::api::Format;

/// Beside the remote entry.
pub const READER: Reader = Reader {
    format: Format::Auto,
    tool: "Module Federation",
    places: &[Place { path: "mf-manifest.json", used_by: UsedBy::Others }],
    read,
};

/// What is read of it; everything else is passed over while it is parsed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    meta_data: MetaData,
    #[serde(default)]
    shared: Vec<Module>,
    #[serde(default)]
    exposes: Vec<Module>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetaData {
    #[serde(default)]
    remote_entry: RemoteEntry,
}

#[derive(Default, Deserialize)]
struct RemoteEntry {
    #[serde(default)]
    name: String,
    #[serde(default)]
    path: String,
}

#[derive(Deserialize)]
struct Module {
    #[serde(default)]
    assets: Assets,
}

#[derive(Default, Deserialize)]
struct Assets {
    #[serde(default)]
    js: Lists,
    #[serde(default)]
    css: Lists,
}

#[derive(Default, Deserialize)]
struct Lists {
    #[serde(default)]
    sync: Vec<String>,
    #[serde(default)]
    r#async: Vec<String>,
}

fn read(input: &Input<'_>) -> Result<Names, Unsuitable> {
    let manifest: Manifest = serde_json::from_slice(input.bytes).map_err(|error| Unsuitable::AnotherFormat(error.to_string()))?;
    let RemoteEntry { name, path } = manifest.meta_data.remote_entry;
    let folder = path.trim_matches('/');
    let entry = if folder.is_empty() { name } else { format!("{folder}/{name}") };
    let modules = manifest.shared.into_iter().chain(manifest.exposes);
    let lists = modules.flat_map(|module| [module.assets.js, module.assets.css]);
    let files: Vec<String> = std::iter::once(entry).chain(lists.flat_map(|lists| lists.sync.into_iter().chain(lists.r#async))).collect();
    listed::names(input, files.iter().map(String::as_str), Needs::WhatPagesLoad)
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
