//! The places of a server's connections: who has one, what each is doing since when, and whose is taken when there is none left.
//! Never waits, and never reads a connection: connections write down what they do, in atomics of their own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use futures::task::AtomicWaker;
use tokio::task::JoinHandle;

use super::limits::{HEAD_GRACE, Limits};

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// A request's head has not come completely, or nothing has come yet.
    Head = 0,
    /// Answered, and kept for the next request.
    Idle = 1,
    /// A request is being read or answered.
    Answering = 2,
}

/// What one connection writes down. Milliseconds since the server began; they are hints, so that no order between them is needed.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// When the phase began, and the phase in the two lowest bits.
    state: AtomicU64,
    /// When the peer must have taken more of an answer; 0 while it is not waited for.
    pub write_deadline: AtomicU64,
    /// When the peer must have sent more of a request's body; 0 while it is not waited for.
    pub read_deadline: AtomicU64,
    /// Wakes the connection when the server stops.
    pub waker: AtomicWaker,
}

impl Slot {
    pub(super) fn set(&self, phase: Phase, now: u64) {
        self.state.store(now << 2 | phase as u64, Relaxed);
    }

    pub(super) fn phase(&self) -> Phase {
        match self.state.load(Relaxed) & 3 {
            0 => Phase::Head,
            1 => Phase::Idle,
            _ => Phase::Answering,
        }
    }

    fn since(&self) -> u64 {
        self.state.load(Relaxed) >> 2
    }

    pub(super) fn begin(&self, now: u64) {
        self.set(Phase::Head, now);
        self.write_deadline.store(0, Relaxed);
        self.read_deadline.store(0, Relaxed);
    }

    /// Whether this connection has had its time.
    pub(super) fn is_late(&self, now: u64, limits: &Limits) -> bool {
        let phase_max = match self.phase() {
            Phase::Head => limits.head,
            Phase::Idle => limits.idle,
            Phase::Answering => std::time::Duration::MAX,
        };
        let passed = |deadline: &AtomicU64| (1..now).contains(&deadline.load(Relaxed));
        u128::from(now.saturating_sub(self.since())) > phase_max.as_millis() || passed(&self.write_deadline) || passed(&self.read_deadline)
    }

    /// How far the peer has fallen behind, in milliseconds.
    fn lag(&self, now: u64, limits: &Limits) -> u64 {
        let stall = millis(limits.stall);
        let behind = |deadline: &AtomicU64| match deadline.load(Relaxed) {
            0 => 0,
            deadline => (now + stall).saturating_sub(deadline),
        };
        behind(&self.write_deadline).max(behind(&self.read_deadline))
    }

    /// The order in which places are taken away: unfinished heads, kept connections, heads on their way, peers that have fallen behind;
    /// the longest first. `None` for a request under way.
    fn rank(&self, now: u64, limits: &Limits) -> Option<(u8, u64)> {
        let (age, lag) = (now.saturating_sub(self.since()), self.lag(now, limits));
        match self.phase() {
            Phase::Head if age >= millis(HEAD_GRACE) => Some((0, u64::MAX - age)),
            Phase::Idle => Some((1, u64::MAX - age)),
            Phase::Head => Some((2, u64::MAX - age)),
            Phase::Answering if lag > millis(limits.stall) / 6 => Some((3, u64::MAX - lag)),
            Phase::Answering => None,
        }
    }
}

pub(super) fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// The peer has all that one may have.
    Peer,
    /// Nobody may have more.
    Server,
}

#[derive(Debug)]
struct Taken {
    peer: u128,
    task: Option<JoinHandle<()>>,
}

/// Who has which slot.
#[derive(Debug)]
pub(super) struct Places {
    taken: Vec<Option<Taken>>,
    free: Vec<usize>,
    of_peer: HashMap<u128, usize>,
}

impl Places {
    pub(super) fn new(count: usize) -> Self {
        Self { taken: (0..count).map(|_| None).collect(), free: (0..count).rev().collect(), of_peer: HashMap::new() }
    }

    pub(super) fn count(&self) -> usize {
        self.taken.len() - self.free.len()
    }

    fn of(&self, peer: u128) -> usize {
        self.of_peer.get(&peer).copied().unwrap_or(0)
    }

    pub(super) fn take(&mut self, peer: u128, per_peer_max: usize) -> Result<usize, Full> {
        if self.of(peer) >= per_peer_max {
            return Err(Full::Peer);
        }
        let index = self.free.pop().ok_or(Full::Server)?;
        self.taken[index] = Some(Taken { peer, task: None });
        *self.of_peer.entry(peer).or_default() += 1;
        Ok(index)
    }

    pub(super) fn runs(&mut self, index: usize, task: JoinHandle<()>) {
        if let Some(taken) = &mut self.taken[index] {
            taken.task = Some(task);
        }
    }

    pub(super) fn give_back(&mut self, index: usize) {
        let Some(Taken { peer, .. }) = self.taken[index].take() else { return };
        self.free.push(index);
        let count = self.of_peer.get_mut(&peer).expect("whoever has a place is counted");
        *count -= 1;
        if *count == 0 {
            self.of_peer.remove(&peer);
        }
    }

    /// Takes the task whose place `peer` gets. When every place has a request under way, the peer that has most of them gives one up,
    /// if it has more than `peer` would have then.
    pub(super) fn displace(&mut self, full: Full, peer: u128, slots: &[Slot], now: u64, limits: &Limits) -> Option<JoinHandle<()>> {
        let ranked = self.taken.iter().enumerate().filter_map(|(index, taken)| {
            let taken = taken.as_ref().filter(|taken| taken.task.is_some() && (full == Full::Server || taken.peer == peer))?;
            let slot = &slots[index];
            let under_way = || self.shares_more(full, taken.peer, peer).then(|| (usize::MAX - self.of(taken.peer), slot.since()));
            let rank = slot.rank(now, limits).map(|(rank, order)| (usize::from(rank), order)).or_else(under_way)?;
            Some((rank, index))
        });
        let (_, index) = ranked.min()?;
        self.taken[index].as_mut()?.task.take()
    }

    fn shares_more(&self, full: Full, of: u128, than: u128) -> bool {
        full == Full::Server && self.of(of) > self.of(than) + 1
    }

    /// Ends every connection that has had its time, and says how many.
    pub(super) fn end_late(&self, slots: &[Slot], now: u64, limits: &Limits) -> u64 {
        let running = self.taken.iter().zip(slots).filter_map(|(taken, slot)| Some((taken.as_ref()?.task.as_ref()?, slot)));
        running.filter(|(_, slot)| slot.is_late(now, limits)).map(|(task, _)| task.abort()).count() as u64
    }

    pub(super) fn end_all(&self) {
        self.taken.iter().flatten().filter_map(|taken| taken.task.as_ref()).for_each(JoinHandle::abort);
    }
}
