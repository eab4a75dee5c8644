//! The release that `spec.adoptFrom` names, and what may be taken over from it.
//! Never lets anything be taken from a release that still exists, or that is of another namespace.

use super::{PointerFacts, ReleaseFacts};
use crate::api::watched::WatchedSelector;
use crate::retention::references::Inheritance;

/// Another release of the namespace, whose place this one takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Predecessor {
    /// Its name.
    pub name: String,
    /// Whether it is there, as of a read that was begun after the pointer's.
    pub presence: Presence,
    /// What its status remembers of pods that were left behind, while it is there.
    pub selectors: Vec<WatchedSelector>,
}

/// Whether a release is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// There is none of the name.
    Gone,
    /// It is being deleted: its candidate may have to be taken back.
    Ending,
    /// It is there.
    There,
}

impl Predecessor {
    /// What this release inherits in the bucket: nothing before the predecessor is gone and the pointer is this release's. Of two releases
    /// that name one predecessor and share its pointer, one has the pointer.
    #[must_use]
    pub fn leaves(&self, heir: &ReleaseFacts, pointer: &PointerFacts) -> Option<Inheritance> {
        let PointerFacts::Present(found) = pointer else { return None };
        let is_ours = found.release == heir.name && found.contest.is_none();
        (is_ours && self.presence == Presence::Gone)
            .then(|| Inheritance { release: format!("{}/{}", heir.namespace, self.name), sequence: found.pointer.sequence })
    }
}
