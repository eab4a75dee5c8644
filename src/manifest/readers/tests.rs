//! Real outputs of real tools (`tests/data/builds`, `examples/shop/builds`), and how a format is told.

use std::path::{Path, PathBuf};

use super::*;
use crate::api::ContentHash;
use crate::manifest::closure::{Closure, Gaps};

/// A build as files and, by path, their bytes.
pub(super) struct Sample {
    pub(super) files: Vec<NewFile>,
    pub(super) texts: BTreeMap<String, Vec<u8>>,
}

impl Sample {
    /// Out of a folder below the repository's top.
    pub(super) fn folder(path: &str) -> Self {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let mut texts = BTreeMap::new();
        collect(&top, &top, &mut texts);
        Self::new(texts)
    }

    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        Self::new(files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect())
    }

    pub(super) fn new(texts: BTreeMap<String, Vec<u8>>) -> Self {
        let new =
            |(path, bytes): (&String, &Vec<u8>)| NewFile { path: path.clone(), size: bytes.len() as u64, sha256: ContentHash::of(bytes) };
        Self { files: texts.iter().map(new).collect(), texts }
    }

    pub(super) fn read(&self, format: Format, path: Option<&str>) -> Result<BuildNames, UnreadableNames> {
        let wish = BuildManifestSpec { format, path: path.map(str::to_owned) };
        let wanted = wanted(&wish, &self.files);
        let texts: BTreeMap<String, &[u8]> = wanted.into_iter().map(|path| (path.clone(), self.texts[&path].as_slice())).collect();
        read(&wish, &self.files, &texts)
    }

    pub(super) fn auto(&self) -> BuildNames {
        self.read(Format::Auto, None).unwrap()
    }
}

fn collect(top: &Path, folder: &Path, texts: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        if path.is_dir() {
            collect(top, &path, texts);
        } else {
            texts.insert(path.strip_prefix(top).unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap());
        }
    }
}

fn webpack(name: &str) -> Sample {
    Sample::folder(&format!("tests/data/builds/webpack/builds/{name}"))
}

fn logical(names: &BuildNames) -> Vec<(&str, &str)> {
    names.names.logical.iter().map(|(file, name)| (name.as_str(), file.as_str())).collect()
}

fn sentence(names: &BuildNames) -> String {
    names.reading.sentence()
}

fn strings(all: &BTreeSet<String>) -> Vec<&str> {
    all.iter().map(String::as_str).collect()
}

#[test]
fn the_shop_is_a_build_of_vites() {
    let build = Sample::folder("examples/shop/builds/v1").auto();
    assert_eq!(sentence(&build), r#"names from ".vite/manifest.json" (Vite, at its usual place)"#);
    assert!(logical(&build).contains(&("cart/index.html", "assets/cart-nPyXgmxr.js")), "{build:?}");
    assert!(build.names.missing.is_empty());
}

#[test]
fn webpack_manifest_plugin() {
    let build = webpack("manifest").auto();
    assert!(
        sentence(&build)
            .starts_with(r#"names from "manifest.json" (Webpack, at its usual place); passed over: "manifest.json" is not of Vite: "#)
    );
    let without_maps: Vec<_> = logical(&build).into_iter().filter(|(name, _)| !crate::manifest::classify::is_source_map(name)).collect();
    assert_eq!(
        without_maps,
        [
            ("main.css", "css/main.8d13893e7eaf3e43de56.css"),
            ("index.html", "index.html"),
            ("cart.js", "js/cart.679d74176f43f7a59fcd.js"),
            ("main.js", "js/main.93b9253c101906f04b25.js"),
            ("media/sign.svg", "media/sign.21b70af55acc0c7cfe81.svg"),
        ]
    );
    assert!(build.names.hashed.contains("js/main.93b9253c101906f04b25.js"));
    assert!(build.names.missing.is_empty() && !build.leaves_out("manifest.json"), "{build:?}");
}

#[test]
fn webpack_assets_manifest_with_entry_points_on_another_host() {
    let build = webpack("assets-manifest").auto();
    assert_eq!(sentence(&build), r#"names from "assets-manifest.json" (Webpack, at its usual place)"#);
    assert!(logical(&build).contains(&("main.js", "js/main.32b15e676216d4bd0561.js")), "{build:?}");
    assert!(logical(&build).contains(&("media/sign.svg", "media/sign.21b70af55acc0c7cfe81.svg")), "of two names the file's own: {build:?}");
    assert!(build.names.missing.is_empty());
}

#[test]
fn react_scripts() {
    let build = webpack("react-scripts").auto();
    assert_eq!(sentence(&build), r#"names from "asset-manifest.json" (Webpack, at its usual place)"#);
    assert!(logical(&build).contains(&("static/media/sign.svg", "static/media/sign.21b70af5.svg")), "{build:?}");
    assert!(build.names.missing.is_empty());
}

#[test]
fn webpacks_statistics_beside_a_web_app_manifest() {
    let sample = webpack("stats");
    let build = sample.auto();
    let sentence = sentence(&build);
    assert!(sentence.starts_with(r#"names from "stats.json" (Webpack, at its usual place); passed over: "#), "{sentence}");
    assert!(sentence.contains(r#""manifest.json" is not of Webpack: it has "start_url", so it is a web app manifest"#), "{sentence}");
    assert_eq!(
        logical(&build),
        [("src/sign.svg", "21b70a.svg"), ("cart.js", "cart.6c380f.js"), ("main.js", "main.9f20ed.js"), ("main.css", "main.bd3232.css")]
    );
    assert_eq!(strings(&build.names.hashed), ["21b70a.svg", "cart.6c380f.js", "main.9f20ed.js", "main.bd3232.css"]);
    let manifest = crate::manifest::build::assemble(sample.files.clone(), &build).unwrap().manifest;
    let class = |path: &str| manifest.files.iter().find(|file| file.path == path).map(|file| file.class);
    assert_eq!(class("stats.json"), None, "it is not for visitors");
    assert_eq!(class("manifest.json"), Some(crate::manifest::Class::Entry), "the page's own is");
    assert_eq!(class("21b70a.svg"), Some(crate::manifest::Class::Asset), "webpack vouches for the short hash");
}

#[test]
fn a_version_json_of_hashes() {
    let build = webpack("version-json").auto();
    assert_eq!(sentence(&build), r#"names from "version.json" (VersionJson, at its usual place)"#);
    assert_eq!(
        logical(&build),
        [
            ("main.css", "static/css/main.e693843a.css"),
            ("cart.js", "static/js/cart.6c380f09.js"),
            ("main.js", "static/js/main.6123f577.js"),
            ("static/media/sign.svg", "static/media/sign.21b70af5.svg"),
        ]
    );
    assert!(build.names.missing.is_empty());
}

#[test]
fn a_version_json_of_file_names() {
    let sample = Sample::of(&[
        (
            "version.json",
            r#"{"app.js":"/static/app.3a4f5b.js","logo.png":"logo-2.png","gone.css":"/static/gone.3a4f5b6c.css","commit":"3a4f5b6c"}"#,
        ),
        ("app.3a4f5b.js", ""),
        ("logo-2.png", ""),
    ]);
    let build = sample.auto();
    assert_eq!(logical(&build), [("app.js", "app.3a4f5b.js"), ("logo.png", "logo-2.png")]);
    assert_eq!(strings(&build.names.hashed), ["app.3a4f5b.js"]);
    assert_eq!(strings(&build.names.missing), ["/static/gone.3a4f5b6c.css"]);
}

#[test]
fn a_hash_that_several_files_carry_is_ambiguous_and_one_beside_the_name_is_not() {
    let text = r#"{"app.js":"3a4f5b6c"}"#;
    let twice = Sample::of(&[("version.json", text), ("a/app.3a4f5b6c.js", ""), ("b/app-3a4f5b6c.js", "")]);
    let error = twice.read(Format::Auto, None).unwrap_err();
    assert_eq!(error.reason(), "BuildManifestAmbiguous");
    assert!(error.to_string().contains(r#""app.js" may mean "a/app.3a4f5b6c.js" or "b/app-3a4f5b6c.js""#), "{error}");
    let own = Sample::of(&[("version.json", text), ("app.3a4f5b6c.js", ""), ("b/app-3a4f5b6c.js", "")]);
    assert_eq!(logical(&own.auto()), [("app.js", "app.3a4f5b6c.js")]);
}

#[test]
fn a_version_json_whose_hashes_are_in_no_name_vouches_for_nothing() {
    let sample = Sample::of(&[("version.json", r#"{"app.js":"3a4f5b6c"}"#), ("app.js", "")]);
    assert_eq!(sample.auto().reading.format, Format::Folder);
    let error = sample.read(Format::VersionJson, None).unwrap_err();
    assert_eq!(error.reason(), "BuildManifestMalformed");
    assert!(error.to_string().contains("none of its hashes or file names is that of a file of the build"), "{error}");
    // A counter names the file, and is no hash.
    let counted = Sample::of(&[("version.json", r#"{"app.js":"7"}"#), ("app.7.js", "")]).auto();
    assert_eq!((logical(&counted), counted.names.hashed.len()), (vec![("app.js", "app.7.js")], 0));
}

#[test]
fn a_folder_without_a_manifest_is_said_to_be_one() {
    let build = Sample::of(&[("index.html", ""), ("version.json", r#"{"name":"shop","version":"v1"}"#)]).auto();
    let expected = r#"no names from a build tool (Folder: no build tool's manifest was found); passed over: "version.json" is not of VersionJson: none of its hashes or file names is that of a file of the build"#;
    assert_eq!(sentence(&build), expected);
    let asked = Sample::folder("examples/shop/builds/v1").read(Format::Folder, None).unwrap();
    assert_eq!((asked.reading.decided, asked.names.logical.len()), (Decided::AskedFor, 0));
}

#[test]
fn a_format_that_is_asked_for_must_be_there_and_right() {
    let sample = Sample::of(&[
        ("manifest.json", r#"{"start_url":"/"}"#),
        ("sub/names.json", r#"{"app.js":"/sub/app.3a4f5b6c.js"}"#),
        ("sub/app.3a4f5b6c.js", ""),
    ]);
    let reason = |format, path| sample.read(format, path).map(|build| build.reading.sentence()).map_err(|error| error.reason());
    assert_eq!(reason(Format::VersionJson, None), Err("BuildManifestMissing"));
    assert_eq!(reason(Format::Webpack, Some("gone.json")), Err("BuildManifestMissing"));
    assert_eq!(reason(Format::Auto, Some("gone.json")), Err("BuildManifestMissing"));
    assert_eq!(reason(Format::Webpack, None), Err("BuildManifestMalformed"));
    assert_eq!(reason(Format::Vite, None), Err("BuildManifestMalformed"));
    assert_eq!(reason(Format::Auto, Some("manifest.json")), Err("BuildManifestUnknown"));
    assert_eq!(
        reason(Format::Webpack, Some("sub/names.json")),
        Ok(r#"names from "sub/names.json" (Webpack, as manifest.format says)"#.into())
    );
    assert_eq!(
        reason(Format::Auto, Some("sub/names.json")),
        Ok(r#"names from "sub/names.json" (Webpack, recognised by its content)"#.into())
    );
}

#[test]
fn a_file_that_only_one_tool_writes_must_be_right_even_when_nobody_asked() {
    let broken = Sample::of(&[(".vite/manifest.json", "{"), ("index.html", "")]);
    let error = broken.read(Format::Auto, None).unwrap_err();
    assert_eq!(error.reason(), "BuildManifestMalformed");
    assert!(error.to_string().starts_with(r#"".vite/manifest.json" is not a manifest of the format Vite: EOF"#), "{error}");
    assert!(broken.read(Format::Folder, None).is_ok(), "the way out that the message names");
}

#[test]
fn what_is_too_large_is_not_read() {
    let mut sample = Sample::of(&[("stats.json", "{}"), (".vite/manifest.json", "{}")]);
    let large = |path: &str, files: &mut Vec<NewFile>| files.iter_mut().find(|file| file.path == path).unwrap().size = BYTES_MAX + 1;
    large("stats.json", &mut sample.files);
    assert!(!wanted(&BuildManifestSpec::default(), &sample.files).contains(&"stats.json".to_owned()));
    assert_eq!(sample.read(Format::Webpack, None).unwrap_err().reason(), "BuildManifestTooLarge");
    sample.files.retain(|file| file.path == "stats.json");
    assert_eq!(sample.auto().reading.format, Format::Folder, "others use the name, too");
    let mut vite = Sample::of(&[(".vite/manifest.json", "{}")]);
    large(".vite/manifest.json", &mut vite.files);
    assert_eq!(vite.read(Format::Auto, None).unwrap_err().reason(), "BuildManifestTooLarge");
}

#[test]
fn lists_below_folders_are_found_and_each_names_what_it_lacks() {
    let build = Sample::of(&[
        ("build/manifest.json", r#"{"a.ts":{"file":"assets/a-lowercas.js","imports":["_b"]}}"#),
        ("build/assets/a-lowercas.js", ""),
        ("blog/.vite/manifest.json", r#"{"b.ts":{"file":"b-wercaslo.js"}}"#),
        ("blog/b-wercaslo.js", ""),
        ("ngsw.json", r#"{"assetGroups":[{"urls":["/index.html","/gone.js"]}]}"#),
        ("index.html", ""),
    ])
    .auto();
    assert_eq!(
        sentence(&build),
        r#"names from "ngsw.json" (Angular, at its usual place); also read: "blog/.vite/manifest.json" (Vite), "build/manifest.json" (Vite)"#
    );
    assert_eq!(strings(&build.names.hashed), ["blog/b-wercaslo.js", "build/assets/a-lowercas.js"]);
    let missing: Vec<_> = build.missing().collect();
    assert_eq!(missing, [("ngsw.json", "/gone.js"), ("build/manifest.json", "_b")]);
    assert!(is_left_out("blog/.vite/manifest.json"));
}

#[test]
fn real_builds_are_whole_and_their_tools_are_known() {
    for (tool, expected, hashed) in [
        ("esbuild", r#"names from "meta.json" (esbuild, at its usual place)"#, 3),
        ("rsbuild", r#"names from "manifest.json" (Rsbuild, at its usual place)"#, 3),
        ("vite-workbox", r#"names from ".vite/manifest.json" (Vite, at its usual place); also read: "sw.js" (Workbox)"#, 3),
    ] {
        let sample = Sample::folder(&format!("tests/data/builds/tools/{tool}"));
        let build = sample.auto();
        assert!(sentence(&build).starts_with(expected), "{}", sentence(&build));
        assert_eq!((build.names.hashed.len(), build.missing().count()), (hashed, 0), "{build:?}");
        let closure = Closure::new(sample.texts.keys().map(String::as_str), &[]).built_as(&build);
        let mut gaps = Gaps::default();
        let texts = sample.texts.iter().filter(|(path, _)| Closure::looks_at(path));
        texts.for_each(|(path, text)| gaps.look(&closure, path, std::str::from_utf8(text).unwrap()));
        let verdict = gaps.finish(&closure);
        let lost: Vec<_> = verdict.dangling.iter().map(|one| one.reference.as_str()).collect();
        // The page of the Vite build names an icon that nobody made.
        let (icon, base) = if tool == "vite-workbox" { (vec!["/favicon.svg"], Some("/shop/")) } else { (vec![], None) };
        assert_eq!((lost, verdict.base.as_ref().map(|base| base.base.as_str())), (icon, base), "{tool}");
    }
}

#[test]
fn an_older_program_reads_how_a_build_of_a_newer_tool_was_read() {
    let reading = Sample::of(&[("ngsw.json", r#"{"assetGroups":[{"urls":["/index.html"]}]}"#), ("index.html", "")]).auto().reading;
    let stored = serde_json::to_value(&reading).unwrap();
    assert_eq!((stored["format"].as_str(), stored["tool"].as_str()), (Some("Auto"), Some("Angular")), "no word that it does not know");
    assert_eq!(serde_json::from_value::<Reading>(stored).unwrap(), reading);
    let older = r#"{"format":"Vite","path":"a","decided":"UsualPlace"}"#;
    assert_eq!(serde_json::from_str::<Reading>(older).unwrap().tool, None);
}

#[test]
fn every_format_but_auto_and_folder_has_a_reader() {
    for format in [Format::Vite, Format::Webpack, Format::VersionJson] {
        assert!(READERS.iter().any(|reader| reader.format == format && !reader.places.is_empty()), "{format:?}");
    }
    assert!(READERS.iter().all(|reader| reader.format != Format::Folder));
}

#[test]
fn a_byte_order_mark_before_a_list_is_passed_over() {
    let build = Sample::of(&[(".vite/manifest.json", "\u{feff}{\"a.ts\":{\"file\":\"a-lowercas.js\"}}"), ("a-lowercas.js", "")]).auto();
    assert_eq!(strings(&build.names.hashed), ["a-lowercas.js"]);
}

#[test]
fn a_list_below_a_folder_is_published_unless_it_was_named() {
    let text = r#"{"inputs":{},"outputs":{"a-5K7OQ3KJ.js":{}}}"#;
    let sample = Sample::of(&[("report/meta.json", text), ("a-5K7OQ3KJ.js", "")]);
    assert!(!sample.auto().leaves_out("report/meta.json"), "a page of the site may fetch it");
    assert!(sample.read(Format::Auto, Some("report/meta.json")).unwrap().leaves_out("report/meta.json"));
    let two = Sample::of(&[("report/meta.json", text), ("meta.json", text), ("a-5K7OQ3KJ.js", "")]).auto();
    assert!(two.leaves_out("meta.json") && !two.leaves_out("report/meta.json"), "{two:?}");
}

#[test]
fn a_manifest_of_webpack_may_name_files_from_its_own_folder() {
    let text = r#"{"app.js":"js/app.3a4f5b6c.js","app.css":"./css/app.0a1b2c3d.css"}"#;
    let files = [("public/build/asset-manifest.json", text), ("public/build/js/app.3a4f5b6c.js", ""), ("index.html", "")];
    let build = Sample::of(&files).auto();
    assert_eq!(strings(&build.names.hashed), ["public/build/js/app.3a4f5b6c.js"], "{build:?}");
    assert_eq!(strings(&build.names.missing), ["./css/app.0a1b2c3d.css"]);
}

#[test]
fn a_description_named_manifest_is_no_list_of_files() {
    for (path, text) in [
        ("plugins/x/manifest.json", r#"{"id":"x","author":"jane@example.com","main":"main.js"}"#),
        ("manifest.json", r#"{"title":"Shop","homepage":"example.com","image":"logo.png"}"#),
        ("data/manifest.json", r#"{"a":"a.csv","c":"c.csv","d.csv":"d.csv"}"#),
        ("plugins/x/assets-manifest.json", r#"{"main":"main.js","site":"example.com"}"#),
    ] {
        let build = Sample::of(&[(path, text), ("plugins/x/main.js", ""), ("logo.png", ""), ("data/a.csv", ""), ("data/d.csv", "")]).auto();
        assert!(build.reading.path.is_none() && build.missing().count() == 0, "{path}: {build:?}");
    }
    let mixed = r#"{"main.js":"main.3a4f5b6c.js","gone.css":"gone.3a4f5b6c.css","author":"jane@example.com","a.csv":"a.csv"}"#;
    let build = Sample::of(&[("build/manifest.json", mixed), ("build/main.3a4f5b6c.js", ""), ("build/a.csv", "")]).auto();
    assert_eq!((strings(&build.names.hashed), strings(&build.names.missing)), (vec!["build/main.3a4f5b6c.js"], vec!["gone.3a4f5b6c.css"]));
}

#[test]
fn names_of_lists_may_be_escaped() {
    let text = r#"{"assetGroups":[{"urls":["/index.html","/img/a%20b.png","/100%25.png","/a%2.png"]}]}"#;
    let build = Sample::of(&[("ngsw.json", text), ("index.html", ""), ("img/a b.png", ""), ("100%25.png", ""), ("a%2.png", "")]).auto();
    assert!(build.names.missing.is_empty(), "{build:?}");
}

#[test]
fn a_name_of_dots_takes_little_time_and_memory() {
    let text = format!(r#"{{"{}a.js":"0a1b2c3d","b.js":"0a1b2c3e","{}.js":"0a1b2c3f"}}"#, ".".repeat(100_000), "a.".repeat(100));
    let build = Sample::of(&[("version.json", &text), ("b.0a1b2c3e.js", "")]).auto();
    assert_eq!(strings(&build.names.hashed), ["b.0a1b2c3e.js"]);
}

#[test]
fn lists_of_many_entries_take_little_time() {
    let outputs: Vec<String> = (0..20_000).map(|n| format!(r#""a{n}-5K7OQ3KJ.js":{{"entryPoint":"src/{n}.ts"}}"#)).collect();
    let esbuild = format!(r#"{{"inputs":{{}},"outputs":{{{}}}}}"#, outputs.join(","));
    let entries: Vec<String> = (0..20_000).map(|n| format!(r#""a{n}":{{"initial":{{"js":["a{n}-5K7OQ3KJ.js"]}}}}"#)).collect();
    let rsbuild = format!(r#"{{"allFiles":[],"entries":{{{}}}}}"#, entries.join(","));
    let chunks: Vec<String> = (0..20_000).map(|n| format!(r#""src/a{n}.ts":{{"file":"a{n}-5K7OQ3KJ.js"}}"#)).collect();
    let vite = format!("{{{}}}", chunks.join(","));
    let files: Vec<String> = (0..20_000).map(|n| format!("a{n}-5K7OQ3KJ.js")).collect();
    for (path, text) in [("meta.json", esbuild), ("manifest.json", rsbuild), (".vite/manifest.json", vite)] {
        let mut all: Vec<(&str, &str)> = files.iter().map(|file| (file.as_str(), "")).collect();
        all.push((path, &text));
        assert_eq!(Sample::of(&all).auto().names.logical.len(), 20_000);
    }
}

#[test]
fn a_list_of_very_many_entries_is_not_read() {
    let entries = |count: usize| format!(r#"{{"a":[""{}],"x.3a4f5b6c.js":"x.3a4f5b6c.js"}}"#, r#","""#.repeat(count));
    let many = Sample::of(&[("rev-manifest.json", &entries(ENTRIES_MAX)), ("x.3a4f5b6c.js", "")]).auto();
    assert!(many.reading.path.is_none() && sentence(&many).contains("more than 600000 entries"), "{}", sentence(&many));
    let error = Sample::of(&[(".vite/manifest.json", &entries(ENTRIES_MAX)), ("x.js", "")]).read(Format::Auto, None).unwrap_err();
    assert!(error.to_string().contains("set manifest.format to Folder"), "{error}");
}

/// react-scripts and Encore: most of an application's bytes are in chunks without a name.
#[test]
fn chunks_without_a_name_are_hashed_as_the_named_ones_of_their_folder_are() {
    let paths = [
        "static/js/main.970e19da.js",
        "static/js/270.a3163c96.chunk.js",
        "static/js/legacy.js",
        "static/js/short.ab12c3.js",
        "pictures/a3163c96.png",
        "pictures/x.a3163c96.js",
    ];
    let listed = paths[1..].iter().map(|path| ((*path).to_owned(), format!("/{path}")));
    let listed: BTreeMap<String, String> = listed.chain([("main.js".to_owned(), format!("/{}", paths[0]))]).collect();
    let text = serde_json::json!({"files": listed}).to_string();
    let files: Vec<(&str, &str)> = paths.iter().map(|path| (*path, "")).chain([("asset-manifest.json", text.as_str())]).collect();
    let hashed = Sample::of(&files).auto().names.hashed;
    assert_eq!(hashed, [paths[0], paths[1]].map(str::to_owned).into());
}
