//! Fetches a manifest: the first file of a version, and the one that says what all the others must be.
//! Never returns bytes of another digest than the pointer names.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;

use super::{Fetch, FetchError};
use crate::api::PointedVersion;
use crate::manifest::{MANIFEST_BYTES_MAX, Manifest};

/// A manifest as the store has it. Its stored bytes stay with it, because their hash is the version's identity.
#[derive(Debug, Clone)]
pub struct FetchedManifest {
    /// The stored bytes.
    pub stored: Bytes,
    /// What they say.
    pub manifest: Arc<Manifest>,
}

/// Fetches a version's manifest.
///
/// # Errors
/// When they do not come, are longer than [`MANIFEST_BYTES_MAX`], or are not the manifest with that digest.
pub async fn fetch_manifest(fetch: &dyn Fetch, version: &PointedVersion) -> Result<FetchedManifest, FetchError> {
    let url = &version.manifest_url;
    let spoiled = |cause: String| FetchError::Spoiled { url: url.clone(), cause };
    let mut pieces = fetch.get(url).await?;
    let mut stored = BytesMut::new();
    while let Some(piece) = pieces.next().await {
        stored.extend_from_slice(&piece?);
        if stored.len() as u64 > MANIFEST_BYTES_MAX {
            return Err(spoiled(format!("more than {MANIFEST_BYTES_MAX} bytes")));
        }
    }
    let manifest = Manifest::parse(&stored, &version.digest).map_err(|error| spoiled(error.to_string()))?;
    Ok(FetchedManifest { stored: stored.freeze(), manifest: Arc::new(manifest) })
}
