//! The figures of decision 39, each with a fixed seed and its generator beside it.

use std::collections::BTreeSet;

use super::*;
use crate::api::ContentHash;
use crate::manifest::build::{NewFile, assemble, assemble_with};
use crate::manifest::headers::TypesOfBytes;
use crate::manifest::readers::{BuildNames, Decided};

/// `SplitMix64`: the same numbers on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn token(&mut self, alphabet: &str, length: usize) -> String {
        (0..length).map(|_| char::from(alphabet.as_bytes()[self.below(alphabet.len())])).collect()
    }

    fn bytes(&mut self) -> Vec<u8> {
        (0..40).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

const HEX: &str = "0123456789abcdef";
const BASE32: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const BASE36: &str = "0123456789abcdefghijklmnopqrstuvwxyz";
const BASE64: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const NIX32: &str = "0123456789abcdfghijklmnpqrsvwxyz";

/// Names that people give.
const PLAUSIBLE: [&str; 88] = [
    "2024-AnnualReport.pdf",
    "AnnualReport2024Final.pdf",
    "report-2024q3v2.pdf",
    "claim-TEMPLATE.pdf",
    "setup-win32x64.zip",
    "stages.example.io_v1alpha1.json",
    "banner-728x90px.png",
    "hero-cafe2024.jpg",
    "hero-iPhone15Pro.jpg",
    "photo-20240101.jpg",
    "intro-h264aac2.mp4",
    "apple-touch-icon.png",
    "mstile-150x150.png",
    "safari-pinned-tab.svg",
    "jquery-3.6.0.min.js",
    "clip-1080p25f.mp4",
    "ESI_Logo.svg",
    "decade90.png",
    "AddFilesToXcode1.png",
    "hero-SUMMER24.jpg",
    "flag-PORTUGAL.svg",
    "flag-COLOMBIA.svg",
    "myScript.js",
    "__next.__PAGE__.txt",
    "icon-Homepage.svg",
    "a-lowercas.js",
    "index-Homepage.css",
    "a-20241121.js",
    "chart-FY2023Q4.png",
    "OpenSans-SemiBold.woff2",
    "Roboto-Regular.woff2",
    "Inter-VariableFont.woff2",
    "android-chrome-192x192.png",
    "logo-Facebook.svg",
    "logo-YouTube2.svg",
    "logo-LinkedIn.svg",
    "map-NorthWest.svg",
    "IMG_20240312_101112.jpg",
    "DSC00012.JPG",
    "PXL_20231231.jpg",
    "Screenshot-2024.png",
    "whitepaper-GDPR2018.pdf",
    "terms-v20240501.pdf",
    "datasheet-ABC1234X.pdf",
    "manual-EN60335.pdf",
    "iso-27001AB.pdf",
    "sku-AB12CD34.jpg",
    "part-7f3a.png",
    "wallpaper-3840x2160.jpg",
    "hero-1920x1080.jpg",
    "audio-128kbps.mp3",
    "film-4k60fps.mp4",
    "trailer-DolbyVision.mp4",
    "subtitles-en_US.vtt",
    "voice-Alloy2024.mp3",
    "model-LowPoly5k.glb",
    "texture-Wood2048.png",
    "level-Forest01.json",
    "data-2024-01-31.csv",
    "export-20240131T1200.csv",
    "geo-EPSG3857.json",
    "zone-Europe1.json",
    "schema-v1beta1.json",
    "openapi-2024.yaml",
    "bundle.min.js",
    "vendor.js",
    "polyfills-es2015.js",
    "runtime-es5legacy.js",
    "main.modern.js",
    "html5shiv.js",
    "three.module.js",
    "chapter2.css",
    "section1.css",
    "bootstrap5.css",
    "tailwind3.css",
    "normalize8.css",
    "print-A4Letter.css",
    "theme-Dark2024.css",
    "facade.js",
    "deadbeef.txt",
    "cafebabe.class",
    "defaced1.png",
    "accede22.svg",
    "effaced0.gif",
    "feedback.js",
    "Section_Overview.html.txt",
    "CV-JohnSmith1.pdf",
    "menu-Spring25.pdf",
];

/// A build of these paths; each file has bytes of its own.
fn build(paths: impl IntoIterator<Item = String>, random: &mut Random) -> Manifest {
    let paths: BTreeSet<String> = paths.into_iter().collect();
    let files = paths.into_iter().map(|path| {
        let bytes = random.bytes();
        NewFile { path, size: bytes.len() as u64, sha256: ContentHash::of(&bytes) }
    });
    assemble(files.collect(), &BuildNames::none(Decided::NothingFound)).unwrap().manifest
}

fn seen(before: &Manifest, build: &Manifest) -> Seen {
    let mut seen = Seen::beside(build);
    seen.add_all(before);
    seen
}

fn is_immutable(manifest: &Manifest, by_set: &BTreeSet<String>, path: &str) -> bool {
    manifest.files.iter().any(|file| file.path == path && file.class == Class::Asset) || by_set.contains(path)
}

#[test]
fn of_names_that_people_give_none_is_immutable() {
    let mut random = Random(13);
    for folder in ["", "assets/", "static/media/", "img/2024/"] {
        // Half of them with other bytes in the second version, and a quarter gone or new.
        let [v1, v2] = [0, 1].map(|version| {
            PLAUSIBLE.iter().enumerate().filter(move |(at, _)| at % 8 != version).map(|(_, name)| format!("{folder}{name}"))
        });
        let (v1, v2) = (build(v1, &mut random), build(v2, &mut random));
        let by_set = by_set(&v2, &seen(&v1, &v2));
        let wrong: Vec<_> = v2.files.iter().filter(|file| is_immutable(&v2, &by_set, &file.path)).map(|file| &file.path).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}

#[test]
fn names_that_people_give_stay_out_of_the_sets_of_hashed_names_around_them() {
    let (mut random, mut wrong) = (Random(14), BTreeSet::new());
    for round in 0..200 {
        let mut version = |skipped: usize| {
            let mut paths: Vec<String> =
                (0..12).map(|at| format!("assets/{}-{}.js", ["app", "home", "cart"][at % 3], random.token(BASE64, 8))).collect();
            paths.extend((0..3).map(|at| format!("assets/logo{at}-{}.png", random.token(BASE64, 8))));
            paths.extend(
                PLAUSIBLE.iter().enumerate().filter(|(at, _)| at % 8 != (skipped + round) % 8).map(|(_, name)| format!("assets/{name}")),
            );
            paths
        };
        let (v1, v2) = (version(0), version(1));
        let (v1, v2) = (build(v1, &mut random), build(v2, &mut random));
        let by_set = by_set(&v2, &seen(&v1, &v2));
        wrong.extend(by_set.into_iter().filter(|path| PLAUSIBLE.iter().any(|name| path.ends_with(&format!("/{name}")))));
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// How names of one tool are made: `*` stands for a random token.
struct Form {
    tool: &'static str,
    alphabet: &'static str,
    length: usize,
    /// Patterns with a number (`#`) that tells files apart where the tool has names for them.
    patterns: &'static [&'static str],
}

const FORMS: &[Form] = &[
    Form { tool: "Vite, Rollup", alphabet: BASE64, length: 8, patterns: &["assets/chunk#-*.js", "assets/style#-*.css"] },
    Form { tool: "Vite, [hash:6]", alphabet: BASE64, length: 6, patterns: &["assets/chunk#-*.js"] },
    Form { tool: "Vite, [hash:10]", alphabet: BASE64, length: 10, patterns: &["assets/chunk#.*.js"] },
    Form { tool: "Vite, [hash]", alphabet: BASE64, length: 8, patterns: &["assets/*.js"] },
    Form { tool: "Rollup, base36", alphabet: BASE36, length: 8, patterns: &["assets/chunk#-*.js"] },
    Form { tool: "Rollup, hex", alphabet: HEX, length: 8, patterns: &["assets/chunk#-*.js"] },
    Form { tool: "Bun", alphabet: NIX32, length: 8, patterns: &["chunk-*.js"] },
    Form { tool: "esbuild", alphabet: BASE32, length: 8, patterns: &["chunk-*.js", "page#-*.css"] },
    Form { tool: "webpack", alphabet: HEX, length: 20, patterns: &["js/chunk#.*.js"] },
    Form { tool: "webpack, 8", alphabet: HEX, length: 8, patterns: &["static/js/#.*.chunk.js"] },
    Form { tool: "Parcel", alphabet: HEX, length: 8, patterns: &["page#.*.js"] },
    Form { tool: "Hugo, sha512", alphabet: HEX, length: 128, patterns: &["css/style#.min.*.css"] },
    Form { tool: "Blazor", alphabet: BASE36, length: 10, patterns: &["_framework/System.Part#.*.wasm"] },
    Form { tool: "Django", alphabet: HEX, length: 12, patterns: &["static/css/part#.*.css"] },
    Form { tool: "Gatsby, pictures", alphabet: HEX, length: 32, patterns: &["static/*/photo.jpg"] },
    Form { tool: "eleventy-img", alphabet: BASE64, length: 10, patterns: &["img/*-600.webp"] },
    Form { tool: "Next", alphabet: BASE64, length: 16, patterns: &["_next/static/chunks/*.js"] },
    Form { tool: "Turbopack", alphabet: BASE36, length: 13, patterns: &["_next/static/chunks/*.js"] },
    Form { tool: "Next, BUILD_ID", alphabet: BASE64, length: 21, patterns: &["_next/static/*/_buildManifest.js"] },
    Form { tool: "Nuxt", alphabet: BASE64, length: 8, patterns: &["_nuxt/*.js"] },
    Form { tool: "SvelteKit", alphabet: BASE64, length: 8, patterns: &["_app/immutable/nodes/#.*.js"] },
    Form { tool: "Astro", alphabet: BASE64, length: 8, patterns: &["_astro/page#.*.css"] },
];

/// Names of the second of two versions, all of which the first had others of; the worst case, as what stays was vouched for before.
fn missed(form: &Form, files: usize, random: &mut Random) -> usize {
    let mut version = || {
        let paths: Vec<String> = (0..files)
            .map(|at| {
                let pattern = form.patterns[at % form.patterns.len()];
                pattern.replace('#', &at.to_string()).replace('*', &random.token(form.alphabet, form.length))
            })
            .collect();
        paths
    };
    let (v1, v2) = (version(), version());
    let (v1, v2) = (build(v1, random), build(v2, random));
    let by_set = by_set(&v2, &seen(&v1, &v2));
    v2.files.iter().filter(|file| !is_immutable(&v2, &by_set, &file.path)).count()
}

#[test]
fn of_hashed_names_of_every_form_hardly_any_is_missed_from_the_second_version_on() {
    let mut all = (0, 0);
    for form in FORMS {
        for files in [10, 16, 50] {
            let rounds = 4000 / files;
            let mut random = Random(files as u64);
            let missed: usize = (0..rounds).map(|_| missed(form, files, &mut random)).sum();
            let share = 100.0 * f64::from(u32::try_from(missed).unwrap()) / f64::from(u32::try_from(rounds * files).unwrap());
            assert!(share <= 0.2, "{}: {share:.2} % of builds of {files} files", form.tool);
            all = (all.0 + missed, all.1 + rounds * files);
        }
    }
    assert!(all.0 * 1000 <= all.1, "{all:?}");
}

fn judged(path: &str, bytes: &[u8], declared: &Declared) -> (Class, Option<Evidence>) {
    let names = BuildNames::none(Decided::NothingFound);
    let mut vouchers = Vouchers::new(&names, declared).unwrap();
    let hash = ContentHash::of(bytes);
    if vouchers.asks_for_digests(path, hash.as_bytes()) {
        let mut hashing = Hashing::default();
        bytes.chunks(3).for_each(|piece| hashing.take(piece));
        if hashing.proves(path) {
            vouchers.prove(path.to_owned());
        }
    }
    vouchers.judge(path, hash.as_bytes())
}

#[test]
fn a_digest_of_the_bytes_in_the_path_proves_that_they_stay() {
    // Of "hello": md5, sha1, sha256, sha384, sha512, each in hexadecimal and base64url, cut at several lengths.
    for path in [
        "a.5d41402a.js",
        "static/5d41402abc4b2a76b9719d911017c592/photo.jpg",
        "a-5d4140.css",
        "a.XUFAKrxLKna5cZ2REBfFkg.js",
        "app-aaf4c61d.js",
        "app.qvTGHdzF6KLa.js",
        "img/2cf24dba5fb0.png",
        "b-LPJNul-w.woff2",
        "c.59e1748777448c69de6b800d7a33bbfb9ff1b463e44354c3553bcdb9c666fa90125a3c79f90397bdf5f6a13de828684f.js",
        "c.9b71d224bd62f3785d96d46ad3ea3d73319bfbc2890caadae2dff72519673ca72323c3d99ba5c11d7c7acc6e14b8c5da0c4663475c2e5c3adef46f73bcdec043.js",
        "c.9B71D224BD62.js",
    ] {
        assert_eq!(judged(path, b"hello", &Declared::default()), (Class::Asset, Some(Evidence::Digest)), "{path}");
        assert_eq!(judged(path, b"other", &Declared::default()), (Class::Unversioned, None), "{path}");
    }
    for path in ["a.5d414.js", "a.x5d41402a.js", "a.5d41402ax.js", "hello.js", "a-2cf24dba.js.map", "5d41402abc.html"] {
        assert_ne!(judged(path, b"hello", &Declared::default()).0, Class::Asset, "{path}");
    }
}

#[test]
fn a_folder_of_a_tool_vouches_for_what_the_tool_puts_there() {
    let made_up = "_next/static/zJk3vB9x_qPs-01LmNoTr/_buildManifest.js";
    let beside = "_next/static/zJk3vB9x_qPs-01LmNoTr/app.js";
    for path in [
        made_up,
        beside,
        "_next/static/chunks/app.js",
        "_next/static/media/a.woff2",
        "shop/_astro/a.css",
        "_app/immutable/entry/start.js",
        "_nuxt/x.js",
    ] {
        assert_eq!(judged(path, b"", &Declared::default()), (Class::Asset, Some(Evidence::ToolFolder)), "{path}");
    }
    for path in [
        "_nuxt/builds/latest.json",
        "_next/static/v1/_buildManifest.js",
        "_next/static/v1/_clientMiddlewareManifest.js",
        "_next/static/v1/pages/index.js",
        "_next/static/production-build-one/_ssgManifest.js",
        "shop/_next/static/main/_buildManifest.js.gz",
        "_app/version.js",
        "my_astro/a.css",
        "_next/data/a.json",
        "_astro/a.js.map",
        "_nuxt/index.html",
        "_next/static/a.d.ts",
    ] {
        assert_ne!(judged(path, b"", &Declared::default()).0, Class::Asset, "{path}");
    }
}

#[test]
fn what_a_person_declares_overrules_everything_but_that_pages_are_pages() {
    let declared = Declared {
        immutable: vec!["assets/**".into(), "*.html".into(), "_astro/*.map".into()],
        unversioned: vec!["_astro/b*".into(), "assets/x/**".into()],
    };
    let declare = |path: &str| judged(path, b"hello", &declared);
    assert_eq!(declare("assets/a/b.png"), (Class::Asset, Some(Evidence::Declared)));
    assert_eq!(declare("_astro/a.js.map"), (Class::Asset, Some(Evidence::Declared)));
    assert_eq!(declare("_astro/b.js"), (Class::Unversioned, Some(Evidence::Declared)));
    assert_eq!(declare("assets/x/y.js"), (Class::Unversioned, Some(Evidence::Declared)));
    assert_eq!(declare("_astro/x/b.js"), (Class::Asset, Some(Evidence::ToolFolder)), "a star stays within a folder");
    assert_eq!(declare("index.html"), (Class::Entry, None));
    let names = BuildNames::none(Decided::NothingFound);
    let invalid = Vouchers::new(&names, &Declared { immutable: vec!["[".into()], unversioned: Vec::new() });
    assert!(invalid.err().unwrap().to_string().starts_with("\"[\" is not a pattern of paths: "));
}

#[test]
fn a_set_in_which_a_name_has_got_other_bytes_vouches_for_nothing() {
    let mut random = Random(3);
    let names = |random: &mut Random| (0..12).map(|_| format!("chunk-{}.js", random.token(BASE36, 8))).collect::<Vec<_>>();
    let (one, two) = (names(&mut random), names(&mut random));
    let v1 = build(one.clone(), &mut random);
    let fine = build(two.clone(), &mut random);
    assert_eq!(by_set(&fine, &seen(&v1, &fine)).len(), 12);
    let broken = build(two.into_iter().chain(one.into_iter().take(1)), &mut random);
    assert_eq!(by_set(&broken, &seen(&v1, &broken)), BTreeSet::new());
}

/// Bun puts hashed names and copied files into one folder.
#[test]
fn a_day_or_a_word_of_other_letters_that_has_got_other_bytes_refutes_no_set() {
    let mut random = Random(15);
    let hashed: Vec<String> = (0..19).map(|at| format!("chunk{at}-{}.js", random.token(BASE36, 8))).collect();
    let copied = ["flag-PORTUGAL.svg", "prices-20261120.json"].map(str::to_owned);
    let new: Vec<String> = (0..4).map(|at| format!("chunk{at}-{}.js", random.token(BASE36, 8))).collect();
    let build = |hashed: &[&String], version: &str| {
        let file = |path: &String, text: &str| NewFile { path: path.clone(), size: 1, sha256: ContentHash::of(text.as_bytes()) };
        let mut files: Vec<NewFile> = hashed.iter().map(|path| file(path, path)).collect();
        files.extend(copied.iter().map(|path| file(path, version)));
        files.sort_by(|a, b| a.path.cmp(&b.path));
        assemble(files, &BuildNames::none(Decided::NothingFound)).unwrap().manifest
    };
    let v1 = build(&hashed.iter().collect::<Vec<_>>(), "v1");
    let v2 = build(&new.iter().chain(&hashed[4..]).collect::<Vec<_>>(), "v2");
    let by_set = by_set(&v2, &seen(&v1, &v2));
    assert!(new.iter().all(|path| by_set.contains(path)), "{by_set:?}");
    assert!(!copied.iter().any(|path| by_set.contains(path)), "{by_set:?}");
}

/// A tenant's build of names of nothing but marks, and one of many files. Comparing each name with each other one would not end here.
#[test]
fn names_that_are_made_to_cost_much_cost_little() {
    let marks: Vec<String> = (0..2000).map(|at| format!("{}/{at:06}{}.js", "x-".repeat(100), "-abcdef".repeat(30))).collect();
    let mut random = Random(5);
    let (one, two) = (build(marks.clone(), &mut random), build(marks, &mut random));
    let seen = seen(&one, &two);
    assert_eq!(by_set(&two, &seen), BTreeSet::new());
    let names = |random: &mut Random| (0..60_000).map(|_| format!("a/{}.js", random.token(BASE64, 21))).collect::<Vec<_>>();
    let (one, two) = (build(names(&mut random), &mut random), build(names(&mut random), &mut random));
    assert!(by_set(&two, &self::seen(&one, &two)).len() > 59_000, "and real ones are known by it");
}

#[test]
fn the_manifest_says_why_and_a_reader_that_knows_less_reads_on() {
    let files =
        ["_astro/a.js", "photo.jpg", "index.html"].map(|path| NewFile { path: path.into(), size: 1, sha256: ContentHash::of(b"x") });
    let names = BuildNames::none(Decided::NothingFound);
    let assembled = assemble_with(files.to_vec(), &names, &Vouchers::of_names(&names), &TypesOfBytes::default()).unwrap();
    let stored = String::from_utf8(assembled.manifest.to_bytes()).unwrap();
    assert!(stored.contains(r#""class":"Asset","evidence":"ToolFolder""#), "{stored}");
    assert!(stored.contains(r#""contentType":"image/jpeg","class":"Entry","unversioned":true}"#), "{stored}");
    let read: Manifest = serde_json::from_str(&stored).unwrap();
    assert_eq!(read, assembled.manifest);
    let newer: Manifest = serde_json::from_str(&stored.replace("ToolFolder", "Oracle")).unwrap();
    assert_eq!((newer.files[0].class, newer.files[0].evidence), (Class::Asset, None));
    let older = stored.replace(r#","unversioned":true"#, "").replace(r#","evidence":"ToolFolder""#, "");
    let older: Manifest = serde_json::from_str(&older).unwrap();
    assert_eq!(older.files.iter().map(|file| file.class).collect::<Vec<_>>(), [Class::Asset, Class::Entry, Class::Entry]);
}
