//! Removes objects that no version here has and no load is about to use.
//! Never races with a load: a load claims its objects before it looks for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::files::{entries, failed};
use super::{Disk, MirrorError};
use crate::manifest::Manifest;

/// What the loads under way are going to use.
#[derive(Debug, Default)]
pub(super) struct InUse {
    next: u64,
    loads: BTreeMap<u64, BTreeSet<String>>,
}

/// Holds a load's objects until it is dropped.
pub(super) struct Claim {
    number: u64,
    in_use: Arc<Mutex<InUse>>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        locked(&self.in_use).loads.remove(&self.number);
    }
}

fn locked(in_use: &Mutex<InUse>) -> MutexGuard<'_, InUse> {
    in_use.lock().unwrap_or_else(PoisonError::into_inner)
}

fn names(manifest: &Manifest) -> BTreeSet<String> {
    manifest.files.iter().map(|file| file.sha256.to_string()).collect()
}

impl Disk {
    pub(super) fn claim(&self, manifest: &Manifest) -> Claim {
        let mut in_use = locked(&self.in_use);
        in_use.next += 1;
        let number = in_use.next;
        in_use.loads.insert(number, names(manifest));
        Claim { number, in_use: Arc::clone(&self.in_use) }
    }

    pub(super) fn sweep(&self) -> Result<(), MirrorError> {
        // Held to the end: a load that begins meanwhile finds either the object or its absence, never one about to go.
        let in_use = locked(&self.in_use);
        let mut keep: BTreeSet<String> = in_use.loads.values().flatten().cloned().collect();
        for shown in entries(&self.root.join("versions"))? {
            if let Some(version) = self.read_version(&shown) {
                keep.extend(names(&version.manifest));
            }
        }
        for object in entries(&self.root.join("objects"))? {
            let kept = object.file_name().and_then(|name| name.to_str()).is_some_and(|name| keep.contains(name));
            if !kept {
                std::fs::remove_file(&object).map_err(failed("remove", &object))?;
            }
        }
        Ok(())
    }
}
