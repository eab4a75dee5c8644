//! Paths of a build by how they end, for names that stand below a folder that nobody says.
//! Never compares one name with every path: a build has 200,000.

use std::collections::BTreeSet;

/// All paths, each from its last character to its first, sorted.
#[derive(Debug, Clone)]
pub(super) struct Ends(Vec<String>);

impl Ends {
    pub(super) fn of(paths: &BTreeSet<&str>) -> Self {
        let mut all: Vec<String> = paths.iter().map(|path| reversed(path)).collect();
        all.sort_unstable();
        Self(all)
    }

    /// Whether a path of the build is this one, below any folder.
    pub(super) fn has_below_a_folder(&self, path: &str) -> bool {
        let start = format!("{}/", reversed(path));
        let at = self.0.partition_point(|other| *other < start);
        self.0.get(at).is_some_and(|other| other.starts_with(&start))
    }
}

fn reversed(path: &str) -> String {
    path.chars().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_parts_of_a_path_are_compared() {
        let ends = Ends::of(&BTreeSet::from(["build/js/7.js", "x7.js", "js/8.js", "a/ü.js"]));
        for path in ["7.js", "js/7.js", "8.js", "ü.js"] {
            assert!(ends.has_below_a_folder(path), "{path}");
        }
        for path in ["build/js/7.js", ".js", "s/7.js", "9.js", "x7.js"] {
            assert!(!ends.has_below_a_folder(path), "{path}");
        }
    }
}
