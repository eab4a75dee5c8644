//! How many files the process may have open. Never lowers what it was given.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Takes as many as the system allows (shells and systemd begin programs with 1,024) and says how many these are.
pub fn allow_all() -> u64 {
    let given = getrlimit(Resource::Nofile);
    let all = Rlimit { current: given.maximum, ..given };
    // A refusal leaves the process with what it has.
    let allowed = if setrlimit(Resource::Nofile, all).is_ok() { given.maximum } else { given.current };
    allowed.unwrap_or(u64::MAX)
}
