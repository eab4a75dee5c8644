//! A bucket, a source and a clock, and what must hold of them after whatever happened.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rollcall::api::{BuildManifestSpec, ContentHash};
use rollcall::bucket::Bucket;
use rollcall::bucket::faulty::FaultyBucket;
use rollcall::bucket::memory::{Change, MemoryBucket};
use rollcall::clock::{Clock, TokioClock};
use rollcall::manifest::{Declared, Layout, Manifest, VersionRecord};
use rollcall::source::memory::MemorySource;
use rollcall::source::{Build, Source as _, SourceError, Wanted, Workspace};
use rollcall::upload::{PARALLEL, Progress, Publish, PublishFailure, Published, Publisher, Tools, publish};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub type Files = Vec<(String, Vec<u8>)>;

pub struct World {
    pub bucket: Arc<MemoryBucket>,
    pub faulty: Arc<FaultyBucket>,
    pub source: Arc<MemorySource>,
    pub clock: Arc<TokioClock>,
    pub layout: Layout,
}

/// A small site: pages and styles refer to each other, one asset is shared by all builds, two files have the same bytes.
pub fn build(name: &str) -> Files {
    let hash = &ContentHash::of(name.as_bytes()).to_string()[..8].to_owned();
    let app = format!("assets/app.{hash}a1.js");
    let page = format!(r#"<script src="{app}"></script><script src="assets/shared-BEcQUh0e.js"></script><link rel=icon href=favicon.ico>"#);
    [
        ("index.html", page),
        (app.as_str(), format!("app {name}")),
        ("assets/shared-BEcQUh0e.js", "shared".to_owned()),
        ("favicon.ico", "same".to_owned()),
        ("robots.txt", "same".to_owned()),
        ("assets/hero-Dg-PRAVz.svg", "<svg/>".to_owned()),
    ]
    .map(|(path, content)| (path.to_owned(), content.into_bytes()))
    .to_vec()
}

impl World {
    pub fn new() -> Self {
        let clock = Arc::new(TokioClock::starting_at("2026-11-21T00:00:00Z".parse().unwrap()));
        let bucket = Arc::new(MemoryBucket::new(clock.clone()));
        let faulty = Arc::new(FaultyBucket::new(bucket.clone()));
        Self { bucket, faulty, source: Arc::default(), clock, layout: Layout::new("s/", "shop/") }
    }

    pub fn put(&self, version: &str, files: Files) {
        self.source.put(&url(version), files);
    }

    pub fn tools(&self, bucket: Arc<dyn Bucket>) -> Tools {
        Tools { bucket, clock: self.clock.clone(), parallel: PARALLEL }
    }

    pub fn request(&self, version: &str) -> Publish {
        Publish {
            layout: self.layout.clone(),
            release: "web/shop".into(),
            version: version.into(),
            names: BuildManifestSpec::default(),
            declared: Declared { immutable: vec!["assets/**".into()], unversioned: vec!["**/*.map".into()] },
            external: Vec::new(),
            publisher: Publisher::OneAtATime(format!("id-{}", version.replace('.', "_"))),
            base_urls: Vec::new(),
            pin: None,
        }
    }

    pub async fn fetch(&self, version: &str) -> Result<Build, SourceError> {
        self.source
            .fetch(&Wanted { url: url(version), sha256: ContentHash::of(b"") }, &Workspace::new(Path::new("/nowhere"), 0).of("shop"))
            .await
    }

    pub async fn publish(&self, version: &str) -> Result<Published, PublishFailure> {
        self.publish_through(self.faulty.clone(), version, &CancellationToken::new()).await
    }

    /// With another way to read the build.
    pub async fn publish_reading(&self, version: &str, names: BuildManifestSpec) -> Result<Published, PublishFailure> {
        let progress = watch::Sender::new(Progress::default());
        let request = Publish { names, ..self.request(version) };
        publish(&self.tools(self.faulty.clone()), &request, self.fetch(version), &progress, &CancellationToken::new()).await
    }

    pub async fn publish_through(
        &self,
        bucket: Arc<dyn Bucket>,
        version: &str,
        cancel: &CancellationToken,
    ) -> Result<Published, PublishFailure> {
        let progress = watch::Sender::new(Progress::default());
        publish(&self.tools(bucket), &self.request(version), self.fetch(version), &progress, cancel).await
    }

    /// As one publisher that does one publish after the other, as the controller does.
    pub async fn publish_as(&self, intent_id: &str, version: &str) -> Result<Published, PublishFailure> {
        let progress = watch::Sender::new(Progress::default());
        let request = Publish { publisher: Publisher::OneAtATime(intent_id.into()), ..self.request(version) };
        publish(&self.tools(self.faulty.clone()), &request, self.fetch(version), &progress, &CancellationToken::new()).await
    }

    pub async fn pass(&self, time: Duration) {
        tokio::time::advance(time).await;
    }

    pub fn now(&self) -> jiff::Timestamp {
        self.clock.now()
    }

    /// Every version that is recorded now.
    pub fn records(&self) -> BTreeMap<String, VersionRecord> {
        let keys = self.bucket.keys().into_iter().filter(|key| key.starts_with(&self.layout.versions()));
        keys.map(|key| serde_json::from_slice::<VersionRecord>(&self.bucket.bytes(&key).unwrap()).unwrap())
            .map(|record| (record.version.clone(), record))
            .collect()
    }

    /// What must hold at any moment.
    pub fn check(&self) {
        self.check_records();
        self.check_bytes_never_change();
    }

    /// I1: no record without its manifest and all its objects.
    fn check_records(&self) {
        for record in self.records().values() {
            let stored = self.bucket.bytes(&self.layout.manifest(&record.digest)).expect("the manifest of a recorded version");
            let manifest = Manifest::parse(&stored, &record.digest).unwrap();
            for file in &manifest.files {
                let bytes = self.bucket.bytes(&self.layout.key(&file.key()));
                assert_eq!(bytes.map(|bytes| ContentHash::of(&bytes)), Some(file.sha256.clone()), "{} of {}", file.path, record.version);
            }
        }
    }

    /// I3: an object is created once; only intents, tombstones and public entry files are replaced.
    fn check_bytes_never_change(&self) {
        let mut there = BTreeMap::<String, ContentHash>::new();
        for change in self.bucket.log() {
            match change {
                Change::Created { key, sha256 } => assert_eq!(there.insert(key.clone(), sha256), None, "{key} was created twice"),
                Change::Deleted { key, .. } | Change::Meddled { key } => {
                    there.remove(&key);
                }
                Change::Replaced { key, .. } => assert!(key.contains("/intents/") || key == self.layout.lock(), "{key} was replaced"),
            }
        }
    }

    /// Keys and bytes of everything but the times that are written down: equal after equal stories.
    pub fn end_state(&self) -> BTreeMap<String, String> {
        let keys = self.bucket.keys().into_iter();
        keys.map(|key| {
            let content = if key.starts_with(&self.layout.versions()) {
                let record: VersionRecord = serde_json::from_slice(&self.bucket.bytes(&key).unwrap()).unwrap();
                record.digest.as_str().to_owned()
            } else {
                ContentHash::of(&self.bucket.bytes(&key).unwrap()).to_string()
            };
            (key, content)
        })
        .collect()
    }
}

fn url(version: &str) -> String {
    format!("https://ci.example.com/{version}.tar.gz")
}
