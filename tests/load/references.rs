//! What a page, a style sheet or a script refers to, found by reading it as a browser would, without running it.
//! Its own code and not the product's: a judge that shares the closure check with the accused would share its mistakes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use html5gum::{DefaultEmitter, Token, Tokenizer};
use url::Url;

/// File types that a script may name in a string.
const SCRIPT_KINDS: [&str; 6] = [".js", ".css", ".svg", ".png", ".woff2", ".wasm"];

/// No file name that a bundler writes is longer; it bounds the search for a closing quote.
const NAME_BYTES_MAX: usize = 200;

/// A page: its version and what it needs.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// `<meta name="shop-version" content="…">`.
    pub version: Option<String>,
    /// `src` and `href` of everything that the page loads by itself. Links that a visitor would have to follow are left out.
    pub references: Vec<String>,
}

/// Reads a page. Text that is not html gives a page without version and references.
pub fn of_page(html: &str) -> Page {
    let mut page = Page::default();
    let mut emitter = DefaultEmitter::default();
    emitter.naively_switch_states(true);
    for Ok(token) in Tokenizer::new_with_emitter(html, emitter) {
        let Token::StartTag(tag) = token else { continue };
        let attribute = |name: &str| tag.attributes.get(name.as_bytes()).map(|value| String::from_utf8_lossy(value).into_owned());
        match &**tag.name {
            b"script" | b"img" | b"source" => page.references.extend(attribute("src")),
            b"link" => page.references.extend(attribute("href")),
            b"meta" if attribute("name").as_deref() == Some("shop-version") => page.version = attribute("content"),
            _ => {}
        }
    }
    page
}

/// What `url(…)` names in a style sheet.
pub fn of_style_sheet(css: &str) -> Vec<String> {
    let named = css.split("url(").skip(1).filter_map(|rest| rest.split_once(')'));
    named
        .map(|(name, _)| name.trim_matches(['"', '\'', ' ']).to_owned())
        .filter(|name| !name.starts_with('#') && !name.starts_with("data:"))
        .collect()
}

/// Every quoted relative file name of a script: static imports, `import("./x.js")`, `new URL("./x.svg", import.meta.url)` and the
/// list of style sheets that Vite's loader wants for a lazy chunk. A name that the script never uses would be found too.
pub fn of_script(script: &str) -> Vec<String> {
    let quotes = script.match_indices(['"', '\'', '`']);
    quotes.filter_map(|(at, quote)| quoted_file(&script[at + 1..], quote)).map(str::to_owned).collect()
}

fn quoted_file<'a>(rest: &'a str, quote: &str) -> Option<&'a str> {
    let name = rest.split_once(quote).map(|(name, _)| name).filter(|name| name.len() <= NAME_BYTES_MAX)?;
    let relative = name.starts_with("./") || name.starts_with("../");
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"./_-".contains(&byte));
    (relative && plain && SCRIPT_KINDS.iter().any(|kind| name.ends_with(kind))).then_some(name)
}

/// The references of a fetched piece as whole URLs, by its content type.
pub fn of_asset(url: &Url, content_type: &str, body: &[u8]) -> Vec<Url> {
    let text = String::from_utf8_lossy(body);
    let names = match content_type {
        "text/css" => of_style_sheet(&text),
        "text/javascript" | "application/javascript" => of_script(&text),
        _ => Vec::new(),
    };
    resolve(url, &names)
}

/// Names as whole URLs; a name that cannot be one is kept out, as a browser would.
pub fn resolve(url: &Url, names: &[String]) -> Vec<Url> {
    names.iter().filter_map(|name| url.join(name).ok()).collect()
}

/// Different bytes that are remembered of one path; a page that differs each time is read each time.
const EDITIONS_MAX: usize = 64;

/// Different bytes of one path, each with what it was found to need.
type Editions = Vec<(Bytes, Arc<Read>)>;

/// What a file was found to need, remembered by its very bytes: a file is read once, and compared after that.
#[derive(Default)]
pub struct Library {
    read: Mutex<HashMap<String, Editions>>,
}

/// A file that was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Of a page: its version.
    pub version: Option<String>,
    /// What it needs.
    pub needs: Vec<Url>,
}

impl Library {
    /// A page.
    pub fn page(&self, url: &Url, html: &Bytes) -> Arc<Read> {
        self.remembered(url, html, || {
            let page = of_page(&String::from_utf8_lossy(html));
            Read { version: page.version, needs: resolve(url, &page.references) }
        })
    }

    /// Anything else.
    pub fn asset(&self, url: &Url, content_type: &str, body: &Bytes) -> Arc<Read> {
        self.remembered(url, body, || Read { version: None, needs: of_asset(url, content_type, body) })
    }

    fn remembered(&self, url: &Url, body: &Bytes, read: impl FnOnce() -> Read) -> Arc<Read> {
        let mut all = self.read.lock().expect("nothing panics while it holds what was read");
        if let Some(editions) = all.get(url.path())
            && let Some((_, known)) = editions.iter().find(|(bytes, _)| bytes == body)
        {
            return Arc::clone(known);
        }
        let fresh = Arc::new(read());
        let editions = all.entry(url.path().to_owned()).or_default();
        if editions.len() < EDITIONS_MAX {
            editions.push((body.clone(), Arc::clone(&fresh)));
        }
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_its_version_and_what_it_loads_but_not_its_links() {
        let page = of_page(
            r#"<!doctype html><meta name="shop-version" content="v1"><link rel="icon" href="./favicon.ico">
               <script type="module" src="./assets/home-1.js"></script><a href="./cart/">Cart</a><img src="a.png">"#,
        );
        assert_eq!(page.version.as_deref(), Some("v1"));
        assert_eq!(page.references, ["./favicon.ico", "./assets/home-1.js", "a.png"]);
    }

    #[test]
    fn a_style_sheet_has_its_pictures_and_fonts() {
        let css =
            ".a{background:url(./hero-1.svg)}@font-face{src:url(\"./signs-2.woff2\")}.b{fill:url(#x);mask:url(data:image/png;base64,AA)}";
        assert_eq!(of_style_sheet(css), ["./hero-1.svg", "./signs-2.woff2"]);
    }

    #[test]
    fn a_script_has_its_imports_lazy_chunks_and_their_style_sheets() {
        let script = r#"const d=["./reviews-1.css"];import{i as e}from"./lib-2.js";import('./aside.js');o(()=>import(`../a/search-3.js`));
            new URL("./hero-4.svg",import.meta.url);f("/not.js","words.js","./no/end","it's ./none.js")"#;
        assert_eq!(of_script(script), ["./reviews-1.css", "./lib-2.js", "./aside.js", "../a/search-3.js", "./hero-4.svg"]);
    }

    #[test]
    fn references_are_relative_to_the_piece_that_names_them() {
        let url = Url::parse("http://shop/x/assets/home.css").unwrap();
        let found = of_asset(&url, "text/css", b"a{b:url(../c.png)}");
        assert_eq!(found.iter().map(Url::as_str).collect::<Vec<_>>(), ["http://shop/x/c.png"]);
    }

    #[test]
    fn a_file_is_read_once_for_each_of_its_editions() {
        let (library, url) = (Library::default(), Url::parse("http://shop/a.css").unwrap());
        let first = library.asset(&url, "text/css", &"a{b:url(c.png)}".into());
        assert!(Arc::ptr_eq(&first, &library.asset(&url, "text/css", &"a{b:url(c.png)}".into())));
        assert_eq!(library.asset(&url, "text/css", &"a{b:url(d.png)}".into()).needs[0].path(), "/d.png");
        assert_eq!(library.page(&url, &r#"<meta name="shop-version" content="v7">"#.into()).version.as_deref(), Some("v7"));
    }
}
