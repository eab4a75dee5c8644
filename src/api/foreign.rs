//! Text that somebody else wrote: a pod's report, a store's answer, a name in an archive. One place cuts it and makes visible
//! what a terminal or a page would obey or hide. Never changes text that is plain already, so it may be applied twice.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};
use unicode_normalization::char::is_combining_mark;

/// Characters of one foreign text that are shown: a name or a cause, not a document.
pub const FOREIGN_CHARS_MAX: usize = 200;

/// Marks that may stand on one letter; no living script needs more, and a pile of them covers the lines above and below.
const MARKS_MAX: usize = 3;

/// A foreign text, already cut to [`FOREIGN_CHARS_MAX`] characters and escaped. Nothing else can be made into one, so a message
/// that has a field of this type cannot forget it.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String")]
pub struct ForeignText(String);

impl ForeignText {
    /// Of a text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(shown(text, FOREIGN_CHARS_MAX))
    }

    /// Of a text that may be longer, or has to be shorter, than most.
    #[must_use]
    pub fn up_to(text: &str, chars_max: usize) -> Self {
        Self(shown(text, chars_max))
    }

    /// Of bytes that may be no UTF-8.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        // No character takes more than 4 bytes, so what is beyond would be cut anyway.
        Self::of(&String::from_utf8_lossy(&bytes[..bytes.len().min(4 * FOREIGN_CHARS_MAX + 4)]))
    }

    /// As it may be shown.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As it may be shown.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl std::ops::Deref for ForeignText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<String> for ForeignText {
    fn from(text: String) -> Self {
        Self::of(&text)
    }
}

impl From<&str> for ForeignText {
    fn from(text: &str) -> Self {
        Self::of(text)
    }
}

impl PartialEq<&str> for ForeignText {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl fmt::Display for ForeignText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// In quotes, and not escaped a second time.
impl fmt::Debug for ForeignText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

/// The text in one line of at most so many characters, escaped; `…` stands for what was cut.
#[must_use]
pub fn shown(text: &str, chars_max: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(chars_max));
    let (mut chars, mut end) = (0, 0);
    for piece in Pieces::of(text) {
        let length = piece.chars().count();
        if chars + length > chars_max {
            shown.truncate(end);
            shown.push('…');
            return shown;
        }
        chars += length;
        shown.push_str(&piece);
        // The last place with room for the ellipsis.
        end = if chars < chars_max { shown.len() } else { end };
    }
    shown
}

/// The whole text, escaped; `\n` and `\t` are escaped like every other control character.
#[must_use]
pub fn escaped(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(Pieces::of(text).collect())
}

/// Several lines for a terminal, each escaped; only `\n` stays what it is.
#[must_use]
pub fn lines_escaped(text: &str) -> String {
    text.split('\n').map(escaped).collect::<Vec<_>>().join("\n")
}

/// JSON that was written already, with what is hidden in its strings as JSON escapes it: it is the same document.
#[must_use]
pub fn json_escaped(json: &str) -> String {
    let mut visible = String::with_capacity(json.len());
    for c in json.chars() {
        if c == '\n' || !is_hidden(c) {
            visible.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            write!(visible, "\\u{unit:04x}").expect("a String takes every write");
        }
    }
    visible
}

/// Whether a character must not reach people as it is: it moves the cursor, changes the direction of what follows, cannot be seen,
/// or means something else to everybody.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    // Beside the characters of other categories that leave no trace (fillers, selectors, the blank pattern of Braille) it is
    // std's list: controls, formats (bidirectional controls, zero-width ones, tags), separators, surrogates, private use and what
    // is not assigned. Asked behind a letter, because at the beginning it escapes every combining mark, too.
    let by_std = |c: char| {
        let mut buffer = [b'x', 0, 0, 0, 0];
        let length = c.encode_utf8(&mut buffer[1..]).len();
        let pair = std::str::from_utf8(&buffer[..=length]).expect("a letter and a character are UTF-8");
        pair.escape_debug().count() > 2
    };
    match c {
        ' '..='~' => false,
        '\u{34f}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{2800}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{ffa0}'
        | '\u{e0100}'..='\u{e01ef}' => true,
        _ => by_std(c),
    }
}

/// Each character of a text as it is shown.
struct Pieces<'a> {
    chars: std::str::Chars<'a>,
    marks: usize,
}

impl<'a> Pieces<'a> {
    fn of(text: &'a str) -> Self {
        Self { chars: text.chars(), marks: MARKS_MAX }
    }
}

impl Iterator for Pieces<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let c = self.chars.next()?;
        let is_mark = is_combining_mark(c);
        // A mark with nothing before it stands on what the message says before the text.
        let is_piled = is_mark && self.marks >= MARKS_MAX;
        self.marks = if is_mark { self.marks + 1 } else { 0 };
        Some(if is_hidden(c) || is_piled { c.escape_default().to_string() } else { c.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Each kind with the least that shows it.
    const HOSTILE: [&str; 24] = [
        "\u{1b}[2J\u{1b}]0;owned\u{7}",
        "\u{9b}2J",
        "a\r\nb",
        "\0",
        "\u{7f}",
        "gpj.\u{202e}exe",
        "\u{202a}\u{202b}\u{202c}\u{202d}",
        "\u{2066}\u{2067}\u{2068}\u{2069}",
        "\u{200e}\u{200f}\u{61c}",
        "zero\u{200b}\u{200c}\u{200d}\u{2060}width",
        "\u{feff}",
        "soft\u{ad}hyphen",
        "line\u{2028}\u{2029}separators",
        "no\u{a0}break\u{3000}space",
        "\u{e000}\u{f8ff}\u{10fffd}",
        "\u{378}\u{fdd0}\u{ffff}",
        "\u{e0041}\u{e007f}",
        "\u{fe0f}\u{e0100}",
        "\u{3164}\u{ffa0}\u{115f}\u{1160}\u{2800}",
        "\u{34f}\u{17b4}\u{180e}\u{180b}",
        "\u{fff9}\u{fffa}\u{fffb}",
        "\u{301}first",
        "a\u{301}\u{301}\u{301}\u{301}\u{301}",
        "\u{85}\u{8d}",
    ];

    #[test]
    fn what_a_terminal_obeys_or_a_reader_cannot_see_is_escaped() {
        for text in HOSTILE {
            let shown = escaped(text);
            assert_ne!(shown, text, "{text:?}");
            assert!(!shown.chars().any(is_hidden), "{text:?} is shown as {shown:?}");
        }
        assert_eq!(escaped("gpj.\u{202e}exe\u{1b}[0m\n"), "gpj.\\u{202e}exe\\u{1b}[0m\\n");
    }

    #[test]
    fn the_words_of_living_languages_stay_as_they_are() {
        for text in
            ["größe", "e\u{301}te\u{301}", "日本語", "한국어", "हिन्दी", "ไทย", "עברית", "العربية", "Tiếng Việt", "👍", r#"a "b" 'c' \d"#]
        {
            assert_eq!(escaped(text), text);
        }
    }

    #[test]
    fn a_long_text_is_cut_between_its_characters_and_never_within_an_escape() {
        assert_eq!(shown("abc", 3), "abc");
        assert_eq!(shown("abcd", 3), "ab…");
        assert_eq!(shown("a\u{202e}b", 10), "a\\u{202e}b");
        assert_eq!(shown("a\u{202e}b", 9), "a…");
        assert_eq!(ForeignText::of_bytes(&[b'x'; 5000]).as_str().chars().count(), FOREIGN_CHARS_MAX);
        assert_eq!(ForeignText::of_bytes(b"a\xff").as_str(), "a\u{fffd}");
        assert_eq!(format!("{:?} {}", ForeignText::of("\u{1b}"), ForeignText::of("\u{1b}")), "\"\\u{1b}\" \\u{1b}");
    }

    #[test]
    fn a_foreign_text_out_of_a_document_is_escaped_while_it_is_read() {
        let read: ForeignText = serde_json::from_str(r#""red \u001b[31m""#).unwrap();
        assert_eq!(read, "red \\u{1b}[31m");
    }

    #[test]
    fn json_stays_the_same_document() {
        let document = serde_json::json!({"a\u{202e}": "\u{1b}\u{7f}\u{e0041}\n", "b": ["größe"]});
        for written in [document.to_string(), format!("{document:#}")] {
            let visible = json_escaped(&written);
            assert!(!visible.chars().any(|c| c != '\n' && is_hidden(c)), "{visible}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&visible).unwrap(), document);
        }
        assert_eq!(lines_escaped("a\u{1b}\nb\tc\n"), "a\\u{1b}\nb\\tc\n");
    }

    proptest! {
        #[test]
        fn whatever_was_written_what_is_shown_is_visible_short_and_stays_the_same(text in any::<String>(), max in 1_usize..80) {
            let once = shown(&text, max);
            prop_assert!(once.chars().count() <= max);
            prop_assert!(!once.chars().any(is_hidden));
            prop_assert_eq!(&shown(&once, max), &once);
            prop_assert_eq!(escaped(&escaped(&text)).into_owned(), escaped(&text).into_owned());
        }
    }
}
