//! The chart's page: its values with their defaults. Never a sentence of its own: the comments in values.yaml are the page.

use std::fmt::Write as _;

use super::Artifact;

const SOURCE: &str = include_str!("../../charts/rollcall/values.yaml");

/// `charts/rollcall/README.md`.
pub(super) fn page() -> Vec<Artifact> {
    let mut text = super::page_header("charts/rollcall/values.yaml");
    text.push_str("# The chart rollcall\n\n```\nhelm upgrade --install rollcall charts/rollcall --namespace rollcall-system --create-namespace\n```\n\n");
    text.push_str("| value | default | meaning |\n|---|---|---|\n");
    for value in values(SOURCE) {
        let default = value.default.map(|text| format!("`{text}`")).unwrap_or_default();
        let _ = writeln!(text, "| `{}` | {default} | {} |", value.path, value.meaning.replace('|', "\\|"));
    }
    vec![Artifact { path: "charts/rollcall/README.md".into(), text }]
}

struct Value<'a> {
    path: String,
    /// None for a map whose entries have lines of their own.
    default: Option<&'a str>,
    meaning: String,
}

/// One for each `key: value` line. A map is listed only when a comment stands above it.
fn values(source: &str) -> Vec<Value<'_>> {
    let mut found = Vec::new();
    let mut parents: Vec<&str> = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    for line in source.lines() {
        let (depth, content) = ((line.len() - line.trim_start().len()) / 2, line.trim());
        if let Some(sentence) = content.strip_prefix("# ") {
            comment.push(sentence);
            continue;
        }
        if let Some((key, value)) = content.split_once(':') {
            parents.truncate(depth);
            parents.push(key);
            let default = Some(value.trim()).filter(|value| !value.is_empty());
            if default.is_some() || !comment.is_empty() {
                found.push(Value { path: parents.join("."), default, meaning: comment.join(" ") });
            }
        }
        comment.clear();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_listed_with_its_path_default_and_comment() {
        let source =
            "# About the file.\n\nimage:\n  # Where from.\n  name: a\n  tag: \"\"\n# A map.\nlimits:\n  sizes: {memory: 1Mi}\nlast: []\n";
        let lines: Vec<String> =
            values(source).iter().map(|value| format!("{} {} {}", value.path, value.default.unwrap_or("-"), value.meaning)).collect();
        assert_eq!(lines, ["image.name a Where from.", "image.tag \"\" ", "limits - A map.", "limits.sizes {memory: 1Mi} ", "last [] "]);
    }
}
