//! Telling: status, events, metrics. Status is written only when it says something else than before; figures that only move on
//! are written at most once a second. Events never fail a pass.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Resource as _};
use serde_json::json;

use crate::api::foreign::shown;
use crate::api::moment::later;
use crate::api::names::FIELD_MANAGER;
use crate::api::{AssetReleaseStatus, ContentHash};
use crate::cluster::lite::WrittenRelease;
use crate::cluster::pods::ReleaseKey;
use crate::cluster::{Call, CallError, Class};
use crate::rollout::decision::{PointerChange, Step};
use crate::rollout::observed::{Observed, PrefixFacts};
use crate::rollout::status::{self, StepOutcome};
use crate::rollout::{Blocker, Decision, retention};

use super::context::Context;
use super::observe::Look;
use super::retry::Failure;

/// Figures that only move on are written at most this often.
const PROGRESS_EVERY: jiff::SignedDuration = jiff::SignedDuration::from_secs(1);

/// A LIST of pods takes about 0.1 s; after this time its absence is worth telling.
const VIEWS_ARRIVE_WITHIN: jiff::SignedDuration = jiff::SignedDuration::from_secs(5);

/// A store that is well has answered by then; that it has not is worth telling.
const STORES_ANSWER_WITHIN: jiff::SignedDuration = jiff::SignedDuration::from_secs(2);

/// After staging, pods that can load at once all report within this time, and what is told of those that lack then is out of date when
/// it is written. A telling in the midst of them would stand between the last report and the flip: 10 to 100 ms while the API server
/// takes the reports of 100 pods.
const REPORTS_COME_WITHIN: jiff::SignedDuration = jiff::SignedDuration::from_millis(500);

/// What was written of the status.
#[derive(Debug, PartialEq)]
pub(super) enum Published {
    /// It says what is so, and said so before.
    UpToDate,
    /// It says now what is so.
    Written(Box<Written>),
    /// Only figures moved, and too soon after the last write: come again at this moment.
    Later(Timestamp),
    /// The release has changed meanwhile: look again.
    Lost,
}

/// A status that was written.
#[derive(Debug, PartialEq)]
pub(super) struct Written {
    /// The whole of it.
    pub(super) status: AssetReleaseStatus,
    /// The release's resource version since then.
    pub(super) version: String,
}

/// Tells what was seen, decided and done.
pub(super) async fn publish(
    cx: &Context,
    key: &ReleaseKey,
    look: &Look,
    decision: &Decision,
    outcome: StepOutcome,
) -> Result<Published, Failure> {
    let observed = &look.observed;
    let not_yet = is_beginning(cx, key, observed, decision).or_else(|| is_just_staged(observed, decision));
    if let Some(at) = not_yet.or_else(|| is_just_asked(observed, decision)) {
        return Ok(Published::Later(at));
    }
    tell_events(cx, key, observed, decision, outcome).await;
    cx.metrics.decided(key, observed, decision, outcome);
    if outcome == StepOutcome::Done && matches!(decision.step, Step::AddFinalizer | Step::RemoveFinalizer) {
        // The step has changed the release itself, so these facts are of an earlier one: the next look writes the status.
        return Ok(Published::UpToDate);
    }
    if is_lead(&decision.step) && decision.blockers.is_empty() {
        // Nothing is told of a release that only got a new leader.
        return Ok(Published::UpToDate);
    }
    let next = status::next(observed, decision, outcome);
    let current = &observed.release.status;
    let tells_epoch = decision.step == Step::TellEpoch;
    if next.says_the_same(current) && !tells_epoch {
        return Ok(Published::UpToDate);
    }
    if !tells_epoch
        && status::differs_in_progress_only(current, &next)
        && let Some(at) = cx.recall(key, &observed.release.uid).status_written_at.map(|written| later(written, PROGRESS_EVERY))
        && observed.now < at
    {
        return Ok(Published::Later(at));
    }
    write_status(cx, key, look, next).await
}

fn is_lead(step: &Step) -> bool {
    matches!(step, Step::WritePointer(write) if write.kind == PointerChange::Lead)
}

/// Right after a start no view of pods has arrived yet. Nothing has changed, so for a few seconds nothing is told.
fn is_beginning(cx: &Context, key: &ReleaseKey, observed: &Observed, decision: &Decision) -> Option<Timestamp> {
    let first_look = cx.recall(key, &observed.release.uid).first_look.unwrap_or(observed.now);
    cx.remember(key, &observed.release.uid, |memory| memory.first_look = Some(first_look));
    let at = later(first_look, VIEWS_ARRIVE_WITHIN);
    let is_unseen = matches!(decision.blockers.first(), Some(Blocker::PodsUnseen { .. }));
    (is_unseen && observed.now < at && observed.release.status.active.is_some()).then_some(at)
}

/// Pods are only just asked.
fn is_just_staged(observed: &Observed, decision: &Decision) -> Option<Timestamp> {
    let is_roll_call = matches!(decision.blockers.first(), Some(Blocker::PodsUnseen { .. } | Blocker::PodsMissing { .. }));
    let staged_at = observed.found()?.pointer.staged_at?;
    let at = later(staged_at, REPORTS_COME_WITHIN);
    (is_roll_call && decision.step == Step::Nothing && (staged_at..at).contains(&observed.now)).then_some(at)
}

/// The store is only just asked.
fn is_just_asked(observed: &Observed, decision: &Decision) -> Option<Timestamp> {
    let PrefixFacts::Asked { since } = observed.prefix else { return None };
    let is_asking = matches!(decision.blockers.first(), Some(Blocker::AskingStore { .. })) && decision.step == Step::Nothing;
    let at = later(since, STORES_ANSWER_WITHIN);
    (is_asking && observed.now < at).then_some(at)
}

/// Applied with the resource version that was looked at, so that no status is written from facts of an earlier spec or of an
/// object that was recreated meanwhile. The UID would not do: the API server does not look at it in the status of custom kinds.
async fn write_status(cx: &Context, key: &ReleaseKey, look: &Look, next: AssetReleaseStatus) -> Result<Published, Failure> {
    let observed = &look.observed;
    let api: Api<WrittenRelease> = Api::namespaced(cx.outside.client.clone(), &key.namespace);
    let body = json!({
        "apiVersion": "rollcall.dev/v1alpha1",
        "kind": "AssetRelease",
        "metadata": {"name": key.name, "resourceVersion": look.resource_version},
        "status": &next,
    });
    let (params, patch) = (PatchParams::apply(FIELD_MANAGER).force(), Patch::Apply(&body));
    match Call::new("apply status of", "AssetRelease", &key.namespace, &key.name).make(api.patch_status(&key.name, &params, &patch)).await {
        Ok(written) if written.status.as_ref().is_none_or(|status| status.epoch != next.epoch) => Err(CallError {
            call: format!("apply status of AssetRelease {}/{}", key.namespace, key.name),
            class: Class::Invalid,
            cause: "the API server did not keep `status.epoch`, so the CRDs are older than this controller: apply those of its version"
                .into(),
            code: None,
        }
        .into()),
        Ok(written) => {
            cx.remember(key, &observed.release.uid, |memory| memory.status_written_at = Some(observed.now));
            let is_admitted = |status: &AssetReleaseStatus| status.replicas.iter().map(|it| it.admitted).collect::<Vec<_>>();
            if is_admitted(&next) != is_admitted(&observed.release.status) {
                cx.reached.look_again(&(key.namespace.clone(), observed.release.spec.store_ref.name.clone()));
            }
            let version = written.metadata.resource_version.unwrap_or_default();
            Ok(Published::Written(Box::new(Written { status: next, version })))
        }
        Err(error) if error.class == Class::Conflict || error.is_not_found() => Ok(Published::Lost),
        Err(error) => Err(error.into()),
    }
}

/// One thing worth telling.
pub(super) struct News {
    pub(super) kind: &'static str,
    pub(super) reason: String,
    pub(super) note: String,
    pub(super) action: &'static str,
}

/// Which release it is told of, and when it was so.
#[derive(Clone)]
pub(super) struct About {
    pub(super) uid: String,
    pub(super) at: Timestamp,
}

async fn tell_events(cx: &Context, key: &ReleaseKey, observed: &Observed, decision: &Decision, outcome: StepOutcome) {
    let about = About { uid: observed.release.uid.clone(), at: observed.now };
    if let Some(news) = step_news(observed, decision, outcome) {
        tell(cx, key, &about, &news).await;
    }
    if let Some((news, at)) = flip_news(observed, decision, outcome) {
        // Dated by the flip: told again by another process, it is the same event.
        tell(cx, key, &About { at, ..about.clone() }, &news).await;
    }
    let Some(blocker) = decision.blockers.first() else { return };
    let reason = blocker.reason().to_owned();
    if cx.recall(key, &observed.release.uid).told.as_ref() == Some(&reason) {
        return;
    }
    cx.remember(key, &observed.release.uid, |memory| memory.told = Some(reason.clone()));
    let kind = if blocker.stalls() { "Warning" } else { "Normal" };
    tell(cx, key, &about, &News { kind, reason, note: blocker.message(), action: "Wait" }).await;
}

/// Only a person can end the references of a release that could not do so itself.
fn references_stay(observed: &Observed) -> Option<News> {
    let why = retention::why_references_stay(observed)?;
    let note = format!(
        "the store does not say that the release is gone, so what it used stays for ever: {}; end its references with `rollcall store end-references`",
        shown(&why, 100)
    );
    Some(News { kind: "Warning", reason: "ReferencesStay".into(), note, action: "LetGo" })
}

fn step_news(observed: &Observed, decision: &Decision, outcome: StepOutcome) -> Option<News> {
    (outcome == StepOutcome::Done).then_some(())?;
    if decision.step == Step::RemoveFinalizer {
        return references_stay(observed);
    }
    let version = &observed.release.spec.version;
    let normal = |reason: &str, note: String, action| News { kind: "Normal", reason: reason.into(), note, action };
    if let (Step::AdoptPointer(_), Some(found)) = (&decision.step, observed.found()) {
        let note = format!("the pointer of AssetRelease {:?} was taken over at flip {}", found.release, found.pointer.sequence);
        return Some(normal("PointerAdopted", note, "Adopt"));
    }
    let Step::WritePointer(write) = &decision.step else { return None };
    Some(match &write.kind {
        // Said once for the whole controller, by its log and its Lease.
        PointerChange::Stage => normal("Staged", format!("version {version:?} is staged under number {}", write.pointer.stage), "Stage"),
        PointerChange::Lead | PointerChange::Flip { .. } => return None,
        PointerChange::Unstage(reason) => {
            let candidate = observed.candidate().map_or_else(String::new, |candidate| candidate.version.clone());
            normal("Unstaged", format!("version {candidate:?} is taken back ({})", reason.reason()), "Unstage")
        }
        PointerChange::Restore => {
            normal("PointerRestored", format!("the pointer was recreated at flip {}", write.pointer.sequence), "Restore")
        }
    })
}

/// A flip that the status does not know yet, whichever process made it. One that a release finds which was made again is no news of it.
fn flip_news(observed: &Observed, decision: &Decision, outcome: StepOutcome) -> Option<(News, Timestamp)> {
    let is_foreign = observed.found().is_some() && observed.own_pointer().is_none();
    observed.release.status.phase.filter(|_| !is_foreign)?;
    let pointer = status::pointer_after(observed, decision, outcome).filter(|_| !observed.release.deleting)?;
    // Nor is one of the release whose place this one takes.
    let flips = matches!(&decision.step, Step::WritePointer(write) if matches!(write.kind, PointerChange::Flip { .. }));
    let is_inherited = observed.predecessor.is_some() && observed.release.status.history.is_empty() && !flips;
    (!is_inherited).then_some(())?;
    let known = observed.release.status.history.iter().map(|entry| entry.sequence).max().unwrap_or_default();
    let (active, at) = (pointer.active.as_ref().filter(|_| pointer.sequence > known)?, pointer.activated_at?);
    let flipped = format!("pages refer to version {:?} (flip {})", active.version, pointer.sequence);
    let gates = pointer.waived.map(|waived| waived.gates).filter(|gates| !gates.is_empty());
    let (kind, reason, note) = match gates {
        None => ("Normal", "Activated", flipped),
        Some(gates) => ("Warning", "ActivatedByOverride", format!("{flipped}; break-glass skipped {}", gates.join(", "))),
    };
    Some((News { kind, reason: reason.into(), note, action: "Flip" }, at))
}

/// Nothing of the answer is looked at.
async fn create_event(cx: &Context, key: &ReleaseKey, event: &Event) -> kube::Result<serde::de::IgnoredAny> {
    let events = kube::core::Request::new(Event::url_path(&(), Some(&key.namespace)));
    let body = serde_json::to_vec(event).map_err(kube::Error::SerdeError)?;
    let request = events.create(&PostParams::default(), body).map_err(kube::Error::BuildRequest)?;
    cx.outside.client.request(request).await
}

/// The name is made from what is told and when, so that a repeated create is the same event.
pub(super) async fn tell(cx: &Context, key: &ReleaseKey, about: &About, news: &News) {
    // The API server's limits: note 1 kB, reason 128.
    let note = shown(&news.note, 250);
    let identity = format!("{}{}{note}{}", about.uid, news.reason, about.at.as_second());
    let event = Event {
        metadata: ObjectMeta {
            name: Some(format!("{}.{}", key.name, &ContentHash::of(identity.as_bytes()).to_string()[..16])),
            namespace: Some(key.namespace.clone()),
            ..ObjectMeta::default()
        },
        action: Some(news.action.into()),
        event_time: Some(MicroTime(about.at)),
        note: Some(note),
        reason: Some(news.reason.clone()),
        regarding: Some(ObjectReference {
            api_version: Some("rollcall.dev/v1alpha1".into()),
            kind: Some("AssetRelease".into()),
            name: Some(key.name.clone()),
            namespace: Some(key.namespace.clone()),
            uid: Some(about.uid.clone()),
            ..ObjectReference::default()
        }),
        reporting_controller: Some("rollcall.dev/controller".into()),
        reporting_instance: Some(cx.settings.instance.clone()),
        type_: Some(news.kind.into()),
        ..Event::default()
    };
    let call = Call::new("create", "Event", &key.namespace, &news.reason);
    if let Err(error) = call.make(create_event(cx, key, &event)).await
        && error.class != Class::Conflict
    {
        tracing::warn!(release.namespace = %key.namespace, release.name = %key.name, %error, "event was not written");
    }
    tracing::info!(release.namespace = %key.namespace, release.name = %key.name, reason = %news.reason, "{}", news.note);
}
