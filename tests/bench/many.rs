//! Ten thousand pods in one release: the reaction to the last report, and what each report costs the controller.
//! Every flip is counted; none is left out for being slow.

use serde::Serialize;
use tokio::time::Duration;

use crate::figures::{self, Distribution, distribution, row};
use crate::programs::{self, Resident};
use crate::world::World;
use crate::{Channel, Failure, Given, flips};

#[derive(Serialize)]
struct Figures {
    pods: usize,
    load_average: String,
    reaction: Option<Distribution>,
    milliseconds: Vec<f64>,
    /// Each pod reports twice for each flip.
    reports: usize,
    cpu_seconds: f64,
    resident: Resident,
}

/// Flips back and forth between two recorded versions. The last report comes some time after the others in every second flip.
pub async fn measure(given: &Given, count: usize) -> Result<String, Failure> {
    let mut world = World::make(given, Channel::Condition).await?;
    let (cpu, mut times) = (programs::cpu(&world.controller)?, Vec::with_capacity(count));
    for number in 0..count {
        let version = if number % 2 == 0 { "v1" } else { "v2" };
        let pause = if number / 2 % 2 == 0 { Duration::ZERO } else { Duration::from_millis(700) };
        times.push(flips::milliseconds(&world.flip(version, pause).await?));
    }
    let figures = Figures {
        pods: given.pods,
        load_average: std::fs::read_to_string("/proc/loadavg")?.trim().to_owned(),
        reaction: distribution(times.clone()),
        milliseconds: times,
        reports: 2 * count * given.pods,
        cpu_seconds: programs::cpu(&world.controller)?.saturating_sub(cpu).as_secs_f64(),
        resident: programs::resident(&world.controller)?,
    };
    std::fs::write(&given.out, serde_json::to_vec_pretty(&figures)?)?;
    Ok(told(&figures))
}

fn told(figures: &Figures) -> String {
    let Figures { pods, load_average, reaction, reports, cpu_seconds, resident, milliseconds } = figures;
    let rows: String = reaction.iter().map(|reaction| row("last report to flip", reaction)).collect();
    let each = cpu_seconds * 1e6 / f64::from(u32::try_from(*reports).unwrap_or(u32::MAX));
    let Resident { total_kib, anonymous_kib, peak_kib } = resident;
    format!(
        "{pods} pods; load {load_average}\n\n{}{rows}\nCPU {cpu_seconds:.2} s for {reports} reports: {each:.0} us each; {total_kib} KiB resident, {anonymous_kib} of them anonymous, {peak_kib} at most\n{milliseconds:.0?}\n",
        figures::HEAD
    )
}
