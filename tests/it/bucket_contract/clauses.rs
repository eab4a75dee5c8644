//! The contract of `trait Bucket`, clause by clause. Every clause works below a prefix of its own, so that one bucket serves them all.
//! Knows nothing about any one implementation.

use std::sync::Arc;

use bytes::Bytes;
use rollcall::api::{ContentHash, ManifestDigest};
use rollcall::bucket::{Attributes, Body, Bucket, BucketError, Copied, Created, Expected, Making, Original, Stored, Swapped};
use rollcall::manifest::Writer;

/// All clauses but the big listing and the big file, which ask for their own sizes.
pub async fn all(bucket: &Arc<dyn Bucket>) {
    all_but_checksums(bucket).await;
    wrong_bytes_are_refused_and_leave_nothing(bucket).await;
}

/// What a lock can stand in for, where the store keeps nothing by itself. The hash of the bytes it cannot.
pub async fn all_but_checksums(bucket: &Arc<dyn Bucket>) {
    a_create_is_new_once_and_then_the_same(bucket).await;
    other_bytes_are_never_stored_and_both_writers_are_known(bucket).await;
    of_racing_creators_exactly_one_is_new(bucket).await;
    racing_creators_of_the_same_bytes_all_succeed_and_one_is_new(bucket).await;
    a_replace_wins_only_over_what_it_expects(bucket).await;
    of_racing_replaces_exactly_one_is_done(bucket).await;
    a_delete_takes_only_what_it_saw(bucket).await;
    a_head_tells_what_was_written(bucket).await;
    a_get_gives_the_bytes_up_to_its_limit(bucket).await;
    a_read_gives_only_what_was_seen(bucket).await;
    an_empty_object_is_an_object(bucket).await;
    what_is_made_while_it_is_sent_is_stored_as_a_whole(bucket).await;
    a_listing_is_in_byte_order_and_stays_below_its_prefix(bucket).await;
    where_no_upload_was_left_none_is_given_up(bucket).await;
}

pub fn writer(version: &str) -> Writer {
    Writer { release: "shop/web".to_owned(), version: version.to_owned(), digest: ManifestDigest::of(version.as_bytes()) }
}

pub fn attributes(bytes: &[u8], version: &str) -> Attributes {
    Attributes {
        content_type: "text/javascript; charset=utf-8".to_owned(),
        cache_control: "public, max-age=31536000, immutable".to_owned(),
        content_encoding: None,
        sha256: ContentHash::of(bytes),
        writer: Some(writer(version)),
        sequence: None,
    }
}

pub async fn create(bucket: &dyn Bucket, key: &str, bytes: &[u8], version: &str) -> Result<Created, BucketError> {
    bucket.create(key, Body::Bytes(Bytes::copy_from_slice(bytes)), &attributes(bytes, version)).await
}

async fn replace(bucket: &dyn Bucket, key: &str, bytes: &[u8], expected: &Expected) -> Result<Swapped, BucketError> {
    bucket.replace(key, Body::Bytes(Bytes::copy_from_slice(bytes)), &attributes(bytes, "v1"), expected).await
}

/// The same letter, a thousand times in each piece.
#[derive(Debug)]
pub struct Letters {
    pub letter: u8,
    pub pieces: usize,
}

impl Making for Letters {
    fn size(&self) -> u64 {
        self.pieces as u64 * 1000
    }

    fn pieces(&self) -> Box<dyn Iterator<Item = Bytes> + Send + Sync> {
        let letter = self.letter;
        Box::new((0..self.pieces).map(move |_| Bytes::from(vec![letter; 1000])))
    }
}

/// Below and above what is sent in one piece.
async fn what_is_made_while_it_is_sent_is_stored_as_a_whole(bucket: &Arc<dyn Bucket>) {
    for pieces in [3, 400] {
        let (key, made) = (format!("made/{pieces}"), |letter| Body::Made(Arc::new(Letters { letter, pieces })));
        let (old, new) = (vec![b'a'; pieces * 1000], vec![b'b'; pieces * 1000]);
        assert_eq!(bucket.create(&key, made(b'a'), &attributes(&old, "v1")).await, Ok(Created::New));
        assert_eq!(bucket.create(&key, made(b'a'), &attributes(&old, "v1")).await, Ok(Created::Same));
        let etag = Expected::ETag(stored(&**bucket, &key).await.etag);
        assert_eq!(bucket.replace(&key, made(b'b'), &attributes(&new, "v2"), &etag).await, Ok(Swapped::Done));
        assert!(bucket.get(&key, 1_000_000).await.unwrap().unwrap() == new);
    }
}

async fn stored(bucket: &dyn Bucket, key: &str) -> Stored {
    bucket.head(key).await.unwrap().unwrap_or_else(|| panic!("{key} is missing"))
}

async fn keys_below(bucket: &dyn Bucket, prefix: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let mut after = None;
    loop {
        let page = bucket.list(prefix, after.as_deref()).await.unwrap();
        assert!(page.objects.len() <= 1000, "a page has at most 1,000 objects");
        keys.extend(page.objects.into_iter().map(|object| object.key));
        match page.next {
            Some(next) => after = Some(next),
            None => return keys,
        }
    }
}

async fn where_no_upload_was_left_none_is_given_up(bucket: &Arc<dyn Bucket>) {
    create(&**bucket, "uploads/a.js", b"a", "v1").await.unwrap();
    let later = stored(&**bucket, "uploads/a.js").await.last_modified + std::time::Duration::from_secs(3600);
    assert_eq!(bucket.give_up_uploads("uploads/", later).await, Ok(0));
    assert_eq!(bucket.get("uploads/a.js", 10).await, Ok(Some(Bytes::from_static(b"a"))));
}

async fn a_create_is_new_once_and_then_the_same(bucket: &Arc<dyn Bucket>) {
    let key = "create/assets/main.0a1b2c3d.js";
    assert_eq!(create(&**bucket, key, b"one", "v1").await, Ok(Created::New));
    let first = stored(&**bucket, key).await;
    assert_eq!(create(&**bucket, key, b"one", "v2").await, Ok(Created::Same));
    assert_eq!(stored(&**bucket, key).await, first, "a second create with the same bytes changed the object");
}

// I3
async fn other_bytes_are_never_stored_and_both_writers_are_known(bucket: &Arc<dyn Bucket>) {
    let key = "other/main.js";
    create(&**bucket, key, b"one", "v1").await.unwrap();
    match create(&**bucket, key, b"two", "v2").await.unwrap() {
        Created::Other(there) => {
            assert_eq!(there.writer, Some(writer("v1")));
            assert_eq!(there.sha256, Some(ContentHash::of(b"one")));
        }
        created => panic!("{created:?}"),
    }
    assert_eq!(bucket.get(key, 100).await.unwrap().unwrap(), "one");
}

// I3
async fn of_racing_creators_exactly_one_is_new(bucket: &Arc<dyn Bucket>) {
    for number in 0..10 {
        let key = format!("race/{number}");
        let racers = (0..16).map(|racer| {
            let (bucket, key) = (Arc::clone(bucket), key.clone());
            tokio::spawn(async move {
                let bytes = format!("racer {racer}");
                let created = create(&*bucket, &key, bytes.as_bytes(), &format!("v{racer}")).await.unwrap();
                (bytes, created)
            })
        });
        let ends = futures::future::join_all(racers).await;
        let ends: Vec<(String, Created)> = ends.into_iter().map(Result::unwrap).collect();
        let winners: Vec<&String> = ends.iter().filter(|(_, created)| *created == Created::New).map(|(bytes, _)| bytes).collect();
        assert_eq!(winners.len(), 1, "{key}: {ends:?}");
        assert!(ends.iter().all(|(_, created)| *created != Created::Same), "{key}: no two racers had the same bytes: {ends:?}");
        assert_eq!(bucket.get(&key, 100).await.unwrap().unwrap(), winners[0], "{key}: the object is not the winner's");
    }
}

async fn racing_creators_of_the_same_bytes_all_succeed_and_one_is_new(bucket: &Arc<dyn Bucket>) {
    let racers = (0..16).map(|_| {
        let bucket = Arc::clone(bucket);
        tokio::spawn(async move { create(&*bucket, "same-race", b"same", "v1").await.unwrap() })
    });
    let ends: Vec<Created> = futures::future::join_all(racers).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(ends.iter().filter(|end| **end == Created::New).count(), 1, "{ends:?}");
    assert_eq!(ends.iter().filter(|end| **end == Created::Same).count(), 15, "{ends:?}");
}

async fn wrong_bytes_are_refused_and_leave_nothing(bucket: &Arc<dyn Bucket>) {
    let promised = attributes(b"promised", "v1");
    let created = bucket.create("wrong/created", Body::Bytes(Bytes::from_static(b"deceived")), &promised).await;
    assert!(matches!(created, Err(BucketError::Refused { .. })), "{created:?}");
    let replaced = bucket.replace("wrong/replaced", Body::Bytes(Bytes::from_static(b"deceived")), &promised, &Expected::Absent).await;
    assert!(matches!(replaced, Err(BucketError::Refused { .. })), "{replaced:?}");
    assert_eq!(keys_below(&**bucket, "wrong/").await, Vec::<String>::new());
    assert_eq!(bucket.head("wrong/created").await, Ok(None));
}

// I4
async fn a_replace_wins_only_over_what_it_expects(bucket: &Arc<dyn Bucket>) {
    let key = "replace/index.html";
    let stale = Expected::ETag("\"00000000000000000000000000000000\"".to_owned());
    assert_eq!(replace(&**bucket, key, b"zero", &stale).await, Ok(Swapped::Lost), "there was nothing to expect");
    assert_eq!(replace(&**bucket, key, b"one", &Expected::Absent).await, Ok(Swapped::Done));
    assert_eq!(replace(&**bucket, key, b"two", &Expected::Absent).await, Ok(Swapped::Lost));
    let first = stored(&**bucket, key).await.etag;
    assert_eq!(replace(&**bucket, key, b"two", &Expected::ETag(first.clone())).await, Ok(Swapped::Done));
    assert_eq!(replace(&**bucket, key, b"three", &Expected::ETag(first)).await, Ok(Swapped::Lost));
    assert_eq!(bucket.get(key, 100).await.unwrap().unwrap(), "two");
}

// I4
async fn of_racing_replaces_exactly_one_is_done(bucket: &Arc<dyn Bucket>) {
    let key = "replace-race/index.html";
    replace(&**bucket, key, b"first", &Expected::Absent).await.unwrap();
    let expected = Expected::ETag(stored(&**bucket, key).await.etag);
    let racers = (0..16).map(|racer| {
        let (bucket, expected) = (Arc::clone(bucket), expected.clone());
        tokio::spawn(async move { replace(&*bucket, key, format!("racer {racer}").as_bytes(), &expected).await.unwrap() })
    });
    let ends: Vec<Swapped> = futures::future::join_all(racers).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(ends.iter().filter(|end| **end == Swapped::Done).count(), 1, "{ends:?}");
}

// I5
async fn a_delete_takes_only_what_it_saw(bucket: &Arc<dyn Bucket>) {
    let key = "delete/a.js";
    assert_eq!(bucket.delete(key, "\"00000000000000000000000000000000\"").await, Ok(Swapped::Done), "what is gone is gone");
    replace(&**bucket, key, b"one", &Expected::Absent).await.unwrap();
    let seen = stored(&**bucket, key).await.etag;
    replace(&**bucket, key, b"two", &Expected::ETag(seen.clone())).await.unwrap();
    assert_eq!(bucket.delete(key, &seen).await, Ok(Swapped::Lost));
    assert_eq!(bucket.get(key, 100).await.unwrap().unwrap(), "two");
    let listed = bucket.list("delete/", None).await.unwrap().objects.remove(0);
    assert_eq!(bucket.delete(key, &listed.etag).await, Ok(Swapped::Done), "a token from a listing is as good as one from a head");
    assert_eq!(bucket.head(key).await, Ok(None));
    assert_eq!(keys_below(&**bucket, "delete/").await, Vec::<String>::new());
}

async fn a_head_tells_what_was_written(bucket: &Arc<dyn Bucket>) {
    assert_eq!(bucket.head("head/missing").await, Ok(None));
    let written = Attributes {
        content_type: "text/html; charset=utf-8".to_owned(),
        cache_control: "no-cache".to_owned(),
        content_encoding: Some("br"),
        sequence: Some(41),
        ..attributes(b"<html>", "2026.11.20-3")
    };
    let bare = Attributes { writer: None, sequence: None, ..written.clone() };
    for (key, attributes) in [("head/full", &written), ("head/bare", &bare)] {
        bucket.replace(key, Body::Bytes(Bytes::from_static(b"<html>")), attributes, &Expected::Absent).await.unwrap();
        let found = stored(&**bucket, key).await;
        assert_eq!(found.size, 6, "{key}");
        assert_eq!(found.sha256.as_ref(), Some(&attributes.sha256), "{key}");
        assert_eq!(found.content_type.as_ref(), Some(&attributes.content_type), "{key}");
        assert_eq!(found.cache_control.as_ref(), Some(&attributes.cache_control), "{key}");
        assert_eq!(found.content_encoding.as_deref(), attributes.content_encoding, "{key}");
        assert_eq!(found.writer, attributes.writer, "{key}");
        assert_eq!(found.sequence, attributes.sequence, "{key}");
        let listed = bucket.list(key, None).await.unwrap().objects.remove(0);
        assert_eq!((listed.size, &listed.etag), (found.size, &found.etag), "{key}: head and list differ");
    }
}

async fn a_get_gives_the_bytes_up_to_its_limit(bucket: &Arc<dyn Bucket>) {
    assert_eq!(bucket.get("get/missing", 100).await, Ok(None));
    create(&**bucket, "get/five", b"12345", "v1").await.unwrap();
    assert_eq!(bucket.get("get/five", 5).await.unwrap().unwrap(), "12345");
    let refused = bucket.get("get/five", 4).await;
    assert!(matches!(refused, Err(BucketError::Refused { .. })), "{refused:?}");
}

async fn a_read_gives_only_what_was_seen(bucket: &Arc<dyn Bucket>) {
    let bytes = vec![b'x'; 300_000];
    create(&**bucket, "read/a.js", &bytes, "v1").await.unwrap();
    let etag = stored(&**bucket, "read/a.js").await.etag;
    let pieces = bucket.read("read/a.js", &etag).await.unwrap().expect("it is there");
    let read: Vec<Bytes> = futures::TryStreamExt::try_collect(pieces).await.unwrap();
    assert!(read.concat() == bytes, "the bytes differ");
    assert!(bucket.read("read/a.js", "\"00000000000000000000000000000000\"").await.unwrap().is_none(), "another version was asked for");
    assert!(bucket.read("read/missing", &etag).await.unwrap().is_none());
}

/// For buckets `from` and `to` of one store that keeps the condition on copies; `name` is `from`'s.
pub async fn copies(from: &dyn Bucket, name: &str, to: &dyn Bucket) {
    let original = |key: &str, etag: &str, size: usize| Original {
        bucket: name.to_owned(),
        key: key.to_owned(),
        etag: etag.to_owned(),
        size: size as u64,
    };
    // Every character that a header or a path could spoil.
    for key in ["copy/a b%2F+&=é/😀.js", "copy/plain-1_2~3.js"] {
        create(from, key, b"one", "v1").await.unwrap();
        let seen = original(key, &stored(from, key).await.etag, 3);
        let others = Attributes { cache_control: "no-cache".to_owned(), ..attributes(b"one", "v2") };
        assert_eq!(to.copy(&format!("to/{key}"), &seen, &others).await, Ok(Copied::Ended(Created::New)), "{key}");
        let copied = stored(to, &format!("to/{key}")).await;
        assert_eq!((copied.size, copied.sha256, copied.writer), (3, Some(ContentHash::of(b"one")), Some(writer("v2"))));
        assert_eq!((copied.content_type, copied.cache_control), (Some(others.content_type.clone()), Some(others.cache_control.clone())));
        assert_eq!(to.get(&format!("to/{key}"), 3).await.unwrap().unwrap(), "one");
        assert_eq!(to.copy(&format!("to/{key}"), &seen, &others).await, Ok(Copied::Ended(Created::Same)), "{key}: once more");
    }
    // I3: what is there stays.
    create(to, "to/taken.js", b"two", "v2").await.unwrap();
    let seen = original("copy/plain-1_2~3.js", &stored(from, "copy/plain-1_2~3.js").await.etag, 3);
    match to.copy("to/taken.js", &seen, &attributes(b"one", "v1")).await {
        Ok(Copied::Ended(Created::Other(there))) => assert_eq!(there.sha256, Some(ContentHash::of(b"two"))),
        other => panic!("{other:?}"),
    }
    assert_eq!(to.get("to/taken.js", 3).await.unwrap().unwrap(), "two");
    // What is not what was seen is not copied.
    for changed in [original("copy/plain-1_2~3.js", "\"00000000000000000000000000000000\"", 3), original("copy/gone.js", &seen.etag, 3)] {
        assert_eq!(to.copy("to/changed.js", &changed, &attributes(b"one", "v1")).await, Ok(Copied::OriginalChanged), "{changed:?}");
    }
    assert_eq!(to.head("to/changed.js").await, Ok(None));
    let nowhere = Original { bucket: "no-such-bucket".to_owned(), ..seen };
    let unable = to.copy("to/changed.js", &nowhere, &attributes(b"one", "v1")).await;
    assert!(matches!(unable, Ok(Copied::Unable(_))), "{unable:?}");
}

async fn an_empty_object_is_an_object(bucket: &Arc<dyn Bucket>) {
    assert_eq!(create(&**bucket, "empty/a", b"", "v1").await, Ok(Created::New));
    assert_eq!(create(&**bucket, "empty/a", b"", "v1").await, Ok(Created::Same));
    assert_eq!(bucket.get("empty/a", 0).await.unwrap().unwrap(), "");
    assert_eq!(stored(&**bucket, "empty/a").await.size, 0);
}

async fn a_listing_is_in_byte_order_and_stays_below_its_prefix(bucket: &Arc<dyn Bucket>) {
    // Characters that a careless client or server decodes twice, sorts by locale, or takes for a separator.
    let names = [
        "a b.js",
        "a%20b.js",
        "a%2Fb.js",
        "a+b.js",
        "a&b=c.js",
        "a.js",
        "a/b.js",
        "A.js",
        "~.js",
        "é.js",
        "ž/ü.js",
        "日本.js",
        "😀.js",
        "'(1)!*.js",
    ];
    let mut expected: Vec<String> = names.iter().map(|name| format!("odd/{name}")).collect();
    for key in &expected {
        assert_eq!(create(&**bucket, key, key.as_bytes(), "v1").await, Ok(Created::New), "{key}");
    }
    expected.sort_unstable();
    assert_eq!(keys_below(&**bucket, "odd/").await, expected);
    for key in &expected {
        assert_eq!(bucket.get(key, 100).await.unwrap().unwrap(), key);
    }
    for after in &expected {
        let rest: Vec<String> = bucket.list("odd/", Some(after)).await.unwrap().objects.into_iter().map(|object| object.key).collect();
        assert_eq!(rest, expected[expected.binary_search(after).unwrap() + 1..], "after {after}");
    }
    create(&**bucket, "od", b"beside", "v1").await.unwrap();
    create(&**bucket, "odd0", b"beside", "v1").await.unwrap();
    assert_eq!(keys_below(&**bucket, "odd/").await, expected, "a neighbour of the prefix was listed");
    assert_eq!(keys_below(&**bucket, "odd/zzz").await, Vec::<String>::new());
}

/// `count` objects, listed page by page.
pub async fn many_objects_are_listed_page_by_page(bucket: &Arc<dyn Bucket>, count: usize) {
    let mut expected: Vec<String> = (0..count).map(|number| format!("many/{}/{number}", number % 7)).collect();
    let creates = expected.iter().map(|key| create(&**bucket, key, key.as_bytes(), "v1"));
    let ends: Vec<_> = futures::StreamExt::collect(futures::StreamExt::buffer_unordered(futures::stream::iter(creates), 32)).await;
    assert!(ends.iter().all(|end| *end == Ok(Created::New)));
    expected.sort_unstable();
    let first = bucket.list("many/", None).await.unwrap();
    assert_eq!((first.objects.len(), first.next.as_ref()), (1000, Some(&expected[999])));
    assert_eq!(keys_below(&**bucket, "many/").await, expected);
}
