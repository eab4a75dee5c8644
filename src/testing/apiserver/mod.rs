//! An API server in the process: enough of Kubernetes to run controllers and agents against, in tokio's paused time.
//!
//! It stands under `kube::Client` as its HTTP service, so everything above the socket is the real thing. Never an answer that the
//! real server would not give: `tests/it/apiserver_parity.rs` asks both the same questions.

mod defaults;
mod direct;
mod faults;
mod fields;
mod kinds;
mod log;
mod managed;
mod patch;
mod read;
mod refusal;
mod request;
mod selector;
mod state;
mod watch;
mod write;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use serde_json::Value;
use tokio::sync::Notify;

pub use faults::{After, Before, Delivery, Hook, Seen};
pub use kinds::{Key, Kind};
pub use log::Line;
pub use refusal::Refusal;
pub use request::Verb;
pub use state::{Admission, Change};

use crate::clock::Clock;
use log::Log;
use request::Call;
use state::State;

/// Body of an answer.
pub type ResponseBody = UnsyncBoxBody<Bytes, Infallible>;
type Observer = Arc<dyn Fn(&Change) + Send + Sync>;

/// A handle on one API server; clones are the same server.
#[derive(Clone)]
pub struct ApiServer {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    log: Mutex<Log>,
    clock: Arc<dyn Clock>,
    /// One for each open watch, in the order of their beginning. Tokio's own channels wake their receivers in random order.
    watches: Mutex<Vec<Weak<Notify>>>,
    hooks: Mutex<Vec<Arc<dyn Hook>>>,
    observers: Mutex<Vec<Observer>>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("no holder of this lock panics")
    }

    fn hooks(&self) -> Vec<Arc<dyn Hook>> {
        self.hooks.lock().expect("no holder of this lock panics").clone()
    }

    fn delivery(&self, seen: &Seen, change: &Change) -> Delivery {
        self.hooks().iter().map(|hook| hook.deliver(seen, change)).find(|found| *found != Delivery::Now).unwrap_or(Delivery::Now)
    }

    /// Lets the hooks change what the caller is shown of an object, or of each object of a list.
    fn show(&self, seen: &Seen, answer: &mut Value) {
        for hook in self.hooks() {
            match answer.get_mut("items").and_then(Value::as_array_mut) {
                Some(items) => items.iter_mut().for_each(|item| hook.show(seen, item)),
                None => hook.show(seen, answer),
            }
        }
    }

    fn wake_watches(&self) {
        let mut watches = self.watches.lock().expect("no holder of this lock panics");
        watches.retain(|watch| watch.upgrade().inspect(|watch| watch.notify_one()).is_some());
    }

    /// A bell that rings after every write.
    fn bell(&self) -> Arc<Notify> {
        let bell = Arc::<Notify>::default();
        self.watches.lock().expect("no holder of this lock panics").push(Arc::downgrade(&bell));
        bell
    }

    /// Tells watches and observers about everything after this version.
    fn announce(&self, before: u64) {
        let (news, version) = {
            let state = self.state();
            (state.history_after(before).to_vec(), state.version())
        };
        if version == before {
            return;
        }
        self.wake_watches();
        let observers = self.observers.lock().expect("no holder of this lock panics").clone();
        for change in &news {
            for observer in &observers {
                observer(change);
            }
        }
    }
}

/// One client's way to the server.
#[derive(Clone)]
pub struct Connection {
    server: ApiServer,
    actor: Arc<str>,
}

impl tower::Service<Request<kube::client::Body>> for Connection {
    type Response = Response<ResponseBody>;
    type Error = BrokenConnection;
    type Future = futures::future::BoxFuture<'static, Result<Response<ResponseBody>, BrokenConnection>>;

    fn poll_ready(&mut self, _cx: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), BrokenConnection>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        let Self { server, actor } = self.clone();
        Box::pin(async move { server.serve(request, &actor).await })
    }
}

/// An answer got lost on its way, or a request did.
#[derive(Debug, thiserror::Error)]
#[error("connection reset by peer (injected)")]
pub struct BrokenConnection;

impl ApiServer {
    /// An empty server. Its UIDs follow from `seed`, its times from `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, seed: u64) -> Self {
        let state = State::new(clock.clone(), seed);
        let (hooks, observers, watches) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { shared: Arc::new(Shared { state: Mutex::new(state), log: Mutex::default(), clock, watches, hooks, observers }) }
    }

    /// A client whose requests are booked under this name; it is also the field manager of writes that name none.
    #[must_use]
    pub fn client(&self, actor: &str) -> kube::Client {
        self.client_through(actor, &tower::layer::util::Identity::new())
    }

    /// The same, with a layer above the connection.
    #[must_use]
    pub fn client_through<L>(&self, actor: &str, layer: &L) -> kube::Client
    where
        L: tower::Layer<Connection>,
        L::Service: tower::Service<Request<kube::client::Body>, Response = Response<ResponseBody>> + Send + 'static,
        <L::Service as tower::Service<Request<kube::client::Body>>>::Future: Send + 'static,
        <L::Service as tower::Service<Request<kube::client::Body>>>::Error: Into<tower::BoxError>,
    {
        kube::Client::new(layer.layer(Connection { server: self.clone(), actor: actor.into() }), "default")
    }

    /// From now on this hook is asked, after those before it.
    pub fn hook(&self, hook: Arc<dyn Hook>) {
        self.shared.hooks.lock().expect("no holder of this lock panics").push(hook);
    }

    /// No hook is asked any more.
    pub fn unhook_all(&self) {
        self.shared.hooks.lock().expect("no holder of this lock panics").clear();
    }

    /// From now on this is called after every committed write, before the writer gets its answer.
    pub fn observe(&self, observer: impl Fn(&Change) + Send + Sync + 'static) {
        self.shared.observers.lock().expect("no holder of this lock panics").push(Arc::new(observer));
    }

    /// From now on every new or changed object must pass this.
    pub fn admit(&self, admission: Admission) {
        self.shared.state().admit_with(admission);
    }

    /// Forgets all history: watches and continued lists from before now are told 410.
    pub fn compact(&self) {
        self.shared.state().compact();
    }

    /// Every request so far.
    #[must_use]
    pub fn log(&self) -> Vec<Line> {
        self.shared.log().lines().to_vec()
    }

    async fn serve(&self, request: Request<kube::client::Body>, actor: &str) -> Result<Response<ResponseBody>, BrokenConnection> {
        let call = match Call::read(request).await {
            Ok(call) => call,
            Err(refusal) => return Ok(refused(&refusal)),
        };
        let seen = self.shared.log().see(actor, &call);
        let hooks = self.shared.hooks();
        let held = hooks.iter().map(|hook| hook.hold(&seen)).max().unwrap_or_default();
        if !held.is_zero() {
            let server = self.clone();
            let arrives = tokio::spawn(async move {
                tokio::time::sleep(held).await;
                server.answer(call, seen, hooks).await
            });
            return arrives.await.expect("answering a request does not panic");
        }
        self.answer(call, seen, hooks).await
    }

    async fn answer(&self, call: Call, seen: Seen, hooks: Vec<Arc<dyn Hook>>) -> Result<Response<ResponseBody>, BrokenConnection> {
        let latency = hooks.iter().map(|hook| hook.latency(&seen)).sum::<std::time::Duration>();
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        let before = hooks.iter().map(|hook| hook.before(&seen)).find(|before| *before != Before::Pass).unwrap_or(Before::Pass);
        let from = match before {
            Before::Pass => None,
            Before::FromVersion(version) => (call.version() == Some(0)).then_some(version),
            Before::Lie(version) => Some(version),
            Before::Refuse(refusal) => {
                self.write_down(&seen, &call, Err(&refusal), " (injected)");
                return Ok(refused(&refusal));
            }
            Before::Hang => return self.hang(&seen, &call, "never looked at").await,
            Before::Break => return self.break_off(&seen, &call, "broken before"),
        };
        if call.verb.mutates() { self.mutate(&call, &seen, &hooks).await } else { Ok(self.read(call, seen, from)) }
    }

    async fn hang(&self, seen: &Seen, call: &Call, what: &str) -> Result<Response<ResponseBody>, BrokenConnection> {
        self.shared.log().note(seen, call, self.shared.clock.now(), what);
        std::future::pending().await
    }

    fn break_off(&self, seen: &Seen, call: &Call, what: &str) -> Result<Response<ResponseBody>, BrokenConnection> {
        self.shared.log().note(seen, call, self.shared.clock.now(), what);
        Err(BrokenConnection)
    }

    fn read(&self, call: Call, seen: Seen, from: Option<u64>) -> Response<ResponseBody> {
        if call.verb == Verb::Watch {
            self.write_down(&seen, &call, Ok((200, &Value::Null)), "");
            return match watch::open(self.shared.clone(), call, seen) {
                Ok(stream) => response(200, StreamBody::new(stream).boxed_unsync()),
                Err(refusal) => refused(&refusal),
            };
        }
        let read = if call.verb == Verb::Get { read::get } else { read::list };
        let mut answer = read(&self.shared.state(), &call, from);
        if let Ok(value) = &mut answer {
            self.shared.show(&seen, value);
        }
        self.write_down(&seen, &call, answer.as_ref().map(|value| (200, value)), "");
        answer.map_or_else(|refusal| refused(&refusal), |value| response(200, whole(&value)))
    }

    async fn mutate(&self, call: &Call, seen: &Seen, hooks: &[Arc<dyn Hook>]) -> Result<Response<ResponseBody>, BrokenConnection> {
        let (before, answer) = {
            let mut state = self.shared.state();
            (state.version(), write::carry_out(&mut state, call, &seen.actor))
        };
        self.write_down(seen, call, answer.as_ref().map(|(code, object)| (*code, &**object)), "");
        self.shared.announce(before);
        let code = answer.as_ref().map_or_else(|refusal| refusal.code, |(code, _)| *code);
        let after = hooks.iter().map(|hook| hook.after(seen, code)).find(|after| *after != After::Pass).unwrap_or(After::Pass);
        match after {
            After::Pass => Ok(answer.map_or_else(|refusal| refused(&refusal), |(code, object)| response(code, whole(&object)))),
            After::Replace(refusal) => {
                self.shared.log().note(seen, call, self.shared.clock.now(), &format!("answered {} instead", refusal.code));
                Ok(refused(&refusal))
            }
            After::Hang => self.hang(seen, call, "answer lost").await,
            After::Break => self.break_off(seen, call, "broken after"),
        }
    }

    fn write_down(&self, seen: &Seen, call: &Call, answer: Result<(u16, &Value), &Refusal>, remark: &str) {
        self.shared.log().write_down(seen, call, self.shared.clock.now(), answer, remark);
    }
}

fn refused(refusal: &Refusal) -> Response<ResponseBody> {
    response(refusal.code, whole(&refusal.to_json()))
}

fn whole(value: &Value) -> ResponseBody {
    Full::new(Bytes::from(value.to_string())).boxed_unsync()
}

fn response(code: u16, body: ResponseBody) -> Response<ResponseBody> {
    let built = Response::builder().status(code).header(http::header::CONTENT_TYPE, "application/json").body(body);
    built.expect("a code of ours and one fixed header make a response")
}
