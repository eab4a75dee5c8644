//! Nuxt's `builds/latest.json`: the number of the build, whose `meta/<id>.json` open tabs ask for to learn that they are old.
//! Never vouches for `latest.json`, which each build replaces.

use serde::Deserialize;

use super::paths::folder_and_name;
use super::{Input, Names, OwnFile, Place, Reader, Unsuitable, UsedBy};
use crate::api::Format;

/// In the folder of the build's assets.
pub const READER: Reader =
    Reader { format: Format::Auto, tool: "Nuxt", places: &[Place { path: "builds/latest.json", used_by: UsedBy::Others }], read };

#[derive(Debug, Deserialize)]
struct Latest {
    id: String,
    #[serde(rename = "timestamp")]
    _timestamp: u64,
}

fn read(input: &Input<'_>) -> Result<Names, Unsuitable> {
    let latest: Latest = serde_json::from_slice(input.bytes).map_err(|error| Unsuitable::AnotherFormat(error.to_string()))?;
    let meta = format!("{}meta/{}.json", folder_and_name(input.path).0, latest.id);
    let mut names = Names { own_file: OwnFile::Published, ..Names::default() };
    match input.paths.find(&meta) {
        Some(path) => drop(names.hashed.insert(path.to_owned())),
        None => drop(names.missing.insert(meta)),
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Sample;

    #[test]
    fn the_latest_build_has_its_description() {
        let text = include_str!("../../../tests/data/builds/lists/nuxt-latest.json");
        let meta = "_nuxt/builds/meta/1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed.json";
        let build = Sample::of(&[("_nuxt/builds/latest.json", text), (meta, "{}")]).auto();
        assert!(build.names.hashed.contains(meta) && build.names.missing.is_empty(), "{build:?}");
        let without = Sample::of(&[("_nuxt/builds/latest.json", text), ("index.html", "")]).auto();
        assert_eq!(without.names.missing.iter().collect::<Vec<_>>(), [meta]);
    }
}
