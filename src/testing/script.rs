//! A small language for scenarios: one command a line, `#` begins a comment.
//! Never more than a person would type; what it cannot say is written as a test.
//!
//! ```text
//! release v2               spec.version becomes v2 (and the release is made, the first time)
//! set suspend=true         a field of the spec, as JSON
//! pod a | plain a          starts a pod, with or without an agent
//! end a | restart a | hold a | free a
//! break v2 | mend          pods cannot fetch what is new in v2
//! silence n1               a node stops answering
//! kill | start             the controller
//! advance 10s | settle
//! expect active v2 | expect phase Active | expect ready a | expect not-ready a
//! ```

use std::time::Duration;

use serde_json::{Value, json};

use super::builders::Sidecar;
use super::world::{Hold, World};

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
        ["release", version] => world.release(version),
        ["set", assignment] => world.change_release(&field(assignment)?),
        ["delete"] => world.delete_release(),
        ["pod", name] => world.add_pod(name),
        ["plain", name] => world.start_pod(name, Sidecar::None),
        ["end", name] => world.end_pod(name),
        ["restart", name] => world.restart_pod(name),
        ["hold", name] => world.hold_pages(name, Hold::Back),
        ["free", name] => world.hold_pages(name, Hold::Off),
        ["break", version] => world.break_loads(version),
        ["mend"] => world.mend_loads(),
        ["silence", node] => world.silence_node(node),
        ["kill"] => world.kill_controller(),
        ["start"] => world.start_controller(),
        ["advance", length] => world.advance(seconds(length)?).await,
        ["settle"] => world.settle(SETTLE_AT_MOST).await?,
        ["expect", rest @ ..] => expect(world, rest)?,
        _ => return Err("no such command".into()),
    }
    Ok(())
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
        ["ready" | "not-ready", name] => {
            let word = if world.is_ready(name) { "ready" } else { "not-ready" };
            return if what[0] == word { Ok(()) } else { Err(format!("it is {word}")) };
        }
        _ => return Err("no such expectation".into()),
    };
    if found == what[1] { Ok(()) } else { Err(format!("it is {found}; {}", world.trace.last(4).join(" / "))) }
}
