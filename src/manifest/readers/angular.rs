//! Angular's `ngsw.json`: what its service worker loads at installation; one file that is not there fails the whole.
//! Never vouches for a file whose name carries no hash: the list has pages and icons, too.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::listed::{self, Needs, Vouch};
use super::{Input, Names, Place, Reader, Unsuitable, UsedBy};
use crate::api::Format;

/// At the top of the site.
pub const READER: Reader =
    Reader { format: Format::Auto, tool: "Angular", places: &[Place { path: "ngsw.json", used_by: UsedBy::Others }], read };

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Worker {
    asset_groups: Vec<Group>,
    #[serde(default)]
    hash_table: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct Group {
    #[serde(default)]
    urls: Vec<String>,
}

fn read(input: &Input<'_>) -> Result<Names, Unsuitable> {
    let worker: Worker = serde_json::from_slice(input.bytes).map_err(|error| Unsuitable::AnotherFormat(error.to_string()))?;
    let urls = worker.asset_groups.iter().flat_map(|group| &group.urls).chain(worker.hash_table.keys()).map(String::as_str);
    listed::names(input, urls, Vouch::ByName, Needs::Each)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Sample;

    #[test]
    fn everything_that_the_service_worker_loads_must_be_there() {
        let text = include_str!("../../../tests/data/builds/lists/ngsw.json");
        let files = [("ngsw.json", text), ("index.html", ""), ("main-5K7OQ3KJ.js", ""), ("styles-5INURTSO.css", "")];
        let build = Sample::of(&files).auto();
        assert_eq!(build.names.hashed.len(), 2, "{build:?}");
        assert_eq!(build.names.public_path.as_deref(), Some("/shop/"));
        assert_eq!(build.names.missing.iter().collect::<Vec<_>>(), ["/shop/favicon.ico"]);
    }
}
