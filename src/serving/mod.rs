//! How every server of ours takes connections: one loop, bounded in connections, bytes and time.
//!
//! ```text
//!  accept ──▶ a place? ── no: the one that gets on least gives it up ──▶ a task on hyper ──▶ strict ──▶ router
//!    └─ every second: whoever has had its time is ended                    └─ Watched: what is it doing, since when
//! ```
//! Never lets a peer that does not get on keep a place for ever, and never lets an answer wait for the acknowledgement of its own
//! beginning. Time-outs cost a request nothing but notes in atomics: one look at all connections replaces a timer for each.

mod files;
mod limits;
mod places;
mod strict;
mod watched;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::{Method, Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tower::Service as _;

pub use files::allow_all as allow_all_files;
pub use limits::{Limits, Peers};

use places::{Full, Phase, Places, Slot, millis};
use watched::{Received, Sent, Watched};

/// After an accept that failed for want of files or memory: something must end first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What became of connections that were not simply served.
#[derive(Debug, Default)]
pub struct Tally {
    /// Open at this moment.
    pub open: AtomicU64,
    /// Had no place.
    pub refused: AtomicU64,
    /// Gave their place to another one.
    pub displaced: AtomicU64,
    /// Did not get on.
    pub late: AtomicU64,
}

impl Tally {
    fn add(&self, counter: impl FnOnce(&Self) -> &AtomicU64, count: u64) {
        counter(self).fetch_add(count, Ordering::Relaxed);
    }
}

/// A server before it serves.
#[derive(Debug, Clone)]
pub struct Server {
    name: &'static str,
    limits: Limits,
    tally: Arc<Tally>,
}

impl Server {
    /// One with these limits; `name` stands in log lines.
    #[must_use]
    pub fn new(name: &'static str, limits: Limits) -> Self {
        Self { name, limits, tally: Arc::default() }
    }

    /// What becomes of its connections.
    #[must_use]
    pub fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }

    /// Serves until `stop`, then until the answers under way are sent, but not longer than [`Limits::drain`]. A handler of a request that
    /// is neither GET nor HEAD finds the peer as axum's [`ConnectInfo`]. Dropping the future ends every connection.
    pub async fn run(self, listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
        self.run_behind(listener, router, stop).await;
    }

    async fn run_behind(self, door: impl Door, router: Router, stop: impl Future<Output = ()>) {
        let house = House::new(self);
        let _all_end_with_this = EndAll(Arc::clone(&house));
        let mut stop = pin!(stop);
        let mut look = interval(house.server.limits.look_every());
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = &mut stop => break,
                _ = look.tick(), if house.places().count() > 0 => house.end_late(),
                accepted = door.accept() => match accepted {
                    Ok((stream, peer)) => house.admit(stream, peer, &router).await,
                    Err(error) => house.accept_failed(&error).await,
                },
            }
        }
        drop(door);
        house.drain().await;
    }
}

/// Where connections come from. Whatever fails is tried again.
trait Door: Send {
    fn accept(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send;
}

impl Door for TcpListener {
    fn accept(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send {
        Self::accept(self)
    }
}

/// A server that serves.
struct House {
    server: Server,
    began: Instant,
    http: http1::Builder,
    slots: Box<[Slot]>,
    places: Mutex<Places>,
    stopping: AtomicBool,
    emptied: Notify,
}

/// Ends all connections when the loop ends, however it ends.
struct EndAll(Arc<House>);

impl Drop for EndAll {
    fn drop(&mut self) {
        self.0.places().end_all();
    }
}

impl House {
    fn new(server: Server) -> Arc<Self> {
        let mut http = http1::Builder::new();
        http.max_buf_size(limits::HEAD_BYTES_MAX).header_read_timeout(None);
        let count = server.limits.connections_max;
        Arc::new(Self {
            server,
            began: Instant::now(),
            http,
            slots: (0..count).map(|_| Slot::default()).collect(),
            places: Mutex::new(Places::new(count)),
            stopping: AtomicBool::new(false),
            emptied: Notify::new(),
        })
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds since the beginning; never 0, which stands for "not at all".
    fn now(&self) -> u64 {
        millis(self.began.elapsed()) + 1
    }

    fn tally(&self) -> &Tally {
        &self.server.tally
    }

    fn end_late(&self) {
        let late = self.places().end_late(&self.slots, self.now(), &self.server.limits);
        if late > 0 {
            self.tally().add(|tally| &tally.late, late);
            tracing::debug!(server = self.server.name, late, "connections that did not get on were ended");
        }
    }

    async fn admit(self: &Arc<Self>, stream: TcpStream, address: SocketAddr, router: &Router) {
        let peer = self.server.limits.peer(address.ip());
        loop {
            let full = match self.begin(peer, &stream) {
                Ok(index) => return self.spawn(index, stream, address, router.clone()),
                Err(full) => full,
            };
            if !self.displace(full, peer).await {
                self.tally().add(|tally| &tally.refused, 1);
                tracing::debug!(server = self.server.name, peer = %address.ip(), ?full, "a connection was refused");
                return;
            }
        }
    }

    fn begin(&self, peer: u128, stream: &TcpStream) -> Result<usize, Full> {
        let index = self.places().take(peer, self.server.limits.per_peer_max)?;
        self.slots[index].begin(self.now());
        let socket = SockRef::from(stream);
        // Without the first a body waits for the acknowledgement of its head, which comes 40 ms later: 25 answers a second.
        let set = socket.set_tcp_nodelay(true).and_then(|()| socket.set_tcp_notsent_lowat(limits::UNSENT_BYTES_MAX));
        if let Err(error) = set {
            tracing::debug!(server = self.server.name, %error, "a connection ended before it was served");
        }
        Ok(index)
    }

    /// A task that has ended already finds its place given back; nobody else takes one meanwhile.
    fn spawn(self: &Arc<Self>, index: usize, stream: TcpStream, address: SocketAddr, router: Router) {
        self.tally().add(|tally| &tally.open, 1);
        let place = Place(Arc::new(Seat { house: Arc::clone(self), index }));
        let task = tokio::spawn(converse(place, stream, address, router));
        self.places().runs(index, task);
    }

    /// Ends a connection for another one; its place is free when this returns.
    async fn displace(&self, full: Full, peer: u128) -> bool {
        let displaced = self.places().displace(full, peer, &self.slots, self.now(), &self.server.limits);
        let Some(task) = displaced else { return false };
        task.abort();
        let _ended_by_itself_or_by_us = task.await;
        self.tally().add(|tally| &tally.displaced, 1);
        true
    }

    /// A peer that gave up is no matter. Without files or memory no connection can be taken until another one ends.
    async fn accept_failed(&self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
        if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted) {
            return;
        }
        let freed = self.displace(Full::Server, u128::MAX).await;
        tracing::warn!(server = self.server.name, %error, freed, "cannot take a connection; raise the limit of open files if this goes on");
        sleep(ACCEPT_PAUSE).await;
    }

    async fn drain(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.slots.iter().for_each(|slot| slot.waker.wake());
        let all_ended = async {
            loop {
                let emptied = self.emptied.notified();
                if self.places().count() == 0 {
                    return;
                }
                let _emptied_or_time_to_look = timeout(self.server.limits.look_every(), emptied).await;
                self.end_late();
            }
        };
        if timeout(self.server.limits.drain, all_ended).await.is_err() {
            let open = self.places().count();
            tracing::info!(server = self.server.name, open, "the drain is over; the connections that are left are cut off");
        }
    }
}

/// A connection's way to its slot.
struct Seat {
    house: Arc<House>,
    index: usize,
}

/// One count for each connection: that of the house would be written by all cores with each request.
type Held = Arc<Seat>;

impl Seat {
    fn slot(&self) -> &Slot {
        &self.house.slots[self.index]
    }

    fn now(&self) -> u64 {
        self.house.now()
    }

    fn limits(&self) -> &Limits {
        &self.house.server.limits
    }

    /// Registers first: a stop between the two would wake nobody.
    fn is_stopping(&self, cx: &Context<'_>) -> bool {
        self.slot().waker.register(cx.waker());
        self.house.stopping.load(Ordering::SeqCst)
    }
}

/// A place, given back when its connection ends in whatever way.
struct Place(Held);

impl Drop for Place {
    fn drop(&mut self) {
        let Seat { house, index } = &*self.0;
        let mut places = house.places();
        places.give_back(*index);
        house.tally().open.fetch_sub(1, Ordering::Relaxed);
        if places.count() == 0 {
            house.emptied.notify_waiters();
        }
    }
}

/// All requests of one connection.
async fn converse(place: Place, stream: TcpStream, peer: SocketAddr, router: Router) {
    let held = &place.0;
    let service = service_fn(|request| answer(Arc::clone(held), peer, router.clone(), request));
    let connection = held.house.http.serve_connection(Watched::new(stream, Arc::clone(held)), service);
    let mut connection = pin!(connection);
    let mut told = false;
    let ended = poll_fn(|cx| {
        if !told && held.is_stopping(cx) {
            told = true;
            connection.as_mut().graceful_shutdown();
        }
        connection.as_mut().poll(cx)
    });
    if let Err(error) = ended.await {
        tracing::debug!(server = held.house.server.name, %error, "a connection ended");
    }
}

async fn answer(held: Held, peer: SocketAddr, mut router: Router, request: Request<Incoming>) -> Result<Response<Sent>, Infallible> {
    held.slot().set(Phase::Answering, held.now());
    let answer = match strict::problem(&request) {
        Some(problem) => strict::refusal(problem),
        None => router.call(prepared(&held, peer, request)).await?,
    };
    Ok(answer.map(|body| Sent::new(body, held)))
}

/// Most requests are GETs, for which nothing is allocated here.
fn prepared(held: &Held, peer: SocketAddr, request: Request<Incoming>) -> Request<Body> {
    let mut request =
        request.map(|body| if body.is_end_stream() { Body::empty() } else { Body::new(Received::new(body, Arc::clone(held))) });
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        request.extensions_mut().insert(ConnectInfo(peer));
    }
    request
}
