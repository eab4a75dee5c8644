//! A pipeline in the world: it publishes builds itself, as `rollcall publish` does, and never talks to the API server.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::World;
use crate::api::{BuildManifestSpec, ContentHash};
use crate::manifest::Layout;
use crate::source::{Source as _, Wanted};
use crate::testing::builders;
use crate::upload::{self, PARALLEL, Progress, Publish, Publisher, Tools};

impl World {
    /// Publishes a version below the prefix of the world's release.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn publish(&self, version: &str) -> Result<(), String> {
        let tools = Tools { bucket: Arc::new(self.line("pipeline")), clock: self.clock.clone(), parallel: PARALLEL };
        let request = Publish {
            layout: Layout::new("", "web/"),
            release: format!("{}/{}", builders::NAMESPACE, builders::APP),
            version: version.to_owned(),
            names: BuildManifestSpec::default(),
            publisher: Publisher::Anybody,
            base_urls: Vec::new(),
        };
        let wanted = Wanted { url: builders::build_url(version), sha256: ContentHash::of(b"") };
        let build = self.source.fetch(&wanted, Path::new("/nowhere"));
        let progress = watch::Sender::new(Progress::default());
        let published = upload::publish(&tools, &request, build, &progress, &CancellationToken::new()).await;
        published.map(drop).map_err(|failure| failure.to_string())
    }
}
