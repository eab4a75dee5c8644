//! Before anything is written: take the build, make its manifest, and see that nothing in it refers to what it lacks.
//! Never writes to the bucket.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Publish, PublishFailure};
use crate::api::{ContentHash, ManifestDigest};
use crate::bucket::Body;
use crate::manifest::build;
use crate::manifest::closure::{self, Closure, TEXT_BYTES_MAX};
use crate::manifest::readers::{self, BuildNames, Reading};
use crate::manifest::{Layout, Manifest};
use crate::source::{self, Build, SourceError};

/// S3's limit for a key.
const KEY_BYTES_MAX: usize = 1024;

/// A build that may be published.
pub(super) struct Prepared {
    pub(super) bytes: source::Bytes,
    pub(super) manifest: Arc<Manifest>,
    pub(super) reading: Reading,
    /// Length of the manifest as it is stored. Its bytes are made again when they are sent: 38 MB at 200,000 files are not kept.
    pub(super) stored_size: u64,
    pub(super) digest: ManifestDigest,
}

pub(super) async fn fetched(
    request: &Publish,
    build: impl Future<Output = Result<Build, SourceError>>,
) -> Result<Prepared, PublishFailure> {
    prepare(request, build.await?).await
}

async fn prepare(request: &Publish, build: Build) -> Result<Prepared, PublishFailure> {
    let names = build_names(request, &build).await?;
    let Build { files, bytes } = build;
    let manifest = build::assemble(files, &names).map_err(|error| invalid(error.reason(), &error))?;
    check_keys(&request.layout, &manifest)?;
    check_closure(request, &bytes, &manifest, &names).await?;
    let stored = manifest.to_bytes();
    let (stored_size, digest) = (stored.len() as u64, ManifestDigest::of(&stored));
    Ok(Prepared { bytes, manifest: Arc::new(manifest), reading: names.reading, stored_size, digest })
}

fn invalid(reason: &'static str, message: &dyn ToString) -> PublishFailure {
    PublishFailure::InvalidBuild { reason, message: message.to_string() }
}

/// What the build tool says of its build.
async fn build_names(request: &Publish, build: &Build) -> Result<BuildNames, PublishFailure> {
    let mut texts = BTreeMap::new();
    for path in readers::wanted(&request.names, &build.files) {
        if let Some(file) = build.files.iter().find(|file| file.path == path) {
            texts.insert(path, content(&build.bytes.body(&file.path, &file.sha256, file.size)).await?);
        }
    }
    readers::read(&request.names, &build.files, &texts).map_err(|error| invalid(error.reason(), &error))
}

fn check_keys(layout: &Layout, manifest: &Manifest) -> Result<(), PublishFailure> {
    let length = |below: &str| layout.prefix().len() + below.len();
    match manifest.files.iter().find(|file| length(&file.path).max(length(&file.key())) > KEY_BYTES_MAX) {
        Some(file) => {
            let key = layout.key(&file.path);
            let message = format!("{key:?} has {} bytes, more than {KEY_BYTES_MAX}: give the file a shorter path", key.len());
            Err(invalid("KeyTooLong", &message))
        }
        None => Ok(()),
    }
}

async fn check_closure(request: &Publish, bytes: &source::Bytes, manifest: &Manifest, names: &BuildNames) -> Result<(), PublishFailure> {
    let closure = Closure::new(manifest.files.iter().map(|file| file.path.as_str()), &request.base_urls);
    let mut dangling = Closure::dangling_in_names(names);
    for file in manifest.files.iter().filter(|file| Closure::looks_at(&file.path)) {
        let text = read(bytes, &file.path, &file.sha256, file.size, TEXT_BYTES_MAX).await?;
        dangling.extend(closure.dangling(&file.path, &String::from_utf8_lossy(&text)));
    }
    if dangling.is_empty() { Ok(()) } else { Err(invalid("MissingReference", &closure::message(&dangling))) }
}

async fn read(bytes: &source::Bytes, path: &str, sha256: &ContentHash, size: u64, bytes_max: u64) -> Result<bytes::Bytes, PublishFailure> {
    if size > bytes_max {
        let message = format!("{path:?} has {size} bytes, more than {bytes_max}, the most that is read for references");
        return Err(invalid("TextTooLarge", &message));
    }
    content(&bytes.body(path, sha256, size)).await
}

/// The whole body in memory.
pub(super) async fn content(body: &Body) -> Result<bytes::Bytes, PublishFailure> {
    match body {
        Body::Bytes(bytes) => Ok(bytes.clone()),
        Body::File { path, .. } => match tokio::fs::read(path).await {
            Ok(bytes) => Ok(bytes.into()),
            Err(error) => Err(SourceError::Workspace { folder: path.clone(), cause: error.to_string() }.into()),
        },
    }
}
