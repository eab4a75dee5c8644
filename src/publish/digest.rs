//! `rollcall digest`: the identity that a build's folder has as a version, for `spec.source.bucket.digest`.
//! Never asks a store or a cluster for anything.

use super::Failure;
use crate::api::ManifestDigest;
use crate::api::foreign::lines_escaped;
use crate::cli::DigestArgs;
use crate::manifest::Layout;
use crate::manifest::closure::Verdict;
use crate::source::folder::{self, Selection};
use crate::upload::{Prepared, Publish, PublishFailure, Publisher};

/// Reads the build and prints its digest.
///
/// # Errors
/// Says what is wrong with the build: one that the controller would refuse has no digest.
#[expect(clippy::print_stdout, reason = "the digest is what the command is for")]
pub async fn print_digest(args: DigestArgs) -> Result<(), Failure> {
    let (digest, verdict) = digest(args).await?;
    verdict.warnings().for_each(|warning| warn(&format!("{}: {}", warning.referrer, warning.finding())));
    println!("{digest}");
    Ok(())
}

#[expect(clippy::print_stderr, reason = "standard output has the digest alone, for the next program")]
fn warn(line: &str) {
    eprintln!("rollcall digest: warning: {}", lines_escaped(line));
}

/// The digest, and what only warns: a pattern that matches nothing makes the digest of another build than the one that was meant.
pub(super) async fn digest(args: DigestArgs) -> Result<(ManifestDigest, Verdict), Failure> {
    let build = folder::read(&args.folder, Selection::new(&args.include, &args.exclude)).await.map_err(PublishFailure::from)?;
    // Where it goes is no part of a manifest.
    let request = Publish {
        layout: Layout::new("", ""),
        release: String::new(),
        version: String::new(),
        names: args.build.names(),
        declared: args.build.declared(),
        external: args.build.external,
        publisher: Publisher::Anybody,
        base_urls: args.build.public_url.into_iter().collect(),
        pin: None,
    };
    let (prepared, names) = Prepared::read(&request, build).await?;
    let verdict = prepared.check_closure(&request, &names).await?;
    Ok((prepared.digest, verdict))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser as _;
    use tempfile::TempDir;

    use super::*;
    use crate::cli::{Cli, Role};

    async fn digest_of(folder: &Path, options: &[&str]) -> Result<String, String> {
        let typed = ["rollcall", "digest", folder.to_str().unwrap()].into_iter().chain(options.iter().copied());
        let Role::Digest(args) = Cli::try_parse_from(typed).map_err(|error| error.to_string())?.role else { panic!("expected digest") };
        digest(args).await.map(|(digest, _)| digest.as_str().to_owned()).map_err(|failure| failure.to_string())
    }

    #[tokio::test]
    async fn a_pattern_that_matches_nothing_is_a_warning_of_digest_too() {
        let root = TempDir::new().unwrap();
        std::fs::write(root.path().join("index.html"), "<p>hello</p>").unwrap();
        let typed = ["rollcall", "digest", root.path().to_str().unwrap(), "--immutable=asets/**"];
        let Role::Digest(args) = Cli::try_parse_from(typed).unwrap().role else { panic!("expected digest") };
        let warnings: Vec<String> = digest(args).await.unwrap().1.warnings().map(|warning| warning.finding()).collect();
        assert_eq!(warnings, [r#"the pattern "asets/**" matches nothing in this build"#]);
    }

    #[tokio::test]
    async fn a_digest_is_of_what_is_taken_and_of_how_it_is_read_and_a_broken_build_has_none() {
        let root = TempDir::new().unwrap();
        std::fs::write(root.path().join("index.html"), "<script src=app-BEcQUh0e.js></script>").unwrap();
        assert!(digest_of(root.path(), &[]).await.unwrap_err().contains("app-BEcQUh0e.js"), "it lacks what it refers to");
        std::fs::write(root.path().join("app-BEcQUh0e.js"), "app").unwrap();
        let whole = digest_of(root.path(), &[]).await.unwrap();
        assert_eq!(whole, digest_of(root.path(), &["--format=Folder"]).await.unwrap());
        std::fs::write(root.path().join("app-BEcQUh0e.js.map"), "map").unwrap();
        assert_ne!(whole, digest_of(root.path(), &[]).await.unwrap());
        assert_eq!(whole, digest_of(root.path(), &["--exclude=*.map"]).await.unwrap());
        let refused = digest_of(root.path(), &["--format=Vite"]).await.unwrap_err();
        assert!(refused.contains("manifest"), "{refused}");
        assert!(digest_of(root.path(), &["--format=Gulp"]).await.unwrap_err().contains("expected Auto, Vite, Webpack"));
    }
}
