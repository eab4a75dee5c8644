//! The volume under bad conditions: wrong bytes, no space, and lives that ended in the middle.

mod hostile;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tempfile::TempDir;

use super::*;
use crate::agent::fetch::{FetchError, fetch_manifest};
use crate::agent::testing::{asset, entry, pointed};
use crate::manifest::Manifest;

/// Space that a test can take away.
#[derive(Debug, Default)]
pub(super) struct Space {
    full: AtomicBool,
}

impl Space {
    pub(super) fn take(&self, _bytes: usize) -> io::Result<()> {
        if self.full.load(Ordering::SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

const BASE: &str = "http://store/shop/";

/// A store in memory that counts what it was asked for.
#[derive(Default)]
pub(super) struct Store {
    pub objects: Mutex<BTreeMap<String, Bytes>>,
    asked: AtomicUsize,
}

impl Store {
    pub(super) fn put(&self, key: &str, bytes: &[u8]) {
        self.objects.lock().unwrap().insert(format!("{BASE}{key}"), Bytes::copy_from_slice(bytes));
    }

    pub(super) fn remove(&self, key: &str) {
        self.objects.lock().unwrap().remove(&format!("{BASE}{key}"));
    }

    pub(super) fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::SeqCst)
    }

    /// A build with these assets and an index page that has the version's name.
    pub(super) fn publish(&self, version: &str, assets: &[(&str, &str)]) -> PointedVersion {
        let page = entry("index.html", version.as_bytes());
        self.put(&page.key(), version.as_bytes());
        let mut files = vec![page];
        for (path, bytes) in assets {
            self.put(path, bytes.as_bytes());
            files.push(asset(path, bytes.as_bytes()));
        }
        let manifest = Manifest::new(files);
        let pointed = pointed(version, &manifest, BASE);
        self.put(pointed.manifest_url.strip_prefix(BASE).unwrap(), &manifest.to_bytes());
        pointed
    }
}

#[async_trait]
impl Fetch for Store {
    async fn get(&self, url: &str) -> Result<Pieces, FetchError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let bytes = self.objects.lock().unwrap().get(url).cloned();
        let bytes = bytes.ok_or_else(|| FetchError::Missing { url: url.into(), status: 404 })?;
        let half = bytes.len() / 2;
        Ok(futures::stream::iter([Ok(bytes.slice(..half)), Ok(bytes.slice(half..))]).boxed())
    }
}

pub(super) struct Volume {
    pub folder: TempDir,
    pub disk: Disk,
    pub store: Store,
}

impl Volume {
    pub(super) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        // Whatever was hashed is sealed at once.
        let disk = Disk::open_settling(folder.path(), 0).unwrap();
        Self { folder, disk, store: Store::default() }
    }

    pub(super) async fn load(&self, version: &PointedVersion) -> Result<(), MirrorError> {
        let fetched = fetch_manifest(&self.store, version).await?;
        self.store.asked();
        self.disk.load(version, &fetched, &self.store).await
    }

    /// What another life finds.
    pub(super) async fn held(&self) -> Vec<String> {
        let held = Disk::open(self.folder.path()).unwrap().held().await.unwrap();
        held.into_iter().map(|version| version.pointed.version).collect()
    }

    pub(super) async fn content(&self, bytes: &str) -> Option<String> {
        let length = bytes.len() as u64;
        let pieces = self.disk.read(&ContentHash::of(bytes.as_bytes()), 0..length).await.unwrap()?;
        let read: Vec<Bytes> = pieces.try_collect().await.unwrap();
        Some(String::from_utf8(read.concat()).unwrap())
    }

    pub(super) fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    pub(super) fn version(&self, digest: &ManifestDigest) -> PathBuf {
        self.path("versions").join(digest.hex())
    }

    pub(super) fn object(&self, bytes: &str) -> PathBuf {
        self.path("objects").join(ContentHash::of(bytes.as_bytes()).to_string())
    }

    pub(super) fn files(&self, version: &PointedVersion) -> PathBuf {
        self.version(&version.digest).join("files")
    }

    pub(super) fn leftovers(&self) -> usize {
        fs::read_dir(self.path("temp")).unwrap().count()
    }
}

#[tokio::test]
async fn a_loaded_version_is_there_with_all_its_files_and_outlives_the_agent() {
    let volume = Volume::new();
    let version = volume.store.publish("v1", &[("assets/a-1.js", "one"), ("assets/deep/b-1.js", "two")]);
    volume.load(&version).await.unwrap();
    assert_eq!(fs::read_to_string(volume.files(&version).join("assets/deep/b-1.js")).unwrap(), "two");
    assert_eq!(fs::read_to_string(volume.files(&version).join("index.html")).unwrap(), "v1");
    assert_eq!(volume.content("one").await.as_deref(), Some("one"));
    assert_eq!(volume.content("none").await, None);
    assert_eq!((volume.held().await, volume.leftovers()), (vec!["v1".to_owned()], 0));
    volume.load(&version).await.unwrap();
    assert_eq!(volume.store.asked(), 0, "complete already");
}

#[tokio::test]
async fn bytes_that_another_version_has_are_linked_and_not_fetched() {
    use std::os::unix::fs::MetadataExt as _;
    let volume = Volume::new();
    let first = volume.store.publish("v1", &[("assets/shared-1.js", "shared"), ("assets/a-1.js", "one")]);
    let second = volume.store.publish("v2", &[("assets/shared-1.js", "shared"), ("assets/a-2.js", "two")]);
    volume.load(&first).await.unwrap();
    volume.load(&second).await.unwrap();
    assert_eq!(volume.store.asked(), 2, "its page and one asset");
    let inode = |version| fs::metadata(volume.files(version).join("assets/shared-1.js")).unwrap().ino();
    assert_eq!(inode(&first), inode(&second));
}

#[tokio::test]
async fn ranges_are_read_from_the_middle() {
    let volume = Volume::new();
    let version = volume.store.publish("v1", &[("assets/a-1.js", "0123456789")]);
    volume.load(&version).await.unwrap();
    let pieces = volume.disk.read(&ContentHash::of(b"0123456789"), 3..6).await.unwrap().unwrap();
    let read: Vec<Bytes> = pieces.try_collect().await.unwrap();
    assert_eq!(read.concat(), b"345");
}

#[tokio::test]
async fn wrong_short_long_and_missing_bytes_show_nothing_and_are_mended_by_the_store() {
    for spoiled in [Some("onE"), Some("on"), Some("onee"), None] {
        let volume = Volume::new();
        let version = volume.store.publish("v1", &[("assets/a-1.js", "one"), ("assets/b-1.js", "two")]);
        match spoiled {
            Some(bytes) => volume.store.put("assets/a-1.js", bytes.as_bytes()),
            None => volume.store.remove("assets/a-1.js"),
        }
        let error = volume.load(&version).await.unwrap_err().to_string();
        assert!(error.contains("http://store/shop/assets/a-1.js"), "{error}");
        assert_eq!((volume.held().await, volume.leftovers(), volume.content("one").await), (vec![], 0, None), "{spoiled:?}");
        volume.store.put("assets/a-1.js", b"one");
        volume.load(&version).await.unwrap();
        assert_eq!(volume.held().await, ["v1"]);
    }
}

#[tokio::test]
async fn a_manifest_of_another_digest_is_refused() {
    let volume = Volume::new();
    let version = volume.store.publish("v1", &[]);
    let key = version.manifest_url.strip_prefix(BASE).unwrap();
    volume.store.put(key, br#"{"manifestVersion":1,"files":[]}"#);
    let error = volume.load(&version).await.unwrap_err();
    assert!(matches!(error, MirrorError::Fetch(FetchError::Spoiled { .. })), "{error}");
}

#[tokio::test]
async fn a_full_volume_costs_only_the_version_that_was_being_loaded() {
    let volume = Volume::new();
    let first = volume.store.publish("v1", &[("assets/a-1.js", "one")]);
    let second = volume.store.publish("v2", &[("assets/a-2.js", "two"), ("assets/a-1.js", "one")]);
    volume.load(&first).await.unwrap();
    volume.disk.space.full.store(true, Ordering::SeqCst);
    let error = volume.load(&second).await.unwrap_err();
    assert!(matches!(error, MirrorError::NoSpace { .. }), "{error}");
    assert_eq!(volume.leftovers(), 0);
    assert_eq!(fs::read_dir(volume.path("objects")).unwrap().count(), 2, "only what v1 has");
    assert_eq!((volume.content("one").await.as_deref(), volume.held().await), (Some("one"), vec!["v1".to_owned()]));
    volume.disk.space.full.store(false, Ordering::SeqCst);
    volume.load(&second).await.unwrap();
    assert_eq!(volume.content("two").await.as_deref(), Some("two"));
}

#[tokio::test]
async fn what_a_crash_left_half_done_is_never_shown_and_is_removed() {
    let volume = Volume::new();
    let version = volume.store.publish("v1", &[("assets/a-1.js", "one")]);
    volume.load(&version).await.unwrap();
    fs::create_dir_all(volume.path("temp/half/files")).unwrap();
    fs::write(volume.path("temp/half/files/x"), "x").unwrap();
    fs::write(volume.path("temp/piece"), "x").unwrap();
    let other = volume.version(&ManifestDigest::of(b"other"));
    fs::create_dir_all(&other).unwrap();
    assert_eq!(volume.held().await, ["v1"]);
    assert_eq!((volume.leftovers(), other.exists()), (0, false));
}

#[tokio::test]
async fn a_version_that_was_cut_short_behind_our_back_is_loaded_again() {
    for damage in ["files", "objects"] {
        let volume = Volume::new();
        let version = volume.store.publish("v1", &[("assets/a-1.js", "one")]);
        volume.load(&version).await.unwrap();
        let path = if damage == "files" { volume.files(&version).join("assets/a-1.js") } else { volume.object("one") };
        fs::remove_file(&path).unwrap();
        assert_eq!(volume.held().await, [] as [String; 0], "{damage}");
        volume.load(&version).await.unwrap();
        assert_eq!(volume.held().await, ["v1"]);
    }
}

#[tokio::test]
async fn a_load_that_is_dropped_leaves_nothing_behind_and_can_be_repeated() {
    struct Stuck;
    #[async_trait]
    impl Fetch for Stuck {
        async fn get(&self, _url: &str) -> Result<Pieces, FetchError> {
            let first = futures::stream::iter([Ok(Bytes::from_static(b"o"))]);
            Ok(first.chain(futures::stream::pending()).boxed())
        }
    }
    let volume = Volume::new();
    let version = volume.store.publish("v1", &[("assets/a-1.js", "one")]);
    let fetched = fetch_manifest(&volume.store, &version).await.unwrap();
    let stuck = volume.disk.load(&version, &fetched, &Stuck);
    assert!(tokio::time::timeout(std::time::Duration::from_millis(50), stuck).await.is_err());
    assert_eq!((volume.leftovers(), volume.held().await), (0, vec![]));
    volume.load(&version).await.unwrap();
}

#[tokio::test]
async fn an_evicted_version_takes_only_its_own_bytes_with_it() {
    let volume = Volume::new();
    let first = volume.store.publish("v1", &[("assets/shared-1.js", "shared"), ("assets/a-1.js", "one")]);
    let second = volume.store.publish("v2", &[("assets/shared-1.js", "shared")]);
    volume.load(&first).await.unwrap();
    volume.load(&second).await.unwrap();
    volume.disk.evict(&first.digest).await.unwrap();
    assert_eq!(volume.held().await, ["v2"]);
    assert_eq!((volume.content("one").await, volume.content("shared").await.as_deref()), (None, Some("shared")));
    assert_eq!(fs::read_to_string(volume.files(&second).join("assets/shared-1.js")).unwrap(), "shared");
    volume.disk.evict(&first.digest).await.unwrap();
}

#[tokio::test]
async fn the_current_version_and_its_name_map_are_replaced_at_once() {
    let volume = Volume::new();
    for name in ["v1", "v2"] {
        let version = volume.store.publish(name, &[]);
        volume.load(&version).await.unwrap();
        volume.disk.make_current(&version.digest, name).await.unwrap();
        assert_eq!(fs::read_to_string(volume.path("current/manifest.json")).unwrap(), name);
        assert_eq!(fs::read_to_string(volume.path("current/files/index.html")).unwrap(), name);
    }
    assert_eq!(volume.held().await.len(), 2, "a switch removes nothing");
}

#[tokio::test]
async fn a_path_that_leads_out_of_the_version_is_refused() {
    for path in ["../x", "/x", "a//b", "a/./b", "a\\b", "a\nb", ""] {
        assert!(matches!(check_path(path), Err(MirrorError::UnsafePath { .. })), "{path:?}");
    }
    let volume = Volume::new();
    let version = volume.store.publish("v1", &[("../../escaped.js", "x")]);
    assert!(matches!(volume.load(&version).await, Err(MirrorError::UnsafePath { .. })));
    assert_eq!(volume.store.asked(), 0, "refused before anything is fetched");
}

#[tokio::test]
async fn the_applications_user_may_read_what_is_mirrored() {
    use std::os::unix::fs::PermissionsExt as _;
    let volume = Volume::new();
    let version = volume.store.publish("v1", &[("assets/a-1.js", "one")]);
    volume.load(&version).await.unwrap();
    volume.disk.make_current(&version.digest, "{}").await.unwrap();
    for path in ["current", "current/files", "current/files/assets", "current/files/assets/a-1.js", "current/manifest.json"] {
        let mode = fs::metadata(volume.path(path)).unwrap().permissions().mode();
        assert_eq!(mode & 0o044, 0o044, "{path} has mode {mode:o}");
    }
}

/// A volume of 128 KiB; only root can make one, so elsewhere the injected error above has to do.
struct SmallVolume(TempDir);

impl SmallVolume {
    fn mount() -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let options = ["-t", "tmpfs", "-o", "size=128k", "rollcall-test"];
        let mounted = std::process::Command::new("mount").args(options).arg(folder.path()).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(folder))
    }
}

impl Drop for SmallVolume {
    fn drop(&mut self) {
        let _unmounted = std::process::Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

#[tokio::test]
async fn a_volume_that_is_really_full_recovers_when_there_is_room() {
    let Some(small) = SmallVolume::mount() else { return };
    let (store, disk) = (Store::default(), Disk::open(small.0.path()).unwrap());
    let (first, big) = (store.publish("v1", &[("assets/a-1.js", "one")]), "x".repeat(48 * 1024));
    let second = store.publish("v2", &[("assets/big-2.js", &big)]);
    let load = async |version: &PointedVersion| disk.load(version, &fetch_manifest(&store, version).await?, &store).await;
    load(&first).await.unwrap();
    let ballast = small.0.path().join("ballast");
    fs::write(&ballast, vec![0; 80 * 1024]).unwrap();
    assert!(matches!(load(&second).await, Err(MirrorError::NoSpace { .. })));
    disk.make_current(&first.digest, "{}").await.unwrap();
    fs::remove_file(&ballast).unwrap();
    load(&second).await.unwrap();
    assert_eq!(disk.held().await.unwrap().len(), 2);
}
