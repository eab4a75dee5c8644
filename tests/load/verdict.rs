//! What a long run proved: every broken page load by its cause, beside the events of the schedule. Pure, but for reading the run's folder.
//! It must never excuse a wrong answer, nor a silence that no SIGKILL or SIGSTOP of the very pod explains.

mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::judge::Flaw;
use crate::tally::Failure;

/// After a killed or resumed process: its connections time out within 10 s, and a Service leads to it until kubelet and the proxy
/// have noticed.
const AFTERMATH: SignedDuration = SignedDuration::from_secs(15);

/// Events that are shown beside an example.
const AROUND: SignedDuration = SignedDuration::from_secs(20);

/// Examples that are shown.
const EXAMPLES_MAX: usize = 12;

/// What of a run is judged.
#[derive(clap::Args, Clone)]
pub struct Settings {
    /// The run's folder: facts.json, events.jsonl, pods, and for each group of visitors NAME.json and NAME.failures.
    folder: PathBuf,
    /// Visitors whose pages must be whole.
    #[arg(long = "visitors", default_values = ["new", "kept"])]
    visitors: Vec<String>,
    /// Visitors of control groups, some of whose pages must be broken.
    #[arg(long = "controls", default_values = ["naive", "listed"])]
    controls: Vec<String>,
}

/// What the one who carried the schedule out says of the run.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// Of the schedule.
    pub seed: u64,
    /// How long the visitors visited.
    pub seconds: u64,
    /// Page loads that were wanted.
    pub wanted: u64,
    /// Flips of the pointer.
    pub flips: u64,
    /// How the release ended: none when it reached the version that was wanted last, everywhere.
    pub unsettled: Option<String>,
}

/// One line of what was done to the cluster.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// Which event of the schedule.
    pub number: u64,
    /// The schedule's words.
    #[serde(rename = "event")]
    pub words: String,
    /// Whether it begins, has ended, or could not be carried out.
    pub phase: Phase,
    /// Addresses of the pods that it concerns.
    #[serde(default)]
    pub pods: Vec<String>,
    /// More about it.
    #[serde(default)]
    pub note: String,
}

/// See [`Event`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// It begins.
    Begin,
    /// It is over.
    End,
    /// It could not be carried out.
    Failed,
}

/// What a group of visitors counted, as [`crate::tally`] writes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    page_loads: u64,
    broken: u64,
    requests: u64,
    connect_retries: u64,
    kept_retries: u64,
}

/// A group with its failures.
type Visitors = BTreeMap<String, (Group, Vec<Failure>)>;

/// Everything about a run.
pub struct Run {
    facts: Facts,
    events: Vec<Event>,
    /// Names by address: an address may have had several.
    pods: BTreeMap<String, BTreeSet<String>>,
    visitors: Visitors,
    controls: BTreeMap<String, Group>,
}

/// A failed piece with what was going on.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Example {
    visitors: String,
    #[serde(flatten)]
    failure: Failure,
    pod_names: Vec<String>,
    cause: Cause,
    events: Vec<String>,
}

/// Why a page load was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
enum Cause {
    /// The visitor got something else than the page needs.
    Wrong,
    /// No whole answer, and nothing explains it.
    Silence,
    /// No whole answer from a pod whose process was killed or stopped.
    Killed,
}

/// The result, as JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    held: bool,
    reasons: Vec<String>,
    facts: Facts,
    page_loads: u64,
    page_loads_per_second: u64,
    requests: u64,
    broken: BTreeMap<Cause, u64>,
    visitors: BTreeMap<String, Row>,
    controls: BTreeMap<String, Row>,
    flaws: BTreeMap<String, u64>,
    events: BTreeMap<String, Carried>,
    examples: Vec<Example>,
}

/// A line of the table.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    page_loads: u64,
    requests: u64,
    broken: BTreeMap<Cause, u64>,
    connect_retries: u64,
    kept_retries: u64,
}

/// How often an event of the schedule was carried out.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Carried {
    done: u64,
    failed: u64,
}

/// Reads the folder, judges, leaves `load.json` there, and gives the table; an error when the run did not hold.
pub fn run(settings: &Settings) -> Result<String, String> {
    let verdict = judge(&read(settings)?);
    let path = settings.folder.join("load.json");
    let json = serde_json::to_string_pretty(&verdict).map_err(|error| error.to_string())?;
    std::fs::write(&path, json + "\n").map_err(|error| format!("{}: {error}", path.display()))?;
    if verdict.held { Ok(verdict.table()) } else { Err(format!("the run did not hold\n{}", verdict.table())) }
}

fn read(settings: &Settings) -> Result<Run, String> {
    let folder = &settings.folder;
    let group = |name: &String| parse::<Group>(&folder.join(format!("{name}.json")));
    let visitors = settings.visitors.iter().map(|name| {
        let failures = lines::<Failure>(&folder.join(format!("{name}.failures")))?;
        Ok((name.clone(), (group(name)?, failures)))
    });
    let mut pods: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text(&folder.join("pods"))?.lines() {
        if let Some((address, name)) = line.split_once(' ') {
            pods.entry(address.to_owned()).or_default().insert(name.to_owned());
        }
    }
    Ok(Run {
        facts: parse(&folder.join("facts.json"))?,
        events: lines(&folder.join("events.jsonl"))?,
        pods,
        visitors: visitors.collect::<Result<_, String>>()?,
        controls: settings.controls.iter().map(|name| Ok((name.clone(), group(name)?))).collect::<Result<_, String>>()?,
    })
}

fn text(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn parse<T: DeserializeOwned>(path: &Path) -> Result<T, String> {
    serde_json::from_str(&text(path)?).map_err(|error| format!("{}: {error}", path.display()))
}

fn lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, String> {
    let text = text(path)?;
    let parsed = text.lines().map(|line| serde_json::from_str(line).map_err(|error| format!("{}: {error}: {line}", path.display())));
    parsed.collect()
}

/// Judges a run.
pub fn judge(run: &Run) -> Verdict {
    let rows: BTreeMap<String, Row> =
        run.visitors.iter().map(|(name, (group, failures))| (name.clone(), row(group, causes(run, group, failures)))).collect();
    let mut broken = BTreeMap::new();
    for (cause, count) in rows.values().flat_map(|row| &row.broken) {
        *broken.entry(*cause).or_default() += count;
    }
    let sum = |of: fn(&Row) -> u64| rows.values().map(of).sum::<u64>();
    let mut verdict = Verdict {
        held: true,
        reasons: Vec::new(),
        facts: run.facts.clone(),
        page_loads: sum(|row| row.page_loads),
        page_loads_per_second: sum(|row| row.page_loads) / run.facts.seconds.max(1),
        requests: sum(|row| row.requests),
        broken,
        controls: run.controls.iter().map(|(name, group)| (name.clone(), row(group, [(Cause::Wrong, group.broken)].into()))).collect(),
        flaws: flaws(run),
        events: carried(&run.events),
        examples: examples(run),
        visitors: rows,
    };
    verdict.reasons = reasons(&verdict);
    verdict.held = verdict.reasons.is_empty();
    verdict
}

fn row(group: &Group, broken: BTreeMap<Cause, u64>) -> Row {
    let Group { page_loads, requests, connect_retries, kept_retries, .. } = *group;
    Row { page_loads, requests, broken, connect_retries, kept_retries }
}

/// Broken page loads by the worst of their failures. One that nobody wrote down counts as wrong.
fn causes(run: &Run, group: &Group, failures: &[Failure]) -> BTreeMap<Cause, u64> {
    let mut loads: BTreeMap<u64, Cause> = BTreeMap::new();
    for failure in failures {
        let cause = cause(run, failure);
        loads.entry(failure.load).and_modify(|worst| *worst = cause.min(*worst)).or_insert(cause);
    }
    let unwritten = group.broken.saturating_sub(loads.len() as u64);
    let mut causes = BTreeMap::new();
    for cause in loads.into_values() {
        *causes.entry(cause).or_default() += 1;
    }
    if unwritten > 0 {
        *causes.entry(Cause::Wrong).or_default() += unwritten;
    }
    causes
}

fn cause(run: &Run, failure: &Failure) -> Cause {
    if !failure.flaw.is_silence() {
        return Cause::Wrong;
    }
    if kills(run).any(|kill| kill.explains(failure)) { Cause::Killed } else { Cause::Silence }
}

/// A process of a pod that was killed or stopped, from the beginning to the end of what visitors may notice.
struct Kill<'a> {
    pods: &'a [String],
    from: Timestamp,
    to: Timestamp,
}

impl Kill<'_> {
    /// By the pod where it is known, by the time alone where it is not.
    fn explains(&self, failure: &Failure) -> bool {
        let here = failure.pod.as_ref().is_none_or(|pod| self.pods.contains(pod));
        here && self.from <= failure.at && failure.at <= self.to
    }
}

fn kills(run: &Run) -> impl Iterator<Item = Kill<'_>> {
    let begun = run.events.iter().filter(|event| event.phase == Phase::Begin && matches!(kind(event), "kill-agent" | "stop-agent"));
    begun.map(|event| {
        let end = run.events.iter().find(|other| other.number == event.number && other.phase != Phase::Begin);
        let to = end.map_or(event.at, |end| end.at).saturating_add(AFTERMATH).unwrap_or(Timestamp::MAX);
        Kill { pods: &event.pods, from: event.at, to }
    })
}

fn kind(event: &Event) -> &str {
    event.words.split(' ').next().unwrap_or_default()
}

fn carried(events: &[Event]) -> BTreeMap<String, Carried> {
    let mut kinds: BTreeMap<String, Carried> = BTreeMap::new();
    for event in events {
        let carried = kinds.entry(kind(event).to_owned()).or_default();
        match event.phase {
            Phase::Begin => {}
            Phase::End => carried.done += 1,
            Phase::Failed => carried.failed += 1,
        }
    }
    kinds
}

/// Failed pieces by what was wrong, statuses apart.
fn flaws(run: &Run) -> BTreeMap<String, u64> {
    let mut flaws = BTreeMap::new();
    for failure in run.visitors.values().flat_map(|(_, failures)| failures) {
        let name = match failure.flaw {
            Flaw::Status => format!("status {}", failure.seen),
            flaw => serde_json::to_value(flaw).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default(),
        };
        *flaws.entry(name).or_default() += 1;
    }
    flaws
}

/// The worst first, then by time.
fn examples(run: &Run) -> Vec<Example> {
    let mut all = Vec::new();
    for (name, (_, failures)) in &run.visitors {
        all.extend(failures.iter().map(|failure| (cause(run, failure), name.clone(), failure)));
    }
    all.sort_by_key(|(cause, _, failure)| (*cause, failure.at));
    all.into_iter().take(EXAMPLES_MAX).map(|(cause, visitors, failure)| example(run, cause, visitors, failure)).collect()
}

fn example(run: &Run, cause: Cause, visitors: String, failure: &Failure) -> Example {
    let names = failure.pod.as_ref().and_then(|pod| run.pods.get(pod));
    let near = run.events.iter().filter(|event| event.at.duration_since(failure.at).abs() <= AROUND);
    let events = near.map(|event| {
        let seconds = event.at.duration_since(failure.at).as_secs_f64();
        format!("{seconds:+.1} s {:?} {} {}", event.phase, event.words, event.note).trim_end().to_owned()
    });
    Example {
        visitors,
        failure: failure.clone(),
        pod_names: names.into_iter().flatten().cloned().collect(),
        cause,
        events: events.collect(),
    }
}

fn reasons(verdict: &Verdict) -> Vec<String> {
    let count = |cause: Cause| verdict.broken.get(&cause).copied().unwrap_or(0);
    let (wrong, silent, loads, facts) = (count(Cause::Wrong), count(Cause::Silence), verdict.page_loads, &verdict.facts);
    let visitors = [
        (wrong > 0).then(|| format!("{wrong} page loads got a wrong or missing piece")),
        (silent > 0).then(|| format!("{silent} page loads got no whole answer, and no SIGKILL or SIGSTOP of the pod explains it")),
        (loads < facts.wanted).then(|| format!("{loads} page loads of {} that were wanted", facts.wanted)),
        (facts.flips == 0).then(|| "the pointer never moved".to_owned()),
        facts.unsettled.as_ref().map(|why| format!("the release did not settle when everything was over: {why}")),
    ];
    let idle = verdict.controls.iter().filter(|(_, row)| row.broken.values().sum::<u64>() == 0);
    let idle = idle.map(|(name, _)| format!("the control group {name} had no broken page, so this run proves nothing"));
    let undone = verdict.events.iter().filter(|(_, carried)| carried.done == 0);
    let undone = undone.map(|(name, carried)| format!("{name} was never carried out ({} attempts failed)", carried.failed));
    visitors.into_iter().flatten().chain(idle).chain(undone).collect()
}

#[cfg(test)]
mod tests;
