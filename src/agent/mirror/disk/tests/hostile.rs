//! The volume in the hands of the application: links, pipes, swapped folders, other owners, other bytes, junk.

use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, OFlags};
use tempfile::TempDir;

use super::*;

/// Longer than a tick of any kernel's clock, in which two changes look like one.
const TICK: Duration = Duration::from_millis(25);

/// What is put in an object's place. On the volume, as no file of another one can be linked to.
type Attack<'a> = (&'a str, &'a dyn Fn(&Volume, &Path) -> std::io::Result<()>);
/// What is done to a volume whose version has these files.
type Spoil<'a> = (&'a str, &'a dyn Fn(&Volume, PathBuf));

/// A loaded version with the asset `secret` will be asked for, whose object the caller spoils.
async fn loaded(bytes: &str) -> (Volume, PointedVersion) {
    let volume = Volume::new();
    let version = volume.store.publish("v1", &[("assets/a-1.js", bytes)]);
    volume.load(&version).await.unwrap();
    assert_eq!(volume.content(bytes).await.as_deref(), Some(bytes));
    (volume, version)
}

async fn read(volume: &Volume, bytes: &str) -> Result<Option<Pieces>, MirrorError> {
    let hash = ContentHash::of(bytes.as_bytes());
    let read = volume.disk.read(&hash, 0..bytes.len() as u64);
    tokio::time::timeout(Duration::from_secs(10), read).await.expect("nothing on the volume should hold up a read")
}

/// It is refused, gone, and mended by the next load; nothing that was put there was ever answered.
async fn is_noticed_and_mended(volume: &Volume, version: &PointedVersion, bytes: &str, what: &str) {
    let refused = read(volume, bytes).await.err();
    assert!(matches!(refused, Some(MirrorError::Changed { .. })), "{what}: {refused:?}");
    assert!(matches!(read(volume, bytes).await, Ok(None)), "{what}: it should be gone");
    volume.load(version).await.unwrap();
    assert_eq!(volume.store.asked(), 1, "{what}: the one file");
    assert_eq!(volume.content(bytes).await.as_deref(), Some(bytes), "{what}");
    assert_eq!(fs::read_to_string(volume.files(version).join("assets/a-1.js")).unwrap(), bytes, "{what}: for the application, too");
}

fn replace(path: &Path, by: impl FnOnce(&Path) -> std::io::Result<()>) {
    fs::remove_file(path).unwrap();
    by(path).unwrap();
}

#[tokio::test]
async fn what_is_put_in_an_objects_place_is_not_served() {
    let outside = TempDir::new().unwrap();
    let token = outside.path().join("token");
    fs::write(&token, "a token").unwrap();
    let attacks: [Attack<'_>; 8] = [
        ("a link to /etc/hostname", &|_, path| symlink("/etc/hostname", path)),
        ("a link to the token", &|_, path| symlink(&token, path)),
        ("a link to a link on the volume", &|volume, path| {
            symlink(&token, volume.path("innocent"))?;
            symlink("../innocent", path)
        }),
        ("a pipe", &|_, path| Ok(rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o644), 0)?)),
        ("a folder", &|_, path| fs::create_dir_all(path.join("deep/deeper"))),
        ("a hard link to another file", &|volume, path| {
            fs::write(volume.path("other"), "other")?;
            fs::hard_link(volume.path("other"), path)
        }),
        ("longer bytes", &|_, path| fs::write(path, "bytes and more")),
        ("other bytes of the same length", &|_, path| fs::write(path, "BYTES")),
    ];
    for (what, attack) in attacks {
        let (volume, version) = loaded("bytes").await;
        replace(&volume.object("bytes"), |path| attack(&volume, path));
        is_noticed_and_mended(&volume, &version, "bytes", what).await;
    }
}

#[tokio::test]
async fn a_file_of_another_user_is_not_served() {
    let (volume, version) = loaded("bytes").await;
    // Only root may give files away; elsewhere this cannot be shown.
    if std::os::unix::fs::chown(volume.object("bytes"), Some(12_345), None).is_ok() {
        is_noticed_and_mended(&volume, &version, "bytes", "its owner").await;
    }
}

#[tokio::test]
async fn bytes_that_are_changed_in_place_are_noticed_although_length_and_times_are_as_before() {
    let (volume, version) = loaded("bytes").await;
    tokio::time::sleep(TICK).await;
    let path = volume.object("bytes");
    let before = fs::metadata(&path).unwrap();
    let mut file = fs::OpenOptions::new().write(true).open(&path).or_else(|_| {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
        fs::OpenOptions::new().write(true).open(&path)
    });
    file.as_mut().unwrap().write_all(b"BYTES").unwrap();
    let times = fs::FileTimes::new().set_modified(before.modified().unwrap()).set_accessed(before.accessed().unwrap());
    file.unwrap().set_times(times).unwrap();
    let after = fs::metadata(&path).unwrap();
    assert_eq!((before.len(), before.mtime_nsec(), before.ino()), (after.len(), after.mtime_nsec(), after.ino()));
    is_noticed_and_mended(&volume, &version, "bytes", "bytes changed in place").await;
}

/// A file that has just been written may change again within the same tick of the clock.
#[tokio::test]
async fn a_young_file_is_hashed_each_time_and_an_old_one_once() {
    let (volume, _) = loaded("bytes").await;
    let hash = ContentHash::of(b"bytes");
    let open = |seals: &Seals| seals.open(&volume.disk.folders().objects, &hash.to_string(), &hash).unwrap().unwrap();
    let young = Seals::new(&volume.disk.folders().temp, 3600).unwrap();
    assert!(open(&young).bytes.is_some() && open(&young).bytes.is_some());
    let old = Seals::new(&volume.disk.folders().temp, 0).unwrap();
    assert!(open(&old).bytes.is_some() && open(&old).bytes.is_none());
}

#[tokio::test]
async fn an_answer_is_broken_off_when_its_file_changes_meanwhile() {
    let bytes = "x".repeat(4 * READ_BYTES);
    let (volume, _) = loaded(&bytes).await;
    tokio::time::sleep(TICK).await;
    let mut pieces = read(&volume, &bytes).await.unwrap().unwrap();
    assert_eq!(pieces.next().await.unwrap().unwrap().len(), READ_BYTES);
    let path = volume.object(&bytes);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::OpenOptions::new().write(true).open(&path).unwrap().write_all(b"y").unwrap();
    assert!(pieces.next().await.unwrap().is_err());
}

#[tokio::test]
async fn folders_that_were_moved_away_or_replaced_by_links_are_not_followed_and_made_again() {
    let elsewhere = TempDir::new().unwrap();
    for name in ["objects", "versions", "temp"] {
        let (volume, first) = loaded("bytes").await;
        fs::rename(volume.path(name), volume.path("moved")).unwrap();
        symlink(elsewhere.path(), volume.path(name)).unwrap();
        assert_eq!(volume.content("bytes").await.as_deref(), Some("bytes"), "{name}: as it was opened");
        let second = volume.store.publish("v2", &[("assets/b-2.js", "two"), ("assets/a-1.js", "bytes")]);
        volume.load(&second).await.unwrap();
        assert_eq!(volume.content("two").await.as_deref(), Some("two"), "{name}");
        assert!(volume.held().await.contains(&"v2".to_owned()), "{name}");
        volume.load(&first).await.unwrap();
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0, "{name}: nothing goes where the link leads");
        assert!(volume.path(name).symlink_metadata().unwrap().is_dir(), "{name}");
    }
}

#[tokio::test]
async fn a_folder_of_another_user_is_put_aside() {
    let volume = Volume::new();
    fs::remove_dir_all(volume.path("objects")).unwrap();
    fs::create_dir(volume.path("objects")).unwrap();
    if std::os::unix::fs::chown(volume.path("objects"), Some(12_345), None).is_ok() {
        let version = volume.store.publish("v1", &[("assets/a-1.js", "one")]);
        volume.load(&version).await.unwrap();
        assert_ne!(fs::metadata(volume.path("objects")).unwrap().uid(), 12_345);
        assert_eq!(volume.held().await, ["v1"]);
    }
}

#[tokio::test]
async fn a_root_that_is_a_link_is_refused_and_folders_are_closed_to_others() {
    let folder = TempDir::new().unwrap();
    symlink("/etc", folder.path().join("mirror")).unwrap();
    assert!(matches!(Disk::open(&folder.path().join("mirror")), Err(MirrorError::Changed { .. })));
    fs::create_dir(folder.path().join("objects")).unwrap();
    fs::set_permissions(folder.path().join("objects"), fs::Permissions::from_mode(0o777)).unwrap();
    Disk::open(folder.path()).unwrap();
    assert_eq!(fs::metadata(folder.path().join("objects")).unwrap().mode() & 0o777, 0o755);
}

/// What another life finds was in the application's hands meanwhile.
#[tokio::test]
async fn a_restart_counts_no_version_whose_bytes_were_changed_or_lie_behind_a_link() {
    let attacks: [Spoil<'_>; 5] = [
        ("an object's bytes", &|volume, _| replace(&volume.object("bytes"), |path| fs::write(path, "BYTES"))),
        ("a file's bytes", &|_, files| replace(&files.join("assets/a-1.js"), |path| fs::write(path, "BYTES"))),
        ("a file by a link", &|volume, files| replace(&files.join("assets/a-1.js"), |path| symlink(volume.object("bytes"), path))),
        ("a folder by a link", &|volume, files| {
            fs::rename(files.join("assets"), volume.path("assets")).unwrap();
            symlink(volume.path("assets"), files.join("assets")).unwrap();
        }),
        ("the version by a link", &|volume, files| {
            let shown = files.parent().unwrap();
            fs::rename(shown, volume.path("shown")).unwrap();
            symlink(volume.path("shown"), shown).unwrap();
        }),
    ];
    for (what, attack) in attacks {
        let (volume, version) = loaded("bytes").await;
        assert_eq!(volume.held().await, ["v1"]);
        attack(&volume, volume.files(&version));
        assert_eq!(volume.held().await, [] as [String; 0], "{what}");
        volume.load(&version).await.unwrap();
        assert_eq!(volume.held().await, ["v1"], "{what}");
    }
}

#[tokio::test]
async fn documents_that_are_pipes_or_endless_do_not_hold_up_a_restart() {
    for name in ["version.json", "stored.json"] {
        let (volume, version) = loaded("bytes").await;
        let path = volume.version(&version.digest).join(name);
        replace(&path, |path| Ok(rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o644), 0)?));
        let held = tokio::time::timeout(Duration::from_secs(10), volume.held()).await;
        assert_eq!(held.expect("a pipe should hold up nobody"), [] as [String; 0]);
        let (volume, version) = loaded("bytes").await;
        let path = volume.version(&version.digest).join(name);
        replace(&path, |path| fs::File::create(path)?.set_len(1 << 40));
        assert_eq!(volume.held().await, [] as [String; 0]);
    }
}

/// Deeper than a stack and than the files that a process may have open.
fn deep(folder: &Path) {
    let mut handle = rustix::fs::openat(CWD, folder, OFlags::DIRECTORY, Mode::empty()).unwrap();
    for _ in 0..2_000 {
        rustix::fs::mkdirat(&handle, "d", Mode::from_raw_mode(0o755)).unwrap();
        handle = rustix::fs::openat(&handle, "d", OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
}

#[tokio::test]
async fn junk_of_any_shape_is_removed_and_holds_up_nothing() {
    let (volume, version) = loaded("bytes").await;
    let strange = std::ffi::OsStr::from_bytes(b"\xff\xfe\n");
    for name in ["objects", "versions", "temp"] {
        fs::write(volume.path(name).join(strange), "x").unwrap();
        fs::create_dir(volume.path(name).join("folder")).unwrap();
        deep(&volume.path(name).join("folder"));
    }
    (0..2_000).for_each(|number| drop(fs::File::create(volume.path("temp").join(format!("junk-{number}"))).unwrap()));
    assert_eq!(volume.held().await, ["v1"]);
    assert_eq!(volume.leftovers(), 0);
    let second = volume.store.publish("v2", &[]);
    volume.load(&second).await.unwrap();
    volume.disk.evict(&second.digest).await.unwrap();
    assert_eq!(fs::read_dir(volume.path("objects")).unwrap().count(), 2, "a page and an asset of v1");
    assert_eq!(fs::read_dir(volume.path("versions")).unwrap().count(), 1);
    volume.disk.make_current(&version.digest, "{}").await.unwrap();
}

#[tokio::test]
async fn a_folder_in_the_place_of_current_is_put_aside() {
    let (volume, version) = loaded("bytes").await;
    fs::create_dir_all(volume.path("current/x")).unwrap();
    volume.disk.make_current(&version.digest, "{}").await.unwrap();
    assert_eq!(fs::read_to_string(volume.path("current/manifest.json")).unwrap(), "{}");
}
