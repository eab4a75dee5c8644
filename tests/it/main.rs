//! The one integration binary: each module is a rung of the ladder or a contract.

#![expect(clippy::unwrap_used, reason = "clippy knows test functions only, not what they share")]

mod bucket_contract;
mod dev_store;
mod generated;
