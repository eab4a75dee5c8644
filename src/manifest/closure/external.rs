//! Paths that another program serves at the same host: none of them is expected in the build.
//! Never hides a file of the build's own: what is not named here, or by the user, must be there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// What hosts and frameworks serve by themselves.
const WELL_KNOWN: [&str; 30] = [
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
    // SvelteKit's server makes it of public environment variables.
    "_app/env.js",
    // Gatsby's Image CDN.
    "_gatsby/image/**",
    "_gatsby/file/**",
];

/// Globs of such paths.
#[derive(Debug, Clone)]
pub struct External {
    globs: GlobSet,
    /// The user's, which stand behind the well-known ones, each with whether it has matched a path.
    given: Arc<[(String, AtomicBool)]>,
}

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
        let given = globs.iter().map(|glob| (glob.as_ref().to_owned(), AtomicBool::new(false))).collect();
        set.build().map(|globs| Self { globs, given }).map_err(invalid)
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
        if !self.globs.is_match(path) {
            return false;
        }
        let given = self.globs.matches(path).into_iter().filter_map(|at| self.given.get(at.checked_sub(WELL_KNOWN.len())?));
        given.for_each(|(_, is_used)| is_used.store(true, Ordering::Relaxed));
        true
    }

    /// The user's globs that have matched nothing until now, and none of these paths either.
    pub(super) fn unused<'p>(&self, paths: impl IntoIterator<Item = &'p str>) -> Vec<String> {
        let is_unused = |is_used: &AtomicBool| !is_used.load(Ordering::Relaxed);
        if self.given.iter().any(|(_, is_used)| is_unused(is_used)) {
            let _matched = paths.into_iter().filter(|path| self.has(path)).count();
        }
        self.given.iter().filter(|(_, is_used)| is_unused(is_used)).map(|(glob, _)| glob.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_paths_and_those_of_the_user_are_served_by_others() {
        let external = External::new(&["/config.js", "env/*.json"]).unwrap();
        for path in [
            "api/x",
            "cdn-cgi/a/b.js",
            "_vercel/insights/script.js",
            "_next/image",
            "config.js",
            "env/a.json",
            "_app/env.js",
            "_gatsby/image/a/b.jpg",
        ] {
            assert!(external.has(path), "{path}");
        }
        for path in ["assets/config.js", "apix/a.js", "_next/static/a.js", "x/env/a.json", "env/a/b.json"] {
            assert!(!external.has(path), "{path}");
        }
        assert_eq!(external.unused([]), [""; 0], "both have matched");
        let external = External::new(&["nix/**", "a.js", "api/x"]).unwrap();
        assert!(external.has("api/x"), "a well-known one has it, too");
        assert_eq!(external.unused(["a.js", "b.js"]), ["nix/**"]);
        let error = External::new(&["a/[b"]).unwrap_err();
        assert!(error.to_string().starts_with(r#""a/[b" is not a pattern of paths: "#), "{error}");
    }
}
