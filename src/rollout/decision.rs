//! What is to be done: at most one step, everything that is waited for, and when to look again. Data only: it prints and
//! compares, and nothing is left to choose for whoever carries it out.

use std::sync::Arc;

use jiff::Timestamp;

use crate::api::Pointer;
use crate::api::release::{Phase, SkippableGate};

use super::blocker::Blocker;
use super::observed::{Job, PointerGuard};
use super::roll_call::RollCall;

/// The outcome of one look at the facts.
#[must_use = "a decision that nobody carries out helps nobody"]
#[derive(Debug, Clone)]
pub struct Decision {
    /// The one thing to do now.
    pub step: Step,
    /// What is waited for, the most important first. Empty when the release is where it should be or a step leads there.
    pub blockers: Vec<Blocker>,
    /// Where the release is, in one word.
    pub phase: Phase,
    /// How far the roll call is, one for each target; empty when nothing is staged.
    pub rolls: Vec<RollCall>,
    /// When to look again even if nothing changes.
    pub wait: Wait,
}

/// When to look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// When something changes.
    Change,
    /// At this moment at the latest.
    Until(Timestamp),
    /// At once: a step was taken.
    Again,
}

/// One mutating step, with the precondition under which it was decided. Every step is safe when stale: a lost race means
/// "look again".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing to do.
    Nothing,
    /// Put our finalizer on the release.
    AddFinalizer,
    /// Take it off: nothing of the release is staged any more.
    RemoveFinalizer,
    /// Begin a job beside the loop.
    StartJob(Job),
    /// End the running job: what it was for is not wanted any more.
    CancelJob(Job),
    /// Make the pointer's `ConfigMap`, without data: a late or repeated create then cannot move anything (I4).
    CreatePointer,
    /// Make the pointer of a release that is gone this one's, by its label. The document stays as it is.
    AdoptPointer(PointerGuard),
    /// Write into the status under which epoch this controller leads, and change nothing else: the pointer moves in the look after it.
    TellEpoch,
    /// Write the pointer.
    WritePointer(Box<PointerWrite>),
}

/// One conditional write of the pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointerWrite {
    /// Which of the five writes this is.
    pub kind: PointerChange,
    /// UID and resource version that must still be there.
    pub expected: PointerGuard,
    /// The whole new document.
    pub pointer: Pointer,
    /// The active version's name map, when it is known and small enough; `None` takes the key away.
    pub name_map: Option<Arc<str>>,
}

/// Which write of the pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PointerChange {
    /// A candidate under a new stage number.
    Stage,
    /// The candidate becomes active.
    Flip {
        /// Gates that break-glass skipped.
        overridden: Vec<SkippableGate>,
    },
    /// The candidate is taken back.
    Unstage(UnstageReason),
    /// An empty pointer gets back what status knows of it.
    Restore,
    /// A new leader's epoch, and nothing else.
    Lead,
}

/// Why a candidate is taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnstageReason {
    /// The spec wants something else now.
    Superseded,
    /// `spec.suspend`.
    Suspended,
    /// The release is being deleted.
    Deleted,
    /// The progress deadline has passed, and the status says so.
    DeadlineExceeded,
}

impl UnstageReason {
    /// Stable CamelCase word for events.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Superseded => "Superseded",
            Self::Suspended => "Suspended",
            Self::Deleted => "Deleted",
            Self::DeadlineExceeded => "ProgressDeadlineExceeded",
        }
    }
}

impl Step {
    /// What it does, as a verb, for people.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Nothing => "wait",
            Self::AddFinalizer => "add the finalizer",
            Self::RemoveFinalizer => "remove the finalizer",
            Self::StartJob(_) => "start a job",
            Self::CancelJob(_) => "cancel a job",
            Self::CreatePointer => "create the pointer",
            Self::AdoptPointer(_) => "take over the pointer",
            Self::TellEpoch => "write the epoch",
            Self::WritePointer(write) => match write.kind {
                PointerChange::Stage => "stage",
                PointerChange::Flip { .. } => "flip",
                PointerChange::Unstage(_) => "unstage",
                PointerChange::Restore => "restore the pointer",
                PointerChange::Lead => "raise the epoch",
            },
        }
    }
}

impl Decision {
    /// Do this, then look again.
    pub fn step(phase: Phase, step: Step) -> Self {
        Self { step, blockers: Vec::new(), phase, rolls: Vec::new(), wait: Wait::Again }
    }

    /// Do nothing until this blocker goes away.
    pub fn blocked(phase: Phase, blocker: Blocker) -> Self {
        Self { step: Step::Nothing, blockers: vec![blocker], phase, rolls: Vec::new(), wait: Wait::Change }
    }

    /// Look again at this moment at the latest.
    pub fn until(self, at: Option<Timestamp>) -> Self {
        match at {
            Some(at) => Self { wait: Wait::Until(at), ..self },
            None => self,
        }
    }

    /// Look again at this moment at the latest, too.
    pub fn until_also(self, at: Option<Timestamp>) -> Self {
        let before = match self.wait {
            Wait::Until(before) => Some(before),
            Wait::Change | Wait::Again => None,
        };
        self.until(at.into_iter().chain(before).min())
    }
}
