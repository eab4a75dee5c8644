//! Paths that another program serves at the same host: none of them is expected in the build.
//! Never hides a file of the build's own: what is not named here, or by the user, must be there.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// What hosts and frameworks serve by themselves.
const WELL_KNOWN: [&str; 27] = [
    "__ENV.js",
    "__env.js",
    "env-config.js",
    "api/**",
    "graphql",
    "_vercel/**",
    "_next/image",
    "_next/data/**",
    "_ipx/**",
    "_image",
    "_server-islands/**",
    "_actions/**",
    "cdn-cgi/**",
    ".netlify/**",
    "netlify/**",
    ".auth/**",
    "__/firebase/**",
    "__/auth/**",
    "_swa/**",
    ".shopify/**",
    "akam/**",
    "_Incapsula_Resource",
    "socket.io/**",
    "livewire/**",
    "_framework/aspnetcore-browser-refresh.js",
    "_blazor/**",
    "_sentry/**",
];

/// Globs of such paths.
#[derive(Debug, Clone)]
pub struct External(GlobSet);

/// A glob that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pattern:?} is not a pattern of paths: {cause}; correct it in spec.build.external (--external)")]
pub struct InvalidGlob {
    /// The glob.
    pub pattern: String,
    /// What is wrong.
    pub cause: String,
}

impl External {
    /// The well-known paths, and these: globs of paths, with or without `/` in front; `*` stays within a folder, `**` does not.
    ///
    /// # Errors
    /// When one is not a glob.
    pub fn new<S: AsRef<str>>(globs: &[S]) -> Result<Self, InvalidGlob> {
        let mut set = GlobSetBuilder::new();
        for pattern in WELL_KNOWN.into_iter().chain(globs.iter().map(AsRef::as_ref)) {
            let invalid = |error: globset::Error| InvalidGlob { pattern: pattern.to_owned(), cause: error.kind().to_string() };
            set.add(GlobBuilder::new(pattern.trim_start_matches('/')).literal_separator(true).build().map_err(invalid)?);
        }
        let invalid = |error: globset::Error| InvalidGlob { pattern: String::new(), cause: error.to_string() };
        set.build().map(Self).map_err(invalid)
    }

    /// The well-known paths alone.
    ///
    /// # Panics
    /// Never: these globs are constants.
    #[must_use]
    pub fn well_known() -> Self {
        Self::new::<&str>(&[]).expect("the well-known globs are valid")
    }

    /// Whether another program serves this path, which has no `/` in front.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        self.0.is_match(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_paths_and_those_of_the_user_are_served_by_others() {
        let external = External::new(&["/config.js", "env/*.json"]).unwrap();
        for path in ["api/x", "cdn-cgi/a/b.js", "_vercel/insights/script.js", "_next/image", "config.js", "env/a.json"] {
            assert!(external.has(path), "{path}");
        }
        for path in ["assets/config.js", "apix/a.js", "_next/static/a.js", "x/env/a.json", "env/a/b.json"] {
            assert!(!external.has(path), "{path}");
        }
        let error = External::new(&["a/[b"]).unwrap_err();
        assert!(error.to_string().starts_with(r#""a/[b" is not a pattern of paths: "#), "{error}");
    }
}
