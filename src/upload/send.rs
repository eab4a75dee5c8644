//! Sends objects: create-only, as many at a time as the store takes well, large ones streamed.
//! Never replaces anything, and never sends the same key twice in one round.

use futures::{StreamExt as _, TryStreamExt as _};

use super::PublishFailure;
use super::attempt::Attempt;
use crate::api::ContentHash;
use crate::bucket::{Attributes, Created, Stored};
use crate::manifest::headers::UNKNOWN_TYPE;
use crate::manifest::object::IMMUTABLE;
use crate::manifest::variant::Encoding;
use crate::manifest::{Class, Evidence, ManifestFile, Writer};

/// One object that the bucket may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanting {
    /// Its place.
    pub(super) at: usize,
    /// What is known of the bucket.
    pub(super) seen: Seen,
}

/// What is known of the bucket at an object's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing, or that nothing is there: it is sent, and an object that is there after all is compared.
    Nothing,
    /// Something of the right length, most likely sent by us before: it is looked at, and sent only if it is not there.
    Likely,
}

/// A key that has other bytes.
#[derive(Debug, Clone)]
pub(super) struct Occupied {
    pub(super) key: String,
    pub(super) our_hash: ContentHash,
    pub(super) theirs: Stored,
    /// What vouched for the key, where it is not the object's own file that says so.
    pub(super) evidence: Option<Evidence>,
}

impl Attempt<'_> {
    /// Sends these objects. Goes on past occupied keys and returns all of them by key, so that one wait frees them all.
    pub(super) async fn send(&self, objects: Vec<Wanting>) -> Result<Vec<Occupied>, PublishFailure> {
        let sent = futures::stream::iter(objects).map(|object| self.bring_one(object)).buffer_unordered(self.tools.parallel.max(1));
        let mut occupied: Vec<Occupied> = sent.try_filter_map(|occupied| async move { Ok(occupied) }).try_collect().await?;
        occupied.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(occupied)
    }

    async fn bring_one(&self, Wanting { at, seen }: Wanting) -> Result<Option<Occupied>, PublishFailure> {
        let (file, key) = (self.objects.file(at), self.objects.key(at));
        let created = match seen {
            Seen::Nothing => match self.create(file, &key).await? {
                Created::Same => {
                    if let Some(there) = self.tools.bucket.head(&key).await? {
                        self.promote(file, &key, there).await?;
                    }
                    Created::Same
                }
                created => created,
            },
            Seen::Likely => match self.compare_one(file, &key).await? {
                Some(there) => there,
                None => self.create(file, &key).await?,
            },
        };
        match created {
            Created::New => self.progress.send_modify(|progress| {
                progress.objects_sent += 1;
                progress.bytes_sent += file.size;
            }),
            Created::Same => self.progress.send_modify(|progress| progress.objects_reused += 1),
            Created::Other(theirs) => return Ok(Some(Occupied { key, our_hash: file.sha256.clone(), theirs: *theirs, evidence: None })),
        }
        Ok(None)
    }

    /// What lies there, if its hash is known.
    async fn compare_one(&self, file: &ManifestFile, key: &str) -> Result<Option<Created>, PublishFailure> {
        match self.tools.bucket.head(key).await?.filter(|there| there.sha256.is_some()) {
            Some(there) if there.sha256.as_ref() == Some(&file.sha256) => {
                let proven = self.proven(file, key, there.clone()).await?;
                if proven == Created::Same {
                    self.promote(file, key, there).await?;
                }
                Ok(Some(proven))
            }
            there => Ok(there.map(|there| Created::Other(Box::new(there)))),
        }
    }

    async fn create(&self, file: &ManifestFile, key: &str) -> Result<Created, PublishFailure> {
        let attributes = object_attributes(file, Some(self.request.writer(&self.prepared.digest)));
        if let Some(created) = self.copied(file, key, &attributes).await? {
            return Ok(created);
        }
        let body = self.prepared.bytes.body(&file.path, &file.sha256, file.size).await?;
        Ok(self.tools.bucket.create(key, body, &attributes).await?)
    }
}

/// What the object that holds a file's bytes is stored with.
pub(super) fn object_attributes(file: &ManifestFile, writer: Option<Writer>) -> Attributes {
    let (content_type, content_encoding) = match file.class {
        Class::Asset => (file.content_type.clone().into_owned(), file.encoding().map(Encoding::word)),
        // Several files may share these bytes under different types, and nobody should be shown a page from here: whoever serves it
        // takes the type, and how the bytes are encoded, from the manifest.
        Class::Entry | Class::Unversioned => (UNKNOWN_TYPE.to_owned(), None),
    };
    let cache_control = IMMUTABLE.to_owned();
    Attributes { content_type, cache_control, content_encoding, sha256: file.sha256.clone(), writer, sequence: None }
}
