//! The pods' HTTP endpoints, without sockets: what the controller asks over HTTP is answered by the real agent's own router.
//! Never answers for a process that has ended; a pod may be made to answer as no agent does.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use futures::FutureExt as _;
use tower::ServiceExt as _;

use super::faults::mix;
use super::lives::{Lives, Pulse};
use crate::api::release::HttpReport;
use crate::cluster::reports::{ANSWER_MARGIN, Answer, POLL_WAIT, ReportReader};

/// When the real reader gives a connection up.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// When the real reader gives an answer up.
const ANSWER_MAX: Duration = POLL_WAIT.saturating_add(ANSWER_MARGIN);

/// More than any report has.
const BYTES_MAX: usize = 64 * 1024;

/// How a pod answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Manner {
    /// As its agent does.
    #[default]
    Honest,
    /// With a page, as an application does that knows no such path.
    Garbage,
    /// In a protocol of another generation.
    OtherProtocol,
    /// As its agent does, this much later.
    Slow(Duration),
}

#[derive(Default)]
struct Door {
    process: String,
    router: Option<Router>,
    manner: Manner,
    asked: u64,
}

/// All pods' endpoints, by address.
pub(super) struct Doors {
    seed: u64,
    lives: Arc<Lives>,
    by_address: Mutex<BTreeMap<IpAddr, Door>>,
}

impl Doors {
    pub(super) fn new(seed: u64, lives: Arc<Lives>) -> Self {
        Self { seed, lives, by_address: Mutex::default() }
    }

    fn doors(&self) -> MutexGuard<'_, BTreeMap<IpAddr, Door>> {
        self.by_address.lock().expect("no holder of this lock panics")
    }

    /// From now on this process answers at the address.
    pub(super) fn open(&self, address: IpAddr, process: &str, router: Router) {
        let mut doors = self.doors();
        let door = doors.entry(address).or_default();
        (door.process, door.router) = (process.to_owned(), Some(router));
    }

    /// Nobody answers any more.
    pub(super) fn close(&self, address: IpAddr) {
        self.doors().entry(address).or_default().router = None;
    }

    pub(super) fn answer_in(&self, address: IpAddr, manner: Manner) {
        self.doors().entry(address).or_default().manner = manner;
    }

    /// What the probe of kubelet finds.
    pub(super) fn is_ready(&self, address: IpAddr) -> bool {
        let Some(router) = self.doors().get(&address).and_then(|door| door.router.clone()) else { return false };
        let probe = router.oneshot(Request::get("/readyz").body(Body::empty()).expect("a constant"));
        probe.now_or_never().is_some_and(|answer| answer.is_ok_and(|answer| answer.status() == StatusCode::OK))
    }

    /// Who is asked, how it answers, and how long the way is: of an address's own, so that two pods' answers seldom come at once.
    fn ask(&self, address: IpAddr) -> (String, Option<Router>, Manner, Duration) {
        let mut doors = self.doors();
        let door = doors.entry(address).or_default();
        door.asked += 1;
        let IpAddr::V4(four) = address else { return (String::new(), None, door.manner, CONNECT_MAX) };
        let way = 1000 + mix(self.seed ^ mix(u64::from(four.to_bits()) ^ mix(door.asked))) % 7000;
        (door.process.clone(), door.router.clone(), door.manner, Duration::from_micros(way))
    }

    async fn call(&self, known: Option<&Answer>, address: IpAddr, question: &str) -> Result<Answer, String> {
        let (process, router, manner, way) = self.ask(address);
        if self.lives.pulse(&process) == Pulse::Dead {
            tokio::time::sleep(CONNECT_MAX).await;
            return Err("connection timed out".into());
        }
        tokio::time::sleep(way).await;
        match manner {
            Manner::Garbage => return Ok(Answer::without_tag("<!doctype html><title>not found</title>")),
            Manner::OtherProtocol => return Ok(Answer::without_tag(r#"{"protocol":9,"pod":{"is":"here"}}"#)),
            Manner::Slow(_) | Manner::Honest => {}
        }
        let answer = fetch(router.ok_or("connection refused")?, known, question).await;
        if let Manner::Slow(delay) = manner {
            tokio::time::sleep(delay).await;
        }
        if self.lives.pulse(&process) == Pulse::Dead { Err("connection reset by peer".into()) } else { answer }
    }
}

async fn fetch(router: Router, known: Option<&Answer>, question: &str) -> Result<Answer, String> {
    let mut request = Request::get(question);
    if let Some(tag) = known.and_then(|known| known.tag.as_ref()) {
        request = request.header(header::IF_NONE_MATCH, tag);
    }
    let request = request.body(Body::empty()).map_err(|error| error.to_string())?;
    let Ok(answer) = router.oneshot(request).await;
    match known {
        Some(known) if answer.status() == StatusCode::NOT_MODIFIED => return Ok(known.clone()),
        _ if answer.status().is_success() => {}
        _ => return Err(format!("answered {}", answer.status())),
    }
    let tag = answer.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
    let bytes = to_bytes(answer.into_body(), BYTES_MAX).await.map_err(|error| error.to_string())?;
    Ok(Answer { text: String::from_utf8(bytes.to_vec()).map_err(|error| error.to_string())?, tag })
}

/// A controller's way to the pods.
pub(super) struct Caller {
    pub(super) doors: Arc<Doors>,
    pub(super) lives: Arc<Lives>,
    pub(super) process: String,
}

impl Caller {
    async fn only_alive(&self) {
        if self.lives.pulse(&self.process) == Pulse::Dead {
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl ReportReader for Caller {
    async fn read(
        &self,
        known: Option<&Answer>,
        address: IpAddr,
        channel: &HttpReport,
        stage: i64,
        wait: Duration,
    ) -> Result<Answer, String> {
        self.only_alive().await;
        let question = format!("{}?wait={}s&stage={stage}", channel.path, wait.as_secs());
        let answer = tokio::time::timeout(ANSWER_MAX, self.doors.call(known, address, &question)).await;
        self.only_alive().await;
        answer.unwrap_or_else(|_| Err("operation timed out".into()))
    }
}
