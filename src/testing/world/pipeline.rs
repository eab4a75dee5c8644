//! A pipeline in the world: it publishes builds itself, as `rollcall publish` does, or puts them into a folder of another bucket.
//! Never talks to the API server.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::World;
use crate::api::{BuildManifestSpec, ContentHash, ManifestDigest};
use crate::bucket::{Attributes, Body, Bucket as _};
use crate::manifest::{Declared, Layout};
use crate::source::{Build, Source as _, Wanted, Workspace};
use crate::testing::builders;
use crate::upload::{self, PARALLEL, Prepared, Progress, Publish, Publisher, Tools};

impl World {
    /// Publishes a version below the prefix of the world's release.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn publish(&self, version: &str) -> Result<(), String> {
        let tools = Tools { bucket: Arc::new(self.line("pipeline")), clock: self.clock.clone(), parallel: PARALLEL };
        let wanted = Wanted { url: builders::build_url(version), sha256: ContentHash::of(b"") };
        let space = Workspace::new(Path::new("/nowhere"), 0).of("pipeline");
        let build = self.source.fetch(&wanted, &space);
        let progress = watch::Sender::new(Progress::default());
        let published = upload::publish(&tools, &request(version), build, &progress, &CancellationToken::new()).await;
        published.map(drop).map_err(|failure| failure.to_string())
    }

    /// Puts a version's build and a film into its folder of the bucket of builds; answers what `rollcall publish --dry-run` would print
    /// for it. The film's hash is known to the store, as the tool that sent it gave one; those of the others are not.
    ///
    /// # Panics
    /// When the build cannot be published.
    pub async fn put_into_folder(&self, version: &str) -> ManifestDigest {
        let mut files: Vec<(String, Bytes)> = builders::build(version).into_iter().map(|(path, content)| (path, content.into())).collect();
        let film = Bytes::from(version.repeat(100_000));
        for (path, content) in &files {
            self.builds.overwrite(&format!("web/{version}/{path}"), content.clone());
        }
        let path = format!("assets/film.{}.mp4", &ContentHash::of(&film).to_string()[..16]);
        let attributes = Attributes {
            content_type: "binary/octet-stream".to_owned(),
            cache_control: String::new(),
            content_encoding: None,
            sha256: ContentHash::of(&film),
            writer: None,
            sequence: None,
        };
        let key = format!("web/{version}/{path}");
        self.builds.remove(&key);
        let created = self.builds.create(&key, Body::Bytes(film.clone()), &attributes).await;
        created.expect("a bucket in memory takes it");
        files.push((path, film));
        digest_of(version, files).await
    }

    /// Applies the release with this version, whose build is in a folder.
    ///
    /// # Panics
    /// When there is no release and it cannot be made.
    pub fn release_from_folder(&self, version: &str, digest: &ManifestDigest) {
        self.release(version);
        let mut source = builders::folder_source(digest);
        source["http"] = serde_json::Value::Null;
        self.change_release(&json!({"source": source}));
    }
}

fn request(version: &str) -> Publish {
    Publish {
        layout: Layout::new("", "web/"),
        release: format!("{}/{}", builders::NAMESPACE, builders::APP),
        version: version.to_owned(),
        names: BuildManifestSpec::default(),
        declared: Declared::default(),
        external: Vec::new(),
        publisher: Publisher::Anybody,
        base_urls: Vec::new(),
        pin: None,
    }
}

/// What `rollcall digest` prints for these files.
///
/// # Panics
/// When they are no build.
pub async fn digest_of(version: &str, files: Vec<(String, Bytes)>) -> ManifestDigest {
    let prepared = Prepared::read(&request(version), Build::in_memory(files)).await;
    prepared.expect("a build that is in order").0.digest
}
