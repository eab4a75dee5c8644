//! The objects of a build as a table over its manifest: a number for each, no copies of keys. A build may have 200,000.
//! Never lists the same object twice: entry files with the same bytes share one.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::api::ContentHash;
use crate::manifest::object::ENTRIES_FOLDER;
use crate::manifest::{Class, Layout, Manifest, ManifestFile};

/// What a key of a build is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Purpose {
    /// It holds the bytes.
    Object,
    /// Visitors ask for it.
    Public,
}

/// All objects of one build. An object is named by the place of its file in the manifest.
pub(super) struct Objects {
    manifest: Arc<Manifest>,
    layout: Layout,
    /// Files whose object an earlier file has already.
    twins: BTreeSet<usize>,
}

impl Objects {
    pub(super) fn new(layout: &Layout, manifest: &Arc<Manifest>) -> Self {
        let mut seen = BTreeSet::<&ContentHash>::new();
        let entries = manifest.files.iter().enumerate().filter(|(_, file)| !file.class.lies_at_its_path());
        let twins = entries.filter(|(_, file)| !seen.insert(&file.sha256)).map(|(at, _)| at).collect();
        Self { manifest: manifest.clone(), layout: layout.clone(), twins }
    }

    /// Every object once.
    pub(super) fn all(&self) -> impl Iterator<Item = usize> {
        (0..self.manifest.files.len()).filter(|at| !self.twins.contains(at))
    }

    /// How many files the manifest has: every place is below.
    pub(super) fn places(&self) -> usize {
        self.manifest.files.len()
    }

    pub(super) fn count(&self) -> usize {
        self.manifest.files.len() - self.twins.len()
    }

    /// Bytes of all objects together.
    pub(super) fn bytes(&self) -> u64 {
        self.all().map(|at| self.file(at).size).sum()
    }

    pub(super) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub(super) fn shared_manifest(&self) -> Arc<Manifest> {
        Arc::clone(&self.manifest)
    }

    pub(super) fn file(&self, at: usize) -> &ManifestFile {
        &self.manifest.files[at]
    }

    /// Full key in the bucket.
    pub(super) fn key(&self, at: usize) -> String {
        self.layout.key(&self.file(at).key())
    }

    /// The object at a full key, if it is one of this build.
    pub(super) fn find(&self, key: &str) -> Option<usize> {
        let below = key.strip_prefix(self.layout.prefix())?;
        match below.strip_prefix(ENTRIES_FOLDER) {
            // Rare: only tombstones and conflicts are looked up, and entry files are few.
            Some(hash) => {
                let sha256: ContentHash = hash.parse().ok()?;
                self.all().find(|at| !self.file(*at).class.lies_at_its_path() && self.file(*at).sha256 == sha256)
            }
            None => self.asset(below),
        }
    }

    fn asset(&self, path: &str) -> Option<usize> {
        self.at_path(path).filter(|at| self.file(*at).class.lies_at_its_path())
    }

    /// Whether an unversioned file of this build lies at a full key for visitors.
    pub(super) fn is_public(&self, key: &str) -> bool {
        let at = key.strip_prefix(self.layout.prefix()).and_then(|path| self.at_path(path));
        at.is_some_and(|at| self.file(at).class == Class::Unversioned)
    }

    /// The file at a path of the build.
    pub(super) fn at_path(&self, path: &str) -> Option<usize> {
        self.manifest.files.binary_search_by(|file| file.path.as_str().cmp(path)).ok()
    }

    /// Keys below the prefix with their places, in the order in which a bucket lists them: all objects, and where unversioned files lie for
    /// visitors.
    pub(super) fn in_listing_order(&self) -> Vec<(Cow<'_, str>, usize, Purpose)> {
        let unversioned = (0..self.places()).filter(|at| self.file(*at).class == Class::Unversioned);
        let public = unversioned.map(|at| (Cow::Borrowed(self.file(at).path.as_str()), at, Purpose::Public));
        let mut keys: Vec<_> = self.all().map(|at| (self.file(at).key(), at, Purpose::Object)).chain(public).collect();
        keys.sort_unstable();
        keys
    }
}
