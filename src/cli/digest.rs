//! Options of `rollcall digest`. Never decides what a value means.

use std::path::PathBuf;

use clap::Args;
use globset::Glob;

use super::build::BuildArgs;

/// Options of `rollcall digest`.
#[derive(Debug, Args)]
pub struct DigestArgs {
    /// Folder of the build, as it is put into the bucket
    pub folder: PathBuf,
    /// Only files whose path in the folder matches this pattern; may be repeated, and is read as by `rollcall publish`
    #[arg(long)]
    pub include: Vec<Glob>,
    /// Leave out files whose path matches this pattern, even if --include names them; may be repeated
    #[arg(long)]
    pub exclude: Vec<Glob>,
    /// How the build is read.
    #[command(flatten)]
    pub build: BuildArgs,
}
