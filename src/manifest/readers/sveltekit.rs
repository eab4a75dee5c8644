//! SvelteKit's `_app/version.json`: beside it lies `immutable/`, into which SvelteKit puts nothing but hashed files.
//! Never vouches for `version.json` or `env.js`, which keep their names.

use serde::Deserialize;

use super::paths::folder_and_name;
use super::{Input, Names, OwnFile, Place, Reader, Unsuitable, UsedBy};
use crate::api::Format;
use crate::manifest::classify;

/// `kit.appDir` may have another name.
pub const READER: Reader =
    Reader { format: Format::Auto, tool: "SvelteKit", places: &[Place { path: "_app/version.json", used_by: UsedBy::Others }], read };

#[derive(Debug, Deserialize)]
struct Version {
    #[serde(rename = "version")]
    _version: String,
}

fn read(input: &Input<'_>) -> Result<Names, Unsuitable> {
    let _: Version = serde_json::from_slice(input.bytes).map_err(|error| Unsuitable::AnotherFormat(error.to_string()))?;
    let folder = format!("{}immutable/", folder_and_name(input.path).0);
    let hashed = input.paths.all().filter(|path| path.starts_with(&folder) && !classify::is_never_hashed(path)).map(str::to_owned);
    let names = Names { hashed: hashed.collect(), own_file: OwnFile::Published, ..Names::default() };
    if names.hashed.is_empty() { Err(Unsuitable::AnotherFormat(format!("the build has no {folder}"))) } else { Ok(names) }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Sample;

    #[test]
    fn what_lies_in_immutable_is_hashed() {
        let text = include_str!("../../../tests/data/builds/lists/sveltekit-version.json");
        let files = [("_app/version.json", text), ("_app/env.js", ""), ("_app/immutable/nodes/0.2x_r_hro.js", ""), ("index.html", "")];
        let build = Sample::of(&files).auto();
        assert_eq!(build.names.hashed.iter().collect::<Vec<_>>(), ["_app/immutable/nodes/0.2x_r_hro.js"], "{build:?}");
    }
}
