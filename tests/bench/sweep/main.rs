//! The bench of retention: a plan over 1,000 versions of 10,000 files with 1 % churn, their manifests compressed and local.
//! It must never touch a store: fetching is excluded, everything else is the shipped code.
//!
//! `make FOLDER` writes the manifests, `plan FOLDER` measures in a process of its own, so that its memory is the plan's.

mod history;
mod shelf;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use rollcall::clock::SystemClock;
use rollcall::sweep::{GRACE, Tools, plan};

use history::History;
use shelf::Shelf;

/// As in the shipped program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Whatever went wrong, with its cause.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    history: History,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Write the manifests
    Make {
        /// Where
        folder: PathBuf,
    },
    /// Plan a sweep over them
    Plan {
        /// Where they are
        folder: PathBuf,
        /// Threads of the runtime
        #[arg(long, default_value_t = 2)]
        threads: usize,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let told = match &arguments.what {
        What::Make { folder } => arguments.history.write(folder),
        What::Plan { folder, threads } => measure(&arguments.history, folder, *threads),
    };
    match told.and_then(|line| Ok(writeln!(std::io::stdout(), "{line}")?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            // Nobody is left to tell when standard error is gone, too.
            let _ = writeln!(std::io::stderr(), "rollcall-sweep-bench: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// User and system time of this process so far; the kernel counts in hundredths.
fn cpu_seconds() -> Result<f64, Failure> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u32 = [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<u32>().ok()).sum();
    Ok(f64::from(ticks) / 100.0)
}

fn measure(history: &History, folder: &std::path::Path, threads: usize) -> Result<String, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).max_blocking_threads(threads).enable_all().build()?;
    let shelf = Arc::new(Shelf::open(history, folder)?);
    let tools = Tools { bucket: shelf.clone(), clock: Arc::new(SystemClock), grace: GRACE, replicas: Vec::new() };
    let (begun, cpu_before) = (tokio::time::Instant::now(), cpu_seconds()?);
    let plan = runtime.block_on(plan(&tools, &shelf.layout))?;
    let wall = begun.elapsed();
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.split_whitespace().next())
        .unwrap_or("0")
        .parse()?;
    Ok(serde_json::json!({
        "versions": history.versions,
        "filesEach": history.files,
        "objects": shelf.objects(),
        "manifestBytes": shelf.bytes_read(),
        "versionsKept": plan.roots.kept.len(),
        "versionsGoing": plan.roots.going.len(),
        "objectsKept": plan.kept.objects,
        "objectsPinned": plan.pinned.objects,
        "objectsGoing": plan.going.objects,
        "wallSeconds": wall.as_secs_f64(),
        "cpuSeconds": cpu_seconds()? - cpu_before,
        "peakMiB": peak / 1024,
    })
    .to_string())
}
