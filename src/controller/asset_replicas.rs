//! The replicas in an AssetStore's own status: whether each was reached, and whether every release has admitted it.
//! Never admits one itself: each release says so of its own prefix, and all of them together make it so.

use kube::{Api, Resource, ResourceExt};

use crate::api::status::{ReplicaStatus, cut};
use crate::api::store::{ReplicaSpec, StoreReplicaStatus};
use crate::api::{AssetRelease, AssetStore};
use crate::bucket::s3::S3Settings;
use crate::cluster::Call;
use crate::cluster::seen::Seen;
use crate::rollout::Blocker;
use crate::rollout::observed::BucketFault;

use super::asking;
use super::context::Context;
use super::places::Whose;
use super::prefix::{PROBE_TIME_MAX, within};
use super::reached::StoreKey;
use super::replicas::{open_replica, replica_settings};
use super::retry::Failure;
use super::store::fault;

/// What was seen of the replicas, in the spec's order.
pub(super) struct Replicas(Vec<Replica>);

struct Replica {
    name: String,
    /// Why it cannot be used.
    problem: Option<String>,
    /// Releases that have not admitted it, sorted.
    waiting: Vec<String>,
    missing: Option<i64>,
}

/// Looks at every replica, side by side: one listing of one page, and the probe if it was not made before. Why each cannot be used.
pub(super) async fn look(store: &AssetStore, cx: &Context) -> Vec<Option<String>> {
    let key: StoreKey = (store.namespace().unwrap_or_default(), store.name_any());
    let looks = store.spec.replicas.iter().map(async |replica| reach(cx, &key, replica).await.err());
    futures::future::join_all(looks).await
}

/// What was seen of every replica, and what the releases say of it.
pub(super) async fn of_releases(store: &AssetStore, cx: &Context, problems: Vec<Option<String>>) -> Result<Replicas, Failure> {
    if store.spec.replicas.is_empty() {
        return Ok(Replicas(Vec::new()));
    }
    let (namespace, name) = (store.namespace().unwrap_or_default(), store.name_any());
    let api: Api<Seen<AssetRelease>> = Api::namespaced(cx.outside.client.clone(), &namespace);
    let users = Call::new("list", "AssetRelease", &namespace, "").list(&api, |release| User::of(&release, &name)).await?;
    let users: Vec<User> = users.into_iter().flatten().collect();
    let seen = store.spec.replicas.iter().zip(problems);
    Ok(Replicas(seen.map(|(replica, problem)| Replica { problem, ..of_users(replica, &users) }).collect()))
}

/// A release that uses the store, and what it says of replicas.
struct User {
    name: String,
    replicas: Vec<ReplicaStatus>,
}

impl User {
    /// One that is being deleted flips no more. One that cannot be read may use the store and has admitted nothing.
    fn of(release: &Seen<AssetRelease>, store: &str) -> Option<Self> {
        let ends = release.meta().deletion_timestamp.is_some();
        let named = match release {
            Seen::Whole(release) => Some(release.spec.store_ref.name.as_str()),
            Seen::Unreadable(release) => release.store(),
        };
        let uses = named.is_none_or(|named| named == store);
        let status = release.whole().ok().and_then(|release| release.status.as_ref());
        (uses && !ends)
            .then(|| Self { name: release.name_any(), replicas: status.map(|status| status.replicas.clone()).unwrap_or_default() })
    }
}

/// Asked like a store: in a place of its namespace and endpoint, and not at all while the endpoint is silent.
async fn reach(cx: &Context, store: &StoreKey, replica: &ReplicaSpec) -> Result<(), String> {
    let settings = replica_settings(cx, store, replica).await?;
    let listed = asking::ask(cx, Whose::at(&store.0, &settings), &cx.places.replicas, async {
        let listed = async { Ok(list_once(cx, store, replica, &settings).await) };
        within(PROBE_TIME_MAX, &replica.bucket.name, listed).await.map_err(|error| fault(&error))?
    });
    listed.await.map_err(|fault| fault.message)
}

async fn list_once(cx: &Context, store: &StoreKey, replica: &ReplicaSpec, settings: &S3Settings) -> Result<(), BucketFault> {
    let bucket = open_replica(cx, store, replica, settings).await?;
    let prefix = replica.bucket.prefix.as_deref().unwrap_or_default();
    bucket.list(prefix, None).await.map(drop).map_err(|error| fault(&error))
}

/// What the releases say of it.
fn of_users(replica: &ReplicaSpec, users: &[User]) -> Replica {
    let place = replica.place();
    let (mut waiting, mut missing) = (Vec::new(), None);
    for release in users {
        let known = release.replicas.iter().find(|known| known.is_of(&replica.name, &place));
        if !known.is_some_and(|known| known.admitted) {
            waiting.push(release.name.clone());
            let lacks = known.and_then(|known| known.missing);
            missing = lacks.map(|lacks| missing.unwrap_or(0) + lacks).or(missing);
        }
    }
    waiting.sort();
    Replica { name: replica.name.clone(), problem: None, waiting, missing }
}

impl Replicas {
    /// Whether each can be used.
    pub(super) fn verdict(&self) -> Result<(), Blocker> {
        let broken = self.0.iter().find_map(|seen| Some((seen, seen.problem.clone()?)));
        broken.map_or(Ok(()), |(seen, cause)| Err(Blocker::ReplicaUnusable { replica: seen.name.clone(), cause }))
    }

    /// Whether nothing is waited for.
    pub(super) fn are_admitted(&self) -> bool {
        self.0.iter().all(|seen| seen.waiting.is_empty())
    }

    /// For people.
    pub(super) fn status(&self) -> Vec<StoreReplicaStatus> {
        self.0.iter().map(Replica::status).collect()
    }
}

impl Replica {
    fn status(&self) -> StoreReplicaStatus {
        let waited_for = || (!self.waiting.is_empty()).then(|| format!("not admitted yet by {}", self.waiting.join(", ")));
        let message = self.problem.clone().or_else(waited_for);
        StoreReplicaStatus {
            name: self.name.clone(),
            admitted: self.waiting.is_empty(),
            missing: self.missing,
            message: message.map(|message| cut(message, 1024)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn replica() -> ReplicaSpec {
        serde_json::from_value(json!({"name": "eu", "bucket": {"name": "assets-eu", "prefix": "web/"}})).unwrap()
    }

    fn user(name: &str, replicas: &serde_json::Value) -> User {
        User { name: name.into(), replicas: serde_json::from_value(replicas.clone()).unwrap() }
    }

    fn known(place: &str, admitted: bool, missing: Option<i64>) -> serde_json::Value {
        let mut known = json!([{"name": "eu", "place": place, "admitted": admitted}]);
        if let Some(missing) = missing {
            known[0]["missing"] = json!(missing);
        }
        known
    }

    // I1
    #[test]
    fn a_replica_is_admitted_when_every_release_has_admitted_it_where_it_is() {
        let place = "s3://assets-eu/web/";
        let admitted = user("a", &known(place, true, None));
        assert!(of_users(&replica(), std::slice::from_ref(&admitted)).status().admitted);
        assert!(of_users(&replica(), &[]).status().admitted, "nobody refers to it");
        let moved = user("b", &known("s3://assets-us/web/", true, None));
        let behind = user("c", &known(place, false, Some(3)));
        let status = of_users(&replica(), &[behind, admitted, moved]).status();
        assert_eq!((status.admitted, status.missing), (false, Some(3)));
        assert_eq!(status.message.as_deref(), Some("not admitted yet by b, c"));
    }

    /// It may use a store, and has admitted nothing; a store that it does not name is not kept waiting.
    #[test]
    fn a_release_that_cannot_be_read_counts_for_the_store_that_it_names() {
        let seen = |spec: serde_json::Value| -> crate::cluster::seen::Seen<AssetRelease> {
            serde_json::from_value(json!({"metadata": {"name": "a", "namespace": "shop"}, "spec": spec})).unwrap()
        };
        let user = |spec: serde_json::Value| User::of(&seen(spec), "cdn").map(|user| user.name);
        assert_eq!(user(json!({"storeRef": {"name": "cdn"}, "novelty": 1})).as_deref(), Some("a"));
        assert_eq!(user(json!({"storeRef": {"name": "other"}, "novelty": 1})), None);
        assert_eq!(user(json!({"novelty": 1})).as_deref(), Some("a"), "nobody knows");
    }

    #[test]
    fn a_replica_that_cannot_be_used_is_named() {
        let seen = Replica { problem: Some("bucket \"assets-eu\" does not exist".into()), ..of_users(&replica(), &[]) };
        let replicas = Replicas(vec![seen]);
        assert_eq!(replicas.verdict().unwrap_err().message(), "replica \"eu\" cannot be used: bucket \"assets-eu\" does not exist");
        assert!(replicas.status()[0].message.is_some());
    }
}
