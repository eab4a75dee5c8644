//! References in a web app manifest: icons and screenshots, also those of shortcuts, by which an application is installed.
//! Never takes another tool's `manifest.json` for one.

use serde_json::Value;

use super::found::{Evidence, Found};

/// Members that a web app manifest has, and a build tool's has not.
const OF_A_WEB_APP: [&str; 5] = ["start_url", "icons", "display", "short_name", "theme_color"];

pub(super) fn references(text: &str, found: &mut Found) {
    let Ok(Value::Object(manifest)) = serde_json::from_str(text.trim_start_matches('\u{feff}')) else { return };
    if !OF_A_WEB_APP.iter().any(|member| manifest.contains_key(*member)) {
        return;
    }
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let shortcuts = list(manifest.get("shortcuts")).into_iter().flat_map(|shortcut| list(shortcut.get("icons")));
    let pictures = list(manifest.get("icons")).into_iter().chain(list(manifest.get("screenshots"))).chain(shortcuts);
    for picture in pictures {
        if let Some(url) = picture.get("src").and_then(Value::as_str) {
            found.add(url, Evidence::Asked);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_the_application_and_its_shortcuts_are_references() {
        let text = r#"{"name":"Shop","start_url":"/","icons":[{"src":"a.png"},{"sizes":"1x1"}],"screenshots":[{"src":"/b.png"}],
            "shortcuts":[{"url":"/cart","icons":[{"src":"c.png"}]}]}"#;
        let texts = |text: &str| {
            let mut found = Found::default();
            references(text, &mut found);
            found.references.into_iter().map(|one| one.text).collect::<Vec<_>>()
        };
        assert_eq!(texts(text), ["/b.png", "a.png", "c.png"]);
        for other in [r#"{"src/a.ts":{"src":"a.ts","file":"a.js"}}"#, "[", r#"{"icons":{"src":"a"}}"#] {
            assert!(texts(other).is_empty(), "{other}");
        }
    }
}
