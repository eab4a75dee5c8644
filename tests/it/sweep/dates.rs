//! Documents of a clock that is wrong, or of a hand: dated in another century. What the store says of when they were written counts then.

use serde_json::{Value, json};

use super::*;

const NEVER: &str = "9000-01-01T00:00:00Z";

/// Writes a document anew, with these fields.
fn redate(prefix: &Prefix, key: &str, change: impl Fn(&mut Value)) {
    let bytes = prefix.world.bucket.bytes(key).unwrap_or_else(|| panic!("no {key}"));
    let mut document: Value = serde_json::from_slice(&bytes).unwrap();
    change(&mut document);
    prefix.world.bucket.overwrite(key, document.to_string());
}

#[tokio::test(start_paused = true)]
async fn an_intent_that_is_dated_later_than_now_dies_a_day_after_it_was_written() {
    let prefix = Prefix::with_history(4).await;
    let place = prefix.world.layout.intent("other");
    let intent =
        json!({"intentVersion": 1, "digest": ManifestDigest::of(b"new"), "version": "x", "release": "web/shop", "startedAt": NEVER});
    prefix.world.bucket.overwrite(&place, intent.to_string());
    assert_eq!(prefix.sweep().await.unwrap_err().reason(), "PublishUnderWay");
    prefix.world.pass(DAY + 3 * SKEW).await;
    prefix.sweep().await.unwrap();
    assert_eq!(prefix.whole(), ["v3", "v4"]);
    assert!(prefix.world.bucket.stored(&place).is_none(), "it is cleared away");
}

#[tokio::test(start_paused = true)]
async fn versions_whose_documents_are_dated_later_than_now_go_all_the_same() {
    let prefix = Prefix::with_history(4).await;
    let layout = &prefix.world.layout;
    redate(&prefix, &layout.version("v1"), |record| record["publishedAt"] = json!(NEVER));
    redate(&prefix, &layout.references_of("c", "web/shop"), |references| {
        references["since"] = json!(NEVER);
        for activation in references["activated"].as_array_mut().unwrap() {
            if activation["version"] == "v1" || activation["version"] == "v2" {
                activation["retiredAt"] = json!(NEVER);
            }
        }
    });
    assert_eq!(prefix.sweep().await.unwrap().deleted.objects, 0, "they are as new as the documents");
    prefix.world.pass(Duration::from_secs(2 * 3600)).await;
    prefix.sweep().await.unwrap();
    assert_eq!(prefix.whole(), ["v3", "v4"]);
    prefix.check();
}

#[tokio::test(start_paused = true)]
async fn a_tombstone_that_is_dated_later_than_now_keeps_no_key_for_ever() {
    let prefix = Prefix::with_history(4).await;
    prefix.sweep().await.unwrap();
    let sweeps = prefix.world.layout.tombstones();
    let graves: Vec<String> = prefix.world.bucket.keys().into_iter().filter(|key| key.starts_with(&sweeps)).collect();
    assert!(!graves.is_empty());
    for grave in &graves {
        redate(&prefix, grave, |tombstone| (tombstone["at"], tombstone["usableFrom"]) = (json!(NEVER), json!(NEVER)));
    }
    assert_eq!(prefix.world.publish("v1").await.unwrap_err().reason(), "Reclaiming", "late deletes may come");
    prefix.world.pass(Duration::from_secs(30 * 60)).await;
    prefix.world.publish("v1").await.unwrap();
    assert_eq!(prefix.whole(), ["v1", "v3", "v4"]);
    prefix.check();
}
