//! Where the build of a publish comes from: an archive is fetched, a folder in a bucket is opened with the keys that the release names.
//! Never writes there, and never lets another source's keys or trouble stand for the store's own.

use crate::api::release::BucketSource;
use crate::api::store::BucketSpec;
use crate::bucket::BucketError;
use crate::bucket::s3::S3Settings;
use crate::egress::AmbientUse;
use crate::rollout::observed::BuildSource;
use crate::source::archive::Limits;
use crate::source::bucket::{self, BuildFolder, BuildPlace, Kinship, Pin};
use crate::source::{Allotment, Build, SourceError, Wanted};

use super::jobs::{Mending, WorkFailure};
use super::store::{address, credentials};
use super::work::{Task, publish_failure, read_failure};

/// A build that is to be published.
pub(super) enum Asked {
    Archive(Wanted),
    Folder(Box<BuildFolder>, Pin),
}

impl Asked {
    /// What must be found there. An archive is compared with its own digest while it is fetched.
    pub(super) fn pin(&self) -> Option<Pin> {
        match self {
            Self::Archive(_) => None,
            Self::Folder(_, pin) => Some(pin.clone()),
        }
    }
}

impl Task {
    /// What the release asks for, once it is known how to reach it.
    pub(super) async fn asked(&self, version: &str, source: &BuildSource) -> Result<Asked, WorkFailure> {
        let refused = |refusal| publish_failure(&SourceError::Refused(refusal).into());
        match source {
            BuildSource::Http(http) => Wanted::resolve(http, version).map(Asked::Archive).map_err(refused),
            BuildSource::Bucket(spec) => {
                let pin = Pin::of(spec, version).map_err(refused)?;
                Ok(Asked::Folder(Box::new(self.folder(version, spec).await?), pin))
            }
        }
    }

    /// The build itself.
    pub(super) async fn build(&self, asked: Asked, space: &Allotment) -> Result<Build, SourceError> {
        match asked {
            Asked::Archive(wanted) => self.cx.outside.source.fetch(&wanted, space).await,
            Asked::Folder(folder, _) => bucket::read(*folder, space).await,
        }
    }

    async fn folder(&self, version: &str, spec: &BucketSource) -> Result<BuildFolder, WorkFailure> {
        let place = BuildPlace::of(spec, version);
        let failed = |error: BucketError| publish_failure(&SourceError::Bucket { place: place.to_string(), error }.into());
        let bucket = self.cx.outside.buckets.open(&self.settings(spec, &place).await?).map_err(failed)?;
        let kinship = self.kinship(spec).await;
        Ok(BuildFolder { bucket, place, kinship, limits: Limits::default() })
    }

    async fn settings(&self, spec: &BucketSource, place: &BuildPlace) -> Result<S3Settings, WorkFailure> {
        let (namespace, endpoint) = (self.namespace.as_str(), spec.endpoint.as_deref());
        // With the version filled in: that may well be what the grant's prefix ends in.
        let asked = AmbientUse { namespace, endpoint, bucket: &place.bucket, prefix: &place.folder };
        let found = credentials(&self.cx, asked, spec.credentials.as_ref()).await;
        let found = found.map_err(|failure| read_failure("ReadFailing", failure.to_string()))?;
        let credentials = found.map_err(|problem| WorkFailure {
            reason: problem.reason(),
            message: problem.message("spec.source.bucket", &self.namespace),
            mending: Mending::Retry,
        })?;
        Ok(S3Settings::at(&spec.bucket(), credentials))
    }

    /// What is not known of the store is not relied on: then the bytes come here.
    async fn kinship(&self, source: &BucketSource) -> Kinship {
        let Some(store) = self.store.as_ref().filter(|store| is_one_service(&source.bucket(), &store.bucket)) else {
            return Kinship::Other;
        };
        let address = address(&self.cx, &self.namespace, &store.bucket, store.credentials.as_ref()).await;
        let Ok(Ok(settings)) = address else { return Kinship::Other };
        let prefix = store.bucket.prefix.as_deref().unwrap_or_default();
        match self.cx.outside.buckets.probe(&settings, prefix, store.write_guard).await {
            Ok(found) if [&found.copy, &found.checksum_verified, &found.conditional_delete].iter().all(|found| found.is_held()) => {
                Kinship::Same
            }
            Ok(_) | Err(_) => Kinship::Other,
        }
    }
}

/// One endpoint and one region.
fn is_one_service(source: &BucketSpec, store: &BucketSpec) -> bool {
    source.region == store.region && source.service() == store.service()
}
