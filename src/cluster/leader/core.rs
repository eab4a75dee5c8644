//! The election's rules: events in, effects out. client-go's algorithm, and where it is stricter, why.
//! Pure: never reads a clock or the API server. `now` is the time since this process began, by a clock that only goes on; a Lease's
//! own timestamps are for people and are never compared with anything.

#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;

/// How the election is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// How long a Lease holds that is not renewed any more, for those who watch it.
    pub lease_duration: Duration,
    /// How long the leader goes on without a renewal that the API server confirmed.
    pub renew_deadline: Duration,
    /// From one attempt to the next.
    pub retry_period: Duration,
}

/// client-go's own.
impl Default for Times {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { lease_duration: seconds(15), renew_deadline: seconds(10), retry_period: seconds(2) }
    }
}

/// Times with which two processes could lead at once, or none for long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTimes {
    /// A Lease says its duration in whole seconds.
    #[error("the lease duration has to be a whole number of seconds, and at least one")]
    NoWholeSeconds,
    /// The old leader would still write when the next one begins.
    #[error("the lease duration has to be longer than the renew deadline")]
    DeadlineTooLong,
    /// One lost request would end the leadership.
    #[error("the renew deadline has to be longer than {JITTERED} times the retry period, which must not be zero")]
    RetryTooLong,
}

/// client-go's jitter factor is 1.2: a candidate waits for one to 2.2 retry periods.
const JITTERED: f64 = 2.2;

impl Times {
    /// The same times, when an election can be held with them.
    ///
    /// # Errors
    /// When it cannot.
    pub fn checked(self) -> Result<Self, InvalidTimes> {
        if self.lease_duration.as_secs() == 0 || self.lease_duration.subsec_nanos() > 0 {
            return Err(InvalidTimes::NoWholeSeconds);
        }
        if self.lease_duration <= self.renew_deadline {
            return Err(InvalidTimes::DeadlineTooLong);
        }
        if self.retry_period.is_zero() || self.renew_deadline <= self.retry_period.mul_f64(JITTERED) {
            return Err(InvalidTimes::RetryTooLong);
        }
        Ok(self)
    }

    /// How long one request for the Lease may take: three of them fit before the renew deadline.
    #[must_use]
    pub fn request_max(&self) -> Duration {
        self.renew_deadline / 3
    }
}

/// What a Lease says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Who holds it; empty when it was released.
    pub holder: String,
    /// How long it holds after it was seen to change.
    pub lasts: Duration,
    /// When its holder acquired it. For people.
    pub acquired_at: Option<Timestamp>,
    /// When its holder last renewed it. For people, and so that each renewal is another record.
    pub renewed_at: Option<Timestamp>,
    /// The epoch of its holder's leadership: another holder has a higher one.
    pub epoch: i64,
}

/// A Lease that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it says.
    pub record: Record,
    /// Its resource version: the precondition of the next write.
    pub version: String,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Time passed, or the process began.
    Tick,
    /// The read that was asked for found this.
    Read(Option<Found>),
    /// The write that was asked for was done, and left this.
    Written(Found),
    /// The write was refused: something else is there than it expected.
    Lost,
    /// The request was refused for another reason, or its answer did not come: whether it was carried out is not known.
    Failed(String),
    /// The process has stopped writing and gives the leadership back.
    Resign,
}

/// What is to be done. At most one request is under way at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Read the Lease by quorum.
    Read,
    /// Create it.
    Create(Record),
    /// Replace it, if it still has this resource version.
    Replace(Record, String),
    /// This process leads, under this epoch and until this moment.
    Lead {
        /// The epoch.
        epoch: i64,
        /// The renew deadline.
        until: Duration,
    },
    /// It goes on leading, until this moment.
    GoOn {
        /// The renew deadline.
        until: Duration,
    },
    /// It does not lead any more, for this reason. Nothing comes after it.
    Deposed(String),
    /// It has given the leadership back, or never had it. Nothing comes after it.
    Left,
}

/// Where the process stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It waits until the Lease is released or has expired.
    Candidate,
    /// It leads until then.
    Leader { until: Duration },
    /// It is over.
    Out,
}

/// How the leader's next attempt begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By a write over what was written last.
    Fast,
    /// By a read.
    Slow,
}

/// The Lease as it was last seen.
#[derive(Debug, Clone)]
struct Seen {
    found: Found,
    /// When its record was first seen like this, by our own clock.
    since: Duration,
}

/// One process in the election.
#[derive(Debug)]
pub struct Core {
    identity: String,
    times: Times,
    standing: Standing,
    seen: Option<Seen>,
    way: Way,
    /// When the request under way was sent.
    asked_at: Option<Duration>,
    next_attempt: Duration,
    is_resigning: bool,
}

impl Core {
    /// A process of this name, which no other one has.
    #[must_use]
    pub fn new(identity: &str, times: Times) -> Self {
        Self {
            identity: identity.to_owned(),
            times,
            standing: Standing::Candidate,
            seen: None,
            way: Way::Slow,
            asked_at: None,
            next_attempt: Duration::ZERO,
            is_resigning: false,
        }
    }

    /// When the next [`Event::Tick`] is due.
    #[must_use]
    pub fn next_tick(&self) -> Duration {
        let attempt = if self.asked_at.is_some() { Duration::MAX } else { self.next_attempt };
        match self.standing {
            Standing::Leader { until } => attempt.min(until),
            Standing::Candidate | Standing::Out => attempt,
        }
    }

    /// What to do about what happened. `wall` only becomes the timestamps of a record, and the lowest epoch of a new holder.
    pub fn on(&mut self, event: Event, now: Duration, wall: Timestamp) -> Vec<Effect> {
        let asked_at = if event == Event::Tick || event == Event::Resign { None } else { self.asked_at.take() };
        if self.standing == Standing::Out {
            return Vec::new();
        }
        let mut effects = match event {
            Event::Tick => Vec::new(),
            Event::Read(found) => self.on_read(found, now, wall),
            Event::Written(found) => self.on_written(found, asked_at.unwrap_or(now), now),
            Event::Lost => self.on_lost(now),
            Event::Failed(cause) => self.on_failed(&cause, now),
            Event::Resign => {
                self.is_resigning = true;
                Vec::new()
            }
        };
        if let Standing::Leader { until } = self.standing
            && now >= until
        {
            let waited = self.times.renew_deadline;
            return self.depose(&format!("the lease could not be renewed within {waited:?}"));
        }
        if effects.is_empty() && self.asked_at.is_none() && self.standing != Standing::Out {
            effects = if self.is_resigning { self.resign(now, wall) } else { self.attempt(now, wall) };
        }
        effects
    }

    /// The next attempt, if it is due: the leader's begins by a write over what it wrote last, everybody else's by a read.
    fn attempt(&mut self, now: Duration, wall: Timestamp) -> Vec<Effect> {
        if now < self.next_attempt {
            return Vec::new();
        }
        self.asked_at = Some(now);
        let is_leader = matches!(self.standing, Standing::Leader { .. });
        match &self.seen {
            Some(seen) if is_leader && self.way == Way::Fast => vec![self.renewal(&seen.found, wall)],
            _ => vec![Effect::Read],
        }
    }

    fn on_read(&mut self, found: Option<Found>, now: Duration, wall: Timestamp) -> Vec<Effect> {
        let is_leader = matches!(self.standing, Standing::Leader { .. });
        let Some(found) = found else {
            // Another candidate may have made it anew and lost it again meanwhile: the epoch must not be used twice.
            return if is_leader { self.depose("the lease was deleted") } else { self.make(now, wall) };
        };
        let holder = found.record.holder.clone();
        self.saw(found.clone(), now);
        if self.is_resigning && holder != self.identity {
            return self.leave();
        }
        if holder == self.identity {
            // A leader's own, or an acquisition whose answer was lost: either counts once a write over it is confirmed.
            self.asked_at = Some(now);
            return vec![self.renewal(&found, wall)];
        }
        if is_leader {
            let now_held = if holder.is_empty() { "no process".to_owned() } else { format!("{holder:?}") };
            return self.depose(&format!("the lease is held by {now_held}"));
        }
        if self.is_held(now) {
            self.wait(now);
            return Vec::new();
        }
        self.asked_at = Some(now);
        vec![Effect::Replace(self.new_record(wall), found.version)]
    }

    /// A Lease that was there and is not: its holder may not know yet, so it is waited for as if it still stood there.
    fn make(&mut self, now: Duration, wall: Timestamp) -> Vec<Effect> {
        if self.is_resigning {
            return self.leave();
        }
        if self.is_held(now) {
            self.wait(now);
            return Vec::new();
        }
        self.asked_at = Some(now);
        vec![Effect::Create(self.new_record(wall))]
    }

    fn on_written(&mut self, found: Found, asked_at: Duration, now: Duration) -> Vec<Effect> {
        let epoch = found.record.epoch;
        let is_released = found.record.holder.is_empty();
        self.saw(found, now);
        if is_released {
            return self.leave();
        }
        // From before the request was sent: others count from when it was carried out, which is later.
        let until = asked_at + self.times.renew_deadline;
        self.way = Way::Fast;
        self.next_attempt = now + self.times.retry_period;
        let was = std::mem::replace(&mut self.standing, Standing::Leader { until });
        if self.is_resigning {
            // What was just acquired is given back.
            return Vec::new();
        }
        match was {
            Standing::Candidate if now >= until => {
                // Nothing was done under it yet, so this is no end: it is acquired again.
                (self.standing, self.next_attempt) = (Standing::Candidate, now);
                Vec::new()
            }
            Standing::Candidate => vec![Effect::Lead { epoch, until }],
            Standing::Leader { .. } | Standing::Out => vec![Effect::GoOn { until }],
        }
    }

    /// A leader looks at once who was there; a candidate has lost and waits.
    fn on_lost(&mut self, now: Duration) -> Vec<Effect> {
        let was_fast = std::mem::replace(&mut self.way, Way::Slow) == Way::Fast;
        match self.standing {
            Standing::Leader { .. } if was_fast => self.next_attempt = now,
            Standing::Leader { .. } => self.next_attempt = now + self.times.retry_period,
            Standing::Candidate | Standing::Out => self.wait(now),
        }
        Vec::new()
    }

    fn on_failed(&mut self, cause: &str, now: Duration) -> Vec<Effect> {
        self.way = Way::Slow;
        if self.is_resigning {
            return self.leave();
        }
        match self.standing {
            Standing::Leader { until } if now >= until => {
                return self.depose(&format!("the lease could not be renewed within {:?}: {cause}", self.times.renew_deadline));
            }
            Standing::Leader { .. } => self.next_attempt = now + self.times.retry_period,
            Standing::Candidate | Standing::Out => self.wait(now),
        }
        Vec::new()
    }

    /// The Lease is emptied, so that the next leader need not wait until it expires.
    fn resign(&mut self, now: Duration, wall: Timestamp) -> Vec<Effect> {
        let Some(seen) = self.seen.as_ref().filter(|_| matches!(self.standing, Standing::Leader { .. })) else { return self.leave() };
        self.asked_at = Some(now);
        match self.way {
            Way::Fast => vec![self.renewal(&seen.found, wall)],
            Way::Slow => vec![Effect::Read],
        }
    }

    /// The same holder once more; or no holder, when the process resigns. client-go, too, leaves an emptied Lease one second.
    fn renewal(&self, found: &Found, wall: Timestamp) -> Effect {
        let (holder, lasts) =
            if self.is_resigning { (String::new(), Duration::from_secs(1)) } else { (self.identity.clone(), self.times.lease_duration) };
        Effect::Replace(Record { holder, lasts, renewed_at: Some(wall), ..found.record.clone() }, found.version.clone())
    }

    /// The epoch is higher than every one before, also when the Lease was deleted or this installation takes over from another one:
    /// then the seconds of the clock are higher than what was counted on from an earlier second.
    fn new_record(&self, wall: Timestamp) -> Record {
        let last = self.seen.as_ref().map_or(0, |seen| seen.found.record.epoch);
        Record {
            holder: self.identity.clone(),
            lasts: self.times.lease_duration,
            acquired_at: Some(wall),
            renewed_at: Some(wall),
            epoch: last.saturating_add(1).max(epoch_at(wall)),
        }
    }

    /// client-go's rule against skewed clocks: a record counts from when it was seen to change, by our own clock.
    fn is_held(&self, now: Duration) -> bool {
        let held = |seen: &Seen| !seen.found.record.holder.is_empty() && now < seen.since.saturating_add(seen.found.record.lasts);
        self.seen.as_ref().is_some_and(held)
    }

    fn saw(&mut self, found: Found, now: Duration) {
        let since = self.seen.as_ref().filter(|seen| seen.found.record == found.record).map_or(now, |seen| seen.since);
        self.seen = Some(Seen { found, since });
    }

    /// Candidates come apart by their names: two that always ask at the same moment would always collide.
    fn wait(&mut self, now: Duration) {
        let name = self.identity.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
        let jitter = f64::from(name % 1024) / 1024.0 * (JITTERED - 1.0);
        self.next_attempt = now + self.times.retry_period.mul_f64(1.0 + jitter);
    }

    fn depose(&mut self, why: &str) -> Vec<Effect> {
        self.standing = Standing::Out;
        vec![Effect::Deposed(why.to_owned())]
    }

    fn leave(&mut self) -> Vec<Effect> {
        self.standing = Standing::Out;
        vec![Effect::Left]
    }
}

/// `2026-01-01T00:00:00Z`.
const EPOCHS_BEGIN: i64 = 1_767_225_600;

/// A Lease holds a 32-bit number: room for a million changes of the leader beyond what any clock says.
const EPOCH_BY_CLOCK_MAX: i64 = i32::MAX as i64 - 1_000_000;

/// The lowest epoch of a leadership that begins now: the seconds since 2026. Leaders change less often than once a second, so counting on
/// never overtakes the clock.
#[must_use]
pub fn epoch_at(wall: Timestamp) -> i64 {
    (wall.as_second() - EPOCHS_BEGIN).clamp(1, EPOCH_BY_CLOCK_MAX)
}
