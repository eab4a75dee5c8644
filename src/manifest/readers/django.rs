//! Django's `staticfiles.json` (ManifestStaticFilesStorage, also of WhiteNoise): `paths` leads from each path to the same with twelve
//! characters of an MD5.
//! Never takes another JSON with `paths` for it: it has a version.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Input, Names, Place, Reader, Unsuitable, UsedBy, mix};
use crate::api::Format;

/// In `STATIC_ROOT`.
pub const READER: Reader =
    Reader { format: Format::Auto, tool: "Django", places: &[Place { path: "staticfiles.json", used_by: UsedBy::Others }], read };

#[derive(Debug, Deserialize)]
struct Manifest {
    paths: BTreeMap<String, String>,
    #[serde(rename = "version")]
    _version: String,
}

fn read(input: &Input<'_>) -> Result<Names, Unsuitable> {
    let manifest: Manifest = serde_json::from_slice(input.bytes).map_err(|error| Unsuitable::AnotherFormat(error.to_string()))?;
    mix::map(input, &manifest.paths)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Sample;

    #[test]
    fn paths_lead_to_hashed_files() {
        let text = include_str!("../../../tests/data/builds/lists/staticfiles.json");
        let (style, script) = ("admin/css/base.523eb49842a7.css", "shop/app.9f8e7d6c5b4a.js");
        let build = Sample::of(&[("staticfiles.json", text), (style, ""), (script, ""), ("admin/css/base.css", "")]).auto();
        assert_eq!(build.names.logical.get(style).map(String::as_str), Some("admin/css/base.css"), "{build:?}");
        assert!(build.names.hashed.contains(script) && !build.names.hashed.contains("admin/css/base.css"), "{build:?}");
    }
}
