//! Sprockets' `.sprockets-manifest-….json` (Rails): `assets` leads from logical paths to files, all with a SHA-256 in their names.
//! Never asks for files that only `files` has: those are of earlier builds, which `assets:clean` removes.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Input, Names, Place, Reader, Unsuitable, UsedBy, mix};
use crate::api::Format;

/// In `public/assets`; before Sprockets 3 without the dot.
pub const READER: Reader = Reader {
    format: Format::Auto,
    tool: "Sprockets",
    places: &[
        Place { path: ".sprockets-manifest-*.json", used_by: UsedBy::Others },
        Place { path: "manifest-*.json", used_by: UsedBy::Others },
    ],
    read,
};

#[derive(Debug, Deserialize)]
struct Manifest {
    assets: BTreeMap<String, String>,
    files: BTreeMap<String, File>,
}

#[derive(Debug, Deserialize)]
struct File {
    #[serde(rename = "logical_path")]
    _logical_path: String,
}

fn read(input: &Input<'_>) -> Result<Names, Unsuitable> {
    let manifest: Manifest = serde_json::from_slice(input.bytes).map_err(|error| Unsuitable::AnotherFormat(error.to_string()))?;
    if manifest.files.is_empty() {
        return Err(Unsuitable::AnotherFormat("it has no files".to_owned()));
    }
    mix::map(input, &manifest.assets)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Sample;

    #[test]
    fn logical_paths_lead_to_digested_files() {
        let text = include_str!("../../../tests/data/builds/lists/sprockets-manifest.json");
        let list = "assets/.sprockets-manifest-0f1d2e3c4b5a69788796a5b4c3d2e1f0.json";
        let file = "assets/application-1b8a4f0f4e2c9a3d5e6f7a8b9c0d1e2f3a4b5c6d7e8f90a1b2c3d4e5f6a7b8c9.js";
        let build = Sample::of(&[(list, text), (file, "")]).auto();
        assert_eq!(build.names.logical.get(file).map(String::as_str), Some("application.js"), "{build:?}");
        assert!(build.names.hashed.contains(file));
        assert_eq!(build.names.missing.len(), 1, "the style sheet is not there: {build:?}");
    }
}
