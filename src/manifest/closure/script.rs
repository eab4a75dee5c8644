//! References in scripts, found in their text: imports with a plain string, the lists that bundlers write into their runtimes, and
//! string literals that look like files of the build.
//! Never runs or parses a script: what stands in a string may be code that nobody runs, so most of this is a guess, with its line.

use super::chunks;
use super::found::{Evidence, Found, Guess, Start};

/// No file name that a bundler writes is longer; it bounds the search for a closing quote.
const LITERAL_BYTES_MAX: usize = 300;

/// What chunks and the files that they load are called.
const ENDINGS: [&str; 15] =
    ["js", "mjs", "css", "wasm", "woff2", "woff", "svg", "png", "jpg", "jpeg", "webp", "avif", "mp4", "json", "ttf"];

/// What stands before the specifier of an import, without white space.
const IMPORTS: [&str; 3] = ["import(", "from", "import"];

/// Vite's list of what a lazy chunk needs, `m.f||(m.f=["assets/a.js"])`.
const VITE_DEPENDENCIES: &str = "__vite__mapDeps";

/// References in a page's own script: a browser runs it, so what it imports is asked for.
pub(super) fn inline(text: &str, found: &mut Found) {
    for literal in literals(text).filter(|literal| literal.is_import && is_address(literal.text)) {
        found.add(literal.text, Evidence::Asked);
    }
    vite_dependencies(text, found);
}

/// References in a file of the build.
pub(super) fn references(text: &str, found: &mut Found) {
    let mut lines = Lines::of(text);
    for literal in literals(text) {
        if literal.is_import && is_address(literal.text) && ending(literal.text).is_some() {
            found.add(literal.text, Evidence::Guessed { line: lines.at(literal.at) });
        } else if looks_like_a_file(literal.text) {
            found.guess(Guess::Literal, literal.text, lines.at(literal.at));
        }
    }
    vite_dependencies(text, found);
    let mut last = (0, 1);
    for (at, name) in chunks::named(text) {
        if at != last.0 {
            last = (at, Lines::of(text).at(at));
        }
        found.guess(Guess::Chunk, &name, last.1);
    }
}

/// A string of a script.
struct Literal<'t> {
    at: usize,
    text: &'t str,
    is_import: bool,
}

/// Everything between two of the same quotes that could be a path. Which quote opens is not known without parsing; what stands between a closing
/// quote and the next opening one has characters that no path has.
fn literals(text: &str) -> impl Iterator<Item = Literal<'_>> {
    text.match_indices(['"', '\'', '`']).filter_map(|(at, quote)| {
        let rest = &text[at + 1..];
        let length = rest.bytes().take(LITERAL_BYTES_MAX).position(|byte| !is_path_byte(byte))?;
        let inner = &rest[..length];
        (length > 2 && rest[length..].starts_with(quote)).then(|| Literal { at, text: inner, is_import: is_import(&text[..at]) })
    })
}

fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || !byte.is_ascii() || b"./_-~@+%:?=&".contains(&byte)
}

fn is_import(before: &str) -> bool {
    let before = before.trim_end_matches([' ', '\n', '\t', '\r']);
    IMPORTS.iter().any(|mark| {
        before.strip_suffix(mark).is_some_and(|rest| !rest.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '.')))
    })
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

/// The strings of the list behind the name; a list with anything else in it is left alone.
fn vite_dependencies(text: &str, found: &mut Found) {
    let Some(at) = text.find(VITE_DEPENDENCIES) else { return };
    let Some(list) = text[at..].find(".f=[").map(|list| &text[at + list + 3..]) else { return };
    let Some(end) = list.find(']') else { return };
    let Ok(names) = serde_json::from_str::<Vec<String>>(&list[..=end].replace(['\'', '`'], "\"")) else { return };
    for name in names {
        // With a relative base Vite writes the paths from the script; else from the build's top.
        let start = if is_address(&name) { Start::File } else { Start::Build };
        found.add_from(start, &name, Evidence::Asked);
    }
}

/// Line numbers of growing offsets, counted once.
struct Lines<'t> {
    text: &'t str,
    at: usize,
    line: usize,
}

impl<'t> Lines<'t> {
    fn of(text: &'t str) -> Self {
        Self { text, at: 0, line: 1 }
    }

    fn at(&mut self, at: usize) -> usize {
        self.line += self.text[self.at..at].bytes().filter(|byte| *byte == b'\n').count();
        self.at = at;
        self.line
    }
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
    fn literals_with_a_folder_and_a_hash_are_kept_for_comparison() {
        let text = r#"u="assets/logo-B1cD2eF3.png",v="/static/js/2.js",w="lodash/fp.js",x="https://x.example/a/B1.js",y="a/B1.js?"+q"#;
        let guesses: Vec<_> = found(text).guesses.into_iter().map(|guess| guess.text).collect();
        assert_eq!(guesses, ["assets/logo-B1cD2eF3.png", "/static/js/2.js"]);
    }

    #[test]
    fn vites_list_is_the_tools_own() {
        let list = |names: &str| format!("const __vite__mapDeps=(i,m=__vite__mapDeps,d=(m.f||(m.f=[{names}])))=>i.map(i=>d[i]);");
        let all = found(&list(r#""assets/a-B1cD2eF3.js","./b-B1cD2eF3.css""#));
        let starts: Vec<_> = all.references.iter().map(|one| (one.text.as_str(), one.start, one.evidence)).collect();
        let asked = Evidence::Asked;
        assert_eq!(starts, [("./b-B1cD2eF3.css", Start::File, asked), ("assets/a-B1cD2eF3.js", Start::Build, asked)]);
        assert_eq!(found(&list("`assets/a-B1cD2eF3.js`,'./b.css'")).references.len(), 2, "whatever the quotes");
        assert!(found(&list("base+\"a.js\"")).references.is_empty(), "only plain strings are certain");
    }

    #[test]
    fn the_script_of_a_page_asks_for_what_it_imports() {
        let mut found = Found::default();
        inline("Promise.all([import(\"./_app/start.js\"),import('react')])", &mut found);
        assert_eq!(texts(&found), [("./_app/start.js", Evidence::Asked)]);
    }
}
