//! Which processes live. Whatever a dead process still tries gets nowhere: that is what a crash is to the world.
//! Crash points count every mutating request of the controller, to the API server and to the bucket alike, in order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use crate::testing::apiserver::{After, Before, Hook, Seen};

/// On which side of a mutating request the controller ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The request was never sent.
    Before,
    /// It was carried out, and the answer never read.
    After,
}

/// The end of the controller at its `nth` mutating request (from 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crash {
    /// Which request.
    pub nth: u64,
    /// On which side of it.
    pub side: Side,
}

/// All processes of a world.
#[derive(Default)]
pub struct Lives {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    dead: BTreeSet<String>,
    crash: Option<Crash>,
    mutations: u64,
    points: Vec<String>,
    /// Crash points of API requests that are under way, by the request's number.
    under_way: BTreeMap<u64, u64>,
}

/// What a process that asks may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pulse {
    /// Go on.
    Alive,
    /// It has ended: its call is never answered.
    Dead,
}

impl Lives {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }

    /// Plans a crash of whichever controller makes that request.
    pub fn plan(&self, crash: Crash) {
        self.state().crash = Some(crash);
    }

    /// What was asked at each crash point so far.
    #[must_use]
    pub fn points(&self) -> Vec<String> {
        self.state().points.clone()
    }

    /// From now on nothing of this process gets anywhere.
    pub fn kill(&self, process: &str) {
        self.state().dead.insert(process.to_owned());
    }

    /// Whether it lives.
    #[must_use]
    pub fn pulse(&self, process: &str) -> Pulse {
        if self.state().dead.contains(process) { Pulse::Dead } else { Pulse::Alive }
    }

    /// Counts a mutating request of a controller; its number, and whether it is sent.
    pub fn begin(&self, process: &str, what: &str) -> (u64, Pulse) {
        let mut state = self.state();
        state.mutations += 1;
        let nth = state.mutations;
        state.points.push(what.to_owned());
        (nth, state.reach(process, Crash { nth, side: Side::Before }))
    }

    /// After it was carried out: whether the answer is read.
    pub fn end(&self, process: &str, nth: u64) -> Pulse {
        self.state().reach(process, Crash { nth, side: Side::After })
    }
}

impl State {
    fn reach(&mut self, process: &str, point: Crash) -> Pulse {
        if self.crash == Some(point) {
            self.crash = None;
            self.dead.insert(process.to_owned());
        }
        if self.dead.contains(process) { Pulse::Dead } else { Pulse::Alive }
    }
}

/// Whether this process is a controller: only controllers are ended at crash points.
#[must_use]
pub fn is_controller(process: &str) -> bool {
    process.starts_with("controller")
}

impl Hook for Lives {
    fn before(&self, seen: &Seen) -> Before {
        if self.pulse(&seen.actor) == Pulse::Dead {
            return Before::Hang;
        }
        if seen.mutation.is_none() || !is_controller(&seen.actor) {
            return Before::Pass;
        }
        let (nth, pulse) = self.begin(&seen.actor, &format!("{:?} {}", seen.verb, seen.key));
        self.state().under_way.insert(seen.number, nth);
        if pulse == Pulse::Dead { Before::Hang } else { Before::Pass }
    }

    fn after(&self, seen: &Seen, _code: u16) -> After {
        let nth = self.state().under_way.remove(&seen.number);
        let pulse = nth.map_or_else(|| self.pulse(&seen.actor), |nth| self.end(&seen.actor, nth));
        if pulse == Pulse::Dead { After::Hang } else { After::Pass }
    }
}
