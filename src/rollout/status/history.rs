//! What was active, what is, and what was given up: the status's memory of the pointer.
//! Never forgets the highest flip, from which alone a lost pointer is made again (I4).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::Pointer;
use crate::api::release::{ActivatedVersion, GivenUp, HistoryEntry, Outcome, api_time};
use crate::api::status::cut;
use crate::rollout::retention;

use super::{NAMES_MAX, View};

/// Lines that are kept, the newest first.
const HISTORY_MAX: usize = 20;

impl View<'_> {
    /// The pointer as far as it is remembered: neither what another hand wrote nor what went back makes the highest flip forgotten,
    /// from which alone a lost pointer is made again (I4).
    fn remembered(&self) -> Option<&Pointer> {
        let foreign = self.observed.found().is_some() && self.observed.own_pointer().is_none();
        let known = self.observed.release.status.active.as_ref().map_or(0, |active| active.sequence);
        self.pointer.as_ref().filter(|pointer| !foreign && pointer.sequence >= known)
    }

    pub(super) fn active(&self) -> Option<ActivatedVersion> {
        let pointer = self.remembered()?;
        let active = pointer.active.as_ref()?;
        Some(ActivatedVersion {
            version: active.version.clone(),
            digest: active.digest.clone(),
            sequence: pointer.sequence,
            activated_at: pointer.activated_at.map(api_time),
            fallback: active.fallback.clone(),
        })
    }

    pub(super) fn previous(&self) -> Option<ActivatedVersion> {
        let pointer = self.remembered()?;
        let previous = pointer.previous.as_ref()?;
        let status = &self.observed.release.status;
        // Not always by the flip before: flips of one build (another URL, another fallback) keep it.
        let known = [&status.active, &status.previous].into_iter().flatten();
        let known = known.filter(|it| it.digest == previous.digest && it.sequence < pointer.sequence).max_by_key(|it| it.sequence);
        Some(ActivatedVersion {
            version: previous.version.clone(),
            digest: previous.digest.clone(),
            sequence: known.map_or(pointer.sequence - 1, |it| it.sequence),
            activated_at: known.and_then(|it| it.activated_at.clone()),
            fallback: previous.fallback.clone(),
        })
    }

    /// Derived from the pointer's sequence, so that a flip whose status was never written is entered at the next look.
    pub(super) fn history(&self) -> Vec<HistoryEntry> {
        let mut history = self.observed.release.status.history.clone();
        if let Some(active) = self.active().filter(|active| history.iter().all(|entry| entry.sequence < active.sequence)) {
            let at = active.activated_at.clone().unwrap_or_else(|| api_time(self.observed.now));
            for entry in history.iter_mut().filter(|entry| entry.sequence > 0 && entry.retired_at.is_none()) {
                entry.retired_at = Some(at.clone());
            }
            history.insert(0, self.activation(active, at));
        }
        let restorable: Vec<Option<bool>> = history.iter().map(|entry| self.restorable(&history, entry)).collect();
        for (entry, restorable) in history.iter_mut().zip(restorable) {
            entry.restorable = restorable;
        }
        history.splice(0..0, self.given_up_now());
        while history.len() > HISTORY_MAX {
            // The active version's entry stays, however many attempts were given up since.
            let is_active = |entry: &HistoryEntry| entry.sequence > 0 && entry.retired_at.is_none();
            let oldest = history.iter().rposition(|entry| !is_active(entry)).unwrap_or_default();
            history.remove(oldest);
        }
        history
    }

    /// As the last plan has it; without a plan of this process, as it was said before.
    fn restorable(&self, history: &[HistoryEntry], entry: &HistoryEntry) -> Option<bool> {
        let digest = entry.digest.as_ref().filter(|_| entry.sequence > 0 && self.observed.release.spec.retention.is_some())?;
        retention::is_kept(self.observed, history, digest).or(entry.restorable)
    }

    fn activation(&self, active: ActivatedVersion, at: Time) -> HistoryEntry {
        let was_active = |entry: &HistoryEntry| entry.version == active.version && entry.sequence > 0;
        let outcome = if self.observed.release.status.history.iter().any(was_active) { Outcome::RolledBack } else { Outcome::Activated };
        HistoryEntry {
            version: active.version,
            digest: Some(active.digest),
            sequence: active.sequence,
            outcome,
            at,
            retired_at: None,
            restorable: None,
            overridden: self.overridden(),
            excused: self.excused(),
        }
    }

    /// As the pointer has it, whichever process made the flip.
    fn overridden(&self) -> Option<String> {
        let waived = self.remembered()?.waived.as_ref().filter(|waived| !waived.gates.is_empty())?;
        Some(cut(format!("{}: {}", waived.gates.join(", "), waived.reason.as_deref().unwrap_or_default()), 1024))
    }

    fn excused(&self) -> Vec<String> {
        let waived = self.remembered().and_then(|pointer| pointer.waived.as_ref());
        waived.iter().flat_map(|waived| waived.excused.iter().take(NAMES_MAX).cloned()).collect()
    }

    /// An attempt that was given up and is not in the history yet.
    fn given_up_now(&self) -> Option<HistoryEntry> {
        let given_up = self.given_up().filter(|given_up| self.observed.release.status.given_up.as_ref() != Some(given_up))?;
        let is_entered = |entry: &HistoryEntry| entry.outcome == Outcome::GivenUp && entry.at == given_up.at;
        if self.observed.release.status.history.iter().any(is_entered) {
            return None;
        }
        let candidate = self.observed.candidate().filter(|candidate| candidate.version == given_up.version);
        Some(HistoryEntry {
            version: given_up.version,
            digest: candidate.map(|candidate| candidate.digest.clone()),
            sequence: 0,
            outcome: Outcome::GivenUp,
            at: given_up.at,
            retired_at: None,
            restorable: None,
            overridden: None,
            excused: Vec::new(),
        })
    }

    pub(super) fn given_up(&self) -> Option<GivenUp> {
        let release = &self.observed.release;
        let staged = self.pointer.as_ref().filter(|pointer| pointer.candidate.is_some()).map(|pointer| pointer.stage);
        let pointed = self.remembered().and_then(|pointer| pointer.given_up.clone());
        let given_up = pointed.or_else(|| release.status.given_up.clone())?;
        let given_up = GivenUp { at: api_time(given_up.at.0), ..given_up };
        let is_wanted = given_up.version == release.spec.version && given_up.generation == release.generation;
        let is_staged = staged.is_some() && given_up.stage == staged;
        (is_staged || (staged.is_none() && is_wanted && given_up.request == release.requested_at)).then_some(given_up)
    }

    /// What was not waited for at the flip to the active version.
    pub(super) fn waived_at_the_flip(&self) -> (Option<String>, Vec<String>) {
        let sequence = self.pointer.as_ref().map_or(0, |pointer| pointer.sequence);
        let known = self.observed.release.status.history.iter().find(|entry| entry.sequence > 0 && entry.sequence == sequence);
        known.map_or_else(|| (self.overridden(), self.excused()), |entry| (entry.overridden.clone(), entry.excused.clone()))
    }
}
