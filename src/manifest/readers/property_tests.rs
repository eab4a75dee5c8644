//! What holds of every reader, whatever bytes it is given.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;

use super::tests::Sample;
use super::*;
use crate::manifest::build::{Assembled, assemble};

/// Paths that the builds of these tests are made of, and that values in the manifests are likely to meet.
const PATHS: [&str; 8] = [
    "app.3a4f5b6c.js",
    "js/app.3a4f5b6c.js",
    "js/app-3a4f5b6c.js",
    "index.html",
    "css/main.0a1b2c.css",
    "assets/a-lowercas.js",
    "21b70a.svg",
    "sub/manifest.json",
];

fn word() -> impl Strategy<Value = String> {
    const NEAR: &[&str] =
        &["", "app.js", "3a4f5b6c", "/static/", "../", "./", "https://cdn.example.com/", "//", "?v=1", "main.css", "_x", "data:,"];
    let part = prop_oneof![select(NEAR).prop_map(str::to_owned), select(PATHS.as_slice()).prop_map(str::to_owned), ".{0,6}"];
    vec(part, 0..3).prop_map(|parts| parts.concat())
}

/// JSON whose members are those that the readers know.
fn json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::{Map, Value};
    let known = select(
        [
            "file",
            "css",
            "assets",
            "imports",
            "name",
            "info",
            "immutable",
            "contenthash",
            "chunkNames",
            "files",
            "entrypoints",
            "src",
            "children",
            "allFiles",
            "entries",
            "initial",
            "js",
            "outputs",
            "inputs",
            "entryPoint",
            "path",
            "assetGroups",
            "urls",
            "pages",
            "latest",
            "paths",
            "version",
            "digested_path",
            "metaData",
            "exposes",
            "assetsByChunkName",
            "id",
            "timestamp",
        ]
        .as_slice(),
    );
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i32>().prop_map(Value::from),
        word().prop_map(Value::String)
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        let name = prop_oneof![known.clone().prop_map(str::to_owned), word()];
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            btree_map(name, inner, 0..5).prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>()))
        ]
    })
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![4 => json().prop_map(|json| json.to_string().into_bytes()), 1 => vec(any::<u8>(), 0..200)]
}

/// A well-formed manifest of some format, so that readers get past the shape.
fn shaped() -> impl Strategy<Value = Vec<u8>> {
    use serde_json::json;
    let map = || btree_map(word(), word(), 0..6);
    let vite = btree_map(word(), (word(), vec(word(), 0..3)), 0..5).prop_map(|chunks| {
        let chunk = |(key, (file, list)): (String, (String, Vec<String>))| (key, json!({"file": file, "css": list, "imports": list}));
        json!(chunks.into_iter().map(chunk).collect::<BTreeMap<_, _>>())
    });
    let stats = vec((word(), word(), any::<bool>()), 0..5).prop_map(|assets| {
        let asset = |(name, hash, immutable): (String, String, bool)| {
            json!({"name": name, "chunkNames": [hash], "info": {"immutable": immutable, "contenthash": hash}})
        };
        json!({"assets": assets.into_iter().map(asset).collect::<Vec<_>>()})
    });
    let entries = vec(word(), 0..3);
    let react = (map(), entries).prop_map(|(files, entrypoints)| json!({"files": files, "entrypoints": entrypoints}));
    prop_oneof![map().prop_map(|map| json!(map)), vite, stats, react].prop_map(|json| json.to_string().into_bytes())
}

fn sample(place: &str, bytes: &[u8], present: &[bool]) -> Sample {
    let here = PATHS.iter().zip(present).filter(|(_, here)| **here).map(|(path, _)| ((*path).to_owned(), Vec::new()));
    Sample::new(here.chain([(place.to_owned(), bytes.to_vec())]).collect())
}

/// Every file that a reader names is one of the build, no logical name is given twice, and the tool's own file alone is left out.
fn is_sound(build: &BuildNames, sample: &Sample) -> Result<(), TestCaseError> {
    let names = &build.names;
    for file in names.logical.keys().chain(&names.hashed) {
        prop_assert!(sample.texts.contains_key(file), "{file:?} is not in the build");
        prop_assert!(!is_left_out(file), "{file:?} is not published");
    }
    let unique: BTreeSet<&String> = names.logical.values().collect();
    prop_assert_eq!(unique.len(), names.logical.len());
    prop_assert!(build.reading.format != Format::Auto || build.reading.tool.is_some());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn each_reader_is_total_deterministic_and_stays_in_the_build(
        bytes in prop_oneof![bytes(), shaped()],
        present in vec(any::<bool>(), PATHS.len()),
        place in select(["names.json", "sub/names.json", ".vite/manifest.json", "_nuxt/builds/latest.json", "_app/version.json", "hashmap.json"].as_slice()),
    ) {
        let sample = sample(place, &bytes, &present);
        let paths = Paths::new(sample.texts.keys().map(String::as_str).filter(|path| !is_left_out(path)));
        for reader in READERS {
            let input = Input { path: place, bytes: &bytes, paths: &paths };
            let read = (reader.read)(&input);
            prop_assert_eq!(&read, &(reader.read)(&input));
            if let Ok(names) = read {
                is_sound(&taken(reader, place, Decided::AskedFor, names), &sample)?;
            }
        }
    }

    #[test]
    fn the_frame_answers_every_wish_and_puts_every_file_into_the_manifest(
        bytes in prop_oneof![bytes(), shaped()],
        present in vec(any::<bool>(), PATHS.len()),
        place in select(["manifest.json", "stats.json", "version.json", "asset-manifest.json", ".vite/manifest.json", "x.json", "ngsw.json", "sub/mix-manifest.json", "sw.js", "meta.json"].as_slice()),
        format in select([Format::Auto, Format::Vite, Format::Webpack, Format::VersionJson, Format::Folder].as_slice()),
        named in any::<bool>(),
    ) {
        let sample = sample(place, &bytes, &present);
        let read = sample.read(format, named.then_some(place));
        prop_assert_eq!(&read, &sample.read(format, named.then_some(place)));
        let Ok(build) = read else { return Ok(()) };
        is_sound(&build, &sample)?;
        if let Ok(Assembled { manifest, .. }) = assemble(sample.files.clone(), &build) {
            let published = sample.texts.keys().filter(|path| !is_left_out(path) && !build.leaves_out(path)).count();
            prop_assert_eq!(manifest.files.len(), published);
        }
    }
}
