//! Everything in the repository that another part of it determines: CRDs, the chart's copy of them, the reference pages.
//! Never a second source of truth: a generator reads types and constants, and its output is never read back.

mod blockers;
mod conditions;
mod crds;
mod diff;
mod failures;
mod kinds;
mod lint;
mod metrics;
mod options;
mod values;

use std::path::{Path, PathBuf};

/// A new reference page is one line here.
const GENERATORS: &[fn() -> Vec<Artifact>] = &[
    crds::plain,      // crds/
    crds::chart,      // charts/rollcall/templates/crds/
    values::page,     // charts/rollcall/README.md
    kinds::pages,     // docs/reference/assetrelease.md, assetstore.md
    conditions::page, // docs/reference/conditions.md
    blockers::page,   // docs/reference/blockers.md
    lint::page,       // docs/reference/lint.md
    options::page,    // docs/reference/cli.md
    metrics::page,    // docs/reference/metrics.md
];

/// How long the list of differences in an error may get, in lines.
const DIFF_LINES_MAX: usize = 12;

/// Whether files are written or compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Write what differs.
    Write,
    /// Write nothing; differences are an error.
    Check,
}

/// One generated file.
#[derive(Debug)]
pub(crate) struct Artifact {
    /// Below the repository's root, with `/`.
    path: String,
    text: String,
}

/// What keeps the repository from being what its sources say.
#[derive(Debug, thiserror::Error)]
pub enum Drift {
    /// Files are not what the generators write. Holds one paragraph for each file: its path and the first differences.
    #[error("generated files are stale; run `rollcall generate`:\n{}", .0.join("\n"))]
    Stale(Vec<String>),
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// Writes or checks every generated file below `root`, the repository's top folder.
///
/// # Errors
/// [`Drift::Stale`] in check mode when files differ or are missing; [`Drift::Io`] when one cannot be read or written.
pub fn run(mode: Mode, root: &Path) -> Result<(), Drift> {
    let mut artifacts = GENERATORS.iter().flat_map(|generator| generator());
    match mode {
        Mode::Write => artifacts.try_for_each(|artifact| write(root, &artifact)),
        Mode::Check => check(root, artifacts),
    }
}

fn check(root: &Path, artifacts: impl Iterator<Item = Artifact>) -> Result<(), Drift> {
    let mut stale = Vec::new();
    for artifact in artifacts {
        let found = read(&root.join(&artifact.path))?.unwrap_or_default();
        if found != artifact.text {
            stale.push(format!("{}\n{}", artifact.path, diff::first_differences(&found, &artifact.text, DIFF_LINES_MAX)));
        }
    }
    if stale.is_empty() { Ok(()) } else { Err(Drift::Stale(stale)) }
}

fn write(root: &Path, artifact: &Artifact) -> Result<(), Drift> {
    let path = root.join(&artifact.path);
    if read(&path)?.as_ref() == Some(&artifact.text) {
        return Ok(());
    }
    let folder = path.parent().expect("every artifact lies below the root");
    std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, &artifact.text)).map_err(|source| Drift::Io { path, source })
}

fn read(path: &Path) -> Result<Option<String>, Drift> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Drift::Io { path: path.to_owned(), source }),
    }
}

/// First line of a generated page.
fn page_header(sources: &str) -> String {
    format!("<!-- Generated from {sources} by `rollcall generate`; do not edit. -->\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_passes_the_check_and_what_was_changed_does_not() {
        let folder = tempfile::tempdir().unwrap();
        run(Mode::Write, folder.path()).unwrap();
        run(Mode::Check, folder.path()).unwrap();
        let page = folder.path().join("docs/reference/conditions.md");
        std::fs::write(&page, "something else\n").unwrap();
        let message = run(Mode::Check, folder.path()).unwrap_err().to_string();
        assert!(message.contains("run `rollcall generate`"), "{message}");
        assert!(message.contains("docs/reference/conditions.md\n-something else"), "{message}");
        assert!(!message.contains("crds/"), "only what differs is named: {message}");
    }

    #[test]
    fn a_missing_file_is_stale() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(run(Mode::Check, folder.path()), Err(Drift::Stale(files)) if files.len() > 4));
    }
}
