//! What the events of one rollout mean to somebody who looks on, and how long it took. Pure: the time of an event is given.
//! Everything is measured at the watcher: an event's time is when it arrived here.

use std::collections::{BTreeMap, BTreeSet};

use rollcall::api::release::Phase;
use rollcall::api::{AssetRelease, ManifestDigest, Pointer, Report};
use serde::Serialize;
use tokio::time::Instant;

/// One event.
pub enum Seen {
    /// The release.
    Release(Box<AssetRelease>),
    /// The pointer.
    Pointer(Box<Pointer>),
    /// A pod.
    Pod(Box<PodSeen>),
}

/// What matters of a pod.
#[derive(Clone)]
pub struct PodSeen {
    /// Its name.
    pub name: String,
    /// Being deleted: it is no longer counted here.
    pub terminating: bool,
    /// Its report, if it has one that can be read.
    pub report: Option<Report>,
}

/// A pod as it was last seen, and when each of its claims (this version, for this stage) was first seen.
#[derive(Default)]
struct Kept {
    report: Option<Report>,
    claims: BTreeMap<(i64, ManifestDigest), Instant>,
}

/// One staging: what the pods are asked for, who has answered, and who serves it since it was activated.
struct RollCall {
    version: String,
    stage: i64,
    digest: ManifestDigest,
    staged: Instant,
    flipped: Option<Instant>,
    reported: BTreeSet<String>,
    last_report: Option<Instant>,
    serving: BTreeSet<String>,
}

/// One flip as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Flip {
    /// The version that became active.
    pub version: String,
    /// Its stage number.
    pub stage: i64,
    /// Number of the flip.
    pub sequence: i64,
    /// Pods that had reported it.
    pub pods: usize,
    /// From the stage's pointer to the flip's.
    pub stage_to_flip_ms: Option<u128>,
    /// From the last pod's report to the flip's pointer; none when the flip overtook a report on its way here.
    pub last_report_to_flip_ms: Option<u128>,
    /// From the flip's pointer to the first pod that reported to serve it.
    pub first_serving_after_ms: Option<u128>,
    /// From the flip's pointer to the last one.
    pub all_serving_after_ms: Option<u128>,
}

/// The story so far.
pub struct Story {
    started: Instant,
    release: Option<AssetRelease>,
    pointer: Pointer,
    pods: BTreeMap<String, Kept>,
    asked: Option<RollCall>,
    flips: Vec<Flip>,
}

impl Story {
    /// Nothing seen yet.
    pub fn new(now: Instant) -> Self {
        Self { started: now, release: None, pointer: Pointer::empty(), pods: BTreeMap::new(), asked: None, flips: Vec::new() }
    }

    /// Counts time from now; what was seen before is how the world was found.
    pub fn start(&mut self, now: Instant) {
        self.started = now;
        self.asked = None;
        self.flips.clear();
    }

    /// Takes in one event and gives the lines that it is worth.
    pub fn add(&mut self, now: Instant, seen: Seen) -> Vec<String> {
        let lines = match seen {
            Seen::Release(release) => self.release(*release),
            Seen::Pointer(pointer) => self.pointer(now, *pointer),
            Seen::Pod(pod) => self.pod(now, *pod),
        };
        let seconds = (now - self.started).as_secs_f64();
        lines.into_iter().map(|line| format!("  {seconds:5.1} s  {line}")).collect()
    }

    /// The pod is gone.
    pub fn forget(&mut self, name: &str) {
        self.pods.remove(name);
    }

    /// Where the release says it is.
    pub fn phase(&self) -> Option<Phase> {
        let release = self.release.as_ref()?;
        release.status.as_ref().filter(|status| Some(status.observed_generation) == release.metadata.generation)?.phase
    }

    /// Whether the release says, for its newest generation, that this version is active and Ready.
    pub fn is_ready_with(&self, version: &str) -> bool {
        let Some(release) = &self.release else { return false };
        let Some(status) = &release.status else { return false };
        let ready = status.conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
        let current = Some(status.observed_generation) == release.metadata.generation;
        let everywhere = self.pods.values().all(|pod| pod.report.as_ref().is_none_or(|report| report.serving == self.active_digest()));
        ready && current && everywhere && status.active.as_ref().is_some_and(|active| active.version == version)
    }

    /// What the release waits for.
    pub fn last_message(&self) -> String {
        let message = self.release.as_ref().and_then(|release| release.status.as_ref()?.message.clone());
        message.unwrap_or_else(|| "the release has no status".into())
    }

    /// One line of JSON.
    pub fn summary(&self) -> String {
        serde_json::json!({"flips": self.flips}).to_string()
    }

    fn active_digest(&self) -> Option<ManifestDigest> {
        self.pointer.active.as_ref().map(|active| active.digest.clone())
    }

    fn release(&mut self, release: AssetRelease) -> Vec<String> {
        let before = self.release.as_ref().and_then(line_of);
        let now = line_of(&release);
        self.release = Some(release);
        now.filter(|line| before.as_ref() != Some(line)).into_iter().collect()
    }

    fn pointer(&mut self, now: Instant, pointer: Pointer) -> Vec<String> {
        let before = std::mem::replace(&mut self.pointer, pointer);
        let mut lines = Vec::new();
        if self.pointer.sequence != before.sequence {
            lines.extend(self.flip(now));
        } else if let (Some(taken), None) = (before.candidate, &self.pointer.candidate) {
            lines.push(format!("unstaged    {}", taken.version));
        }
        if self.pointer.stage != before.stage {
            lines.extend(self.stage(now));
        }
        lines.extend(self.count(now));
        lines
    }

    fn stage(&mut self, now: Instant) -> Option<String> {
        let (candidate, stage) = (self.pointer.candidate.as_ref()?, self.pointer.stage);
        self.asked = Some(RollCall {
            version: candidate.version.clone(),
            stage,
            digest: candidate.digest.clone(),
            staged: now,
            flipped: None,
            reported: BTreeSet::new(),
            last_report: None,
            serving: BTreeSet::new(),
        });
        Some(format!("staged      {} (stage {stage})", candidate.version))
    }

    fn flip(&mut self, now: Instant) -> Option<String> {
        let active = self.pointer.active.as_ref()?;
        let asked = self.asked.as_mut().filter(|asked| asked.digest == active.digest);
        let since = |then: Instant| now.saturating_duration_since(then).as_millis();
        let last = asked.as_ref().and_then(|asked| asked.last_report).map(since);
        let told = last.map_or_else(String::new, |ms| format!(", {ms} ms after the last report"));
        let line = format!("flipped     to {} (sequence {}){told}", active.version, self.pointer.sequence);
        self.flips.push(Flip {
            version: active.version.clone(),
            stage: self.pointer.stage,
            sequence: self.pointer.sequence,
            pods: asked.as_ref().map_or(0, |asked| asked.reported.len()),
            stage_to_flip_ms: asked.as_ref().map(|asked| since(asked.staged)),
            last_report_to_flip_ms: last,
            first_serving_after_ms: None,
            all_serving_after_ms: None,
        });
        if let Some(asked) = asked {
            asked.flipped = Some(now);
        }
        Some(line)
    }

    fn pod(&mut self, now: Instant, seen: PodSeen) -> Vec<String> {
        if seen.terminating {
            self.pods.remove(&seen.name);
            return Vec::new();
        }
        let pod = self.pods.entry(seen.name).or_default();
        if let Some(report) = seen.report.as_ref().filter(|report| !report.joining) {
            for digest in &report.available {
                pod.claims.entry((report.stage, digest.clone())).or_insert(now);
            }
        }
        pod.report = seen.report;
        self.count(now)
    }

    /// Who is new among those that have, and among those that serve, what was staged last. A report may arrive after the flip that
    /// it led to, because the two come by different streams: then nothing was measured.
    fn count(&mut self, now: Instant) -> Vec<String> {
        let Some(asked) = &mut self.asked else { return Vec::new() };
        let (mut lines, all) = (Vec::new(), self.pods.values().filter(|pod| pod.report.is_some()).count());
        let claim = (asked.stage, asked.digest.clone());
        for (name, pod) in &self.pods {
            let Some(at) = pod.claims.get(&claim).copied() else { continue };
            if asked.reported.insert(name.clone()) {
                asked.last_report = asked.last_report.max(Some(at));
                lines.push(format!("reported    {name} has {}: {}/{all}", asked.version, asked.reported.len()));
                if let Some(flip) = self.flips.last_mut().filter(|_| asked.flipped.is_some()) {
                    (flip.pods, flip.last_report_to_flip_ms) = (asked.reported.len(), None);
                }
            }
        }
        let Some(flipped) = asked.flipped else { return lines };
        for (name, pod) in &self.pods {
            let serving = pod.report.as_ref().and_then(|report| report.serving.as_ref());
            if serving == Some(&asked.digest) && asked.serving.insert(name.clone()) {
                lines.push(format!("serving     {name} serves {}: {}/{all}", asked.version, asked.serving.len()));
                if let Some(flip) = self.flips.last_mut() {
                    let took = now.saturating_duration_since(flipped).as_millis();
                    flip.first_serving_after_ms.get_or_insert(took);
                    flip.all_serving_after_ms = Some(took);
                }
            }
        }
        lines
    }
}

/// The line that a release's status is worth; stages, reports and flips are told from the pointer and the pods.
fn line_of(release: &AssetRelease) -> Option<String> {
    let status = release.status.as_ref()?;
    let message = status.message.clone().unwrap_or_default();
    if let Some(Phase::AwaitingApproval | Phase::Suspended | Phase::Stalled) = status.phase {
        return Some(format!("waiting     {message}"));
    }
    let sent = status.candidate.as_ref()?.upload.as_ref().filter(|sent| sent.objects_total > 0)?;
    Some(format!("uploading   {} of {} objects sent, {} there already", sent.objects_sent, sent.objects_total, sent.objects_reused))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use rollcall::api::PointedVersion;

    use super::*;

    fn version(name: &str) -> PointedVersion {
        let digest = ManifestDigest::of(name.as_bytes());
        PointedVersion {
            version: name.into(),
            digest,
            manifest_url: format!("http://store/{name}"),
            base_url: "http://cdn/".into(),
            fallback: None,
        }
    }

    fn pod(name: &str, stage: i64, has: &[&str], serving: &str) -> Seen {
        let available = has.iter().map(|name| ManifestDigest::of(name.as_bytes())).collect();
        let serving = (!serving.is_empty()).then(|| ManifestDigest::of(serving.as_bytes()));
        let report = Report {
            protocol: 1,
            pointer: None,
            pod_uid: name.into(),
            instance: "i".into(),
            joining: false,
            stage,
            sequence: 0,
            available,
            serving,
            serving_sequence: None,
            problem: None,
        };
        Seen::Pod(Box::new(PodSeen { name: name.into(), terminating: false, report: Some(report) }))
    }

    fn texts(lines: &[String]) -> Vec<&str> {
        lines.iter().map(|line| line.split(" s  ").last().unwrap()).collect()
    }

    #[test]
    fn the_last_report_is_the_latest_claim_for_this_stage() {
        let zero = Instant::now();
        let at = |ms: u64| zero + Duration::from_millis(ms);
        let mut story = Story::new(zero);
        let old = Pointer::empty().staged(version("v2"), Timestamp::UNIX_EPOCH);
        story.add(at(0), Seen::Pointer(Box::new(old.clone())));
        story.add(at(1), pod("a", 1, &["v2"], ""));
        story.start(at(2));
        let staged = old.unstaged().staged(version("v2"), Timestamp::UNIX_EPOCH);
        story.add(at(10), Seen::Pointer(Box::new(staged.clone())));
        assert_eq!(texts(&story.add(at(20), pod("a", staged.stage, &["v2"], ""))), ["reported    a has v2: 1/1"]);
        assert_eq!(texts(&story.add(at(30), pod("b", staged.stage, &["v2"], ""))), ["reported    b has v2: 2/2"]);
        assert!(story.add(at(35), pod("b", staged.stage, &["v2"], "")).is_empty(), "told once");
        let flipped = staged.flipped(Timestamp::UNIX_EPOCH);
        let told = story.add(at(42), Seen::Pointer(Box::new(flipped)));
        assert_eq!(texts(&told), ["flipped     to v2 (sequence 1), 12 ms after the last report"]);
        story.add(at(50), pod("a", staged.stage, &["v2"], "v2"));
        story.add(at(60), pod("b", staged.stage, &["v2"], "v2"));
        let flip = &story.flips[0];
        assert_eq!((flip.pods, flip.stage_to_flip_ms, flip.last_report_to_flip_ms), (2, Some(32), Some(12)));
        assert_eq!((flip.first_serving_after_ms, flip.all_serving_after_ms), (Some(8), Some(18)));
    }

    #[test]
    fn a_candidate_that_goes_without_a_flip_was_unstaged() {
        let now = Instant::now();
        let mut story = Story::new(now);
        let staged = Pointer::empty().staged(version("v2"), Timestamp::UNIX_EPOCH);
        assert_eq!(texts(&story.add(now, Seen::Pointer(Box::new(staged.clone())))), ["staged      v2 (stage 1)"]);
        assert_eq!(texts(&story.add(now, Seen::Pointer(Box::new(staged.unstaged())))), ["unstaged    v2"]);
    }
}
