//! The decision: from what is seen to what is done. Pure: no async, no clock, no client, no environment, no chance.
//!
//! ```text
//!  observe ──▶ Observed ──▶ decide ──▶ Decision { step, blockers, phase, wait } ──▶ act, publish
//!                             │
//!                             └─ rules, first match wins; the flip asks FLIP_GATES
//! ```
//!
//! To add a step: a variant in `decision.rs`, a rule in `decide.rs`, an arm in `controller/act.rs`, a line in `status.rs`, a
//! scenario. The matches are exhaustive, so the compiler lists the rest.

pub mod blocker;
pub mod converging;
pub mod deadline;
pub mod decide;
pub mod decision;
pub mod gates;
pub mod observed;
pub mod replicas;
pub mod retention;
pub mod roll_call;
pub mod status;
pub mod unseen;
pub mod watched;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod property_tests;

pub use blocker::Blocker;
pub use decide::decide;
pub use decision::{Decision, Step, Wait};
pub use observed::Observed;
