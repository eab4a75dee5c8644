//! Next.js: `build-manifest.json` of `.next`, and `_buildManifest.js`, which also a static export has. Both name chunks below `_next/`.
//! Never vouches for what lies outside of `_next/static`.

use super::json::Node;
use super::listed::{carries_hash, strings};
use super::paths::{Paths, folder_and_name, is_needed};
use super::{Input, Names, OwnFile, Place, Reader, Unsuitable, UsedBy};
use crate::api::Format;
use crate::manifest::classify;

/// The manifests of `.next`, when they are published with `static`.
pub const READER: Reader = Reader {
    format: Format::Auto,
    tool: "Next.js",
    places: &[
        Place { path: "build-manifest.json", used_by: UsedBy::Others },
        Place { path: "app-build-manifest.json", used_by: UsedBy::Others },
    ],
    read,
};

/// What the browser loads to know which chunks a page has.
pub const IN_THE_SITE: Reader = Reader {
    format: Format::Auto,
    tool: "Next.js",
    places: &[Place { path: "_buildManifest.js", used_by: UsedBy::Others }],
    read: read_script,
};

/// What all of Next's paths begin with.
const STATIC: &str = "static/";

/// Length of a build's id that Next makes by itself (nanoid).
const BUILD_ID_CHARS: usize = 21;

fn read(input: &Input<'_>) -> Result<Names, Unsuitable> {
    let object = Node::object(input.bytes).map_err(Unsuitable::AnotherFormat)?;
    let Some(pages @ Node::Object(_)) = object.get("pages") else { return Err(Unsuitable::AnotherFormat("it has no pages".to_owned())) };
    let mut files = Vec::new();
    collect(pages, &mut files);
    ["polyfillFiles", "rootMainFiles", "lowPriorityFiles"]
        .iter()
        .filter_map(|list| object.get(*list))
        .for_each(|list| collect(list, &mut files));
    named(input, files.iter().map(String::as_str))
}

fn read_script(input: &Input<'_>) -> Result<Names, Unsuitable> {
    let text = String::from_utf8_lossy(input.bytes);
    if !text.contains("__BUILD_MANIFEST") {
        return Err(Unsuitable::AnotherFormat("it sets no __BUILD_MANIFEST".to_owned()));
    }
    named(input, strings(&text))
}

fn collect(node: &Node, files: &mut Vec<String>) {
    match node {
        Node::List(list) => files.extend(list.iter().cloned()),
        Node::Object(object) => object.values().for_each(|node| collect(node, files)),
        Node::Text(_) | Node::Other => {}
    }
}

fn named<'f>(input: &Input<'_>, files: impl Iterator<Item = &'f str>) -> Result<Names, Unsuitable> {
    let Some(folder) = folder_of_next(input.path, input.paths) else {
        return Err(Unsuitable::AnotherFormat("the build has no _next/static".to_owned()));
    };
    let mut names = Names { own_file: OwnFile::Published, ..Names::default() };
    for file in files.filter(|file| file.starts_with(STATIC)) {
        // Next escapes what it writes into scripts, and not the names of its files.
        let plain = percent_encoding::percent_decode_str(file).decode_utf8_lossy();
        match input.paths.find(&format!("{folder}{file}")).or_else(|| input.paths.find(&format!("{folder}{plain}"))) {
            Some(path) if carries_hash(path) || is_below_a_hash(file) => drop(names.hashed.insert(path.to_owned())),
            None if is_needed(file) && file.contains('.') => drop(names.missing.insert(file.to_owned())),
            Some(_) | None => {}
        }
    }
    Ok(names)
}

/// `static/<BUILD_ID>/_buildManifest.js`: Next makes the id of 21 random characters, or the application says one, which may stay.
fn is_below_a_hash(file: &str) -> bool {
    let id = file.strip_prefix(STATIC).and_then(|rest| rest.split_once('/')).map_or("", |(id, _)| id);
    (id.len() == BUILD_ID_CHARS && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')))
        || classify::is_hash_of_a_tool(id)
}

/// `_next/` around or beside the file.
fn folder_of_next(path: &str, paths: &Paths<'_>) -> Option<String> {
    let (folder, _) = folder_and_name(path);
    let around = folder.find("_next/").map(|at| folder[..at + "_next/".len()].to_owned());
    let places = around.into_iter().chain([folder.to_owned(), format!("{folder}_next/"), "_next/".to_owned(), String::new()]);
    places.into_iter().find(|place| paths.all().any(|path| path.strip_prefix(place.as_str()).is_some_and(|rest| rest.starts_with(STATIC))))
}

#[cfg(test)]
mod tests {
    use super::super::tests::Sample;

    const FILES: [&str; 4] = [
        "_next/static/chunks/framework-2c16ac744b6cdea6.js",
        "_next/static/chunks/pages/_app-1a2b3c4d5e6f7081.js",
        "_next/static/chunks/pages/[slug]-90ab12cd34ef5678.js",
        "_next/static/zJk3vB9xQ-2LmN4pR6tYw/_ssgManifest.js",
    ];

    fn with(list: &str, text: &str) -> super::super::BuildNames {
        let mut all: Vec<(&str, &str)> = FILES.iter().map(|file| (*file, "")).collect();
        all.push((list, text));
        Sample::of(&all).auto()
    }

    #[test]
    fn chunks_of_the_build_manifest_lie_below_next() {
        let build = with("build-manifest.json", include_str!("../../../tests/data/builds/lists/next-build-manifest.json"));
        assert!(FILES.iter().all(|file| build.names.hashed.contains(*file)), "{build:?}");
        assert_eq!(build.names.missing.iter().collect::<Vec<_>>(), ["static/chunks/main-7f8e9d0c1b2a3948.js"]);
    }

    #[test]
    fn chunks_of_the_script_are_found_in_its_strings() {
        let text = include_str!("../../../tests/data/builds/lists/next-buildManifest.js");
        let build = with("_next/static/zJk3vB9xQ-2LmN4pR6tYw/_buildManifest.js", text);
        assert!(build.names.hashed.contains(FILES[2]), "{build:?}");
        assert_eq!(build.names.missing.iter().collect::<Vec<_>>(), ["static/chunks/pages/gone-0011223344556677.js"]);
    }

    #[test]
    fn what_carries_no_hash_is_not_vouched_for() {
        let text =
            r#"self.__BUILD_MANIFEST={"/":["static/chunks/main.js","static/chunks/main-0011223344556677.js","static/v1/_ssgManifest.js"]}"#;
        let files = ["_next/static/chunks/main.js", "_next/static/chunks/main-0011223344556677.js", "_next/static/v1/_ssgManifest.js"];
        let list = ("_next/static/v1/_buildManifest.js", text);
        let build = Sample::of(&[list, (files[0], ""), (files[1], ""), (files[2], "")]).auto();
        assert_eq!(build.names.hashed.iter().collect::<Vec<_>>(), [files[1]], "{build:?}");
    }
}
