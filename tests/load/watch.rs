//! Watches one release, its pointer and its pods as a third party, tells what happens and measures it.
//! It must never write to the cluster itself; the command that it is given may.

mod story;

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use futures::{Stream, StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Config, Event};
use kube::{Api, Client, ResourceExt};
use rollcall::api::names::{CONDITION_ASSETS, POINTER_KEY};
use rollcall::api::{AssetRelease, Pointer, Report};
use tokio::time::Instant;

use story::{PodSeen, Seen, Story};

/// Which rollout, until when.
#[derive(clap::Args, Clone)]
pub struct Settings {
    /// Namespace of the release.
    #[arg(long)]
    namespace: String,
    /// The release; its pointer is looked up there.
    #[arg(long)]
    release: String,
    /// Label selector of the pods.
    #[arg(long)]
    pods: String,
    /// Ends when this version is active and the release Ready.
    #[arg(long)]
    until: String,
    /// Ends when the release is in this phase, too, for example Stalled.
    #[arg(long)]
    or_phase: Option<String>,
    /// Seconds after which it ends anyway, with an error.
    #[arg(long = "for", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// What to run once everything is watched, for example kubectl with the change of the spec.
    #[arg(last = true)]
    command: Vec<String>,
}

/// Watches and gives one line of JSON.
pub async fn run(settings: &Settings) -> Result<String, String> {
    let client = Client::try_default().await.map_err(|error| format!("no cluster: {error}"))?;
    let pointer = pointer_name(&client, settings).await?;
    let mut story = Story::new(Instant::now());
    let told = tokio::time::timeout(Duration::from_secs(settings.seconds), follow(&client, settings, &pointer, &mut story)).await;
    told.map_err(|_| format!("not done after {} s: {}", settings.seconds, story.last_message()))??;
    Ok(story.summary())
}

async fn pointer_name(client: &Client, settings: &Settings) -> Result<String, String> {
    let api: Api<AssetRelease> = Api::namespaced(client.clone(), &settings.namespace);
    let release = api.get(&settings.release).await.map_err(|error| format!("no release {}: {error}", settings.release))?;
    Ok(release.spec.pointer.config_map_name)
}

async fn follow(client: &Client, settings: &Settings, pointer: &str, story: &mut Story) -> Result<(), String> {
    let mut seen = everything(client, settings, pointer);
    let mut unread = 3;
    while let Some(event) = seen.next().await {
        let now = Instant::now();
        match event.map_err(|error| format!("watch: {error}"))? {
            Event::InitDone => {
                unread -= 1;
                if unread == 0 {
                    story.start(now);
                    begin(settings.command.clone()).await?;
                }
            }
            // How the world was found is no part of the story.
            Event::InitApply(seen) | Event::Apply(seen) if unread > 0 => drop(story.add(now, seen)),
            Event::InitApply(seen) | Event::Apply(seen) => tell(&story.add(now, seen)),
            Event::Delete(Seen::Pod(pod)) => story.forget(&pod.name),
            Event::Init | Event::Delete(_) => {}
        }
        if unread <= 0 && is_over(settings, story) {
            return Ok(());
        }
    }
    Err("the watches ended".into())
}

fn is_over(settings: &Settings, story: &Story) -> bool {
    let phase = story.phase().map(|phase| format!("{phase:?}"));
    story.is_ready_with(&settings.until) || (phase.is_some() && phase == settings.or_phase)
}

type Seeing = stream::BoxStream<'static, Result<Event<Seen>, watcher::Error>>;

/// One stream for each kind, because one after the other would add their delays to what is measured.
fn everything(client: &Client, settings: &Settings, pointer: &str) -> Seeing {
    let named = |name: &str| Config::default().fields(&format!("metadata.name={name}"));
    let releases: Api<AssetRelease> = Api::namespaced(client.clone(), &settings.namespace);
    let pointers: Api<ConfigMap> = Api::namespaced(client.clone(), &settings.namespace);
    let pods: Api<Pod> = Api::namespaced(client.clone(), &settings.namespace);
    stream::select_all([
        seeing(watcher::watcher(releases, named(&settings.release)), |release| Seen::Release(Box::new(release))),
        seeing(watcher::watcher(pointers, named(pointer)), |map: ConfigMap| Seen::Pointer(Box::new(pointer_of(&map)))),
        seeing(watcher::watcher(pods, Config::default().labels(&settings.pods)), |pod: Pod| Seen::Pod(Box::new(pod_of(&pod)))),
    ])
    .boxed()
}

fn seeing<K, S, F>(events: S, mut see: F) -> Seeing
where
    K: 'static,
    S: Stream<Item = Result<Event<K>, watcher::Error>> + Send + 'static,
    F: FnMut(K) -> Seen + Send + 'static,
{
    let seen = events.default_backoff().map_ok(move |event| match event {
        Event::Apply(object) => Event::Apply(see(object)),
        Event::Delete(object) => Event::Delete(see(object)),
        Event::InitApply(object) => Event::InitApply(see(object)),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    });
    seen.boxed()
}

fn pointer_of(map: &ConfigMap) -> Pointer {
    let text = map.data.as_ref().and_then(|data| data.get(POINTER_KEY));
    text.and_then(|text| Pointer::parse(text).ok()).unwrap_or_else(Pointer::empty)
}

fn pod_of(pod: &Pod) -> PodSeen {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let message = conditions.filter(|condition| condition.type_ == CONDITION_ASSETS).find_map(|condition| condition.message.clone());
    let report = message.and_then(|message| Report::parse(&message).ok());
    PodSeen { name: pod.name_any(), terminating: pod.metadata.deletion_timestamp.is_some(), report }
}

/// Runs beside the watches; its output is kept apart from the summary.
async fn begin(command: Vec<String>) -> Result<(), String> {
    let Some((program, arguments)) = command.split_first() else { return Ok(()) };
    let mut child = Command::new(program);
    child.args(arguments).stdout(Stdio::null());
    let ended = tokio::task::spawn_blocking(move || child.status()).await.map_err(|error| error.to_string())?;
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{}: {status}", command.join(" "))),
        Err(error) => Err(format!("{}: {error}", command.join(" "))),
    }
}

fn tell(lines: &[String]) {
    for line in lines {
        // The measurement goes on when nobody reads the story.
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}
