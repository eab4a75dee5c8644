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
    /// A URL means one file to a browser and another one to a store.
    AmbiguousUrl,
    /// Two paths differ in their spelling alone.
    CaseCollision,
}

impl Rule {
    /// All rules, in the order of the page.
    pub const ALL: [Self; 8] = [
        Self::ClosureGap,
        Self::ChangedUnderSameName,
        Self::AbsoluteHost,
        Self::UnhashedAsset,
        Self::AmbiguousUrl,
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
            Self::AmbiguousUrl => "ambiguous-url",
            Self::CaseCollision => "case-collision",
        }
    }

    /// What it looks for, and how grave that is.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Self::UnhashedAsset => {
                "A script or style without a content hash in its name whose bytes differ from those that the version before has under that name: for a while old pages get the new ones or new pages the old. Service workers and `.well-known/`, whose names are fixed, are no finding, and neither are pictures and fonts. A *warning*."
            }
            Self::ChangedUnderSameName => {
                "A file with a hash in its name whose bytes differ from those that the version before has under that name: the build tool kept a name over changed bytes, or the name only looks hashed. Publishing it would be refused (I3). An *error*."
            }
            Self::AbsoluteHost => {
                "A page, script, style or data file that names a host past the CDN. The store's endpoint, the bucket's own host and `internalUrl` are an *error*: visitors would go round the CDN, or nowhere. Loopback with a port, private addresses and names inside the cluster are a *warning*. Any other host is no finding."
            }
            Self::MissingSourceMap => {
                "A script or style that names a source map which the build lacks, while other maps are there: error reports cannot be read, and each opened inspector asks for a 404. A build without any map was stripped of them on purpose, which is no finding. A *warning*."
            }
            Self::PublicSourceMap => {
                "Source maps that the publish would upload: with them, visitors can read the sources. They are unversioned files, so a map that changes beside a script that does not is no conflict. One finding for the whole build, for *information*."
            }
            Self::ClosureGap => {
                "A page, a style or a build tool's own list (its manifest, a precache list, `ngsw.json`, Vite's preload list) refers to a file of the build that is not there. Publishing it would be refused: an *error*. A *warning*, and published: an icon that is not there, also one of a web app manifest; an old form of a font (`.eot`) or a script of a style (`.htc`), which browsers of today do not ask for; what a part of a page refers to, which a script puts into another one; a string in a script that looks like a file of the build and leads nowhere, with its line; a reference that leads past the place at which all others find the build."
            }
            Self::AmbiguousUrl => {
                "A bare `+` in a URL of a page or style: a browser asks for a file with a `+` in its name, and S3 reads a space. The file is in the build. A *warning*."
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
                "Import the file through the build tool instead of copying it, so that its name gets a hash, or keep the new bytes usable by old pages."
            }
            Self::ChangedUnderSameName => {
                "Let the hash be one of the file's content: `[contenthash]` and `realContentHash` in webpack; no plugin that changes files after they are named; a date or counter is no hash."
            }
            Self::AbsoluteHost => {
                "Use relative URLs, or set the build's base (`base` in Vite, `publicPath` in webpack) to the store's `publicUrl` with the prefix."
            }
            Self::MissingSourceMap => {
                "Publish the map, leave out all maps (`--exclude '**/*.map'`), or build without the comment that names it (`hidden` in Vite, `hidden-source-map` in webpack)."
            }
            Self::ClosureGap => {
                "Build again from an empty output folder. Name what another program serves at the same host in `spec.build.external` (`--external`); a file at another host needs the full URL."
            }
            Self::AmbiguousUrl => "Write `%2B` in the URL, or give the file a name without `+`.",
            Self::PublicSourceMap => "Leave them out with `--exclude '**/*.map'`, or keep them if the sources may be seen.",
            Self::CaseCollision => "Rename one of the two; within one build also find out which of them pages mean.",
        }
    }
}
