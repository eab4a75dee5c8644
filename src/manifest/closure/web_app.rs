//! References in a web app manifest: icons and screenshots, also those of shortcuts, by which an application is installed.
//! Never takes another tool's `manifest.json` for one.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::found::{Evidence, Found};

/// Longest manifest that is read; it grows to about ten times its length in memory.
const BYTES_MAX: usize = 1024 * 1024;

/// What is read of it. The first members are those that a build tool's manifest of the same name has not.
#[derive(Deserialize)]
struct WebApp {
    start_url: Option<IgnoredAny>,
    display: Option<IgnoredAny>,
    short_name: Option<IgnoredAny>,
    theme_color: Option<IgnoredAny>,
    icons: Option<Vec<Picture>>,
    #[serde(default)]
    screenshots: Vec<Picture>,
    #[serde(default)]
    shortcuts: Vec<Shortcut>,
}

#[derive(Deserialize)]
struct Picture {
    #[serde(default)]
    src: String,
}

#[derive(Deserialize)]
struct Shortcut {
    #[serde(default)]
    icons: Vec<Picture>,
}

pub(super) fn references(text: &str, found: &mut Found) {
    let text = Some(text.trim_start_matches('\u{feff}')).filter(|text| text.len() <= BYTES_MAX);
    let Some(manifest) = text.and_then(|text| serde_json::from_str::<WebApp>(text).ok()) else { return };
    let marks = [&manifest.start_url, &manifest.display, &manifest.short_name, &manifest.theme_color];
    if manifest.icons.is_none() && marks.iter().all(|mark| mark.is_none()) {
        return;
    }
    let icons = manifest.icons.into_iter().flatten().chain(manifest.shortcuts.into_iter().flat_map(|shortcut| shortcut.icons));
    // Without one the application works, and a browser installs it with another picture.
    icons.chain(manifest.screenshots).for_each(|picture| found.add(&picture.src, Evidence::Icon));
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
