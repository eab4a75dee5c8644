//! Several namespaces as one stream of events. A reflector takes each end of a listing for the end of the only listing and forgets
//! everything else; so each end is told together with what the other namespaces have.
//! Never waits for a namespace whose watch does not come about: the others go on.

use std::collections::BTreeMap;

use futures::{Stream, StreamExt};
use kube::ResourceExt;
use kube::runtime::watcher::Event;

/// Events with the number of the namespace that they came from.
pub(super) type Numbered<K> = (usize, Event<K>);

/// What every namespace has, by name. A controller of some namespaces looks after a handful of objects.
struct Namespaces<K> {
    has: BTreeMap<usize, BTreeMap<String, K>>,
    coming: BTreeMap<usize, BTreeMap<String, K>>,
}

/// The same events, fit for one reflector.
pub(super) fn as_one<K>(events: impl Stream<Item = Numbered<K>> + Send) -> impl Stream<Item = Event<K>> + Send
where
    K: kube::Resource + Clone + Send,
{
    let mut namespaces = Namespaces { has: BTreeMap::new(), coming: BTreeMap::new() };
    events.flat_map(move |(number, event)| futures::stream::iter(namespaces.take(number, event)))
}

impl<K: kube::Resource + Clone> Namespaces<K> {
    fn take(&mut self, number: usize, event: Event<K>) -> Vec<Event<K>> {
        let coming = self.coming.entry(number).or_default();
        let has = self.has.entry(number).or_default();
        match event {
            Event::Init => coming.clear(),
            Event::InitApply(object) => drop(coming.insert(object.name_any(), object)),
            Event::InitDone => {
                *has = std::mem::take(coming);
                let all = self.has.values().flat_map(BTreeMap::values).cloned().map(Event::InitApply);
                return [Event::Init].into_iter().chain(all).chain([Event::InitDone]).collect();
            }
            Event::Apply(object) => {
                has.insert(object.name_any(), object.clone());
                return vec![Event::Apply(object)];
            }
            Event::Delete(object) => {
                has.remove(&object.name_any());
                return vec![Event::Delete(object)];
            }
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::runtime::{WatchStreamExt, reflector, watcher};
    use serde_json::json;

    use super::*;

    fn map(namespace: &str, name: &str) -> ConfigMap {
        serde_json::from_value(json!({"metadata": {"namespace": namespace, "name": name}})).unwrap()
    }

    /// What a reflector of this stream knows in the end, and what its consumers were told of.
    async fn reflected(events: Vec<Numbered<ConfigMap>>) -> (Vec<String>, Vec<String>) {
        let (store, writer) = reflector::store();
        let seen = as_one(futures::stream::iter(events)).map(Ok::<_, watcher::Error>);
        let touched: Vec<_> = reflector(writer, seen).touched_objects().map(|object| object.unwrap().name_any()).collect().await;
        let mut known: Vec<String> = store.state().iter().map(|object| object.name_any()).collect();
        known.sort();
        (known, touched)
    }

    fn listed(number: usize, namespace: &str, names: &[&str]) -> Vec<Numbered<ConfigMap>> {
        let objects = names.iter().map(|name| Event::InitApply(map(namespace, name)));
        [Event::Init].into_iter().chain(objects).chain([Event::InitDone]).map(|event| (number, event)).collect()
    }

    #[tokio::test]
    async fn a_listing_of_one_namespace_keeps_what_the_others_have() {
        let both = [listed(0, "a", &["a1", "a2"]), listed(1, "b", &["b1"])].concat();
        assert_eq!(reflected(both.clone()).await.0, ["a1", "a2", "b1"]);
        let again = [both, vec![(1, Event::Delete(map("b", "b1"))), (1, Event::Apply(map("b", "b2")))], listed(0, "a", &["a2"])].concat();
        assert_eq!(reflected(again).await.0, ["a2", "b2"]);
    }

    #[tokio::test]
    async fn listings_at_the_same_time_do_not_mix() {
        let (a, b) = (listed(0, "a", &["a1"]), listed(1, "b", &["b1"]));
        let mixed = a.into_iter().zip(b).flat_map(|(a, b)| [a, b]).collect();
        let (known, touched) = reflected(mixed).await;
        assert_eq!(known, ["a1", "b1"]);
        assert_eq!(touched, ["a1", "a1", "b1"]);
    }

    #[tokio::test]
    async fn a_namespace_that_cannot_be_listed_keeps_nobody_waiting() {
        let events = [vec![(0, Event::Init)], listed(1, "b", &["b1"])].concat();
        assert_eq!(reflected(events).await.0, ["b1"]);
    }
}
