//! Polls of the HTTP channel: one for each pod that has an address, for as long as it has it.
//! Never a hot loop, whatever a pod answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::member::Pods;
use super::{ReleaseKey, Snapshot, Task, lock};
use crate::api::release::HttpReport;
use crate::cluster::lite::PodLite;
use crate::cluster::reports::{Answer, POLL_WAIT, ReportReader};

/// Least time between the beginnings of two polls of one pod that answers at once: it may ignore `wait`, or say something else each
/// time. Each new answer is a pass over the release, so 100 such pods cost 200 small requests a second and passes one after another,
/// and no more.
const POLL_PAUSE: Duration = Duration::from_millis(500);

/// New answers of one pod that are waited for without that pause, for each stage and after each answer that was held back. A
/// release makes four in quick succession: the stage is seen, the version is loaded, the flip is seen, it is served. Twice that is
/// enough, and without it the pause would stand between the last report and the flip.
const QUICK_ANSWERS: u32 = 8;

/// How long a pod's report stays known while polls fail, counted from the first that failed. A slow answer or a lost connection
/// contradicts nothing: reports only grow within a stage. After it nobody knows what the pod serves, and the failure is told in the
/// report's place. A try that asks for an answer at once takes 15 s at most, so it is told 25.5 s after the first failure at the latest.
///
/// Safe for the gates meanwhile: a kept report counts for the stage that it echoes and for no newer one (I2), and only for the same pod
/// UID and address. What it may hide is a container that started anew with another `instance`; that one loads what is active, candidate
/// and previous as of a read after its start before it is Ready again, and serves no version that it lacks (I11). A long-poll that is
/// still open hides no less.
const KEPT_WHILE_FAILING: Duration = Duration::from_secs(10);

/// What all polls of a view have in common.
#[derive(Clone)]
pub(super) struct Asks {
    pub(super) channel: HttpReport,
    pub(super) reader: Arc<dyn ReportReader>,
    /// The stage that pods are asked for.
    pub(super) stage: watch::Receiver<i64>,
    /// Where answers go.
    pub(super) snapshot: Arc<Mutex<Snapshot>>,
    pub(super) changed: mpsc::UnboundedSender<ReleaseKey>,
    pub(super) release: ReleaseKey,
}

/// One long-poll for each running pod.
pub(super) struct Polls {
    asks: Asks,
    /// By pod.
    running: BTreeMap<String, Running>,
}

struct Running {
    uid: String,
    address: String,
    _task: Task,
}

impl Polls {
    pub(super) fn new(asks: Asks) -> Self {
        Self { asks, running: BTreeMap::new() }
    }

    /// One poll for each pod that has an address now.
    pub(super) fn keep_up(&mut self, pods: &Pods) {
        let gone: Vec<String> = self.running.keys().filter(|name| !pods.contains_key(*name)).cloned().collect();
        for name in &gone {
            self.follow(name, None);
        }
        for (name, pod) in pods {
            self.follow(name, Some(pod));
        }
    }

    /// The same for one pod, which is as it is given, or gone.
    pub(super) fn follow(&mut self, name: &str, pod: Option<&PodLite>) {
        let wanted = pod.and_then(|pod| Some((pod.uid(), pod.status.pod_ip.as_deref()?)));
        if self.running.get(name).map(|it| (it.uid.as_str(), it.address.as_str())) == wanted {
            return;
        }
        // Before a new poll begins: a pod with another address has another sandbox, in which nobody has reported yet.
        if let Some(Running { uid, .. }) = self.running.remove(name) {
            Arc::make_mut(&mut lock(&self.asks.snapshot).polled).remove(&uid);
        }
        if let Some((uid, address)) = wanted.map(|(uid, address)| (uid.to_owned(), address.to_owned())) {
            let poll = Poll { uid: uid.clone(), address: address.clone(), asks: self.asks.clone() };
            self.running.insert(name.to_owned(), Running { uid, address, _task: Task(tokio::spawn(poll.run())) });
        }
    }
}

struct Poll {
    uid: String,
    address: String,
    asks: Asks,
}

impl Poll {
    async fn run(self) {
        // The first answer must come at once: what the pod has is not known yet.
        let mut wait = Duration::ZERO;
        let mut known = None;
        let mut quick = Quick::default();
        let mut failing_since = None;
        loop {
            let begun = Instant::now();
            let mut wanted = self.asks.stage.clone();
            let stage = *wanted.borrow_and_update();
            let answer = tokio::select! {
                biased;
                // Asked anew and with the same wait: an answer at once would be the one that is known, and the pause behind
                // it would hide the one that is waited for.
                changed = wanted.changed() => match changed {
                    Ok(()) => continue,
                    // Nobody watches this release any more.
                    Err(_) => return,
                },
                answer = self.ask(known.as_ref(), stage, wait) => answer,
            };
            wait = if answer.is_ok() { POLL_WAIT } else { Duration::ZERO };
            failing_since = answer.as_ref().err().map(|_| failing_since.unwrap_or_else(Instant::now));
            let is_kept = failing_since.is_some_and(|since| since.elapsed() < KEPT_WHILE_FAILING) && self.has_reported();
            let is_new = !is_kept && self.remember(answer.as_ref().map(|answer| &answer.text).map_err(String::as_str));
            if !(quick.allows(stage, begun.elapsed()) && is_new)
                && let Ok(Err(_)) = tokio::time::timeout(POLL_PAUSE.saturating_sub(begun.elapsed()), wanted.changed()).await
            {
                return;
            }
            known = answer.ok();
        }
    }

    async fn ask(&self, known: Option<&Answer>, stage: i64, wait: Duration) -> Result<Answer, String> {
        let address = self.address.parse().map_err(|_| format!("{:?} is not an address", self.address))?;
        self.asks.reader.read(known, address, &self.asks.channel, stage, wait).await
    }

    fn has_reported(&self) -> bool {
        matches!(lock(&self.asks.snapshot).polled.get(&self.uid), Some(Ok(_)))
    }

    /// Whether the answer says something new.
    fn remember(&self, answer: Result<&String, &str>) -> bool {
        let answer = answer.cloned().map_err(str::to_owned);
        let previous = Arc::make_mut(&mut lock(&self.asks.snapshot).polled).insert(self.uid.clone(), answer.clone());
        let is_new = previous != Some(answer);
        if is_new {
            let _ = self.asks.changed.send(self.asks.release.clone());
        }
        is_new
    }
}

/// What is left of [`QUICK_ANSWERS`].
#[derive(Debug, Default)]
struct Quick {
    stage: Option<i64>,
    left: u32,
}

impl Quick {
    /// Whether the next poll may begin at once, after an answer for this stage that took so long.
    fn allows(&mut self, stage: i64, took: Duration) -> bool {
        if self.stage != Some(stage) || took >= POLL_PAUSE {
            *self = Self { stage: Some(stage), left: QUICK_ANSWERS };
        }
        let is_allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::atomic::{AtomicU64, Ordering};

    use async_trait::async_trait;

    use super::*;

    /// A pod whose answer is another one each time, after so long.
    struct Restless {
        takes: Duration,
        asked: AtomicU64,
    }

    #[async_trait]
    impl ReportReader for Restless {
        async fn read(&self, _: Option<&Answer>, _: IpAddr, _: &HttpReport, _stage: i64, _wait: Duration) -> Result<Answer, String> {
            tokio::time::sleep(self.takes).await;
            Ok(Answer::without_tag(self.asked.fetch_add(1, Ordering::Relaxed).to_string()))
        }
    }

    /// A pod that reports, and fails from one second to another when it is asked.
    struct Faltering {
        begun: Instant,
        fails: std::ops::Range<u64>,
    }

    #[async_trait]
    impl ReportReader for Faltering {
        async fn read(&self, _: Option<&Answer>, _: IpAddr, _: &HttpReport, _stage: i64, wait: Duration) -> Result<Answer, String> {
            if self.fails.contains(&self.begun.elapsed().as_secs()) {
                tokio::time::sleep(Duration::from_secs(1)).await;
                return Err("no answer".into());
            }
            tokio::time::sleep(wait.min(Duration::from_secs(5))).await;
            Ok(Answer::without_tag("loaded"))
        }
    }

    /// What is known of such a pod after each half second of a minute, and how often that was news.
    async fn known_of(fails: std::ops::Range<u64>) -> (Vec<Option<Result<String, String>>>, usize) {
        let (_newer, stage) = watch::channel(1);
        let (changed, mut changes) = mpsc::unbounded_channel();
        let poll = poll(Arc::new(Faltering { begun: Instant::now(), fails }), stage, changed);
        let snapshot = poll.asks.snapshot.clone();
        let _task = Task(tokio::spawn(poll.run()));
        let mut known = Vec::new();
        for _ in 0..120 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            known.push(lock(&snapshot).polled.get("uid").cloned());
        }
        (known, std::iter::from_fn(|| changes.try_recv().ok()).count())
    }

    /// I7, I11: reports only grow within a stage, so a poll that fails contradicts none.
    #[tokio::test(start_paused = true)]
    async fn a_report_outlives_polls_that_fail_for_a_moment() {
        let (known, news) = known_of(10..15).await;
        assert!(known.iter().all(|it| *it == Some(Ok("loaded".into()))), "{known:?}");
        assert_eq!(news, 1, "nothing else was news");
    }

    /// I9: but nobody knows what a pod serves that has not answered for long.
    #[tokio::test(start_paused = true)]
    async fn a_report_does_not_outlive_polls_that_go_on_failing() {
        let (known, news) = known_of(10..40).await;
        let failing = known.iter().filter(|it| **it == Some(Err("no answer".into()))).count();
        assert!((30..=42).contains(&failing), "{failing} half seconds of 60");
        assert_eq!((news, known.last()), (3, Some(&Some(Ok("loaded".into())))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_poll_ends_with_the_watch_that_it_serves() {
        for takes in [Duration::from_millis(1), Duration::from_secs(5)] {
            let (watching, stage) = watch::channel(1);
            let reader = Arc::new(Restless { takes, asked: AtomicU64::new(0) });
            let (changed, _changes) = mpsc::unbounded_channel();
            let running = tokio::spawn(poll(reader.clone(), stage, changed).run());
            tokio::time::sleep(Duration::from_secs(12)).await;
            drop(watching);
            tokio::time::timeout(Duration::from_secs(1), running).await.expect("it ends").unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_never_reported_is_told_at_once() {
        let (known, _) = known_of(0..60).await;
        assert_eq!(known[3], Some(Err("no answer".into())));
    }

    fn poll(reader: Arc<dyn ReportReader>, stage: watch::Receiver<i64>, changed: mpsc::UnboundedSender<ReleaseKey>) -> Poll {
        let asks = Asks {
            channel: HttpReport { port: 8411, path: "/".into() },
            reader,
            stage,
            snapshot: Arc::default(),
            changed,
            release: ReleaseKey { namespace: "shop".into(), name: "web".into() },
        };
        Poll { uid: "uid".into(), address: "10.0.0.1".into(), asks }
    }

    /// How often such a pod is asked in a minute, with a new stage after each of these.
    async fn asked_in_a_minute(takes: Duration, stages: &[u64]) -> u64 {
        let reader = Arc::new(Restless { takes, asked: AtomicU64::new(0) });
        let (newer, stage) = watch::channel(1);
        let (changed, _changes) = mpsc::unbounded_channel();
        let task = Task(tokio::spawn(poll(reader.clone(), stage, changed).run()));
        for seconds in stages {
            tokio::time::sleep(Duration::from_secs(*seconds)).await;
            newer.send_modify(|stage| *stage += 1);
        }
        tokio::time::sleep(Duration::from_secs(60 - stages.iter().sum::<u64>())).await;
        drop(task);
        reader.asked.load(Ordering::Relaxed)
    }

    /// I7: a pod that says something else each time it is asked must not keep the controller busy.
    #[tokio::test(start_paused = true)]
    async fn a_pod_whose_answers_always_differ_is_asked_twice_a_second() {
        let asked = asked_in_a_minute(Duration::from_millis(1), &[]).await;
        assert!((115..=130).contains(&asked), "{asked}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_stage_is_asked_about_at_once_and_brings_a_few_quick_answers_only() {
        let asked = asked_in_a_minute(Duration::from_millis(1), &[10, 10, 10]).await;
        assert!((130..=160).contains(&asked), "{asked}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_holds_its_answers_back_is_asked_again_at_once() {
        assert_eq!(asked_in_a_minute(Duration::from_millis(600), &[]).await, 100 - 1);
    }
}
