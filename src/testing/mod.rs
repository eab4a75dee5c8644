//! What tests stand on: an in-process API server and a world around it. Behind the feature `testing`.
//! Never part of a shipped binary, and never random: the same seed gives the same run.

pub mod apiserver;
pub mod builders;
pub mod fuzz;
pub mod script;
pub mod trace;
pub mod world;
