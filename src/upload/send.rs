//! Sends objects: create-only, a bounded number at a time, large ones streamed.
//! Never replaces anything, and never sends the same key twice in one round.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _};

use super::attempt::Attempt;
use super::prepare::content;
use super::{IN_MEMORY_BYTES_MAX, PublishFailure};
use crate::api::ContentHash;
use crate::bucket::{Attributes, Body, Created, Stored};
use crate::manifest::headers::UNKNOWN_TYPE;
use crate::manifest::object::IMMUTABLE;
use crate::manifest::{Class, ManifestFile};

/// One object to be sent.
#[derive(Debug, Clone)]
pub(super) struct Object {
    /// Full key in the bucket.
    pub(super) key: String,
    pub(super) sha256: ContentHash,
    content_type: String,
    body: Body,
}

/// A key that has other bytes.
#[derive(Debug, Clone)]
pub(super) struct Occupied {
    pub(super) key: String,
    pub(super) our_hash: ContentHash,
    pub(super) theirs: Stored,
}

impl Object {
    pub(super) fn size(&self) -> u64 {
        self.body.size()
    }

    /// The key as manifests have it.
    pub(super) fn key_below(&self, prefix: &str) -> &str {
        self.key.strip_prefix(prefix).unwrap_or(&self.key)
    }
}

impl Attempt<'_> {
    /// All objects of the build by key. Two entry files with the same bytes are one object.
    pub(super) fn objects(&self) -> BTreeMap<String, Object> {
        let bodies: BTreeMap<&str, &Body> = self.prepared.build.files.iter().map(|file| (file.path.as_str(), &file.body)).collect();
        let files = self.prepared.manifest.files.iter();
        files.map(|file| self.object(file, bodies[file.path.as_str()])).map(|object| (object.key.clone(), object)).collect()
    }

    fn object(&self, file: &ManifestFile, body: &Body) -> Object {
        Object {
            key: self.request.layout.key(&file.key),
            sha256: file.sha256.clone(),
            content_type: match file.class {
                Class::Asset => file.content_type.clone(),
                // Several files may share these bytes under different types, and nobody should be shown a page from here:
                // whoever serves it takes the type from the manifest.
                Class::Entry => UNKNOWN_TYPE.to_owned(),
            },
            body: body.clone(),
        }
    }

    /// Sends these objects. Goes on past occupied keys and returns all of them by key, so that one wait frees them all.
    pub(super) async fn send(&self, objects: Vec<Object>) -> Result<Vec<Occupied>, PublishFailure> {
        let sent = futures::stream::iter(objects).map(|object| self.create(object)).buffer_unordered(self.tools.parallel.max(1));
        let mut occupied: Vec<Occupied> = sent.try_filter_map(|occupied| async move { Ok(occupied) }).try_collect().await?;
        occupied.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(occupied)
    }

    async fn create(&self, object: Object) -> Result<Option<Occupied>, PublishFailure> {
        let size = object.body.size();
        // A small body is read at once: the client can send it again without touching the disk, and without a stream.
        let body = if size <= IN_MEMORY_BYTES_MAX { Body::Bytes(content(&object.body).await?) } else { object.body };
        let attributes = Attributes {
            content_type: object.content_type,
            cache_control: IMMUTABLE.to_owned(),
            sha256: object.sha256.clone(),
            writer: Some(self.request.writer(&self.prepared.digest)),
            sequence: None,
        };
        match self.tools.bucket.create(&object.key, body, &attributes).await? {
            Created::New => self.progress.send_modify(|progress| {
                progress.objects_sent += 1;
                progress.bytes_sent += size;
            }),
            Created::Same => self.progress.send_modify(|progress| progress.objects_reused += 1),
            Created::Other(theirs) => return Ok(Some(Occupied { key: object.key, our_hash: object.sha256, theirs: *theirs })),
        }
        Ok(None)
    }
}
