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

#[test]
fn names_of_every_script_and_of_every_framework_are_taken() {
    for name in [
        "app/[slug].js",
        "app/[...all].js",
        "(group)/page.html",
        "@scope/a.js",
        "~user/a.js",
        "a+b.js",
        "a b.js",
        "a!b.js",
        "a$b.js",
        "a&b=c.js",
        "100%.svg",
        "a#b?c.js",
        "a,b;c.js",
        "aux.js",
        "con/nul.css",
        "name.",
        " leading",
        "'quoted'.js",
        "\"quoted\".js",
        // Composed and decomposed, right to left, joined in Persian, in Hindi, in Mongolian, a Japanese variant.
        "caf\u{e9}.js",
        "cafe\u{301}.js",
        "\u{5e9}\u{5dc}\u{5d5}\u{5dd}.html",
        "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}.html",
        "\u{915}\u{94d}\u{200d}\u{937}.js",
        "\u{1820}\u{180b}.js",
        "\u{845b}\u{e0100}.png",
        // A heart, a family, a keycap, a flag; a screenshot of a Mac.
        "\u{2764}\u{fe0f}.png",
        "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}.png",
        "\u{2764}\u{fe0f}\u{200d}\u{1f525}.png",
        "1\u{fe0f}\u{20e3}.png",
        "\u{1f1f3}\u{1f1f1}.svg",
        "10.00\u{202f}AM.png",
        "a\u{a0}b.js",
        "\u{3000}.js",
    ] {
        assert_eq!(parse(name).as_deref(), Ok(name), "{name:?}");
    }
}

#[test]
fn names_with_what_nobody_sees_are_refused_and_the_character_is_named() {
    for invisible in [
        '\u{202e}',
        '\u{202a}',
        '\u{202c}',
        '\u{2066}',
        '\u{2069}',
        '\u{200e}',
        '\u{200f}',
        '\u{61c}',
        '\u{200b}',
        '\u{2060}',
        '\u{2063}',
        '\u{206a}',
        '\u{feff}',
        '\u{ad}',
        '\u{34f}',
        '\u{115f}',
        '\u{3164}',
        '\u{ffa0}',
        '\u{2028}',
        '\u{2029}',
        '\u{fff9}',
        '\u{1d173}',
        '\u{e0001}',
        '\u{e0041}',
        '\u{e0fff}',
    ] {
        for name in [format!("a{invisible}b.js"), format!("\u{e9}{invisible}"), format!("{invisible}/a")] {
            assert_eq!(parse(&name), Err(PathProblem::Invisible(invisible)), "{name:?}");
        }
    }
    // Joiners join nothing here: `app.js` by another name.
    for (name, character) in
        [("a\u{200d}pp.js", '\u{200d}'), ("\u{200c}a.js", '\u{200c}'), ("app\u{fe0f}.js", '\u{fe0f}'), ("1\u{fe0f}.js", '\u{fe0f}')]
    {
        assert_eq!(parse(name), Err(PathProblem::Invisible(character)), "{name:?}");
    }
    for damaged in ['\u{fffd}', '\u{fffe}', '\u{ffff}', '\u{fdd0}', '\u{1fffe}'] {
        assert_eq!(parse(&format!("a{damaged}")), Err(PathProblem::Damaged(damaged)));
    }
    let refusal = Refusal::UnsafePath { entry: "gpj.\u{202e}exe".into(), problem: PathProblem::Invisible('\u{202e}') };
    let told = r#"entry "gpj.\u{202e}exe" of the build: the path has the character U+202E, which is invisible or reorders the text around it; rename the file"#;
    assert_eq!(refusal.to_string(), told);
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
    // Joined or not, they look the same or nearly so.
    assert!(matches!(added(&["\u{2764}.js", "\u{2764}\u{fe0f}.js"]), Err(Refusal::CollidingPaths { .. })));
    assert!(matches!(added(&["\u{6cc}\u{200c}\u{62e}", "\u{6cc}\u{62e}"]), Err(Refusal::CollidingPaths { .. })));
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
