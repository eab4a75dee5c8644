//! Patterns that a person gave for a build and that match none of its files: mostly a word that is written in another way.
//! Never an error: the same release may bring another build.

use globset::GlobBuilder;

use crate::manifest::Manifest;
use crate::manifest::closure::UnusedPattern;
use crate::manifest::evidence::Declared;

/// Those among the patterns of immutable and unversioned files.
pub(super) fn patterns(declared: &Declared, manifest: &Manifest) -> Vec<UnusedPattern> {
    let given =
        [("spec.build.immutable (--immutable)", &declared.immutable), ("spec.build.unversioned (--unversioned)", &declared.unversioned)];
    let all = given.into_iter().flat_map(|(given, patterns)| patterns.iter().map(move |pattern| (given, pattern)));
    let unused = all.filter(|(_, pattern)| !matches_any(pattern, manifest));
    unused.map(|(given, pattern)| UnusedPattern { given, pattern: pattern.clone() }).collect()
}

/// A pattern that is none was refused before.
fn matches_any(pattern: &str, manifest: &Manifest) -> bool {
    let glob = GlobBuilder::new(pattern).literal_separator(true).build();
    glob.is_ok_and(|glob| {
        let matcher = glob.compile_matcher();
        manifest.files.iter().any(|file| matcher.is_match(&file.path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ContentHash;
    use crate::manifest::build::{NewFile, assemble};
    use crate::manifest::readers::{BuildNames, Decided};

    #[test]
    fn patterns_that_match_no_file_are_named_with_where_they_are_given() {
        let files = ["index.html", "assets/a.js"].map(|path| NewFile { path: path.into(), size: 0, sha256: ContentHash::of(b"") });
        let manifest = assemble(files.to_vec(), &BuildNames::none(Decided::NothingFound)).unwrap().manifest;
        let given = |patterns: &[&str]| patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        let declared = Declared { immutable: given(&["assets/*", "nothing/**"]), unversioned: given(&["*.js", "**/*.js"]) };
        let unused: Vec<_> = patterns(&declared, &manifest).into_iter().map(|one| (one.given, one.pattern)).collect();
        let expected = [
            ("spec.build.immutable (--immutable)", "nothing/**".to_owned()),
            ("spec.build.unversioned (--unversioned)", "*.js".to_owned()),
        ];
        assert_eq!(unused, expected);
    }
}
