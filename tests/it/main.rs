//! The one integration binary: each module is a rung of the ladder or a contract.

#![expect(clippy::unwrap_used, reason = "clippy knows test functions only, not what they share")]

mod apiserver;
mod apiserver_parity;
mod bad_input;
mod bucket_contract;
mod chart;
mod crd;
mod dev_store;
mod egress;
mod examples;
mod failing_reads;
mod fuzz;
mod generated;
mod kustomize;
mod promises;
mod publish_program;
mod purity;
mod repository;
mod simulation;
mod source_http;
mod store_headers;
mod store_layout;
mod store_probe;
mod supply_chain;
mod sweep;
mod upload;
mod wording;

/// Says that something was not tested; a failure where everything must be.
#[expect(clippy::disallowed_methods, reason = "whoever runs the tests says whether something may be missing")]
#[expect(clippy::print_stderr, reason = "whoever reads the test's output must see what was not tested")]
fn skip(what: &str) {
    assert!(std::env::var_os("ROLLCALL_REQUIRE_ALL").is_none(), "{what}");
    eprintln!("SKIPPED: {what}");
}
