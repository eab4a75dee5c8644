//! A token in a path that is the beginning of a digest of the bytes: no coincidence, and no word.
//! Never takes fewer than 24 bits for proof.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha224, Sha256, Sha384, Sha512};

/// Shortest token that counts. Six hexadecimal characters are 24 bits: one name in a million is taken wrongly, and only where it has the
/// form of a token.
const CHARS_MIN: usize = 6;

/// Whether some part of a path has the form of such a token: letters and digits, or hexadecimal letters alone, or capitals within.
#[must_use]
pub fn is_candidate(path: &str) -> bool {
    let is_token = |token: &str| {
        let (mut digits, mut capitals, mut is_hex) = (false, false, true);
        for (at, byte) in token.bytes().enumerate() {
            digits |= byte.is_ascii_digit();
            capitals |= at > 0 && byte.is_ascii_uppercase();
            is_hex &= byte.is_ascii_hexdigit();
        }
        token.len() >= CHARS_MIN && (digits || capitals || is_hex)
    };
    // A hyphen may be part of base64url, so what stands around one counts as one token, too.
    path.split('/')
        .flat_map(|segment| segment.split('.'))
        .any(|part| is_token(part) || part.split(|c: char| !c.is_ascii_alphanumeric()).any(is_token))
}

/// Whether a path carries the beginning of the sha256 of the bytes.
#[must_use]
pub fn is_proven_by_sha256(path: &str, sha256: &[u8]) -> bool {
    carries(path, sha256)
}

/// Takes in the bytes of a file, in pieces, and says whether one of their digests stands in its path.
#[derive(Debug, Default)]
pub struct Hashing {
    md5: Md5,
    sha1: Sha1,
    sha224: Sha224,
    sha256: Sha256,
    sha384: Sha384,
    sha512: Sha512,
}

impl Hashing {
    /// The next piece.
    pub fn take(&mut self, piece: &[u8]) {
        self.md5.update(piece);
        self.sha1.update(piece);
        self.sha224.update(piece);
        self.sha256.update(piece);
        self.sha384.update(piece);
        self.sha512.update(piece);
    }

    /// Whether the path carries the beginning of a digest of all pieces.
    #[must_use]
    pub fn proves(self, path: &str) -> bool {
        carries(path, &self.md5.finalize())
            || carries(path, &self.sha1.finalize())
            || carries(path, &self.sha224.finalize())
            || carries(path, &self.sha256.finalize())
            || carries(path, &self.sha384.finalize())
            || carries(path, &self.sha512.finalize())
    }
}

/// Whether a token of the path is the beginning of a digest in hexadecimal (of either case) or in base64url.
fn carries(path: &str, digest: &[u8]) -> bool {
    let hex = hex::encode(digest);
    let base64 = URL_SAFE_NO_PAD.encode(digest);
    [hex.as_str(), hex.to_ascii_uppercase().as_str(), base64.as_str()].iter().any(|text| carries_text(path, text))
}

fn carries_text(path: &str, text: &str) -> bool {
    let (path, text) = (path.as_bytes(), text.as_bytes());
    let begins = |at: usize| at == 0 || !path[at - 1].is_ascii_alphanumeric();
    let is_token = |at: usize| {
        let length = path[at..].iter().zip(text).take_while(|(ours, theirs)| ours == theirs).count();
        // Base64url may have both separators in it, so a token may end before the match does.
        (CHARS_MIN..=length).any(|length| path.get(at + length).is_none_or(|next| !next.is_ascii_alphanumeric()))
    };
    (0..path.len().saturating_sub(CHARS_MIN - 1)).any(|at| begins(at) && is_token(at))
}
