//! Where bytes come from: plain GETs of public URLs, without credentials.
//! Never trusts what comes: every caller checks length and hash.

mod http;
mod load;
#[cfg(any(test, feature = "testing"))]
mod memory;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use sha2::{Digest as _, Sha256};

use crate::api::ContentHash;
use crate::manifest::{ManifestFile, urls};

pub use http::HttpFetch;
pub use load::{FetchedManifest, fetch_manifest};
#[cfg(any(test, feature = "testing"))]
pub use memory::BucketFetch;

/// Why bytes did not come.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The store says that there is no such object, or that it may not be read.
    #[error("{url} is not there: the store answered {status}")]
    Missing {
        /// What was asked for.
        url: String,
        /// HTTP status of the answer.
        status: u16,
    },
    /// No answer, or an answer that asks to come again.
    #[error("{url} failed to download: {cause}")]
    Unavailable {
        /// What was asked for.
        url: String,
        /// What was seen.
        cause: String,
    },
    /// Other bytes than the manifest names.
    #[error("{url} has other bytes than its manifest says: {cause}")]
    Spoiled {
        /// What was asked for.
        url: String,
        /// What differs.
        cause: String,
    },
    /// Not a URL that an agent fetches from.
    #[error("{url:?} is no usable URL: {cause}")]
    BadUrl {
        /// What was given.
        url: String,
        /// Why not.
        cause: String,
    },
}

/// The body of an answer, piece by piece.
pub type Pieces = BoxStream<'static, Result<Bytes, FetchError>>;

/// Gets bytes by URL.
#[async_trait]
pub trait Fetch: Send + Sync + 'static {
    /// Asks for the bytes behind a URL. Ends with an error, not in silence, when the answer breaks off. The number of answers open
    /// at a time is bounded; dropping the stream frees its place.
    async fn get(&self, url: &str) -> Result<Pieces, FetchError>;
}

/// The URL of an object below a base that ends with `/`; the key is escaped as everywhere ([`urls`]).
///
/// # Errors
/// [`FetchError::BadUrl`] when the base is no URL with a path.
pub fn object_url(base: &str, key: &str) -> Result<String, FetchError> {
    let bad = |cause: String| FetchError::BadUrl { url: base.to_owned(), cause };
    let mut url = url::Url::parse(base).map_err(|error| bad(error.to_string()))?;
    if url.cannot_be_a_base() {
        return Err(bad("it has no path".into()));
    }
    let folder = url.path().strip_suffix('/').unwrap_or(url.path()).to_owned();
    url.set_path(&format!("{folder}/{}", urls::escaped(key)));
    Ok(url.into())
}

/// Checks bytes as they pass: never more than the manifest says, and at the end exactly the bytes that it names.
#[derive(Debug)]
pub struct Check {
    url: String,
    size: u64,
    sha256: ContentHash,
    seen: u64,
    hasher: Sha256,
}

impl Check {
    /// For the bytes of this file behind this URL.
    #[must_use]
    pub fn new(url: &str, file: &ManifestFile) -> Self {
        Self { url: url.to_owned(), size: file.size, sha256: file.sha256.clone(), seen: 0, hasher: Sha256::new() }
    }

    /// Takes in the next piece.
    ///
    /// # Errors
    /// [`FetchError::Spoiled`] as soon as there are more bytes than the manifest says.
    pub fn take(&mut self, piece: &[u8]) -> Result<(), FetchError> {
        self.seen += piece.len() as u64;
        self.hasher.update(piece);
        if self.seen > self.size { Err(self.spoiled(format!("more than {} bytes", self.size))) } else { Ok(()) }
    }

    /// Says whether these were the bytes.
    ///
    /// # Errors
    /// [`FetchError::Spoiled`] when there are fewer bytes or another hash.
    pub fn finish(self) -> Result<(), FetchError> {
        if self.seen != self.size {
            return Err(self.spoiled(format!("{} bytes instead of {}", self.seen, self.size)));
        }
        let actual = ContentHash::from_array(self.hasher.clone().finalize().into());
        if actual == self.sha256 { Ok(()) } else { Err(self.spoiled(format!("sha256 {actual} instead of {}", self.sha256))) }
    }

    fn spoiled(&self, cause: String) -> FetchError {
        FetchError::Spoiled { url: self.url.clone(), cause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::testing::asset;

    #[test]
    fn keys_are_encoded_segment_by_segment() {
        let url = object_url("http://store:9000/bucket/shop/", "assets/a b#?%-1.js").unwrap();
        assert_eq!(url, "http://store:9000/bucket/shop/assets/a%20b%23%3F%25-1.js");
        assert!(matches!(object_url("shop/", "a.js"), Err(FetchError::BadUrl { .. })));
    }

    #[test]
    fn only_exactly_the_bytes_of_the_manifest_pass() {
        let file = asset("a.js", b"bytes");
        let verdict = |pieces: &[&[u8]]| {
            let mut check = Check::new("http://s/a.js", &file);
            pieces.iter().try_for_each(|piece| check.take(piece))?;
            check.finish()
        };
        assert_eq!(verdict(&[b"by", b"tes"]), Ok(()));
        for wrong in [&b"byte"[..], b"bytes!", b"bytez", b""] {
            assert!(matches!(verdict(&[wrong]), Err(FetchError::Spoiled { .. })), "{wrong:?}");
        }
    }
}
