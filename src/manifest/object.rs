//! Where everything lies in the bucket: the one place that builds keys.
//! Never gives two different things the same key.

use std::fmt;

use crate::api::{ContentHash, ManifestDigest};

/// `Cache-Control` of everything whose bytes never change.
pub const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// `Cache-Control` of entry files and of Rollcall's own mutable documents: stored, but asked for again each time.
pub const REVALIDATE: &str = "no-cache";

/// The folder of Rollcall's own documents, below the release's prefix.
pub const OWN_FOLDER: &str = ".rollcall/";

/// The folder of entry files' immutable bytes, below the release's prefix.
pub const ENTRIES_FOLDER: &str = ".rollcall/entries/";

/// The keys of one release's prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    prefix: String,
    /// Parts of the prefix that belong to others, as keys of the bucket begin; each ends with `/`.
    excluded: Vec<String>,
}

impl Layout {
    /// `store_prefix` and `release_prefix` each end with `/` (or are empty).
    #[must_use]
    pub fn new(store_prefix: &str, release_prefix: &str) -> Self {
        Self { prefix: format!("{store_prefix}{release_prefix}"), excluded: Vec::new() }
    }

    /// The same prefix without these parts of it, which belong to others. Each is a folder below the prefix and ends with `/`.
    #[must_use]
    pub fn excluding<'e>(mut self, below: impl IntoIterator<Item = &'e String>) -> Self {
        self.excluded.extend(below.into_iter().map(|below| format!("{}{below}", self.prefix)));
        self.excluded.sort();
        self.excluded.dedup();
        self
    }

    /// The excluded parts, as they are called below the prefix.
    #[must_use]
    pub fn excluded(&self) -> Vec<String> {
        self.excluded.iter().map(|excluded| self.below(excluded).to_owned()).collect()
    }

    /// Whether a key (or prefix) of the bucket lies in an excluded part.
    #[must_use]
    pub fn excludes(&self, key: &str) -> bool {
        self.excluded.iter().any(|excluded| key.starts_with(excluded.as_str()))
    }

    /// Every prefix that this one lies within, the bucket's root first.
    #[must_use]
    pub fn ancestors(&self) -> Vec<Self> {
        let ends = self.prefix.match_indices('/').map(|(at, _)| at + 1).filter(|end| *end < self.prefix.len());
        let root = (!self.prefix.is_empty()).then_some(0);
        root.into_iter().chain(ends).map(|end| Self::new(&self.prefix[..end], "")).collect()
    }

    /// Every folder between this prefix and a key, the outermost first, as keys of the bucket begin. None for Rollcall's own folder.
    pub fn folders<'k>(&self, key: &'k str) -> impl Iterator<Item = &'k str> {
        let below = key.strip_prefix(self.prefix.as_str()).filter(|below| !below.starts_with(OWN_FOLDER));
        let begins = key.len() - below.map_or(0, str::len);
        below.into_iter().flat_map(move |below| below.match_indices('/').map(move |(at, _)| &key[..=begins + at]))
    }

    /// The prefix within this one that a document of Rollcall at this key speaks for: the outermost. What a store was tried out with
    /// speaks for none.
    #[must_use]
    pub fn nested<'k>(&self, key: &'k str) -> Option<&'k str> {
        let below = key.strip_prefix(self.prefix.as_str()).filter(|below| !below.starts_with(OWN_FOLDER))?;
        let at = below.find(&format!("/{OWN_FOLDER}"))? + 1;
        let is_trial = below[at + OWN_FOLDER.len()..].starts_with("probe/");
        (!is_trial).then(|| &key[..key.len() - below.len() + at])
    }

    /// What every key of the release begins with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Any key or path of a manifest, as a key of the bucket.
    #[must_use]
    pub fn key(&self, below: &str) -> String {
        format!("{}{below}", self.prefix)
    }

    /// A key of the bucket without what every key of the release begins with: as it is called in every place. One that does not begin
    /// so stays as it is; whoever has to know asks [`Layout::prefix`].
    #[must_use]
    pub fn below<'k>(&self, key: &'k str) -> &'k str {
        key.strip_prefix(&*self.prefix).unwrap_or(key)
    }

    /// The stored manifest.
    #[must_use]
    pub fn manifest(&self, digest: &ManifestDigest) -> String {
        self.own(&format!("manifests/{}.json", digest.hex()))
    }

    /// The record that binds a version's name to a digest.
    #[must_use]
    pub fn version(&self, version: &str) -> String {
        self.own(&format!("versions/{version}.json"))
    }

    /// What all version records begin with.
    #[must_use]
    pub fn versions(&self) -> String {
        self.own("versions/")
    }

    /// The object that names the one writer of this prefix.
    #[must_use]
    pub fn owner(&self) -> String {
        self.own("owner.json")
    }

    /// The lock of the one writer, where the store keeps no conditions.
    #[must_use]
    pub fn lock(&self) -> String {
        self.own("lock.json")
    }

    /// What the store was seen to do.
    #[must_use]
    pub fn tried(&self) -> String {
        self.own("store.json")
    }

    /// The intent of one publish.
    #[must_use]
    pub fn intent(&self, id: &str) -> String {
        self.own(&format!("intents/{id}.json"))
    }

    /// What all intents begin with.
    #[must_use]
    pub fn intents(&self) -> String {
        self.own("intents/")
    }

    /// The tombstone of one key (a key of the bucket).
    #[must_use]
    pub fn tombstone(&self, key: &str) -> String {
        self.own(&format!("sweeps/{}.json", ContentHash::of(key.as_bytes())))
    }

    /// The tombstone of one sweep's part.
    #[must_use]
    pub fn sweep(&self, id: &str) -> String {
        self.own(&format!("sweeps/{id}.json"))
    }

    /// What one release of one cluster uses.
    #[must_use]
    pub fn references_of(&self, cluster: &str, release: &str) -> String {
        self.own(&format!("references/{cluster}.{}.json", release.replace('/', ".")))
    }

    /// What the references of all releases begin with.
    #[must_use]
    pub fn references(&self) -> String {
        self.own("references/")
    }

    /// What all manifests begin with.
    #[must_use]
    pub fn manifests(&self) -> String {
        self.own("manifests/")
    }

    /// The sign that retention took a build.
    #[must_use]
    pub fn swept(&self, digest: &ManifestDigest) -> String {
        self.own(&format!("swept/{}.json", digest.hex()))
    }

    /// What the signs of all builds that retention took begin with.
    #[must_use]
    pub fn swept_all(&self) -> String {
        self.own("swept/")
    }

    /// The build whose manifest, or whose sign, lies at this key.
    #[must_use]
    pub fn digest_at(&self, folder: &str, key: &str) -> Option<ManifestDigest> {
        let hex = key.strip_prefix(folder)?.strip_suffix(".json")?;
        ManifestDigest::try_from(format!("sha256:{hex}")).ok()
    }

    /// What all tombstones begin with.
    #[must_use]
    pub fn tombstones(&self) -> String {
        self.own("sweeps/")
    }

    fn own(&self, name: &str) -> String {
        format!("{}{OWN_FOLDER}{name}", self.prefix)
    }
}

/// The key, below the release's prefix, of an entry file's immutable bytes.
#[must_use]
pub fn entry_object_key(hash: impl fmt::Display) -> String {
    format!("{ENTRIES_FOLDER}{hash}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_knows_what_it_lies_within_and_whose_documents_lie_within_it() {
        let layout = Layout::new("web/", "shop/").excluding(&["admin/".to_owned()]);
        let above: Vec<String> = layout.ancestors().iter().map(|above| above.prefix().to_owned()).collect();
        assert_eq!(above, ["", "web/"]);
        assert_eq!(Layout::new("", "").ancestors(), []);
        assert_eq!(layout.folders("web/shop/a/b/c.js").collect::<Vec<_>>(), ["web/shop/a/", "web/shop/a/b/"]);
        assert_eq!(layout.folders("web/shop/.rollcall/entries/x").count() + layout.folders("web/shop/x.js").count(), 0);
        assert_eq!(layout.nested("web/shop/a/.rollcall/owner.json"), Some("web/shop/a/"));
        assert_eq!(layout.nested("web/shop/a/.rollcall/x/.rollcall/owner.json"), Some("web/shop/a/"));
        for none in ["web/shop/.rollcall/owner.json", "web/shop/a/.rollcall/probe/1/x", "web/shop/a/x", "web/.rollcall/owner.json"] {
            assert_eq!(layout.nested(none), None, "{none}");
        }
        assert!(layout.excludes("web/shop/admin/x") && !layout.excludes("web/shop/administration/x") && !layout.excludes("web/shop/"));
        assert_eq!(layout.excluded(), ["admin/"]);
    }

    #[test]
    fn every_kind_of_object_has_its_own_place() {
        let layout = Layout::new("web/", "shop/");
        let digest = ManifestDigest::of(b"m");
        assert_eq!(layout.key("assets/a.js"), "web/shop/assets/a.js");
        assert_eq!(layout.manifest(&digest), format!("web/shop/.rollcall/manifests/{}.json", digest.hex()));
        assert_eq!(layout.version("2026.11.20-3"), "web/shop/.rollcall/versions/2026.11.20-3.json");
        assert_eq!(layout.owner(), "web/shop/.rollcall/owner.json");
        assert!(layout.intent("x").starts_with(&layout.intents()));
        assert!(layout.tombstone("web/shop/assets/a.js").starts_with(&layout.tombstones()));
        assert!(layout.version("x").starts_with(&layout.versions()));
    }
}
