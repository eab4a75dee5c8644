//! The latency of a flip: from "the last pod's report is acknowledged" to "a third client's watch has the flipped pointer".
//! Every flip is counted; none is left out for being slow.

use serde::Serialize;
use tokio::time::{Duration, Instant};

use crate::figures::{self, Distribution, distribution, row};
use crate::world::{Flip, World};
use crate::{Channel, Failure, Given};

#[derive(Serialize)]
struct Figures {
    what: String,
    pods: usize,
    all: Option<Distribution>,
    /// The last report came right behind the others, while the controller was busy with them.
    in_a_burst: Option<Distribution>,
    /// The last report came 100 to 400 ms after the others.
    straggler: Option<Distribution>,
    milliseconds: Vec<f64>,
}

/// Flips back and forth between two recorded versions.
pub async fn measure(given: &Given, channel: Channel, count: usize) -> Result<String, Failure> {
    let mut world = World::make(given, channel).await?;
    let mut times = Vec::with_capacity(count);
    for number in 0..count {
        let version = if number % 2 == 0 { "v1" } else { "v2" };
        let flip = world.flip(version, pause(number)).await?;
        times.push(milliseconds(&flip));
    }
    let every =
        |rest: usize| distribution(times.iter().enumerate().filter(|(number, _)| number / 2 % 2 == rest).map(|(_, time)| *time).collect());
    let figures = Figures {
        what: format!("last report acknowledged -> flipped pointer seen by a third client, {channel:?} channel"),
        pods: given.pods,
        all: distribution(times.clone()),
        in_a_burst: every(0),
        straggler: every(1),
        milliseconds: times.clone(),
    };
    std::fs::write(&given.out, serde_json::to_vec_pretty(&figures)?)?;
    Ok(table(&figures))
}

/// Two flips in a burst, then two with a straggler whose delay is in no step with anything that happens every so often.
fn pause(number: usize) -> Duration {
    if (number / 2).is_multiple_of(2) { Duration::ZERO } else { Duration::from_millis(100 + (number as u64 * 37) % 300) }
}

/// Below zero when the event came before the acknowledgement.
pub fn milliseconds(flip: &Flip) -> f64 {
    let between = |from: Instant, to: Instant| to.saturating_duration_since(from).as_secs_f64() * 1000.0;
    between(flip.reported, flip.seen) - between(flip.seen, flip.reported)
}

fn table(figures: &Figures) -> String {
    let rows = [("all", &figures.all), ("last report in a burst", &figures.in_a_burst), ("last report alone", &figures.straggler)];
    let rows: String = rows.iter().filter_map(|(name, figures)| Some(row(name, figures.as_ref()?))).collect();
    format!("{}, {} pods\n\n{}{rows}", figures.what, figures.pods, figures::HEAD)
}
