//! What happened, line by line: for people to read, and to prove that the same seed gives the same run.
//! Lines name who, what was seen or done, and why; never a UID, which nobody can read.

use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use serde_json::Value;

use super::apiserver::{ApiServer, Change};
use crate::api::names::{CONDITION_ASSETS, POINTER_KEY};
use crate::api::{ContentHash, Pointer, Report};
use crate::clock::Clock;

/// A trace that is being written.
#[derive(Clone)]
pub struct Trace {
    clock: Arc<dyn Clock>,
    start: Timestamp,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Trace {
    /// An empty trace; its times count from `start`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, start: Timestamp) -> Self {
        Self { clock, start, lines: Arc::default() }
    }

    /// Adds a line.
    pub fn note(&self, actor: &str, what: &str) {
        let seconds = self.clock.now().duration_since(self.start).as_secs_f64();
        let line = format!("{seconds:8.1}s {actor:<12} {what}");
        self.lines.lock().expect("no holder of this lock panics").push(line);
    }

    /// All lines.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("no holder of this lock panics").clone()
    }

    /// The last lines.
    #[must_use]
    pub fn last(&self, count: usize) -> Vec<String> {
        let lines = self.lines();
        lines[lines.len().saturating_sub(count)..].to_vec()
    }

    /// Notes every write of the API server that means something to people.
    pub(super) fn follow(&self, server: &ApiServer) {
        let trace = self.clone();
        server.observe(move |change| {
            for (actor, what) in tell(change) {
                trace.note(&actor, &what);
            }
        });
    }
}

/// One hash over every request of a run and its answer.
#[must_use]
pub fn hash(server: &ApiServer) -> String {
    let lines: Vec<String> = server.log().iter().map(ToString::to_string).collect();
    ContentHash::of(lines.join("\n").as_bytes()).to_string()
}

fn tell(change: &Change) -> Vec<(String, String)> {
    let (was, now) = (change.was.as_deref(), change.now());
    let controller = || "controller".to_owned();
    match change.key.plural {
        "configmaps" => pointer(was, now).map(|what| (role(&change.actor), what)).into_iter().collect(),
        "assetreleases" => [admitted(was, now), status(was, now)].into_iter().flatten().map(|what| (controller(), what)).collect(),
        "events" => event(now).map(|what| (controller(), what)).into_iter().collect(),
        "pods" => pod(&change.key.name, was, now),
        _ => Vec::new(),
    }
}

/// `controller`, whichever life of it; other people as they are called.
fn role(actor: &str) -> String {
    actor.split('#').next().unwrap_or_default().to_owned()
}

fn read(object: Option<&Value>) -> Option<Pointer> {
    Pointer::parse(object?["data"][POINTER_KEY].as_str().unwrap_or_default()).ok()
}

fn pointer(was: Option<&Value>, now: Option<&Value>) -> Option<String> {
    let (Some(now), was) = (read(now), read(was)) else { return Some("the pointer is gone".into()) };
    let label = |version: &Option<crate::api::PointedVersion>| version.as_ref().map_or("-".to_owned(), |version| version.version.clone());
    let text = |pointer: &Pointer| {
        let (active, candidate, previous) = (label(&pointer.active), label(&pointer.candidate), label(&pointer.previous));
        format!("active {active}, candidate {candidate}, previous {previous}, stage {}, sequence {}", pointer.stage, pointer.sequence)
    };
    (was.as_ref() != Some(&now)).then(|| format!("writes the pointer: {}", text(&now)))
}

fn status(was: Option<&Value>, now: Option<&Value>) -> Option<String> {
    let now = &now?["status"];
    let nothing = Value::Null;
    let was = was.map_or(&nothing, |was| &was["status"]);
    let text = |name: &str| now[name].as_str().unwrap_or("-").to_owned();
    let same = ["phase", "message", "pods"].iter().all(|name| was[*name] == now[*name]);
    (!same).then(|| format!("says {} (pods {}): {}", text("phase"), text("pods"), text("message")))
}

/// What became of the replica.
fn admitted(was: Option<&Value>, now: Option<&Value>) -> Option<String> {
    let said = |object: Option<&Value>| {
        let replica = object?["status"]["replicas"].get(0)?.clone();
        let name = replica["name"].as_str().unwrap_or_default().to_owned();
        let message = replica["message"].as_str().map(|message| format!(" ({message})")).unwrap_or_default();
        Some(format!("replica {name} is {}admitted{message}", if replica["admitted"] == true { "" } else { "not " }))
    };
    let (was, now) = (said(was), said(now));
    if was == now { None } else { Some(now.unwrap_or_else(|| "knows no replica".into())) }
}

fn event(now: Option<&Value>) -> Option<String> {
    let now = now?;
    Some(format!("decides {}: {}", now["reason"].as_str()?, now["note"].as_str()?))
}

fn pod(name: &str, was: Option<&Value>, now: Option<&Value>) -> Vec<(String, String)> {
    let Some(now) = now else { return vec![("node".into(), format!("pod {name} is gone"))] };
    let ready = |object: Option<&Value>| condition(object, "Ready").map(|condition| condition["status"].clone());
    let message = |object: Option<&Value>| condition(object, CONDITION_ASSETS).map(|condition| condition["message"].clone());
    let mut lines = Vec::new();
    if message(was) != message(Some(now))
        && let Some(report) = message(Some(now)).and_then(|text| Report::parse(text.as_str()?).ok())
    {
        lines.push((format!("agent {name}"), describe(&report)));
    }
    if ready(was) != ready(Some(now)) {
        let text = ready(Some(now)).and_then(|ready| ready.as_str().map(str::to_owned)).unwrap_or_default();
        lines.push(("node".into(), format!("pod {name}: Ready is {text}")));
    }
    lines
}

fn condition<'a>(object: Option<&'a Value>, kind: &str) -> Option<&'a Value> {
    object?["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

fn describe(report: &Report) -> String {
    if report.joining {
        return "joins".into();
    }
    let available: Vec<&str> = report.available.iter().map(crate::api::ManifestDigest::short).collect();
    let serving = report.serving.as_ref().map_or("nothing", crate::api::ManifestDigest::short);
    let problem = report.problem.as_ref().map(|problem| format!("; {problem}")).unwrap_or_default();
    format!("stage {}: has [{}], serves {serving}{problem}", report.stage, available.join(" "))
}
