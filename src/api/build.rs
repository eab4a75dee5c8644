//! The part of an `AssetRelease` that says how its build is to be read.
//! Its documentation is what `kubectl explain assetrelease.spec.build` prints. A field stands here only when it works (I9).

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::build_path;

/// How the build is read.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BuildSpec {
    /// The file in which the build tool says what it made: which files' names carry a hash of their content, and under which
    /// names the application asks for them. Read together with the source: a version that was published before keeps what
    /// was read then.
    #[serde(default)]
    pub manifest: BuildManifestSpec,
    /// Files whose bytes never change under their names, whatever else is known of them: patterns of paths in the build, in which `*`
    /// stays within a folder and `**` does not, for example `assets/**`. They are cached for a year, and a release that brings other
    /// bytes for such a name is refused. Without it a file counts so only where something proves it: the build tool's manifest, a
    /// tool's folder of hashed files (`_next/static/`, `_app/immutable/`, `_nuxt/`, `_astro/`), or a digest of the bytes in the name.
    /// Pages (`*.html`) never do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    #[x_kube(validation = Rule::new("self.all(pattern, !pattern.startsWith('/'))").message("must be paths in the build, without a leading /"))]
    pub immutable: Vec<String>,
    /// Files whose bytes may change under their names although something says that they do not: patterns as in `immutable`. They are
    /// asked for again each time, and replaced with the flip. Of a file that both name, this counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    #[x_kube(validation = Rule::new("self.all(pattern, !pattern.startsWith('/'))").message("must be paths in the build, without a leading /"))]
    pub unversioned: Vec<String>,
    /// Paths that another program serves at the same host, so that they are not expected in the build: patterns in which `*` stays
    /// within a folder and `**` does not, with or without the build's base in front, for example `config.js` (a script that is made
    /// at start) or `env/**`. What hosts and frameworks serve by themselves (`/api/**`, `/cdn-cgi/**`, `/_vercel/**`, `/.netlify/**`,
    /// `/_next/image` and others) need not be named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    pub external: Vec<String>,
}

/// The file in which a build tool says what it made.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[x_kube(validation = Rule::new("!has(self.path) || self.format != 'Folder'")
    .message("path is not read with format: Folder, which has no manifest; remove it, or name the manifest's format")
    .field_path(".path"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BuildManifestSpec {
    /// The file's format. `Auto` looks for the files that the tools write, at their usual places at the top and below up to three
    /// folders; where there is none, the build is a Folder. It also finds the lists of tools that have no word here (Rsbuild, esbuild,
    /// Angular, Rails, Phoenix, Django, Workbox and others), and reads every list of the build for hashes and for what must not be
    /// missing. A file whose name is the tool's own must be right; one whose name others use too (`manifest.json`, `stats.json`,
    /// `version.json`) is passed over when it is something else. What was found, and how, stands in the condition `SourceFetched`.
    #[serde(default)]
    pub format: Format,
    /// The file's path in the build, when it is not at its usual place: relative, for example `build/manifest.json`. With
    /// `format: Auto` its content tells the format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = build_path())]
    pub path: Option<String>,
}

/// Formats of build tools' manifests.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
pub enum Format {
    /// Found by looking into the build.
    #[default]
    Auto,
    /// `.vite/manifest.json` (Vite 5 and later) or `manifest.json` (before), as `build.manifest: true` writes it.
    Vite,
    /// `asset-manifest.json`, `assets-manifest.json` or `manifest.json` of webpack-manifest-plugin, webpack-assets-manifest and
    /// react-scripts, or webpack's own `stats.json`, which is not uploaded.
    Webpack,
    /// `version.json`: a map from each name to its hash (`app.js` to `3a4f5b6c`, for the file `app.3a4f5b6c.js`) or to its file.
    VersionJson,
    /// No manifest: which files never change is told by their folders, by digests of their bytes, and by `immutable`.
    Folder,
}
