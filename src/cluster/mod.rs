//! Kubernetes, in the words that Rollcall needs: bounded calls with classified errors, the pointer, the view of pods.
//!
//! There is no trait here: the seam is the HTTP service under [`kube::Client`], so tests run exactly this code over an
//! in-process API server (docs/decisions/0002). Never lets a call hang, and never writes without a precondition.

mod answers;

pub mod calls;
pub mod client;
pub mod leader;
pub mod lite;
pub mod nodes;
pub mod pods;
pub mod pointer;
pub mod reports;
pub mod seen;
pub mod streams;

pub use calls::{Call, CallError, Class};
