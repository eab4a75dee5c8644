//! How a version goes: withdrawn from the report, the withdrawal acknowledged, the pointer read again, and only then deleted.
//! Never the other way round: a controller that still sees the old report may be about to flip to that version (I2).

use std::time::Duration;

use super::{Core, Effect};
use crate::api::ManifestDigest;

/// A version that is completely here.
#[derive(Debug, Clone, Default)]
pub(super) struct Holding {
    unneeded_since: Option<Duration>,
    leaving: Leaving,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Leaving {
    #[default]
    Not,
    /// Not reported any more from this revision on.
    Withdrawn {
        revision: u64,
    },
    /// Withdrawal acknowledged; waits for the read with this number.
    Rereading {
        number: u64,
    },
    Deleting,
}

impl Holding {
    pub(super) fn is_available(&self) -> bool {
        self.leaving == Leaving::Not
    }

    pub(super) fn is_deleting(&self) -> bool {
        self.leaving == Leaving::Deleting
    }
}

impl Core {
    pub(super) fn evict(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        // Before the pointer is known nothing is known to be unneeded.
        if self.pointer.is_none() {
            return;
        }
        for digest in self.held.keys().cloned().collect::<Vec<_>>() {
            let needed = self.is_needed(&digest);
            let mut holding = self.held[&digest].clone();
            if needed && !holding.is_deleting() {
                holding = Holding::default();
            } else if !needed {
                holding.unneeded_since.get_or_insert(now);
                holding.leaving = self.next_phase(&digest, &holding, now, effects);
            }
            self.held.insert(digest, holding);
        }
    }

    fn is_needed(&self, digest: &ManifestDigest) -> bool {
        let served = [&self.serving, &self.switching].into_iter().flatten().any(|version| version.digest == *digest);
        self.is_wanted(digest) || served || self.rendered.as_ref() == Some(digest)
    }

    fn next_phase(&mut self, digest: &ManifestDigest, holding: &Holding, now: Duration, effects: &mut Vec<Effect>) -> Leaving {
        match holding.leaving {
            Leaving::Not if self.is_old(holding, now) => {
                // The publication that closes this pass lacks the digest, so it gets the next revision.
                Leaving::Withdrawn { revision: self.revision + 1 }
            }
            Leaving::Withdrawn { revision } if self.acknowledged >= revision => Leaving::Rereading { number: self.ask_for_read(effects) },
            Leaving::Rereading { number } if self.reads_answered >= number => {
                effects.push(Effect::Evict(digest.clone()));
                Leaving::Deleting
            }
            same => same,
        }
    }

    fn is_old(&self, holding: &Holding, now: Duration) -> bool {
        holding.unneeded_since.is_some_and(|since| now >= since + self.pace.age_floor)
    }

    /// When the age floors end of the versions that nothing needs.
    pub(super) fn eviction_due(&self) -> impl Iterator<Item = Duration> {
        let waiting = self.held.values().filter(|holding| holding.is_available());
        waiting.filter_map(|holding| holding.unneeded_since).map(|since| since + self.pace.age_floor)
    }
}
