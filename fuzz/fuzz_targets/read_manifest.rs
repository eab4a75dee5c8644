//! Bytes as the manifest of a build tool. Never checks of its own: they are in `rollcall::testing::fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rollcall::testing::fuzz::read_manifest(bytes));
