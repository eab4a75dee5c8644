//! A relay between the bucket and a store that loses answers and makes some up, as networks and busy stores do.
//! Deals with one request per connection, so that the script's order is the requests' order.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What happens to one request.
#[derive(Debug, Clone, Copy)]
pub enum Act {
    /// The store answers.
    Forward,
    /// The store does it, and the connection breaks before the answer arrives.
    LoseAnswer,
    /// The store never hears of it: status line, then XML or whatever.
    Answer(&'static str, &'static str),
}

pub const CONFLICT: Act = Act::Answer("409 Conflict", "<Error><Code>ConditionalRequestConflict</Code></Error>");
pub const SLOW_DOWN: Act = Act::Answer("503 Slow Down", "<Error><Code>SlowDown</Code><Message>Please reduce</Message></Error>");

/// A relay that follows its script, and forwards when the script has ended.
pub struct Relay {
    pub endpoint: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Relay {
    pub async fn start(store: &str, script: impl IntoIterator<Item = Act>) -> Self {
        let mut script: VecDeque<Act> = script.into_iter().collect();
        Self::ruled(store, move |_| script.pop_front().unwrap_or(Act::Forward)).await
    }

    /// Decides by the head of each request, in lower case.
    pub async fn ruled(store: &str, mut rule: impl FnMut(&str) -> Act + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (store, seen) = (store.trim_start_matches("http://").to_owned(), Arc::clone(&heads));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                relay(client, &store, &mut rule, &seen).await;
            }
        });
        Self { endpoint, heads }
    }

    /// The heads of all requests so far, in lower case.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn relay(mut client: TcpStream, store: &str, rule: &mut (impl FnMut(&str) -> Act + Send), heads: &Mutex<Vec<String>>) {
    let Some((head, body)) = request(&mut client).await else { return };
    let lower = head.to_lowercase();
    let act = rule(&lower);
    heads.lock().unwrap().push(lower);
    let answer = match act {
        Act::Answer(status, body) => {
            format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
        }
        Act::Forward | Act::LoseAnswer => forward(store, &head, &body).await,
    };
    if !matches!(act, Act::LoseAnswer) {
        client.write_all(&answer).await.ok();
    }
}

async fn request(client: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut read = Vec::new();
    let end = loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if client.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    };
    let mut body = read.split_off(end + 4);
    let head = String::from_utf8(read[..end].to_vec()).unwrap();
    let length = |line: &str| line.to_lowercase().strip_prefix("content-length:").map(|length| length.trim().parse().unwrap());
    let length: usize = head.lines().find_map(length).unwrap_or(0);
    while body.len() < length {
        client.read_buf(&mut body).await.ok()?;
    }
    Some((head, body))
}

async fn forward(store: &str, head: &str, body: &[u8]) -> Vec<u8> {
    let mut upstream = TcpStream::connect(store).await.unwrap();
    // Not among the signed headers, so it may be added.
    upstream.write_all(format!("{head}\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
    upstream.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).await.unwrap();
    let text = String::from_utf8_lossy(&answer);
    assert!(text.to_lowercase().contains("\r\nconnection: close"), "the relay needs one answer per connection: {text}");
    answer
}
