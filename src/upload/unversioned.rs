//! Unversioned files at their public keys, before any page of their version is served.
//! Never replaces anything: what lies there belongs to the version that is served now, and gives way with the flip (`entries`).

use std::collections::BTreeSet;

use futures::{StreamExt as _, TryStreamExt as _};

use super::PublishFailure;
use super::attempt::Attempt;
use super::known::Public;
use super::neighbours::{Foreign, Neighbours};
use super::send::{Occupied, object_attributes};
use crate::bucket::{Attributes, Created, Expected, Stored};
use crate::manifest::classify::is_beside_a_script;
use crate::manifest::object::IMMUTABLE;
use crate::manifest::variant::Encoding;
use crate::manifest::{Class, Evidence, ManifestFile, Publicly, Writer};

/// The number of the flip that a file carries which was put there before any.
pub(super) const BEFORE_ANY_FLIP: i64 = 0;

/// What a file is stored with at its public key. `lasts`: for how long caches may keep it.
pub(super) fn public_attributes(file: &ManifestFile, writer: &Writer, sequence: i64, lasts: Publicly) -> Attributes {
    let cache_control = match lasts {
        Publicly::ForEver => IMMUTABLE.to_owned(),
        Publicly::ForNow => file.cache_control.clone().into_owned(),
    };
    Attributes {
        content_type: file.content_type.clone().into_owned(),
        cache_control,
        content_encoding: file.encoding().map(Encoding::word),
        sha256: file.sha256.clone(),
        writer: Some(writer.clone()),
        sequence: Some(sequence),
    }
}

/// Why the bytes of an object at a public key stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lasting {
    /// A set vouched for its name.
    BySet,
    /// Some version stored it as an immutable object. Which evidence it had then is not known here.
    AsAnObject,
}

impl Lasting {
    fn evidence(self) -> Option<Evidence> {
        match self {
            Self::BySet => Some(Evidence::Set),
            Self::AsAnObject => None,
        }
    }
}

/// What says that the bytes of an object at a public key stay for ever: it was stored as an immutable one, by this Rollcall for a set or
/// by any as an object of its own. `None`: they may change. Another program's never were.
pub(super) fn declared_immutable(stored: &Stored) -> Option<Lasting> {
    let is_for_ever = stored.cache_control.as_deref() == Some(IMMUTABLE);
    match (&stored.writer, stored.sequence) {
        (Some(_), Some(_)) if is_for_ever => Some(Lasting::BySet),
        (Some(_), None) if is_for_ever => Some(Lasting::AsAnObject),
        (Some(_) | None, _) => None,
    }
}

/// What keeps a file from its public key: other bytes of which something said that they stay (I3). What lies beside a script was never
/// needed, and stays as it is there.
pub(super) fn stands_against(file: &ManifestFile, theirs: &Stored) -> Option<Lasting> {
    let is_same = theirs.sha256.as_ref() == Some(&file.sha256);
    declared_immutable(theirs).filter(|_| !is_same && !is_beside_a_script(&file.path))
}

/// I3: what was declared immutable keeps its bytes, whatever this build says of the name.
fn occupied(file: &ManifestFile, key: String, theirs: Stored) -> Option<Occupied> {
    let evidence = stands_against(file, &theirs)?.evidence();
    Some(Occupied { key, our_hash: file.sha256.clone(), theirs, evidence })
}

impl Attempt<'_> {
    /// Puts every unversioned file where nothing lies yet. `public`: what is known of their keys. `by_set`: files of which a set says that
    /// their bytes stay.
    pub(super) async fn place_unversioned(&self, public: &[Public], by_set: &BTreeSet<String>) -> Result<(), PublishFailure> {
        let wanted = |at: &usize| self.objects.file(*at).class == Class::Unversioned && public[*at] != Public::Same;
        let places: Vec<usize> = (0..self.objects.places()).filter(wanted).collect();
        self.see_whose_keys(&places).await?;
        // Numbers: a closure over borrowed files has no future that is known to be `Send`.
        let placed = futures::stream::iter(places).map(|at| {
            let lasts = if by_set.contains(&self.objects.file(at).path) { Publicly::ForEver } else { Publicly::ForNow };
            self.place_one(at, public[at], lasts)
        });
        let placed = placed.buffer_unordered(self.tools.parallel.max(1));
        let mut occupied: Vec<Occupied> = placed.try_filter_map(|occupied| async move { Ok(occupied) }).try_collect().await?;
        occupied.sort_by(|a, b| a.key.cmp(&b.key));
        // A refused or dead publish may have left them there as objects of its own, which no record names.
        if occupied.is_empty() { Ok(()) } else { Err(self.reclaim(occupied).await?) }
    }

    /// Files that were unversioned, and of which something proves by now that their bytes stay: at the same keys, under an asset's headers.
    /// With the number of a flip such a file would be taken for a public copy for ever, and no replica would get it.
    ///
    /// Call it when nothing can refuse the publish any more: a build that is refused must not have taken from an earlier version what its
    /// own names may change. A process that ends between this and the record leaves that behind, until the same version is published again.
    pub(super) async fn promote_all(&self, reused: Vec<usize>) -> Result<(), PublishFailure> {
        let assets = reused.into_iter().filter(|at| self.objects.file(*at).class == Class::Asset);
        let promoted = futures::stream::iter(assets).map(|at| self.promote(at)).buffer_unordered(self.tools.parallel.max(1));
        promoted.try_collect().await
    }

    async fn promote(&self, at: usize) -> Result<(), PublishFailure> {
        let (file, key) = (self.objects.file(at), self.objects.key(at));
        let there = self.tools.bucket.head(&key).await?;
        let public_copy = there.filter(|there| there.sequence.is_some() && there.sha256.as_ref() == Some(&file.sha256));
        let Some(there) = public_copy else { return Ok(()) };
        let attributes = object_attributes(file, Some(self.request.writer(&self.prepared.digest)));
        let body = self.prepared.bytes.body(&file.path, &file.sha256, file.size).await?;
        // Lost: somebody else wrote it, and the next look at it compares.
        self.tools.bucket.replace(&key, body, &attributes, &Expected::ETag(there.etag)).await?;
        Ok(())
    }

    /// Answers what keeps the file from its key.
    async fn place_one(&self, at: usize, public: Public, lasts: Publicly) -> Result<Option<Occupied>, PublishFailure> {
        let file = self.objects.file(at);
        let key = self.request.layout.key(&file.path);
        if public == Public::Other
            && let Some(there) = self.tools.bucket.head(&key).await?
        {
            return Ok(occupied(file, key, there));
        }
        self.place(file, lasts).await
    }

    async fn place(&self, file: &ManifestFile, lasts: Publicly) -> Result<Option<Occupied>, PublishFailure> {
        let key = self.request.layout.key(&file.path);
        let attributes = public_attributes(file, &self.request.writer(&self.prepared.digest), BEFORE_ANY_FLIP, lasts);
        let body = self.prepared.bytes.body(&file.path, &file.sha256, file.size).await?;
        match self.tools.bucket.create(&key, body, &attributes).await? {
            Created::New | Created::Same => Ok(None),
            Created::Other(there) => Ok(occupied(file, key, *there)),
        }
    }

    async fn see_whose_keys(&self, places: &[usize]) -> Result<(), PublishFailure> {
        let keys: Vec<String> = places.iter().map(|at| self.request.layout.key(&self.objects.file(*at).path)).collect();
        match Neighbours::new(&*self.tools.bucket, &self.request.layout, &self.request.release).of_any(&keys).await? {
            None => Ok(()),
            Some((key, Foreign { release, because })) => Err(PublishFailure::InvalidBuild {
                reason: "PathOfAnotherRelease",
                message: format!("{key:?} belongs to {release}: {because}; take the file out of the build"),
            }),
        }
    }
}
