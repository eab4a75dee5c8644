//! What happens during a long run, and when, from a seed alone. Pure: the same seed gives the same schedule on every machine.
//! It must never know the cluster: pods are numbers, which whoever carries the schedule out takes modulo the pods that there are.
//!
//! Every kind of event is a card of a deck. The deck is shuffled, played to its end and shuffled again, so that a run of some minutes has
//! each kind, and a long one has each as often.

use std::fmt;
use std::time::Duration;

/// Versions of the site that are built for the run: v1 to v12.
pub const VERSIONS: u64 = 12;

/// Pods of the application: never fewer, never more.
pub const PODS: (u64, u64) = (8, 11);

/// The first event, when visitors have come.
const BEGIN: Duration = Duration::from_secs(4);

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// From the beginning of the run.
    pub at: Duration,
    /// What happens.
    pub action: Action,
}

/// What happens. Durations say how long it lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The next version.
    Release { version: u64 },
    /// An older version.
    Back { version: u64 },
    /// Several, each before the one before it can be active.
    PreEmpt { versions: Vec<u64>, every: Duration },
    /// The release is suspended.
    Suspend { during: Duration },
    /// The application gets this many pods.
    Scale { pods: u64 },
    /// A rolling update of the application.
    Roll,
    /// SIGKILL for a pod's agent.
    KillAgent { pod: u64 },
    /// SIGSTOP, and SIGCONT afterwards.
    StopAgent { pod: u64, during: Duration },
    /// SIGKILL for controllers.
    KillController { which: Which },
    /// SIGSTOP, and SIGCONT afterwards.
    StopController { which: Which, during: Duration },
    /// SIGKILL for the object store.
    KillStore,
    /// SIGSTOP, and SIGCONT afterwards.
    StopStore { during: Duration },
    /// SIGKILL for the API server, which is started again.
    KillApi,
    /// SIGSTOP, and SIGCONT afterwards.
    StopApi { during: Duration },
    /// A pod's readiness probe fails.
    Flap { pod: u64, during: Duration },
    /// Each call of the controllers to the API server takes 300 ms longer.
    SlowApi { during: Duration },
    /// A person edits the pointer, and repairs it as the documentation says after that time.
    Edit { how: Edit, during: Duration },
}

/// Which of two controllers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The one that holds the Lease.
    Leader,
    /// The other one.
    Standby,
    /// Both at once.
    Both,
}

/// What a person does to the ConfigMap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// A label and an annotation of their own.
    Label,
    /// An older document is put back.
    PutBack,
    /// Text that is no pointer.
    Garbage,
    /// The ConfigMap is deleted.
    Delete,
}

/// The events of a seed, without end.
pub struct Schedule {
    random: Random,
    deck: Vec<Card>,
    at: Duration,
    version: u64,
    edits: usize,
}

/// A kind of event; what is left open is chosen when it is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Card {
    Release,
    Back,
    PreEmpt,
    Suspend,
    Scale,
    Roll,
    KillAgent,
    StopAgent,
    KillLeader,
    KillOther,
    StopController,
    KillStore,
    StopStore,
    KillApi,
    StopApi,
    Flap,
    SlowApi,
    Edit,
}

/// Releases are most of it: nothing can break while nothing moves.
const DECK: [Card; 24] = [
    Card::Release,
    Card::Release,
    Card::Release,
    Card::Back,
    Card::Back,
    Card::PreEmpt,
    Card::PreEmpt,
    Card::Suspend,
    Card::Scale,
    Card::Roll,
    Card::KillAgent,
    Card::KillAgent,
    Card::StopAgent,
    Card::KillLeader,
    Card::KillOther,
    Card::StopController,
    Card::KillStore,
    Card::StopStore,
    Card::KillApi,
    Card::StopApi,
    Card::Flap,
    Card::Flap,
    Card::SlowApi,
    Card::Edit,
];

const EDITS: [Edit; 4] = [Edit::Label, Edit::PutBack, Edit::Garbage, Edit::Delete];

impl Schedule {
    /// The run begins with v1 active.
    pub fn new(seed: u64) -> Self {
        let edits = usize::try_from(seed % 4).unwrap_or(0);
        Self { random: Random(seed), deck: Vec::new(), at: BEGIN, version: 1, edits }
    }

    fn draw(&mut self) -> Card {
        if self.deck.is_empty() {
            self.deck = DECK.to_vec();
            for last in (1..self.deck.len()).rev() {
                let other = self.random.below(last as u64 + 1);
                self.deck.swap(last, usize::try_from(other).unwrap_or(last));
            }
        }
        self.deck.pop().unwrap_or(Card::Release)
    }

    fn play(&mut self, card: Card) -> Action {
        match card {
            Card::Release => Action::Release { version: self.next_version() },
            Card::Back => Action::Back { version: self.older_version() },
            Card::PreEmpt => {
                let versions = (0..self.random.between(2, 4)).map(|_| self.next_version()).collect();
                Action::PreEmpt { versions, every: self.random.tenths(1, 15) }
            }
            Card::Suspend => Action::Suspend { during: self.random.tenths(30, 80) },
            Card::Scale => Action::Scale { pods: self.random.between(PODS.0, PODS.1) },
            Card::Roll => Action::Roll,
            Card::KillAgent => Action::KillAgent { pod: self.random.below(PODS.1) },
            Card::StopAgent => Action::StopAgent { pod: self.random.below(PODS.1), during: self.random.tenths(20, 120) },
            Card::KillLeader => Action::KillController { which: Which::Leader },
            Card::KillOther => Action::KillController { which: self.random.one(&[Which::Standby, Which::Both]) },
            Card::StopController => {
                let which = self.random.one(&[Which::Leader, Which::Leader, Which::Standby, Which::Both]);
                Action::StopController { which, during: self.random.tenths(50, 250) }
            }
            Card::KillStore => Action::KillStore,
            Card::StopStore => Action::StopStore { during: self.random.tenths(30, 120) },
            Card::KillApi => Action::KillApi,
            Card::StopApi => Action::StopApi { during: self.random.tenths(20, 80) },
            Card::Flap => Action::Flap { pod: self.random.below(PODS.1), during: self.random.tenths(30, 120) },
            Card::SlowApi => Action::SlowApi { during: self.random.tenths(150, 300) },
            Card::Edit => self.edit(),
        }
    }

    fn edit(&mut self) -> Action {
        self.edits += 1;
        Action::Edit { how: EDITS[self.edits % EDITS.len()], during: self.random.tenths(20, 60) }
    }

    fn next_version(&mut self) -> u64 {
        self.version = self.version % VERSIONS + 1;
        self.version
    }

    /// Any but the newest one wanted; of the others, those before it where there are some.
    fn older_version(&mut self) -> u64 {
        let before = if self.version > 1 { self.version } else { VERSIONS + 1 };
        let older = self.random.between(1, before - 1);
        self.version = if older == self.version { VERSIONS } else { older };
        self.version
    }

    /// Mostly shorter than a release takes when a controller has to be replaced, and at times long enough for everything to settle.
    fn pause(&mut self) -> Duration {
        if self.random.below(5) == 0 { self.random.tenths(80, 140) } else { self.random.tenths(20, 60) }
    }
}

impl Iterator for Schedule {
    type Item = Planned;

    fn next(&mut self) -> Option<Planned> {
        let card = self.draw();
        let planned = Planned { at: self.at, action: self.play(card) };
        let pause = self.pause();
        self.at += pause;
        Some(planned)
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// Both ends included.
    fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// Tenths of a second.
    fn tenths(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(100 * self.between(least, most))
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap_or(0)]
    }
}

/// A line for a shell: milliseconds from the beginning, the event's name, what it needs.
impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.at.as_millis(), self.action)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = Duration::as_secs_f64;
        match self {
            Self::Release { version } => write!(f, "release v{version}"),
            Self::Back { version } => write!(f, "back v{version}"),
            Self::PreEmpt { versions, every } => {
                write!(f, "pre-empt {:.1}", seconds(every))?;
                versions.iter().try_for_each(|version| write!(f, " v{version}"))
            }
            Self::Suspend { during } => write!(f, "suspend {:.1}", seconds(during)),
            Self::Scale { pods } => write!(f, "scale {pods}"),
            Self::Roll => f.write_str("roll"),
            Self::KillAgent { pod } => write!(f, "kill-agent {pod}"),
            Self::StopAgent { pod, during } => write!(f, "stop-agent {pod} {:.1}", seconds(during)),
            Self::KillController { which } => write!(f, "kill-controller {which}"),
            Self::StopController { which, during } => write!(f, "stop-controller {which} {:.1}", seconds(during)),
            Self::KillStore => f.write_str("kill-store"),
            Self::StopStore { during } => write!(f, "stop-store {:.1}", seconds(during)),
            Self::KillApi => f.write_str("kill-api"),
            Self::StopApi { during } => write!(f, "stop-api {:.1}", seconds(during)),
            Self::Flap { pod, during } => write!(f, "flap {pod} {:.1}", seconds(during)),
            Self::SlowApi { during } => write!(f, "slow-api {:.1}", seconds(during)),
            Self::Edit { how, during } => write!(f, "edit-{how} {:.1}", seconds(during)),
        }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Leader => "leader",
            Self::Standby => "standby",
            Self::Both => "both",
        })
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Label => "label",
            Self::PutBack => "put-back",
            Self::Garbage => "garbage",
            Self::Delete => "delete",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn of(seed: u64, events: usize) -> Vec<Planned> {
        Schedule::new(seed).take(events).collect()
    }

    fn name(planned: &Planned) -> String {
        planned.action.to_string().split(' ').next().unwrap().split("edit-").last().unwrap().to_owned()
    }

    #[test]
    fn a_seed_gives_the_same_schedule_each_time_and_another_seed_another_one() {
        assert_eq!(of(7, 300), of(7, 300));
        assert_ne!(of(7, 300), of(8, 300));
    }

    #[test]
    fn every_kind_of_event_comes_in_each_deck_and_every_edit_in_four() {
        for seed in 0..50 {
            let plan = of(seed, 24 * 4);
            for deck in plan.chunks(24) {
                let kinds: BTreeSet<_> = deck.iter().map(|planned| format!("{:?}", std::mem::discriminant(&planned.action))).collect();
                assert_eq!(kinds.len(), 17, "seed {seed}");
            }
            let names: BTreeSet<String> = plan.iter().map(name).collect();
            assert!(["label", "put-back", "garbage", "delete"].iter().all(|edit| names.contains(*edit)), "seed {seed}: {names:?}");
        }
    }

    #[test]
    fn twenty_minutes_have_about_two_hundred_events() {
        for seed in 0..50 {
            let until = |seconds: u64| Schedule::new(seed).take_while(|planned| planned.at <= Duration::from_secs(seconds)).count();
            assert!((190..280).contains(&until(1200)), "seed {seed}: {}", until(1200));
            assert!(until(120) >= 12, "seed {seed}: {}", until(120));
        }
    }

    #[test]
    fn a_version_is_never_followed_by_itself_and_all_of_them_exist() {
        for seed in 0..50 {
            let mut last = 1;
            for planned in of(seed, 500) {
                let versions = match planned.action {
                    Action::Release { version } | Action::Back { version } => vec![version],
                    Action::PreEmpt { versions, .. } => versions,
                    _ => continue,
                };
                for version in versions {
                    assert_ne!(version, last, "seed {seed}");
                    assert!((1..=VERSIONS).contains(&version), "seed {seed}: v{version}");
                    last = version;
                }
            }
        }
    }

    #[test]
    fn nothing_outlasts_half_a_minute_and_there_are_never_fewer_pods_than_eight() {
        for planned in (0..50).flat_map(|seed| of(seed, 300)) {
            let during = match planned.action {
                Action::Scale { pods } => {
                    assert!((8..=11).contains(&pods));
                    continue;
                }
                Action::Suspend { during }
                | Action::StopAgent { during, .. }
                | Action::StopController { during, .. }
                | Action::StopStore { during }
                | Action::StopApi { during }
                | Action::Flap { during, .. }
                | Action::SlowApi { during }
                | Action::Edit { during, .. } => during,
                _ => continue,
            };
            assert!(during <= Duration::from_secs(30) && during >= Duration::from_secs(2), "{planned}");
        }
    }

    #[test]
    fn a_line_is_what_the_shell_reads() {
        let at = Duration::from_millis(4200);
        let line = |action: Action| Planned { at, action }.to_string();
        assert_eq!(line(Action::Release { version: 3 }), "4200 release v3");
        assert_eq!(line(Action::PreEmpt { versions: vec![4, 5], every: Duration::from_millis(300) }), "4200 pre-empt 0.3 v4 v5");
        let stop = Action::StopController { which: Which::Both, during: Duration::from_secs(12) };
        assert_eq!(line(stop), "4200 stop-controller both 12.0");
        assert_eq!(line(Action::Edit { how: Edit::PutBack, during: Duration::from_secs(5) }), "4200 edit-put-back 5.0");
    }
}
