//! One GET over one connection: a new one for each, so that a Service may choose another pod for every piece of a page, or one that is kept.
//! It must never hide a failure. Two things are tried again, once each, as browsers do, and counted: a connection that could not be made,
//! and a kept connection that ended before the first byte of the answer.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT_ENCODING, CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use url::Url;

use crate::behind;

/// Longer than any answer here takes on a busy machine, and shorter than a visitor's patience.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Requests over one kept connection; then it is closed, so that visitors also reach pods that are new.
const REQUESTS_PER_CONNECTION: u32 = 200;

/// Whether a visitor keeps its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Connections {
    /// A new one for each request.
    New,
    /// A few that stay open.
    Kept,
}

/// A whole answer, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The content type without parameters, in lower case; empty when there is none.
    pub content_type: String,
    /// Who answered: the name in the answer's header, or for a status other than 200 the address that the Service chose.
    pub pod: Option<String>,
    /// The complete body.
    pub body: Bytes,
}

/// No whole answer arrived.
#[derive(Debug, Clone)]
pub struct NoAnswer {
    /// Why.
    pub cause: Cause,
    /// What the system said.
    pub text: String,
    /// The address that the Service chose, if it is known.
    pub pod: Option<String>,
}

/// Why no whole answer arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Two connections could not be made.
    Refused,
    /// The connection ended before the end of the answer.
    Cut,
    /// The time was over.
    Late,
}

/// What became of one GET.
pub struct Fetched {
    /// The answer, or why there is none.
    pub answer: Result<Answer, NoAnswer>,
    /// Connections that could not be made and were tried again: 0 or 1.
    pub connect_retries: u32,
    /// Kept connections that ended before the answer began, after which a new one was used: 0 or 1.
    pub kept_retries: u32,
}

/// What all visitors of a site share.
pub struct Fetcher {
    address: SocketAddr,
    host: HeaderValue,
    pod_header: String,
}

/// One visitor's connections that wait for another request.
#[derive(Default)]
pub struct Idle {
    lines: Mutex<Vec<Line>>,
}

/// An open connection.
struct Line {
    sender: SendRequest<Empty<Bytes>>,
    local: Option<SocketAddr>,
    used: u32,
}

/// A request that got no whole answer.
enum Lost {
    /// Not a byte of an answer arrived.
    Unanswered(String),
    /// The answer began.
    InTheMiddle(String),
    /// The time was over.
    TooLate,
}

impl Fetcher {
    /// `pod_header` is the response header that names the pod. The site's name is looked up once: a Service's address stays.
    pub async fn new(site: &Url, pod_header: &str) -> Result<Self, String> {
        let name = site.host_str().ok_or_else(|| format!("--url {site} names no host"))?;
        let port = site.port_or_known_default().filter(|_| site.scheme() == "http").ok_or_else(|| format!("--url {site} is not http"))?;
        let mut found = tokio::net::lookup_host((name, port)).await.map_err(|error| format!("{name}: {error}"))?;
        let address = found.find(SocketAddr::is_ipv4).ok_or_else(|| format!("{name} has no IPv4 address"))?;
        let host = site.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"));
        let host = HeaderValue::from_str(&host).map_err(|error| format!("{host}: {error}"))?;
        Ok(Self { address, host, pod_header: pod_header.to_owned() })
    }

    /// Fetches one URL of the site. With `idle`, over one of its connections if there is one, which goes back there afterwards. A new connection that
    /// breaks after it was made is not tried again: Firefox would for a GET, Chromium would not, and visitors use both.
    pub async fn get(&self, idle: Option<&Idle>, url: &Url) -> Fetched {
        let (mut connect_retries, mut kept_retries) = (0, 0);
        if let Some(line) = ready(idle).await {
            match self.over(line, idle, url).await {
                (Err(Lost::Unanswered(_)), _) => kept_retries = 1,
                (lost, local) => return Fetched { answer: lost.map_err(|lost| explain(lost, local)), connect_retries, kept_retries },
            }
        }
        let line = match self.connect(None).await {
            Ok(line) => Ok(line),
            Err(_) => {
                connect_retries = 1;
                self.connect_again().await
            }
        };
        let answer = match line {
            Err(refused) => Err(refused),
            Ok(line) => {
                let (answer, local) = self.over(line, idle, url).await;
                answer.map_err(|lost| explain(lost, local))
            }
        };
        Fetched { answer, connect_retries, kept_retries }
    }

    /// From a port that is known beforehand, so that a failure can say which pod it was.
    async fn connect_again(&self) -> Result<Line, NoAnswer> {
        let refused = |text: String, pod| NoAnswer { cause: Cause::Refused, text, pod };
        let socket = TcpSocket::new_v4().map_err(|error| refused(error.to_string(), None))?;
        let bound = socket.bind(SocketAddr::from(([0, 0, 0, 0], 0))).and_then(|()| socket.local_addr()).ok();
        self.connect(Some(socket)).await.map_err(|text| refused(text, bound.and_then(behind::pod)))
    }

    async fn connect(&self, socket: Option<TcpSocket>) -> Result<Line, String> {
        let connecting = async {
            match socket {
                Some(socket) => socket.connect(self.address).await,
                None => TcpStream::connect(self.address).await,
            }
        };
        let stream = timeout(ANSWER_WITHIN, connecting).await.map_err(|_| "no connection in time".to_owned())?;
        let stream = stream.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        // Closed by a reset: it has brought its whole answer, and an orderly end would occupy one of 28,000 ports for a minute.
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).map_err(|error| error.to_string())?;
        let local = stream.local_addr().ok();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        // How it ends is seen by the request that is on its way.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Line { sender, local, used: 0 })
    }

    async fn over(&self, mut line: Line, idle: Option<&Idle>, url: &Url) -> (Result<Answer, Lost>, Option<SocketAddr>) {
        let asked = timeout(ANSWER_WITHIN, self.ask(&mut line, url)).await.unwrap_or(Err(Lost::TooLate));
        let local = line.local;
        line.used += 1;
        match asked {
            Ok((answer, stays)) => {
                if let Some(idle) = idle.filter(|_| stays && line.used < REQUESTS_PER_CONNECTION) {
                    idle.put(line);
                }
                (Ok(answer), local)
            }
            Err(lost) => (Err(lost), local),
        }
    }

    /// The answer, and whether the connection may be used again.
    async fn ask(&self, line: &mut Line, url: &Url) -> Result<(Answer, bool), Lost> {
        let request = Request::get(url.path()).header(HOST, &self.host).header(ACCEPT_ENCODING, "identity").body(Empty::new());
        let request = request.map_err(|error| Lost::Unanswered(error.to_string()))?;
        let response = line.sender.send_request(request).await.map_err(|error| Lost::Unanswered(text_of(&error)))?;
        let (head, body) = response.into_parts();
        // A body shorter than its Content-Length or a chunked one without its end is an error here.
        let body = body.collect().await.map_err(|error| Lost::InTheMiddle(text_of(&error)))?.to_bytes();
        let head = Response::from_parts(head, ());
        let (status, headers) = (head.status().as_u16(), head.headers());
        let named = header(headers, &self.pod_header);
        let pod = if named.is_some() || status == 200 { named } else { line.local.and_then(behind::pod) };
        let stays = header(headers, CONNECTION.as_str()).is_none_or(|value| !value.eq_ignore_ascii_case("close"));
        Ok((Answer { status, content_type: content_type(headers), pod, body }, stays))
    }
}

impl Idle {
    fn put(&self, line: Line) {
        self.lines.lock().expect("nothing panics while it holds the connections").push(line);
    }

    fn pop(&self) -> Option<Line> {
        // The one that waits longest: pages and assets go over different connections, so to different pods.
        let mut lines = self.lines.lock().expect("nothing panics while it holds the connections");
        if lines.is_empty() { None } else { Some(lines.remove(0)) }
    }
}

/// A kept connection that is still open.
async fn ready(idle: Option<&Idle>) -> Option<Line> {
    loop {
        let mut line = idle?.pop()?;
        if let Ok(Ok(())) = timeout(ANSWER_WITHIN, line.sender.ready()).await {
            return Some(line);
        }
    }
}

fn explain(lost: Lost, local: Option<SocketAddr>) -> NoAnswer {
    let (cause, text) = match lost {
        Lost::Unanswered(text) | Lost::InTheMiddle(text) => (Cause::Cut, text),
        Lost::TooLate => (Cause::Late, format!("no whole answer in {} s", ANSWER_WITHIN.as_secs())),
    };
    NoAnswer { cause, text, pod: local.and_then(behind::pod) }
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn content_type(headers: &HeaderMap) -> String {
    let whole = header(headers, CONTENT_TYPE.as_str()).unwrap_or_default();
    whole.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The error with its causes: hyper's own text leaves out what the system said.
fn text_of(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
