//! References in a page: scripts, styles, images, media, import maps, and style within the page.
//! Never takes a link to another page for something that must be in the build.

use std::cell::RefCell;

use lol_html::html_content::Element;
use lol_html::{HtmlRewriter, Settings, element, text};

use super::{Found, css};

/// Kinds of `<link>` that a browser fetches for this page. Others (canonical, alternate, preconnect, next) only tell something.
const FETCHED_LINKS: [&str; 8] =
    ["stylesheet", "icon", "apple-touch-icon", "apple-touch-icon-precomposed", "mask-icon", "manifest", "modulepreload", "preload"];

/// Elements whose attributes are fetched.
const FETCHED: [(&str, &str); 14] = [
    ("script[src]", "src"),
    ("img[src]", "src"),
    ("source[src]", "src"),
    ("video[src]", "src"),
    ("video[poster]", "poster"),
    ("audio[src]", "src"),
    ("track[src]", "src"),
    ("embed[src]", "src"),
    ("object[data]", "data"),
    ("input[type=image][src]", "src"),
    ("svg image[href]", "href"),
    ("svg use[href]", "href"),
    ("img[srcset]", "srcset"),
    ("source[srcset]", "srcset"),
];

pub(super) fn references(page: &str) -> Found {
    let found = RefCell::new(Found::default());
    let import_map = RefCell::new(String::new());
    let style = RefCell::new(String::new());
    let add = |references: Vec<String>| {
        found.borrow_mut().references.extend(references.iter().map(|reference| reference.replace("&amp;", "&")));
    };
    let mut handlers: Vec<_> = FETCHED
        .iter()
        .map(|(selector, attribute)| {
            element!(*selector, |element| {
                add(fetched(element, attribute));
                Ok(())
            })
        })
        .collect();
    handlers.push(element!("link[href]", |element| {
        add(linked(element));
        Ok(())
    }));
    handlers.push(element!("base[href]", |element| {
        // The first one counts.
        let href = element.get_attribute("href");
        found.borrow_mut().base.get_or_insert(href.unwrap_or_default());
        Ok(())
    }));
    handlers.push(element!("[style]", |element| {
        style.borrow_mut().extend(["*{", &element.get_attribute("style").unwrap_or_default(), "}"]);
        Ok(())
    }));
    handlers.push(text!("style", |chunk| {
        style.borrow_mut().push_str(chunk.as_str());
        Ok(())
    }));
    handlers.push(text!("script[type=importmap]", |chunk| {
        import_map.borrow_mut().push_str(chunk.as_str());
        Ok(())
    }));
    let settings = handlers.into_iter().fold(Settings::new().with_strict(false), Settings::append_element_content_handler);
    let mut rewriter = HtmlRewriter::new(settings, |_: &[u8]| {});
    // The handlers never fail and the memory is bounded by the page; what a broken page still gives is taken.
    let _ = rewriter.write(page.as_bytes());
    let _ = rewriter.end();
    let mut found = found.into_inner();
    found.references.extend(css::references(&style.into_inner()).references);
    found.references.extend(mapped(&import_map.into_inner()));
    found
}

fn fetched(element: &Element<'_, '_>, attribute: &str) -> Vec<String> {
    let Some(value) = element.get_attribute(attribute) else { return Vec::new() };
    if attribute == "srcset" { candidates(&value) } else { vec![value] }
}

fn linked(element: &Element<'_, '_>) -> Vec<String> {
    let rel = element.get_attribute("rel").unwrap_or_default().to_ascii_lowercase();
    if !rel.split_ascii_whitespace().any(|one| FETCHED_LINKS.contains(&one)) {
        return Vec::new();
    }
    let sets = element.get_attribute("imagesrcset").map(|set| candidates(&set)).unwrap_or_default();
    element.get_attribute("href").into_iter().chain(sets).collect()
}

/// The URLs of a `srcset`: each ends at white space; a comma ends it only there, since URLs may contain commas.
fn candidates(srcset: &str) -> Vec<String> {
    let mut urls = Vec::new();
    let mut rest = srcset;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == ',');
        if rest.is_empty() {
            return urls;
        }
        let end = rest.find(|c: char| c.is_ascii_whitespace()).unwrap_or(rest.len());
        let (url, after) = rest.split_at(end);
        let trimmed = url.trim_end_matches(',');
        urls.push(trimmed.to_owned());
        // With a comma at its end the URL has no description.
        rest = if trimmed.len() < url.len() { after } else { after.find(',').map_or("", |comma| &after[comma + 1..]) };
    }
}

/// The targets of an import map that are files: addresses, not bare names, and not folders.
fn mapped(import_map: &str) -> Vec<String> {
    let Ok(map) = serde_json::from_str::<serde_json::Value>(import_map) else { return Vec::new() };
    let scopes = map["scopes"].as_object().into_iter().flat_map(|scopes| scopes.values());
    let targets = std::iter::once(&map["imports"]).chain(scopes).filter_map(|imports| imports.as_object());
    let addresses = targets.flat_map(|imports| imports.values()).filter_map(|target| target.as_str());
    addresses.filter(|target| !target.ends_with('/')).map(str::to_owned).collect()
}
