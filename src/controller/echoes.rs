//! The controller's own writes, which its watches bring back: no news for the pass that made them and knows what follows from them.
//! Never takes the write of another client for its own: a resource version names one write of one object.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::cluster::pods::ReleaseKey;

/// What was written last for each release.
#[derive(Default)]
pub(super) struct Echoes(Mutex<BTreeMap<ReleaseKey, Own>>);

/// Resource versions that the newest writes brought.
#[derive(Default)]
struct Own {
    release: String,
    pointer: String,
}

/// What a watch has shown, with its resource version.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Seen {
    /// The release.
    Release(String),
    /// Its pointer.
    Pointer(String),
}

impl Echoes {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ReleaseKey, Own>> {
        // Each holder only moves whole values in and out.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A write brought this version. The pass that made the write asks for another pass itself, where one is needed.
    pub(super) fn expect(&self, key: &ReleaseKey, written: Seen) {
        let mut all = self.lock();
        let own = all.entry(key.clone()).or_default();
        match written {
            Seen::Release(version) => own.release = version,
            Seen::Pointer(version) => own.pointer = version,
        }
    }

    /// Whether this is nothing but what we wrote last.
    pub(super) fn has(&self, key: &ReleaseKey, seen: &Seen) -> bool {
        self.lock().get(key).is_some_and(|own| match seen {
            Seen::Release(version) => own.release == *version,
            Seen::Pointer(version) => own.pointer == *version,
        })
    }

    /// Drops what is known of a release that is gone.
    pub(super) fn forget(&self, key: &ReleaseKey) {
        self.lock().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_own_write_of_an_object_is_an_echo() {
        let (echoes, key) = (Echoes::default(), ReleaseKey { namespace: "shop".into(), name: "web".into() });
        let release = |version: &str| Seen::Release(version.into());
        assert!(!echoes.has(&key, &release("7")), "nothing was written");
        echoes.expect(&key, release("7"));
        assert!(echoes.has(&key, &release("7")));
        assert!(!echoes.has(&key, &Seen::Pointer("7".into())), "it is another object");
        assert!(!echoes.has(&key, &release("8")), "another client wrote after us");
        echoes.expect(&key, release("9"));
        assert!(!echoes.has(&key, &release("7")));
        echoes.forget(&key);
        assert!(!echoes.has(&key, &release("9")));
    }
}
