//! What counts as a reference, and what leads nowhere.

use super::*;
use crate::manifest::readers::Decided;

const PATHS: [&str; 9] = [
    "index.html",
    "docs/guide/index.html",
    "assets/app-BEcQUh0e.js",
    "assets/app-BEcQUh0e.css",
    "assets/hero-BEcQUh0e.png",
    "assets/hero 2x,b.png",
    "favicon.ico",
    "fonts/a-BEcQUh0e.woff2",
    "assets/ünï-BEcQUh0e.js",
];

fn lost(path: &str, text: &str) -> Vec<String> {
    let bases = ["https://cdn.example.com/shop/".to_owned()];
    let closure = Closure::new(PATHS, &bases);
    closure.dangling(path, text).into_iter().map(|one| one.reference).collect()
}

#[test]
fn references_of_every_kind_that_are_there_are_fine() {
    let page = r##"<!doctype html><base><link rel="icon" href="favicon.ico"><link rel=stylesheet href=/assets/app-BEcQUh0e.css>
        <script type=module src="./assets/app-BEcQUh0e.js?x=1&amp;y=2#z"></script><script src="https://cdn.example.com/shop/assets/app-BEcQUh0e.js"></script>
        <script src="/shop/assets/app-BEcQUh0e.js"></script><script src="assets/%C3%BCn%C3%AF-BEcQUh0e.js"></script>
        <img src="data:image/png;base64,xx" srcset="assets/hero-BEcQUh0e.png 1x, assets/hero%202x,b.png 2x,data:,x 3x"><img src="">
        <script src="//other.example.com/x.js"></script><img src="https://other.example.com/x.png"><a href="/nowhere">x</a>
        <link rel="canonical" href="/nowhere"><link rel="preconnect" href="https://x"><svg><use href="#icon"></use></svg>
        <script type="importmap">{"imports":{"app":"./assets/app-BEcQUh0e.js","lib/":"/nowhere/","ext":"https://esm.example/x.js"}}</script>
        <style>body{background:url(assets/hero-BEcQUh0e.png)}</style><p style="background:url('/assets/hero-BEcQUh0e.png')">"##;
    assert_eq!(lost("index.html", page), Vec::<String>::new());
}

#[test]
fn references_of_every_kind_that_lead_nowhere_are_named() {
    let page = r#"<link rel="modulepreload" href="m.js"><script src="s.js"></script><img src="i.png" srcset="j.png 1x,k.png">
        <video poster="p.png" src="v.mp4"></video><script src="https://cdn.example.com/shop/c.js"></script><script src="/shop/d.js"></script>
        <script type="importmap">{"imports":{"a":"./a.js"},"scopes":{"/x/":{"b":"/b.js"}}}</script>
        <style>@import "e.css"; a{b:url("f.png")}</style><p style="background:image-set('g.png' 1x)"><link rel="shortcut icon" href="h.ico">"#;
    let all = [
        "./a.js",
        "/b.js",
        "/shop/d.js",
        "e.css",
        "f.png",
        "g.png",
        "h.ico",
        "https://cdn.example.com/shop/c.js",
        "i.png",
        "j.png",
        "k.png",
        "m.js",
        "p.png",
        "s.js",
        "v.mp4",
    ];
    assert_eq!(lost("index.html", page), all);
}

#[test]
fn references_are_resolved_from_where_the_page_lies() {
    assert_eq!(lost("docs/guide/index.html", r#"<script src="../../assets/app-BEcQUh0e.js"></script>"#), Vec::<String>::new());
    assert_eq!(lost("docs/guide/index.html", r#"<script src="assets/app-BEcQUh0e.js"></script>"#), ["assets/app-BEcQUh0e.js"]);
    assert_eq!(lost("docs/guide/index.html", r#"<base href="/"><script src="assets/app-BEcQUh0e.js"></script>"#), Vec::<String>::new());
    assert_eq!(lost("docs/guide/index.html", r#"<object data="/docs/guide/"></object>"#), Vec::<String>::new());
}

#[test]
fn style_sheets_are_looked_at_too() {
    let good = r#"@charset "utf-8"; @import url("app-BEcQUh0e.css"); @font-face{src:url(../fonts/a-BEcQUh0e.woff2?#iefix) format("woff2")}
        @media print{a{b:url( "hero-BEcQUh0e.png" )}} q{content:"nowhere.png"} a::after{content:'x'} @namespace url(http://www.w3.org/1999/xhtml);
        b{background:image-set("hero-BEcQUh0e.png" type("image/png"))}"#;
    assert_eq!(lost("assets/app-BEcQUh0e.css", good), Vec::<String>::new());
    let bad = "@import 'x.css' screen; @media print{@supports(a:b){a{b:url(y.png)}}} /* url(z.png) */";
    assert_eq!(lost("assets/app-BEcQUh0e.css", bad), ["x.css", "y.png"]);
}

#[test]
fn hostile_text_is_survived() {
    let deep = format!("{}url(x.png){}", "(".repeat(100_000), ")".repeat(100_000));
    assert_eq!(lost("a.css", &deep), Vec::<String>::new());
    assert_eq!(lost("a.html", &"<div>".repeat(50_000)), Vec::<String>::new());
    assert_eq!(lost("a.html", "<script src='x.js"), Vec::<String>::new());
}

#[test]
fn what_the_build_tools_manifest_lacks_is_named_with_it() {
    let mut build = BuildNames::none(Decided::UsualPlace);
    build.reading.path = Some(".vite/manifest.json".into());
    build.names.missing = BTreeSet::from(["_b".to_owned(), "gone.css".to_owned()]);
    let text = message(&Closure::dangling_in_names(&build));
    assert!(text.ends_with(r#": .vite/manifest.json refers to "_b", .vite/manifest.json refers to "gone.css""#), "{text}");
}

#[test]
fn the_message_names_page_and_reference_and_is_cut() {
    let dangling: BTreeSet<Dangling> =
        (0..12).map(|n| Dangling { referrer: "index.html".into(), reference: format!("{n:02}.js") }).collect();
    let text = message(&dangling);
    assert!(
        text.starts_with(r#"the build lacks files that it refers to: index.html refers to "00.js", index.html refers to "01.js""#),
        "{text}"
    );
    assert!(text.ends_with(r#""09.js", and 2 more"#), "{text}");
}
