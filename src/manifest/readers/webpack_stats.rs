//! webpack's own statistics, `stats.json` (`webpack --json=stats.json`): every file with what webpack knows of its name.
//! Never published: it tells where the sources lay, and is larger than the build.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::listed::lies_outside;
use super::paths::{folder_and_name, is_needed, without_query};
use super::{Input, Names, OwnFile, Place, Reader, Unsuitable, UsedBy};
use crate::api::Format;

/// Asked after the plugins' maps, whose names are those that the application asks for.
pub const READER: Reader =
    Reader { format: Format::Webpack, tool: "Webpack", places: &[Place { path: "stats.json", used_by: UsedBy::Others }], read };

/// Shortest hash that is believed on webpack's word: 24 bits.
const HASH_LENGTH_MIN: usize = 6;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    #[serde(default)]
    assets: Option<Vec<Asset>>,
    /// One for each configuration, when there are several.
    #[serde(default)]
    children: Vec<Child>,
}

#[derive(Debug, Deserialize)]
struct Child {
    #[serde(default)]
    assets: Vec<Asset>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asset {
    name: String,
    #[serde(default)]
    chunk_names: Vec<Option<String>>,
    #[serde(default)]
    info: Info,
}

/// Since webpack 5.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    /// Whether the name carries some hash.
    #[serde(default)]
    immutable: bool,
    #[serde(default)]
    source_filename: Option<String>,
    #[serde(default)]
    contenthash: Option<Hashes>,
    #[serde(default)]
    chunkhash: Option<Hashes>,
    #[serde(default)]
    modulehash: Option<Hashes>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Hashes {
    One(String),
    Several(Vec<String>),
}

fn read(input: &Input<'_>) -> Result<Names, Unsuitable> {
    let stats: Stats = serde_json::from_slice(input.bytes).map_err(|error| Unsuitable::AnotherFormat(error.to_string()))?;
    if stats.assets.is_none() && stats.children.is_empty() {
        return Err(Unsuitable::AnotherFormat("it has no assets".to_owned()));
    }
    let assets: Vec<&Asset> = stats.assets.iter().flatten().chain(stats.children.iter().flat_map(|child| &child.assets)).collect();
    let files: Vec<&str> = assets.iter().map(|asset| without_query(&asset.name)).collect();
    // Names are below the output folder, which may be one of the build's.
    let Some(folder) = folder(input, &files) else {
        return Err(Unsuitable::AnotherFormat("it names no file of the build".to_owned()));
    };
    let mut names = Names { own_file: OwnFile::LeftOut, ..Names::default() };
    let mut used = BTreeSet::new();
    for (asset, file) in assets.iter().zip(files) {
        match input.paths.find(&format!("{folder}{file}")) {
            Some(path) => asset.tell(path, &mut names, &mut used),
            None if is_needed(file) && !lies_outside(file) => drop(names.missing.insert(file.to_owned())),
            None => {}
        }
    }
    Ok(names)
}

/// The folder in which most of the files lie: the build itself, or the one of the statistics.
fn folder<'i>(input: &Input<'i>, files: &[&str]) -> Option<&'i str> {
    let beside = folder_and_name(input.path).0;
    let count = |folder: &str| files.iter().filter(|file| input.paths.find(&format!("{folder}{file}")).is_some()).count();
    let (at_top, below) = (count(""), count(beside));
    match (at_top, below) {
        (0, 0) => None,
        _ if below > at_top => Some(beside),
        _ => Some(""),
    }
}

impl Asset {
    fn tell(&self, path: &str, names: &mut Names, used: &mut BTreeSet<String>) {
        if self.is_hashed(path) {
            names.hashed.insert(path.to_owned());
        }
        if let Some(name) = self.logical_name(path).filter(|name| !used.contains(name)) {
            used.insert(name.clone());
            names.logical.entry(path.to_owned()).or_insert(name);
        }
    }

    /// Whether the name carries a hash that webpack made: it says which, so even a short one is none of a person's words.
    fn is_hashed(&self, path: &str) -> bool {
        let hashes = [&self.info.contenthash, &self.info.chunkhash, &self.info.modulehash];
        let all = hashes.into_iter().flatten().flat_map(|hashes| match hashes {
            Hashes::One(one) => std::slice::from_ref(one),
            Hashes::Several(several) => several.as_slice(),
        });
        self.info.immutable && all.into_iter().any(|hash| hash.len() >= HASH_LENGTH_MIN && folder_and_name(path).1.contains(hash.as_str()))
    }

    /// The source's path, or the chunk's name with the file's ending. Source maps are asked for by nobody's name.
    fn logical_name(&self, path: &str) -> Option<String> {
        let (_, ending) = path.rsplit_once('.').filter(|(_, ending)| *ending != "map")?;
        let chunk = || self.chunk_names.iter().flatten().next().map(|chunk| format!("{chunk}.{ending}"));
        self.info.source_filename.clone().or_else(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Sample;

    #[test]
    fn what_lies_outside_of_the_output_folder_is_not_missed() {
        let text = r#"{"assets":[{"name":"a.js"},{"name":"../server/y.js"},{"name":"gone.js"}]}"#;
        let build = Sample::of(&[("stats.json", text), ("a.js", "")]).auto();
        assert_eq!(build.names.missing.iter().collect::<Vec<_>>(), ["gone.js"]);
    }
}
