//! What the API server keeps: the objects, and every change that there ever was.
//! Never changes but by [`State::commit`], so that the history is complete.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::kinds::{Key, Kind};
use super::refusal::Refusal;
use crate::api::ContentHash;
use crate::clock::Clock;

/// Refuses objects as CEL rules or admission would: the new object, the old one, the message.
pub type Admission = Arc<dyn Fn(&Value, Option<&Value>) -> Result<(), String> + Send + Sync>;

/// One committed write.
#[derive(Debug, Clone)]
pub struct Change {
    /// The `resourceVersion` that it made.
    pub version: u64,
    /// Which object.
    pub key: Key,
    /// The object before; `None` when this made it.
    pub was: Option<Arc<Value>>,
    /// The object after; for a delete its last state.
    pub object: Arc<Value>,
    /// Whether it is gone now.
    pub deleted: bool,
    /// Who did it.
    pub actor: String,
}

impl Change {
    /// The object as it stands now; `None` when it is gone.
    #[must_use]
    pub fn now(&self) -> Option<&Value> {
        (!self.deleted).then_some(&*self.object)
    }
}

pub(super) struct State {
    clock: Arc<dyn Clock>,
    seed: u64,
    made: u64,
    version: u64,
    compacted: u64,
    objects: BTreeMap<Key, Arc<Value>>,
    history: Vec<Change>,
    admissions: Vec<Admission>,
    defaults: &'static BTreeMap<&'static str, Value>,
}

impl State {
    pub(super) fn new(clock: Arc<dyn Clock>, seed: u64) -> Self {
        let (objects, history, admissions) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { clock, seed, made: 0, version: 1, compacted: 0, objects, history, admissions, defaults: super::defaults::status() }
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn compacted(&self) -> u64 {
        self.compacted
    }

    pub(super) fn compact(&mut self) {
        self.compacted = self.version;
    }

    pub(super) fn now(&self) -> Timestamp {
        let now = self.clock.now();
        Timestamp::from_second(now.as_second()).expect("a whole second of a valid timestamp is valid")
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Arc<Value>> {
        self.objects.get(key)
    }

    pub(super) fn history(&self) -> &[Change] {
        &self.history
    }

    pub(super) fn history_after(&self, version: u64) -> &[Change] {
        &self.history[self.history.partition_point(|change| change.version <= version)..]
    }

    /// All objects of a kind as they stood at a version.
    pub(super) fn at(&self, kind: &Kind, version: u64) -> BTreeMap<Key, Arc<Value>> {
        let mine = |key: &Key| (key.group, key.plural) == (kind.group, kind.plural);
        if version >= self.version {
            return self.objects.iter().filter(|(key, _)| mine(key)).map(|(key, object)| (key.clone(), object.clone())).collect();
        }
        let mut objects = BTreeMap::new();
        for change in self.history.iter().take_while(|change| change.version <= version).filter(|change| mine(&change.key)) {
            if change.deleted {
                objects.remove(&change.key);
            } else {
                objects.insert(change.key.clone(), change.object.clone());
            }
        }
        objects
    }

    pub(super) fn admit_with(&mut self, admission: Admission) {
        self.admissions.push(admission);
    }

    pub(super) fn admit(&self, key: &Key, new: &Value, old: Option<&Value>) -> Result<(), Refusal> {
        let refused = self.admissions.iter().find_map(|admission| admission(new, old).err());
        match refused {
            Some(message) => Err(Refusal::invalid(key.kind(), &key.name, "spec", "FieldValueInvalid", &message)),
            None => Ok(()),
        }
    }

    /// Fills in what the CRD's schema says about a missing status.
    pub(super) fn fill_in(&self, kind: &Kind, object: &mut Value) {
        if let (true, Some(default)) = (object["status"].is_null(), self.defaults.get(kind.kind)) {
            object["status"] = default.clone();
        }
    }

    /// A UID that only the seed and the number of objects made so far decide.
    pub(super) fn next_uid(&mut self) -> String {
        self.made += 1;
        let hash = ContentHash::of(format!("{}/{}", self.seed, self.made).as_bytes());
        let hex = hash.to_string();
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32])
    }

    /// The one way in which anything changes. The object gets the next version.
    pub(super) fn commit(&mut self, key: Key, mut object: Value, deleted: bool, actor: &str) -> Arc<Value> {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let object = Arc::new(object);
        let was = if deleted { self.objects.remove(&key) } else { self.objects.insert(key.clone(), object.clone()) };
        self.history.push(Change { version: self.version, key, was, object: object.clone(), deleted, actor: actor.to_owned() });
        object
    }
}
