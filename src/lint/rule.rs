//! The rules: their names, what each is about and what to do. The reference page is made of this.

use serde::Serialize;

/// A rule. Its name is stable: pipelines may be told to ignore it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// A file that pages load has no content hash in its name.
    UnhashedAsset,
    /// A hashed name has other bytes than in the version before.
    ChangedUnderSameName,
    /// A text names a host that visitors should not be sent to.
    AbsoluteHost,
    /// A script's source map is not in the build.
    MissingSourceMap,
    /// Source maps are published.
    PublicSourceMap,
    /// Something refers to a file that the build lacks.
    ClosureGap,
    /// Two paths differ in their spelling alone.
    CaseCollision,
}

impl Rule {
    /// All rules, in the order of the page.
    pub const ALL: [Self; 7] = [
        Self::ClosureGap,
        Self::ChangedUnderSameName,
        Self::AbsoluteHost,
        Self::UnhashedAsset,
        Self::CaseCollision,
        Self::MissingSourceMap,
        Self::PublicSourceMap,
    ];

    /// The stable name, in kebab case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::UnhashedAsset => "unhashed-asset",
            Self::ChangedUnderSameName => "changed-under-same-name",
            Self::AbsoluteHost => "absolute-host",
            Self::MissingSourceMap => "missing-source-map",
            Self::PublicSourceMap => "public-source-map",
            Self::ClosureGap => "closure-gap",
            Self::CaseCollision => "case-collision",
        }
    }

    /// What it looks for, and how grave that is.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Self::UnhashedAsset => {
                "A script, style, font, picture or film without a content hash in its name, of which nothing else says that its bytes stay. They change at one address, so for a while old pages get the new ones or new pages the old. Names that are fixed by custom (`favicon.ico`, service workers, icons at the top, `.well-known/`) are no finding. A *warning*."
            }
            Self::ChangedUnderSameName => {
                "A file with a hash in its name whose bytes differ from those that the version before has under that name: the build tool kept a name over changed bytes, or the name only looks hashed. Publishing it would be refused (I3). An *error*."
            }
            Self::AbsoluteHost => {
                "A page, script, style or data file that names a host past the CDN. The store's endpoint, the bucket's own host and `internalUrl` are an *error*: visitors would go round the CDN, or nowhere. Loopback with a port, private addresses and names inside the cluster are a *warning*. A page or style that loads from any other host is reported for *information*."
            }
            Self::MissingSourceMap => {
                "A script or style that names a source map which the build lacks is a *warning*: error reports cannot be read, and each opened inspector asks for a 404. A script without a map in a build whose other scripts have one, or a build without any, is reported for *information*: there may be a reason."
            }
            Self::PublicSourceMap => {
                "Source maps in the build: a visitor who opens an inspector reads the sources. They are unversioned files, so a map that changes beside a script that does not is no conflict. Reported once for a build, for *information*."
            }
            Self::ClosureGap => {
                "A page, a style or the build tool's manifest refers to a file of the build that is not there. Publishing it would be refused. An *error*."
            }
            Self::CaseCollision => {
                "Two paths that differ in upper and lower case or in the composition of accents alone. In one build an *error*: some systems hold them for one file, and one of them would be lost. With a path of the version before a *warning*: a case-insensitive disk keeps the old spelling, and links break that worked there."
            }
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::UnhashedAsset => {
                "Import the file through the build tool (`new URL(\"./logo.png\", import.meta.url)`) instead of copying it, or give the build tool's manifest the hash."
            }
            Self::ChangedUnderSameName => {
                "Let the hash be one of the file's content: `[contenthash]` and `realContentHash` in webpack; no plugin that changes files after they are named; a date or counter is no hash."
            }
            Self::AbsoluteHost => {
                "Use relative URLs, or set the build's base (`base` in Vite, `publicPath` in webpack) to the store's `publicUrl` with the prefix."
            }
            Self::MissingSourceMap => {
                "Publish the map, or build without the comment that names it (`hidden` in Vite, `hidden-source-map` in webpack)."
            }
            Self::PublicSourceMap => {
                "If nobody should read them, publish with `--exclude '**/*.map'` and give them to your error reporting instead."
            }
            Self::ClosureGap => "Build again from an empty output folder; a file that is published elsewhere needs the full URL.",
            Self::CaseCollision => "Rename one of the two; within one build also find out which of them pages mean.",
        }
    }
}
