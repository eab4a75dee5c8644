//! Places for work at stores: how much goes on at the same time, and whose turn it is.
//! Never lets one namespace or one endpoint take the last place: what is free is kept for whoever has less.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::bucket::s3::S3Settings;
use crate::rollout::observed::Job;

/// Looks of releases under way, and as many of stores and of replicas: a task and a connection each, some 64 KiB with TLS, so 96 MiB at
/// most. One namespace has half of them at most, so 200 stores of it that say nothing do not keep its 201st from being asked.
const LOOKS_MAX: usize = 512;

/// Jobs that stand between a report and a page: claims, questions before a staging, entry files.
const SHORT_JOBS_MAX: usize = 256;

/// Jobs that move bytes for minutes. Each sends up to 16 objects side by side, and holds 12 MiB for a build of 10,000 files (measured with
/// `rollcall publish`: 32,320 KiB at the peak, 20,716 KiB for one file): 288 MiB for all.
const LONG_JOBS_MAX: usize = 24;

/// Sweeps and their plans: each holds 55 MiB for 1,000 versions of 10,000 files (docs/performance.md), so 165 MiB for all. With the jobs above
/// and the 45 MiB of a busy controller that is less than the chart's limit of 512 MiB. None is in a hurry.
const SWEEPS_MAX: usize = 3;

/// An endpoint that many namespaces share may have this many times what is free, four fifths of all places, where a namespace may have
/// as much as is free, half of them.
const ENDPOINT_SHARE: usize = 4;

/// Who is served where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Whose {
    /// Namespace of the release or of the AssetStore.
    pub(super) namespace: String,
    /// Host and port of the bucket's API.
    pub(super) endpoint: String,
}

impl Whose {
    pub(super) fn at(namespace: &str, settings: &S3Settings) -> Self {
        let url = settings.endpoint.as_deref().and_then(|endpoint| url::Url::parse(endpoint).ok());
        let given = url.as_ref().and_then(|url| Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?)));
        Self { namespace: namespace.to_owned(), endpoint: given.unwrap_or_else(|| format!("aws:{}", settings.region)) }
    }
}

/// The places of a controller. Those of different kinds are separate: no look waits behind an upload.
pub(super) struct AllPlaces {
    pub(super) looks: Places,
    /// Looks of AssetStores, so that a namespace with many stores has room for its releases.
    pub(super) stores: Places,
    /// Looks of their replicas: in a hall of their own, as nobody waits for a place while holding one of the same hall.
    pub(super) replicas: Places,
    short: Places,
    long: Places,
    sweeps: Places,
}

impl Default for AllPlaces {
    fn default() -> Self {
        Self {
            looks: Places::new(LOOKS_MAX),
            stores: Places::new(LOOKS_MAX),
            replicas: Places::new(LOOKS_MAX),
            short: Places::new(SHORT_JOBS_MAX),
            long: Places::new(LONG_JOBS_MAX),
            sweeps: Places::new(SWEEPS_MAX),
        }
    }
}

impl AllPlaces {
    pub(super) fn of(&self, job: &Job) -> &Places {
        match job {
            Job::Claim { .. }
            | Job::Verify { .. }
            | Job::PublishEntries { .. }
            | Job::WriteReferences { .. }
            | Job::EndReferences { .. } => &self.short,
            Job::Publish { .. } | Job::Replicate { .. } | Job::Backfill { .. } => &self.long,
            Job::Sweep { .. } => &self.sweeps,
        }
    }
}

/// Places of one kind.
pub(super) struct Places(Arc<Mutex<Desk>>);

struct Desk {
    hall: Hall,
    last_ticket: u64,
    called: BTreeMap<u64, oneshot::Sender<()>>,
}

/// A place, until it is dropped; while it is waited for, a place in the queue.
pub(super) struct Place {
    ticket: u64,
    of: Arc<Mutex<Desk>>,
}

impl Places {
    fn new(places: usize) -> Self {
        Self(Arc::new(Mutex::new(Desk { hall: Hall::new(places), last_ticket: 0, called: BTreeMap::new() })))
    }

    /// Waits for a place. Whoever does not wait any more takes nobody's turn.
    pub(super) async fn take(&self, whose: Whose) -> Place {
        let (call, called) = oneshot::channel();
        let place = {
            let mut desk = lock(&self.0);
            desk.last_ticket += 1;
            let ticket = desk.last_ticket;
            desk.called.insert(ticket, call);
            desk.hall.queue_up(ticket, whose);
            desk.call_up();
            Place { ticket, of: self.0.clone() }
        };
        // The other end goes only with the place itself.
        let _ = called.await;
        place
    }
}

impl Desk {
    fn call_up(&mut self) {
        while let Some(ticket) = self.hall.call_next() {
            if let Some(call) = self.called.remove(&ticket) {
                // Who does not listen any more is about to give the place back.
                let _ = call.send(());
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut desk = lock(&self.of);
        desk.called.remove(&self.ticket);
        desk.hall.leave(self.ticket);
        desk.call_up();
    }
}

fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who has a place and who waits; no clock, no tasks.
///
/// A namespace gets another place only while it has fewer than are free: one alone gets half of all, two a third each, and N leave one
/// share in N + 1 to whoever comes next. Namespaces take turns; within one, the first come is the first served, but that nobody waits
/// behind another's endpoint.
struct Hall {
    places: usize,
    taken: BTreeMap<u64, Whose>,
    of_namespace: BTreeMap<String, usize>,
    of_endpoint: BTreeMap<String, usize>,
    waiting: BTreeMap<String, VecDeque<(u64, String)>>,
    /// The namespace that was served last.
    last: String,
}

impl Hall {
    fn new(places: usize) -> Self {
        let (of_namespace, of_endpoint) = (BTreeMap::new(), BTreeMap::new());
        Self { places, taken: BTreeMap::new(), of_namespace, of_endpoint, waiting: BTreeMap::new(), last: String::new() }
    }

    fn queue_up(&mut self, ticket: u64, whose: Whose) {
        self.waiting.entry(whose.namespace).or_default().push_back((ticket, whose.endpoint));
    }

    /// Gives the place back, or leaves the queue.
    fn leave(&mut self, ticket: u64) {
        if let Some(Whose { namespace, endpoint }) = self.taken.remove(&ticket) {
            for (counts, key) in [(&mut self.of_namespace, namespace), (&mut self.of_endpoint, endpoint)] {
                let count = counts.remove(&key).unwrap_or_default();
                if count > 1 {
                    counts.insert(key, count - 1);
                }
            }
            return;
        }
        for queue in self.waiting.values_mut() {
            queue.retain(|(waiting, _)| *waiting != ticket);
        }
        self.waiting.retain(|_, queue| !queue.is_empty());
    }

    /// Whose turn it is, if there is a place for anybody who waits.
    fn call_next(&mut self) -> Option<u64> {
        let after = (Bound::Excluded(self.last.clone()), Bound::Unbounded);
        let mut turn = self.waiting.range(after).chain(self.waiting.range(..=self.last.clone()));
        let (namespace, at) = turn.find_map(|(namespace, queue)| Some((namespace.clone(), self.first_of(namespace, queue)?)))?;
        let queue = self.waiting.get_mut(&namespace)?;
        let (ticket, endpoint) = queue.remove(at)?;
        if queue.is_empty() {
            self.waiting.remove(&namespace);
        }
        *self.of_namespace.entry(namespace.clone()).or_default() += 1;
        *self.of_endpoint.entry(endpoint.clone()).or_default() += 1;
        self.last.clone_from(&namespace);
        self.taken.insert(ticket, Whose { namespace, endpoint });
        Some(ticket)
    }

    fn first_of(&self, namespace: &str, queue: &VecDeque<(u64, String)>) -> Option<usize> {
        let free = self.places - self.taken.len();
        let count = |counts: &BTreeMap<String, usize>, key: &str| counts.get(key).copied().unwrap_or_default();
        if count(&self.of_namespace, namespace) >= free {
            return None;
        }
        queue.iter().position(|(_, endpoint)| count(&self.of_endpoint, endpoint) < ENDPOINT_SHARE * free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whose(namespace: &str, endpoint: &str) -> Whose {
        Whose { namespace: namespace.to_owned(), endpoint: endpoint.to_owned() }
    }

    /// Lets everybody in whose turn it is; their tickets in order.
    fn call_all(hall: &mut Hall) -> Vec<u64> {
        std::iter::from_fn(|| hall.call_next()).collect()
    }

    #[test]
    fn one_namespace_gets_half_and_a_newcomer_is_served_at_once() {
        let mut hall = Hall::new(8);
        (0..20).for_each(|ticket| hall.queue_up(ticket, whose("greedy", &format!("tarpit-{ticket}:80"))));
        assert_eq!(call_all(&mut hall), [0, 1, 2, 3]);
        hall.queue_up(100, whose("neighbour", "store:80"));
        assert_eq!(call_all(&mut hall), [100]);
    }

    #[test]
    fn however_many_are_greedy_the_next_namespace_finds_a_place() {
        for greedy in 1..16 {
            let mut hall = Hall::new(32);
            for ticket in 0..greedy * 40 {
                hall.queue_up(ticket, whose(&format!("greedy-{}", ticket % greedy), &format!("tarpit-{ticket}:80")));
            }
            call_all(&mut hall);
            hall.queue_up(10_000, whose("neighbour", "store:80"));
            assert_eq!(call_all(&mut hall), [10_000], "{greedy}");
        }
    }

    #[test]
    fn an_endpoint_never_takes_all_places_and_nobody_waits_behind_it() {
        let mut hall = Hall::new(10);
        (0..20).for_each(|ticket| hall.queue_up(ticket, whose(&format!("tenant-{ticket}"), "tarpit:80")));
        assert_eq!(call_all(&mut hall).len(), 8);
        hall.queue_up(100, whose("tenant-19", "store:80"));
        assert_eq!(call_all(&mut hall), [100], "behind its own question to the tarpit");
    }

    #[test]
    fn namespaces_take_turns_and_the_first_come_is_the_first_served() {
        let mut hall = Hall::new(1);
        for (ticket, namespace) in [(1, "a"), (2, "a"), (3, "a"), (4, "b"), (5, "b"), (6, "c")] {
            hall.queue_up(ticket, whose(namespace, "store:80"));
        }
        let mut served = Vec::new();
        while let Some(ticket) = hall.call_next() {
            served.push(ticket);
            hall.leave(ticket);
        }
        assert_eq!(served, [1, 4, 6, 2, 5, 3]);
        assert!(hall.of_namespace.is_empty() && hall.of_endpoint.is_empty() && hall.waiting.is_empty(), "nothing is kept of them");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_gives_up_waiting_takes_nobodys_turn() {
        let places = Places::new(1);
        let first = places.take(whose("a", "store:80")).await;
        let second = places.take(whose("b", "store:80"));
        assert!(tokio::time::timeout(std::time::Duration::from_secs(1), second).await.is_err());
        drop(first);
        let third = tokio::time::timeout(std::time::Duration::from_secs(1), places.take(whose("c", "store:80"))).await;
        assert!(third.is_ok());
    }

    #[test]
    fn the_endpoint_is_host_and_port() {
        use crate::bucket::s3::Credentials;
        let at = |endpoint: Option<&str>| {
            let settings = S3Settings {
                bucket: "web".to_owned(),
                region: "eu-west-1".to_owned(),
                endpoint: endpoint.map(str::to_owned),
                force_path_style: true,
                credentials: Credentials::Ambient,
            };
            Whose::at("shop", &settings).endpoint
        };
        assert_eq!([at(Some("http://Minio/a")), at(Some("https://minio:9000")), at(None)], ["minio:80", "minio:9000", "aws:eu-west-1"]);
    }
}
