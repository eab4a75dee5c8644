//! What must hold whatever bytes a build consists of, as functions that panic when it does not: for the fuzzer in `fuzz/` and for
//! the bounded loop in `tests/it/fuzz.rs`. Never an expectation about a good build: those have tests of their own.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::{BuildManifestSpec, ContentHash, Format};
use crate::lint::{Host, HostRole, Linter, Report, Subject};
use crate::manifest::build::{Assembled, NewFile, assemble, is_left_out};
use crate::manifest::closure::Closure;
use crate::manifest::readers::{self, BuildNames, READERS};
use crate::manifest::{Manifest, ManifestFile};

/// Files that every build here has besides the one of the input.
const OTHERS: [&str; 7] = [
    "index.html",
    "app.3a4f5b6c.js",
    "js/app-3a4f5b6c.js",
    "css/main.8d13893e7eaf3e43de56.css",
    "assets/about-DLvQu4aI.js",
    "main.9f20ed.js",
    "static/media/sign.21b70af5.svg",
];

/// Gives one file with these bytes to every reader, at every usual place and as a named file of every format.
///
/// # Panics
/// When a reader names a file that the build does not have, or a logical name twice, or answers the same bytes differently.
pub fn read_manifest(bytes: &[u8]) {
    let usual = READERS.iter().flat_map(|reader| reader.places).map(|place| place.path.replace('*', "3a4f5b6c"));
    for place in usual.chain(["sub/names.json".to_owned()]).collect::<BTreeSet<_>>() {
        let place = place.as_str();
        let texts = BTreeMap::from([(place.to_owned(), bytes)]);
        let files = files(OTHERS.into_iter().map(|path| (path, b"".as_slice())).chain([(place, bytes)]));
        for format in [Format::Auto, Format::Vite, Format::Webpack, Format::VersionJson, Format::Folder] {
            for path in [None, Some(place.to_owned())] {
                let wish = BuildManifestSpec { format, path };
                let read = readers::read(&wish, &files, &texts);
                assert_eq!(read, readers::read(&wish, &files, &texts), "the same bytes, read twice");
                if let Ok(build) = read {
                    check(&files, &build);
                }
            }
        }
    }
}

fn check(files: &[NewFile], build: &BuildNames) {
    let names = &build.names;
    let has = |path: &String| files.iter().any(|file| file.path == *path) && !is_left_out(path);
    assert!(names.logical.keys().chain(&names.hashed).all(has), "a file that is not in the build: {names:?}");
    assert_eq!(names.logical.values().collect::<BTreeSet<_>>().len(), names.logical.len(), "a name twice: {names:?}");
    assert!(build.reading.format != Format::Auto || build.reading.tool.is_some());
    if let Ok(Assembled { manifest, .. }) = assemble(files.to_vec(), build) {
        let published = files.iter().filter(|file| !is_left_out(&file.path) && !build.leaves_out(&file.path)).count();
        assert_eq!(manifest.files.len(), published);
    }
}

/// Looks at these bytes as page, style, script and data, with every rule, and for references that lead nowhere.
///
/// # Panics
/// When the same text gives two reports, or a finding names a file that is not in the build.
pub fn lint_text(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let paths = ["index.html", "a-BEcQUh0e.css", "a-BEcQUh0e.js", "a.json"];
    let files = files(paths.into_iter().map(|path| (path, bytes)));
    let names = BuildNames::none(readers::Decided::AskedFor);
    let manifest = assemble(files.clone(), &names).expect("these files can be published").manifest;
    let report = report(&manifest, &names, &text);
    assert_eq!(report, self::report(&manifest, &names, &text), "the same text, looked at twice");
    let known = |path: &str| paths.contains(&path);
    assert!(report.findings.iter().all(|finding| finding.path.as_deref().is_none_or(known)), "{report:?}");
    let closure = Closure::new(paths, &[]);
    for dangling in closure.dangling("index.html", &text) {
        assert!(!known(&dangling.reference), "a file that is there: {dangling:?}");
    }
}

fn report(manifest: &Manifest, names: &BuildNames, text: &str) -> Report {
    let base_urls = ["https://cdn.example.com/shop/".to_owned()];
    let hosts: Vec<Host> = Host::of_url(HostRole::Endpoint, "http://minio:9000").into_iter().collect();
    let mut linter = Linter::new(Subject { manifest, names, previous: Some(manifest), base_urls: &base_urls, hosts: &hosts });
    let wanted: Vec<&ManifestFile> = manifest.files.iter().filter(|file| linter.reads(file)).collect();
    for file in wanted {
        linter.read(file, text);
    }
    linter.finish()
}

fn files<'a>(all: impl Iterator<Item = (&'a str, &'a [u8])>) -> Vec<NewFile> {
    let unique: BTreeMap<&str, &[u8]> = all.collect();
    let new = |(path, bytes): (&str, &[u8])| NewFile { path: path.to_owned(), size: bytes.len() as u64, sha256: ContentHash::of(bytes) };
    unique.into_iter().map(new).collect()
}
