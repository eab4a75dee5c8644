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

    /// A manifest arrived; of its files nothing new is known.
    pub(super) fn learn(&mut self, pointed: PointedVersion, manifest: Arc<Manifest>) {
        let digest = pointed.digest.clone();
        let complete = self.known.get(&digest).is_some_and(|known| known.complete);
        self.order.retain(|known| *known != digest);
        self.order.push(digest.clone());
        self.known.insert(digest, Known { pointed, manifest, complete });
        self.forget_oldest();
        self.rebuild();
    }

    /// Its files are here.
    pub(super) fn completed(&mut self, digest: &ManifestDigest) {
        self.change(digest, |known| known.complete = true);
    }

    /// Its files are not all here any more.
    pub(super) fn lost(&mut self, digest: &ManifestDigest) {
        self.change(digest, |known| known.complete = false);
    }

    fn change(&mut self, digest: &ManifestDigest, change: impl FnOnce(&mut Known)) {
        if let Some(known) = self.known.get_mut(digest) {
            change(known);
        }
        self.forget_oldest();
        self.rebuild();
    }

    /// The pointer names it with these URLs now: misses ask there.
    pub(super) fn repoint(&mut self, pointed: &PointedVersion) {
        if let Some(known) = self.known.get_mut(&pointed.digest)
            && known.pointed != *pointed
        {
            known.pointed = pointed.clone();
            self.rebuild();
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::catalogue::Lead;
    use crate::agent::testing::{asset, pointed};

    fn build(name: &str) -> (PointedVersion, Arc<Manifest>) {
        let manifest = Manifest::new(vec![asset(&format!("assets/{name}.js"), name.as_bytes())]);
        (pointed(name, &manifest, "http://store/"), Arc::new(manifest))
    }

    #[test]
    fn manifests_of_versions_that_are_gone_are_kept_up_to_a_limit_and_held_ones_always() {
        let mut library = Library::new();
        for number in 0..GONE_MAX + 3 {
            let (version, manifest) = build(&format!("v{number}"));
            let digest = version.digest.clone();
            library.learn(version, manifest);
            if number == 0 {
                library.completed(&digest);
            }
        }
        let catalogue = Arc::clone(&library.catalogue().borrow());
        let known = |number: usize| matches!(catalogue.lead(&format!("assets/v{number}.js")), Lead::File(_));
        assert_eq!([known(0), known(1), known(2), known(3), known(GONE_MAX + 2)], [true, false, false, true, true]);
    }

    #[test]
    fn misses_ask_where_the_pointer_says_now() {
        let mut library = Library::new();
        let (version, manifest) = build("v1");
        library.learn(version.clone(), manifest);
        let moved = PointedVersion { manifest_url: version.manifest_url.replace("store", "elsewhere"), ..version };
        library.repoint(&moved);
        let catalogue = Arc::clone(&library.catalogue().borrow());
        let Lead::File(found) = catalogue.lead("assets/v1.js") else { panic!("it is held") };
        assert_eq!(found.version.pointed.fetch_base(), "http://elsewhere/");
    }
}
