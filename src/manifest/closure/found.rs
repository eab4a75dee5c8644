//! What one file refers to, as it is written there and before it is resolved. Never a placeholder that a server fills in later.

use std::collections::BTreeSet;

use url::Url;

/// Most references of one file that are looked at; a page with more was made to be one.
const REFERENCES_MAX: usize = 200_000;

/// Most guesses of one file that are kept.
const GUESSES_MAX: usize = 20_000;

/// Longest reference: a key of S3 with every byte escaped has 3,072, and a base stands before it.
const REFERENCE_BYTES_MAX: usize = 8 * 1024;

/// Marks of templates that a server or a script fills in. No URL has a `<`.
const PLACEHOLDERS: [&str; 9] = ["{{", "}}", "{%", "<", "%>", "${", "#{", "%7b%7b", "[["];

/// How certain it is that a visitor's browser asks for a reference, and what its absence means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    /// A browser asks for it, or a tool lists it: its absence breaks something.
    Asked,
    /// A browser asks for it, and the page is the same without it.
    Icon,
    /// Browsers of today do not ask for it, or what asks for it can do without: an old form of a font, an import whose failure is caught, a
    /// part of a page that is put into another one.
    Unlikely,
    /// A browser asks for it at a place outside of the build's, of which nothing is known here.
    Outside,
    /// A browser asks for a file that is there, by a name that a store may take for another one: S3 reads a bare `+` in a URL as a space.
    Plus,
    /// It was found in a script's text and looks like a file of the build.
    Guessed {
        /// The line of the script, from 1.
        line: usize,
    },
}

/// What a reference is relative to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Start {
    /// The file that it stands in, or that file's `<base>`.
    File,
    /// The place of the build.
    Build,
}

/// One reference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reference {
    pub(super) text: String,
    pub(super) start: Start,
    pub(super) evidence: Evidence,
}

/// A text of a script that may be a reference; the build's own files say whether it looks like one of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Guessed {
    pub(super) kind: Guess,
    pub(super) text: String,
    /// The line of the script, from 1.
    pub(super) line: usize,
}

/// Where a guess comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guess {
    /// A string literal.
    Literal,
    /// The name of a chunk, put together as webpack's runtime does it, below webpack's output folder.
    Chunk,
}

/// What a tool's own list in a script names, below an output folder that it does not say.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct List {
    pub(super) names: Vec<String>,
    /// The line of the script, from 1.
    pub(super) line: usize,
}

/// References of one file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// `href` of the first `<base>`.
    pub(super) base: Option<String>,
    /// Whether it is a page as a browser opens it, and no part that a script puts into one.
    pub(super) is_whole_page: bool,
    pub(super) references: BTreeSet<Reference>,
    pub(super) guesses: Vec<Guessed>,
    pub(super) lists: Vec<List>,
}

impl Found {
    /// A reference from where the file lies.
    pub(super) fn add(&mut self, text: &str, evidence: Evidence) {
        let text = text.trim_matches(|c: char| c.is_ascii_whitespace() || c.is_ascii_control());
        let is_reference = !text.is_empty() && text.len() <= REFERENCE_BYTES_MAX && !text.starts_with('#');
        if is_reference && is_legible(text) && !is_placeholder(text) && self.references.len() < REFERENCES_MAX {
            self.references.insert(Reference { text: text.to_owned(), start: Start::File, evidence });
        }
    }

    /// What a page within the page refers to; its base counts for itself alone. What it refers to below a folder that is not known is left out.
    pub(super) fn take_within(&mut self, inner: Self) {
        let base = inner.base.as_deref();
        for reference in inner.references {
            if let Some(text) = base.map_or(Some(reference.text.clone()), |base| below(base, &reference.text)) {
                self.add(&text, reference.evidence);
            }
        }
        self.guesses.extend(inner.guesses);
        self.guesses.truncate(GUESSES_MAX);
        self.lists.extend(inner.lists);
    }

    pub(super) fn guess(&mut self, kind: Guess, text: &str, line: usize) {
        if self.guesses.len() < GUESSES_MAX {
            self.guesses.push(Guessed { kind, text: text.to_owned(), line });
        }
    }
}

/// A reference from a base that is an address or a path of the host.
fn below(base: &str, reference: &str) -> Option<String> {
    let page = Url::parse("http://page.invalid/").ok()?;
    if !base.starts_with('/') && !base.contains("://") {
        return (reference.starts_with('/') || reference.contains("://")).then(|| reference.to_owned());
    }
    let target = page.join(base).ok()?.join(reference).ok()?;
    if target.host() == page.host() { Some(target[url::Position::BeforePath..].to_owned()) } else { Some(target.into()) }
}

/// A page in another encoding than UTF-8 has this where a name is not ASCII: what it is called there is not known.
fn is_legible(text: &str) -> bool {
    !text.contains(char::REPLACEMENT_CHARACTER)
}

fn is_placeholder(text: &str) -> bool {
    // Most are neither long nor have one of these.
    let is_marked = text.contains(['{', '}', '<', '[', '%', '#', '$', '@', '_']);
    let is_whole = || text.starts_with('{') && text.ends_with('}');
    let has_mark = || PLACEHOLDERS.iter().any(|mark| text.to_ascii_lowercase().contains(mark));
    is_marked && (has_mark() || is_whole() || has_named_placeholder(text) || is_variable(text))
}

/// `%PUBLIC_URL%/x.png`, `__BASE__/x.js`: two or more capitals between marks, which are no escapes of a URL.
fn has_named_placeholder(text: &str) -> bool {
    let is_name = |part: &str| part.len() > 2 && part.bytes().all(|c| c.is_ascii_uppercase() || c == b'_');
    text.split('%').skip(1).any(is_name) || text.split("__").skip(1).step_by(2).any(is_name)
}

/// `$IMG/x.png` of a shell or a server, `@Model.Image` of Razor.
fn is_variable(text: &str) -> bool {
    let name = |rest: &str| rest.bytes().take_while(|byte| byte.is_ascii_uppercase() || *byte == b'_').count();
    let is_shell =
        text.strip_prefix('$').is_some_and(|rest| name(rest) > 1 && !rest[name(rest)..].starts_with(|c: char| c.is_alphanumeric()));
    is_shell || text.strip_prefix('@').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()) && rest.contains(['.', '(']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_no_references_and_escapes_are_no_placeholders() {
        for text in [
            "{{ logo }}",
            "<%= asset %>.js",
            "%PUBLIC_URL%/a.png",
            "${base}/a.js",
            "<?= x ?>",
            "%7B%7Burl%7D%7D",
            "{% static 'a' %}",
            "<!--#echo var='cdn' -->/a.js",
            "__BASE__/a.js",
            "/__CDN_URL__/a.js",
            "$IMG",
            "$IMG_BASE/a.png",
            "@Model.Img",
            "@Url.Content(\"~/a.js\")",
            "{x}",
        ] {
            assert!(is_placeholder(text), "{text}");
        }
        for text in [
            "a%20b.png",
            "a%2F%C3%BC.png",
            "x.js?a[]=1",
            "a{1}.js",
            "100%.png",
            "img/%E2%82%AC.png",
            "__ENV.js",
            "__init__.js",
            "$id-B1cD2eF3.js",
            "$A.js",
            "$ABc.js",
            "@vite/client.js",
            "@Model",
            "a__B.js",
            "/__a__/__C.js",
        ] {
            assert!(!is_placeholder(text), "{text}");
        }
    }
}
