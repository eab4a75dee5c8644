//! What the agent does next: events in, effects out. The pod's half of the roll call, and with it half of I2, I11 and I12.
//! Pure: never reads a clock, a file or the network; time is the duration since the agent began, so that no clock jump counts.

mod eviction;
mod state;

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::api::{ManifestDigest, PointedVersion, Pointer, Report};

pub use state::Core;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Time passed, or the agent began.
    Tick,
    /// The report with this revision, or a newer one, is where the controller reads it.
    Acknowledged {
        /// Revision of a [`Publication`].
        revision: u64,
    },
    /// A quorum read of the pointer, begun after the request with this number, found this.
    PointerRead {
        /// Number of the newest [`Effect::ReadPointer`] that the read answers.
        answers: u64,
        /// What it found.
        pointer: Pointer,
    },
    /// The same, but there is no pointer.
    PointerMissing {
        /// Number of the newest [`Effect::ReadPointer`] that the read answers.
        answers: u64,
    },
    /// The watch that began at the last read shows a newer pointer.
    PointerChanged {
        /// The newer one.
        pointer: Pointer,
    },
    /// The pointer could not be read, or not understood.
    PointerUnreadable {
        /// Why, for people.
        problem: String,
    },
    /// A version is completely here.
    Loaded {
        /// Which.
        version: PointedVersion,
    },
    /// A version could not be loaded.
    LoadFailed {
        /// Which.
        digest: ManifestDigest,
        /// Why, for people.
        problem: String,
    },
    /// Pages and name map are those of this version now.
    Switched {
        /// Which.
        version: PointedVersion,
    },
    /// Pages and name map could not be changed.
    SwitchFailed {
        /// Why, for people.
        problem: String,
    },
    /// The application said what it renders with; `None` when it can no longer be asked.
    Confirmed {
        /// What it renders with.
        rendered: Option<Rendered>,
    },
    /// A version was deleted.
    Evicted {
        /// Which.
        digest: ManifestDigest,
    },
    /// A version could not be deleted and is still complete.
    EvictFailed {
        /// Which.
        digest: ManifestDigest,
    },
    /// Files of a version are gone although nobody here deleted them.
    Lost {
        /// Which.
        digest: ManifestDigest,
    },
}

/// What an application renders with, as it says itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The version whose name map it has.
    pub digest: ManifestDigest,
    /// The flip for which the agent gave it that map, where it says so: the same version may be flipped to again at other URLs.
    pub sequence: Option<i64>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Put this report where the controller reads it; an older one that is still on its way may be left out.
    Publish(Publication),
    /// Read the pointer by GET without a resourceVersion, then watch from there.
    ReadPointer {
        /// Counts the requests.
        number: u64,
    },
    /// Make this version complete here.
    Load(PointedVersion),
    /// Stop loading this version: nobody wants it any more.
    Abandon(ManifestDigest),
    /// Serve this version's pages and name map.
    BeginServing(PointedVersion),
    /// Delete this version.
    Evict(ManifestDigest),
}

/// A report with its number and what goes beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// Grows by one with each change.
    pub revision: u64,
    /// The report itself.
    pub report: Report,
    /// Whether the pod may get traffic.
    pub ready: bool,
    /// One CamelCase word for the pod condition.
    pub reason: &'static str,
    /// Whether every wanted version is here or has failed: nothing is gained by waiting longer.
    pub settled: bool,
    /// The newest flip for which the agent's own pages and name map are served; 0 before the first.
    pub map_sequence: i64,
}

/// Whether an application beside the agent renders pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rendering {
    /// The agent serves the pages, so it knows what is served.
    Agent,
    /// Another program does: only what it confirmed is reported.
    Application,
}

/// What one agent drew, so that ten thousand of them do not do in one moment what a change of the pointer has all of them do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lot {
    /// Drawn anew by each life of an agent.
    Drawn(u64),
    /// The one that waits longest.
    Last,
}

impl Lot {
    /// From the boot id, which no two lives share.
    #[must_use]
    pub fn of(instance: &str) -> Self {
        Self::Drawn(instance.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)))
    }

    /// This agent's part of a time; `nth` draws again.
    #[must_use]
    pub fn part_of(self, time: Duration, nth: u64) -> Duration {
        match self {
            Self::Last => time,
            Self::Drawn(lot) => {
                let mut mixed = lot.wrapping_add(nth.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                let thousandths = u32::try_from((mixed ^ (mixed >> 31)) % 1000).expect("below a thousand");
                time / 1000 * thousandths
            }
        }
    }
}

/// How long things take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Delay before the first repeat of a failed load; doubles.
    pub retry_first: Duration,
    /// Longest delay between two attempts.
    pub retry_max: Duration,
    /// How long a version stays after nothing wanted or served it: open tabs still ask for it.
    pub age_floor: Duration,
    /// Agents of Ready pods begin to load a version within this time after it was staged, each at a moment of its own.
    pub load_spread: Duration,
    /// Which of these moments is this agent's, and how its repeats differ from those of others.
    pub lot: Lot,
}

impl Pace {
    /// Delay after this many failures in a row (from 1): from half of what doubles to the whole of it.
    #[must_use]
    pub fn delay(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        let half = self.retry_first.saturating_mul(1 << doublings).min(self.retry_max) / 2;
        half + self.lot.part_of(half, u64::from(failures))
    }

    /// How long after it was first wanted a version's load begins.
    #[must_use]
    pub fn begin_after(&self, stage: i64) -> Duration {
        self.lot.part_of(self.load_spread, stage.unsigned_abs())
    }
}

/// Longest problem text: a pod condition is read by every controller that watches pods, so it stays small.
pub const PROBLEM_CHARS_MAX: usize = 600;
