//! The jobs' work.
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use crate::api::release::UploadStatus;
use crate::bucket::Bucket;
use crate::manifest::Layout;
use crate::rollout::observed::{Job, Observed, StoreFacts, JobEnd};
use super::context::Context;
use super::jobs::Worked;
pub(super) struct Task { pub(super) cx: Arc<Context>, pub(super) bucket: Arc<dyn Bucket>, pub(super) layout: Layout, pub(super) release: String, pub(super) base_url: String, pub(super) job: Job }
pub(super) fn base_url(observed: &Observed) -> String {
    match &observed.store { StoreFacts::Usable { base_url, .. } => base_url.clone(), StoreFacts::Missing | StoreFacts::Unusable(_) => String::new() }
}
impl Task { pub(super) async fn run(self, _p: watch::Sender<UploadStatus>, _c: CancellationToken) -> Worked { Ok(JobEnd::EntriesPublished) } }
