//! What bytes say of a file's type where its name says too little: whether a text is UTF-8, and whether `ts` is film or source.
//! Never reads more than once through, and holds nothing of what it has read but what a character may lack.

use std::collections::BTreeMap;

use super::{TRANSPORT_STREAM, UNKNOWN_TYPE, content_type, has_ending, without_charset};

/// Every packet of a transport stream is as long and begins with the same byte.
const PACKET: u64 = 188;
const SYNC: u8 = 0x47;

/// The types of files whose bytes contradict their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TypesOfBytes(BTreeMap<String, &'static str>);

impl TypesOfBytes {
    /// Whether the bytes of a file of this name have a say.
    #[must_use]
    pub fn asks_for(path: &str) -> bool {
        content_type(path).ends_with("; charset=utf-8")
    }

    /// The bytes of a file were looked at.
    pub fn note(&mut self, path: &str, looking: &Looking) {
        let by_name = content_type(path);
        let by_bytes = looking.content_type(path);
        if by_bytes != by_name {
            self.0.insert(path.to_owned(), by_bytes);
        }
    }

    /// The type of a file.
    #[must_use]
    pub fn of(&self, path: &str) -> &'static str {
        self.0.get(path).copied().unwrap_or_else(|| content_type(path))
    }
}

/// Bytes on their way through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looking {
    /// The beginning of a character whose end is in the next piece: three bytes at most.
    pending: Vec<u8>,
    is_utf8: bool,
    at: u64,
    packets: bool,
}

impl Default for Looking {
    fn default() -> Self {
        Self { pending: Vec::new(), is_utf8: true, at: 0, packets: true }
    }
}

impl Looking {
    /// The next piece.
    pub fn take(&mut self, piece: &[u8]) {
        self.look_for_packets(piece);
        self.at += piece.len() as u64;
        if !self.is_utf8 {
            return;
        }
        let mut rest = piece;
        while !self.pending.is_empty() && !rest.is_empty() {
            self.pending.push(rest[0]);
            rest = &rest[1..];
            match std::str::from_utf8(&self.pending) {
                Ok(_) => self.pending.clear(),
                Err(error) if error.error_len().is_some() => return self.is_utf8 = false,
                Err(_) => {}
            }
        }
        if let Err(error) = std::str::from_utf8(rest) {
            match error.error_len() {
                Some(_) => self.is_utf8 = false,
                None => self.pending.extend_from_slice(&rest[error.valid_up_to()..]),
            }
        }
    }

    /// Three packets are enough.
    fn look_for_packets(&mut self, piece: &[u8]) {
        for number in 0..3 {
            let wanted = number * PACKET;
            let byte = wanted.checked_sub(self.at).and_then(|offset| piece.get(usize::try_from(offset).ok()?));
            self.packets &= byte.is_none_or(|byte| *byte == SYNC);
        }
    }

    fn content_type(&self, path: &str) -> &'static str {
        let by_name = content_type(path);
        match () {
            () if has_ending(path, "ts") && self.packets && self.at >= PACKET => TRANSPORT_STREAM,
            () if self.is_utf8 && self.pending.is_empty() => by_name,
            // Bytes of no text under the ending of one.
            () if without_charset(by_name) == "text/plain" && has_ending(path, "ts") => UNKNOWN_TYPE,
            () => without_charset(by_name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(path: &str, bytes: &[u8], piece: usize) -> &'static str {
        let (mut types, mut looking) = (TypesOfBytes::default(), Looking::default());
        bytes.chunks(piece).for_each(|piece| looking.take(piece));
        types.note(path, &looking);
        types.of(path)
    }

    #[test]
    fn only_bytes_that_are_utf_8_are_called_so_however_they_come() {
        let shift_jis = b"<!doctype html><meta charset=shift_jis><title>\x93\xfa\x96{</title>";
        for piece in [1, 2, 3, 7, 1000] {
            assert_eq!(by("index.html", shift_jis, piece), "text/html", "{piece}");
            assert_eq!(by("index.html", "caf\u{e9} \u{65e5}\u{672c} \u{1f600}".as_bytes(), piece), "text/html; charset=utf-8", "{piece}");
            assert_eq!(by("a.js", &"\u{1f600}".as_bytes()[..3], piece), "text/javascript", "{piece}");
            assert_eq!(by("a.txt", b"caf\xe9", piece), "text/plain", "{piece}");
        }
        assert_eq!(by("a.png", b"\xff\xfe", 1), "image/png");
        assert_eq!(by("empty.css", b"", 1), "text/css; charset=utf-8");
    }

    #[test]
    fn ts_is_a_film_by_its_packets_and_else_a_source() {
        let mut film = vec![0xff; 188 * 4];
        (0..4).for_each(|packet| film[packet * 188] = 0x47);
        for piece in [1, 100, 188, 1000] {
            assert_eq!(by("hls/0.ts", &film, piece), "video/mp2t", "{piece}");
            assert_eq!(by("src/a.ts", b"export const answer: number = 42;", piece), "text/plain; charset=utf-8", "{piece}");
            assert_eq!(by("src/G.ts", "G".repeat(20).as_bytes(), piece), "text/plain; charset=utf-8", "{piece}");
        }
        let (mut types, mut looking) = (TypesOfBytes::default(), Looking::default());
        looking.take(&film);
        types.note("0.ts", &looking);
        assert!(super::super::may_have("0.ts", types.of("0.ts")));
    }
}
