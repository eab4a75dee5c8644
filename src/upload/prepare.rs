//! Before anything is written: fetch the build, make its manifest, and see that nothing in it refers to what it lacks.
//! Never writes to the bucket.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::{Publish, PublishFailure, Tools};
use crate::api::ManifestDigest;
use crate::bucket::Body;
use crate::manifest::Manifest;
use crate::manifest::build::{self, NewFile};
use crate::manifest::closure::{self, Closure, TEXT_BYTES_MAX};
use crate::manifest::readers::{self, BuildNames, Reading};
use crate::source::{Build, BuildFile, SourceError};

/// S3's limit for a key.
const KEY_BYTES_MAX: usize = 1024;

/// A build that may be published.
pub(super) struct Prepared {
    pub(super) build: Build,
    pub(super) manifest: Arc<Manifest>,
    pub(super) reading: Reading,
    pub(super) stored: Bytes,
    pub(super) digest: ManifestDigest,
}

pub(super) async fn prepare(tools: &Tools, request: &Publish) -> Result<Prepared, PublishFailure> {
    let build = tools.source.fetch(&request.source, &tools.workspace).await?;
    let files: Vec<NewFile> =
        build.files.iter().map(|file| NewFile { path: file.path.clone(), size: file.size, sha256: file.sha256.clone() }).collect();
    let names = build_names(request, &build, &files).await?;
    let manifest = build::assemble(&files, &names).map_err(|error| invalid(error.reason(), &error))?;
    check_keys(request, &manifest)?;
    check_closure(request, &build, &manifest, &names).await?;
    let stored = Bytes::from(manifest.to_bytes());
    let digest = ManifestDigest::of(&stored);
    Ok(Prepared { build, manifest: Arc::new(manifest), reading: names.reading, stored, digest })
}

fn invalid(reason: &'static str, message: &dyn ToString) -> PublishFailure {
    PublishFailure::InvalidBuild { reason, message: message.to_string() }
}

/// What the build tool says of its build.
async fn build_names(request: &Publish, build: &Build, files: &[NewFile]) -> Result<BuildNames, PublishFailure> {
    let mut texts = BTreeMap::new();
    for path in readers::wanted(&request.names, files) {
        if let Some(file) = build.files.iter().find(|file| file.path == path) {
            texts.insert(path, content(&file.body).await?);
        }
    }
    readers::read(&request.names, files, &texts).map_err(|error| invalid(error.reason(), &error))
}

fn check_keys(request: &Publish, manifest: &Manifest) -> Result<(), PublishFailure> {
    let keys = manifest.files.iter().flat_map(|file| [&file.key, &file.path]).map(|name| request.layout.key(name));
    match keys.into_iter().find(|key| key.len() > KEY_BYTES_MAX) {
        Some(key) => {
            Err(invalid("KeyTooLong", &format!("{key:?} has {} bytes, more than {KEY_BYTES_MAX}: give the file a shorter path", key.len())))
        }
        None => Ok(()),
    }
}

async fn check_closure(request: &Publish, build: &Build, manifest: &Manifest, names: &BuildNames) -> Result<(), PublishFailure> {
    let closure = Closure::new(manifest.files.iter().map(|file| file.path.as_str()), &request.base_urls);
    let mut dangling = Closure::dangling_in_names(names);
    let published: BTreeSet<&str> = manifest.files.iter().map(|file| file.path.as_str()).collect();
    for file in build.files.iter().filter(|file| published.contains(file.path.as_str()) && Closure::looks_at(&file.path)) {
        let text = read(file, TEXT_BYTES_MAX).await?;
        dangling.extend(closure.dangling(&file.path, &String::from_utf8_lossy(&text)));
    }
    if dangling.is_empty() { Ok(()) } else { Err(invalid("MissingReference", &closure::message(&dangling))) }
}

async fn read(file: &BuildFile, bytes_max: u64) -> Result<Bytes, PublishFailure> {
    if file.size > bytes_max {
        return Err(invalid(
            "TextTooLarge",
            &format!("{:?} has {} bytes, more than {bytes_max}, the most that is read for references", file.path, file.size),
        ));
    }
    content(&file.body).await
}

/// The whole body in memory.
pub(super) async fn content(body: &Body) -> Result<Bytes, PublishFailure> {
    match body {
        Body::Bytes(bytes) => Ok(bytes.clone()),
        Body::File { path, .. } => match tokio::fs::read(path).await {
            Ok(bytes) => Ok(bytes.into()),
            Err(error) => {
                let folder = path.parent().unwrap_or(path).to_path_buf();
                Err(SourceError::Workspace { folder, cause: error.to_string() }.into())
            }
        },
    }
}
