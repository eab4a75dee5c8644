//! Where builds come from: an archive is fetched, checked and taken apart into files whose hashes are known.
//! Never lets a name out of an archive become a path on this machine, and never hands out a file that was not checked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use crate::api::ContentHash;
use crate::api::release::HttpSource;
use crate::bucket::{Body, BucketError};
use crate::manifest::build::NewFile;

pub mod archive;
pub mod bucket;
pub mod folder;
pub mod http;
#[cfg(any(test, feature = "testing"))]
pub mod memory;
pub mod path;
pub mod workspace;

mod refusal;

pub use http::{HttpFetcher, HttpSettings};
pub use refusal::{PathProblem, Refusal};
pub use workspace::{Allotment, NoRoom, Room, Workspace};

/// What a release asks for: an archive behind a URL, with the version's name filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// URL of the archive.
    pub url: String,
    /// SHA-256 of the archive's bytes.
    pub sha256: ContentHash,
}

impl Wanted {
    /// Fills the version's name into `{version}`. The name needs no escaping but for `+`, which some servers read as a space.
    ///
    /// # Errors
    /// When the digest is none; the API server refuses that before, so it is a mistake of an older object.
    pub fn resolve(source: &HttpSource, version: &str) -> Result<Self, Refusal> {
        let sha256 = source.sha256.parse().map_err(|_| Refusal::InvalidDigest { given: source.sha256.clone() })?;
        Ok(Self { url: source.url.replace("{version}", &version.replace('+', "%2B")), sha256 })
    }

    /// The URL as messages may show it: without user, password and query, which carry secrets.
    #[must_use]
    pub fn shown_url(&self) -> String {
        shown(&self.url)
    }
}

/// A URL as messages may show it: without user, password, query and fragment.
#[must_use]
pub(crate) fn shown(url: &str) -> String {
    let Ok(mut parsed) = url::Url::parse(url) else { return "(not a URL)".to_owned() };
    // Fails only for URLs that have no host, and those cannot carry a password.
    let _ = parsed.set_username("");
    let _ = parsed.set_password(None);
    parsed.set_query(None);
    parsed.set_fragment(None);
    parsed.to_string()
}

/// A fetched build: its files, and where their bytes lie.
#[derive(Debug, Clone)]
pub struct Build {
    /// The files, sorted by path; no path twice.
    pub files: Vec<NewFile>,
    /// Where their bytes lie.
    pub bytes: Bytes,
}

/// Where the bytes of a build lie. Clones share it; a spool goes when the last of them goes.
#[derive(Debug, Clone)]
pub enum Bytes {
    /// In memory, by hash.
    Memory(Arc<BTreeMap<ContentHash, bytes::Bytes>>),
    /// In a folder of our own, each file under the name of its hash.
    Spool(Arc<Room>),
    /// In somebody's folder, each file at its path.
    Folder(Arc<Path>),
    /// In a bucket, and in a folder of our own as far as they came here.
    InBucket(Arc<bucket::InBucket>),
}

/// The folder within a spool that holds the files.
const SPOOLED: &str = "files";

impl Build {
    /// A build in memory.
    #[must_use]
    pub fn in_memory(files: impl IntoIterator<Item = (String, bytes::Bytes)>) -> Self {
        let mut contents = BTreeMap::new();
        let files = files.into_iter().map(|(path, bytes)| {
            let (size, sha256) = (bytes.len() as u64, ContentHash::of(&bytes));
            contents.insert(sha256.clone(), bytes);
            NewFile { path, size, sha256 }
        });
        let files = files.collect();
        Self::new(files, Bytes::Memory(Arc::new(contents)))
    }

    fn new(mut files: Vec<NewFile>, bytes: Bytes) -> Self {
        // In place: no path is there twice.
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Self { files, bytes }
    }
}

impl Bytes {
    /// The bytes of one file. What is not there is found out when they are read.
    ///
    /// # Errors
    /// When they have to come from a bucket, and cannot.
    pub async fn body(&self, path: &str, sha256: &ContentHash, size: u64) -> Result<Body, SourceError> {
        Ok(match self {
            Self::Memory(contents) => Body::Bytes(contents.get(sha256).cloned().unwrap_or_default()),
            Self::Spool(spool) => Body::File { path: spooled(spool).join(sha256.to_string()), size },
            Self::Folder(root) => Body::File { path: root.join(path), size },
            Self::InBucket(objects) => return objects.body(path, sha256, size).await,
        })
    }
}

fn workspace(path: &Path, error: &std::io::Error) -> SourceError {
    SourceError::Workspace { folder: path.parent().unwrap_or(path).to_path_buf(), cause: error.to_string() }
}

fn spooled(room: &Room) -> PathBuf {
    room.path().join(SPOOLED)
}

/// Why there is no build.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// No answer, or one that asks to come again: try later.
    #[error("{url} cannot be fetched for now: {cause}")]
    Unavailable {
        /// Where, without secrets.
        url: String,
        /// What was seen.
        cause: String,
    },
    /// This machine cannot hold the build: its disk is full or not writable. Try later.
    #[error("the workspace {folder} cannot hold the build: {cause}")]
    Workspace {
        /// The folder.
        folder: PathBuf,
        /// What was seen.
        cause: String,
    },
    /// Other builds hold the disk. Try later.
    #[error("the controller's workspace has no room for the build now: {why}; it is tried again")]
    NoRoom {
        /// Who has it.
        why: NoRoom,
    },
    /// A folder that a command was given, or a file in it, cannot be read.
    #[error("{} cannot be read: {cause}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What was seen.
        cause: String,
    },
    /// The bucket that the build lies in: it may answer later, or somebody mends credentials or bucket.
    #[error("the build in {place} cannot be read: {error}{}", advice(.error))]
    Bucket {
        /// Bucket and folder.
        place: String,
        /// What was seen.
        error: BucketError,
    },
    /// Nothing lies there (yet).
    #[error("there is nothing in {place}: put the build there, or correct spec.source.bucket; it is looked for again")]
    NoBuild {
        /// Bucket and folder.
        place: String,
    },
    /// Somebody writes there while the build is read: it is read again.
    #[error("{path:?} in {place} was changed while the build was read; give each build a folder of its own, and never write to it again")]
    Changed {
        /// Bucket and folder.
        place: String,
        /// The file.
        path: String,
    },
    /// The source is not acceptable: trying again changes nothing.
    #[error("{0}")]
    Refused(Refusal),
}

impl SourceError {
    /// A stable name for conditions, events and metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "SourceUnavailable",
            Self::Workspace { .. } | Self::Unreadable { .. } => "WorkspaceUnavailable",
            Self::NoRoom { .. } => "NoRoom",
            Self::Bucket { error, .. } => of_bucket(error),
            Self::NoBuild { .. } => "SourceNotFound",
            Self::Changed { .. } => "SourceChanged",
            Self::Refused(refusal) => refusal.reason(),
        }
    }
}

/// Other words than those for the release's own store: that one is in order.
fn of_bucket(error: &BucketError) -> &'static str {
    match error {
        // No source is written to: nobody is asked for a lock there.
        BucketError::Unavailable { .. } | BucketError::Locked { .. } => "SourceUnavailable",
        BucketError::Denied { .. } => "SourceAccessDenied",
        BucketError::NoSuchBucket { .. } => "SourceBucketNotFound",
        BucketError::NotAllowed { .. } => "HostNotAllowed",
        BucketError::Refused { .. } | BucketError::Unfit(_) => "SourceBucketRefused",
    }
}

fn advice(error: &BucketError) -> &'static str {
    const RIGHTS: &str = "; the keys of spec.source.bucket.credentials must be allowed to list and get below the folder";
    const PLACE: &str = "; correct name, region or endpoint of spec.source.bucket";
    match error {
        BucketError::Denied { .. } => RIGHTS,
        BucketError::NoSuchBucket { .. } => PLACE,
        BucketError::NotAllowed { .. } => crate::egress::ADVICE,
        BucketError::Unavailable { .. } | BucketError::Locked { .. } | BucketError::Refused { .. } | BucketError::Unfit(_) => {
            Default::default()
        }
    }
}

impl From<Refusal> for SourceError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// A place where builds come from.
///
/// Dropping the future ends the work soon and leaves nothing behind in the workspace.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// Fetches a build. What has to lie in files lies in a room of the workspace, which goes with the build.
    async fn fetch(&self, wanted: &Wanted, space: &Allotment) -> Result<Build, SourceError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_name_is_filled_into_the_url() {
        let source = HttpSource { url: "https://ci.example.com/{version}/shop-{version}.zip".into(), sha256: "a".repeat(64) };
        let wanted = Wanted::resolve(&source, "1.2+b").unwrap();
        assert_eq!(wanted.url, "https://ci.example.com/1.2%2Bb/shop-1.2%2Bb.zip");
        let bad = HttpSource { sha256: "x".into(), ..source };
        assert_eq!(Wanted::resolve(&bad, "1"), Err(Refusal::InvalidDigest { given: "x".into() }));
    }

    #[test]
    fn messages_show_no_secrets_of_a_url() {
        assert_eq!(shown("https://me:secret@ci.example.com/a.zip?token=secret#secret"), "https://ci.example.com/a.zip");
        assert_eq!(shown("nonsense"), "(not a URL)");
    }
}
