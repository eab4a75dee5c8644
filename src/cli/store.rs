//! Options of `rollcall store`. Never decides what a value means.

use clap::{Args, Subcommand};

use super::publish::{ClusterArgs, OutputArg, StoreArgs};
use crate::publish::{BucketUrl, version_label};

/// What to do with a store.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Delete what no release, cluster, pod or page refers to any more; `--dry-run` only says what that is
    Sweep(SweepArgs),
    /// Look at the headers that a version's objects are stored with; `--repair` puts right those that differ
    Headers(HeadersArgs),
    /// Test what a store does, read back through its public URL, and print the policy that is needed
    Check(CheckArgs),
    /// End the references of a release that is gone and did not say so: from now on the time of what it used runs
    EndReferences(EndReferencesArgs),
}

/// Options of `rollcall store end-references`.
#[derive(Debug, Args)]
pub struct EndReferencesArgs {
    /// The prefix of one release: s3://BUCKET/PREFIX/
    #[arg(long, env = "ROLLCALL_TO", required_unless_present = "asset_store", conflicts_with = "asset_store")]
    pub to: Option<BucketUrl>,
    /// What to ask of a cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// UID of the cluster that is gone, as `rollcall store check` prints it
    #[arg(long, value_name = "UID")]
    pub of_cluster: String,
    /// The release in that cluster: NAMESPACE/NAME
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub of_release: String,
    /// How to reach the bucket.
    #[command(flatten)]
    pub store: StoreArgs,
    /// Form of the result
    #[arg(long, value_enum, default_value = "text")]
    pub output: OutputArg,
}

/// Options of `rollcall store sweep`.
#[derive(Debug, Args)]
pub struct SweepArgs {
    /// The prefix of one release: s3://BUCKET/PREFIX/
    #[arg(long, env = "ROLLCALL_TO", required_unless_present = "asset_store", conflicts_with = "asset_store")]
    pub to: Option<BucketUrl>,
    /// What to ask of a cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
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

/// Options of `rollcall store check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Bucket and prefix of the store: s3://BUCKET/PREFIX/
    #[arg(long, env = "ROLLCALL_TO", required_unless_present = "asset_store", conflicts_with = "asset_store")]
    pub to: Option<BucketUrl>,
    /// What to ask of a cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// URL at which the world reads that prefix; ends with /. With --store the AssetStore's own, unless given
    #[arg(long, env = "ROLLCALL_PUBLIC_URL")]
    pub public_url: Option<String>,
    /// How to reach the bucket.
    #[command(flatten)]
    pub store: StoreArgs,
    /// Form of the result
    #[arg(long, value_enum, default_value = "text")]
    pub output: OutputArg,
}

/// Options of `rollcall store headers`.
#[derive(Debug, Args)]
pub struct HeadersArgs {
    /// The prefix of one release: s3://BUCKET/PREFIX/
    #[arg(long, env = "ROLLCALL_TO", required_unless_present = "asset_store", conflicts_with = "asset_store")]
    pub to: Option<BucketUrl>,
    /// What to ask of a cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// The version, as it was published
    #[arg(long, value_name = "VERSION", value_parser = version_label)]
    pub version: String,
    /// Look at so many objects only, spread over the version; otherwise at all, by one request each
    #[arg(long, value_name = "COUNT")]
    pub sample: Option<usize>,
    /// Have the store copy objects whose headers differ onto themselves, with the right ones; bytes never change
    #[arg(long)]
    pub repair: bool,
    /// How to reach the bucket.
    #[command(flatten)]
    pub store: StoreArgs,
    /// Form of the result
    #[arg(long, value_enum, default_value = "text")]
    pub output: OutputArg,
}
