//! References in a page, as a browser with scripts enabled reads it: tags, attributes with their character references decoded once,
//! styles, import maps and inline modules.
//! Never takes a link to another page, an inert `<template>` or a placeholder for something that must be in the build.

use std::borrow::Cow;

use html5gum::emitters::default::StartTag;
use html5gum::{DefaultEmitter, Token, Tokenizer};

use super::found::{Evidence, Found};
use super::{css, script, srcset};

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

pub(super) fn references(page: &str) -> Found {
    let mut found = Found::default();
    read(page, &mut found, 0);
    found
}

fn read(page: &str, found: &mut Found, depth: usize) {
    let mut emitter = DefaultEmitter::default();
    emitter.naively_switch_states(true);
    let mut reader = Reader { found, text_of: TextOf::Nothing, text: String::new(), templates: Vec::new(), depth };
    for Ok(token) in Tokenizer::new_with_emitter(page, emitter) {
        match token {
            Token::StartTag(tag) => reader.start(&Tag(&tag)),
            Token::EndTag(tag) => reader.end(&tag.name),
            Token::String(text) => reader.text(&text),
            Token::Comment(_) | Token::Doctype(_) | Token::Error(_) => {}
        }
    }
    reader.finish_text();
}

/// What the text that comes next is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TextOf {
    Nothing,
    Style,
    Script,
    ImportMap,
}

struct Reader<'f> {
    found: &'f mut Found,
    text_of: TextOf,
    text: String,
    /// Open `<template>`s, each with whether its content is inert: a declarative shadow root is rendered.
    templates: Vec<bool>,
    depth: usize,
}

impl Reader<'_> {
    fn start(&mut self, tag: &Tag<'_>) {
        self.finish_text();
        let name = tag.name();
        if name == "template" {
            self.templates.push(tag.get("shadowrootmode").is_none());
        }
        if self.templates.contains(&true) {
            return;
        }
        self.text_of = text_of(&name, tag);
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
    }

    fn end(&mut self, name: &[u8]) {
        self.finish_text();
        if name == b"template" {
            self.templates.pop();
        }
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
            TextOf::Script => script::inline(&text, self.found),
            TextOf::ImportMap => mapped(&text).into_iter().for_each(|target| self.found.add(&target, Evidence::Asked)),
        }
    }

    fn attributes(&mut self, name: &str, tag: &Tag<'_>) {
        let of_tag =
            |all: &'static [(&str, &str)]| all.iter().filter(move |(element, _)| *element == name).filter_map(|(_, it)| tag.get(it));
        let is_picture_button = name != "input" || tag.get("type").is_some_and(|kind| kind.eq_ignore_ascii_case("image"));
        for url in of_tag(&FETCHED).filter(|_| is_picture_button) {
            self.found.add(&url, Evidence::Asked);
        }
        for url in of_tag(&EMBEDDED).filter(|url| names_a_file(url)) {
            self.found.add(&url, Evidence::Asked);
        }
        if let Some(set) = tag.get("srcset").filter(|_| ["img", "source"].contains(&name)) {
            self.add_all(srcset::candidates(&set), Evidence::Asked);
        }
        if let Some(style) = tag.get("style") {
            css::references(&format!("*{{{style}}}"), self.found);
        }
        if let Some(inner) = tag.get("srcdoc").filter(|_| name == "iframe" && self.depth < DEPTH_MAX) {
            read(&inner, self.found, self.depth + 1);
        }
    }

    fn add_all<'u>(&mut self, urls: impl IntoIterator<Item = &'u str>, evidence: Evidence) {
        for url in urls {
            self.found.add(url, evidence);
        }
    }

    fn link(&mut self, tag: &Tag<'_>) {
        let rel = tag.get("rel").unwrap_or_default().to_ascii_lowercase();
        let is = |wanted: &[&str]| rel.split_ascii_whitespace().any(|one| wanted.contains(&one));
        let (href, set) = (tag.get("href"), tag.get("imagesrcset").unwrap_or_default());
        if is(&FETCHED_LINKS) {
            // What is fetched ahead may be a page or data that a server makes.
            let is_data = tag.get("as").is_some_and(|kind| kind.eq_ignore_ascii_case("fetch"));
            let href = href.filter(|href| !(is(&["prefetch"]) || is_data) || names_a_file(href));
            self.add_all(href.as_deref(), Evidence::Asked);
            self.add_all(srcset::candidates(&set), Evidence::Asked);
        } else if is(&ICON_LINKS) {
            self.add_all(href.as_deref(), Evidence::Icon);
        }
    }
}

/// A start tag whose attributes are text.
struct Tag<'t>(&'t StartTag<()>);

impl Tag<'_> {
    fn name(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0.name)
    }

    /// The value with its character references decoded, as the tokenizer of the standard gives it.
    fn get(&self, attribute: &str) -> Option<String> {
        self.0.attributes.get(attribute.as_bytes()).map(|value| String::from_utf8_lossy(&value.value).into_owned())
    }
}

fn text_of(name: &str, tag: &Tag<'_>) -> TextOf {
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

/// Whether the last part of a URL's path has an ending.
fn names_a_file(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    path.rsplit('/').next().is_some_and(|name| name.trim_start_matches('.').contains('.'))
}

/// The targets of an import map that are files: addresses, not bare names, and not folders.
fn mapped(import_map: &str) -> Vec<String> {
    let Ok(map) = serde_json::from_str::<serde_json::Value>(import_map) else { return Vec::new() };
    let scopes = map["scopes"].as_object().into_iter().flat_map(|scopes| scopes.values());
    let targets = std::iter::once(&map["imports"]).chain(scopes).filter_map(|imports| imports.as_object());
    let addresses = targets.flat_map(|imports| imports.values()).filter_map(|target| target.as_str());
    let is_file = |target: &&str| !target.ends_with('/') && (target.starts_with(['/', '.']) || target.contains("://"));
    addresses.filter(is_file).map(str::to_owned).collect()
}
