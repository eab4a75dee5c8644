//! A controller with nothing to do: what it holds in memory and what it asks. Never touches anything while it looks.

use std::collections::BTreeMap;
use std::path::Path;

use rollcall::clock::{Clock, SystemClock};
use serde::Serialize;
use tokio::time::{Duration, sleep};

use crate::programs::Resident;
use crate::world::World;
use crate::{Channel, Failure, Given, audit, programs};

/// What a release leaves behind (a status write that was put off by a second, connections) is over by then.
const SETTLED_AFTER: Duration = Duration::from_secs(15);

#[derive(Serialize)]
struct Figures {
    pods: usize,
    seconds: u64,
    resident_before: Resident,
    resident_after: Resident,
    requests: BTreeMap<String, usize>,
}

/// Converges one release, then looks on for some time.
pub async fn measure(given: &Given, log: &Path, user: &str, seconds: u64) -> Result<String, Failure> {
    let world = World::make(given, Channel::Condition).await?;
    world.settle().await?;
    sleep(SETTLED_AFTER).await;
    let since = SystemClock.now().to_string();
    let resident_before = programs::resident(&world.controller)?;
    sleep(Duration::from_secs(seconds)).await;
    let figures = Figures {
        pods: world.fleet.len(),
        seconds,
        resident_before,
        resident_after: programs::resident(&world.controller)?,
        requests: audit::requests(log, user, &since)?,
    };
    std::fs::write(&given.out, serde_json::to_vec_pretty(&figures)?)?;
    Ok(told(&figures))
}

fn told(figures: &Figures) -> String {
    let Figures { pods, seconds, resident_before: before, resident_after: after, .. } = figures;
    let mut text = format!(
        "idle for {seconds} s with {pods} pods: {} KiB resident, then {} KiB, {} of them the process's own\n\n",
        before.total_kib, after.total_kib, after.anonymous_kib
    );
    text += "| request | count |\n|---|---|\n";
    text.extend(figures.requests.iter().map(|(request, count)| format!("| {request} | {count} |\n")));
    text
}
