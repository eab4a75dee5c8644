//! Tells that a look failed: condition, message, event, metric. Whoever waits must not have to read the log.
//! Never claims anything that a look would have to show, and never fails a pass: what cannot be told stays in the log.

use jiff::{SignedDuration, Timestamp};
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::api::moment::later;
use crate::api::names::FIELD_MANAGER;
use crate::cluster::lite::ReleaseStatusOnly;
use crate::cluster::pods::ReleaseKey;
use crate::cluster::{Call, CallError, Class};
use crate::rollout::Blocker;
use crate::rollout::blocker::LookFailure;
use crate::rollout::unseen::unseen;

use super::context::Context;
use super::publish::{About, News, tell};
use super::retry::Failure;

/// What time may mend is told when this many attempts in a row have failed: 0.5 + 1 + 2 + 4 s after the first. A Ready that comes and
/// goes with each hiccup of the API server would wake people at night for nothing.
const ATTEMPTS_UNTIL_TOLD: u32 = 5;

/// The same reason is told by an event again after this time at the earliest, however often it comes and goes.
const EVENT_EVERY: SignedDuration = SignedDuration::from_mins(10);

/// Tells a pass's failure, which was the `attempt`th in a row.
pub(super) async fn tell_failure(cx: &Context, key: &ReleaseKey, failure: &Failure, attempt: u32) {
    if failure.class() == Class::Conflict || (failure.class() == Class::Transient && attempt < ATTEMPTS_UNTIL_TOLD) {
        return;
    }
    let blocker = Blocker::LookFailed(look_failure(failure));
    cx.metrics.blocked_by(key, blocker.reason());
    if let Err(error) = show(cx, key, &blocker).await {
        tracing::warn!(release.namespace = %key.namespace, release.name = %key.name, %error, "the failure could not be written to the release's status");
    }
}

/// From a fresh read, and only over what was read: the release in a cache may lag behind what was written of it. A status that cannot be read is one of a
/// newer controller, and stays as it is.
async fn show(cx: &Context, key: &ReleaseKey, blocker: &Blocker) -> Result<(), CallError> {
    let api: Api<ReleaseStatusOnly> = Api::namespaced(cx.outside.client.clone(), &key.namespace);
    let found = Call::new("get", "AssetRelease", &key.namespace, &key.name).find(api.get_opt(&key.name)).await?;
    let Some(release) = found else { return Ok(()) };
    let now = cx.outside.clock.now();
    let current = release.status.clone().unwrap_or_default();
    let next = unseen(&current, release.metadata.generation.unwrap_or_default(), blocker, now);
    if next.says_the_same(&current) {
        return Ok(());
    }
    tell_once(cx, key, &release, blocker, now).await;
    let body = json!({
        "apiVersion": "rollcall.dev/v1alpha1",
        "kind": "AssetRelease",
        "metadata": {"name": key.name, "uid": release.uid(), "resourceVersion": release.resource_version()},
        "status": next,
    });
    let (params, patch) = (PatchParams::apply(FIELD_MANAGER).force(), Patch::Apply(&body));
    match Call::new("apply status of", "AssetRelease", &key.namespace, &key.name).make(api.patch_status(&key.name, &params, &patch)).await {
        Err(error) if error.class == Class::Conflict || error.is_not_found() => Ok(()),
        answer => answer.map(|_| ()),
    }
}

async fn tell_once(cx: &Context, key: &ReleaseKey, release: &ReleaseStatusOnly, blocker: &Blocker, now: Timestamp) {
    let uid = release.uid().unwrap_or_default();
    let told = cx.recall(key, &uid).told_failure;
    if told.is_some_and(|(reason, at)| reason == blocker.reason() && now < later(at, EVENT_EVERY)) {
        return;
    }
    cx.remember(key, &uid, |memory| memory.told_failure = Some((blocker.reason(), now)));
    let news = News { kind: "Warning", reason: blocker.reason().into(), note: blocker.message(), action: "Look" };
    tell(cx, key, &About { uid, at: now }, &news).await;
}

/// A failed look, as people read of it.
pub(super) fn look_failure(failure: &Failure) -> LookFailure {
    let message = failure.to_string();
    match (failure, failure.class()) {
        (Failure::Panicked(_), _) => LookFailure::Panicked(format!("{message}; this is a bug in Rollcall")),
        (Failure::Call(error), Class::Denied) => LookFailure::Denied(format!("{message}; {}", right(error))),
        // It says what to do.
        (Failure::Unreadable(_), _) => LookFailure::Invalid(message),
        (_, Class::Denied | Class::Invalid) => LookFailure::Invalid(format!("{message}; correct what is named here")),
        (_, Class::Transient | Class::Conflict) => LookFailure::Failing(format!("{message}; the call is retried with exponential backoff")),
    }
}

/// The right that a denied call needs, from its name (`list Pod shop/`).
fn right(error: &CallError) -> String {
    let mut words = error.call.split(' ');
    let (verb, kind) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let namespace = words.next().and_then(|object| object.split('/').next()).unwrap_or_default();
    let place = if namespace.is_empty() { "in the whole cluster".into() } else { format!("in namespace {namespace:?}") };
    match error.code {
        Some(401) => "the API server does not know the controller's token: look at its ServiceAccount".into(),
        _ => format!(
            "give the controller's ServiceAccount the right to `{verb}` {kind} {place}: the chart's controller role has it (a ClusterRole; \
             with watchNamespaces, a Role in each of them)"
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn call(call: &str, class: Class, code: u16) -> Failure {
        Failure::Call(CallError { call: call.into(), class, cause: "no".into(), code: Some(code) })
    }

    #[test]
    fn a_denied_read_names_the_right_and_where_it_is() {
        let LookFailure::Denied(message) = look_failure(&call("get Deployment shop/web", Class::Denied, 403)) else { panic!("denied") };
        assert!(message.starts_with("get Deployment shop/web failed: no; give the controller's ServiceAccount the right to `get` Deployment in namespace \"shop\""), "{message}");
        let LookFailure::Denied(message) = look_failure(&call("get Namespace /kube-system", Class::Denied, 403)) else { panic!("denied") };
        assert!(message.contains("`get` Namespace in the whole cluster"), "{message}");
        let LookFailure::Denied(message) = look_failure(&call("get ConfigMap shop/p", Class::Denied, 401)) else { panic!("denied") };
        assert!(message.contains("token"), "{message}");
    }

    #[test]
    fn what_time_mends_is_told_from_what_somebody_has_to_mend() {
        assert!(matches!(look_failure(&Failure::TooLong(Duration::from_secs(60))), LookFailure::Failing(_)));
        assert!(matches!(look_failure(&call("get X a/b", Class::Transient, 500)), LookFailure::Failing(_)));
        assert!(matches!(look_failure(&call("get X a/b", Class::Invalid, 400)), LookFailure::Invalid(_)));
        assert!(matches!(look_failure(&Failure::Panicked("x".into())), LookFailure::Panicked(_)));
    }
}
