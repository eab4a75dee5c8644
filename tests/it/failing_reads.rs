//! What users see when the controller cannot read what it needs: rights that are missing, an API server that fails.
//! Told once, taken back when it is mended, and nothing that was known before is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rollcall::api::{AssetReleaseStatus, conditions};
use rollcall::testing::apiserver::{Before, Hook, Key, Kind, Line, Refusal, Seen, Verb};
use rollcall::testing::builders::NAMESPACE;
use rollcall::testing::world::{Violation, World};
use serde_json::json;

use crate::simulation::run;

const AN_HOUR: Duration = Duration::from_secs(3600);

/// Refuses requests of controllers, as long as it stands.
struct Wall {
    stands: AtomicBool,
    code: u16,
    refuses: fn(&Seen) -> bool,
}

impl Hook for Wall {
    fn before(&self, seen: &Seen) -> Before {
        if !self.stands.load(Ordering::SeqCst) || !seen.actor.starts_with("controller") || !(self.refuses)(seen) {
            return Before::Pass;
        }
        let resource = seen.key.plural;
        Before::Refuse(match self.code {
            403 => Refusal::new(403, "Forbidden", format!("{resource} is forbidden: User \"rollcall\" cannot do that")),
            code => Refusal::new(code, "InternalError", "etcdserver: no leader"),
        })
    }
}

impl Wall {
    fn fall(&self) {
        self.stands.store(false, Ordering::SeqCst);
    }
}

/// From now on these requests of controllers are answered with this code.
fn build_wall(world: &World, code: u16, refuses: fn(&Seen) -> bool) -> Arc<Wall> {
    let wall = Arc::new(Wall { stands: AtomicBool::new(true), code, refuses });
    world.server.hook(wall.clone());
    wall
}

fn reads_workloads(seen: &Seen) -> bool {
    seen.key.plural == "deployments" && seen.verb == Verb::Get
}

/// Two pods that serve v1.
async fn settled() -> World {
    let mut world = World::new(1);
    world.add_pod("a");
    world.add_pod("b");
    world.release("v1");
    world.settle(AN_HOUR).await.unwrap();
    world
}

async fn seconds(world: &mut World, count: u64) {
    world.advance(Duration::from_secs(count)).await;
}

/// `status reason` of a condition, and its message.
fn condition(status: &AssetReleaseStatus, kind: &str) -> Option<(String, String)> {
    let found = status.conditions.iter().find(|condition| condition.type_ == kind)?;
    Some((format!("{} {}", found.status, found.reason), found.message.clone()))
}

fn verdict(world: &World, kind: &str) -> Option<String> {
    condition(&world.status(), kind).map(|(verdict, _)| verdict)
}

/// Requests of the controller like this that were answered well.
fn requests(world: &World, verb: Verb, object: &str) -> usize {
    let is_one =
        |line: &&Line| line.actor.starts_with("controller") && line.verb == verb && line.object.starts_with(object) && line.code < 300;
    world.server.log().iter().filter(is_one).count()
}

fn status_writes(world: &World) -> usize {
    let is_one = |line: &&Line| line.object.ends_with("/status") && line.object.contains("assetreleases");
    world.server.log().iter().filter(is_one).filter(|line| line.code == 200).count()
}

async fn is_mended(world: &mut World, wall: &Wall, wanted: &str) {
    wall.fall();
    // The longest pause between two attempts.
    seconds(world, 300).await;
    world.settle(AN_HOUR).await.unwrap();
    assert_eq!(world.active().as_deref(), Some(wanted));
    assert_eq!(verdict(world, conditions::READY).as_deref(), Some("True Active"), "{}", world.trace.lines().join("\n"));
    assert_eq!((verdict(world, conditions::STALLED), verdict(world, conditions::RECONCILING)), (None, None));
    assert_eq!(world.violations(), Vec::<Violation>::new(), "{}", world.trace.lines().join("\n"));
}

/// I9: a store whose Secret cannot be read says so itself, and says something else when it can be.
#[test]
fn a_store_that_cannot_be_looked_at_says_so() {
    run(async || {
        let mut world = settled().await;
        let wall = build_wall(&world, 500, |seen| seen.key.plural == "secrets");
        let store = Key::new(Kind::named("AssetStore"), NAMESPACE, "store");
        let reason = |world: &World| {
            let conditions = world.server.get(&store).expect("there is a store")["status"]["conditions"].clone();
            let found = conditions.as_array().and_then(|all| all.iter().find(|it| it["type"] == "Ready").cloned()).unwrap_or_default();
            format!("{} {}", found["status"], found["reason"])
        };
        world.server.patch("user", &store, &json!({"spec": {"credentials": {"secretName": "keys"}}})).expect("there is a store");
        seconds(&mut world, 120).await;
        assert_eq!(reason(&world), "\"False\" \"ReadFailing\"");
        let is_write = |line: &&Line| line.object.contains("assetstores") && line.object.ends_with("/status");
        let writes = |world: &World| world.server.log().iter().filter(is_write).count();
        let told = writes(&world);
        seconds(&mut world, 600).await;
        assert_eq!(writes(&world), told, "told once");
        wall.fall();
        seconds(&mut world, 60).await;
        assert_eq!(reason(&world), "\"False\" \"CredentialsMissing\"", "it is not there");
    });
}

/// The keys of a folder of builds are read like those of a store: the Role that is missing is printed, and nothing is asked of the folder.
#[test]
fn a_folder_of_builds_whose_secret_cannot_be_read_says_which_role_is_missing() {
    for (code, reason, text) in [
        (403, "CredentialsForbidden", "create role rollcall-ci-keys --verb=get --resource=secrets --resource-name=ci-keys"),
        (500, "ReadFailing", "get Secret shop/ci-keys failed"),
    ] {
        run(async || {
            let mut world = settled().await;
            let wall = build_wall(&world, code, |seen| seen.key.plural == "secrets");
            let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "ci-keys", "namespace": NAMESPACE},
                "data": {"accessKeyId": "a2V5", "secretAccessKey": "c2VjcmV0"}});
            world.server.create("user", &secret).expect("a new name");
            let digest = world.put_into_folder("v2").await;
            world.release_from_folder("v2", &digest);
            world.change_release(&json!({"source": {"bucket": {"credentials": {"secretName": "ci-keys"}}}}));
            seconds(&mut world, 60).await;
            let (ready, message) = condition(&world.status(), conditions::READY).unwrap();
            assert_eq!(ready, format!("False {reason}"));
            assert!(message.contains(text), "{message}");
            assert!(code != 403 || message.contains("named by spec.source.bucket"), "{message}");
            is_mended(&mut world, &wall, "v2").await;
        });
    }
}

/// I7, I9: condition, message, event; once; and what was known of the rollout stays.
#[test]
fn a_right_that_is_missing_is_told_once_with_what_to_do_and_is_over_when_it_is_there() {
    run(async || {
        let mut world = settled().await;
        let before = world.status();
        let wall = build_wall(&world, 403, reads_workloads);
        world.release("v2");
        seconds(&mut world, 30).await;
        let status = world.status();
        let (ready, message) = condition(&status, conditions::READY).unwrap();
        assert_eq!(ready, "False ReadDenied");
        for part in ["get Deployment shop/web failed: deployments is forbidden", "`get`", "Deployment", "the chart's controller role"] {
            assert!(message.contains(part), "{part:?} in {message:?}");
        }
        assert_eq!(status.message.as_deref(), Some(message.as_str()), "kubectl get shows it");
        assert_eq!(condition(&status, conditions::STALLED).unwrap(), ("True ReadDenied".into(), message));
        assert_eq!(verdict(&world, conditions::RECONCILING), None);
        assert_eq!((&status.active, &status.history), (&before.active, &before.history));
        assert_eq!(condition(&status, conditions::ACTIVATED), condition(&before, conditions::ACTIVATED), "only what it concerns");
        let told = (status_writes(&world), requests(&world, Verb::Create, "events"));
        seconds(&mut world, 1800).await;
        assert_eq!((status_writes(&world), requests(&world, Verb::Create, "events")), told, "told once");
        is_mended(&mut world, &wall, "v2").await;
    });
}

#[test]
fn a_hiccup_of_the_api_server_is_not_told_and_an_outage_is() {
    run(async || {
        let mut world = settled().await;
        let wall = build_wall(&world, 500, reads_workloads);
        let before = status_writes(&world);
        world.release("v2");
        seconds(&mut world, 2).await;
        assert_eq!(status_writes(&world), before, "three attempts failed");
        seconds(&mut world, 60).await;
        assert_eq!(verdict(&world, conditions::READY).as_deref(), Some("Unknown ReadFailing"));
        assert_eq!(verdict(&world, conditions::RECONCILING).as_deref(), Some("True ReadFailing"));
        let told = (status_writes(&world), requests(&world, Verb::Create, "events"));
        seconds(&mut world, 600).await;
        assert_eq!((status_writes(&world), requests(&world, Verb::Create, "events")), told, "told once");
        is_mended(&mut world, &wall, "v2").await;
    });
}

#[test]
fn pods_that_may_not_be_listed_are_told_and_seen_again_when_they_may() {
    run(async || {
        let mut world = settled().await;
        let wall = build_wall(&world, 403, |seen| seen.key.plural == "pods" && seen.verb == Verb::List);
        world.release("v2");
        seconds(&mut world, 60).await;
        assert_eq!(verdict(&world, conditions::READY).as_deref(), Some("False ReadDenied"));
        let (_, message) = condition(&world.status(), conditions::READY).unwrap();
        assert!(message.contains("list Pod shop/ failed") && message.contains("`list`"), "{message}");
        is_mended(&mut world, &wall, "v2").await;
    });
}

/// I7: whatever blocks, it is written once. The server keeps conditions in an order of its own: that is no news.
#[test]
fn a_release_that_waits_writes_nothing_while_it_waits() {
    run(async || {
        let mut world = settled().await;
        world.change_release(&json!({"version": "v9", "source": null}));
        seconds(&mut world, 60).await;
        assert_eq!(verdict(&world, conditions::READY).as_deref(), Some("False SourceMissing"));
        let (told, looked) = (status_writes(&world), requests(&world, Verb::Get, "deployments"));
        seconds(&mut world, 600).await;
        assert!(requests(&world, Verb::Get, "deployments") > looked + 50, "it is looked at again and again");
        assert_eq!(status_writes(&world), told);
    });
}

/// The status is behind the same wall: then there is only the log, and no harm.
#[test]
fn a_failure_that_cannot_be_told_changes_nothing() {
    run(async || {
        let mut world = settled().await;
        let wall = build_wall(&world, 403, |seen| seen.verb != Verb::Watch);
        let before = world.status();
        world.release("v2");
        seconds(&mut world, 120).await;
        assert_eq!(world.status(), before);
        is_mended(&mut world, &wall, "v2").await;
    });
}
