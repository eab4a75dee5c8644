//! References in a page, as a browser with scripts enabled reads it: tags, attributes with their character references decoded once,
//! styles, import maps and inline modules.
//! Never takes a link to another page, an inert `<template>` or a placeholder for something that must be in the build.

use std::cell::Cell;

use html5gum::{State, Tokenizer};

use super::found::{Evidence, Found};
use super::import_map::ImportMap;
use super::lines::Lines;
use super::page_reader::PageReader;
use super::tags::{self, Piece, Tag};
use super::{css, script, srcset};
use crate::manifest::readers::names_a_file;

/// Kinds of `<link>` that a browser fetches for this page. Others (canonical, alternate, preconnect, next) only say something.
const FETCHED_LINKS: [&str; 5] = ["stylesheet", "manifest", "modulepreload", "preload", "prefetch"];

/// Kinds of `<link>` without which the page looks the same.
const ICON_LINKS: [&str; 5] = ["icon", "apple-touch-icon", "apple-touch-icon-precomposed", "mask-icon", "fluid-icon"];

/// Attributes whose value is one URL that a browser fetches.
const FETCHED: [(&str, &str); 26] = [
    ("script", "src"),
    ("script", "href"),
    ("script", "xlink:href"),
    ("img", "src"),
    ("source", "src"),
    ("video", "src"),
    ("video", "poster"),
    ("audio", "src"),
    ("track", "src"),
    ("input", "src"),
    ("image", "href"),
    ("image", "xlink:href"),
    ("use", "href"),
    ("use", "xlink:href"),
    ("feimage", "href"),
    ("feimage", "xlink:href"),
    ("body", "background"),
    ("table", "background"),
    ("td", "background"),
    ("th", "background"),
    ("astro-island", "component-url"),
    ("astro-island", "renderer-url"),
    ("astro-island", "before-hydration-url"),
    ("model-viewer", "src"),
    ("lottie-player", "src"),
    ("bgsound", "src"),
];

/// Attributes that may also name a page, which a server may make: a reference only when they name a file.
const EMBEDDED: [(&str, &str); 4] = [("iframe", "src"), ("frame", "src"), ("object", "data"), ("embed", "src")];

/// `srcdoc` within `srcdoc` that is looked at.
const DEPTH_MAX: usize = 3;

/// Endings of what a server runs to make a page.
const OF_SERVERS: [&str; 9] = ["php", "asp", "aspx", "jsp", "cgi", "cfm", "pl", "py", "do"];

/// Elements that a whole page has, and none of its parts.
const OF_WHOLE_PAGES: [&str; 6] = ["html", "head", "body", "title", "meta", "base"];

/// How a page is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    Html,
    /// Every element may close itself: `<script src="a.js"/>`.
    Xhtml,
}

/// Where the text of a page or of a `srcdoc` stands.
#[derive(Clone, Copy)]
struct At {
    /// `srcdoc`s around it.
    depth: usize,
    /// Line of the page, from 1.
    line: usize,
}

pub(super) fn references(page: &str, syntax: Syntax) -> Found {
    let mut found = Found::default();
    read(page, syntax, &mut found, At { depth: 0, line: 1 });
    found
}

fn read(page: &str, syntax: Syntax, found: &mut Found, at: At) {
    let position = Cell::new(0);
    let mut tokenizer = Tokenizer::new_with_emitter(PageReader::new(page, &position), tags::emitter());
    let mut reader = Reader::new(found, syntax, at, page);
    while let Some(Ok(piece)) = tokenizer.next() {
        match piece {
            Piece::Start(tag) => {
                reader.position = position.get();
                // The tokenizer does not know that in SVG an element may close itself, and would take the rest of the page for a script.
                if reader.start(&tag) == Content::None {
                    tokenizer.set_state(State::Data);
                }
            }
            Piece::End(name) => reader.end(&name),
            Piece::Text(text) => reader.text(&text),
            Piece::Doctype => reader.found.is_whole_page = true,
        }
    }
    reader.finish();
}

/// What the text that comes next is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TextOf {
    Nothing,
    Style,
    Script,
    ImportMap,
}

/// Whether something may stand between a start tag and its end tag.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    Some,
    /// The tag has closed itself.
    None,
}

struct Reader<'f, 'p> {
    found: &'f mut Found,
    text_of: TextOf,
    text: String,
    /// What inline modules import, and what the page's import maps make of it.
    imports: Vec<(String, Evidence)>,
    import_map: ImportMap,
    /// Open `<template>`s, each with whether its content is inert: a declarative shadow root is rendered.
    templates: Vec<bool>,
    /// How many of them are inert.
    inert: usize,
    /// Open elements of languages in which an element may close itself; the document itself is one of XHTML.
    foreign: usize,
    at: At,
    lines: Lines<'p>,
    /// Behind the last start tag.
    position: usize,
}

impl<'f, 'p> Reader<'f, 'p> {
    fn new(found: &'f mut Found, syntax: Syntax, at: At, page: &'p str) -> Self {
        let foreign = match syntax {
            Syntax::Html => 0,
            Syntax::Xhtml => 1,
        };
        let (imports, import_map, lines) = (Vec::new(), ImportMap::default(), Lines::of(page));
        let (text, templates) = (String::new(), Vec::new());
        Self { found, text_of: TextOf::Nothing, text, imports, import_map, templates, inert: 0, foreign, at, lines, position: 0 }
    }

    fn start(&mut self, tag: &Tag) -> Content {
        self.finish_text();
        let name = tag.name();
        let content = if tag.closes_itself && self.foreign > 0 { Content::None } else { Content::Some };
        if name == "template" && content == Content::Some {
            let is_inert = tag.get("shadowrootmode").is_none();
            self.templates.push(is_inert);
            self.inert += usize::from(is_inert);
        }
        self.foreign += usize::from(matches!(name.as_ref(), "svg" | "math") && !tag.closes_itself);
        if self.inert > 0 {
            return content;
        }
        self.text_of = if content == Content::Some { text_of(&name, tag) } else { TextOf::Nothing };
        self.found.is_whole_page |= OF_WHOLE_PAGES.contains(&name.as_ref());
        self.attributes(&name, tag);
        match name.as_ref() {
            "link" => self.link(tag),
            "base" => {
                // The first one counts.
                if let Some(href) = tag.get("href") {
                    self.found.base.get_or_insert(href);
                }
            }
            _ => {}
        }
        content
    }

    fn end(&mut self, name: &[u8]) {
        self.finish_text();
        match name {
            b"template" => self.inert -= usize::from(self.templates.pop() == Some(true)),
            b"svg" | b"math" => self.foreign = self.foreign.saturating_sub(1),
            _ => {}
        }
    }

    /// Line of the page at the end of the last start tag.
    fn line(&mut self) -> usize {
        self.at.line + self.lines.at(self.position) - 1
    }

    fn text(&mut self, text: &[u8]) {
        if self.text_of != TextOf::Nothing {
            self.text.push_str(&String::from_utf8_lossy(text));
        }
    }

    fn finish_text(&mut self) {
        let text = std::mem::take(&mut self.text);
        match std::mem::replace(&mut self.text_of, TextOf::Nothing) {
            TextOf::Nothing => {}
            TextOf::Style => css::references(&text, self.found),
            TextOf::Script => {
                let line = self.line();
                self.imports.extend(script::inline(&text, line, self.found));
            }
            TextOf::ImportMap => {
                self.import_map.read(&text).into_iter().for_each(|target| self.found.add(&target, Evidence::Asked));
            }
        }
    }

    /// At the end of the page.
    fn finish(mut self) {
        self.finish_text();
        for (specifier, evidence) in self.imports.into_iter().filter(|(specifier, _)| !self.import_map.maps(specifier)) {
            self.found.add(&specifier, evidence);
        }
    }

    fn attributes(&mut self, name: &str, tag: &Tag) {
        let of_tag =
            |all: &'static [(&str, &str)]| all.iter().filter(move |(element, _)| *element == name).filter_map(|(_, it)| tag.get(it));
        let is_picture_button = name != "input" || tag.get("type").is_some_and(|kind| kind.eq_ignore_ascii_case("image"));
        for url in of_tag(&FETCHED).filter(|_| is_picture_button) {
            self.found.add(&url, Evidence::Asked);
        }
        for url in of_tag(&EMBEDDED).filter(|url| is_a_file(url)) {
            self.found.add(&url, Evidence::Asked);
        }
        if let Some(set) = tag.get("srcset").filter(|_| ["img", "source"].contains(&name)) {
            self.add_all(srcset::candidates(&set), Evidence::Asked);
        }
        if let Some(style) = tag.get("style") {
            css::references(&format!("*{{{style}}}"), self.found);
        }
        if let Some(inner) = tag.get("srcdoc").filter(|_| name == "iframe" && self.at.depth < DEPTH_MAX) {
            let at = At { depth: self.at.depth + 1, line: self.line() };
            let mut of_inner = Found::default();
            read(&inner, Syntax::Html, &mut of_inner, at);
            self.found.take_within(of_inner);
        }
    }

    fn add_all<'u>(&mut self, urls: impl IntoIterator<Item = &'u str>, evidence: Evidence) {
        for url in urls {
            self.found.add(url, evidence);
        }
    }

    fn link(&mut self, tag: &Tag) {
        let rel = tag.get("rel").unwrap_or_default().to_ascii_lowercase();
        let is = |wanted: &[&str]| rel.split_ascii_whitespace().any(|one| wanted.contains(&one));
        let (href, set) = (tag.get("href"), tag.get("imagesrcset").unwrap_or_default());
        if is(&FETCHED_LINKS) {
            // What is fetched ahead may be a page or data that a server makes.
            let is_data = tag.get("as").is_some_and(|kind| kind.eq_ignore_ascii_case("fetch"));
            let href = href.filter(|href| !(is(&["prefetch"]) || is_data) || is_a_file(href));
            self.add_all(href.as_deref(), Evidence::Asked);
            self.add_all(srcset::candidates(&set), Evidence::Asked);
        } else if is(&ICON_LINKS) {
            self.add_all(href.as_deref(), Evidence::Icon);
        }
    }
}

fn text_of(name: &str, tag: &Tag) -> TextOf {
    match name {
        "style" => TextOf::Style,
        "script" if tag.get("src").is_none() => match tag.get("type").unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "importmap" => TextOf::ImportMap,
            "" | "module" | "text/javascript" | "application/javascript" => TextOf::Script,
            _ => TextOf::Nothing,
        },
        _ => TextOf::Nothing,
    }
}

/// Whether a URL that may as well be a page's names a file: neither a version (`/blog/release-1.5`), nor what a server runs.
fn is_a_file(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let is_run = path.rsplit_once('.').is_some_and(|(_, ending)| OF_SERVERS.iter().any(|run| ending.eq_ignore_ascii_case(run)));
    names_a_file(url) && !is_run
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references_of(page: &str, syntax: Syntax) -> Vec<(String, Evidence)> {
        references(page, syntax).references.into_iter().map(|one| (one.text, one.evidence)).collect()
    }

    fn asked(page: &str, syntax: Syntax) -> Vec<String> {
        references_of(page, syntax).into_iter().map(|(text, _)| text).collect()
    }

    #[test]
    fn a_tag_with_very_many_attributes_needs_little_stack() {
        let attributes = (0..100_000).map(|n| format!(r#" a{n}="{n}""#)).collect::<Vec<_>>().concat();
        let page = format!(r#"<img{attributes} src="a.png"><img src="b.png">"#);
        let thread = std::thread::Builder::new().stack_size(512 * 1024).spawn(move || asked(&page, Syntax::Html));
        assert_eq!(thread.unwrap().join().unwrap(), ["a.png", "b.png"]);
    }

    #[test]
    fn very_many_open_templates_take_little_time() {
        let page = format!("{}<img src=a.png>", "<template shadowrootmode=open>".repeat(300_000));
        assert_eq!(asked(&page, Syntax::Html), ["a.png"]);
    }

    #[test]
    fn attributes_are_read_however_they_are_written() {
        let page = "<img src=a.png><img src = b.png><img\nsrc\r\n=\r\n'c.png'><img a=b=c src=\"d.png\"alt><img =src=x src='e.png'/><img src==f.png>";
        assert_eq!(asked(page, Syntax::Html), ["=f.png", "a.png", "b.png", "c.png", "d.png", "e.png"]);
    }

    #[test]
    fn elements_close_themselves_in_svg_and_in_xhtml_only() {
        let svg = r#"<svg><script/><style/><title/></svg><img src="a.png">"#;
        assert_eq!(asked(svg, Syntax::Html), ["a.png"]);
        let page = r#"<script src="b.js"/><template/><img src="a.png"/>"#;
        assert_eq!(asked(page, Syntax::Xhtml), ["a.png", "b.js"]);
        assert_eq!(asked(r#"<script src="b.js"/><img src="a.png">"#, Syntax::Html), ["b.js"]);
    }

    #[test]
    fn imports_in_payloads_are_none_and_doubtful_ones_are_guesses_with_the_line_of_the_page() {
        let page = "<p>\n</p><script>self.push([1,\"import('./a.js')\"]);\n// import('./b.js')\nimport('./c.js' + x)</script>\n<script>x++ / 2;\nimport('./d.js')</script>";
        assert_eq!(references_of(page, Syntax::Html), [("./d.js".to_owned(), Evidence::Guessed { line: 6 })]);
    }

    #[test]
    fn imports_that_the_pages_import_map_changes_are_no_references() {
        let page = r#"<script type=importmap>{"imports":{"/js/app.js":"/js/app-1a2b3c4d.js","./lib/":"/x/"},"scopes":{"/a/":{"./b.js":"/c.js"}}}</script>
            <script type=module>import "/js/app.js";import "./lib/x.js";import "./b.js";import "./gone.js"</script>"#;
        assert_eq!(asked(page, Syntax::Html), ["./gone.js", "/c.js", "/js/app-1a2b3c4d.js"]);
    }

    #[test]
    fn names_of_pages_with_dots_and_what_servers_run_are_no_files() {
        let page = r#"<link rel=prefetch href="/blog/release-1.5"><iframe src="/embed/v1.2"></iframe><object data="/maps/@52.5,13.4"></object>
            <iframe src="/demo/app.php?x"></iframe><iframe src="/demo/a.html"></iframe>"#;
        assert_eq!(asked(page, Syntax::Html), ["/demo/a.html"]);
    }

    #[test]
    fn the_base_of_an_inner_page_is_that_pages_own() {
        let inner =
            |base: &str| format!(r#"<iframe srcdoc='<base href="{base}"><img src="a.png"><img src="/b.png">'></iframe><img src="c.png">"#);
        let found = |base: &str| references(&inner(base), Syntax::Html);
        let texts = |base: &str| found(base).references.into_iter().map(|one| one.text).collect::<Vec<_>>();
        assert_eq!((texts("/other/"), found("/other/").base), (["/b.png", "/other/a.png", "c.png"].map(str::to_owned).to_vec(), None));
        assert_eq!(texts("https://x.example/y/"), ["c.png", "https://x.example/b.png", "https://x.example/y/a.png"]);
        assert_eq!(texts("sub/"), ["/b.png", "c.png"], "below a folder that is not known");
    }

    #[test]
    fn an_import_map_may_have_odd_members() {
        let page = r#"<script type=importmap>{"imports":{"a":"./a.js","b":null},"integrity":{"./a.js":"x"},"scopes":{"/":{"c":"/c.js"}}}</script>"#;
        assert_eq!(asked(page, Syntax::Html), ["./a.js", "/c.js"]);
    }
}
