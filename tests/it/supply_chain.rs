//! What is in the image: the bill of materials lists what is linked and nothing else, and whatever the image is made from is pinned.
//! Never builds the program: Cargo says what it would link.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use crate::repository::{files, shipped, top};

fn target() -> String {
    format!("{}-unknown-linux-musl", std::env::consts::ARCH)
}

fn output(command: &mut Command) -> Vec<u8> {
    let ended = command.current_dir(top()).output().unwrap();
    assert!(ended.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ended.stderr));
    ended.stdout
}

fn bill(folder: &std::path::Path, name: &str) -> Vec<u8> {
    let out = folder.join(name);
    let script = top().join("tests/cluster/sbom.py");
    output(Command::new("python3").arg(script).arg(target()).arg(&out).arg("--certificates").arg(top().join("LICENSE")));
    std::fs::read(out).unwrap()
}

fn words<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("{field} in {value}"))
}

/// Cargo's own plan of a build, which is more than the bill's script asks for: each unit with what it is linked to.
fn planned() -> BTreeSet<(String, String)> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.env("RUSTC_BOOTSTRAP", "1").args(["build", "--unit-graph", "-Zunstable-options", "--locked", "--offline", "--release"]);
    let graph: Value = serde_json::from_slice(&output(cargo.args(["--bin", "rollcall", "--target", &target()]))).unwrap();
    let (mut open, mut seen): (Vec<&Value>, BTreeSet<u64>) = (graph["roots"].as_array().unwrap().iter().collect(), BTreeSet::new());
    let mut found = BTreeSet::new();
    while let Some(index) = open.pop() {
        let unit = &graph["units"][usize::try_from(index.as_u64().unwrap()).unwrap()];
        let is_linked = words(unit, "mode") == "build" && unit["platform"].is_string() && unit["target"]["kind"][0] != "proc-macro";
        if is_linked && seen.insert(index.as_u64().unwrap()) {
            let (place, id) = words(unit, "pkg_id").split_once('#').unwrap();
            let (name, version) = id.split_once('@').unwrap_or((place.rsplit('/').next().unwrap(), id));
            found.insert((name.to_owned(), version.to_owned()));
            open.extend(unit["dependencies"].as_array().unwrap().iter().map(|dependency| &dependency["index"]));
        }
    }
    found
}

#[test]
fn the_bill_of_materials_lists_every_crate_that_is_linked_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = bill(folder.path(), "one.json");
    assert!(bytes == bill(folder.path(), "two.json"), "the same bytes every time");
    let bill: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!((words(&bill, "bomFormat"), words(&bill, "specVersion")), ("CycloneDX", "1.6"));
    let components = bill["components"].as_array().unwrap();
    let lock = std::fs::read_to_string(top().join("Cargo.lock")).unwrap();
    let mut listed = BTreeSet::new();
    for component in components {
        let name = words(component, "name");
        assert!(component["licenses"].as_array().is_some_and(|licences| !licences.is_empty()), "{component}");
        if component["purl"].is_string() {
            let version = words(component, "version");
            let source = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
            let checksum =
                component["hashes"][0]["content"].as_str().map(|sum| format!("{source}\nchecksum = \"{sum}\"\n")).unwrap_or_default();
            assert!(lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"\n{checksum}")), "{component}");
            assert!(!checksum.is_empty() || name == "rollcall", "{component}");
            assert!(listed.insert((name.to_owned(), version.to_owned())), "{name} twice");
        }
    }
    assert_eq!(listed, planned());
    let others: Vec<&str> = components.iter().filter(|part| part["purl"].is_null()).map(|part| words(part, "name")).collect();
    assert_eq!(others, ["rust-std", "/etc/ssl/certs/ca-certificates.crt"]);
}

/// A tag can be moved to other content, a digest cannot.
#[test]
fn no_image_is_built_from_something_that_is_not_pinned() {
    for file in files(&["Dockerfile"], &["Dockerfile"]) {
        for base in file.text.lines().filter_map(|line| line.strip_prefix("FROM ")) {
            assert!(base == "scratch" || base.contains("@sha256:"), "{}: {base}", file.path);
        }
        assert!(!file.text.contains("apt-get") && !file.text.contains("ADD http"), "{}", file.path);
    }
}

/// Everything that is decompressed is counted, in the one place that does it.
#[test]
fn nothing_but_the_archives_reader_decompresses() {
    for file in shipped().iter().filter(|file| !file.path.starts_with("src/source/archive")) {
        for word in ["flate2", "zstd::", "GzDecoder", "brotli", "inflate"] {
            assert!(!file.text.contains(word), "{word} in {}", file.path);
        }
    }
    let lock = std::fs::read_to_string(top().join("Cargo.lock")).unwrap();
    for client in ["async-compression", "brotli"] {
        assert!(!lock.contains(&format!("name = \"{client}\"\n")), "{client}: an HTTP client would unpack answers by itself");
    }
}
