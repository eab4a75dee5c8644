//! Generated files are what their sources say, so that a plain `cargo test` finds a forgotten `rollcall generate`.

use std::path::Path;

use rollcall::generate::{Mode, run};

#[test]
fn generated_files_are_up_to_date() {
    run(Mode::Check, Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap_or_else(|drift| panic!("{drift}"));
}
