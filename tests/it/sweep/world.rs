//! A prefix with a history of versions, and what must hold of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rollcall::api::{ContentHash, ManifestDigest};
use rollcall::bucket::faulty::{Failure, Fault, FaultyBucket, Operation};
use rollcall::bucket::memory::Change;
use rollcall::bucket::{Attributes, Body, Bucket};
use rollcall::manifest::record::{Activation, RetentionPolicy, Role, Use};
use rollcall::manifest::{Class, Layout, Manifest, ManifestFile, VersionRecord, Writer};
use rollcall::retention::Plan;
use rollcall::retention::references::OwnFacts;
use rollcall::sweep::{GRACE, Outcome, SweepFailure, Tools, plan, sweep};
use rollcall::upload::write_references;

use crate::upload::world::{World, build};

pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub struct Prefix {
    pub world: World,
    versions: Vec<(String, ManifestDigest, Timestamp)>,
}

impl Prefix {
    /// `v1` to `v<n>`, each active for a day; now it is a day after the last one. Retention: two releases and an hour.
    pub async fn with_history(n: usize) -> Self {
        let mut prefix = Self { world: World::new(), versions: Vec::new() };
        for number in 1..=n {
            let version = format!("v{number}");
            prefix.world.put(&version, build(&version));
            let digest = prefix.world.publish(&version).await.unwrap().record.digest;
            prefix.versions.push((version, digest, prefix.world.now()));
            prefix.refer(|_| {}).await;
            prefix.world.pass(DAY).await;
        }
        prefix
    }

    pub fn digest(&self, version: &str) -> ManifestDigest {
        self.versions.iter().find(|(label, ..)| label == version).unwrap().1.clone()
    }

    pub fn used(&self, version: &str, role: Role) -> Use {
        Use { digest: self.digest(version), role }
    }

    pub fn own(&self) -> OwnFacts {
        let active = self.versions.last().map(|(version, ..)| self.used(version, Role::Active));
        let previous = self.versions.iter().rev().nth(1).map(|(version, ..)| self.used(version, Role::Previous));
        let retired = |at: usize| self.versions.get(at + 1).map(|(_, _, activated)| *activated);
        let activation = |(at, (version, digest, _)): (usize, &(String, ManifestDigest, Timestamp))| Activation {
            version: version.clone(),
            digest: digest.clone(),
            sequence: i64::try_from(at + 1).unwrap(),
            retired_at: retired(at),
        };
        OwnFacts {
            cluster: "c".into(),
            release: "web/shop".into(),
            uid: "u1".into(),
            retention: Some(RetentionPolicy { releases: 2, ttl_seconds: 3600, pins: Vec::new() }),
            uses: active.into_iter().chain(previous).collect(),
            activated: self.versions.iter().enumerate().map(activation).collect(),
        }
    }

    pub async fn refer(&self, change: impl FnOnce(&mut OwnFacts)) {
        self.refer_from("c", change).await;
    }

    pub async fn refer_from(&self, cluster: &str, change: impl FnOnce(&mut OwnFacts)) {
        let mut own = OwnFacts { cluster: cluster.into(), ..self.own() };
        change(&mut own);
        write_references(&*self.world.bucket, &self.world.layout, &own, &*self.world.clock).await.unwrap();
    }

    pub fn tools(&self, bucket: Arc<dyn Bucket>) -> Tools {
        Tools { bucket, clock: self.world.clock.clone(), grace: GRACE, replicas: Vec::new() }
    }

    pub async fn plan(&self) -> Result<Plan, SweepFailure> {
        plan(&self.tools(self.world.faulty.clone()), &self.world.layout).await
    }

    pub async fn sweep(&self) -> Result<Outcome, SweepFailure> {
        self.sweep_through(self.world.faulty.clone(), "s").await
    }

    pub async fn sweep_through(&self, bucket: Arc<dyn Bucket>, id: &str) -> Result<Outcome, SweepFailure> {
        sweep(&self.tools(bucket), &self.world.layout, id).await
    }

    /// A publish that died just before its record; answers the key of its script, which no other build has.
    pub async fn leave_a_dead_publish(&self, version: &str) -> String {
        let mut files = build(version);
        files.retain(|(path, _)| path.starts_with("assets/"));
        let script = files.iter().find(|(path, _)| path.contains("app.")).unwrap().0.clone();
        self.world.put(version, files);
        let faulty = FaultyBucket::new(self.world.bucket.clone());
        // The intent and one new object; then the manifest fails.
        faulty.fail_nth(Operation::Create, 3, Fault::Before(Failure::Unavailable));
        let cancel = tokio_util::sync::CancellationToken::new();
        self.world.publish_through(Arc::new(faulty), version, &cancel).await.unwrap_err();
        let key = self.world.layout.key(&script);
        assert!(self.world.bucket.stored(&key).is_some());
        key
    }

    /// A recorded build whose page may stay in caches.
    pub fn store_manifest_with_cache_control(&self, cache_control: &str) -> ManifestDigest {
        let file = ManifestFile {
            path: "index.html".into(),
            size: 1,
            sha256: ContentHash::of(b"x"),
            content_type: "text/html".into(),
            cache_control: cache_control.to_owned().into(),
            class: Class::Entry,
            evidence: None,
            logical_name: None,
        };
        let stored = Manifest::new(vec![file]).to_bytes();
        let digest = ManifestDigest::of(&stored);
        self.world.bucket.overwrite(&self.world.layout.manifest(&digest), stored);
        digest
    }

    /// An entry file whose bytes are its name: what an older program made of any file whose name says too little.
    pub fn entry(path: &str) -> ManifestFile {
        ManifestFile {
            path: path.into(),
            size: path.len() as u64,
            sha256: ContentHash::of(path.as_bytes()),
            content_type: "image/png".into(),
            cache_control: "no-cache".into(),
            class: Class::Entry,
            evidence: None,
            logical_name: None,
        }
    }

    pub fn unversioned(paths: &[&str]) -> Vec<ManifestFile> {
        paths.iter().map(|path| ManifestFile { class: Class::Unversioned, ..Self::entry(path) }).collect()
    }

    /// Records a version by hand, its hidden objects included; it is active from now on. Answers who would write its public files.
    pub async fn record_old(&mut self, version: &str, mut files: Vec<ManifestFile>) -> Writer {
        // Each version is another build.
        files.push(Self::entry(&format!("only-{version}.txt")));
        let world = &self.world;
        let manifest = Manifest::new(files);
        let (_, digest) = manifest.identity();
        let writer = Writer { release: "web/shop".into(), version: version.into(), digest: digest.clone() };
        for file in &manifest.files {
            let attributes = Attributes {
                content_type: "application/octet-stream".into(),
                cache_control: "public, max-age=31536000, immutable".into(),
                content_encoding: None,
                sha256: file.sha256.clone(),
                writer: Some(writer.clone()),
                sequence: None,
            };
            let body = Body::Bytes(file.path.clone().into());
            world.bucket.create(&world.layout.key(&file.key()), body, &attributes).await.unwrap();
        }
        let of_before = world.records().into_values().next().unwrap();
        let record =
            VersionRecord { version: version.into(), digest: digest.clone(), published_at: self.world.now(), build: None, ..of_before };
        world.bucket.overwrite(&world.layout.version(version), serde_json::to_vec(&record).unwrap());
        world.bucket.overwrite(&world.layout.manifest(&digest), manifest.to_bytes());
        self.versions.push((version.into(), digest, self.world.now()));
        writer
    }

    pub fn script_of(&self, version: &str) -> String {
        let path = build(version).into_iter().find(|(path, _)| path.contains("app.")).unwrap().0;
        self.world.layout.key(&path)
    }

    pub fn records(&self) -> Vec<String> {
        self.world.records().into_keys().collect()
    }

    pub fn manifests(&self) -> usize {
        self.world.bucket.keys().iter().filter(|key| key.starts_with(&self.world.layout.manifests())).count()
    }

    pub fn deleted(&self) -> usize {
        let is_object = |change: &&Change| matches!(change, Change::Deleted { key, .. } if is_object(&self.world.layout, key));
        self.world.bucket.log().iter().filter(is_object).count()
    }

    /// Recorded versions that are there, whole.
    pub fn whole(&self) -> Vec<String> {
        let mut whole = Vec::new();
        for (version, record) in self.world.records() {
            let Some(stored) = self.world.bucket.bytes(&self.world.layout.manifest(&record.digest)) else { continue };
            let manifest = Manifest::parse(&stored, &record.digest).unwrap();
            let is_there = |file: &ManifestFile| {
                let bytes = self.world.bucket.bytes(&self.world.layout.key(&file.key()));
                bytes.is_some_and(|bytes| ContentHash::of(&bytes) == file.sha256)
            };
            if manifest.files.iter().all(is_there) {
                whole.push(version);
            }
        }
        whole
    }

    /// I5: what is active or previous is whole. I3: an object is created once, unless it was deleted in between.
    pub fn check(&self) {
        let whole = self.whole();
        for (version, ..) in self.versions.iter().rev().take(2) {
            assert!(whole.contains(version), "{version} is damaged");
        }
        let mut there = BTreeSet::new();
        for change in self.world.bucket.log() {
            match change {
                Change::Created { key, .. } => assert!(there.insert(key.clone()), "{key} was created twice"),
                Change::Deleted { key, .. } | Change::Meddled { key } => {
                    there.remove(&key);
                }
                Change::Replaced { key, .. } => {
                    assert!(!is_object(&self.world.layout, &key) || !key.contains("assets/"), "{key} was replaced");
                }
            }
        }
    }
}

fn is_object(layout: &Layout, key: &str) -> bool {
    let own = key.strip_prefix(&layout.key(".rollcall/"));
    own.is_none_or(|own| own.starts_with("entries/") || own.starts_with("manifests/"))
}
