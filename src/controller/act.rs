//! Doing: one arm for each step. No choice is left here: a step carries what it does and under which precondition, and a lost
//! race means "look again".

use std::sync::Arc;

use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::api::names::FINALIZER;
use crate::cluster::lite::WrittenRelease;
use crate::cluster::pods::ReleaseKey;
use crate::cluster::pointer::WrittenAs;
use crate::cluster::{Call, Class};
use crate::rollout::decision::Step;
use crate::rollout::observed::Job;
use crate::rollout::retention;
use crate::rollout::status::StepOutcome;

use super::context::Context;
use super::echoes::Seen;
use super::observe::Look;
use super::retry::Failure;
use super::store::cluster_id;
use super::work;

/// Facts older than this are looked at again before the pointer is moved. What fences a write is its resource version, not its age: this
/// keeps a process that stood still (SIGSTOP, a frozen node) from acting on what was wished for before. Reading them takes at most seven
/// calls (pointer, another release's pointer, the release before, AssetStore, Secret, cluster, release) of 10 s each, and 5 s for the nodes of each target with pods that are not Ready: a slow
/// API server makes a release slow and does not stop it. A pass ends after 120 s in any case.
const FACTS_AGE_MAX: jiff::SignedDuration = jiff::SignedDuration::from_secs(100);

/// Carries out a step: at most one change of the world.
pub(super) async fn act(cx: &Arc<Context>, key: &ReleaseKey, look: &Look, step: &Step) -> Result<StepOutcome, Failure> {
    match step {
        // The epoch is written with the status, which follows every step.
        Step::Nothing | Step::TellEpoch => Ok(StepOutcome::Done),
        Step::AddFinalizer => set_finalizers(cx, key, look, &with_ours(&look.finalizers)).await,
        Step::RemoveFinalizer => set_finalizers(cx, key, look, &without_ours(&look.finalizers)).await,
        Step::StartJob(job) => start_job(cx, key, look, job).await,
        Step::CancelJob(job) => {
            cx.jobs.cancel(key, job);
            Ok(StepOutcome::Done)
        }
        Step::CreatePointer => Ok(look.pointer.create().await?),
        Step::AdoptPointer(_) | Step::WritePointer(_) if are_old(cx, look) => Ok(StepOutcome::Lost),
        Step::AdoptPointer(expected) => Ok(look.pointer.adopt(expected).await?),
        Step::WritePointer(write) => match look.pointer.write(write).await? {
            WrittenAs::Version(version) => {
                // The next look is at once.
                cx.echoes.expect(key, Seen::Pointer(version));
                Ok(StepOutcome::Done)
            }
            WrittenAs::Lost => Ok(StepOutcome::Lost),
        },
    }
}

/// Whether the facts are too old to move the pointer.
pub(super) fn are_old(cx: &Context, look: &Look) -> bool {
    cx.outside.clock.now().duration_since(look.begun_at) >= FACTS_AGE_MAX
}

fn with_ours(finalizers: &[String]) -> Vec<String> {
    finalizers.iter().cloned().chain([FINALIZER.to_owned()]).collect()
}

fn without_ours(finalizers: &[String]) -> Vec<String> {
    finalizers.iter().filter(|finalizer| *finalizer != FINALIZER).cloned().collect()
}

/// The list is replaced as a whole, so the resource version is its precondition: no other finalizer is lost.
async fn set_finalizers(cx: &Context, key: &ReleaseKey, look: &Look, finalizers: &[String]) -> Result<StepOutcome, Failure> {
    let api: Api<WrittenRelease> = Api::namespaced(cx.outside.client.clone(), &key.namespace);
    let body = json!({"metadata": {
        "uid": look.observed.release.uid,
        "resourceVersion": look.resource_version,
        "finalizers": finalizers,
    }});
    let (params, patch) = (PatchParams::default(), Patch::Merge(&body));
    match Call::new("patch", "AssetRelease", &key.namespace, &key.name).make(api.patch(&key.name, &params, &patch)).await {
        Ok(written) => {
            // The next look is at once.
            cx.echoes.expect(key, Seen::Release(written.metadata.resource_version.unwrap_or_default()));
            Ok(StepOutcome::Done)
        }
        Err(error) if error.class == Class::Conflict || error.is_not_found() => Ok(StepOutcome::Lost),
        Err(error) => Err(error.into()),
    }
}

async fn start_job(cx: &Arc<Context>, key: &ReleaseKey, look: &Look, job: &Job) -> Result<StepOutcome, Failure> {
    let (Some(address), Some(store)) = (look.store.address.clone(), look.store.spec.clone()) else { return Ok(StepOutcome::Lost) };
    let about_to_use = match job {
        Job::Verify { digest, .. } => Some(digest),
        Job::Claim { .. }
        | Job::Publish { .. }
        | Job::Replicate { .. }
        | Job::Backfill { .. }
        | Job::PublishEntries { .. }
        | Job::WriteReferences { .. }
        | Job::EndReferences { .. }
        | Job::Sweep { .. } => None,
    };
    let order = work::Order {
        cx: cx.clone(),
        key: key.clone(),
        uid: look.observed.release.uid.clone(),
        address,
        layout: look.store.layout.clone(),
        prefix: look.observed.release.spec.prefix.clone(),
        store_name: look.observed.release.spec.store_ref.name.clone(),
        store_identity: look.observed.store_identity().to_owned(),
        store,
        base_url: work::base_url(&look.observed),
        inherits: look.inherits.clone(),
        own: retention::own_facts(&look.observed, &cluster_id(cx).await?, about_to_use),
        job: job.clone(),
    };
    cx.jobs.start(key, job.clone(), |progress, cancel| order.carry_out(progress, cancel));
    Ok(StepOutcome::Done)
}
