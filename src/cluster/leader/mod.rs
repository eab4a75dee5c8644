//! Leader election on a Lease: of all replicas of the controller one acts, the others stand by.
//!
//! The algorithm is client-go's ([`core`], pure), its carrying out is [`elector`], what it lets the rest of the program do is a [`Term`].
//! Never fences by itself: two processes may both take themselves for the leader for a moment. What holds then are the conditions of
//! every write, and the epoch that a new leader writes first (docs/decisions/0029).

pub mod core;
mod elector;
mod lease;
mod term;

pub use self::core::{InvalidTimes, Times};
pub use elector::{Elector, Ended, Leading};
pub use lease::LeaseObject;
pub use term::{MayWrite, NotLeading, OnlyWhileLeading, Term};
