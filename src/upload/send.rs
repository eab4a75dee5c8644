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

/// What became of objects that were to be sent.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// Keys with other bytes, sorted.
    pub(super) occupied: Vec<Occupied>,
    /// Places of objects that were there already, perhaps as public copies of unversioned files.
    pub(super) reused: Vec<usize>,
}

/// What became of one object.
enum Outcome {
    /// It is there, as an object.
    There,
    /// Its bytes are there; as what is not known, or as a public copy.
    Reused(usize),
    Occupied(Box<Occupied>),
}

impl Attempt<'_> {
    /// Sends these objects. Goes on past occupied keys and returns all of them by key, so that one wait frees them all.
    pub(super) async fn send(&self, objects: Vec<Wanting>) -> Result<Sent, PublishFailure> {
        let outcomes = futures::stream::iter(objects).map(|object| self.bring_one(object)).buffer_unordered(self.tools.parallel.max(1));
        let mut sent = outcomes
            .try_fold(Sent::default(), |mut sent, outcome| async move {
                match outcome {
                    Outcome::There => {}
                    Outcome::Reused(at) => sent.reused.push(at),
                    Outcome::Occupied(one) => sent.occupied.push(*one),
                }
                Ok(sent)
            })
            .await?;
        sent.occupied.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(sent)
    }

    async fn bring_one(&self, Wanting { at, seen }: Wanting) -> Result<Outcome, PublishFailure> {
        let (file, key) = (self.objects.file(at), self.objects.key(at));
        let compared = match seen {
            Seen::Nothing => None,
            Seen::Likely => self.compare_one(file, &key).await?,
        };
        let (created, reused) = match compared {
            Some((there, None)) => (there, Outcome::There),
            Some((there, Some(_flip))) => (there, Outcome::Reused(at)),
            None => (self.create(file, &key).await?, Outcome::Reused(at)),
        };
        match created {
            Created::New => {
                self.progress.send_modify(|progress| {
                    progress.objects_sent += 1;
                    progress.bytes_sent += file.size;
                });
                Ok(Outcome::There)
            }
            Created::Same => {
                self.progress.send_modify(|progress| progress.objects_reused += 1);
                Ok(reused)
            }
            Created::Other(theirs) => {
                Ok(Outcome::Occupied(Box::new(Occupied { key, our_hash: file.sha256.clone(), theirs: *theirs, evidence: None })))
            }
        }
    }

    /// What lies there, if its hash is known, and the number of the flip that it carries.
    async fn compare_one(&self, file: &ManifestFile, key: &str) -> Result<Option<(Created, Option<i64>)>, PublishFailure> {
        match self.tools.bucket.head(key).await?.filter(|there| there.sha256.is_some()) {
            Some(there) if there.sha256.as_ref() == Some(&file.sha256) => {
                let flip = there.sequence;
                Ok(Some((self.proven(file, key, there).await?, flip)))
            }
            there => Ok(there.map(|there| (Created::Other(Box::new(there)), None))),
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
