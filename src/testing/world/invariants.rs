//! The promises, checked after every committed write of the API server and of the bucket.
//! Looks at what is really there (bytes, volumes, objects), never at what somebody reports of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::kstatus;
use super::kubelet::{Kubelet, Probe, Running, condition, pod_key, report, says_ready};
use super::lives::is_controller;
use super::storage::To;
use crate::api::names::{CONDITION_ASSETS, POINTER_KEY};
use crate::api::{ContentHash, ManifestDigest, PointedVersion, Pointer};
use crate::bucket::memory::MemoryBucket;
use crate::manifest::classify::is_page;
use crate::manifest::{Class, Layout, Manifest, object};
use crate::testing::apiserver::{ApiServer, Change, Key, Kind};
use crate::testing::builders::{APP, NAMESPACE, POINTER, Sidecar};

/// A new leader has looked at every release by then, whatever fails meanwhile.
const EPOCH_IS_SAID_WITHIN: Duration = Duration::from_secs(60);

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// `I1` to `I12`.
    pub promise: &'static str,
    /// What was seen.
    pub what: String,
}

/// Checks promises.
pub(super) struct Checker {
    server: ApiServer,
    bucket: Arc<MemoryBucket>,
    replica: Arc<MemoryBucket>,
    layout: Layout,
    kubelet: Mutex<Option<Arc<Kubelet>>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    violations: Vec<Violation>,
    first_bytes: BTreeMap<String, ContentHash>,
    highest: (i64, i64, i64),
    manifests: BTreeMap<ManifestDigest, Arc<Manifest>>,
    /// What each flip activated.
    flips: BTreeMap<i64, ManifestDigest>,
    /// Since when each life of a pod counts, by instance.
    counts_since: BTreeMap<String, Instant>,
    /// The newest stage number, and when it was written.
    staged: Option<(i64, Instant)>,
    /// How old the controller's view of pods may be.
    view_age: Duration,
    /// Who has led, under which epoch, and since when.
    leaders: Vec<(String, i64, Instant)>,
}

/// The pointer as it stands; empty when there is none.
pub(super) fn pointer(object: Option<&Value>) -> Pointer {
    let text = object.and_then(|object| object["data"][POINTER_KEY].as_str()).unwrap_or_default();
    Pointer::parse(text).unwrap_or_else(|_| Pointer::empty())
}

/// The key of the Lease.
pub(super) fn lease_key() -> Key {
    Key::new(Kind::named("Lease"), NAMESPACE, super::control::LEASE)
}

/// The key of the pointer.
pub(super) fn pointer_key() -> Key {
    Key::new(Kind::named("ConfigMap"), NAMESPACE, POINTER)
}

impl Checker {
    pub(super) fn new(server: ApiServer, bucket: Arc<MemoryBucket>, replica: Arc<MemoryBucket>) -> Self {
        let layout = Layout::new("", "web/");
        Self { server, bucket, replica, layout, kubelet: Mutex::default(), state: Mutex::default() }
    }

    pub(super) fn look_at(&self, kubelet: Arc<Kubelet>) {
        *self.kubelet.lock().expect("no holder of this lock panics") = Some(kubelet);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }

    /// Everything that was broken so far; the same thing once.
    pub(super) fn violations(&self) -> Vec<Violation> {
        self.state().violations.clone()
    }

    pub(super) fn report(&self, promise: &'static str, what: String) {
        let violation = Violation { promise, what };
        let mut state = self.state();
        if !state.violations.contains(&violation) {
            state.violations.push(violation);
        }
    }

    /// After a write of the API server.
    pub(super) fn api_changed(&self, change: &Change) {
        if change.key.plural == "pods" || change.key == pointer_key() {
            self.note_who_counts();
        }
        if change.key == lease_key() {
            return self.lease_changed(change);
        }
        self.check_fence(change);
        // What another hand does to the pointer breaks no promise of ours; what we do after it may.
        if change.key == pointer_key() && is_controller(&change.actor) {
            self.pointer_moved(&pointer(change.was.as_deref()), &pointer(change.now()));
        }
        if let (Some(now), true) = (change.now(), change.key.group == crate::api::names::GROUP) {
            for fault in kstatus::faults(now) {
                self.report("I9", format!("{}: {fault}", change.key));
            }
            self.check_replica(&pointer(self.server.get(&pointer_key()).as_deref()));
            self.check_references();
        }
        if change.key.plural == "pods" {
            self.check_readiness(change);
        }
        self.check_pods();
    }

    /// After a write of a bucket.
    pub(super) fn bucket_changed(&self, which: To, key: &str) {
        let bucket = match which {
            To::Store => &self.bucket,
            To::Replica => &self.replica,
            To::Builds => return self.report("I3", format!("{key:?} was changed in the bucket of builds, which is not ours")),
        };
        self.check_bytes(which, bucket, key);
        let now = pointer(self.server.get(&pointer_key()).as_deref());
        self.check_objects(&now);
        self.check_page(bucket, key);
        self.check_references();
        self.check_pods();
    }

    /// I5: no document says that a release is deleted while it is there and says that it has written it. From then on its time would run.
    fn check_references(&self) {
        let Some(release) = self.release().filter(|release| release["metadata"]["deletionTimestamp"].is_null()) else { return };
        let keys = self.bucket.keys().into_iter().filter(|key| key.starts_with(&self.layout.references()));
        for key in keys.filter(|key| key.ends_with(&format!(".{NAMESPACE}.{APP}.json"))) {
            let document: Value = self.bucket.bytes(&key).and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
            let is_of_it = [&document["uid"], &release["status"]["referencesWrittenBy"]].contains(&&release["metadata"]["uid"]);
            if is_of_it && !document["deletedAt"].is_null() {
                self.report("I5", format!("{key} says that {APP} is deleted, and it is there"));
            }
        }
    }

    /// I4: no two leaders share an epoch, and it grows.
    fn lease_changed(&self, change: &Change) {
        let Some(now) = change.now() else { return };
        let (holder, epoch) = (now["spec"]["holderIdentity"].as_str().unwrap_or_default(), now["spec"]["leaseTransitions"].as_i64());
        let (holder, epoch) = (holder.to_owned(), epoch.unwrap_or_default());
        let last = self.state().leaders.last().cloned();
        if holder.is_empty() || last.as_ref().is_some_and(|(last, _, _)| *last == holder) {
            return;
        }
        if last.is_some_and(|(_, last, _)| epoch <= last) {
            self.report("I4", format!("{holder} leads under epoch {epoch}, which is not new"));
        }
        self.state().leaders.push((holder, epoch, Instant::now()));
    }

    /// I4: what a leader before has still under way changes no pointer once the next one has had time to say its epoch.
    fn check_fence(&self, change: &Change) {
        if change.key != pointer_key() || change.deleted || !is_controller(&change.actor) {
            return;
        }
        let stale = {
            let state = self.state();
            let of = |(holder, _, _): &&(String, i64, Instant)| *holder == change.actor;
            let (writer, last) = (state.leaders.iter().find(of).map(|leader| leader.1), state.leaders.last());
            last.is_some_and(|(_, epoch, since)| writer != Some(*epoch) && since.elapsed() > EPOCH_IS_SAID_WITHIN)
        };
        if stale {
            self.report("I4", format!("{} changed {} although another one leads", change.actor, change.key));
        }
    }

    /// I4, and at a flip I1 and I2.
    fn pointer_moved(&self, was: &Pointer, now: &Pointer) {
        let (stage, sequence, epoch) = std::mem::replace(&mut self.state().highest, (now.stage, now.sequence, now.epoch));
        if now.stage > was.stage {
            self.state().staged = Some((now.stage, Instant::now()));
        }
        // A pointer that vanished is empty, and one from a backup behind, until it is restored.
        let restored = (was.sequence == 0 && was.active.is_none()) || was.sequence < sequence;
        let gone = now.sequence == 0 && now.active.is_none();
        if gone {
            self.state().highest = (stage, sequence, epoch);
            return;
        }
        if now.stage < stage || now.sequence < sequence || now.epoch < epoch {
            self.report("I4", format!("the pointer went back from {:?} to {:?}", (stage, sequence, epoch), (now.stage, now.sequence)));
        }
        self.check_objects(now);
        let moved = digest(was.active.as_ref()) != digest(now.active.as_ref());
        if now.sequence == was.sequence + 1 && now.sequence > sequence {
            self.check_flip(was, now);
        } else if restored {
            self.check_restored(now);
        } else if moved {
            self.report("I4", format!("active moved without a flip at sequence {}", now.sequence));
        }
    }

    /// A pointer that was lost is made again as its last flip left it.
    fn check_restored(&self, now: &Pointer) {
        let flipped = self.state().flips.get(&now.sequence).cloned();
        if flipped.as_ref() != digest(now.active.as_ref()) {
            self.report("I4", format!("the pointer was made again at flip {} with another version than that flip's", now.sequence));
        }
    }

    fn check_flip(&self, was: &Pointer, now: &Pointer) {
        if digest(now.active.as_ref()) != digest(was.candidate.as_ref()) || now.stage != was.stage {
            self.report("I4", format!("flip {} activated what was not the candidate", now.sequence));
        }
        let Some(active) = &now.active else { return };
        self.state().flips.insert(now.sequence, active.digest.clone());
        for (name, pod, object) in self.pods() {
            if counts(&pod, &object) && self.is_in_view(&pod, was) && !pod.has(&active.digest) {
                self.report("I2", format!("flip {} to {:?}: pod {name} counts and lacks it", now.sequence, active.version));
            }
        }
    }

    /// Remembers since when pods count.
    fn note_who_counts(&self) {
        let counting: Vec<String> =
            self.pods().into_iter().filter(|(_, pod, object)| counts(pod, object)).map(|(_, pod, _)| pod.instance).collect();
        let mut state = self.state();
        state.counts_since.retain(|instance, _| counting.contains(instance));
        for instance in counting {
            state.counts_since.entry(instance).or_insert_with(Instant::now);
        }
    }

    /// From now on the controller's view of pods may be so old.
    pub(super) fn allow_views(&self, age: Duration) {
        self.state().view_age = age;
    }

    /// Whether the controller must have seen that the pod counts. Its view is never older than the stage; a pod that came later is
    /// seen when the watch brings it, and holds everything before it is Ready in any case.
    fn is_in_view(&self, pod: &Truth, at_flip: &Pointer) -> bool {
        let state = self.state();
        let Some(since) = state.counts_since.get(&pod.instance) else { return false };
        let staged = state.staged.filter(|(stage, _)| *stage == at_flip.stage).map(|(_, at)| at);
        staged.is_none_or(|staged| *since <= staged) || since.elapsed() >= state.view_age
    }

    /// I1: whatever the pointer offers is in the store, with its own bytes.
    fn check_objects(&self, pointer: &Pointer) {
        for pointed in [&pointer.active, &pointer.candidate].into_iter().flatten() {
            if let Some(missing) = self.missing(&self.bucket, &pointed.digest) {
                self.report("I1", format!("{:?} is pointed at, and {missing} is not in the store", pointed.version));
            }
        }
        self.check_replica(pointer);
    }

    /// I1: so is everything that pages may refer to in a replica that is admitted and that the store names.
    fn check_replica(&self, pointer: &Pointer) {
        let store = self.server.get(&Key::new(Kind::named("AssetStore"), NAMESPACE, "store"));
        let is_named = store.is_some_and(|store| store["spec"]["replicas"].as_array().is_some_and(|replicas| !replicas.is_empty()));
        let admitted = |release: Arc<Value>| {
            release["status"]["replicas"].as_array().is_some_and(|replicas| replicas.iter().any(|replica| replica["admitted"] == true))
        };
        if !is_named || !self.release().is_some_and(admitted) {
            return;
        }
        for pointed in [&pointer.active, &pointer.previous].into_iter().flatten() {
            if let Some(missing) = self.missing(&self.replica, &pointed.digest) {
                self.report("I1", format!("{:?} is pointed at, and {missing} is not in the admitted replica", pointed.version));
            }
        }
    }

    /// The first thing of a build that is not in a bucket.
    fn missing(&self, bucket: &MemoryBucket, digest: &ManifestDigest) -> Option<String> {
        let place = self.layout.manifest(digest);
        if !has_bytes(bucket, &place, digest.hex()) {
            return Some(place);
        }
        let Some(manifest) = self.manifest(digest) else { return Some(place) };
        let right = |key: &str, hash: &ContentHash| has_bytes(bucket, key, &hash.to_string());
        // Whoever serves the pages, whatever bytes lie there until the flip.
        let public = manifest.of_class(Class::Unversioned).map(|file| self.layout.key(&file.path));
        if let Some(key) = public.into_iter().find(|key| bucket.stored(key).is_none()) {
            return Some(key);
        }
        manifest
            .files
            .iter()
            .map(|file| (self.layout.key(&file.key()), &file.sha256))
            .find(|(key, hash)| !right(key, hash))
            .map(|(key, _)| key)
    }

    /// A manifest that was in the store; its bytes never change.
    fn manifest(&self, digest: &ManifestDigest) -> Option<Arc<Manifest>> {
        if let Some(known) = self.state().manifests.get(digest) {
            return Some(known.clone());
        }
        let bytes = self.bucket.bytes(&self.layout.manifest(digest))?;
        let manifest = Arc::new(Manifest::parse(&bytes, digest).ok()?);
        self.state().manifests.insert(digest.clone(), manifest.clone());
        Some(manifest)
    }

    /// I3: a key has the bytes that it first had, but for entry files at their public keys.
    fn check_bytes(&self, which: To, bucket: &MemoryBucket, key: &str) {
        // Intents and tombstones are notes, not objects, and the claim of a prefix is handed over when a release is renamed.
        let is_note = ["intents/", "references/", "sweeps/", "swept/", "owner.json"]
            .iter()
            .any(|folder| key.contains(&format!("{}{folder}", object::OWN_FOLDER)));
        let Some(bytes) = bucket.bytes(key).filter(|_| !is_note) else { return };
        let hash = ContentHash::of(&bytes);
        let first = self.state().first_bytes.entry(format!("{which:?} {key}")).or_insert_with(|| hash.clone()).clone();
        // With the number of a flip it is a public copy, which gives way to the next flip's.
        let has_number = bucket.stored(key).is_some_and(|stored| stored.sequence.is_some());
        let is_public = (is_page(key) || has_number) && !key.contains(object::OWN_FOLDER);
        if first != hash && !is_public {
            self.report("I3", format!("{key} changed its bytes in the {which:?}"));
        }
    }

    /// I10: a page at its public key has everything that it refers to beside it.
    fn check_page(&self, bucket: &MemoryBucket, key: &str) {
        if key.contains(object::OWN_FOLDER) {
            return;
        }
        let Some(writer) = bucket.stored(key).and_then(|stored| stored.writer) else { return };
        let manifest = self.manifest(&writer.digest);
        let is_entry = |file: &&crate::manifest::ManifestFile| file.class == Class::Entry && self.layout.key(&file.path) == key;
        let page = manifest.as_ref().is_none_or(|manifest| manifest.files.iter().any(|file| is_entry(&file)));
        if page
            && is_page(key)
            && let Some(missing) = self.missing(bucket, &writer.digest)
        {
            self.report("I10", format!("page {key} of {:?} is public before {missing}", writer.version));
        }
    }

    /// I2 for good, and I11.
    fn check_pods(&self) {
        let pods = self.pods();
        let ready: Vec<_> = pods.iter().filter(|(_, pod, object)| pod.is_ready(object)).collect();
        let active = pointer(self.server.get(&pointer_key()).as_deref()).active;
        for (name, pod, _) in &ready {
            if let Some(active) = active.as_ref().filter(|active| !pod.has(&active.digest)) {
                self.report("I2", format!("pod {name} is Ready and lacks the active version {:?}", active.version));
            }
            for (other, elsewhere, _) in &ready {
                if let Some(served) = pod.served.as_ref().filter(|served| !elsewhere.has(served)) {
                    self.report("I11", format!("pod {name} serves a page of {} that pod {other} cannot serve", served.short()));
                }
            }
        }
    }

    fn pods(&self) -> Vec<(String, Truth, Arc<Value>)> {
        let kubelet = self.kubelet.lock().expect("no holder of this lock panics").clone();
        // Writes of the kubelet itself come while it holds its pods: they are checked when it is done.
        let Some(kubelet) = kubelet else { return Vec::new() };
        let pods = kubelet.pods();
        let known = pods.iter().filter_map(|(name, pod)| Some((name, pod, self.server.get(&pod_key(name))?)));
        known.map(|(name, pod, object)| (name.clone(), Truth::of(pod, kubelet.is_silent(&object)), object)).collect()
    }

    /// I12: a pod that was Ready and whose life goes on stays Ready, unless its pages are too old (I11).
    fn check_readiness(&self, change: &Change) {
        let (Some(was), Some(now)) = (change.was.as_deref(), change.now()) else { return };
        let pointer = pointer(self.server.get(&pointer_key()).as_deref());
        let is_outdated =
            |pod: &Truth| ![&pointer.active, &pointer.previous].map(|version| digest(version.as_ref())).contains(&pod.served.as_ref());
        let is_well = |pod: &Truth| pod.alive && !pod.ending && !pod.silent && pod.probe == Probe::Succeeds && !is_outdated(pod);
        let untouched = |(name, pod, _): &(String, Truth, Arc<Value>)| *name == change.key.name && is_well(pod);
        let same_life = |object: &Value| report(object).map(|report| report.instance);
        if says_ready(was) && !says_ready(now) && same_life(was) == same_life(now) && self.pods().iter().any(untouched) {
            self.report("I12", format!("pod {} lost its readiness though nothing happened to it", change.key.name));
        }
    }

    /// What the release says of itself.
    pub(super) fn release(&self) -> Option<Arc<Value>> {
        self.server.get(&Key::new(Kind::named("AssetRelease"), NAMESPACE, APP))
    }
}

/// The bucket in memory hashes what it is given, and forgets the hash of what is written past it: asking for the hash is enough,
/// and hashing everything anew after every write would take most of the time of a run.
fn has_bytes(bucket: &MemoryBucket, key: &str, hash: &str) -> bool {
    bucket.stored(key).and_then(|stored| stored.sha256).is_some_and(|found| found.to_string() == hash)
}

fn digest(version: Option<&PointedVersion>) -> Option<&ManifestDigest> {
    version.map(|version| &version.digest)
}

/// A pod as it really is.
struct Truth {
    sidecar: Sidecar,
    instance: String,
    alive: bool,
    ending: bool,
    silent: bool,
    held: Vec<ManifestDigest>,
    served: Option<ManifestDigest>,
    uid: String,
    probe: Probe,
}

impl Truth {
    fn of(pod: &Running, silent: bool) -> Self {
        Self {
            sidecar: pod.plan.sidecar,
            instance: pod.instance(),
            alive: pod.agent.is_some(),
            ending: pod.ending.is_some(),
            silent,
            held: pod.volume.digests(),
            served: pod.volume.served(),
            uid: pod.uid.clone(),
            probe: pod.probe,
        }
    }

    fn has(&self, digest: &ManifestDigest) -> bool {
        self.held.contains(digest)
    }

    /// Whether visitors are sent to it, and its agent answers them. Over HTTP kubelet asked this life itself.
    fn is_ready(&self, object: &Value) -> bool {
        let of_this_life = match self.sidecar {
            Sidecar::Agent => report(object).is_some_and(|report| report.instance == self.instance),
            Sidecar::HttpAgent => true,
            Sidecar::None => false,
        };
        self.alive && of_this_life && says_ready(object)
    }
}

/// Whether the pod counts at a flip (design: Ready, or bound and announced; over HTTP, bound). Ending pods count while they are Ready,
/// and a pod on a silent node is excused by rule.
fn counts(pod: &Truth, object: &Value) -> bool {
    let announced = || condition(object, CONDITION_ASSETS).is_some() && report(object).is_some_and(|report| report.pod_uid == pod.uid);
    let follows = match pod.sidecar {
        Sidecar::Agent => announced() || says_ready(object),
        Sidecar::HttpAgent => true,
        Sidecar::None => false,
    };
    follows && (!pod.ending || says_ready(object)) && !pod.silent
}
