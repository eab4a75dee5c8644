//! Angular's `ngsw.json`: what its service worker loads at installation; one file that is not there fails the whole.
//! Never vouches for a file whose name carries no hash: the list has pages and icons, too.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::listed::{self, Needs};
use super::paths::{folder_and_name, is_script_or_style};
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
    let mut names = listed::names(input, urls, Needs::Each)?;
    let folder = folder_and_name(input.path).0;
    names.hashed.retain(|file| file.strip_prefix(folder).is_some_and(is_where_angular_writes));
    Ok(names)
}

/// Scripts and styles beside the page, and what they refer to, with eight capitals and digits behind a hyphen. All other files are copied, and listed
/// as well.
fn is_where_angular_writes(file: &str) -> bool {
    const HASH_CHARS: usize = 8;
    let hash = file.rsplit_once('.').and_then(|(stem, _)| stem.rsplit_once('-')).map(|(_, hash)| hash);
    let is_its_own = hash.is_some_and(|hash| hash.len() == HASH_CHARS && hash.bytes().all(|b| matches!(b, b'A'..=b'Z' | b'2'..=b'7')));
    is_its_own && (file.starts_with("media/") || (is_script_or_style(file) && !file.contains('/')))
}

#[cfg(test)]
mod tests {
    use super::super::tests::Sample;

    /// The list names each file of the site. I3: one that was copied changes under its name, and v2 was refused.
    #[test]
    fn what_angular_names_itself_is_hashed_and_what_it_copies_is_not() {
        let paths = ["chunk-DIDQNGJ4.js", "main-7OZGJMEE.js", "media/logo-MR7MQPVC.svg", "styles-TQZULE62.css"];
        let copied = [
            "app-settings.js",
            "password-strength.js",
            "x-html2pdf.js",
            "jquery.scrollTo.js",
            "prices-20241121.js",
            "flag-PORTUGAL.svg",
            "flag-7OZGJMEE.svg",
            "js/main-7OZGJMEE.js",
            "media/hero-SUMMER24.jpg",
            "media/flag-PORTUGAL.svg",
        ];
        let all: Vec<&str> = paths.into_iter().chain(copied).collect();
        let urls: Vec<String> = all.iter().map(|path| format!("/{path}")).collect();
        let text = serde_json::json!({"assetGroups": [{"urls": urls}], "hashTable": {}}).to_string();
        let files: Vec<(&str, &str)> = all.iter().map(|path| (*path, "")).chain([("ngsw.json", text.as_str())]).collect();
        assert_eq!(Sample::of(&files).auto().names.hashed, paths.map(str::to_owned).into());
    }

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
