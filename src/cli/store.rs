//! Options of `rollcall store`. Never decides what a value means.

use clap::{Args, Subcommand};

use super::publish::{OutputArg, StoreArgs};

/// What to do with a store.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Delete what no release, cluster, pod or page refers to any more; `--dry-run` only says what that is
    Sweep(SweepArgs),
}

/// Options of `rollcall store sweep`.
#[derive(Debug, Args)]
pub struct SweepArgs {
    /// The prefix of one release: s3://BUCKET/PREFIX/
    #[arg(long, env = "ROLLCALL_TO")]
    pub to: String,
    /// Say what would go and delete nothing
    #[arg(long)]
    pub dry_run: bool,
    /// How to reach the bucket.
    #[command(flatten)]
    pub store: StoreArgs,
    /// Form of the result
    #[arg(long, value_enum, default_value = "text")]
    pub output: OutputArg,
}
