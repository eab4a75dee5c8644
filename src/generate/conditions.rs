//! The page of condition types. Never text of its own: the documentation of the constants is the page.

use std::fmt::Write as _;

use super::{Artifact, page_header};

const SOURCE: &str = include_str!("../api/conditions.rs");

/// `docs/reference/conditions.md`.
pub(super) fn page() -> Vec<Artifact> {
    let mut text = page_header("src/api/conditions.rs");
    text.push_str("# Conditions\n\n| type | meaning |\n|---|---|\n");
    for (name, doc) in documented_names(SOURCE) {
        let _ = writeln!(text, "| `{name}` | {doc} |");
    }
    vec![Artifact { path: "docs/reference/conditions.md".into(), text }]
}

/// `(value, documentation)` of each `pub const NAME: &str = "value";`.
fn documented_names(source: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    let mut doc: Vec<&str> = Vec::new();
    for line in source.lines() {
        if let Some(sentence) = line.strip_prefix("/// ") {
            doc.push(sentence);
            continue;
        }
        if let Some(value) = line.strip_prefix("pub const ").and_then(|rest| rest.split_once(": &str = \"")) {
            found.push((value.1.trim_end_matches("\";"), doc.join(" ")));
        }
        doc.clear();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::conditions;

    #[test]
    fn every_condition_type_is_on_the_page_with_its_documentation() {
        let found = documented_names(SOURCE);
        let expected = SOURCE.matches(": &str = ").count();
        assert_eq!(found.len(), expected);
        assert!(expected > conditions::STEPS.len());
        assert!(found.iter().all(|(name, doc)| !name.contains('"') && doc.len() > 20), "{found:?}");
    }
}
