//! Options of `rollcall publish`. Never decides what a value means.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use globset::Glob;

use super::build::BuildArgs;
use crate::api::store::WriteGuard;
use crate::publish::{BucketUrl, KeyPrefix, version_label};

/// Options of `rollcall publish`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct PublishArgs {
    /// Folder of the build
    pub folder: PathBuf,
    /// Where it goes: s3://BUCKET/PREFIX/, with or without the last slash
    #[arg(long, env = "ROLLCALL_TO", required_unless_present = "asset_store", conflicts_with = "asset_store")]
    pub to: Option<BucketUrl>,
    /// What to ask of a cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Name of this version; it means this build for ever
    #[arg(long, env = "ROLLCALL_VERSION", value_parser = version_label)]
    pub version: String,
    /// Release that it is published for, NAMESPACE/NAME; stored with every object. It claims the prefix, unless that is another
    /// release's, or lies within or around another one's; the one of --apply, if that is given
    #[arg(long, env = "ROLLCALL_RELEASE")]
    pub release: Option<String>,
    /// Folder below the prefix that belongs to other releases, such as admin/; may be repeated. With --release it is written into the claim
    /// of the prefix; those that stand there already stay
    #[arg(long, value_name = "FOLDER", value_parser = folder_below)]
    pub exclude_prefix: Vec<String>,
    /// How to reach the bucket.
    #[command(flatten)]
    pub store: StoreArgs,
    /// Only files whose path in the folder matches this pattern; may be repeated. As in `aws s3 sync`, `*` matches any number of any
    /// characters, `/` too: `*.map` is every source map, `assets/*` is everything below assets
    #[arg(long)]
    pub include: Vec<Glob>,
    /// Leave out files whose path matches this pattern, even if --include names them; may be repeated
    #[arg(long)]
    pub exclude: Vec<Glob>,
    /// How the build is read; with --apply, its release says what is not typed here.
    #[command(flatten)]
    pub build: BuildArgs,
    /// How long to go on trying while the store fails, such as 90s, 10m or 0s
    #[arg(long, env = "ROLLCALL_RETRY_FOR", default_value = "2m", value_parser = duration)]
    pub retry_for: Duration,
    /// Write nothing; say what would be sent, what is there, and what stands against it
    #[arg(long)]
    pub dry_run: bool,
    /// Look at the build with the lint rules first; `strict`: send nothing if there is an error among the findings
    #[arg(long, value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "report")]
    pub lint: Option<LintArg>,
    /// Name the version in this AssetRelease afterwards and wait until it is Ready
    #[arg(long, value_name = "RELEASE", conflicts_with = "dry_run")]
    pub apply: Option<String>,
    /// How long --apply waits
    #[arg(long, default_value = "10m", value_parser = duration)]
    pub wait: Duration,
    /// Form of the result, which alone goes to standard output
    #[arg(long, value_enum, default_value = "text")]
    pub output: OutputArg,
}

/// What the program's exit codes mean.
const EXIT_CODES: &str = "Exit codes:
  0  done
  1  it cannot be done as it is: the build is not valid, a name has other bytes, the version means another build, the prefix, or a
     part of it, belongs to another release, access was denied
  2  the options are wrong
  3  the store was not available for as long as --retry-for says
  4  interrupted by SIGINT or SIGTERM; the same command goes on from there
  5  published, but the release of --apply is not Ready with it: it stalled, or --wait was over";

/// What to ask of a cluster. The current context is never used unless a kubeconfig or a context is named here.
#[derive(Debug, Args)]
pub struct ClusterArgs {
    /// Take bucket, prefix, keys and public URL from this AssetStore
    #[arg(long = "store", id = "asset_store", value_name = "ASSETSTORE", env = "ROLLCALL_STORE")]
    pub store: Option<String>,
    /// With --store: folder of the release below the store's own prefix, such as shop/; `publish --apply` takes its release's own
    #[arg(long, requires = "asset_store", conflicts_with = "to")]
    pub prefix: Option<KeyPrefix>,
    /// Namespace of store and release
    #[arg(long, short)]
    pub namespace: Option<String>,
    /// Use this kubeconfig file, or several as in KUBECONFIG
    #[arg(long, env = "KUBECONFIG")]
    pub kubeconfig: Option<OsString>,
    /// Use this context of the kubeconfig
    #[arg(long)]
    pub context: Option<String>,
}

/// How to reach a bucket.
#[derive(Debug, Args)]
pub struct StoreArgs {
    /// URL of the store's S3 API, when it is not AWS
    #[arg(long, env = "ROLLCALL_ENDPOINT")]
    pub endpoint: Option<String>,
    /// Region of the bucket
    #[arg(long, env = "AWS_REGION", default_value = "us-east-1")]
    pub region: String,
    /// Whether the bucket's name stands in the path and not in the host's name; without it, if there is an --endpoint
    #[arg(long, env = "ROLLCALL_PATH_STYLE", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub path_style: Option<bool>,
    /// Take the keys of this profile in ~/.aws/config and ~/.aws/credentials, instead of what environment or web identity give
    #[arg(long)]
    pub profile: Option<String>,
    /// What keeps writers from each other's objects; without it what the AssetStore says, else `conditional`
    #[arg(long, env = "ROLLCALL_WRITE_GUARD", value_enum)]
    pub write_guard: Option<WriteGuardArg>,
}

/// What keeps writers from each other's objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WriteGuardArg {
    /// The conditions of writes, which the store keeps
    Conditional,
    /// A lock in the prefix, for stores that ignore those conditions; weaker, and every other writer there must use it too
    SingleWriter,
}

impl From<WriteGuardArg> for WriteGuard {
    fn from(typed: WriteGuardArg) -> Self {
        match typed {
            WriteGuardArg::Conditional => Self::Conditional,
            WriteGuardArg::SingleWriter => Self::SingleWriter,
        }
    }
}

/// What findings do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LintArg {
    /// They are reported
    Report,
    /// An error among them stops the publish before anything is sent
    Strict,
}

/// Form of a command's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputArg {
    /// For people
    Text,
    /// For programs
    Json,
}

fn folder_below(typed: &str) -> Result<String, &'static str> {
    match typed.parse()? {
        KeyPrefix(folder) if folder.is_empty() => Err("expected a folder below the prefix, ending with /"),
        KeyPrefix(folder) => Ok(folder),
    }
}

pub(super) fn duration(typed: &str) -> Result<Duration, String> {
    let signed: jiff::SignedDuration = typed.parse().map_err(|error: jiff::Error| error.to_string())?;
    signed.try_into().map_err(|_| "it is below zero".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_with_a_unit() {
        for (typed, seconds) in [("2m", 120), ("90s", 90), ("0s", 0), ("1h 30m", 5400)] {
            assert_eq!(duration(typed), Ok(Duration::from_secs(seconds)), "{typed}");
        }
        for wrong in ["", "2", "-1m", "soon"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
