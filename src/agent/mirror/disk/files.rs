//! The steps that make, check, switch and remove whole versions on the volume. Synchronous; called from a blocking thread.
//! Never leaves a folder in `versions` that is not complete.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use super::{Disk, HeldVersion, MirrorError};
use crate::agent::fetch::FetchedManifest;
use crate::api::{ManifestDigest, PointedVersion};
use crate::manifest::{Manifest, ManifestFile};

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

/// Temporary files and folders that the application's user may read once they have their name; by default only ours could.
pub(super) fn shared(mode: u32) -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.permissions(fs::Permissions::from_mode(mode));
    builder
}

impl Disk {
    /// Puts a version together from its objects and shows it at once. Complete already: nothing to do.
    pub(super) fn assemble(&self, version: &PointedVersion, fetched: &FetchedManifest) -> Result<(), MirrorError> {
        let shown = self.version(&version.digest);
        if shown.exists() {
            if self.is_complete(&shown, &fetched.manifest) {
                return Ok(());
            }
            self.take_away(&shown)?;
        }
        let temp = shared(0o755).tempdir_in(self.temp()).map_err(failed("make a folder in", &self.temp()))?;
        for file in &fetched.manifest.files {
            self.link(file, &temp.path().join("files").join(&file.path))?;
        }
        write(&temp.path().join("stored.json"), &fetched.stored)?;
        let pointed = serde_json::to_vec(version).expect("a pointed version has only strings");
        write(&temp.path().join("version.json"), &pointed)?;
        fs::rename(temp.path(), &shown).map_err(failed("rename to", &shown))?;
        // Its folder has moved: nothing is left to remove.
        let _moved = temp.keep();
        Ok(())
    }

    fn link(&self, file: &ManifestFile, to: &Path) -> Result<(), MirrorError> {
        let object = self.object(&file.sha256);
        let folder = to.parent().expect("a file lies in a folder");
        fs::create_dir_all(folder).map_err(failed("make the folder", folder))?;
        match fs::hard_link(&object, to) {
            // ext4 gives one file at most 65,000 names, and some volumes give it only one.
            Err(error) if error.kind() != io::ErrorKind::NotFound => fs::copy(&object, to).map(|_| ()).map_err(failed("copy to", to)),
            result => result.map_err(failed("link", &object)),
        }
    }

    /// Sizes are enough: names appear only after verification, so what can differ is a file that a node's crash cut short.
    fn is_complete(&self, shown: &Path, manifest: &Manifest) -> bool {
        let right = |path: &Path, file: &ManifestFile| fs::metadata(path).is_ok_and(|found| found.len() == file.size);
        let files = shown.join("files");
        manifest.files.iter().all(|file| right(&files.join(&file.path), file) && right(&self.object(&file.sha256), file))
    }

    /// Empties `temp`, removes versions that are not whole, and returns the others by digest.
    pub(super) fn recover(&self) -> Result<Vec<HeldVersion>, MirrorError> {
        empty(&self.temp())?;
        let mut held = Vec::new();
        for shown in entries(&self.root.join("versions"))? {
            match self.read_version(&shown) {
                Some(version) => held.push(version),
                None => self.take_away(&shown)?,
            }
        }
        held.sort_by(|a, b| a.pointed.digest.cmp(&b.pointed.digest));
        Ok(held)
    }

    pub(super) fn read_version(&self, shown: &Path) -> Option<HeldVersion> {
        let pointed: PointedVersion = serde_json::from_slice(&fs::read(shown.join("version.json")).ok()?).ok()?;
        let manifest = Manifest::parse(&fs::read(shown.join("stored.json")).ok()?, &pointed.digest).ok()?;
        let whole = *shown == self.version(&pointed.digest) && self.is_complete(shown, &manifest);
        whole.then(|| HeldVersion { pointed, manifest: Arc::new(manifest) })
    }

    pub(super) fn replace_current(&self, digest: &ManifestDigest, name_map: &str) -> Result<(), MirrorError> {
        let shown = self.version(digest);
        let temp = shared(0o755).tempdir_in(self.temp()).map_err(failed("make a folder in", &self.temp()))?;
        let (map, link) = (temp.path().join("manifest.json"), temp.path().join("current"));
        write(&map, name_map.as_bytes())?;
        fs::rename(&map, shown.join("manifest.json")).map_err(failed("rename to", &shown))?;
        // Relative, so that it also holds where another container mounts the volume elsewhere.
        std::os::unix::fs::symlink(Path::new("versions").join(digest.hex()), &link).map_err(failed("link", &link))?;
        let current = self.root.join("current");
        fs::rename(&link, &current).map_err(failed("rename to", &current))
    }

    pub(super) fn remove(&self, digest: &ManifestDigest) -> Result<(), MirrorError> {
        let shown = self.version(digest);
        if shown.exists() {
            self.take_away(&shown)?;
        }
        // The version is gone; objects that stay behind cost only space, and the next sweep takes them.
        let _next_time = self.sweep();
        Ok(())
    }

    /// Out of sight first, at once; then in pieces.
    fn take_away(&self, shown: &Path) -> Result<(), MirrorError> {
        let temp = shared(0o755).tempdir_in(self.temp()).map_err(failed("make a folder in", &self.temp()))?;
        fs::rename(shown, temp.path().join("gone")).map_err(failed("move away", shown))?;
        // What cannot be removed now is removed at the next start; the version is gone either way.
        let _later = temp.close();
        Ok(())
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), MirrorError> {
    fs::write(path, bytes).map_err(failed("write", path))
}

pub(super) fn entries(folder: &Path) -> Result<Vec<std::path::PathBuf>, MirrorError> {
    let listing = fs::read_dir(folder).map_err(failed("list", folder))?;
    listing.map(|entry| entry.map(|entry| entry.path()).map_err(failed("list", folder))).collect()
}

fn empty(folder: &Path) -> Result<(), MirrorError> {
    for path in entries(folder)? {
        let is_folder = fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir());
        let removed = if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(failed("remove", &path))?;
    }
    Ok(())
}
