//! The ledger: order does not matter, pins, damaged and strange manifests, and the lean reader against the whole one.

use proptest::prelude::*;

use super::*;
use crate::manifest::Class;
use crate::manifest::Manifest;
use crate::retention::testing::{digest_of, file, manifest};

fn entered(stored: &[(&[u8], Standing)]) -> Ledger {
    let mut ledger = Ledger::default();
    for (stored, standing) in stored {
        ledger.enter(&Names::read(stored, &digest_of(stored), standing).unwrap(), standing);
    }
    ledger
}

#[test]
fn the_order_of_the_manifests_does_not_matter() {
    let (old, new) = (manifest(&["a.js", "b.js"]), manifest(&["b.js", "c.js"]));
    let going = || Standing::Going(Pins::default());
    for ledger in [entered(&[(&old, going()), (&new, Standing::Kept)]), entered(&[(&new, Standing::Kept), (&old, going())])] {
        let named = ["a.js", "b.js", "c.js", "d.js"].map(|key| ledger.named(key));
        assert_eq!(named, [Some(Named::Going(3)), Some(Named::Kept), Some(Named::Kept), None]);
    }
}

#[test]
fn a_pin_matches_paths_below_its_folder_only() {
    let stored = manifest(&["mail/logo.png", "mail/2026/logo.png", "email/logo.png", "mail.png"]);
    for (pattern, pinned) in [("mail/**", [true, true, false, false]), ("mail/*", [true, false, false, false])] {
        let ledger = entered(&[(&stored, Standing::Going(Pins::new([&pattern.to_owned()]).unwrap()))]);
        let named =
            ["mail/logo.png", "mail/2026/logo.png", "email/logo.png", "mail.png"].map(|key| ledger.named(key) == Some(Named::Pinned));
        assert_eq!(named, pinned, "{pattern}");
    }
    assert_eq!(Pins::new([&"a/{b".to_owned()]).unwrap_err().reason(), "InvalidPin");
}

#[test]
fn a_key_that_is_a_page_to_one_build_and_an_object_to_another_stays() {
    let page = Manifest::new(vec![file("about", Class::Entry, "no-cache")]).to_bytes();
    let object = manifest(&["about"]);
    let going = || Standing::Going(Pins::default());
    for ledger in [entered(&[(&page, going()), (&object, going())]), entered(&[(&object, going()), (&page, going())])] {
        assert_eq!(ledger.named("about"), Some(Named::Kept));
    }
    assert_eq!(entered(&[(&page, going())]).named("about"), Some(Named::Page));
}

/// The ledger of an older program's manifest, which had a class for all whose names say too little.
#[test]
fn a_page_of_a_build_that_stays_is_told_from_one_of_builds_that_go_in_any_order() {
    let page = Manifest::new(vec![file("favicon.ico", Class::Entry, "no-cache")]).to_bytes();
    let other = Manifest::new(vec![file("favicon.ico", Class::Entry, "no-cache"), file("x", Class::Entry, "")]).to_bytes();
    let going = || Standing::Going(Pins::default());
    for ledger in [entered(&[(&page, Standing::Kept), (&other, going())]), entered(&[(&other, going()), (&page, Standing::Kept)])] {
        assert_eq!((ledger.named("favicon.ico"), ledger.named("x")), (Some(Named::KeptPage), Some(Named::Page)));
    }
}

/// Mails show it for years: the hidden bytes alone answer nobody.
#[test]
fn a_pin_keeps_the_public_key_too_but_not_that_of_a_page() {
    let all = vec![
        file("mail/logo.png", Class::Unversioned, "no-cache"),
        file("mail/old.png", Class::Entry, "no-cache"),
        file("mail/index.html", Class::Entry, "no-cache"),
        file("mail/index.html.br", Class::Entry, "no-cache"),
    ];
    let stored = Manifest::new(all).to_bytes();
    let ledger = entered(&[(&stored, Standing::Going(Pins::new([&"mail/**".to_owned()]).unwrap()))]);
    let named = ["mail/logo.png", "mail/old.png", "mail/index.html", "mail/index.html.br"].map(|key| ledger.named(key));
    assert_eq!(named, [Some(Named::Pinned), Some(Named::Pinned), Some(Named::Page), Some(Named::Page)]);
}

#[test]
fn two_builds_that_go_and_differ_about_a_key_keep_it() {
    let mut other = file("a.js", Class::Asset, "");
    other.size = 4;
    let (one, other) = (manifest(&["a.js"]), Manifest::new(vec![other]).to_bytes());
    let going = || Standing::Going(Pins::default());
    assert_eq!(entered(&[(&one, going()), (&other, going())]).named("a.js"), Some(Named::Kept));
}

#[test]
fn other_bytes_and_other_formats_are_refused() {
    let stored = manifest(&["a.js"]);
    let read = |stored: &[u8], digest| Names::read(stored, &digest, &Standing::Kept).map(drop);
    assert!(matches!(read(&stored, ManifestDigest::of(b"")), Err(InvalidManifest::WrongDigest { .. })));
    for (text, expected) in
        [(r#"{"manifestVersion":2,"files":[]}"#, Err(InvalidManifest::UnknownFormat(2))), (r#"{"manifestVersion":1,"files":[]}"#, Ok(()))]
    {
        assert_eq!(read(text.as_bytes(), digest_of(text.as_bytes())), expected);
    }
    for text in [r#"{"files":[]}"#, r#"{"manifestVersion":1}"#, r#"{"manifestVersion":1,"files":[{"path":"a"}]}"#, "{} {}", "[]"] {
        assert!(matches!(read(text.as_bytes(), digest_of(text.as_bytes())), Err(InvalidManifest::Malformed(_))), "{text}");
    }
}

#[test]
fn a_file_that_does_not_say_its_key_lies_where_its_class_puts_it() {
    let hash = "0".repeat(64);
    let stored = format!(
        r#"{{"manifestVersion":1,"files":[{{"path":"a.js","size":3,"sha256":"{hash}","class":"Asset"}},{{"path":"b","size":4,"sha256":"{hash}","class":"Entry"}}]}}"#
    );
    let ledger = entered(&[(stored.as_bytes(), Standing::Going(Pins::default()))]);
    assert_eq!(ledger.named("a.js"), Some(Named::Going(3)));
    assert_eq!(ledger.named(&format!(".rollcall/entries/{hash}")), Some(Named::Going(4)));
    assert_eq!(ledger.named("b"), Some(Named::Page));
}

#[test]
fn the_longest_life_in_caches_is_known() {
    let lives = [
        ("no-cache", 0),
        ("no-store, max-age=60", 0),
        ("max-age=60", 60),
        ("public, max-age=60, s-maxage=300, stale-while-revalidate=30", 330),
        ("public", 0),
    ];
    for (text, seconds) in lives {
        assert_eq!(cached_for(text), seconds, "{text}");
    }
    let stored = Manifest::new(vec![file("index.html", Class::Entry, "max-age=60"), file("a.js", Class::Asset, "max-age=99")]).to_bytes();
    let names = Names::read(&stored, &digest_of(&stored), &Standing::Kept).unwrap();
    assert_eq!(names.longest_cached, Some(("index.html".into(), 60)));
}

proptest! {
    /// The lean reader and the whole one agree, whatever the names are.
    #[test]
    fn every_manifest_that_is_written_is_read(paths in proptest::collection::btree_set("\\PC{1,20}", 1..20)) {
        let stored = Manifest::new(paths.iter().map(|path| file(path, Class::Asset, "a\"b")).collect()).to_bytes();
        let ledger = entered(&[(&stored, Standing::Kept)]);
        for path in &paths {
            prop_assert_eq!(ledger.named(path), Some(Named::Kept));
        }
        prop_assert_eq!(ledger.len(), paths.len());
    }
}
