//! The agent's state and the rules that move it. Rules are written as questions over the whole state, so that no order of events
//! can leave one out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Effect, Event, PROBLEM_CHARS_MAX, Pace, Publication, Rendered, Rendering};
use crate::api::pointer::PROTOCOL;
use crate::api::report::pointer_named;
use crate::api::{ForeignText, ManifestDigest, PointedVersion, Pointer, Report};

use super::eviction::Holding;

/// The whole state of one agent instance.
#[derive(Debug, Clone)]
pub struct Core {
    pod_uid: String,
    instance: String,
    /// Name of the pointer that is followed, for the report.
    config_map: ForeignText,
    rendering: Rendering,
    pub(super) pace: Pace,
    /// The pointer that is followed; `None` until it was read after the announcement was acknowledged.
    pub(super) pointer: Option<Pointer>,
    pointer_problem: Option<String>,
    pub(super) held: BTreeMap<ManifestDigest, Holding>,
    loading: BTreeSet<ManifestDigest>,
    /// When loads begin that do not begin at once.
    begin_at: BTreeMap<ManifestDigest, Duration>,
    failures: BTreeMap<ManifestDigest, Failure>,
    pub(super) serving: Option<PointedVersion>,
    /// The newest flip for which it is served.
    serving_sequence: i64,
    pub(super) switching: Option<PointedVersion>,
    switch_failure: Option<Failure>,
    /// What the application says that it renders with; `None` when it cannot be asked.
    confirmed: Option<Rendered>,
    /// What it said last: an application that cannot be asked for a moment renders what it rendered before.
    pub(super) rendered: Option<ManifestDigest>,
    /// First Ready of this instance is done: from now on a candidate never takes readiness away.
    was_ready: bool,
    pub(super) reads_asked: u64,
    pub(super) reads_answered: u64,
    pub(super) revision: u64,
    pub(super) acknowledged: u64,
    published: Option<Publication>,
}

#[derive(Debug, Clone)]
struct Failure {
    attempts: u32,
    retry_at: Duration,
    problem: String,
}

impl Failure {
    fn after(earlier: Option<&Self>, problem: String, pace: &Pace, now: Duration) -> Self {
        let attempts = earlier.map_or(0, |failure| failure.attempts) + 1;
        Self { attempts, retry_at: now + pace.delay(attempts), problem }
    }
}

impl Core {
    /// An agent that has just begun (UID of its pod and its own boot id), with what an earlier life left complete on the volume.
    #[must_use]
    pub fn new(
        (pod_uid, instance): (String, String),
        config_map: &str,
        rendering: Rendering,
        pace: Pace,
        held: BTreeSet<ManifestDigest>,
    ) -> Self {
        Self {
            pod_uid,
            instance,
            config_map: pointer_named(config_map),
            rendering,
            pace,
            pointer: None,
            pointer_problem: None,
            held: held.into_iter().map(|digest| (digest, Holding::default())).collect(),
            loading: BTreeSet::new(),
            begin_at: BTreeMap::new(),
            failures: BTreeMap::new(),
            serving: None,
            serving_sequence: 0,
            switching: None,
            switch_failure: None,
            confirmed: None,
            rendered: None,
            was_ready: false,
            reads_asked: 0,
            reads_answered: 0,
            revision: 0,
            acknowledged: 0,
            published: None,
        }
    }

    /// Takes in what happened and says what is to be done.
    #[must_use]
    pub fn handle(&mut self, event: Event, now: Duration) -> Vec<Effect> {
        self.apply(event, now);
        self.note_what_is_served();
        let mut effects = Vec::new();
        self.read_after_announcement(&mut effects);
        self.load_wanted(now, &mut effects);
        self.abandon_unwanted(&mut effects);
        self.switch_to_active(now, &mut effects);
        self.evict(now, &mut effects);
        self.was_ready |= self.may_become_ready();
        self.publish(&mut effects);
        effects
    }

    /// When [`Event::Tick`] is due although nothing else happened.
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        let loads = self.failures.iter().filter(|(digest, _)| !self.loading.contains(digest)).map(|(_, failure)| failure.retry_at);
        let switch = self.switch_failure.iter().filter(|_| self.switch_target().is_some()).map(|failure| failure.retry_at);
        let begins = self.begin_at.iter().filter(|(digest, _)| !self.failures.contains_key(*digest)).map(|(_, at)| *at);
        loads.chain(begins).chain(switch).chain(self.eviction_due()).min()
    }

    /// The report as it stands.
    #[must_use]
    pub fn publication(&self) -> Option<&Publication> {
        self.published.as_ref()
    }

    fn apply(&mut self, event: Event, now: Duration) {
        match event {
            Event::Acknowledged { revision } => self.acknowledged = self.acknowledged.max(revision),
            Event::PointerRead { answers, pointer } => self.answered(answers, pointer),
            Event::PointerMissing { answers } => self.missing(answers),
            Event::PointerChanged { pointer } if self.pointer.is_some() => {
                self.follow(pointer);
            }
            Event::Tick | Event::PointerChanged { .. } => {}
            Event::PointerUnreadable { problem } => self.pointer_problem = Some(problem),
            Event::Loaded { version } => self.loaded(&version.digest),
            Event::LoadFailed { digest, problem } => self.load_failed(&digest, problem, now),
            Event::Switched { version } => {
                self.serving = Some(version);
                self.switching = None;
                self.switch_failure = None;
            }
            Event::SwitchFailed { problem } => {
                self.switching = None;
                self.switch_failure = Some(Failure::after(self.switch_failure.as_ref(), problem, &self.pace, now));
            }
            Event::Confirmed { rendered } => {
                self.rendered = rendered.as_ref().map(|rendered| rendered.digest.clone()).or(self.rendered.take());
                self.confirmed = rendered;
            }
            Event::Evicted { digest } => {
                self.held.remove(&digest);
            }
            Event::EvictFailed { digest } => {
                self.held.entry(digest).and_modify(|holding| *holding = Holding::default());
            }
            Event::Lost { digest } => self.lost(&digest),
        }
    }

    /// What is served already when a flip makes it active again is served for that flip, too.
    fn note_what_is_served(&mut self) {
        if let Some(pointer) = self.pointer.as_ref().filter(|pointer| pointer.active.is_some() && pointer.active == self.serving) {
            self.serving_sequence = pointer.sequence;
        }
    }

    fn answered(&mut self, answers: u64, pointer: Pointer) {
        if self.follow(pointer) {
            self.reads_answered = self.reads_answered.max(answers);
        }
    }

    /// Before anything was staged, no pointer and an empty one are the same: there is no release yet, and that is no problem.
    fn missing(&mut self, answers: u64) {
        if self.pointer.as_ref().is_none_or(|known| *known == Pointer::empty()) {
            return self.answered(answers, Pointer::empty());
        }
        self.pointer_problem = Some("the pointer ConfigMap is gone; going on with what it said last".into());
    }

    /// False when this pointer is older than one that was seen before: then somebody put back an old copy. Going on with the newer
    /// one keeps it in the report, from which the controller can restore it (I4).
    fn follow(&mut self, pointer: Pointer) -> bool {
        if let Some(known) = &self.pointer
            && (pointer.sequence < known.sequence || pointer.stage < known.stage)
        {
            self.pointer_problem = Some(format!(
                "the pointer went back from sequence {}, stage {} to sequence {}, stage {}; going on with the newer one",
                known.sequence, known.stage, pointer.sequence, pointer.stage
            ));
            return false;
        }
        if self.pointer.as_ref().is_none_or(|known| known.active != pointer.active) {
            self.switch_failure = None;
        }
        self.pointer = Some(pointer);
        self.pointer_problem = None;
        true
    }

    fn loaded(&mut self, digest: &ManifestDigest) {
        self.loading.remove(digest);
        self.failures.remove(digest);
        self.held.entry(digest.clone()).or_default();
    }

    fn load_failed(&mut self, digest: &ManifestDigest, problem: String, now: Duration) {
        if self.loading.remove(digest) {
            let failure = Failure::after(self.failures.get(digest), problem, &self.pace, now);
            self.failures.insert(digest.clone(), failure);
        }
    }

    fn lost(&mut self, digest: &ManifestDigest) {
        if self.held.get(digest).is_some_and(|holding| !holding.is_deleting()) {
            self.held.remove(digest);
            self.serving.take_if(|version| version.digest == *digest);
        }
    }

    /// I2: the read that readiness rests on begins only after the announcement is where the controller sees it.
    fn read_after_announcement(&mut self, effects: &mut Vec<Effect>) {
        if self.acknowledged > 0 && self.reads_asked == 0 {
            self.ask_for_read(effects);
        }
    }

    pub(super) fn ask_for_read(&mut self, effects: &mut Vec<Effect>) -> u64 {
        self.reads_asked += 1;
        effects.push(Effect::ReadPointer { number: self.reads_asked });
        self.reads_asked
    }

    fn wanted(&self) -> Vec<&PointedVersion> {
        self.pointer.as_ref().map(Pointer::wanted).unwrap_or_default()
    }

    pub(super) fn is_wanted(&self, digest: &ManifestDigest) -> bool {
        self.wanted().iter().any(|version| version.digest == *digest)
    }

    /// Completely here and not on its way out.
    fn is_available(&self, digest: &ManifestDigest) -> bool {
        self.held.get(digest).is_some_and(Holding::is_available)
    }

    fn load_wanted(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        let lacking = |version: &&PointedVersion| !self.held.contains_key(&version.digest) && !self.loading.contains(&version.digest);
        let lacking: Vec<PointedVersion> = self.wanted().into_iter().filter(lacking).cloned().collect();
        self.begin_at.retain(|digest, _| lacking.iter().any(|version| version.digest == *digest));
        for version in lacking {
            let repeat = self.failures.get(&version.digest).map(|failure| failure.retry_at);
            if repeat.unwrap_or_else(|| self.begins_at(&version, now)) <= now {
                self.begin_at.remove(&version.digest);
                self.loading.insert(version.digest.clone());
                effects.push(Effect::Load(version));
            }
        }
    }

    /// A Ready pod has time for a candidate, and all of them see it in the same moment. What a pod lacks to be Ready, or what pages refer to
    /// now, is loaded at once.
    fn begins_at(&mut self, version: &PointedVersion, now: Duration) -> Duration {
        let pointer = self.pointer.as_ref();
        let is_candidate = pointer.is_some_and(|pointer| pointer.candidate.as_ref() == Some(version));
        if !self.was_ready || !is_candidate {
            return now;
        }
        let after = self.pace.begin_after(pointer.map_or(0, |pointer| pointer.stage));
        *self.begin_at.entry(version.digest.clone()).or_insert(now + after)
    }

    fn abandon_unwanted(&mut self, effects: &mut Vec<Effect>) {
        let wanted: BTreeSet<ManifestDigest> = self.wanted().iter().map(|version| version.digest.clone()).collect();
        self.failures.retain(|digest, _| wanted.contains(digest));
        for digest in self.loading.difference(&wanted).cloned().collect::<Vec<_>>() {
            self.loading.remove(&digest);
            effects.push(Effect::Abandon(digest));
        }
    }

    /// I11: the active version, if it is completely here and not served yet.
    fn switch_target(&self) -> Option<&PointedVersion> {
        let active = self.pointer.as_ref()?.active.as_ref()?;
        let due = self.switching.is_none() && self.serving.as_ref() != Some(active) && self.is_available(&active.digest);
        due.then_some(active)
    }

    fn switch_to_active(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        let Some(active) = self.switch_target().cloned() else { return };
        if self.switch_failure.as_ref().is_none_or(|failure| failure.retry_at <= now) {
            self.switching = Some(active.clone());
            effects.push(Effect::BeginServing(active));
        }
    }

    /// I2: active, candidate and previous are here, as of a read made after the announcement. I11: pages are those of the active version,
    /// also when an application renders them that began with an older one.
    fn may_become_ready(&self) -> bool {
        let Some((pointer, active)) = self.pointer.as_ref().and_then(|pointer| Some((pointer, pointer.active.as_ref()?))) else {
            return false;
        };
        self.serving.as_ref() == Some(active)
            && self.reported_serving().as_ref() == Some(&active.digest)
            && pointer.wanted().iter().all(|version| self.is_available(&version.digest))
    }

    /// I12: after the first Ready only the loss of what is served takes readiness away, and (I11) pages that are neither the active nor
    /// the previous version's: pods that were born since cannot serve their assets.
    fn is_ready(&self) -> bool {
        self.was_ready && self.serving.as_ref().is_some_and(|version| self.is_available(&version.digest)) && !self.is_outdated()
    }

    /// Whether what is rendered is known, and neither active nor previous.
    fn is_outdated(&self) -> bool {
        let rendered = match self.rendering {
            Rendering::Agent => self.serving.as_ref().map(|version| &version.digest),
            Rendering::Application => self.rendered.as_ref(),
        };
        let served = self.pointer.iter().flat_map(|pointer| [&pointer.active, &pointer.previous]).flatten();
        rendered.is_some_and(|rendered| !served.map(|version| &version.digest).any(|digest| digest == rendered))
    }

    fn publish(&mut self, effects: &mut Vec<Effect>) {
        let publication = self.describe();
        if self.published.as_ref().is_some_and(|old| Publication { revision: old.revision, ..publication.clone() } == *old) {
            return;
        }
        self.revision += 1;
        let publication = Publication { revision: self.revision, ..publication };
        self.published = Some(publication.clone());
        effects.push(Effect::Publish(publication));
    }

    fn describe(&self) -> Publication {
        let wanted = self.wanted();
        let complete = wanted.iter().all(|version| self.is_available(&version.digest));
        let settled = wanted.iter().all(|version| self.is_available(&version.digest) || self.failures.contains_key(&version.digest));
        let report = self.report();
        let reason = match (&self.pointer, &report.problem) {
            (_, Some(_)) => "Problem",
            (None, None) => "Joining",
            (Some(_), None) if self.is_outdated() => "Outdated",
            (Some(_), None) if !complete => "Loading",
            (Some(pointer), None) if pointer.active.is_none() => "NoActiveVersion",
            (Some(_), None) => "Available",
        };
        Publication {
            revision: 0,
            ready: self.is_ready(),
            reason,
            settled: self.pointer.is_some() && settled,
            map_sequence: self.served_sequence().unwrap_or(0),
            report,
        }
    }

    fn report(&self) -> Report {
        Report {
            protocol: PROTOCOL,
            pointer: Some(self.config_map.clone()),
            pod_uid: self.pod_uid.clone(),
            instance: self.instance.clone(),
            joining: self.pointer.is_none(),
            stage: self.pointer.as_ref().map_or(0, |pointer| pointer.stage),
            sequence: self.pointer.as_ref().map_or(0, |pointer| pointer.sequence),
            available: self.held.iter().filter(|(_, holding)| holding.is_available()).map(|(digest, _)| digest.clone()).collect(),
            serving: self.reported_serving(),
            serving_sequence: self.reported_sequence(),
            problem: self.problem(),
        }
    }

    fn reported_serving(&self) -> Option<ManifestDigest> {
        match self.rendering {
            Rendering::Agent => self.serving.as_ref().map(|version| version.digest.clone()),
            Rendering::Application => self.confirmed.as_ref().map(|rendered| rendered.digest.clone()),
        }
    }

    /// The newest flip for which the agent serves.
    fn served_sequence(&self) -> Option<i64> {
        self.serving.as_ref().map(|_| self.serving_sequence)
    }

    /// No application has a name map of a later flip than the agent: a number above that is a mistake, and no flip converges by it.
    fn reported_sequence(&self) -> Option<i64> {
        match self.rendering {
            Rendering::Agent => self.served_sequence(),
            Rendering::Application => self.confirmed.as_ref()?.sequence.map(|said| said.min(self.served_sequence().unwrap_or(0))),
        }
    }

    fn problem(&self) -> Option<ForeignText> {
        let loads = self.wanted().into_iter().filter_map(|version| {
            let failure = self.failures.get(&version.digest)?;
            Some(format!("version {:?} ({}): {}", version.version, version.digest.short(), failure.problem))
        });
        let others = self.pointer_problem.iter().cloned().chain(self.switch_failure.iter().map(|failure| failure.problem.clone()));
        let all: Vec<String> = others.chain(loads).collect();
        (!all.is_empty()).then(|| ForeignText::up_to(&all.join("; "), PROBLEM_CHARS_MAX))
    }
}
