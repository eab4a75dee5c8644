//! The one way in which paths and keys become parts of URLs.
//! Never leaves a character that a store, a proxy or a browser might read as something else.

use std::fmt::Display;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything but the unreserved characters (RFC 3986, 2.3) and `/`. A `+`, for example, is a space to S3.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// A path or key as it stands in a URL, in the `x-amz-copy-source` header, and in the signed path of a request.
pub fn escaped(path: &str) -> impl Display + use<'_> {
    utf8_percent_encode(path, ESCAPED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_but_unreserved_characters_and_slashes_is_escaped() {
        assert_eq!(escaped("a-b_c~d.e/f0").to_string(), "a-b_c~d.e/f0");
        assert_eq!(escaped("c++ #1%?[x]&=@!$'()*,;:").to_string(), "c%2B%2B%20%231%25%3F%5Bx%5D%26%3D%40%21%24%27%28%29%2A%2C%3B%3A");
        assert_eq!(escaped("caf\u{e9}|cafe\u{301}").to_string(), "caf%C3%A9%7Ccafe%CC%81");
    }
}
