//! Removes objects that no version here has and no load is about to use.
//! Never races with a load: a load claims its objects before it looks for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

pub(super) fn names(manifest: &Manifest) -> BTreeSet<String> {
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
        keep.extend(self.named_by_versions()?);
        for name in self.folders().objects.names()? {
            if !name.to_str().is_ok_and(|name| keep.contains(name)) {
                // What is not ours to remove stays, and does not keep the rest.
                let _not_ours = self.folders().objects.remove(&name);
            }
        }
        self.seals.keep_only(|hash| keep.contains(&hash.to_string()));
        Ok(())
    }
}
