//! Each promise (docs/semantics.md) is held by tests that cite it, as `I1` to `I13`, in the comment right above or at their beginning.
//! The list of promises that nothing holds yet can only get shorter.

use std::collections::{BTreeMap, BTreeSet};

use crate::repository::{files, top};

const PROMISES: std::ops::RangeInclusive<usize> = 1..=13;

/// Promises that no test cites, and why.
const NOT_HELD_YET: [(usize, &str); 0] = [];

struct Test {
    place: String,
    name: String,
    comment: String,
}

fn tests() -> Vec<Test> {
    files(&["src", "tests"], &[".rs"]).into_iter().flat_map(|file| tests_of(&file.path, &file.text)).collect()
}

/// Functions under a `#[test]`-like attribute, each with the comment right above its attributes and the one it begins with.
fn tests_of(path: &str, text: &str) -> Vec<Test> {
    let (mut found, mut comment, mut is_test, mut begins) = (Vec::<Test>::new(), String::new(), false, false);
    for line in text.lines().map(str::trim) {
        if line.starts_with("//") {
            match found.last_mut().filter(|_| begins) {
                Some(test) => test.comment += line,
                None => comment += line,
            }
        } else if line.starts_with("#[") {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            begins = false;
        } else {
            let name = line.split("fn ").nth(1).and_then(|rest| rest.split('(').next()).filter(|_| is_test);
            begins = name.is_some();
            if let Some(name) = name {
                found.push(Test { place: path.to_owned(), name: name.to_owned(), comment: comment.clone() });
            }
            (comment, is_test) = (String::new(), false);
        }
    }
    found
}

/// The numbers `n` of every `In` in a text.
fn cited(text: &str) -> BTreeSet<usize> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    words.filter_map(|word| word.strip_prefix('I')?.parse().ok()).filter(|number| PROMISES.contains(number)).collect()
}

#[test]
fn every_promise_is_held_by_a_test_that_cites_it() {
    let mut holders: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for test in tests() {
        for number in cited(&test.comment) {
            holders.entry(number).or_default().push(format!("{}::{}", test.place, test.name));
        }
    }
    for number in PROMISES {
        let excused = NOT_HELD_YET.iter().find(|(of, _)| *of == number);
        match (holders.get(&number), excused) {
            (None, None) => panic!("no test cites I{number}"),
            (Some(tests), Some(_)) => panic!("I{number} is held by {tests:?}: take it off the list"),
            (Some(_), None) | (None, Some(_)) => {}
        }
    }
}

#[test]
fn the_tests_that_the_promises_name_exist() {
    let page = std::fs::read_to_string(top().join("docs/semantics.md")).unwrap();
    let names: BTreeSet<String> = tests().into_iter().map(|test| test.name).collect();
    for number in PROMISES {
        let section =
            page.split(&format!("\n## I{number} ")).nth(1).unwrap_or_else(|| panic!("docs/semantics.md has no section I{number}"));
        let section = section.split("\n## ").next().unwrap_or_default();
        let held = section.split("Held by:").nth(1).unwrap_or_else(|| panic!("I{number} does not say what holds it"));
        let named: Vec<&str> = held.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty() || NOT_HELD_YET.iter().any(|(of, _)| *of == number), "I{number} names no test");
        for name in named {
            assert!(names.contains(name), "I{number} names {name:?}, which is no test");
        }
    }
}

/// What the security model claims, some test must show.
#[test]
fn the_tests_that_the_security_model_names_exist() {
    let page = std::fs::read_to_string(top().join("docs/concepts/security-model.md")).unwrap();
    let names: BTreeSet<String> = tests().into_iter().map(|test| test.name).collect();
    let held: Vec<&str> = page.split("Held by:").skip(1).map(|rest| rest.split("\n## ").next().unwrap_or_default()).collect();
    assert_eq!(held.len(), 6, "a section says what holds it");
    let missing: Vec<&str> =
        held.iter().flat_map(|held| held.split('`').skip(1).step_by(2)).filter(|name| !names.contains(*name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
