//! Work beside the loop: one cancellable task at a time for each release, whose progress and end `observe` reads.
//! Never needed to be right after a restart: every job can be begun again and finds what it has done.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::release::UploadStatus;
use crate::clock::Clock;
use crate::cluster::Class;
use crate::cluster::pods::ReleaseKey;
use crate::rollout::observed::{Job, JobEnd, JobFacts, JobFailure};

use super::guarded::panic_text;
use super::retry;

/// How a job's work ended: well, or with a failure whose class says whether time can mend it.
pub(super) type Worked = Result<JobEnd, WorkFailure>;

/// A job's failure before it is known when to try again.
#[derive(Debug)]
pub(super) struct WorkFailure {
    /// Stable CamelCase word.
    pub(super) reason: &'static str,
    /// What, where, which input.
    pub(super) message: String,
    /// Whether time can mend it.
    pub(super) mending: Mending,
}

/// What can mend a failure.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mending {
    /// Time: try again, later and later.
    Retry,
    /// Time: try again at this moment.
    At(jiff::Timestamp),
    /// Somebody has to change something that is not looked at here (credentials): try again, seldom.
    Seldom,
    /// Somebody has to change the release.
    Never,
}

/// All jobs.
pub(super) struct Jobs {
    changed: mpsc::UnboundedSender<ReleaseKey>,
    clock: Arc<dyn Clock>,
    of: Arc<Mutex<BTreeMap<ReleaseKey, Slot>>>,
    at_work: TaskTracker,
}

#[derive(Default)]
struct Slot {
    /// UID of the release.
    uid: String,
    running: Option<Running>,
    ended: Vec<(Job, JobEnd)>,
    /// Failures in a row of the last job; another job begins anew.
    failures: u32,
    last: Option<Job>,
    started: u64,
}

struct Running {
    number: u64,
    job: Job,
    progress: watch::Receiver<UploadStatus>,
    cancel: CancellationToken,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Jobs {
    pub(super) fn new(changed: mpsc::UnboundedSender<ReleaseKey>, clock: Arc<dyn Clock>) -> Self {
        Self { changed, clock, of: Arc::default(), at_work: TaskTracker::new() }
    }

    /// What is known of the jobs of this very release. Those of an earlier one of its name end here: nothing that they did or found out is
    /// this one's.
    pub(super) fn facts(&self, key: &ReleaseKey, uid: &str) -> JobFacts {
        let mut jobs = lock(&self.of);
        let slot = jobs.entry(key.clone()).or_default();
        if slot.uid != uid {
            *slot = Slot { uid: uid.to_owned(), started: slot.started, ..Slot::default() };
        }
        let running = slot.running.as_ref().map(|running| (running.job.clone(), running.progress.borrow().clone()));
        JobFacts { running, ended: slot.ended.clone() }
    }

    /// Begins a job, unless one is running: then the next look decides again.
    pub(super) fn start<F>(&self, key: &ReleaseKey, job: Job, work: impl FnOnce(watch::Sender<UploadStatus>, CancellationToken) -> F)
    where
        F: Future<Output = Worked> + Send + 'static,
    {
        let mut jobs = lock(&self.of);
        let slot = jobs.entry(key.clone()).or_default();
        if slot.running.is_some() {
            return;
        }
        let (progress_in, progress) = watch::channel(UploadStatus::default());
        let cancel = CancellationToken::new();
        if slot.last.as_ref() != Some(&job) {
            slot.failures = 0;
            slot.last = Some(job.clone());
        }
        slot.started += 1;
        let number = slot.started;
        self.tell_progress(key.clone(), progress.clone());
        let work = work(progress_in, cancel.clone());
        slot.running = Some(Running { number, job: job.clone(), progress, cancel: cancel.clone() });
        self.at_work.spawn(run(self.ending(key.clone(), job, number), cancel, work));
    }

    /// Ends the running job if it is this one. Whatever it had sent stays: every write of it was create-only.
    pub(super) fn cancel(&self, key: &ReleaseKey, job: &Job) {
        if let Some(slot) = lock(&self.of).get_mut(key)
            && slot.running.as_ref().is_some_and(|running| running.job == *job)
        {
            slot.running = None;
        }
    }

    /// Ends what runs for a release of which it is not known any more what its owner wants.
    pub(super) fn cancel_all_of(&self, key: &ReleaseKey) {
        if let Some(slot) = lock(&self.of).get_mut(key) {
            slot.running = None;
        }
    }

    /// Ends and forgets everything of a release that is gone.
    pub(super) fn forget(&self, key: &ReleaseKey) {
        lock(&self.of).remove(key);
    }

    /// Ends all of them where they stand: the process stops, or does not lead any more.
    pub(super) fn cancel_all(&self) {
        lock(&self.of).values_mut().for_each(|slot| slot.running = None);
    }

    /// Ends all of them, and resolves when none sends anything any more.
    pub(super) async fn end(&self) {
        self.cancel_all();
        self.at_work.close();
        self.at_work.wait().await;
    }

    fn ending(&self, key: ReleaseKey, job: Job, number: u64) -> Ending {
        Ending { of: self.of.clone(), changed: self.changed.clone(), clock: self.clock.clone(), key, job, number }
    }

    /// Wakes the release at most once a second while the figures move, so that status follows them.
    fn tell_progress(&self, key: ReleaseKey, mut progress: watch::Receiver<UploadStatus>) {
        let changed = self.changed.clone();
        tokio::spawn(async move {
            while progress.changed().await.is_ok() {
                let _ = changed.send(key.clone());
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
        });
    }
}

/// Runs the work to its end, its cancellation or its panic, and writes down how it ended.
async fn run(ending: Ending, cancel: CancellationToken, work: impl Future<Output = Worked> + Send) {
    let outcome = tokio::select! {
        biased;
        () = cancel.cancelled() => return,
        outcome = AssertUnwindSafe(work).catch_unwind() => outcome,
    };
    let worked = outcome.unwrap_or_else(|panic| {
        let message = format!("the job panicked: {}", panic_text(panic.as_ref()));
        Err(WorkFailure { reason: "JobPanicked", message, mending: Mending::Seldom })
    });
    ending.write_down(worked);
}

struct Ending {
    of: Arc<Mutex<BTreeMap<ReleaseKey, Slot>>>,
    changed: mpsc::UnboundedSender<ReleaseKey>,
    clock: Arc<dyn Clock>,
    key: ReleaseKey,
    job: Job,
    number: u64,
}

impl Ending {
    fn write_down(self, worked: Worked) {
        {
            let mut jobs = lock(&self.of);
            let Some(slot) = jobs.get_mut(&self.key) else { return };
            if slot.running.as_ref().is_none_or(|running| running.number != self.number) {
                return;
            }
            slot.running = None;
            slot.failures = if worked.is_ok() { 0 } else { slot.failures.saturating_add(1) };
            let end = worked.unwrap_or_else(|failure| JobEnd::Failed(dated(failure, slot.failures, self.clock.as_ref())));
            slot.remember(self.job, end);
        }
        let _ = self.changed.send(self.key);
    }
}

impl Slot {
    /// One end for each kind of job; entry files that were confirmed stay so when a second look fails. A publish that ended well makes what the store said before worthless.
    fn remember(&mut self, job: Job, end: JobEnd) {
        let published = matches!(end, JobEnd::Published { .. });
        let failed = matches!(end, JobEnd::Failed(_));
        let is_kept = |old: &JobEnd| failed && matches!(old, JobEnd::EntriesPublished { .. });
        let is_outdated =
            |old: &Job| std::mem::discriminant(old) == std::mem::discriminant(&job) || (published && matches!(old, Job::Verify { .. }));
        self.ended.retain(|(old, old_end)| !is_outdated(old) || is_kept(old_end));
        self.ended.push((job, end));
    }
}

fn dated(failure: WorkFailure, attempt: u32, clock: &dyn Clock) -> JobFailure {
    let now = clock.now();
    let retry_at = match failure.mending {
        Mending::Retry => Some(now + retry::delay(Class::Transient, attempt)),
        Mending::Seldom => Some(now + retry::delay(Class::Denied, attempt)),
        Mending::At(at) => Some(at.max(now)),
        Mending::Never => None,
    };
    JobFailure { reason: failure.reason, message: failure.message, retry_at }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::TokioClock;

    fn end() -> Job {
        Job::EndReferences { store: "store/1".into() }
    }

    async fn done(jobs: &Jobs, key: &ReleaseKey, uid: &str) {
        jobs.start(key, end(), |_, _| async { Ok(JobEnd::ReferencesEnded) });
        while jobs.facts(key, uid).ended.is_empty() {
            tokio::task::yield_now().await;
        }
    }

    /// I5: what the object of before wrote into the bucket, the one of the same name has not written.
    #[tokio::test(start_paused = true)]
    async fn a_release_that_is_made_anew_has_done_nothing_yet_and_what_ran_for_the_one_before_ends() {
        let (changed, _heard) = mpsc::unbounded_channel();
        let jobs = Jobs::new(changed, Arc::new(TokioClock::starting_at("2026-11-21T00:00:00Z".parse().unwrap())));
        let key = ReleaseKey { namespace: "shop".into(), name: "web".into() };
        jobs.facts(&key, "u1");
        done(&jobs, &key, "u1").await;
        assert!(jobs.facts(&key, "u2").ended.is_empty());
        done(&jobs, &key, "u2").await;
        jobs.start(&key, end(), |_, _| std::future::pending());
        assert!(jobs.facts(&key, "u2").running.is_some());
        let anew = jobs.facts(&key, "u3");
        assert!(anew.running.is_none() && anew.ended.is_empty());
    }
}
