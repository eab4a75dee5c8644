//! Phoenix' `cache_manifest.json` (`mix phx.digest`): `latest` leads from each path to the same with an MD5 in its name.
//! Never asks for what only `digests` has: files of earlier builds, which `phx.digest.clean` removes.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Input, Names, Place, Reader, Unsuitable, UsedBy, mix};
use crate::api::Format;

/// In `priv/static`.
pub const READER: Reader =
    Reader { format: Format::Auto, tool: "Phoenix", places: &[Place { path: "cache_manifest.json", used_by: UsedBy::Others }], read };

#[derive(Debug, Deserialize)]
struct Manifest {
    latest: BTreeMap<String, String>,
}

fn read(input: &Input<'_>) -> Result<Names, Unsuitable> {
    let manifest: Manifest = serde_json::from_slice(input.bytes).map_err(|error| Unsuitable::AnotherFormat(error.to_string()))?;
    mix::map(input, &manifest.latest)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Sample;

    #[test]
    fn the_latest_paths_lead_to_digested_files() {
        let text = include_str!("../../../tests/data/builds/lists/cache_manifest.json");
        let file = "assets/app-d41d8cd98f00b204e9800998ecf8427e.js";
        let files = [("cache_manifest.json", text), (file, ""), ("favicon-a8ca4e3a2bb8fea46a9ee9e102e7d3eb.ico", "")];
        let build = Sample::of(&files).auto();
        assert_eq!(build.names.logical.get(file).map(String::as_str), Some("assets/app.js"), "{build:?}");
        assert_eq!((build.names.hashed.len(), build.names.missing.len()), (2, 0), "{build:?}");
    }
}
