//! The load program of the demo and the tests: visitors that load pages with everything the pages refer to and judge what they
//! get, and a watcher that tells a rollout while it happens.
//! It must never ask any host but the one it is given, nor run without a bound in time or in count.

mod browse;
mod fetch;
mod judge;
mod references;
mod tally;
mod watch;

use std::io::Write;
use std::process::ExitCode;

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
    /// Loads pages and all their assets, each over its own connection, and prints one line of JSON at the end.
    Browse(browse::Settings),
    /// Tells a rollout while it happens, on standard error, and prints what it measured as one line of JSON.
    Watch(watch::Settings),
}

#[tokio::main]
async fn main() -> ExitCode {
    let told = match Arguments::parse().role {
        Role::Browse(settings) => browse::run(&settings).await,
        Role::Watch(settings) => watch::run(&settings).await,
    };
    match told {
        Ok(line) => print_line(&line),
        Err(problem) => complain(&problem),
    }
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
