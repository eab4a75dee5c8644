//! The shipped program as processes of their own: the store and the controller. They end with this program.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::Serialize;

use crate::{Failure, Given};

/// The store's address; the cluster's network is its own, so the port is free.
pub const STORE: &str = "127.0.0.1:9000";
/// The store's bucket.
pub const BUCKET: &str = "web";
/// The store's key.
pub const KEY: [&str; 2] = ["bench", "bench-secret"];

/// Of the kernel's clock as processes see it, on every architecture that we build for.
const TICK: Duration = Duration::from_millis(10);

/// State of a connection in the kernel's tables.
const ESTABLISHED: &str = "01";

/// A process that ends with its owner.
pub struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The embedded store, in a folder of the scratch folder.
pub fn store(given: &Given) -> Result<Program, Failure> {
    let folder = given.scratch.join("store");
    let mut command = Command::new(&given.rollcall);
    command.args(["dev-store", "--listen", STORE, "--bucket", BUCKET, "--folder"]).arg(folder);
    command.args(["--access-key-id", KEY[0], "--secret-access-key", KEY[1]]);
    start(&mut command, &given.scratch.join("store.log"))
}

/// Sends a build into the store; ends when it is there.
pub fn publish(given: &Given, folder: &Path, prefix: &str, version: &str) -> Result<(), Failure> {
    let mut command = Command::new(&given.rollcall);
    command.arg("publish").arg(folder).args(["--to", &format!("s3://{BUCKET}/{prefix}"), "--version", version]);
    command.args(["--endpoint", &format!("http://{STORE}")]);
    command.env("AWS_ACCESS_KEY_ID", KEY[0]).env("AWS_SECRET_ACCESS_KEY", KEY[1]);
    let output = command.output()?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into()) }
}

/// The controller, as the chart starts it but for the kubeconfig and the election: one alone has nobody to agree with.
pub fn controller(given: &Given) -> Result<Program, Failure> {
    let mut command = Command::new(&given.rollcall);
    command.arg("controller").arg("--kubeconfig").arg(&given.account);
    command.arg("--workspace").arg(given.scratch.join("workspace"));
    command.args(["--no-leader-elect", "--egress-allow", "127.0.0.0/8", "--log", &given.log]);
    start(&mut command, &given.scratch.join("controller.log"))
}

/// Processor time that a program has used so far, user's and system's, in ticks of the kernel's clock (10 ms).
pub fn cpu(program: &Program) -> Result<Duration, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", program.0.id()))?;
    // The name stands in parentheses, and the third field follows it.
    let fields: Vec<&str> = stat.rsplit_once(')').ok_or("no name in stat")?.1.split_whitespace().collect();
    let [user, system] = [11, 12].map(|at| fields.get(at).and_then(|ticks| ticks.parse::<u64>().ok()));
    Ok(TICK * u32::try_from(user.zip(system).map(|(user, system)| user + system).ok_or("no times in stat")?)?)
}

/// Established TCP connections of a program.
pub fn connections(program: &Program) -> Result<usize, Failure> {
    let folder = format!("/proc/{}", program.0.id());
    let sockets: BTreeSet<String> = std::fs::read_dir(format!("{folder}/fd"))?
        .filter_map(|entry| {
            Some(std::fs::read_link(entry.ok()?.path()).ok()?.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned())
        })
        .collect();
    let mut count = 0;
    for table in ["net/tcp", "net/tcp6"] {
        let table = std::fs::read_to_string(format!("{folder}/{table}"))?;
        let is_own = |line: &&str| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            fields.get(3) == Some(&ESTABLISHED) && fields.get(9).is_some_and(|inode| sockets.contains(*inode))
        };
        count += table.lines().filter(is_own).count();
    }
    Ok(count)
}

fn start(command: &mut Command, log: &Path) -> Result<Program, Failure> {
    let log = std::fs::File::create(log)?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Ok(Program(command.spawn()?))
}

/// Resident memory of a process in KiB, as the kernel counts it.
#[derive(Clone, Copy, Serialize)]
#[expect(clippy::struct_field_names, reason = "the unit belongs to the names of the figures")]
pub struct Resident {
    /// All of it.
    pub total_kib: u64,
    /// What only this process has; the rest are pages of the program's file, which the kernel may take back.
    pub anonymous_kib: u64,
    /// The most of it so far.
    pub peak_kib: u64,
}

/// What a program holds now.
pub fn resident(program: &Program) -> Result<Resident, Failure> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.0.id()))?;
    let kib = |name: &str| -> Result<u64, Failure> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or_else(|| format!("no {name}"))?;
        Ok(line.trim().trim_end_matches("kB").trim().parse()?)
    };
    Ok(Resident { total_kib: kib("VmRSS:")?, anonymous_kib: kib("RssAnon:")?, peak_kib: kib("VmHWM:")? })
}
