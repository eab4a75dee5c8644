//! Files that are another file of the build, compressed beforehand: `app.js.br` beside `app.js`.
//! Never takes a file for one whose original is not in the build, or has no type of its own: `data.gz` by itself is a download.

use super::headers::{self, UNKNOWN_TYPE};

/// How a variant's bytes are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `.br`
    Brotli,
    /// `.gz`
    Gzip,
}

impl Encoding {
    /// All of them, the one that packs tighter first.
    pub const ALL: [Self; 2] = [Self::Brotli, Self::Gzip];

    /// The word of `Content-Encoding` and `Accept-Encoding`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// What the path of a variant has behind that of its original.
    #[must_use]
    pub fn ending(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Gzip => ".gz",
        }
    }
}

/// The path of the original and the encoding, if a path has the form of a variant's.
#[must_use]
pub fn original(path: &str) -> Option<(&str, Encoding)> {
    let split = |encoding: Encoding| path.strip_suffix(encoding.ending()).map(|original| (original, encoding));
    Encoding::ALL.into_iter().find_map(split).filter(|(original, _)| headers::content_type(original) != UNKNOWN_TYPE)
}

/// The path of what a path is a variant of by its form; itself, if it is none.
#[must_use]
pub fn original_path(path: &str) -> &str {
    original(path).map_or(path, |(original, _)| original)
}

/// How the bytes of a file of a manifest are encoded. A manifest says it by the type: that of the original, which no ending `.br` or
/// `.gz` has by itself.
#[must_use]
pub fn encoding(path: &str, content_type: &str) -> Option<Encoding> {
    original(path).filter(|(original, _)| headers::may_have(original, content_type)).map(|(_, encoding)| encoding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_has_the_type_of_its_original_and_a_download_its_own() {
        let script = "text/javascript; charset=utf-8";
        assert_eq!(encoding("assets/a-BEcQUh0e.js.br", script), Some(Encoding::Brotli));
        assert_eq!(encoding("assets/a-BEcQUh0e.js.gz", script), Some(Encoding::Gzip));
        for (path, content_type) in [
            ("assets/a-BEcQUh0e.js", script),
            ("assets/a-BEcQUh0e.js.gz", "application/gzip"),
            ("assets/a-BEcQUh0e.js.br", UNKNOWN_TYPE),
            ("backup.tar.gz", "application/gzip"),
            ("LICENSE.br", UNKNOWN_TYPE),
            (".br", UNKNOWN_TYPE),
        ] {
            assert_eq!(encoding(path, content_type), None, "{path} as {content_type}");
        }
    }
}
