//! References in scripts, found in their text: imports with a plain string, the lists that bundlers write into their runtimes, and
//! string literals that look like files of the build.
//! Never runs or parses a script: what stands in a string may be code that nobody runs, so most of this is a guess, with its line.

use super::chunks;
use super::found::{Evidence, Found, Guess, List};
use super::lexer::{self, By, Load, Sureness};
use super::lines::Lines;
use crate::manifest::readers::names_a_file;

/// No file name that a bundler writes is longer; it bounds the search for a closing quote.
pub(super) const LITERAL_BYTES_MAX: usize = 300;

/// Longest list of what lazy chunks need; one of 10,000 files has about 500 kB.
const LIST_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What chunks and the files that they load are called.
const ENDINGS: [&str; 15] =
    ["js", "mjs", "css", "wasm", "woff2", "woff", "svg", "png", "jpg", "jpeg", "webp", "avif", "mp4", "json", "ttf"];

/// How vite-plugin-pwa names the runtime in a service worker, without its ending.
const WORKBOX: &str = "./workbox-";

/// Vite's list of what a lazy chunk needs, `m.f||(m.f=["assets/a.js"])`.
const VITE_DEPENDENCIES: &str = "__vite__mapDeps";

/// What a page's own script imports, and adds the tool's lists in it. The script begins at this line; a browser runs it, so what its code
/// imports is asked for, unless the page's import map changes it.
pub(super) fn inline(text: &str, first_line: usize, found: &mut Found) -> Vec<(String, Evidence)> {
    vite_dependencies(text, first_line, found);
    let mut lines = Lines::of(text);
    let mut imports = Vec::new();
    for load in lexer::loads(text).into_iter().filter(|load| is_address(load.text) && ending(load.text).is_some()) {
        let evidence = match (load.by, load.sureness) {
            (By::Import, Sureness::Certain) => Evidence::Asked,
            (By::Import, Sureness::Doubtful) => Evidence::Guessed { line: first_line + lines.at(load.at) - 1 },
            (By::CaughtImport, _) => Evidence::Unlikely,
            (By::ImportScripts | By::AddAll | By::Define | By::Url, _) => continue,
        };
        imports.push((load.text.to_owned(), evidence));
    }
    imports
}

/// References in a file of the build.
pub(super) fn references(text: &str, found: &mut Found) {
    // First what a tool has written: literals may use up what is kept of a file.
    vite_dependencies(text, 1, found);
    let mut lines = Lines::of(text);
    for (at, name) in chunks::named(text) {
        found.guess(Guess::Chunk, &name, lines.at(at));
    }
    let loads = lexer::loads(text);
    let mut lines = Lines::of(text);
    for load in &loads {
        loaded(load, lines.at(load.at), found);
    }
    let mut lines = Lines::of(text);
    for literal in literals(text).filter(|literal| looks_like_a_file(literal.text)) {
        // The quote stands before the text. What code imports is no literal any more.
        let is_import = loads.binary_search_by_key(&(literal.at + 1), |load| load.at).is_ok_and(|at| is_certain(&loads[at]));
        if !is_import {
            found.guess(Guess::Literal, literal.text, lines.at(literal.at));
        }
    }
}

fn is_certain(load: &Load<'_>) -> bool {
    load.sureness == Sureness::Certain
}

/// What code loads is a guess: whether the code ever runs is not known.
fn loaded(load: &Load<'_>, line: usize, found: &mut Found) {
    let evidence = Evidence::Guessed { line };
    let is_of_the_site = !load.text.contains("://") && !load.text.starts_with("//");
    match load.by {
        By::Import | By::CaughtImport if is_certain(load) && is_address(load.text) && ending(load.text).is_some() => {
            found.add(load.text, evidence);
        }
        By::ImportScripts | By::AddAll if is_of_the_site && names_a_file(load.text) => found.add(load.text, evidence),
        // Workbox' own runtime, beside the service worker.
        By::Define if load.text.starts_with(WORKBOX) => found.add(&format!("{}.js", load.text), evidence),
        By::Url if !load.text.contains('/') => found.guess(Guess::Literal, &format!("./{}", load.text), line),
        By::Import | By::CaughtImport | By::ImportScripts | By::AddAll | By::Define | By::Url => {}
    }
}

/// A string of a script.
struct Literal<'t> {
    at: usize,
    text: &'t str,
}

/// Everything between two of the same quotes that could be a path. Which quote opens is not known without parsing; what stands between a closing
/// quote and the next opening one has characters that no path has.
fn literals(text: &str) -> impl Iterator<Item = Literal<'_>> {
    text.match_indices(['"', '\'', '`']).filter_map(|(at, quote)| {
        let rest = &text[at + 1..];
        let length = rest.bytes().take(LITERAL_BYTES_MAX).position(|byte| !is_path_byte(byte))?;
        let inner = &rest[..length];
        let is_one = length > 2 && rest[length..].strip_prefix(quote).is_some_and(is_whole);
        is_one.then_some(Literal { at, text: inner })
    })
}

/// Whether nothing is put to the string: `"./" + name` says no file. A gap of more white space than anybody writes is passed over.
fn is_whole(after: &str) -> bool {
    !after.bytes().take(LITERAL_BYTES_MAX).find(|byte| !byte.is_ascii_whitespace()).is_some_and(|byte| matches!(byte, b'+' | b'.'))
}

fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || !byte.is_ascii() || b"./_-~@+%:?=&".contains(&byte)
}

/// Relative to the script, or to the host; bare names are not.
fn is_address(specifier: &str) -> bool {
    specifier.starts_with("./") || specifier.starts_with("../") || (specifier.starts_with('/') && !specifier.starts_with("//"))
}

fn ending(text: &str) -> Option<&str> {
    let path = text.split(['?', '#']).next()?;
    let (stem, ending) = path.rsplit_once('.')?;
    (!stem.is_empty() && !stem.ends_with('/') && ENDINGS.contains(&ending)).then_some(ending)
}

/// A path with a folder, a known ending, and digits or capitals where a hash would be.
fn looks_like_a_file(text: &str) -> bool {
    if !text.contains('/') || text.contains([':', '?', '=', '&', '%']) || text.starts_with("//") || ending(text).is_none() {
        return false;
    }
    let name = text.rsplit('/').next().unwrap_or(text);
    name.bytes().any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
}

/// The strings of the list behind the name; a list with anything else in it is left alone. With a relative base Vite writes the paths from the
/// script; else from its output folder, which may be any folder around the script.
fn vite_dependencies(text: &str, first_line: usize, found: &mut Found) {
    let Some(at) = text.find(VITE_DEPENDENCIES) else { return };
    let Some(list) = text[at..].find(".f=[").map(|list| &text[at + list + 3..]) else { return };
    let Some(end) = list.bytes().take(LIST_BYTES_MAX).position(|byte| byte == b']') else { return };
    let Ok(names) = serde_json::from_str::<Vec<String>>(&list[..=end].replace(['\'', '`'], "\"")) else { return };
    let (of_file, names): (Vec<String>, Vec<String>) = names.into_iter().partition(|name| is_address(name));
    for name in &of_file {
        found.add(name, Evidence::Asked);
    }
    let line = first_line + Lines::of(text).at(at) - 1;
    found.lists.push(List { names, line });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Found {
        let mut found = Found::default();
        references(text, &mut found);
        found
    }

    fn texts(found: &Found) -> Vec<(&str, Evidence)> {
        found.references.iter().map(|one| (one.text.as_str(), one.evidence)).collect()
    }

    #[test]
    fn imports_of_plain_strings_are_guesses_with_their_line() {
        let text = "import{a}from\"./a-1b.js\";import'./b.js'\nconst x=()=>import( `../c.mjs` );import(y+'./d.js');Array.from('./e.js');import('react')";
        let line = |line| Evidence::Guessed { line };
        assert_eq!(texts(&found(text)), [("../c.mjs", line(2)), ("./a-1b.js", line(1)), ("./b.js", line(1))]);
    }

    #[test]
    fn imports_in_comments_and_strings_are_none() {
        let text = "/** @example\n * import './helper.js'\n */\n// import('./a.js')\nx = `import './b.js'`; y = \"import('./c.js')\"";
        assert_eq!(texts(&found(text)), []);
        assert_eq!(found(text).guesses, []);
    }

    #[test]
    fn what_a_service_worker_fetches_when_it_is_installed_is_guessed() {
        let text = "importScripts('/workbox-1a2b3c4d.js','https://x.example/a.js');c.addAll(['/','/gone.css','/shop'])\ndefine(['./workbox-86637ee2'],f)";
        let line = |line| Evidence::Guessed { line };
        assert_eq!(texts(&found(text)), [("./workbox-86637ee2.js", line(2)), ("/gone.css", line(1)), ("/workbox-1a2b3c4d.js", line(1))]);
    }

    #[test]
    fn a_url_beside_the_script_is_compared_with_what_lies_there() {
        let guesses = found("new Worker(new URL('worker-AbCdE998.js', import.meta.url))").guesses;
        assert_eq!(guesses.into_iter().map(|guess| guess.text).collect::<Vec<_>>(), ["./worker-AbCdE998.js"]);
    }

    #[test]
    fn literals_with_a_folder_and_a_hash_are_kept_for_comparison() {
        let text = r#"u="assets/logo-B1cD2eF3.png",v="/static/js/2.js",w="lodash/fp.js",x="https://x.example/a/B1.js",y="a/B1.js?"+q,z="a/B2.js" + q"#;
        let guesses: Vec<_> = found(text).guesses.into_iter().map(|guess| guess.text).collect();
        assert_eq!(guesses, ["assets/logo-B1cD2eF3.png", "/static/js/2.js"]);
    }

    #[test]
    fn vites_list_is_the_tools_own() {
        let list = |names: &str| format!("const __vite__mapDeps=(i,m=__vite__mapDeps,d=(m.f||(m.f=[{names}])))=>i.map(i=>d[i]);");
        let all = found(&list(r#""assets/a-B1cD2eF3.js","./b-B1cD2eF3.css""#));
        assert_eq!(texts(&all), [("./b-B1cD2eF3.css", Evidence::Asked)], "relative to the script");
        assert_eq!(all.lists, [List { names: vec!["assets/a-B1cD2eF3.js".to_owned()], line: 1 }], "below the output folder");
        let quoted = found(&list("`assets/a-B1cD2eF3.js`,'./b.css'"));
        assert_eq!((quoted.references.len(), quoted.lists[0].names.len()), (1, 1), "whatever the quotes");
        assert!(found(&list("base+\"a.js\"")).lists.is_empty(), "only plain strings are certain");
    }

    #[test]
    fn the_script_of_a_page_asks_for_what_it_imports() {
        let mut found = Found::default();
        let imports = inline("Promise.all([import(\"./_app/start.js\"),import('react'),import('./c.js').catch(f)])", 1, &mut found);
        assert_eq!(imports, [("./_app/start.js".to_owned(), Evidence::Asked), ("./c.js".to_owned(), Evidence::Unlikely)]);
        assert!(found.references.is_empty());
    }
}
