//! What a build has that is nearly the file that is missing: another Unicode form, another case, another folder.
//! Never a guess that is used for anything but a sentence.

use std::collections::{BTreeMap, BTreeSet};

use unicode_normalization::UnicodeNormalization as _;

use crate::source::path::folded;

/// The build's paths by their spelling and by their last part.
#[derive(Debug)]
pub(super) struct Nearby<'a> {
    by_spelling: BTreeMap<String, &'a str>,
    by_name: BTreeMap<String, &'a str>,
}

impl<'a> Nearby<'a> {
    pub(super) fn of(paths: &BTreeSet<&'a str>) -> Self {
        let mut all = Self { by_spelling: BTreeMap::new(), by_name: BTreeMap::new() };
        for path in paths {
            let whole = folded(path);
            all.by_name.entry(name_of(&whole).to_owned()).or_insert(path);
            all.by_spelling.insert(whole, path);
        }
        all
    }

    /// In words, what is nearly this path of the build.
    pub(super) fn sentence(&self, path: &str) -> Option<String> {
        let whole = folded(path);
        match self.by_spelling.get(&whole) {
            Some(other) if other.nfc().eq(path.nfc()) => {
                Some(format!("the build has the same name in another Unicode form ({}; the reference is {})", form(other), form(path)))
            }
            Some(other) => Some(format!("the build has {other:?}, which differs in upper and lower case")),
            None => self.by_name.get(name_of(&whole)).map(|other| format!("the build has {other:?}, in another folder")),
        }
    }
}

fn name_of(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// Printed, both forms look the same.
fn form(path: &str) -> &'static str {
    if path.nfc().eq(path.chars()) { "composed, NFC" } else { "decomposed, NFD, as macOS writes it" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_form_another_case_and_another_folder_are_said() {
        let paths = BTreeSet::from(["img/cafe\u{301}.png", "img/Logo.svg", "media/a.png"]);
        let near = Nearby::of(&paths);
        let says = |path: &str| near.sentence(path).unwrap_or_default();
        assert_eq!(
            says("img/caf\u{e9}.png"),
            "the build has the same name in another Unicode form (decomposed, NFD, as macOS writes it; the reference is composed, NFC)"
        );
        assert_eq!(says("img/logo.svg"), r#"the build has "img/Logo.svg", which differs in upper and lower case"#);
        assert_eq!(says("images/a.png"), r#"the build has "media/a.png", in another folder"#);
        assert_eq!(says("b.png"), "");
    }
}
