//! The controllers of a world: one, two that know nothing of each other, or two of which one leads.
//! Never lets a controller that has ended write anything, but for what was on its way to the API server.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::doors::Caller;
use super::invariants::lease_key;
use super::lives::Pulse;
use super::storage::{Line, To};
use super::{World, grants};
use crate::cluster::leader::{Elector, LeaseObject, OnlyWhileLeading, Term, Times};
use crate::controller::{self, Context, Outside, Settings};
use crate::metrics::Metrics;
use crate::source::Workspace;
use crate::testing::builders::NAMESPACE;

/// Name of the Lease.
pub(super) const LEASE: &str = "rollcall";

/// A controller's process.
pub(super) struct Process {
    name: String,
    task: AbortHandle,
}

/// Whether the controllers of a world hold elections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replicas {
    /// Each acts as if it were alone.
    Unelected,
    /// They share a Lease.
    Elected,
}

impl World {
    /// Starts a controller: a new process that knows nothing.
    pub fn start_controller(&mut self) {
        self.controller = Some(self.start());
    }

    /// Starts a second one beside it.
    pub fn start_rival(&mut self) {
        self.rival = Some(self.start());
    }

    /// From now on two controllers share a Lease; whatever ran before is ended.
    pub fn hold_elections(&mut self) {
        self.kill_controller();
        self.kill_rival();
        self.replicas = Replicas::Elected;
        self.start_controller();
        self.start_rival();
    }

    fn start(&mut self) -> Process {
        self.controllers += 1;
        let name = format!("controller#{}", self.controllers);
        let task = match self.replicas {
            Replicas::Unelected => tokio::spawn(act(self.outside(&name, &Term::unelected()), settings(&name), std::future::pending())),
            Replicas::Elected => {
                let (term, times) = (Term::standby(), Times::default());
                let (outside, settings) = (self.outside(&name, &term), settings(&name));
                let lease = LeaseObject::new(self.server.client(&name), NAMESPACE, LEASE, times.request_max());
                let elector = Elector { lease, identity: name.clone(), times, clock: self.clock.clone(), term };
                let work = |leading: crate::cluster::leader::Leading| {
                    act(outside, Settings { epoch: Some(leading.epoch), ..settings }, leading.stop.cancelled_owned())
                };
                tokio::spawn(async move {
                    elector.run(tokio_util::sync::CancellationToken::new(), || {}, work).await;
                })
            }
        };
        self.trace.note("controller", "starts");
        Process { name, task: task.abort_handle() }
    }

    fn outside(&self, process: &str, term: &Term) -> Outside {
        Outside {
            client: self.server.client_through(process, &OnlyWhileLeading(term.clone())),
            clock: self.clock.clone(),
            buckets: Arc::new(self.line(process)),
            source: self.source.clone(),
            reports: Arc::new(Caller { doors: self.doors.clone(), lives: self.lives.clone(), process: process.to_owned() }),
        }
    }

    pub(super) fn line(&self, process: &str) -> Line {
        Line {
            bucket: self.store.clone(),
            replica: self.replica_store.clone(),
            builds: self.builds_store.clone(),
            tarpit: self.tarpit.clone(),
            to: To::Store,
            process: process.to_owned(),
            lives: self.lives.clone(),
            checker: self.checker.clone(),
        }
    }

    /// Ends the controller where it stands.
    pub fn kill_controller(&mut self) {
        let process = self.controller.take();
        self.kill(process);
    }

    /// Ends the second one.
    pub fn kill_rival(&mut self) {
        let process = self.rival.take();
        self.kill(process);
    }

    fn kill(&self, process: Option<Process>) {
        if let Some(process) = process {
            // One that ended by itself has sent what it sent.
            if !process.task.is_finished() {
                self.lives.kill(&process.name);
                process.task.abort();
            }
            self.trace.note("controller", "ends");
        }
    }

    /// Those that were ended at a request, and those that do not lead any more, are started again a second later.
    pub(super) async fn bring_back_controllers(&mut self) {
        if self.has_ended(self.controller.as_ref()) {
            self.kill_controller();
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.start_controller();
        }
        if self.has_ended(self.rival.as_ref()) {
            self.kill_rival();
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.start_rival();
        }
    }

    fn has_ended(&self, process: Option<&Process>) -> bool {
        process.is_some_and(|process| process.task.is_finished() || self.lives.pulse(&process.name) == Pulse::Dead)
    }

    /// The process that holds the Lease.
    #[must_use]
    pub fn leader(&self) -> Option<String> {
        let lease = self.server.get(&lease_key())?;
        lease["spec"]["holderIdentity"].as_str().filter(|holder| !holder.is_empty()).map(ToOwned::to_owned)
    }

    /// From now on, and for this long, whatever the leader sends is on its way: it arrives then, whatever has become of the leader.
    /// Says which process that is.
    pub fn hold_requests_of_the_leader(&self, length: Duration) -> Option<String> {
        let leader = self.leader()?;
        self.held.of(&leader, Instant::now() + length);
        self.trace.note("controller", &format!("is cut off for {length:?}"));
        Some(leader)
    }
}

impl World {
    /// The same, from the leader's next write of an object of this kind (`configmaps`, `assetreleases`) on: that write is under way.
    pub fn hold_requests_of_the_leader_from_write(&self, plural: &'static str, length: Duration) -> Option<String> {
        let leader = self.leader()?;
        self.held.at_write(&leader, plural, length);
        Some(leader)
    }

    /// A user deletes the Lease.
    pub fn delete_lease(&self) {
        self.server.delete("user", &lease_key()).expect("the Lease is there");
    }

    /// The epoch of the process that holds the Lease.
    #[must_use]
    pub fn epoch(&self) -> i64 {
        self.server.get(&lease_key()).and_then(|lease| lease["spec"]["leaseTransitions"].as_i64()).unwrap_or_default()
    }
}

fn settings(process: &str) -> Settings {
    let workspace = Workspace::new(&std::env::temp_dir(), 1 << 30);
    Settings { namespaces: Vec::new(), workspace, instance: process.to_owned(), epoch: None, ambient: grants() }
}

async fn act(outside: Outside, settings: Settings, stop: impl Future<Output = ()> + Send + Sync + 'static) {
    let (cx, changes) = Context::new(outside, settings, Arc::<Metrics>::default());
    controller::run(cx, changes, || {}, stop).await;
}
