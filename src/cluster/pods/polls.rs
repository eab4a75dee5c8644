//! Polls of the HTTP channel: one for each pod that has an address, for as long as it has it.
//! Never a hot loop, whatever a pod answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

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

/// One long-poll for each running pod.
pub(super) struct Polls {
    channel: HttpReport,
    reader: Arc<dyn ReportReader>,
    running: BTreeMap<String, (String, Task)>,
}

impl Polls {
    pub(super) fn new(channel: HttpReport, reader: Arc<dyn ReportReader>) -> Self {
        Self { channel, reader, running: BTreeMap::new() }
    }

    /// One poll for each pod that has an address now.
    pub(super) fn keep_up(
        &mut self,
        snapshot: &Arc<Mutex<Snapshot>>,
        stage: &watch::Receiver<i64>,
        changed: &mpsc::UnboundedSender<ReleaseKey>,
        release: &ReleaseKey,
    ) {
        let addresses = addresses(&lock(snapshot).pods);
        self.running.retain(|uid, (address, _)| addresses.get(uid) == Some(address));
        for (uid, address) in addresses {
            if !self.running.contains_key(&uid) {
                let poll = Poll {
                    uid: uid.clone(),
                    address: address.clone(),
                    channel: self.channel.clone(),
                    reader: self.reader.clone(),
                    stage: stage.clone(),
                    snapshot: snapshot.clone(),
                    changed: changed.clone(),
                    release: release.clone(),
                };
                self.running.insert(uid, (address, Task(tokio::spawn(poll.run()))));
            }
        }
        let running = &self.running;
        lock(snapshot).polled.retain(|uid, _| running.contains_key(uid));
    }
}

fn addresses(pods: &BTreeMap<String, Arc<PodLite>>) -> BTreeMap<String, String> {
    pods.values().filter_map(|pod| Some((pod.uid().to_owned(), pod.status.pod_ip.clone()?))).collect()
}

struct Poll {
    uid: String,
    address: String,
    channel: HttpReport,
    reader: Arc<dyn ReportReader>,
    stage: watch::Receiver<i64>,
    snapshot: Arc<Mutex<Snapshot>>,
    changed: mpsc::UnboundedSender<ReleaseKey>,
    release: ReleaseKey,
}

impl Poll {
    async fn run(self) {
        // The first answer must come at once: what the pod has is not known yet.
        let mut wait = Duration::ZERO;
        let mut known = None;
        let mut quick = Quick::default();
        loop {
            let begun = Instant::now();
            let mut wanted = self.stage.clone();
            let stage = *wanted.borrow_and_update();
            let answer = tokio::select! {
                biased;
                // Asked anew and with the same wait: an answer at once would be the one that is known, and the pause behind
                // it would hide the one that is waited for.
                _ = wanted.changed() => continue,
                answer = self.ask(known.as_ref(), stage, wait) => answer,
            };
            wait = if answer.is_ok() { POLL_WAIT } else { Duration::ZERO };
            let is_new = self.remember(answer.as_ref().map(|answer| &answer.text).map_err(String::as_str));
            if !(quick.allows(stage, begun.elapsed()) && is_new) {
                let _ = tokio::time::timeout(POLL_PAUSE.saturating_sub(begun.elapsed()), wanted.changed()).await;
            }
            known = answer.ok();
        }
    }

    async fn ask(&self, known: Option<&Answer>, stage: i64, wait: Duration) -> Result<Answer, String> {
        let address = self.address.parse().map_err(|_| format!("{:?} is not an address", self.address))?;
        self.reader.read_after(known, address, &self.channel, stage, wait).await
    }

    /// Whether the answer says something new.
    fn remember(&self, answer: Result<&String, &str>) -> bool {
        let answer = answer.cloned().map_err(str::to_owned);
        let previous = lock(&self.snapshot).polled.insert(self.uid.clone(), answer.clone());
        let is_new = previous != Some(answer);
        if is_new {
            let _ = self.changed.send(self.release.clone());
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
        async fn read(&self, _address: IpAddr, _channel: &HttpReport, _stage: i64, _wait: Duration) -> Result<String, String> {
            tokio::time::sleep(self.takes).await;
            Ok(self.asked.fetch_add(1, Ordering::Relaxed).to_string())
        }
    }

    /// How often such a pod is asked in a minute, with a new stage after each of these.
    async fn asked_in_a_minute(takes: Duration, stages: &[u64]) -> u64 {
        let reader = Arc::new(Restless { takes, asked: AtomicU64::new(0) });
        let (newer, stage) = watch::channel(1);
        let (changed, _changes) = mpsc::unbounded_channel();
        let poll = Poll {
            uid: "uid".into(),
            address: "10.0.0.1".into(),
            channel: HttpReport { port: 8411, path: "/".into() },
            reader: reader.clone(),
            stage,
            snapshot: Arc::default(),
            changed,
            release: ReleaseKey { namespace: "shop".into(), name: "web".into() },
        };
        let task = Task(tokio::spawn(poll.run()));
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
