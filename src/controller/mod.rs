//! The loop: look (`observe`), think (`rollout::decide`), do (`act`), tell (`publish`).
//! Never decides anything itself, and never keeps anything that a restart would lose.

mod act;
mod asking;
mod asset_replicas;
mod asset_store;
mod breakers;
mod buckets;
mod coalesce;
mod context;
mod echoes;
mod guarded;
mod jobs;
mod keys;
mod looks;
mod namespaces;
mod observe;
mod places;
mod prefix;
mod publish;
mod reached;
mod release;
mod replicas;
mod retry;
mod run;
mod source;
mod store;
mod targets;
mod unseen;
mod work;
mod writers;

pub use buckets::{Buckets, S3Buckets};
pub use context::{Changes, Context, Outside, Settings};
pub use release::reconcile;
pub use retry::{Failure, delay};
pub use run::run;
pub(crate) use work::{FALLBACK_MISSING, no_fallback_message};
