//! Digests as types, so that a manifest's identity, a file's hash and any other string cannot be mixed up.
//! Never holds anything but a checked, lower-case SHA-256.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// A string that is not `sha256:` and 64 lower-case hexadecimal characters (or, for a [`ContentHash`], just those 64).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{input:?} is not a sha256 digest: expected {expected}")]
pub struct InvalidDigest {
    input: String,
    expected: &'static str,
}

/// The identity of one build: SHA-256 of the stored bytes of its manifest, written `sha256:<64 hex>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ManifestDigest(String);

/// The SHA-256 of one file's bytes, written as 64 hexadecimal characters. 32 bytes in memory: a build has up to 200,000 of them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash([u8; 32]);

impl ManifestDigest {
    const SCHEME: &str = "sha256:";

    /// The digest of a manifest's stored bytes.
    #[must_use]
    pub fn of(stored: &[u8]) -> Self {
        Self::of_hash(&ContentHash::of(stored))
    }

    /// The digest of stored bytes that have this hash.
    #[must_use]
    pub fn of_hash(hash: &ContentHash) -> Self {
        Self(format!("{}{hash}", Self::SCHEME))
    }

    /// The hash of the stored bytes.
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        self.hex().parse().expect("a digest is the hash of bytes")
    }

    /// The 64 hexadecimal characters without the scheme: object keys use them.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.0[Self::SCHEME.len()..]
    }

    /// The first 12 hexadecimal characters, for people; never an identity.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.hex()[..12]
    }

    /// With the scheme, as it stands in YAML.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ContentHash {
    /// The hash of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_array(Sha256::digest(bytes).into())
    }

    /// From the 32 raw bytes that a hasher returns.
    #[must_use]
    pub const fn from_array(raw: [u8; 32]) -> Self {
        Self(raw)
    }

    /// The 32 bytes of the hash.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 12 hexadecimal characters, for names and people; never an identity.
    #[must_use]
    pub fn short(&self) -> String {
        hex::encode(&self.0[..6])
    }

    /// The 32 raw bytes: S3's checksum header wants their base64.
    #[must_use]
    pub fn to_array(&self) -> [u8; 32] {
        self.0
    }

    /// Writes the 64 hexadecimal characters into `buffer`.
    fn write_hex<'b>(&self, buffer: &'b mut [u8; 64]) -> &'b str {
        hex::encode_to_slice(self.0, buffer).expect("32 bytes are 64 hexadecimal characters");
        std::str::from_utf8(buffer).expect("hexadecimal characters are ASCII")
    }
}

impl Serialize for ContentHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.write_hex(&mut [0; 64]))
    }
}

impl<'de> Deserialize<'de> for ContentHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(HexVisitor)
    }
}

/// Reads the text where it lies: a manifest holds too many hashes to copy each first.
struct HexVisitor;

impl serde::de::Visitor<'_> for HexVisitor {
    type Value = ContentHash;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("64 lower-case hexadecimal characters")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ContentHash, E> {
        text.parse().map_err(E::custom)
    }
}

impl FromStr for ContentHash {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let mut raw = [0; 32];
        if is_hash(text) && hex::decode_to_slice(text, &mut raw).is_ok() {
            return Ok(Self(raw));
        }
        Err(InvalidDigest { input: text.to_owned(), expected: "64 lower-case hexadecimal characters" })
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.write_hex(&mut [0; 64]))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

impl TryFrom<String> for ManifestDigest {
    type Error = InvalidDigest;

    fn try_from(input: String) -> Result<Self, InvalidDigest> {
        match input.strip_prefix(Self::SCHEME) {
            Some(rest) if is_hash(rest) => Ok(Self(input)),
            _ => Err(InvalidDigest { input, expected: "sha256: and 64 lower-case hexadecimal characters" }),
        }
    }
}

impl FromStr for ManifestDigest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        Self::try_from(text.to_owned())
    }
}

impl From<ManifestDigest> for String {
    fn from(value: ManifestDigest) -> Self {
        value.0
    }
}

impl fmt::Display for ManifestDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ManifestDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_known_bytes_is_the_published_one() {
        let expected = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(ContentHash::of(b"").to_string(), expected);
        assert_eq!(ManifestDigest::of(b"").hex(), expected);
        assert_eq!(hex::encode(ContentHash::of(b"").to_array()), expected);
    }

    #[test]
    fn anything_but_64_lower_case_hexadecimal_characters_is_refused() {
        let good = "a".repeat(64);
        for bad in ["", "sha256:", &good.to_uppercase(), &good[1..], &format!("{good}0"), &format!("sha512:{good}")] {
            assert!(bad.parse::<ContentHash>().is_err(), "{bad}");
            assert!(format!("sha256:{bad}").parse::<ManifestDigest>().is_err(), "{bad}");
        }
        assert!(good.parse::<ManifestDigest>().is_err(), "a manifest digest without its scheme");
    }

    #[test]
    fn a_digest_survives_json() {
        let digest = ManifestDigest::of(b"x");
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(serde_json::from_str::<ManifestDigest>(&json).unwrap(), digest);
        assert!(serde_json::from_str::<ManifestDigest>("\"sha256:zz\"").is_err());
        let hash = ContentHash::of(b"x");
        let json = serde_json::to_string(&hash).unwrap();
        assert_eq!(json, format!("\"{hash}\""));
        assert_eq!(serde_json::from_str::<ContentHash>(&json).unwrap(), hash);
        assert!(serde_json::from_str::<ContentHash>("\"zz\"").is_err());
    }
}
