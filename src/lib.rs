//! Rollcall: pages move to new assets only after every pod has them.

pub mod agent;
pub mod api;
pub mod bucket;
pub mod clock;
pub mod dev_store;
pub mod generate;
pub mod manifest;
pub mod rollout;
pub mod source;
pub mod upload;
