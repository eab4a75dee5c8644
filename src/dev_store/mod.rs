//! `rollcall dev-store`: an S3 server with its data in a folder, to try things out without an account.
//!
//! Never for production: one process, no TLS, no replicas, no fsync, one access key, and every object is public to read.
//! What it does, it does as strictly as AWS: create-only writes, conditional replaces and deletes are atomic, wrong checksums are refused.

mod door;
mod folder;
mod record;
mod service;
mod upload;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::TcpListener;

use self::door::PublicObjects;
use self::folder::Folder;
use self::service::Operations;
use crate::clock::SystemClock;
use crate::serving::{Limits, Server, allow_all_files};

/// How the store is started.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the data lies; made if it is missing.
    pub folder: PathBuf,
    /// Buckets that exist from the start.
    pub buckets: Vec<String>,
    /// Who may write.
    pub access_key_id: String,
    /// And with which secret.
    pub secret_access_key: String,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("listen", &self.listen)
            .field("folder", &self.folder)
            .field("buckets", &self.buckets)
            .finish_non_exhaustive()
    }
}

/// Why the store does not start or has stopped.
#[derive(Debug, thiserror::Error)]
pub enum DevStoreError {
    /// Writers must be told from readers.
    #[error("the dev store needs an access key id and a secret access key that are not empty")]
    NoKey,
    /// The name of a bucket is not one.
    #[error("{name:?} is not a bucket name: 3 to 63 lower-case letters, digits, dots and hyphens")]
    BucketName {
        /// The name.
        name: String,
    },
    /// The folder cannot be used.
    #[error("the dev store cannot use the folder {}: {source}", folder.display())]
    Folder {
        /// Which one.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The address cannot be used, or the connections broke off.
    #[error("the dev store cannot serve on {listen}: {source}")]
    Listen {
        /// Which one.
        listen: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// A store that listens but does not answer yet.
pub struct DevStore {
    listener: TcpListener,
    address: SocketAddr,
    service: S3Service,
}

/// Binds and serves until `shutdown` is ready; requests that are under way then are finished.
///
/// # Errors
/// When it cannot start, or when its listener breaks.
pub async fn run(settings: Settings, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<(), DevStoreError> {
    DevStore::bind(settings).await?.serve(shutdown).await
}

impl DevStore {
    /// Opens the folder, makes the buckets and listens.
    ///
    /// # Errors
    /// An empty key, an unusable folder (another store runs on it, or a file in it is not ours), a taken address.
    pub async fn bind(settings: Settings) -> Result<Self, DevStoreError> {
        if settings.access_key_id.is_empty() || settings.secret_access_key.is_empty() {
            return Err(DevStoreError::NoKey);
        }
        let folder = prepare(&settings)?;
        let at = |source| DevStoreError::Listen { listen: settings.listen, source };
        let listener = TcpListener::bind(settings.listen).await.map_err(at)?;
        let address = listener.local_addr().map_err(at)?;
        let mut builder = S3ServiceBuilder::new(Operations { folder: Arc::new(folder), clock: Arc::new(SystemClock) });
        builder.set_auth(SimpleAuth::from_single(settings.access_key_id, settings.secret_access_key));
        builder.set_access(PublicObjects);
        Ok(Self { listener, address, service: builder.build() })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown` is ready.
    ///
    /// # Errors
    /// When its listener breaks.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<(), DevStoreError> {
        let Self { listener, address, service } = self;
        tracing::info!(%address, "the dev store listens; never use it for production");
        let router = axum::Router::new().fallback(door::enter).with_state(service);
        Server::new("dev-store", Limits::PUBLIC.within_files(allow_all_files())).run(listener, router, shutdown).await;
        Ok(())
    }
}

fn prepare(settings: &Settings) -> Result<Folder, DevStoreError> {
    let at = |source| DevStoreError::Folder { folder: settings.folder.clone(), source };
    let folder = Folder::open(&settings.folder).map_err(at)?;
    for name in &settings.buckets {
        if !s3s::path::check_bucket_name(name) {
            return Err(DevStoreError::BucketName { name: name.clone() });
        }
        folder.make(name).map_err(at)?;
    }
    Ok(folder)
}
