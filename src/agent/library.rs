//! The manifests known here, as the agent's loop changes them, and the catalogue made of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::catalogue::{Catalogue, Known};
use crate::api::{ManifestDigest, PointedVersion};
use crate::manifest::Manifest;

/// Manifests of versions that are not here any more, kept for misses: at 300 bytes per file, 16 builds of 10,000 files are 48 MB.
const GONE_MAX: usize = 16;

/// Changes the catalogue; everybody else only reads it.
#[derive(Debug)]
pub(super) struct Library {
    known: BTreeMap<ManifestDigest, Known>,
    /// Oldest knowledge first.
    order: Vec<ManifestDigest>,
    serving: Option<PointedVersion>,
    catalogue: watch::Sender<Arc<Catalogue>>,
}

impl Library {
    pub(super) fn new() -> Self {
        let catalogue = watch::Sender::new(Arc::default());
        Self { known: BTreeMap::new(), order: Vec::new(), serving: None, catalogue }
    }

    pub(super) fn catalogue(&self) -> watch::Receiver<Arc<Catalogue>> {
        self.catalogue.subscribe()
    }

    /// A manifest arrived; its files may be here or not.
    pub(super) fn learn(&mut self, pointed: PointedVersion, manifest: Arc<Manifest>, complete: bool) {
        let digest = pointed.digest.clone();
        let complete = complete || self.known.get(&digest).is_some_and(|known| known.complete);
        self.order.retain(|known| *known != digest);
        self.order.push(digest.clone());
        self.known.insert(digest, Known { pointed, manifest, complete });
        self.forget_oldest();
        self.rebuild();
    }

    /// Its files are here, or not any more.
    pub(super) fn mark(&mut self, digest: &ManifestDigest, complete: bool) {
        if let Some(known) = self.known.get_mut(digest) {
            known.complete = complete;
        }
        self.forget_oldest();
        self.rebuild();
    }

    /// Pages and name map are this version's from now on.
    pub(super) fn serve(&mut self, version: &PointedVersion) {
        self.serving = Some(version.clone());
        self.rebuild();
    }

    pub(super) fn manifest(&self, digest: &ManifestDigest) -> Option<Arc<Manifest>> {
        self.known.get(digest).map(|known| known.manifest.clone())
    }

    fn forget_oldest(&mut self) {
        let gone: Vec<_> = self.order.iter().filter(|digest| !self.known[*digest].complete).cloned().collect();
        for digest in gone.iter().take(gone.len().saturating_sub(GONE_MAX)) {
            self.known.remove(digest);
            self.order.retain(|known| known != digest);
        }
    }

    fn rebuild(&self) {
        let newest_first = self.order.iter().rev().map(|digest| self.known[digest].clone()).collect();
        self.catalogue.send_replace(Arc::new(Catalogue::new(newest_first, self.serving.as_ref())));
    }
}
