//! The load program of the demo and the tests: visitors that load pages with everything the pages refer to and judge what they
//! get, a watcher that tells a rollout while it happens, and for `make load` the schedule, a slow network and the verdict.
//! It must never ask any host but the one it is given, nor run without a bound in time or in count.

mod behind;
mod browse;
mod delay;
mod fetch;
mod judge;
mod references;
mod schedule;
mod tally;
mod verdict;
mod watch;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

/// Visitors of a web site, and a watcher of a rollout.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Loads pages and all their assets, over new connections or kept ones, and prints one line of JSON at the end.
    Browse(browse::Settings),
    /// Tells a rollout while it happens, on standard error, and prints what it measured as one line of JSON.
    Watch(watch::Settings),
    /// Prints the schedule of a long run, an event a line: milliseconds, its name, what it needs.
    Plan {
        /// The schedule follows from it alone.
        #[arg(long)]
        seed: u64,
        /// Events up to this time.
        #[arg(long)]
        seconds: u64,
    },
    /// Passes connections on to an address, late by what a file says.
    Delay(delay::Settings),
    /// Judges a long run by the folder that it left, and prints a table.
    Verdict(verdict::Settings),
}

// One thread: visitors spend their time in the kernel, and a second thread would only hand them over.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let told = match Arguments::parse().role {
        Role::Browse(settings) => browse::run(&settings).await,
        Role::Watch(settings) => watch::run(&settings).await,
        Role::Plan { seed, seconds } => Ok(plan(seed, seconds)),
        Role::Delay(settings) => delay::run(&settings).await,
        Role::Verdict(settings) => verdict::run(&settings),
    };
    match told {
        Ok(line) => print_line(&line),
        Err(problem) => complain(&problem),
    }
}

fn plan(seed: u64, seconds: u64) -> String {
    let end = Duration::from_secs(seconds);
    let lines: Vec<String> =
        schedule::Schedule::new(seed).take_while(|planned| planned.at <= end).map(|planned| planned.to_string()).collect();
    lines.join("\n")
}

fn print_line(line: &str) -> ExitCode {
    match writeln!(std::io::stdout(), "{line}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn complain(problem: &str) -> ExitCode {
    // Nobody is left to tell when standard error is gone, too.
    let _ = writeln!(std::io::stderr(), "rollcall-load: {problem}");
    ExitCode::from(2)
}
