//! What recorded versions say is in the bucket.
//! Never trusted for more than saving requests, unless every record could be read.

use std::collections::BTreeSet;

use super::documents::{ReadFailure, list_all};
use super::objects::Objects;
use super::previous::Before;
use super::records::{list_records, record_at, scan_manifest};
use crate::api::ManifestDigest;
use crate::bucket::{Bucket, BucketError, Listed};
use crate::manifest::evidence::{Seen, by_set};
use crate::manifest::{Class, Layout};

/// Manifests that are read at most to find out what need not be sent: a version that goes back on the one before, and one more.
const RECENT: usize = 3;

/// An older manifest is read only while more than one object in 20 is unknown: below that, asking for them one by one is cheaper.
const UNKNOWN_SHARE: usize = 20;

/// What the newest recorded versions have of a build.
pub(super) struct Recent {
    /// For each place of the manifest whether one of them has that object.
    pub(super) known: Vec<bool>,
    /// The newest with another name, if it was read.
    pub(super) before: Option<Before>,
    /// For each place of the manifest what is known of its public key, if it is an unversioned file.
    pub(super) public: Vec<Public>,
    /// Files whose names a set vouches for, by what that version had.
    pub(super) by_set: BTreeSet<String>,
}

/// What recorded versions say of an unversioned file's public key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Public {
    /// Nothing.
    #[default]
    Unknown,
    /// A file lies there, which had other bytes.
    Other,
    /// A file lies there, which had these bytes once: nothing of it can stand in their way.
    Same,
}

/// Looks through the newest recorded versions. A record or a manifest that cannot be read only costs requests for objects that are there.
pub(super) async fn recent(bucket: &dyn Bucket, layout: &Layout, version: &str, objects: &Objects) -> Result<Recent, BucketError> {
    let mut known = vec![false; objects.places()];
    let mut public = vec![Public::default(); objects.places()];
    let mut before = None;
    let mut seen = Seen::beside(objects.manifest());
    for listed in list_records(bucket, layout).await?.iter().take(RECENT) {
        let is_before = listed.key != layout.version(version) && before.is_none();
        let marked = match mark(bucket, layout, listed, objects, (&mut known, &mut public), is_before.then_some(&mut seen)).await {
            Ok(marked) => marked,
            Err(ReadFailure::Malformed { .. }) => None,
            Err(ReadFailure::Bucket(error)) => return Err(error),
        };
        if listed.key != layout.version(version) {
            before.get_or_insert(marked);
        }
        if objects.all().filter(|at| !known[*at]).count() <= objects.count() / UNKNOWN_SHARE {
            break;
        }
    }
    let manifest = objects.shared_manifest();
    // Up to 200,000 names, sorted and compared. Without an answer no set vouches for anything.
    let by_set = tokio::task::spawn_blocking(move || by_set(&manifest, &seen)).await.unwrap_or_default();
    Ok(Recent { known, public, before: before.flatten(), by_set })
}

/// Marks what the version of one record has; `None` when retention takes it: then it is not there, whatever its manifest says.
async fn mark(
    bucket: &dyn Bucket,
    layout: &Layout,
    listed: &Listed,
    objects: &Objects,
    (known, public): (&mut [bool], &mut [Public]),
    seen: Option<&mut Seen>,
) -> Result<Option<Before>, ReadFailure> {
    let record = record_at(bucket, &listed.key).await?;
    if bucket.head(&layout.swept(&record.digest)).await?.is_some() {
        return Ok(None);
    }
    let had = had_and_seen(bucket, layout, &record.digest, objects, Some(public), seen).await?;
    known.iter_mut().zip(&had).for_each(|(known, had)| *known |= had);
    Ok(Some(Before::new(record.version, objects, &had)))
}

/// For each place of the manifest whether the build with this digest has that object.
pub(super) async fn had(
    bucket: &dyn Bucket,
    layout: &Layout,
    digest: &ManifestDigest,
    objects: &Objects,
) -> Result<Vec<bool>, ReadFailure> {
    had_and_seen(bucket, layout, digest, objects, None, None).await
}

async fn had_and_seen(
    bucket: &dyn Bucket,
    layout: &Layout,
    digest: &ManifestDigest,
    objects: &Objects,
    mut public: Option<&mut [Public]>,
    mut seen: Option<&mut Seen>,
) -> Result<Vec<bool>, ReadFailure> {
    let mut had = vec![false; objects.places()];
    scan_manifest(bucket, layout, digest, |line| {
        // By path, for entries too: one with the same bytes under another name is asked for, and answered "the same".
        let is_same = |at: &usize| {
            objects.file(*at).class.lies_at_its_path() == line.class().lies_at_its_path() && line.has_hash(&objects.file(*at).sha256)
        };
        let at = objects.at_path(&line.path);
        if let Some(at) = at.filter(is_same) {
            had[at] = true;
        }
        if let Some((at, public)) = at.zip(public.as_deref_mut()).filter(|_| line.class() == Class::Unversioned) {
            let now = if line.has_hash(&objects.file(at).sha256) { Public::Same } else { Public::Other };
            public[at] = public[at].max(now);
        }
        if let Some(seen) = &mut seen {
            seen.add(&line.path, line.sha256());
        }
    })
    .await?;
    Ok(had)
}

/// Which of these keys any recorded version names. An error is doubt: then nothing may be deleted.
pub(super) async fn named(bucket: &dyn Bucket, layout: &Layout, keys: &BTreeSet<String>) -> Result<BTreeSet<String>, ReadFailure> {
    let wanted: BTreeSet<&str> = keys.iter().filter_map(|key| key.strip_prefix(layout.prefix())).collect();
    let (mut named, mut seen) = (BTreeSet::new(), BTreeSet::<ManifestDigest>::new());
    for listed in list_all(bucket, &layout.versions()).await? {
        let digest = record_at(bucket, &listed.key).await?.digest;
        if !seen.insert(digest.clone()) {
            continue;
        }
        let scanned = scan_manifest(bucket, layout, &digest, |line| {
            // The bytes of a file that may change lie under their hash, and for visitors they lie at its path.
            for key in [&*line.key(), &*line.path] {
                if let Some(key) = wanted.get(key) {
                    named.insert(layout.key(key));
                }
            }
        });
        match scanned.await {
            // Retention took this build, on purpose: it names nothing any more.
            Err(ReadFailure::Malformed { .. }) if is_swept(bucket, layout, &digest).await? => {}
            scanned => scanned?,
        }
    }
    Ok(named)
}

/// Whether the manifest is gone and retention says that it took it.
async fn is_swept(bucket: &dyn Bucket, layout: &Layout, digest: &ManifestDigest) -> Result<bool, BucketError> {
    Ok(bucket.head(&layout.manifest(digest)).await?.is_none() && bucket.head(&layout.swept(digest)).await?.is_some())
}
