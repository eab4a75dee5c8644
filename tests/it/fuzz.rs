//! Spoiled real files for everything that reads what a build brings: a bounded loop, the same for the same number of runs.
//! `make fuzz` asks for many. Never a substitute for the fuzzer that looks at coverage: its targets, the same ones, are in `fuzz/`.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use rollcall::testing::fuzz;

use crate::repository::top;

/// Real outputs of real tools to begin with.
const MANIFESTS: &[&str] = &[
    "examples/shop/builds/v1/.vite/manifest.json",
    "tests/data/builds/webpack/builds/manifest/manifest.json",
    "tests/data/builds/webpack/builds/assets-manifest/assets-manifest.json",
    "tests/data/builds/webpack/builds/react-scripts/asset-manifest.json",
    "tests/data/builds/webpack/builds/stats/stats.json",
    "tests/data/builds/webpack/builds/stats/manifest.json",
    "tests/data/builds/webpack/builds/version-json/version.json",
    "tests/data/builds/lists/cache_manifest.json",
    "tests/data/builds/lists/encore-entrypoints.json",
    "tests/data/builds/lists/esbuild-meta.json",
    "tests/data/builds/lists/gatsby-chunk-map.json",
    "tests/data/builds/lists/gatsby-webpack.stats.json",
    "tests/data/builds/lists/mf-manifest.json",
    "tests/data/builds/lists/mix-manifest.json",
    "tests/data/builds/lists/next-build-manifest.json",
    "tests/data/builds/lists/next-buildManifest.js",
    "tests/data/builds/lists/ngsw.json",
    "tests/data/builds/lists/nuxt-latest.json",
    "tests/data/builds/lists/parcel-manifest.json",
    "tests/data/builds/lists/propshaft-manifest.json",
    "tests/data/builds/lists/react-router-manifest.js",
    "tests/data/builds/lists/rev-manifest.json",
    "tests/data/builds/lists/rsbuild-manifest.json",
    "tests/data/builds/lists/sprockets-manifest.json",
    "tests/data/builds/lists/staticfiles.json",
    "tests/data/builds/lists/sveltekit-version.json",
    "tests/data/builds/lists/vitepress-hashmap.json",
    "tests/data/builds/lists/workbox-sw.js",
];

const TEXTS: &[&str] = &[
    "examples/shop/builds/v1/index.html",
    "tests/data/builds/webpack/builds/stats/main.9f20ed.js",
    "tests/data/builds/webpack/builds/manifest/css/main.8d13893e7eaf3e43de56.css",
];

/// Pieces that change what a reader takes a file for.
const PIECES: &[&str] = &[
    "\"",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "null",
    "0",
    "\\u0000",
    "../",
    "//",
    "?",
    "#",
    ".map",
    "app.3a4f5b6c.js",
    "3a4f5b6c",
    "file",
    "info",
    "url(",
    "<base href=",
    "<script src=",
    "srcset=",
    "sourceMappingURL=",
    "http://minio:9000",
    "@import '",
    "<template>",
    "&quot;",
    "__vite__mapDeps.f=[",
    "r.u=e=>{1:\"a\"}[e]",
    "{url:\"a.js\",revision:null}",
    "\u{301}",
    "é",
];

/// One change of a text.
#[derive(Debug, Clone)]
enum Edit {
    Insert(Index, &'static str),
    Replace(Index, u8),
    Cut(Index, Index),
    Double(Index, Index),
}

impl Edit {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let length = bytes.len();
        let range = |one: &Index, other: &Index| {
            let (one, other) = (one.index(length), other.index(length));
            one.min(other)..one.max(other)
        };
        match self {
            Self::Insert(at, piece) => drop(bytes.splice(at.index(length)..at.index(length), piece.bytes())),
            Self::Replace(at, byte) => bytes[at.index(length)] = *byte,
            Self::Cut(from, to) => drop(bytes.drain(range(from, to))),
            Self::Double(from, to) => bytes.extend_from_within(range(from, to)),
        }
    }
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        3 => (any::<Index>(), select(PIECES)).prop_map(|(at, piece)| Edit::Insert(at, piece)),
        3 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Edit::Replace(at, byte)),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Edit::Cut(from, to)),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Edit::Double(from, to)),
    ]
}

#[expect(clippy::disallowed_methods, reason = "whoever runs the tests says how long")]
fn runs() -> usize {
    std::env::var("ROLLCALL_FUZZ_RUNS").ok().and_then(|count| count.parse().ok()).unwrap_or(150)
}

fn spoil(files: &[&str], target: fn(&[u8])) {
    let seeds: Vec<Vec<u8>> = files.iter().map(|path| std::fs::read(top().join(path)).unwrap()).collect();
    for seed in &seeds {
        target(seed);
    }
    let mut runner = TestRunner::deterministic();
    let changes = (any::<Index>(), vec(edit(), 1..8));
    for _ in 0..runs() {
        let (which, edits) = changes.new_tree(&mut runner).unwrap().current();
        let mut bytes = which.get(&seeds).clone();
        for edit in &edits {
            edit.apply(&mut bytes);
        }
        if let Err(panic) = std::panic::catch_unwind(|| target(&bytes)) {
            let why = panic.downcast_ref::<String>().map_or("see above", String::as_str);
            panic!("{why}; the input was {:?}", String::from_utf8_lossy(&bytes));
        }
    }
}

#[test]
fn spoiled_manifests_of_build_tools_lead_nobody_out_of_the_build() {
    spoil(MANIFESTS, fuzz::read_manifest);
}

#[test]
fn spoiled_texts_are_looked_at_without_harm() {
    spoil(TEXTS, fuzz::lint_text);
}
