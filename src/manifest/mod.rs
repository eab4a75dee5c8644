//! What a build produced: the list of its files, what each one is, and under which keys everything lies in the bucket.
//! Pure: bytes in, values out; never reads a file, a clock or a bucket.

pub mod build;
pub mod claim;
pub mod classify;
pub mod closure;
pub mod evidence;
pub mod headers;
pub mod object;
pub mod readers;
pub mod record;
pub mod urls;
pub mod variant;

mod document;

pub use claim::{Claim, Overlap};
pub use document::{Class, Encoded, InvalidManifest, MANIFEST_BYTES_MAX, Manifest, ManifestFile, ManifestLine, Publicly};
pub use evidence::{Declared, Evidence};
pub use object::Layout;
pub use record::{BuildSummary, Intent, Owner, References, Swept, Tombstone, TombstonePhase, TriedOut, VersionRecord, Writer, WriterLock};
