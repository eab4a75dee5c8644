//! Condition types: what True means, and when the condition is absent. Conditions are output: nothing is decided from them.

/// The wanted version is active and every pod serves it. kstatus: False with `Reconciling` while it moves, False with
/// `Stalled` when it cannot; Unknown with `Reconciling` while the API server does not let the controller look.
pub const READY: &str = "Ready";
/// Work is going on or waited for. Absent otherwise.
pub const RECONCILING: &str = "Reconciling";
/// Nothing more happens until a person changes something. Absent otherwise; never together with `Reconciling`.
pub const STALLED: &str = "Stalled";
/// The build of the wanted version is known: fetched and checked now, or recorded before.
pub const SOURCE_FETCHED: &str = "SourceFetched";
/// Every object of the wanted version was sent or found, and the version is recorded.
pub const UPLOADED: &str = "Uploaded";
/// The store was asked, for this staging, and has every object of the wanted version (I1).
pub const STORE_VERIFIED: &str = "StoreVerified";
/// Every pod that counts has the wanted version (I2). False with the reason `Overridden` while a version is active for whose flip break-glass
/// skipped the roll call.
pub const PODS_ACKNOWLEDGED: &str = "PodsAcknowledged";
/// The pointer's active version is the wanted one and, where the bucket serves the pages, so are they.
pub const ACTIVATED: &str = "Activated";
/// Every Ready pod serves the active version (I11).
pub const CONVERGED: &str = "Converged";
/// Another program writes the pointer's keys. Absent otherwise.
pub const POINTER_CONTESTED: &str = "PointerContested";

/// Retention deletes nothing, because it is not certain what may go; or what this release uses could not be written into the store, so that
/// sweeps of others do not know of it. The reason says why. Absent otherwise.
pub const RETENTION_BLOCKED: &str = "RetentionBlocked";

/// Those that are always there, in the order in which a release passes them.
pub const STEPS: [&str; 6] = [SOURCE_FETCHED, UPLOADED, STORE_VERIFIED, PODS_ACKNOWLEDGED, ACTIVATED, CONVERGED];
