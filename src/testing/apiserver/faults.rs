//! What can go wrong with a request or a watch: a hook is asked before and after everything.
//! Never breaks a guarantee of the real server: an event may come late or with another watch, but it comes.

use std::time::Duration;

use serde_json::Value;

use super::kinds::Key;
use super::refusal::Refusal;
use super::request::Verb;
use super::state::Change;

/// A request as a hook sees it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Counts all requests from 1.
    pub number: u64,
    /// Counts the mutating requests of this actor from 1; `None` for reads.
    pub mutation: Option<u64>,
    /// Whose client it came from.
    pub actor: String,
    /// What is asked.
    pub verb: Verb,
    /// Of which object; without a name for lists, watches and creates.
    pub key: Key,
    /// Whether it goes through the status door.
    pub status: bool,
}

/// What becomes of a request before it is looked at.
#[derive(Debug, Clone, PartialEq)]
pub enum Before {
    /// It goes on.
    Pass,
    /// It is answered with this and does nothing.
    Refuse(Refusal),
    /// It is never answered and does nothing.
    Hang,
    /// The connection breaks and it does nothing.
    Break,
    /// A read that allows it (`resourceVersion=0`) is answered from this version; any other goes on.
    FromVersion(u64),
    /// A read is answered from this version although it asked for the newest. No real server does so: it shows what the question is for.
    Lie(u64),
}

/// What becomes of the answer to a mutating request that was carried out.
#[derive(Debug, Clone, PartialEq)]
pub enum After {
    /// It reaches the caller.
    Pass,
    /// The caller gets this instead.
    Replace(Refusal),
    /// The caller never hears.
    Hang,
    /// The connection breaks.
    Break,
}

/// What becomes of one event of a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It is sent.
    Now,
    /// It, and all behind it, are held back this long.
    Late(Duration),
    /// The stream ends before it; the next watch sees it.
    Close,
    /// The stream says that the version is too old: the client has to list again.
    Expire,
}

/// Asked about everything that happens. The first hook that does not pass decides.
pub trait Hook: Send + Sync {
    /// Before a request is looked at.
    fn before(&self, _seen: &Seen) -> Before {
        Before::Pass
    }

    /// After a mutating request was answered with this code.
    fn after(&self, _seen: &Seen, _code: u16) -> After {
        After::Pass
    }

    /// Before an event is sent.
    fn deliver(&self, _seen: &Seen, _change: &Change) -> Delivery {
        Delivery::Now
    }

    /// Changes what the caller is shown of an object. No real server does so: it shows what a rule of the protocol is for.
    fn show(&self, _seen: &Seen, _object: &mut Value) {}

    /// How long the request is on its way.
    fn latency(&self, _seen: &Seen) -> Duration {
        Duration::ZERO
    }

    /// How long it is held on its way. Other than with [`Hook::latency`] it arrives whether or not anybody still waits for its answer.
    fn hold(&self, _seen: &Seen) -> Duration {
        Duration::ZERO
    }
}
