//! Readers of what build tools write about their own output: one file per format.
//! Never trusts a path that is not in the build.

pub mod vite;
