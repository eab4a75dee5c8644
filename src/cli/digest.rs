//! Options of `rollcall digest`. Never decides what a value means.

use std::path::PathBuf;

use clap::Args;
use globset::Glob;

use super::publish::pattern;
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
    /// Files whose bytes never change under their names, cached for a year: a pattern of paths in which `*` stays within a folder and `**`
    /// does not, such as 'assets/**'; may be repeated. As `spec.build.immutable` of a release
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    pub immutable: Vec<String>,
    /// Files whose bytes may change under their names although something says that they do not; may be repeated. As
    /// `spec.build.unversioned` of a release
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    pub unversioned: Vec<String>,
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
