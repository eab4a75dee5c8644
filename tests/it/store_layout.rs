//! Every example in docs/reference/store-layout.md is a document that the program reads, and writes again the same.

use rollcall::manifest::{Intent, Layout, Manifest, Owner, References, Swept, Tombstone, TriedOut, VersionRecord, WriterLock};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::repository::top;

fn page() -> String {
    std::fs::read_to_string(top().join("docs/reference/store-layout.md")).unwrap()
}

/// The kind and the text of each example.
fn examples(page: &str) -> Vec<(&str, &str)> {
    page.split("```json ")
        .skip(1)
        .map(|rest| rest.split_once('\n').unwrap())
        .map(|(kind, rest)| (kind, rest.split("```").next().unwrap()))
        .collect()
}

fn there_and_back<D: DeserializeOwned + Serialize>(text: &str) -> Value {
    serde_json::to_value(serde_json::from_str::<D>(text).unwrap()).unwrap()
}

#[test]
fn every_example_is_read_and_written_again_the_same() {
    let page = page();
    let mut kinds = Vec::new();
    for (kind, text) in examples(&page) {
        let again = match kind {
            "version" => there_and_back::<VersionRecord>(text),
            "manifest" => there_and_back::<Manifest>(text),
            "owner" => there_and_back::<Owner>(text),
            "intent" => there_and_back::<Intent>(text),
            "references" => there_and_back::<References>(text),
            "tombstone" => there_and_back::<Tombstone>(text),
            "swept" => there_and_back::<Swept>(text),
            "lock" => there_and_back::<WriterLock>(text),
            "tried" => there_and_back::<TriedOut>(text),
            other => panic!("{other:?} is no kind of document"),
        };
        assert_eq!(again, serde_json::from_str::<Value>(text).unwrap(), "{kind}");
        kinds.push(kind);
    }
    kinds.sort_unstable();
    assert_eq!(kinds, ["intent", "lock", "manifest", "owner", "references", "swept", "tombstone", "tried", "version"]);
}

#[test]
fn every_folder_of_ours_is_on_the_page() {
    let page = page();
    let layout = Layout::new("", "");
    for folder in [
        layout.manifests(),
        layout.versions(),
        layout.intents(),
        layout.references(),
        layout.tombstones(),
        layout.swept_all(),
        layout.owner(),
        layout.tried(),
        layout.lock(),
    ] {
        assert!(page.contains(&format!("| `<prefix>{folder}")), "{folder}");
    }
    assert_eq!(layout.references_of("c", "web/shop"), ".rollcall/references/c.web.shop.json");
}
