//! Which keys the manifests of a prefix name, in little memory: 16 bytes of hash and a size for each key, however many
//! manifests name it, and one manifest at a time.
//! Never lets a key go by its hash alone in the wrong direction: two keys with one hash both stay if one of them does.

use std::collections::HashMap;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use sha2::{Digest as _, Sha256};

use super::roots::Doubt;
use crate::api::ManifestDigest;
use crate::manifest::{Class, InvalidManifest, Manifest, ManifestLine, classify, variant};

/// A key below the prefix, by its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash(u128);

impl KeyHash {
    /// The first 128 bits of the key's SHA-256: nobody can choose two names that meet.
    #[must_use]
    pub fn of(key: &str) -> Self {
        let hash: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        let (front, _) = hash.split_at(16);
        Self(u128::from_le_bytes(front.try_into().expect("half of 32 bytes is 16")))
    }
}

/// What a build's files are to the sweep.
#[derive(Debug, Clone)]
pub enum Standing {
    /// They stay.
    Kept,
    /// They go, but for those whose path one of these patterns matches.
    Going(Pins),
}

/// Patterns of pinned files.
#[derive(Debug, Clone, Default)]
pub struct Pins(Option<GlobSet>);

impl Pins {
    /// Of these patterns.
    ///
    /// # Errors
    /// [`Doubt::InvalidPin`]
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a String>) -> Result<Self, Doubt> {
        let mut set = GlobSetBuilder::new();
        let mut is_empty = true;
        for pattern in patterns {
            let invalid = |error: globset::Error| Doubt::InvalidPin { pattern: pattern.clone(), cause: error.kind().to_string() };
            set.add(GlobBuilder::new(pattern).literal_separator(true).build().map_err(invalid)?);
            is_empty = false;
        }
        let invalid = |error: globset::Error| Doubt::InvalidPin { pattern: String::new(), cause: error.to_string() };
        Ok(Self((!is_empty).then(|| set.build()).transpose().map_err(invalid)?))
    }

    /// Whether nothing is pinned.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn holds(&self, path: &str) -> bool {
        self.0.as_ref().is_some_and(|set| set.is_match(path))
    }
}

/// What one manifest names: made apart from the ledger, so that several can be read side by side.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Names {
    objects: Vec<(KeyHash, u64, IsPinned)>,
    /// Public keys of pages, and of whatever an older program took for an entry file.
    pages: Vec<KeyHash>,
    /// Public keys of unversioned files: they stay with their build, whatever lies there.
    public: Vec<KeyHash>,
    /// Public keys that a pin keeps. Never a page's: one that stays keeps its build, which only its writer can say.
    pinned: Vec<KeyHash>,
    /// The entry file that may stay in caches longest, and for how many seconds.
    pub longest_cached: Option<(String, u64)>,
}

type IsPinned = bool;

impl Names {
    /// Reads stored bytes that must have this digest. Files are looked at one by one; none is kept.
    ///
    /// # Errors
    /// When the bytes have another digest, are not a manifest, or are of an unknown format.
    pub fn read(stored: &[u8], expected: &ManifestDigest, standing: &Standing) -> Result<Self, InvalidManifest> {
        let mut names = Self::default();
        Manifest::scan(stored, expected, |line| names.add(line, standing))?;
        Ok(names)
    }

    fn add(&mut self, line: &ManifestLine<'_>, standing: &Standing) {
        let is_pinned = matches!(standing, Standing::Going(pins) if pins.holds(&line.path));
        self.objects.push((KeyHash::of(&line.key()), line.size, is_pinned));
        if !line.class().lies_at_its_path() {
            let keys = match line.class() {
                _ if is_pinned && !classify::is_page(variant::original_path(&line.path)) => &mut self.pinned,
                Class::Unversioned => &mut self.public,
                Class::Entry | Class::Asset => &mut self.pages,
            };
            keys.push(KeyHash::of(&line.path));
            let seconds = line.cache_control.as_deref().map_or(0, cached_for);
            if seconds > self.longest_cached.as_ref().map_or(0, |(_, longest)| *longest) {
                self.longest_cached = Some((line.path.clone().into_owned(), seconds));
            }
        }
    }
}

/// For how many seconds any cache may answer without asking, stale answers included.
fn cached_for(cache_control: &str) -> u64 {
    let directives = || cache_control.split(',').map(str::trim);
    if directives().any(|directive| directive == "no-store" || directive == "no-cache") {
        return 0;
    }
    let of = |name: &str| directives().find_map(|directive| directive.strip_prefix(name)?.strip_prefix('=')?.parse::<u64>().ok());
    let fresh = of("s-maxage").unwrap_or(0).max(of("max-age").unwrap_or(0));
    fresh.saturating_add(of("stale-while-revalidate").unwrap_or(0).max(of("stale-if-error").unwrap_or(0)))
}

/// What the manifests say of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// A build that stays has it.
    Kept,
    /// It stays by a pin alone.
    Pinned,
    /// Only builds that go have it, with this size.
    Going(u64),
    /// No object, but where an entry file of a build that stays lies for visitors.
    KeptPage,
    /// No object, but where a file of builds that go lies for visitors.
    Page,
}

impl Named {
    /// What two manifests say together. In any order: what keeps a key wins, and where they contradict each other the key stays.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Kept, _) | (_, Self::Kept)
            // An object to one build that goes, and a page to another.
            | (Self::KeptPage | Self::Page, Self::Going(_))
            | (Self::Going(_), Self::KeptPage | Self::Page) => Self::Kept,
            // Two builds that go differ in the size of one key: one of them is not what lies there, and which is not known.
            (Self::Going(one), Self::Going(other)) if one != other => Self::Kept,
            (Self::KeptPage, _) | (_, Self::KeptPage) => Self::KeptPage,
            (Self::Pinned, _) | (_, Self::Pinned) => Self::Pinned,
            (Self::Page, Self::Page) => Self::Page,
            (Self::Going(size), Self::Going(_)) => Self::Going(size),
        }
    }
}

/// All keys that the manifests of a prefix name.
#[derive(Debug, Default)]
pub struct Ledger {
    keys: HashMap<KeyHash, Named>,
}

impl Ledger {
    /// Enters what one manifest names. In any order; entering a build again as kept lifts all of its keys.
    pub fn enter(&mut self, names: &Names, standing: &Standing) {
        let is_kept = matches!(standing, Standing::Kept);
        for (key, size, is_pinned) in &names.objects {
            self.add(
                *key,
                match (is_kept, is_pinned) {
                    (true, _) => Named::Kept,
                    (false, true) => Named::Pinned,
                    (false, false) => Named::Going(*size),
                },
            );
        }
        let public = if is_kept { Named::Kept } else { Named::Page };
        let page = if is_kept { Named::KeptPage } else { Named::Page };
        for (keys, named) in [(&names.public, public), (&names.pages, page), (&names.pinned, Named::Pinned)] {
            for key in keys {
                self.add(*key, named);
            }
        }
    }

    fn add(&mut self, key: KeyHash, new: Named) {
        let named = self.keys.entry(key).or_insert(new);
        *named = named.and(new);
    }

    /// What the manifests say of a key below the prefix.
    #[must_use]
    pub fn named(&self, key: &str) -> Option<Named> {
        self.keys.get(&KeyHash::of(key)).copied()
    }

    /// How many keys are named.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no key is named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

#[cfg(test)]
mod tests;
