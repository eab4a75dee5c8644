//! Options that say how a build is read, of `rollcall publish` and `rollcall digest` alike. Never decides what a value means.

use clap::Args;
use globset::Glob;

use crate::api::{BuildManifestSpec, BuildSpec, Format};
use crate::manifest::Declared;
use crate::manifest::closure::External;

/// How the build is read, as `spec.build` of a release says it.
#[derive(Debug, Clone, Default, Args)]
pub struct BuildArgs {
    /// Format of the build tool's manifest, as `spec.build.manifest.format` of the release [default: Auto]
    #[arg(long, value_parser = format)]
    pub format: Option<Format>,
    /// Path of the build tool's manifest in the folder, as `spec.build.manifest.path` of the release
    #[arg(long, value_name = "PATH")]
    pub manifest: Option<String>,
    /// Files whose bytes never change under their names, cached for a year: a pattern of paths in which `*` stays within a folder and `**`
    /// does not, such as 'assets/**'; may be repeated. As `spec.build.immutable` of a release
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    pub immutable: Vec<String>,
    /// Files whose bytes may change under their names although something says that they do not; may be repeated. As
    /// `spec.build.unversioned` of a release
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    pub unversioned: Vec<String>,
    /// Path that another program serves at the same host, so that it is not expected in the build, such as `config.js` or `env/**`; may be
    /// repeated. In this pattern `*` stays within a folder and `**` does not. As `spec.build.external` of the release
    #[arg(long, value_name = "GLOB", value_parser = external)]
    pub external: Vec<String>,
    /// URL under which visitors find the folder, such as https://cdn.example.com/shop/ (or a path, such as /shop/): references that begin with
    /// it must lead to files of the build
    #[arg(long, value_name = "URL", value_parser = public_url)]
    pub public_url: Option<String>,
}

impl BuildArgs {
    /// With what a release says where nothing was typed.
    #[must_use]
    pub fn or_as(mut self, spec: &BuildSpec) -> Self {
        if self.format.is_none() && self.manifest.is_none() {
            self.format = Some(spec.manifest.format);
            self.manifest.clone_from(&spec.manifest.path);
        }
        self.immutable.extend(spec.immutable.iter().cloned());
        self.unversioned.extend(spec.unversioned.iter().cloned());
        self.external.extend(spec.external.iter().cloned());
        self
    }

    /// What is said of the files' names.
    #[must_use]
    pub fn declared(&self) -> Declared {
        Declared { immutable: self.immutable.clone(), unversioned: self.unversioned.clone() }
    }

    /// What the build tool's manifest is.
    #[must_use]
    pub fn names(&self) -> BuildManifestSpec {
        BuildManifestSpec { format: self.format.unwrap_or_default(), path: self.manifest.clone() }
    }
}

fn pattern(typed: &str) -> Result<String, String> {
    Glob::new(typed).map(|_| typed.to_owned()).map_err(|error| error.kind().to_string())
}

fn format(typed: &str) -> Result<Format, String> {
    serde_json::from_value(typed.into()).map_err(|_| "expected Auto, Vite, Webpack, VersionJson or Folder".to_owned())
}

fn external(typed: &str) -> Result<String, String> {
    External::new(&[typed]).map(|_| typed.to_owned()).map_err(|error| error.cause)
}

fn public_url(typed: &str) -> Result<String, &'static str> {
    let is_url = ["https://", "http://"]
        .iter()
        .any(|scheme| typed.strip_prefix(scheme).is_some_and(|rest| !rest.starts_with('/') && !rest.is_empty()));
    let is_path = typed.starts_with('/') && !typed.starts_with("//");
    if (is_url || is_path) && !typed.contains(['?', '#', ' ']) {
        Ok(if typed.ends_with('/') { typed.to_owned() } else { format!("{typed}/") })
    } else {
        Err("expected http:// or https:// with a host, or a path that begins with /, without ? and #")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_goes_before_what_the_release_says() {
        let spec = BuildSpec {
            manifest: BuildManifestSpec { format: Format::Vite, path: Some("build/manifest.json".into()) },
            external: vec!["config.js".into()],
            immutable: vec!["assets/**".into()],
            unversioned: Vec::new(),
        };
        let typed = BuildArgs { external: vec!["env.js".into()], ..BuildArgs::default() }.or_as(&spec);
        assert_eq!((typed.names(), typed.external.as_slice()), (spec.manifest.clone(), &["env.js".to_owned(), "config.js".to_owned()][..]));
        assert_eq!(typed.declared(), Declared { immutable: vec!["assets/**".into()], unversioned: Vec::new() });
        let typed = BuildArgs { format: Some(Format::Folder), ..BuildArgs::default() }.or_as(&spec);
        assert_eq!(typed.names(), BuildManifestSpec { format: Format::Folder, path: None });
    }

    #[test]
    fn a_public_url_is_a_url_or_a_path_and_ends_with_a_slash() {
        assert_eq!(public_url("https://cdn.example.com/shop").as_deref(), Ok("https://cdn.example.com/shop/"));
        assert_eq!(public_url("/shop/").as_deref(), Ok("/shop/"));
        for wrong in ["shop", "//cdn.example.com", "https:///x", "ftp://x/", "/a?b", ""] {
            assert!(public_url(wrong).is_err(), "{wrong}");
        }
    }
}
