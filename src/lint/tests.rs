//! Each rule both ways: what it finds, and what it leaves alone.

use proptest::prelude::*;

use super::report::FINDINGS_MAX;
use super::*;
use crate::api::{BuildManifestSpec, ContentHash};
use crate::manifest::build::{NewFile, assemble};
use crate::manifest::readers;

const NO_HOSTS: &[Host] = &[];

fn built(files: &[(&str, &str)]) -> (Manifest, BuildNames) {
    let new = |(path, text): &(&str, &str)| NewFile {
        path: (*path).to_owned(),
        size: text.len() as u64,
        sha256: ContentHash::of(text.as_bytes()),
    };
    let new: Vec<NewFile> = files.iter().map(new).collect();
    let texts = files.iter().map(|(path, text)| ((*path).to_owned(), *text)).collect();
    let names = readers::read(&BuildManifestSpec::default(), &new, &texts).unwrap();
    (assemble(new, &names).unwrap().manifest, names)
}

fn report(files: &[(&str, &str)], previous: Option<&[(&str, &str)]>, hosts: &[Host]) -> Report {
    let (manifest, names) = built(files);
    let previous = previous.map(|files| built(files).0);
    let base_urls = ["https://cdn.example.com/shop/".to_owned()];
    let mut linter = Linter::new(Subject { manifest: &manifest, names: &names, previous: previous.as_ref(), base_urls: &base_urls, hosts });
    // In the order in which nobody would read them.
    for file in manifest.files.iter().rev().filter(|file| linter.reads(file)).collect::<Vec<_>>() {
        let text = files.iter().find(|(path, _)| *path == file.path).unwrap().1;
        linter.read(file, text);
    }
    linter.finish()
}

/// Findings of one rule as text.
fn found(rule: Rule, files: &[(&str, &str)]) -> Vec<String> {
    of(rule, &report(files, None, NO_HOSTS))
}

fn of(rule: Rule, report: &Report) -> Vec<String> {
    report.findings.iter().filter(|finding| finding.rule == rule).map(ToString::to_string).collect()
}

#[test]
fn a_script_or_style_that_changed_at_its_address_is_told_and_nothing_else_without_a_hash() {
    let names =
        ["app.js", "css/main.css", "img/logo.png", "favicon.ico", "sw.js", "firebase-messaging-sw.js", ".well-known/x.js", "new.js"];
    let now: Vec<(&str, &str)> = names.iter().map(|name| (*name, "two")).collect();
    let before: Vec<(&str, &str)> = names.iter().filter(|name| **name != "new.js").map(|name| (*name, "one")).collect();
    let warning =
        |path: &str| format!("warning: {path}: its bytes are others than in the version before, at the same address (unhashed-asset)");
    assert_eq!(of(Rule::UnhashedAsset, &report(&now, Some(&before), NO_HOSTS)), ["app.js", "css/main.css"].map(warning));
    assert_eq!(found(Rule::UnhashedAsset, &now), [""; 0], "without a version before there is nothing to say");
    assert_eq!(of(Rule::UnhashedAsset, &report(&now, Some(&now), NO_HOSTS)), [""; 0]);
}

/// Its owner has done all: collectstatic keeps the original, to which no page refers, and Sphinx names its list for the search itself.
#[test]
fn an_original_beside_its_hashed_copy_and_a_list_for_a_search_are_no_findings() {
    let list = |hash: &str| format!(r#"{{"version":"1.1","paths":{{"shop/app.js":"shop/app.{hash}.js"}}}}"#);
    let lists = [list("5e1b2f6a7c3d"), list("0a1b2c3d4e5f")];
    let build = |text: &'static str, hashed: &'static str, list: &'static str| {
        vec![("static/shop/app.js", text), (hashed, text), ("static/staticfiles.json", list), ("searchindex.js", text), ("own.js", text)]
    };
    let [list_before, list_now] = lists.map(|list| &*list.leak());
    let before = build("one", "static/shop/app.5e1b2f6a7c3d.js", list_before);
    let now = build("two", "static/shop/app.0a1b2c3d4e5f.js", list_now);
    let changed = of(Rule::UnhashedAsset, &report(&now, Some(&before), NO_HOSTS));
    assert_eq!(changed, ["warning: own.js: its bytes are others than in the version before, at the same address (unhashed-asset)"]);
}

#[test]
fn findings_of_a_folder_are_one_line_for_people_with_what_to_do() {
    let pages =
        r#"<script src="js/a.js"></script><script src="js/b.js"></script><script src="js/c.js"></script><script src="js/d.js"></script>"#;
    let report = report(&[("docs/index.html", pages), ("index.html", r#"<script src="x.js"></script>"#)], None, NO_HOSTS);
    let lines = report.lines();
    assert!(lines[0].starts_with(r#"error: index.html: it refers to "x.js", which the build lacks"#), "{lines:?}");
    assert!(
        lines[1].starts_with(r#"error: 4 findings docs/: docs/index.html: it refers to "js/a.js""#) && lines[1].contains("; and 1 more"),
        "{lines:?}"
    );
    assert!(lines[2].starts_with("  what to do: Build again"), "{lines:?}");
    assert_eq!((lines.len(), report.groups.iter().map(|group| group.count).sum::<usize>()), (3, report.findings.len()));
}

#[test]
fn a_healthy_build_has_no_findings() {
    let vite = [
        (
            "index.html",
            r#"<link rel=icon href="/favicon.svg"><script type=module src="/assets/index-BvJ0nPsk.js"></script><script src="https://fonts.example.org/x.js"></script>"#,
        ),
        ("favicon.svg", ""),
        ("robots.txt", ""),
        ("logo.png", ""),
        (
            "assets/index-BvJ0nPsk.js",
            "import(\"./cart-DSJ8mBsC.js\");x=\"https://react.dev/errors/\";y='a/b.js'\n//# sourceMappingURL=index-BvJ0nPsk.js.map",
        ),
        ("assets/cart-DSJ8mBsC.js", "new URL(x,'http://localhost')"),
    ];
    assert_eq!(report(&vite, None, NO_HOSTS).findings, []);
}

#[test]
fn a_hashed_name_must_keep_its_bytes() {
    let before: &[(&str, &str)] = &[("_astro/a.js", "one"), ("_astro/b.js", "same"), ("index.html", "one"), ("photo.jpg", "one")];
    let now = [("_astro/a.js", "two"), ("_astro/b.js", "same"), ("index.html", "two"), ("photo.jpg", "two")];
    let all = of(Rule::ChangedUnderSameName, &report(&now, Some(before), NO_HOSTS));
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(
        all[0]
            .starts_with("error: _astro/a.js: its bytes are others than in the version before (sha256 3fc4ccfe7458, before 7692c3ad3540)")
    );
    assert_eq!(found(Rule::ChangedUnderSameName, &now), [""; 0], "without a version before there is nothing to say");
}

#[test]
fn hosts_past_the_cdn_are_found_wherever_they_stand() {
    let hosts = [
        Host::of_url(HostRole::Endpoint, "http://minio.storage.svc:9000").unwrap(),
        Host::of_url(HostRole::InternalUrl, "https://Assets.Internal.example/x/").unwrap(),
    ];
    let files = [
        ("a.html", r#"<img src="//web.minio.storage.svc:9000/logo.png">"#),
        (
            "b-BEcQUh0e.js",
            r#"x={u:"https:\/\/assets.internal.example\/y",v:`http://u:p@10.1.2.3/`,w:"http://localhost:3000/",s:"http://api.shop.svc/"}"#,
        ),
        ("c-BEcQUh0e.css", "a{background:url(https://img.example.org/x.png)}"),
    ];
    assert_eq!(
        of(Rule::AbsoluteHost, &report(&files, None, &hosts)),
        [
            r#"error: a.html: it names "web.minio.storage.svc:9000", the store's endpoint (absolute-host)"#,
            r#"error: b-BEcQUh0e.js: it names "assets.internal.example", the store's internalUrl (absolute-host)"#,
            r#"warning: b-BEcQUh0e.js: it names "10.1.2.3", which visitors cannot reach (absolute-host)"#,
            r#"warning: b-BEcQUh0e.js: it names "api.shop.svc", which visitors cannot reach (absolute-host)"#,
            r#"warning: b-BEcQUh0e.js: it names "localhost:3000", which visitors cannot reach (absolute-host)"#,
        ]
    );
    let fine = [
        ("a.html", r#"<script src="https://cdn.example.com/shop/b-BEcQUh0e.js"></script><a href="https://example.org/">x</a>"#),
        (
            "b-BEcQUh0e.js",
            "new URL(x,'http://localhost');// minio.storage.svc:9000\nfetch('https://api.example.org/');xhttp//,'http://minio.storage.svc.example.org/'",
        ),
        ("b-BEcQUh0e.js.map", r#"{"sourcesContent":["http://minio.storage.svc:9000/"]}"#),
    ];
    assert_eq!(of(Rule::AbsoluteHost, &report(&fine, None, &hosts)), [""; 0]);
}

#[test]
fn the_hosts_of_a_store_are_its_endpoint_or_bucket_and_its_internal_url() {
    let names = |spec: serde_json::Value| -> Vec<String> {
        hosts_of(&serde_json::from_value(spec).unwrap()).into_iter().map(|host| format!("{:?} {}", host.role, host.name)).collect()
    };
    let url = "https://cdn.example.com/";
    assert_eq!(
        names(
            serde_json::json!({"bucket": {"name": "web", "endpoint": "http://minio:9000"}, "publicUrl": url, "internalUrl": "http://in/"})
        ),
        ["Endpoint minio", "InternalUrl in"]
    );
    assert_eq!(
        names(serde_json::json!({"bucket": {"name": "web", "region": "eu-central-1"}, "publicUrl": url})),
        ["Origin web.s3.eu-central-1.amazonaws.com", "Origin web.s3.amazonaws.com"]
    );
}

#[test]
fn a_source_map_that_is_named_must_be_there_unless_none_is() {
    let named = "x\n//# sourceMappingURL=a-BEcQUh0e.js.map\n";
    let style = ("x/b-BEcQUh0e.css", "/*# sourceMappingURL=b.css.map */");
    let other = ("x/other.js.map", "{}");
    assert_eq!(
        found(Rule::MissingSourceMap, &[("x/a-BEcQUh0e.js", named), style, other]),
        [
            r#"warning: x/a-BEcQUh0e.js: it names the source map "a-BEcQUh0e.js.map", which the build lacks (missing-source-map)"#,
            r#"warning: x/b-BEcQUh0e.css: it names the source map "b.css.map", which the build lacks (missing-source-map)"#,
        ]
    );
    assert_eq!(found(Rule::MissingSourceMap, &[("x/a-BEcQUh0e.js", named), style]), [""; 0], "all maps were left out on purpose");
    let inline = "x\n//# sourceMappingURL=data:application/json;base64,e30=";
    let there = [("x/a-BEcQUh0e.js", named), ("x/a-BEcQUh0e.js.map", "{}"), ("x/c-BEcQUh0e.js", inline), ("x/d-BEcQUh0e.js", "")];
    assert_eq!(found(Rule::MissingSourceMap, &there), [""; 0]);
    // A program that writes the comment does not end with one.
    let talks = [("x/d-BEcQUh0e.js", r#"f("sourceMappingURL=" + x)"#), ("x/d-BEcQUh0e.js.map", "{}")];
    assert_eq!(found(Rule::MissingSourceMap, &talks), [""; 0]);
}

#[test]
fn public_source_maps_are_told_once() {
    let maps = [("a.js.map", "{}"), ("b.css.map", "{}"), ("a.js.map.gz", ""), ("index.html", "")];
    assert_eq!(found(Rule::PublicSourceMap, &maps), [r#"info: source maps are public: 2, the first is "a.js.map" (public-source-map)"#]);
    assert_eq!(found(Rule::PublicSourceMap, &[("index.html", "")]), [""; 0]);
}

#[test]
fn what_pages_styles_and_the_build_tool_refer_to_must_be_there() {
    let files = [
        ("index.html", r#"<script src="gone.js"></script><script src="a-BEcQUh0e.js"></script>"#),
        ("a-BEcQUh0e.js", ""),
        ("a.css", "@import 'b.css'"),
        (".vite/manifest.json", r#"{"a":{"file":"a-BEcQUh0e.js","imports":["_b"]}}"#),
    ];
    assert_eq!(
        found(Rule::ClosureGap, &files),
        [
            r#"error: .vite/manifest.json: it refers to "_b", which the build lacks (closure-gap)"#,
            r#"error: a.css: it refers to "b.css", which the build lacks (closure-gap)"#,
            r#"error: index.html: it refers to "gone.js", which the build lacks (closure-gap)"#,
        ]
    );
    assert_eq!(found(Rule::ClosureGap, &[("index.html", r#"<script src="a-BEcQUh0e.js"></script>"#), ("a-BEcQUh0e.js", "")]), [""; 0]);
}

#[test]
fn paths_that_differ_in_spelling_alone_collide() {
    let files = [("Img/a.png", ""), ("img/A.png", ""), ("caf\u{e9}.txt", ""), ("cafe\u{301}.txt", "")];
    let all = found(Rule::CaseCollision, &files);
    assert_eq!(all.len(), 2, "{all:?}");
    assert_eq!(all[1], r#"error: img/A.png: it differs from "Img/a.png" in spelling alone (case-collision)"#);
    let before: &[(&str, &str)] = &[("img/a.png", ""), ("b.png", "")];
    let renamed = of(Rule::CaseCollision, &report(&[("Img/a.png", ""), ("b.png", "")], Some(before), NO_HOSTS));
    assert_eq!(renamed, [r#"warning: Img/a.png: the version before has "img/a.png", which differs in spelling alone (case-collision)"#]);
    assert_eq!(of(Rule::CaseCollision, &report(before, Some(before), NO_HOSTS)), [""; 0]);
}

#[test]
fn findings_are_bounded_and_the_rest_is_counted() {
    let page = (0..FINDINGS_MAX + 7).map(|n| format!("<img src=img/{n:04}.png>")).collect::<Vec<_>>().concat();
    let report = report(&[("index.html", &page)], None, NO_HOSTS);
    assert_eq!((report.count(Severity::Error), report.more.get("closure-gap")), (FINDINGS_MAX, Some(&7)));
    assert!(report.findings[0].message.contains("img/0000.png"));
}

#[test]
fn a_text_that_is_too_large_is_not_read_but_named() {
    let (mut manifest, names) = built(&[("index.html", ""), ("film.mp4", "")]);
    manifest.files[1].size = TEXT_BYTES_MAX + 1;
    let linter = Linter::new(Subject { manifest: &manifest, names: &names, previous: None, base_urls: &[], hosts: NO_HOSTS });
    assert!(!linter.reads(&manifest.files[1]));
    assert_eq!(linter.finish().unread.into_iter().collect::<Vec<_>>(), ["index.html"]);
}

#[test]
fn a_report_is_json_that_a_pipeline_can_read() {
    let json = serde_json::to_value(sample::Build::new().report()).unwrap();
    let first = &json["findings"][0];
    assert_eq!((first["severity"].as_str(), first["rule"].as_str()), (Some("error"), Some("changed-under-same-name")));
    let rules: std::collections::BTreeSet<&str> =
        json["findings"].as_array().unwrap().iter().filter_map(|one| one["rule"].as_str()).collect();
    assert_eq!(
        rules,
        Rule::ALL.iter().map(|rule| rule.name()).collect(),
        "the sample breaks every rule, and the names are those of the JSON"
    );
}

proptest! {
    #[test]
    fn any_text_is_survived_and_gives_the_same_report_twice(html in ".{0,200}", js in "[-/:.a-z0-9@\\[\\]#= \\\\]{0,200}", css in ".{0,100}") {
        let files = [("index.html", html.as_str()), ("a-BEcQUh0e.js", js.as_str()), ("a.css", css.as_str())];
        let hosts = [Host::of_url(HostRole::Endpoint, "http://a:9").unwrap()];
        prop_assert_eq!(report(&files, None, &hosts), report(&files, None, &hosts));
    }
}

#[test]
fn a_bare_plus_in_a_url_has_its_own_rule_and_advice() {
    let report = report(&[("index.html", r#"<img src="c++.svg">"#), ("c++.svg", "")], None, NO_HOSTS);
    assert_eq!(
        report.lines(),
        [
            r#"warning: index.html: it refers to "c++.svg", whose + S3 reads as a space: write %2B (ambiguous-url)"#,
            "  what to do: Write `%2B` in the URL, or give the file a name without `+`.",
        ]
    );
}
