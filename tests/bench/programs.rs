//! The shipped program as processes of their own: the store and the controller. They end with this program.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde::Serialize;

use crate::{Failure, Given};

/// The store's address; the cluster's network is its own, so the port is free.
pub const STORE: &str = "127.0.0.1:9000";
/// The store's bucket.
pub const BUCKET: &str = "web";
/// The store's key.
pub const KEY: [&str; 2] = ["bench", "bench-secret"];

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

/// The controller, as the chart starts it but for the kubeconfig and the election: one alone has nobody to agree with.
pub fn controller(given: &Given) -> Result<Program, Failure> {
    let mut command = Command::new(&given.rollcall);
    command.arg("controller").arg("--kubeconfig").arg(&given.account);
    command.arg("--workspace").arg(given.scratch.join("workspace"));
    command.args(["--no-leader-elect", "--egress-allow", "127.0.0.0/8", "--log", &given.log]);
    start(&mut command, &given.scratch.join("controller.log"))
}

fn start(command: &mut Command, log: &Path) -> Result<Program, Failure> {
    let log = std::fs::File::create(log)?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Ok(Program(command.spawn()?))
}

/// Resident memory of a process in KiB, as the kernel counts it.
#[derive(Clone, Copy, Serialize)]
pub struct Resident {
    /// All of it.
    pub total_kib: u64,
    /// What only this process has; the rest are pages of the program's file, which the kernel may take back.
    pub anonymous_kib: u64,
}

/// What a program holds now.
pub fn resident(program: &Program) -> Result<Resident, Failure> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.0.id()))?;
    let kib = |name: &str| -> Result<u64, Failure> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or_else(|| format!("no {name}"))?;
        Ok(line.trim().trim_end_matches("kB").trim().parse()?)
    };
    Ok(Resident { total_kib: kib("VmRSS:")?, anonymous_kib: kib("RssAnon:")? })
}
