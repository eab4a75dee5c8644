//! Options of `rollcall digest`. Never decides what a value means.

use std::path::PathBuf;

use clap::Args;
use globset::Glob;

use crate::api::Format;

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
    /// What `spec.build.manifest.format` of the release says
    #[arg(long, default_value = "Auto", value_parser = format)]
    pub format: Format,
    /// What `spec.build.manifest.path` of the release says
    #[arg(long)]
    pub manifest: Option<String>,
}

fn format(typed: &str) -> Result<Format, String> {
    serde_json::from_value(typed.into()).map_err(|_| "expected Auto, Vite, Webpack, VersionJson or Folder".to_owned())
}
