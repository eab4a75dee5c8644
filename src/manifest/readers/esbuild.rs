//! esbuild's metafile, also as Angular writes it (`stats.json`): every output with its entry point and imports.
//! Never published: it tells where the sources lay.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::listed::{self, Finder, HashForm, carries_hash};
use super::paths::is_needed;
use super::{Input, Names, OwnFile, Place, Reader, Unsuitable, UsedBy};
use crate::api::Format;
use crate::manifest::classify;

/// Wherever the build step writes it.
pub const READER: Reader = Reader {
    format: Format::Auto,
    tool: "esbuild",
    places: &[
        Place { path: "meta.json", used_by: UsedBy::Others },
        Place { path: "metafile.json", used_by: UsedBy::Others },
        Place { path: "stats.json", used_by: UsedBy::Others },
    ],
    read,
};

#[derive(Debug, Deserialize)]
struct Metafile {
    #[serde(rename = "inputs")]
    _inputs: serde::de::IgnoredAny,
    outputs: BTreeMap<String, Output>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Output {
    #[serde(default)]
    imports: Vec<Import>,
    #[serde(default)]
    entry_point: Option<String>,
    #[serde(default)]
    inputs: BTreeMap<String, Source>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Source {
    #[serde(default)]
    bytes_in_output: u64,
}

#[derive(Debug, Deserialize)]
struct Import {
    path: String,
    #[serde(default)]
    external: bool,
}

fn read(input: &Input<'_>) -> Result<Names, Unsuitable> {
    let metafile: Metafile = serde_json::from_slice(input.bytes).map_err(|error| Unsuitable::AnotherFormat(error.to_string()))?;
    let imports = metafile.outputs.values().flat_map(|output| &output.imports).filter(|import| !import.external);
    let imports: Vec<&str> = imports.map(|import| import.path.as_str()).collect();
    let outputs = || metafile.outputs.keys().map(String::as_str);
    let finder = Finder::of(input, &outputs())?;
    let form = HashForm::of(outputs().filter_map(|path| finder.find(path)));
    let mut names = Names { own_file: OwnFile::LeftOut, ..Names::default() };
    let mut used: BTreeSet<&String> = BTreeSet::new();
    for (path, output) in &metafile.outputs {
        let Some(file) = finder.find(path) else { continue };
        if form.is_of(file) || is_named_anew(file, &output.inputs) {
            names.hashed.insert(file.to_owned());
        }
        if let Some(entry) = output.entry_point.as_ref().filter(|entry| used.insert(entry)) {
            names.logical.insert(file.to_owned(), entry.clone());
        }
    }
    let of_a_server = listed::are_of_a_server(outputs(), |path| finder.find(path).is_some());
    let is_expected = |path: &str| is_needed(path) && !(of_a_server && listed::is_module(path));
    let lost = outputs().chain(imports).filter(|path| is_expected(path) && finder.is_lost(path));
    names.missing = lost.map(str::to_owned).collect();
    Ok(names)
}

/// Whether a picture or font carries more than its source is called. One that was copied under its own name does not.
fn is_named_anew(file: &str, inputs: &BTreeMap<String, Source>) -> bool {
    let mut inputs = inputs.iter().filter(|(_, source)| source.bytes_in_output > 0).map(|(path, _)| path);
    let source = inputs.next().filter(|_| inputs.next().is_none());
    source.is_some_and(|source| classify::says_more_than(file, source)) && carries_hash(file) && !classify::is_never_hashed(file)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::tests::Sample;

    /// One in nine hashes of capitals can be spoken; a picture that was copied under its own name has none.
    #[test]
    fn a_picture_with_more_than_its_sources_name_is_hashed_and_a_copied_one_is_not() {
        let output = |source: &str| serde_json::json!({"inputs": {source: {"bytesInOutput": 9}}, "bytes": 9});
        let paths = ["logo-PORTUGAL.svg", "flag-PORTUGAL.svg", "pdf-renderer.js", "chunk-ABCDEFG2.js", "chunk-XYZW2345.js"];
        let sources = ["src/logo.svg", "src/flag-PORTUGAL.svg", "src/pdf-renderer.ts", "src/a.ts", "src/b.ts"];
        let outputs: BTreeMap<String, serde_json::Value> =
            paths.iter().zip(sources).map(|(path, source)| (format!("dist/{path}"), output(source))).collect();
        let text = serde_json::json!({"inputs": {}, "outputs": outputs}).to_string();
        let files: Vec<(&str, &str)> = paths.iter().map(|path| (*path, "")).chain([("meta.json", text.as_str())]).collect();
        let hashed = Sample::of(&files).auto().names.hashed;
        assert_eq!(hashed, [paths[0], paths[3], paths[4]].map(str::to_owned).into());
    }

    #[test]
    fn a_server_that_is_built_beside_the_site_is_not_missed() {
        let text = r#"{"inputs":{},"outputs":{"dist/client/a-5K7OQ3KJ.js":{},"dist/client/b-5K7OQ3KK.js":{},"dist/server/main.js":{}}}"#;
        let build = Sample::of(&[("meta.json", text), ("a-5K7OQ3KJ.js", ""), ("b-5K7OQ3KK.js", "")]).auto();
        assert_eq!((build.names.hashed.len(), build.names.missing.len()), (2, 0), "{build:?}");
    }

    #[test]
    fn modules_of_a_server_at_the_top_are_not_missed_and_those_of_the_site_are() {
        let text = r#"{"inputs":{},"outputs":{"main-5K7OQ3KJ.js":{},"server.mjs":{"imports":[{"path":"chunk-AAAAAAA2.mjs"}]},"chunk-AAAAAAA2.mjs":{},"../server/x.js":{}}}"#;
        let build = Sample::of(&[("stats.json", text), ("main-5K7OQ3KJ.js", "")]).auto();
        assert_eq!(build.names.missing.len(), 0, "{build:?}");
        let site = Sample::of(&[("stats.json", text), ("main-5K7OQ3KJ.js", ""), ("server.mjs", "")]).auto();
        assert_eq!(site.names.missing.iter().collect::<Vec<_>>(), ["chunk-AAAAAAA2.mjs"]);
    }

    #[test]
    fn outputs_are_found_below_the_output_folder_and_the_metafile_is_left_out() {
        let text = include_str!("../../../tests/data/builds/lists/esbuild-meta.json");
        let (app, chunk) = ("app-5K7OQ3KJ.js", "chunks/cart-ZZQDLVXA.js");
        let build = Sample::of(&[("meta.json", text), (app, ""), (chunk, ""), ("index.html", "")]).auto();
        assert_eq!(build.names.logical.get(app).map(String::as_str), Some("src/app.ts"), "{build:?}");
        assert!(build.names.hashed.contains(chunk) && build.leaves_out("meta.json"), "{build:?}");
        assert_eq!(build.names.missing.iter().collect::<Vec<_>>(), ["dist/chunks/gone-AAAAAAA2.js"]);
    }
}
