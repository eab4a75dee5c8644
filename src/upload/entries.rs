//! Puts entry files at their public keys (`entries.publish: Bucket`): the moment in which visitors see the new version.
//! Never takes the place of a later flip's file (I4), and never writes a page before what stands beside it (I10).
//!
//! S3 cannot fence: a stalled write of an earlier flip may land after this. So each file carries the number of its flip, and
//! [`entries_confirmed`] finds and [`publish_entries`] repairs it. A file whose bytes are right is right whatever lower number it
//! carries: flips in between had the same bytes, and any flip before those is refused by that number.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _};

use super::documents::ReadFailure;
use super::neighbours::{Foreign, Neighbours};
use super::unversioned::{BEFORE_ANY_FLIP, declared_immutable, public_attributes};
use crate::api::ContentHash;
use crate::bucket::{Attributes, Body, Bucket, BucketError, Created, Expected, Stored, Swapped};
use crate::manifest::build::ENTRY_BYTES_MAX;
use crate::manifest::classify::{is_beside_a_script, is_page};
use crate::manifest::variant::{self, Encoding};
use crate::manifest::{Class, Layout, Manifest, ManifestFile, Publicly, Writer};

/// Requests in flight; with [`SMALL`] files at most 16 MiB in memory.
const PARALLEL: usize = 16;

/// Larger files go one by one.
const SMALL: u64 = 1024 * 1024;

/// Looks at single keys in flight.
const LOOKS: usize = 64;

/// How often a lost race is looked at again before the caller hears of it.
const TRIES: usize = 5;

/// Which files of a flip lie at public keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlipFiles {
    /// Pages too: the bucket serves them.
    All,
    /// What is no page: the pods serve those.
    Unversioned,
}

fn of_flip(manifest: &Manifest, which: FlipFiles) -> impl Iterator<Item = &ManifestFile> {
    manifest.files.iter().filter(move |file| match file.class {
        Class::Asset => false,
        Class::Unversioned => true,
        Class::Entry => which == FlipFiles::All,
    })
}

/// What [`publish_entries`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EntriesPublished {
    /// Files written now.
    pub written: u64,
    /// Files that were right already.
    pub already: u64,
}

/// What [`entries_confirmed`] saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EntriesChecked {
    /// Files that are right.
    pub confirmed: u64,
    /// Keys of the bucket that have something else, or nothing: sorted, all of them.
    pub wrong: Vec<String>,
}

impl EntriesChecked {
    /// Whether every entry file is right.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.wrong.is_empty()
    }
}

/// Why not every entry file is in its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntriesFailure {
    /// The bucket.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// A later flip has been here: ours is over.
    #[error("{key:?} belongs to flip {theirs}, which is later than flip {ours}")]
    Superseded {
        /// The key of the bucket.
        key: String,
        /// The number that is there.
        theirs: i64,
        /// The number that we bring.
        ours: i64,
    },
    /// Another release has the key.
    #[error(
        "{key:?} belongs to {release}: {because}; nothing of another release is replaced: take the file out of the build, or give one of the two releases another prefix"
    )]
    Foreign {
        /// The key of the bucket.
        key: String,
        /// `namespace/name` of the release, or what is known instead.
        release: String,
        /// How that is known.
        because: String,
    },
    /// Whose the key is cannot be seen, as a document cannot be understood.
    #[error("whose {key:?} is cannot be seen, so nothing is written there: {cause}")]
    OwnerUnreadable {
        /// The key of the bucket.
        key: String,
        /// What is wrong, and where.
        cause: String,
    },
    /// Somebody else writes the key as often as we do.
    #[error("{key:?} changes as often as it is written: another program writes entry files below this prefix")]
    Contended {
        /// The key of the bucket.
        key: String,
    },
    /// Bytes that were declared immutable lie there (I3).
    #[error(
        "{key:?} holds other bytes, which an earlier version declared immutable: they never change; publish the build with another name for the file, or, to go back, name a version that has these bytes"
    )]
    Immutable {
        /// The key of the bucket.
        key: String,
    },
    /// The immutable bytes are gone.
    #[error("the stored bytes of {path:?}, {key:?}, are not in the store")]
    BytesMissing {
        /// The entry file.
        path: String,
        /// The key of the bucket.
        key: String,
    },
    /// The immutable bytes are not what the manifest says.
    #[error("the stored bytes of {path:?}, {key:?}, have the sha256 {actual}")]
    BytesDamaged {
        /// The entry file.
        path: String,
        /// The key of the bucket.
        key: String,
        /// What is there.
        actual: ContentHash,
    },
}

impl EntriesFailure {
    /// A stable name for conditions, events and metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Bucket(error) => super::failure::bucket_reason(error),
            Self::Superseded { .. } => "EntriesSuperseded",
            Self::Foreign { .. } => "EntriesForeign",
            Self::OwnerUnreadable { .. } => "DocumentDamaged",
            Self::Contended { .. } => "EntriesContended",
            Self::Immutable { .. } => "EntriesImmutable",
            Self::BytesMissing { .. } => "EntryBytesMissing",
            Self::BytesDamaged { .. } => "EntryBytesDamaged",
        }
    }
}

/// Puts every entry file of a flip at its public key: first what is no page, then pages, the root's `index.html` last. Files
/// that are right already are not written. What Rollcall did not write gives way too: the prefix is the release's, and adopting a
/// live site means to take over its pages.
///
/// # Errors
/// [`EntriesFailure::Superseded`] when a later flip was here; otherwise calling it again goes on.
pub async fn publish_entries(
    bucket: &dyn Bucket,
    layout: &Layout,
    manifest: &Manifest,
    sequence: i64,
    writer: &Writer,
) -> Result<EntriesPublished, EntriesFailure> {
    publish_public(bucket, layout, (manifest, FlipFiles::All), sequence, writer).await
}

/// [`publish_entries`] for a site whose pages the pods serve, without those: what is unversioned lies in the bucket all the same.
///
/// # Errors
/// As [`publish_entries`].
pub async fn publish_unversioned(
    bucket: &dyn Bucket,
    layout: &Layout,
    manifest: &Manifest,
    sequence: i64,
    writer: &Writer,
) -> Result<EntriesPublished, EntriesFailure> {
    publish_public(bucket, layout, (manifest, FlipFiles::Unversioned), sequence, writer).await
}

async fn publish_public(
    bucket: &dyn Bucket,
    layout: &Layout,
    (manifest, which): (&Manifest, FlipFiles),
    sequence: i64,
    writer: &Writer,
) -> Result<EntriesPublished, EntriesFailure> {
    let neighbours = Neighbours::new(bucket, layout, &writer.release);
    let place = Place { bucket, layout, sequence, writer, neighbours: &neighbours };
    let mut published = EntriesPublished::default();
    for rank in by_rank(of_flip(manifest, which)).into_values() {
        // Owned files: a closure over borrowed ones has no future that is known to be `Send`, and this runs as a task.
        for (files, parallel) in by_size(rank.into_iter().cloned().collect()) {
            let placed = futures::stream::iter(files).map(|file| async move { place.put(&file).await }).buffer_unordered(parallel);
            let placed: Vec<bool> = placed.try_collect().await?;
            published.written += placed.iter().filter(|written| **written).count() as u64;
            published.already += placed.iter().filter(|written| !**written).count() as u64;
        }
    }
    Ok(published)
}

/// Makes a version ready for its flip: an unversioned file whose public key has nothing is put there, and nothing may lie at the others that
/// would keep the flip from them. Whoever recorded the version has placed all of them; since then somebody may have deleted one, and another
/// version declared one immutable. Answers how many files were put there. Replaces nothing.
///
/// # Errors
/// [`EntriesFailure::Immutable`] where the flip could not replace what is there (I3); [`EntriesFailure::Foreign`] where the key of a file
/// that is not there belongs to another release.
pub async fn ready_for_flip(
    bucket: &dyn Bucket,
    layout: &Layout,
    (manifest, which): (&Manifest, FlipFiles),
    writer: &Writer,
) -> Result<u64, EntriesFailure> {
    let neighbours = Neighbours::new(bucket, layout, &writer.release);
    let place = Place { bucket, layout, sequence: BEFORE_ANY_FLIP, writer, neighbours: &neighbours };
    let files: Vec<ManifestFile> = of_flip(manifest, which).cloned().collect();
    let looked = futures::stream::iter(files).map(|file| async move { place.lacks(file).await }).buffer_unordered(LOOKS);
    let lacking: Vec<ManifestFile> = looked.try_filter_map(|file| async move { Ok(file) }).try_collect().await?;
    let count = lacking.len() as u64;
    for (files, parallel) in by_size(lacking) {
        let placed = futures::stream::iter(files).map(|file| async move { place.put_first(&file).await });
        placed.buffer_unordered(parallel).try_collect::<()>().await?;
    }
    Ok(count)
}

/// Files that are copied side by side, with how many at a time: what is in memory together stays below 64 MiB.
pub(super) fn by_size(files: Vec<ManifestFile>) -> [(Vec<ManifestFile>, usize); 2] {
    let (small, large) = files.into_iter().partition(|file| file.size <= SMALL);
    [(large, 1), (small, PARALLEL)]
}

/// Looks whether every entry file of a flip is at its public key. Writes nothing.
///
/// # Errors
/// When the bucket fails.
pub async fn entries_confirmed(bucket: &dyn Bucket, layout: &Layout, manifest: &Manifest) -> Result<EntriesChecked, BucketError> {
    let entries: Vec<ManifestFile> = of_flip(manifest, FlipFiles::All).cloned().collect();
    let looks = futures::stream::iter(entries).map(|file| async move {
        let key = layout.key(&file.path);
        let is_right = bucket.head(&key).await?.is_some_and(|stored| is_right(&stored, &file));
        Ok::<_, BucketError>((key, is_right))
    });
    let looks: BTreeMap<String, bool> = looks.buffer_unordered(PARALLEL).try_collect().await?;
    let confirmed = looks.values().filter(|is_right| **is_right).count() as u64;
    let wrong = looks.into_iter().filter(|(_, is_right)| !is_right).map(|(key, _)| key).collect();
    Ok(EntriesChecked { confirmed, wrong })
}

/// Pages load what is no page, lists name it, and visitors come in by the root's page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Loaded,
    Beside,
    Page,
    Front,
}

fn by_rank<'m>(files: impl IntoIterator<Item = &'m ManifestFile>) -> BTreeMap<Rank, Vec<&'m ManifestFile>> {
    let mut ranks = BTreeMap::<Rank, Vec<&ManifestFile>>::new();
    for file in files {
        let path = original_path(file);
        let rank = match file.class {
            Class::Unversioned => Rank::Loaded,
            Class::Entry | Class::Asset if path == "index.html" => Rank::Front,
            Class::Entry | Class::Asset if is_page(path) => Rank::Page,
            Class::Entry | Class::Asset => Rank::Beside,
        };
        ranks.entry(rank).or_default().push(file);
    }
    ranks
}

/// Our own bytes under our own headers, written by some flip of this release.
fn is_right(stored: &Stored, file: &ManifestFile) -> bool {
    stored.sha256.as_ref() == Some(&file.sha256)
        && stored.sequence.is_some()
        && stored.content_type.as_deref() == Some(&*file.content_type)
        && stored.cache_control.as_deref() == Some(&*file.cache_control)
        && stored.content_encoding.as_deref() == file.encoding().map(Encoding::word)
        || is_kept_map(stored, file)
        || is_kept_asset(stored, file)
}

/// A set vouched for the name, or some version has it as an immutable object.
fn is_for_ever(stored: &Stored) -> bool {
    declared_immutable(stored).is_some()
}

/// An object that an older Rollcall, or another version's evidence, took for immutable: with our own bytes it stays as it is, whatever class
/// this version has it in, or nothing would say any more that its bytes stay.
fn is_kept_asset(stored: &Stored, file: &ManifestFile) -> bool {
    is_for_ever(stored) && stored.sha256.as_ref() == Some(&file.sha256)
}

/// A source map that an older Rollcall stored under its name as an object: records name its bytes, so it stays (I3), and no page
/// needs the newer ones.
fn is_kept_map(stored: &Stored, file: &ManifestFile) -> bool {
    is_beside_a_script(original_path(file)) && stored.sequence.is_none() && stored.writer.is_some()
}

/// The path of what a file is a variant of: a page's variant is a page.
fn original_path(file: &ManifestFile) -> &str {
    if file.encoding().is_some() { variant::original_path(&file.path) } else { &file.path }
}

#[derive(Clone, Copy)]
struct Place<'a> {
    bucket: &'a dyn Bucket,
    layout: &'a Layout,
    sequence: i64,
    writer: &'a Writer,
    neighbours: &'a Neighbours<'a>,
}

impl Place<'_> {
    /// The file, if nothing is at its public key and something must be before any flip.
    async fn lacks(self, file: ManifestFile) -> Result<Option<ManifestFile>, EntriesFailure> {
        let key = self.layout.key(&file.path);
        match self.bucket.head(&key).await? {
            None => Ok((file.class == Class::Unversioned).then_some(file)),
            Some(there) if is_right(&there, &file) => Ok(None),
            Some(there) => match self.foreign(&key, Some(&there)).await? {
                Some(Foreign { release, because }) => Err(EntriesFailure::Foreign { key, release, because }),
                None if is_for_ever(&there) => Err(EntriesFailure::Immutable { key }),
                None => Ok(None),
            },
        }
    }

    async fn put_first(self, file: &ManifestFile) -> Result<(), EntriesFailure> {
        let key = self.layout.key(&file.path);
        if let Some(Foreign { release, because }) = self.foreign(&key, None).await? {
            return Err(EntriesFailure::Foreign { key, release, because });
        }
        match self.bucket.create(&key, self.bytes(file).await?, &self.attributes(file)).await? {
            Created::Other(there) if is_for_ever(&there) => Err(EntriesFailure::Immutable { key }),
            // Another version's file gives way with the flip.
            Created::New | Created::Same | Created::Other(_) => Ok(()),
        }
    }

    /// Answers whether it had to be written.
    async fn put(self, file: &ManifestFile) -> Result<bool, EntriesFailure> {
        let key = self.layout.key(&file.path);
        for _ in 0..TRIES {
            let there = self.bucket.head(&key).await?;
            if there.as_ref().is_some_and(|stored| is_right(stored, file)) {
                return Ok(false);
            }
            if let Some(Foreign { release, because }) = self.foreign(&key, there.as_ref()).await? {
                return Err(EntriesFailure::Foreign { key, release, because });
            }
            if there.as_ref().is_some_and(is_for_ever) {
                return Err(EntriesFailure::Immutable { key });
            }
            let expected = match there {
                Some(Stored { sequence: Some(theirs), .. }) if theirs > self.sequence => {
                    return Err(EntriesFailure::Superseded { key, theirs, ours: self.sequence });
                }
                Some(stored) => Expected::ETag(stored.etag),
                None => Expected::Absent,
            };
            let body = self.bytes(file).await?;
            if self.bucket.replace(&key, body, &self.attributes(file), &expected).await? == Swapped::Done {
                return Ok(true);
            }
        }
        Err(EntriesFailure::Contended { key })
    }

    /// Who keeps us from writing there.
    async fn foreign(self, key: &str, there: Option<&Stored>) -> Result<Option<Foreign>, EntriesFailure> {
        let foreign = match there {
            Some(stored) => self.neighbours.of_object(key, stored).await,
            None => self.neighbours.of_folders(key).await,
        };
        foreign.map_err(|failure| match failure {
            ReadFailure::Bucket(error) => EntriesFailure::Bucket(error),
            ReadFailure::Malformed { key: document, cause } => {
                EntriesFailure::OwnerUnreadable { key: key.to_owned(), cause: format!("{document:?} cannot be understood: {cause}") }
            }
        })
    }

    async fn bytes(self, file: &ManifestFile) -> Result<Body, EntriesFailure> {
        let key = self.layout.key(&file.key());
        let Some(bytes) = self.bucket.get(&key, ENTRY_BYTES_MAX).await? else {
            return Err(EntriesFailure::BytesMissing { path: file.path.clone(), key });
        };
        let actual = ContentHash::of(&bytes);
        if actual == file.sha256 {
            Ok(Body::Bytes(bytes))
        } else {
            Err(EntriesFailure::BytesDamaged { path: file.path.clone(), key, actual })
        }
    }

    fn attributes(self, file: &ManifestFile) -> Attributes {
        public_attributes(file, self.writer, self.sequence, Publicly::ForNow)
    }
}
