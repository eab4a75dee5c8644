//! Vite's own manifest, `.vite/manifest.json`: which source became which file, and what each chunk needs.
//! Never decides what is uploaded: it only names files and gives references to check.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::listed::HashForm;
use super::paths::{folder_and_name, is_needed, is_script_or_style};
use super::{Input, Names, OwnFile, Paths, Place, Reader, Unsuitable, UsedBy};
use crate::api::Format;
use crate::manifest::classify;

/// Vite 5 and later; before, the file lay in the folder itself, under a name that others use.
pub const READER: Reader = Reader {
    format: Format::Vite,
    tool: "Vite",
    places: &[
        Place { path: ".vite/manifest.json", used_by: UsedBy::TheTool },
        // vite_ruby lists pictures and fonts in a file of its own.
        Place { path: ".vite/manifest-assets.json", used_by: UsedBy::TheTool },
        Place { path: "manifest.json", used_by: UsedBy::Others },
    ],
    read,
};

/// By key: the source's path, or a name that Vite made up for a shared chunk, which begins with `_`.
type Chunks = BTreeMap<String, Chunk>;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chunk {
    file: String,
    src: Option<String>,
    name: Option<String>,
    #[serde(default)]
    css: Vec<String>,
    #[serde(default)]
    assets: Vec<String>,
    #[serde(default)]
    imports: Vec<String>,
    #[serde(default)]
    dynamic_imports: Vec<String>,
    #[serde(default)]
    is_entry: bool,
}

fn read(input: &Input<'_>) -> Result<Names, Unsuitable> {
    let chunks: Chunks = serde_json::from_slice(input.bytes).map_err(|error| Unsuitable::AnotherFormat(error.to_string()))?;
    let base = folder_of_the_build(input.path);
    if chunks.is_empty() && base.is_none() {
        return Err(Unsuitable::AnotherFormat("it is empty".to_owned()));
    }
    let folder = base.unwrap_or_else(|| folder_and_name(input.path).0);
    let find = |file: &String| find(input.paths, folder, file);
    let (there, gone): (Vec<_>, Vec<_>) = files(&chunks).into_iter().map(|file| (file, find(file))).partition(|(_, it)| it.is_some());
    // Any JSON may have members named `file`.
    if base.is_none() && !chunks.values().any(is_built) {
        return Err(Unsuitable::AnotherFormat("it names no entry, script or style sheet".to_owned()));
    }
    // Below a folder `manifest.json` may be anybody's.
    if there.is_empty() && base.is_none() && input.path.contains('/') {
        return Err(Unsuitable::AnotherFormat("it names no file of the build".to_owned()));
    }
    // A page loads without its source maps; they may have been taken out on purpose.
    let missing = gone.into_iter().map(|(file, _)| file).filter(|file| is_needed(file)).chain(missing_chunks(&chunks));
    let (of_files, form) = (chunks_of_files(&chunks), HashForm::of(there.iter().map(|(named, _)| named.as_str())));
    Ok(Names {
        logical: logical_names(&chunks).filter_map(|(file, name)| Some((find(file)?.to_owned(), name.clone()))).collect(),
        hashed: there
            .iter()
            .filter(|(named, _)| is_hashed(&of_files, &form, named))
            .filter_map(|(_, file)| *file)
            .map(str::to_owned)
            .collect(),
        missing: missing.cloned().collect(),
        public_path: None,
        // In `.vite` it is left out with its folder.
        own_file: OwnFile::Published,
    })
}

/// The chunks that became each file, with their keys: searched once for each file, 60,000 chunks would take minutes.
fn chunks_of_files(chunks: &Chunks) -> BTreeMap<&str, Vec<(&String, &Chunk)>> {
    let mut all: BTreeMap<&str, Vec<(&String, &Chunk)>> = BTreeMap::new();
    for (source, chunk) in chunks {
        all.entry(&chunk.file).or_default().push((source, chunk));
    }
    all
}

/// Whether a file's name says more than the source and the chunk that it was made from: then what is more is Vite's hash, whatever its form.
fn is_hashed(of_files: &BTreeMap<&str, Vec<(&String, &Chunk)>>, form: &HashForm, file: &str) -> bool {
    // A name of its own that is a word otherwise.
    let is_one_of_many = |plain: &str| !shares_its_beginning(file, plain) && form.are_hashes_alone_beside(file);
    let Some(of_its_own) = of_files.get(file) else { return form.is_of(file) };
    // The key of a shared chunk is the file's own name.
    let is_made_up = |key: &str| key.strip_prefix('_') == Some(folder_and_name(file).1);
    let plain = of_its_own.iter().flat_map(|(source, chunk)| {
        let key = Some(*source).filter(|key| !is_made_up(key));
        [key, chunk.src.as_ref(), chunk.name.as_ref()].into_iter().flatten()
    });
    let mut plain = plain.peekable();
    if plain.peek().is_none() {
        return form.is_of(file);
    }
    plain.all(|plain| classify::says_more_than(file, plain) || says_more_than_legacy(file, plain) || is_one_of_many(plain))
}

/// Whether a file is called as its source or chunk, perhaps with more behind.
fn shares_its_beginning(file: &str, plain: &str) -> bool {
    folder_and_name(file).1.starts_with(stem_of(plain))
}

fn stem_of(path: &str) -> &str {
    let name = folder_and_name(path).1;
    name.split_once('.').map_or(name, |(stem, _)| stem)
}

/// The plugin for legacy browsers puts its word between a chunk's name and the hash.
fn says_more_than_legacy(file: &str, plain: &str) -> bool {
    let legacy = format!("{}-legacy", stem_of(plain));
    folder_and_name(file).1.starts_with(&format!("{legacy}-")) && classify::says_more_than(file, &legacy)
}

/// Whether it is something that Vite makes, rather than a document.
fn is_built(chunk: &Chunk) -> bool {
    chunk.is_entry || is_script_or_style(&chunk.file)
}

/// For a manifest in `.vite`, the folder around that.
fn folder_of_the_build(path: &str) -> Option<&str> {
    folder_and_name(path).0.strip_suffix(".vite/").filter(|folder| folder.is_empty() || folder.ends_with('/'))
}

fn find<'a>(paths: &Paths<'a>, folder: &str, file: &str) -> Option<&'a str> {
    paths.find(&format!("{folder}{file}"))
}

/// Every file that it names.
fn files(chunks: &Chunks) -> BTreeSet<&String> {
    chunks.values().flat_map(|chunk| std::iter::once(&chunk.file).chain(&chunk.css).chain(&chunk.assets)).collect()
}

/// The name that an application asks for, for each file that has one: the source's path; the first one, if several became one file.
fn logical_names(chunks: &Chunks) -> impl Iterator<Item = (&String, &String)> {
    let mut names = BTreeMap::new();
    for (source, chunk) in chunks.iter().filter(|(source, _)| !source.starts_with('_')) {
        names.entry(&chunk.file).or_insert(source);
    }
    names.into_iter()
}

/// Keys of chunks that others import and that it does not have.
fn missing_chunks(chunks: &Chunks) -> impl Iterator<Item = &String> {
    let imports = chunks.values().flat_map(|chunk| chunk.imports.iter().chain(&chunk.dynamic_imports));
    imports.filter(|key| !chunks.contains_key(*key))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &[u8] = include_bytes!("../../../examples/shop/builds/v1/.vite/manifest.json");
    const PATH: &str = ".vite/manifest.json";

    fn names(path: &str, bytes: &[u8], files: &[&str]) -> Result<Names, Unsuitable> {
        read(&Input { path, bytes, paths: &Paths::new(files.iter().copied()) })
    }

    /// `chunkFileNames: "c/[hash:10].js"` with letters and digits: (26/36)^10 = 4 % of the hashes are letters alone. An entry keeps its name beside them.
    #[test]
    fn names_that_are_hashes_alone_vouch_for_each_other() {
        let chunk = |file: &str, name: &str| (format!("src/pages/{name}.js"), serde_json::json!({"file": file, "name": name}));
        let mut files = vec![("c/0x1m8kq2zs.js", "a"), ("c/z3p9w0rq7t.js", "b"), ("c/k8d2n5v1xq.js", "d"), ("c/iedjuiofvr.js", "bread")];
        let hashed: BTreeSet<String> = files.iter().map(|(file, _)| (*file).to_owned()).collect();
        let text = |files: &[(&str, &str)]| {
            serde_json::to_vec(&files.iter().map(|(file, name)| chunk(file, name)).collect::<BTreeMap<_, _>>()).unwrap()
        };
        let read =
            |files: &[(&str, &str)]| names(PATH, &text(files), &files.iter().map(|(file, _)| *file).collect::<Vec<_>>()).unwrap().hashed;
        assert_eq!(read(&files), hashed);
        files.push(("c/storefront.js", "storefront"));
        assert_eq!(read(&files), hashed, "an entry that is called as its source");
        files.push(("c/other.js", "main"));
        assert!(!read(&files).contains("c/iedjuiofvr.js"), "where names of other lengths are, one of letters may be a word");
    }

    /// @vitejs/plugin-legacy: its word stands before the hash, and of some hashes every part can be spoken.
    #[test]
    fn chunks_for_legacy_browsers_are_hashed() {
        let text = br#"{
            "src/pages/flour-legacy.js": {"file": "assets/flour-legacy-DUP_HPaX.js", "name": "flour", "src": "src/pages/flour-legacy.js"},
            "index-legacy.html": {"file": "assets/index-legacy-BwZoa-gA.js", "name": "index", "src": "index-legacy.html", "isEntry": true},
            "_money-legacy-DOapwW-1.js": {"file": "assets/money-legacy-DOapwW-1.js", "name": "money"},
            "_plain.js": {"file": "assets/plain.js", "name": "plain"}
        }"#;
        let hashed = ["assets/flour-legacy-DUP_HPaX.js", "assets/index-legacy-BwZoa-gA.js", "assets/money-legacy-DOapwW-1.js"];
        let files: Vec<&str> = hashed.into_iter().chain(["assets/plain.js"]).collect();
        assert_eq!(names(PATH, text, &files).unwrap().hashed, hashed.map(str::to_owned).into());
    }

    #[test]
    fn sources_are_the_logical_names_of_the_files_they_became() {
        let files = ["assets/about-DLvQu4aI.js", "assets/lib-Cpo3Cw31.js", "assets/signs-9e1QReoF.woff2"];
        let names = names(PATH, SHOP, &files).unwrap();
        assert_eq!(names.logical.get("assets/about-DLvQu4aI.js").map(String::as_str), Some("about.html"));
        assert_eq!(names.logical.get("assets/lib-Cpo3Cw31.js"), None);
        assert!(files.iter().all(|file| names.hashed.contains(*file)), "{names:?}");
        assert!(names.missing.contains("assets/paper-CrXU5gjg.png"), "the rest of the build is not there: {names:?}");
    }

    #[test]
    fn a_chunk_that_is_imported_but_not_there_is_named() {
        let names = names(PATH, br#"{"a.js":{"file":"a.js","imports":["_b.js"],"dynamicImports":["c.js"]}}"#, &["a.js"]).unwrap();
        assert_eq!(names.missing, BTreeSet::from(["_b.js".to_owned(), "c.js".to_owned()]));
        assert!(names.hashed.is_empty(), "a name without a hash is not vouched for");
    }

    #[test]
    fn very_many_chunks_are_not_searched_for_each_file() {
        let files: Vec<String> = (0..150_000).map(|n| format!("a{n}-5K7OQ3KJ.js")).collect();
        let chunks: Vec<String> = files.iter().enumerate().map(|(n, file)| format!(r#""a{n}.ts":{{"file":"{file}"}}"#)).collect();
        let paths: Vec<&str> = files.iter().map(String::as_str).collect();
        assert_eq!(names(PATH, format!("{{{}}}", chunks.join(",")).as_bytes(), &paths).unwrap().hashed.len(), 150_000);
    }

    #[test]
    fn a_source_map_that_was_taken_out_is_not_missing() {
        let text = br#"{"a.js":{"file":"a.js","assets":["a.js.map","b.png"]}}"#;
        assert_eq!(names(PATH, text, &["a.js"]).unwrap().missing, BTreeSet::from(["b.png".to_owned()]));
    }

    #[test]
    fn files_are_told_from_where_the_manifest_lies() {
        let text = br#"{"a.ts":{"file":"assets/a-lowercas.js"}}"#;
        for (path, file) in [
            ("build/manifest.json", "build/assets/a-lowercas.js"),
            ("site/.vite/manifest.json", "site/assets/a-lowercas.js"),
            ("manifest.json", "assets/a-lowercas.js"),
        ] {
            assert_eq!(names(path, text, &[file]).unwrap().hashed, BTreeSet::from([file.to_owned()]), "{path}");
        }
    }

    #[test]
    fn something_else_is_not_taken_for_it() {
        for text in ["[]", r#"{"name":"Shop","icons":[]}"#, r#"{"app.js":"/app.1.js"}"#, "{"] {
            assert!(matches!(names("manifest.json", text.as_bytes(), &[]), Err(Unsuitable::AnotherFormat(_))), "{text}");
        }
        let documents = br#"{"a":{"file":"a.pdf"}}"#;
        assert!(matches!(names("docs/manifest.json", documents, &["a.pdf"]), Err(Unsuitable::AnotherFormat(_))), "any list of documents");
        assert!(matches!(names("manifest.json", b"{}", &[]), Err(Unsuitable::AnotherFormat(_))));
        assert!(names(PATH, b"{}", &[]).is_ok(), "Vite writes this for a build without modules");
    }

    #[test]
    fn a_list_of_documents_is_not_taken_for_it() {
        let documents = br#"{"a":{"file":"a.pdf"},"b":{"file":"gone.pdf"}}"#;
        for path in ["manifest.json", "docs/manifest.json"] {
            let read = names(path, documents, &["a.pdf", "docs/a.pdf"]);
            assert!(matches!(read, Err(Unsuitable::AnotherFormat(_))), "{path}: {read:?}");
        }
    }
}
