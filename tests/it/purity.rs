//! The house rules that clippy cannot hold: which folder may know what, and how a file begins.
//! Never a rule that a person could not read in CONTRIBUTING.md or in the architecture.

use crate::repository::{TextFile, files, shipped};

/// Folders that decide: the same facts give the same answer.
const PURE: [&str; 6] = ["src/api/", "src/cluster/leader/core", "src/lint/", "src/manifest/", "src/retention/", "src/rollout/"];

/// What pure folders may name besides this crate. kube and k8s-openapi for types and the derive only: see `IMPURE`.
const PURE_CRATES: [&str; 19] = [
    "base64",
    "cssparser",
    "globset",
    "hex",
    "html5gum",
    "jiff",
    "k8s_openapi",
    "kube",
    "md5",
    "percent_encoding",
    "schemars",
    "serde",
    "serde_json",
    "sha1",
    "sha2",
    "std",
    "thiserror",
    "unicode_normalization",
    "url",
];

/// What makes an answer depend on more than the facts.
const IMPURE: [&str; 20] = [
    "async fn",
    "async move",
    "async {",
    "async_trait",
    "tokio",
    "futures::",
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant::now",
    "Timestamp::now",
    "rand::",
    "kube::Client",
    "kube::Api",
    "kube::runtime",
    "crate::clock",
];

/// Crates of the outside world, and the only places that may know them.
const SHELLS: [(&str, &[&str]); 5] = [
    // The connector takes the crypto of `aws_lc_rs`.
    ("aws_", &["src/bucket/s3/", "src/dev_store/", "src/egress/connect.rs"]),
    ("rustls::", &["src/egress/"]),
    ("s3s", &["src/dev_store/"]),
    ("reqwest", &["src/agent/", "src/roles.rs", "src/store_check/public.rs"]),
    ("kube::Client", &["src/cluster/", "src/controller/", "src/agent/", "src/publish/cluster.rs", "src/roles", "src/testing/"]),
];

fn code(file: &TextFile) -> impl Iterator<Item = (usize, &str)> {
    let lines = file.text.lines().enumerate().map(|(index, line)| (index + 1, line));
    lines.filter(|(_, line)| !line.trim_start().starts_with("//")).map(|(number, line)| (number, line.split(" // ").next().unwrap_or(line)))
}

fn assert_none(found: &[String]) {
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

fn lines_with<'a>(files: &'a [TextFile], word: &'a str) -> impl Iterator<Item = String> + 'a {
    files.iter().flat_map(move |file| {
        code(file)
            .filter(move |(_, line)| line.contains(word))
            .map(move |(number, line)| format!("{}:{number}: {word}: {}", file.path, line.trim()))
    })
}

#[test]
fn what_decides_knows_no_async_clock_client_environment_or_chance() {
    let pure: Vec<TextFile> = shipped().into_iter().filter(|file| PURE.iter().any(|folder| file.path.starts_with(folder))).collect();
    assert!(pure.len() > 20, "the folders have moved");
    assert_none(&IMPURE.iter().flat_map(|word| lines_with(&pure, word)).collect::<Vec<_>>());
}

#[test]
fn what_decides_uses_only_crates_that_compute() {
    let mut found = Vec::new();
    for file in shipped().iter().filter(|file| PURE.iter().any(|folder| file.path.starts_with(folder))) {
        for (number, line) in code(file) {
            let Some(used) = line.trim_start().strip_prefix("use ").or_else(|| line.trim_start().strip_prefix("pub use ")) else {
                continue;
            };
            let first = used.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
            let is_own = ["crate", "super", "self"].contains(&first) || used.starts_with(char::is_uppercase);
            let is_module = file.text.contains(&format!("mod {first};"));
            if !is_own && !is_module && !PURE_CRATES.contains(&first) {
                found.push(format!("{}:{number}: {first}", file.path));
            }
        }
    }
    assert_none(&found);
}

/// The engine may know the policy; the policy must not know the engine.
#[test]
fn dependencies_point_one_way() {
    let shipped = shipped();
    let in_folder = |folder: &str| -> Vec<TextFile> {
        shipped
            .iter()
            .filter(|file| file.path.starts_with(folder))
            .map(|file| TextFile { path: file.path.clone(), text: file.text.clone() })
            .collect()
    };
    let forbidden: [(&str, &[&str]); 9] = [
        ("src/api/", &["crate::manifest", "crate::rollout", "crate::controller", "crate::cluster", "crate::agent", "crate::upload"]),
        ("src/manifest/", &["crate::rollout", "crate::controller", "crate::cluster", "crate::agent", "crate::upload", "crate::bucket"]),
        ("src/lint/", &["crate::rollout", "crate::controller", "crate::cluster", "crate::agent", "crate::upload", "crate::bucket"]),
        ("src/retention/", &["crate::rollout", "crate::controller", "crate::cluster", "crate::upload", "crate::bucket", "crate::sweep"]),
        ("src/sweep/", &["crate::rollout", "crate::controller", "crate::cluster", "crate::agent"]),
        ("src/rollout/", &["crate::controller", "crate::cluster", "crate::agent", "crate::upload", "crate::bucket", "crate::source"]),
        ("src/bucket/", &["crate::controller", "crate::cluster", "crate::agent", "crate::upload", "crate::rollout"]),
        ("src/upload/", &["crate::controller", "crate::cluster", "crate::agent", "crate::rollout", "crate::sweep"]),
        ("src/agent/", &["crate::controller", "crate::cluster", "crate::upload", "crate::rollout", "crate::bucket"]),
    ];
    let mut found = Vec::new();
    for (folder, words) in forbidden {
        let files = in_folder(folder);
        assert!(!files.is_empty(), "{folder} has moved");
        for word in words {
            found.extend(lines_with(&files, word));
        }
    }
    assert_none(&found);
}

#[test]
fn each_outside_system_is_known_in_its_own_place_only() {
    let shipped = shipped();
    let mut found = Vec::new();
    for (word, places) in SHELLS {
        let strange = |line: &String| !places.iter().any(|place| line.starts_with(place));
        found.extend(lines_with(&shipped, word).filter(strange));
    }
    assert_none(&found);
}

#[test]
fn nothing_is_decided_from_conditions() {
    let deciding = ["src/rollout/decide.rs", "src/rollout/gates.rs", "src/rollout/roll_call.rs"];
    let files: Vec<TextFile> = shipped().into_iter().filter(|file| deciding.contains(&file.path.as_str())).collect();
    assert_eq!(files.len(), deciding.len());
    assert_none(&lines_with(&files, "conditions").collect::<Vec<_>>());
}

#[test]
fn only_one_place_turns_a_failure_into_a_delay() {
    let places = ["src/controller/release.rs", "src/controller/asset_store.rs"];
    let found: Vec<String> =
        lines_with(&shipped(), "Action::requeue").filter(|line| !places.iter().any(|place| line.starts_with(place))).collect();
    assert_none(&found);
}

#[test]
fn every_file_begins_with_what_it_is_for() {
    let strange = files(&["src", "tests"], &[".rs"]).into_iter().filter(|file| !file.text.starts_with("//! "));
    assert_none(&strange.map(|file| file.path).collect::<Vec<_>>());
}

#[test]
fn no_lint_is_silenced_for_good_and_no_error_unwrapped() {
    let allowed: Vec<String> = lines_with(&files(&["src", "tests"], &[".rs"]), concat!("[al", "low(")).collect();
    let unwrapped: Vec<String> = lines_with(&shipped(), ".unwrap()").collect();
    assert_none(&[allowed, unwrapped].concat());
}

/// Whatever takes a connection by itself has no bound on connections, heads and time.
#[test]
fn every_server_takes_connections_in_one_place() {
    let shipped = shipped();
    let taking = ["axum::serve(", ".accept()", "serve_connection", "http1::Builder", "auto::Builder", "UnixListener"];
    let elsewhere = |line: &String| !line.starts_with("src/serving/") && !line.starts_with("src/testing/");
    assert_none(&taking.iter().flat_map(|word| lines_with(&shipped, word)).filter(elsewhere).collect::<Vec<_>>());
    let listening = lines_with(&shipped, "TcpListener::bind(").map(|line| line.split(':').next().unwrap().to_owned());
    assert_eq!(listening.collect::<Vec<_>>(), ["src/admin.rs", "src/agent/serve/mod.rs", "src/dev_store/mod.rs"]);
}

#[test]
fn every_client_of_the_api_server_is_made_in_one_place() {
    let elsewhere = |line: &String| !line.starts_with("src/cluster/client.rs");
    assert_none(&lines_with(&shipped(), "Client::try_from(").filter(elsewhere).collect::<Vec<_>>());
}
