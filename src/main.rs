//! The `rollcall` program: reads what was typed, begins to log, and becomes one of its roles.

use std::process::ExitCode;

use clap::Parser;
use rollcall::api::foreign::lines_escaped;
use rollcall::cli::Cli;
use rollcall::{roles, telemetry};

/// musl's own allocator is slow under threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = telemetry::init(cli.log.log_format, &cli.log.log) {
        return fail(&error);
    }
    match roles::run(cli.role) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            fail(&error.to_string());
            roles::exit_code(&error)
        }
    }
}

#[expect(clippy::print_stderr, reason = "the last word of a program that cannot go on")]
fn fail(message: &str) -> ExitCode {
    eprintln!("rollcall: {}", lines_escaped(message));
    ExitCode::FAILURE
}
