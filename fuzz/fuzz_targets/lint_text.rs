//! Bytes as page, style, script and data. Never checks of its own: they are in `rollcall::testing::fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rollcall::testing::fuzz::lint_text(bytes));
