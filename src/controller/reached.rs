//! Which AssetStores were reached, with which spec and when: what was reached once is not asked again.
//! Never a fact for a decision about a release, and never more than the stores that there are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::api::ObjectMeta;
use tokio::sync::mpsc;

use crate::api::AssetStore;

/// A store is looked at again for a release's sake at most this often, however many releases meet its failure.
const DOUBT_EVERY: SignedDuration = SignedDuration::from_secs(30);

/// `namespace` and `name` of an AssetStore.
pub(super) type StoreKey = (String, String);

/// The stores that were reached.
pub(super) struct Reached {
    known: Mutex<BTreeMap<StoreKey, Look>>,
    failures: Mutex<BTreeMap<StoreKey, u32>>,
    doubted: mpsc::UnboundedSender<StoreKey>,
}

/// A look that went well.
struct Look {
    uid: String,
    generation: i64,
    at: Timestamp,
}

impl Reached {
    /// None yet; `doubted` is told which one is to be looked at again.
    pub(super) fn new(doubted: mpsc::UnboundedSender<StoreKey>) -> Self {
        Self { known: Mutex::default(), failures: Mutex::default(), doubted }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<StoreKey, Look>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this very store was reached with this spec.
    pub(super) fn has(&self, store: &AssetStore) -> bool {
        let generation = store.metadata.generation.unwrap_or_default();
        self.known().get(&key(store)).is_some_and(|look| Some(&look.uid) == store.metadata.uid.as_ref() && look.generation == generation)
    }

    pub(super) fn remember(&self, store: &AssetStore, at: Timestamp) {
        let look = Look { uid: store.uid().unwrap_or_default(), generation: store.metadata.generation.unwrap_or_default(), at };
        self.known().insert(key(store), look);
    }

    /// A release met a failure of this store: it is looked at again, unless that was just done. One that is known to be out of
    /// reach is looked at anyway.
    pub(super) fn doubt(&self, key: &StoreKey, now: Timestamp) {
        let mut known = self.known();
        if known.get(key).is_some_and(|look| now.duration_since(look.at) >= DOUBT_EVERY) {
            known.remove(key);
            // Nobody listens only while the controller shuts down.
            let _ = self.doubted.send(key.clone());
        }
    }

    /// What a release says of the store's replicas has changed: the store is looked at again.
    pub(super) fn look_again(&self, key: &StoreKey) {
        self.known().remove(key);
        // Nobody listens only while the controller shuts down.
        let _ = self.doubted.send(key.clone());
    }

    fn failures(&self) -> MutexGuard<'_, BTreeMap<StoreKey, u32>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many looks at this store have failed in a row, this one among them.
    pub(super) fn failed(&self, key: &StoreKey) -> u32 {
        let mut failures = self.failures();
        let count = failures.entry(key.clone()).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// A look at this store came to an end, whatever it showed.
    pub(super) fn was_looked_at(&self, key: &StoreKey) {
        self.failures().remove(key);
    }

    pub(super) fn forget(&self, key: &StoreKey) {
        self.known().remove(key);
        self.failures().remove(key);
    }

    /// Forgets all others: a deletion during a broken watch is seen only as an absence.
    pub(super) fn keep_only(&self, stores: &BTreeSet<StoreKey>) {
        self.known().retain(|key, _| stores.contains(key));
        self.failures().retain(|key, _| stores.contains(key));
    }
}

/// The key of a store.
pub(super) fn key(store: &AssetStore) -> StoreKey {
    key_of(&store.metadata)
}

/// The same, from its metadata.
pub(super) fn key_of(store: &ObjectMeta) -> StoreKey {
    (store.namespace.clone().unwrap_or_default(), store.name.clone().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bucket::BucketError;
    use crate::controller::store::fault;
    use crate::rollout::Blocker;
    use crate::rollout::observed::BucketFault;

    fn store(name: &str, uid: &str, generation: i64) -> AssetStore {
        serde_json::from_value(json!({
            "apiVersion": "rollcall.dev/v1alpha1", "kind": "AssetStore",
            "metadata": {"namespace": "shop", "name": name, "uid": uid, "generation": generation},
            "spec": {"bucket": {"name": "assets"}, "publicUrl": "https://cdn.example.com/"},
        }))
        .unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn another_store_of_the_name_and_another_spec_were_not_reached() {
        let reached = Reached::new(mpsc::unbounded_channel().0);
        reached.remember(&store("cdn", "u", 1), at(0));
        assert!(reached.has(&store("cdn", "u", 1)));
        assert!(!reached.has(&store("cdn", "u", 2)) && !reached.has(&store("cdn", "other", 1)));
    }

    #[test]
    fn a_doubt_asks_once_and_not_right_after_a_look() {
        let (sender, mut doubted) = mpsc::unbounded_channel();
        let reached = Reached::new(sender);
        let (cdn, look) = (store("cdn", "u", 1), at(100));
        reached.remember(&cdn, look);
        reached.doubt(&key(&cdn), at(129));
        assert!(reached.has(&cdn) && doubted.try_recv().is_err(), "it was reached 29 seconds ago");
        reached.doubt(&key(&cdn), at(130));
        reached.doubt(&key(&cdn), at(131));
        assert!(!reached.has(&cdn));
        assert_eq!((doubted.try_recv().ok(), doubted.try_recv().ok()), (Some(key(&cdn)), None));
    }

    /// The blocker knows the bucket's failures by name.
    #[test]
    fn every_failure_of_the_bucket_makes_the_store_doubtful_and_a_damaged_document_or_a_lock_does_not() {
        let (key, cause) = (String::new, String::new);
        let failures = [
            BucketError::Unavailable { operation: "get", key: key(), cause: cause() },
            BucketError::Denied { operation: "get", key: key(), cause: cause() },
            BucketError::NoSuchBucket { bucket: String::new() },
            BucketError::Refused { operation: "get", key: key(), cause: cause() },
        ];
        assert!(failures.iter().all(|failure| Blocker::BucketFault(fault(failure)).doubts_the_store()));
        let locked = BucketError::Locked { key: key(), cause: cause() };
        assert!(!Blocker::BucketFault(fault(&locked)).doubts_the_store());
        let damaged = BucketFault { reason: "DocumentDamaged", message: String::new() };
        assert!(!Blocker::BucketFault(damaged).doubts_the_store());
    }

    #[test]
    fn stores_that_are_gone_are_forgotten() {
        let reached = Reached::new(mpsc::unbounded_channel().0);
        let all = ["a", "b", "c"].map(|name| store(name, name, 1));
        for store in &all {
            reached.remember(store, at(0));
        }
        reached.forget(&key(&all[0]));
        reached.keep_only(&BTreeSet::from([key(&all[2])]));
        assert_eq!(reached.known().len(), 1);
    }
}
