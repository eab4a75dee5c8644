//! The steps that make, check, switch and remove whole versions on the volume. Synchronous; called from a blocking thread.
//! Never leaves a folder in `versions` that is not complete.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::fs::Metadata;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use super::folder::{Folder, STEPS_MAX, Temporary, changed};
use super::{Disk, HeldVersion, MirrorError};
use crate::agent::fetch::FetchedManifest;
use crate::api::{ManifestDigest, PointedVersion};
use crate::manifest::{MANIFEST_BYTES_MAX, Manifest, ManifestFile};

/// Longest `version.json`: a label, a digest and two URLs.
const POINTED_BYTES_MAX: u64 = 64 * 1024;
/// More names in `versions` than any release keeps. What is beyond is looked at by the next life.
const VERSIONS_MAX: usize = 1_000;

/// The mirror's folders, by their handles.
#[derive(Debug)]
pub(super) struct Folders {
    root: Folder,
    pub objects: Folder,
    pub versions: Folder,
    pub temp: Folder,
}

impl Folders {
    /// Makes what is not there. What is there and not ours is put aside.
    pub(super) fn open(root: &Path) -> Result<Self, MirrorError> {
        let root = Folder::open_root(root)?;
        // Who makes folders on this volume when we do: some volumes give all files to one user.
        let (probe, name) = root.create_folder()?;
        let removed_at_the_end = Temporary::new(&root, name);
        let owner = probe.metadata()?.uid();
        let [objects, versions, temp] = ["objects", "versions", "temp"].map(|name| ours(&root, name, owner));
        drop(removed_at_the_end);
        Ok(Self { objects: objects?, versions: versions?, temp: temp?, root })
    }

    /// Whether their names still lead to them.
    pub(super) fn are_in_place(&self) -> bool {
        let named = [("objects", &self.objects), ("versions", &self.versions), ("temp", &self.temp)];
        named.into_iter().all(|(name, folder)| {
            let (there, here) = (self.root.metadata_of(name), folder.metadata().ok());
            there.zip(here).is_some_and(|(there, here)| same(&there, &here))
        })
    }
}

fn same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// The folder with this name, which only we may write to.
fn ours(root: &Folder, name: &str, owner: u32) -> Result<Folder, MirrorError> {
    let is_ours = |found: &Metadata| found.is_dir() && found.uid() == owner;
    if root.metadata_of(name).is_some_and(|found| !is_ours(&found)) {
        tracing::warn!(path = %root.path(name).display(), "this is no folder of the mirror's; it is put aside");
        put_aside(root, name)?;
    }
    let folder = root.make(name)?;
    if !is_ours(&folder.metadata()?) {
        return Err(changed(root.path(name), "it belongs to another user"));
    }
    folder.close_to_others()?;
    Ok(folder)
}

/// Under a name that nothing looks at, and away if it can be removed.
fn put_aside(root: &Folder, name: &str) -> Result<(), MirrorError> {
    let (_place, aside) = root.create_folder()?;
    let temporary = Temporary::new(root, aside.clone());
    root.rename(name, &root.folder(&aside)?, "aside")?;
    drop(temporary);
    Ok(())
}

/// Runs a synchronous step where it may block.
pub(super) async fn blocking<T: Send + 'static>(step: impl FnOnce() -> Result<T, MirrorError> + Send + 'static) -> Result<T, MirrorError> {
    tokio::task::spawn_blocking(step).await.expect("a step on the volume neither panics nor is cancelled")
}

/// Turns the system's error into ours, with what was tried and where.
pub(super) fn failed(action: &'static str, path: &Path) -> impl Fn(io::Error) -> MirrorError {
    let path = path.to_owned();
    move |error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => MirrorError::NoSpace { path: path.clone() },
        _ => MirrorError::Volume { action, path: path.clone(), cause: error.to_string() },
    }
}

impl Disk {
    /// Puts a version together from its objects and shows it at once. Complete already: nothing to do.
    pub(super) fn assemble(&self, version: &PointedVersion, fetched: &FetchedManifest) -> Result<(), MirrorError> {
        let (folders, name) = (self.folders_in_place()?, version.digest.hex());
        if folders.versions.metadata_of(name).is_some() {
            if self.is_complete(name, &fetched.manifest) {
                return Ok(());
            }
            self.take_away(&c_name(name))?;
        }
        let (folder, temp) = folders.temp.create_folder()?;
        let temp = Temporary::new(&folders.temp, temp);
        let files = folder.make("files")?;
        for file in &fetched.manifest.files {
            self.link(&folders, file, &files)?;
        }
        write(&folder, "stored.json", &fetched.stored)?;
        write(&folder, "version.json", &serde_json::to_vec(version).expect("a pointed version has only strings"))?;
        temp.rename(&folders.versions, name)
    }

    fn link(&self, folders: &Folders, file: &ManifestFile, files: &Folder) -> Result<(), MirrorError> {
        let (above, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
        let (object, to) = (file.sha256.to_string(), files.make_below(above)?);
        match folders.objects.link(&object, &to, name) {
            Err(error) if error != rustix::io::Errno::NOENT => self.copy(file, &to, name),
            result => result.map_err(|error| failed("link", &to.path(name))(error.into())),
        }
    }

    /// ext4 gives one file at most 65,000 names, and some volumes give it only one.
    fn copy(&self, file: &ManifestFile, to: &Folder, name: &str) -> Result<(), MirrorError> {
        let path = to.path(name);
        let missing = || failed("copy to", &path)(io::ErrorKind::NotFound.into());
        let mut object = self.object(&file.sha256)?.ok_or_else(missing)?.file;
        let (mut copy, made) = to.create()?;
        let temp = Temporary::new(to, made);
        io::copy(&mut object, &mut copy).map_err(failed("copy to", &path))?;
        temp.rename(to, name)
    }

    /// Every file is its object, or has the same bytes; nothing that is there is believed.
    fn is_complete(&self, version: &str, manifest: &Manifest) -> bool {
        let Ok(files) = self.folders().versions.folder(version).and_then(|shown| shown.folder("files")) else { return false };
        manifest.files.iter().all(|file| self.is_right(&files, file).unwrap_or(false))
    }

    fn is_right(&self, files: &Folder, file: &ManifestFile) -> Result<bool, MirrorError> {
        let Some(object) = self.object(&file.sha256)? else { return Ok(false) };
        let (above, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
        let folder = files.below(above)?;
        let linked = folder.metadata_of(name).is_some_and(|found| object.seal.is_same_file(&found));
        Ok(linked || self.seals.open(&folder, name, &file.sha256)?.is_some_and(|copy| copy.seal != object.seal))
    }

    /// Empties `temp`, removes versions that are not whole, and returns the others by digest.
    pub(super) fn recover(&self) -> Result<Vec<HeldVersion>, MirrorError> {
        let folders = self.folders_in_place()?;
        folders.temp.clear(STEPS_MAX)?;
        let mut held = Vec::new();
        for name in folders.versions.names()?.take(VERSIONS_MAX) {
            let found = name.to_str().ok().and_then(|name| self.read_version(name).filter(|held| self.is_complete(name, &held.manifest)));
            match found {
                Some(version) => held.push(version),
                None => self.take_away(&name)?,
            }
        }
        held.sort_by(|a: &HeldVersion, b| a.pointed.digest.cmp(&b.pointed.digest));
        Ok(held)
    }

    /// What the documents of a version say, which is under the name of its digest.
    pub(super) fn read_version(&self, name: &str) -> Option<HeldVersion> {
        let shown = self.folders().versions.folder(name).ok()?;
        let pointed: PointedVersion = serde_json::from_slice(&shown.read("version.json", POINTED_BYTES_MAX)?).ok()?;
        let manifest = Manifest::parse(&shown.read("stored.json", MANIFEST_BYTES_MAX)?, &pointed.digest).ok()?;
        (pointed.digest.hex() == name).then(|| HeldVersion { pointed, manifest: Arc::new(manifest) })
    }

    pub(super) fn replace_current(&self, digest: &ManifestDigest, name_map: &str) -> Result<(), MirrorError> {
        let folders = self.folders_in_place()?;
        let shown = folders.versions.folder(digest.hex())?;
        let (folder, temp) = folders.temp.create_folder()?;
        let _removed_at_the_end = Temporary::new(&folders.temp, temp);
        write(&folder, "manifest.json", name_map.as_bytes())?;
        folder.rename("manifest.json", &shown, "manifest.json")?;
        // Relative, so that it also holds where another container mounts the volume elsewhere.
        folder.symlink("current", &format!("versions/{}", digest.hex()))?;
        if folders.root.metadata_of("current").is_some_and(|found| found.is_dir()) {
            put_aside(&folders.root, "current")?;
        }
        folder.rename("current", &folders.root, "current")
    }

    pub(super) fn remove(&self, digest: &ManifestDigest) -> Result<(), MirrorError> {
        if self.folders().versions.metadata_of(digest.hex()).is_some() {
            self.take_away(&c_name(digest.hex()))?;
        }
        // The version is gone; objects that stay behind cost only space, and the next sweep takes them.
        let _next_time = self.sweep();
        Ok(())
    }

    /// Out of sight first, at once; then in pieces. What cannot be removed now is removed at the next start; the version is gone either way.
    fn take_away(&self, name: &CStr) -> Result<(), MirrorError> {
        let folders = self.folders();
        let (folder, temp) = folders.temp.create_folder()?;
        let _removed_at_the_end = Temporary::new(&folders.temp, temp);
        folders.versions.move_away(name, &folder)
    }

    /// Objects that are kept although no version is complete with them; see [`Disk::sweep`].
    pub(super) fn named_by_versions(&self) -> Result<BTreeSet<String>, MirrorError> {
        let names = self.folders().versions.names()?.take(VERSIONS_MAX);
        let versions = names.filter_map(|name| self.read_version(name.to_str().ok()?));
        Ok(versions.flat_map(|held| super::sweep::names(&held.manifest)).collect())
    }
}

fn c_name(name: &str) -> std::ffi::CString {
    std::ffi::CString::new(name).expect("a digest has no NUL")
}

fn write(folder: &Folder, name: &str, bytes: &[u8]) -> Result<(), MirrorError> {
    let (mut file, made) = folder.create()?;
    let temp = Temporary::new(folder, made);
    file.write_all(bytes).map_err(failed("write", &folder.path(name)))?;
    temp.rename(folder, name)
}
