//! A small language for scenarios: one command a line, `#` begins a comment.
//! Never more than a person would type; what it cannot say is written as a test.
//!
//! ```text
//! release v2               spec.version becomes v2 (and the release is made, the first time)
//! set suspend=true         a field of the spec, as JSON
//! publish v2               a pipeline publishes v2, past the controller
//! targets DaemonSet/edge Deployment/web:http
//! workload DaemonSet/edge  makes a workload; Deployment/web is there
//! pod a | http a | plain a starts a pod: reporting by its condition, over HTTP, or without an agent
//! pod a of edge            starts a pod of that workload
//! rollout Deployment/web   changes its template (`:http`, `:plain` as above)
//! end a | restart a | hold a | free a
//! answers a garbage        or other-protocol, slow-20s, honest: how a pod answers over HTTP
//! replica | no-replica     the store gets a replica, or loses it
//! replica-fails | replica-back
//! break v2 | mend          pods cannot fetch what is new in v2
//! silence n1 | return n1   a node stops answering, and is back with containers that start anew
//! scribble argocd note     another field manager writes another key of the pointer
//! revert argocd            another field manager sets the pointer back
//! unpoint | put-back velero  the pointer is deleted, and comes back from a backup
//! kill | start             the controller
//! advance 10s | settle
//! expect active v2 | expect phase Active | expect reason Suspended | expect sequence 2
//! expect ready a | expect not-ready a | expect gone a | expect admitted yes
//! ```

use std::time::Duration;

use serde_json::{Value, json};

use super::builders::{self, APP, Sidecar};
use super::world::{Hold, Manner, World};

/// Longest time that `settle` waits.
const SETTLE_AT_MOST: Duration = Duration::from_secs(3600);

/// Runs a script.
///
/// # Errors
/// The number of the line and what was wrong: not a command, or an expectation that does not hold.
pub async fn run(world: &mut World, script: &str) -> Result<(), String> {
    for (number, line) in script.lines().enumerate() {
        let command = line.split('#').next().unwrap_or_default().trim();
        if !command.is_empty() {
            world.trace.note("", &format!("--- {command}"));
            let words: Vec<&str> = command.split_whitespace().collect();
            step(world, &words).await.map_err(|why| format!("line {}: {command}: {why}", number + 1))?;
        }
    }
    Ok(())
}

async fn step(world: &mut World, words: &[&str]) -> Result<(), String> {
    match words {
        ["kill"] => world.kill_controller(),
        ["start"] => world.start_controller(),
        ["advance", length] => world.advance(seconds(length)?).await,
        ["publish", version] => world.publish(version).await?,
        ["settle"] => world.settle(SETTLE_AT_MOST).await?,
        ["expect", rest @ ..] => expect(world, rest)?,
        _ if by_user(world, words)? || by_cluster(world, words)? => {}
        _ => return Err("no such command".into()),
    }
    Ok(())
}

/// What people and their tools do.
fn by_user(world: &World, words: &[&str]) -> Result<bool, String> {
    match words {
        ["release", version] => world.release(version),
        ["set", assignment] => world.change_release(&field(assignment)?),
        ["targets", targets @ ..] => {
            let targets = targets.iter().map(|target| workload(target).map(|(kind, name, sidecar)| builders::target(kind, name, sidecar)));
            world.change_release(&json!({"targets": targets.collect::<Result<Vec<_>, _>>()?}));
        }
        ["workload", place] => {
            let (kind, name, _) = workload(place)?;
            world.add_workload(kind, name);
        }
        ["rollout", place] => {
            let (kind, name, sidecar) = workload(place)?;
            world.roll_out(kind, name, sidecar);
        }
        ["delete"] => world.delete_release(),
        ["replica"] => world.add_replica(None),
        ["no-replica"] => world.remove_replica(),
        ["replica-fails"] => world.break_replica(),
        ["replica-back"] => world.mend_replica(),
        ["scribble", manager, key] => world.meddle_with_pointer(manager, key, "scribbled"),
        ["revert", manager] => world.revert_pointer(manager),
        ["unpoint"] => world.delete_pointer(),
        ["put-back", manager] => world.put_back_pointer(manager),
        _ => return Ok(false),
    }
    Ok(true)
}

/// What happens to pods and nodes.
fn by_cluster(world: &World, words: &[&str]) -> Result<bool, String> {
    match words {
        [kind @ ("pod" | "http" | "plain"), name] => world.start_pod_of(APP, name, sidecar(kind)?),
        [kind @ ("pod" | "http" | "plain"), name, "of", workload] => world.start_pod_of(workload, name, sidecar(kind)?),
        ["end", name] => world.end_pod(name),
        ["restart", name] => world.restart_pod(name),
        ["hold", name] => world.hold_pages(name, Hold::Back),
        ["free", name] => world.hold_pages(name, Hold::Off),
        ["answers", name, manner] => world.answer_in(name, self::manner(manner)?),
        ["break", version] => world.break_loads(version),
        ["mend"] => world.mend_loads(),
        ["silence", node] => world.silence_node(node),
        ["return", node] => world.return_node(node),
        _ => return Ok(false),
    }
    Ok(true)
}

fn sidecar(word: &str) -> Result<Sidecar, String> {
    match word {
        "pod" => Ok(Sidecar::Agent),
        "http" => Ok(Sidecar::HttpAgent),
        "plain" => Ok(Sidecar::None),
        _ => Err(format!("{word:?} is no way to report: pod, http or plain")),
    }
}

/// `Kind/name` or `Kind/name:http`.
fn workload(place: &str) -> Result<(&str, &str, Sidecar), String> {
    let (place, word) = place.split_once(':').unwrap_or((place, "pod"));
    let (kind, name) = place.split_once('/').ok_or("a workload is Kind/name")?;
    if ["Deployment", "StatefulSet", "DaemonSet"].contains(&kind) { Ok((kind, name, sidecar(word)?)) } else { Err("no such kind".into()) }
}

fn manner(word: &str) -> Result<Manner, String> {
    match word {
        "honest" => Ok(Manner::Honest),
        "garbage" => Ok(Manner::Garbage),
        "other-protocol" => Ok(Manner::OtherProtocol),
        _ => word.strip_prefix("slow-").ok_or_else(|| "no such manner".into()).and_then(seconds).map(Manner::Slow),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('s').and_then(|number| number.parse().ok());
    number.map(Duration::from_secs).ok_or_else(|| format!("{text:?} is no length of time in seconds"))
}

/// `a.b=value` as `{"a": {"b": value}}`; a value that is no JSON is a string.
fn field(assignment: &str) -> Result<Value, String> {
    let (path, value) = assignment.split_once('=').ok_or("no =")?;
    let value: Value = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
    Ok(path.rsplit('.').fold(value, |value, name| json!({ name: value })))
}

fn expect(world: &World, what: &[&str]) -> Result<(), String> {
    let found = match what {
        ["active", _] => world.active().unwrap_or_else(|| "none".into()),
        ["phase", _] => world.status().phase.map_or("none".into(), |phase| format!("{phase:?}")),
        ["candidate", _] => world.pointer().candidate.map_or("none".into(), |candidate| candidate.version),
        ["reason", _] => world.reason().unwrap_or_else(|| "none".into()),
        ["admitted", _] => match world.status().replicas.first() {
            None => "none".into(),
            Some(replica) => if replica.admitted { "yes" } else { "no" }.into(),
        },
        ["sequence", _] => world.pointer().sequence.to_string(),
        ["ready" | "not-ready" | "gone", name] => {
            let here = world.pods().iter().any(|pod| pod == name);
            let word = if !here {
                "gone"
            } else if world.is_ready(name) {
                "ready"
            } else {
                "not-ready"
            };
            return if what[0] == word { Ok(()) } else { Err(format!("it is {word}")) };
        }
        _ => return Err("no such expectation".into()),
    };
    if found == what[1] { Ok(()) } else { Err(format!("it is {found}; {}", world.trace.last(4).join(" / "))) }
}
