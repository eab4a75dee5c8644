//! Options of `rollcall publish`. Never decides what a value means.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Options of `rollcall publish`.
#[derive(Debug, Args)]
pub struct PublishArgs {
    /// Folder of the build
    pub folder: PathBuf,
    /// Where it goes: s3://BUCKET/PREFIX/
    #[arg(long, env = "ROLLCALL_TO")]
    pub to: String,
    /// Name of this version; it means this build for ever
    #[arg(long, env = "ROLLCALL_VERSION")]
    pub version: String,
    /// Release that it is published for, NAMESPACE/NAME; stored with every object
    #[arg(long, env = "ROLLCALL_RELEASE", default_value = "-/-")]
    pub release: String,
    /// How to reach the bucket.
    #[command(flatten)]
    pub store: StoreArgs,
    /// Only files that match this pattern; may be repeated
    #[arg(long)]
    pub include: Vec<String>,
    /// Leave out files that match this pattern; may be repeated
    #[arg(long)]
    pub exclude: Vec<String>,
    /// Form of the result
    #[arg(long, value_enum, default_value = "text")]
    pub output: OutputArg,
}

/// How to reach a bucket.
#[derive(Debug, Args)]
pub struct StoreArgs {
    /// URL of the store's S3 API, when it is not AWS; the bucket's name then stands in the path
    #[arg(long, env = "ROLLCALL_ENDPOINT")]
    pub endpoint: Option<String>,
    /// Region of the bucket
    #[arg(long, env = "AWS_REGION", default_value = "us-east-1")]
    pub region: String,
}

/// Form of a command's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputArg {
    /// For people
    Text,
    /// For programs
    Json,
}
