//! A bucket that has its manifests in a folder, compressed, and everything else in memory. Reads only.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use rollcall::api::ManifestDigest;
use rollcall::bucket::{Attributes, Body, Bucket, BucketError, Created, Expected, Listed, Page, Stored, Swapped};
use rollcall::clock::{Clock, SystemClock};
use rollcall::manifest::Layout;

use super::Failure;
use super::history::History;

/// The bucket.
pub struct Shelf {
    pub layout: Layout,
    folder: PathBuf,
    /// Every key with its length.
    keys: BTreeMap<String, u64>,
    documents: BTreeMap<String, Bytes>,
    read: AtomicU64,
}

impl Shelf {
    pub fn open(history: &History, folder: &Path) -> Result<Self, Failure> {
        let layout = Layout::new("", "shop/");
        let digests = fs::read_to_string(folder.join("digests"))?.lines().map(str::parse).collect::<Result<Vec<ManifestDigest>, _>>()?;
        let (records, references) = history.documents(&digests, SystemClock.now());
        let mut documents: BTreeMap<String, Bytes> = BTreeMap::new();
        for record in &records {
            documents.insert(layout.version(&record.version), serde_json::to_vec(record)?.into());
        }
        documents.insert(layout.references_of("c", "web/shop"), serde_json::to_vec(&references)?.into());
        let mut seen = BTreeSet::new();
        let mut keys: BTreeMap<String, u64> = documents.iter().map(|(key, bytes)| (key.clone(), bytes.len() as u64)).collect();
        for revisions in history.revisions() {
            for (number, revision) in revisions.into_iter().enumerate() {
                if seen.insert((number, revision)) {
                    let file = History::file(number, revision);
                    keys.insert(layout.key(&file.key()), file.size);
                }
            }
        }
        keys.extend(digests.iter().map(|digest| (layout.manifest(digest), 1)));
        Ok(Self { layout, folder: folder.to_owned(), keys, documents, read: AtomicU64::new(0) })
    }

    /// How many objects a listing shows.
    pub fn objects(&self) -> usize {
        self.keys.len()
    }

    /// Bytes of manifests that were read, uncompressed.
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

fn never(operation: &'static str, key: &str) -> BucketError {
    BucketError::Refused { operation, key: key.to_owned(), cause: "a plan only reads".to_owned() }
}

#[async_trait]
impl Bucket for Shelf {
    async fn create(&self, key: &str, _: Body, _: &Attributes) -> Result<Created, BucketError> {
        Err(never("create", key))
    }

    async fn replace(&self, key: &str, _: Body, _: &Attributes, _: &Expected) -> Result<Swapped, BucketError> {
        Err(never("replace", key))
    }

    async fn get(&self, key: &str, _: u64) -> Result<Option<Bytes>, BucketError> {
        let Some(digest) = self.layout.digest_at(&self.layout.manifests(), key) else { return Ok(self.documents.get(key).cloned()) };
        let unavailable =
            |error: std::io::Error| BucketError::Unavailable { operation: "get", key: key.to_owned(), cause: error.to_string() };
        let packed = fs::File::open(self.folder.join(format!("{}.json.zst", digest.hex()))).map_err(unavailable)?;
        let stored = zstd::decode_all(packed).map_err(unavailable)?;
        self.read.fetch_add(stored.len() as u64, Ordering::Relaxed);
        Ok(Some(stored.into()))
    }

    async fn read(&self, key: &str, _: &str) -> Result<Option<rollcall::bucket::Pieces>, BucketError> {
        Err(never("read", key))
    }

    async fn head(&self, _: &str) -> Result<Option<Stored>, BucketError> {
        Ok(None)
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, BucketError> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let mut rest = self.keys.range::<str, _>((start, Bound::Unbounded)).take_while(|(key, _)| key.starts_with(prefix));
        let listed = |(key, size): (&String, &u64)| Listed {
            key: key.clone(),
            size: *size,
            etag: "\"0123456789abcdef0123456789abcdef\"".to_owned(),
            last_modified: Timestamp::UNIX_EPOCH,
        };
        let objects: Vec<Listed> = rest.by_ref().take(1000).map(listed).collect();
        let next = rest.next().and(objects.last()).map(|last| last.key.clone());
        Ok(Page { objects, next })
    }

    async fn give_up_uploads(&self, prefix: &str, _: Timestamp) -> Result<u64, BucketError> {
        Err(never("give up uploads of", prefix))
    }

    async fn delete(&self, key: &str, _: &str) -> Result<Swapped, BucketError> {
        Err(never("delete", key))
    }
}
