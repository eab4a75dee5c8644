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
    build.others_missing.insert("ngsw.json".into(), BTreeSet::from(["/x.ico".to_owned()]));
    let mut gaps = Gaps::default();
    gaps.look_at_names(&build);
    let text = gaps.finish(&Closure::new(PATHS, &[])).message();
    let expected =
        r#": .vite/manifest.json refers to "_b", .vite/manifest.json refers to "gone.css", ngsw.json refers to "/x.ico"; build again"#;
    assert!(text.contains(expected) && text.ends_with("(--format Folder)"), "{text}");
}

#[test]
fn the_message_names_page_and_reference_and_is_cut() {
    let one = |n: u8| Dangling {
        referrer: "index.html".into(),
        reference: format!("{n:02}.js"),
        evidence: Evidence::Asked,
        near: None,
        others: 0,
    };
    let text = Verdict { dangling: (0..12).map(one).collect(), ..Verdict::default() }.message();
    assert!(
        text.starts_with(r#"the build lacks files that it refers to: index.html refers to "00.js", index.html refers to "01.js""#),
        "{text}"
    );
    assert!(
        text.contains(r#""09.js", and 2 more; build again from an empty output folder, or name what another program serves"#),
        "{text}"
    );
}

/// What a whole build gives: errors, warnings, and the base.
fn verdict(closure: &Closure<'_>, files: &[(&str, &str)]) -> (Vec<String>, Vec<String>, Option<(String, By)>) {
    let mut gaps = Gaps::default();
    for (path, text) in files {
        gaps.look(closure, path, text);
    }
    let verdict = gaps.finish(closure);
    let (errors, warnings): (Vec<&Dangling>, Vec<&Dangling>) = verdict.dangling.iter().partition(|one| one.is_error());
    let shown = |all: Vec<&Dangling>| all.into_iter().map(|one| one.reference.clone()).collect();
    (shown(errors), shown(warnings), verdict.base.map(|base| (base.base, base.by)))
}

fn errors(paths: &[&str], page: &str) -> Vec<String> {
    verdict(&Closure::new(paths.iter().copied(), &[]), &[("index.html", page)]).0
}

#[test]
fn character_references_in_attributes_are_decoded_once() {
    let paths = ["index.html", "img/hero-BEcQUh0e.png", "img/a&b-BEcQUh0e.png", "a&amp;b.png"];
    let page = r#"<div style="background:url(&quot;img/hero-BEcQUh0e.png&quot;)"></div><img src="img/a&amp;b-BEcQUh0e.png">
        <img src="img/a&#38;b-BEcQUh0e.png"><img src="img/a&#x26;b-BEcQUh0e.png"><img src="a&amp;amp;b.png">
        <div style='background:url(&#39;img/hero-BEcQUh0e.png&#39;)'></div><img src="img/hero-BEcQUh0e.png?x=1&copy=2&lt=3">"#;
    assert_eq!(errors(&paths, page), Vec::<String>::new());
    assert_eq!(errors(&paths, r#"<div style="background:url(&quot;img/gone.png&quot;)"></div>"#), ["img/gone.png"]);
}

#[test]
fn a_template_is_inert_and_a_shadow_root_is_not() {
    let page = r#"<template><img src="a.png"><template shadowrootmode=open><img src="b.png"></template><script>import("./c.js")</script></template>
        <template shadowrootmode="open"><img src="d.png"></template><img src="e.png"><noscript><img src="f.png"></noscript>"#;
    assert_eq!(errors(&["index.html"], page), ["d.png", "e.png"]);
}

#[test]
fn everything_that_a_browser_fetches_is_a_reference() {
    let page = r#"<svg><use xlink:href="a.svg#x"/><image xlink:href="b.png"/></svg><link rel=prefetch href="c.js"><iframe src="d.html"></iframe>
        <object data="e.svg"></object><embed src="f.swf"><input type=image src="g.png"><video poster="h.png"></video>
        <astro-island component-url="/i.js" renderer-url="/j.js"></astro-island><script type=module>import("./k.js");import"./l.js"</script>
        <script type=importmap>{"imports":{"x":"./m.js","y":"bare"}}</script><link rel=preload as=image imagesrcset="n.png 1x, o.png 2x">
        <iframe srcdoc="&lt;img src=&quot;p.png&quot;&gt;"></iframe><body background="q.png">"#;
    let expected: Vec<String> =
        "a.svg#x b.png c.js d.html e.svg f.swf g.png h.png /i.js /j.js ./k.js ./l.js ./m.js n.png o.png p.png q.png"
            .split(' ')
            .map(str::to_owned)
            .collect();
    assert_eq!(errors(&["index.html"], page).into_iter().collect::<BTreeSet<_>>(), expected.into_iter().collect());
}

#[test]
fn placeholders_and_what_servers_make_are_no_references() {
    let page = r##"<img src="{{ logo }}"><script src="<%= main %>.js"></script><img src="%PUBLIC_URL%/x.png"><iframe src="/demo"></iframe>
        <link rel=prefetch href="/about"><link rel=preload as=fetch href="/session"><input src="x.png"><embed src="/viewer"><script type="text/template">import("./x.js")</script>
        <script>import("react");import(name)</script><img src="#"><a href="gone.html">x</a><img src="http://[">"##;
    assert_eq!(errors(&["index.html"], page), Vec::<String>::new());
}

const SHOP: [&str; 4] = ["index.html", "assets/app-BEcQUh0e.js", "assets/app-BEcQUh0e.css", "docs/index.html"];
const SHOP_PAGE: &str = r#"<script src="/shop/assets/app-BEcQUh0e.js"></script><link rel=stylesheet href="/shop/assets/app-BEcQUh0e.css">"#;

#[test]
fn the_base_of_a_build_is_taken_from_whatever_knows_it_and_said() {
    let base = |base: &str, by| Some((base.to_owned(), by));
    let none = Vec::<String>::new;
    let closure = |urls: &[String]| Closure::new(SHOP, urls);
    let taken = |closure: &Closure<'_>, page: &str| verdict(closure, &[("index.html", page)]);
    assert_eq!(taken(&closure(&[]).below("shop/"), SHOP_PAGE), (none(), none(), base("/shop/", By::Prefix)));
    assert_eq!(taken(&closure(&[]).below("sites/shop/"), SHOP_PAGE), (none(), none(), base("/shop/", By::Prefix)));
    assert_eq!(taken(&closure(&["/shop/".into()]), SHOP_PAGE), (none(), none(), base("/shop/", By::PublicUrl)));
    assert_eq!(taken(&closure(&[]), SHOP_PAGE), (none(), none(), base("/shop/", By::References)));
    let angular = r#"<base href="/shop/"><script src="assets/app-BEcQUh0e.js"></script>"#;
    assert_eq!(taken(&closure(&[]), angular), (none(), none(), base("/shop/", By::BaseElement)));
    let deep = r#"<base href="/shop/docs/"><script src="../assets/app-BEcQUh0e.js"></script>"#;
    assert_eq!(verdict(&closure(&[]), &[("docs/index.html", deep)]), (none(), none(), base("/shop/", By::BaseElement)));
    let mut build = BuildNames::none(Decided::UsualPlace);
    build.names.public_path = Some("https://cdn.example.com/x/".into());
    let cdn =
        r#"<script src="https://cdn.example.com/x/assets/app-BEcQUh0e.js"></script><script src="//cdn.example.com/x/gone.js"></script>"#;
    let (lost, _, by) = taken(&closure(&[]).built_as(&build), cdn);
    assert_eq!((lost, by), (vec!["//cdn.example.com/x/gone.js".to_owned()], base("https://cdn.example.com/x/", By::Manifest)));
}

#[test]
fn a_base_that_fits_nothing_is_refused_and_a_file_of_the_same_name_elsewhere_is_no_base() {
    let (lost, _, base) = verdict(&Closure::new(SHOP, &[]), &[("index.html", r#"<base href="/other/"><script src="app.js"></script>"#)]);
    assert_eq!((lost, base), (vec!["app.js".to_owned()], None));
    let paths = ["index.html", "logo.png", "b.png"];
    assert_eq!(errors(&paths, r#"<img src="/static/logo.png">"#), ["/static/logo.png"], "one name is an accident");
    let two = r#"<img src="/static/logo.png"><img src="/b.png"><img src="/logo.png">"#;
    assert_eq!(errors(&paths, two), ["/static/logo.png"], "most references say that the build lies at the top");
}

#[test]
fn past_the_base_nothing_is_known_and_below_it_everything_must_be_there() {
    let page = format!(r#"{SHOP_PAGE}<script src="/env.js"></script><script src="/shop/gone.js"></script>"#);
    let (lost, outside, _) = verdict(&Closure::new(SHOP, &[]).below("shop/"), &[("index.html", &page)]);
    assert_eq!((lost, outside), (vec!["/shop/gone.js".to_owned()], vec!["/env.js".to_owned()]));
}

#[test]
fn the_builds_own_cdn_is_known_by_its_files_and_other_hosts_are_not_judged() {
    let page = r#"<script src="https://cdn.example.com/assets/app-BEcQUh0e.js"></script><script src="https://unpkg.com/x/index.html"></script>
        <link rel=stylesheet href="https://cdn.example.com/assets/app-BEcQUh0e.css"><script src="https://cdn.example.com/assets/gone.js"></script>
        <script src="https://unpkg.com/x/y.js"></script>"#;
    let (lost, warned, base) = verdict(&Closure::new(SHOP, &[]), &[("index.html", page)]);
    assert!(lost.is_empty(), "{lost:?}");
    assert_eq!(warned, ["https://cdn.example.com/assets/gone.js"]);
    assert_eq!(base, Some(("https://cdn.example.com/".into(), By::References)));
}

#[test]
fn what_others_serve_is_not_expected() {
    let external = External::new(&["app.config.js", "env/**"]).unwrap();
    let page = r#"<script src="app.config.js?v=1"></script><script src="/shop/env/a/b.js"></script><script src="/cdn-cgi/x.js"></script>
        <script src="/_vercel/insights/script.js"></script><img src="/_next/image?url=%2Fa.png&w=64"><script src="/api/boot.js"></script>"#;
    let closure = Closure::new(SHOP, &[]).below("shop/").without(&external);
    assert_eq!(verdict(&closure, &[("index.html", page)]).0, Vec::<String>::new());
    assert_eq!(errors(&SHOP, r#"<script src="app.config.js?v=1"></script>"#), ["app.config.js?v=1"]);
    let rooted = format!(r#"{SHOP_PAGE}<script src="/shop/app.config.js"></script>"#);
    let closure = Closure::new(SHOP, &[]).without(&external);
    assert_eq!(verdict(&closure, &[("index.html", &rooted)]).0, Vec::<String>::new(), "below a base that only references tell");
}

#[test]
fn a_missing_icon_only_warns_also_one_of_a_web_app_manifest() {
    let page = r#"<link rel="shortcut icon" href="/favicon.ico"><link rel=apple-touch-icon href="a.png">"#;
    let files = [("index.html", page), ("site.webmanifest", r#"{"name":"x","start_url":"/","icons":[{"src":"icon.png"}]}"#)];
    let (lost, warned, _) = verdict(&Closure::new(["index.html", "site.webmanifest"], &[]), &files);
    assert_eq!((lost, warned), (vec![], vec!["/favicon.ico".to_owned(), "a.png".to_owned(), "icon.png".to_owned()]));
}

#[test]
fn many_warnings_push_no_error_out() {
    let icons = (0..10_100).map(|n| format!("<link rel=icon href=i{n}.png>")).collect::<Vec<_>>().concat();
    let (lost, warned, _) = verdict(&Closure::new(SHOP, &[]), &[("a.html", &icons), ("index.html", "<img src=gone.png>")]);
    assert_eq!((lost, warned.len()), (vec!["gone.png".to_owned()], 10_000));
}

#[test]
fn a_bare_plus_in_a_url_warns_and_an_escaped_one_does_not() {
    let closure = Closure::new(["index.html", "assets/c++-BEcQUh0e.js"], &[]);
    let page = r#"<script src="assets/c++-BEcQUh0e.js"></script><script src="/assets/c%2B%2B-BEcQUh0e.js?a+b"></script>"#;
    let (lost, warned, _) = verdict(&closure, &[("index.html", page)]);
    assert_eq!((lost, warned), (vec![], vec!["assets/c++-BEcQUh0e.js".to_owned()]));
}

#[test]
fn what_is_nearly_there_is_said() {
    let paths = ["index.html", "img/cafe\u{301}-BEcQUh0e.png", "img/Logo.png", "media/a.png"];
    let page = "<img src=\"img/caf\u{e9}-BEcQUh0e.png\"><img src=\"img/logo.png\"><img src=\"images/a.png\">";
    let closure = Closure::new(paths, &[]);
    let mut gaps = Gaps::default();
    gaps.look(&closure, "index.html", page);
    let text = gaps.finish(&closure).message();
    for part in [
        "another Unicode form (decomposed, NFD",
        r#"has "img/Logo.png", which differs in upper and lower case"#,
        r#"has "media/a.png", in another folder"#,
    ] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
}

#[test]
fn what_scripts_seem_to_name_warns_with_its_line_and_their_own_lists_are_errors() {
    let paths = ["index.html", "assets/app-BEcQUh0e.js", "assets/cart-DSJ8mBsC.js", "static/js/7.3a4f5b6c.chunk.js"];
    let script = "import\"./cart-DSJ8mBsC.js\";\nimport(\"./gone-Q1w2E3r4.js\");u=\"assets/lost-Zz9_yX8w.js\",v=\"assets/readme.js\",w=\"a/B1cD2eF3.js\";
        r.u=e=>\"static/js/\"+e+\".\"+{7:\"3a4f5b6c\",8:\"00112233\"}[e]+\".chunk.js\"";
    let closure = Closure::new(paths, &[]);
    let mut gaps = Gaps::default();
    gaps.look(&closure, "assets/app-BEcQUh0e.js", script);
    let all: Vec<_> = gaps.finish(&closure).dangling.into_iter().map(|one| (one.reference, one.evidence)).collect();
    let line = |line| Evidence::Guessed { line };
    let expected = [
        ("./gone-Q1w2E3r4.js".to_owned(), line(2)),
        ("assets/lost-Zz9_yX8w.js".to_owned(), line(2)),
        ("static/js/8.00112233.chunk.js".to_owned(), line(3)),
    ];
    assert_eq!(all, expected);
    let list = r#"const __vite__mapDeps=(i,m=__vite__mapDeps,d=(m.f||(m.f=["assets/cart-DSJ8mBsC.js","assets/gone-Q1w2E3r4.css"])))=>1"#;
    assert_eq!(verdict(&closure, &[("assets/app-BEcQUh0e.js", list)]).0, ["assets/gone-Q1w2E3r4.css"]);
}

#[test]
fn a_list_of_vite_is_read_from_the_folder_in_which_vite_wrote() {
    let list = |names: &str| format!("const __vite__mapDeps=(i,m=__vite__mapDeps,d=(m.f||(m.f=[{names}])))=>1");
    let paths = ["index.html", "public/build/assets/app-BEcQUh0e.js", "public/build/assets/cart-DSJ8mBsC.js"];
    let closure = Closure::new(paths, &[]);
    let of = |names: &str| verdict(&closure, &[("public/build/assets/app-BEcQUh0e.js", &list(names))]);
    assert_eq!(of(r#""assets/cart-DSJ8mBsC.js""#), (vec![], vec![], None));
    let (lost, warned, _) = of(r#""assets/cart-DSJ8mBsC.js","assets/gone-Q1w2E3r4.css""#);
    assert_eq!((lost, warned), (vec!["assets/gone-Q1w2E3r4.css".to_owned()], vec![]));
    let (lost, warned, _) = of(r#""assets/gone-Q1w2E3r4.css""#);
    assert_eq!((lost, warned), (vec![], vec!["assets/gone-Q1w2E3r4.css".to_owned()]), "of a list of which nothing is there");
}

#[test]
fn what_others_serve_is_not_expected_of_lists_either() {
    let mut build = BuildNames::none(Decided::UsualPlace);
    build.others_missing.insert(
        "ngsw.json".into(),
        ["/shop/env/a.js", "env/b.js", "https://cdn.example.com/x/env/c.js", "/shop/gone.js"].map(str::to_owned).into(),
    );
    let mut gaps = Gaps::default();
    gaps.look_at_names(&build);
    let urls = ["https://cdn.example.com/x/".to_owned()];
    let closure = Closure::new(SHOP, &urls).below("shop/").without(&External::new(&["env/**"]).unwrap());
    let all: Vec<_> = gaps.finish(&closure).dangling.into_iter().map(|one| one.reference).collect();
    assert_eq!(all, ["/shop/gone.js"]);
    let (lost, _, _) = verdict(&closure, &[("docs/index.html", "<script src=env/a.js></script>")]);
    assert_eq!(lost, ["env/a.js"], "of another folder");
}

#[test]
fn one_missing_file_is_said_once() {
    let paths = ["index.html", "about.html", "assets/app-BEcQUh0e.js", "assets/cart-DSJ8mBsC.js"];
    let script = "m.f=0;__vite__mapDeps.f=[\"assets/cart-DSJ8mBsC.js\",\"assets/gone-Q1w2E3r4.js\"];import(\"./gone-Q1w2E3r4.js\")";
    let page = r#"<script src="/assets/gone-Q1w2E3r4.js"></script>"#;
    let mut build = BuildNames::none(Decided::UsualPlace);
    build.reading.path = Some(".vite/manifest.json".into());
    build.names.missing = BTreeSet::from(["assets/gone-Q1w2E3r4.js".to_owned()]);
    let closure = Closure::new(paths, &[]);
    let mut gaps = Gaps::default();
    gaps.look_at_names(&build);
    for (path, text) in [("assets/app-BEcQUh0e.js", script), ("index.html", page), ("about.html", page)] {
        gaps.look(&closure, path, text);
    }
    let verdict = gaps.finish(&closure);
    assert_eq!(verdict.dangling.len(), 1, "{verdict:?}");
    let text = verdict.message();
    assert!(
        text.contains(r#": .vite/manifest.json refers to "assets/gone-Q1w2E3r4.js" (5 other references lead there, too); build again"#),
        "{text}"
    );
}

#[test]
fn names_that_another_encoding_hides_are_no_references() {
    let page = String::from_utf8_lossy(b"<img src=\"\x89\xe6\x91\x9c.png\"><script src=gone.js></script>");
    assert_eq!(errors(&["index.html"], &page), ["gone.js"]);
}

#[test]
fn a_reference_longer_than_any_path_is_passed_over() {
    assert_eq!(errors(&["index.html"], &format!("<img src={}.png>", "a".repeat(9_000))), Vec::<String>::new());
}

#[test]
fn guesses_of_a_large_build_take_little_time() {
    let paths: Vec<String> = (0..50_000).map(|n| format!("static/js/{n}.0a1b2c3d.js")).collect();
    let ids = (0..10_000).map(|n| format!("{n}:\"0a1b2c3e\",")).collect::<Vec<_>>().concat();
    let literals = (10_000..20_000).map(|n| format!("\"static/js/{n}.0a1b2c3e.js\",")).collect::<Vec<_>>().concat();
    let script = format!("r.u=e=>\"static/js/\"+e+\".\"+{{{ids}}}[e]+\".js\";[{literals}]");
    let closure = Closure::new(paths.iter().map(String::as_str), &[]);
    assert_eq!(closure.all_leads("static/js/main.js", &script).count(), 20_000);
}

#[test]
fn what_is_kept_of_references_is_bounded_in_bytes_and_no_error_is_pushed_out() {
    let long = |from: usize, start: &str, end: &str| {
        let one = |n| format!("<{start}/{n}_{}x.png{end}>", "a/".repeat(3_900));
        (from..from + 1_500).map(one).collect::<Vec<_>>().concat()
    };
    let (icons, strangers, images) = (long(0, "link rel=icon href=", ""), long(0, "img src=//h.example", ""), long(0, "img src=", ""));
    let closure = Closure::new(SHOP, &[]);
    let mut gaps = Gaps::default();
    for (path, text) in [("a.html", &icons), ("b.html", &strangers), ("c/index.html", &images), ("index.html", &images)] {
        gaps.look(&closure, path, text);
    }
    assert!((1_000_000..13_000_000).contains(&gaps.bytes()), "{}", gaps.bytes());
    assert!(gaps.finish(&closure).is_error());
}

#[test]
fn pages_without_their_ending_are_there() {
    let paths = ["index.html", "blog/release-1.x/index.html", "about.html"];
    let page = r#"<link rel=prefetch href="/blog/release-1.x"><iframe src="/about"></iframe><iframe src="/gone.x"></iframe>"#;
    assert_eq!(errors(&paths, page), ["/gone.x"]);
}

#[test]
fn parts_of_pages_refer_from_the_top_and_only_warn() {
    let paths = ["index.html", "img/logo.png", "views/home.html"];
    let part = r#"<div ng-if="x"><img src="img/logo.png"><img src="gone.png"></div>"#;
    let closure = Closure::new(paths, &[]);
    let (lost, warned, _) = verdict(&closure, &[("views/home.html", part)]);
    assert_eq!((lost, warned), (vec![], vec!["gone.png".to_owned()]));
    for whole in ["<!doctype html>", "<title>x</title>", "<body>"] {
        let (lost, _, _) = verdict(&closure, &[("views/home.html", &format!("{whole}{part}"))]);
        assert_eq!(lost, ["gone.png", "img/logo.png"], "{whole}");
    }
    assert_eq!(verdict(&closure, &[("index.html", part)]).0, ["gone.png"], "a browser opens it");
}

#[test]
fn what_browsers_of_today_do_not_ask_for_only_warns() {
    let style = r#"a{behavior:url(/PIE.htc)}@font-face{src:url(a.eot);src:url(a.eot?#iefix) format("embedded-opentype"),url(a.woff2)}"#;
    let (lost, warned, _) = verdict(&Closure::new(["a.css"], &[]), &[("a.css", style)]);
    assert_eq!((lost, warned), (vec!["a.woff2".to_owned()], vec!["/PIE.htc".to_owned(), "a.eot".to_owned()]));
    let caught = r#"<script type=module>import("/config.js").catch(()=>0);import("/gone.js")</script>"#;
    let (lost, warned, _) = verdict(&Closure::new(["index.html"], &[]), &[("index.html", caught)]);
    assert_eq!((lost, warned), (vec!["/gone.js".to_owned()], vec!["/config.js".to_owned()]));
}

#[test]
fn a_strangers_host_with_files_of_the_same_name_is_not_the_builds_own() {
    let paths = ["index.html", "js/bootstrap.min.js", "js/app.min.js"];
    let page = r#"<link rel=stylesheet href="https://cdn.example.com/bootstrap/css/bootstrap.min.css"><script src="https://cdn.example.com/bootstrap/js/bootstrap.min.js"></script>"#;
    let taken = |page: &str| verdict(&Closure::new(paths, &[]), &[("index.html", page)]);
    assert_eq!(taken(page), (vec![], vec![], None), "one file is an accident");
    let second = format!(r#"{page}<script src="https://cdn.example.com/bootstrap/js/app.min.js"></script>"#);
    assert!(taken(&second).2.is_some());
    let fallback = format!(r#"{second}<script src="js/bootstrap.min.js"></script><script src="js/app.min.js"></script>"#);
    assert_eq!(taken(&fallback), (vec![], vec![], None), "the page has them by itself");
}

#[test]
fn warnings_for_people_are_bounded_and_name_patterns_that_match_nothing() {
    let icons = |page: usize| format!("<link rel=icon href=a{page}.png><link rel=icon href=b{page}.png>");
    let external = External::new(&["zzz/**", "a1.png"]).unwrap();
    let closure = Closure::new(["index.html"], &[]).without(&external);
    let mut gaps = Gaps::default();
    (0..100).for_each(|page| gaps.look(&closure, &format!("p{page:03}/index.html"), &icons(page)));
    gaps.look(&closure, "index.html", "<link rel=icon href=a1.png>");
    let warnings: Vec<String> = gaps.finish(&closure).warnings().map(|one| format!("{}: {}", one.referrer, one.finding())).collect();
    assert_eq!(warnings.len(), 22, "{warnings:#?}");
    assert_eq!(warnings[0], r#"spec.build.external (--external): the pattern "zzz/**" matches nothing in this build"#);
    assert!(warnings[1].starts_with(r#"p000/index.html: its icon is "a0.png", which the build lacks"#), "{}", warnings[1]);
    assert!(warnings[1].ends_with("; and 1 more of this file"), "{}", warnings[1]);
    assert!(warnings[21].starts_with("80 more files: 160 more references"), "{}", warnings[21]);
}

#[test]
fn a_worker_beside_the_script_is_compared_with_its_siblings() {
    let paths = ["assets/index-BcDeF123.js", "assets/worker-AbCdE999.js"];
    let script =
        r#"new URL("worker-AbCdE999.js",import.meta.url);new URL("worker-AbCdE998.js",import.meta.url);new URL("x.js",import.meta.url)"#;
    let (lost, warned, _) = verdict(&Closure::new(paths, &[]), &[("assets/index-BcDeF123.js", script)]);
    assert_eq!((lost, warned), (vec![], vec!["./worker-AbCdE998.js".to_owned()]));
}
