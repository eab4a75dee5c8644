//! Retention: which versions something still refers to, and what may go. Pure: documents and listings in, a plan out; never a
//! clock, a client or chance. Every doubt ends in [`Doubt`], and then nothing goes (I5).
//!
//! ```text
//!  references, records, intents, pages ──▶ roots ──▶ which builds stay, and why
//!                                             │
//!  manifests, one at a time ──▶ ledger ◀──────┘      which keys they name
//!                                 │
//!  the listing, line by line ──▶ sweep                what goes, what stays, what is not known
//! ```

pub mod ledger;
pub mod references;
pub mod referrer;
pub mod roots;
pub mod sweep;

#[cfg(test)]
mod testing;

pub use ledger::{Ledger, Names, Standing};
pub use referrer::Referrer;
pub use roots::{Doubt, Facts, Reason, Roots, roots};
pub use sweep::{Fate, Nested, Plan, Tally};
