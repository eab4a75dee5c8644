//! Names that are taken and names that are refused.

use proptest::prelude::*;

use super::*;

fn parse(name: &str) -> Result<String, PathProblem> {
    BuildPath::parse(name.as_bytes()).map(|path| path.0)
}

#[test]
fn ordinary_names_are_taken_and_dots_and_double_slashes_dropped() {
    for (name, path) in [
        ("index.html", "index.html"),
        ("./assets//app.js", "assets/app.js"),
        ("assets/./", "assets"),
        (".well-known/security.txt", ".well-known/security.txt"),
        ("ünïcode/ß.txt", "ünïcode/ß.txt"),
        ("a..b/...", "a..b/..."),
    ] {
        assert_eq!(parse(name).as_deref(), Ok(path), "{name}");
    }
}

#[test]
fn names_that_could_lead_out_or_be_misread_are_refused() {
    for (name, problem) in [
        ("/etc/passwd", PathProblem::Absolute),
        ("C:/x", PathProblem::Absolute),
        ("../x", PathProblem::Parent),
        ("a/../b", PathProblem::Parent),
        ("a/..", PathProblem::Parent),
        ("a\\..\\b", PathProblem::Backslash),
        ("a\0b", PathProblem::Control),
        ("a\nb", PathProblem::Control),
        ("a\u{85}b", PathProblem::Control),
        (".rollcall/owner.json", PathProblem::Reserved),
        ("dist/.RollCall/x", PathProblem::Reserved),
        ("", PathProblem::Empty),
        ("./", PathProblem::Empty),
    ] {
        assert_eq!(parse(name), Err(problem), "{name:?}");
    }
    assert_eq!(BuildPath::parse(b"a\xff"), Err(PathProblem::NotUtf8));
    assert_eq!(parse(&"a".repeat(256)), Err(PathProblem::TooLong));
    assert_eq!(parse(&"abc/".repeat(300)), Err(PathProblem::TooLong));
}

fn added(names: &[&str]) -> Result<(), Refusal> {
    let mut collisions = Collisions::default();
    names.iter().try_for_each(|name| collisions.add(&BuildPath::parse(name.as_bytes()).unwrap()))?;
    collisions.finish()
}

#[test]
fn paths_that_get_into_each_others_way_are_refused() {
    assert_eq!(added(&["a/b", "a/c", "ab", "a-b"]), Ok(()));
    assert_eq!(added(&["a", "./a"]), Err(Refusal::DuplicatePath { path: "a".into() }));
    assert_eq!(added(&["A.js", "a.js"]), Err(Refusal::CollidingPaths { one: "A.js".into(), other: "a.js".into() }));
    // The same letter, composed and decomposed.
    assert!(matches!(added(&["\u{e9}.js", "e\u{301}.js"]), Err(Refusal::CollidingPaths { .. })));
    assert!(matches!(added(&["stra\u{df}e", "STRASSE"]), Err(Refusal::CollidingPaths { .. })));
    assert_eq!(added(&["a/b", "a"]), Err(Refusal::FileIsFolder { file: "a".into(), below: "a/b".into() }));
    assert!(matches!(added(&["A", "a/b"]), Err(Refusal::FileIsFolder { .. })));
}

proptest! {
    #[test]
    fn an_accepted_path_stays_below_its_folder_and_is_its_own_normal_form(raw in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(path) = BuildPath::parse(&raw) {
            let parts: Vec<&str> = path.0.split('/').collect();
            prop_assert!(parts.iter().all(|part| !matches!(*part, "" | "." | "..")));
            prop_assert!(!path.0.contains(['\\', '\0']));
            prop_assert!(std::path::Path::new(&path.0).components().all(|part| matches!(part, std::path::Component::Normal(_))));
            prop_assert_eq!(BuildPath::parse(path.0.as_bytes()), Ok(path));
        }
    }

    #[test]
    fn names_of_hostile_parts_never_become_a_path_that_leads_out(parts in proptest::collection::vec(prop_oneof![
        Just(".."), Just("."), Just(""), Just("a"), Just(".rollcall"), Just("b\\.."), Just("\u{202e}x"), Just("A")
    ], 1..6)) {
        let name = parts.join("/");
        let hostile = name.starts_with('/') || parts.iter().any(|part| matches!(*part, ".." | ".rollcall") || part.contains('\\'));
        let parsed = parse(&name);
        prop_assert!(!hostile || parsed.is_err(), "{name:?} gave {parsed:?}");
    }

    #[test]
    fn folding_twice_changes_nothing(name in "\\PC{0,24}") {
        let once = folded(&name);
        prop_assert_eq!(folded(&once), once);
    }
}
