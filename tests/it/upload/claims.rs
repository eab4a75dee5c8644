//! Claims count for every key below a prefix: above, below, under races, and with listings that lag.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rollcall::bucket::memory::MemoryBucket;
use rollcall::bucket::{Attributes, Body, Bucket, BucketError, Created, Expected, Page, Pieces, Stored, Swapped};
use rollcall::clock::{Clock, TokioClock};
use rollcall::manifest::{Layout, Owner};
use rollcall::upload::{Claimant, Claimed, Standing, claim_owner, read_claim, read_owner, standing};

const MOMENT: Duration = Duration::from_secs(10);

pub fn owner(release: &str) -> Owner {
    Owner { owner_version: 1, cluster: "c".into(), release: release.into() }
}

fn layout(prefix: &str) -> Layout {
    Layout::new("", prefix)
}

fn bucket() -> (Arc<MemoryBucket>, Arc<TokioClock>) {
    let clock = Arc::new(TokioClock::starting_at("2026-11-21T00:00:00Z".parse().unwrap()));
    (Arc::new(MemoryBucket::new(clock.clone())), clock)
}

async fn claim(bucket: &dyn Bucket, layout: &Layout, release: &str) -> Claimed {
    claim_owner(bucket, layout, &owner(release)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_prefix_within_or_around_a_claimed_one_is_refused_with_both_names_and_what_to_do() {
    // I13
    let (bucket, _) = bucket();
    assert_eq!(claim(&*bucket, &layout("web/shop/"), "shop/shop").await, Claimed::Ours);
    tokio::time::advance(MOMENT).await;
    // Another store's prefix, the bucket's root, and folders that only begin alike.
    for (prefix, other) in [("web/shop/admin/", "eve/x"), ("web/", "eve/y"), ("", "eve/z"), ("web/shop/a/b/c/", "eve/w")] {
        let Claimed::Overlaps(overlap) = claim(&*bucket, &layout(prefix), other).await else { panic!("{prefix:?} is claimed") };
        let said = format!("{overlap}: {}", overlap.advice());
        for part in ["shop/shop", r#""web/shop/""#, "spec.excludedPrefixes", "--exclude-prefix", "web/shop/.rollcall/owner.json"] {
            assert!(said.contains(part), "{part} is not in: {said}");
        }
        assert_eq!(read_owner(&*bucket, &layout(prefix)).await, Ok(None), "{prefix:?}: nothing stays of it");
    }
    for prefix in ["web/shopping/", "web/sho/", "docs/", "web/other/shop/"] {
        assert_eq!(claim(&*bucket, &layout(prefix), "shop/other").await, Claimed::Ours, "{prefix:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn builds_that_were_published_without_a_release_keep_others_from_claiming_around_them() {
    let (bucket, _) = bucket();
    bucket.overwrite("web/shop/.rollcall/versions/v1.json", "{}");
    bucket.overwrite("web/other/.rollcall/probe/1/x", "left by a trial");
    let Claimed::Overlaps(overlap) = claim(&*bucket, &layout("web/"), "eve/x").await else { panic!("it is claimed") };
    assert!(overlap.to_string().contains("published without a release"), "{overlap}");
    assert_eq!(claim(&*bucket, &layout("web/other/x/"), "eve/x").await, Claimed::Ours);
}

#[tokio::test(start_paused = true)]
async fn an_excluded_part_can_be_claimed_by_others_and_taken_back_only_when_nobody_is_there() {
    let (bucket, clock) = bucket();
    let excluding = layout("shop/").excluding(&["admin/".to_owned()]);
    assert_eq!(claim(&*bucket, &excluding, "shop/shop").await, Claimed::Ours);
    let stored = read_claim(&*bucket, &excluding).await.unwrap().unwrap();
    assert_eq!((stored.owner.owner_version, &*stored.excluded_prefixes), (2, &["admin/".to_owned()][..]), "an older reader refuses it");
    tokio::time::advance(MOMENT).await;
    for (prefix, expected) in [("shop/admin/", true), ("shop/administration/", false), ("shop/assets/", false)] {
        assert_eq!(claim(&*bucket, &layout(prefix), "admin/admin").await == Claimed::Ours, expected, "{prefix}");
    }
    let around = |layout: Layout| {
        let (bucket, clock) = (bucket.clone(), clock.clone());
        async move { standing(&*bucket, &layout, &owner("shop/shop"), clock.now()).await.unwrap() }
    };
    assert_eq!(around(excluding.clone()).await, Standing::Ours);
    let more = layout("shop/").excluding(&["admin/".to_owned(), "docs/".to_owned()]);
    assert_eq!(around(more.clone()).await, Standing::Renew);
    assert_eq!(claim(&*bucket, &more, "shop/shop").await, Claimed::Ours);
    assert!(read_claim(&*bucket, &more).await.unwrap().unwrap().claimed_at.is_some(), "it is as old as it was");
    // A version that is recorded: the claim is in use.
    bucket.overwrite("shop/.rollcall/versions/v1.json", "{}");
    let Standing::Overlaps(overlap) = around(layout("shop/")).await else { panic!("admin/ is another release's") };
    assert!(overlap.to_string().contains("admin/admin"), "{overlap}");
    bucket.remove("shop/admin/.rollcall/owner.json");
    assert_eq!(around(layout("shop/")).await, Standing::Renew);
}

/// I13: a claim is inherited from the release that is named, of the same cluster, and from no other.
#[tokio::test(start_paused = true)]
async fn a_release_that_takes_anothers_place_inherits_its_claim_with_its_date_and_no_other_one() {
    let (bucket, clock) = bucket();
    assert_eq!(claim(&*bucket, &layout("shop/"), "shop/web").await, Claimed::Ours);
    let first = bucket.stored("shop/.rollcall/owner.json").unwrap().last_modified;
    tokio::time::advance(MOMENT).await;
    let heir = owner("shop/store");
    let elsewhere = Owner { cluster: "another".into(), ..heir.clone() };
    let pipeline = Owner { cluster: String::new(), ..heir.clone() };
    let theirs = Standing::Theirs(owner("shop/web"));
    for (ours, predecessor) in [(&heir, None), (&heir, Some("eve/web")), (&elsewhere, Some("shop/web")), (&pipeline, Some("shop/web"))] {
        let claimant = Claimant::from(ours).inheriting(predecessor);
        assert_eq!(standing(&*bucket, &layout("shop/"), claimant, clock.now()).await, Ok(theirs.clone()), "{claimant:?}");
        assert_eq!(claim_owner(&*bucket, &layout("shop/"), claimant).await, Ok(Claimed::Theirs(owner("shop/web"))), "{claimant:?}");
    }
    let claimant = Claimant::from(&heir).inheriting(Some("shop/web"));
    assert_eq!(standing(&*bucket, &layout("shop/"), claimant, clock.now()).await, Ok(Standing::Renew));
    assert_eq!(claim_owner(&*bucket, &layout("shop/"), claimant).await, Ok(Claimed::Ours));
    let inherited = read_claim(&*bucket, &layout("shop/")).await.unwrap().unwrap();
    assert_eq!((inherited.owner, inherited.claimed_at), (heir.clone(), Some(first)), "it is as old as it was");
    assert_eq!(standing(&*bucket, &layout("shop/"), &heir, clock.now()).await, Ok(Standing::Ours), "without the predecessor, too");
    assert_eq!(claim(&*bucket, &layout("shop/"), "shop/web").await, Claimed::Theirs(heir), "the old name has nothing any more");
}

/// A pipeline's claim names no cluster: whose release of that name it was, nobody knows.
#[tokio::test(start_paused = true)]
async fn a_claim_without_a_cluster_is_nobodys_to_inherit() {
    let (bucket, clock) = bucket();
    let pipeline = Owner { cluster: String::new(), ..owner("shop/web") };
    assert_eq!(claim_owner(&*bucket, &layout("shop/"), &pipeline).await, Ok(Claimed::Ours));
    let heir = owner("shop/store");
    let claimant = Claimant::from(&heir).inheriting(Some("shop/web"));
    assert_eq!(standing(&*bucket, &layout("shop/"), claimant, clock.now()).await, Ok(Standing::Theirs(pipeline)));
}

#[tokio::test(start_paused = true)]
async fn a_claim_of_a_pipeline_becomes_that_of_the_cluster_with_its_release() {
    let (bucket, clock) = bucket();
    let pipeline = Owner { cluster: String::new(), ..owner("shop/shop") };
    assert_eq!(claim_owner(&*bucket, &layout("shop/"), &pipeline).await, Ok(Claimed::Ours));
    assert_eq!(standing(&*bucket, &layout("shop/"), &owner("shop/shop"), clock.now()).await, Ok(Standing::Renew));
    assert_eq!(claim(&*bucket, &layout("shop/"), "shop/shop").await, Claimed::Ours);
    assert_eq!(read_owner(&*bucket, &layout("shop/")).await, Ok(Some(owner("shop/shop"))));
    let elsewhere = Owner { cluster: "another".into(), ..owner("shop/shop") };
    assert_eq!(
        claim_owner(&*bucket, &layout("shop/"), &elsewhere).await,
        Ok(Claimed::Theirs(owner("shop/shop"))),
        "two clusters, one name"
    );
    assert_eq!(claim_owner(&*bucket, &layout("shop/"), &pipeline).await, Ok(Claimed::Ours), "the pipeline goes on");
    assert_eq!(read_owner(&*bucket, &layout("shop/")).await, Ok(Some(owner("shop/shop"))));
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_read_around_a_new_prefix_is_named_and_an_old_prefix_goes_on() {
    let (memory, clock) = bucket();
    let bucket = Slow { denied: Some("web/.rollcall/owner.json"), ..Slow::over(memory.clone()) };
    let failure = claim_owner(&bucket, &layout("web/shop/"), &owner("shop/shop")).await.unwrap_err().to_string();
    for part in ["web/.rollcall/owner.json", "s3:GetObject", "rollcall store check"] {
        assert!(failure.contains(part), "{part} is not in: {failure}");
    }
    assert_eq!(read_owner(&*memory, &layout("web/shop/")).await, Ok(None));
    memory.overwrite("web/shop/.rollcall/owner.json", r#"{"ownerVersion":1,"cluster":"c","release":"shop/shop"}"#);
    memory.overwrite("web/shop/.rollcall/versions/v1.json", "{}");
    assert_eq!(standing(&bucket, &layout("web/shop/"), &owner("shop/shop"), clock.now()).await, Ok(Standing::Ours));
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_process_ended_before_it_looked_is_looked_at_again() {
    let (bucket, clock) = bucket();
    let text = r#"{"ownerVersion":1,"cluster":"c","release":"shop/shop"}"#;
    bucket.overwrite("shop/.rollcall/owner.json", text);
    tokio::time::advance(MOMENT).await;
    // The process of the inner one wrote this and ended.
    bucket.overwrite("shop/admin/.rollcall/owner.json", text.replace("shop/shop", "admin/admin"));
    tokio::time::advance(Duration::from_secs(24 * 60 * 60)).await;
    assert_eq!(standing(&*bucket, &layout("shop/admin/"), &owner("admin/admin"), clock.now()).await, Ok(Standing::Yields));
    assert!(matches!(claim(&*bucket, &layout("shop/admin/"), "admin/admin").await, Claimed::Overlaps(_)));
    assert_eq!(read_owner(&*bucket, &layout("shop/admin/")).await, Ok(None));
    assert_eq!(standing(&*bucket, &layout("shop/"), &owner("shop/shop"), clock.now()).await, Ok(Standing::Ours));
}

/// Each request takes one turn; listings may not show the other one's claim yet; one key may not be read.
struct Slow {
    inner: Arc<MemoryBucket>,
    /// Listings show nothing that was written by now.
    lags: bool,
    denied: Option<&'static str>,
}

impl Slow {
    fn over(inner: Arc<MemoryBucket>) -> Self {
        Self { inner, lags: false, denied: None }
    }
}

/// Lets whoever drives these futures choose who goes next.
async fn turn() {
    let mut is_over = false;
    std::future::poll_fn(|_| if std::mem::replace(&mut is_over, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

#[async_trait]
impl Bucket for Slow {
    async fn create(&self, key: &str, body: Body, attributes: &Attributes) -> Result<Created, BucketError> {
        turn().await;
        self.inner.create(key, body, attributes).await
    }

    async fn replace(&self, key: &str, body: Body, attributes: &Attributes, expected: &Expected) -> Result<Swapped, BucketError> {
        turn().await;
        self.inner.replace(key, body, attributes, expected).await
    }

    async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Bytes>, BucketError> {
        if self.denied == Some(key) {
            return Err(BucketError::Denied { operation: "get", key: key.to_owned(), cause: "AccessDenied".to_owned() });
        }
        if self.denied.is_none() {
            turn().await;
        }
        self.inner.get(key, bytes_max).await
    }

    async fn read(&self, key: &str, etag: &str) -> Result<Option<Pieces>, BucketError> {
        self.inner.read(key, etag).await
    }

    async fn head(&self, key: &str) -> Result<Option<Stored>, BucketError> {
        if self.denied.is_none() {
            turn().await;
        }
        self.inner.head(key).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, BucketError> {
        if self.denied.is_none() {
            turn().await;
        }
        if self.lags { Ok(Page { objects: Vec::new(), next: None }) } else { self.inner.list(prefix, after).await }
    }

    async fn give_up_uploads(&self, prefix: &str, before: jiff::Timestamp) -> Result<u64, BucketError> {
        self.inner.give_up_uploads(prefix, before).await
    }

    async fn delete(&self, key: &str, etag: &str) -> Result<Swapped, BucketError> {
        turn().await;
        self.inner.delete(key, etag).await
    }
}

/// Turns that are given out in every order: the rest go in turns.
const FREE_TURNS: u32 = 13;

/// Both claim, one request at a time in the order of the bits of `order`. All dates are the same: the hardest case for who was first.
async fn race(order: u32, prefixes: [&str; 2], lags: bool) -> (Arc<MemoryBucket>, Arc<TokioClock>, [Claimed; 2]) {
    let (memory, clock) = bucket();
    let bucket = Slow { lags, ..Slow::over(memory.clone()) };
    let layouts = prefixes.map(layout);
    let owners = [owner("a/a"), owner("b/b")];
    let (mut first, mut second) =
        (pin!(claim_owner(&bucket, &layouts[0], &owners[0])), pin!(claim_owner(&bucket, &layouts[1], &owners[1])));
    let mut ended = [None, None];
    let mut context = Context::from_waker(Waker::noop());
    for number in 0.. {
        let who = if number < FREE_TURNS { ((order >> number) & 1) as usize } else { number as usize % 2 };
        if ended[who].is_none() {
            let polled = if who == 0 { first.as_mut().poll(&mut context) } else { second.as_mut().poll(&mut context) };
            if let Poll::Ready(claimed) = polled {
                ended[who] = Some(claimed.unwrap());
            }
        }
        if let [Some(one), Some(other)] = &ended {
            return (memory.clone(), clock, [one.clone(), other.clone()]);
        }
        if number > 60 {
            // One of them waits between two looks.
            tokio::time::advance(Duration::from_millis(100)).await;
        }
    }
    unreachable!("a claim ends")
}

#[tokio::test(start_paused = true)]
async fn of_two_who_claim_overlapping_prefixes_in_any_order_of_requests_at_most_one_has_its_own() {
    // I13
    let mut winners = [0, 0, 0];
    for order in 0..1 << FREE_TURNS {
        let (memory, _, ended) = race(order, ["shop/", "shop/admin/"], false).await;
        let ours: Vec<usize> = (0..2).filter(|who| ended[*who] == Claimed::Ours).collect();
        assert!(ours.len() < 2, "order {order:b}: both have it");
        winners[ours.first().copied().unwrap_or(2)] += 1;
        let left: Vec<String> = memory.keys().into_iter().filter(|key| key.ends_with("owner.json")).collect();
        assert_eq!(left.len(), ours.len(), "order {order:b}: whoever yields takes its claim back: {left:?}");
    }
    assert!(winners[0] > 0 && winners[1] > 0, "either may be first: {winners:?}");
    assert!(winners[2] * 10 < winners[0] + winners[1], "hardly ever neither: {winners:?}");
}

#[tokio::test(start_paused = true)]
async fn where_listings_lag_one_of_two_yields_when_they_do_not_any_more() {
    for order in 0..1 << FREE_TURNS {
        let (memory, clock, ended) = race(order, ["shop/", "shop/admin/"], true).await;
        if ended != [Claimed::Ours, Claimed::Ours] {
            continue;
        }
        for both_are_used in [true, false] {
            if both_are_used {
                memory.overwrite("shop/.rollcall/versions/v1.json", "{}");
                memory.overwrite("shop/admin/.rollcall/versions/v1.json", "{}");
            } else {
                memory.remove("shop/.rollcall/versions/v1.json");
            }
            let mut stands = Vec::new();
            for (prefix, release) in [("shop/", "a/a"), ("shop/admin/", "b/b")] {
                stands.push(standing(&*memory, &layout(prefix), &owner(release), clock.now()).await.unwrap());
            }
            let ours = stands.iter().filter(|stands| **stands == Standing::Ours).count();
            assert_eq!(
                ours,
                usize::from(both_are_used || stands[0] == Standing::Yields && stands[1] == Standing::Ours),
                "{order:b}: {stands:?}"
            );
            assert!(stands.contains(&Standing::Yields) || both_are_used, "{order:b}: {stands:?}");
        }
    }
}

/// A store may invent as many as it likes: what is held of them is bounded.
#[tokio::test(start_paused = true)]
async fn a_listing_full_of_claims_below_is_refused_before_it_fills_the_memory() {
    let (bucket, _) = bucket();
    for number in 0..=1000 {
        bucket.overwrite(&format!("web/{number}/.rollcall/versions/v1.json"), "{}");
    }
    let refused = claim_owner(&*bucket, &layout("web/"), &owner("eve/x")).await.unwrap_err();
    assert!(refused.to_string().contains("more than 1000 prefixes below it"), "{refused}");
    // What a site leaves to others is not counted.
    let excluding = layout("web/").excluding(&(0..=1000).map(|number| format!("{number}/")).collect::<Vec<_>>());
    assert_eq!(claim(&*bucket, &excluding, "eve/x").await, Claimed::Ours);
}
