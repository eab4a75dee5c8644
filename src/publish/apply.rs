//! `--apply`: one change of `spec.version`, and then only looking. Never changes anything else of a release.

use std::time::Duration;

use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::cluster::{Cluster, failed};
use super::{Failure, say};
use crate::api::{AssetRelease, conditions};
use crate::upload::PublishFailure;

/// A person who waits sees a change by then, and the API server hardly notices.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How often a lost race is tried again: while a version is brought out the status changes once a second or less.
const TRIES: usize = 10;

/// Who changed `spec.version`, in `managedFields`.
const MANAGER: &str = "rollcall-publish";

/// Names the version in the release and waits until it is Ready with it. `before` is what the release named when the command began: a
/// pipeline that took longer than a newer one must not take the newer one's version back.
pub(super) async fn apply(
    cluster: &Cluster,
    name: &str,
    before: &str,
    version: &str,
    patience: Duration,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let shown = format!("AssetRelease {}/{name}", cluster.namespace);
    let releases = cluster.releases();
    let (ends, generation) = (Instant::now() + patience, changed(cluster, name, before, version).await?);
    let mut said = String::new();
    loop {
        match releases.get(name).await {
            Ok(release) if release.spec.version != version => return Err(overtaken(shown, &release)),
            Ok(release) => match State::of(&release, generation) {
                State::Ready => {
                    say(&format!("{shown}: version {version:?} is active, and every pod serves it"));
                    return Ok(());
                }
                State::Stalled(why) => return Err(Failure::NotApplied { release: shown, why }),
                State::Waiting(why) => tell(&mut said, &shown, why),
            },
            // The API server may be away for a moment; the time that is left is the limit.
            Err(cause) => tell(&mut said, &shown, format!("cannot be read for now: {cause}")),
        }
        if Instant::now() >= ends {
            return Err(Failure::NotApplied { release: shown, why: format!("not ready after {} s: {said}", patience.as_secs()) });
        }
        tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(PublishFailure::Cancelled.into()),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Names the version, under the resource version that was looked at; answers the generation.
async fn changed(cluster: &Cluster, name: &str, before: &str, version: &str) -> Result<i64, Failure> {
    let shown = format!("AssetRelease {}/{name}", cluster.namespace);
    let failed = |cause: kube::Error| failed(&format!("change {shown}"), &cause);
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let mut lost = None;
    for _ in 0..TRIES {
        let release = cluster.release(name).await?;
        if release.spec.version != before && release.spec.version != version {
            return Err(overtaken(shown, &release));
        }
        let patch = Patch::Merge(json!({"metadata": {"resourceVersion": release.metadata.resource_version}, "spec": {"version": version}}));
        match cluster.releases().patch(name, &params, &patch).await {
            Ok(patched) => return Ok(patched.metadata.generation.unwrap_or_default()),
            // Most often the controller's status.
            Err(kube::Error::Api(status)) if status.code == 409 => lost = Some(kube::Error::Api(status)),
            Err(cause) => return Err(failed(cause)),
        }
    }
    Err(failed(lost.expect("every try but a lost one returns")))
}

fn overtaken(release: String, found: &AssetRelease) -> Failure {
    Failure::NotApplied { release, why: format!("meanwhile spec.version was set to {:?}", found.spec.version) }
}

fn tell(told: &mut String, release: &str, now: String) {
    if *told != now && !now.is_empty() {
        say(&format!("{release}: {now}"));
        *told = now;
    }
}

enum State {
    Ready,
    Stalled(String),
    Waiting(String),
}

impl State {
    /// What a release says of the change that made this generation, or of a later one.
    fn of(release: &AssetRelease, generation: i64) -> Self {
        let Some(status) = release.status.as_ref().filter(|status| status.observed_generation >= generation) else {
            return Self::Waiting("the controller has not seen the change yet".to_owned());
        };
        let is_true = |kind: &str| status.conditions.iter().find(|condition| condition.type_ == kind && condition.status == "True");
        if let Some(stalled) = is_true(conditions::STALLED) {
            return Self::Stalled(stalled.message.clone());
        }
        match is_true(conditions::READY) {
            Some(_) => Self::Ready,
            None => Self::Waiting(status.message.clone().unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use serde_json::Value;

    use super::*;
    use crate::clock::TokioClock;
    use crate::testing::apiserver::{ApiServer, Key, Kind};
    use crate::testing::builders::{APP, NAMESPACE, release};

    fn server() -> (ApiServer, Cluster, Key) {
        let server = ApiServer::new(Arc::new(TokioClock::starting_at(Timestamp::UNIX_EPOCH)), 1);
        server.create("user", &release("v1")).unwrap();
        let cluster = Cluster { client: server.client("publish"), namespace: NAMESPACE.into() };
        (server, cluster, Key::new(Kind::named("AssetRelease"), NAMESPACE, APP))
    }

    fn status(generation: i64, kind: &str, truth: &str, message: &str) -> Value {
        let condition = |kind: &str, truth: &str| json!({"type": kind, "status": truth, "reason": "Because", "message": message, "lastTransitionTime": "2026-11-21T00:00:00Z"});
        let ready = if kind == "Ready" { truth } else { "False" };
        json!({"observedGeneration": generation, "message": message, "conditions": [condition(kind, truth), condition("Ready", ready)]})
    }

    /// Applies v2; the controller says this of each generation, ten seconds later.
    async fn applied(says: impl Fn(i64) -> Value) -> (Result<(), Failure>, String) {
        let (server, cluster, key) = server();
        server.patch_status("controller", &key, &status(1, "Ready", "True", "v1 is active")).unwrap();
        let cancel = CancellationToken::new();
        let controller = async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            let generation = server.get(&key).unwrap()["metadata"]["generation"].as_i64().unwrap();
            server.patch_status("controller", &key, &says(generation)).unwrap();
        };
        let patience = Duration::from_secs(60);
        let (done, ()) = tokio::join!(apply(&cluster, APP, "v1", "v2", patience, &cancel), controller);
        let version = server.get(&key).unwrap()["spec"]["version"].as_str().unwrap().to_owned();
        (done, version)
    }

    #[tokio::test(start_paused = true)]
    async fn a_release_is_ready_only_when_its_controller_says_so_of_the_change() {
        let (done, version) = applied(|generation| status(generation, "Ready", "True", "v2 is active")).await;
        assert!(done.is_ok(), "{done:?}");
        assert_eq!(version, "v2");
    }

    #[tokio::test(start_paused = true)]
    async fn a_release_that_stalls_or_never_gets_ready_ends_with_its_own_words() {
        for (kind, message) in [("Stalled", "the deadline is over"), ("Reconciling", "2 of 3 pods have it")] {
            let (done, version) = applied(|generation| status(generation, kind, "True", message)).await;
            let failure = done.unwrap_err();
            assert_eq!((failure.exit() as u8, version.as_str()), (5, "v2"));
            assert!(failure.to_string().contains(message) && failure.to_string().contains("shop/web"), "{failure}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_release_that_is_not_there_is_named() {
        let (_, cluster, _) = server();
        let failure = apply(&cluster, "gone", "v1", "v2", Duration::ZERO, &CancellationToken::new()).await.unwrap_err();
        assert_eq!(failure.exit() as u8, 1);
        assert!(failure.to_string().contains("shop/gone"), "{failure}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_version_that_somebody_else_named_meanwhile_is_not_taken_back() {
        // I4
        let (server, cluster, key) = server();
        server.patch("pipeline", &key, &json!({"spec": {"version": "v3"}})).unwrap();
        let failure = apply(&cluster, APP, "v1", "v2", Duration::ZERO, &CancellationToken::new()).await.unwrap_err();
        assert_eq!(failure.exit() as u8, 5);
        assert!(failure.to_string().contains("v3"), "{failure}");
        assert_eq!(server.get(&key).unwrap()["spec"]["version"], "v3");
    }
}
