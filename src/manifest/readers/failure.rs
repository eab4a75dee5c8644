//! Why a build's own manifest cannot be used. Never a guess in its place: names that are wrong would be cached for ever.

use super::BYTES_MAX;
use crate::api::Format;

/// Files that one message names.
const SHOWN_MAX: usize = 4;

/// A build whose names cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableNames {
    /// A format is wanted whose file is not there.
    #[error("the build has no manifest {}: there is no {}; let the build tool write it, {}", of_format(*.format), .looked_for.join(", no "), or_else(*.format))]
    Missing {
        /// What is wanted.
        format: Format,
        /// Where it was looked for.
        looked_for: Vec<String>,
    },
    /// The file is there and is not of the format.
    #[error("{path:?} is not a manifest of the format {format:?}: {cause}; correct the file, or set manifest.format to its format")]
    Malformed {
        /// The file.
        path: String,
        /// What it was taken for.
        format: Format,
        /// What is wrong.
        cause: String,
    },
    /// No reader knows the file that was named.
    #[error("{path:?} is of no format that is known here ({}); name another file (manifest.path), or set manifest.format to Folder", .causes.join("; "))]
    Unknown {
        /// The file.
        path: String,
        /// What each reader says.
        causes: Vec<String>,
    },
    /// One name could mean several files.
    #[error("{path:?} is ambiguous: {name:?} may mean {}; let the manifest give the whole file name", shown(.files))]
    Ambiguous {
        /// The manifest.
        path: String,
        /// The name in it.
        name: String,
        /// The files, sorted; at least two.
        files: Vec<String>,
    },
    /// The file is too large.
    #[error(
        "{path:?} has {bytes} bytes, more than {BYTES_MAX}, the most that is read of a build tool's manifest; set manifest.format to Folder, or let the tool write less"
    )]
    TooLarge {
        /// The file.
        path: String,
        /// Its length in bytes.
        bytes: u64,
    },
}

impl UnreadableNames {
    /// A stable name for conditions, events and metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "BuildManifestMissing",
            Self::Malformed { .. } => "BuildManifestMalformed",
            Self::Unknown { .. } => "BuildManifestUnknown",
            Self::Ambiguous { .. } => "BuildManifestAmbiguous",
            Self::TooLarge { .. } => "BuildManifestTooLarge",
        }
    }

    /// One of each, for the reference page.
    #[must_use]
    pub fn samples() -> Vec<Self> {
        let path = || "version.json".to_owned();
        vec![
            Self::Missing { format: Format::Vite, looked_for: vec![".vite/manifest.json".into(), "manifest.json".into()] },
            Self::Malformed { path: ".vite/manifest.json".into(), format: Format::Vite, cause: "EOF while parsing an object".into() },
            Self::Unknown { path: "names.json".into(), causes: vec!["Webpack: it is a web app manifest".into()] },
            Self::Ambiguous { path: path(), name: "app.js".into(), files: vec!["a/app.3a4f5b6c.js".into(), "b/app.3a4f5b6c.js".into()] },
            Self::TooLarge { path: path(), bytes: 90_000_000 },
        ]
    }
}

fn of_format(format: Format) -> String {
    if format == Format::Auto { "at the path that was named".to_owned() } else { format!("of the format {format:?}") }
}

fn or_else(format: Format) -> &'static str {
    if format == Format::Auto { "or correct manifest.path" } else { "name its place (manifest.path), or set manifest.format to Auto" }
}

fn shown(files: &[String]) -> String {
    let quoted: Vec<String> = files.iter().take(SHOWN_MAX).map(|file| format!("{file:?}")).collect();
    let rest = files.len().saturating_sub(SHOWN_MAX);
    if rest == 0 { quoted.join(" or ") } else { format!("{} or one of {rest} more", quoted.join(", ")) }
}
