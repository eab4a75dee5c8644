//! Whose an object is, before it is deleted or replaced: whatever the claims say, nobody touches what another release wrote or names.
//! Never takes what cannot be read for nothing: then the object stays.
//!
//! An object is of the release that stands in its metadata. Below one prefix several releases may have written one after the other
//! (a prefix that was handed over, a pipeline without a release): each of them is named by a document below that very prefix, which only
//! its owner writes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use tokio::sync::OnceCell;

use super::claim::{below, read_claim};
use super::documents::{ReadFailure, list_all, read};
use super::records::{record_at, scan_manifest};
use crate::api::ManifestDigest;
use crate::bucket::{Bucket, BucketError, Stored};
use crate::manifest::{Layout, References, Writer};

/// Folders that are asked one by one whether somebody has claimed them; more than these are looked for in a listing.
const FOLDERS_ASKED: usize = 32;

/// Whose a key is, if it is not ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// `namespace/name` of the release, or what is known instead.
    pub release: String,
    /// How that is known.
    pub because: String,
}

/// What lies around and within a prefix, each asked for once.
pub(crate) struct Neighbours<'a> {
    bucket: &'a dyn Bucket,
    layout: &'a Layout,
    /// The release that asks.
    release: String,
    /// For each folder below the prefix who has claimed it, if somebody has.
    folders: Mutex<BTreeMap<String, Option<String>>>,
    /// Releases that may have written below this very prefix.
    writers: OnceCell<BTreeSet<String>>,
    /// Keys below the prefix that builds of prefixes around it name, each with that prefix.
    named_above: OnceCell<BTreeMap<String, String>>,
    /// Whether a build was recorded below this very prefix.
    builds: Mutex<BTreeMap<ManifestDigest, bool>>,
}

impl<'a> Neighbours<'a> {
    /// Of the prefix of this release.
    pub(crate) fn new(bucket: &'a dyn Bucket, layout: &'a Layout, release: &str) -> Self {
        Self {
            bucket,
            layout,
            release: release.to_owned(),
            folders: Mutex::default(),
            writers: OnceCell::new(),
            named_above: OnceCell::new(),
            builds: Mutex::default(),
        }
    }

    /// Who keeps us from replacing or deleting an object that was just looked at. Of a page that a recorded build of this very prefix
    /// has written, nothing more is asked.
    ///
    /// # Errors
    /// When the bucket fails, or a document cannot be understood.
    pub(crate) async fn of_object(&self, key: &str, stored: &Stored) -> Result<Option<Foreign>, ReadFailure> {
        if let Some(writer) = &stored.writer {
            if let Some(foreign) = self.of_writer(writer).await? {
                return Ok(Some(foreign));
            }
            if stored.sequence.is_some() && self.is_recorded_here(&writer.digest).await? {
                return Ok(None);
            }
        }
        self.of_key(key).await
    }

    /// Who wrote an object, if no release of this prefix did.
    pub(crate) async fn of_writer(&self, writer: &Writer) -> Result<Option<Foreign>, ReadFailure> {
        if writer.release == self.release || self.writers().await?.contains(&writer.release) {
            return Ok(None);
        }
        let because = format!("that release wrote it, for version {:?}", writer.version);
        Ok(Some(Foreign { release: writer.release.clone(), because }))
    }

    /// Who has a key, whatever lies there: who has claimed a folder that it lies in, or whose builds name it.
    pub(crate) async fn of_key(&self, key: &str) -> Result<Option<Foreign>, ReadFailure> {
        if let Some(foreign) = self.of_folders(key).await? {
            return Ok(Some(foreign));
        }
        let named = self.named_above().await?;
        let named_by = |prefix: &String| Foreign {
            release: format!("the release at the prefix {prefix:?}"),
            because: "a version that is recorded there names the key".to_owned(),
        };
        Ok(named.get(key).map(named_by))
    }

    /// Who has claimed a folder that the key lies in.
    pub(crate) async fn of_folders(&self, key: &str) -> Result<Option<Foreign>, ReadFailure> {
        let foreign = |folder: &str, release: String| Foreign { release, because: format!("the prefix {folder:?} is claimed") };
        if self.layout.excludes(key) {
            return Ok(Some(foreign(key, "of an excluded prefix".to_owned())));
        }
        for folder in self.layout.folders(key) {
            let known = self.folders().get(folder).cloned();
            let owner = match known {
                Some(owner) => owner,
                None => {
                    let owner = read_claim(self.bucket, &Layout::new(folder, "")).await?.map(|claim| claim.owner.release);
                    self.folders().insert(folder.to_owned(), owner.clone());
                    owner
                }
            };
            if let Some(release) = owner {
                return Ok(Some(foreign(folder, release)));
            }
        }
        Ok(None)
    }

    /// Who has claimed a folder that one of these keys lies in: asked for folder by folder, or for many folders by a listing.
    pub(crate) async fn of_any(&self, keys: &[String]) -> Result<Option<(String, Foreign)>, ReadFailure> {
        let folders: BTreeSet<&str> = keys.iter().flat_map(|key| self.layout.folders(key)).collect();
        if folders.len() > FOLDERS_ASKED {
            let nested = self.list_nested().await?;
            let mut known = self.folders();
            known.extend(folders.iter().map(|folder| ((*folder).to_owned(), None)));
            known.extend(nested);
        }
        for key in keys {
            if let Some(foreign) = self.of_folders(key).await? {
                return Ok(Some((key.clone(), foreign)));
            }
        }
        Ok(None)
    }

    async fn list_nested(&self) -> Result<BTreeMap<String, Option<String>>, ReadFailure> {
        let mut nested = BTreeMap::new();
        for prefix in below(self.bucket, self.layout).await? {
            let claim = read_claim(self.bucket, &Layout::new(&prefix, "")).await?;
            nested.insert(prefix, claim.map(|claim| claim.owner.release));
        }
        Ok(nested)
    }

    /// Releases that may have written below this very prefix: its owner, who published versions, and who uses them.
    async fn writers(&self) -> Result<&BTreeSet<String>, ReadFailure> {
        let read_all = async || {
            let mut writers = BTreeSet::new();
            writers.extend(read_claim(self.bucket, self.layout).await?.map(|claim| claim.owner.release));
            for listed in list_all(self.bucket, &self.layout.versions()).await? {
                writers.insert(record_at(self.bucket, &listed.key).await?.release);
            }
            for listed in list_all(self.bucket, &self.layout.references()).await? {
                writers.extend(read::<References>(self.bucket, &listed.key).await?.map(|references| references.release));
            }
            Ok(writers)
        };
        self.writers.get_or_try_init(read_all).await
    }

    async fn is_recorded_here(&self, digest: &ManifestDigest) -> Result<bool, BucketError> {
        let known = self.builds().get(digest).copied();
        if let Some(known) = known {
            return Ok(known);
        }
        let is_here = async |key: String| Ok::<_, BucketError>(self.bucket.head(&key).await?.is_some());
        let found = is_here(self.layout.manifest(digest)).await? || is_here(self.layout.swept(digest)).await?;
        self.builds().insert(digest.clone(), found);
        Ok(found)
    }

    /// Keys below our prefix that versions name which are recorded around it.
    pub(crate) async fn named_above(&self) -> Result<&BTreeMap<String, String>, ReadFailure> {
        let scan_all = async || {
            let mut named = BTreeMap::new();
            for outer in self.layout.ancestors() {
                match self.named_by(&outer, &mut named).await {
                    // It has given our prefix away, and lets us read nothing of its own: what it wrote says so itself.
                    Err(ReadFailure::Bucket(BucketError::Denied { .. })) if self.is_excluded_by(&outer).await? => {}
                    named => named?,
                }
            }
            Ok(named)
        };
        self.named_above.get_or_try_init(scan_all).await
    }

    async fn named_by(&self, outer: &Layout, named: &mut BTreeMap<String, String>) -> Result<(), ReadFailure> {
        let mut seen = BTreeSet::new();
        for listed in list_all(self.bucket, &outer.versions()).await? {
            let digest = record_at(self.bucket, &listed.key).await?.digest;
            if !seen.insert(digest.clone()) {
                continue;
            }
            let scanned = scan_manifest(self.bucket, outer, &digest, |line| {
                // A page lies at its path, too.
                for key in [outer.key(&line.path), outer.key(&line.key())] {
                    if key.starts_with(self.layout.prefix()) {
                        named.insert(key, outer.prefix().to_owned());
                    }
                }
            });
            match scanned.await {
                Err(ReadFailure::Malformed { .. }) if self.bucket.head(&outer.swept(&digest)).await?.is_some() => {}
                scanned => scanned?,
            }
        }
        Ok(())
    }

    async fn is_excluded_by(&self, outer: &Layout) -> Result<bool, ReadFailure> {
        let claim = read_claim(self.bucket, outer).await?;
        Ok(claim.is_some_and(|claim| outer.clone().excluding(&claim.excluded_prefixes).excludes(self.layout.prefix())))
    }

    fn folders(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Option<String>>> {
        self.folders.lock().expect("no holder of this lock panics")
    }

    fn builds(&self) -> std::sync::MutexGuard<'_, BTreeMap<ManifestDigest, bool>> {
        self.builds.lock().expect("no holder of this lock panics")
    }
}
