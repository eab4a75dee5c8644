//! The bench: the shipped controller against a real API server and a real store, with a hundred pods played by this program.
//! It must never be pointed at a cluster that somebody uses (tests/bench/run.sh makes one), nor run without a bound.

mod audit;
mod channel;
mod figures;
mod flips;
mod idle;
mod many;
mod objects;
mod pods;
mod pointer;
mod programs;
mod scale;
mod tarpits;
mod world;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

/// Whatever went wrong, with its cause.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Measures the shipped controller.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    given: Given,
    #[command(subcommand)]
    measure: Measure,
}

/// What run.sh has made ready.
#[derive(clap::Args)]
struct Given {
    /// The shipped program.
    #[arg(long)]
    rollcall: PathBuf,
    /// Kubeconfig of an administrator, who plays the pods.
    #[arg(long)]
    admin: PathBuf,
    /// Kubeconfig of the chart's ServiceAccount.
    #[arg(long)]
    account: PathBuf,
    /// Folder with v1.tar.gz and v2.tar.gz.
    #[arg(long)]
    builds: PathBuf,
    /// Folder for what is kept while measuring, and for the logs.
    #[arg(long)]
    scratch: PathBuf,
    /// Pods.
    #[arg(long, default_value_t = 100)]
    pods: usize,
    /// Where the figures go, as JSON.
    #[arg(long)]
    out: PathBuf,
    /// What the controller logs.
    #[arg(long, default_value = "info")]
    log: String,
}

/// How the pods report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Channel {
    /// By their own status condition.
    Condition,
    /// By an HTTP endpoint each.
    Http,
}

#[derive(Subcommand)]
enum Measure {
    /// From the last pod's report to the flipped pointer in a third client's watch.
    Flips {
        /// How the pods report.
        #[arg(long, value_enum, default_value = "condition")]
        channel: Channel,
        /// Flips that are measured.
        #[arg(long, default_value_t = 300)]
        count: usize,
    },
    /// Memory and requests of a controller that has nothing to do.
    Idle {
        /// The API server's audit log.
        #[arg(long)]
        audit: PathBuf,
        /// User name of the controller in it.
        #[arg(long, default_value = "system:serviceaccount:rollcall-system:rollcall")]
        user: String,
        /// How long, in seconds.
        #[arg(long, default_value_t = 120)]
        seconds: u64,
    },
    /// From the last report of very many pods to the flipped pointer, and what a report costs.
    Many {
        /// Flips that are measured.
        #[arg(long, default_value_t = 20)]
        count: usize,
    },
    /// What very many releases cost.
    Scale(scale::Options),
    /// From a new version in the spec to the flipped pointer, beside tenants whose stores never answer.
    Tarpits {
        /// New versions for each arrangement of tarpits.
        #[arg(long, default_value_t = 60)]
        count: usize,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let told = match &arguments.measure {
        Measure::Flips { channel, count } => flips::measure(&arguments.given, *channel, *count).await,
        Measure::Tarpits { count } => tarpits::measure(&arguments.given, *count).await,
        Measure::Many { count } => many::measure(&arguments.given, *count).await,
        Measure::Scale(options) => scale::measure(&arguments.given, options).await,
        Measure::Idle { audit, user, seconds } => idle::measure(&arguments.given, audit, user, *seconds).await,
    };
    match told.and_then(|table| Ok(std::io::stdout().write_all(table.as_bytes())?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            // Nobody is left to tell when standard error is gone, too.
            let _ = writeln!(std::io::stderr(), "rollcall-bench: {problem}");
            ExitCode::FAILURE
        }
    }
}
