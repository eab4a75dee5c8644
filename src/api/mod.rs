//! What users write and what others read: the two kinds, the pointer, the report, and every name in them.
//! Pure data: never a client, a clock or a decision.
//!
//! The rustdoc of [`store`] and [`release`] is what `kubectl explain` prints.

pub mod build;
pub mod conditions;
pub mod digest;
pub mod foreign;
pub mod moment;
pub mod names;
pub mod pointer;
pub mod recreated;
pub mod release;
pub mod report;
mod retention;
pub mod schema;
mod source;
pub mod status;
pub mod store;
pub mod watched;

pub use build::{BuildManifestSpec, BuildSpec, Format};
pub use digest::{ContentHash, ManifestDigest};
pub use foreign::ForeignText;
pub use pointer::{PointedVersion, Pointer};
pub use release::{AssetRelease, AssetReleaseSpec, AssetReleaseStatus};
pub use report::Report;
pub use store::{AssetStore, AssetStoreSpec, AssetStoreStatus};
