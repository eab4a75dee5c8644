//! Rollcall: pages move to new assets only after every pod has them.

pub mod admin;
pub mod agent;
pub mod api;
pub mod bucket;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod controller;
pub mod dev_store;
pub mod generate;
pub mod manifest;
pub mod metrics;
pub mod roles;
pub mod rollout;
pub mod source;
pub mod telemetry;
pub mod upload;
