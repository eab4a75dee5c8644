//! What one file refers to, as it is written there and before it is resolved. Never a placeholder that a server fills in later.

use std::collections::BTreeSet;

/// Most references of one file that are looked at; a page with more was made to be one.
const REFERENCES_MAX: usize = 200_000;

/// Most guesses of one file that are kept.
const GUESSES_MAX: usize = 20_000;

/// Longest reference: a key of S3 with every byte escaped has 3,072, and a base stands before it.
const REFERENCE_BYTES_MAX: usize = 8 * 1024;

/// Marks of templates that a server or a script fills in.
const PLACEHOLDERS: [&str; 10] = ["{{", "}}", "{%", "<%", "%>", "<?", "${", "#{", "%7b%7b", "[["];

/// How certain it is that a visitor's browser asks for a reference, and what its absence means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    /// A browser asks for it, or a tool lists it: its absence breaks something.
    Asked,
    /// A browser asks for it, and the page is the same without it.
    Icon,
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

    pub(super) fn guess(&mut self, kind: Guess, text: &str, line: usize) {
        if self.guesses.len() < GUESSES_MAX {
            self.guesses.push(Guessed { kind, text: text.to_owned(), line });
        }
    }
}

/// A page in another encoding than UTF-8 has this where a name is not ASCII: what it is called there is not known.
fn is_legible(text: &str) -> bool {
    !text.contains(char::REPLACEMENT_CHARACTER)
}

fn is_placeholder(text: &str) -> bool {
    // Most are neither long nor have one of these.
    let is_marked = text.contains(['{', '}', '<', '?', '[', '%', '#']);
    is_marked && (PLACEHOLDERS.iter().any(|mark| text.to_ascii_lowercase().contains(mark)) || has_named_placeholder(text))
}

/// `%PUBLIC_URL%/x.png`: two or more capitals between percent signs, which are no escapes of a URL.
fn has_named_placeholder(text: &str) -> bool {
    text.split('%').skip(1).any(|part| {
        let is_name = |c: u8| c.is_ascii_uppercase() || c == b'_';
        part.len() > 2 && part.bytes().all(is_name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_no_references_and_escapes_are_no_placeholders() {
        for text in
            ["{{ logo }}", "<%= asset %>.js", "%PUBLIC_URL%/a.png", "${base}/a.js", "<?= x ?>", "%7B%7Burl%7D%7D", "{% static 'a' %}"]
        {
            assert!(is_placeholder(text), "{text}");
        }
        for text in ["a%20b.png", "a%2F%C3%BC.png", "x.js?a[]=1", "a{1}.js", "100%.png", "img/%E2%82%AC.png"] {
            assert!(!is_placeholder(text), "{text}");
        }
    }
}
