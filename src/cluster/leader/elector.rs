//! The election, carried out: requests for the Lease, the term that follows from them, and the work that runs while this process leads.
//! Never decides who leads: that is [`super::core`].

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::core::{Core, Effect, Event, Times};
use super::lease::{Last, LeaseObject};
use super::term::{MayWrite, Term};
use crate::clock::Clock;

/// One process that stands for election.
pub struct Elector {
    /// The Lease, by a client of its own: one that waits for something else must not hold up a renewal.
    pub lease: LeaseObject,
    /// A name that no other process has, nor another life of this one.
    pub identity: String,
    /// How it is timed.
    pub times: Times,
    /// For the timestamps in the Lease.
    pub clock: Arc<dyn Clock>,
    /// What follows from it.
    pub term: Term,
}

/// What the work is given when this process leads.
pub struct Leading {
    /// The epoch, which only grows from one leader to the next.
    pub epoch: i64,
    /// Asks the work to end. The Lease is renewed until it has.
    pub stop: CancellationToken,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The process was asked to stop, or the work ended; the Lease is given back.
    Left,
    /// Leadership was lost, for this reason. The work was dropped where it stood.
    Deposed(String),
}

type Request = Pin<Box<dyn Future<Output = (Event, Last)> + Send>>;

/// An election under way.
struct Running<'a, F> {
    elector: &'a Elector,
    core: Core,
    begun: Instant,
    request: Option<Request>,
    last: Last,
    /// Who held the Lease when that was last logged.
    holder: Option<String>,
    begin: Option<F>,
    /// Dropped with the election, whatever becomes of it: work without a term may not go on.
    work: Option<AbortOnDropHandle<()>>,
    work_stop: CancellationToken,
}

impl Elector {
    /// Waits until this process leads, does the work, and gives the Lease back when the work has ended. `contact` is called at the first
    /// answer about the Lease.
    pub async fn run<F, W>(self, stop: CancellationToken, contact: impl FnOnce() + Send, work: F) -> Ended
    where
        F: FnOnce(Leading) -> W + Send,
        W: Future<Output = ()> + Send + 'static,
    {
        let mut running = Running {
            core: Core::new(&self.identity, self.times),
            elector: &self,
            begun: Instant::now(),
            request: None,
            last: None,
            holder: None,
            begin: Some(work),
            work: None,
            work_stop: CancellationToken::new(),
        };
        let mut contact = Some(contact);
        loop {
            let event = running.next_event(&stop).await;
            if matches!(event, Event::Read(_) | Event::Written(_))
                && let Some(contact) = contact.take()
            {
                contact();
            }
            if let Some(ended) = running.on(event) {
                return ended;
            }
        }
    }
}

impl<F, W> Running<'_, F>
where
    F: FnOnce(Leading) -> W + Send,
    W: Future<Output = ()> + Send + 'static,
{
    /// What happens next. After a long pause of the whole process everything is due at once: the answer comes first, and its deadline counts
    /// from when it was asked for.
    async fn next_event(&mut self, stop: &CancellationToken) -> Event {
        loop {
            let tick = self.begun.checked_add(self.core.next_tick());
            let is_stopping = self.work_stop.is_cancelled();
            tokio::select! {
                biased;
                (event, last) = pending_unless(self.request.as_mut()) => {
                    self.request = None;
                    if last.is_some() {
                        self.last = last;
                    }
                    return event;
                }
                ended = pending_unless(self.work.as_mut()) => {
                    self.work = None;
                    if let Err(Ok(panic)) = ended.map_err(tokio::task::JoinError::try_into_panic) {
                        std::panic::resume_unwind(panic);
                    }
                    self.work_stop.cancel();
                    return Event::Resign;
                }
                () = stop.cancelled(), if !is_stopping => {
                    self.work_stop.cancel();
                    if self.work.is_none() {
                        return Event::Resign;
                    }
                }
                () = at(tick) => return Event::Tick,
            }
        }
    }

    /// No silent wait: the log has who holds the Lease, and why a request for it failed.
    fn log(&mut self, event: &Event) {
        match event {
            Event::Failed(error) => {
                tracing::warn!(lease.identity = %self.elector.identity, %error, "the request for the lease failed; it is retried");
            }
            Event::Read(Some(found)) if self.holder.as_ref() != Some(&found.record.holder) => {
                tracing::info!(lease.identity = %self.elector.identity, lease.holder = %found.record.holder, "the lease was read");
                self.holder = Some(found.record.holder.clone());
            }
            Event::Read(_) | Event::Written(_) | Event::Tick | Event::Lost | Event::Resign => {}
        }
    }

    fn on(&mut self, event: Event) -> Option<Ended> {
        self.log(&event);
        let effects = self.core.on(event, self.begun.elapsed(), self.elector.clock.now());
        effects.into_iter().find_map(|effect| self.carry_out(effect))
    }

    fn carry_out(&mut self, effect: Effect) -> Option<Ended> {
        let (lease, term) = (self.elector.lease.clone(), &self.elector.term);
        match effect {
            Effect::Read => self.request = Some(Box::pin(lease.read())),
            Effect::Create(record) => self.request = Some(Box::pin(lease.create(record))),
            Effect::Replace(record, version) => self.request = Some(Box::pin(lease.replace(record, version, self.last.clone()))),
            Effect::Lead { epoch, until } => {
                term.set(MayWrite::Until(self.begun + until));
                tracing::info!(lease.identity = %self.elector.identity, epoch, "this controller leads");
                let begin = self.begin.take().expect("a process leads once");
                self.work = Some(AbortOnDropHandle::new(tokio::spawn(begin(Leading { epoch, stop: self.work_stop.clone() }))));
            }
            Effect::GoOn { until } => term.set(MayWrite::Until(self.begun + until)),
            Effect::Deposed(why) => {
                term.set(MayWrite::NoMore(why.clone()));
                return Some(Ended::Deposed(why));
            }
            Effect::Left => {
                term.set(MayWrite::NoMore("it has stopped".into()));
                return Some(Ended::Left);
            }
        }
        None
    }
}

async fn pending_unless<T>(future: Option<&mut (impl Future<Output = T> + Unpin)>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

async fn at(tick: Option<Instant>) {
    match tick {
        Some(tick) => sleep_until(tick).await,
        None => std::future::pending().await,
    }
}
