//! Tenants beside one another: stores that take every request and answer none keep nobody else waiting.

use super::*;

/// Where tarpits are.
#[derive(Debug, Clone, Copy)]
enum Where {
    /// In the neighbour's namespace, each behind an endpoint of its own.
    SameNamespace,
    /// In ten other namespaces, each behind an endpoint of its own.
    OtherNamespaces,
    /// In ten other namespaces, all behind one endpoint.
    OneEndpoint,
    /// In the neighbour's namespace, behind the neighbour's own endpoint.
    SameEndpoint,
}

fn add_tarpits(world: &World, count: usize, place: Where) {
    for number in 0..count {
        let (other, own) = (format!("tenant-{}", number % 10), format!("http://tarpit-{number}.test"));
        match place {
            Where::SameNamespace => world.add_tarpit(number, "shop", &own),
            Where::OtherNamespaces => world.add_tarpit(number, &other, &own),
            Where::OneEndpoint => world.add_tarpit(number, &other, "http://tarpit.test"),
            Where::SameEndpoint => world.add_tarpit(number, "shop", "https://s3.us-east-1.amazonaws.com"),
        }
    }
}

/// How long the neighbour's first release takes, when so many tarpits came this long before it.
async fn time_to_active(count: usize, place: Where, before: Duration) -> Duration {
    let mut world = World::new(1);
    world.add_pod("a");
    add_tarpits(&world, count, place);
    world.advance(before).await;
    world.release("v1");
    let begun = world.age();
    while world.reason().as_deref() != Some("Active") {
        world.advance(Duration::from_millis(50)).await;
        assert!(world.age() < begun + Duration::from_secs(60), "{count} {place:?}: {:?}", world.reason());
    }
    assert_promises(&world, "a neighbour of tarpits");
    world.age().checked_sub(begun).expect("time goes on")
}

/// At most twice as long as without them: when they are met, and when each has been asked in vain for a while.
#[test]
fn stores_that_never_answer_do_not_delay_a_neighbour() {
    let moments = [Duration::from_secs(5), Duration::from_secs(100)];
    let alone = moments.map(|before| run(async || time_to_active(0, Where::SameNamespace, before).await));
    for place in [Where::SameNamespace, Where::OtherNamespaces, Where::OneEndpoint, Where::SameEndpoint] {
        for count in [20, 200] {
            for (before, alone) in moments.into_iter().zip(alone) {
                let beside = run(async || time_to_active(count, place, before).await);
                assert!(beside <= 2 * alone, "{count} {place:?}, {before:?} before: {beside:?} instead of {alone:?}");
            }
        }
    }
}

/// I9: whoever waits for such a store is told so, by the name of the store first, and then by what is wrong with it.
#[test]
fn a_store_that_never_answers_is_named_while_it_is_asked_and_blamed_when_it_was() {
    run(async || {
        let mut world = World::new(1);
        world.server.patch("user", &store_key(), &json!({"spec": {"bucket": {"name": "tarpit"}}})).unwrap();
        world.release("v1");
        seconds(&mut world, 8).await;
        assert_eq!(world.reason().as_deref(), Some("AskingStore"));
        assert!(world.status().message.unwrap().contains("AssetStore \"store\" is being asked"));
        seconds(&mut world, 20).await;
        assert_eq!(world.reason().as_deref(), Some("StoreUnavailable"));
        seconds(&mut world, 60).await;
        let before = world.writes();
        seconds(&mut world, 3600).await;
        assert_eq!(world.writes(), before, "told once\n{}", world.trace.last(10).join("\n"));
        assert!(!world.store_is_ready());
    });
}

fn store_key() -> rollcall::testing::apiserver::Key {
    use rollcall::testing::apiserver::{Key, Kind};
    Key::new(Kind::named("AssetStore"), "shop", "store")
}
